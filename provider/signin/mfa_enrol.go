package signin

import (
	"errors"
	"net/http"

	"latchkey/provider/people"
	"latchkey/provider/storage"
	"latchkey/provider/web"
	"latchkey/templates"
)

// ShowEnrolment lets a person set up the second factor that a sign-in needs, in the middle of it.
func (p *Pages) ShowEnrolment(w http.ResponseWriter, r *http.Request) error {
	at, csrf, asked, err := p.loadQuestion(w, r, stepEnrol)
	if err != nil || !asked {
		return err
	}
	if p.enrolsPasskey(at) || p.Passkeys != nil && r.URL.Query().Get("method") == templates.MethodPasskey {
		page, err := p.passkeyPage(at, csrf, false)
		if err != nil {
			return err
		}
		return p.Web.Render(w, r, http.StatusOK, page)
	}
	begun, err := p.Factors.PendingTOTP(at.User, at.Session.ID)
	if errors.Is(err, storage.ErrNotFound) {
		begun, err = p.Factors.BeginTOTP(r.Context(), at.User, at.Session.ID)
	}
	if err != nil {
		return err
	}
	return p.Web.Render(w, r, http.StatusOK, p.enrolmentPage(at, csrf, begun))
}

// enrolsPasskey reports whether nothing but a passkey will do.
func (p *Pages) enrolsPasskey(at pending) bool {
	return p.Passkeys != nil && people.Reaches(at.step.acr, people.ACRPhishingResistant)
}

func (p *Pages) enrolmentPage(at pending, csrf string, begun people.Enrolment) templates.EnrolTOTP {
	action := p.Web.Path + "/mfa/enrol?i=" + at.ref
	page := templates.EnrolTOTP{
		App: p.appOf(at), Person: web.Person(at.User), Action: action, CSRF: csrf, ID: begun.ID, Secret: begun.Secret,
		URI: begun.URI, CancelAction: action,
	}
	if p.Passkeys != nil {
		page.PasskeyURL = action + "&method=" + templates.MethodPasskey
	}
	if at.step.wish {
		page.SkipAction = action
	}
	return page
}

// Enrol makes the second factor count, once a code of it was seen, or records that the person
// turned back.
func (p *Pages) Enrol(w http.ResponseWriter, r *http.Request) error {
	form, i, err := p.formInteraction(w, r)
	if err != nil {
		return err
	}
	web.Mention(r, "client_id", i.Request.ClientID)
	at, err := p.reload(r, i)
	if err != nil {
		return err
	}
	if form.Get("action") == "cancel" && i.ReturnTo == "" {
		return p.deny(w, r, at)
	}
	if at.step.kind != stepEnrol || !p.formShownToCurrentUser(r, form, at) {
		return p.Web.SeeOther(w, "/authorize", i.ref)
	}
	web.Mention(r, "sub", at.User.ID)
	switch {
	case form.Get("action") == "skip" && at.step.wish:
		return p.skip(w, r, i, at)
	case form.Get("action") == "passkey" && p.Passkeys != nil:
		codes, ok, err := p.newPasskey(w, r, form, at, false)
		if err != nil || !ok {
			return err
		}
		return p.enrolled(w, r, at, people.ByNewPasskey(), codes)
	case p.enrolsPasskey(at):
		return p.Web.SeeOther(w, "/authorize", i.ref)
	}
	begun, err := p.Factors.PendingTOTP(at.User, at.Session.ID)
	if errors.Is(err, storage.ErrNotFound) { // too old, or begun anew in another browser
		return p.Web.SeeOther(w, "/authorize", i.ref)
	}
	if err != nil {
		return err
	}
	browser, err := p.Web.Browser(w, r)
	if err != nil {
		return err
	}
	page := p.enrolmentPage(at, p.personalCSRF(browser, at), begun)
	page.DeviceName = people.FactorName(form.Get("name"))
	codes, err := p.Factors.ConfirmTOTP(r.Context(), at.User, at.Session.ID, form.Get("id"), form.Get("code"),
		page.DeviceName)
	switch {
	case errors.Is(err, people.ErrCodeShape):
		page.Error = templates.FactorShape
		return p.Web.Render(w, r, http.StatusBadRequest, page)
	case errors.Is(err, people.ErrCodeWrong):
		page.Error = templates.FactorWrong
		return p.Web.Render(w, r, http.StatusBadRequest, page)
	case errors.Is(err, storage.ErrNotFound), errors.Is(err, storage.ErrConsumed):
		return p.Web.SeeOther(w, "/authorize", i.ref)
	case err != nil:
		return err
	}
	p.recordNewFactor(r, at, storage.EventParty{Kind: "factor", ID: begun.ID})
	return p.enrolled(w, r, at, people.ByOneTimeCode(), codes)
}

// enrolled goes on after a second factor was set up: it counts in this session, and the recovery
// codes that came with it are shown.
func (p *Pages) enrolled(w http.ResponseWriter, r *http.Request, at pending, proof people.Proof, codes []string) error {
	if _, err := p.Sessions.Prove(w, r, at.Session, proof); err != nil && !errors.Is(err, storage.ErrConflict) {
		return err
	}
	if len(codes) == 0 {
		return p.Web.SeeOther(w, "/authorize", at.ref)
	}
	return p.Web.Render(w, r, http.StatusOK, templates.RecoveryCodes{
		App: p.appOf(at), Person: web.Person(at.User), Codes: codes, ContinueURL: p.Web.Path + "/authorize?i=" + at.ref,
	})
}

// appOf describes the application of a request, nil on the way to a page of ours.
func (p *Pages) appOf(at pending) *templates.App {
	if at.Interaction.ReturnTo != "" {
		return nil
	}
	app := p.Web.App(at.Client, at.redirect)
	return &app
}

// freshEnough reports whether the person proved who they are for this request, or a few minutes ago
// at most: whoever finds a browser open must not be able to make a second factor of their own the
// owner's.
func freshEnough(s situation) bool {
	return signedInHere(s) || s.Now.Sub(s.Session.AuthTime) <= FreshFor
}
