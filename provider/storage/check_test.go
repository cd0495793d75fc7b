package storage_test

import (
	"testing"
	"time"

	"latchkey/provider/storage"
)

func TestEveryGrantCanBeRevokedAndEveryOpenSessionIsListed(t *testing.T) {
	contract(t, func(t *testing.T, s *storage.Store) {
		now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
		must(t, s.CreateUser(t.Context(), storage.User{ID: "u", Username: "u"}))
		for _, id := range []string{"s1", "s2", "s3", "s4"} {
			must(t, s.CreateSession(t.Context(), storage.Session{ID: id, UserID: "u", CreatedAt: now,
				IdleAt: now.Add(time.Hour), ExpiresAt: now.Add(time.Hour)}))
			must(t, s.CreateGrant(t.Context(), storage.Grant{ID: "g" + id, UserID: "u", ClientID: "c", SessionID: id,
				CreatedAt: now, ExpiresAt: now.Add(time.Hour)}))
		}
		_, err := s.EndSession(t.Context(), "s2", now)
		must(t, err)
		var open []string
		for after := ""; ; {
			page, err := s.OpenSessions(t.Context(), after, 2)
			must(t, err)
			for _, session := range page {
				open = append(open, session.ID)
				after = session.ID
			}
			if len(page) < 2 {
				break
			}
		}
		equal(t, open, []string{"s1", "s3", "s4"})
		must(t, s.RevokeGrant(t.Context(), "gs1", now))
		revoked, err := s.RevokeAllGrants(t.Context(), now)
		must(t, err)
		equal(t, revoked, 3)
		for _, id := range open {
			grant, err := s.Grant(t.Context(), "g"+id)
			must(t, err)
			if grant.Stands(now) {
				t.Errorf("%+v", grant)
			}
		}
		counts, err := s.Check(t.Context())
		must(t, err)
		equal(t, [3]int{counts["users"], counts["sessions"], counts["grants"]}, [3]int{1, 4, 4})
	})
}
