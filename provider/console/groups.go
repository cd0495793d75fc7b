package console

import (
	"net/http"
	"net/url"
	"time"

	"latchkey/provider/admin"
	"latchkey/provider/storage"
)

// Group is a group as the API shows one.
type Group struct {
	Name                string    `json:"name"`
	Description         string    `json:"description,omitempty"`
	Roles               []string  `json:"roles" jsonschema:"values of the roles claim that membership gives"`
	RequireSecondFactor bool      `json:"require_second_factor" jsonschema:"nobody of the group gets in by password alone"`
	CreatedAt           time.Time `json:"created_at"`
	ManagedBy           string    `json:"managed_by,omitempty" jsonschema:"the file that keeps it; not in lists"`
}

func groupOf(g storage.Group) Group {
	roles := g.Roles
	if roles == nil {
		roles = []string{}
	}
	return Group{Name: g.Name, Description: g.Description, Roles: roles, RequireSecondFactor: g.RequireSecondFactor,
		CreatedAt: g.CreatedAt}
}

// NewGroup is a group that is to be created.
type NewGroup struct {
	Name                string   `json:"name"`
	Description         string   `json:"description,omitempty"`
	Roles               []string `json:"roles,omitempty"`
	RequireSecondFactor bool     `json:"require_second_factor,omitempty"`
}

// GroupEdit is what PATCH changes about a group.
type GroupEdit struct {
	Description         string   `json:"description,omitempty"`
	Roles               []string `json:"roles,omitempty"`
	RequireSecondFactor bool     `json:"require_second_factor,omitempty"`
}

// groupsTable are the operations about groups.
func (c *Console) groupsTable() []operation {
	shown := func(cl *call, g storage.Group, err error) (any, error) {
		if err != nil {
			return nil, err
		}
		cl.version = g.Version
		out := groupOf(g)
		out.ManagedBy, err = c.Admin.ManagedBy(cl.ctx, "group", g.Name)
		return out, err
	}
	return []operation{
		{id: "listGroups", method: http.MethodGet, path: "/groups", verb: admin.VerbGroupRead,
			summary: "List and search groups, by name",
			query:   []parameter{{name: "q", about: "words that stand in name or description"}},
			answer:  typeOf[page[Group]](), listed: true, do: func(cl *call) (any, error) {
				all, err := c.Admin.Groups(cl.ctx, cl.who.actor)
				if err != nil {
					return nil, err
				}
				all = after(matching(all, cl.query.Get("q"), func(g storage.Group) string {
					return g.Name + " " +
						g.Description
				}), cl,
					func(g storage.Group) string { return g.Name })
				return cut(cl, all, func(g storage.Group) string { return g.Name }, groupOf), nil
			}},
		{id: "createGroup", method: http.MethodPost, path: "/groups", verb: admin.VerbGroupCreate,
			summary: "Create a group",
			body:    typeOf[NewGroup](), answer: typeOf[Group](), created: true, versioned: true, once: true,
			do: func(cl *call) (any, error) {
				n := body[NewGroup](cl)
				g, err := c.Admin.CreateGroup(cl.ctx, cl.who.actor, storage.Group{Name: n.Name,
					Description: n.Description, Roles: n.Roles, RequireSecondFactor: n.RequireSecondFactor})
				cl.location = "/groups/" + url.PathEscape(g.Name)
				return shown(cl, g, err)
			}},
		{id: "getGroup", method: http.MethodGet, path: "/groups/{group}", verb: admin.VerbGroupRead,
			summary: "Read a group",
			answer:  typeOf[Group](), versioned: true, do: func(cl *call) (any, error) {
				g, err := c.Admin.Group(cl.ctx, cl.who.actor, cl.path["group"])
				return shown(cl, g, err)
			}},
		{id: "changeGroup", method: http.MethodPatch, path: "/groups/{group}", verb: admin.VerbGroupUpdate,
			summary: "Change description, roles and what is required of a group (JSON merge patch)",
			body:    typeOf[GroupEdit](), answer: typeOf[Group](), versioned: true, guarded: true,
			do: func(cl *call) (any, error) {
				g, err := c.Admin.UpdateGroup(cl.ctx, cl.who.actor, cl.path["group"], cl.seen,
					func(g *storage.Group) error {
						edit := GroupEdit{}
						if err := merge(GroupEdit{g.Description, g.Roles, g.RequireSecondFactor}, cl.raw, &edit); err != nil {
							return err
						}
						g.Description, g.Roles, g.RequireSecondFactor = edit.Description, edit.Roles, edit.RequireSecondFactor
						return nil
					})
				return shown(cl, g, err)
			}},
		{id: "deleteGroup", method: http.MethodDelete, path: "/groups/{group}", verb: admin.VerbGroupDelete,
			summary: "Delete a group; its members lose its roles",
			do: func(cl *call) (any, error) {
				return nil, c.Admin.DeleteGroup(cl.ctx, cl.who.actor,
					cl.path["group"])
			}},
		{id: "listMembers", method: http.MethodGet, path: "/groups/{group}/members", verb: admin.VerbMemberRead,
			summary: "List the members of a group, by username",
			answer:  typeOf[page[Person]](), listed: true, do: func(cl *call) (any, error) {
				found, err := c.Admin.Members(cl.ctx, cl.who.actor, cl.path["group"], cl.cursor, cl.limit+1)
				if err != nil {
					return nil, err
				}
				return cut(cl, found, func(u storage.User) string { return u.Username }, personOf), nil
			}},
		{id: "addMember", method: http.MethodPut, path: "/groups/{group}/members/{sub}", verb: admin.VerbGroupAdd,
			summary: "Put a person into a group",
			do: func(cl *call) (any, error) {
				_, err := c.Admin.AddMember(cl.ctx, cl.who.actor, cl.path["group"], cl.path["sub"])
				return nil, err
			}},
		{id: "removeMember", method: http.MethodDelete, path: "/groups/{group}/members/{sub}",
			verb: admin.VerbGroupRemove, summary: "Take a person out of a group",
			do: func(cl *call) (any, error) {
				_, err := c.Admin.RemoveMember(cl.ctx, cl.who.actor, cl.path["group"], cl.path["sub"])
				return nil, err
			}},
	}
}
