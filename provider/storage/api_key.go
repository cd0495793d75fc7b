package storage

import (
	"cmp"
	"context"
	"slices"
	"time"
)

// APIKey lets a program call the administration API in the name of a user, with no more than
// Scope and no more than the user may do. Its value is never stored.
type APIKey struct {
	ID         string    `bson:"_id"` // made by NewID; not a secret
	SecretHash string    `bson:"secret_hash"`
	UserID     string    `bson:"user_id"` // whose key it is
	Name       string    `bson:"name"`
	Scope      []string  `bson:"scope"`
	CreatedAt  time.Time `bson:"created_at"`
	ExpiresAt  time.Time `bson:"expires_at"`
	LastUsed   time.Time `bson:"last_used,omitempty"`  // to the minute
	LastFrom   string    `bson:"last_from,omitempty"`  // the IP address of its last use
	RevokedAt  time.Time `bson:"revoked_at,omitempty"` // not zero: good for nothing any more
	Version    int64     `bson:"version"`
}

// Valid reports whether the key may be used at now, as far as the key itself goes.
func (k APIKey) Valid(now time.Time) bool {
	return k.ID != "" && k.RevokedAt.IsZero() && now.Before(k.ExpiresAt)
}

// keepAPIKey is how long a key that is over can still be looked up.
const keepAPIKey = 30 * 24 * time.Hour

var apiKeys = register(table[APIKey]{
	Table:   Table{Name: "api_keys", Indexes: []Index{{Fields: []string{"user_id"}}}},
	id:      func(k *APIKey) string { return k.ID },
	version: func(k *APIKey) *int64 { return &k.Version },
	purgeAt: func(k *APIKey) time.Time {
		at := k.ExpiresAt
		if !k.RevokedAt.IsZero() {
			at = earlier(at, k.RevokedAt)
		}
		return at.Add(keepAPIKey)
	},
})

// CreateAPIKey stores a key with Version 1. ErrConflict if the ID is taken.
func (s *Store) CreateAPIKey(ctx context.Context, k APIKey) error {
	return create(ctx, s, "create API key", apiKeys, k)
}

// APIKey returns a key by ID, one that is over too, or ErrNotFound.
func (r Records) APIKey(ctx context.Context, id string) (APIKey, error) {
	return load(ctx, r, "load API key", apiKeys, id)
}

// APIKeys lists keys from the oldest on, those that are over too, beginning after the one with the
// given ID, at most limit.
func (r Records) APIKeys(ctx context.Context, after string, limit int) ([]APIKey, error) {
	if limit < 1 {
		return nil, nil
	}
	return list(ctx, r, "list API keys", apiKeys, Query{Order: []string{FieldID}, After: after, Limit: limit})
}

// APIKeysOfUser lists the keys of a user, those that are over too, the newest first.
func (r Records) APIKeysOfUser(ctx context.Context, userID string) ([]APIKey, error) {
	all, err := list(ctx, r, "list API keys", apiKeys, Query{Where: []Match{is("user_id", userID)}})
	slices.SortFunc(all, func(a, b APIKey) int { return cmp.Compare(b.ID, a.ID) })
	return all, err
}

// UseAPIKey notes that the key seen was used at now from an address. It never moves LastUsed back.
// No error if the key is gone.
func (s *Store) UseAPIKey(ctx context.Context, seen APIKey, now time.Time, from string) error {
	now = millisecond(now)
	_, err := changeSeen(ctx, s, "note the use of an API key", apiKeys, seen, existing(func(k *APIKey) error {
		if !now.After(k.LastUsed) {
			return ErrNotFound
		}
		k.LastUsed, k.LastFrom = now, from
		return nil
	}))
	if err == ErrNotFound {
		return nil
	}
	return err
}

// RevokeAPIKey marks a key revoked at now and returns it. Of concurrent calls exactly one
// succeeds; the others get ErrConsumed along with the key. ErrNotFound if there is none.
func (s *Store) RevokeAPIKey(ctx context.Context, id string, now time.Time) (APIKey, error) {
	return change(ctx, s, "revoke API key", apiKeys, id, existing(func(k *APIKey) error {
		if !k.RevokedAt.IsZero() {
			return ErrConsumed
		}
		k.RevokedAt = millisecond(now)
		return nil
	}))
}
