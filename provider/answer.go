package provider

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"runtime/debug"
	"strings"
	"time"

	"github.com/gorilla/mux"

	"latchkey/provider/clients"
	"latchkey/provider/oauth"
	"latchkey/provider/people"
	"latchkey/provider/storage"
	"latchkey/templates"
)

// handler answers a request, or returns the problem. Exactly three places write a problem: page, api and redirectError.
type handler func(http.ResponseWriter, *http.Request) error

// page adapts a handler whose problems a person reads.
func (p *Provider) page(h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		setPageHeaders(w.Header())
		if err := h(w, r); err != nil {
			p.errorPage(w, r, err)
		}
	})
}

// form adapts a handler of our own forms: requests that change something must come from our own pages. It must not wrap
// what applications post to across sites (authorize, token, logout …).
func (p *Provider) form(h handler) http.Handler {
	guard := http.NewCrossOriginProtection()
	if err := guard.AddTrustedOrigin(p.base.Scheme + "://" + p.base.Host); err != nil {
		panic(err) // New has checked the issuer
	}
	return p.page(func(w http.ResponseWriter, r *http.Request) error {
		if err := guard.Check(r); err != nil {
			return refusePage(http.StatusForbidden, "This form was sent from another site",
				"The form did not come from a page of this provider, so nothing was done.", "Go back and try again from our own page.").because(err)
		}
		return h(w, r)
	})
}

// api adapts a handler whose problems a program reads (RFC 6749 §5.2, RFC 6750 §3).
func (p *Provider) api(h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Cache-Control", "no-store")
		header.Set("Pragma", "no-cache")
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Referrer-Policy", "no-referrer")
		header.Set("X-Frame-Options", "DENY")
		header.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		if err := h(w, r); err != nil {
			p.errorJSON(w, r, err)
		}
	})
}

// cors adapts an api that applications in a browser may call, from the origins that are registered for them. There are no cookies
// in play, so credentials are never allowed.
func (p *Provider) cors(h handler) http.Handler {
	return p.api(func(w http.ResponseWriter, r *http.Request) error {
		w.Header().Add("Vary", "Origin")
		if origin := r.Header.Get("Origin"); origin != "" && origin != "null" {
			allowed, err := p.Store.OriginAllowed(r.Context(), origin)
			if err != nil {
				return fmt.Errorf("look up origin: %w", err)
			}
			if allowed {
				w.Header().Set("Access-Control-Allow-Origin", origin)
				w.Header().Set("Access-Control-Expose-Headers", "WWW-Authenticate")
			}
		}
		if r.Method == http.MethodOptions {
			if w.Header().Get("Access-Control-Allow-Origin") != "" {
				w.Header().Set("Access-Control-Allow-Methods", "GET, POST")
				w.Header().Set("Access-Control-Allow-Headers", "Authorization, Content-Type")
				w.Header().Set("Access-Control-Max-Age", "600")
			}
			w.WriteHeader(http.StatusNoContent)
			return nil
		}
		return h(w, r)
	})
}

// public adapts what is the same for everybody and may be read from any origin: metadata and keys.
func (p *Provider) public(h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", "*")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		if r.Method == http.MethodOptions {
			w.Header().Set("Access-Control-Allow-Methods", "GET")
			w.Header().Set("Access-Control-Max-Age", "86400")
			w.WriteHeader(http.StatusNoContent)
			return
		}
		if err := h(w, r); err != nil {
			p.errorJSON(w, r, err)
		}
	})
}

// either adapts what is asked for by people and by programs alike: whoever takes HTML gets a page.
func (p *Provider) either(h handler) http.Handler {
	page, api := p.page(h), p.api(h)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.Header.Get("Accept"), "text/html") {
			page.ServeHTTP(w, r)
		} else {
			api.ServeHTTP(w, r)
		}
	})
}

// pageCSP is the policy of a page: nothing but our own stylesheet and pictures, forms to ourselves, no frames.
const pageCSP = "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'"

func setPageHeaders(h http.Header) {
	h.Set("Content-Security-Policy", pageCSP)
	h.Set("X-Frame-Options", "DENY")
	h.Set("X-Content-Type-Options", "nosniff")
	// Not no-referrer: with that, browsers send Origin: null along with our own forms, and older ones send nothing else to tell them by.
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), microphone=(), geolocation=()")
	h.Set("Cache-Control", "no-store")
}

// render writes a finished page.
func (p *Provider) render(w http.ResponseWriter, r *http.Request, status int, page templates.Page) error {
	var b bytes.Buffer
	if err := p.Templates.Render(&b, p.language(r), page); err != nil {
		return fmt.Errorf("render page: %w", err)
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Vary", "Accept-Language")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // the person has gone away: nothing to do about it
	return nil
}

// language is the one of ours that suits the person best: ui_locales of the request that they are in the middle of, then what the browser says.
func (p *Provider) language(r *http.Request) string {
	return p.Templates.Match(eventOf(r).locales, r.Header.Get("Accept-Language"))
}

// pageError is a problem in words for a person. It carries its status and where to go from here.
type pageError struct {
	status  int
	page    templates.Error
	cause   error
	headers http.Header
}

// refusePage makes a problem that is shown as a page: what happened, why, what to do next.
func refusePage(status int, title, message, advice string) *pageError {
	return &pageError{status: status, page: templates.Error{Title: title, Message: message, Advice: advice}}
}

func (e *pageError) because(err error) *pageError { e.cause = err; return e }

func (e *pageError) Error() string {
	if e.cause != nil {
		return e.page.Title + ": " + e.cause.Error()
	}
	return e.page.Title
}

func (e *pageError) Unwrap() error { return e.cause }

// errorPage shows a problem to a person. One of the three places that write a problem.
func (p *Provider) errorPage(w http.ResponseWriter, r *http.Request, err error) {
	note(r, err)
	var pe *pageError
	if !errors.As(err, &pe) {
		e := oauth.AsError(err)
		switch {
		case unavailable(err):
			pe = refusePage(http.StatusServiceUnavailable, "We cannot answer just now", "Something that we depend on does not answer.", "Please try again in a moment.")
			w.Header().Set("Retry-After", "2")
		case e.Code == oauth.ServerError:
			pe = refusePage(http.StatusInternalServerError, "Something went wrong", "This is our fault, not yours. Nothing was changed.", "Try again. If it happens again, tell whoever runs this service the reference below.")
		default:
			pe = refusePage(max(400, e.HTTPStatus()), "This request cannot be answered", e.Description+".", "The application that sent you here made a mistake. Tell the people who run it what is written here.")
			pe.page.Details = [][2]string{{"error", string(e.Code)}}
		}
	}
	pe.page.RequestID = requestID(r)
	for k, v := range pe.headers {
		w.Header()[k] = v
	}
	if err := p.render(w, r, pe.status, pe.page); err != nil {
		http.Error(w, "Something went wrong. Reference: "+requestID(r), http.StatusInternalServerError)
		note(r, err)
	}
}

// unavailable says whether the problem is that the store, or the capacity to hash a password, is out of reach for now.
func unavailable(err error) bool {
	var e *oauth.Error
	if errors.As(err, &e) {
		return e.Code == oauth.TemporarilyUnavailable
	}
	return errors.Is(err, storage.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, people.ErrBusy)
}

// errorJSON tells a problem to a program (RFC 6749 §5.2, RFC 6750 §3). One of the three places that write a problem.
func (p *Provider) errorJSON(w http.ResponseWriter, r *http.Request, err error) {
	note(r, err)
	e := oauth.AsError(err)
	var pe *pageError
	switch {
	case errors.As(err, &pe):
		e = oauth.Errorf(oauth.InvalidRequest, "%s", pe.page.Message).WithStatus(pe.status)
	case e.Code == oauth.ServerError && unavailable(err):
		e = oauth.Errorf(oauth.TemporarilyUnavailable, "the provider cannot answer just now; try again in a moment")
	}
	if w.Header().Get("Cache-Control") == "" {
		w.Header().Set("Cache-Control", "no-store") // a refusal is not part of the metadata, which may be cached
	}
	if e.Code == oauth.TemporarilyUnavailable && w.Header().Get("Retry-After") == "" {
		w.Header().Set("Retry-After", "2")
	}
	if e.Code == oauth.InvalidClient && e.HTTPStatus() == http.StatusUnauthorized && w.Header().Get("WWW-Authenticate") == "" {
		// RFC 6749 §5.2: always for a client that tried the Authorization header, harmless for the others (RFC 9110 §11.6.1 wants it with 401).
		w.Header().Set("WWW-Authenticate", `Basic realm="latchkey", charset="UTF-8"`)
	}
	writeJSON(w, e.HTTPStatus(), map[string]string{"error": string(e.Code), "error_description": e.Description})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		panic(err) // only our own plain values come here
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// response is what goes back to an application through the browser: where, how, and what.
type response struct {
	redirect clients.Redirect
	mode     string // oauth.ModeQuery, ModeFragment or ModeFormPost
	appName  string
	values   [][2]string // in order; empty values are left out
}

// redirectError tells a problem to an application through the browser (RFC 6749 §4.1.2.1). One of the three places that write a problem.
func (p *Provider) redirectError(w http.ResponseWriter, r *http.Request, to response, state string, err error) error {
	note(r, err)
	e := oauth.AsError(err)
	if e.Code == oauth.ServerError && unavailable(err) {
		e = oauth.Errorf(oauth.TemporarilyUnavailable, "the provider cannot answer just now; try again in a moment")
	}
	to.values = [][2]string{{"error", string(e.Code)}, {"error_description", e.Description}, {"state", state}, {"iss", p.Issuer}}
	return p.send(w, r, to)
}

// send delivers a response in its mode. Redirects from a POST are 303, so that a browser never posts the person's password on (RFC 9700 §4.12).
func (p *Provider) send(w http.ResponseWriter, r *http.Request, to response) error {
	target := to.redirect.String()
	if target == "" {
		return errors.New("a response without an address to go to")
	}
	values := to.values[:0:0]
	for _, kv := range to.values {
		if kv[1] != "" {
			values = append(values, kv)
		}
	}
	if to.mode == oauth.ModeFormPost {
		w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; img-src 'self'; script-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action "+cspSource(target))
		return p.render(w, r, http.StatusOK, templates.FormPost{Action: target, Fields: values, AppName: to.appName})
	}
	w.Header().Set("Location", to.location())
	w.WriteHeader(http.StatusSeeOther)
	return nil
}

// location is where the browser is sent, with the values that are not empty in query or fragment.
func (to response) location() string {
	target := to.redirect.String()
	var q strings.Builder
	for _, kv := range to.values {
		if kv[1] == "" {
			continue
		}
		if q.Len() > 0 {
			q.WriteByte('&')
		}
		q.WriteString(url.QueryEscape(kv[0]) + "=" + url.QueryEscape(kv[1]))
	}
	// The registered URI is continued, never parsed and written anew: what the application registered stays as it is, byte for byte.
	switch {
	case q.Len() == 0:
		return target
	case to.mode == oauth.ModeFragment:
		return target + "#" + q.String()
	case strings.HasSuffix(target, "?") || strings.HasSuffix(target, "&"):
		return target + q.String()
	case strings.Contains(target, "?"):
		return target + "&" + q.String()
	}
	return target + "?" + q.String()
}

// cspSource is how a URI is named in a Content-Security-Policy: its origin, or its scheme when it has none. A host that would mean something
// there, *.example say, is named by nothing.
func cspSource(uri string) string {
	if o := clients.Origin(uri); strings.ContainsAny(o, "* ;,'\"") {
		return "'none'"
	} else if o != "" {
		return o
	}
	if scheme, _, ok := strings.Cut(uri, ":"); ok && strings.Trim(strings.ToLower(scheme), "abcdefghijklmnopqrstuvwxyz0123456789+-.") == "" {
		return scheme + ":"
	}
	return "'none'"
}

// allowFormTo lets the forms of this page lead, at the end of their redirects, to the application: browsers apply form-action to
// every hop after a form was sent.
func allowFormTo(w http.ResponseWriter, client clients.Client) {
	sources := []string{"'self'"}
	for _, uri := range append(append([]string{client.ClientURI, client.InitiateLoginURI}, client.RedirectURIs...), client.Origins...) {
		if uri == "" {
			continue
		}
		if s := cspSource(uri); s != "'none'" && !strings.ContainsAny(s, " ;,'\"") && len(sources) < 30 && !contains(sources, s) {
			sources = append(sources, s)
		}
	}
	if client.ApplicationType == "native" {
		sources = append(sources, "http://127.0.0.1:*", "http://[::1]:*")
	}
	w.Header().Set("Content-Security-Policy", strings.Replace(pageCSP, "form-action 'self'", "form-action "+strings.Join(sources, " "), 1))
}

func contains(list []string, s string) bool {
	for _, v := range list {
		if v == s {
			return true
		}
	}
	return false
}

func notFound(w http.ResponseWriter, r *http.Request) error {
	return refusePage(http.StatusNotFound, "There is nothing here", "This address belongs to no page of this service.", "Check the address, or open your account page.")
}

// methodNotAllowed answers a known path with a method it does not take, and says which it takes (RFC 9110 §15.5.6).
func methodNotAllowed(router *mux.Router) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		var allow []string
		for _, m := range []string{"GET", "HEAD", "POST", "PUT", "DELETE"} {
			probe := r.Clone(r.Context())
			probe.Method = m
			var match mux.RouteMatch
			if router.Match(probe, &match) && match.MatchErr == nil && match.Route != nil {
				allow = append(allow, m)
			}
		}
		w.Header().Set("Allow", strings.Join(allow, ", "))
		return refusePage(http.StatusMethodNotAllowed, "This address is not used that way", "It takes "+strings.Join(allow, " or ")+" requests only.", "")
	}
}

// event is what one request leaves in the log: one line, when it ends.
type event struct {
	id      string
	route   string
	err     error
	locales []string // ui_locales of the authorization or logout request (OIDC Core §3.1.2.1)
	browser string   // the reference that this request gave the browser, never written to the log
	attrs   []slog.Attr
}

type eventKey struct{}

func eventOf(r *http.Request) *event {
	if e, ok := r.Context().Value(eventKey{}).(*event); ok {
		return e
	}
	return &event{}
}

// requestID is the reference that a person sees and the log has.
func requestID(r *http.Request) string { return eventOf(r).id }

// note keeps a problem for the request's log line; the first one wins, because later ones follow from it.
func note(r *http.Request, err error) {
	if e := eventOf(r); e.err == nil {
		e.err = err
	}
}

// mention adds a field to the request's log line. Keys are the standards' parameter names; values must never be secrets.
func mention(r *http.Request, key, value string) {
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

// observe wraps the router from outside, so that what matched no route is seen too: request identifier, panics, transport,
// log line, metrics.
func (p *Provider) observe(router *mux.Router) http.Handler {
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
		r = r.WithContext(context.WithValue(r.Context(), eventKey{}, ev))
		w := &statusWriter{ResponseWriter: rw}
		defer func() {
			if v := recover(); v != nil {
				if v == http.ErrAbortHandler {
					panic(v)
				}
				ev.err = fmt.Errorf("panic: %v", v)
				ev.attrs = append(ev.attrs, slog.String("stack", string(debug.Stack())))
				if w.status == 0 {
					http.Error(w, "Something went wrong. Reference: "+ev.id, http.StatusInternalServerError)
				}
			}
			p.logRequest(r, ev, w.status, time.Since(begun))
		}()
		w.Header().Set("X-Request-Id", ev.id)
		if p.secure {
			w.Header().Set("Strict-Transport-Security", "max-age=31536000") // our host alone: those below it may be anybody's
			if !p.overTLS(r) && r.URL.Path != "/healthz" && r.URL.Path != "/readyz" {
				p.insist(w, r)
				return
			}
		}
		router.ServeHTTP(w, r)
	})
}

// insist answers a plain http request to an https issuer: what only reads is sent to the right address, anything else is refused, because
// a secret in it has already crossed the network in clear.
func (p *Provider) insist(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		w.Header().Set("Location", p.base.Scheme+"://"+p.base.Host+r.URL.RequestURI())
		w.WriteHeader(http.StatusPermanentRedirect)
		return
	}
	http.Error(w, "This service is reached by https only. If a proxy in front ends TLS, name its address in trusted_proxies and let it send X-Forwarded-Proto.", http.StatusBadRequest)
}

// statusGone is what is noted of a request whose sender went away before there was an answer: what failed then failed for that reason, and is
// nobody's fault here. Nobody ever receives it.
const statusGone = 499

func (p *Provider) logRequest(r *http.Request, ev *event, status int, took time.Duration) {
	if ev.err != nil && status >= 500 && errors.Is(r.Context().Err(), context.Canceled) {
		status = statusGone
	}
	p.metrics.observe(ev.route, r.Method, status, took)
	level := slog.LevelInfo
	attrs := append([]slog.Attr{
		slog.String("request_id", ev.id), slog.String("method", r.Method), slog.String("route", ev.route),
		slog.Int("status", status), slog.Duration("duration", took), slog.String("address", p.clientAddress(r)),
	}, ev.attrs...)
	if ev.err != nil {
		e := oauth.AsError(ev.err)
		var pe *pageError
		if !errors.As(ev.err, &pe) {
			attrs = append(attrs, slog.String("error", string(e.Code)))
		}
		attrs = append(attrs, slog.String("reason", ev.err.Error()))
		if status >= 500 {
			level = slog.LevelError
		}
	}
	p.Logger.LogAttrs(r.Context(), level, "request", attrs...)
}
