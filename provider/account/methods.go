package account

import (
	"errors"
	"fmt"
	"net/http"

	"latchkey/provider/oauth"
	"latchkey/provider/people"
	"latchkey/provider/storage"
	"latchkey/provider/web"
	"latchkey/templates"
)

// Methods shows a person how they prove who they are.
func (p *Pages) Methods(w http.ResponseWriter, r *http.Request) error {
	if _, err := oauth.ParseQuery(r.URL.RawQuery); err != nil {
		return err
	}
	session, user, ok, err := p.freshPerson(w, r, methodsPath)
	if err != nil || !ok {
		return err
	}
	frame, err := p.frame(w, r, user, methodsPath, methodsCSRF(session))
	if err != nil {
		return err
	}
	needed, err := p.SignIn.FactorPolicy.Requires(r.Context(), user)
	if err != nil {
		return err
	}
	page := templates.Methods{Frame: frame, RecoveryLeft: user.Factors.RecoveryLeft(), Needed: needed != ""}
	if err := p.passkeysOf(&page, user, session); err != nil {
		return err
	}
	for _, t := range user.Factors.Confirmed() {
		page.Authenticator = append(page.Authenticator, templates.Authenticator{ID: t.ID, Name: t.Name,
			Added: t.ConfirmedAt, LastUsed: t.LastUsed})
	}
	page.Full = len(page.Authenticator) >= people.MostTOTP
	return p.Web.Render(w, r, http.StatusOK, page)
}

// ChangeMethods does what a form of the page asks for.
func (p *Pages) ChangeMethods(w http.ResponseWriter, r *http.Request) error {
	form, session, user, ok, err := p.freshForm(w, r, methodsPath)
	if err != nil || !ok {
		return err
	}
	ctx, id := r.Context(), form.Get("id")
	switch form.Get("action") {
	case "add-totp":
		_, err := p.Factors.BeginTOTP(ctx, user, session.ID)
		if errors.Is(err, storage.ErrConflict) { // as many as there can be; the page says so
			return p.Web.SeeOther(w, methodsPath, "")
		}
		if err != nil {
			return err
		}
		return p.Web.SeeOther(w, methodsPath+"/totp", "")
	case "rename":
		return p.methodChanged(w, r, user, session, verbRenameMethod, id, "renamed", p.Store.RenameTOTP(ctx, user.ID,
			id, people.FactorName(form.Get("name"))))
	case "remove":
		return p.methodChanged(w, r, user, session, verbRemoveMethod, id, "removed", p.Store.RemoveTOTP(ctx, user.ID, id))
	case "passkey":
		return p.addPasskey(w, r, form, user, session)
	case "require-passkeys":
		return p.requirePasskeys(w, r, user, session)
	case "rename-passkey", "remove-passkey":
		return p.changePasskey(w, r, form, user, session)
	case "recovery":
		if !user.Factors.Second() {
			return gone(templates.MethodGone)
		}
		codes, err := p.Factors.NewRecoveryCodes(ctx, user)
		if err != nil {
			return err
		}
		p.record(r, user, session.ID, verbRecoveryCodes, "user", user.ID)
		return p.showRecoveryCodes(w, r, user, codes)
	}
	return web.RefusePage(http.StatusBadRequest, templates.NothingChosen)
}

// methodChanged answers after a change of one sign-in method, err being what came of it.
func (p *Pages) methodChanged(w http.ResponseWriter, r *http.Request, u storage.User, s storage.Session, verb, id,
	notice string, err error) error {
	if errors.Is(err, storage.ErrNotFound) {
		return gone(templates.MethodGone)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", verb, err)
	}
	p.record(r, u, s.ID, verb, "factor", id)
	return p.done(w, methodsPath, notice)
}

func (p *Pages) showRecoveryCodes(w http.ResponseWriter, r *http.Request, user storage.User, codes []string) error {
	return p.Web.Render(w, r, http.StatusOK, templates.RecoveryCodes{
		Person: web.Person(user), Codes: codes, ContinueURL: p.Web.Path + methodsPath,
	})
}

// EnrolTOTP shows the secret of an authenticator application that is being set up, until a code of
// it was seen.
func (p *Pages) EnrolTOTP(w http.ResponseWriter, r *http.Request) error {
	session, user, ok, err := p.freshPerson(w, r, methodsPath)
	if err != nil || !ok {
		return err
	}
	begun, err := p.Factors.PendingTOTP(user, session.ID)
	if errors.Is(err, storage.ErrNotFound) {
		return p.Web.SeeOther(w, methodsPath, "")
	}
	if err != nil {
		return err
	}
	return p.renderEnrolment(w, r, http.StatusOK, session, user, begun, templates.EnrolTOTP{})
}

func (p *Pages) renderEnrolment(w http.ResponseWriter, r *http.Request, status int, s storage.Session, u storage.User,
	e people.Enrolment,
	page templates.EnrolTOTP) error {
	browser, err := p.Web.Browser(w, r)
	if err != nil {
		return err
	}
	page.Person, page.Action, page.CSRF = web.Person(u), p.Web.Path+methodsPath+"/totp",
		p.Web.CSRF(browser, methodsCSRF(s))
	page.ID, page.Secret, page.URI, page.CancelURL = e.ID, e.Secret, e.URI, p.Web.Path+methodsPath
	return p.Web.Render(w, r, status, page)
}

// ConfirmTOTP makes an authenticator application count, once a code of it was seen. What was proved
// by that is noted in the session.
func (p *Pages) ConfirmTOTP(w http.ResponseWriter, r *http.Request) error {
	form, session, user, ok, err := p.freshForm(w, r, methodsPath)
	if err != nil || !ok {
		return err
	}
	begun, err := p.Factors.PendingTOTP(user, session.ID)
	if errors.Is(err, storage.ErrNotFound) {
		return gone(templates.MethodGone)
	}
	if err != nil {
		return err
	}
	page := templates.EnrolTOTP{DeviceName: people.FactorName(form.Get("name"))}
	codes, err := p.Factors.ConfirmTOTP(r.Context(), user, session.ID, form.Get("id"), form.Get("code"),
		page.DeviceName)
	switch {
	case errors.Is(err, people.ErrCodeShape):
		page.Error = templates.FactorShape
		return p.renderEnrolment(w, r, http.StatusBadRequest, session, user, begun, page)
	case errors.Is(err, people.ErrCodeWrong):
		page.Error = templates.FactorWrong
		return p.renderEnrolment(w, r, http.StatusBadRequest, session, user, begun, page)
	case errors.Is(err, storage.ErrNotFound), errors.Is(err, storage.ErrConsumed):
		return gone(templates.MethodGone)
	case err != nil:
		return err
	}
	p.record(r, user, session.ID, verbAddMethod, "factor", begun.ID)
	if _, err := p.Sessions.Prove(w, r, session, people.ByOneTimeCode()); err != nil &&
		!errors.Is(err, storage.ErrConflict) {
		return err
	}
	if len(codes) > 0 {
		return p.showRecoveryCodes(w, r, user, codes)
	}
	return p.done(w, methodsPath, "added")
}
