package token_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"latchkey/provider"
	"latchkey/provider/clients"
	"latchkey/provider/providertest"
	"latchkey/provider/storage"
)

// onDisk keeps the records in a file, as a server does.
func onDisk(b *testing.B) func(*provider.Config) {
	return func(c *provider.Config) {
		store, err := storage.OpenSQLite(context.Background(), filepath.Join(b.TempDir(), "latchkey.db"))
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = store.Close() })
		c.Store = store
	}
}

// serve answers a request without a network in between.
func serve(b *testing.B, h http.Handler, r *http.Request) {
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	if rec.Code != http.StatusOK {
		b.Errorf("%d %s", rec.Code, rec.Body)
	}
}

func formRequest(path string, form url.Values, c clients.Client) *http.Request {
	r := httptest.NewRequest("POST", path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(c.ID, providertest.TestSecret)
	return r
}

func BenchmarkRedeemCode(b *testing.B) {
	w := providertest.New(b, onDisk(b))
	alice, a, h := w.AddUser("alice"), w.AddClient("web-a"), w.Handler()
	requests := make([]*http.Request, b.N)
	for i := range requests {
		code, _ := w.Authorized(a, alice, "openid profile offline_access")
		requests[i] = formRequest("/token", url.Values{"grant_type": {"authorization_code"}, "code": {code},
			"redirect_uri": {a.RedirectURIs[0]}, "code_verifier": {providertest.TestVerifier}}, a)
	}
	b.ResetTimer()
	for _, r := range requests {
		serve(b, h, r)
	}
}

func BenchmarkRefresh(b *testing.B) {
	w := providertest.New(b, onDisk(b))
	alice, a, h := w.AddUser("alice"), w.AddClient("web-a"), w.Handler()
	id, _, _ := w.Grants.ParseRefreshToken(w.Tokens(a, alice, providertest.Offline).Str("refresh_token"))
	generation := int64(0)
	for b.Loop() {
		generation++
		serve(b, h, formRequest("/token", url.Values{"grant_type": {"refresh_token"},
			"refresh_token": {w.Grants.RefreshToken(id, generation)}}, a))
	}
}

func BenchmarkIntrospect(b *testing.B) {
	for name, opaque := range map[string]bool{"jwt": false, "opaque": true} {
		b.Run(name, func(b *testing.B) {
			w := providertest.New(b, onDisk(b))
			a := w.AddClient("web-a", func(c *clients.Client) { c.Audience, c.OpaqueAccessTokens = []string{"https://api.test"}, opaque })
			at, rs, h := w.Tokens(a, w.AddUser("alice"), "openid profile").Str("access_token"),
				w.AddClient("rs", providertest.API("https://api.test")), w.Handler()
			for b.Loop() {
				serve(b, h, formRequest("/introspect", url.Values{"token": {at}}, rs))
			}
		})
	}
}

func BenchmarkUserinfo(b *testing.B) {
	w := providertest.New(b, onDisk(b))
	at, h := w.Tokens(w.AddClient("web-a"), w.AddUser("alice"), "openid profile email").Str("access_token"), w.Handler()
	r := httptest.NewRequest("GET", "/userinfo", nil)
	r.Header.Set("Authorization", "Bearer "+at)
	for b.Loop() {
		serve(b, h, r)
	}
}
