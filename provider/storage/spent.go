package storage

import (
	"context"
	"time"
)

// spending is a value that was used and may not be used again: the jti of an assertion, say.
type spending struct {
	ID        string    `bson:"_id"` // kind and value, see spentID
	ExpiresAt time.Time `bson:"expires_at"`
	Version   int64     `bson:"version"`
}

var spent = register(table[spending]{
	Table:   Table{Name: "spent"},
	id:      func(e *spending) string { return e.ID },
	version: func(e *spending) *int64 { return &e.Version },
	cached:  true,
	purgeAt: func(e *spending) time.Time { return e.ExpiresAt.Add(keepExpired) },
})

// spentID is made of both: kinds are constants without a space.
func spentID(kind, id string) string { return kind + " " + id }

// Spend remembers that the value id of the given kind (a jti, say) was used, until expiresAt. Of
// any number of concurrent calls exactly one succeeds, the others get ErrConsumed. An entry whose
// expiresAt has passed may be spent again.
func (s *Store) Spend(ctx context.Context, kind, id string, now, expiresAt time.Time) error {
	now, expiresAt = millisecond(now), millisecond(expiresAt)
	_, err := makeOr(ctx, s, "spend", spent, spending{ID: spentID(kind, id), ExpiresAt: expiresAt},
		func(there *spending) error {
			if now.Before(there.ExpiresAt) {
				return ErrConsumed
			}
			there.ExpiresAt = expiresAt
			return nil
		})
	return err
}

// Spent reports whether the value was spent and its entry has not expired at now.
func (r Records) Spent(ctx context.Context, kind, id string, now time.Time) (bool, error) {
	entry, err := load(ctx, r, "look up spent", spent, spentID(kind, id))
	if err == ErrNotFound {
		return false, nil
	}
	return err == nil && millisecond(now).Before(entry.ExpiresAt), err
}
