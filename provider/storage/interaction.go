package storage

import (
	"context"
	"time"

	"latchkey/provider/oauth"
)

// Interaction is what a person is in the middle of: an authorization request that waits for them,
// or a visit to a page of ours that needs a sign-in. It is bound to the browser that began it.
type Interaction struct {
	ID          string                     `bson:"_id"`
	BrowserHash string                     `bson:"browser_hash"`
	Request     oauth.AuthorizationRequest `bson:"request"`
	ReturnTo    string                     `bson:"return_to,omitempty"` // a path of ours, in place of Request
	// of ReturnTo: the page wants a proof that is a few minutes old at most
	Fresh bool `bson:"fresh,omitempty"`
	// when the person proved who they are for this very request
	SignedInAt time.Time `bson:"signed_in_at,omitempty"`
	// User.ID of whose word Selected, Consented and Skipped are
	PersonID  string `bson:"person_id,omitempty"`
	Selected  bool   `bson:"selected,omitempty"`  // the person chose the account
	Consented bool   `bson:"consented,omitempty"` // the person allowed it
	// the person goes on without what the client only wishes
	Skipped bool `bson:"skipped,omitempty"`
	// a passkey can be made in this browser, and is to be offered
	Offer bool `bson:"offer,omitempty"`
	// which question Selected and Consented answer
	Shown     string    `bson:"shown,omitempty"`
	CreatedAt time.Time `bson:"created_at"`
	ExpiresAt time.Time `bson:"expires_at"`
	Finished  bool      `bson:"finished,omitempty"` // over: a finished interaction is never returned
	Version   int64     `bson:"version"`
}

var interactions = register(table[Interaction]{
	Table:   Table{Name: "interactions"},
	id:      func(i *Interaction) string { return i.ID },
	version: func(i *Interaction) *int64 { return &i.Version },
	purgeAt: func(i *Interaction) time.Time { return i.ExpiresAt.Add(keepExpired) },
})

// CreateInteraction stores a new interaction with Version 1. ErrConflict if the ID is taken.
func (s *Store) CreateInteraction(ctx context.Context, i Interaction) error {
	return create(ctx, s, "create interaction", interactions, i)
}

// Interaction returns an interaction by ID, or ErrNotFound; the caller checks ExpiresAt and
// BrowserHash.
func (r Records) Interaction(ctx context.Context, id string) (Interaction, error) {
	i, err := load(ctx, r, "load interaction", interactions, id)
	if err == nil && i.Finished {
		return Interaction{}, ErrNotFound
	}
	return i, err
}

// UpdateInteraction replaces the interaction whose Version is i.Version and increases it by one;
// ErrConflict, ErrNotFound as UpdateUser.
func (s *Store) UpdateInteraction(ctx context.Context, i Interaction) error {
	err := replace(ctx, s, "update interaction", interactions, i)
	if err == ErrConflict {
		// One that is finished is gone to everybody else.
		if _, err := s.Interaction(ctx, i.ID); err != nil {
			return err
		}
	}
	return err
}

// FinishInteraction removes an interaction. Of concurrent calls exactly one succeeds, the others
// get ErrNotFound.
func (s *Store) FinishInteraction(ctx context.Context, id string) error {
	_, err := change(ctx, s, "finish interaction", interactions, id, existing((*Interaction).finish))
	return err
}

// finish leaves a mark in place of the interaction: a record that was removed could not say by
// which call.
func (i *Interaction) finish() error {
	if i.Finished {
		return ErrNotFound
	}
	*i = Interaction{ID: i.ID, CreatedAt: i.CreatedAt, ExpiresAt: i.ExpiresAt, Finished: true}
	return nil
}
