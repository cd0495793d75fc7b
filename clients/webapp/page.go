package webapp

import (
	"bytes"
	"cmp"
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
	T                           *texts
	Name, Tagline, Issuer       string
	Welcome, Explanation        string
	Look                        Look
	Kind                        Kind
	Others                      []Link
	Error, Note                 string
	SignInAgain                 bool // is the way out
	Ended                       string
	EndedWhy                    ending
	SignedIn                    bool
	CSRF                        string
	Who                         person
	Notes                       []note
	Wall                        []hanging
	Ledger                      ledgerPage
	APIs                        []API
	Calls                       []string
	Answer                      *answer
	CanRefresh                  bool
	Expiry, Footer              string
	Algorithm, KeyID            string
	Verified, Header, Claims    string
	MaxNote, MaxCaption, MaxFor int
}

// home shows the application to people who are signed in. A visitor whom it does not know may be
// known at the provider: it asks there, and the visitor is asked for nothing.
func (a *app) home(w http.ResponseWriter, r *http.Request) {
	s, ok := a.session(r)
	worn := ok && a.config.Kind == KindLedger && !s.expiry.IsZero() && !a.config.Now().Before(s.expiry)
	if (!ok || worn) && a.mayAskSilently(r) && a.leave(w, r, visit{silent: true}) {
		return
	}
	if c, err := r.Cookie(a.askedCookie); err == nil && c.Value == askedJustNow {
		a.setCookie(w, a.askedCookie, "", 0) // the next visit may ask again
	}
	if !ok {
		a.showSignedOut(w, r)
		return
	}
	p := a.signedInPage(r, s)
	if s.note != "" {
		a.sessions.update(s.id, func(n *session) { n.note = "" })
	}
	a.render(w, r, http.StatusOK, p)
}

// showSignedOut shows the way to sign in and, once, how the session ended.
func (a *app) showSignedOut(w http.ResponseWriter, r *http.Request) {
	p := a.newPage(r)
	if c, err := r.Cookie(a.cookie); err == nil {
		if why, ok := a.sessions.ended(c.Value); ok {
			p.EndedWhy = why
			p.Ended = fmt.Sprintf(map[ending]string{
				endedHere: p.T.EndedHere, endedByProvider: p.T.EndedBackchannel, endedOnReturn: p.T.EndedReturn,
				endedRefused: p.T.EndedRefused,
			}[why], a.config.Name)
		}
		a.setCookie(w, a.cookie, "", 0)
	}
	a.render(w, r, http.StatusOK, p)
}

// fail shows what went wrong, in words, on the page where the person is.
func (a *app) fail(w http.ResponseWriter, r *http.Request, status int, words string) {
	p := a.newPage(r)
	if s, ok := a.session(r); ok {
		p = a.signedInPage(r, s)
		p.SignInAgain = p.SignInAgain || words == p.T.AccessRanOut
	}
	p.Error = words
	a.render(w, r, status, p)
}

func (a *app) newPage(r *http.Request) page {
	t := textsFor(r)
	host := a.config.Issuer
	if u, err := url.Parse(a.config.Issuer); err == nil {
		host = u.Host
	}
	return page{T: t, Name: a.config.Name, Look: a.config.Look, Kind: a.config.Kind, Others: a.config.Others,
		Issuer: a.config.Issuer,
		Tagline: cmp.Or(a.config.Tagline, map[Kind]string{KindNotes: t.TaglineNotes, KindPhotos: t.TaglinePhotos,
			KindLedger: t.TaglineLedger}[a.config.Kind]),
		Welcome: map[Kind]string{KindNotes: t.WelcomeNotes, KindPhotos: t.WelcomePhotos,
			KindLedger: t.WelcomeLedger}[a.config.Kind],
		Explanation: fmt.Sprintf(t.WelcomeText, a.config.Name, host), Footer: fmt.Sprintf(t.Footer, a.config.Issuer),
		MaxNote: maxNote, MaxCaption: maxCaption, MaxFor: maxWhat}
}

func (a *app) signedInPage(r *http.Request, s session) page {
	p := a.newPage(r)
	p.SignedIn, p.CSRF, p.Who, p.Note = true, s.csrf, s.who, s.note
	p.SignInAgain = s.note == p.T.AccessRanOut
	switch a.config.Kind {
	case KindNotes:
		p.Notes = a.ownNotes(s.subject)
	case KindPhotos:
		p.Wall = a.wall(p.T, s.subject)
	case KindLedger:
		p.Ledger = a.readLedger(r.Context(), p.T, s)
		p.SignInAgain = p.SignInAgain || p.Ledger.Ended
	}
	p.APIs, p.Answer = a.config.APIs, s.answer
	for _, c := range calls {
		p.Calls = append(p.Calls, c.Way)
	}
	p.CanRefresh = s.refreshToken != ""
	p.Algorithm, p.KeyID, p.Header, p.Claims = s.algorithm, s.keyID, s.header, s.claims
	p.Verified = fmt.Sprintf(p.T.Verified, s.algorithm, s.keyID, a.provider.jwksURI())
	if !s.expiry.IsZero() {
		if left := s.expiry.Sub(a.config.Now()).Round(time.Second); left > 0 {
			p.Expiry = fmt.Sprintf(p.T.GoodFor, left)
		} else {
			p.Expiry = p.T.Expired
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
