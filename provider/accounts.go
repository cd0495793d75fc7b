package provider

import (
	"net/http"

	"latchkey/templates"
)

// showAccounts lets the person choose with which account to go on (prompt=select_account, OIDC Core §3.1.2.1).
func (p *Provider) showAccounts(w http.ResponseWriter, r *http.Request) error {
	at, csrf, asked, err := p.question(w, r, stepAccounts)
	if err != nil || !asked {
		return err
	}
	app := p.app(at.Client, at.redirect)
	return p.render(w, r, http.StatusOK, templates.Accounts{
		App: &app, Person: person(at.User), Action: p.path + "/accounts?i=" + at.Interaction.ID, CSRF: csrf,
	})
}

// chooseAccount records the choice.
func (p *Provider) chooseAccount(w http.ResponseWriter, r *http.Request) error {
	form, i, err := p.formInteraction(w, r)
	if err != nil {
		return err
	}
	if i.ReturnTo != "" {
		return p.seeOther(w, "/authorize", i.ID)
	}
	switch form.Get("account") {
	case "current":
		at, err := p.reconsider(r, i)
		if err != nil {
			return err
		}
		if at.step.kind != stepAccounts || !p.askedOf(r, form, at) {
			return p.seeOther(w, "/authorize", i.ID) // the account that was shown is not the one that is signed in now
		}
		hear(&i, at.User)
		i.Selected = true
		if err := p.updateInteraction(r, &i); err != nil {
			return err
		}
		return p.seeOther(w, "/authorize", i.ID)
	case "other":
		w.Header().Set("Location", p.path+"/login?i="+i.ID+"&switch=1")
		w.WriteHeader(http.StatusSeeOther)
		return nil
	}
	return refusePage(http.StatusBadRequest, "No account was chosen", "The form did not say which account to go on with.", "Go back and choose one.")
}
