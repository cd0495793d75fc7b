package keys

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

// ownKeys has one key for each of SigningAlgorithms.
func ownKeys(t testing.TB) map[string]*pair {
	t.Helper()
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	pairs := map[string]*pair{}
	for alg, key := range map[string]crypto.Signer{"RS256": rsaKey(), "PS256": rsaKey(), "ES256": ecKey(),
		"EdDSA": ed} {
		pairs[alg] = &pair{stored: StoredKey{ID: "kid-" + alg, Use: UseSignature, Algorithm: alg}, public: key.Public(),
			private: key}
	}
	return pairs
}

// go-jose is a second opinion on every signature that is made here, and these are on every one that
// it makes.
func TestOwnSignaturesAreThoseOfTheLibrary(t *testing.T) {
	t.Parallel()
	pairs := ownKeys(t)
	for _, alg := range SigningAlgorithms {
		p := pairs[alg]
		if p == nil {
			t.Fatalf("no key for %s", alg)
		}
		for _, typ := range []string{"at+jwt", "JWT", ""} {
			payload := []byte(`{"sub":"` + rand.Text() + `"}`)
			ours, err := p.sign(typ, payload)
			if err != nil {
				t.Fatal(err)
			}
			parsed, err := jose.ParseSignedCompact(ours, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(alg)})
			if err != nil {
				t.Fatal(err)
			}
			got, err := parsed.Verify(p.public)
			if err != nil || string(got) != string(payload) {
				t.Errorf("%s: the library reads %q, %v", alg, got, err)
			}
			head := parsed.Signatures[0].Protected
			if said, _ := head.ExtraHeaders[jose.HeaderType].(string); said != typ || head.KeyID != p.stored.ID ||
				head.Algorithm != alg {
				t.Errorf("%s: header %+v", alg, head)
			}

			opts := &jose.SignerOptions{}
			if typ != "" {
				opts = opts.WithType(jose.ContentType(typ))
			}
			signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(alg),
				Key: jose.JSONWebKey{Key: p.private, KeyID: p.stored.ID}}, opts)
			if err != nil {
				t.Fatal(err)
			}
			jws, err := signer.Sign(payload)
			if err != nil {
				t.Fatal(err)
			}
			theirs, err := jws.CompactSerialize()
			if err != nil {
				t.Fatal(err)
			}
			head64, _, _ := strings.Cut(theirs, ".")
			input, mark, _ := cutLastDot(theirs)
			sig, err := decodePart(mark)
			if err != nil || !verifies(alg, p.public, []byte(input), sig) {
				t.Errorf("%s: a signature of the library does not verify", alg)
			}
			if head64 != p.header(typ) {
				t.Errorf("%s: the library's header is %s, ours is %s", alg, head64, p.header(typ))
			}
		}
	}
}

func cutLastDot(s string) (before, after string, ok bool) {
	i := strings.LastIndexByte(s, '.')
	return s[:max(i, 0)], s[i+1:], i >= 0
}

func TestAlteredSignaturesDoNotVerify(t *testing.T) {
	t.Parallel()
	pairs := ownKeys(t)
	input := []byte("header.payload")
	for alg, p := range pairs {
		sig, err := signature(alg, p.private, input)
		if err != nil {
			t.Fatal(err)
		}
		if !verifies(alg, p.public, input, sig) {
			t.Fatalf("%s: the control does not verify", alg)
		}
		for i := range sig {
			bad := slices.Clone(sig)
			bad[i] ^= 1
			if verifies(alg, p.public, input, bad) {
				t.Fatalf("%s: with another byte %d it verifies", alg, i)
			}
		}
		for name, bad := range map[string][]byte{
			"nothing": nil, "zeros": make([]byte, len(sig)), "short": sig[:len(sig)-1],
			"long":          append(slices.Clone(sig), 0),
			"zero in front": append([]byte{0}, sig...), "halves exchanged": append(slices.Clone(sig[len(sig)/2:]),
				sig[:len(sig)/2]...),
		} {
			if verifies(alg, p.public, input, bad) {
				t.Errorf("%s: %s verifies", alg, name)
			}
		}
		if verifies(alg, p.public, []byte("header.payloae"), sig) {
			t.Errorf("%s: another input verifies", alg)
		}
		for other, q := range pairs {
			if other == alg {
				continue
			}
			if verifies(other, p.public, input, sig) || verifies(alg, q.public, input, sig) && q.public != p.public {
				t.Errorf("%s verifies as %s, or by its key", alg, other)
			}
			if out, err := signature(other, p.private, input); err == nil && (alg[:2] != "RS" && alg[:2] != "PS" ||
				other[:2] != "RS" && other[:2] != "PS") {
				t.Errorf("a key for %s signs with %s: %d bytes", alg, other, len(out))
			}
		}
		if _, err := signature("none", p.private, input); err == nil || verifies("none", p.public, input, nil) {
			t.Errorf("a key for %s knows none", alg)
		}
	}
}

func TestHeadersAreRecognisedOnlyByTheCharacter(t *testing.T) {
	t.Parallel()
	pairs := ownKeys(t)
	v := &view{byID: map[string]*pair{}}
	for _, p := range pairs {
		v.byID[p.stored.ID] = p
	}
	enc := &pair{stored: StoredKey{ID: "enc", Use: UseEncryption, Algorithm: "RSA-OAEP-256"}}
	v.byID["enc"] = enc
	at := pairs["ES256"].header("at+jwt")
	if h := v.recognise(at, []string{"JWT", "at+jwt"}); h.KeyID != "kid-ES256" || h.Algorithm != "ES256" ||
		!h.IsType("at+jwt") {
		t.Errorf("%+v", h)
	}
	other, _ := json.Marshal(map[string]string{"alg": "ES256", "kid": "kid-ES256", "typ": "at+jwt", "x": "y"})
	for name, head := range map[string]string{
		"of another type": pairs["ES256"].header("JWT"), "more members": b64.EncodeToString(other), "nothing": "",
		"cut":                     at[:len(at)-1],
		"of a key for encryption": enc.header("at+jwt"),
	} {
		if h := v.recognise(head, []string{"at+jwt"}); h.KeyID != "" {
			t.Errorf("%s: %+v", name, h)
		}
	}
}
