package signin

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"latchkey/provider/clients"
	"latchkey/provider/oauth"
	"latchkey/provider/storage"
	"latchkey/provider/web"
	"latchkey/templates"
)

// An interaction is what a person is in the middle of. It is stored, bound to the browser that began it, and known by its identifier in the
// URL, so that several tabs can be in the middle of different things. Every page shows (GET) or records (POST) and leads back to
// /authorize?i=…, where nextStep is asked again.

// BeginInteraction stores an interaction for this browser and returns its identifier. The caller sets Request or ReturnTo.
func (p *Pages) BeginInteraction(w http.ResponseWriter, r *http.Request, i storage.Interaction) (string, error) {
	browser, err := p.Web.Browser(w, r)
	if err != nil {
		return "", err
	}
	i.BrowserHash = storage.Hash(browser)
	return p.storeInteraction(r, i)
}

func (p *Pages) storeInteraction(r *http.Request, i storage.Interaction) (string, error) {
	i.ID = storage.Random()
	i.CreatedAt = p.Web.Now()
	i.ExpiresAt = i.CreatedAt.Add(p.InteractionTTL)
	if err := p.Store.CreateInteraction(r.Context(), i); err != nil {
		return "", fmt.Errorf("store interaction: %w", err)
	}
	return i.ID, nil
}

// errInteractionGone is shown when an interaction is gone: finished in another tab, by the back button, or too old.
func errInteractionGone() *web.PageError {
	return web.RefusePage(http.StatusBadRequest, templates.SignInEnded)
}

// interaction loads the interaction named by i, if it is this browser's. One that arrived by a cross-site POST belongs to nobody
// yet, because the browser sent no cookie along; the first browser to come with its identifier is the one that was sent here.
func (p *Pages) interaction(w http.ResponseWriter, r *http.Request, id string) (storage.Interaction, error) {
	if id == "" {
		return storage.Interaction{}, errInteractionGone()
	}
	i, err := p.Store.Interaction(r.Context(), id)
	if errors.Is(err, storage.ErrNotFound) {
		return storage.Interaction{}, errInteractionGone()
	}
	if err != nil {
		return storage.Interaction{}, fmt.Errorf("load interaction: %w", err)
	}
	if !p.Web.Now().Before(i.ExpiresAt) {
		gone := errInteractionGone()
		if client, err := p.Store.Client(r.Context(), i.Request.ClientID); err == nil && !client.Disabled {
			gone = gone.BackTo(client.ClientURI, client.Name())
		}
		return storage.Interaction{}, gone
	}
	if i.BrowserHash == "" {
		browser, err := p.Web.Browser(w, r)
		if err != nil {
			return storage.Interaction{}, err
		}
		i.BrowserHash = storage.Hash(browser)
		return i, p.updateInteraction(r, &i)
	}
	browser := p.Web.Cookie(r, web.BrowserCookie)
	if browser == "" || subtle.ConstantTimeCompare([]byte(storage.Hash(browser)), []byte(i.BrowserHash)) != 1 {
		return storage.Interaction{}, web.RefusePage(http.StatusForbidden, templates.OtherBrowser)
	}
	return i, nil
}

// updateInteraction stores a change. Another tab that was faster has changed it too; the person can simply go on from there.
func (p *Pages) updateInteraction(r *http.Request, i *storage.Interaction) error {
	err := p.Store.UpdateInteraction(r.Context(), *i)
	if errors.Is(err, storage.ErrConflict) || errors.Is(err, storage.ErrNotFound) {
		return errInteractionGone()
	}
	if err != nil {
		return fmt.Errorf("update interaction: %w", err)
	}
	i.Version++
	return nil
}

// loadQuestion prepares a page that asks the person something about an authorization request, and says with which form value. asked is false when
// nextStep is no longer at that question: the browser has been led on then.
func (p *Pages) loadQuestion(w http.ResponseWriter, r *http.Request, kind stepKind) (at pending, csrf string, asked bool, err error) {
	query, err := oauth.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return at, "", false, err
	}
	i, err := p.interaction(w, r, query.Get("i"))
	if err != nil {
		return at, "", false, err
	}
	if i.ReturnTo != "" {
		return at, "", false, p.Web.SeeOther(w, "/authorize", i.ID)
	}
	if at, err = p.reload(r, i); err != nil {
		return at, "", false, err
	}
	if at.step.kind != kind {
		return at, "", false, p.Web.SeeOther(w, "/authorize", i.ID)
	}
	browser, err := p.Web.Browser(w, r)
	if err != nil {
		return at, "", false, err
	}
	return at, p.personalCSRF(browser, at), true, nil
}

// formInteraction reads a posted form and the interaction that it belongs to. The form must have been rendered for this browser and interaction.
func (p *Pages) formInteraction(w http.ResponseWriter, r *http.Request) (oauth.Parameters, storage.Interaction, error) {
	form, err := oauth.ParseBody(r)
	if err != nil {
		return form, storage.Interaction{}, err
	}
	query, err := oauth.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return form, storage.Interaction{}, err
	}
	i, err := p.interaction(w, r, query.Get("i"))
	if err != nil {
		return form, i, err
	}
	sent, _, _ := strings.Cut(form.Get("csrf"), ".")
	return form, i, p.Web.CheckCSRF(r, sent, "interaction:"+i.ID)
}

// personalCSRF is the value of a form that asks one person something: beside the interaction it names whom.
func (p *Pages) personalCSRF(browser string, at pending) string {
	return p.Web.CSRF(browser, "interaction:"+at.Interaction.ID) + "." + p.Web.CSRF(browser, "person:"+at.Interaction.ID+":"+at.User.ID)
}

// formShownToCurrentUser reports whether a form was shown to the person who is signed in now. Another tab may have signed somebody else in since.
func (p *Pages) formShownToCurrentUser(r *http.Request, form oauth.Parameters, at pending) bool {
	_, sent, _ := strings.Cut(form.Get("csrf"), ".")
	return at.SignedIn && p.Web.CheckCSRF(r, sent, "person:"+at.Interaction.ID+":"+at.User.ID) == nil
}

// setAnsweredBy notes that what is answered in the interaction from now on is the word of this person; what another one said counts no more.
func setAnsweredBy(i *storage.Interaction, user storage.User) {
	if i.PersonID != user.ID {
		i.PersonID, i.Selected, i.Consented = user.ID, false, false
	}
}

// pending is an interaction together with what nextStep thinks of it now.
type pending struct {
	situation
	redirect clients.Redirect
	step     step
}

// reload loads everything that an interaction with an authorization request depends on, anew, and asks nextStep. The
// client may have been disabled or changed meanwhile: it is checked like the first time.
func (p *Pages) reload(r *http.Request, i storage.Interaction) (pending, error) {
	client, err := p.Client(r.Context(), i.Request.ClientID)
	if err != nil {
		return pending{}, err
	}
	redirect, err := verifyRedirect(client, i.Request.RedirectURI)
	if err != nil {
		return pending{}, err
	}
	return p.evaluate(r, client, redirect, i.Request, i)
}

// evaluate gathers the situation of a request and asks nextStep.
func (p *Pages) evaluate(r *http.Request, client clients.Client, redirect clients.Redirect, req oauth.AuthorizationRequest, i storage.Interaction) (pending, error) {
	web.SetLocales(r, req.UILocales)
	at := pending{situation: situation{Request: req, Client: client, Interaction: i, Now: p.Web.Now()}, redirect: redirect}
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
		}
	}
	if at.SignedIn && !client.SkipConsent {
		at.Consent, err = p.Store.Consent(r.Context(), at.User.ID, client.ID)
		if err != nil && !errors.Is(err, storage.ErrNotFound) {
			return at, fmt.Errorf("load consent: %w", err)
		}
	}
	at.step = nextStep(at.situation)
	return at, nil
}

// paths of the pages that ask.
var stepPaths = map[stepKind]string{stepLogin: "/login", stepAccounts: "/accounts", stepConsent: "/consent"}
