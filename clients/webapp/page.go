package webapp

import (
	"bytes"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"strings"
	"time"
)

var pageTemplate = template.Must(template.ParseFS(files, "page.html"))

// page is everything that the one template shows.
type page struct {
	Name, Tagline, Issuer, IssuerHost string
	Look                              Look
	Others                            []Link
	Error, Note                       string

	SignedIn                                  bool
	CSRF                                      string
	Who                                       person
	APIs                                      []API
	Calls                                     any
	Answer                                    *answer
	CanRefresh                                bool
	Expiry                                    string
	Algorithm, KeyID, JWKSURI, Header, Claims string

	Ended    string
	EndedWhy ending
}

// Class is the first digit of the status, for its colour.
func (a *answer) Class() int { return a.Status / 100 }

// home shows who is signed in, or the way to sign in.
func (a *app) home(w http.ResponseWriter, r *http.Request) {
	s, ok := a.session(r)
	if !ok {
		a.showSignedOut(w, r)
		return
	}
	p := a.signedInPage(s)
	if s.note != "" {
		a.sessions.update(s.id, func(n *session) { n.note = "" })
	}
	a.render(w, r, http.StatusOK, p)
}

// showSignedOut shows the way to sign in and, once, how the session ended.
func (a *app) showSignedOut(w http.ResponseWriter, r *http.Request) {
	p := a.newPage()
	if c, err := r.Cookie(a.cookie); err == nil {
		if why, ok := a.sessions.ended(c.Value); ok {
			p.EndedWhy = why
			p.Ended = map[ending]string{
				endedHere:       "You signed out of " + a.config.Name + " only. The sign-in service still knows you, so signing in again asks for nothing.",
				endedByProvider: "You were signed out everywhere: the sign-in service told " + a.config.Name + " to end your session.",
				endedOnReturn:   "You were signed out everywhere. " + a.config.Name + " ended your session when you came back.",
				endedRefused:    "Your session has ended: the sign-in service no longer stands for it.",
			}[why]
		}
		a.setCookie(w, a.cookie, "", 0)
	}
	a.render(w, r, http.StatusOK, p)
}

// fail shows what went wrong, in words, on the page where the person is.
func (a *app) fail(w http.ResponseWriter, r *http.Request, status int, words string) {
	p := a.newPage()
	if s, ok := a.session(r); ok {
		p = a.signedInPage(s)
	}
	p.Error = words
	a.render(w, r, status, p)
}

func (a *app) newPage() page {
	p := page{Name: a.config.Name, Tagline: a.config.Tagline, Look: a.config.Look, Others: a.config.Others,
		Issuer: a.config.Issuer, IssuerHost: a.config.Issuer}
	if u, err := url.Parse(a.config.Issuer); err == nil {
		p.IssuerHost = u.Host
	}
	return p
}

func (a *app) signedInPage(s session) page {
	p := a.newPage()
	p.SignedIn, p.CSRF, p.Who, p.Note = true, s.csrf, s.who, s.note
	p.APIs, p.Calls, p.Answer = a.config.APIs, calls, s.answer
	p.CanRefresh = s.refreshToken != ""
	p.Algorithm, p.KeyID, p.Header, p.Claims = s.algorithm, s.keyID, s.header, s.claims
	p.JWKSURI = a.provider.jwksURI()
	if !s.expiry.IsZero() {
		if left := s.expiry.Sub(a.config.Now()).Round(time.Second); left > 0 {
			p.Expiry = fmt.Sprintf("This one is good for another %s.", left)
		} else {
			p.Expiry = "This one has expired: sign in again, or renew the tokens."
		}
	}
	return p
}

// render finishes the page before the first byte is sent.
func (a *app) render(w http.ResponseWriter, r *http.Request, status int, p page) {
	var b bytes.Buffer
	if err := pageTemplate.Execute(&b, p); err != nil {
		a.config.Logger.ErrorContext(r.Context(), "render page", "cause", err)
		http.Error(w, "The page could not be made.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = b.WriteTo(w) // the browser has gone; there is nobody left to tell
}

func (p *provider) jwksURI() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.found == nil {
		return strings.TrimSuffix(p.config.Issuer, "/")
	}
	return p.found.metadata.JWKSURI
}
