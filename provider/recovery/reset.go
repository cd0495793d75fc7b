package recovery

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"latchkey/provider/oauth"
	"latchkey/provider/people"
	"latchkey/provider/storage"
	"latchkey/provider/web"
	"latchkey/templates"
)

// linkCookie holds the link that this browser has opened, so that it does not stay in the address.
// It is sealed, and lasts for the browser's run.
const linkCookie = "latchkey_link"

// ShowReset opens the link of a mail. The link leaves the address at once: the browser keeps it in
// a cookie, and the page asks before anything is done, since programs that check mails follow links
// too.
func (p *Pages) ShowReset(w http.ResponseWriter, r *http.Request) error {
	query, err := oauth.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return err
	}
	if link := query.Get("link"); link != "" {
		if _, _, err := p.holder(r, link); err != nil {
			return err
		}
		if err := p.Web.SetCookie(w, r, linkCookie, link, p.LinkTTL); err != nil {
			return err
		}
		return p.Web.SeeOther(w, "/password/reset", "")
	}
	link := p.Web.Cookie(r, linkCookie)
	_, user, err := p.holder(r, link)
	if err != nil {
		return err
	}
	return p.renderReset(w, r, http.StatusOK, link, user, templates.Reset{})
}

func (p *Pages) renderReset(w http.ResponseWriter, r *http.Request, status int, link string, user storage.User, page templates.Reset) error {
	browser, err := p.Web.Browser(w, r)
	if err != nil {
		return err
	}
	page.Person, page.Action, page.MinLength = web.Person(user), p.Web.Path+"/password/reset", p.Passwords.Least()
	page.CSRF = p.Web.CSRF(browser, "reset:"+link)
	return p.Web.Render(w, r, status, page)
}

func errLinkGone() *web.PageError { return web.RefusePage(http.StatusGone, templates.LinkGone) }

// holder is the link and whom it is for, if it can be used now.
func (p *Pages) holder(r *http.Request, value string) (storage.Link, storage.User, error) {
	if value == "" || len(value) > 200 {
		return storage.Link{}, storage.User{}, errLinkGone()
	}
	link, err := p.Store.Link(r.Context(), storage.LinkReset, storage.Hash(value))
	if errors.Is(err, storage.ErrNotFound) || err == nil && (!link.UsedAt.IsZero() || !p.Web.Now().Before(link.ExpiresAt)) {
		return link, storage.User{}, errLinkGone()
	}
	if err != nil {
		return link, storage.User{}, fmt.Errorf("load link: %w", err)
	}
	user, err := p.Store.User(r.Context(), link.UserID)
	if errors.Is(err, storage.ErrNotFound) || err == nil && (user.Disabled || stateOf(user) != link.State) {
		return link, user, errLinkGone()
	}
	if err != nil {
		return link, user, fmt.Errorf("load user: %w", err)
	}
	web.Mention(r, "sub", user.ID)
	return link, user, nil
}

// Reset sets the password, by the link that this browser has opened. All sessions end, a lock-out
// is lifted, and the person is told.
func (p *Pages) Reset(w http.ResponseWriter, r *http.Request) error {
	form, err := oauth.ParseBody(r)
	if err != nil {
		return err
	}
	value := p.Web.Cookie(r, linkCookie)
	if err := p.Web.CheckCSRF(r, form.Get("csrf"), "reset:"+value); err != nil {
		return err
	}
	link, user, err := p.holder(r, value)
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
		return p.renderReset(w, r, http.StatusBadRequest, value, user, page)
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
	err = p.Mails.Put(ctx, storage.Mail{Kind: kindChanged, UserID: user.ID, To: link.Address, Lang: p.Web.Language(r),
		Args: map[string]string{"address": p.Web.ClientAddress(r)}}, noticeLife)
	if err != nil {
		return err
	}
	if err := p.Web.SetCookie(w, r, linkCookie, "", -time.Second); err != nil {
		return err
	}
	return p.Web.SeeOther(w, "/password/reset/done", "")
}

// use burns the link and sets the password. Whoever reads mail at the address that the link went to
// has shown that it is theirs.
func (p *Pages) use(r *http.Request, link storage.Link, user storage.User, hash string) error {
	ctx := r.Context()
	_, err := p.Store.UseLink(ctx, storage.LinkReset, link.Hash, p.Web.Now())
	if errors.Is(err, storage.ErrNotFound) || errors.Is(err, storage.ErrConsumed) {
		return errLinkGone()
	}
	if err != nil {
		return fmt.Errorf("use link: %w", err)
	}
	user.PasswordHash, user.UpdatedAt = hash, p.Web.Now()
	user.Claims.EmailVerified = user.Claims.EmailVerified || link.Address == user.Claims.Email
	err = p.Store.UpdateUser(ctx, user)
	if errors.Is(err, storage.ErrConflict) || errors.Is(err, storage.ErrNotFound) {
		return errLinkGone().Because(err) // somebody has changed the account at this very moment
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
