package web

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/mux"

	"latchkey/provider/oauth"
	"latchkey/provider/storage"
)

// event is what one request leaves in the log: one line, when it ends.
type event struct {
	id      string
	route   string
	err     error
	locales []string       // ui_locales of the authorization or logout request (OIDC Core §3.1.2.1)
	zone    *time.Location // of the person who reads the page; nil is UTC
	browser string         // the reference that this request gave the browser, never written to the log
	attrs   []slog.Attr

	room [fixedAttrs + 8]slog.Attr // the fields that every line has, and then, while there is room, attrs
}

// fixedAttrs is how many fields every line has.
const fixedAttrs = 6

type eventKey struct{}

func eventOf(r *http.Request) *event {
	if e, ok := r.Context().Value(eventKey{}).(*event); ok {
		return e
	}
	return &event{}
}

// RequestID is the reference that a person sees and the log has.
func RequestID(r *http.Request) string { return eventOf(r).id }

// Note keeps a problem for the request's log line; the first one wins, because later ones follow
// from it.
func Note(r *http.Request, err error) {
	if e := eventOf(r); e.err == nil {
		e.err = err
	}
}

// SetLocales records the languages that the request asks for (OIDC Core §3.1.2.1 ui_locales).
func SetLocales(r *http.Request, locales []string) { eventOf(r).locales = locales }

// Mention adds a field to the request's log line. Keys are the standards' parameter names; values
// must never be secrets.
func Mention(r *http.Request, key, value string) {
	if value == "" {
		return
	}
	if len(value) > 200 {
		value = value[:200] + "…"
	}
	e := eventOf(r)
	e.attrs = append(e.attrs, slog.String(key, value))
}

// statusWriter remembers what was answered.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *statusWriter) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(b)
}

func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// direct is a route that is found by its path alone.
type direct struct {
	template string
	handler  http.Handler
}

// directRoutes lists, by path and method, the routes whose path is fixed. The router compares a
// request with one route after the other; here it is found at once. What is not in the list is the
// router's: paths with variables, path prefixes, methods that a path does not take, and spellings
// with an escape.
func directRoutes(router *mux.Router) map[string]map[string]direct {
	found := map[string]map[string]direct{}
	_ = router.Walk(func(route *mux.Route, _ *mux.Router, _ []*mux.Route) error {
		template, err := route.GetPathTemplate()
		if err != nil || route.GetHandler() == nil || strings.Contains(template, "{") {
			return nil //nolint:nilerr // a route without one path leads to no one page
		}
		methods, err := route.GetMethods()
		if err != nil {
			return nil //nolint:nilerr // a route for every method
		}
		for _, method := range methods {
			// The router decides whether this route is the one that answers there, and not a longer
			// or an earlier one.
			var match, longer mux.RouteMatch
			at := func(path string) *http.Request { return &http.Request{Method: method, URL: &url.URL{Path: path}} }
			if !router.Match(at(template), &match) || match.Route != route || router.Match(at(template+"x"), &longer) &&
				longer.Route == route {
				continue
			}
			if found[template] == nil {
				found[template] = map[string]direct{}
			}
			found[template][method] = direct{template, route.GetHandler()}
		}
		return nil
	})
	return found
}

// observe wraps the router from outside, so that what matched no route is seen too: request
// identifier, panics, transport, log line, metrics. All routes must have been made. The router must
// have no middleware of its own: routes with a fixed path are answered without it.
func (s *Site) observe(router *mux.Router) http.Handler {
	known := directRoutes(router)
	router.Use(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if t, err := mux.CurrentRoute(r).GetPathTemplate(); err == nil {
				eventOf(r).route = t
			}
			next.ServeHTTP(w, r)
		})
	})
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		begun := time.Now()
		ev := &event{id: rand.Text()[:12], route: "unmatched"}
		ev.attrs = ev.room[fixedAttrs:fixedAttrs]
		ctx, span := s.startSpan(context.WithValue(r.Context(), eventKey{}, ev), r)
		r = r.WithContext(ctx)
		w := &statusWriter{ResponseWriter: rw}
		defer func() {
			if v := recover(); v != nil {
				if v == http.ErrAbortHandler { //nolint:errorlint // net/http compares what was panicked with in the same way
					panic(v)
				}
				ev.err = fmt.Errorf("panic: %v", v)
				ev.attrs = append(ev.attrs, slog.String("stack", string(debug.Stack())))
				if w.status == 0 {
					http.Error(w, "Something went wrong. Reference: "+ev.id, http.StatusInternalServerError)
				}
			}
			s.logRequest(r, ev, w.status, time.Since(begun))
			endSpan(span, r, ev, w.status)
		}()
		w.Header().Set("X-Request-Id", ev.id)
		if r.URL.Opaque != "" { // "GET x:y HTTP/1.1": no browser and no application asks like that
			http.Error(w, "The request target must be a path.", http.StatusBadRequest)
			return
		}
		if s.Secure {
			// our host alone: those below it may be anybody's
			w.Header().Set("Strict-Transport-Security", "max-age=31536000")
			if !s.overTLS(r) && r.URL.Path != "/healthz" && r.URL.Path != "/readyz" {
				s.requireHTTPS(w, r)
				return
			}
		}
		if r.URL.RawPath == "" {
			if route, ok := known[r.URL.Path][r.Method]; ok {
				ev.route = route.template
				route.handler.ServeHTTP(w, r)
				return
			}
		}
		router.ServeHTTP(w, r)
	})
}

const wantsTrustedProxy = "This service is reached by https only, and this request came by http. " +
	"If a proxy in front ends TLS, name its address in trusted_proxies and let it send X-Forwarded-Proto: https."

// requireHTTPS answers a plain http request to an https issuer. What only reads is sent to the
// right address. Anything else is refused, because a secret in it has already crossed the network
// in clear; and so is what a redirect would only bring back here, because a proxy in front ends TLS
// and does not say so, or may not.
func (s *Site) requireHTTPS(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store") // browsers keep a 308 for good otherwise, longer than the fault
	target := r.URL.EscapedPath()
	if r.URL.RawQuery != "" {
		target += "?" + r.URL.RawQuery
	}
	reads := r.Method == http.MethodGet || r.Method == http.MethodHead
	if reads && strings.HasPrefix(target, "/") && !s.unheard(r) &&
		!s.redirected.often(s.ClientAddress(r)+" "+r.UserAgent()+" "+target, s.Now()) {
		w.Header().Set("Location", s.Base.Scheme+"://"+s.Base.Host+target)
		w.WriteHeader(http.StatusPermanentRedirect)
		return
	}
	Note(r, fmt.Errorf("plain http to an https issuer: X-Forwarded-Proto %q, from %s, which is a trusted proxy: %t",
		Clip(r.Header.Get("X-Forwarded-Proto"), 60), peer(r), s.trusts(peer(r))))
	http.Error(w, wantsTrustedProxy, http.StatusBadRequest)
}

// unheard reports whether a proxy passed the request on that is not trusted, or that does not say
// how the browser came.
func (s *Site) unheard(r *http.Request) bool {
	return proxied(r) && !(s.trusts(peer(r)) && r.Header.Get("X-Forwarded-Proto")+forwardedProto(r) != "")
}

// redirects counts who was sent to https where, so that nobody is sent in a circle.
type redirects struct {
	mu    sync.Mutex
	seen  map[string]int
	since time.Time
}

const (
	redirectsWithin = 10 * time.Second
	redirectsMost   = 5    // a browser follows about 20 before it gives up
	redirectsKept   = 1000 // that many different ones in redirectsWithin are not a circle
)

// often counts a redirect and reports whether there were too many of the same.
func (c *redirects) often(what string, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.seen == nil || now.Sub(c.since) >= redirectsWithin || now.Before(c.since) || len(c.seen) >= redirectsKept {
		c.seen, c.since = map[string]int{}, now
	}
	what = storage.Hash(what)
	c.seen[what]++
	return c.seen[what] > redirectsMost
}

// statusGone is what is noted of a request whose sender went away before there was an answer: what
// failed then failed for that reason, and is nobody's fault here. Nobody ever receives it.
const statusGone = 499

func (s *Site) logRequest(r *http.Request, ev *event, status int, took time.Duration) {
	if ev.err != nil && status >= 500 && errors.Is(r.Context().Err(), context.Canceled) {
		status = statusGone
	}
	s.Metrics.observe(ev.route, r.Method, status, took)
	s.failed(r, ev, status)
	level := slog.LevelInfo
	if ev.err != nil && status >= 500 {
		level = slog.LevelError
	}
	// Not by Logger.LogAttrs: that looks up where in the source it was called, for every line.
	handler := s.Logger.Handler()
	if !handler.Enabled(r.Context(), level) {
		return
	}
	line := slog.NewRecord(time.Now(), level, "request", 0)
	fixed := append(ev.room[:0], slog.String("request_id", ev.id), slog.String("method", r.Method),
		slog.String("route", ev.route),
		slog.Int("status", status), slog.Duration("duration", took), slog.String("address", s.ClientAddress(r)))
	line.AddAttrs(fixed[:fixedAttrs:fixedAttrs]...)
	line.AddAttrs(ev.attrs...)
	line.AddAttrs(s.traceOf(r)...)
	if ev.err != nil {
		e := oauth.AsError(ev.err)
		var pe *PageError
		if !errors.As(ev.err, &pe) {
			line.AddAttrs(slog.String("error", string(e.Code)))
		}
		line.AddAttrs(slog.String("reason", ev.err.Error()))
	}
	_ = handler.Handle(r.Context(), line) // as Logger does: nobody is left to tell
}
