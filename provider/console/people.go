package console

import (
	"context"
	"errors"
	"net/http"
	"time"

	"latchkey/provider/access"
	"latchkey/provider/admin"
	"latchkey/provider/clients"
	"latchkey/provider/people"
	"latchkey/provider/storage"
)

// Person is a user as the API shows one.
type Person struct {
	Sub       string         `json:"sub" jsonschema:"the subject identifier, which applications know the person by"`
	Username  string         `json:"username"`
	Disabled  bool           `json:"disabled"`
	Role      string         `json:"role,omitempty" jsonschema:"what the person may administer: owner, administrator, help_desk, auditor, application_owner; absent for nothing"`
	Groups    []string       `json:"groups"`
	Claims    storage.Claims `json:"claims" jsonschema:"the standard claims of OpenID Connect Core section 5.1"`
	Password  bool           `json:"password" jsonschema:"the person has a password"`
	Factors   int            `json:"factors" jsonschema:"how many second factors are set up"`
	Recovery  int            `json:"recovery_codes" jsonschema:"how many recovery codes are left"`
	CreatedAt time.Time      `json:"created_at"`
	UpdatedAt time.Time      `json:"updated_at"`
	ManagedBy string         `json:"managed_by,omitempty" jsonschema:"the file that keeps the person; not in lists"`
	// LockedUntil is there while too many wrong passwords keep the person out.
	LockedUntil *time.Time `json:"locked_until,omitempty" jsonschema:"until then too many wrong passwords keep the person out"`
}

func personOf(u storage.User) Person {
	groups := u.Groups
	if groups == nil {
		groups = []string{}
	}
	return Person{Sub: u.ID, Username: u.Username, Disabled: u.Disabled, Role: u.Role, Groups: groups, Claims: u.Claims,
		Password: u.PasswordHash != "",
		Factors:  len(u.Factors.Confirmed()), Recovery: u.Factors.RecoveryLeft(), CreatedAt: u.CreatedAt,
		UpdatedAt: u.UpdatedAt}
}

// NewPerson is a person who is to be created.
type NewPerson struct {
	Username string         `json:"username"`
	Password string         `json:"password,omitempty" jsonschema:"without it no password works until one is set"`
	Disabled bool           `json:"disabled,omitempty"`
	Groups   []string       `json:"groups,omitempty"`
	Claims   storage.Claims `json:"claims,omitzero"`
}

// PersonEdit is what PATCH changes about a person.
type PersonEdit struct {
	Username string         `json:"username,omitempty"` // needs the right to rename people; the sub stays
	Groups   []string       `json:"groups,omitempty"`
	Claims   storage.Claims `json:"claims,omitzero"`
}

// Rename, Role and Password are the bodies of the operations of their names.
type (
	// Rename is the new username of a person.
	Rename struct {
		Username string `json:"username"`
	}
	// Role is the role that a person is to have.
	Role struct {
		Role string `json:"role" jsonschema:"owner, administrator, help_desk, auditor, application_owner, or empty for none"`
	}
	// Password is the new password of a person.
	Password struct {
		Password string `json:"password"`
	}
)

// Access says whether a person may use an application, and by which rule.
type Access struct {
	Sub      string   `json:"sub"`
	ClientID string   `json:"client_id"`
	Allowed  bool     `json:"allowed"`
	Rule     string   `json:"rule" jsonschema:"the rule that decided: everybody, group, client_disabled, user_disabled, not_in_group"`
	Groups   []string `json:"groups,omitempty" jsonschema:"the groups that the rule is about: those of the person that let them in, or those whose members may use the application"`
	Text     string   `json:"text" jsonschema:"the same in a sentence"`
}

var personStates = []string{storage.UserEnabled, storage.UserDisabled}

// peopleTable are the operations about people.
func (c *Console) peopleTable() []operation {
	return []operation{
		{id: "listPeople", method: http.MethodGet, path: "/people", verb: admin.VerbUserRead,
			summary: "List and search people, by username",
			query: []parameter{{name: "q", about: "words, each of which begins a word of name, username or e-mail address"}, {name: "group", about: "members of this group"},
				{name: "role", about: "people with this role", values: storage.Roles},
				{name: "state", about: "enabled or disabled people", values: personStates}},
			answer: typeOf[page[Person]](), listed: true, do: c.listPeople},
		{id: "createPerson", method: http.MethodPost, path: "/people", verb: admin.VerbUserCreate,
			summary: "Create a person",
			body:    typeOf[NewPerson](), answer: typeOf[Person](), created: true, versioned: true, once: true,
			do: c.createPerson},
		{id: "getPerson", method: http.MethodGet, path: "/people/{sub}", verb: admin.VerbUserRead,
			summary: "Read a person",
			answer:  typeOf[Person](), versioned: true, do: func(cl *call) (any, error) {
				u, err := c.Admin.UserByID(cl.ctx, cl.who.actor, cl.path["sub"])
				return c.shownPerson(cl, u, err)
			}},
		{id: "changePerson", method: http.MethodPatch, path: "/people/{sub}", verb: admin.VerbUserUpdate,
			summary: "Change username, claims and groups of a person (JSON merge patch)",
			body:    typeOf[PersonEdit](), answer: typeOf[Person](), versioned: true, guarded: true,
			do: func(cl *call) (any, error) {
				u, err := c.Admin.UpdateUser(cl.ctx, cl.who.actor, cl.path["sub"], cl.seen,
					func(u *storage.User) error {
						edit := PersonEdit{}
						if err := merge(PersonEdit{u.Username, u.Groups, u.Claims}, cl.raw, &edit); err != nil {
							return err
						}
						u.Username, u.Groups, u.Claims = edit.Username, edit.Groups, edit.Claims
						return nil
					})
				return c.shownPerson(cl, u, err)
			}},
		{id: "deletePerson", method: http.MethodDelete, path: "/people/{sub}", verb: admin.VerbUserDelete,
			summary: "Delete a person for good, and end their sessions",
			do: func(cl *call) (any, error) {
				_, err := c.Admin.DeleteUser(cl.ctx, cl.who.actor, cl.path["sub"])
				return nil, err
			}},
		{id: "renamePerson", method: http.MethodPut, path: "/people/{sub}/username", verb: admin.VerbUserRename,
			summary: "Give a person another username",
			body:    typeOf[Rename](), answer: typeOf[Person](), versioned: true, do: func(cl *call) (any, error) {
				u, err := c.Admin.RenameUser(cl.ctx, cl.who.actor, cl.path["sub"], body[Rename](cl).Username)
				return c.shownPerson(cl, u, err)
			}},
		{id: "setRole", method: http.MethodPut, path: "/people/{sub}/role", verb: admin.VerbUserRole,
			summary: "Give a person a role, or none",
			body:    typeOf[Role](), answer: typeOf[Person](), versioned: true, do: func(cl *call) (any, error) {
				u, err := c.Admin.SetRole(cl.ctx, cl.who.actor, cl.path["sub"], body[Role](cl).Role)
				return c.shownPerson(cl, u, err)
			}},
		{id: "setPassword", method: http.MethodPut, path: "/people/{sub}/password", verb: admin.VerbUserPassword,
			summary: "Give a person another password, and end their sessions",
			body:    typeOf[Password](), do: func(cl *call) (any, error) {
				_, err := c.Admin.SetPassword(cl.ctx, cl.who.actor, cl.path["sub"], body[Password](cl).Password)
				return nil, err
			}},
		{id: "resetFactors", method: http.MethodDelete, path: "/people/{sub}/factors", verb: admin.VerbUserFactors,
			summary: "Remove the second factors of a person, and end their sessions",
			do: func(cl *call) (any, error) {
				_, err := c.Admin.ResetFactors(cl.ctx, cl.who.actor, cl.path["sub"])
				return nil, err
			}},
		{id: "unlockPerson", method: http.MethodPost, path: "/people/{sub}/unlock", verb: admin.VerbUserUnlock,
			summary: "Forget the wrong passwords that keep a person out",
			do: func(cl *call) (any, error) {
				_, _, err := c.Admin.Unlock(cl.ctx, cl.who.actor, cl.path["sub"])
				return nil, err
			}},
		{id: "disablePerson", method: http.MethodPost, path: "/people/{sub}/disable", verb: admin.VerbUserDisable,
			summary: "Keep a person from signing in, and end their sessions",
			answer:  typeOf[Person](), versioned: true, do: func(cl *call) (any, error) {
				u, err := c.Admin.SetDisabled(cl.ctx, cl.who.actor, cl.path["sub"], true)
				return c.shownPerson(cl, u, err)
			}},
		{id: "enablePerson", method: http.MethodPost, path: "/people/{sub}/enable", verb: admin.VerbUserEnable,
			summary: "Let a person sign in again",
			answer:  typeOf[Person](), versioned: true, do: func(cl *call) (any, error) {
				u, err := c.Admin.SetDisabled(cl.ctx, cl.who.actor, cl.path["sub"], false)
				return c.shownPerson(cl, u, err)
			}},
		{id: "explainAccess", method: http.MethodGet, path: "/people/{sub}/access/{client_id}",
			verb: admin.VerbUserRead, summary: "Say whether a person may use an application, and by which rule",
			answer: typeOf[Access](), do: func(cl *call) (any, error) {
				u, err := c.Admin.UserByID(cl.ctx, cl.who.actor, cl.path["sub"])
				if err != nil {
					return nil, err
				}
				client, err := c.Store.Client(cl.ctx, cl.path["client_id"])
				if errors.Is(err, storage.ErrNotFound) {
					return nil, &admin.ObjectError{Err: admin.ErrNotFound, Kind: "client", Name: cl.path["client_id"]}
				}
				return Why(client, u), err
			}},
	}
}

func (c *Console) listPeople(cl *call) (any, error) {
	f := storage.UserFilter{Search: cl.query.Get("q"), Group: cl.query.Get("group"), Role: cl.query.Get("role"),
		State: cl.query.Get("state")}
	found, err := c.Admin.FindUsers(cl.ctx, cl.who.actor, f, cl.cursor, cl.limit+1)
	if err != nil {
		return nil, err
	}
	return cut(cl, found, func(u storage.User) string { return u.Username }, personOf), nil
}

func (c *Console) createPerson(cl *call) (any, error) {
	n := body[NewPerson](cl)
	u, err := c.Admin.CreateUser(cl.ctx, cl.who.actor, admin.NewUser{Username: n.Username, Password: n.Password,
		Disabled: n.Disabled, Groups: n.Groups, Claims: n.Claims})
	cl.location = "/people/" + u.ID
	return c.shownPerson(cl, u, err)
}

// shownPerson is the answer about one person.
func (c *Console) shownPerson(cl *call, u storage.User, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	cl.version = u.Version
	p := personOf(u)
	until, err := c.lockedUntil(cl.ctx, u)
	if err != nil {
		return nil, err
	}
	if !until.IsZero() {
		p.LockedUntil = &until
	}
	p.ManagedBy, err = c.Admin.ManagedBy(cl.ctx, "user", u.ID)
	return p, err
}

// lockedUntil is when a user who is locked out may try again; zero if they may now.
func (c *Console) lockedUntil(ctx context.Context, u storage.User) (time.Time, error) {
	var l people.Lockout
	l, err := c.Admin.Throttle.Lockout(ctx, u.Username, c.Web.Now())
	if err != nil || !l.Locked() {
		return time.Time{}, err
	}
	return l.Until.UTC(), nil
}

// Rules that can decide in favour, beside the reasons of package access.
const (
	RuleEverybody = "everybody" // the application is for everybody
	RuleGroup     = "group"     // the person is in a group that the application is for
)

// Why says whether a person may use an application, and by which rule: access.Decide with its
// grounds.
func Why(client clients.Client, u storage.User) Access {
	d := access.Decide(client, u)
	out := Access{Sub: u.ID, ClientID: client.ID, Allowed: d.Allowed, Rule: string(d.Reason), Groups: d.Groups}
	switch {
	case d.Allowed && len(client.AllowedGroups) == 0:
		out.Rule, out.Text = RuleEverybody, "the application is for everybody"
	case d.Allowed:
		out.Rule, out.Text = RuleGroup, "the person is in a group that the application is for"
		for _, g := range client.AllowedGroups {
			for _, own := range u.Groups {
				if g == own {
					out.Groups = append(out.Groups, g)
				}
			}
		}
	case d.Reason == access.ClientDisabled:
		out.Text = "the application is disabled"
	case d.Reason == access.UserDisabled:
		out.Text = "the person is disabled"
	case d.Reason == access.NotInGroup:
		out.Text = "the person is in none of the groups that the application is for"
	default:
		out.Text = "the person or the application is unknown"
	}
	return out
}
