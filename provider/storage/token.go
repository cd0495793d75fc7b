package storage

import (
	"cmp"
	"context"
	"slices"
	"time"
)

// Kinds of Token. A value of one kind is never found as another.
const (
	TokenAccess        = "access"         // opaque access token
	TokenInitialAccess = "initial_access" // permits one dynamic registration (RFC 7591 §3)
	TokenSetUp         = "set_up"         // makes whoever has it the first owner
)

// Token is a credential that is looked up rather than verified by its signature. The value itself
// is never stored.
type Token struct {
	Hash     string   `bson:"_id"`
	Kind     string   `bson:"kind"`
	GrantID  string   `bson:"grant_id,omitempty"` // "" for client_credentials
	ClientID string   `bson:"client_id,omitempty"`
	Scope    []string `bson:"scope,omitempty"`
	Audience []string `bson:"audience,omitempty"`
	// of an access token
	Confirmation Confirmation `bson:"cnf,omitempty"`
	CreatedAt    time.Time    `bson:"created_at"`
	ExpiresAt    time.Time    `bson:"expires_at"`
	ConsumedAt   time.Time    `bson:"consumed_at,omitempty"`
	IssuedBy     string       `bson:"issued_by,omitempty"` // the name of the administrator who made it, if one did
	Version      int64        `bson:"version"`
}

// listedToken has Listed if its kind is one that administrators look through.
type listedToken struct {
	Token  `bson:",inline"`
	Listed string `bson:"listed,omitempty"`
}

var tokens = register(table[Token]{
	Table:   Table{Name: "tokens", Indexes: []Index{{Fields: []string{"listed"}, Sparse: true}}},
	id:      func(t *Token) string { return t.Hash },
	version: func(t *Token) *int64 { return &t.Version },
	cached:  true,
	purgeAt: func(t *Token) time.Time { return t.ExpiresAt.Add(keepUsed) },
	stored: func(t *Token) any {
		listed := listedToken{Token: *t}
		if t.Kind == TokenInitialAccess {
			listed.Listed = t.Kind
		}
		return &listed
	},
})

// CreateToken stores a token with Version 1. ErrConflict if the hash is taken.
func (s *Store) CreateToken(ctx context.Context, t Token) error {
	return create(ctx, s, "create token", tokens, t)
}

// Token returns the token of that kind, consumed and expired ones too, or ErrNotFound.
func (r Records) Token(ctx context.Context, kind, hash string) (Token, error) {
	t, err := load(ctx, r, "load token", tokens, hash)
	if err == nil && t.Kind != kind {
		return Token{}, ErrNotFound
	}
	return t, err
}

// ConsumeToken marks the token used at now and returns it. Of any number of concurrent calls
// exactly one succeeds; the others get ErrConsumed along with the token. ErrNotFound if there is no
// token of that kind or it has expired at now unused.
func (s *Store) ConsumeToken(ctx context.Context, kind, hash string, now time.Time) (Token, error) {
	return change(ctx, s, "consume token", tokens, hash,
		existing(func(t *Token) error { return t.consume(kind, millisecond(now)) }))
}

func (t *Token) consume(kind string, now time.Time) error {
	switch {
	case t.Kind != kind:
		return ErrNotFound
	case !t.ConsumedAt.IsZero():
		return ErrConsumed
	case !now.Before(t.ExpiresAt):
		return ErrNotFound
	}
	t.ConsumedAt = now
	return nil
}

// maxListedTokens bounds InitialAccessTokens.
const maxListedTokens = 1000

// InitialAccessTokens lists tokens that permit a registration, used and expired ones too while they
// are kept, the newest first, at most 1000.
func (r Records) InitialAccessTokens(ctx context.Context) ([]Token, error) {
	all, err := list(ctx, r, "list initial access tokens", tokens,
		Query{Where: []Match{is("listed", TokenInitialAccess)}, Limit: maxListedTokens})
	slices.SortFunc(all, func(a, b Token) int {
		return cmp.Or(b.CreatedAt.Compare(a.CreatedAt), cmp.Compare(a.Hash, b.Hash))
	})
	return all, err
}

// DeleteToken removes the token of that kind. No error if there is none.
func (s *Store) DeleteToken(ctx context.Context, kind, hash string) error {
	switch _, err := s.Token(ctx, kind, hash); {
	case err == ErrNotFound:
		return nil
	case err != nil:
		return err
	}
	_, err := s.engine.Remove(ctx, &tokens.Table, is(FieldID, hash))
	return wrap("delete token", err)
}
