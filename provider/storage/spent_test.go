package storage_test

import (
	"strings"
	"testing"
	"time"

	"latchkey/provider/storage"
)

func TestSpend(t *testing.T) {
	contract(t, func(t *testing.T, s *storage.Store) {
		ctx := patient(t)
		spent := func(kind, id string, at time.Duration, want bool) {
			t.Helper()
			got, err := s.Spent(ctx, kind, id, clock(at))
			must(t, err)
			equal(t, got, want)
		}
		spent("k", "a", 0, false)
		must(t, s.Spend(ctx, "k", "a", clock(0), clock(time.Minute)))
		spent("k", "a", 0, true)
		spent("other", "a", 0, false)
		spent("k", "b", 0, false)
		spent("k", "a", time.Minute, false)
		want(t, s.Spend(ctx, "k", "a", clock(time.Minute-time.Millisecond), clock(time.Hour)), storage.ErrConsumed)
		must(t, s.Spend(ctx, "other", "a", clock(0), clock(time.Minute)))
		must(t, s.Spend(ctx, "k", "b", clock(0), clock(time.Minute)))

		must(t, s.Spend(ctx, "k", "a", clock(time.Minute), clock(time.Hour))) // it has expired
		spent("k", "a", 2*time.Minute, true)
		want(t, s.Spend(ctx, "k", "a", clock(2*time.Minute), clock(time.Hour)), storage.ErrConsumed)

		long := strings.Repeat("é\x00", 2000) // a jti is what somebody else made up
		must(t, s.Spend(ctx, "k", long, clock(0), clock(time.Hour)))
		want(t, s.Spend(ctx, "k", long, clock(0), clock(time.Hour)), storage.ErrConsumed)
	})
}

func TestOneOfManySpends(t *testing.T) {
	contract(t, func(t *testing.T, s *storage.Store) {
		for _, at := range []time.Duration{0, time.Minute} { // as a new entry, and as one that has expired
			oneWins(t, storage.ErrConsumed, func(int) error {
				return s.Spend(patient(t), "k", "id", clock(at), clock(at+time.Minute))
			})
		}
	})
}
