package storage_test

import (
	"slices"
	"sync"
	"testing"
	"time"

	"latchkey/provider/storage"
)

func TestAttempts(t *testing.T) {
	contract(t, func(t *testing.T, s *storage.Store) {
		ctx := patient(t)
		count := func(key string, at time.Duration, want int, reset time.Duration) {
			t.Helper()
			n, resetAt, err := s.CountAttempt(ctx, key, clock(at), time.Minute)
			must(t, err)
			if n != want || !resetAt.Equal(kept(clock(reset))) || resetAt.Location() != time.UTC {
				t.Errorf("attempt %d until %v, want %d until %v", n, resetAt, want, clock(reset))
			}
		}
		count("k", 0, 1, time.Minute)
		count("k", time.Second, 2, time.Minute)
		count("other", time.Second, 1, time.Minute+time.Second)
		count("k", time.Minute-time.Millisecond, 3, time.Minute)
		count("k", time.Minute, 1, 2*time.Minute) // a new window
		count("k", time.Minute, 2, 2*time.Minute)
		count("k", time.Minute, 3, 2*time.Minute)
		must(t, s.ForgiveAttempts(ctx, "k", 2))
		count("k", time.Minute, 2, 2*time.Minute)
		must(t, s.ForgiveAttempts(ctx, "k", 100))
		count("k", time.Minute, 1, 2*time.Minute)
		must(t, s.ForgiveAttempts(ctx, "k", 0))
		count("k", time.Minute, 2, 2*time.Minute)
		must(t, s.ForgiveAttempts(ctx, "k", -1))
		count("k", 90*time.Second, 1, 150*time.Second)
		must(t, s.ForgiveAttempts(ctx, "none", 1))
		must(t, s.ForgiveAttempts(ctx, "none", -1))
	})
}

func TestConcurrentAttemptsGetDistinctCounts(t *testing.T) {
	contract(t, func(t *testing.T, s *storage.Store) {
		for _, at := range []time.Duration{0, time.Minute} { // in the first window, and at the change of windows
			var mu sync.Mutex
			var counts []int
			race(t, nil, func(int) error {
				n, _, err := s.CountAttempt(patient(t), "k", clock(at), time.Minute)
				mu.Lock()
				defer mu.Unlock()
				counts = append(counts, n)
				return err
			})
			slices.Sort(counts)
			for i, n := range counts {
				if n != i+1 {
					t.Fatalf("counts %v", counts)
				}
			}
		}
		race(t, nil, func(int) error { return s.ForgiveAttempts(patient(t), "k", 1) })
		n, _, err := s.CountAttempt(patient(t), "k", clock(time.Minute), time.Minute)
		must(t, err)
		equal(t, n, 1)
	})
}

func TestAttemptsAreReadWithoutBeingCounted(t *testing.T) {
	contract(t, func(t *testing.T, s *storage.Store) {
		ctx := patient(t)
		look := func(at time.Duration, count int, resetAt time.Time) {
			t.Helper()
			n, reset, err := s.Attempts(ctx, "k", clock(at))
			must(t, err)
			equal(t, n, count)
			equal(t, reset, resetAt)
		}
		look(0, 0, time.Time{})
		_, resetAt, err := s.CountAttempt(ctx, "k", clock(0), time.Hour)
		must(t, err)
		look(time.Minute, 1, resetAt)
		look(time.Minute, 1, resetAt)
		look(time.Hour, 0, time.Time{})
	})
}
