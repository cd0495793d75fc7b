package keys

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

const (
	maxSet     = 256 << 10 // bytes
	maxSetKeys = 64
	minRSA     = 2048 // bits (RFC 7518 §3.3)
	maxRSA     = 8192 // bits; larger ones only cost time
	maxTries   = 4    // keys tried for one JWT, because an attacker may send it and own the keys
)

// ErrUnknownKey says that the set has no key that the header asks for: the signer may have new
// ones, so it is worth reading its jwks_uri again, once (OIDC Core §10.1.1).
var ErrUnknownKey = errors.New("no key of the set fits the JWT header")

// ErrSignature reports that the signature is not by the key.
var ErrSignature = errors.New("the signature does not verify")

// ErrManyKeys reports that more keys fit the header than are tried, and the first ones did not
// verify it.
var ErrManyKeys = fmt.Errorf("more than %d keys of the set fit the JWT header: "+
	"give each key a kid of its own, and name it in the header", maxTries)

// Set holds the usable public keys of another party (RFC 7517 §5). It is immutable and safe for
// concurrent use.
type Set struct {
	keys    []publicKey
	refused []string
}

// publicKey is one key of a Set.
type publicKey struct {
	id, use, alg string
	ops          []string
	key          crypto.PublicKey // *rsa.PublicKey, *ecdsa.PublicKey or ed25519.PublicKey
}

// ParseSet reads a JWK Set. Malformed JSON, more than 256 KiB or more than 64 keys are errors. A
// key that cannot be used safely is left out, with the reason in Refused: private and symmetric
// ones, RSA under 2048 or over 8192 bits, points off their curve, unknown types. A set of which
// nothing is left is an error.
func ParseSet(raw []byte) (*Set, error) {
	if len(raw) > maxSet {
		return nil, fmt.Errorf("the JWK Set is larger than %d bytes", maxSet)
	}
	if err := CheckJSON(raw); err != nil {
		return nil, fmt.Errorf("JWK Set: %w", err)
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(raw, &members); err != nil {
		return nil, errors.New("the JWK Set is not a JSON object")
	}
	var list []json.RawMessage
	if err := json.Unmarshal(members["keys"], &list); err != nil {
		return nil, errors.New("the JWK Set has no array keys")
	}
	if len(list) > maxSetKeys {
		return nil, fmt.Errorf("the JWK Set has more than %d keys", maxSetKeys)
	}
	set := &Set{}
	for i, jwk := range list {
		k, err := parsePublic(jwk)
		if err != nil {
			set.refused = append(set.refused, fmt.Sprintf("key %d: %v", i+1, err))
			continue
		}
		set.keys = append(set.keys, k)
	}
	if len(set.keys) == 0 {
		why := append(set.refused, "it must have a public RSA, EC or Ed25519 key")
		return nil, fmt.Errorf("the JWK Set has no usable key (%s)", strings.Join(why, "; "))
	}
	return set, nil
}

// Refused lists why keys of the set were left out, one sentence each, without any key material.
func (s *Set) Refused() []string { return slices.Clone(s.refused) }

// Len is the number of usable keys.
func (s *Set) Len() int { return len(s.keys) }

// parsePublic reads one JWK (RFC 7517 §4, RFC 7518 §6, RFC 8037 §2). Only what makes the key is
// handed on to the parser: certificates and addresses beside it have no say here.
func parsePublic(raw json.RawMessage) (publicKey, error) {
	var k publicKey
	var members map[string]json.RawMessage
	if err := json.Unmarshal(raw, &members); err != nil || members == nil {
		return k, errors.New("it is not a JSON object")
	}
	text := map[string]string{}
	for _, name := range []string{"kty", "kid", "use", "alg", "crv", "x", "y", "n", "e"} {
		if v, ok := members[name]; ok {
			var s string
			if len(v) == 0 || v[0] != '"' || json.Unmarshal(v, &s) != nil {
				return k, fmt.Errorf("its %s is not a string", name)
			}
			text[name] = s
		}
	}
	for _, name := range []string{"d", "p", "q", "dp", "dq", "qi", "oth"} {
		if _, ok := members[name]; ok {
			return k, errors.New("it is a private key: every reader of the set can sign; " +
				"replace the key and publish only its public part")
		}
	}
	if _, ok := members["k"]; ok || text["kty"] == "oct" {
		return k, errors.New("it is symmetric")
	}
	if v, ok := members["key_ops"]; ok && json.Unmarshal(v, &k.ops) != nil {
		return k, errors.New("its key_ops is not an array of strings")
	}
	k.id, k.use, k.alg = text["kid"], text["use"], text["alg"]
	if k.use != "" && k.use != UseSignature && k.use != UseEncryption {
		return k, errors.New("its use is neither sig nor enc")
	}
	pure := map[string]string{}
	for _, name := range []string{"kty", "crv", "x", "y", "n", "e"} {
		if v, ok := text[name]; ok {
			pure[name] = v
		}
	}
	if text["kty"] == "RSA" { // before anything is computed with it
		if n, err := base64.RawURLEncoding.DecodeString(text["n"]); err != nil || len(n) > maxRSA/8+1 {
			return k, fmt.Errorf("its RSA modulus is not base64url of at most %d bits", maxRSA)
		}
	}
	canonical, err := json.Marshal(pure)
	if err != nil {
		return k, err
	}
	var jwk jose.JSONWebKey
	if err := json.Unmarshal(canonical, &jwk); err != nil || !jwk.Valid() {
		return k, errors.New("it is not a valid RSA, EC (P-256, P-384, P-521) or Ed25519 public key")
	}
	switch pub := jwk.Key.(type) {
	case *rsa.PublicKey:
		if n := pub.N.BitLen(); n < minRSA || n > maxRSA {
			return k, fmt.Errorf("its RSA modulus has %d bits; it must have %d to %d", n, minRSA, maxRSA)
		}
		if pub.E < 3 || pub.E%2 == 0 || pub.N.Bit(0) == 0 {
			return k, errors.New("its RSA modulus or exponent is not valid")
		}
	case *ecdsa.PublicKey:
		if _, err := pub.ECDH(); err != nil { // not on the curve, or the point at infinity
			return k, errors.New("its point is not on the curve")
		}
	case ed25519.PublicKey:
		if len(pub) != ed25519.PublicKeySize || smallOrder(pub) {
			return k, errors.New("it is not a valid Ed25519 key")
		}
	default:
		return k, errors.New("its type is not supported")
	}
	k.key = jwk.Key
	return k, nil
}

// smallOrder recognises the few Ed25519 points for which one signature fits many messages.
func smallOrder(pub ed25519.PublicKey) bool {
	y := slices.Clone(pub)
	y[31] &= 0x7f
	for _, bad := range smallOrderY {
		if bytes.Equal(y, bad) {
			return true
		}
	}
	return false
}

// smallOrderY are the y coordinates, little-endian without the sign bit, of the points of order 1,
// 2, 4 and 8 of edwards25519, and their encodings that are not reduced.
var smallOrderY = func() [][]byte {
	le := func(first byte, mid byte, last byte) []byte {
		b := bytes.Repeat([]byte{mid}, 32)
		b[0], b[31] = first, last
		return b
	}
	order8 := []byte{
		0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0,
		0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
	}
	order8Negative := []byte{
		0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f,
		0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
	}
	return [][]byte{
		le(0, 0, 0), le(1, 0, 0), // order 4, order 1
		le(0xec, 0xff, 0x7f), // p-1: order 2
		le(0xed, 0xff, 0x7f), // p, p+1: not reduced
		le(0xee, 0xff, 0x7f),
		order8, order8Negative,
	}
}()

// fits reports whether the key can be for the operation: its type, its curve, and what it says
// about itself.
func (k publicKey) fits(use, op, alg string) bool {
	if k.use != "" && k.use != use || len(k.ops) > 0 && !k.mayBeUsedFor(op) {
		return false
	}
	if k.alg != "" && k.alg != alg {
		return false
	}
	switch pub := k.key.(type) {
	case *rsa.PublicKey:
		return strings.HasPrefix(alg, "RS") || strings.HasPrefix(alg, "PS")
	case *ecdsa.PublicKey:
		switch alg {
		case "ES256":
			return pub.Curve.Params().BitSize == 256
		case "ES384":
			return pub.Curve.Params().BitSize == 384
		case "ES512":
			return pub.Curve.Params().BitSize == 521
		}
		return strings.HasPrefix(alg, "ECDH-ES")
	case ed25519.PublicKey:
		return alg == "EdDSA"
	}
	return false
}

// mayBeUsedFor reads key_ops (RFC 7517 §4.3).
func (k publicKey) mayBeUsedFor(op string) bool {
	if op == "verify" {
		return slices.Contains(k.ops, "verify")
	}
	return slices.ContainsFunc(k.ops, func(o string) bool {
		return o == "encrypt" || o == "wrapKey" || o == "deriveKey" || o == "deriveBits"
	})
}

// Verify checks a JWS in compact form by a key of the set and returns its payload, a JSON object
// without doubled members. algs are the algorithms that this signer may use; only those of
// AcceptedSigningAlgorithms are ever accepted. With a kid in the header only keys of that kid are
// tried, without one those that fit, four at most. The caller checks the claims. ErrUnknownKey,
// ErrManyKeys and ErrSignature tell apart what failed; no error names a key.
func (s *Set) Verify(jws string, algs []string) (payload []byte, header Header, err error) {
	algs = slices.DeleteFunc(slices.Clone(algs), func(a string) bool {
		return !slices.Contains(AcceptedSigningAlgorithms, a)
	})
	header, _, err = parseJWS(jws, algs)
	if err != nil {
		return nil, Header{}, err
	}
	parsed, err := jose.ParseSignedCompact(jws, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(header.Algorithm)})
	if err != nil {
		return nil, Header{}, fmt.Errorf("not a JWS in compact form: %w", err)
	}
	err = ErrUnknownKey
	tried := 0
	for _, k := range s.keys {
		if header.KeyID != "" && k.id != header.KeyID || !k.fits(UseSignature, "verify", header.Algorithm) {
			continue
		}
		if tried++; tried > maxTries {
			return nil, Header{}, ErrManyKeys
		}
		if payload, verifyErr := parsed.Verify(k.key); verifyErr == nil {
			return payload, header, checkClaims(payload)
		}
		err = ErrSignature
	}
	return nil, Header{}, err
}

// VerifyHMAC checks a JWS in compact form by a shared secret (client_secret_jwt, OIDC Core §9).
// Only algorithms of algs that are in HMACAlgorithms are accepted; the secret must be at least as
// long as the hash (RFC 7518 §3.2).
func VerifyHMAC(jws string, secret []byte, algs []string) (payload []byte, header Header, err error) {
	algs = slices.DeleteFunc(slices.Clone(algs), func(a string) bool { return !slices.Contains(HMACAlgorithms, a) })
	header, _, err = parseJWS(jws, algs)
	if err != nil {
		return nil, Header{}, err
	}
	parsed, err := jose.ParseSignedCompact(jws, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(header.Algorithm)})
	if err != nil {
		return nil, Header{}, fmt.Errorf("not a JWS in compact form: %w", err)
	}
	if payload, err = parsed.Verify(secret); err != nil {
		return nil, Header{}, ErrSignature
	}
	return payload, header, checkClaims(payload)
}

// Encrypt makes a compact JWE (RFC 7516 §7.1) for the owner of the set, by its first key that fits
// alg. cty is JWT for a nested JWT (RFC 7519 §5.2). ErrUnknownKey if no key fits.
func (s *Set) Encrypt(payload []byte, alg, enc, cty string) (string, error) {
	if !slices.Contains(EncryptionAlgorithms, alg) || !slices.Contains(ContentEncryptionAlgorithms, enc) {
		return "", fmt.Errorf("encryption with alg %.20q and enc %.20q is not supported", alg, enc)
	}
	for _, k := range s.keys {
		if !k.fits(UseEncryption, "encrypt", alg) {
			continue
		}
		opts := &jose.EncrypterOptions{}
		if cty != "" {
			opts = opts.WithContentType(jose.ContentType(cty))
		}
		to := jose.Recipient{Algorithm: jose.KeyAlgorithm(alg), Key: k.key, KeyID: k.id}
		e, err := jose.NewEncrypter(jose.ContentEncryption(enc), to, opts)
		if err != nil {
			return "", fmt.Errorf("encrypt to the client: %w", err)
		}
		jwe, err := e.Encrypt(payload)
		if err != nil {
			return "", fmt.Errorf("encrypt to the client: %w", err)
		}
		return jwe.CompactSerialize()
	}
	return "", ErrUnknownKey
}

// Thumbprint is the SHA-256 thumbprint of a public JWK, base64url (RFC 7638 §3).
func Thumbprint(jwk []byte) (string, error) {
	if len(jwk) > maxSet {
		return "", fmt.Errorf("the JWK is larger than %d bytes", maxSet)
	}
	if err := CheckJSON(jwk); err != nil {
		return "", fmt.Errorf("JWK: %w", err)
	}
	k, err := parsePublic(jwk)
	if err != nil {
		return "", fmt.Errorf("JWK: %w", err)
	}
	return thumbprint(k.key)
}

func thumbprint(key crypto.PublicKey) (string, error) {
	sum, err := (&jose.JSONWebKey{Key: key}).Thumbprint(crypto.SHA256)
	if err != nil {
		return "", fmt.Errorf("thumbprint: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(sum), nil
}

// InsecureUnsigned writes claims as an unsecured JWT (RFC 7519 §6). It exists for one purpose: a
// client registered with id_token_signed_response_alg none, which OIDC Core §2 allows when the ID
// token comes straight from the token endpoint over TLS. Anybody can make such a token; nothing may
// ever be decided by one.
func InsecureUnsigned(claims any) (string, error) {
	payload, err := marshal(claims)
	if err != nil {
		return "", fmt.Errorf("write the claims: %w", err)
	}
	header := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`))
	return header + "." + base64.RawURLEncoding.EncodeToString(payload) + ".", nil
}

// InsecureParseUnsigned reads a JWS whose alg is none and whose signature is empty, and refuses
// every other. It exists for request objects of clients registered with request_object_signing_alg
// none (OIDC Core §6.1): what it returns is worth as much as plain request parameters, that is,
// nothing is proved by it.
func InsecureParseUnsigned(jws string) ([]byte, error) {
	_, payload, err := parseJWS(jws, []string{"none"})
	if err != nil {
		return nil, err
	}
	if !strings.HasSuffix(jws, ".") {
		return nil, errors.New("a JWT with alg none must have an empty signature")
	}
	return payload, checkClaims(payload)
}

// InsecurePeek returns the payload of a JWS in compact form without checking its signature. It
// exists to learn whose key is to be looked up (the iss of a client assertion, RFC 7523 §3); the
// same JWS must be verified by that key afterwards.
func InsecurePeek(jws string) ([]byte, error) {
	h, err := PeekHeader(jws)
	if err != nil {
		return nil, err
	}
	_, payload, err := parseJWS(jws, []string{h.Algorithm})
	if err != nil {
		return nil, err
	}
	return payload, checkClaims(payload)
}

// marshal writes JSON without the escapes that are meant for HTML.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
