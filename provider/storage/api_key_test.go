package storage_test

import (
	"testing"
	"time"

	"latchkey/provider/storage"
)

func TestAPIKeys(t *testing.T) {
	contract(t, func(t *testing.T, s *storage.Store) {
		ctx := patient(t)
		k := storage.APIKey{ID: "k1", SecretHash: "h", UserID: "ada", Name: "backup",
			Scope:     []string{"admin:people.read"},
			CreatedAt: clock(0), ExpiresAt: clock(time.Hour)}
		must(t, s.CreateAPIKey(ctx, k))
		want(t, s.CreateAPIKey(ctx, k), storage.ErrConflict)
		got, err := s.APIKey(ctx, "k1")
		must(t, err)
		equal(t, got, kept(k))
		if !got.Valid(clock(0)) || got.Valid(clock(time.Hour)) || (storage.APIKey{}).Valid(clock(0)) {
			t.Error("a key is good until it expires")
		}
		_, err = s.APIKey(ctx, "none")
		want(t, err, storage.ErrNotFound)

		must(t, s.UseAPIKey(ctx, got, clock(time.Minute), "192.0.2.1"))
		must(t, s.UseAPIKey(ctx, got, clock(time.Second), "192.0.2.2")) // an earlier use that comes late
		must(t, s.UseAPIKey(ctx, storage.APIKey{ID: "none"}, clock(0), ""))
		k.LastUsed, k.LastFrom = clock(time.Minute), "192.0.2.1"
		got, err = s.APIKey(ctx, "k1")
		must(t, err)
		equal(t, got, kept(k))

		must(t, s.CreateAPIKey(ctx, storage.APIKey{ID: "k2", UserID: "ada", ExpiresAt: clock(time.Hour)}))
		must(t, s.CreateAPIKey(ctx, storage.APIKey{ID: "k3", UserID: "bob", ExpiresAt: clock(time.Hour)}))
		names := func(keys []storage.APIKey, err error) (out []string) {
			t.Helper()
			must(t, err)
			for _, k := range keys {
				out = append(out, k.ID)
			}
			return out
		}
		equal(t, names(s.APIKeysOfUser(ctx, "ada")), []string{"k2", "k1"})
		equal(t, names(s.APIKeys(ctx, "", 2)), []string{"k1", "k2"})
		equal(t, names(s.APIKeys(ctx, "k2", 2)), []string{"k3"})
		equal(t, names(s.APIKeys(ctx, "", 0)), []string(nil))

		revoked, err := s.RevokeAPIKey(ctx, "k1", clock(2*time.Minute))
		must(t, err)
		if revoked.Valid(clock(0)) || !revoked.RevokedAt.Equal(kept(storage.APIKey{RevokedAt: clock(2 * time.Minute)}).RevokedAt) {
			t.Errorf("%+v", revoked)
		}
		again, err := s.RevokeAPIKey(ctx, "k1", clock(3*time.Minute))
		want(t, err, storage.ErrConsumed)
		equal(t, again, revoked)
		_, err = s.RevokeAPIKey(ctx, "none", clock(0))
		want(t, err, storage.ErrNotFound)
	})
}

func TestOneOfManyRevokesAnAPIKey(t *testing.T) {
	contract(t, func(t *testing.T, s *storage.Store) {
		must(t, s.CreateAPIKey(patient(t), storage.APIKey{ID: "k", ExpiresAt: clock(time.Hour)}))
		oneWins(t, storage.ErrConsumed, func(int) error {
			_, err := s.RevokeAPIKey(patient(t), "k", clock(0))
			return err
		})
	})
}
