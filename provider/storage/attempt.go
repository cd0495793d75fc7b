package storage

import (
	"context"
	"time"
)

// attempt is a counter of attempts in the current window.
type attempt struct {
	Key     string    `bson:"_id"`
	Count   int       `bson:"count"`
	ResetAt time.Time `bson:"reset_at"` // the end of the window
	Version int64     `bson:"version"`
}

var attempts = register(table[attempt]{
	Table:   Table{Name: "attempts"},
	id:      func(a *attempt) string { return a.Key },
	version: func(a *attempt) *int64 { return &a.Version },
	purgeAt: func(a *attempt) time.Time { return a.ResetAt.Add(keepExpired) },
})

// count adds one. A window that has ended begins anew.
func (a *attempt) count(now time.Time, window time.Duration) {
	if !now.Before(a.ResetAt) {
		a.Count, a.ResetAt = 0, now.Add(window)
	}
	a.Count++
}

// CountAttempt adds one to the counter of key and returns the count, this one included, and when
// the window ends. A window begins with its first attempt and lasts as long as given; after its end
// the counter begins anew. Concurrent calls get distinct counts.
func (s *Store) CountAttempt(ctx context.Context, key string, now time.Time, window time.Duration) (count int, resetAt time.Time, err error) {
	count, resetAt, err = s.engine.Count(ctx, key, millisecond(now), window)
	return count, resetAt, wrap("count attempt", err)
}

// ForgiveAttempts takes n attempts off the counter of key, not below zero; n < 0 clears it.
func (s *Store) ForgiveAttempts(ctx context.Context, key string, n int) error {
	const what = "forgive attempts"
	if n < 0 {
		_, err := s.engine.Remove(ctx, &attempts.Table, is(FieldID, key))
		return wrap(what, err)
	}
	_, err := change(ctx, s, what, attempts, key, existing(func(a *attempt) error {
		a.Count = max(a.Count-n, 0)
		return nil
	}))
	if err == ErrNotFound {
		return nil
	}
	return err
}

// Attempts returns the count of key and when its window ends, without adding to it: 0 and the zero
// time if there is no window at now.
func (r Records) Attempts(ctx context.Context, key string, now time.Time) (count int, resetAt time.Time, err error) {
	a, err := load(ctx, r, "look up attempts", attempts, key)
	if err == ErrNotFound || (err == nil && !millisecond(now).Before(a.ResetAt)) {
		return 0, time.Time{}, nil
	}
	return a.Count, a.ResetAt, err
}
