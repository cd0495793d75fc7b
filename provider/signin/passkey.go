package signin

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"time"

	"latchkey/provider/oauth"
	"latchkey/provider/people"
	sessions "latchkey/provider/session"
	"latchkey/provider/storage"
	"latchkey/provider/web"
	"latchkey/templates"
)

// passkeyPlace names the browser and the interaction that a challenge of the sign-in page is for.
func passkeyPlace(i interaction) string { return i.ID + " " + i.BrowserHash }

// factorPlace names also whom a challenge is for, and in which session.
func factorPlace(at pending) string {
	return passkeyPlace(interaction{at.Interaction, at.ref}) + " " + at.User.ID + " " + at.Session.ID
}

// passkeyError is the key of the message about an error of people.Passkeys.
func passkeyError(err error) string {
	if errors.Is(err, people.ErrCeremonyOver) {
		return templates.PasskeyOver
	}
	return templates.PasskeyWrong
}

// passkeyReason is the reason in the audit log of an error of people.Passkeys.
func passkeyReason(err error) string {
	switch {
	case errors.Is(err, people.ErrCeremonyOver):
		return reasonChallengeOver
	case errors.Is(err, people.ErrPasskeyUnknown):
		return reasonUnknownPasskey
	case errors.Is(err, people.ErrPasskeyCopied):
		return reasonCopiedPasskey
	}
	return reasonWrongPasskey
}

// loginByPasskey records a sign-in by passkey alone.
func (p *Pages) loginByPasskey(w http.ResponseWriter, r *http.Request, form oauth.Parameters, i interaction,
	page templates.Login) error {
	user, proof, err := p.Passkeys.SignIn(r.Context(), passkeyPlace(i), form.Get("state"), form.Get("answer"))
	var session storage.Session
	if err == nil {
		session, err = p.Sessions.Begin(w, r, user, page.Remember, proof)
	}
	switch {
	case errors.Is(err, people.ErrCeremonyOver), errors.Is(err, people.ErrPasskeyWrong),
		errors.Is(err, sessions.ErrAccountChanged):
		p.Web.Metrics.Login("passkey", "failure")
		p.recordPasskeyFailure(r, user, i.Request.ClientID, passkeyReason(err))
		web.Note(r, err)
		page.Error = passkeyError(err)
		if errors.Is(err, people.ErrPasskeyUnknown) {
			page.Passkey.Unknown, page.Passkey.RPID = credentialOf(form.Get("answer")), p.Passkeys.RPID
		}
		return p.renderLogin(w, r, http.StatusUnauthorized, i, page)
	case err != nil:
		return err
	}
	p.Web.Metrics.Login("passkey", "success")
	web.Mention(r, "sub", user.ID)
	p.recordSignIn(r, user, session, i.Request.ClientID)
	if err := p.Web.RememberDevice(w, r, user); err != nil {
		return err
	}
	i.SignedInAt, i.Offer = session.AuthTime, false
	return p.record(w, r, i)
}

// credentialOf is the credential ID in an answer, so that the browser can forget it; "" if it is
// none.
func credentialOf(answer string) string {
	var said struct {
		ID string `json:"id"`
	}
	if json.Unmarshal([]byte(answer), &said) != nil || len(said.ID) > 2000 {
		return ""
	}
	return said.ID
}

// recordPasskeyFailure records a sign-in by passkey that was refused. user may be zero.
func (p *Pages) recordPasskeyFailure(r *http.Request, user storage.User, clientID, reason string) {
	e := p.Web.Event(r, user, verbSignIn)
	e.ClientID, e.Reason = clientID, reason
	account := "unknown account"
	if user.ID != "" {
		e.Object = storage.EventParty{Kind: "user", ID: user.ID, Name: user.Username}
		account = "account " + user.ID
	}
	network := "network " + people.Network(e.Address)
	p.Audit.Failure(r.Context(), e, network+", "+account+" "+reason, "passkeys")
}

// skip records that the person goes on without what the application only wishes for.
func (p *Pages) skip(w http.ResponseWriter, r *http.Request, i interaction, at pending) error {
	setAnsweredBy(&i, at)
	i.Skipped = true
	return p.record(w, r, i)
}

// offerAgain is how long after a passkey was declined another is offered.
const offerAgain = 90 * 24 * time.Hour

// offersPasskey reports whether the person, who has just typed a password into a browser that could
// keep a passkey, is asked whether they would like one.
func offersPasskey(s situation) bool {
	f := s.User.Factors
	return s.Passkeys && s.Interaction.Offer && signedInHere(s) && slices.Contains(s.Session.AMR, people.AMRPassword) &&
		len(f.Passkeys) == 0 && s.Now.Sub(f.DeclinedAt) > offerAgain
}

// passkeyPage asks for a new passkey, either because one is needed or as an offer.
func (p *Pages) passkeyPage(at pending, csrf string, offer bool) (templates.NewPasskey, error) {
	page := templates.NewPasskey{App: p.appOf(at), Person: web.Person(at.User), CSRF: csrf, Offer: offer,
		Hardware: at.step.acr == people.ACRHardwareProtected}
	page.Action = p.Web.Path + stepPaths[at.step.kind] + "?i=" + at.ref
	begun, err := p.Passkeys.BeginRegistration(at.User, factorPlace(at), people.Registration{Hardware: page.Hardware})
	if err != nil {
		return page, err
	}
	page.Passkey.Options, page.Passkey.State = begun.Options, begun.State
	switch {
	case offer:
		begun, err := p.Passkeys.BeginRegistration(at.User, factorPlace(at), people.Registration{Passing: true})
		if err != nil {
			return page, err
		}
		page.Passkey.PassingOptions, page.Passkey.PassingState = begun.Options, begun.State
		page.SkipAction = page.Action
		return page, nil
	case !people.Reaches(at.step.acr, people.ACRPhishingResistant):
		page.TOTPURL = page.Action
	}
	page.CancelAction = page.Action
	if at.step.wish {
		page.SkipAction = page.Action
	}
	return page, nil
}

// newPasskey registers the passkey that has answered. On success nothing is written yet; otherwise
// the page has been.
func (p *Pages) newPasskey(w http.ResponseWriter, r *http.Request, form oauth.Parameters, at pending,
	offer bool) (codes []string, ok bool, err error) {
	name := people.FactorName(form.Get("name"))
	added, codes, err := p.Passkeys.Register(r.Context(), at.User, factorPlace(at), form.Get("state"),
		form.Get("answer"), name, web.Device(r.UserAgent()), !offer)
	var problem string
	switch {
	case errors.Is(err, people.ErrCeremonyOver), errors.Is(err, people.ErrPasskeyWrong):
		problem = passkeyError(err)
	case errors.Is(err, people.ErrPasskeyKnown):
		problem = templates.PasskeyKnown
	case errors.Is(err, storage.ErrConflict):
		problem = templates.PasskeysFull
	case err != nil:
		return nil, false, err
	default:
		p.recordNewFactor(r, at, storage.EventParty{Kind: "passkey", ID: added.ID(), Name: added.Name})
		return codes, true, nil
	}
	web.Note(r, err)
	browser, err := p.Web.Browser(w, r)
	if err != nil {
		return nil, false, err
	}
	page, err := p.passkeyPage(at, p.personalCSRF(browser, at), offer)
	if err != nil {
		return nil, false, err
	}
	page.Error = problem
	return nil, false, p.Web.Render(w, r, http.StatusBadRequest, page)
}

// ShowOffer offers a passkey to a person who has signed in with a password.
func (p *Pages) ShowOffer(w http.ResponseWriter, r *http.Request) error {
	at, csrf, asked, err := p.loadQuestion(w, r, stepOffer)
	if err != nil || !asked {
		return err
	}
	page, err := p.passkeyPage(at, csrf, true)
	if err != nil {
		return err
	}
	return p.Web.Render(w, r, http.StatusOK, page)
}

// Offer registers the passkey that the person has made, or records that they do not want one. One
// that is made here makes signing in easier; the password alone is as good as before.
func (p *Pages) Offer(w http.ResponseWriter, r *http.Request) error {
	form, i, err := p.formInteraction(w, r)
	if err != nil {
		return err
	}
	web.Mention(r, "client_id", i.Request.ClientID)
	at, err := p.reload(r, i)
	if err != nil {
		return err
	}
	if at.step.kind != stepOffer || !p.formShownToCurrentUser(r, form, at) {
		return p.Web.SeeOther(w, "/authorize", i.ref)
	}
	web.Mention(r, "sub", at.User.ID)
	if form.Get("action") == "passkey" {
		if _, ok, err := p.newPasskey(w, r, form, at, true); err != nil || !ok {
			return err
		}
		return p.Web.SeeOther(w, "/authorize", i.ref)
	}
	if err := p.Store.DeclinePasskey(r.Context(), at.User.ID, p.Web.Now()); err != nil &&
		!errors.Is(err, storage.ErrNotFound) {
		return err
	}
	i.Offer = false
	return p.record(w, r, i)
}
