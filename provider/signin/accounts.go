package signin

import (
	"net/http"

	"latchkey/provider/web"
	"latchkey/templates"
)

// ShowAccounts lets the person choose with which account to go on (prompt=select_account,
// OIDC Core §3.1.2.1).
func (p *Pages) ShowAccounts(w http.ResponseWriter, r *http.Request) error {
	at, csrf, asked, err := p.loadQuestion(w, r, stepAccounts)
	if err != nil || !asked {
		return err
	}
	app := p.Web.App(at.Client, at.redirect)
	return p.Web.Render(w, r, http.StatusOK, templates.Accounts{
		App: &app, Person: web.Person(at.User), Action: p.Web.Path + "/accounts?i=" + at.ref, CSRF: csrf,
	})
}

// ChooseAccount records the choice.
func (p *Pages) ChooseAccount(w http.ResponseWriter, r *http.Request) error {
	form, i, err := p.formInteraction(w, r)
	if err != nil {
		return err
	}
	if i.ReturnTo != "" {
		return p.Web.SeeOther(w, "/authorize", i.ref)
	}
	switch form.Get("account") {
	case "current":
		at, err := p.reload(r, i)
		if err != nil {
			return err
		}
		if at.step.kind != stepAccounts || !p.formShownToCurrentUser(r, form, at) {
			// the account that was shown is not the one that is signed in now
			return p.Web.SeeOther(w, "/authorize", i.ref)
		}
		setAnsweredBy(&i, at)
		i.Selected = true
		return p.record(w, r, i)
	case "other":
		w.Header().Set("Location", p.Web.Path+"/login?i="+i.ref+"&switch=1")
		w.WriteHeader(http.StatusSeeOther)
		return nil
	}
	return web.RefusePage(http.StatusBadRequest, templates.NothingChosen)
}
