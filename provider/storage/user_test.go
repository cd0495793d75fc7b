package storage_test

import (
	"fmt"
	"testing"

	"latchkey/provider/storage"
)

func TestUsers(t *testing.T) {
	contract(t, func(t *testing.T, s *storage.Store) {
		ctx := patient(t)
		must(t, s.CreateUser(ctx, storage.User{ID: "1", Username: "ada"}))
		want(t, s.CreateUser(ctx, storage.User{ID: "1", Username: "other"}), storage.ErrConflict)
		want(t, s.CreateUser(ctx, storage.User{ID: "2", Username: "ada"}), storage.ErrConflict)
		_, err := s.User(ctx, "2")
		want(t, err, storage.ErrNotFound)
		// exactly this username, not another spelling
		must(t, s.CreateUser(ctx, storage.User{ID: "2", Username: "Ada"}))

		u, err := s.UserByUsername(ctx, "ada")
		must(t, err)
		equal(t, u.ID, "1")
		for _, name := range []string{"", "ad", "ada ", "ADA", "a%", "ada\x00"} {
			_, err = s.UserByUsername(ctx, name)
			want(t, err, storage.ErrNotFound)
		}

		// UpdateUser
		u.PasswordHash = "$argon2id$…"
		must(t, s.UpdateUser(ctx, u))
		stored, err := s.User(ctx, "1")
		must(t, err)
		if stored.Version != 2 || stored.PasswordHash != u.PasswordHash {
			t.Errorf("after the update: %+v", stored)
		}
		want(t, s.UpdateUser(ctx, u), storage.ErrConflict) // a version that was replaced
		stored.Username = "Ada"
		want(t, s.UpdateUser(ctx, stored), storage.ErrConflict) // somebody else's name
		stored.Username = "grace"
		must(t, s.UpdateUser(ctx, stored))
		_, err = s.UserByUsername(ctx, "ada")
		want(t, err, storage.ErrNotFound)
		u, err = s.UserByUsername(ctx, "grace")
		must(t, err)
		equal(t, u.Version, int64(3))
		want(t, s.UpdateUser(ctx, storage.User{ID: "nobody", Username: "nobody", Version: 1}), storage.ErrNotFound)

		// Users
		for i := range 5 {
			must(t, s.CreateUser(ctx, storage.User{ID: fmt.Sprint("n", i), Username: fmt.Sprint("name", i)}))
		}
		names := func(after string, limit int) (names []string) {
			users, err := s.Users(ctx, after, limit)
			must(t, err)
			for _, u := range users {
				names = append(names, u.Username)
			}
			return names
		}
		equal(t, names("", 3), []string{"Ada", "grace", "name0"})
		equal(t, names("name0", 3), []string{"name1", "name2", "name3"})
		equal(t, names("name3", 3), []string{"name4"})
		equal(t, names("name4", 3), []string(nil))
		equal(t, names("", 0), []string(nil))

		// DeleteUser
		must(t, s.AddConsent(ctx, storage.Consent{UserID: "1", ClientID: "c", Scope: []string{"openid"}}))
		must(t, s.AddConsent(ctx, storage.Consent{UserID: "2", ClientID: "c", Scope: []string{"openid"}}))
		must(t, s.DeleteUser(ctx, "1"))
		_, err = s.User(ctx, "1")
		want(t, err, storage.ErrNotFound)
		_, err = s.Consent(ctx, "1", "c")
		want(t, err, storage.ErrNotFound)
		_, err = s.Consent(ctx, "2", "c")
		must(t, err)
		want(t, s.DeleteUser(ctx, "1"), storage.ErrNotFound)
		must(t, s.CreateUser(ctx, storage.User{ID: "3", Username: "grace"})) // the name is free again
	})
}

func TestOneOfManyCreatesAUsername(t *testing.T) {
	contract(t, func(t *testing.T, s *storage.Store) {
		oneWins(t, storage.ErrConflict, func(i int) error {
			return s.CreateUser(patient(t), storage.User{ID: fmt.Sprint("id", i), Username: "ada"})
		})
		users, err := s.Users(patient(t), "", 10)
		must(t, err)
		equal(t, len(users), 1)
	})
}
