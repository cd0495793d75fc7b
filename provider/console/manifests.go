package console

import (
	"encoding/json"
	"net/http"
	"net/url"
	"time"

	"latchkey/provider/admin"
	"latchkey/provider/storage"
	"latchkey/templates"
)

// ManifestName is a file that keeps people, groups or applications.
type ManifestName struct {
	Name string `json:"name" jsonschema:"what the file calls itself"`
}

// Drift is an object that is not what the file that keeps it said when it was applied last.
type Drift struct {
	Kind      string        `json:"kind" jsonschema:"group, person or client"`
	ID        string        `json:"id" jsonschema:"the sub of a person, else the name"`
	Name      string        `json:"name"`
	Deleted   bool          `json:"deleted"`
	Changes   []FieldChange `json:"changes"`
	AppliedAt time.Time     `json:"applied_at"`
	ChangedBy string        `json:"changed_by,omitempty" jsonschema:"as far as the audit log still knows"`
	ChangedAt *time.Time    `json:"changed_at,omitempty"`
}

// FieldChange is what became of one field. A value that is absent was not there.
type FieldChange struct {
	Field  string `json:"field" jsonschema:"by its name in the file, such as claims.email"`
	Before any    `json:"before,omitempty" jsonschema:"as the file said it"`
	After  any    `json:"after,omitempty" jsonschema:"as it is"`
}

func driftOf(d admin.Drift) Drift {
	out := Drift{Kind: d.Kind, ID: d.ID, Name: d.Name, Deleted: d.Deleted, Changes: []FieldChange{},
		AppliedAt: d.AppliedAt, ChangedBy: d.ChangedBy, ChangedAt: d.ChangedAt}
	for _, f := range d.Changes {
		change := FieldChange{Field: f.Field}
		if f.Before != nil {
			change.Before = f.Before
		}
		if f.After != nil {
			change.After = f.After
		}
		out.Changes = append(out.Changes, change)
	}
	return out
}

// Entry is an object as the file of latchkey apply has it.
type Entry struct {
	ManagedBy string `json:"managed_by,omitempty" jsonschema:"the name of the file that keeps it, absent if none does"`
	YAML      string `json:"yaml" jsonschema:"without secrets"`
}

// sectionOf is the section of a manifest in which objects of a kind are.
var sectionOf = map[string]string{"user": "people", "group": "groups", "client": "clients"}

// manifestsTable are the operations about files that keep objects.
func (c *Console) manifestsTable() []operation {
	return []operation{
		{id: "listManifests", method: http.MethodGet, path: "/manifests", verb: admin.VerbManifestRead,
			summary: "List the files that keep people, groups or applications",
			answer:  typeOf[page[ManifestName]](), do: func(cl *call) (any, error) {
				names, err := c.Admin.Manifests(cl.ctx, cl.who.actor)
				return whole(names, func(name string) ManifestName { return ManifestName{name} }), err
			}},
		{id: "getDrift", method: http.MethodGet, path: "/manifests/{manifest}/drift", verb: admin.VerbManifestRead,
			summary: "List what was changed beside a file since it was applied last",
			answer:  typeOf[page[Drift]](), do: func(cl *call) (any, error) {
				all := []Drift{}
				err := c.Admin.Drift(cl.ctx, cl.who.actor, cl.path["manifest"], func(d admin.Drift) error {
					all = append(all, driftOf(d))
					return nil
				})
				return &page[Drift]{Items: all}, err
			}},
		{id: "getPersonEntry", method: http.MethodGet, path: "/people/{sub}/entry", verb: admin.VerbUserRead,
			summary: "Read a person as latchkey apply takes one", answer: typeOf[Entry](),
			do: func(cl *call) (any, error) {
				u, err := c.Admin.UserByID(cl.ctx, cl.who.actor, cl.path["sub"])
				return c.entry(cl, "user", u.ID, admin.UserEntryOf(u), err)
			}},
		{id: "getGroupEntry", method: http.MethodGet, path: "/groups/{group}/entry", verb: admin.VerbGroupRead,
			summary: "Read a group as latchkey apply takes one", answer: typeOf[Entry](),
			do: func(cl *call) (any, error) {
				g, err := c.Admin.Group(cl.ctx, cl.who.actor, cl.path["group"])
				return c.entry(cl, "group", g.Name, admin.GroupEntryOf(g), err)
			}},
		{id: "getApplicationEntry", method: http.MethodGet, path: "/applications/{client_id}/entry",
			verb: admin.VerbClientRead, summary: "Read an application as latchkey apply takes one",
			answer: typeOf[Entry](), do: func(cl *call) (any, error) {
				client, err := c.Admin.Client(cl.ctx, cl.who.actor, cl.path["client_id"])
				return c.entry(cl, "client", client.ID, admin.ClientEntryOf(client), err)
			}},
	}
}

func (c *Console) entry(cl *call, kind, id string, entry any, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	text, err := admin.EntryYAML(sectionOf[kind], entry)
	if err != nil {
		return nil, err
	}
	by, err := c.Admin.ManagedBy(cl.ctx, kind, id)
	return Entry{ManagedBy: by, YAML: string(text)}, err
}

// keptPart says on the page about an object that a file keeps it; ok is false if none does.
func (v *visit) keptPart(kind, id string) (part templates.ConsolePart, ok bool, err error) {
	by, err := v.c.Admin.ManagedBy(v.ctx, kind, id)
	if err != nil || by == "" {
		return part, false, err
	}
	part = templates.ConsolePart{ID: "kept", Warn: say("admin.kept", "file", by)}
	if v.may(admin.VerbManifestRead) {
		part.Links = []templates.ConsoleLink{{Label: say("admin.files.drift"), URL: v.c.path("files") + "?file=" +
			url.QueryEscape(by)}}
	}
	return part, true, nil
}

// yamlPart is an object as it stands in a file that is applied.
func (v *visit) yamlPart(kind string, entry any) (templates.ConsolePart, error) {
	text, err := admin.EntryYAML(sectionOf[kind], entry)
	return templates.ConsolePart{ID: "yaml", Heading: say("admin.whole"), Text: say("admin.whole.yaml"),
		Code: &templates.ConsoleCode{ID: "entry-yaml", Text: string(text)}}, err
}

// files is the page about files that keep objects, and what was changed beside them.
func (c *Console) files(v *visit) error {
	names, err := c.Admin.Manifests(v.ctx, v.actor)
	if err != nil {
		return err
	}
	p := v.page("files", "files", say("admin.files"))
	p.Lead = say("admin.files.lead")
	chosen := v.query.Get("file")
	for _, name := range names {
		if chosen != "" && chosen != name {
			continue
		}
		t := templates.ConsoleTable{Caption: say("admin.files.drift"), None: say("admin.files.same"),
			Head: []templates.Message{say("admin.audit.object"), say("admin.files.said"), say("admin.files.is"),
				say("admin.audit.actor"), say("admin.audit.time")}}
		err := c.Admin.Drift(v.ctx, v.actor, name, func(d admin.Drift) error {
			t.Rows = append(t.Rows, v.driftCells(d)...)
			return nil
		})
		if err != nil {
			return err
		}
		p.Parts = append(p.Parts, templates.ConsolePart{ID: "drift", Heading: say("admin.files.one", "file", name),
			Table: &t})
	}
	if len(p.Parts) == 0 {
		p.Parts = []templates.ConsolePart{{ID: "none", Text: say("admin.files.none")}}
	}
	for i := range p.Parts[1:] { // ids are unique
		p.Parts[i+1].ID = ""
	}
	return v.render(p)
}

// driftCells are the rows about one object: one for each field.
func (v *visit) driftCells(d admin.Drift) (rows [][][]templates.Cell) {
	kind := map[string]string{"person": "user"}[d.Kind]
	if kind == "" {
		kind = d.Kind
	}
	object := v.party(storage.EventParty{Kind: kind, ID: d.ID, Name: d.Name})
	who, when := text(d.ChangedBy), []templates.Cell(nil)
	if d.ChangedAt != nil {
		when = at(*d.ChangedAt)
	}
	if d.Deleted {
		object[0].Link = ""
		return [][][]templates.Cell{{object, nil, {{Message: say("admin.files.deleted"), Style: "bad"}}, who, when}}
	}
	shown := func(field string, value json.RawMessage) []templates.Cell {
		cells := []templates.Cell{{Text: field, Style: "soft"}}
		if value != nil {
			cells = append(cells, templates.Cell{Text: string(value), Style: "code"})
		}
		return cells
	}
	for _, f := range d.Changes {
		rows = append(rows, [][]templates.Cell{object, shown(f.Field, f.Before), shown(f.Field, f.After), who, when})
	}
	return rows
}
