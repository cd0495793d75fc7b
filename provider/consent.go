package provider

import (
	"net/http"
	"slices"

	"latchkey/provider/oauth"
	"latchkey/templates"
)

// showConsent asks the person what the application may have (OIDC Core §3.1.2.4).
func (p *Provider) showConsent(w http.ResponseWriter, r *http.Request) error {
	query, err := oauth.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return err
	}
	i, err := p.interaction(w, r, query.Get("i"))
	if err != nil {
		return err
	}
	if i.ReturnTo != "" {
		return p.seeOther(w, "/authorize", i.ID)
	}
	at, err := p.reconsider(r, i)
	if err != nil {
		return err
	}
	if at.step.kind != stepConsent {
		return p.seeOther(w, "/authorize", i.ID)
	}
	browser, err := p.browser(w, r)
	if err != nil {
		return err
	}
	known := append(append(slices.Clone(at.Consent.Scope), at.Consent.Claims...), at.Consent.Resource...)
	allowFormTo(w, at.Client)
	return p.render(w, r, http.StatusOK, templates.Consent{
		App: p.app(at.Client, at.redirect), Person: person(at.User),
		Action: p.path + "/consent?i=" + i.ID, CSRF: p.csrf(browser, "interaction:"+i.ID),
		Scopes: p.Templates.Scopes(p.language(r), at.Request.Scope, requestedClaims(at.Request), at.Request.Resource,
			func(name string) bool { return slices.Contains(known, name) }),
		SwitchURL: p.path + "/login?i=" + i.ID + "&switch=1",
	})
}

// consent records what the person said. What was asked is what is stored with the interaction; the form only says yes or no to it.
func (p *Provider) consent(w http.ResponseWriter, r *http.Request) error {
	form, i, err := p.formInteraction(w, r)
	if err != nil {
		return err
	}
	if i.ReturnTo != "" {
		return p.seeOther(w, "/authorize", i.ID)
	}
	mention(r, "client_id", i.Request.ClientID)
	at, err := p.reconsider(r, i)
	if err != nil {
		return err
	}
	switch form.Get("decision") {
	case "allow":
		if at.step.kind != stepConsent {
			return p.seeOther(w, "/authorize", i.ID) // something comes before the question, so the answer does not count
		}
		i.Consented = true
		if err := p.updateInteraction(r, &i); err != nil {
			return err
		}
		return p.seeOther(w, "/authorize", i.ID)
	case "deny":
		return p.deny(w, r, at)
	}
	return refusePage(http.StatusBadRequest, "Neither allowed nor denied", "The form did not say which of the two buttons was pressed.", "Go back and choose one of them.")
}
