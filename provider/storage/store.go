package storage

import (
	"context"
	"errors"
	"time"

	"latchkey/keys"
	"latchkey/provider/clients"
)

// What a Store answers besides success. ErrUnavailable wraps every fault of the store itself (no connection, a deadline, a full
// disk, a locked file): whether the change was made is not known, and the caller must not conclude anything from it, least of
// all that a token was reused.
var (
	ErrUnavailable = errors.New("storage: unavailable")

	ErrNotFound = errors.New("storage: not found")
	ErrConsumed = errors.New("storage: already used")
	ErrConflict = errors.New("storage: conflict")
)

// Store keeps the records. All methods may be called concurrently and from several instances at once. What was
// acknowledged survives a crash and loss of power. Returned records are the caller's own copies.
//
// Times are kept to the millisecond, in UTC. "At now" means by the clock that the caller passes; what expires at a
// time has expired when now is that time. An empty slice or map may come back as nil, and the other way round.
//
// A method whose context ends, or that loses the store on the way, returns an error that is none of ErrNotFound,
// ErrConsumed and ErrConflict; what it was to change may have been changed all the same.
type Store interface {
	// CreateUser stores a new user with Version 1. ErrConflict if the ID or the Username is taken.
	CreateUser(ctx context.Context, u User) error
	// User returns a user by ID, or ErrNotFound.
	User(ctx context.Context, id string) (User, error)
	// UserByUsername returns the user with exactly this (canonical) username, or ErrNotFound.
	UserByUsername(ctx context.Context, username string) (User, error)
	// UpdateUser replaces the user whose Version is u.Version and increases it by one. ErrConflict if the stored
	// version differs or the new Username is taken, ErrNotFound if there is no such user.
	UpdateUser(ctx context.Context, u User) error
	// DeleteUser removes the user with consents; sessions and grants are ended by the caller before. ErrNotFound if there is none.
	DeleteUser(ctx context.Context, id string) error
	// Users lists users by Username, beginning after the given one, at most limit.
	Users(ctx context.Context, after string, limit int) ([]User, error)

	// PutGroup creates or replaces a group.
	PutGroup(ctx context.Context, g Group) error
	// CreateGroup stores a new group with Version 1. ErrConflict if the name is taken.
	CreateGroup(ctx context.Context, g Group) error
	// UpdateGroup replaces the group whose Version is g.Version and increases it by one; ErrConflict, ErrNotFound as UpdateUser.
	UpdateGroup(ctx context.Context, g Group) error
	// Group returns a group by name, or ErrNotFound.
	Group(ctx context.Context, name string) (Group, error)
	// Groups lists all groups by name.
	Groups(ctx context.Context) ([]Group, error)
	// DeleteGroup removes a group; memberships are removed by the caller. ErrNotFound if there is none.
	DeleteGroup(ctx context.Context, name string) error

	// CreateClient stores a new client with Version 1. ErrConflict if the ID is taken.
	CreateClient(ctx context.Context, c clients.Client) error
	// Client returns a client by ID, or ErrNotFound.
	Client(ctx context.Context, id string) (clients.Client, error)
	// UpdateClient replaces the client whose Version is c.Version and increases it by one; ErrConflict, ErrNotFound as UpdateUser.
	UpdateClient(ctx context.Context, c clients.Client) error
	// DeleteClient removes the client, the consents given to it, and revokes its grants at now. ErrNotFound if there is none.
	DeleteClient(ctx context.Context, id string, now time.Time) error
	// Clients lists clients by ID, beginning after the given one, at most limit.
	Clients(ctx context.Context, after string, limit int) ([]clients.Client, error)

	// CreateSession stores a new session. ErrConflict if the ID is taken.
	CreateSession(ctx context.Context, s Session) error
	// Session returns a session by ID, ended and expired ones too, or ErrNotFound.
	Session(ctx context.Context, id string) (Session, error)
	// RenewSession replaces the session's secret, authentication (SecretHash, AuthTime, AMR, ACR, Remember, LastSeen, IdleAt,
	// ExpiresAt of s) if it is not ended and its secret is still oldSecretHash. ErrConflict otherwise, ErrNotFound if there is none.
	RenewSession(ctx context.Context, s Session, oldSecretHash string) error
	// TouchSession moves LastSeen and IdleAt of a session that is not ended; it never moves them back. No error if there is none.
	TouchSession(ctx context.Context, id string, lastSeen, idleAt time.Time) error
	// EndSession marks a session ended at now and returns it. Of concurrent calls exactly one succeeds, the others get ErrConsumed
	// along with the session. ErrNotFound if there is none.
	EndSession(ctx context.Context, id string, now time.Time) (Session, error)
	// SessionsOfUser lists the user's sessions that are valid at now, last seen first.
	SessionsOfUser(ctx context.Context, userID string, now time.Time) ([]Session, error)

	// CreateInteraction stores a new interaction with Version 1. ErrConflict if the ID is taken.
	CreateInteraction(ctx context.Context, i Interaction) error
	// Interaction returns an interaction by ID, or ErrNotFound; the caller checks ExpiresAt and BrowserHash.
	Interaction(ctx context.Context, id string) (Interaction, error)
	// UpdateInteraction replaces the interaction whose Version is i.Version and increases it by one; ErrConflict, ErrNotFound as UpdateUser.
	UpdateInteraction(ctx context.Context, i Interaction) error
	// FinishInteraction removes an interaction. Of concurrent calls exactly one succeeds, the others get ErrNotFound.
	FinishInteraction(ctx context.Context, id string) error

	// AddConsent adds scopes, claims and resources to what the user has allowed the client before. Concurrent additions all survive.
	AddConsent(ctx context.Context, c Consent) error
	// Consent returns what a user has allowed a client, or ErrNotFound.
	Consent(ctx context.Context, userID, clientID string) (Consent, error)
	// ConsentsOfUser lists a user's consents by ClientID.
	ConsentsOfUser(ctx context.Context, userID string) ([]Consent, error)
	// DeleteConsent forgets what a user has allowed a client. No error if there is nothing.
	DeleteConsent(ctx context.Context, userID, clientID string) error

	// CreateGrant stores a new grant. ErrConflict if the ID is taken.
	CreateGrant(ctx context.Context, g Grant) error
	// Grant returns a grant by ID, revoked and expired ones too, or ErrNotFound.
	Grant(ctx context.Context, id string) (Grant, error)
	// RedeemCode marks the code of the grant used at now and, if refreshIdleAt is not zero, begins refresh generation 1 with it,
	// and returns the grant as it is then. Of any number of concurrent calls exactly one succeeds; the others get ErrConsumed along
	// with the grant, however long ago it was, so that the caller can revoke it (RFC 6749 §4.1.2). ErrNotFound if there is no grant with
	// this code, it was revoked, or the code has expired at now without having been used: nothing is changed then. The grant's ExpiresAt and LastUsed become those given.
	RedeemCode(ctx context.Context, grantID, codeHash string, now, refreshIdleAt, expiresAt time.Time) (Grant, error)
	// RotateRefresh replaces the refresh token of the given generation by the next one: RefreshGeneration+1, RefreshedAt and LastUsed now,
	// RefreshIdleAt as given, and returns the grant as it is then. Of any number of concurrent calls for one generation exactly one
	// succeeds; the others get ErrConsumed along with the grant as it is (the caller decides whether that is reuse or within the grace).
	// ErrNotFound if there is no such grant, it is revoked or expired at now, its current token's RefreshIdleAt has passed, or the
	// generation was never issued.
	RotateRefresh(ctx context.Context, grantID string, generation int64, now, refreshIdleAt time.Time) (Grant, error)
	// RevokeGrant marks a grant revoked at now; a second time changes nothing. ErrNotFound if there is none.
	RevokeGrant(ctx context.Context, id string, now time.Time) error
	// RevokeGrants revokes every grant that matches all non-empty fields of f, and says how many it changed. An empty filter is an error.
	RevokeGrants(ctx context.Context, f GrantFilter, now time.Time) (int, error)
	// GrantsOfUser lists the user's grants that stand at now and whose code was used (or that never had one), newest first, at most 500.
	GrantsOfUser(ctx context.Context, userID string, now time.Time) ([]Grant, error)
	// ClientsOfSession lists, sorted, the distinct clients that have a grant made in this session, revoked ones too.
	ClientsOfSession(ctx context.Context, sessionID string) ([]string, error)

	// CreateToken stores a token. ErrConflict if the hash is taken.
	CreateToken(ctx context.Context, t Token) error
	// Token returns the token of that kind, consumed and expired ones too, or ErrNotFound.
	Token(ctx context.Context, kind, hash string) (Token, error)
	// ConsumeToken marks the token used at now and returns it. Of any number of concurrent calls exactly one succeeds; the others get
	// ErrConsumed along with the token. ErrNotFound if there is no token of that kind or it has expired at now unused.
	ConsumeToken(ctx context.Context, kind, hash string, now time.Time) (Token, error)
	// DeleteToken removes the token of that kind. No error if there is none.
	DeleteToken(ctx context.Context, kind, hash string) error

	// Spend remembers that the value id of the given kind (a jti, say) was used, until expiresAt. Of any number of concurrent
	// calls exactly one succeeds, the others get ErrConsumed. An entry whose expiresAt has passed may be spent again.
	Spend(ctx context.Context, kind, id string, now, expiresAt time.Time) error
	// Spent says whether the value was spent and its entry has not expired at now.
	Spent(ctx context.Context, kind, id string, now time.Time) (bool, error)

	// CountAttempt adds one to the counter of key and returns the count, this one included, and when the window ends. A window
	// begins with its first attempt and lasts as long as given; after its end the counter begins anew. Concurrent calls get distinct counts.
	CountAttempt(ctx context.Context, key string, now time.Time, window time.Duration) (count int, resetAt time.Time, err error)
	// ForgiveAttempts takes n attempts off the counter of key, not below zero; n < 0 clears it.
	ForgiveAttempts(ctx context.Context, key string, n int) error
	// Attempts returns the count of key and when its window ends, without adding to it: 0 and the zero time if there is no
	// window at now.
	Attempts(ctx context.Context, key string, now time.Time) (count int, resetAt time.Time, err error)

	// CreateLogoutDelivery stores a delivery. ErrConflict if the ID is taken.
	CreateLogoutDelivery(ctx context.Context, d LogoutDelivery) error
	// LeaseLogoutDelivery hands out one delivery that is due at now, not delivered and not expired: it moves NextAt to leaseUntil
	// and counts the attempt. No two callers get the same one until then. ErrNotFound if none is due.
	LeaseLogoutDelivery(ctx context.Context, now, leaseUntil time.Time) (LogoutDelivery, error)
	// UpdateLogoutDelivery stores the outcome of an attempt: NextAt, DeliveredAt, LastError. What was delivered stays so, and a failure
	// of an attempt that is not the last any more (its lease ran out, and Attempts has grown) changes nothing. No error if it is gone.
	UpdateLogoutDelivery(ctx context.Context, d LogoutDelivery) error
	// LogoutDeliveries lists the deliveries of one logout, delivered ones too, by ClientID.
	LogoutDeliveries(ctx context.Context, logoutID string) ([]LogoutDelivery, error)

	// AppendEvent stores an event of the audit log. ErrConflict if the ID is taken.
	AppendEvent(ctx context.Context, e Event) error
	// SettleEvent sets Outcome and Reason of an event whose Outcome is OutcomeBegun. An event that is settled already stays as it
	// is, without an error. ErrNotFound if there is none.
	SettleEvent(ctx context.Context, id, outcome, reason string) error
	// Events lists the events that match all non-empty fields of f, newest first, at most limit: those with an ID below before,
	// or from the newest if that is empty. The ID of the last one is the cursor of the next page.
	Events(ctx context.Context, f EventFilter, before string, limit int) ([]Event, error)

	// OriginAllowed says whether any client that is not disabled lists the web origin in CORSOrigins.
	OriginAllowed(ctx context.Context, origin string) (bool, error)

	// KeySet and SwapKeySet keep the signing keys; see keys.Store.
	keys.Store

	// SetOnce stores a small value under a name if there is none yet, and returns what is stored. All callers, racing or
	// not, on any instance, get the same value.
	SetOnce(ctx context.Context, name string, value []byte) ([]byte, error)
	// Setting returns a value stored by SetOnce, or ErrNotFound.
	Setting(ctx context.Context, name string) ([]byte, error)

	// Purge removes what no answer depends on at now: it keeps used and expired things for a while, so that a replay is still
	// recognised as one. It says how many it removed.
	Purge(ctx context.Context, now time.Time) (int, error)
	// Ping says whether the store can answer and is writable.
	Ping(ctx context.Context) error
	// Close ends the store; what was acknowledged is on disk.
	Close() error
}

// GrantFilter chooses grants to revoke.
type GrantFilter struct {
	UserID    string
	ClientID  string
	SessionID string
	// KeepOffline leaves grants with offline access alone: they outlive the session (OIDC Core §11).
	KeepOffline bool
}
