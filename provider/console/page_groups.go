package console

import (
	"errors"
	"strconv"
	"strings"

	"latchkey/provider/admin"
	"latchkey/provider/people"
	"latchkey/provider/storage"
	"latchkey/templates"
)

// seenVersion is the hidden field that says which version of a record a form shows.
func seenVersion(version int64) [][2]string {
	return [][2]string{{"seen", strconv.FormatInt(version, 10)}}
}

// seenIn reads it back. What is none is a version that no record has.
func seenIn(text string) int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 1 {
		return -1
	}
	return n
}

// groupsPage lists groups, with the form for a new one and what was entered there.
func (v *visit) groupsPage(n storage.Group) (templates.Console, error) {
	p := v.page("groups", "groups", say("admin.groups"))
	p.Lead = say("admin.groups.lead")
	after, err := v.cursor()
	if err != nil {
		return p, err
	}
	all, err := v.c.Admin.Groups(v.ctx, v.actor)
	if err != nil {
		return p, err
	}
	search := v.query.Get("q")
	all = matching(all, search, func(g storage.Group) string { return g.Name + " " + g.Description })
	all = beyond(all, after, func(g storage.Group) string { return g.Name })
	t := templates.ConsoleTable{Caption: say("admin.groups"), Head: []templates.Message{say("admin.group"),
		say("admin.description"), say("admin.group.roles")}, None: say("admin.none")}
	if all, err = paged(v, &t, all, func(g storage.Group) string { return g.Name }); err != nil {
		return p, err
	}
	for _, g := range all {
		t.Rows = append(t.Rows, [][]templates.Cell{{link(g.Name, v.c.path("groups", g.Name))}, text(g.Description),
			text(strings.Join(g.Roles, ", "))})
	}
	filter := templates.ConsoleForm{ID: "filter-form", Action: v.c.path("groups"), Get: true, Inline: true,
		Submit: say("admin.filter"),
		Fields: []templates.ConsoleField{field("q", "admin.find", "search", search)}}
	p.Parts = []templates.ConsolePart{{ID: "filter", Forms: []templates.ConsoleForm{filter}}, {ID: "list", Table: &t}}
	if v.may(admin.VerbGroupCreate) {
		name := field("name", "admin.group", "text", n.Name)
		name.Required = true
		form := templates.ConsoleForm{ID: "group-form", Action: v.c.path("groups"), CSRF: v.csrf(),
			Submit: say("admin.create"), Main: true,
			Fields: append([]templates.ConsoleField{name}, groupFields(n)...)}
		p.Parts = append(p.Parts, templates.ConsolePart{ID: "new", Heading: say("admin.group.new"),
			Forms: []templates.ConsoleForm{form}})
	}
	return p, nil
}

func groupFields(g storage.Group) []templates.ConsoleField {
	roles := field("roles", "admin.group.roles", "textarea", strings.Join(g.Roles, "\n"))
	roles.Hint = say("admin.group.roles.hint")
	return []templates.ConsoleField{field("description", "admin.description", "text", g.Description), roles,
		{ID: "require_second_factor", Name: "require_second_factor", Label: say("admin.application.factor"),
			Kind: "check", Checked: g.RequireSecondFactor}}
}

func (c *Console) groups(v *visit) error {
	p, err := v.groupsPage(storage.Group{})
	if err != nil {
		return err
	}
	return v.render(p)
}

func (c *Console) createGroupForm(v *visit) error {
	n := storage.Group{Name: v.form.Get("name"), Description: v.form.Get("description"),
		Roles: lines(v.form.Get("roles")), RequireSecondFactor: v.form.Has("require_second_factor")}
	g, err := c.Admin.CreateGroup(v.ctx, v.actor, n)
	if err != nil {
		p, pageErr := v.groupsPage(n)
		if pageErr != nil {
			return errors.Join(err, pageErr)
		}
		return v.refused(p, err)
	}
	return v.back("created", "groups", g.Name)
}

// groupPage is the page about a group.
func (v *visit) groupPage(g storage.Group) (templates.Console, error) {
	c, me := v.c, []string{"groups", g.Name}
	p := v.page("group", "groups", say("admin.group.title", "name", g.Name))
	p.BackURL, p.Back = c.path("groups"), say("admin.groups")
	p.Parts = []templates.ConsolePart{{ID: "facts", Facts: []templates.ConsoleFact{fact("admin.description",
		text(g.Description)),
		fact("admin.group.roles", text(strings.Join(g.Roles, ", "))), fact("admin.created-at", at(g.CreatedAt))}}}
	if g.RequireSecondFactor {
		p.Parts[0].Facts = append(p.Parts[0].Facts, fact("admin.second-factor", words("admin.second-factor.required")))
	}
	keptBy, kept, err := v.keptPart("group", g.Name)
	if err != nil {
		return p, err
	}
	if kept {
		p.Parts = append(p.Parts, keptBy)
	}
	yaml, err := v.yamlPart("group", admin.GroupEntryOf(g))
	if err != nil {
		return p, err
	}
	if v.may(admin.VerbMemberRead) {
		after, err := v.cursor()
		if err != nil {
			return p, err
		}
		found, err := c.Admin.Members(v.ctx, v.actor, g.Name, after, onPage+1)
		if errors.Is(err, admin.ErrForbidden) {
			p.Parts = append(p.Parts, yaml)
			return p, nil // the group is not for an application that they look after
		}
		if err != nil {
			return p, err
		}
		t := templates.ConsoleTable{Caption: say("admin.members"),
			Head: append(append([]templates.Message{}, peopleHead...), say("admin.actions")),
			None: say("admin.members.none")}
		if found, err = paged(v, &t, found, func(u storage.User) string { return u.Username }); err != nil {
			return p, err
		}
		for _, u := range found {
			row := append(v.personCells(u), nil)
			if v.may(admin.VerbGroupRemove) {
				f := v.post("", "remove", "admin.member.remove", me...)
				f.Hidden, f.Danger = [][2]string{{"id", u.ID}}, true
				row[len(row)-1] = []templates.Cell{{Form: &f}}
			}
			t.Rows = append(t.Rows, row)
		}
		members := templates.ConsolePart{ID: "members", Heading: say("admin.members"), Table: &t}
		if v.may(admin.VerbGroupAdd) {
			add := v.post("add-form", "add", "admin.member.add", me...)
			name := field("username", "admin.username", "text", "")
			name.Required = true
			add.Fields = []templates.ConsoleField{name}
			members.Forms = []templates.ConsoleForm{add}
		}
		p.Parts = append(p.Parts, members)
	}
	if v.may(admin.VerbGroupUpdate) && !kept {
		edit := v.post("edit-form", "save", "admin.save", me...)
		edit.Inline, edit.Main, edit.Hidden, edit.Fields = false, true, seenVersion(g.Version), groupFields(g)
		p.Parts = append(p.Parts, templates.ConsolePart{ID: "edit", Heading: say("admin.change"),
			Forms: []templates.ConsoleForm{edit}})
	}
	if v.may(admin.VerbGroupDelete) && !kept {
		p.Parts = append(p.Parts, templates.ConsolePart{ID: "remove",
			Forms: []templates.ConsoleForm{v.ask("delete-form", "delete", "admin.group.delete", me...)}})
	}
	p.Parts = append(p.Parts, yaml)
	return p, nil
}

func (c *Console) group(v *visit) error {
	g, err := c.Admin.Group(v.ctx, v.actor, variable(v.Request, "group"))
	if err != nil {
		return err
	}
	p, err := v.groupPage(g)
	if err != nil {
		return err
	}
	return v.render(p)
}

func (c *Console) confirmGroup(v *visit) error {
	g, err := c.Admin.Group(v.ctx, v.actor, variable(v.Request, "group"))
	if err != nil {
		return err
	}
	return v.confirmation("groups", v.query.Get("action"), g.Name, nil, "groups", g.Name)
}

// changeGroup does what a form of the page about a group asks for.
func (c *Console) changeGroup(v *visit) error {
	name := variable(v.Request, "group")
	if !v.confirmed() {
		return v.unconfirmed("groups", name)
	}
	var err error
	switch v.form.Get("action") {
	case "save":
		_, err = c.Admin.UpdateGroup(v.ctx, v.actor, name, seenIn(v.form.Get("seen")), func(g *storage.Group) error {
			g.Description, g.Roles = v.form.Get("description"), lines(v.form.Get("roles"))
			g.RequireSecondFactor = v.form.Has("require_second_factor")
			return nil
		})
	case "add":
		var u storage.User
		if u, err = c.userNamed(v, v.form.Get("username")); err == nil {
			_, err = c.Admin.AddMember(v.ctx, v.actor, name, u.ID)
		}
	case "remove":
		_, err = c.Admin.RemoveMember(v.ctx, v.actor, name, v.form.Get("id"))
	case "delete":
		if err = c.Admin.DeleteGroup(v.ctx, v.actor, name); err == nil {
			return v.back("deleted", "groups")
		}
	default:
		return nothingChosen()
	}
	if err == nil {
		return v.back("saved", "groups", name)
	}
	g, loadErr := c.Admin.Group(v.ctx, v.actor, name)
	if loadErr != nil {
		return err
	}
	p, pageErr := v.groupPage(g)
	if pageErr != nil {
		return pageErr
	}
	return v.refused(p, err)
}

// userNamed is the user with a username that was typed; Faults if there is none.
func (c *Console) userNamed(v *visit, username string) (storage.User, error) {
	canonical, err := people.CanonicalUsername(username)
	if err == nil {
		var u storage.User
		if u, err = c.Store.UserByUsername(v.ctx, canonical); err == nil {
			return u, nil
		}
	}
	var refusal people.Refusal
	if errors.Is(err, storage.ErrNotFound) || errors.As(err, &refusal) {
		return storage.User{}, admin.Faults{{Field: "username", Reason: admin.Unknown, Value: username,
			Text: "is the username of nobody"}}
	}
	return storage.User{}, err
}

// beyond are the rows of a list, sorted by key, that come after a cursor.
func beyond[T any](all []T, cursor string, key func(T) string) []T {
	return after(all, &call{cursor: cursor}, key)
}
