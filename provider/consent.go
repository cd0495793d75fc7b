package provider

import (
	"net/http"
	"slices"

	"latchkey/templates"
)

// showConsent asks the person what the application may have (OIDC Core §3.1.2.4).
func (p *Provider) showConsent(w http.ResponseWriter, r *http.Request) error {
	at, csrf, asked, err := p.question(w, r, stepConsent)
	if err != nil || !asked {
		return err
	}
	id := at.Interaction.ID
	allowed := map[string][]string{"scope": at.Consent.Scope, "claim": at.Consent.Claims, "resource": at.Consent.Resource}
	return p.render(w, r, http.StatusOK, templates.Consent{
		App: p.app(at.Client, at.redirect), Person: person(at.User), Action: p.path + "/consent?i=" + id, CSRF: csrf,
		Scopes: p.Templates.Scopes(p.language(r), at.Request.Scope, requestedClaims(at.Request), at.Request.Resource,
			func(kind, name string) bool { return slices.Contains(allowed[kind], name) }),
		SwitchURL: p.path + "/login?i=" + id + "&switch=1",
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
		if at.step.kind != stepConsent || !p.askedOf(r, form, at) {
			// Something comes before the question, or it was put to somebody else, so the answer does not count.
			return p.seeOther(w, "/authorize", i.ID)
		}
		hear(&i, at.User)
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
