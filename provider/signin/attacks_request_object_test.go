package signin_test

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"latchkey/keys"
	"latchkey/provider/admin"
	"latchkey/provider/clients"
	"latchkey/provider/oauth"
	"latchkey/provider/providertest"
	"latchkey/provider/signin"
)

func unsecured(t testing.TB, alg string, claims any) string {
	t.Helper()
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"`+alg+`"}`)) + "." +
		base64.RawURLEncoding.EncodeToString(payload) + "."
}

func TestRequestObjects(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	w.AddUser("alice")
	key, foreign := providertest.EcKey(t), providertest.EcKey(t)
	jar := w.AddClient("jar", providertest.SignsRequests(t, key.Public()), func(c *clients.Client) {
		c.RedirectURIs = append(c.RedirectURIs, "https://jar.example/second")
	})
	w.AddClient("other", providertest.SignsRequests(t, foreign.Public()))
	sign := func(change map[string]any) string {
		return providertest.SignJWT(t, jose.ES256, key, w.ObjectOf(jar, change), providertest.Kid("k"))
	}
	b := w.Browser()
	ask := func(object string, change ...string) providertest.Page {
		return b.Get(w.Request(jar, append([]string{"request", object}, change...)...))
	}
	if login := b.Open(w.Request(jar, "request", sign(nil))); !login.Has("login-page") {
		t.Fatalf("the control: %d %s", login.StatusCode, login.Body)
	} else if a := b.SignInAs(login, "alice").Answer(); a.Get("code") == "" || a.Get("state") != "inside" {
		t.Fatalf("the control: %v", a)
	}
	refused := func(t *testing.T, name string, p providertest.Page, code oauth.Code) {
		t.Helper()
		if a := p.Answer(); a.Get("error") != string(code) || a.Get("code") != "" || a.Get("iss") != w.Issuer ||
			!strings.HasPrefix(p.Header.Get("Location"), "https://jar.example/") {
			t.Errorf("%s: %d %s, want %s", name, p.StatusCode, p.Header.Get("Location"), code)
		}
	}

	t.Run("RFC 9101 §6.2 only what the client's own key signed counts", func(t *testing.T) {
		good := sign(nil)
		der, err := x509.MarshalPKIXPublicKey(key.Public())
		if err != nil {
			t.Fatal(err)
		}
		jwk, err := json.Marshal(jose.JSONWebKey{Key: key.Public(), KeyID: "k"})
		if err != nil {
			t.Fatal(err)
		}
		parts := strings.Split(good, ".")
		evil := unsecured(t, "ES256", w.ObjectOf(jar, map[string]any{"scope": "openid email"}))
		for name, object := range map[string]string{
			"alg none": unsecured(t, "none", w.ObjectOf(jar, nil)), "alg None": unsecured(t, "None",
				w.ObjectOf(jar, nil)), "alg empty": unsecured(t, "", w.ObjectOf(jar, nil)),
			"none with a signature":  unsecured(t, "none", w.ObjectOf(jar, nil)) + parts[2],
			"a bit of the signature": good[:len(good)-3] + "AAA", "no signature": parts[0] + "." + parts[1] + ".",
			"another payload": parts[0] + "." + strings.Split(evil, ".")[1] + "." + parts[2],
			"another client's key": providertest.SignJWT(t, jose.ES256, foreign, w.ObjectOf(jar, nil),
				providertest.Kid("k")),
			"HMAC with the public key in DER": providertest.SignJWT(t, jose.HS256, der, w.ObjectOf(jar, nil),
				providertest.Kid("k")), "HMAC with the public JWK": providertest.SignJWT(t, jose.HS256, jwk,
				w.ObjectOf(jar, nil), providertest.Kid("k")),
			"an algorithm that is not registered": providertest.SignJWT(t, jose.RS256, providertest.RsaKey(),
				w.ObjectOf(jar, nil), providertest.Kid("k")),
			"a signature of zeros": parts[0] + "." + parts[1] + "." +
				base64.RawURLEncoding.EncodeToString(make([]byte, 64)),
			"a key in the header": providertest.SignJWT(t, jose.ES256, foreign, w.ObjectOf(jar, nil),
				map[jose.HeaderKey]any{"jwk": jose.JSONWebKey{Key: foreign.Public()}, "kid": "k"}),
			"crit": providertest.SignJWT(t, jose.ES256, key, w.ObjectOf(jar, nil),
				map[jose.HeaderKey]any{"crit": []string{"x"}, "x": 1, "kid": "k"}),
			"typ of an access token": providertest.SignJWT(t, jose.ES256, key, w.ObjectOf(jar, nil),
				map[jose.HeaderKey]any{"typ": "at+jwt", "kid": "k"}),
			"garbage": "garbage", "dots": strings.Repeat(".", 1000),
			"an array": providertest.SignJWT(t, jose.ES256, key, []byte(`[]`), providertest.Kid("k")),
			"null":     providertest.SignJWT(t, jose.ES256, key, []byte(`null`), providertest.Kid("k")),
			"a member twice": providertest.SignJWT(t, jose.ES256, key,
				[]byte(`{"iss":"jar","iss":"jar","client_id":"jar"}`), providertest.Kid("k")),
			"not a JWE of ours":       "eyJhbGciOiJkaXIiLCJlbmMiOiJBMTI4R0NNIn0..AAAAAAAAAAAAAAAA.AAAA.AAAAAAAAAAAAAAAAAAAAAA",
			"a JWE by a password":     "eyJhbGciOiJQQkVTMi1IUzI1NitBMTI4S1ciLCJlbmMiOiJBMTI4R0NNIiwicDJjIjoyMTQ3NDgzNjQ3LCJwMnMiOiJBQUFBQUFBQUFBQSJ9.AAAA.AAAAAAAAAAAAAAAA.AAAA.AAAAAAAAAAAAAAAAAAAAAA",
			"larger than is accepted": sign(map[string]any{"x": strings.Repeat("x", signin.MaxRequestObject)}),
		} {
			refused(t, name, b.Post("/authorize", providertest.MustQuery(t, w.Request(jar, "request", object))),
				oauth.InvalidRequestObject)
		}
		refused(t, "none at all", b.Get(w.Request(jar)), oauth.InvalidRequest)
		refused(t, "twice", b.Get(w.Request(jar, "request", good)+"&request="+good), oauth.InvalidRequest)
		refused(t, "both ways", ask(good, "request_uri", "https://jar.example/r"), oauth.InvalidRequest)
		if p := b.Get(w.Request(jar, "request_uri", "urn:ietf:params:oauth:request_uri:x")); !p.Has("op-error") {
			t.Errorf("only a reference of nobody's: %d %s", p.StatusCode, p.Header.Get("Location"))
		}
	})

	t.Run("RFC 9101 §4, §10.8 claims of the object", func(t *testing.T) {
		now := w.Web.Now().Unix()
		for name, change := range map[string]map[string]any{
			"iss of another": {"iss": "other"}, "no iss": {"iss": nil}, "iss a list": {"iss": []string{"jar"}},
			"aud of another": {"aud": "https://evil.example"}, "no aud": {"aud": nil}, "aud a number": {"aud": 1},
			"aud with a slash": {"aud": w.Issuer + "/"}, "expired": {"exp": now}, "no exp": {"exp": nil},
			"exp in more than an hour": {"exp": now + 3601}, "exp as text": {"exp": "9999999999"},
			"exp absurd": {"exp": 1e300}, "exp negative": {"exp": -1},
			"no nbf": {"nbf": nil}, "nbf more than an hour ago": {"nbf": now - 3601}, "nbf in the future": {"nbf": now +
				61}, "iat in the future": {"iat": now + 61}, "sub as in an assertion": {"sub": "jar"},
			"another client_id": {"client_id": "other"}, "no client_id": {"client_id": nil},
			"request inside": {"request": "x"}, "request_uri inside": {"request_uri": "https://jar.example/r"},
			"a list": {"scope": []string{"openid"}},
		} {
			refused(t, name, ask(sign(change)), oauth.InvalidRequestObject)
		}
		for name, change := range map[string]map[string]any{"aud a list": {"aud": []string{"x", w.Issuer}},
			"nbf 8 seconds ahead": {"nbf": now + 8}, "exp with a fraction": {"exp": float64(now) + 60.5},
			"exp in an hour": {"exp": now + 3600}} {
			if p := ask(sign(change)); p.Answer().Get("code") == "" {
				t.Errorf("%s: %d %s", name, p.StatusCode, p.Header.Get("Location"))
			}
		}
	})

	t.Run("RFC 9101 §6.3 nothing outside counts", func(t *testing.T) {
		p := ask(sign(map[string]any{"scope": "openid"}), "scope", "openid email", "state", "outside", "nonce",
			"outside", "redirect_uri", "https://jar.example/second",
			"code_challenge", strings.Repeat("A", 43), "response_mode", "fragment", "prompt", "login", "max_age", "0",
			"resource", "https://evil.example")
		a := p.Answer()
		if a.Get("state") != "inside" || !strings.HasPrefix(p.Header.Get("Location"), "https://jar.example/cb?") {
			t.Fatalf("%d %s", p.StatusCode, p.Header.Get("Location"))
		}
		got := w.Redeem(jar, a.Get("code"))
		if got.StatusCode != http.StatusOK || got.Str("scope") != "openid" ||
			providertest.ClaimsOf(t, got.Str("id_token"))["nonce"] != "inside" {
			t.Errorf("%d %v", got.StatusCode, got.JSON)
		}
		refused(t, "PKCE only outside", ask(sign(map[string]any{"code_challenge": nil, "code_challenge_method": nil})),
			oauth.InvalidRequest)
		refused(t, "PKCE plain inside", ask(sign(map[string]any{"code_challenge_method": "plain"})),
			oauth.InvalidRequest)
		if p := ask(sign(nil), "client_id", "other"); p.Answer().Get("code") != "" ||
			strings.Contains(p.Header.Get("Location"), "jar.example") {
			t.Errorf("another client outside: %d %s", p.StatusCode, p.Header.Get("Location"))
		}
	})

	t.Run("a redirect_uri that is not registered is followed neither inside nor outside", func(t *testing.T) {
		for name, p := range map[string]providertest.Page{
			"inside": ask(sign(map[string]any{"redirect_uri": "https://evil.example/"})),
			"inside, unsigned": ask(unsecured(t, "none",
				w.ObjectOf(jar, map[string]any{"redirect_uri": "https://evil.example/"})), "redirect_uri",
				"https://evil.example/"),
			"outside, bad object": ask("garbage", "redirect_uri", "https://evil.example/"),
			"outside, bad request": b.Get(w.Request(jar, "redirect_uri", "https://evil.example/", "request_uri",
				"https://evil.example/")),
			"inside only, forged": ask(providertest.SignJWT(t, jose.ES256, foreign, w.ObjectOf(jar, nil),
				providertest.Kid("k")), "redirect_uri", ""),
		} {
			if p.StatusCode != http.StatusBadRequest || p.Header.Get("Location") != "" ||
				strings.Contains(p.Body, "evil.example") {
				t.Errorf("%s: %d to %q", name, p.StatusCode, p.Header.Get("Location"))
			}
		}
	})

	t.Run("a client that need not sign cannot be downgraded to unsigned objects either", func(t *testing.T) {
		free := w.AddClient("free", func(c *clients.Client) {
			c.JWKS = providertest.JwksOf(t,
				map[string]any{"k": key.Public()})
		})
		for name, alg := range map[string]string{"none": "none", "HS256": "HS256"} {
			object := unsecured(t, alg, w.ObjectOf(free, map[string]any{"prompt": "none"}))
			if p := b.Get(w.Request(free, "request",
				object)); p.Answer().Get("error") != string(oauth.InvalidRequestObject) {
				t.Errorf("%s: %s", name, p.Header.Get("Location"))
			}
		}
		if p := b.Get(w.Request(free, "request", providertest.SignJWT(t, jose.ES256, key, w.ObjectOf(free, nil),
			providertest.Kid("k")))); p.Answer().Get("code") == "" {
			t.Errorf("the control: %s", p.Header.Get("Location"))
		}
		mismatch := providertest.SignJWT(t, jose.ES256, key,
			w.ObjectOf(free, map[string]any{"response_type": "code id_token"}), providertest.Kid("k"))
		if p := b.Get(w.Request(free, "request", mismatch)); p.Answer().Get("error") != string(oauth.InvalidRequest) {
			t.Errorf("response_type differs: %s", p.Header.Get("Location"))
		}
	})

	t.Run("encrypted objects are signed too", func(t *testing.T) {
		secret := w.AddClient("secret", providertest.SignsRequests(t, key.Public()),
			func(c *clients.Client) { c.RequestObjectEncryptionAlg = "RSA-OAEP-256" })
		if err := admin.EnsureKeys(t.Context(), w.Keys, secret.Metadata); err != nil {
			t.Fatal(err)
		}
		ours, err := keys.ParseSet([]byte(w.Browser().Get("/jwks").Body))
		if err != nil {
			t.Fatal(err)
		}
		encrypt := func(inner string) string {
			jwe, err := ours.Encrypt([]byte(inner), "RSA-OAEP-256", "A128GCM", "JWT")
			if err != nil {
				t.Fatal(err)
			}
			return jwe
		}
		signed := providertest.SignJWT(t, jose.ES256, key, w.ObjectOf(secret, nil), providertest.Kid("k"))
		if p := b.Get(w.Request(secret, "request", encrypt(signed))); p.Answer().Get("code") == "" {
			t.Fatalf("the control: %s", p.Header.Get("Location"))
		}
		for name, object := range map[string]string{"only encrypted": encrypt(unsecured(t, "none",
			w.ObjectOf(secret, nil))), "plain JSON": encrypt(`{"client_id":"secret"}`), "only signed": signed,
			"twice encrypted": encrypt(encrypt(signed))} {
			if p := b.Get(w.Request(secret, "request",
				object)); p.Answer().Get("error") != string(oauth.InvalidRequestObject) {
				t.Errorf("%s: %d %s", name, p.StatusCode, p.Header.Get("Location"))
			}
		}
	})
}

func TestRequestURIsReachNobodyElse(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	w.AddUser("alice")
	key := providertest.EcKey(t)
	var object, behaviour atomic.Value
	var hits, canary atomic.Int32
	bird := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { canary.Add(1) }))
	t.Cleanup(bird.Close)
	behaviour.Store("")
	host := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		hits.Add(1)
		switch behaviour.Load() {
		case "redirect":
			http.Redirect(rw, r, bird.URL, http.StatusFound)
		case "large":
			_, _ = rw.Write(make([]byte, 5<<20))
		case "error":
			rw.WriteHeader(http.StatusInternalServerError)
		case "html":
			_, _ = rw.Write([]byte("<html>"))
		default:
			_, _ = rw.Write([]byte(object.Load().(string)))
		}
	}))
	t.Cleanup(host.Close)
	c := w.AddClient("jar", providertest.SignsRequests(t, key.Public()),
		func(c *clients.Client) { c.RequestURIs = []string{host.URL + "/r"} })
	plain := w.AddClient("plain")
	object.Store(providertest.SignJWT(t, jose.ES256, key, w.ObjectOf(c, nil), providertest.Kid("k")))
	b := w.Browser()
	if a := b.SignInAs(b.Open(w.Request(c, "request_uri", host.URL+"/r")), "alice").Answer(); a.Get("code") == "" ||
		a.Get("state") != "inside" {
		t.Fatalf("the control: %v", a)
	}
	before := hits.Load()
	for _, uri := range []string{bird.URL, host.URL + "/r?x", host.URL + "/R", host.URL + "/r#x", host.URL + "/r/",
		strings.Replace(host.URL, "127.0.0.1", "localhost", 1) + "/r", "file:///etc/passwd", "gopher://127.0.0.1/_x",
		"http://169.254.169.254/", "http://[::1]/", "urn:x", strings.Replace(bird.URL, "http://", "http://127.0.0.1@",
			1), host.URL + "/r" + strings.Repeat("x", 600), "https://2130706433/"} {
		if p := b.Get(w.Request(c, "request_uri", uri)); p.Answer().Get("error") != string(oauth.InvalidRequestURI) {
			t.Errorf("%.60s: %d %s", uri, p.StatusCode, p.Header.Get("Location"))
		}
		if p := b.Get(w.Request(plain, "request_uri",
			uri)); p.Answer().Get("error") != string(oauth.RequestURINotSupported) {
			t.Errorf("%.60s of a client without any: %s", uri, p.Header.Get("Location"))
		}
	}
	if hits.Load() != before || canary.Load() != 0 {
		t.Errorf("%d requests to the registered host, %d to another", hits.Load()-before, canary.Load())
	}
	descriptions := map[string]bool{}
	for _, how := range []string{"redirect", "large", "error"} {
		behaviour.Store(how)
		p := b.Get(w.Request(c, "request_uri", host.URL+"/r"))
		if p.Answer().Get("error") != string(oauth.InvalidRequestURI) {
			t.Errorf("%s: %d %s", how, p.StatusCode, p.Header.Get("Location"))
		}
		descriptions[p.Answer().Get("error_description")] = true
	}
	host.Close()
	descriptions[b.Get(w.Request(c, "request_uri", host.URL+"/r")).Answer().Get("error_description")] = true
	if len(descriptions) != 1 || canary.Load() != 0 {
		t.Errorf("what is behind an address can be told by the answer: %v; %d followed a redirect", descriptions,
			canary.Load())
	}
}
