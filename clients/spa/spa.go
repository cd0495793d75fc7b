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
	"unicode"
	"unicode/utf8"
)

//go:embed index.html app.js style.css
var files embed.FS

var index = template.Must(template.ParseFS(files, "index.html"))

// calls are the buttons of each API.
var calls = []struct{ Way, Path, Token string }{
	{"public", "/public", "none"},
	{"me", "/me", "access"},
	{"admin", "/admin", "access"},
	{"anonymous", "/me", "none"},
	{"tampered", "/me", "tampered"},
}

// Initial is the first letter of the name.
func (l Link) Initial() string {
	r, _ := utf8.DecodeRuneInString(l.Name)
	return string(unicode.ToUpper(r))
}

// page makes the page in one language.
func (c Config) page(t *texts) ([]byte, error) {
	var b bytes.Buffer
	issuer := host(c.Issuer)
	err := index.Execute(&b, struct {
		Config
		T                                        *texts
		Calls                                    any
		Scope, ResourceList, Callback, SignedOut string
		Wait, WelcomeText, Footer                string
	}{c, t, calls, strings.Join(append([]string{"openid"}, c.Scopes...), " "), strings.Join(c.Resources, " "),
		c.BaseURL + CallbackPath, c.BaseURL + SignedOutPath,
		fmt.Sprintf(t.Wait, issuer), fmt.Sprintf(t.WelcomeText, issuer), fmt.Sprintf(t.Footer, c.Issuer)})
	return b.Bytes(), err
}

// New returns what hands out the application, or an error that names every fault of the
// configuration. The page is the same for everybody who speaks the same language: what differs
// happens in the browser.
func New(config Config) (http.Handler, error) {
	config, err := config.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("configure the application: %w", err)
	}
	pages := make([][]byte, len(byLanguage))
	for i, t := range byLanguage {
		if pages[i], err = config.page(t); err != nil {
			return nil, fmt.Errorf("make the page: %w", err)
		}
	}
	policy := "default-src 'none'; script-src 'self'; style-src 'self'; connect-src " + strings.Join(config.origins(),
		" ") +
		"; frame-src " + config.origins()[0] +
		"; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"

	mux := http.NewServeMux()
	showPage := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Vary", "Accept-Language")
		_, _ = w.Write(pages[languageFor(r)]) // the browser has gone; there is nobody left to tell
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
