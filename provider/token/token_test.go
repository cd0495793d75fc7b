package token_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"latchkey/provider"
	"latchkey/provider/clients"
	"latchkey/provider/oauth"
	"latchkey/provider/providertest"
)

func TestTokenEndpoint(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	alice, a := w.AddUser("alice"), w.AddClient("web-a")
	svc := w.AddClient("svc", providertest.Service)
	everything := url.Values{"grant_type": {"client_credentials"}}
	providertest.MustWork(t, w.Call("/token", svc, everything))

	t.Run("RFC 6749 §5.1 the answer is complete and nobody keeps it", func(t *testing.T) {
		got := w.Tokens(a, alice, "openid profile")
		if got.Str("token_type") != "Bearer" || got.JSON["expires_in"] != float64(600) ||
			got.Str("scope") != "openid profile" ||
			got.Str("access_token") == "" || got.Str("id_token") == "" || got.JSON["refresh_token"] != nil {
			t.Errorf("%v", got.JSON)
		}
		if got.Header.Get("Cache-Control") != "no-store" || got.Header.Get("Pragma") != "no-cache" ||
			got.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%v", got.Header)
		}
	})
	t.Run("RFC 6749 §3.2 POST only", func(t *testing.T) {
		for _, method := range []string{"GET", "HEAD", "PUT", "DELETE", "PATCH", "TRACE"} {
			r, err := http.NewRequest(method, w.Issuer+"/token?grant_type=client_credentials", nil)
			if err != nil {
				t.Fatal(err)
			}
			r.SetBasicAuth("svc", providertest.TestSecret)
			if got := w.Send(r); got.StatusCode != http.StatusMethodNotAllowed ||
				!strings.Contains(got.Header.Get("Allow"), "POST") {
				t.Errorf("%s: %d, Allow %q", method, got.StatusCode, got.Header.Get("Allow"))
			}
		}
	})
	t.Run("RFC 6749 §2.3.1 what stands in the URL counts for nothing, and is not logged", func(t *testing.T) {
		post := func(query, body string) providertest.AnswerJSON {
			r, err := http.NewRequest("POST", w.Issuer+"/token?"+query, strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			return w.Send(r)
		}
		q := url.Values{"client_id": {"svc"}, "client_secret": {"url-" + providertest.TestSecret},
			"grant_type": {"client_credentials"}}
		providertest.MustRefuse(t, post(q.Encode(), ""), http.StatusUnauthorized, oauth.InvalidClient)
		providertest.MustRefuse(t, post("client_secret=url-"+providertest.TestSecret,
			"client_id=svc&grant_type=client_credentials"), http.StatusUnauthorized, oauth.InvalidClient)
		providertest.MustRefuse(t, post("grant_type=client_credentials", "client_id=svc"), http.StatusUnauthorized,
			oauth.InvalidClient)
		if strings.Contains(w.Log.String(), providertest.TestSecret) {
			t.Error("the secret is in the log")
		}
	})
	t.Run("RFC 6749 §3.2 a repeated parameter is refused", func(t *testing.T) {
		for _, name := range []string{"grant_type", "scope", "client_id", "client_secret", "code", "code_verifier",
			"refresh_token", "x"} {
			form := url.Values{"grant_type": {"client_credentials"}}
			form[name] = []string{"client_credentials", "client_credentials"}
			providertest.MustRefuse(t, w.Call("/token", svc, form), http.StatusBadRequest, oauth.InvalidRequest)
		}
	})
	t.Run("content types, charsets and sizes", func(t *testing.T) {
		for _, c := range []struct {
			contentType, body string
			status            int
		}{
			{"application/json", `{"grant_type":"client_credentials"}`, 400},
			{"multipart/form-data; boundary=x", "--x--", 400},
			{"text/plain", "grant_type=client_credentials", 400},
			{"", "grant_type=client_credentials", 400},
			{"application/x-www-form-urlencoded; charset=utf-16", "grant_type=client_credentials", 400},
			{"application/x-www-form-urlencoded", "grant_type=client_credentials&x=%C0%AF", 400},
			{"application/x-www-form-urlencoded", "grant_type=client_credentials&x=%00", 400},
			{"application/x-www-form-urlencoded", "grant_type=client_credentials&x=%zz", 400},
			{"application/x-www-form-urlencoded", "grant_type=client_credentials;x=y", 400},
			{"application/x-www-form-urlencoded", "grant_type=client_credentials" + strings.Repeat("&a", 1), 200},
			{"application/x-www-form-urlencoded", strings.Repeat("a=1&", 100000), 413},
			{"application/x-www-form-urlencoded; charset=UTF-8", "grant_type=client_credentials", 200},
		} {
			r, err := http.NewRequest("POST", w.Issuer+"/token", strings.NewReader(c.body))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Content-Type", c.contentType)
			r.SetBasicAuth("svc", providertest.TestSecret)
			if got := w.Send(r); got.StatusCode != c.status {
				t.Errorf("%s, %.60s: %d %v, want %d", c.contentType, c.body, got.StatusCode, got.JSON, c.status)
			}
		}
	})
	t.Run("RFC 6749 §5.2 grant types", func(t *testing.T) {
		for grantType, want := range map[string]oauth.Code{
			"": oauth.InvalidRequest, "password": oauth.UnsupportedGrantType, "foo": oauth.UnsupportedGrantType,
			"implicit": oauth.UnsupportedGrantType,
			"urn:ietf:params:oauth:grant-type:device_code":    oauth.UnsupportedGrantType,
			"urn:ietf:params:oauth:grant-type:token-exchange": oauth.UnsupportedGrantType,
			"authorization_code":                              oauth.UnauthorizedClient,
			"refresh_token":                                   oauth.UnauthorizedClient,
		} {
			providertest.MustRefuse(t, w.Call("/token", svc, url.Values{"grant_type": {grantType},
				"username": {"alice"}, "password": {providertest.TestPassword}}), http.StatusBadRequest, want)
		}
		providertest.MustRefuse(t, w.Call("/token", a, everything), http.StatusBadRequest, oauth.UnauthorizedClient)
	})
}

func TestTokenEndpointFromABrowserOnAnotherOrigin(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	spa := w.AddClient("spa", providertest.Public,
		func(c *clients.Client) { c.CORSOrigins = []string{"https://spa.example"} })
	for _, path := range []string{"/token", "/userinfo", "/revoke"} {
		for origin, want := range map[string]string{
			"https://spa.example": "https://spa.example", "https://evil.test": "", "null": "",
			"https://spa.example.evil.test": "",
			"http://spa.example":            "", "https://SPA.example": "", "file://": "",
		} {
			for _, method := range []string{"OPTIONS", "POST"} {
				r, err := http.NewRequest(method, w.Issuer+path, strings.NewReader("client_id="+spa.ID))
				if err != nil {
					t.Fatal(err)
				}
				r.Header.Set("Origin", origin)
				r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				got := w.Send(r)
				if got.Header.Get("Access-Control-Allow-Origin") != want ||
					got.Header.Get("Access-Control-Allow-Credentials") != "" ||
					!strings.Contains(got.Header.Get("Vary"), "Origin") {
					t.Errorf("%s %s from %s: %v", method, path, origin, got.Header)
				}
			}
		}
	}
}

func TestSeveralInstancesAgree(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	alice, spa := w.AddUser("alice"), w.AddClient("spa", providertest.Public)
	key := providertest.EcKey(t)
	w.AddClient("jwt-j", providertest.ByKey(t, "ES256", map[string]any{"j1": key.Public()}))
	cfg := w.Config
	cfg.Keys = providertest.TestRing(t, cfg)
	second, err := provider.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(second.Handler())
	t.Cleanup(server.Close)
	var turn atomic.Int32
	// half sends every other request to the second instance, which knows the first one's name.
	half := func(form url.Values) func() providertest.AnswerJSON {
		return func() providertest.AnswerJSON {
			at := w.Issuer
			if turn.Add(1)%2 == 0 {
				at = server.URL
			}
			r, err := http.NewRequest("POST", at+"/token", strings.NewReader(form.Encode()))
			if err != nil {
				t.Error(err)
			}
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			return w.Send(r)
		}
	}
	for range 4 {
		code, _ := w.Authorized(spa, alice, providertest.Offline)
		won, lost := providertest.AtOnce(50, half(url.Values{"grant_type": {"authorization_code"}, "code": {code},
			"redirect_uri": {spa.RedirectURIs[0]}, "code_verifier": {providertest.TestVerifier}, "client_id": {"spa"}}))
		if len(won) != 1 || len(lost) != 49 {
			t.Errorf("RFC 6749 §4.1.2: %d token sets", len(won))
		}
		got := w.Tokens(spa, alice, providertest.Offline)
		won, _ = providertest.AtOnce(50, half(url.Values{"grant_type": {"refresh_token"},
			"refresh_token": {got.Str("refresh_token")}, "client_id": {"spa"}}))
		successors := map[string]bool{}
		for _, a := range won {
			successors[a.Str("refresh_token")] = true
		}
		if len(successors) != 1 {
			t.Errorf("%d successors", len(successors))
		}
		assertion := providertest.SignJWT(t, jose.ES256, key, w.AssertionOf("jwt-j", nil), providertest.Kid("j1"))
		won, _ = providertest.AtOnce(16, half(url.Values{"grant_type": {"client_credentials"},
			"client_assertion_type": {oauth.ClientAssertionTypeJWT}, "client_assertion": {assertion}}))
		if len(won) != 1 {
			t.Errorf("RFC 7523 §3: %d of one assertion", len(won))
		}
		w.Clock.Advance(2 * time.Minute)
	}
}
