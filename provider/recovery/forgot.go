package recovery

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	"latchkey/provider/letters"
	"latchkey/provider/oauth"
	"latchkey/provider/people"
	"latchkey/provider/web"
	"latchkey/templates"
)

const (
	forgotPurpose  = "forgot"
	maxInteraction = 4096 // bytes of the reference to an interaction
	maxTyped       = 254  // bytes of a username or an address (RFC 5321 §4.5.3.1.3)
)

// ShowForgot asks for whom a mail is wanted. i, if given, is the interaction to go back to.
func (p *Pages) ShowForgot(w http.ResponseWriter, r *http.Request) error {
	query, err := oauth.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return err
	}
	return p.renderForgot(w, r, http.StatusOK, p.resetPage(query.Get("i")))
}

func (p *Pages) resetPage(interaction string) templates.Forgot {
	page := p.forgotPage("/password/forgot", interaction)
	if p.LostWait > 0 {
		page.LostURL = strings.Replace(page.Action, "/password/forgot", "/recovery", 1)
	}
	return page
}

func (p *Pages) forgotPage(path, interaction string) templates.Forgot {
	page := templates.Forgot{Action: p.Web.Path + path}
	if interaction != "" && len(interaction) <= maxInteraction {
		page.BackURL = p.Web.Path + "/login?i=" + url.QueryEscape(interaction)
		page.Action += "?i=" + url.QueryEscape(interaction)
	}
	return page
}

func (p *Pages) renderForgot(w http.ResponseWriter, r *http.Request, status int, page templates.Forgot) error {
	browser, err := p.Web.Browser(w, r)
	if err != nil {
		return err
	}
	page.CSRF = p.Web.CSRF(browser, forgotPurpose)
	return p.Web.Render(w, r, status, page)
}

// Forgot queues a mail for what was typed, and says the same to everybody. It does not look whether
// there is such an account.
func (p *Pages) Forgot(w http.ResponseWriter, r *http.Request) error {
	return p.ask(w, r, letters.AskedReset, p.resetPage)
}

// ask queues a mail of this kind for what was typed. What could not be sent is shown again by
// again.
func (p *Pages) ask(w http.ResponseWriter, r *http.Request, kind string,
	again func(interaction string) templates.Forgot) error {
	form, err := oauth.ParseBody(r)
	if err != nil {
		return err
	}
	query, err := oauth.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return err
	}
	if err := p.Web.CheckCSRF(r, form.Get("csrf"), forgotPurpose); err != nil {
		return err
	}
	page := again(query.Get("i"))
	typed := strings.TrimSpace(form.Get("username"))
	if typed == "" || len(typed) > maxTyped {
		page.Error = templates.ForgotIncomplete
		return p.renderForgot(w, r, http.StatusBadRequest, page)
	}
	page.Username = typed
	now, address := p.Web.Now(), p.Web.ClientAddress(r)
	_, err = p.Limit.Begin(r.Context(), counted(typed), address, "", now)
	var throttled *people.ThrottledError
	if errors.As(err, &throttled) {
		web.Note(r, err)
		page.Error, page.ThrottledUntil = templates.LoginThrottled, throttled.Until
		return p.renderForgot(w, r, http.StatusTooManyRequests, page)
	}
	if err != nil {
		return err
	}
	if err := p.Letters.Ask(r, kind, typed); err != nil {
		return err
	}
	return p.Web.Render(w, r, http.StatusOK, templates.ForgotSent{Valid: p.Letters.LinkTTL, BackURL: page.BackURL})
}

// counted is what a name or address is counted as: one form for all of its spellings.
func counted(typed string) string {
	name, _ := people.SignInName(typed)
	return name
}
