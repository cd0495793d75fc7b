package account

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"latchkey/provider/letters"
	"latchkey/provider/mail"
	"latchkey/provider/oauth"
	"latchkey/provider/people"
	"latchkey/provider/storage"
	"latchkey/provider/web"
	"latchkey/templates"
)

const (
	addressPath        = "/account/address"
	confirmAddressPath = addressPath + "/confirm"
)

// keepFormer is how long an address that is not the user's any more is still told of what happens
// to the account: whoever has taken an account over changes its address first.
const keepFormer = 30 * 24 * time.Hour

// ShowAddress shows a person their e-mail address. It wants a fresh proof.
func (p *Pages) ShowAddress(w http.ResponseWriter, r *http.Request) error {
	if _, err := oauth.ParseQuery(r.URL.RawQuery); err != nil {
		return err
	}
	session, user, ok, err := p.freshPerson(w, r, addressPath)
	if err != nil || !ok {
		return err
	}
	return p.renderAddress(w, r, http.StatusOK, session, user, templates.Address{})
}

func (p *Pages) renderAddress(w http.ResponseWriter, r *http.Request, status int, s storage.Session, u storage.User,
	out templates.Address) error {
	var err error
	if out.Frame, err = p.frame(w, r, u, addressPath, methodsCSRF(s)); err != nil {
		return err
	}
	out.Email, out.Verified, out.MayAsk = u.Claims.Email, u.Claims.EmailVerified, slices.Contains(p.Editable, "email")
	return p.Web.Render(w, r, status, out)
}

// AskAddress sends a link to the address that is to be confirmed: the one that the person has, or
// another. It says the same whether the address is somebody else's already.
func (p *Pages) AskAddress(w http.ResponseWriter, r *http.Request) error {
	form, session, user, ok, err := p.freshForm(w, r, addressPath)
	if err != nil || !ok {
		return err
	}
	ctx, to := r.Context(), user.Claims.Email
	change := form.Get("action") == "change" && slices.Contains(p.Editable, "email")
	switch {
	case change:
		if to = strings.TrimSpace(form.Get("email")); mail.CheckAddress(to) != nil {
			return p.renderAddress(w, r, http.StatusBadRequest, session, user,
				templates.Address{Typed: web.Clip(to, 254), Bad: true})
		}
	case form.Get("action") != "confirm" || to == "":
		return web.RefusePage(http.StatusBadRequest, templates.NothingChosen)
	}
	_, err = p.MailLimit.Begin(ctx, "address "+user.ID, p.Web.ClientAddress(r), "", p.Web.Now())
	var throttled *people.ThrottledError
	if errors.As(err, &throttled) {
		return web.RefusePage(http.StatusTooManyRequests,
			templates.TooMany).Because(err).RetryAfter(throttled.Until.Sub(p.Web.Now()))
	}
	if err != nil {
		return err
	}
	p.record(r, user, session.ID, verbAddressAsked, "user", user.ID)
	if err := p.Letters.Send(ctx, user, templates.MailAddress, to, p.Web.Language(r)); err != nil {
		return err
	}
	if change && user.Claims.Email != "" && !letters.SameAddress(to, user.Claims.Email) {
		if err := p.Letters.Notice(r, user, templates.MailAddressAsked, nil); err != nil {
			return err
		}
	}
	return p.done(w, addressPath, "sent")
}

// ShowConfirmAddress opens the link of a mail that confirms an address. Whoever opens it must be
// signed in to the account: a mail that went to a stranger by a slip of the pen confirms nothing.
func (p *Pages) ShowConfirmAddress(w http.ResponseWriter, r *http.Request) error {
	if _, err := oauth.ParseQuery(r.URL.RawQuery); err != nil {
		return err
	}
	link, of, done, err := p.Letters.Open(w, r, storage.LinkAddress)
	if err != nil || done {
		return err
	}
	_, user, ok, err := p.visitor(w, r, confirmAddressPath)
	if err != nil || !ok {
		return err
	}
	if user.ID != of.ID {
		return web.RefusePage(http.StatusForbidden, templates.LinkOther)
	}
	browser, err := p.Web.Browser(w, r)
	if err != nil {
		return err
	}
	who := web.Person(user)
	return p.Web.Render(w, r, http.StatusOK, templates.Step{
		Words: templates.StepConfirm, Address: link.Address, Person: &who, Action: p.Web.Path + confirmAddressPath,
		CSRF: p.Web.CSRF(browser, p.Letters.CSRF(r, storage.LinkAddress)),
	})
}

// ConfirmAddress makes the address that a link went to that of the user, and tells both.
func (p *Pages) ConfirmAddress(w http.ResponseWriter, r *http.Request) error {
	form, err := oauth.ParseBody(r)
	if err != nil {
		return err
	}
	link, of, err := p.Letters.Opened(r, storage.LinkAddress, form.Get("csrf"))
	if err != nil {
		return err
	}
	session, user, ok, err := p.visitor(w, r, confirmAddressPath)
	if err != nil || !ok {
		return err
	}
	if user.ID != of.ID {
		return web.RefusePage(http.StatusForbidden, templates.LinkOther)
	}
	ctx := r.Context()
	if taken, err := p.Letters.Taken(ctx, user, link.Address); err != nil {
		return err
	} else if taken {
		return letters.ErrLinkGone()
	}
	if err := p.Letters.Use(ctx, link); err != nil {
		return err
	}
	was := user.Claims.Email
	changed := user
	changed.Claims.Email, changed.Claims.EmailVerified, changed.UpdatedAt = link.Address, true, p.Web.Now()
	changed.SharedAddress = "" // it is nobody else's
	another := was != "" && !letters.SameAddress(was, link.Address)
	if another {
		changed.FormerAddresses = append(p.standing(user.FormerAddresses), storage.FormerAddress{Address: was,
			Until: p.Web.Now().Add(keepFormer)})
	}
	err = p.Store.UpdateUser(ctx, changed)
	if errors.Is(err, storage.ErrConflict) || errors.Is(err, storage.ErrNotFound) {
		return letters.ErrLinkGone().Because(err)
	}
	if err != nil {
		return fmt.Errorf("store the address: %w", err)
	}
	p.record(r, user, session.ID, verbAddress, "user", user.ID)
	if another {
		if err := p.Letters.Notice(r, changed, templates.MailAddressChanged, nil); err != nil {
			return err
		}
	}
	if err := p.Letters.Close(w, r); err != nil {
		return err
	}
	return p.done(w, addressPath, "confirmed")
}

// mostFormer bounds the addresses that are still told.
const mostFormer = 5

// standing are the former addresses that are still told, the latest ones.
func (p *Pages) standing(all []storage.FormerAddress) []storage.FormerAddress {
	out := slices.DeleteFunc(slices.Clone(all),
		func(f storage.FormerAddress) bool { return !p.Web.Now().Before(f.Until) })
	return out[max(0, len(out)-mostFormer+1):]
}
