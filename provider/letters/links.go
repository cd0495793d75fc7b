package letters

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"latchkey/provider/mail"
	"latchkey/provider/storage"
	"latchkey/provider/web"
	"latchkey/templates"
)

// Cookie holds the link that a browser has opened, so that it does not stay in the address. It is
// sealed, and lasts for as long as the link works at most.
const Cookie = "latchkey_link"

// purposes are those of the links in mails of the kinds that carry one.
var purposes = map[string]string{
	templates.MailReset: storage.LinkReset, templates.MailAddress: storage.LinkAddress,
	templates.MailInvite: storage.LinkInvite,
	templates.MailLost:   storage.LinkLost, templates.MailLostBegun: storage.LinkLostStop,
	templates.MailLostReady: storage.LinkLostReady,
}

// Paths of the pages that links open, by purpose.
var Paths = map[string]string{
	storage.LinkReset: "/password/reset", storage.LinkAddress: "/account/address/confirm",
	storage.LinkInvite: "/invitation", storage.LinkSignUp: "/sign-up/finish",
	storage.LinkLost: "/recovery/begin", storage.LinkLostStop: "/recovery/stop",
	storage.LinkLostReady: "/recovery/finish",
}

// readyTTL is how long the link works that ends the waiting time of a recovery.
const readyTTL = 24 * time.Hour

// linkFor makes the link of a mail, and says for how long what the mail speaks of is so: "" for an
// address that belongs to somebody else; mail.ErrNobody when the mail has no reason any more.
func (l *Letters) linkFor(ctx context.Context, purpose string, user storage.User, to string,
	m storage.Mail) (address string, valid time.Duration, err error) {
	now := l.Web.Now()
	until := m.CreatedAt.Add(l.LinkTTL)
	switch purpose {
	case storage.LinkInvite:
		until = m.CreatedAt.Add(l.InvitationTTL)
	case storage.LinkAddress:
		owner, err := l.owner(ctx, to)
		if err != nil || owner.ID != "" && owner.ID != user.ID {
			return "", 0, err
		}
	case storage.LinkLostStop, storage.LinkLostReady:
		begun, err := l.Store.LinkOf(ctx, storage.LinkLostWait, user.ID)
		if errors.Is(err, storage.ErrNotFound) || err == nil && (!begun.UsedAt.IsZero() ||
			begun.State != State(storage.LinkLostWait, user)) {
			return "", 0, mail.ErrNobody
		}
		if err != nil {
			return "", 0, fmt.Errorf("load the recovery: %w", err)
		}
		if until = begun.ExpiresAt; purpose == storage.LinkLostReady {
			if now.Before(begun.ExpiresAt) {
				return "", 0, mail.ErrNobody // another recovery was begun since, and has a mail of its own
			}
			until = now.Add(readyTTL)
		}
	}
	value, err := l.NewLink(ctx, purpose, user, to, until)
	return l.Web.URL(Paths[purpose]) + "?link=" + url.QueryEscape(value), until.Sub(now), err
}

// NewLink makes a link and returns the value that stands in its address. It takes the place of
// every earlier one of the user for this purpose.
func (l *Letters) NewLink(ctx context.Context, purpose string, user storage.User, to string, until time.Time) (string,
	error) {
	value := storage.Random()
	return value, l.Store.ReplaceLink(ctx, storage.Link{Hash: storage.Hash(value), Purpose: purpose, UserID: user.ID,
		Address: to,
		State:   State(purpose, user), CreatedAt: l.Web.Now(), ExpiresAt: until})
}

// State changes whenever what a link of this purpose rests on does, so that a link made before is
// void.
func State(purpose string, u storage.User) string {
	rests := u.PasswordHash + "\x00" + u.Claims.Email
	switch purpose {
	case storage.LinkLost, storage.LinkLostStop, storage.LinkLostWait, storage.LinkLostReady:
		// Whoever has used a second factor meanwhile has not lost everything.
		factors, err := json.Marshal(u.Factors)
		if err != nil {
			panic(err) // plain values
		}
		rests += "\x00" + string(factors)
	}
	return storage.Hash(rests)
}

// ErrLinkGone is the problem of a link that does not work any more.
func ErrLinkGone() *web.PageError { return web.RefusePage(http.StatusGone, templates.LinkGone) }

// Open answers the request with which a browser opens the page of a purpose. A link in its address
// goes into a cookie, and the browser comes again without it: done is true then. Otherwise it is
// the link that this browser has opened, and whom it is for.
func (l *Letters) Open(w http.ResponseWriter, r *http.Request, purpose string) (link storage.Link, user storage.User,
	done bool, err error) {
	if value := r.URL.Query().Get("link"); value != "" {
		if link, user, err = l.holder(r, purpose, value); err != nil {
			return link, user, false, err
		}
		life := min(link.ExpiresAt.Sub(l.Web.Now()), time.Hour)
		if err := l.Web.SetCookie(w, r, Cookie, value, life); err != nil {
			return link, user, false, err
		}
		return link, user, true, l.Web.SeeOther(w, Paths[purpose], "")
	}
	link, user, err = l.holder(r, purpose, l.Web.Cookie(r, Cookie))
	return link, user, false, err
}

// CSRF is what the form of the page of a link is for.
func (l *Letters) CSRF(r *http.Request, purpose string) string {
	return purpose + ":" + l.Web.Cookie(r, Cookie)
}

// Opened is the link that this browser has opened, and whom it is for, when the form of its page is
// sent.
func (l *Letters) Opened(r *http.Request, purpose, csrf string) (storage.Link, storage.User, error) {
	if err := l.Web.CheckCSRF(r, csrf, l.CSRF(r, purpose)); err != nil {
		return storage.Link{}, storage.User{}, err
	}
	return l.holder(r, purpose, l.Web.Cookie(r, Cookie))
}

// Use burns a link: of any number of callers one gets no error.
func (l *Letters) Use(ctx context.Context, link storage.Link) error {
	_, err := l.Store.UseLink(ctx, link.Purpose, link.Hash, l.Web.Now())
	if errors.Is(err, storage.ErrNotFound) || errors.Is(err, storage.ErrConsumed) {
		return ErrLinkGone()
	}
	if err != nil {
		return fmt.Errorf("use link: %w", err)
	}
	return nil
}

// Close takes the link out of this browser.
func (l *Letters) Close(w http.ResponseWriter, r *http.Request) error {
	return l.Web.SetCookie(w, r, Cookie, "", -time.Second)
}

// holder is the link with this value and whom it is for, if it can be used now.
func (l *Letters) holder(r *http.Request, purpose, value string) (storage.Link, storage.User, error) {
	if value == "" || len(value) > 200 {
		return storage.Link{}, storage.User{}, ErrLinkGone()
	}
	link, err := l.Store.Link(r.Context(), purpose, storage.Hash(value))
	if errors.Is(err, storage.ErrNotFound) || err == nil &&
		(!link.UsedAt.IsZero() || !l.Web.Now().Before(link.ExpiresAt)) {
		return link, storage.User{}, ErrLinkGone()
	}
	if err != nil {
		return link, storage.User{}, fmt.Errorf("load link: %w", err)
	}
	user, err := l.Store.User(r.Context(), link.UserID)
	if errors.Is(err, storage.ErrNotFound) || err == nil && (user.Disabled || State(purpose, user) != link.State) {
		return link, user, ErrLinkGone()
	}
	if err != nil {
		return link, user, fmt.Errorf("load user: %w", err)
	}
	web.Mention(r, "sub", user.ID)
	return link, user, nil
}

// Taken reports whether an address belongs to another user than this one, or is their username.
func (l *Letters) Taken(ctx context.Context, user storage.User, address string) (bool, error) {
	owner, err := l.owner(ctx, address)
	return owner.ID != "" && owner.ID != user.ID, err
}

// SameAddress reports whether two addresses are one to people.
func SameAddress(a, b string) bool { return storage.AddressKey(a) == storage.AddressKey(b) }
