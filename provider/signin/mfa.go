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
		Person: web.Person(at.User), Action: p.Web.Path + "/mfa?i=" + id, SwitchURL: p.Web.Path + "/login?i=" + id +
			"&switch=1",
	}
	if at.Interaction.ReturnTo == "" {
		app := p.Web.App(at.Client, at.redirect)
		page.App, page.CancelAction = &app, page.Action
	}
	// A passkey comes first: it is the quickest, and answers no other site.
	has := []string{}
	if p.Passkeys != nil && len(at.User.Factors.Passkeys) > 0 {
		has = append(has, templates.MethodPasskey)
	}
	if !people.Reaches(at.step.acr, people.ACRPhishingResistant) { // a code can be typed into any site
		if len(at.User.Factors.Confirmed()) > 0 {
			has = append(has, templates.MethodTOTP)
		}
		if at.User.Factors.RecoveryLeft() > 0 {
			has = append(has, templates.MethodRecovery)
		}
	}
	if at.step.wish {
		page.SkipAction = page.Action
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

func (p *Pages) renderFactor(w http.ResponseWriter, r *http.Request, status int, at pending,
	page templates.Factor) error {
	browser, err := p.Web.Browser(w, r)
	if err != nil {
		return err
	}
	page.CSRF = p.personalCSRF(browser, at)
	if page.Method == templates.MethodPasskey {
		begun, err := p.Passkeys.BeginFactor(at.User, factorPlace(at))
		if err != nil {
			return err
		}
		page.Passkey.Options, page.Passkey.State = begun.Options, begun.State
	}
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
	if form.Get("action") == "skip" && at.step.wish {
		return p.skip(w, r, i, at)
	}

	// Check the code, or what a passkey has signed: that uses it up.
	page := p.factorPage(at, form.Get("method"))
	var proof people.Proof
	switch page.Method {
	case templates.MethodPasskey:
		proof, err = p.Passkeys.Factor(r.Context(), at.User, factorPlace(at), form.Get("state"), form.Get("answer"))
	case templates.MethodRecovery:
		proof, err = people.ByRecoveryCode(), p.Factors.Recovery(r.Context(), at.User, form.Get("code"),
			p.Web.ClientAddress(r))
	default:
		proof, err = people.ByOneTimeCode(), p.Factors.TOTP(r.Context(), at.User, form.Get("code"),
			p.Web.ClientAddress(r))
	}
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
	case errors.Is(err, people.ErrCeremonyOver), errors.Is(err, people.ErrPasskeyWrong):
		p.Web.Metrics.Login(page.Method, "failure")
		p.recordFactor(r, at, page.Method, passkeyReason(err))
		web.Note(r, err)
		page.Error = passkeyError(err)
		return p.renderFactor(w, r, http.StatusUnauthorized, at, page)
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
	if _, err := p.Sessions.Prove(w, r, at.Session, proof); err != nil && !errors.Is(err, storage.ErrConflict) {
		return err
	}
	p.recordFactor(r, at, page.Method, "")
	return p.Web.SeeOther(w, "/authorize", i.ref)
}
