package spa

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

//go:embed index.html app.js style.css
var files embed.FS

var index = template.Must(template.ParseFS(files, "index.html"))

// calls are the buttons of each API.
var calls = []struct{ Way, Label, Path, Token string }{
	{"public", "GET /public", "/public", "none"},
	{"me", "GET /me", "/me", "access"},
	{"admin", "GET /admin", "/admin", "access"},
	{"anonymous", "GET /me without a token", "/me", "none"},
	{"tampered", "GET /me with one character changed", "/me", "tampered"},
}

// New returns what hands out the application, or an error that names every fault of the configuration. The page is
// the same for everybody: what differs happens in the browser.
func New(config Config) (http.Handler, error) {
	config, err := config.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("configure the application: %w", err)
	}
	var page bytes.Buffer
	if err := index.Execute(&page, struct {
		Config
		Calls                                                any
		Scope, ResourceList, Callback, SignedOut, IssuerHost string
	}{config, calls, strings.Join(append([]string{"openid"}, config.Scopes...), " "), strings.Join(config.Resources, " "),
		config.BaseURL + CallbackPath, config.BaseURL + SignedOutPath, host(config.Issuer)}); err != nil {
		return nil, fmt.Errorf("make the page: %w", err)
	}
	policy := "default-src 'none'; script-src 'self'; style-src 'self'; connect-src " + strings.Join(config.origins(), " ") +
		"; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"

	mux := http.NewServeMux()
	showPage := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		_, _ = w.Write(page.Bytes()) // the browser has gone; there is nobody left to tell
	}
	for _, path := range []string{"/{$}", CallbackPath, SignedOutPath} {
		mux.HandleFunc("GET "+path, showPage)
	}
	for _, name := range []string{"app.js", "style.css"} {
		mux.HandleFunc("GET /"+name, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Cache-Control", "no-cache")
			http.ServeFileFS(w, r, files, name)
		})
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("Referrer-Policy", "no-referrer") // the callback's address holds a code for a moment
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		mux.ServeHTTP(w, r)
	}), nil
}

// origins are those that the page may talk to.
func (c Config) origins() []string {
	addresses := []string{c.Issuer}
	for _, a := range c.APIs {
		addresses = append(addresses, a.URL)
	}
	var out []string
	for _, a := range addresses {
		if u, err := url.Parse(a); err == nil && !slices.Contains(out, u.Scheme+"://"+u.Host) {
			out = append(out, u.Scheme+"://"+u.Host)
		}
	}
	return out
}

func host(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return address
	}
	return u.Host
}
