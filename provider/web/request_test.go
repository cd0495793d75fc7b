package web

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/gorilla/mux"
)

func TestOnlyRoutesOfOnePathAreAnsweredDirectly(t *testing.T) {
	t.Parallel()
	say := func(name string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(name)) })
	}
	router := mux.NewRouter().UseEncodedPath().SkipClean(true)
	router.Handle("/token", say("token")).Methods("POST", "OPTIONS")
	router.Handle("/login", say("show")).Methods("GET")
	router.Handle("/login", say("login")).Methods("POST")
	router.Handle("/thing/{id}", say("thing")).Methods("GET")
	router.Handle("/thing/fixed", say("hidden")).Methods("GET") // the router answers with the one before
	router.PathPrefix("/assets/").Handler(say("asset")).Methods("GET")
	below := router.PathPrefix("/id").Subrouter()
	below.Handle("/jwks", say("jwks")).Methods("GET")

	known := directRoutes(router)
	for path, methods := range map[string]map[string]string{
		"/token": {"POST": "token", "OPTIONS": "token"}, "/login": {"GET": "show", "POST": "login"},
		"/id/jwks": {"GET": "jwks"},
	} {
		if len(known[path]) != len(methods) {
			t.Errorf("%s has %d methods", path, len(known[path]))
		}
		for method, want := range methods {
			rec := httptest.NewRecorder()
			known[path][method].handler.ServeHTTP(rec, httptest.NewRequest(method, path, nil))
			if rec.Body.String() != want || known[path][method].template != path {
				t.Errorf("%s %s: %q by %q", method, path, rec.Body, known[path][method].template)
			}
		}
	}
	if len(known) != 3 {
		t.Errorf("%d paths are answered directly: %v", len(known), known)
	}
	// A spelling with an escape is never looked up: it has a RawPath.
	if u, err := url.Parse("http://127.0.0.1/%74oken"); err != nil || u.RawPath == "" {
		t.Errorf("%v, %v", u, err)
	}
}

func TestDocumentIsServedWholeInPartOrNotAtAll(t *testing.T) {
	t.Parallel()
	d, err := NewJSONDocument(map[string]string{"issuer": "https://id.example.com"}, "application/json", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	whole := `{"issuer":"https://id.example.com"}`
	for name, c := range map[string]struct {
		method, header, value string
		status                int
		body                  string
	}{
		"whole":             {"GET", "", "", 200, whole},
		"head":              {"HEAD", "", "", 200, ""},
		"same entity tag":   {"GET", "If-None-Match", d.Etag(), 304, ""},
		"other entity tag":  {"GET", "If-None-Match", `"x"`, 200, whole},
		"range":             {"GET", "Range", "bytes=0-4", 206, whole[:5]},
		"failed condition":  {"GET", "If-Match", `"x"`, 412, ""},
		"range of another":  {"GET", "Range", "bytes=900-", 416, "invalid range: failed to overlap\n"},
		"whole, once again": {"GET", "", "", 200, whole},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequest(c.method, "/", nil)
			if c.header != "" {
				r.Header.Set(c.header, c.value)
			}
			rec := httptest.NewRecorder()
			if err := d.Serve(rec, r); err != nil {
				t.Fatal(err)
			}
			// What an answer adds to its headers must not be in the next one.
			rec.Header().Add("Content-Type", "text/html")
			got := rec.Result()
			if got.StatusCode != c.status || rec.Body.String() != c.body || got.StatusCode < 300 &&
				(got.Header.Get("Etag") != d.Etag() || got.Header.Get("Cache-Control") != "public, max-age=3600") {
				t.Errorf("%d %q %v", got.StatusCode, rec.Body, got.Header)
			}
			if c.status == 200 && got.Header.Get("Content-Type") != "application/json" {
				t.Errorf("Content-Type is %q", got.Header.Values("Content-Type"))
			}
		})
	}
}
