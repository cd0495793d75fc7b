package account

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"latchkey/provider/oauth"
	"latchkey/provider/people"
	"latchkey/provider/storage"
	"latchkey/provider/web"
	"latchkey/templates"
)

// ShowPassword lets a person choose another password. It wants a fresh proof.
func (p *Pages) ShowPassword(w http.ResponseWriter, r *http.Request) error {
	if _, err := oauth.ParseQuery(r.URL.RawQuery); err != nil {
		return err
	}
	session, user, ok, err := p.freshPerson(w, r, passwordPath)
	if err != nil || !ok {
		return err
	}
	return p.renderPassword(w, r, http.StatusOK, session, user, templates.Password{Others: true})
}

func (p *Pages) renderPassword(w http.ResponseWriter, r *http.Request, status int, s storage.Session, u storage.User,
	out templates.Password) error {
	var err error
	if out.Frame, err = p.frame(w, r, u, passwordPath, methodsCSRF(s)); err != nil {
		return err
	}
	out.MinLength = p.Passwords.Least()
	return p.Web.Render(w, r, status, out)
}

// ChangePassword sets another password. Everywhere else the person is signed out, unless they want
// to stay, and this browser gets a new reference to its session.
func (p *Pages) ChangePassword(w http.ResponseWriter, r *http.Request) error {
	form, session, user, ok, err := p.freshForm(w, r, passwordPath)
	if err != nil || !ok {
		return err
	}
	password, out := form.Get("new_password"), templates.Password{Others: form.Has("others")}
	var weak *people.WeakPassword
	switch {
	case password == "" || form.Get("repeat_password") == "":
		out.Error = templates.PasswordMissing
	case password != form.Get("repeat_password"):
		out.Error = templates.PasswordMismatch
	case errors.As(p.Passwords.Check(password, user.Username, user.Claims.Email), &weak):
		out.Error, out.ErrorN = weak.Reason, weak.N
	}
	if out.Error != "" {
		return p.renderPassword(w, r, http.StatusBadRequest, session, user, out)
	}
	ctx := r.Context()
	hash, err := p.People.Hasher.Hash(ctx, password)
	if err != nil {
		return err
	}

	// The change, of the user as they were when they proved who they are.
	e := p.Web.Event(r, user, verbPassword)
	e.Object, e.SessionID = storage.EventParty{Kind: "user", ID: user.ID, Name: user.Username}, session.ID
	e.After, _ = json.Marshal(map[string]string{"password": "changed", "by": "user"})
	if e, err = p.Audit.Begin(ctx, e); err != nil {
		return err
	}
	changed := user
	changed.PasswordHash, changed.UpdatedAt = hash, p.Web.Now()
	err = p.Store.UpdateUser(ctx, changed)
	if errors.Is(err, storage.ErrConflict) || errors.Is(err, storage.ErrNotFound) {
		// Something of the account has changed at this very moment: nothing is set over it unseen.
		p.Audit.Settle(ctx, e, storage.OutcomeRefused, "conflict")
		return web.RefusePage(http.StatusConflict, templates.FormExpired).Because(err)
	}
	if err != nil {
		return fmt.Errorf("set the password: %w", err)
	}
	p.Audit.Settle(ctx, e, storage.OutcomeDone, "")
	p.tell(r, user, verbPassword)

	// What follows from it.
	if out.Others {
		if err := p.endElsewhere(r, user, session); err != nil {
			return err
		}
	}
	if err := p.People.Throttle.Unlock(ctx, user.Username); err != nil {
		return err
	}
	if _, err := p.Sessions.Prove(w, r, session, people.Proof{ACR: session.ACR}); err != nil &&
		!errors.Is(err, storage.ErrConflict) {
		return err
	}
	return p.done(w, passwordPath, "password")
}

// endElsewhere ends the person's other sessions, and all access that outlives a session.
func (p *Pages) endElsewhere(r *http.Request, user storage.User, session storage.Session) error {
	if err := p.Sessions.EndBut(r.Context(), user.ID, session.ID); err != nil {
		return err
	}
	grants, err := p.Store.GrantsOfUser(r.Context(), user.ID, p.Web.Now())
	if err != nil {
		return fmt.Errorf("list grants: %w", err)
	}
	for _, g := range grants {
		if g.SessionID == session.ID {
			continue
		}
		if err := p.Store.RevokeGrant(r.Context(), g.ID, p.Web.Now()); err != nil &&
			!errors.Is(err, storage.ErrNotFound) {
			return fmt.Errorf("revoke grant: %w", err)
		}
	}
	return nil
}

// freshForm reads a form of a page that wants a fresh proof. ok is false when the browser has been
// led on.
func (p *Pages) freshForm(w http.ResponseWriter, r *http.Request, path string) (f oauth.Parameters, s storage.Session,
	u storage.User, ok bool, err error) {
	if f, err = oauth.ParseBody(r); err != nil {
		return f, s, u, false, err
	}
	if s, u, ok, err = p.freshPerson(w, r, path); err != nil || !ok {
		return f, s, u, false, err
	}
	return f, s, u, true, p.Web.CheckCSRF(r, f.Get("csrf"), methodsCSRF(s))
}
