package storage_test

import (
	"errors"
	"testing"
	"time"

	"latchkey/provider/storage"
)

func TestClockThatIsFarAheadIsNotBelievedAtOnce(t *testing.T) {
	contract(t, func(t *testing.T, s *storage.Store) {
		ctx := patient(t)
		at := func(since time.Duration, believed bool) {
			t.Helper()
			err := s.CheckClock(ctx, clock(since))
			var wrong *storage.ClockError
			if errors.As(err, &wrong) == believed || err != nil && believed {
				t.Errorf("after %v: %v", since, err)
			}
		}
		at(0, true)
		at(23*time.Hour, true) // stopped over night
		at(22*time.Hour, true) // put back
		const ahead = 200 * 24 * time.Hour
		at(ahead, false)
		at(ahead+10*time.Minute, false)
		at(22*time.Hour+time.Minute, true) // it was wrong, and was put right
		at(ahead, false)
		at(ahead+59*time.Minute, false)
		at(ahead+2*ahead, false) // another leap
		at(ahead+2*ahead+time.Hour, true)
		at(ahead+2*ahead+time.Hour+time.Minute, true)
	})
}

// While the clock ran a day ahead, somebody used up the attempts of an account.
func TestWindowOfAClockThatWasAheadDoesNotLastUntilThen(t *testing.T) {
	contract(t, func(t *testing.T, s *storage.Store) {
		ctx := patient(t)
		const window = 15 * time.Minute
		count := func(at time.Duration, want int) {
			t.Helper()
			n, _, err := s.CountAttempt(ctx, "account", clock(at), window)
			if err != nil || n != want {
				t.Errorf("at %v: %d, %v", at, n, err)
			}
		}
		for i := range 10 {
			count(24*time.Hour, i+1)
		}
		count(24*time.Hour-30*time.Second, 11) // of a machine whose clock is a little behind
		if n, _, err := s.Attempts(ctx, "account", clock(0)); err != nil || n != 0 {
			t.Errorf("%d attempts count, %v", n, err)
		}
		count(0, 1)
		count(time.Minute, 2)
		if n, reset, err := s.Attempts(ctx, "account", clock(2*time.Minute)); err != nil || n != 2 ||
			!reset.Equal(clock(window).Truncate(time.Millisecond)) {
			t.Errorf("%d attempts count until %v, %v", n, reset, err)
		}
	})
}
