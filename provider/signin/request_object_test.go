package signin_test

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"latchkey/keys"
	"latchkey/provider"
	"latchkey/provider/admin"
	"latchkey/provider/clients"
	"latchkey/provider/providertest"
	"latchkey/provider/signin"
	"latchkey/provider/web"
)

func TestWhatRequestObjectsSay(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	w.AddUser("alice")
	key, other := providertest.EcKey(t), providertest.EcKey(t)
	registered := func(bend ...func(*clients.Client)) func(*clients.Client) {
		return func(c *clients.Client) {
			c.JWKS, c.RequestObjectSigningAlg = providertest.JwksOf(t, map[string]any{"k1": key.Public()}), "ES256"
			for _, f := range bend {
				f(c)
			}
		}
	}
	c := w.AddClient("ro", registered())
	strict := w.AddClient("strict", registered(func(c *clients.Client) { c.RequireSignedRequestObject = true }))
	sign := func(c clients.Client, change map[string]any) string {
		claims := map[string]any{"scope": "openid email"}
		maps.Copy(claims, change)
		return providertest.SignJWT(t, jose.ES256, key, w.ObjectOf(c, claims), providertest.Kid("k1"))
	}
	b := w.Browser()
	b.Code(c, "alice", "request", sign(c, nil))

	t.Run("OIDC Core §6.1 what stands inside counts before what stands outside", func(t *testing.T) {
		p := b.Get(w.Request(c, "request", sign(c, nil), "state", "outside", "nonce", "outside", "scope", "openid"))
		q := p.Answer()
		if q.Get("state") != "inside" || q.Get("code") == "" {
			t.Fatalf("%d %s", p.StatusCode, p.Header.Get("Location"))
		}
		got := w.Redeem(c, q.Get("code"))
		if got.Str("scope") != "openid email" || providertest.ClaimsOf(t, got.Str("id_token"))["nonce"] != "inside" {
			t.Errorf("%v", got.JSON)
		}
	})
	t.Run("OIDC Core §6.1 what stands outside only counts too", func(t *testing.T) {
		q := b.Get(w.Request(c, "request", sign(c, map[string]any{"state": nil}), "state", "outside")).Answer()
		if q.Get("state") != "outside" || q.Get("code") == "" {
			t.Errorf("%v", q)
		}
	})
	t.Run("OIDC Core §6.1 redirect_uri, max_age and claims may stand inside alone, as JSON", func(t *testing.T) {
		q := b.Get(w.Request(c, "redirect_uri", "", "request",
			sign(c, map[string]any{"max_age": 3600,
				"claims": map[string]any{"id_token": map[string]any{"email": nil}}}))).Answer()
		got := w.Redeem(c, q.Get("code"))
		if claims := providertest.ClaimsOf(t, got.Str("id_token")); claims["email"] != "alice@example.com" {
			t.Errorf("%v", claims)
		}
		w.Clock.Advance(2 * time.Hour / 3)
		if q := b.Get(w.Request(c, "request",
			sign(c, map[string]any{"max_age": 60, "prompt": "none"}))).Answer(); q.Get("error") != "login_required" {
			t.Errorf("max_age: %v", q)
		}
	})

	now := w.Web.Now().Unix()
	for name, object := range map[string]string{
		"signed by another key": providertest.SignJWT(t, jose.ES256, other, w.ObjectOf(c, nil),
			providertest.Kid("k1")),
		"signed by an unknown key": providertest.SignJWT(t, jose.ES256, other, w.ObjectOf(c, nil),
			providertest.Kid("k2")),
		"signed by another algorithm": providertest.SignJWT(t, jose.RS256, providertest.RsaKey(), w.ObjectOf(c, nil),
			providertest.Kid("k1")),
		"signed with the secret": providertest.SignJWT(t, jose.HS256, []byte(providertest.TestSecret),
			w.ObjectOf(c, nil), nil),
		"not signed": unsecured(t, "none", w.ObjectOf(c, nil)),
		"a client assertion": providertest.SignJWT(t, jose.ES256, key,
			w.ObjectOf(c, map[string]any{"sub": c.ID}), providertest.Kid("k1")),
		"of another type": providertest.SignJWT(t, jose.ES256, key, w.ObjectOf(c, nil),
			map[jose.HeaderKey]any{"kid": "k1", "typ": "logout+jwt"}),
		"without iss":                 sign(c, map[string]any{"iss": nil}),
		"iss is another client":       sign(c, map[string]any{"iss": "strict"}),
		"without aud":                 sign(c, map[string]any{"aud": nil}),
		"aud is another provider":     sign(c, map[string]any{"aud": "https://other.example"}),
		"aud is a number":             sign(c, map[string]any{"aud": 5}),
		"client_id is another client": sign(c, map[string]any{"client_id": "strict"}),
		"client_id is a number":       sign(c, map[string]any{"client_id": 5}),
		"expired":                     sign(c, map[string]any{"exp": now}),
		"exp is text":                 sign(c, map[string]any{"exp": "tomorrow"}),
		"not yet":                     sign(c, map[string]any{"nbf": now + 61}),
		"issued in the future":        sign(c, map[string]any{"iat": now + 61}),
		"with a request inside":       sign(c, map[string]any{"request": "x"}),
		"with a request_uri inside":   sign(c, map[string]any{"request_uri": "https://ro.example/r"}),
		"with a list where none is":   sign(c, map[string]any{"scope": []string{"openid"}}),
		"encrypted to somebody else": encryptedTo(t, jose.RSA_OAEP_256, jose.A256GCM, providertest.RsaKey().Public(),
			"x", sign(c, nil)),
		"encrypted by a shared secret": encryptedTo(t, jose.DIRECT, jose.A256GCM, []byte(providertest.TestSecret)[:32],
			"", sign(c, nil)),
		"larger than anything": sign(c, map[string]any{"x": strings.Repeat("x", signin.MaxRequestObject)}),
		"garbage":              "garbage",
	} {
		t.Run("RFC 9101 §7 "+name, func(t *testing.T) {
			p := b.Post("/authorize", providertest.MustQuery(t, w.Request(c, "request", object)))
			if q := p.Answer(); q.Get("error") != "invalid_request_object" || q.Get("state") != "S1" ||
				q.Get("iss") != w.Issuer || q.Has("code") {
				t.Errorf("%d %s %s", p.StatusCode, p.Header.Get("Location"), p.Body)
			}
		})
	}
	t.Run("OIDC Core §6.1 response_type must not differ", func(t *testing.T) {
		if q := b.Get(w.Request(c, "request",
			sign(c, map[string]any{"response_type": "none"}))).Answer(); q.Get("error") != "invalid_request" {
			t.Errorf("%v", q)
		}
	})
	t.Run("a redirect_uri inside is checked like any other", func(t *testing.T) {
		p := b.Get(w.Request(c, "redirect_uri", "", "request",
			sign(c, map[string]any{"redirect_uri": "https://evil.example/"})))
		if p.StatusCode != http.StatusBadRequest || !p.Has("op-error") || p.Header.Get("Location") != "" {
			t.Errorf("%d %s", p.StatusCode, p.Header.Get("Location"))
		}
	})

	t.Run("RFC 9101 §6.3 for a client that signs its requests nothing outside counts", func(t *testing.T) {
		q := b.Get(w.Request(strict, "request", sign(strict, map[string]any{"nonce": nil}), "nonce", "outside", "scope",
			"openid phone")).Answer()
		got := w.Redeem(strict, q.Get("code"))
		if q.Get("state") != "inside" || got.Str("scope") != "openid email" ||
			providertest.ClaimsOf(t, got.Str("id_token"))["nonce"] != nil {
			t.Errorf("%v %v", q, got.JSON)
		}
	})
	t.Run("RFC 9101 §10.5 such a client has to send one", func(t *testing.T) {
		if q := b.Get(w.Request(strict)).Answer(); q.Get("error") != "invalid_request" || q.Has("code") {
			t.Errorf("%v", q)
		}
	})
	for name, change := range map[string]map[string]any{
		"without exp": {"exp": nil}, "with a far exp": {"exp": now + 7200}, "without nbf": {"nbf": nil},
		"with an old nbf":   {"nbf": now - 7200},
		"without client_id": {"client_id": nil},
	} {
		if q := b.Get(w.Request(strict, "request",
			sign(strict, change))).Answer(); q.Get("error") != "invalid_request_object" || q.Has("code") {
			t.Errorf("%s: %v", name, q)
		}
	}
}

// encryptedTo makes a compact JWE of a nested JWT (RFC 7519 §5.2).
func encryptedTo(t testing.TB, alg jose.KeyAlgorithm, enc jose.ContentEncryption, key any, keyID, jwt string) string {
	t.Helper()
	e, err := jose.NewEncrypter(enc, jose.Recipient{Algorithm: alg, Key: key, KeyID: keyID},
		(&jose.EncrypterOptions{}).WithContentType("JWT"))
	if err != nil {
		t.Fatal(err)
	}
	jwe, err := e.Encrypt([]byte(jwt))
	if err != nil {
		t.Fatal(err)
	}
	out, err := jwe.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestEncryptedRequestObjects(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	w.AddUser("alice")
	key := providertest.EcKey(t)
	b := w.Browser()
	for _, alg := range []jose.KeyAlgorithm{jose.RSA_OAEP_256, jose.ECDH_ES} {
		c := w.AddClient("enc-"+string(alg), func(c *clients.Client) {
			c.JWKS, c.RequestObjectSigningAlg, c.RequestObjectEncryptionAlg = providertest.JwksOf(t,
				map[string]any{"k1": key.Public()}), "ES256", string(alg)
		})
		if err := admin.EnsureKeys(context.Background(), w.Keys, c.Metadata); err != nil {
			t.Fatal(err)
		}
		var to jose.JSONWebKey
		for _, k := range w.Published().Keys {
			if kty, _ := json.Marshal(k); k.Use == keys.UseEncryption && strings.Contains(string(kty),
				`"kty":"EC"`) == (alg == jose.ECDH_ES) {
				to = k
			}
		}
		if to.KeyID == "" {
			t.Fatalf("%s: no key is published to encrypt to", alg)
		}
		signed := providertest.SignJWT(t, jose.ES256, key, w.ObjectOf(c, nil), providertest.Kid("k1"))
		for _, enc := range []jose.ContentEncryption{jose.A128GCM, jose.A256GCM} {
			for _, keyID := range []string{to.KeyID, ""} {
				if got := b.Code(c, "alice", "request", encryptedTo(t, alg, enc, to.Key, keyID, signed)); got == "" {
					t.Errorf("%s %s kid %q: no code", alg, enc, keyID)
				}
			}
		}
		for name, object := range map[string]string{
			"only signed": signed,
			"with nothing signed in it": encryptedTo(t, alg, jose.A128GCM, to.Key, to.KeyID,
				unsecured(t, "none", w.ObjectOf(c, nil))),
			"encrypted twice": encryptedTo(t, alg, jose.A128GCM, to.Key, to.KeyID,
				encryptedTo(t, alg, jose.A128GCM, to.Key, to.KeyID, signed)),
		} {
			if q := b.Get(w.Request(c, "request", object)).Answer(); q.Get("error") != "invalid_request_object" ||
				q.Has("code") {
				t.Errorf("%s, %s: %v", alg, name, q)
			}
		}
	}
}

func TestUnsignedRequestObjectsOnlyWhereRegistered(t *testing.T) {
	t.Parallel()
	none := func(c *clients.Client) { c.RequestObjectSigningAlg = "none" }
	key := providertest.EcKey(t)
	signs := func(c *clients.Client) {
		c.JWKS, c.RequestObjectSigningAlg = providertest.JwksOf(t, map[string]any{"k1": key.Public()}), "ES256"
	}
	for _, allowed := range []bool{true, false} {
		w := providertest.New(t, func(c *provider.Config) { c.InsecureAllowNone = allowed })
		w.AddUser("alice")
		b := w.Browser()
		b.Code(w.AddClient("plain"), "alice")
		for _, c := range []clients.Client{w.AddClient("none", none), w.AddClient("signs", signs)} {
			q := b.Get(w.Request(c, "request", unsecured(t, "none", w.ObjectOf(c, nil)))).Answer()
			if got := q.Has("code"); got != (allowed && c.ID == "none") || !got &&
				q.Get("error") != "invalid_request_object" {
				t.Errorf("OIDC Core §6.1: allowed %v, %s: %v", allowed, c.ID, q)
			}
		}
	}
}

func TestRequestObjectsByReference(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	w.AddUser("alice")
	key := providertest.EcKey(t)
	var body atomic.Value
	var fetched, elsewhere atomic.Int32
	site := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/object":
			fetched.Add(1)
			_, _ = rw.Write([]byte(body.Load().(string)))
		case "/moved":
			http.Redirect(rw, r, "/elsewhere", http.StatusFound)
		case "/elsewhere":
			elsewhere.Add(1)
		default:
			http.NotFound(rw, r)
		}
	}))
	t.Cleanup(site.Close)
	c := w.AddClient("ref", func(c *clients.Client) {
		c.JWKS, c.RequestObjectSigningAlg = providertest.JwksOf(t, map[string]any{"k1": key.Public()}), "ES256"
		c.RequestURIs = []string{site.URL + "/object#v1", site.URL + "/moved", site.URL + "/missing"}
	})
	body.Store(providertest.SignJWT(t, jose.ES256, key, w.ObjectOf(c, map[string]any{"scope": "openid email"}),
		providertest.Kid("k1")) + "\n")
	b := w.Browser()
	code := b.Code(c, "alice", "request_uri", site.URL+"/object#v1")
	if got := w.Redeem(c, code); got.Str("scope") != "openid email" {
		t.Errorf("OIDC Core §6.2: %v", got.JSON)
	}
	if n := fetched.Load(); n != 1 {
		t.Errorf("one request of a person who had to sign in: the object was fetched %d times", n)
	}
	before := fetched.Load()
	for uri, code := range map[string]string{
		site.URL + "/object":      "invalid_request_uri", // registered with another fragment
		site.URL + "/object#v2":   "invalid_request_uri",
		site.URL + "/object?x#v1": "invalid_request_uri",
		"https://other.example/x": "invalid_request_uri",
		"urn:example:x":           "invalid_request_uri",
		strings.Repeat("x", 600):  "invalid_request_uri",
		site.URL + "/moved":       "invalid_request_uri",
		site.URL + "/missing":     "invalid_request_uri",
	} {
		if q := b.Get(w.Request(c, "request_uri", uri)).Answer(); q.Get("error") != code || q.Get("state") != "S1" ||
			q.Has("code") {
			t.Errorf("%s: %v", web.Clip(uri, 60), q)
		}
	}
	if fetched.Load() != before || elsewhere.Load() != 0 {
		t.Errorf("RFC 9101 §10.4: what is not registered was fetched (%d), or a redirect followed (%d)",
			fetched.Load()-before, elsewhere.Load())
	}
	body.Store(strings.Repeat("x", signin.MaxRequestObject+1))
	if q := b.Get(w.Request(c, "request_uri",
		site.URL+"/object#v1")).Answer(); q.Get("error") != "invalid_request_uri" {
		t.Errorf("too large: %v", q)
	}
	if n := fetched.Load() - before; n != 1 {
		t.Errorf("a bad one was fetched %d times for one request", n)
	}
	if q := b.Get(w.Request(w.AddClient("without"), "request_uri",
		site.URL+"/object#v1")).Answer(); q.Get("error") != "request_uri_not_supported" {
		t.Errorf("nothing registered: %v", q)
	}
}
