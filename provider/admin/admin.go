package admin

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"time"

	"latchkey/keys"
	"latchkey/provider/audit"
	"latchkey/provider/clients"
	"latchkey/provider/people"
	"latchkey/provider/storage"
)

// Sessions ends what a user has open. The provider implements it.
type Sessions interface {
	// EndSessions signs the user out everywhere, revokes what they granted, and tells the
	// applications.
	EndSessions(ctx context.Context, userID string) error
	// EndSession signs the user of one session out of it, and tells the applications that it
	// reached. Grants with offline access stay.
	EndSession(ctx context.Context, s storage.Session) error
}

// Fetcher reads what an address of another leads to: *outbound.Client does, guarded.
type Fetcher interface {
	Get(ctx context.Context, address string, maxBytes int64, accept ...string) ([]byte, error)
}

// Config is what administration works with. Store, Now and Audit are always needed; the others by
// the calls that touch them.
type Config struct {
	Store    *storage.Store
	Audit    *audit.Log
	Now      func() time.Time
	Keys     *keys.Ring       // clients and signing keys
	Sealer   *keys.Sealer     // client secrets
	Hasher   *people.Hasher   // passwords
	Throttle *people.Throttle // lock-outs
	Sessions Sessions
	Outbound Fetcher      // for sector_identifier_uri
	Logger   *slog.Logger // nil: none

	// Passwords says which passwords may be set.
	Passwords people.PasswordPolicy
	// Name is the provider's name, which no password may be made of.
	Name string
	// AllowNone lets administrators register clients for unsigned ID tokens and request objects
	// (alg none).
	AllowNone bool
	// GrantTypes are those that clients may be registered for.
	GrantTypes []clients.GrantType
	// Resource is the identifier of the administration API (RFC 8707 §2): owners alone decide about
	// a client that may ask for tokens for it, since it acts for every owner who signs in to it.
	// "": there is no API.
	Resource string
}

// Admin is the one way to change users, groups, clients, keys and tokens.
type Admin struct {
	Config
	secrets *clients.SecretHasher
}

// New makes it.
func New(c Config) *Admin {
	a := &Admin{Config: c}
	if c.Sealer != nil {
		a.secrets = NewSecretHasher(c.Sealer)
	}
	return a
}

// NewSecretHasher is the hasher of client secrets under the provider's master key. The same for all
// who store or check one.
func NewSecretHasher(sealer *keys.Sealer) *clients.SecretHasher {
	return clients.NewSecretHasher(sealer.Derive("client secrets", 32))
}

// Actor is who makes a call.
type Actor struct {
	Kind      string // one of storage's Actor constants
	ID        string // User.ID or client_id
	Name      string // as it is shown: a username, a client's name, ada@host of a command
	Address   string // IP address, where there is one
	RequestID string // of the HTTP request, where there is one
	// Within, if not nil, reports whether a verb is within the scope of the credential that is used:
	// of an API key, say. It narrows what the actor may do, and never widens it.
	Within func(verb string) bool

	applies bool // set by the calls that apply a manifest

	self bool // set by the calls in which a user changes their own account, see ownAccount
}

func (a Actor) party() storage.EventParty {
	return storage.EventParty{Kind: a.Kind, ID: a.ID, Name: a.Name}
}

// Verbs: what an actor may do, and what events are named by. The part before the dot is the kind of
// the object. Reading leaves no event.
const (
	VerbUserCreate   = "user.create"
	VerbUserUpdate   = "user.update"
	VerbUserRename   = "user.rename"
	VerbUserPassword = "user.set_password"
	VerbUserDisable  = "user.disable"
	VerbUserEnable   = "user.enable"
	VerbUserUnlock   = "user.unlock"
	VerbUserFactors  = "user.reset_factors"
	VerbUserSignOut  = "user.end_sessions"
	VerbUserDelete   = "user.delete"
	VerbUserRole     = "user.set_role"

	VerbSessionRead   = "session.read"
	VerbSessionEnd    = "session.end"
	VerbGrantRead     = "grant.read"     // grants, and consents, which are for the next grant
	VerbGrantRevoke   = "grant.revoke"   // one grant, or all of a client
	VerbConsentRevoke = "consent.revoke" // what a user allows a client, with all grants

	VerbGroupCreate = "group.create"
	VerbGroupUpdate = "group.update"
	VerbGroupAdd    = "group.add_member"
	VerbGroupRemove = "group.remove_member"
	VerbGroupDelete = "group.delete"

	VerbClientCreate = "client.create"
	VerbClientUpdate = "client.update"
	VerbClientSecret = "client.rotate_secret"
	VerbClientDelete = "client.delete"

	VerbApply  = "manifest.apply"  // a file with users, groups and clients; each change in it has an event of its own
	VerbExport = "manifest.export" // everything but secrets

	// VerbManifestRead is reading which manifests there are, and what was changed beside them.
	VerbManifestRead = "manifest.read"

	// VerbExportHashes is asked for beside VerbExport where password hashes are exported, and has no
	// event of its own.
	VerbExportHashes = "manifest.export_hashes"

	VerbTokenCreate = "token.create"
	VerbTokenRead   = "token.read"
	VerbTokenRevoke = "token.revoke"
	VerbKeysRotate  = "key.rotate"
	VerbKeysRevoke  = "key.revoke"

	VerbMasterKeyChange = "master_key.change"

	VerbUserRead   = "user.read"
	VerbGroupRead  = "group.read"
	VerbMemberRead = "group.read_members"
	VerbClientRead = "client.read"
	VerbKeysRead   = "key.read"
	VerbAuditRead  = "audit.read"
)

// following is who does what follows from a change that the actor was permitted: the server itself,
// on the same request.
func following(actor Actor) Actor {
	if actor.Kind == storage.ActorCommand {
		return actor
	}
	return Actor{Kind: storage.ActorSystem, Name: "latchkey", RequestID: actor.RequestID}
}

// permit asks whether the actor may do it, and leaves an event if not. Calls ask before they look
// at anything, and change asks again with the object as it is.
func (a *Admin) permit(ctx context.Context, actor Actor, verb string, o object) error {
	h, err := a.holder(ctx, actor)
	if err != nil {
		return err
	}
	if err = may(h, verb, o); err == nil {
		return nil
	}
	a.Audit.Note(ctx, storage.Event{Actor: actor.party(), Verb: verb, Object: o.EventParty, Address: actor.Address,
		RequestID: actor.RequestID,
		Outcome:   storage.OutcomeRefused, Reason: reasonOf(err)})
	return &ObjectError{Err: err, Kind: o.Kind, Name: cmp.Or(o.Name, o.ID)}
}

// change makes one change: it asks whether the actor may, stores the event, makes the change, and
// settles the event. before and after are the record as encoding/json writes it, nil where there is
// none; what is secret must not be in them. An update that would change nothing is not made and
// leaves no event.
func (a *Admin) change(ctx context.Context, actor Actor, verb string, o object, before, after any,
	do func() error) error {
	if err := a.permit(ctx, actor, verb, o); err != nil {
		return err
	}
	var err error
	event := storage.Event{Actor: actor.party(), Verb: verb, Object: o.EventParty, Address: actor.Address,
		RequestID: actor.RequestID}
	if event.Before, event.After, err = audit.Diff(before, after); err != nil {
		return err
	}
	if before != nil && after != nil && event.Before == nil && event.After == nil {
		return nil
	}
	if event, err = a.Audit.Begin(ctx, event); err != nil {
		return err
	}
	err = do()
	switch {
	case err == nil:
		a.Audit.Settle(ctx, event, storage.OutcomeDone, "")
	case reasonOf(err) != "":
		a.Audit.Settle(ctx, event, storage.OutcomeRefused, reasonOf(err))
	} // else it may have been made: the event stays begun
	return err
}

// reasonOf is the word for an error that tells that nothing was changed; "" for one that does not.
func reasonOf(err error) string {
	for reason, of := range map[string][]error{
		"conflict":   {storage.ErrConflict, ErrConflict},
		"not_found":  {storage.ErrNotFound, ErrNotFound, keys.ErrNoSuchKey},
		"taken":      {ErrTaken},
		"in_use":     {ErrInUse},
		"forbidden":  {ErrForbidden},
		"last_owner": {ErrLastOwner},
		"used":       {storage.ErrConsumed},
		"managed":    {ErrManaged},
	} {
		if slices.ContainsFunc(of, func(one error) bool { return errors.Is(err, one) }) {
			return reason
		}
	}
	var faults Faults
	if errors.As(err, &faults) {
		return "invalid"
	}
	return ""
}

// tries bounds how often a change is made again because another administrator was faster.
const tries = 10

// swap loads a record, changes it and stores it, again as long as store answers
// storage.ErrConflict. seen is the version that the caller's change rests on, 0 for any.
func swap[T any](seen int64, version func(T) int64, load func() (T, error), change func(*T) error,
	store func(before T, after *T) error) (T, error) {
	var none T
	for range tries {
		before, err := load()
		if err != nil {
			return none, err
		}
		if seen != 0 && version(before) != seen {
			return none, ErrConflict
		}
		after := before
		if err := change(&after); err != nil {
			return none, err
		}
		switch err := store(before, &after); {
		case err == nil:
			return after, nil
		case !errors.Is(err, storage.ErrConflict):
			return none, err
		}
	}
	return none, ErrConflict
}

// pageSize is how many records a listing reads at once.
const pageSize = 500

// pages reads every record, a page after the other. key is what the next page begins after.
func pages[T any](ctx context.Context, page func(ctx context.Context, after string, limit int) ([]T, error),
	key func(T) string) ([]T, error) {
	all := []T{}
	err := everyPage(ctx, page, key, func(one T) error {
		all = append(all, one)
		return nil
	})
	return all, err
}

// everyPage calls each for every record, of which it holds a page at a time.
func everyPage[T any](ctx context.Context, page func(ctx context.Context, after string, limit int) ([]T, error),
	key func(T) string, each func(T) error) error {
	for after := ""; ; {
		some, err := page(ctx, after, pageSize)
		if err != nil || len(some) == 0 {
			return err
		}
		for _, one := range some {
			if err := each(one); err != nil {
				return err
			}
		}
		after = key(some[len(some)-1])
	}
}

// timestamp is now, as the store keeps it.
func (a *Admin) timestamp() time.Time { return a.Now().UTC().Truncate(time.Millisecond) }

// sortedSet is the list in order, each value once.
func sortedSet(list []string) []string {
	out := slices.Clone(list)
	slices.Sort(out)
	return slices.Compact(out)
}

// newID makes a subject identifier: random, so that it tells nothing and is never given again
// (OIDC Core §2).
func newID() string { return strings.ToLower(rand.Text()) }
