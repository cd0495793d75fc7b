package recovery

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"latchkey/provider/letters"
	"latchkey/provider/oauth"
	"latchkey/provider/people"
	"latchkey/provider/storage"
	"latchkey/provider/web"
	"latchkey/templates"
)

// ShowReset opens the link of a mail that lets its reader choose a password. The link leaves the
// address at once: the browser keeps it in a cookie, and the page asks before anything is done,
// since programs that check mails follow links too.
func (p *Pages) ShowReset(w http.ResponseWriter, r *http.Request) error {
	return p.show(w, r, storage.LinkReset)
}

// Reset sets the password, by the link that this browser has opened.
func (p *Pages) Reset(w http.ResponseWriter, r *http.Request) error {
	return p.reset(w, r, storage.LinkReset)
}

// ShowInvitation opens the link of an invitation.
func (p *Pages) ShowInvitation(w http.ResponseWriter, r *http.Request) error {
	return p.show(w, r, storage.LinkInvite)
}

// AcceptInvitation sets the first password of an account.
func (p *Pages) AcceptInvitation(w http.ResponseWriter, r *http.Request) error {
	return p.reset(w, r, storage.LinkInvite)
}

// ShowFinish opens the link that ends the waiting time of who has lost everything.
func (p *Pages) ShowFinish(w http.ResponseWriter, r *http.Request) error {
	return p.show(w, r, storage.LinkLostReady)
}

// Finish sets the password of who has lost everything, and removes their second factors.
func (p *Pages) Finish(w http.ResponseWriter, r *http.Request) error {
	return p.reset(w, r, storage.LinkLostReady)
}

// words are the words of the page that a link of the purpose opens.
var words = map[string]string{
	storage.LinkReset: templates.ResetForgotten, storage.LinkInvite: templates.ResetInvited,
	storage.LinkLostReady: templates.ResetLost,
}

func (p *Pages) show(w http.ResponseWriter, r *http.Request, purpose string) error {
	if _, err := oauth.ParseQuery(r.URL.RawQuery); err != nil {
		return err
	}
	_, user, done, err := p.Letters.Open(w, r, purpose)
	if err != nil || done {
		return err
	}
	return p.renderReset(w, r, http.StatusOK, purpose, user, templates.Reset{})
}

func (p *Pages) renderReset(w http.ResponseWriter, r *http.Request, status int, purpose string, user storage.User,
	page templates.Reset) error {
	browser, err := p.Web.Browser(w, r)
	if err != nil {
		return err
	}
	web.SetReader(r, user.Claims.Locale, user.Claims.Zoneinfo)
	page.Words, page.Person, page.Action, page.MinLength = words[purpose], web.Person(user),
		p.Web.Path+letters.Paths[purpose], p.Passwords.Least()
	page.CSRF = p.Web.CSRF(browser, p.Letters.CSRF(r, purpose))
	return p.Web.Render(w, r, status, page)
}

// reset sets a password by the link that this browser has opened. All sessions end, a lock-out is
// lifted, and the person is told.
func (p *Pages) reset(w http.ResponseWriter, r *http.Request, purpose string) error {
	form, err := oauth.ParseBody(r)
	if err != nil {
		return err
	}
	link, user, err := p.Letters.Opened(r, purpose, form.Get("csrf"))
	if err != nil {
		return err
	}

	// Check everything before the link is used.
	password, page := form.Get("new_password"), templates.Reset{}
	var weak *people.WeakPassword
	switch {
	case password == "" || form.Get("repeat_password") == "":
		page.Error = templates.PasswordMissing
	case password != form.Get("repeat_password"):
		page.Error = templates.PasswordMismatch
	case errors.As(p.Passwords.Check(password, user.Username, user.Claims.Email), &weak):
		page.Error, page.ErrorN = weak.Reason, weak.N
	}
	if page.Error != "" {
		return p.renderReset(w, r, http.StatusBadRequest, purpose, user, page)
	}
	ctx := r.Context()
	hash, err := p.People.Hasher.Hash(ctx, password)
	if err != nil {
		return err
	}

	// The burn, then the change: of the user as they were when the link was checked.
	e := p.Web.Event(r, user, verbReset)
	e.Object = storage.EventParty{Kind: "user", ID: user.ID, Name: user.Username}
	e.After, _ = json.Marshal(map[string]string{"password": "changed", "by": "mail"})
	if e, err = p.Audit.Begin(ctx, e); err != nil {
		return err
	}
	err = p.use(r, link, user, hash)
	if err != nil {
		var gone *web.PageError
		if errors.As(err, &gone) {
			p.Audit.Settle(ctx, e, storage.OutcomeRefused, "link_gone")
		}
		return err
	}
	p.Audit.Settle(ctx, e, storage.OutcomeDone, "")

	if err := p.Sessions.EndAll(ctx, user.ID); err != nil {
		return fmt.Errorf("end the sessions of user %s: %w", user.ID, err)
	}
	if err := p.People.Throttle.Unlock(ctx, user.Username); err != nil {
		return err
	}
	if purpose == storage.LinkLostReady {
		if err := p.Factors.Unlock(ctx, user.Username); err != nil {
			return err
		}
	}
	if err := p.Letters.Notice(r, user, templates.MailPasswordChanged, nil, link.Address); err != nil {
		return err
	}
	if err := p.Letters.Close(w, r); err != nil {
		return err
	}
	return p.Web.SeeOther(w, "/password/reset/done", "")
}

// use burns the link and sets the password. Whoever reads mail at the address that the link went to
// has shown that it is theirs.
func (p *Pages) use(r *http.Request, link storage.Link, user storage.User, hash string) error {
	ctx := r.Context()
	if err := p.Letters.Use(ctx, link); err != nil {
		return err
	}
	user.PasswordHash, user.UpdatedAt = hash, p.Web.Now()
	if link.Address != "" && link.Address == user.Claims.Email && !user.Claims.EmailVerified {
		// One that is another's name stays as it is: nobody could sign in by it.
		taken, err := p.Letters.Taken(ctx, user, link.Address)
		if err != nil {
			return err
		}
		user.Claims.EmailVerified = !taken
	}
	if link.Purpose == storage.LinkLostReady {
		user.Factors = storage.Factors{}
	}
	err := p.Store.UpdateUser(ctx, user)
	if errors.Is(err, storage.ErrConflict) || errors.Is(err, storage.ErrNotFound) {
		return letters.ErrLinkGone().Because(err) // somebody has changed the account at this very moment
	}
	if err != nil {
		return fmt.Errorf("set the password: %w", err)
	}
	return nil
}

// ResetDone says that the password is set.
func (p *Pages) ResetDone(w http.ResponseWriter, r *http.Request) error {
	return p.Web.Render(w, r, http.StatusOK, templates.ResetDone{})
}
