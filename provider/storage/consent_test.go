package storage_test

import (
	"fmt"
	"testing"
	"time"

	"latchkey/provider/storage"
)

func TestConsents(t *testing.T) {
	contract(t, func(t *testing.T, s *storage.Store) {
		ctx := patient(t)
		_, err := s.Consent(ctx, "u", "b")
		want(t, err, storage.ErrNotFound)
		must(t, s.AddConsent(ctx, storage.Consent{UserID: "u", ClientID: "b", Scope: []string{"openid", "email"},
			CreatedAt: clock(0), UpdatedAt: clock(0)}))
		must(t, s.AddConsent(ctx, storage.Consent{UserID: "u", ClientID: "b", Scope: []string{"openid", "profile"},
			Claims:   []string{"name"},
			Resource: []string{"https://api.example"}, CreatedAt: clock(time.Minute), UpdatedAt: clock(time.Minute)}))
		got, err := s.Consent(ctx, "u", "b")
		must(t, err)
		equal(t, got, kept(storage.Consent{UserID: "u", ClientID: "b", Scope: []string{"openid", "email", "profile"},
			Claims:   []string{"name"},
			Resource: []string{"https://api.example"}, CreatedAt: clock(0), UpdatedAt: clock(time.Minute)}))

		// What was allowed to the client when it looked different does not count any more.
		must(t, s.AddConsent(ctx, storage.Consent{UserID: "u", ClientID: "b", Appearance: "another",
			Scope: []string{"openid"}, UpdatedAt: clock(2 * time.Minute)}))
		got, err = s.Consent(ctx, "u", "b")
		must(t, err)
		equal(t, got, kept(storage.Consent{UserID: "u", ClientID: "b", Appearance: "another", Scope: []string{"openid"},
			CreatedAt: clock(0), UpdatedAt: clock(2 * time.Minute)}))

		must(t, s.AddConsent(ctx, storage.Consent{UserID: "u", ClientID: "a"}))
		must(t, s.AddConsent(ctx, storage.Consent{UserID: "other", ClientID: "a"}))
		all, err := s.ConsentsOfUser(ctx, "u")
		must(t, err)
		if len(all) != 2 || all[0].ClientID != "a" || all[1].ClientID != "b" {
			t.Errorf("consents of the user: %+v", all)
		}
		must(t, s.DeleteConsent(ctx, "u", "b"))
		must(t, s.DeleteConsent(ctx, "u", "b"))
		_, err = s.Consent(ctx, "u", "b")
		want(t, err, storage.ErrNotFound)
		_, err = s.Consent(ctx, "other", "a")
		must(t, err)
	})
}

func TestConcurrentConsentsAllSurvive(t *testing.T) {
	contract(t, func(t *testing.T, s *storage.Store) {
		if won := race(t, nil, func(i int) error {
			return s.AddConsent(patient(t), storage.Consent{UserID: "u", ClientID: "c", Scope: []string{fmt.Sprint(i)},
				CreatedAt: clock(0), UpdatedAt: clock(0)})
		}); won != callers {
			t.Errorf("%d of %d succeeded", won, callers)
		}
		c, err := s.Consent(patient(t), "u", "c")
		must(t, err)
		equal(t, len(c.Scope), callers)
	})
}
