package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gorilla/mux"

	"latchkey/provider/oauth"
	"latchkey/provider/people"
	"latchkey/provider/storage"
	"latchkey/templates"
)

// Handler answers a request, or returns the problem. Exactly four places write a problem: page, api,
// rest and redirectError.
type Handler func(http.ResponseWriter, *http.Request) error

// page adapts a handler whose problems a person reads.
func (s *Site) page(h Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		setPageHeaders(w.Header())
		if err := h(w, r); err != nil {
			s.errorPage(w, r, err)
		}
	})
}

// form adapts a handler of our own forms: requests that change something must come from our own
// pages. It must not wrap what applications post to across sites (authorize, token, logout …).
func (s *Site) form(h Handler) http.Handler {
	guard := http.NewCrossOriginProtection()
	if err := guard.AddTrustedOrigin(s.Base.Scheme + "://" + s.Base.Host); err != nil {
		panic(err) // New has checked the issuer
	}
	return s.page(func(w http.ResponseWriter, r *http.Request) error {
		if err := guard.Check(r); err != nil {
			return RefusePage(http.StatusForbidden, templates.ForeignForm).Because(err)
		}
		return h(w, r)
	})
}

// apiHeaders are those of every answer to a program, by their canonical names. The slices are
// shared between answers: Header.Set and Header.Add leave them alone.
var apiHeaders = http.Header{
	"Cache-Control":           {"no-store"},
	"Pragma":                  {"no-cache"},
	"X-Content-Type-Options":  {"nosniff"},
	"Referrer-Policy":         {"no-referrer"},
	"X-Frame-Options":         {"DENY"},
	"Content-Security-Policy": {"default-src 'none'; frame-ancestors 'none'"},
}

// publicHeaders are those of every public answer.
var publicHeaders = http.Header{"Access-Control-Allow-Origin": {"*"}, "X-Content-Type-Options": {"nosniff"}}

// api adapts a handler whose problems a program reads (RFC 6749 §5.2, RFC 6750 §3).
func (s *Site) api(h Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		maps.Copy(w.Header(), apiHeaders)
		if err := h(w, r); err != nil {
			s.errorJSON(w, r, err)
		}
	})
}

// cors adapts an api that applications in a browser may call, from the origins that are registered
// for them. There are no cookies in play, so credentials are never allowed.
func (s *Site) cors(methods string, h Handler) http.Handler {
	return s.api(func(w http.ResponseWriter, r *http.Request) error {
		w.Header().Add("Vary", "Origin")
		if origin := r.Header.Get("Origin"); origin != "" && origin != "null" {
			allowed, err := s.Store.OriginAllowed(r.Context(), origin)
			if err != nil {
				return fmt.Errorf("look up origin: %w", err)
			}
			if allowed {
				w.Header().Set("Access-Control-Allow-Origin", origin)
				w.Header().Set("Access-Control-Expose-Headers", "WWW-Authenticate, DPoP-Nonce")
			}
		}
		if r.Method == http.MethodOptions {
			if w.Header().Get("Access-Control-Allow-Origin") != "" {
				w.Header().Set("Access-Control-Allow-Methods", methods)
				w.Header().Set("Access-Control-Allow-Headers", "Authorization, Content-Type, DPoP")
				w.Header().Set("Access-Control-Max-Age", "600")
			}
			w.WriteHeader(http.StatusNoContent)
			return nil
		}
		return h(w, r)
	})
}

// public adapts what is the same for everybody and may be read from any origin: metadata and keys.
func (s *Site) public(h Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		maps.Copy(w.Header(), publicHeaders)
		if r.Method == http.MethodOptions {
			w.Header().Set("Access-Control-Allow-Methods", "GET")
			w.Header().Set("Access-Control-Max-Age", "86400")
			w.WriteHeader(http.StatusNoContent)
			return
		}
		if err := h(w, r); err != nil {
			s.errorJSON(w, r, err)
		}
	})
}

// pageOrJSON adapts what is asked for by people and by programs alike: whoever takes HTML gets a
// page.
func (s *Site) pageOrJSON(h Handler) http.Handler {
	page, api := s.page(h), s.api(h)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.Header.Get("Accept"), "text/html") {
			page.ServeHTTP(w, r)
		} else {
			api.ServeHTTP(w, r)
		}
	})
}

// Render writes a finished page, with the policy that the page declares.
func (s *Site) Render(w http.ResponseWriter, r *http.Request, status int, page templates.Page) error {
	var b bytes.Buffer
	if err := s.Templates.RenderIn(&b, s.Language(r), eventOf(r).zone, page); err != nil {
		return fmt.Errorf("render page: %w", err)
	}
	setPolicy(w.Header(), page.Policy())
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Vary", "Accept-Language")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // the person has gone away: nothing to do about it
	return nil
}

// Language is the one of ours that suits the person best: ui_locales of the request that they are
// in the middle of, then what the browser says.
func (s *Site) Language(r *http.Request) string {
	return s.Templates.Match(eventOf(r).locales, r.Header.Get("Accept-Language"))
}

// PageError is a problem in words for a person. It carries its status and where to go from here.
type PageError struct {
	status  int
	page    templates.Error
	cause   error
	headers http.Header
}

// RefusePage makes a problem that is shown as a page. Its words are the catalogue's: what happened,
// why, what to do next.
func RefusePage(status int, problem templates.Problem) *PageError {
	return &PageError{status: status, page: templates.Error{Problem: problem}}
}

// Because adds the cause, which the log has and the page does not.
func (e *PageError) Because(err error) *PageError { e.cause = err; return e }

// With gives the values that stand in the problem's words.
func (e *PageError) With(args templates.Args) *PageError { e.page.Args = args; return e }

// BackTo shows the way to an application: its home page, or where it begins to sign in. Without an
// address nothing is shown.
func (e *PageError) BackTo(uri, name string) *PageError {
	e.page.BackURL, e.page.BackName = uri, name
	return e
}

// RetryAfter says when to try again (RFC 9110 §10.2.3).
func (e *PageError) RetryAfter(wait time.Duration) *PageError {
	e.headers = http.Header{"Retry-After": {strconv.FormatInt(int64(wait/time.Second)+1, 10)}}
	return e
}

func (e *PageError) Error() string {
	if e.cause != nil {
		return string(e.page.Problem) + ": " + e.cause.Error()
	}
	return string(e.page.Problem)
}

func (e *PageError) Unwrap() error { return e.cause }

// errorPage shows a problem to a person. One of the four places that write a problem.
func (s *Site) errorPage(w http.ResponseWriter, r *http.Request, err error) {
	Note(r, err)
	var pe *PageError
	if !errors.As(err, &pe) {
		e := oauth.AsError(err)
		switch {
		case Unavailable(err):
			pe = RefusePage(http.StatusServiceUnavailable, templates.Unavailable)
			w.Header().Set("Retry-After", "2")
		case e.Code == oauth.ServerError:
			pe = RefusePage(http.StatusInternalServerError, templates.Internal)
		default:
			pe = RefusePage(max(400, e.HTTPStatus()), templates.BadRequest)
			pe.page.Details = [][2]string{{"error", string(e.Code)}, {"error_description", e.Description}}
		}
	}
	pe.page.RequestID = RequestID(r)
	for k, v := range pe.headers {
		w.Header()[k] = v
	}
	if err := s.Render(w, r, pe.status, pe.page); err != nil {
		http.Error(w, "Something went wrong. Reference: "+RequestID(r), http.StatusInternalServerError)
		Note(r, err)
	}
}

// Unavailable reports whether the problem is that the store, or the capacity to hash a password, is
// out of reach for now.
func Unavailable(err error) bool {
	var e *oauth.Error
	if errors.As(err, &e) {
		return e.Code == oauth.TemporarilyUnavailable
	}
	return errors.Is(err, storage.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) ||
		errors.Is(err, people.ErrBusy)
}

// errorJSON tells a problem to a program (RFC 6749 §5.2, RFC 6750 §3). One of the four places that
// write a problem.
func (s *Site) errorJSON(w http.ResponseWriter, r *http.Request, err error) {
	Note(r, err)
	if errors.Is(err, errNoCredentials) {
		// WWW-Authenticate says what is missing. A request without a token hears no error code
		// (RFC 6750 §3.1).
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	e := oauth.AsError(err)
	var pe *PageError
	switch {
	case errors.As(err, &pe):
		e = oauth.Errorf(oauth.InvalidRequest, "%s", pe.page.Text()).WithStatus(pe.status)
	case e.Code == oauth.ServerError && Unavailable(err):
		e = oauth.Errorf(oauth.TemporarilyUnavailable, "the provider cannot answer just now; try again in a moment")
	}
	if e.Code == oauth.TemporarilyUnavailable && w.Header().Get("Retry-After") == "" {
		w.Header().Set("Retry-After", "2")
	}
	if e.Code == oauth.InvalidClient && e.HTTPStatus() == http.StatusUnauthorized &&
		w.Header().Get("WWW-Authenticate") == "" {
		// RFC 6749 §5.2: always for a client that tried the Authorization header, harmless for the
		// others (RFC 9110 §11.6.1 wants it with 401). Libraries that show the challenge in place
		// of the body say then what is wrong, too.
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Basic realm="latchkey", charset="UTF-8", error="%s", error_description="%s"`, e.Code, quotable(e.Description)))
	}
	WriteJSON(w, e.HTTPStatus(), map[string]string{"error": string(e.Code), "error_description": e.Description})
}

// quotable leaves out what may not stand in a quoted string (RFC 6750 §3).
func quotable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' || r == '"' || r == '\\' {
			return -1
		}
		return r
	}, s)
}

// WriteJSON answers with v, which nothing keeps unless the handler has set Cache-Control.
func WriteJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		panic(err) // only our own plain values come here
	}
	if w.Header().Get("Cache-Control") == "" {
		w.Header().Set("Cache-Control", "no-store")
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// notFound answers paths that lead nowhere. The path is logged where metadata is looked for: a
// wrong issuer in a client's configuration is found by it. Any other may hold a secret. A client
// that looks for metadata in the wrong place, because its issuer has a slash too many or lacks a
// part, is told the issuer as it is.
func (s *Site) notFound(w http.ResponseWriter, r *http.Request) error {
	path := r.URL.EscapedPath()
	if strings.Contains(path, "/.well-known/") || strings.HasSuffix(path, "/openid-configuration") {
		Mention(r, "path", path)
		WriteJSON(w, http.StatusNotFound, map[string]string{"error": "not_found",
			"error_description": "there is no metadata here; " +
				"give the application the issuer exactly as it is: " + s.Issuer})
		return nil
	}
	return RefusePage(http.StatusNotFound, templates.NotFound)
}

// methodNotAllowed answers a known path with a method it does not take, and says which it takes
// (RFC 9110 §15.5.6).
func methodNotAllowed(router *mux.Router, table []Endpoint) Handler {
	var methods []string // of any row, in the order of the table
	for _, e := range table {
		for _, m := range e.Methods {
			if !slices.Contains(methods, m) {
				methods = append(methods, m)
			}
		}
	}
	return func(w http.ResponseWriter, r *http.Request) error {
		var allow []string
		for _, m := range methods {
			probe := r.Clone(r.Context())
			probe.Method = m
			var match mux.RouteMatch
			if router.Match(probe, &match) && match.MatchErr == nil && match.Route != nil {
				allow = append(allow, m)
			}
		}
		w.Header().Set("Allow", strings.Join(allow, ", "))
		return RefusePage(http.StatusMethodNotAllowed,
			templates.MethodNotAllowed).With(templates.Args{"methods": allow})
	}
}

// SeeOther leads the browser to a path of ours, with the interaction.
func (s *Site) SeeOther(w http.ResponseWriter, path, interaction string) error {
	location := s.Path + path
	if interaction != "" {
		location += "?i=" + url.QueryEscape(interaction)
	}
	w.Header().Set("Location", location)
	w.WriteHeader(http.StatusSeeOther)
	return nil
}

// Variable is a part of the path.
func Variable(r *http.Request, name string) string { return mux.Vars(r)[name] }
