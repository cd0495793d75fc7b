package storage_test

import (
	"testing"
	"time"

	"latchkey/provider/storage"
)

func TestPushedRequests(t *testing.T) {
	contract(t, func(t *testing.T, s *storage.Store) {
		ctx := patient(t)
		pushed := storage.PushedRequest{ID: storage.Hash("1"), ClientID: "web", Sealed: []byte{0, 1, 255},
			CreatedAt: clock(0), ExpiresAt: clock(time.Minute)}
		must(t, s.CreatePushedRequest(ctx, pushed))
		want(t, s.CreatePushedRequest(ctx, pushed), storage.ErrConflict)
		got, err := s.PushedRequest(ctx, storage.Hash("1"))
		must(t, err)
		equal(t, []string{got.ClientID, string(got.Sealed)}, []string{"web", "\x00\x01\xff"})
		equal(t, got.ExpiresAt, clock(time.Minute).Truncate(time.Millisecond))
		_, err = s.PushedRequest(ctx, "1")
		want(t, err, storage.ErrNotFound)

		// It goes soon after it has expired: there may be many.
		_, err = s.Purge(ctx, clock(5*time.Minute))
		must(t, err)
		_, err = s.PushedRequest(ctx, storage.Hash("1"))
		must(t, err)
		_, err = s.Purge(ctx, clock(6*time.Minute+time.Second))
		must(t, err)
		if _, err = s.PushedRequest(ctx, storage.Hash("1")); err != nil {
			want(t, err, storage.ErrNotFound)
		}
	})
}
