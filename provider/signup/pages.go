package signup

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"latchkey/provider/admin"
	"latchkey/provider/letters"
	"latchkey/provider/mail"
	"latchkey/provider/oauth"
	"latchkey/provider/people"
	"latchkey/provider/storage"
	"latchkey/provider/web"
	"latchkey/templates"
)

// Mode says who may make an account.
type Mode string

// Modes.
const (
	Closed   Mode = "closed"   // nobody
	Domain   Mode = "domain"   // whoever reads mail at one of Config.Domains
	Approval Mode = "approval" // everybody; an administrator enables the account
	Open     Mode = "open"     // everybody
)

// Modes lists them all.
var Modes = []Mode{Closed, Domain, Approval, Open}

// Config is what Pages needs. All fields must be set; Domains with Domain alone.
type Config struct {
	Web       *web.Site
	Store     *storage.Store
	Admin     *admin.Admin
	Letters   *letters.Letters
	Limit     *people.Throttle // of mails asked for
	Passwords people.PasswordPolicy
	Mode      Mode
	Domains   []string // in lower case
}

// Pages are the pages on which people make an account.
type Pages struct{ Config }

const (
	path        = "/sign-up"
	finishPath  = "/sign-up/finish"
	askPurpose  = "sign-up"
	cookie      = "latchkey_sign_up" // the interaction to go on with afterwards
	cookieLife  = time.Hour
	mostCarried = 2000 // bytes of the reference to an interaction: cookies have to stay small
	maxName     = 200

	// How many usernames one link may be tried with: whether one can be had tells who has an
	// account.
	mostNames = 20
)

// Show asks for the address. i, if given, is the interaction to go on with.
func (p *Pages) Show(w http.ResponseWriter, r *http.Request) error {
	query, err := oauth.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return err
	}
	return p.render(w, r, http.StatusOK, query.Get("i"), templates.SignUp{})
}

func (p *Pages) render(w http.ResponseWriter, r *http.Request, status int, interaction string,
	page templates.SignUp) error {
	browser, err := p.Web.Browser(w, r)
	if err != nil {
		return err
	}
	page.Action, page.CSRF = p.Web.Path+path, p.Web.CSRF(browser, askPurpose)
	if interaction != "" && len(interaction) <= 4096 {
		page.BackURL = p.Web.Path + "/login?i=" + url.QueryEscape(interaction)
		page.Action += "?i=" + url.QueryEscape(interaction)
	}
	if p.Mode == Domain {
		page.Domains = p.Domains
	}
	page.Approval = p.Mode == Approval
	return p.Web.Render(w, r, status, page)
}

// allowed reports whether an account may be made for the address.
func (p *Pages) allowed(address string) bool {
	if mail.CheckAddress(address) != nil {
		return false
	}
	_, domain, _ := strings.Cut(address, "@")
	return p.Mode != Domain || slices.Contains(p.Domains, strings.ToLower(domain))
}

// Ask queues a mail for the address, and says the same to everybody.
func (p *Pages) Ask(w http.ResponseWriter, r *http.Request) error {
	form, err := oauth.ParseBody(r)
	if err != nil {
		return err
	}
	query, err := oauth.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return err
	}
	if err := p.Web.CheckCSRF(r, form.Get("csrf"), askPurpose); err != nil {
		return err
	}
	i := query.Get("i")
	page := templates.SignUp{Email: web.Clip(strings.TrimSpace(form.Get("email")), 254),
		Name: web.Clip(strings.TrimSpace(form.Get("name")), maxName)}
	if !p.allowed(page.Email) || strings.ContainsAny(page.Name, "\r\n\t") {
		page.Bad = true
		return p.render(w, r, http.StatusBadRequest, i, page)
	}
	_, err = p.Limit.Begin(r.Context(), "sign-up "+strings.ToLower(page.Email), p.Web.ClientAddress(r), "", p.Web.Now())
	var throttled *people.ThrottledError
	if errors.As(err, &throttled) {
		return web.RefusePage(http.StatusTooManyRequests,
			templates.TooMany).Because(err).RetryAfter(throttled.Until.Sub(p.Web.Now()))
	}
	if err != nil {
		return err
	}
	if err := p.Letters.AskSignUp(r, page.Email, page.Name); err != nil {
		return err
	}
	if i != "" && len(i) <= mostCarried {
		if err := p.Web.SetCookie(w, r, cookie, i, cookieLife); err != nil {
			return err
		}
	}
	sent := templates.ForgotSent{Valid: p.Letters.LinkTTL}
	if i != "" && len(i) <= 4096 {
		sent.BackURL = p.Web.Path + "/login?i=" + url.QueryEscape(i)
	}
	return p.Web.Render(w, r, http.StatusOK, sent)
}

// opened is the link that this browser has opened, if it can be used now. There is no user yet.
func (p *Pages) opened(r *http.Request, value string) (storage.Link, error) {
	if value == "" || len(value) > 200 {
		return storage.Link{}, letters.ErrLinkGone()
	}
	link, err := p.Store.Link(r.Context(), storage.LinkSignUp, storage.Hash(value))
	if errors.Is(err, storage.ErrNotFound) || err == nil &&
		(!link.UsedAt.IsZero() || !p.Web.Now().Before(link.ExpiresAt)) {
		return link, letters.ErrLinkGone()
	}
	if err != nil {
		return link, fmt.Errorf("load link: %w", err)
	}
	if !p.allowed(link.Address) { // the rule may have changed since
		return link, letters.ErrLinkGone()
	}
	// Somebody may have made the account by another way meanwhile.
	taken, err := p.Letters.Taken(r.Context(), storage.User{}, link.Address)
	if err == nil && taken {
		err = letters.ErrLinkGone()
	}
	return link, err
}

// ShowFinish opens the link of the mail, and asks for what is missing.
func (p *Pages) ShowFinish(w http.ResponseWriter, r *http.Request) error {
	query, err := oauth.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return err
	}
	if value := query.Get("link"); value != "" {
		if _, err := p.opened(r, value); err != nil {
			return err
		}
		if err := p.Web.SetCookie(w, r, letters.Cookie, value, p.Letters.LinkTTL); err != nil {
			return err
		}
		return p.Web.SeeOther(w, finishPath, "")
	}
	link, err := p.opened(r, p.Web.Cookie(r, letters.Cookie))
	if err != nil {
		return err
	}
	return p.renderFinish(w, r, http.StatusOK, link, templates.FinishSignUp{Name: link.Name})
}

func (p *Pages) renderFinish(w http.ResponseWriter, r *http.Request, status int, link storage.Link,
	page templates.FinishSignUp) error {
	browser, err := p.Web.Browser(w, r)
	if err != nil {
		return err
	}
	page.Email, page.Action, page.MinLength = link.Address, p.Web.Path+finishPath, p.Passwords.Least()
	page.CSRF = p.Web.CSRF(browser, p.Letters.CSRF(r, storage.LinkSignUp))
	return p.Web.Render(w, r, status, page)
}

// Finish makes the account.
func (p *Pages) Finish(w http.ResponseWriter, r *http.Request) error {
	form, err := oauth.ParseBody(r)
	if err != nil {
		return err
	}
	if err := p.Web.CheckCSRF(r, form.Get("csrf"), p.Letters.CSRF(r, storage.LinkSignUp)); err != nil {
		return err
	}
	link, err := p.opened(r, p.Web.Cookie(r, letters.Cookie))
	if err != nil {
		return err
	}

	// Check everything before the link is used.
	page := templates.FinishSignUp{Name: web.Clip(strings.TrimSpace(form.Get("name")), maxName),
		Username: web.Clip(strings.TrimSpace(form.Get("username")), 254)}
	password := form.Get("new_password")
	n := admin.NewUser{
		Username: page.Username, Password: password, Disabled: p.Mode == Approval,
		Claims: storage.Claims{Name: page.Name, Email: link.Address, EmailVerified: true, Locale: p.Web.Language(r)},
	}
	var weak *people.WeakPassword
	switch {
	case password == "" || form.Get("repeat_password") == "":
		page.Error = templates.PasswordMissing
	case password != form.Get("repeat_password"):
		page.Error = templates.PasswordMismatch
	case errors.As(p.Passwords.Check(password, page.Username, link.Address), &weak):
		page.Error, page.ErrorN = weak.Reason, weak.N
	case othersAddress(page.Username, link.Address):
		page.Taken = true
	default:
		if err := p.countName(r.Context(), link); err != nil {
			return err
		}
		if page.Taken, err = refused(p.Admin.CheckUser(r.Context(), n)); err != nil {
			return err
		}
	}
	if page.Error != "" || page.Taken {
		return p.renderFinish(w, r, http.StatusBadRequest, link, page)
	}
	if err := p.Admin.HashPassword(r.Context(), &n); err != nil {
		return err
	}
	if err := p.Letters.Use(r.Context(), link); err != nil {
		return err
	}
	u, err := p.make(r.Context(), n, web.RequestID(r), p.Web.ClientAddress(r))
	if errors.Is(err, admin.ErrTaken) {
		return letters.ErrLinkGone().Because(err) // somebody took the name at this very moment
	}
	if err != nil {
		return err
	}
	if err := p.Letters.Close(w, r); err != nil {
		return err
	}
	done := templates.SignedUp{Username: u.Username, Approval: u.Disabled}
	if i := p.Web.Cookie(r, cookie); i != "" {
		done.ContinueURL = p.Web.Path + "/login?i=" + url.QueryEscape(i)
		if err := p.Web.SetCookie(w, r, cookie, "", -time.Second); err != nil {
			return err
		}
	}
	return p.Web.Render(w, r, http.StatusOK, done)
}

// countName counts a username that is looked up for a link, and refuses one too many.
func (p *Pages) countName(ctx context.Context, link storage.Link) error {
	now := p.Web.Now()
	tried, until, err := p.Store.CountAttempt(ctx, "sign-up names "+link.Hash, now, link.ExpiresAt.Sub(link.CreatedAt))
	if err != nil {
		return fmt.Errorf("count the usernames that were tried: %w", err)
	}
	if tried > mostNames {
		return web.RefusePage(http.StatusTooManyRequests, templates.TooMany).RetryAfter(until.Sub(now))
	}
	return nil
}

// othersAddress reports whether a username that somebody chose is an e-mail address other than the
// one that they have shown to be theirs: its owner may want to sign in by it some day.
func othersAddress(username, address string) bool {
	name, _ := people.SignInName(username)
	return strings.Contains(name, "@") && name != storage.AddressKey(address)
}

// make makes the account. The server itself does: nobody is signed in.
func (p *Pages) make(ctx context.Context, n admin.NewUser, requestID, address string) (storage.User, error) {
	return p.Admin.CreateUser(ctx, admin.Actor{Kind: storage.ActorSystem, Name: "sign-up", RequestID: requestID,
		Address: address}, n)
}

// refused reports whether the username is why an account cannot be made.
func refused(err error) (bool, error) {
	var faults admin.Faults
	if errors.Is(err, admin.ErrTaken) || errors.As(err, &faults) {
		return true, nil
	}
	return false, err
}
