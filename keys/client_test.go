package keys

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

var b64 = base64.RawURLEncoding

// Keys are made once: RSA ones take their time.
var (
	rsaKey   = sync.OnceValue(func() *rsa.PrivateKey { k, _ := rsa.GenerateKey(rand.Reader, 2048); return k })
	otherRSA = sync.OnceValue(func() *rsa.PrivateKey { k, _ := rsa.GenerateKey(rand.Reader, 2048); return k })
	ecKey    = sync.OnceValue(func() *ecdsa.PrivateKey {
		k, _ := ecdsa.GenerateKey(elliptic.P256(),
			rand.Reader)
		return k
	})
	ec384 = sync.OnceValue(func() *ecdsa.PrivateKey {
		k, _ := ecdsa.GenerateKey(elliptic.P384(),
			rand.Reader)
		return k
	})
	ec521 = sync.OnceValue(func() *ecdsa.PrivateKey {
		k, _ := ecdsa.GenerateKey(elliptic.P521(),
			rand.Reader)
		return k
	})
	edKey = sync.OnceValue(func() ed25519.PrivateKey { _, k, _ := ed25519.GenerateKey(rand.Reader); return k })
)

// jwkOf writes a public key with further members, "" removes one.
func jwkOf(t testing.TB, key any, members ...string) string {
	t.Helper()
	raw, err := json.Marshal(jose.JSONWebKey{Key: key})
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(raw, &m); err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(members); i += 2 {
		m[members[i]] = members[i+1]
	}
	out, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func setOf(jwks ...string) []byte { return []byte(`{"keys":[` + strings.Join(jwks, ",") + `]}`) }

func parseSet(t testing.TB, jwks ...string) *Set {
	t.Helper()
	s, err := ParseSet(setOf(jwks...))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// signed makes a JWS by hand: header and payload as given, and a signature that is right for alg.
func signed(t testing.TB, header, payload, alg string, key any) string {
	t.Helper()
	input := b64.EncodeToString([]byte(header)) + "." + b64.EncodeToString([]byte(payload))
	if alg == "none" {
		return input + "."
	}
	if secret, ok := key.([]byte); ok {
		mac := hmac.New(sha256.New, secret)
		mac.Write([]byte(input))
		return input + "." + b64.EncodeToString(mac.Sum(nil))
	}
	hash := map[string]crypto.Hash{"256": crypto.SHA256, "384": crypto.SHA384, "512": crypto.SHA512}[alg[len(alg)-3:]]
	var digest []byte
	if alg != "EdDSA" {
		h := hash.New()
		h.Write([]byte(input))
		digest = h.Sum(nil)
	}
	var sig []byte
	var err error
	switch k := key.(type) {
	case *rsa.PrivateKey:
		if alg[0] == 'P' {
			sig, err = rsa.SignPSS(rand.Reader, k, hash, digest,
				&rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
		} else {
			sig, err = rsa.SignPKCS1v15(rand.Reader, k, hash, digest)
		}
	case *ecdsa.PrivateKey:
		r, s, signErr := ecdsa.Sign(rand.Reader, k, digest)
		n := (k.Curve.Params().BitSize + 7) / 8
		sig, err = append(r.FillBytes(make([]byte, n)), s.FillBytes(make([]byte, n))...), signErr
	case ed25519.PrivateKey:
		sig = ed25519.Sign(k, []byte(input))
	}
	if err != nil {
		t.Fatal(err)
	}
	return input + "." + b64.EncodeToString(sig)
}

func TestEveryAcceptedAlgorithmVerifies(t *testing.T) {
	t.Parallel()
	set := parseSet(t, jwkOf(t, &rsaKey().PublicKey), jwkOf(t, &ecKey().PublicKey), jwkOf(t, &ec384().PublicKey),
		jwkOf(t, &ec521().PublicKey), jwkOf(t, edKey().Public()))
	byAlg := map[string]any{"ES256": ecKey(), "ES384": ec384(), "ES512": ec521(), "EdDSA": edKey()}
	for _, alg := range AcceptedSigningAlgorithms {
		key := byAlg[alg]
		if key == nil {
			key = rsaKey()
		}
		jws := signed(t, `{"alg":"`+alg+`","typ":"JWT"}`, `{"iss":"c"}`, alg, key)
		payload, h, err := set.Verify(jws, AcceptedSigningAlgorithms)
		if err != nil || string(payload) != `{"iss":"c"}` || h.Algorithm != alg || h.Type != "JWT" {
			t.Errorf("%s: %s %+v %v", alg, payload, h, err)
		}
		others := slices.DeleteFunc(slices.Clone(AcceptedSigningAlgorithms), func(a string) bool { return a == alg })
		if _, _, err := set.Verify(jws, others); err == nil {
			t.Errorf("%s is accepted from a client that is registered for others", alg)
		}
	}
}

// RFC 8725 §2.1, §3.1: the algorithm is the verifier's to choose.
func TestAlgorithmConfusionIsRefused(t *testing.T) {
	t.Parallel()
	const payload = `{"iss":"jwt-j","sub":"jwt-j"}`
	public := &ecKey().PublicKey
	set := parseSet(t, jwkOf(t, public, "kid", "k1"))
	spki, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	point, err := public.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	everything := slices.Concat(AcceptedSigningAlgorithms, HMACAlgorithms, []string{"none", "None", "nOnE", ""})
	body := b64.EncodeToString([]byte(payload))
	attacks := map[string]string{
		"no algorithm":    signed(t, `{"kid":"k1"}`, payload, "none", nil),
		"empty algorithm": signed(t, `{"alg":"","kid":"k1"}`, payload, "none", nil),
		"alg is a number": signed(t, `{"alg":256}`, payload, "none", nil),
		"alg is null":     signed(t, `{"alg":null}`, payload, "none", nil),
		"ALG":             signed(t, `{"ALG":"ES256"}`, payload, "ES256", ecKey()),
		"HS256 by the PEM": signed(t, `{"alg":"HS256","kid":"k1"}`, payload, "HS256",
			pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: spki})),
		"HS256 by the DER":     signed(t, `{"alg":"HS256","kid":"k1"}`, payload, "HS256", spki),
		"HS256 by the JWK":     signed(t, `{"alg":"HS256","kid":"k1"}`, payload, "HS256", []byte(jwkOf(t, public))),
		"HS256 by the point":   signed(t, `{"alg":"HS256","kid":"k1"}`, payload, "HS256", point),
		"HS256 by nothing":     signed(t, `{"alg":"HS256","kid":"k1"}`, payload, "HS256", []byte{}),
		"RS256 by a fresh key": signed(t, `{"alg":"RS256","kid":"k1"}`, payload, "RS256", rsaKey()),
		"ES384 by P-256":       signed(t, `{"alg":"ES384","kid":"k1"}`, payload, "ES384", ecKey()),
		"ES256 by another key": signed(t, `{"alg":"ES256","kid":"k1"}`, payload, "ES256", mustEC(t)),
		"r = s = 0": b64.EncodeToString([]byte(`{"alg":"ES256","kid":"k1"}`)) + "." + body + "." +
			b64.EncodeToString(make([]byte, 64)),
		"empty signature": b64.EncodeToString([]byte(`{"alg":"ES256","kid":"k1"}`)) + "." + body + ".",
		"ASN.1 signature": asn1Signed(t, `{"alg":"ES256","kid":"k1"}`, payload),
	}
	for _, none := range []string{"none", "None", "NONE", "nOnE", "none "} {
		attacks["alg "+none] = signed(t, `{"alg":"`+none+`","kid":"k1"}`, payload, "none", nil)
		attacks["signed with alg "+none] = signed(t, `{"alg":"`+none+`","kid":"k1"}`, payload, "ES256", ecKey())
	}
	for name, jws := range attacks {
		if p, _, err := set.Verify(jws, everything); err == nil || p != nil {
			t.Errorf("%s: accepted", name)
		}
	}
	right := signed(t, `{"alg":"ES256","kid":"k1"}`, payload, "ES256", ecKey())
	if _, _, err := set.Verify(right, []string{"ES256"}); err != nil {
		t.Fatalf("the control: %v", err)
	}
	if _, _, err := set.Verify(right, nil); err == nil {
		t.Error("accepted though no algorithm is allowed")
	}
	if _, _, err := VerifyHMAC(right, []byte(jwkOf(t, public)), everything); err == nil {
		t.Error("ES256 was taken for an HMAC")
	}
}

func mustEC(t testing.TB) *ecdsa.PrivateKey {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func asn1Signed(t testing.TB, header, payload string) string {
	input := b64.EncodeToString([]byte(header)) + "." + b64.EncodeToString([]byte(payload))
	sum := sha256.Sum256([]byte(input))
	sig, err := ecdsa.SignASN1(rand.Reader, ecKey(), sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return input + "." + b64.EncodeToString(sig)
}

func TestClientSecretsVerify(t *testing.T) {
	t.Parallel()
	secret := []byte("a client secret of forty-three characters..")
	jws := signed(t, `{"alg":"HS256"}`, `{"iss":"hs-h"}`, "HS256", secret)
	if p, h, err := VerifyHMAC(jws, secret, []string{"HS256"}); err != nil || string(p) != `{"iss":"hs-h"}` ||
		h.Algorithm != "HS256" {
		t.Fatalf("%s %+v %v", p, h, err)
	}
	for name, attack := range map[string]struct {
		jws    string
		secret []byte
		algs   []string
	}{
		"empty key": {signed(t, `{"alg":"HS256"}`, `{}`, "HS256", []byte{}), nil, HMACAlgorithms},
		"short key": {signed(t, `{"alg":"HS256"}`, `{}`, "HS256", []byte("short")), []byte("short"),
			HMACAlgorithms},
		"the client id as key": {signed(t, `{"alg":"HS256"}`, `{}`, "HS256", []byte("hs-h")), secret, HMACAlgorithms},
		"another algorithm":    {jws, secret, []string{"HS512"}},
		"no algorithm allowed": {jws, secret, nil},
		"none":                 {signed(t, `{"alg":"none"}`, `{}`, "none", nil), secret, []string{"none", "HS256"}},
		"ES256 and its own key": {signed(t, `{"alg":"ES256","jwk":`+jwkOf(t, &ecKey().PublicKey)+`}`, `{}`, "ES256",
			ecKey()), secret, []string{"ES256", "HS256"}},
		"one byte of the tag":   {jws[:len(jws)-2] + "AA", secret, HMACAlgorithms},
		"payload not an object": {signed(t, `{"alg":"HS256"}`, `"x"`, "HS256", secret), secret, HMACAlgorithms},
		"payload with two names": {signed(t, `{"alg":"HS256"}`, `{"sub":"a","sub":"b"}`, "HS256", secret), secret,
			HMACAlgorithms},
	} {
		if _, _, err := VerifyHMAC(attack.jws, attack.secret, attack.algs); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// RFC 8725 §3.10: whatever the header says about keys, the key is the registered one.
func TestKeysInTheHeaderAreIgnored(t *testing.T) {
	t.Parallel()
	attacker := mustEC(t)
	own := jwkOf(t, &attacker.PublicKey, "kid", "evil")
	set := parseSet(t, jwkOf(t, &ecKey().PublicKey, "kid", "k1"))
	for _, extra := range []string{
		`"jwk":` + own,
		`"jwk":` + own + `,"kid":"evil"`,
		`"jwk":` + own + `,"kid":"k1"`,
		`"jku":"http://127.0.0.1:9001/k"`,
		`"x5u":"http://127.0.0.1:9001/k"`,
		`"x5c":["MIIB"]`,
		`"kid":"http://127.0.0.1:9001/k"`,
		`"kid":"../../../dev/null"`,
		`"kid":"' OR 1=1--"`,
		`"kid":{"$ne":null}`,
		`"kid":["k1"]`,
		`"kid":null`,
	} {
		jws := signed(t, `{"alg":"ES256",`+extra+`}`, `{"iss":"jwt-j"}`, "ES256", attacker)
		if _, _, err := set.Verify(jws, []string{"ES256"}); err == nil {
			t.Errorf("%s: accepted", extra)
		}
	}
	// A right signature is right also beside a key that is not asked.
	jws := signed(t, `{"alg":"ES256","kid":"k1","jku":"http://127.0.0.1:9001/k"}`, `{"iss":"jwt-j"}`, "ES256", ecKey())
	if _, _, err := set.Verify(jws, []string{"ES256"}); err != nil {
		t.Errorf("the control: %v", err)
	}
}

// RFC 7515 §4.1.11, RFC 8725 §2.4.
func TestHostileFormsAreRefusedQuickly(t *testing.T) {
	t.Parallel()
	set := parseSet(t, jwkOf(t, &ecKey().PublicKey))
	ok := func(header, payload string) string { return signed(t, header, payload, "ES256", ecKey()) }
	deep := strings.Repeat(`{"a":`, 10_000) + "1" + strings.Repeat("}", 10_000)
	attacks := map[string]string{
		"crit":                   ok(`{"alg":"ES256","crit":["x"],"x":1}`, `{}`),
		"crit exp":               ok(`{"alg":"ES256","crit":["exp"],"exp":1}`, `{}`),
		"empty crit":             ok(`{"alg":"ES256","crit":[]}`, `{}`),
		"b64":                    ok(`{"alg":"ES256","b64":false,"crit":["b64"]}`, `{}`),
		"b64 without crit":       ok(`{"alg":"ES256","b64":false}`, `{}`),
		"zip":                    ok(`{"alg":"ES256","zip":"DEF"}`, `{}`),
		"alg twice":              ok(`{"alg":"none","alg":"ES256"}`, `{}`),
		"alg and Alg":            ok(`{"alg":"ES256","Alg":"none"}`, `{}`),
		"alg and an escaped alg": ok(`{"alg":"ES256","\u0061lg":"none"}`, `{}`),
		"sub twice":              ok(`{"alg":"ES256"}`, `{"sub":"a","sub":"b"}`),
		"sub and Sub":            ok(`{"alg":"ES256"}`, `{"sub":"a","Sub":"b"}`),
		"sub and ſub":            ok(`{"alg":"ES256"}`, `{"sub":"a","ſub":"b"}`),
		"twice, further down":    ok(`{"alg":"ES256"}`, `{"a":[{"b":{"c":1,"d":[],"c":2}}]}`),
		"deep payload":           ok(`{"alg":"ES256"}`, deep),
		"deep array": ok(`{"alg":"ES256"}`, `{"a":`+strings.Repeat("[", 10_000)+strings.Repeat("]",
			10_000)+`}`),
		"deep header": ok(`{"alg":"ES256","x":`+strings.Repeat("[", 3000)+strings.Repeat("]", 3000)+`}`,
			`{}`),
		"large header":               ok(`{"alg":"ES256","x":"`+strings.Repeat("x", 9<<10)+`"}`, `{}`),
		"array payload":              ok(`{"alg":"ES256"}`, `[{"sub":"a"}]`),
		"payload not JSON":           ok(`{"alg":"ES256"}`, `sub=a`),
		"something after it":         ok(`{"alg":"ES256"}`, `{}{}`),
		"no payload":                 ok(`{"alg":"ES256"}`, ``),
		"payload not UTF-8":          ok(`{"alg":"ES256"}`, "{\"sub\":\"\xff\"}"),
		"header not an object":       ok(`["ES256"]`, `{}`),
		"header null":                ok(`null`, `{}`),
		"enc in a signed one":        ok(`{"alg":"ES256","enc":"A128GCM"}`, `{}`),
		"2 MiB":                      ok(`{"alg":"ES256"}`, `{"a":"`+strings.Repeat("a", 2<<20)+`"}`),
		"100,000 dots":               strings.Repeat(".", 100_000),
		"dots and letters":           strings.Repeat("a.", 100_000),
		"JSON serialisation":         `{"payload":"e30","protected":"eyJhbGciOiJFUzI1NiJ9","signature":"AA"}`,
		"five parts":                 ok(`{"alg":"ES256"}`, `{}`) + ".AA.AA",
		"padding":                    strings.Replace(ok(`{"alg":"ES256"}`, `{}`), ".", "=.", 1),
		"white space":                strings.Replace(ok(`{"alg":"ES256"}`, `{}`), ".", ".\n", 1),
		"the other base64 alphabet":  strings.NewReplacer("-", "+", "_", "/").Replace(ok(`{"alg":"ES256"}`, `{}`)) + "+",
		"a header of a JWE, 3 parts": ok(`{"alg":"ECDH-ES","enc":"A128GCM"}`, `{}`),
	}
	for name, jws := range attacks {
		begin := time.Now()
		if _, _, err := set.Verify(jws, []string{"ES256"}); err == nil {
			t.Errorf("%s: accepted", name)
		} else if len(err.Error()) > 300 {
			t.Errorf("%s: an error of %d bytes", name, len(err.Error()))
		}
		if took := time.Since(begin); took > 2*time.Second {
			t.Errorf("%s: took %s", name, took)
		}
	}
	if _, _, err := set.Verify(ok(`{"alg":"ES256","x":[1,{"a":1}]}`,
		` {"a":{"b":1},"c":{"b":2},"d":[{"b":1},{"b":2}]} `), []string{"ES256"}); err != nil {
		t.Errorf("the control: %v", err)
	}
}

func TestKeysThatCannotBeUsedSafelyAreLeftOut(t *testing.T) {
	t.Parallel()
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	good := jwkOf(t, &ecKey().PublicKey, "kid", "good")
	coordinates := func(x, y []byte) string {
		return fmt.Sprintf(`{"kty":"EC","crv":"P-256","x":"%s","y":"%s"}`, b64.EncodeToString(x), b64.EncodeToString(y))
	}
	off := ecKey().X.FillBytes(make([]byte, 32))
	modulus := b64.EncodeToString(rsaKey().N.Bytes())
	order := make([]byte, 32)
	for name, bad := range map[string]string{
		"RSA-1024":       jwkOf(t, &weak.PublicKey),
		"RSA with e = 1": `{"kty":"RSA","n":"` + modulus + `","e":"AQ"}`,
		"RSA with e = 2": `{"kty":"RSA","n":"` + modulus + `","e":"Ag"}`,
		"RSA with even modulus": `{"kty":"RSA","n":"` + b64.EncodeToString(append(rsaKey().N.Bytes()[:255], 0)) +
			`","e":"AQAB"}`,
		"RSA-65536": `{"kty":"RSA","n":"` + b64.EncodeToString(bytes.Repeat([]byte{0xff}, 8192)) +
			`","e":"AQAB"}`,
		"RSA without n":       `{"kty":"RSA","e":"AQAB"}`,
		"oct":                 `{"kty":"oct","k":"` + b64.EncodeToString(make([]byte, 32)) + `"}`,
		"RSA with k":          jwkOf(t, &rsaKey().PublicKey, "k", "AAAA"),
		"private RSA":         jwkOf(t, rsaKey()),
		"private EC":          jwkOf(t, ecKey()),
		"private Ed25519":     jwkOf(t, edKey()),
		"off the curve":       coordinates(off, off),
		"zero point":          coordinates(make([]byte, 32), make([]byte, 32)),
		"another curve":       strings.Replace(jwkOf(t, &ecKey().PublicKey), "P-256", "P-384", 1),
		"secp256k1":           strings.Replace(jwkOf(t, &ecKey().PublicKey), "P-256", "secp256k1", 1),
		"Ed25519 of order 4":  `{"kty":"OKP","crv":"Ed25519","x":"` + b64.EncodeToString(order) + `"}`,
		"short Ed25519":       `{"kty":"OKP","crv":"Ed25519","x":"AAAA"}`,
		"X25519":              strings.Replace(jwkOf(t, edKey().Public()), "Ed25519", "X25519", 1),
		"unknown type":        `{"kty":"PQ","x":"AA"}`,
		"no type":             `{}`,
		"null":                `null`,
		"a string":            `"key"`,
		"type is a number":    `{"kty":1}`,
		"strange use":         jwkOf(t, &ecKey().PublicKey, "use", "signing"),
		"key_ops is a string": jwkOf(t, &ecKey().PublicKey, "key_ops", "verify"),
		"duplicate member":    strings.Replace(jwkOf(t, &ecKey().PublicKey), `"kty"`, `"kty":"oct","kty"`, 1),
	} {
		set, err := ParseSet(setOf(bad, good))
		if name == "duplicate member" {
			if err == nil {
				t.Errorf("%s: accepted", name)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s spoils the good key beside it: %v", name, err)
			continue
		}
		if set.Len() != 1 || len(set.Refused()) != 1 || !strings.HasPrefix(set.Refused()[0], "key 1: ") {
			t.Errorf("%s: %d usable, refused %q", name, set.Len(), set.Refused())
		}
		if _, err := ParseSet(setOf(bad)); err == nil {
			t.Errorf("%s alone: accepted", name)
		}
		if _, err := Thumbprint([]byte(bad)); err == nil {
			t.Errorf("%s has a thumbprint", name)
		}
	}
	// The weak key really cannot sign.
	set := parseSet(t, jwkOf(t, &weak.PublicKey), good)
	if _, _, err := set.Verify(signed(t, `{"alg":"RS256"}`, `{}`, "RS256", weak),
		AcceptedSigningAlgorithms); !errors.Is(err, ErrUnknownKey) {
		t.Errorf("signed by RSA-1024: %v", err)
	}
}

func TestSetsThatAreNoSets(t *testing.T) {
	t.Parallel()
	good := jwkOf(t, &ecKey().PublicKey)
	for name, raw := range map[string][]byte{
		"nothing":       nil,
		"HTML":          []byte("<html>"),
		"an array":      []byte("[" + good + "]"),
		"a bare key":    []byte(good),
		"null":          []byte("null"),
		"keys is null":  []byte(`{"keys":null}`),
		"keys is a map": []byte(`{"keys":{"a":` + good + `}}`),
		"no keys":       []byte(`{"keys":[]}`),
		"10,000 keys":   setOf(slices.Repeat([]string{`{}`}, 10_000)...),
		"65 keys":       setOf(slices.Repeat([]string{good}, 65)...),
		"11 MiB":        append(bytes.Repeat([]byte(" "), 11<<20), setOf(good)...),
		"deep":          []byte(`{"keys":` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + `}`),
		"cut off":       setOf(good)[:40],
		"keys twice":    []byte(`{"keys":[` + good + `],"keys":[]}`),
	} {
		if _, err := ParseSet(raw); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestWhichKeyIsAsked(t *testing.T) {
	t.Parallel()
	a, b := ecKey(), mustEC(t)
	header := func(kid string) string { return `{"alg":"ES256"` + kid + `}` }
	by := func(k *ecdsa.PrivateKey, kid string) string { return signed(t, header(kid), `{}`, "ES256", k) }
	for name, c := range map[string]struct {
		set  *Set
		jws  string
		want error
	}{
		"by kid": {parseSet(t, jwkOf(t, &b.PublicKey, "kid", "b"), jwkOf(t, &a.PublicKey, "kid", "a")),
			by(a, `,"kid":"a"`), nil},
		"wrong kid": {parseSet(t, jwkOf(t, &b.PublicKey, "kid", "b"), jwkOf(t, &a.PublicKey, "kid", "a")),
			by(a, `,"kid":"b"`), ErrSignature},
		"unknown kid": {parseSet(t, jwkOf(t, &a.PublicKey, "kid", "a")), by(a, `,"kid":"c"`), ErrUnknownKey},
		"no kid in the header": {parseSet(t, jwkOf(t, &b.PublicKey, "kid", "b"), jwkOf(t, &a.PublicKey, "kid", "a")),
			by(a, ``), nil},
		"no kid in the set": {parseSet(t, jwkOf(t, &a.PublicKey)), by(a, `,"kid":"a"`), ErrUnknownKey},
		"two keys of one kid": {parseSet(t, jwkOf(t, &b.PublicKey, "kid", "x"), jwkOf(t, &a.PublicKey, "kid", "x")),
			by(a, `,"kid":"x"`), nil},
		"for encryption":        {parseSet(t, jwkOf(t, &a.PublicKey, "use", "enc")), by(a, ``), ErrUnknownKey},
		"for another algorithm": {parseSet(t, jwkOf(t, &a.PublicKey, "alg", "ES384")), by(a, ``), ErrUnknownKey},
		"for this algorithm":    {parseSet(t, jwkOf(t, &a.PublicKey, "alg", "ES256", "use", "sig")), by(a, ``), nil},
		"of another type":       {parseSet(t, jwkOf(t, &rsaKey().PublicKey)), by(a, ``), ErrUnknownKey},
		"key_ops without verify": {parseSet(t, strings.Replace(jwkOf(t, &a.PublicKey), "{", `{"key_ops":["deriveKey"],`,
			1)), by(a, ``), ErrUnknownKey},
		"key_ops with verify": {parseSet(t, strings.Replace(jwkOf(t, &a.PublicKey), "{", `{"key_ops":["verify"],`,
			1)), by(a, ``), nil},
	} {
		if _, _, err := c.set.Verify(c.jws, []string{"ES256"}); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

func TestEncryptToAClient(t *testing.T) {
	t.Parallel()
	set := parseSet(t, jwkOf(t, &otherRSA().PublicKey, "use", "sig", "kid", "no"), jwkOf(t, &rsaKey().PublicKey, "use",
		"enc", "kid", "rsa"), jwkOf(t, &ec521().PublicKey, "kid", "ec", "use", "enc", "alg", "ECDH-ES+A256KW"))
	for _, c := range []struct {
		alg, kid string
		key      any
	}{{"RSA-OAEP", "rsa", rsaKey()}, {"RSA-OAEP-256", "rsa", rsaKey()}, {"ECDH-ES+A256KW", "ec", ec521()}} {
		jwe, err := set.Encrypt([]byte("a.b.c"), c.alg, "A256GCM", "JWT")
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := jose.ParseEncryptedCompact(jwe, []jose.KeyAlgorithm{jose.KeyAlgorithm(c.alg)},
			[]jose.ContentEncryption{jose.A256GCM})
		if err != nil {
			t.Fatal(err)
		}
		plain, err := parsed.Decrypt(c.key)
		if err != nil || string(plain) != "a.b.c" || parsed.Header.KeyID != c.kid ||
			parsed.Header.ExtraHeaders["cty"] != "JWT" {
			t.Errorf("%s: %q %v %+v", c.alg, plain, err, parsed.Header)
		}
	}
	for _, bad := range [][2]string{{"RSA1_5", "A128GCM"}, {"dir", "A128GCM"}, {"RSA-OAEP", "A192GCM"},
		{"RSA-OAEP", ""}, {"", "A128GCM"}, {"PBES2-HS256+A128KW", "A128GCM"}} {
		if _, err := set.Encrypt(nil, bad[0], bad[1], ""); err == nil {
			t.Errorf("encrypted with %q", bad)
		}
	}
	if _, err := set.Encrypt(nil, "ECDH-ES", "A128GCM", ""); !errors.Is(err, ErrUnknownKey) {
		t.Errorf("no key for ECDH-ES: %v", err)
	}
}

// RFC 7638 §3.1 prints this key and its thumbprint.
func TestThumbprint(t *testing.T) {
	t.Parallel()
	const jwk = `{"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB","alg":"RS256","kid":"2011-04-29"}`
	if got, err := Thumbprint([]byte(jwk)); err != nil || got != "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs" {
		t.Fatalf("%s, %v", got, err)
	}
}

func TestUnsignedTokensComeBackAsTheyWereMade(t *testing.T) {
	t.Parallel()
	jws, err := InsecureUnsigned(map[string]string{"sub": "a&b"})
	if err != nil {
		t.Fatal(err)
	}
	if payload, err := InsecureParseUnsigned(jws); err != nil || string(payload) != `{"sub":"a&b"}` {
		t.Fatalf("%s %v", payload, err)
	}
	for name, bad := range map[string]string{
		"with a signature": jws + "AA",
		"signed":           signed(t, `{"alg":"ES256"}`, `{}`, "ES256", ecKey()),
		"None":             signed(t, `{"alg":"None"}`, `{}`, "none", nil),
		"crit":             signed(t, `{"alg":"none","crit":["x"]}`, `{}`, "none", nil),
		"sub twice":        signed(t, `{"alg":"none"}`, `{"sub":1,"sub":2}`, "none", nil),
		"two parts":        strings.TrimSuffix(jws, "."),
	} {
		if _, err := InsecureParseUnsigned(bad); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, _, err := parseSet(t, jwkOf(t, &ecKey().PublicKey)).Verify(jws, []string{"none"}); err == nil {
		t.Error("an unsigned JWT verifies")
	}
	peeked, err := InsecurePeek(signed(t, `{"alg":"ES256"}`, `{"iss":"c"}`, "ES256", ecKey()))
	if err != nil || string(peeked) != `{"iss":"c"}` {
		t.Errorf("InsecurePeek: %s %v", peeked, err)
	}
}

func FuzzParseSet(f *testing.F) {
	f.Add(setOf(jwkOf(f, &rsaKey().PublicKey), jwkOf(f, &ecKey().PublicKey, "use", "enc"), jwkOf(f, edKey().Public())))
	f.Add(setOf(jwkOf(f, ecKey())))
	f.Add([]byte(`{"keys":[{"kty":"oct","k":"AAAA"},{"kty":"OKP","crv":"Ed25519","x":"AQ"}]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		set, err := ParseSet(raw)
		if err != nil {
			return
		}
		if set.Len() == 0 {
			t.Fatal("a set without keys parses")
		}
		for _, k := range set.keys {
			switch pub := k.key.(type) {
			case *rsa.PublicKey:
				if pub.N.BitLen() < 2048 {
					t.Fatal("a weak key is usable")
				}
			case *ecdsa.PublicKey:
				if _, err := pub.ECDH(); err != nil {
					t.Fatal("a point off the curve is usable")
				}
			case ed25519.PublicKey:
			default:
				t.Fatalf("a %T is usable", pub)
			}
			if _, err := thumbprint(k.key); err != nil {
				t.Fatal(err)
			}
		}
		for _, alg := range EncryptionAlgorithms {
			if _, err := set.Encrypt([]byte("x"), alg, "A128GCM", ""); err != nil && !errors.Is(err, ErrUnknownKey) {
				t.Fatalf("%s: %v", alg, err)
			}
		}
	})
}

func FuzzVerify(f *testing.F) {
	set := parseSet(f, jwkOf(f, &ecKey().PublicKey), jwkOf(f, edKey().Public()))
	good := signed(f, `{"alg":"ES256","typ":"JWT"}`, `{"iss":"c"}`, "ES256", ecKey())
	f.Add(good)
	f.Add(signed(f, `{"alg":"EdDSA","kid":"a","crit":["b"]}`, `{}`, "EdDSA", edKey()))
	f.Add(signed(f, `{"alg":"none"}`, `{}`, "none", nil))
	f.Add("....")
	f.Add("e30.e30.e30")
	f.Fuzz(func(t *testing.T, jws string) {
		if _, _, err := set.Verify(jws, AcceptedSigningAlgorithms); err == nil && strings.Count(jws, ".") != 2 {
			t.Fatal("something that is no compact JWS verifies")
		}
		if h, err := PeekHeader(jws); err == nil && h.Algorithm == "" {
			t.Fatal("a header without alg parses")
		}
		if p, err := InsecureParseUnsigned(jws); err == nil && CheckJSON(p) != nil {
			t.Fatal("a payload parses that is not unambiguous")
		}
	})
}

func FuzzCheckJSON(f *testing.F) {
	f.Add([]byte(`{"a":{"b":[1,2,{"c":null}]},"d":"e"}`))
	f.Add([]byte(`{"a":1,"A":2}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if CheckJSON(raw) != nil {
			return
		}
		// What is accepted means the same after it was read and written once more.
		var v any
		if err := json.Unmarshal(raw, &v); err != nil {
			t.Fatalf("accepted, but not JSON: %v", err)
		}
		again, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if err := CheckJSON(again); err != nil {
			t.Fatalf("%s became %s: %v", raw, again, err)
		}
	})
}

func TestOneJWTIsTriedAgainstFewKeys(t *testing.T) {
	t.Parallel()
	for name, kid := range map[string]string{"without a kid": "", "with one kid for all": "k"} {
		var private []*ecdsa.PrivateKey
		var set jose.JSONWebKeySet
		for range 8 {
			k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			private = append(private, k)
			set.Keys = append(set.Keys, jose.JSONWebKey{Key: &k.PublicKey, KeyID: kid})
		}
		raw, err := json.Marshal(set)
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := ParseSet(raw)
		if err != nil || theirs.Len() != 8 {
			t.Fatalf("%d keys, %v", theirs.Len(), err)
		}
		for i, k := range private {
			s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: k, KeyID: kid}}, nil)
			if err != nil {
				t.Fatal(err)
			}
			signed, err := s.Sign([]byte(`{}`))
			if err != nil {
				t.Fatal(err)
			}
			jws, err := signed.CompactSerialize()
			if err != nil {
				t.Fatal(err)
			}
			_, _, err = theirs.Verify(jws, []string{"ES256"})
			if i < maxTries && err != nil || i >= maxTries && !errors.Is(err, ErrManyKeys) {
				t.Errorf("%s, signed by key %d: %v", name, i+1, err)
			}
		}
	}
}
