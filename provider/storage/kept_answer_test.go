package storage_test

import (
	"testing"
	"time"

	"latchkey/provider/storage"
)

func TestKeptAnswers(t *testing.T) {
	contract(t, func(t *testing.T, s *storage.Store) {
		ctx := patient(t)
		a := storage.KeptAnswer{ID: "a", Fingerprint: "f", ExpiresAt: clock(time.Hour)}
		got, err := s.BeginAnswer(ctx, a, clock(0))
		must(t, err)
		equal(t, got, kept(a))
		got, err = s.BeginAnswer(ctx, storage.KeptAnswer{ID: "a", Fingerprint: "other", ExpiresAt: clock(time.Hour)},
			clock(time.Minute))
		want(t, err, storage.ErrConsumed)
		equal(t, got, kept(a))

		want(t, s.FinishAnswer(ctx, "none", 201, []byte("x")), storage.ErrNotFound)
		must(t, s.FinishAnswer(ctx, "a", 201, []byte("x")))
		want(t, s.FinishAnswer(ctx, "a", 200, []byte("y")), storage.ErrConsumed)
		a.Status, a.Sealed = 201, []byte("x")
		got, err = s.BeginAnswer(ctx, storage.KeptAnswer{ID: "a", Fingerprint: "f", ExpiresAt: clock(time.Hour)},
			clock(time.Minute))
		want(t, err, storage.ErrConsumed)
		equal(t, got, kept(a))

		later := storage.KeptAnswer{ID: "a", Fingerprint: "g", ExpiresAt: clock(3 * time.Hour)}
		got, err = s.BeginAnswer(ctx, later, clock(time.Hour)) // the first has expired
		must(t, err)
		equal(t, got, kept(later))
		must(t, s.ForgetAnswer(ctx, "a"))
		must(t, s.ForgetAnswer(ctx, "a"))
		_, err = s.BeginAnswer(ctx, a, clock(time.Hour))
		must(t, err)
	})
}

func TestOneOfManyClaimsAnAnswer(t *testing.T) {
	contract(t, func(t *testing.T, s *storage.Store) {
		oneWins(t, storage.ErrConsumed, func(int) error {
			got, err := s.BeginAnswer(patient(t), storage.KeptAnswer{ID: "a", Fingerprint: "f",
				ExpiresAt: clock(time.Hour)}, clock(0))
			if got.Fingerprint != "f" {
				t.Errorf("got %+v along with %v", got, err)
			}
			return err
		})
	})
}
