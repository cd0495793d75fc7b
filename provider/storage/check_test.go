package storage_test

import (
	"testing"
	"time"

	"latchkey/provider/storage"
)

func TestEverythingThatWasGivenOutCanBeEnded(t *testing.T) {
	contract(t, func(t *testing.T, s *storage.Store) {
		now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
		must(t, s.CreateUser(t.Context(), storage.User{ID: "u", Username: "u"}))
		must(t, s.CreateSession(t.Context(), storage.Session{ID: "s", UserID: "u", CreatedAt: now,
			IdleAt: now.Add(time.Hour), ExpiresAt: now.Add(time.Hour)}))
		must(t, s.CreateGrant(t.Context(), storage.Grant{ID: "g", UserID: "u", ClientID: "c", CreatedAt: now,
			ExpiresAt: now.Add(time.Hour)}))
		ended, revoked, err := s.EndEverything(t.Context(), now)
		must(t, err)
		equal(t, [2]int{ended, revoked}, [2]int{1, 1})
		session, err := s.Session(t.Context(), "s")
		must(t, err)
		grant, err := s.Grant(t.Context(), "g")
		must(t, err)
		if session.Valid(now) || grant.Stands(now) {
			t.Errorf("%+v %+v", session, grant)
		}
		counts, err := s.Check(t.Context())
		must(t, err)
		equal(t, [3]int{counts["users"], counts["sessions"], counts["grants"]}, [3]int{1, 1, 1})
	})
}
