package recovery

import (
	"net/http"

	"latchkey/provider/letters"
	"latchkey/provider/oauth"
	"latchkey/provider/storage"
	"latchkey/provider/web"
	"latchkey/templates"
)

// The way back for who has lost everything that they sign in with, the second factor too. A mail has
// a link that begins it; then every address of the account is told, and can stop it, until the
// waiting time is over; then another mail has the link that ends it. A sign-in with a second factor
// meanwhile stops it too: what the links rest on has changed then.

// ShowLost asks for whom the way back is wanted.
func (p *Pages) ShowLost(w http.ResponseWriter, r *http.Request) error {
	query, err := oauth.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return err
	}
	return p.renderForgot(w, r, http.StatusOK, p.lostPage(query.Get("i")))
}

func (p *Pages) lostPage(interaction string) templates.Forgot {
	page := p.forgotPage("/recovery", interaction)
	page.LostWait = p.LostWait
	return page
}

// Lost queues a mail for what was typed, and says the same to everybody.
func (p *Pages) Lost(w http.ResponseWriter, r *http.Request) error {
	return p.ask(w, r, letters.AskedLost, p.lostPage)
}

// ShowBegin asks whether the way back shall begin.
func (p *Pages) ShowBegin(w http.ResponseWriter, r *http.Request) error {
	return p.step(w, r, storage.LinkLost, templates.Step{Words: templates.StepLostBegin, Wait: p.LostWait})
}

// step shows a page that asks before a link does what it is for.
func (p *Pages) step(w http.ResponseWriter, r *http.Request, purpose string, page templates.Step) error {
	if _, err := oauth.ParseQuery(r.URL.RawQuery); err != nil {
		return err
	}
	_, user, done, err := p.Letters.Open(w, r, purpose)
	if err != nil || done {
		return err
	}
	browser, err := p.Web.Browser(w, r)
	if err != nil {
		return err
	}
	web.SetReader(r, user.Claims.Locale, user.Claims.Zoneinfo)
	who := web.Person(user)
	page.Person, page.Action, page.CSRF = &who, p.Web.Path+letters.Paths[purpose],
		p.Web.CSRF(browser, p.Letters.CSRF(r, purpose))
	return p.Web.Render(w, r, http.StatusOK, page)
}

// Begin begins the waiting time. One that was begun before ends with it.
func (p *Pages) Begin(w http.ResponseWriter, r *http.Request) error {
	user, err := p.stepDone(w, r, storage.LinkLost, "begun")
	if err != nil {
		return err
	}
	ctx, lang := r.Context(), p.Web.Language(r)
	due := p.Web.Now().Add(p.LostWait)
	// Nobody has the value of this one: it only notes what was begun.
	if _, err := p.Letters.NewLink(ctx, storage.LinkLostWait, user, "", due); err != nil {
		return err
	}
	if err := p.Letters.SendAt(ctx, user, templates.MailLostReady, lang, due); err != nil {
		return err
	}
	for _, to := range p.Letters.Addresses(user) {
		if err := p.Letters.SendFor(ctx, user, templates.MailLostBegun, to, lang, p.LostWait); err != nil {
			return err
		}
	}
	return p.Web.Render(w, r, http.StatusOK, templates.Step{Words: templates.StepLostBegun, Wait: p.LostWait})
}

// stepDone uses the link of a page that has asked, and records what became of it.
func (p *Pages) stepDone(w http.ResponseWriter, r *http.Request, purpose, what string) (storage.User, error) {
	form, err := oauth.ParseBody(r)
	if err != nil {
		return storage.User{}, err
	}
	link, user, err := p.Letters.Opened(r, purpose, form.Get("csrf"))
	if err != nil {
		return user, err
	}
	if err := p.Letters.Use(r.Context(), link); err != nil {
		return user, err
	}
	e := p.Web.Event(r, user, verbRecovery)
	e.Object, e.Reason = storage.EventParty{Kind: "user", ID: user.ID, Name: user.Username}, what
	p.Audit.Note(r.Context(), e)
	web.SetReader(r, user.Claims.Locale, user.Claims.Zoneinfo)
	return user, p.Letters.Close(w, r)
}

// ShowStop asks whether the way back shall be stopped.
func (p *Pages) ShowStop(w http.ResponseWriter, r *http.Request) error {
	return p.step(w, r, storage.LinkLostStop, templates.Step{Words: templates.StepLostStop})
}

// Stop stops the way back: the mail that would end it is not sent, and a link that it had is void.
func (p *Pages) Stop(w http.ResponseWriter, r *http.Request) error {
	user, err := p.stepDone(w, r, storage.LinkLostStop, "stopped")
	if err != nil {
		return err
	}
	for _, purpose := range []string{storage.LinkLostWait, storage.LinkLostReady} {
		if err := p.Store.DropLink(r.Context(), purpose, user.ID); err != nil {
			return err
		}
	}
	return p.Web.Render(w, r, http.StatusOK, templates.Step{Words: templates.StepLostStopped})
}
