package clientauth_test

import (
	"crypto/ecdsa"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"latchkey/provider/clientauth"
	"latchkey/provider/clients"
	"latchkey/provider/oauth"
	"latchkey/provider/providertest"
	"latchkey/provider/storage"
)

func TestAssertionIsUsedOnce(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	key := providertest.EcKey(t)
	w.AddClient("jwt-j", providertest.ByKey(t, "ES256", map[string]any{"j1": key.Public()}))
	w.AddClient("jwt-k", providertest.ByKey(t, "ES256", map[string]any{"j1": key.Public()}))
	one := providertest.SignJWT(t, jose.ES256, key, w.AssertionOf("jwt-j", map[string]any{"jti": "J"}),
		providertest.Kid("j1"))
	providertest.MustWork(t, w.Assert(one))
	t.Run("RFC 7523 §3 a second time, at any endpoint, it is refused", func(t *testing.T) {
		providertest.MustRefuse(t, w.Assert(one), http.StatusUnauthorized, oauth.InvalidClient)
		for _, path := range []string{"/introspect", "/revoke"} {
			providertest.MustRefuse(t, w.Try(path, url.Values{"token": {"x"},
				"client_assertion_type": {oauth.ClientAssertionTypeJWT}, "client_assertion": {one}}),
				http.StatusUnauthorized, oauth.InvalidClient)
		}
		w.Clock.Advance(time.Minute + clientauth.ClockSkew - time.Second)
		providertest.MustRefuse(t, w.Assert(one), http.StatusUnauthorized, oauth.InvalidClient)
	})
	t.Run("another client may have the same jti", func(t *testing.T) {
		providertest.MustWork(t, w.Assert(providertest.SignJWT(t, jose.ES256, key,
			w.AssertionOf("jwt-k", map[string]any{"jti": "J"}), providertest.Kid("j1"))))
	})
	t.Run("of many at once exactly one is accepted", func(t *testing.T) {
		one := providertest.SignJWT(t, jose.ES256, key, w.AssertionOf("jwt-k", nil), providertest.Kid("j1"))
		won, lost := providertest.AtOnce(clientauth.FailuresAllowed-2,
			func() providertest.AnswerJSON { return w.Assert(one) })
		if len(won) != 1 {
			t.Errorf("%d were accepted", len(won))
		}
		for _, l := range lost {
			providertest.MustRefuse(t, l, http.StatusUnauthorized, oauth.InvalidClient)
		}
	})
}

func TestAssertionThatWasNotRememberedIsNotAccepted(t *testing.T) {
	t.Parallel()
	var f *providertest.Faults
	w := providertest.New(t, providertest.WithFaults(&f))
	key := providertest.EcKey(t)
	w.AddClient("jwt-j", providertest.ByKey(t, "ES256", map[string]any{"j1": key.Public()}))
	f.Set(true, "Spend")
	providertest.MustRefuse(t, w.Assert(providertest.SignJWT(t, jose.ES256, key, w.AssertionOf("jwt-j", nil),
		providertest.Kid("j1"))), http.StatusServiceUnavailable, oauth.TemporarilyUnavailable)
}

func TestAssertionClaims(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	key := providertest.EcKey(t)
	register := func(id string, bend ...func(*clients.Client)) {
		w.AddClient(id, append([]func(*clients.Client){providertest.ByKey(t, "ES256",
			map[string]any{"j1": key.Public()})}, bend...)...)
	}
	register("strict")
	register("legacy", func(c *clients.Client) { c.LegacyAssertionAudience = true })
	register("dynamic", func(c *clients.Client) { c.Dynamic = true })
	w.AddClient("web-a")
	now := w.Web.Now().Unix()
	own := w.Issuer + "/token"
	for _, c := range []struct {
		name   string
		change map[string]any
		strict bool
		legacy bool
	}{
		{"as it should be", nil, true, true},
		{"aud is the token endpoint", map[string]any{"aud": own}, false, true},
		{"aud is the issuer in a list", map[string]any{"aud": []string{w.Issuer}}, false, true},
		{"aud is issuer and token endpoint", map[string]any{"aud": []string{w.Issuer, own}}, false, true},
		{"aud is somebody else too", map[string]any{"aud": []string{w.Issuer, "https://evil.test"}}, false, false},
		{"aud is another endpoint", map[string]any{"aud": w.Issuer + "/introspect"}, false, false},
		{"aud is somebody else", map[string]any{"aud": "https://evil.test"}, false, false},
		{"aud is somebody else's token endpoint", map[string]any{"aud": "https://evil.test/token"}, false, false},
		{"aud begins like the issuer", map[string]any{"aud": w.Issuer + ".evil.test"}, false, false},
		{"aud has a slash more", map[string]any{"aud": w.Issuer + "/"}, false, false},
		{"aud is missing", map[string]any{"aud": nil}, false, false},
		{"aud is empty", map[string]any{"aud": ""}, false, false},
		{"aud is an empty list", map[string]any{"aud": []string{}}, false, false},
		{"aud is a number", map[string]any{"aud": 1}, false, false},
		{"aud is an object", map[string]any{"aud": map[string]any{"x": w.Issuer}}, false, false},
		{"aud has a member that is no string", map[string]any{"aud": []any{w.Issuer, 1}}, false, false},
		{"exp is missing", map[string]any{"exp": nil}, false, false},
		{"exp is a string", map[string]any{"exp": "123"}, false, false},
		{"exp is negative", map[string]any{"exp": -1}, false, false},
		{"exp is beyond all time", map[string]any{"exp": 1e300}, false, false},
		{"exp overflows", map[string]any{"exp": json.Number("9223372036854775808")}, false, false},
		{"exp has a fraction", map[string]any{"exp": float64(now) + 60.5}, true, true},
		{"exp was within the skew", map[string]any{"exp": now - 59}, true, true},
		{"exp was before the skew", map[string]any{"exp": now - 61}, false, false},
		{"exp was five minutes ago", map[string]any{"exp": now - 300}, false, false},
		{"exp is an hour ahead", map[string]any{"exp": now + 3600}, true, true},
		{"exp is two hours ahead", map[string]any{"exp": now + 7200}, false, false},
		{"exp is ten years ahead", map[string]any{"exp": now + 10*365*86400}, false, false},
		{"nbf is 8 seconds ahead", map[string]any{"nbf": now + 8}, true, true},
		{"nbf is 61 seconds ahead", map[string]any{"nbf": now + 61}, false, false},
		{"iat is 8 seconds ahead", map[string]any{"iat": now + 8}, true, true},
		{"iat is 61 seconds ahead", map[string]any{"iat": now + 61}, false, false},
		{"iat is a string", map[string]any{"iat": "x"}, false, false},
		{"iat is missing", map[string]any{"iat": nil}, true, true},
		{"jti is missing", map[string]any{"jti": nil}, false, false},
		{"jti is empty", map[string]any{"jti": ""}, false, false},
		{"jti is a number", map[string]any{"jti": 5}, false, false},
		{"jti is huge", map[string]any{"jti": strings.Repeat("j", clientauth.MaxJTI+1)}, false, false},
		{"iss is another", map[string]any{"iss": "web-a"}, false, false},
		{"iss is missing", map[string]any{"iss": nil}, false, false},
		{"sub is another client", map[string]any{"sub": "web-a"}, false, false},
		{"sub and iss are another client", map[string]any{"sub": "web-a", "iss": "web-a"}, false, false},
		{"sub is missing", map[string]any{"sub": nil}, false, false},
		{"sub is a list", map[string]any{"sub": []string{"strict"}}, false, false},
		{"sub is unknown", map[string]any{"sub": "nobody", "iss": "nobody"}, false, false},
	} {
		for id, works := range map[string]bool{"strict": c.strict, "legacy": c.legacy, "dynamic": c.legacy} {
			got := w.Assert(providertest.SignJWT(t, jose.ES256, key, w.AssertionOf(id, c.change),
				providertest.Kid("j1")))
			if works != (got.StatusCode == http.StatusOK) || !works && (got.StatusCode != http.StatusUnauthorized ||
				got.Str("error") != "invalid_client") {
				t.Errorf("%s: %s: %d %v", id, c.name, got.StatusCode, got.JSON)
			}
			w.Forgive()
		}
	}
	t.Run("OIDC Core §9 the URL of the endpoint that is called", func(t *testing.T) {
		for id, status := range map[string]int{"legacy": 200, "dynamic": 200, "strict": 401} {
			jwt := providertest.SignJWT(t, jose.ES256, key,
				w.AssertionOf(id, map[string]any{"aud": w.Issuer + "/revoke"}), providertest.Kid("j1"))
			if got := w.Try("/revoke", url.Values{"token": {"x"},
				"client_assertion_type": {oauth.ClientAssertionTypeJWT},
				"client_assertion":      {jwt}}); got.StatusCode != status {
				t.Errorf("%s: %d %v", id, got.StatusCode, got.JSON)
			}
		}
	})
	t.Run("RFC 7521 §4.2 client_id, if sent, is the same", func(t *testing.T) {
		providertest.MustWork(t, w.Assert(providertest.SignJWT(t, jose.ES256, key, w.AssertionOf("strict", nil),
			providertest.Kid("j1")), "client_id", "strict"))
		providertest.MustRefuse(t, w.Assert(providertest.SignJWT(t, jose.ES256, key, w.AssertionOf("strict", nil),
			providertest.Kid("j1")), "client_id", "web-a"), http.StatusUnauthorized, oauth.InvalidClient)
		providertest.MustRefuse(t, w.Assert(providertest.SignJWT(t, jose.ES256, key, w.AssertionOf("strict", nil),
			providertest.Kid("j1")), "client_id", "legacy"), http.StatusUnauthorized, oauth.InvalidClient)
	})
}

func TestAssertionSignatures(t *testing.T) {
	t.Parallel()
	var hits atomic.Int32
	canary := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hits.Add(1) }))
	t.Cleanup(canary.Close)
	w := providertest.New(t)
	key, other := providertest.EcKey(t), providertest.EcKey(t)
	w.AddClient("jwt-j", providertest.ByKey(t, "ES256", map[string]any{"j1": key.Public()}))
	w.AddClient("jwt-k", providertest.ByKey(t, "ES256", map[string]any{"k1": other.Public()}))
	w.AddClient("any", providertest.ByKey(t, "", map[string]any{"e": key.Public(),
		"r": providertest.RsaKey().Public()}))
	w.AddClient("web-a")
	sealed, err := w.Sealer.Seal([]byte(providertest.TestSecret), clients.SealedSecretData("hs"))
	if err != nil {
		t.Fatal(err)
	}
	hs := func(alg string) func(*clients.Client) {
		return func(c *clients.Client) {
			providertest.Service(c)
			c.TokenEndpointAuthMethod, c.TokenEndpointAuthAlg, c.SealedSecret = oauth.AuthClientSecretJWT, alg, sealed
		}
	}
	w.AddClient("hs", hs("HS256"))
	w.AddClient("moved", hs("HS256")) // its secret is sealed for another row

	b64 := base64.RawURLEncoding.EncodeToString
	raw := func(header, payload, signature string) string {
		return b64([]byte(header)) + "." + b64([]byte(payload)) + "." + signature
	}
	claims := func(id string) string {
		j, err := json.Marshal(w.AssertionOf(id, nil))
		if err != nil {
			t.Fatal(err)
		}
		return string(j)
	}
	mac := func(header, payload string, secret []byte) string {
		h := hmac.New(sha256.New, secret)
		h.Write([]byte(b64([]byte(header)) + "." + b64([]byte(payload))))
		return raw(header, payload, b64(h.Sum(nil)))
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	jwk, err := json.Marshal(jose.JSONWebKey{Key: key.Public(), KeyID: "j1"})
	if err != nil {
		t.Fatal(err)
	}
	good := func() string {
		return providertest.SignJWT(t, jose.ES256, key, w.AssertionOf("jwt-j", nil), providertest.Kid("j1"))
	}
	providertest.MustWork(t, w.Assert(good()))
	providertest.MustWork(t, w.Assert(providertest.SignJWT(t, jose.ES256, key, w.AssertionOf("jwt-j", nil), nil)))
	providertest.MustWork(t, w.Assert(providertest.SignJWT(t, jose.ES256, key, w.AssertionOf("jwt-j", nil),
		map[jose.HeaderKey]any{"typ": "JWT", "kid": "j1"})))
	providertest.MustWork(t, w.Assert(providertest.SignJWT(t, jose.ES256, key, w.AssertionOf("jwt-j", nil),
		map[jose.HeaderKey]any{"typ": "client-authentication+jwt"})))
	providertest.MustWork(t, w.Assert(providertest.SignJWT(t, jose.ES256, key, w.AssertionOf("any", nil),
		providertest.Kid("e"))))
	providertest.MustWork(t, w.Assert(providertest.SignJWT(t, jose.RS256, providertest.RsaKey(),
		w.AssertionOf("any", nil), providertest.Kid("r"))))
	providertest.MustWork(t, w.Assert(providertest.SignJWT(t, jose.PS256, providertest.RsaKey(),
		w.AssertionOf("any", nil), providertest.Kid("r"))))
	// we do not sign with it, but say that others may
	providertest.MustWork(t, w.Assert(providertest.SignJWT(t, jose.RS384, providertest.RsaKey(),
		w.AssertionOf("any", nil), providertest.Kid("r"))))
	providertest.MustWork(t, w.Assert(providertest.SignJWT(t, jose.HS256, []byte(providertest.TestSecret),
		w.AssertionOf("hs", nil), nil)))

	es, hs256 := `{"alg":"ES256","kid":"j1"}`, `{"alg":"HS256"}`
	parts := strings.Split(good(), ".")
	forged := map[string]string{
		"alg none":       raw(`{"alg":"none"}`, claims("jwt-j"), ""),
		"alg None":       raw(`{"alg":"None"}`, claims("jwt-j"), ""),
		"alg nOnE":       raw(`{"alg":"nOnE"}`, claims("jwt-j"), ""),
		"alg is missing": raw(`{"kid":"j1"}`, claims("jwt-j"), parts[2]),
		"HS256 with the PEM": mac(hs256, claims("jwt-j"),
			pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})),
		"HS256 with the DER": mac(hs256, claims("jwt-j"), der),
		"HS256 with the JWK": mac(hs256, claims("jwt-j"), jwk),
		"RS256 with another key": providertest.SignJWT(t, jose.RS256, providertest.RsaKey(),
			w.AssertionOf("jwt-j", nil), providertest.Kid("j1")),
		"another key, same kid": providertest.SignJWT(t, jose.ES256, other, w.AssertionOf("jwt-j", nil),
			providertest.Kid("j1")),
		"another key, its own kid": providertest.SignJWT(t, jose.ES256, other, w.AssertionOf("jwt-j", nil),
			providertest.Kid("k1")),
		"zero signature":       raw(es, claims("jwt-j"), b64(make([]byte, 64))),
		"empty signature":      raw(es, claims("jwt-j"), ""),
		"signature of another": raw(es, claims("jwt-j"), parts[2]),
		"unknown kid": providertest.SignJWT(t, jose.ES256, key, w.AssertionOf("jwt-j", nil),
			providertest.Kid("../../dev/null")),
		"kid is an object": raw(`{"alg":"ES256","kid":{"$ne":null}}`, claims("jwt-j"), parts[2]),
		"jwk in the header": providertest.SignJWT(t, jose.ES256, other, w.AssertionOf("jwt-j", nil),
			map[jose.HeaderKey]any{"jwk": jose.JSONWebKey{Key: other.Public()}}),
		"jku in the header": providertest.SignJWT(t, jose.ES256, other, w.AssertionOf("jwt-j", nil),
			map[jose.HeaderKey]any{"jku": canary.URL, "kid": canary.URL}),
		"x5u in the header": providertest.SignJWT(t, jose.ES256, other, w.AssertionOf("jwt-j", nil),
			map[jose.HeaderKey]any{"x5u": canary.URL}),
		"crit":      raw(`{"alg":"ES256","crit":["x"],"x":1}`, claims("jwt-j"), parts[2]),
		"b64":       raw(`{"alg":"ES256","b64":false}`, claims("jwt-j"), parts[2]),
		"alg twice": raw(`{"alg":"ES256","alg":"none"}`, claims("jwt-j"), ""),
		"typ of an access token": providertest.SignJWT(t, jose.ES256, key, w.AssertionOf("jwt-j", nil),
			map[jose.HeaderKey]any{"typ": "at+jwt"}),
		"typ of a request object": providertest.SignJWT(t, jose.ES256, key, w.AssertionOf("jwt-j", nil),
			map[jose.HeaderKey]any{"typ": "oauth-authz-req+jwt"}),
		"typ of a logout token": providertest.SignJWT(t, jose.ES256, key, w.AssertionOf("jwt-j", nil),
			map[jose.HeaderKey]any{"typ": "logout+jwt"}),
		"sub twice": providertest.SignJWT(t, jose.ES256, key,
			[]byte(strings.Replace(claims("jwt-j"), `"sub"`, `"sub":"jwt-k","sub"`, 1)), providertest.Kid("j1")),
		"deeply nested": providertest.SignJWT(t, jose.ES256, key,
			[]byte(`{"sub":"jwt-j","x":`+strings.Repeat("[", 2000)+strings.Repeat("]", 2000)+`}`),
			providertest.Kid("j1")),
		"payload is a list": providertest.SignJWT(t, jose.ES256, key, []byte(`["jwt-j"]`),
			providertest.Kid("j1")),
		"payload is null": providertest.SignJWT(t, jose.ES256, key, []byte(`null`),
			providertest.Kid("j1")),
		"padded": good() + "=",
		"JSON serialisation": `{"payload":"` + parts[1] + `","signatures":[{"protected":"` + parts[0] +
			`","signature":"` + parts[2] + `"}]}`,
		"dots":                  strings.Repeat(".", 10000),
		"two megabytes, nearly": parts[0] + "." + strings.Repeat("A", 200<<10) + "." + parts[2],
		"hs: empty key":         mac(hs256, claims("hs"), nil),
		"hs: client_id as key":  mac(hs256, claims("hs"), []byte("hs")),
		"hs: another algorithm": providertest.SignJWT(t, jose.HS384,
			[]byte(providertest.TestSecret+strings.Repeat("x", 40)), w.AssertionOf("hs", nil), nil),
		"hs: none": raw(`{"alg":"none"}`, claims("hs"), ""),
		"hs: ES256": providertest.SignJWT(t, jose.ES256, key, w.AssertionOf("hs", nil),
			map[jose.HeaderKey]any{"jwk": jose.JSONWebKey{Key: key.Public()}}),
		"hs: typ of an access token": providertest.SignJWT(t, jose.HS256, []byte(providertest.TestSecret),
			w.AssertionOf("hs", nil), map[jose.HeaderKey]any{"typ": "at+jwt"}),
		"moved: sealed for another row": providertest.SignJWT(t, jose.HS256, []byte(providertest.TestSecret),
			w.AssertionOf("moved", nil), nil),
		"any: HS256": providertest.SignJWT(t, jose.HS256, []byte(providertest.TestSecret),
			w.AssertionOf("any", nil), nil),
		"web-a is registered for basic": providertest.SignJWT(t, jose.ES256, key, w.AssertionOf("web-a", nil),
			providertest.Kid("j1")),
		"jwt-k signed by jwt-j": providertest.SignJWT(t, jose.ES256, key, w.AssertionOf("jwt-k", nil),
			providertest.Kid("j1")),
		"jwt-k signed by jwt-j, its kid": providertest.SignJWT(t, jose.ES256, key, w.AssertionOf("jwt-k", nil),
			providertest.Kid("k1")),
	}
	for name, jwt := range forged {
		got := w.Assert(jwt)
		if got.StatusCode != http.StatusUnauthorized || got.Str("error") != "invalid_client" {
			t.Errorf("%s: %d %v", name, got.StatusCode, got.JSON)
		}
		w.Forgive()
	}
	if hits.Load() != 0 {
		t.Error("something that a JWT named was fetched")
	}
	t.Run("the provider's own tokens are no assertions", func(t *testing.T) {
		alice, a := w.AddUser("bob"), w.AddClient("web-b")
		got := w.Tokens(a, alice, "openid")
		for _, jwt := range []string{got.Str("access_token"), got.Str("id_token")} {
			providertest.MustRefuse(t, w.Assert(jwt), http.StatusUnauthorized, oauth.InvalidClient)
		}
	})
}

// keyHost is somebody's jwks_uri.
type keyHost struct {
	*httptest.Server
	mu     sync.Mutex
	answer http.HandlerFunc
	hits   int
}

func newKeyHost(t testing.TB, body json.RawMessage) *keyHost {
	k := &keyHost{}
	k.set(body)
	k.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		k.mu.Lock()
		k.hits++
		answer := k.answer
		k.mu.Unlock()
		answer(w, r)
	}))
	t.Cleanup(k.Close)
	return k
}

func (k *keyHost) set(body []byte) {
	k.does(func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write(body) })
}

func (k *keyHost) does(h http.HandlerFunc) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.answer = h
}

func (k *keyHost) count() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.hits
}

func TestTheLogSaysWhyAKeyIsNotUsed(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	key := providertest.EcKey(t)
	w.AddClient("jwt-j", providertest.ByKey(t, "", map[string]any{"good": key.Public(),
		"shared": []byte(providertest.TestSecret)}))
	providertest.MustWork(t, w.Assert(providertest.SignJWT(t, jose.ES256, key, w.AssertionOf("jwt-j", nil),
		providertest.Kid("good"))))
	providertest.MustRefuse(t, w.Assert(providertest.SignJWT(t, jose.ES256, key, w.AssertionOf("jwt-j", nil),
		providertest.Kid("shared"))), http.StatusUnauthorized, oauth.InvalidClient)
	if log := w.Log.String(); !strings.Contains(log, "it is symmetric") ||
		strings.Contains(log, providertest.TestSecret) {
		t.Error(log)
	}
}

func TestPublishedClientKeys(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	first, second := providertest.EcKey(t), providertest.EcKey(t)
	host := newKeyHost(t, providertest.JwksOf(t, map[string]any{"1": first.Public()}))
	w.AddClient("jwt-j", providertest.ByKey(t, "ES256", map[string]any{"1": first.Public()}),
		func(c *clients.Client) { c.JWKS, c.JWKSURI = nil, host.URL+"/jwks" })
	by := func(key *ecdsa.PrivateKey, header map[jose.HeaderKey]any) providertest.AnswerJSON {
		w.Forgive()
		return w.Assert(providertest.SignJWT(t, jose.ES256, key, w.AssertionOf("jwt-j", nil), header))
	}
	counted := func(t *testing.T, want int) {
		t.Helper()
		if n := host.count(); n != want {
			t.Errorf("%d fetches, want %d", n, want)
		}
	}
	t.Run("they are fetched once", func(t *testing.T) {
		for range 5 {
			providertest.MustWork(t, by(first, providertest.Kid("1")))
		}
		counted(t, 1)
	})
	t.Run("nobody makes us fetch over and over", func(t *testing.T) {
		for range 50 {
			providertest.MustRefuse(t, by(second, providertest.Kid(storage.Random())), http.StatusUnauthorized,
				oauth.InvalidClient)
		}
		counted(t, 1)
		w.Clock.Advance(clientauth.KeysCooldown)
		for range 50 {
			providertest.MustRefuse(t, by(second, providertest.Kid(storage.Random())), http.StatusUnauthorized,
				oauth.InvalidClient)
		}
		counted(t, 2)
	})
	t.Run("a JWT that cannot be good causes no fetch", func(t *testing.T) {
		w.Clock.Advance(clientauth.KeysCooldown)
		for _, change := range []map[string]any{{"aud": "https://evil.test"}, {"exp": nil}, {"iss": "x"},
			{"jti": nil}} {
			providertest.MustRefuse(t, w.Assert(providertest.SignJWT(t, jose.ES256, second,
				w.AssertionOf("jwt-j", change), providertest.Kid("new"))), http.StatusUnauthorized, oauth.InvalidClient)
		}
		providertest.MustRefuse(t, w.Assert(providertest.SignJWT(t, jose.RS256, providertest.RsaKey(),
			w.AssertionOf("jwt-j", nil), providertest.Kid("new"))), http.StatusUnauthorized, oauth.InvalidClient)
		providertest.MustRefuse(t, by(second, map[jose.HeaderKey]any{"kid": "new", "typ": "at+jwt"}),
			http.StatusUnauthorized, oauth.InvalidClient)
		counted(t, 2)
	})
	t.Run("OIDC Core §10.1.1 an unknown kid makes us look again", func(t *testing.T) {
		host.set(providertest.JwksOf(t, map[string]any{"1": first.Public(), "2": second.Public()}))
		providertest.MustWork(t, by(second, providertest.Kid("2")))
		providertest.MustWork(t, by(first, providertest.Kid("1")))
		counted(t, 3)
	})
	t.Run("a key that was withdrawn ends", func(t *testing.T) {
		host.set(providertest.JwksOf(t, map[string]any{"2": second.Public()}))
		w.Clock.Advance(clientauth.KeysFreshFor)
		providertest.MustRefuse(t, by(first, providertest.Kid("1")), http.StatusUnauthorized, oauth.InvalidClient)
		providertest.MustWork(t, by(second, providertest.Kid("2")))
		counted(t, 4)
	})
	t.Run("the last good set stays when the address answers nonsense", func(t *testing.T) {
		elsewhere := newKeyHost(t, providertest.JwksOf(t, map[string]any{"1": first.Public()}))
		for name, answer := range map[string]http.HandlerFunc{
			"500":  func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusInternalServerError) },
			"HTML": func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte("<html>")) },
			"too large": func(w http.ResponseWriter,
				r *http.Request) {
				_, _ = w.Write(make([]byte, clientauth.MaxClientSet+1))
			},
			"redirect": func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, elsewhere.URL,
					http.StatusFound)
			},
			"empty set": func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte(`{"keys":[]}`)) },
			"symmetric": func(w http.ResponseWriter, r *http.Request) {
				_, _ = w.Write([]byte(`{"keys":[{"kty":"oct","k":"AAAA"}]}`))
			},
			"no answer": func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) },
			"gzip, raw": func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Encoding", "gzip")
				_, _ = w.Write([]byte("x"))
			},
			"wrong type": func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte(`{"keys":"x"}`)) },
		} {
			host.does(answer)
			before := host.count()
			w.Clock.Advance(clientauth.KeysFreshFor)
			providertest.MustWork(t, by(second, providertest.Kid("2")))
			providertest.MustRefuse(t, by(first, providertest.Kid("1")), http.StatusUnauthorized, oauth.InvalidClient)
			if host.count() != before+1 {
				t.Errorf("%s: %d fetches", name, host.count()-before)
			}
		}
		if elsewhere.count() != 0 {
			t.Error("a redirect was followed")
		}
	})
	t.Run("another address is looked at at once", func(t *testing.T) {
		moved := newKeyHost(t, providertest.JwksOf(t, map[string]any{"1": first.Public()}))
		c, err := w.Store.Client(t.Context(), "jwt-j")
		if err != nil {
			t.Fatal(err)
		}
		c.JWKSURI = moved.URL
		if err := w.Store.UpdateClient(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		providertest.MustWork(t, by(first, providertest.Kid("1")))
		providertest.MustRefuse(t, by(second, providertest.Kid("2")), http.StatusUnauthorized, oauth.InvalidClient)
	})
	t.Run("many at once fetch once", func(t *testing.T) {
		fresh := newKeyHost(t, providertest.JwksOf(t, map[string]any{"1": first.Public()}))
		w.AddClient("jwt-n", providertest.ByKey(t, "ES256", map[string]any{"1": first.Public()}),
			func(c *clients.Client) { c.JWKS, c.JWKSURI = nil, fresh.URL })
		var jwts []string
		for range 20 {
			jwts = append(jwts, providertest.SignJWT(t, jose.ES256, first, w.AssertionOf("jwt-n", nil),
				providertest.Kid("1")))
		}
		var next atomic.Int32
		won, _ := providertest.AtOnce(len(jwts),
			func() providertest.AnswerJSON { return w.Assert(jwts[next.Add(1)-1]) })
		if len(won) != len(jwts) || fresh.count() != 1 {
			t.Errorf("%d accepted, %d fetches", len(won), fresh.count())
		}
	})
	t.Run("without any keys nothing verifies", func(t *testing.T) {
		w.AddClient("bare", providertest.ByKey(t, "ES256", map[string]any{"1": first.Public()}),
			func(c *clients.Client) { c.JWKS = nil })
		providertest.MustRefuse(t, w.Assert(providertest.SignJWT(t, jose.ES256, first, w.AssertionOf("bare", nil),
			nil)), http.StatusUnauthorized, oauth.InvalidClient)
	})
}

func FuzzAssertion(f *testing.F) {
	w := providertest.New(f)
	key := providertest.EcKey(f)
	client := w.AddClient("jwt-j", providertest.ByKey(f, "ES256", map[string]any{"j1": key.Public()}))
	f.Add(providertest.SignJWT(f, jose.ES256, providertest.EcKey(f), w.AssertionOf("jwt-j", nil),
		providertest.Kid("j1")))
	f.Add("e30.e30.")
	f.Add("...")
	r := httptest.NewRequest("POST", "/token", nil)
	f.Fuzz(func(t *testing.T, jwt string) {
		_ = clientauth.AssertionSubject(jwt)
		err := w.ClientAuth.CheckAssertion(t.Context(), r, client, jwt)
		var failed *clientauth.FailedAuthentication
		if !errors.As(err, &failed) {
			t.Fatalf("nobody here has the key: %v", err)
		}
	})
}
