package storage

import (
	"context"
	"time"
)

// PushedRequest is an authorization request that a client has sent ahead (RFC 9126 §2). Its
// reference is never stored. That it was used is a Spend of its ID: a request lives on in an
// interaction after it has gone from here.
type PushedRequest struct {
	ID        string    `bson:"_id"` // hash of the reference
	ClientID  string    `bson:"client_id"`
	Sealed    []byte    `bson:"sealed"` // the parameters
	CreatedAt time.Time `bson:"created_at"`
	ExpiresAt time.Time `bson:"expires_at"`
	Version   int64     `bson:"version"`
}

// keepPushed is how long a pushed request is kept after it has expired: for as long as the clocks
// of two instances may differ. There may be many, and large ones.
const keepPushed = 5 * time.Minute

var pushedRequests = register(table[PushedRequest]{
	Table:   Table{Name: "pushed_requests"},
	id:      func(p *PushedRequest) string { return p.ID },
	version: func(p *PushedRequest) *int64 { return &p.Version },
	purgeAt: func(p *PushedRequest) time.Time { return p.ExpiresAt.Add(keepPushed) },
})

// CreatePushedRequest stores a pushed request with Version 1. ErrConflict if the ID is taken.
func (s *Store) CreatePushedRequest(ctx context.Context, p PushedRequest) error {
	return create(ctx, s, "create pushed request", pushedRequests, p)
}

// PushedRequest returns a pushed request by ID, or ErrNotFound; the caller checks ClientID and
// ExpiresAt.
func (r Records) PushedRequest(ctx context.Context, id string) (PushedRequest, error) {
	return load(ctx, r, "load pushed request", pushedRequests, id)
}
