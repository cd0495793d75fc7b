package console

import (
	"errors"
	"net/url"
	"strings"

	"latchkey/provider/admin"
	"latchkey/provider/clients"
	"latchkey/templates"
)

func typeWords(typ string) templates.Cell { return templates.Cell{Message: say("admin.type." + typ)} }

// applications lists and searches applications.
func (c *Console) applications(v *visit) error {
	after, err := v.cursor()
	if err != nil {
		return err
	}
	all, err := c.Admin.Clients(v.ctx, v.actor)
	if err != nil {
		return err
	}
	all = beyond(filterClients(all, v.query), after, func(c clients.Client) string { return c.ID })
	t := templates.ConsoleTable{Caption: say("admin.applications"), Head: []templates.Message{say("admin.name"),
		say("admin.client-id"), say("admin.type"), say("admin.application.for"), say("admin.state")},
		None: say("admin.none")}
	if all, err = paged(v, &t, all, func(c clients.Client) string { return c.ID }); err != nil {
		return err
	}
	for _, client := range all {
		t.Rows = append(t.Rows, v.applicationCells(client))
	}
	p := v.page("applications", "applications", say("admin.applications"))
	p.Lead = say("admin.applications.lead")
	filter := templates.ConsoleForm{ID: "filter-form", Action: c.path("applications"), Get: true, Inline: true,
		Submit: say("admin.filter"), Fields: []templates.ConsoleField{
			field("q", "admin.find", "search", v.query.Get("q")), choice("type", "admin.type", "admin.any",
				v.query.Get("type"), clients.Types, typeWords),
			choice("state", "admin.state", "admin.any", v.query.Get("state"), personStates, stateWords),
		}}
	p.Parts = append(p.Parts, templates.ConsolePart{ID: "doctor",
		Links: []templates.ConsoleLink{{Label: say("admin.doctor"), URL: c.path("doctor")}}})
	if v.may(admin.VerbClientCreate) {
		p.Parts = append(p.Parts, templates.ConsolePart{ID: "actions",
			Links: []templates.ConsoleLink{{Label: say("admin.application.new"), URL: c.path("applications", "new"),
				Main: true}}})
	}
	p.Parts = append(p.Parts, templates.ConsolePart{ID: "filter", Forms: []templates.ConsoleForm{filter}},
		templates.ConsolePart{ID: "list", Table: &t})
	return v.render(p)
}

// applicationCells name an application in a list.
func (v *visit) applicationCells(client clients.Client) [][]templates.Cell {
	state, whom := []templates.Cell{}, words("admin.application.everybody")
	if client.Disabled {
		state = append(state, templates.Cell{Message: say("admin.state.disabled"), Style: "bad"})
	}
	if client.Dynamic {
		state = append(state, templates.Cell{Message: say("admin.application.dynamic"), Style: "warn"})
	}
	if len(client.AllowedGroups) > 0 {
		whom = text(strings.Join(client.AllowedGroups, ", "))
	}
	return [][]templates.Cell{{link(client.Name(), v.c.path("applications", client.ID))}, code(client.ID),
		{typeWords(client.Type)}, whom, state}
}

// mostRefused is how many refused requests the page about an application shows.
const mostRefused = 5

// applicationFields are what an administrator says about an application on its page.
func applicationFields(client clients.Client) []templates.ConsoleField {
	list := func(name, label string, values []string) templates.ConsoleField {
		f := field(name, label, "textarea", strings.Join(values, "\n"))
		f.Hint = say("admin.one-a-line")
		return f
	}
	check := func(name, label string, checked bool) templates.ConsoleField {
		return templates.ConsoleField{ID: name, Name: name, Label: say(label), Kind: "check", Checked: checked}
	}
	scope := field("scope", "admin.application.scope", "text", client.Scope)
	scope.Hint = say("admin.application.scope.hint")
	groups := list("allowed_groups", "admin.application.groups", client.AllowedGroups)
	groups.Hint = say("admin.application.groups.hint")
	return []templates.ConsoleField{
		field("client_name", "admin.name", "text", client.ClientName), field("client_uri", "admin.application.home",
			"url", client.ClientURI),
		list("redirect_uris", "admin.application.redirects", client.RedirectURIs), list("post_logout_redirect_uris",
			"admin.application.post-logout", client.PostLogoutRedirectURIs),
		field("backchannel_logout_uri", "admin.application.backchannel", "url", client.BackchannelLogoutURI), scope,
		groups,
		list("owner_groups", "admin.application.owners", client.OwnerGroups),
		list("audience", "admin.application.audience", client.Audience),
		field("refusal_contact", "admin.application.contact", "text", client.RefusalContact),
		check("skip_consent", "admin.application.skip-consent", client.SkipConsent), check("require_second_factor",
			"admin.application.factor", client.RequireSecondFactor),
		check("claims_in_id_token", "admin.application.claims", client.ClaimsInIDToken),
	}
}

// readApplication takes what a form says over into an application.
func (v *visit) readApplication(client *clients.Client) {
	f := v.form
	client.ClientName, client.ClientURI, client.BackchannelLogoutURI = f.Get("client_name"), f.Get("client_uri"),
		f.Get("backchannel_logout_uri")
	client.RedirectURIs, client.PostLogoutRedirectURIs = lines(f.Get("redirect_uris")),
		lines(f.Get("post_logout_redirect_uris"))
	client.Scope, client.AllowedGroups, client.OwnerGroups = f.Get("scope"), lines(f.Get("allowed_groups")),
		lines(f.Get("owner_groups"))
	client.Audience, client.RefusalContact = lines(f.Get("audience")), f.Get("refusal_contact")
	client.SkipConsent, client.RequireSecondFactor, client.ClaimsInIDToken = f.Has("skip_consent"),
		f.Has("require_second_factor"), f.Has("claims_in_id_token")
}

// applicationPage is the page about an application.
func (v *visit) applicationPage(client clients.Client) (templates.Console, error) {
	c, me := v.c, []string{"applications", client.ID}
	p := v.page("application", "applications", say("admin.application.title", "name", client.Name()))
	p.BackURL, p.Back = c.path("applications"), say("admin.applications")
	state := words("admin.state.enabled")
	if client.Disabled {
		state = []templates.Cell{{Message: say("admin.state.disabled"), Style: "bad"}}
	}
	secret := words("admin.secret.none")
	if len(client.SecretHash) > 0 {
		secret = words("admin.secret.there")
		if !client.SecretExpiresAt.IsZero() {
			secret = append(secret, at(client.SecretExpiresAt)...)
		}
	}
	facts := []templates.ConsoleFact{fact("admin.client-id", code(client.ID)),
		fact("admin.type", []templates.Cell{typeWords(client.Type)}), fact("admin.state", state),
		fact("admin.secret", secret), fact("admin.application.method", code(client.TokenEndpointAuthMethod)),
		fact("admin.created-at", at(client.CreatedAt)), fact("admin.changed-at", at(client.UpdatedAt))}
	facts = append(facts, v.endpointFacts()...)
	p.Parts = []templates.ConsolePart{{ID: "facts", Facts: facts}}
	if client.Dynamic {
		p.Parts[0].Warn = say("admin.application.dynamic.detail")
	}
	keptBy, kept, err := v.keptPart("client", client.ID)
	if err != nil {
		return p, err
	}
	if kept {
		p.Parts = append(p.Parts, keptBy)
	}
	act := templates.ConsolePart{ID: "act", Heading: say("admin.actions")}
	if len(client.RedirectURIs) > 0 && v.may(admin.VerbClientUpdate) {
		act.Forms = append(act.Forms, v.tryForm(client, ""))
	}
	if v.may(admin.VerbClientSecret) && client.UsesSecret() {
		act.Forms = append(act.Forms, v.ask("secret-form", "rotate-secret", "admin.secret.rotate", me...))
	}
	if v.may(admin.VerbClientUpdate) {
		if client.Disabled && !kept {
			act.Forms = append(act.Forms, v.post("enable-form", "enable", "admin.application.enable", me...))
		} else if !client.Disabled {
			act.Forms = append(act.Forms, v.ask("disable-form", "disable", "admin.application.disable", me...))
		}
	}
	if v.may(admin.VerbConsentRevoke) {
		act.Forms = append(act.Forms, v.ask("disconnect-form", "disconnect-all", "admin.application.disconnect", me...))
	}
	if v.may(admin.VerbClientDelete) && !kept {
		act.Forms = append(act.Forms, v.ask("delete-form", "delete", "admin.application.delete", me...))
	}
	if act.Forms != nil {
		p.Parts = append(p.Parts, act)
	}
	if v.may(admin.VerbClientUpdate) && !kept {
		edit := v.post("edit-form", "save", "admin.save", me...)
		edit.Inline, edit.Main, edit.Hidden, edit.Fields = false, true, seenVersion(client.Version),
			applicationFields(client)
		p.Parts = append(p.Parts, templates.ConsolePart{ID: "edit", Heading: say("admin.change"),
			Forms: []templates.ConsoleForm{edit}})
	}
	if v.may(admin.VerbGrantRead) {
		grants, err := c.Admin.GrantsOfClient(v.ctx, v.actor, client.ID, "", onPage)
		if err != nil {
			return p, err
		}
		t := templates.ConsoleTable{Caption: say("admin.grants"), Head: []templates.Message{say("admin.person.one"),
			say("admin.grant.scope"), say("admin.session.since"), say("admin.grant.used")},
			None: say("admin.grants.none")}
		for _, g := range grants {
			name := g.UserID
			if u, err := c.Store.User(v.ctx, g.UserID); err == nil {
				name = u.Username
			}
			t.Rows = append(t.Rows, [][]templates.Cell{{link(name, c.path("people", g.UserID))},
				text(strings.Join(g.Scope, " ")), at(g.CreatedAt), at(g.LastUsed)})
		}
		p.Parts = append(p.Parts, templates.ConsolePart{ID: "grants", Heading: say("admin.grants"), Table: &t})
	}
	if v.may(admin.VerbUserRead) {
		q := "?application=" + url.QueryEscape(client.ID)
		p.Parts = append(p.Parts, templates.ConsolePart{ID: "more",
			Links: []templates.ConsoleLink{{Label: say("admin.why"), URL: c.path("why") + q},
				{Label: say("admin.preview"), URL: c.path("preview") + q}}})
	}
	refused, err := c.Store.FailedRequests(v.ctx, client.ID, mostRefused)
	if err != nil {
		return p, err
	}
	p.Parts = append(p.Parts, templates.ConsolePart{ID: "refused", Heading: say("admin.doctor.refused"),
		Text: say(map[bool]string{true: "admin.doctor.none", false: "admin.doctor.some"}[len(refused) == 0])})
	for _, f := range refused {
		p.Parts = append(p.Parts, v.diagnosisPart(Diagnose(f, client, true)))
	}
	yaml, err := v.yamlPart("client", admin.ClientEntryOf(client))
	p.Parts = append(p.Parts, yaml)
	return p, err
}

// endpointFacts are the addresses that an application is configured with.
func (v *visit) endpointFacts() []templates.ConsoleFact {
	return []templates.ConsoleFact{
		fact("admin.issuer", code(v.c.Web.Issuer)),
		fact("admin.discovery", code(v.c.Web.URL("/.well-known/openid-configuration"))),
		fact("admin.endpoint.authorize", code(v.c.Web.URL("/authorize"))), fact("admin.endpoint.token",
			code(v.c.Web.URL("/token"))),
		fact("admin.endpoint.userinfo", code(v.c.Web.URL("/userinfo"))), fact("admin.endpoint.jwks",
			code(v.c.Web.URL("/jwks"))),
		fact("admin.endpoint.logout", code(v.c.Web.URL("/logout"))),
	}
}

func (c *Console) application(v *visit) error {
	client, err := c.Admin.Client(v.ctx, v.actor, variable(v.Request, "client_id"))
	if err != nil {
		return err
	}
	p, err := v.applicationPage(client)
	if err != nil {
		return err
	}
	return v.render(p)
}

func (c *Console) confirmApplication(v *visit) error {
	client, err := c.Admin.Client(v.ctx, v.actor, variable(v.Request, "client_id"))
	if err != nil {
		return err
	}
	return v.confirmation("applications", v.query.Get("action"), client.Name(), nil, "applications", client.ID)
}

// changeApplication does what a form of the page about an application asks for.
func (c *Console) changeApplication(v *visit) error {
	id := variable(v.Request, "client_id")
	if !v.confirmed() {
		return v.unconfirmed("applications", id)
	}
	disabled := func(yes bool) error {
		_, _, err := c.Admin.UpdateClient(v.ctx, v.actor, id,
			admin.ClientChange{Change: func(client *clients.Client) error { client.Disabled = yes; return nil }})
		return err
	}
	var err error
	notice := "saved"
	switch v.form.Get("action") {
	case "save":
		_, _, err = c.Admin.UpdateClient(v.ctx, v.actor, id, admin.ClientChange{Seen: seenIn(v.form.Get("seen")),
			Change: func(client *clients.Client) error {
				v.readApplication(client)
				return nil
			}})
	case "enable":
		err = disabled(false)
	case "disable":
		err = disabled(true)
	case "disconnect-all":
		_, _, err = c.Admin.DisconnectClient(v.ctx, v.actor, id, false)
		notice = "revoked"
	case "rotate-secret":
		client, secret, err := c.Admin.RotateSecret(v.ctx, v.actor, id, "")
		if err != nil {
			return err
		}
		p := v.page("secret", "applications", say("admin.secret.new", "name", client.Name()))
		p.BackURL, p.Back = c.path("applications", id), say("admin.application.title", "name", client.Name())
		p.Parts = []templates.ConsolePart{{ID: "secret", Warn: say("admin.secret.once"),
			Code: &templates.ConsoleCode{ID: "client-secret", Text: secret}}}
		return v.render(p)
	case "delete":
		if err = c.Admin.DeleteClient(v.ctx, v.actor, id); err == nil {
			return v.back("deleted", "applications")
		}
	case fixRedirect, fixPostLogout, fixAudience:
		err = c.applyFix(v, id, v.form.Get("action"))
	case "try":
		return c.tryApplication(v, id)
	default:
		return nothingChosen()
	}
	if err == nil {
		return v.back(notice, "applications", id)
	}
	client, loadErr := c.Admin.Client(v.ctx, v.actor, id)
	if loadErr != nil {
		return errors.Join(err, loadErr)
	}
	p, pageErr := v.applicationPage(client)
	if pageErr != nil {
		return pageErr
	}
	return v.refused(p, err)
}
