package storage_test

import (
	"testing"
	"time"

	"latchkey/provider/storage"
)

func TestInteractions(t *testing.T) {
	contract(t, func(t *testing.T, s *storage.Store) {
		ctx := patient(t)
		i := storage.Interaction{ID: "i", ExpiresAt: clock(-time.Minute)}
		must(t, s.CreateInteraction(ctx, i)) // also an expired one: the caller looks at that
		want(t, s.CreateInteraction(ctx, i), storage.ErrConflict)
		i.Version, i.Selected = 1, true
		must(t, s.UpdateInteraction(ctx, i))
		want(t, s.UpdateInteraction(ctx, i), storage.ErrConflict)
		got, err := s.Interaction(ctx, "i")
		must(t, err)
		i.Version = 2
		equal(t, got, kept(i))
		oneWins(t, storage.ErrNotFound, func(int) error { return s.FinishInteraction(ctx, "i") })
		_, err = s.Interaction(ctx, "i")
		want(t, err, storage.ErrNotFound)
		want(t, s.UpdateInteraction(ctx, i), storage.ErrNotFound)
		want(t, s.FinishInteraction(ctx, "none"), storage.ErrNotFound)
		want(t, s.UpdateInteraction(ctx, storage.Interaction{ID: "none", Version: 1}), storage.ErrNotFound)
		_, err = s.Interaction(ctx, "none")
		want(t, err, storage.ErrNotFound)
	})
}
