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
	begun, err := p.Factors.PendingTOTP(at.User, at.Session.ID)
	if errors.Is(err, storage.ErrNotFound) {
		begun, err = p.Factors.BeginTOTP(r.Context(), at.User, at.Session.ID)
	}
	if err != nil {
		return err
	}
	return p.Web.Render(w, r, http.StatusOK, p.enrolmentPage(at, csrf, begun))
}

func (p *Pages) enrolmentPage(at pending, csrf string, begun people.Enrolment) templates.EnrolTOTP {
	app := p.Web.App(at.Client, at.redirect)
	action := p.Web.Path + "/mfa/enrol?i=" + at.ref
	return templates.EnrolTOTP{
		App: &app, Person: web.Person(at.User), Action: action, CSRF: csrf, ID: begun.ID, Secret: begun.Secret, URI: begun.URI, CancelAction: action,
	}
}

// Enrol makes the second factor count, once a code of it was seen, or records that the person
// turned back.
func (p *Pages) Enrol(w http.ResponseWriter, r *http.Request) error {
	form, i, err := p.formInteraction(w, r)
	if err != nil {
		return err
	}
	if i.ReturnTo != "" {
		return p.Web.SeeOther(w, "/authorize", i.ref)
	}
	web.Mention(r, "client_id", i.Request.ClientID)
	at, err := p.reload(r, i)
	if err != nil {
		return err
	}
	if form.Get("action") == "cancel" {
		return p.deny(w, r, at)
	}
	if at.step.kind != stepEnrol || !p.formShownToCurrentUser(r, form, at) {
		return p.Web.SeeOther(w, "/authorize", i.ref)
	}
	web.Mention(r, "sub", at.User.ID)
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
	codes, err := p.Factors.ConfirmTOTP(r.Context(), at.User, at.Session.ID, form.Get("id"), form.Get("code"), page.DeviceName)
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
	e := p.Web.Event(r, at.User, verbFactorAdd)
	e.Object, e.SessionID, e.ClientID = storage.EventParty{Kind: "factor", ID: begun.ID}, at.Session.ID, at.Client.ID
	p.Audit.Note(r.Context(), e)
	amr := []string{people.AMROneTime, people.AMRMultiFactor}
	if _, err := p.Sessions.Prove(w, r, at.Session, amr, people.ACRMultiFactor); err != nil && !errors.Is(err, storage.ErrConflict) {
		return err
	}
	if len(codes) == 0 {
		return p.Web.SeeOther(w, "/authorize", i.ref)
	}
	return p.Web.Render(w, r, http.StatusOK, templates.RecoveryCodes{
		App: page.App, Person: page.Person, Codes: codes, ContinueURL: p.Web.Path + "/authorize?i=" + i.ref,
	})
}

// wantsFactor says why a person without a second factor needs one for this request, "" if they do
// not.
func wantsFactor(s situation) string {
	if s.User.Factors.Second() {
		return ""
	}
	if s.Strict {
		return "everybody needs a second factor"
	}
	if s.Client.RequireSecondFactor {
		return "the application requires a second factor"
	}
	want := s.Request.Claims.IDToken["acr"]
	if want.Essential && firstReached(s.Session.ACR, want.Values) == "" && firstReached(people.ACRMultiFactor, want.Values) != "" {
		return "essential acr"
	}
	return ""
}

// freshEnough reports whether the person proved who they are for this request, or a few minutes ago
// at most: whoever finds a browser open must not be able to make a second factor of their own the
// owner's.
func freshEnough(s situation) bool {
	return signedInHere(s) || s.Now.Sub(s.Session.AuthTime) <= FreshFor
}
