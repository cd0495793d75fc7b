package console

import (
	"cmp"
	"net/url"
	"strings"

	"latchkey/provider/admin"
	"latchkey/provider/people"
	"latchkey/provider/storage"
	"latchkey/templates"
)

// field is a field of a form whose id is its name.
func field(name, label, kind, value string) templates.ConsoleField {
	return templates.ConsoleField{ID: name, Name: name, Label: say(label), Kind: kind, Value: value}
}

// choice is a select; the first value is "", in the words of any.
func choice(name, label, any string, selected string, values []string,
	words func(string) templates.Cell) templates.ConsoleField {
	f := field(name, label, "select", "")
	f.Options = []templates.ConsoleOption{{Value: "", Label: templates.Cell{Message: say(any)},
		Selected: selected == ""}}
	for _, v := range values {
		f.Options = append(f.Options, templates.ConsoleOption{Value: v, Label: words(v), Selected: v == selected})
	}
	return f
}

func roleWords(role string) templates.Cell { return templates.Cell{Message: say("admin.role." + role)} }
func stateWords(s string) templates.Cell   { return templates.Cell{Message: say("admin.state." + s)} }

// personCells name a user in a list.
func (v *visit) personCells(u storage.User) [][]templates.Cell {
	state := []templates.Cell{}
	if u.Disabled {
		state = append(state, templates.Cell{Message: say("admin.state.disabled"), Style: "bad"})
	}
	if u.Role != "" {
		state = append(state, templates.Cell{Message: say("admin.role." + u.Role), Style: "tag"})
	}
	return [][]templates.Cell{{link(u.Username, v.c.path("people", u.ID))}, text(u.Claims.Name), text(u.Claims.Email),
		text(strings.Join(u.Groups, ", ")), state}
}

var peopleHead = []templates.Message{say("admin.username"), say("admin.name"), say("admin.email"), say("admin.groups"),
	say("admin.state")}

// people lists and searches people.
func (c *Console) people(v *visit) error {
	after, err := v.cursor()
	if err != nil {
		return err
	}
	f := storage.UserFilter{Search: v.query.Get("q"), Group: v.query.Get("group"), Role: v.query.Get("role"),
		State: v.query.Get("state")}
	found, err := c.Admin.FindUsers(v.ctx, v.actor, f, after, onPage+1)
	if err != nil {
		return err
	}
	t := templates.ConsoleTable{Caption: say("admin.people"), Head: peopleHead, None: say("admin.none")}
	if found, err = paged(v, &t, found, func(u storage.User) string { return u.Username }); err != nil {
		return err
	}
	for _, u := range found {
		t.Rows = append(t.Rows, v.personCells(u))
	}
	p := v.page("people", "people", say("admin.people"))
	p.Lead = say("admin.people.lead")
	filter := templates.ConsoleForm{ID: "filter-form", Action: c.path("people"), Get: true, Inline: true,
		Submit: say("admin.filter"), Fields: []templates.ConsoleField{
			field("q", "admin.find", "search", f.Search), field("group", "admin.group", "text", f.Group),
			choice("role", "admin.role", "admin.any", f.Role, storage.Roles, roleWords), choice("state", "admin.state",
				"admin.any", f.State, personStates, stateWords),
		}}
	p.Parts = []templates.ConsolePart{}
	if v.may(admin.VerbUserCreate) {
		p.Parts = append(p.Parts, templates.ConsolePart{ID: "actions",
			Links: []templates.ConsoleLink{{Label: say("admin.person.new"), URL: c.path("people", "new"), Main: true}}})
	}
	p.Parts = append(p.Parts, templates.ConsolePart{ID: "filter", Forms: []templates.ConsoleForm{filter}},
		templates.ConsolePart{ID: "list", Table: &t})
	return v.render(p)
}

// newPersonPage is the form for a new person, with what was entered.
func (v *visit) newPersonPage(n admin.NewUser) templates.Console {
	p := v.page("person-new", "people", say("admin.person.new"))
	p.BackURL, p.Back = v.c.path("people"), say("admin.people")
	username := field("username", "admin.username", "text", n.Username)
	username.Required = true
	password := field("password", "admin.password", "password", "")
	password.Hint, password.Auto = say("admin.password.hint"), "new-password"
	groups := field("groups", "admin.groups", "textarea", strings.Join(n.Groups, "\n"))
	groups.Hint = say("admin.groups.hint")
	form := templates.ConsoleForm{ID: "person-form", Action: v.c.path("people"), CSRF: v.csrf(),
		Submit: say("admin.create"), Main: true, Fields: []templates.ConsoleField{
			username, field("name", "admin.name", "text", n.Claims.Name), field("email", "admin.email", "email",
				n.Claims.Email), password, groups,
		}}
	p.Parts = []templates.ConsolePart{{ID: "new", Forms: []templates.ConsoleForm{form}}}
	return p
}

func (c *Console) newPerson(v *visit) error {
	if !v.may(admin.VerbUserCreate) {
		return admin.ErrForbidden
	}
	return v.render(v.newPersonPage(admin.NewUser{}))
}

func (c *Console) createPersonForm(v *visit) error {
	n := admin.NewUser{Username: v.form.Get("username"), Password: v.form.Get("password"),
		Groups: lines(v.form.Get("groups")),
		Claims: storage.Claims{Name: v.form.Get("name"), Email: v.form.Get("email")}}
	u, err := c.Admin.CreateUser(v.ctx, v.actor, n)
	if err != nil {
		return v.refused(v.newPersonPage(n), err)
	}
	return v.back("created", "people", u.ID)
}

// personPage is the page about a user.
func (v *visit) personPage(u storage.User) (templates.Console, error) {
	c := v.c
	me := []string{"people", u.ID}
	p := v.page("person", "people", say("admin.person", "name", cmp.Or(u.Claims.Name, u.Username)))
	p.BackURL, p.Back = c.path("people"), say("admin.people")
	until, err := c.lockedUntil(v.ctx, u)
	if err != nil {
		return p, err
	}
	state := []templates.Cell{{Message: say("admin.state.enabled")}}
	if u.Disabled {
		state = []templates.Cell{{Message: say("admin.state.disabled"), Style: "bad"}}
	}
	if !until.IsZero() {
		state = append(state, templates.Cell{Message: say("admin.person.locked", "time", until), Style: "warn"})
	}
	role := words("admin.role.none")
	if u.Role != "" {
		role = []templates.Cell{{Message: say("admin.role." + u.Role), Style: "tag"}}
	}
	var groups []templates.Cell
	for _, g := range u.Groups {
		groups = append(groups, link(g, c.path("groups", g)))
	}
	signsIn := []templates.Cell{{Message: say("admin.person.no-password")}}
	if u.PasswordHash != "" {
		signsIn = []templates.Cell{{Message: say("admin.password")}}
	}
	if n := len(u.Factors.Confirmed()); n > 0 {
		signsIn = append(signsIn, templates.Cell{Message: say("admin.person.factors", "n", n), Style: "tag"})
	}
	facts := templates.ConsolePart{ID: "facts", Facts: []templates.ConsoleFact{
		fact("admin.username", text(u.Username)), fact("admin.sub", code(u.ID)), fact("admin.state", state),
		fact("admin.role", role), fact("admin.email", text(u.Claims.Email)),
		fact("admin.groups", groups), fact("admin.person.signs-in", signsIn), fact("admin.created-at", at(u.CreatedAt)),
		fact("admin.changed-at", at(u.UpdatedAt)),
	}}
	switch why, err := c.SignIn.FactorPolicy.Requires(v.ctx, u); {
	case err != nil:
		return p, err
	case why != "":
		cells := words("admin.second-factor.required")
		if group, ok := strings.CutPrefix(why, people.ForGroup); ok {
			cells = append(cells, link(group, c.path("groups", group)))
		}
		facts.Facts = append(facts.Facts, fact("admin.second-factor", cells))
	}
	keptBy, kept, err := v.keptPart("user", u.ID)
	if err != nil {
		return p, err
	}
	help := templates.ConsolePart{ID: "help", Heading: say("admin.person.help")}
	if v.may(admin.VerbUserUnlock) && !until.IsZero() {
		help.Forms = append(help.Forms, v.post("unlock-form", "unlock", "admin.person.unlock", me...))
	}
	if v.may(admin.VerbUserPassword) {
		f := v.post("password-form", "password", "admin.person.set-password", me...)
		password := field("password", "admin.password.new", "password", "")
		password.Auto, password.Required = "new-password", true
		f.Fields = []templates.ConsoleField{password}
		help.Forms = append(help.Forms, f)
	}
	if v.may(admin.VerbUserFactors) && u.Factors.Second() {
		help.Forms = append(help.Forms, v.ask("factors-form", "reset-factors", "admin.person.reset-factors", me...))
	}
	if v.may(admin.VerbUserSignOut) {
		help.Forms = append(help.Forms, v.ask("sessions-form", "end-sessions", "admin.person.end-sessions", me...))
	}
	if v.may(admin.VerbUserDisable) {
		if u.Disabled && !kept {
			help.Forms = append(help.Forms, v.post("enable-form", "enable", "admin.person.enable", me...))
		} else if !u.Disabled {
			help.Forms = append(help.Forms, v.ask("disable-form", "disable", "admin.person.disable", me...))
		}
	}
	if v.may(admin.VerbUserDelete) && !kept {
		help.Forms = append(help.Forms, v.ask("delete-form", "delete", "admin.person.delete", me...))
	}
	p.Parts = []templates.ConsolePart{facts, help}
	if kept {
		p.Parts = []templates.ConsolePart{facts, keptBy, help}
	}
	if v.may(admin.VerbUserUpdate) && !kept {
		email := field("email", "admin.email", "email", u.Claims.Email)
		verified := templates.ConsoleField{ID: "email_verified", Name: "email_verified",
			Label: say("admin.email.verified"), Kind: "check", Checked: u.Claims.EmailVerified}
		list := field("groups", "admin.groups", "textarea", strings.Join(u.Groups, "\n"))
		list.Hint = say("admin.groups.hint")
		edit := v.post("edit-form", "save", "admin.save", me...)
		edit.Inline, edit.Main, edit.Hidden = false, true, seenVersion(u.Version)
		edit.Fields = []templates.ConsoleField{field("name", "admin.name", "text", u.Claims.Name),
			field("given_name", "admin.given-name", "text", u.Claims.GivenName),
			field("family_name", "admin.family-name", "text", u.Claims.FamilyName), email, verified, list}
		rename := v.post("rename-form", "rename", "admin.person.rename", me...)
		name := field("username", "admin.username", "text", u.Username)
		name.Required = true
		rename.Fields = []templates.ConsoleField{name}
		forms := []templates.ConsoleForm{edit, rename}
		if v.may(admin.VerbUserRole) {
			give := v.post("role-form", "role", "admin.person.set-role", me...)
			give.Fields = []templates.ConsoleField{choice("role", "admin.role", "admin.role.none", u.Role,
				storage.Roles, roleWords)}
			forms = append(forms, give)
		}
		p.Parts = append(p.Parts, templates.ConsolePart{ID: "edit", Heading: say("admin.change"), Forms: forms})
	}
	if v.may(admin.VerbSessionRead) {
		sessions, err := c.Admin.SessionsOfUser(v.ctx, v.actor, u.ID)
		if err != nil {
			return p, err
		}
		t := templates.ConsoleTable{Caption: say("admin.sessions"),
			Head: []templates.Message{say("admin.session.device"), say("admin.session.address"),
				say("admin.session.since"), say("admin.session.seen"), say("admin.applications"), say("admin.actions")},
			None: say("admin.sessions.none")}
		for _, s := range sessions {
			t.Rows = append(t.Rows, append(v.sessionCells(s), v.endSession(s, me...)))
		}
		p.Parts = append(p.Parts, templates.ConsolePart{ID: "sessions", Heading: say("admin.sessions"), Table: &t})
	}
	if v.may(admin.VerbGrantRead) {
		grants, err := c.Admin.GrantsOfUser(v.ctx, v.actor, u.ID)
		if err != nil {
			return p, err
		}
		t := templates.ConsoleTable{Caption: say("admin.grants"), Head: []templates.Message{say("admin.application"),
			say("admin.grant.scope"), say("admin.session.since"), say("admin.grant.used"), say("admin.actions")},
			None: say("admin.grants.none")}
		for _, g := range grants {
			row := [][]templates.Cell{{link(g.ClientID, c.path("applications", g.ClientID))},
				text(strings.Join(g.Scope, " ")), at(g.CreatedAt), at(g.LastUsed), nil}
			if v.may(admin.VerbGrantRevoke) {
				f := v.post("", "revoke-grant", "admin.grant.revoke", me...)
				f.Hidden, f.Danger = [][2]string{{"id", g.ID}}, true
				row[4] = []templates.Cell{{Form: &f}}
			}
			t.Rows = append(t.Rows, row)
		}
		p.Parts = append(p.Parts, templates.ConsolePart{ID: "grants", Heading: say("admin.grants"), Table: &t})
	}
	links := []templates.ConsoleLink{{Label: say("admin.why"), URL: c.path("why") + "?person=" +
		url.QueryEscape(u.Username)}}
	if v.may(admin.VerbAuditRead) {
		links = append(links, templates.ConsoleLink{Label: say("admin.audit.about"), URL: c.path("audit") + "?object=" +
			url.QueryEscape(u.ID)})
	}
	p.Parts = append(p.Parts, templates.ConsolePart{ID: "more", Links: links})
	yaml, err := v.yamlPart("user", admin.UserEntryOf(u))
	p.Parts = append(p.Parts, yaml)
	return p, err
}

// sessionCells describe a session in a list.
func (v *visit) sessionCells(s storage.Session) [][]templates.Cell {
	return [][]templates.Cell{text(s.UserAgent), text(s.Address), at(s.AuthTime), at(s.LastSeen),
		text(strings.Join(s.Clients, ", "))}
}

// endSession is the button that ends a session; it comes back to where it stands.
func (v *visit) endSession(s storage.Session, target ...string) []templates.Cell {
	if !v.may(admin.VerbSessionEnd) {
		return nil
	}
	f := v.post("", "end-session", "admin.session.end", target...)
	f.Hidden, f.Danger = [][2]string{{"id", s.ID}}, true
	return []templates.Cell{{Form: &f}}
}

func (c *Console) person(v *visit) error {
	u, err := c.Admin.UserByID(v.ctx, v.actor, variable(v.Request, "sub"))
	if err != nil {
		return err
	}
	p, err := v.personPage(u)
	if err != nil {
		return err
	}
	return v.render(p)
}

func (c *Console) confirmPerson(v *visit) error {
	u, err := c.Admin.UserByID(v.ctx, v.actor, variable(v.Request, "sub"))
	if err != nil {
		return err
	}
	return v.confirmation("people", v.query.Get("action"), cmp.Or(u.Claims.Name, u.Username), nil, "people", u.ID)
}

// changePerson does what a form of the page about a person asks for.
func (c *Console) changePerson(v *visit) error {
	id, ctx := variable(v.Request, "sub"), v.ctx
	if !v.confirmed() {
		return v.unconfirmed("people", id)
	}
	notice := "saved"
	var err error
	switch v.form.Get("action") {
	case "save":
		_, err = c.Admin.UpdateUser(ctx, v.actor, id, seenIn(v.form.Get("seen")), func(u *storage.User) error {
			u.Claims.Name, u.Claims.GivenName, u.Claims.FamilyName = v.form.Get("name"), v.form.Get("given_name"),
				v.form.Get("family_name")
			u.Claims.Email, u.Claims.EmailVerified = v.form.Get("email"), v.form.Has("email_verified")
			u.Groups = lines(v.form.Get("groups"))
			return nil
		})
	case "rename":
		_, err = c.Admin.RenameUser(ctx, v.actor, id, v.form.Get("username"))
	case "role":
		_, err = c.Admin.SetRole(ctx, v.actor, id, v.form.Get("role"))
	case "password":
		_, err = c.Admin.SetPassword(ctx, v.actor, id, v.form.Get("password"))
	case "unlock":
		_, _, err = c.Admin.Unlock(ctx, v.actor, id)
	case "enable":
		_, err = c.Admin.SetDisabled(ctx, v.actor, id, false)
	case "disable":
		_, err = c.Admin.SetDisabled(ctx, v.actor, id, true)
	case "reset-factors":
		_, err = c.Admin.ResetFactors(ctx, v.actor, id)
	case "end-sessions":
		_, err = c.Admin.EndSessions(ctx, v.actor, id)
		notice = "ended"
	case "end-session":
		_, err = c.Admin.EndSession(ctx, v.actor, v.form.Get("id"))
		notice = "ended"
	case "revoke-grant":
		_, err = c.Admin.RevokeGrant(ctx, v.actor, v.form.Get("id"))
		notice = "revoked"
	case "delete":
		if _, err = c.Admin.DeleteUser(ctx, v.actor, id); err == nil {
			return v.back("deleted", "people")
		}
	default:
		return nothingChosen()
	}
	if err == nil {
		return v.back(notice, "people", id)
	}
	u, loadErr := c.Admin.UserByID(ctx, v.actor, id)
	if loadErr != nil {
		return err
	}
	p, pageErr := v.personPage(u)
	if pageErr != nil {
		return pageErr
	}
	return v.refused(p, err)
}
