package keys

import (
	"context"
	"encoding/json"
	"time"
)

// Store keeps one KeySet.
type Store interface {
	// KeySet returns the stored set; the zero KeySet (Version 0) when there is none yet.
	KeySet(ctx context.Context) (KeySet, error)
	// SwapKeySet stores the set if the stored Version is set.Version-1 (0 when there is none). Of
	// any number of concurrent calls exactly one succeeds; for the others swapped is false and
	// nothing changed.
	SwapKeySet(ctx context.Context, set KeySet) (swapped bool, err error)
}

// KeySet is everything that is stored about the provider's keys.
type KeySet struct {
	Version int64        `bson:"version" json:"version"`
	Keys    []StoredKey  `bson:"keys" json:"keys"`
	Revoked []RevokedKey `bson:"revoked,omitempty" json:"revoked,omitempty"` // the latest last
	// what everything sealed opens by; see Sealer
	Seal SealRecord `bson:"seal,omitempty" json:"-"`
}

// StoredKey is one key pair at rest.
type StoredKey struct {
	ID        string          `bson:"kid" json:"kid"` // RFC 7638 thumbprint
	Use       string          `bson:"use" json:"use"` // sig or enc
	Algorithm string          `bson:"alg" json:"alg"`
	Public    json.RawMessage `bson:"public" json:"public"` // JWK, as published
	Sealed    []byte          `bson:"sealed" json:"-"`      // private JWK, sealed with "key:"+ID as additional data
	CreatedAt time.Time       `bson:"created_at" json:"created_at"`
	// zero: published, not yet in use
	SignsFrom time.Time `bson:"signs_from" json:"signs_from,omitzero"`
	RetiredAt time.Time `bson:"retired_at,omitempty" json:"retired_at,omitzero"` // zero: not replaced yet
	// in the JWK Set until then
	UnpublishAt time.Time `bson:"unpublish_at,omitempty" json:"unpublish_at,omitzero"`
	// accepted by Verify until then
	RemoveAt time.Time `bson:"remove_at,omitempty" json:"remove_at,omitzero"`
}

// RevokedKey remembers a key that was withdrawn. Nothing of the key itself is left.
type RevokedKey struct {
	ID        string    `bson:"kid" json:"kid"`
	Use       string    `bson:"use" json:"use"`
	Algorithm string    `bson:"alg" json:"alg"`
	RevokedAt time.Time `bson:"revoked_at" json:"revoked_at"`
}
