package admin

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"latchkey/provider/clients"
	"latchkey/provider/storage"
)

// ErrManaged is that an object is kept by a manifest, so that it is changed there. The ObjectError
// around it has the manifest's name in By.
var ErrManaged = errors.New("admin: the object is kept by a file")

// ManifestOptions are what a manifest is applied with.
type ManifestOptions struct {
	// Name is what the manifest calls itself. With one it keeps what it names: nobody else changes
	// that over HTTP. "": it keeps nothing.
	Name string
	// Prune deletes what the manifest keeps and no longer names, Release lets go of it. Without
	// either it stays kept.
	Prune, Release bool
	// TakeOver lets the manifest name what another one keeps, and keep it from then on.
	TakeOver bool
}

// CheckManifestName says why a manifest may not be called so, as Faults, or returns nil. "" is
// none, and is right.
func CheckManifestName(name string) error {
	for _, r := range name {
		if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_' && r != '.' {
			return Faults{{Field: "manifest", Reason: Invalid, Value: name,
				Text: "must be a name of letters, digits, dots, dashes and underscores, such as company"}}
		}
	}
	if len(name) > maxManifestName {
		return Faults{{Field: "manifest", Reason: Invalid,
			Text: fmt.Sprintf("must be a name of at most %d characters", maxManifestName)}}
	}
	return nil
}

const maxManifestName = 64

func (o ManifestOptions) check() error {
	if err := CheckManifestName(o.Name); err != nil {
		return err
	}
	if o.Name == "" && (o.Prune || o.Release) {
		return Faults{{Field: "manifest", Reason: Missing,
			Text: "is missing: a file that deletes or lets go of what it no longer names has to say " +
				"what it is called, such as manifest: company"}}
	}
	if o.Prune && o.Release {
		return Faults{{Field: "prune", Reason: Unwanted, Text: "excludes release"}}
	}
	return nil
}

// FieldChange is what becomes of one field of an object.
type FieldChange struct {
	Field  string          `json:"field"` // by its name in a manifest: claims.email
	Before json.RawMessage `json:"before,omitempty"`
	After  json.RawMessage `json:"after,omitempty"`
	// Secret says that the value is not shown.
	Secret bool `json:"secret,omitempty"`
}

// GroupEntryOf, UserEntryOf and ClientEntryOf are records as a manifest has them, without secrets.
func GroupEntryOf(g storage.Group) GroupEntry {
	return GroupEntry{Name: g.Name, Description: g.Description, Roles: g.Roles,
		RequireSecondFactor: g.RequireSecondFactor}
}

// UserEntryOf is a user as a manifest has one.
func UserEntryOf(u storage.User) UserEntry {
	return UserEntry{Username: u.Username, Sub: u.ID, Disabled: u.Disabled, Groups: u.Groups, Role: u.Role,
		Claims: u.Claims}
}

// ClientEntryOf is a client as a manifest has one.
func ClientEntryOf(c clients.Client) ClientEntry {
	return ClientEntry{ClientID: c.ID, Type: c.Type, Metadata: c.Metadata, Decisions: c.Decisions}
}

// members is a value as JSON has it, taken apart: what is in an object has a dotted name.
func members(v any) (map[string]json.RawMessage, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("write a manifest entry: %w", err)
	}
	out := map[string]json.RawMessage{}
	return out, flatten("", text, out)
}

func flatten(path string, text json.RawMessage, out map[string]json.RawMessage) error {
	if !bytes.HasPrefix(text, []byte("{")) {
		if !bytes.Equal(text, []byte("null")) {
			out[path] = text
		}
		return nil
	}
	var object map[string]json.RawMessage
	if err := json.Unmarshal(text, &object); err != nil {
		return fmt.Errorf("read a manifest entry: %w", err)
	}
	for name, value := range object {
		if path != "" {
			name = path + "." + name
		}
		if err := flatten(name, value, out); err != nil {
			return err
		}
	}
	return nil
}

// fieldChanges says field by field what is different. before may be nil: nothing is there.
func fieldChanges(before, after any) ([]FieldChange, error) {
	was, err := members(before)
	if err != nil {
		return nil, err
	}
	is, err := members(after)
	if err != nil {
		return nil, err
	}
	all := maps.Clone(was)
	maps.Copy(all, is)
	var out []FieldChange
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if !bytes.Equal(was[name], is[name]) {
			out = append(out, FieldChange{Field: name, Before: was[name], After: is[name]})
		}
	}
	return out, nil
}

// kept is the manifest that keeps an object, "" for none.
func (a *Admin) kept(ctx context.Context, kind, id string) (storage.ManagedObject, error) {
	m, err := a.Store.ManagedObject(ctx, kind, id)
	if errors.Is(err, storage.ErrNotFound) {
		return storage.ManagedObject{}, nil
	}
	return m, err
}

// ManagedBy returns the name of the manifest that keeps an object, "" if none does. kind is user,
// group or client. Whoever may read the object may know.
func (a *Admin) ManagedBy(ctx context.Context, kind, id string) (string, error) {
	m, err := a.kept(ctx, kind, id)
	return m.Manifest, err
}

// keptVerbs are the changes of what a manifest says. What it does not say stays everybody's:
// secrets, passwords, second factors, sessions. Disabling is the way to stop somebody at once and
// is never refused.
var keptVerbs = []string{VerbUserUpdate, VerbUserRename, VerbUserEnable, VerbUserDelete, VerbUserRole, VerbGroupAdd,
	VerbGroupRemove, VerbGroupUpdate, VerbGroupDelete, VerbClientUpdate, VerbClientDelete}

// unmanaged returns ErrManaged if an actor wants to change over HTTP what a manifest keeps. The
// command line, which applies manifests, may do it, and so may users to accounts of their own; both
// show as drift.
func (a *Admin) unmanaged(ctx context.Context, actor Actor, verb string, o object) error {
	http := actor.Kind == storage.ActorUser || actor.Kind == storage.ActorClient
	if !http || actor.applies || !slices.Contains(keptVerbs, verb) || ownAccount(actor, o.EventParty) {
		return nil
	}
	m, err := a.kept(ctx, o.Kind, o.ID)
	if err != nil || m.Manifest == "" {
		return err
	}
	refusal := &ObjectError{Err: ErrManaged, Kind: o.Kind, Name: cmp.Or(o.Name, o.ID), By: m.Manifest}
	a.Audit.Note(ctx, storage.Event{Actor: actor.party(), Verb: verb, Object: o.EventParty, Address: actor.Address,
		RequestID: actor.RequestID, Outcome: storage.OutcomeRefused, Reason: reasonOf(refusal)})
	return refusal
}

// onlyDisables reports whether a change of a client does nothing but switch it off.
func onlyDisables(was, is clients.Client) bool {
	was.Disabled = is.Disabled
	return is.Disabled && same(ClientEntryOf(was), ClientEntryOf(is))
}

// keep stores that the planner's manifest keeps an object, as it said it. It writes only what has
// changed.
func (p *planner) keep(ctx context.Context, kind, id string, entry any) error {
	if p.options.Name == "" || !p.write {
		return nil
	}
	text, err := json.Marshal(entry)
	if err != nil {
		return fmt.Errorf("write a manifest entry: %w", err)
	}
	there, err := p.kept(ctx, kind, id)
	if err != nil || there.Manifest == p.options.Name && there.Entry == string(text) {
		return err
	}
	return p.Store.PutManagedObject(ctx, storage.ManagedObject{Kind: kind, ObjectID: id, Manifest: p.options.Name,
		Entry: string(text), AppliedAt: p.timestamp()})
}

// mine says, as a fault, that another manifest keeps the object, and reports whether this one will
// come to keep it.
func (p *planner) mine(ctx context.Context, kind, id string) (adopts bool, faults Faults, err error) {
	there, err := p.kept(ctx, kind, id)
	switch {
	case err != nil || there.Manifest == p.options.Name:
		return false, nil, err
	case there.Manifest == "" || p.options.TakeOver && p.options.Name != "":
		return true, nil, nil
	}
	return false, Faults{{Reason: Unwanted,
		Text: "is kept by the file that calls itself " + there.Manifest +
			"; let go of it there (apply --release), or take it over (apply --take-over)"}}, nil
}

// leaving tells, and with write does, what becomes of the objects that the manifest keeps and no
// longer names: clients first, because they name groups.
func (p *planner) leaving(ctx context.Context, tell func(PlannedChange) error) error {
	if p.options.Name == "" {
		return nil
	}
	left := map[string][]storage.ManagedObject{}
	err := everyPage(ctx, func(ctx context.Context, after string, limit int) ([]storage.ManagedObject, error) {
		return p.Store.ManagedObjects(ctx, p.options.Name, after, limit)
	}, func(m storage.ManagedObject) string { return m.ID }, func(m storage.ManagedObject) error {
		if !p.named[m.Kind].has(m.ObjectID) {
			left[m.Kind] = append(left[m.Kind], m)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, kind := range []string{"client", "user", "group"} {
		for _, m := range left[kind] {
			c, err := p.leave(ctx, m, left)
			if err := p.faults.collect(err); err != nil {
				return fmt.Errorf("%s %s: %w", m.Kind, m.ObjectID, err)
			}
			if err == nil {
				if err := tell(c); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// leave is what becomes of one object that the manifest no longer names.
func (p *planner) leave(ctx context.Context, m storage.ManagedObject,
	left map[string][]storage.ManagedObject) (PlannedChange, error) {
	c := PlannedChange{Kind: kindInWords(m.Kind), Name: m.ObjectID, Action: ActionLeft}
	live, err := p.liveEntry(ctx, m)
	switch {
	case errors.Is(err, storage.ErrNotFound): // deleted beside the file: only what was noted is left
		c.Action = ActionReleased
		if p.write {
			err = p.forget(ctx, m)
		} else {
			err = nil
		}
		return c, err
	case err != nil:
		return c, err
	}
	c.Name = entryName(live, m.ObjectID)
	switch {
	case p.options.Release:
		c.Action = ActionReleased
		if p.write {
			err = p.forget(ctx, m)
		}
		return c, err
	case !p.options.Prune:
		return c, nil
	}
	c.Action = ActionDeleted
	if c.Changes, err = fieldChanges(live, nil); err != nil || p.write {
		if err == nil {
			err = p.deleteKept(ctx, m)
		}
		return c, err
	}
	if err := p.mayGo(ctx, m, left); err != nil {
		var object *ObjectError
		if errors.As(err, &object) && (errors.Is(err, ErrInUse) || errors.Is(err, ErrLastOwner)) {
			text := "cannot be deleted: it is the last owner"
			if object.By != "" {
				text = "cannot be deleted: the application " + object.By + " names it"
			}
			return c, Faults{{Field: c.Kind, Reason: Unwanted, Value: c.Name, Text: text}}
		}
		return c, err
	}
	return c, nil
}

func (p *planner) forget(ctx context.Context, m storage.ManagedObject) error {
	err := p.Store.RemoveManagedObject(ctx, m.Kind, m.ObjectID)
	if errors.Is(err, storage.ErrNotFound) {
		return nil
	}
	return err
}

// deleteKept deletes an object, and what was noted about it.
func (p *planner) deleteKept(ctx context.Context, m storage.ManagedObject) error {
	var err error
	switch m.Kind {
	case "client":
		err = p.DeleteClient(ctx, p.actor, m.ObjectID)
	case "user":
		_, err = p.DeleteUser(ctx, p.actor, m.ObjectID)
	default:
		err = p.DeleteGroup(ctx, p.actor, m.ObjectID)
	}
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	return p.forget(ctx, m)
}

// mayGo looks, before anything is written, whether an object can be deleted at the end.
func (p *planner) mayGo(ctx context.Context, m storage.ManagedObject,
	left map[string][]storage.ManagedObject) error {
	goes := func(kind, id string) bool {
		return slices.ContainsFunc(left[kind], func(other storage.ManagedObject) bool { return other.ObjectID == id })
	}
	switch m.Kind {
	case "client":
		c, err := p.Admin.client(ctx, m.ObjectID)
		if err != nil {
			return err
		}
		return p.permit(ctx, p.actor, VerbClientDelete, clientObject(c))
	case "user":
		u, err := p.userFor(ctx, p.actor, VerbUserDelete, m.ObjectID)
		if err != nil || !isOwner(u) {
			return err
		}
		owners, err := p.Store.FindUsers(ctx, storage.UserFilter{Role: storage.RoleOwner,
			State: storage.UserEnabled}, "", pageSize)
		if err != nil || slices.ContainsFunc(owners, func(o storage.User) bool { return !goes("user", o.ID) }) {
			return err
		}
		return lastOwner(u)
	}
	if err := p.permit(ctx, p.actor, VerbGroupDelete, groupObject(m.ObjectID)); err != nil {
		return err
	}
	for _, find := range []func(context.Context, string, int) ([]clients.Client, error){p.Store.ClientsForGroup,
		p.Store.ClientsOwnedBy} {
		users, err := find(ctx, m.ObjectID, 0)
		if err != nil {
			return err
		}
		for _, c := range users {
			// One that the manifest names is as it says then, and it names only groups that stay.
			if !goes("client", c.ID) && !p.named["client"].has(c.ID) {
				return &ObjectError{Err: ErrInUse, Kind: "group", Name: m.ObjectID, By: c.ID}
			}
		}
	}
	return nil
}

// liveEntry is an object as a manifest would have it now, or storage.ErrNotFound.
func (a *Admin) liveEntry(ctx context.Context, m storage.ManagedObject) (any, error) {
	switch m.Kind {
	case "client":
		c, err := a.Store.Client(ctx, m.ObjectID)
		return ClientEntryOf(c), err
	case "user":
		u, err := a.Store.User(ctx, m.ObjectID)
		return UserEntryOf(u), err
	}
	g, err := a.Store.Group(ctx, m.ObjectID)
	return GroupEntryOf(g), err
}

// kindInWords is the kind of an object as manifests and their results call it.
func kindInWords(kind string) string {
	if kind == "user" {
		return "person"
	}
	return kind
}

func entryName(entry any, otherwise string) string {
	if u, ok := entry.(UserEntry); ok {
		return cmp.Or(u.Username, otherwise)
	}
	return otherwise
}

// Drift is an object that is not what the manifest that keeps it said when it was applied last.
type Drift struct {
	Manifest string `json:"manifest"`
	Kind     string `json:"kind"` // group, person or client
	ID       string `json:"id"`   // the sub of a person, else the name
	Name     string `json:"name"`
	Deleted  bool   `json:"deleted,omitempty"`
	// Changes leads from what the manifest said to what there is.
	Changes   []FieldChange `json:"changes,omitempty"`
	AppliedAt time.Time     `json:"applied_at"`
	// ChangedBy is who changed the object last, as far as the audit log still knows.
	ChangedBy string     `json:"changed_by,omitempty"`
	ChangedAt *time.Time `json:"changed_at,omitempty"`
}

// Manifests returns the names of the manifests that keep something.
func (a *Admin) Manifests(ctx context.Context, actor Actor) ([]string, error) {
	if err := a.permit(ctx, actor, VerbManifestRead, of("manifest", "")); err != nil {
		return nil, err
	}
	return a.Store.Manifests(ctx)
}

// Drift tells which objects are not what the manifest said when it was applied last: those that
// were changed or deleted beside it. "" is every manifest. ErrNotFound if none is called so.
func (a *Admin) Drift(ctx context.Context, actor Actor, manifest string, tell func(Drift) error) error {
	names, err := a.Manifests(ctx, actor)
	if err != nil {
		return err
	}
	if manifest != "" {
		if !slices.Contains(names, manifest) {
			return &ObjectError{Err: ErrNotFound, Kind: "manifest", Name: manifest}
		}
		names = []string{manifest}
	}
	for _, name := range names {
		err := everyPage(ctx, func(ctx context.Context, after string, limit int) ([]storage.ManagedObject, error) {
			return a.Store.ManagedObjects(ctx, name, after, limit)
		}, func(m storage.ManagedObject) string { return m.ID }, func(m storage.ManagedObject) error {
			d, drifted, err := a.drift(ctx, m)
			if err != nil || !drifted {
				return err
			}
			return tell(d)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// drift compares one object with what its manifest said.
func (a *Admin) drift(ctx context.Context, m storage.ManagedObject) (d Drift, drifted bool, err error) {
	d = Drift{Manifest: m.Manifest, Kind: kindInWords(m.Kind), ID: m.ObjectID, Name: m.ObjectID, AppliedAt: m.AppliedAt}
	said, err := readEntry(m)
	if err != nil {
		return d, false, err
	}
	live, err := a.liveEntry(ctx, m)
	switch {
	case errors.Is(err, storage.ErrNotFound):
		d.Deleted, d.Name = true, entryName(said, m.ObjectID)
	case err != nil:
		return d, false, err
	default:
		d.Name = entryName(live, m.ObjectID)
		if u, ok := live.(UserEntry); ok {
			live = asSaid(said, u)
		}
		if d.Changes, err = fieldChanges(said, live); err != nil || len(d.Changes) == 0 {
			return d, false, err
		}
	}
	events, err := a.Store.Events(ctx, storage.EventFilter{Object: m.ObjectID, VerbPrefix: m.Kind + ".",
		Since: m.AppliedAt}, "", 1)
	if err == nil && len(events) == 1 {
		d.ChangedBy, d.ChangedAt = cmp.Or(events[0].Actor.Name, events[0].Actor.ID), &events[0].Time
	}
	return d, true, err
}

// asSaid is a user as far as the manifest has said something: a role that it left alone, and
// the sub, which nobody changes, say nothing.
func asSaid(said any, live UserEntry) UserEntry {
	live.Sub = ""
	live.Groups = sortedSet(live.Groups)
	if u, ok := said.(UserEntry); ok {
		switch {
		case u.Role == "":
			live.Role = ""
		case live.Role == "":
			live.Role = RoleNone
		}
	}
	return live
}

// readEntry is what a manifest said.
func readEntry(m storage.ManagedObject) (any, error) {
	var err error
	read := func(into any) any {
		if err = json.Unmarshal([]byte(m.Entry), into); err != nil {
			err = fmt.Errorf("read what manifest %s said of %s: %w", m.Manifest, m.ID, err)
		}
		return into
	}
	switch m.Kind {
	case "client":
		e := read(&ClientEntry{}).(*ClientEntry)
		return *e, err
	case "user":
		e := read(&UserEntry{}).(*UserEntry)
		return *e, err
	}
	e := read(&GroupEntry{}).(*GroupEntry)
	return *e, err
}
