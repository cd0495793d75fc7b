package admin

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"

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
	// nobody of the group gets in by password alone
	RequireSecondFactor bool `json:"require_second_factor,omitempty"`
}

// UserEntry is a user in a Manifest.
type UserEntry struct {
	Username string         `json:"username"`
	Sub      string         `json:"sub,omitempty"` // "": a new user gets a random one, a stored one keeps theirs
	Disabled bool           `json:"disabled,omitempty"`
	Groups   []string       `json:"groups,omitempty"`
	Role     string         `json:"role,omitempty"` // "" leaves what there is, RoleNone takes it away
	Claims   storage.Claims `json:"claims,omitzero"`
	Password string         `json:"password,omitempty"` // "" leaves what there is
	// from another installation or product, in place of Password
	PasswordHash string `json:"password_hash,omitempty"`
}

// RoleNone is the role of a UserEntry who is to have none.
const RoleNone = "none"

// ClientEntry is a client in a Manifest.
type ClientEntry struct {
	ClientID string `json:"client_id"`
	Type     string `json:"type,omitempty"` // default web
	clients.Metadata
	clients.Decisions
	// "": the client keeps what it has, or gets a new one if it needs one
	ClientSecret string `json:"client_secret,omitempty"`
}

// Actions of a PlannedChange.
const (
	ActionCreated   = "created"
	ActionUpdated   = "updated"
	ActionUnchanged = "unchanged"

	// Of an object that the manifest keeps and no longer names:
	ActionDeleted  = "deleted"
	ActionReleased = "released" // it stays, and nobody keeps it any more
	ActionLeft     = "left"     // it stays, and stays kept
)

// PlannedChange is what becomes of one entry of a Manifest.
type PlannedChange struct {
	Kind   string `json:"kind"` // group, person or client
	Name   string `json:"name"`
	Action string `json:"action"`
	// Changes says field by field what is different then; managed_by is the manifest that keeps it.
	Changes []FieldChange `json:"changes,omitempty"`
	// ClientSecret is there when a client gets a secret that the manifest did not bring along. It
	// cannot be read again.
	ClientSecret string `json:"client_secret,omitempty"`
}

// Entries is where a manifest comes from, entry by entry: a Manifest, or a file that is too large
// to be held. Each section is read several times, and comes out the same each time. An error of
// yield ends a section and is returned.
type Entries interface {
	EachGroup(yield func(GroupEntry) error) error
	EachUser(yield func(UserEntry) error) error
	EachClient(yield func(ClientEntry) error) error
}

func each[T any](all []T, yield func(T) error) error {
	for _, one := range all {
		if err := yield(one); err != nil {
			return err
		}
	}
	return nil
}

// EachGroup yields the groups.
func (m Manifest) EachGroup(yield func(GroupEntry) error) error { return each(m.Groups, yield) }

// EachUser yields the users.
func (m Manifest) EachUser(yield func(UserEntry) error) error { return each(m.People, yield) }

// EachClient yields the clients.
func (m Manifest) EachClient(yield func(ClientEntry) error) error { return each(m.Clients, yield) }

// Bounds of a manifest that is applied. Memory depends on them, not on the length of the manifest.
const (
	applyAtOnce = 64  // entries that are looked at or written at the same time; their writes share transactions
	applyBatch  = 256 // entries that are read ahead
	maxFaults   = 100 // that are told at once
)

// Plan checks the whole manifest and tells what would become of each entry, in order, and then of
// what the manifest keeps and no longer names. Nothing is written. Faults is all that is wrong,
// each with its path: clients[2].redirect_uris.
func (a *Admin) Plan(ctx context.Context, actor Actor, o ManifestOptions, m Entries,
	tell func(PlannedChange) error) error {
	return a.manifest(ctx, actor, o, m, false, tell)
}

// Apply checks the whole manifest as Plan does, and then makes groups, users and clients what it
// says, in this order, and does what the options say with what it no longer names. tell hears of
// each entry, in order, after it was written. Faults if anything is wrong; nothing was written
// then. Any other error ends it half way: applying the manifest again goes on where it stopped.
// ErrConflict if a client was changed by another administrator meanwhile.
func (a *Admin) Apply(ctx context.Context, actor Actor, o ManifestOptions, m Entries,
	tell func(PlannedChange) error) error {
	if err := a.manifest(ctx, actor, o, m, true, func(PlannedChange) error { return nil }); err != nil {
		return err
	}
	p, err := a.newPlanner(ctx, actor, o)
	if err != nil {
		return err
	}
	p.write = true
	if err := p.sections(ctx, m, tell); err != nil {
		return err
	}
	if err := p.leaving(ctx, tell); err != nil {
		return err
	}
	return p.faults.orNil() // it was good a moment ago
}

// manifest checks a manifest. passwordsLater leaves passwords that may be set to whoever writes.
func (a *Admin) manifest(ctx context.Context, actor Actor, o ManifestOptions, m Entries, passwordsLater bool,
	tell func(PlannedChange) error) error {
	if err := a.permit(ctx, actor, VerbApply, of("manifest", "")); err != nil {
		return err
	}
	if err := o.check(); err != nil {
		return err
	}
	p, err := a.newPlanner(ctx, actor, o)
	if err != nil {
		return err
	}
	p.passwordsLater = passwordsLater
	err = p.sections(ctx, m, tell)
	if err == nil {
		err = p.leaving(ctx, tell)
	}
	switch {
	case err == nil, errors.Is(err, errEnoughFaults):
		return p.faults.orNil()
	case len(p.faults) > 0: // all that is wrong, with the file that it comes from, too
		return errors.Join(err, p.faults)
	default:
		return err
	}
}

// errEnoughFaults ends a check that has found more than anybody reads.
var errEnoughFaults = errors.New("admin: enough faults")

// planner goes through a manifest.
type planner struct {
	*Admin
	actor          Actor
	options        ManifestOptions
	write          bool // what differs; else it is only looked at
	passwordsLater bool

	groups map[string]bool   // that there are, or will be
	named  map[string]*names // the objects that the manifest names, by kind and ID
	mu     sync.Mutex
	taken  map[digest]digest // the usernames of the manifest's people, by what they sign in by
	found  names             // the subject identifiers of those who are stored
	// one element for each password that is computed: more would only wait, and be turned away
	passwords chan struct{}
	faults    Faults // where nothing is written
}

func (a *Admin) newPlanner(ctx context.Context, actor Actor, o ManifestOptions) (*planner, error) {
	actor.applies = true
	p := &planner{Admin: a, actor: actor, options: o, groups: map[string]bool{}, taken: map[digest]digest{},
		found: names{}, passwords: make(chan struct{}, 1),
		named: map[string]*names{"user": {}, "group": {}, "client": {}}}
	if a.Hasher != nil {
		p.passwords = make(chan struct{}, a.Hasher.Concurrency())
	}
	stored, err := a.Store.Groups(ctx)
	if err != nil {
		return nil, err
	}
	for _, g := range stored {
		p.groups[g.Name] = true
		if o.Prune { // unless the manifest names it again, it will be gone
			there, err := a.kept(ctx, "group", g.Name)
			if err != nil {
				return nil, err
			}
			p.groups[g.Name] = there.Manifest != o.Name
		}
	}
	return p, nil
}

func (p *planner) sections(ctx context.Context, m Entries, tell func(PlannedChange) error) error {
	err := section(ctx, p, "groups", m.EachGroup, tell, func(e GroupEntry) (string, Faults) {
		p.groups[e.Name] = true
		return e.Name, nil
	}, p.group)
	if err != nil {
		return err
	}
	subs := &names{}
	err = section(ctx, p, "people", m.EachUser, tell, func(e UserEntry) (string, Faults) {
		faults := p.known("groups", e.Groups)
		if e.Sub != "" && subs.again(e.Sub) {
			faults = append(faults, Fault{Field: "sub", Reason: Duplicate, Value: e.Sub, Text: "is there twice"})
		}
		if canonical, err := people.CanonicalUsername(e.Username); err == nil {
			return canonical, faults
		}
		return "", faults // p.user says what is wrong with it
	}, p.user)
	if err != nil {
		return err
	}
	return section(ctx, p, "clients", m.EachClient, tell, func(e ClientEntry) (string, Faults) {
		return e.ClientID, append(p.known("allowed_groups", e.AllowedGroups), p.known("owner_groups", e.OwnerGroups)...)
	}, p.client)
}

// digest stands for a name where a million of them are to fit.
type digest [16]byte

func digestOf(name string) digest {
	sum := sha256.Sum256([]byte(name))
	return digest(sum[:16])
}

// names is a set of names.
type names struct {
	mutex sync.Mutex
	seen  map[digest]struct{}
}

// again notes a name, and reports whether it was there before.
func (n *names) again(name string) bool {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	if n.seen == nil {
		n.seen = map[digest]struct{}{}
	}
	of := digestOf(name)
	_, there := n.seen[of]
	n.seen[of] = struct{}{}
	return there
}

// has reports whether a name was noted.
func (n *names) has(name string) bool {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	_, there := n.seen[digestOf(name)]
	return there
}

// settled is what became of an entry.
type settled struct {
	PlannedChange
	faults Faults
	err    error
}

// section goes through a section of the manifest. look sees the entries one by one, and returns the
// name that no other entry of the section may have; do sees many at the same time.
func section[E any](ctx context.Context, p *planner, name string, entries func(func(E) error) error,
	tell func(PlannedChange) error,
	look func(E) (string, Faults), do func(context.Context, E) (PlannedChange, error)) error {
	seen, next := &names{}, 0
	batch, results := make([]E, 0, applyBatch), make([]settled, 0, applyBatch)
	flush := func() error {
		var work errgroup.Group
		work.SetLimit(applyAtOnce)
		for i := range batch {
			work.Go(func() error {
				c, err := do(ctx, batch[i])
				results[i].PlannedChange = c
				results[i].err = results[i].faults.collect(err)
				return nil
			})
		}
		_ = work.Wait()
		var ended error
		for i, r := range results {
			path := fmt.Sprintf("%s[%d]", name, next-len(results)+i)
			faults := at(path, r.faults.orNil())
			switch {
			case r.err != nil:
				if ended == nil {
					ended = fmt.Errorf("%s: %w", path, r.err)
				}
				continue
			case faults != nil && p.write: // it was good a moment ago
				if ended == nil {
					ended = faults
				}
				continue
			case faults != nil:
				_ = p.faults.collect(faults)
				continue
			}
			// Also of those behind one that failed: a secret that was made is told once.
			if err := tell(r.PlannedChange); err != nil {
				return err
			}
		}
		batch, results = batch[:0], results[:0]
		if ended == nil && len(p.faults) >= maxFaults {
			ended = errEnoughFaults
		}
		return ended
	}
	err := entries(func(e E) error {
		unique, faults := look(e)
		if unique != "" && seen.again(unique) {
			faults = append(Faults{{Reason: Duplicate, Value: unique, Text: "is there twice"}}, faults...)
		}
		batch, results = append(batch, e), append(results, settled{faults: faults})
		next++
		if len(batch) < applyBatch {
			return nil
		}
		return flush()
	})
	if err != nil && p.write || errors.Is(err, errEnoughFaults) {
		return err
	}
	return errors.Join(err, flush())
}

// known says which of the groups there are not, neither stored nor in the manifest.
func (p *planner) known(field string, groups []string) (faults Faults) {
	for _, g := range groups {
		if !p.groups[g] {
			faults = append(faults, Fault{Field: field, Reason: Unknown, Value: g,
				Text: "is not the name of a group, neither here nor in the database"})
		}
	}
	return faults
}

// same reports whether two records are written alike, so that an empty list equals none.
func same(a, b any) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && string(x) == string(y)
}

func (p *planner) group(ctx context.Context, e GroupEntry) (PlannedChange, error) {
	c := PlannedChange{Kind: "group", Name: e.Name, Action: ActionCreated}
	want := storage.Group{Name: e.Name, Description: e.Description, Roles: sortedSet(e.Roles),
		RequireSecondFactor: e.RequireSecondFactor}
	equals := func(g storage.Group) bool {
		return g.Description == want.Description && same(sortedSet(g.Roles), want.Roles) &&
			g.RequireSecondFactor == want.RequireSecondFactor
	}
	if err := CheckGroup(want).orNil(); err != nil {
		return c, err
	}
	have, err := p.Store.Group(ctx, e.Name)
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return c, err
	}
	created := err != nil
	if !created {
		c.Action = ActionUpdated
		if equals(have) {
			c.Action = ActionUnchanged
		}
	}
	entry := GroupEntryOf(want)
	if err := p.compare(ctx, &c, "group", want.Name, entryIf(!created, GroupEntryOf(have)), entry); err != nil {
		return c, err
	}
	switch {
	case !p.write:
		return c, nil
	case created:
		_, err = p.CreateGroup(ctx, p.actor, want)
	case !equals(have):
		_, err = p.UpdateGroup(ctx, p.actor, want.Name, 0, func(g *storage.Group) error {
			g.Description, g.Roles, g.RequireSecondFactor = want.Description, want.Roles, want.RequireSecondFactor
			return nil
		})
	}
	if err != nil {
		return c, err
	}
	return c, p.keep(ctx, "group", want.Name, entry)
}

// entryIf is an entry, or nothing.
func entryIf(there bool, entry any) any {
	if !there {
		return nil
	}
	return entry
}

// compare says in c what is different about an object, and whether the manifest comes to keep it.
// id is "" for one that is new and has none yet.
func (p *planner) compare(ctx context.Context, c *PlannedChange, kind, id string, have, want any,
	secrets ...FieldChange) error {
	if c.Action != ActionUnchanged {
		var err error
		if c.Changes, err = fieldChanges(have, want); err != nil {
			return err
		}
		c.Changes = append(c.Changes, secrets...)
	}
	adopts := p.options.Name != ""
	if id != "" {
		p.named[kind].again(id)
		var faults Faults
		var err error
		adopts, faults, err = p.mine(ctx, kind, id)
		if err != nil || len(faults) > 0 && (c.Action != ActionUnchanged || p.options.Name != "") {
			return errors.Join(err, faults.orNil())
		}
	}
	if adopts && p.options.Name != "" {
		if c.Action == ActionUnchanged {
			c.Action = ActionUpdated
		}
		name, err := json.Marshal(p.options.Name)
		if err != nil {
			return err
		}
		c.Changes = append(c.Changes, FieldChange{Field: "managed_by", After: name})
	}
	return nil
}

func (p *planner) user(ctx context.Context, e UserEntry) (PlannedChange, error) {
	c := PlannedChange{Kind: "person", Name: e.Username, Action: ActionUpdated}
	username, err := people.CanonicalUsername(e.Username)
	if err != nil {
		return c, usernameFault("username", "", err)
	}
	e.Username, c.Name = username, username
	// 1. What is there, and what is to be.
	have, err := p.Store.UserByUsername(ctx, username)
	if errors.Is(err, storage.ErrNotFound) && e.Sub != "" {
		have, err = p.Store.User(ctx, e.Sub) // who has another username than before
	}
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return c, err
	}
	created := err != nil
	want := have
	want.Username, want.Disabled, want.Groups, want.Claims = username, e.Disabled, sortedSet(e.Groups), e.Claims
	faults := CheckClaims(e.Claims)
	if !created && p.foundBefore(have.ID) {
		faults = append(faults, Fault{Field: "sub", Reason: Duplicate, Value: have.ID,
			Text: "is another entry's person, too: " + have.Username})
	}
	if err := faults.collect(p.checkSub(ctx, e.Sub, have)); err != nil {
		return c, err
	}
	switch e.Role {
	case "":
	case RoleNone:
		want.Role = ""
	default:
		want.Role = e.Role
		if err := faults.collect(CheckRole(e.Role)); err != nil {
			return c, err
		}
	}
	// 2. The password.
	switch {
	case e.Password != "" && e.PasswordHash != "":
		faults = append(faults, Fault{Field: "password_hash", Reason: Unwanted,
			Text: "excludes password; give one of them"})
	case e.PasswordHash != "":
		if err := p.Hasher.CheckHash(e.PasswordHash); err != nil {
			faults = append(faults, Fault{Field: "password_hash", Reason: Invalid, Text: err.Error()})
		}
		want.PasswordHash = e.PasswordHash
	case e.Password != "":
		if want.PasswordHash, err = p.hashOf(ctx, want, e.Password); faults.collect(err) != nil {
			return c, err
		}
	}
	if err := faults.collect(p.checkManifestNames(ctx, have, &want)); err != nil {
		return c, err
	}
	if err := faults.orNil(); err != nil {
		return c, err
	}
	// 3. The difference. One whose sessions are still to be ended, because of a change before, is
	// not what the manifest says yet.
	switch {
	case created:
		c.Action = ActionCreated
	case same(have, want) && have.PasswordHash == want.PasswordHash && !have.SignOutDue:
		c.Action = ActionUnchanged
	}
	change := c.Action != ActionUnchanged
	said := UserEntryOf(want)
	said.Sub, said.Role = "", e.Role
	wanted, was := UserEntryOf(want), UserEntryOf(have)
	wanted.Sub, was.Groups = cmp.Or(have.ID, e.Sub), sortedSet(was.Groups)
	var secret []FieldChange
	if want.PasswordHash != have.PasswordHash {
		secret = []FieldChange{{Field: "password", Secret: true}}
	}
	if err := p.compare(ctx, &c, "user", wanted.Sub, entryIf(!created, was), wanted, secret...); err != nil {
		return c, err
	}
	if !change {
		return c, p.keep(ctx, "user", have.ID, said)
	}
	// 4. What the actor may not do is refused before anything is written.
	verb, o := VerbUserUpdate, userObject(have)
	if created {
		verb, o = VerbUserCreate, userObject(storage.User{Username: username})
	}
	if o.gives = want.Role; o.gives == o.role {
		o.gives = ""
	}
	if err := p.permit(ctx, p.actor, verb, o); err != nil {
		return c, err
	}
	if renamed := !created && have.Username != want.Username; renamed {
		if err := p.permit(ctx, p.actor, VerbUserRename, userObject(have)); err != nil {
			return c, err
		}
	}
	switch {
	case !p.write:
		return c, nil
	case created:
		u, err := p.CreateUser(ctx, p.actor, NewUser{ID: e.Sub, Username: want.Username, Claims: want.Claims,
			Groups:   want.Groups,
			Disabled: want.Disabled, Role: want.Role, PasswordHash: want.PasswordHash})
		if err != nil {
			return c, err
		}
		p.named["user"].again(u.ID)
		return c, p.keep(ctx, "user", u.ID, said)
	}
	_, err = p.changeUser(ctx, p.actor, VerbUserUpdate, have.ID, 0, func(u *storage.User) error {
		was := *u
		u.Username, u.Disabled, u.Groups, u.Claims = want.Username, want.Disabled, want.Groups, want.Claims
		if e.Role != "" {
			u.Role = want.Role
		}
		if want.PasswordHash != have.PasswordHash {
			u.PasswordHash = want.PasswordHash
		}
		return p.checkProfile(ctx, *u, newIn(was.Groups, u.Groups))
	})
	if err != nil {
		return c, err
	}
	return c, p.keep(ctx, "user", have.ID, said)
}

// foundBefore notes a stored user, and reports whether another entry was about them, too.
func (p *planner) foundBefore(id string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.found.again(id)
}

// checkManifestNames is checkNewNames also against the other people of the manifest.
func (p *planner) checkManifestNames(ctx context.Context, have storage.User, want *storage.User) error {
	err := p.checkNewNames(ctx, have, want)
	if errors.Is(err, ErrTaken) {
		return Faults{{Field: "username", Reason: Taken, Value: want.Username,
			Text: "is the username or the verified address of another person"}}
	}
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	own := digestOf(want.Username)
	for _, name := range want.SignInNames() {
		of := digestOf(name)
		if other, there := p.taken[of]; there && other != own {
			return Faults{{Field: "claims.email", Reason: Duplicate, Value: want.Claims.Email,
				Text: "is the name or the verified address of another person of the manifest"}}
		}
		p.taken[of] = own
	}
	return nil
}

// hashOf is the hash of a password that a manifest gives to a user: the one that the user has, if
// it is the password's.
func (p *planner) hashOf(ctx context.Context, u storage.User, password string) (string, error) {
	weak := p.CheckPassword(u, password)
	if p.passwordsLater && (weak == nil || u.PasswordHash == "") {
		return u.PasswordHash, weak
	}
	p.passwords <- struct{}{}
	defer func() { <-p.passwords }()
	if u.PasswordHash != "" {
		right, _, err := p.Hasher.Verify(ctx, u.PasswordHash, password)
		if ctx.Err() != nil || errors.Is(err, people.ErrBusy) {
			return "", err
		}
		if right && err == nil { // a hash that cannot be read is replaced
			return u.PasswordHash, nil
		}
	}
	if weak != nil {
		return "", weak
	}
	if !p.write {
		return "another one", nil // not computed: nobody writes it
	}
	return p.Hasher.Hash(ctx, password)
}

// checkSub says why the user of an entry cannot have the subject identifier that the entry gives.
// have is the user, the zero User if there is none yet.
func (a *Admin) checkSub(ctx context.Context, sub string, have storage.User) error {
	bad := func(reason Reason, text string) error {
		return Faults{{Field: "sub", Reason: reason, Value: sub, Text: text}}
	}
	switch {
	case sub == "" || sub == have.ID:
		return nil
	case len(sub) > maxSub || strings.ContainsFunc(sub, func(r rune) bool { return r <= ' ' || r > '~' }):
		return Faults{{Field: "sub", Reason: Invalid,
			Text: fmt.Sprintf("must be at most %d characters of printable ASCII without blanks (OIDC Core §2)",
				maxSub)}}
	case have.ID != "":
		return bad(Invalid, "is not what this person has, "+have.ID+"; nobody gets another sub")
	}
	switch other, err := a.Store.User(ctx, sub); {
	case errors.Is(err, storage.ErrNotFound):
		return nil
	case err != nil:
		return err
	default:
		return bad(Duplicate, "belongs to "+other.Username)
	}
}

// maxSub is the longest subject identifier (OIDC Core §2).
const maxSub = 255

func (p *planner) client(ctx context.Context, e ClientEntry) (PlannedChange, error) {
	c := PlannedChange{Kind: "client", Name: e.ClientID, Action: ActionUpdated}
	if e.ClientID == "" {
		return c, Faults{{Field: "client_id", Reason: Missing,
			Text: "is missing; without it the client could not be found again"}}
	}
	have, err := p.Store.Client(ctx, e.ClientID)
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return c, err
	}
	created := err != nil
	if e.Type == "" {
		e.Type = clients.TypeWeb
	}
	set := func(c *clients.Client) error {
		c.ID, c.Type, c.Metadata, c.Decisions = e.ClientID, e.Type, clients.WithDefaults(e.Type, e.Metadata),
			e.Decisions
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
		return c, err
	}
	want.AllowedGroups, want.OwnerGroups = allowed, owners
	secret := ""
	if err == nil { // else it is not known how it authenticates
		secret, err = p.settleSecret(&want, e.ClientSecret)
		if err := faults.collect(err); err != nil {
			return c, err
		}
	}
	if err := faults.orNil(); err != nil {
		return c, err
	}
	switch {
	case created:
		c.Action = ActionCreated
	case secret == "" && same(have, want) && len(have.SecretHash) == len(want.SecretHash):
		c.Action = ActionUnchanged
	}
	if e.ClientSecret == "" {
		c.ClientSecret = secret
	}
	change := c.Action != ActionUnchanged
	said := ClientEntryOf(want)
	var secrets []FieldChange
	if secret != "" {
		secrets = []FieldChange{{Field: "client_secret", Secret: true}}
	}
	was := entryIf(!created, ClientEntryOf(have))
	if err := p.compare(ctx, &c, "client", want.ID, was, said, secrets...); err != nil {
		return c, err
	}
	switch {
	case !p.write:
		return c, nil
	case created:
		_, _, err = p.CreateClient(ctx, p.actor, NewClient{Client: want, Secret: secret})
	case change:
		_, _, err = p.UpdateClient(ctx, p.actor, want.ID, ClientChange{Seen: have.Version, Change: set, Secret: secret})
	}
	if err != nil {
		return c, err
	}
	return c, p.keep(ctx, "client", want.ID, said)
}

// Exported takes what is exported, in this order.
type Exported interface {
	Group(e GroupEntry) error
	User(e UserEntry) error
	Client(e ClientEntry) error
}

// Export gives groups, users and clients to out, in the form that Plan reads, a page of the
// database after the other. Secrets are not in it; hashes puts the hashes of passwords in, which
// are to be kept as the database is. Clients that registered themselves are left out.
func (a *Admin) Export(ctx context.Context, actor Actor, hashes bool, out Exported) error {
	object := of("manifest", "")
	if err := a.permit(ctx, actor, VerbExport, object); err != nil {
		return err
	}
	if hashes {
		if err := a.permit(ctx, actor, VerbExportHashes, object); err != nil {
			return err
		}
	}
	// Everybody's data leaves the database: that is worth an event, though nothing changes.
	return a.change(ctx, actor, VerbExport, object, nil, map[string]any{"password_hashes": hashes}, func() error {
		groups, err := a.Store.Groups(ctx)
		if err != nil {
			return err
		}
		for _, g := range groups {
			if err := out.Group(GroupEntryOf(g)); err != nil {
				return err
			}
		}
		err = everyPage(ctx, a.Store.Users, func(u storage.User) string { return u.Username },
			func(u storage.User) error {
				e := UserEntryOf(u)
				if hashes {
					e.PasswordHash = u.PasswordHash
				}
				return out.User(e)
			})
		if err != nil {
			return err
		}
		return everyPage(ctx, a.Store.Clients, func(c clients.Client) string { return c.ID },
			func(c clients.Client) error {
				if c.Dynamic {
					return nil
				}
				return out.Client(ClientEntryOf(c))
			})
	})
}
