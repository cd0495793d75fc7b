package storage

import (
	"context"
	"time"
)

// attempt is a counter of attempts in the current window.
type attempt struct {
	Key     string    `bson:"_id"`
	Count   int       `bson:"count"`
	ResetAt time.Time `bson:"reset_at"`         // the end of the window
	Window  int64     `bson:"window,omitempty"` // its length in milliseconds; 0 in records of 0.1.0
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
	if a.Window = window.Milliseconds(); a.over(now) {
		a.Count, a.ResetAt = 0, now.Add(window)
	}
	a.Count++
}

// over reports whether there is no window at now. One that ends later than a window that begins now
// was begun by a clock that was ahead: it must not last until that time has come. Clocks of several
// machines may differ a little.
func (a *attempt) over(now time.Time) bool {
	return !now.Before(a.ResetAt) || a.Window > 0 &&
		a.ResetAt.Sub(now) > time.Duration(a.Window)*time.Millisecond+clockSkew
}

// CountAttempt adds one to the counter of key and returns the count, this one included, and when
// the window ends. A window begins with its first attempt and lasts as long as given; after its end
// the counter begins anew. Concurrent calls get distinct counts.
func (s *Store) CountAttempt(ctx context.Context, key string, now time.Time, window time.Duration) (count int,
	resetAt time.Time, err error) {
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
	if err == ErrNotFound || (err == nil && a.over(millisecond(now))) {
		return 0, time.Time{}, nil
	}
	return a.Count, a.ResetAt, err
}
