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

func TestUsersAreFoundByWhatTheySignInWith(t *testing.T) {
	contract(t, func(t *testing.T, s *storage.Store) {
		ctx := patient(t)
		mail := func(address string, verified bool) storage.Claims {
			return storage.Claims{Email: address, EmailVerified: verified}
		}
		found := func(name, id string) {
			t.Helper()
			u, err := s.UserBySignInName(ctx, name)
			if id == "" {
				want(t, err, storage.ErrNotFound)
				return
			}
			must(t, err)
			equal(t, u.ID, id)
		}
		must(t, s.CreateUser(ctx, storage.User{ID: "1", Username: "ada", Claims: mail("Ada@Example.com", true)}))
		must(t, s.CreateUser(ctx, storage.User{ID: "2", Username: "bob", Claims: mail("bob@example.com", false)}))
		found("ada", "1")
		found("ada@example.com", "1")
		found("Ada@Example.com", "") // it is asked for by its key
		found("bob", "2")
		found("bob@example.com", "") // not verified
		found("", "")

		// a name or an address that is another's name or address
		for i, taken := range []storage.User{
			{Username: "ada@example.com"}, {Username: "carl", Claims: mail("ADA@example.com", true)},
			{Username: "bob"},
		} {
			taken.ID = fmt.Sprint("taken", i)
			want(t, s.CreateUser(ctx, taken), storage.ErrConflict)
			_, err := s.User(ctx, taken.ID)
			want(t, err, storage.ErrNotFound)
		}
		must(t, s.CreateUser(ctx, storage.User{ID: "3", Username: "carl", Claims: mail("ada@example.com", false)}))
		carl, err := s.User(ctx, "3")
		must(t, err)
		carl.Claims.EmailVerified = true
		want(t, s.UpdateUser(ctx, carl), storage.ErrConflict)
		carl.Claims, carl.Username = mail("", false), "ada@example.com"
		want(t, s.UpdateUser(ctx, carl), storage.ErrConflict)
		found("carl", "3")
		carl.Username, carl.Claims = "carl@example.com", mail("carl@example.com", true) // one's own is no other's
		must(t, s.UpdateUser(ctx, carl))
		found("carl@example.com", "3")
		found("carl", "")

		// what somebody gave up is free, and what was deleted
		ada, err := s.User(ctx, "1")
		must(t, err)
		ada.Claims = mail("lovelace@example.com", true)
		must(t, s.UpdateUser(ctx, ada))
		found("ada@example.com", "")
		found("lovelace@example.com", "1")
		must(t, s.CreateUser(ctx, storage.User{ID: "4", Username: "ada@example.com"}))
		must(t, s.DeleteUser(ctx, "1"))
		found("lovelace@example.com", "")
		must(t, s.CreateUser(ctx, storage.User{ID: "5", Username: "lovelace@example.com"}))
	})
}

// Half of them want it as a username, half as an address.
func TestOneOfManyGetsANameToSignInBy(t *testing.T) {
	contract(t, func(t *testing.T, s *storage.Store) {
		oneWins(t, storage.ErrConflict, func(i int) error {
			u := storage.User{ID: fmt.Sprint("id", i), Username: "ada@example.com"}
			if i%2 == 0 {
				u.Username = fmt.Sprint("ada", i)
				u.Claims = storage.Claims{Email: "Ada@example.com", EmailVerified: true}
			}
			return s.CreateUser(patient(t), u)
		})
		users, err := s.Users(patient(t), "", 10)
		must(t, err)
		equal(t, len(users), 1)
	})
}

func TestOneOfManyChangesToANameToSignInBy(t *testing.T) {
	contract(t, func(t *testing.T, s *storage.Store) {
		ctx := patient(t)
		for i := range callers {
			must(t, s.CreateUser(ctx, storage.User{ID: fmt.Sprint("id", i), Username: fmt.Sprint("ada", i)}))
		}
		oneWins(t, storage.ErrConflict, func(i int) error {
			u, err := s.User(patient(t), fmt.Sprint("id", i))
			must(t, err)
			if i%2 == 0 {
				u.Username = "ada@example.com"
			} else {
				u.Claims = storage.Claims{Email: "ada@EXAMPLE.com", EmailVerified: true}
			}
			return s.UpdateUser(patient(t), u)
		})
	})
}
