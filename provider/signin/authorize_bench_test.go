package signin_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"testing"

	"latchkey/provider"
	"latchkey/provider/providertest"
	"latchkey/provider/storage"
)

// benchmarkStore puts the provider on SQLite in a file, with every commit on disk.
func benchmarkStore(b *testing.B) func(*provider.Config) {
	return func(cfg *provider.Config) {
		store, err := storage.OpenSQLite(context.Background(), filepath.Join(b.TempDir(), "latchkey.db"))
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = store.Close() })
		cfg.Store = store
	}
}

// BenchmarkAuthorizeSignedIn is the authorization request of somebody who is signed in: the request
// that single sign-on consists of.
func BenchmarkAuthorizeSignedIn(b *testing.B) {
	w := providertest.New(b, benchmarkStore(b))
	w.AddUser("alice")
	c := w.AddClient("web-a")
	br := w.Browser()
	br.Code(c, "alice")
	target, _ := url.Parse(w.Issuer)
	cookies := br.Client.Jar.Cookies(target)
	handler, path := w.Handler(), w.Request(c)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			r := httptest.NewRequest("GET", path, nil)
			for _, ck := range cookies {
				r.AddCookie(ck)
			}
			rec := httptest.NewRecorder()
			handler.ServeHTTP(rec, r)
			if rec.Code != http.StatusSeeOther || rec.Header().Get("Location") == "" {
				b.Fatalf("%d", rec.Code)
			}
		}
	})
}
