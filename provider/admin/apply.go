package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"

	"latchkey/provider/clients"
	"latchkey/provider/people"
	"latchkey/provider/storage"
)

// Manifest is groups, users and clients as they are to be, by the names that the standards have for
// them. What it does not mention stays.
type Manifest struct {
	Groups  []GroupEntry  `json:"groups,omitempty"`
	People  []UserEntry   `json:"people,omitempty"`
	Clients []ClientEntry `json:"clients,omitempty"`
}

// GroupEntry is a group in a Manifest.
type GroupEntry struct {
	Name        string   `json:"name"`
	Description string   `json:"description,omitempty"`
	Roles       []string `json:"roles,omitempty"`
}

// UserEntry is a user in a Manifest.
type UserEntry struct {
	Username     string         `json:"username"`
	Disabled     bool           `json:"disabled,omitempty"`
	Groups       []string       `json:"groups,omitempty"`
	Role         string         `json:"role,omitempty"` // "" leaves what there is, RoleNone takes it away
	Claims       storage.Claims `json:"claims,omitzero"`
	Password     string         `json:"password,omitempty"`      // "" leaves what there is
	PasswordHash string         `json:"password_hash,omitempty"` // argon2id string from another installation, in place of Password
}

// RoleNone is the role of a UserEntry who is to have none.
const RoleNone = "none"

// ClientEntry is a client in a Manifest.
type ClientEntry struct {
	ClientID string `json:"client_id"`
	Type     string `json:"type,omitempty"` // default web
	clients.Metadata
	clients.Decisions
	ClientSecret string `json:"client_secret,omitempty"` // "": the client keeps what it has, or gets a new one if it needs one
}

// Actions of a PlannedChange.
const (
	ActionCreated   = "created"
	ActionUpdated   = "updated"
	ActionUnchanged = "unchanged"
)

// PlannedChange is what becomes of one entry of a Manifest.
type PlannedChange struct {
	Kind   string `json:"kind"` // group, person or client
	Name   string `json:"name"`
	Action string `json:"action"`
	// ClientSecret is there when a client gets a secret that the manifest did not bring along. It
	// cannot be read again.
	ClientSecret string `json:"client_secret,omitempty"`
}

// Plan is what a Manifest comes to, checked against what is stored. Nothing is written yet.
type Plan struct {
	Changes []PlannedChange
	phases  [3][]func(ctx context.Context, actor Actor) error // groups, users, clients: in this order
}

func (p *Plan) add(phase int, c PlannedChange, write func(context.Context, Actor) error) {
	p.Changes = append(p.Changes, c)
	if c.Action != ActionUnchanged {
		p.phases[phase] = append(p.phases[phase], write)
	}
}

// Plan checks the whole manifest and says what is to be done about it. Faults is all that is wrong,
// each with its path: clients[2].redirect_uris.
func (a *Admin) Plan(ctx context.Context, actor Actor, m Manifest) (*Plan, error) {
	if err := a.permit(ctx, actor, VerbApply, of("manifest", "")); err != nil {
		return nil, err
	}
	p := &planner{Admin: a, actor: actor, plan: &Plan{}, groups: map[string]bool{}}
	stored, err := a.Store.Groups(ctx)
	if err != nil {
		return nil, err
	}
	for _, g := range stored {
		p.groups[g.Name] = true
	}
	names := map[string]bool{}
	for i, g := range m.Groups {
		path := fmt.Sprintf("groups[%d]", i)
		p.once(path, g.Name, names)
		p.groups[g.Name] = true
		if err := p.faults.collect(at(path, p.group(ctx, g))); err != nil {
			return nil, err
		}
	}
	clear(names)
	for i, u := range m.People {
		path := fmt.Sprintf("people[%d]", i)
		username, err := people.CanonicalUsername(u.Username)
		if err != nil {
			if err := p.faults.collect(at(path, usernameFault("username", "", err))); err != nil {
				return nil, err
			}
			continue
		}
		p.once(path, username, names)
		p.known(path+".groups", u.Groups)
		u.Username = username
		if err := p.faults.collect(at(path, p.user(ctx, u))); err != nil {
			return nil, err
		}
	}
	clear(names)
	for i, c := range m.Clients {
		path := fmt.Sprintf("clients[%d]", i)
		p.once(path, c.ClientID, names)
		p.known(path+".allowed_groups", c.AllowedGroups)
		p.known(path+".owner_groups", c.OwnerGroups)
		if err := p.faults.collect(at(path, p.client(ctx, c))); err != nil {
			return nil, err
		}
	}
	return p.plan, p.faults.orNil()
}

// applyAtOnce bounds the writes of a phase that run at the same time. None depends on another.
const applyAtOnce = 8

// Apply does what the plan says: groups first, then users, then clients. A fault ends it; applying
// the manifest again goes on where it stopped. ErrConflict if a client was changed since the plan
// was made.
func (a *Admin) Apply(ctx context.Context, actor Actor, p *Plan) error {
	if err := a.permit(ctx, actor, VerbApply, of("manifest", "")); err != nil {
		return err
	}
	for _, writes := range p.phases {
		g, phase := errgroup.WithContext(ctx)
		g.SetLimit(applyAtOnce)
		for _, write := range writes {
			g.Go(func() error { return write(phase, actor) })
		}
		if err := g.Wait(); err != nil {
			return err
		}
	}
	return nil
}

// planner is a plan being made.
type planner struct {
	*Admin
	actor  Actor
	plan   *Plan
	groups map[string]bool // that there are, or will be
	faults Faults
}

// once notes a name of one section, and a fault if it was there before.
func (p *planner) once(path, name string, seen map[string]bool) {
	if seen[name] {
		p.faults = append(p.faults, Fault{Field: path, Reason: Duplicate, Value: name, Text: "is there twice"})
	}
	seen[name] = true
}

func (p *planner) known(path string, groups []string) {
	for _, g := range groups {
		if !p.groups[g] {
			p.faults = append(p.faults, Fault{Field: path, Reason: Unknown, Value: g, Text: "is not the name of a group, neither here nor in the database"})
		}
	}
}

// same reports whether two records are written alike, so that an empty list equals none.
func same(a, b any) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && string(x) == string(y)
}

func (p *planner) group(ctx context.Context, e GroupEntry) error {
	want := storage.Group{Name: e.Name, Description: e.Description, Roles: sortedSet(e.Roles)}
	if err := CheckGroup(want).orNil(); err != nil {
		return err
	}
	have, err := p.Store.Group(ctx, e.Name)
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return err
	}
	c := PlannedChange{Kind: "group", Name: e.Name, Action: ActionCreated}
	if err == nil {
		c.Action = ActionUpdated
		if have.Description == want.Description && same(sortedSet(have.Roles), want.Roles) {
			c.Action = ActionUnchanged
		}
	}
	p.plan.add(0, c, func(ctx context.Context, actor Actor) error {
		if c.Action == ActionCreated {
			_, err := p.CreateGroup(ctx, actor, want)
			return err
		}
		_, err := p.UpdateGroup(ctx, actor, want.Name, 0, func(g *storage.Group) error {
			g.Description, g.Roles = want.Description, want.Roles
			return nil
		})
		return err
	})
	return nil
}

func (p *planner) user(ctx context.Context, e UserEntry) error {
	faults := CheckClaims(e.Claims)
	switch {
	case e.Password != "" && e.PasswordHash != "":
		faults = append(faults, Fault{Field: "password_hash", Reason: Unwanted, Text: "excludes password; give one of them"})
	case e.PasswordHash != "":
		if err := p.Hasher.CheckHash(e.PasswordHash); err != nil {
			faults = append(faults, Fault{Field: "password_hash", Reason: Invalid, Text: err.Error()})
		}
	}
	have, err := p.Store.UserByUsername(ctx, e.Username)
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return err
	}
	created := err != nil
	want := have
	want.Username, want.Disabled, want.Groups, want.Claims = e.Username, e.Disabled, sortedSet(e.Groups), e.Claims
	switch e.Role {
	case "":
	case RoleNone:
		want.Role = ""
	default:
		want.Role = e.Role
		if err := faults.collect(CheckRole(e.Role)); err != nil {
			return err
		}
	}
	if e.PasswordHash != "" {
		want.PasswordHash = e.PasswordHash
	}
	if e.Password != "" && e.PasswordHash == "" {
		right := false
		if have.PasswordHash != "" {
			right, _, err = p.Hasher.Verify(ctx, have.PasswordHash, e.Password)
			right = right && err == nil // a hash that cannot be read is replaced
		}
		if !right {
			if err := faults.collect(p.CheckPassword(want, e.Password)); err != nil {
				return err
			}
			if len(faults) == 0 {
				if want.PasswordHash, err = p.Hasher.Hash(ctx, e.Password); err != nil {
					return err
				}
			}
		}
	}
	if err := faults.orNil(); err != nil {
		return err
	}
	c := PlannedChange{Kind: "person", Name: e.Username, Action: ActionUpdated}
	switch {
	case created:
		c.Action = ActionCreated
	case same(have, want) && have.PasswordHash == want.PasswordHash:
		c.Action = ActionUnchanged
	}
	// What the actor may not do is refused before anything is written.
	if c.Action != ActionUnchanged {
		verb, o := VerbUserUpdate, userObject(have)
		if created {
			verb, o = VerbUserCreate, userObject(storage.User{Username: e.Username})
		}
		if o.gives = want.Role; o.gives == o.role {
			o.gives = ""
		}
		if err := p.permit(ctx, p.actor, verb, o); err != nil {
			return err
		}
	}
	p.plan.add(1, c, func(ctx context.Context, actor Actor) error {
		if created {
			_, err := p.CreateUser(ctx, actor, NewUser{Username: want.Username, Claims: want.Claims, Groups: want.Groups, Disabled: want.Disabled,
				Role: want.Role, PasswordHash: want.PasswordHash})
			return err
		}
		_, err := p.changeUser(ctx, actor, VerbUserUpdate, have.ID, 0, func(u *storage.User) error {
			was := *u
			u.Disabled, u.Groups, u.Claims = want.Disabled, want.Groups, want.Claims
			if e.Role != "" {
				u.Role = want.Role
			}
			if want.PasswordHash != have.PasswordHash {
				u.PasswordHash = want.PasswordHash
			}
			return p.checkProfile(ctx, *u, newIn(was.Groups, u.Groups))
		})
		return err
	})
	return nil
}

func (p *planner) client(ctx context.Context, e ClientEntry) error {
	if e.ClientID == "" {
		return Faults{{Field: "client_id", Reason: Missing, Text: "is missing; without it the client could not be found again"}}
	}
	have, err := p.Store.Client(ctx, e.ClientID)
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return err
	}
	created := err != nil
	if e.Type == "" {
		e.Type = clients.TypeWeb
	}
	set := func(c *clients.Client) error { //nolint:unparam // UpdateClient asks for an error
		c.ID, c.Type, c.Metadata, c.Decisions = e.ClientID, e.Type, clients.WithDefaults(e.Type, e.Metadata), e.Decisions
		return nil
	}
	want := have
	_ = set(&want)
	var faults Faults
	// The groups of the manifest do not exist yet: they are checked apart, and again when it is
	// written.
	allowed, owners := want.AllowedGroups, want.OwnerGroups
	want.AllowedGroups, want.OwnerGroups = nil, nil
	want, err = p.checkClient(ctx, have, want, p.policy(), nil)
	if err := faults.collect(err); err != nil {
		return err
	}
	want.AllowedGroups, want.OwnerGroups = allowed, owners
	secret := ""
	if err == nil { // else it is not known how it authenticates
		secret, err = p.settleSecret(&want, e.ClientSecret)
		if err := faults.collect(err); err != nil {
			return err
		}
	}
	if err := faults.orNil(); err != nil {
		return err
	}
	c := PlannedChange{Kind: "client", Name: e.ClientID, Action: ActionUpdated}
	switch {
	case created:
		c.Action = ActionCreated
	case secret == "" && same(have, want) && len(have.SecretHash) == len(want.SecretHash):
		c.Action = ActionUnchanged
	}
	if e.ClientSecret == "" {
		c.ClientSecret = secret
	}
	p.plan.add(2, c, func(ctx context.Context, actor Actor) error {
		if created {
			_, _, err := p.CreateClient(ctx, actor, NewClient{Client: want, Secret: secret})
			return err
		}
		_, _, err := p.UpdateClient(ctx, actor, want.ID, ClientChange{Seen: have.Version, Change: set, Secret: secret})
		return err
	})
	return nil
}

// Export returns groups, users and clients in the form that Plan reads. Secrets are not in it;
// hashes puts the hashes of passwords in, which are to be kept as the database is. Clients that
// registered themselves are left out.
func (a *Admin) Export(ctx context.Context, actor Actor, hashes bool) (Manifest, error) {
	var m Manifest
	object := of("manifest", "")
	if err := a.permit(ctx, actor, VerbExport, object); err != nil {
		return m, err
	}
	if hashes {
		if err := a.permit(ctx, actor, VerbExportHashes, object); err != nil {
			return m, err
		}
	}
	// Everybody's data leaves the database: that is worth an event, though nothing changes.
	err := a.change(ctx, actor, VerbExport, object, nil, map[string]any{"password_hashes": hashes}, func() error {
		groups, err := a.Store.Groups(ctx)
		if err != nil {
			return err
		}
		for _, g := range groups {
			m.Groups = append(m.Groups, GroupEntry{Name: g.Name, Description: g.Description, Roles: g.Roles})
		}
		everybody, err := a.users(ctx)
		if err != nil {
			return err
		}
		for _, u := range everybody {
			e := UserEntry{Username: u.Username, Disabled: u.Disabled, Groups: u.Groups, Role: u.Role, Claims: u.Claims}
			if hashes {
				e.PasswordHash = u.PasswordHash
			}
			m.People = append(m.People, e)
		}
		all, err := a.clients(ctx)
		if err != nil {
			return err
		}
		for _, c := range all {
			if !c.Dynamic {
				m.Clients = append(m.Clients, ClientEntry{ClientID: c.ID, Type: c.Type, Metadata: c.Metadata, Decisions: c.Decisions})
			}
		}
		return nil
	})
	return m, err
}
