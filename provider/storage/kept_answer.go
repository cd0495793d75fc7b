package storage

import (
	"context"
	"time"
)

// KeptAnswer is what a request with an Idempotency-Key was answered, so that the same request gets
// the same answer again and does nothing a second time. It is made before the request is carried
// out, without an answer, and belongs to a request that was cut off if it stays so.
type KeptAnswer struct {
	ID          string    `bson:"_id"`         // a hash over the caller and the key
	Fingerprint string    `bson:"fingerprint"` // a hash over what was asked
	Status      int       `bson:"status"`      // of the answer; 0: there is none yet
	Sealed      []byte    `bson:"sealed,omitempty"`
	ExpiresAt   time.Time `bson:"expires_at"` // may be made again from then on
	Version     int64     `bson:"version"`
}

var keptAnswers = register(table[KeptAnswer]{
	Table:   Table{Name: "kept_answers"},
	id:      func(a *KeptAnswer) string { return a.ID },
	version: func(a *KeptAnswer) *int64 { return &a.Version },
	purgeAt: func(a *KeptAnswer) time.Time { return a.ExpiresAt.Add(keepExpired) },
})

// BeginAnswer claims the ID of a at now. Of any number of concurrent calls exactly one succeeds;
// the others get ErrConsumed along with what is stored. One that has expired is made again.
func (s *Store) BeginAnswer(ctx context.Context, a KeptAnswer, now time.Time) (KeptAnswer, error) {
	now, a.ExpiresAt = millisecond(now), millisecond(a.ExpiresAt)
	return makeOr(ctx, s, "keep an answer", keptAnswers, a, func(there *KeptAnswer) error {
		if now.Before(there.ExpiresAt) {
			return ErrConsumed
		}
		version := there.Version
		*there = a
		there.Version = version
		return nil
	})
}

// FinishAnswer stores the answer to the request that claimed the ID. ErrConsumed if it has one,
// ErrNotFound if there is no such claim.
func (s *Store) FinishAnswer(ctx context.Context, id string, status int, sealed []byte) error {
	_, err := change(ctx, s, "keep an answer", keptAnswers, id, existing(func(a *KeptAnswer) error {
		if a.Status != 0 {
			return ErrConsumed
		}
		a.Status, a.Sealed = status, sealed
		return nil
	}))
	return err
}

// ForgetAnswer gives an ID free again: the request that claimed it has changed nothing. No error if
// there is none.
func (s *Store) ForgetAnswer(ctx context.Context, id string) error {
	_, err := s.engine.Remove(ctx, &keptAnswers.Table, is(FieldID, id))
	return wrap("forget an answer", err)
}
