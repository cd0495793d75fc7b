package keys

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
)

// The provider's own tokens are signed and verified here with the standard library, because it does
// so for every request: what is the same for every token of a key is made once. What others signed
// is read by go-jose.

// es256Half is the length in bytes of each of the two numbers of an ES256 signature (RFC 7518
// §3.4).
const es256Half = 32

// signature computes the signature of a JWS signing input (RFC 7515 §5.1) by one of
// SigningAlgorithms.
func signature(alg string, key crypto.PrivateKey, input []byte) ([]byte, error) {
	switch key := key.(type) {
	case *rsa.PrivateKey:
		digest := sha256.Sum256(input)
		switch alg {
		case "RS256": // RFC 7518 §3.3
			return rsa.SignPKCS1v15(nil, key, crypto.SHA256, digest[:])
		case "PS256": // RFC 7518 §3.5: the salt is as long as the hash
			return rsa.SignPSS(rand.Reader, key, crypto.SHA256, digest[:],
				&rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
		}
	case *ecdsa.PrivateKey:
		if alg == "ES256" && key.Curve.Params().BitSize == 8*es256Half { // RFC 7518 §3.4
			digest := sha256.Sum256(input)
			r, s, err := ecdsa.Sign(rand.Reader, key, digest[:])
			if err != nil {
				return nil, err
			}
			out := make([]byte, 2*es256Half)
			r.FillBytes(out[:es256Half])
			s.FillBytes(out[es256Half:])
			return out, nil
		}
	case ed25519.PrivateKey:
		if alg == "EdDSA" { // RFC 8037 §3.1
			return ed25519.Sign(key, input), nil
		}
	}
	return nil, fmt.Errorf("keys: a key of type %T does not sign with %.20q", key, alg)
}

// verifies reports whether a signature of a JWS signing input (RFC 7515 §5.2) is by the owner of
// the public key, with one of SigningAlgorithms.
func verifies(alg string, key crypto.PublicKey, input, sig []byte) bool {
	switch key := key.(type) {
	case *rsa.PublicKey:
		digest := sha256.Sum256(input)
		switch alg {
		case "RS256":
			return rsa.VerifyPKCS1v15(key, crypto.SHA256, digest[:], sig) == nil
		case "PS256":
			return rsa.VerifyPSS(key, crypto.SHA256, digest[:], sig,
				&rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}) == nil
		}
	case *ecdsa.PublicKey:
		if alg == "ES256" && len(sig) == 2*es256Half && key.Curve.Params().BitSize == 8*es256Half {
			digest := sha256.Sum256(input)
			return ecdsa.Verify(key, digest[:], new(big.Int).SetBytes(sig[:es256Half]),
				new(big.Int).SetBytes(sig[es256Half:]))
		}
	case ed25519.PublicKey:
		return alg == "EdDSA" && len(key) == ed25519.PublicKeySize && ed25519.Verify(key, input, sig)
	}
	return false
}

// header returns the JOSE header of the key's tokens of one type, encoded (RFC 7515 §4.1).
func (p *pair) header(typ string) string {
	if h, ok := p.headers.Load(typ); ok {
		return h.(string)
	}
	raw, err := json.Marshal(struct {
		Algorithm string `json:"alg"`
		KeyID     string `json:"kid"`
		Type      string `json:"typ,omitempty"`
	}{p.stored.Algorithm, p.stored.ID, typ})
	if err != nil {
		panic(err) // three strings
	}
	h, _ := p.headers.LoadOrStore(typ, base64.RawURLEncoding.EncodeToString(raw))
	return h.(string)
}

// sign makes a compact JWS (RFC 7515 §7.1).
func (p *pair) sign(typ string, payload []byte) (string, error) {
	head := p.header(typ)
	b := make([]byte, 0, len(head)+base64.RawURLEncoding.EncodedLen(len(payload))+base64.RawURLEncoding.EncodedLen(minRSA/8)+2)
	b = append(append(b, head...), '.')
	b = base64.RawURLEncoding.AppendEncode(b, payload)
	sig, err := signature(p.stored.Algorithm, p.private, b)
	if err != nil {
		return "", err
	}
	b = append(b, '.')
	return string(base64.RawURLEncoding.AppendEncode(b, sig)), nil
}
