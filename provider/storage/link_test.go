package storage_test

import (
	"testing"
	"time"

	"latchkey/provider/storage"
)

func link(user, value string) storage.Link {
	return storage.Link{Hash: storage.Hash(value), Purpose: storage.LinkReset, UserID: user, Address: user +
		"@example.com", State: "s", CreatedAt: clock(0), ExpiresAt: clock(time.Hour)}
}

func TestLinks(t *testing.T) {
	contract(t, func(t *testing.T, s *storage.Store) {
		ctx := patient(t)
		use := func(purpose, value string, at time.Duration) error {
			_, err := s.UseLink(ctx, purpose, storage.Hash(value), clock(at))
			return err
		}
		must(t, s.ReplaceLink(ctx, link("ada", "1")))
		must(t, s.ReplaceLink(ctx, link("bob", "2")))
		got, err := s.Link(ctx, storage.LinkReset, storage.Hash("1"))
		must(t, err)
		equal(t, []string{got.UserID, got.Address, got.State}, []string{"ada", "ada@example.com", "s"})

		want(t, use("another purpose", "1", 0), storage.ErrNotFound)
		want(t, use(storage.LinkReset, "3", 0), storage.ErrNotFound)
		want(t, use(storage.LinkReset, "1", time.Hour), storage.ErrNotFound) // expired
		must(t, use(storage.LinkReset, "1", time.Hour-time.Millisecond))
		want(t, use(storage.LinkReset, "1", 0), storage.ErrConsumed)
		want(t, use(storage.LinkReset, "1", 2*time.Hour), storage.ErrConsumed)

		// A newer link makes the one before worthless, and the user's alone.
		must(t, s.ReplaceLink(ctx, link("ada", "4")))
		_, err = s.Link(ctx, storage.LinkReset, storage.Hash("1"))
		want(t, err, storage.ErrNotFound)
		must(t, s.ReplaceLink(ctx, link("ada", "5")))
		want(t, use(storage.LinkReset, "4", 0), storage.ErrNotFound)
		must(t, use(storage.LinkReset, "5", 0))
		must(t, use(storage.LinkReset, "2", 0))

		n, err := s.Purge(ctx, clock(24*time.Hour))
		must(t, err)
		equal(t, n, 0)
		n, err = s.Purge(ctx, clock(25*time.Hour+time.Second))
		must(t, err)
		equal(t, n, 2)
	})
}

func TestALinkIsUsedOnce(t *testing.T) {
	contract(t, func(t *testing.T, s *storage.Store) {
		must(t, s.ReplaceLink(patient(t), link("ada", "1")))
		oneWins(t, storage.ErrConsumed, func(int) error {
			_, err := s.UseLink(patient(t), storage.LinkReset, storage.Hash("1"), clock(0))
			return err
		})
	})
}

func TestAUsersLinkIsFoundAndDropped(t *testing.T) {
	contract(t, func(t *testing.T, s *storage.Store) {
		now := time.Now().UTC().Truncate(time.Millisecond)
		for _, address := range []string{"a@example.com", "b@example.com"} {
			for _, purpose := range []string{storage.LinkLostWait, storage.LinkLostStop} {
				must(t, s.ReplaceLink(t.Context(), storage.Link{Hash: purpose + address, Purpose: purpose, UserID: "u",
					Address: address, CreatedAt: now, ExpiresAt: now.Add(time.Hour)}))
			}
		}
		// One for each address can stop something; of other purposes there is one.
		for hash, there := range map[string]bool{"a@example.com": true, "b@example.com": true} {
			_, err := s.Link(t.Context(), storage.LinkLostStop, storage.LinkLostStop+hash)
			equal(t, err == nil, there)
		}
		got, err := s.LinkOf(t.Context(), storage.LinkLostWait, "u")
		must(t, err)
		equal(t, got.Address, "b@example.com")
		for range 2 { // the second time there is nothing
			must(t, s.DropLink(t.Context(), storage.LinkLostWait, "u"))
		}
		_, err = s.LinkOf(t.Context(), storage.LinkLostWait, "u")
		want(t, err, storage.ErrNotFound)
	})
}
