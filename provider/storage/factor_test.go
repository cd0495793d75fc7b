package storage_test

import (
	"testing"
	"time"

	"latchkey/provider/storage"
)

func TestFactors(t *testing.T) {
	contract(t, func(t *testing.T, s *storage.Store) {
		ctx := patient(t)
		must(t, s.CreateUser(ctx, storage.User{ID: "u", Username: "ada"}))
		factors := func() storage.Factors {
			t.Helper()
			u, err := s.User(ctx, "u")
			must(t, err)
			return u.Factors
		}
		begin := func(id string) error {
			return s.BeginTOTP(ctx, "u", storage.TOTP{ID: id, Secret: []byte(id), SessionID: "sid",
				CreatedAt: clock(0)}, 2)
		}
		want(t, s.BeginTOTP(ctx, "nobody", storage.TOTP{ID: "a"}, 2), storage.ErrNotFound)

		// What is begun proves nothing, and is replaced by what is begun next.
		must(t, begin("a"))
		must(t, begin("b"))
		if f := factors(); len(f.TOTP) != 1 || f.TOTP[0].ID != "b" || f.Second() || len(f.Confirmed()) != 0 {
			t.Errorf("begun twice: %+v", f)
		}
		want(t, s.UseTOTP(ctx, "u", "b", 7, clock(0)), storage.ErrNotFound)
		_, err := s.ConfirmTOTP(ctx, "u", "a", "phone", 7, nil, clock(0))
		want(t, err, storage.ErrNotFound)

		// Confirmed once, with recovery codes.
		u, err := s.ConfirmTOTP(ctx, "u", "b", "phone", 7, []string{"r1", "r2"}, clock(0))
		must(t, err)
		if !u.Factors.Second() || u.Factors.RecoveryLeft() != 2 || u.Factors.TOTP[0].Name != "phone" ||
			u.Factors.TOTP[0].ConfirmedAt.IsZero() {
			t.Errorf("confirmed: %+v", u.Factors)
		}
		_, err = s.ConfirmTOTP(ctx, "u", "b", "phone", 8, nil, clock(0))
		want(t, err, storage.ErrConsumed)

		// No step is accepted twice, nor one before.
		for _, step := range []int64{7, 6, -1} {
			want(t, s.UseTOTP(ctx, "u", "b", step, clock(0)), storage.ErrConsumed)
		}
		must(t, s.UseTOTP(ctx, "u", "b", 9, clock(time.Minute)))
		want(t, s.UseTOTP(ctx, "u", "b", 8, clock(time.Minute)), storage.ErrConsumed)

		// A second one keeps the recovery codes that there are; there are no more than the caller
		// wants.
		must(t, begin("c"))
		u, err = s.ConfirmTOTP(ctx, "u", "c", "tablet", 7, []string{"x"}, clock(0))
		must(t, err)
		equal(t, u.Factors.RecoveryLeft(), 2)
		want(t, begin("d"), storage.ErrConflict)
		must(t, s.RenameTOTP(ctx, "u", "c", "old tablet"))
		want(t, s.RenameTOTP(ctx, "u", "z", "x"), storage.ErrNotFound)
		equal(t, factors().TOTP[1].Name, "old tablet")

		// Recovery codes.
		want(t, s.UseRecoveryCode(ctx, "u", "x", clock(0)), storage.ErrNotFound)
		must(t, s.UseRecoveryCode(ctx, "u", "r1", clock(0)))
		want(t, s.UseRecoveryCode(ctx, "u", "r1", clock(0)), storage.ErrConsumed)
		equal(t, factors().RecoveryLeft(), 1)
		must(t, s.ReplaceRecoveryCodes(ctx, "u", []string{"n1", "n2", "n3"}))
		want(t, s.UseRecoveryCode(ctx, "u", "r2", clock(0)), storage.ErrNotFound)
		equal(t, factors().RecoveryLeft(), 3)

		// The codes go with the last of what they stand in for.
		want(t, s.RemoveTOTP(ctx, "u", "z"), storage.ErrNotFound)
		must(t, s.RemoveTOTP(ctx, "u", "b"))
		equal(t, factors().RecoveryLeft(), 3)
		must(t, s.RemoveTOTP(ctx, "u", "c"))
		equal(t, factors().RecoveryLeft(), 0)
		equal(t, factors().Second(), false)

		must(t, begin("e"))
		u, err = s.ResetFactors(ctx, "u")
		must(t, err)
		equal(t, len(u.Factors.TOTP), 0)
		equal(t, len(factors().TOTP), 0)
	})
}

func TestOneOfManyUsesOfAFactor(t *testing.T) {
	contract(t, func(t *testing.T, s *storage.Store) {
		ctx := patient(t)
		must(t, s.CreateUser(ctx, storage.User{ID: "u", Username: "ada"}))
		must(t, s.BeginTOTP(ctx, "u", storage.TOTP{ID: "a"}, 1))
		oneWins(t, storage.ErrConsumed, func(int) error {
			_, err := s.ConfirmTOTP(patient(t), "u", "a", "", 1, []string{"r"}, clock(0))
			return err
		})
		oneWins(t, storage.ErrConsumed, func(int) error { return s.UseTOTP(patient(t), "u", "a", 2, clock(0)) })
		oneWins(t, storage.ErrConsumed, func(int) error { return s.UseRecoveryCode(patient(t), "u", "r", clock(0)) })
	})
}
