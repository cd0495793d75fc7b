package webapp

import (
	"context"
	"crypto/subtle"
	"embed"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// New returns the application, or an error that names every fault of the configuration. The
// provider need not be up yet: it is asked when the first person wants to sign in. ctx bounds
// nothing but carries values for requests to the provider.
func New(ctx context.Context, config Config) (http.Handler, error) {
	config, err := config.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("configure the application: %w", err)
	}
	a := &app{config: config, sessions: newSessions(config.Now), provider: newProvider(ctx, config)}
	if a.store, err = openStore(config.File); err != nil {
		return nil, fmt.Errorf("configure the application: %w", err)
	}
	a.cookie, a.attemptCookie, a.askedCookie = cookieNames(config)

	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", a.home)
	mux.HandleFunc("GET /sign-in", a.signIn)
	mux.HandleFunc("GET "+CallbackPath, a.callback)
	mux.HandleFunc("POST /call", a.form(a.call))
	mux.HandleFunc("POST /refresh", a.form(a.refresh))
	mux.HandleFunc("POST /sign-out", a.form(a.signOut))
	mux.HandleFunc("POST /sign-out-everywhere", a.form(a.signOutEverywhere))
	mux.HandleFunc("GET "+SignedOutPath, a.signedOut)
	mux.HandleFunc("POST "+BackchannelLogoutPath, a.backchannelLogout)
	mux.HandleFunc("GET /style.css", style)
	switch config.Kind {
	case KindNotes:
		mux.HandleFunc("POST /notes", a.form(a.keepNote))
		mux.HandleFunc("POST /notes/remove", a.form(a.removeNote))
	case KindPhotos:
		mux.HandleFunc("GET /pictures/{id}", a.picture)
		mux.HandleFunc("POST /pictures", a.form(a.hangPicture))
		mux.HandleFunc("POST /pictures/remove", a.form(a.takePictureDown))
	case KindLedger:
		mux.HandleFunc("POST /entries", a.form(a.enter))
		mux.HandleFunc("POST /entries/remove", a.form(a.strike))
	}
	return a.headers(mux), nil
}

type app struct {
	config        Config
	sessions      *sessions
	provider      *provider
	store         *store
	cookie        string // name of the cookie with the session's id
	attemptCookie string // name of the cookie that ties sign-ins under way to this browser
	askedCookie   string // name of the cookie that says not to ask the provider silently
}

// cookieNames are unique per application: cookies do not tell ports of one host apart. On https the
// prefix makes the browser vouch that no other host has set them (RFC 6265bis §4.1.3.2).
func cookieNames(c Config) (session, attempt, asked string) {
	name := strings.Map(func(r rune) rune {
		if 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' {
			return r
		}
		return '-'
	}, c.ClientID)
	if strings.HasPrefix(c.BaseURL, "https://") {
		name = "__Host-" + name
	}
	return name + "-session", name + "-signin", name + "-asked"
}

// setCookie writes a cookie for this host only, out of reach of scripts. Lax lets it come along
// when the provider sends the browser back, and keeps it from other sites' forms.
func (a *app) setCookie(w http.ResponseWriter, name, value string, age time.Duration) {
	c := &http.Cookie{
		Name: name, Value: value, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode,
		Secure: strings.HasPrefix(a.config.BaseURL, "https://"),
		MaxAge: int(age / time.Second),
	}
	if value == "" {
		c.MaxAge = -1
	}
	http.SetCookie(w, c)
}

// session returns the session that the request's cookie names.
func (a *app) session(r *http.Request) (session, bool) {
	c, err := r.Cookie(a.cookie)
	if err != nil {
		return session{}, false
	}
	return a.sessions.get(c.Value)
}

const maxForm = 64 << 10 // bytes, beside a picture

// form guards what a form of a signed-in page does: there must be a session, and the form must
// carry the session's CSRF value, which no other site can know.
func (a *app) form(do func(http.ResponseWriter, *http.Request, session)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s, ok := a.session(r)
		if !ok {
			// Signed out meanwhile, in another tab or by the provider: the start page says so.
			http.Redirect(w, r, "/", http.StatusSeeOther)
			return
		}
		t := textsFor(r)
		kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
		limit, read := int64(maxForm), r.ParseForm
		if kind == "multipart/form-data" && a.config.Kind == KindPhotos {
			limit, read = maxForm+maxPicture, func() error { return r.ParseMultipartForm(maxForm + maxPicture) }
		}
		r.Body = http.MaxBytesReader(w, r.Body, limit)
		if err := read(); err != nil {
			words := t.FormUnreadable
			if limit > maxForm {
				words = t.PictureBad
			}
			a.fail(w, r, http.StatusBadRequest, words)
			return
		}
		if subtle.ConstantTimeCompare([]byte(r.PostForm.Get("csrf")), []byte(s.csrf)) != 1 {
			a.fail(w, r, http.StatusForbidden, t.FormForeign)
			return
		}
		do(w, r, s)
	}
}

// headers keeps pages out of frames, caches and other sites' logs, and lets them load nothing but
// stylesheet and pictures.
func (a *app) headers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		// A form that is answered by a redirect to the provider's sign-out page needs its origin
		// here as well.
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self' "+
			strings.Join(a.provider.origins(), " ")+"; base-uri 'none'; frame-ancestors 'none'")
		h.Set("Cache-Control", "no-store")
		h.Set("Vary", "Accept-Language")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		next.ServeHTTP(w, r)
	})
}

//go:embed page.html style.css
var files embed.FS

func style(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "max-age=300")
	http.ServeFileFS(w, r, files, "style.css")
}

// origin of an address, as a Content-Security-Policy names it; empty when it has none.
func origin(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || strings.ContainsAny(u.Host, "; ,'\"*") {
		return ""
	}
	return u.Scheme + "://" + u.Host
}
