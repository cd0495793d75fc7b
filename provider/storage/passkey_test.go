package storage_test

import (
	"sync"
	"testing"
	"time"

	"latchkey/provider/storage"
)

func TestPasskeys(t *testing.T) {
	contract(t, func(t *testing.T, s *storage.Store) {
		ctx := patient(t)
		for _, name := range []string{"ada", "bob"} {
			must(t, s.CreateUser(ctx, storage.User{ID: name, Username: name}))
		}
		key := func(id string) storage.Passkey {
			return storage.Passkey{CredentialID: []byte(id), PublicKey: []byte("key " + id), SignCount: 3, Name: id,
				CreatedAt: clock(0), Required: true}
		}
		_, err := s.UserByPasskey(ctx, []byte("a"))
		want(t, err, storage.ErrNotFound)
		_, err = s.AddPasskey(ctx, "nobody", key("z"), nil, 2)
		want(t, err, storage.ErrNotFound)

		// It is found by its credential ID, and brings recovery codes.
		u, err := s.AddPasskey(ctx, "ada", key("a"), []string{"r1", "r2"}, 2)
		must(t, err)
		if p, ok := u.Factors.Passkey([]byte("a")); !ok || !u.Factors.Second() || !u.Factors.Required() ||
			u.Factors.RecoveryLeft() != 2 || p.Name != "a" {
			t.Errorf("added: %+v", u.Factors)
		}
		found, err := s.UserByPasskey(ctx, []byte("a"))
		must(t, err)
		equal(t, found.ID, "ada")

		// A credential ID is one user's.
		_, err = s.AddPasskey(ctx, "ada", key("a"), nil, 2)
		want(t, err, storage.ErrConsumed)
		_, err = s.AddPasskey(ctx, "bob", key("a"), nil, 2)
		want(t, err, storage.ErrConsumed)

		// There are no more than the caller wants. Not everyone is asked for after a password.
		b := key("b")
		b.Required = false
		_, err = s.AddPasskey(ctx, "bob", b, []string{"x"}, 2)
		must(t, err)
		bob, err := s.User(ctx, "bob")
		must(t, err)
		if bob.Factors.Required() || !bob.Factors.Second() || bob.Factors.RecoveryLeft() != 0 {
			t.Errorf("made in passing: %+v", bob.Factors)
		}
		bob, err = s.RequirePasskeys(ctx, "bob", []string{"x"})
		must(t, err)
		if !bob.Factors.Required() || bob.Factors.RecoveryLeft() != 1 {
			t.Errorf("required: %+v", bob.Factors)
		}
		_, err = s.AddPasskey(ctx, "ada", key("c"), nil, 2)
		must(t, err)
		_, err = s.AddPasskey(ctx, "ada", key("d"), nil, 2)
		want(t, err, storage.ErrConflict)
		// What was refused is anybody's still.
		for _, id := range []string{"d", "z"} {
			_, err = s.AddPasskey(ctx, "bob", key(id), nil, 5)
			must(t, err)
			_, err = s.RemovePasskey(ctx, "bob", []byte(id))
			must(t, err)
		}

		// The signature counter grows, for one of those who say the same.
		for _, count := range []uint32{3, 2, 0} {
			_, err = s.UsePasskey(ctx, "ada", []byte("a"), count, false, clock(0))
			want(t, err, storage.ErrConsumed)
		}
		var wait sync.WaitGroup
		won := make(chan bool, 20)
		for range cap(won) {
			wait.Go(func() {
				_, err := s.UsePasskey(ctx, "ada", []byte("a"), 9, true, clock(time.Minute))
				won <- err == nil
			})
		}
		wait.Wait()
		winners := 0
		for range cap(won) {
			if <-won {
				winners++
			}
		}
		equal(t, winners, 1)
		u, err = s.User(ctx, "ada")
		must(t, err)
		if p, _ := u.Factors.Passkey([]byte("a")); p.SignCount != 9 || !p.BackedUp ||
			!p.LastUsed.Equal(clock(time.Minute).Truncate(time.Millisecond)) {
			t.Errorf("used: %+v", p)
		}
		_, err = s.UsePasskey(ctx, "ada", []byte("b"), 9, true, clock(0))
		want(t, err, storage.ErrNotFound)

		must(t, s.RenamePasskey(ctx, "ada", []byte("a"), "laptop"))
		want(t, s.RenamePasskey(ctx, "ada", []byte("b"), "laptop"), storage.ErrNotFound)

		// The last way in stays.
		u, err = s.RemovePasskey(ctx, "ada", []byte("a"))
		must(t, err)
		equal(t, len(u.Factors.Passkeys), 1)
		_, err = s.UserByPasskey(ctx, []byte("a"))
		want(t, err, storage.ErrNotFound)
		_, err = s.RemovePasskey(ctx, "ada", []byte("a"))
		want(t, err, storage.ErrNotFound)
		_, err = s.RemovePasskey(ctx, "ada", []byte("c"))
		want(t, err, storage.ErrConflict)
		u.PasswordHash = "x"
		must(t, s.UpdateUser(ctx, u))
		u, err = s.RemovePasskey(ctx, "ada", []byte("c"))
		must(t, err)
		if u.Factors.Second() || len(u.Factors.Recovery) != 0 {
			t.Errorf("all removed: %+v", u.Factors)
		}
		// What was removed is free again, also by a reset and with its user.
		_, err = s.AddPasskey(ctx, "bob", key("a"), nil, 5)
		must(t, err)
		_, err = s.ResetFactors(ctx, "bob")
		must(t, err)
		_, err = s.AddPasskey(ctx, "ada", key("a"), nil, 5)
		must(t, err)
		must(t, s.DeleteUser(ctx, "ada"))
		_, err = s.AddPasskey(ctx, "bob", key("a"), nil, 5)
		must(t, err)
		must(t, s.DeclinePasskey(ctx, "bob", clock(time.Hour)))
		bob, err = s.User(ctx, "bob")
		must(t, err)
		if !bob.Factors.DeclinedAt.Equal(clock(time.Hour).Truncate(time.Millisecond)) ||
			len(bob.Factors.Passkeys) != 1 {
			t.Errorf("declined: %+v", bob.Factors)
		}
	})
}
