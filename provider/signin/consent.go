package signin

import (
	"net/http"
	"slices"

	"latchkey/provider/access"
	"latchkey/provider/oauth"
	"latchkey/provider/web"
	"latchkey/templates"
)

// ShowConsent asks the person what the application may have (OIDC Core §3.1.2.4).
func (p *Pages) ShowConsent(w http.ResponseWriter, r *http.Request) error {
	at, csrf, asked, err := p.loadQuestion(w, r, stepConsent)
	if err != nil || !asked {
		return err
	}
	id := at.ref
	allowed := map[string][]string{"scope": at.Consent.Scope, "claim": at.Consent.Claims,
		"resource": at.Consent.Resource}
	return p.Web.Render(w, r, http.StatusOK, templates.Consent{
		App: p.Web.App(at.Client, at.redirect), Person: web.Person(at.User), Action: p.Web.Path + "/consent?i=" + id,
		CSRF: csrf,
		Scopes: p.Web.Templates.Scopes(p.Web.Language(r), at.Request.Scope,
			oauth.ClaimsBeyond(at.Request.Scope, access.RequestedClaims(at.Request)), at.Request.Resource,
			func(kind, name string) bool { return slices.Contains(allowed[kind], name) }),
		SwitchURL: p.Web.Path + "/login?i=" + id + "&switch=1",
	})
}

// Consent records what the person said. What was asked is what is stored with the interaction; the
// form only says yes or no to it.
func (p *Pages) Consent(w http.ResponseWriter, r *http.Request) error {
	form, i, err := p.formInteraction(w, r)
	if err != nil {
		return err
	}
	if i.ReturnTo != "" {
		return p.Web.SeeOther(w, "/authorize", i.ref)
	}
	web.Mention(r, "client_id", i.Request.ClientID)
	at, err := p.reload(r, i)
	if err != nil {
		return err
	}
	switch form.Get("decision") {
	case "allow":
		if at.step.kind != stepConsent || !p.formShownToCurrentUser(r, form, at) {
			// Something comes before the question, or it was put to somebody else, so the answer
			// does not count.
			return p.Web.SeeOther(w, "/authorize", i.ref)
		}
		setAnsweredBy(&i, at)
		i.Consented = true
		return p.record(w, r, i)
	case "deny":
		return p.deny(w, r, at)
	}
	return web.RefusePage(http.StatusBadRequest, templates.NothingChosen)
}
