package storage

import (
	"context"
	"time"
)

// Purposes of a Link. A link of one purpose is never found as one of another.
const (
	LinkReset   = "reset"   // sets a new password
	LinkInvite  = "invite"  // sets a first password
	LinkAddress = "address" // makes Address that of the user
	LinkSignUp  = "sign-up" // makes an account; UserID stands for the address
	LinkLost    = "lost"    // begins the way back for who has lost everything
	// no link: that way was begun, and the time to wait ends with ExpiresAt; used: it was stopped
	LinkLostWait  = "lost-wait"
	LinkLostStop  = "lost-stop"  // stops it
	LinkLostReady = "lost-ready" // ends it: sets a new password and removes second factors
)

// Link is what a mail let its reader do, once. A user has one link for each purpose: a new one
// takes the place of the one before. The value in the address is never stored.
type Link struct {
	ID        string    `bson:"_id"` // of UserID and Purpose
	Hash      string    `bson:"hash"`
	Purpose   string    `bson:"purpose"`
	UserID    string    `bson:"user_id"`
	Name      string    `bson:"name,omitempty"` // LinkSignUp: as who asked calls themselves
	Address   string    `bson:"address"`        // the e-mail address that it was sent to
	State     string    `bson:"state"`          // of the user when it was made: another state makes it void
	CreatedAt time.Time `bson:"created_at"`
	ExpiresAt time.Time `bson:"expires_at"`
	UsedAt    time.Time `bson:"used_at,omitempty"`
	Version   int64     `bson:"version"`
}

var links = register(table[Link]{
	Table:   Table{Name: "links", Unique: []string{"hash"}},
	id:      func(l *Link) string { return l.ID },
	version: func(l *Link) *int64 { return &l.Version },
	purgeAt: func(l *Link) time.Time { return l.ExpiresAt.Add(keepUsed) },
})

// linkID leaves room for as many links that stop something as there are addresses to be told.
func linkID(l Link) string {
	id := l.Purpose + " " + l.UserID
	if l.Purpose == LinkLostStop {
		id += " " + Hash(l.Address)
	}
	return id
}

// ReplaceLink stores a link in place of any that the user had for the same purpose, used or not.
// The caller leaves ID and Version out.
func (s *Store) ReplaceLink(ctx context.Context, l Link) error {
	l.ID = linkID(l)
	_, err := makeOr(ctx, s, "replace link", links, l, func(there *Link) error {
		*there = l
		return nil
	})
	return err
}

// Link returns the link of that purpose with this hash, used and expired ones too, or ErrNotFound.
func (r Records) Link(ctx context.Context, purpose, hash string) (Link, error) {
	found, err := list(ctx, r, "load link", links, Query{Where: []Match{is("hash", hash)}, Limit: 1})
	if err != nil {
		return Link{}, err
	}
	if len(found) == 0 || found[0].Purpose != purpose {
		return Link{}, ErrNotFound
	}
	return found[0], nil
}

// LinkOf returns the link that a user has for a purpose, used and expired ones too, or ErrNotFound.
func (r Records) LinkOf(ctx context.Context, purpose, userID string) (Link, error) {
	return load(ctx, r, "load link", links, linkID(Link{Purpose: purpose, UserID: userID}))
}

// DropLink removes the link that a user has for a purpose. No error if there is none.
func (s *Store) DropLink(ctx context.Context, purpose, userID string) error {
	_, err := s.engine.Remove(ctx, &links.Table, is(FieldID, linkID(Link{Purpose: purpose, UserID: userID})))
	return wrap("drop link", err)
}

// UseLink marks the link used at now and returns it. Of any number of concurrent calls exactly one
// succeeds; the others get ErrConsumed along with the link. ErrNotFound if there is no such link of
// that purpose, another took its place, or it has expired at now unused.
func (s *Store) UseLink(ctx context.Context, purpose, hash string, now time.Time) (Link, error) {
	seen, err := s.Link(ctx, purpose, hash)
	if err != nil {
		return Link{}, err
	}
	return changeSeen(ctx, s, "use link", links, seen,
		existing(func(l *Link) error { return l.use(hash, millisecond(now)) }))
}

func (l *Link) use(hash string, now time.Time) error {
	switch {
	case l.Hash != hash:
		return ErrNotFound
	case !l.UsedAt.IsZero():
		return ErrConsumed
	case !now.Before(l.ExpiresAt):
		return ErrNotFound
	}
	l.UsedAt = now
	return nil
}
