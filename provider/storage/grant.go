package storage

import (
	"context"
	"errors"
	"time"

	"latchkey/provider/oauth"
)

// Grant says: this person let this client have this, in this session. It is the unit of revocation:
// codes, access tokens and refresh tokens belong to one, and are good only while it stands.
type Grant struct {
	ID        string              `bson:"_id"`
	UserID    string              `bson:"user_id"`
	ClientID  string              `bson:"client_id"`
	SessionID string              `bson:"session_id"`
	Scope     []string            `bson:"scope"`
	Claims    oauth.ClaimsRequest `bson:"claims"`
	Resource  []string            `bson:"resource,omitempty"`
	Nonce     string              `bson:"nonce,omitempty"`
	AuthTime  time.Time           `bson:"auth_time"`
	AMR       []string            `bson:"amr,omitempty"`
	ACR       string              `bson:"acr,omitempty"`
	Offline   bool                `bson:"offline,omitempty"` // outlives the session (OIDC Core §11)
	CreatedAt time.Time           `bson:"created_at"`
	LastUsed  time.Time           `bson:"last_used"`
	ExpiresAt time.Time           `bson:"expires_at"` // absolute end of everything under it
	RevokedAt time.Time           `bson:"revoked_at,omitempty"`

	// The code, while the grant is new. It is never removed, so that a replay is recognised.
	CodeHash      string    `bson:"code_hash,omitempty"`
	CodeExpiresAt time.Time `bson:"code_expires_at,omitempty"`
	CodeUsedAt    time.Time `bson:"code_used_at,omitempty"`
	RedirectURI   string    `bson:"redirect_uri,omitempty"`
	CodeChallenge string    `bson:"code_challenge,omitempty"`

	// Confirmation is the key that the code is bound to, if its request named one (RFC 9449 §10).
	// Once the code was redeemed it is the key of the first tokens: later ones are bound, too.
	Confirmation Confirmation `bson:"cnf,omitempty"`

	// The refresh token. Its value follows from grant, generation and a key (see provider), so that
	// within the grace period the same successor can be given again without having been stored.
	RefreshGeneration int64     `bson:"refresh_generation,omitempty"` // of the current token; 0: none was issued
	RefreshedAt       time.Time `bson:"refreshed_at,omitempty"`       // when the current generation was made
	RefreshIdleAt     time.Time `bson:"refresh_idle_at,omitempty"`    // the current token is not good from then on

	Version int64 `bson:"version"`
}

// Stands reports whether the grant itself still holds at now; its session is another question.
func (g Grant) Stands(now time.Time) bool {
	return g.ID != "" && g.RevokedAt.IsZero() && now.Before(g.ExpiresAt)
}

// Live reports whether the grant has come into use: its code was redeemed, or it never had one.
func (g Grant) Live() bool { return g.CodeHash == "" || !g.CodeUsedAt.IsZero() }

var grants = register(table[Grant]{
	Table: Table{Name: "grants", Indexes: []Index{
		{Fields: []string{"user_id", "-created_at"}},
		{Fields: []string{"client_id", FieldID}},
		{Fields: []string{"session_id", "client_id"}},
	}},
	id:      func(g *Grant) string { return g.ID },
	version: func(g *Grant) *int64 { return &g.Version },
	cached:  true,
	purgeAt: func(g *Grant) time.Time {
		at := g.ExpiresAt
		if !g.RevokedAt.IsZero() {
			at = earlier(at, g.RevokedAt)
		}
		return at.Add(keepUsed)
	},
})

// CreateGrant stores a new grant with Version 1. ErrConflict if the ID is taken.
func (s *Store) CreateGrant(ctx context.Context, g Grant) error {
	return create(ctx, s, "create grant", grants, g)
}

// Grant returns a grant by ID, revoked and expired ones too, or ErrNotFound.
func (r Records) Grant(ctx context.Context, id string) (Grant, error) {
	return load(ctx, r, "load grant", grants, id)
}

// Redemption is the use of a code.
type Redemption struct {
	CodeHash      string    // of the code that was presented
	Now           time.Time // when it is used
	ExpiresAt     time.Time // becomes the end of the grant
	RefreshIdleAt time.Time // not zero: begins refresh generation 1, whose token is not good from then on
	Confirmation  Confirmation
}

// RedeemCode marks the code of the grant seen used at r.Now and, if r.RefreshIdleAt is not zero,
// begins refresh generation 1 with it, and returns the grant as it is then. Of any number of
// concurrent calls exactly one succeeds; the others get ErrConsumed along with the grant, however
// long ago it was, so that the caller can revoke it (RFC 6749 §4.1.2). ErrNotFound if there is no
// grant with this code, it was revoked, or the code has expired at r.Now without having been used:
// nothing is changed then. The grant's ExpiresAt, LastUsed and Confirmation become those given.
func (s *Store) RedeemCode(ctx context.Context, seen Grant, r Redemption) (Grant, error) {
	r.Now, r.ExpiresAt, r.RefreshIdleAt = millisecond(r.Now), millisecond(r.ExpiresAt), millisecond(r.RefreshIdleAt)
	return changeSeen(ctx, s, "redeem code", grants, seen, existing(func(g *Grant) error { return g.redeem(r) }))
}

func (g *Grant) redeem(r Redemption) error {
	switch {
	case g.CodeHash == "" || g.CodeHash != r.CodeHash || !g.RevokedAt.IsZero():
		return ErrNotFound
	case !g.CodeUsedAt.IsZero():
		return ErrConsumed
	case !r.Now.Before(g.CodeExpiresAt):
		return ErrNotFound
	}
	g.CodeUsedAt, g.LastUsed, g.ExpiresAt, g.Confirmation = r.Now, r.Now, r.ExpiresAt, r.Confirmation
	if !r.RefreshIdleAt.IsZero() {
		g.RefreshGeneration, g.RefreshedAt, g.RefreshIdleAt = 1, r.Now, r.RefreshIdleAt
	}
	return nil
}

// Rotation is the use of a refresh token.
type Rotation struct {
	Generation int64     // of the token that was presented
	Now        time.Time // when it is used
	IdleAt     time.Time // the next token is not good from then on
}

// RotateRefresh replaces the refresh token of generation r.Generation of the grant seen by the next
// one: RefreshGeneration+1, RefreshedAt and LastUsed r.Now, RefreshIdleAt as given, and returns the
// grant as it is then. Of any number of concurrent calls for one generation exactly one succeeds;
// the others get ErrConsumed along with the grant as it is (the caller decides whether that is
// reuse or within the grace). ErrNotFound if there is no such grant, it is revoked or expired at
// r.Now, its current token's RefreshIdleAt has passed, or the generation was never issued.
func (s *Store) RotateRefresh(ctx context.Context, seen Grant, r Rotation) (Grant, error) {
	r.Now, r.IdleAt = millisecond(r.Now), millisecond(r.IdleAt)
	return changeSeen(ctx, s, "rotate refresh token", grants, seen,
		existing(func(g *Grant) error { return g.rotate(r) }))
}

func (g *Grant) rotate(r Rotation) error {
	switch {
	case !g.Stands(r.Now) || r.Generation < 1 || r.Generation > g.RefreshGeneration || !r.Now.Before(g.RefreshIdleAt):
		return ErrNotFound
	case g.RefreshGeneration != r.Generation:
		return ErrConsumed
	}
	g.RefreshGeneration++
	g.RefreshedAt, g.LastUsed, g.RefreshIdleAt = r.Now, r.Now, r.IdleAt
	return nil
}

// revocation is the stamp of grants that are revoked at now. The purge time is that of a revoked
// grant.
func revocation(now time.Time) Stamp {
	return Stamp{Field: "revoked_at", At: millisecond(now), PurgeAt: now.Add(keepUsed)}
}

// RevokeGrant marks a grant revoked at now; a second time changes nothing. ErrNotFound if there is
// none.
func (s *Store) RevokeGrant(ctx context.Context, id string, now time.Time) error {
	n, err := s.engine.Sweep(ctx, &grants.Table, revocation(now), is(FieldID, id))
	if err != nil || n > 0 {
		return wrap("revoke grant", err)
	}
	_, err = s.Grant(ctx, id)
	return err
}

// GrantFilter chooses grants to revoke.
type GrantFilter struct {
	UserID    string
	ClientID  string
	SessionID string
	// KeepOffline leaves grants with offline access alone: they outlive the session
	// (OIDC Core §11).
	KeepOffline bool
}

var errEmptyFilter = errors.New("storage: a filter without any condition would revoke every grant")

// RevokeGrants revokes every grant that matches all non-empty fields of f, and returns how many it
// changed. An empty filter is an error.
func (s *Store) RevokeGrants(ctx context.Context, f GrantFilter, now time.Time) (int, error) {
	var where []Match
	for _, m := range []Match{is("user_id", f.UserID), is("client_id", f.ClientID), is("session_id", f.SessionID)} {
		if m.Value != "" {
			where = append(where, m)
		}
	}
	if len(where) == 0 {
		return 0, errEmptyFilter
	}
	if f.KeepOffline {
		where = append(where, is("offline", nil))
	}
	n, err := s.engine.Sweep(ctx, &grants.Table, revocation(now), where...)
	return n, wrap("revoke grants", err)
}

// RevokeAllGrants revokes every grant there is, with their codes and tokens, and returns how many
// it changed.
func (s *Store) RevokeAllGrants(ctx context.Context, now time.Time) (int, error) {
	n, err := s.engine.Sweep(ctx, &grants.Table, revocation(now))
	return n, wrap("revoke all grants", err)
}

// maxGrants bounds GrantsOfUser.
const maxGrants = 500

// GrantsOfUser lists the user's grants that stand at now and whose code was used (or that never had
// one), newest first, at most 500.
func (r Records) GrantsOfUser(ctx context.Context, userID string, now time.Time) ([]Grant, error) {
	return listIf(ctx, r, "list grants", grants, Query{Where: []Match{is("user_id", userID)},
		Order: []string{"-created_at", FieldID}}, maxGrants,
		func(g *Grant) bool { return g.Stands(now) && g.Live() })
}

// GrantsOfClient lists the grants of a client that stand at now and whose code was used (or that
// never had one), the newest first, at most limit: those with an ID below before, or from the
// newest if that is empty.
func (r Records) GrantsOfClient(ctx context.Context, clientID, before string, now time.Time, limit int) ([]Grant,
	error) {
	if limit < 1 {
		return nil, nil
	}
	q := Query{Where: []Match{is("client_id", clientID)}, Order: []string{"-" + FieldID}}
	if before != "" {
		q.After = before
	}
	return listIf(ctx, r, "list grants of client", grants, q, limit, func(g *Grant) bool {
		return g.Stands(now) &&
			g.Live()
	})
}

// ClientsOfSession lists, sorted, the distinct clients that have a grant made in this session,
// revoked ones too.
func (r Records) ClientsOfSession(ctx context.Context, sessionID string) ([]string, error) {
	ids, err := r.reader.Values(ctx, &grants.Table, "client_id", is("session_id", sessionID))
	return ids, wrap("list clients of session", err)
}
