package signin

import (
	"errors"
	"net/http"

	"latchkey/provider/oauth"
	"latchkey/provider/people"
	"latchkey/provider/storage"
	"latchkey/provider/web"
	"latchkey/templates"
)

// ShowFactor asks the person for their second factor.
func (p *Pages) ShowFactor(w http.ResponseWriter, r *http.Request) error {
	query, err := oauth.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return err
	}
	i, err := p.interaction(w, r, query.Get("i"))
	if err != nil {
		return err
	}
	at, err := p.reload(r, i)
	if err != nil {
		return err
	}
	if at.step.kind != stepFactor {
		return p.Web.SeeOther(w, "/authorize", i.ref)
	}
	return p.renderFactor(w, r, http.StatusOK, at, p.factorPage(at, query.Get("method")))
}

// factorPage asks for a method that the person has: the one with this name, or the first.
func (p *Pages) factorPage(at pending, method string) templates.Factor {
	id := at.ref
	page := templates.Factor{
		Person: web.Person(at.User), Action: p.Web.Path + "/mfa?i=" + id, SwitchURL: p.Web.Path + "/login?i=" + id + "&switch=1",
	}
	if at.Interaction.ReturnTo == "" {
		app := p.Web.App(at.Client, at.redirect)
		page.App, page.CancelAction = &app, page.Action
	}
	var has []string
	if len(at.User.Factors.Confirmed()) > 0 {
		has = append(has, templates.MethodTOTP)
	}
	if at.User.Factors.RecoveryLeft() > 0 {
		has = append(has, templates.MethodRecovery)
	}
	for i, m := range has {
		if m == method || i == 0 {
			page.Method = m
		}
	}
	for _, m := range has {
		if m != page.Method {
			page.Others = append(page.Others, templates.FactorChoice{Method: m, URL: page.Action + "&method=" + m})
		}
	}
	return page
}

func (p *Pages) renderFactor(w http.ResponseWriter, r *http.Request, status int, at pending, page templates.Factor) error {
	browser, err := p.Web.Browser(w, r)
	if err != nil {
		return err
	}
	page.CSRF = p.personalCSRF(browser, at)
	return p.Web.Render(w, r, status, page)
}

// Factor records a second factor, or that the person turned back.
func (p *Pages) Factor(w http.ResponseWriter, r *http.Request) error {
	// Parse, and find out where the person is.
	form, i, err := p.formInteraction(w, r)
	if err != nil {
		return err
	}
	at, err := p.reload(r, i)
	if err != nil {
		return err
	}
	web.Mention(r, "client_id", i.Request.ClientID)
	if form.Get("action") == "cancel" && i.ReturnTo == "" {
		return p.deny(w, r, at)
	}
	if at.step.kind != stepFactor || !p.formShownToCurrentUser(r, form, at) {
		return p.Web.SeeOther(w, "/authorize", i.ref)
	}
	web.Mention(r, "sub", at.User.ID)

	// Check the code: that uses it up.
	page := p.factorPage(at, form.Get("method"))
	check, amr := p.Factors.TOTP, []string{people.AMROneTime, people.AMRMultiFactor}
	if page.Method == templates.MethodRecovery {
		check, amr = p.Factors.Recovery, []string{people.AMRMultiFactor}
	}
	err = check(r.Context(), at.User, form.Get("code"), p.Web.ClientAddress(r))
	var throttled *people.ThrottledError
	switch {
	case errors.As(err, &throttled):
		p.Web.Metrics.Login(page.Method, "throttled")
		p.recordFactor(r, at, page.Method, reasonLocked)
		web.Note(r, err)
		page.Error, page.ThrottledUntil = templates.FactorThrottled, throttled.Until
		return p.renderFactor(w, r, http.StatusTooManyRequests, at, page)
	case errors.Is(err, people.ErrCodeShape):
		page.Error = templates.FactorShape
		return p.renderFactor(w, r, http.StatusBadRequest, at, page)
	case errors.Is(err, people.ErrCodeUsed):
		p.Web.Metrics.Login(page.Method, "failure")
		p.recordFactor(r, at, page.Method, reasonUsedCode)
		page.Error = templates.FactorUsed
		return p.renderFactor(w, r, http.StatusUnauthorized, at, page)
	case errors.Is(err, people.ErrCodeWrong):
		p.Web.Metrics.Login(page.Method, "failure")
		p.recordFactor(r, at, page.Method, reasonWrongCode)
		web.Note(r, err)
		page.Error = templates.FactorWrong
		return p.renderFactor(w, r, http.StatusUnauthorized, at, page)
	case err != nil:
		return err
	}

	// The session has proved more.
	p.Web.Metrics.Login(page.Method, "success")
	if _, err := p.Sessions.Prove(w, r, at.Session, amr, people.ACRMultiFactor); err != nil && !errors.Is(err, storage.ErrConflict) {
		return err
	}
	p.recordFactor(r, at, page.Method, "")
	return p.Web.SeeOther(w, "/authorize", i.ref)
}
