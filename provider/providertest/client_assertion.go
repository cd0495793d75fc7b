package providertest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"net/url"
	"sync"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"latchkey/provider/clients"
	"latchkey/provider/oauth"
	"latchkey/provider/storage"
)

func EcKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

var RsaKey = sync.OnceValue(func() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return k
})

// JwksOf publishes public keys under these key identifiers.
func JwksOf(t testing.TB, byID map[string]any) json.RawMessage {
	t.Helper()
	var set jose.JSONWebKeySet
	for id, key := range byID {
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: key, KeyID: id})
	}
	raw, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// SignJWT makes a compact JWS of raw claims with the header given.
func SignJWT(t testing.TB, alg jose.SignatureAlgorithm, key any, claims any, header map[jose.HeaderKey]any) string {
	t.Helper()
	opts := &jose.SignerOptions{}
	for k, v := range header {
		opts = opts.WithHeader(k, v)
	}
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, opts)
	if err != nil {
		t.Fatal(err)
	}
	payload, ok := claims.([]byte)
	if !ok {
		if payload, err = json.Marshal(claims); err != nil {
			t.Fatal(err)
		}
	}
	jws, err := s.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	out, err := jws.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// AssertionOf are the claims of a good client assertion; change replaces some, nil removes one.
func (w *World) AssertionOf(id string, change map[string]any) map[string]any {
	claims := map[string]any{"iss": id, "sub": id, "aud": w.Issuer, "iat": w.Web.Now().Unix(),
		"exp": w.Web.Now().Unix() + 60, "jti": storage.Random()}
	for k, v := range change {
		if v == nil {
			delete(claims, k)
		} else {
			claims[k] = v
		}
	}
	return claims
}

// Assert authenticates at the token endpoint by an assertion; also adds parameters.
func (w *World) Assert(assertion string, also ...string) AnswerJSON {
	w.t.Helper()
	return w.Try("/token", With(url.Values{"grant_type": {"client_credentials"},
		"client_assertion_type": {oauth.ClientAssertionTypeJWT}, "client_assertion": {assertion}}, also...))
}

// Forgive forgets failed client authentications.
func (w *World) Forgive() {
	w.ClientAuth.ForgetFailures()
}

func ByKey(t testing.TB, alg string, byID map[string]any) func(*clients.Client) {
	return func(c *clients.Client) {
		Service(c)
		c.TokenEndpointAuthMethod, c.TokenEndpointAuthAlg, c.SecretHash, c.JWKS = oauth.AuthPrivateKeyJWT, alg, nil,
			JwksOf(t, byID)
	}
}

var Kid = func(id string) map[jose.HeaderKey]any { return map[jose.HeaderKey]any{"kid": id} }
