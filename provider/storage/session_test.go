package storage_test

import (
	"fmt"
	"testing"
	"time"

	"latchkey/provider/storage"
)

func session(id string) storage.Session {
	return storage.Session{ID: id, SecretHash: "secret of " + id, UserID: "u", AuthTime: clock(0), CreatedAt: clock(0),
		LastSeen: clock(0), IdleAt: clock(time.Hour), ExpiresAt: clock(10 * time.Hour)}
}

func TestSessions(t *testing.T) {
	contract(t, func(t *testing.T, s *storage.Store) {
		ctx := patient(t)
		first := session("1")
		must(t, s.CreateSession(ctx, first))
		want(t, s.CreateSession(ctx, first), storage.ErrConflict)
		_, err := s.Session(ctx, "none")
		want(t, err, storage.ErrNotFound)

		// RenewSession
		renewed := full[storage.Session]()
		renewed.ID, renewed.SecretHash = "1", "new secret"
		want(t, s.RenewSession(ctx, renewed, "some other secret"), storage.ErrConflict)
		must(t, s.RenewSession(ctx, renewed, first.SecretHash))
		got, err := s.Session(ctx, "1")
		must(t, err)
		expected := first
		expected.SecretHash, expected.AuthTime, expected.AMR, expected.ACR = renewed.SecretHash, renewed.AuthTime,
			renewed.AMR, renewed.ACR
		expected.Remember, expected.LastSeen, expected.IdleAt, expected.ExpiresAt = renewed.Remember, renewed.LastSeen,
			renewed.IdleAt, renewed.ExpiresAt
		equal(t, got, kept(expected))
		want(t, s.RenewSession(ctx, renewed, first.SecretHash), storage.ErrConflict)
		want(t, s.RenewSession(ctx, session("none"), "secret of none"), storage.ErrNotFound)
		plain := session("1")
		plain.SecretHash = "third secret"
		must(t, s.RenewSession(ctx, plain, "new secret"))
		got, err = s.Session(ctx, "1")
		must(t, err)
		if got.AMR != nil || got.ACR != "" || got.Remember {
			t.Errorf("values of an earlier sign-in are still there: %+v", got)
		}

		// TouchSession
		must(t, s.TouchSession(ctx, storage.Session{ID: "1"}, clock(time.Minute), clock(2*time.Hour)))
		must(t, s.TouchSession(ctx, storage.Session{ID: "1"}, clock(-time.Minute), clock(90*time.Minute)))
		got, err = s.Session(ctx, "1")
		must(t, err)
		equal(t, []time.Time{got.LastSeen, got.IdleAt}, []time.Time{kept(clock(time.Minute)),
			kept(clock(2 * time.Hour))})
		must(t, s.TouchSession(ctx, storage.Session{ID: "none"}, clock(0), clock(0)))

		// EndSession
		ended, err := s.EndSession(ctx, "1", clock(3*time.Minute))
		must(t, err)
		equal(t, ended.EndedAt, kept(clock(3*time.Minute)))
		equal(t, ended.UserID, "u")
		again, err := s.EndSession(ctx, "1", clock(4*time.Minute))
		want(t, err, storage.ErrConsumed)
		equal(t, again, ended)
		_, err = s.EndSession(ctx, "none", clock(0))
		want(t, err, storage.ErrNotFound)
		must(t, s.TouchSession(ctx, storage.Session{ID: "1"}, clock(time.Hour), clock(5*time.Hour)))
		want(t, s.RenewSession(ctx, session("1"), "third secret"), storage.ErrConflict)
		got, err = s.Session(ctx, "1") // ended ones too
		must(t, err)
		equal(t, got, ended)
	})
}

func TestSessionsOfUserAreThoseThatAreValid(t *testing.T) {
	contract(t, func(t *testing.T, s *storage.Store) {
		ctx := patient(t)
		for i, change := range []func(*storage.Session){
			func(s *storage.Session) {},
			func(s *storage.Session) { s.LastSeen = clock(time.Minute) },
			func(s *storage.Session) { s.IdleAt = clock(5 * time.Minute) },
			func(s *storage.Session) { s.ExpiresAt = clock(5 * time.Minute) },
			func(s *storage.Session) { s.EndedAt = clock(time.Minute) },
			func(s *storage.Session) { s.UserID = "other" },
		} {
			one := session(fmt.Sprint(i))
			change(&one)
			must(t, s.CreateSession(ctx, one))
		}
		at := func(now time.Time) (ids []string) {
			all, err := s.SessionsOfUser(ctx, "u", now)
			must(t, err)
			for _, s := range all {
				ids = append(ids, s.ID)
			}
			return ids
		}
		equal(t, at(clock(5*time.Minute)), []string{"1", "0"}) // last seen first
		equal(t, len(at(clock(5*time.Minute-time.Millisecond))), 4)
		equal(t, len(at(clock(time.Hour))), 0)
	})
}

func TestOneOfManyEndsASession(t *testing.T) {
	contract(t, func(t *testing.T, s *storage.Store) {
		must(t, s.CreateSession(patient(t), session("1")))
		oneWins(t, storage.ErrConsumed, func(i int) error {
			ended, err := s.EndSession(patient(t), "1", clock(time.Duration(i)*time.Second))
			if ended.ID != "1" || ended.EndedAt.IsZero() {
				t.Errorf("got %+v along with %v", ended, err)
			}
			return err
		})
	})
}

func TestOneOfManyRenewsASession(t *testing.T) {
	contract(t, func(t *testing.T, s *storage.Store) {
		must(t, s.CreateSession(patient(t), session("1")))
		oneWins(t, storage.ErrConflict, func(i int) error {
			renewed := session("1")
			renewed.SecretHash = fmt.Sprint("secret ", i)
			return s.RenewSession(patient(t), renewed, "secret of 1")
		})
	})
}

func TestTouchedSessionIsKeptByTheEarlierOfItsEnds(t *testing.T) {
	contract(t, func(t *testing.T, s *storage.Store) {
		ctx := patient(t)
		must(t, s.CreateSession(ctx, session("1"))) // expires after 10 hours
		seen, err := s.Session(ctx, "1")
		must(t, err)
		must(t, s.TouchSession(ctx, seen, clock(time.Hour), clock(20*time.Hour)))
		for _, step := range []struct {
			at time.Duration
			n  int
		}{{30*24*time.Hour + 10*time.Hour - time.Minute, 0}, {30*24*time.Hour + 10*time.Hour + time.Minute, 1}} {
			n, err := s.Purge(ctx, clock(step.at))
			must(t, err)
			equal(t, n, step.n)
		}
	})
}

func TestSessionIsTouchedAlsoAfterItWasChanged(t *testing.T) {
	contract(t, func(t *testing.T, s *storage.Store) {
		ctx := patient(t)
		must(t, s.CreateSession(ctx, session("1")))
		seen, err := s.Session(ctx, "1")
		must(t, err)
		renewed := session("1")
		renewed.SecretHash = "new secret"
		must(t, s.RenewSession(ctx, renewed, "secret of 1"))
		must(t, s.TouchSession(ctx, seen, clock(time.Minute), clock(2*time.Hour)))
		got, err := s.Session(ctx, "1")
		must(t, err)
		equal(t, []any{got.SecretHash, got.LastSeen, got.Version}, []any{"new secret", kept(clock(time.Minute)),
			int64(3)})
	})
}

func TestReachedClientsAreKeptUntilTheSessionEnds(t *testing.T) {
	contract(t, func(t *testing.T, s *storage.Store) {
		ctx := patient(t)
		must(t, s.CreateSession(ctx, session("1")))
		seen, err := s.Session(ctx, "1")
		must(t, err)
		for _, c := range []string{"shop", "mail", "shop"} { // seen is older than the second already
			must(t, s.ReachSession(ctx, seen, c))
		}
		got, err := s.Session(ctx, "1")
		must(t, err)
		equal(t, got.Clients, []string{"shop", "mail"})
		must(t, s.RenewSession(ctx, session("1"), "secret of 1"))
		ended, err := s.EndSession(ctx, "1", clock(time.Minute))
		must(t, err)
		equal(t, ended.Clients, []string{"shop", "mail"})
		want(t, s.ReachSession(ctx, got, "wiki"), storage.ErrConflict)
		want(t, s.ReachSession(ctx, session("none"), "wiki"), storage.ErrNotFound)
	})
}

func TestReachedClientsAllSurviveConcurrentSignIns(t *testing.T) {
	contract(t, func(t *testing.T, s *storage.Store) {
		must(t, s.CreateSession(patient(t), session("1")))
		seen, err := s.Session(patient(t), "1")
		must(t, err)
		if won := race(t, nil, func(i int) error {
			return s.ReachSession(patient(t), seen,
				fmt.Sprint("client ", i))
		}); won != callers {
			t.Errorf("%d of %d succeeded", won, callers)
		}
		got, err := s.Session(patient(t), "1")
		must(t, err)
		equal(t, len(got.Clients), callers)
	})
}

func TestSessionsThatRanOutAreFoundUntilTheyAreEnded(t *testing.T) {
	contract(t, func(t *testing.T, s *storage.Store) {
		ctx := patient(t)
		for i, change := range []func(*storage.Session){
			func(s *storage.Session) {}, // idle after an hour
			func(s *storage.Session) { s.IdleAt, s.ExpiresAt = clock(time.Hour), clock(5*time.Minute) },
			func(s *storage.Session) { s.EndedAt = clock(time.Minute) },
		} {
			one := session(fmt.Sprint(i))
			change(&one)
			must(t, s.CreateSession(ctx, one))
		}
		at := func(now time.Time) (ids []string) {
			all, err := s.LapsedSessions(ctx, now, 10)
			must(t, err)
			for _, s := range all {
				ids = append(ids, s.ID)
			}
			return ids
		}
		equal(t, len(at(clock(5*time.Minute-time.Millisecond))), 0)
		equal(t, at(clock(5*time.Minute)), []string{"1"})
		equal(t, at(clock(time.Hour)), []string{"1", "0"})
		seen, err := s.Session(ctx, "0")
		must(t, err)
		must(t, s.TouchSession(ctx, seen, clock(30*time.Minute), clock(2*time.Hour)))
		equal(t, at(clock(time.Hour)), []string{"1"})
		open, err := s.OpenSessionsOfUser(ctx, "u")
		must(t, err)
		equal(t, len(open), 2) // ran out or not
		_, err = s.EndLapsedSession(ctx, "0", clock(time.Hour))
		want(t, err, storage.ErrConflict) // it is valid
		_, err = s.EndLapsedSession(ctx, "none", clock(time.Hour))
		want(t, err, storage.ErrNotFound)
		ended, err := s.EndLapsedSession(ctx, "1", clock(time.Hour))
		must(t, err)
		equal(t, ended.EndedAt.IsZero(), false)
		_, err = s.EndLapsedSession(ctx, "1", clock(time.Hour))
		want(t, err, storage.ErrConsumed)
		equal(t, at(clock(3*time.Hour)), []string{"0"})
	})
}
