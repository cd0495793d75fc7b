package signin

import (
	"cmp"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"latchkey/provider/access"
	"latchkey/provider/clients"
	"latchkey/provider/oauth"
	"latchkey/provider/storage"
	"latchkey/provider/web"
	"latchkey/templates"
)

// An interaction is what a person is in the middle of. It is bound to the browser that began it,
// and named by its reference in the URL, so that several tabs can be in the middle of different
// things. Every page shows (GET) or records (POST) and leads back to /authorize?i=…, where nextStep
// is asked again. It is stored once something is recorded in it, see sealed.go.

// BeginInteraction begins an interaction for this browser and returns its reference. The caller
// sets Request or ReturnTo.
func (p *Pages) BeginInteraction(w http.ResponseWriter, r *http.Request, i storage.Interaction) (string, error) {
	begun, err := p.begin(w, r, i)
	return begun.ref, err
}

func (p *Pages) begin(w http.ResponseWriter, r *http.Request, i storage.Interaction) (interaction, error) {
	browser, err := p.Web.Browser(w, r)
	if err != nil {
		return interaction{}, err
	}
	i.BrowserHash = storage.Hash(browser)
	return p.newInteraction(r, i)
}

// errInteractionGone is shown when an interaction is gone: too old, or finished in another tab and
// too large to have been in its address.
func errInteractionGone() *web.PageError {
	return web.RefusePage(http.StatusBadRequest, templates.SignInEnded)
}

// finishedError says that an interaction was finished before. It is shown as errInteractionGone,
// with the way back to the application.
type finishedError struct {
	page *web.PageError
	i    interaction
}

func (e *finishedError) Error() string { return e.page.Error() }
func (e *finishedError) Unwrap() error { return e.page }

// kindFinished is the kind under which the identifiers of finished interactions are kept, until
// their references have expired.
const kindFinished = "finished-interaction"

// interaction loads the interaction that a reference names, if it is this browser's. One that
// arrived by a cross-site POST belongs to no browser yet, because the browser sent no cookie along;
// the first browser to come with its identifier is the one that was sent here. The error is a
// *finishedError for one that was finished.
func (p *Pages) interaction(w http.ResponseWriter, r *http.Request, ref string) (interaction, error) {
	i, sealed := p.unseal(ref)
	id := ref
	if sealed {
		id = i.ID
	}
	if id == "" || len(id) > 100 {
		return interaction{}, errInteractionGone()
	}
	switch stored, err := p.Store.Interaction(r.Context(), id); {
	case err == nil:
		i = stored
	case !errors.Is(err, storage.ErrNotFound):
		return interaction{}, fmt.Errorf("load interaction: %w", err)
	case !sealed:
		return interaction{}, errInteractionGone()
	}
	if !p.Web.Now().Before(i.ExpiresAt) {
		return interaction{}, p.lapsed(r, interaction{i, ref})
	}
	if i.BrowserHash == "" {
		browser, err := p.Web.Browser(w, r)
		if err != nil {
			return interaction{}, err
		}
		i.BrowserHash = storage.Hash(browser)
		adopted := interaction{i, ref}
		if there, err := p.updateInteraction(r, &adopted); err != nil || !there {
			return interaction{}, cmp.Or[error](err, errInteractionGone())
		}
		return adopted, nil
	}
	browser := p.Web.Cookie(r, web.BrowserCookie)
	if browser == "" || subtle.ConstantTimeCompare([]byte(storage.Hash(browser)), []byte(i.BrowserHash)) != 1 {
		return interaction{}, web.RefusePage(http.StatusForbidden, templates.OtherBrowser)
	}
	if sealed {
		spent, err := p.Store.Spent(r.Context(), kindFinished, i.ID, p.Web.Now())
		if err != nil {
			return interaction{}, fmt.Errorf("look up interaction: %w", err)
		}
		if spent {
			return interaction{i, ref}, p.finished(r, interaction{i, ref})
		}
	}
	return interaction{i, ref}, nil
}

// finished says that an interaction is over, with the way back to where its application begins.
func (p *Pages) finished(r *http.Request, i interaction) *finishedError {
	page := errInteractionGone()
	if p.Web.Now().Before(i.ExpiresAt) {
		page = web.RefusePage(http.StatusBadRequest, templates.SignInDone)
	}
	if i.Request.ClientID != "" {
		if client, err := p.Store.Client(r.Context(), i.Request.ClientID); err == nil && !client.Disabled {
			page = page.BackTo(start(client, i.Request.RedirectURI), client.Name())
		}
	}
	return &finishedError{page, i}
}

// lapsedError says that an interaction of this browser took too long. It is shown as
// errInteractionGone, with the way back to the application, where it cannot go on.
type lapsedError struct {
	page *web.PageError
	i    interaction
}

func (e *lapsedError) Error() string { return e.page.Error() }
func (e *lapsedError) Unwrap() error { return e.page }

// lapsed is the problem of an interaction that took too long: a *lapsedError for the browser that
// it belongs to.
func (p *Pages) lapsed(r *http.Request, i interaction) error {
	page := p.finished(r, i).page
	browser := p.Web.Cookie(r, web.BrowserCookie)
	if browser == "" || subtle.ConstantTimeCompare([]byte(storage.Hash(browser)), []byte(i.BrowserHash)) != 1 {
		return page
	}
	return &lapsedError{page, i}
}

// anew begins an interaction in place of one that took too long. What was answered in that counts
// no more.
func (p *Pages) anew(w http.ResponseWriter, r *http.Request, old *lapsedError) (interaction, error) {
	if may, err := p.pushedAnew(r.Context(), old.i.Interaction); err != nil || !may {
		return interaction{}, cmp.Or[error](err, old.page)
	}
	return p.begin(w, r, storage.Interaction{Request: old.i.Request, ReturnTo: old.i.ReturnTo, Fresh: old.i.Fresh})
}

// start is where a client begins: its home page or, if it has told none, the root of the host at
// which it was to be answered. "" for one on a device.
func start(client clients.Client, redirectURI string) string {
	if client.ClientURI != "" {
		return client.ClientURI
	}
	redirect, err := client.Redirect(redirectURI)
	if origin := redirect.Origin(); err == nil && origin != "" && client.ApplicationType != "native" {
		return origin + "/"
	}
	return ""
}

// updateInteraction stores a change. It reports false if another tab was faster: the person can
// simply go on from what that one left.
func (p *Pages) updateInteraction(r *http.Request, i *interaction) (bool, error) {
	var err error
	if i.Version == 0 {
		err = p.Store.CreateInteraction(r.Context(), i.Interaction)
	} else {
		err = p.Store.UpdateInteraction(r.Context(), i.Interaction)
	}
	if errors.Is(err, storage.ErrConflict) || errors.Is(err, storage.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("store interaction: %w", err)
	}
	i.Version++
	return true, nil
}

// record stores an answer of the person and leads back to where nextStep is asked again. Of two
// tabs, or of two clicks, one is recorded, and both go on from there.
func (p *Pages) record(w http.ResponseWriter, r *http.Request, i interaction) error {
	if _, err := p.updateInteraction(r, &i); err != nil {
		return err
	}
	return p.Web.SeeOther(w, "/authorize", i.ref)
}

// loadQuestion prepares a page that asks the person something about an authorization request, and
// says with which form value. asked is false when nextStep is no longer at that question: the
// browser has been led on then.
func (p *Pages) loadQuestion(w http.ResponseWriter, r *http.Request, kind stepKind) (at pending, csrf string,
	asked bool, err error) {
	query, err := oauth.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return at, "", false, err
	}
	i, err := p.interaction(w, r, query.Get("i"))
	if err != nil {
		return at, "", false, err
	}
	if i.ReturnTo != "" && kind != stepEnrol { // our own pages ask nothing else
		return at, "", false, p.Web.SeeOther(w, "/authorize", i.ref)
	}
	if at, err = p.reload(r, i); err != nil {
		return at, "", false, err
	}
	if at.step.kind != kind {
		return at, "", false, p.Web.SeeOther(w, "/authorize", i.ref)
	}
	browser, err := p.Web.Browser(w, r)
	if err != nil {
		return at, "", false, err
	}
	return at, p.personalCSRF(browser, at), true, nil
}

// formInteraction reads a posted form and the interaction that it belongs to. The form must have
// been rendered for this browser and interaction.
func (p *Pages) formInteraction(w http.ResponseWriter, r *http.Request) (oauth.Parameters, interaction, error) {
	form, err := oauth.ParseBody(r)
	if err != nil {
		return form, interaction{}, err
	}
	query, err := oauth.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return form, interaction{}, err
	}
	i, err := p.interaction(w, r, query.Get("i"))
	var over *finishedError
	var late *lapsedError
	if errors.As(err, &late) {
		i = late.i
	} else if err != nil && !errors.As(err, &over) {
		return form, i, err
	}
	sent, _, _ := strings.Cut(form.Get("csrf"), ".")
	if csrfErr := p.Web.CheckCSRF(r, sent, "interaction:"+i.ID); err == nil {
		err = csrfErr
	} else if csrfErr != nil {
		return form, i, csrfErr
	}
	return form, i, err
}

// personalCSRF is the value of a form that asks one person something: beside the interaction it
// names whom, and what was shown.
func (p *Pages) personalCSRF(browser string, at pending) string {
	return p.Web.CSRF(browser, "interaction:"+at.Interaction.ID) + "." + p.Web.CSRF(browser, questionOf(at))
}

func questionOf(at pending) string {
	return "person:" + at.Interaction.ID + ":" + at.User.ID + ":" + at.Shown
}

// formShownToCurrentUser reports whether a form asked the person who is signed in now what would be
// asked now. Another tab may have signed somebody else in since, or the client may have changed.
func (p *Pages) formShownToCurrentUser(r *http.Request, form oauth.Parameters, at pending) bool {
	_, sent, _ := strings.Cut(form.Get("csrf"), ".")
	return at.SignedIn && p.Web.CheckCSRF(r, sent, questionOf(at)) == nil
}

// setAnsweredBy records whose answers the interaction holds, and to which question. Answers that
// another user gave before, or to another question, are dropped.
func setAnsweredBy(i *interaction, at pending) {
	if i.PersonID != at.User.ID || i.Shown != at.Shown {
		i.PersonID, i.Shown, i.Selected, i.Consented, i.Skipped = at.User.ID, at.Shown, false, false, false
	}
}

// shown stands for everything that a consent page tells of a request: what the client is, and what
// it asks for.
func shown(client clients.Client, redirect clients.Redirect, req oauth.AuthorizationRequest) string {
	text, err := json.Marshal([]any{client.Appearance(), redirect.String(), req.Scope, access.RequestedClaims(req),
		req.Resource})
	if err != nil {
		panic(err) // plain strings
	}
	return storage.Hash(string(text))
}

// pending is an interaction together with what nextStep thinks of it now.
type pending struct {
	situation
	ref      string // of the interaction, "" if there is none
	redirect clients.Redirect
	step     step
}

// reload loads everything that an interaction with an authorization request depends on again, and
// asks nextStep. The client may have been disabled or changed meanwhile: who it is, where it may be
// answered, and what it may ask for are checked as at first.
func (p *Pages) reload(r *http.Request, i interaction) (pending, error) {
	if i.ReturnTo != "" {
		return p.evaluate(r, clients.Client{}, clients.Redirect{}, i.Request, i)
	}
	client, err := p.Client(r.Context(), i.Request.ClientID)
	if err != nil {
		return pending{}, err
	}
	redirect, err := verifyRedirect(client, i.Request.RedirectURI)
	if err != nil {
		return pending{}, err
	}
	mayErr := p.mayAsk(r.Context(), client, &i.Request)
	at, err := p.evaluate(r, client, redirect, i.Request, i)
	if mayErr == nil || err != nil {
		return at, err
	}
	var refused *oauth.Error
	if !errors.As(mayErr, &refused) {
		return at, mayErr
	}
	at.step = step{kind: stepError, reason: "the client may not ask for this any more", err: refused}
	return at, nil
}

// evaluate gathers the situation of a request and asks nextStep.
func (p *Pages) evaluate(r *http.Request, client clients.Client, redirect clients.Redirect,
	req oauth.AuthorizationRequest, i interaction) (pending, error) {
	web.SetLocales(r, req.UILocales)
	at := pending{ref: i.ref, redirect: redirect, situation: situation{
		Request: req, Client: client, Interaction: i.Interaction, Now: p.Web.Now(), Shown: shown(client, redirect, req),
		Passkeys: p.Passkeys != nil,
	}}
	session, ok, err := p.Sessions.Current(r)
	if err != nil {
		return at, err
	}
	if ok {
		user, err := p.Store.User(r.Context(), session.UserID)
		switch {
		case errors.Is(err, storage.ErrNotFound):
		case err != nil:
			return at, fmt.Errorf("load person of session: %w", err)
		case !user.Disabled:
			at.SignedIn, at.Session, at.User, at.Subject = true, session, user, p.Grants.Subject(client, user.ID)
			if at.Required, err = p.FactorPolicy.Requires(r.Context(), user); err != nil {
				return at, err
			}
		}
	}
	if at.SignedIn && i.ReturnTo == "" && !client.SkipConsent {
		if at.Consent, err = p.Store.Consent(r.Context(), at.User.ID, client.ID); err == nil &&
			(at.Consent.Appearance != client.Identity() || !client.RegisteredBy(at.Consent.UpdatedAt)) {
			at.Consent = storage.Consent{} // it was given to what the client was then
		}
		if err != nil && !errors.Is(err, storage.ErrNotFound) {
			return at, fmt.Errorf("load consent: %w", err)
		}
	}
	if i.ReturnTo != "" {
		at.step = nextOwnStep(at.situation)
	} else {
		at.step = nextStep(at.situation)
	}
	return at, nil
}

// paths of the pages that ask.
var stepPaths = map[stepKind]string{stepLogin: "/login", stepFactor: "/mfa", stepEnrol: "/mfa/enrol",
	stepOffer: "/passkey", stepAccounts: "/accounts", stepConsent: "/consent"}
