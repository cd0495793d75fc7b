package storage_test

import (
	"testing"
	"time"

	"latchkey/provider/storage"
)

func TestTokens(t *testing.T) {
	contract(t, func(t *testing.T, s *storage.Store) {
		ctx := patient(t)
		const kind, other = storage.TokenInitialAccess, storage.TokenAccess
		token := storage.Token{Hash: "h", Kind: kind, ExpiresAt: clock(time.Minute)}
		must(t, s.CreateToken(ctx, token))
		want(t, s.CreateToken(ctx, token), storage.ErrConflict)
		want(t, s.CreateToken(ctx, storage.Token{Hash: "h", Kind: other}), storage.ErrConflict)
		_, err := s.Token(ctx, other, "h")
		want(t, err, storage.ErrNotFound)
		_, err = s.Token(ctx, kind, "none")
		want(t, err, storage.ErrNotFound)

		nothing := func(got storage.Token, err error) {
			t.Helper()
			want(t, err, storage.ErrNotFound)
			equal(t, got, storage.Token{})
		}
		nothing(s.ConsumeToken(ctx, other, "h", clock(0)))
		nothing(s.ConsumeToken(ctx, kind, "none", clock(0)))
		nothing(s.ConsumeToken(ctx, kind, "h", clock(time.Minute)))
		got, err := s.ConsumeToken(ctx, kind, "h", clock(time.Second))
		must(t, err)
		token.ConsumedAt = clock(time.Second)
		equal(t, got, kept(token))
		for _, at := range []time.Duration{2 * time.Second, time.Hour} {
			got, err = s.ConsumeToken(ctx, kind, "h", clock(at))
			want(t, err, storage.ErrConsumed)
			equal(t, got, kept(token))
		}
		got, err = s.Token(ctx, kind, "h")
		must(t, err)
		equal(t, got, kept(token))

		must(t, s.DeleteToken(ctx, other, "h"))
		_, err = s.Token(ctx, kind, "h")
		must(t, err)
		must(t, s.DeleteToken(ctx, kind, "h"))
		must(t, s.DeleteToken(ctx, kind, "h"))
		_, err = s.Token(ctx, kind, "h")
		want(t, err, storage.ErrNotFound)
	})
}

func TestOneOfManyConsumesAToken(t *testing.T) {
	contract(t, func(t *testing.T, s *storage.Store) {
		must(t, s.CreateToken(patient(t), storage.Token{Hash: "h", Kind: "k", ExpiresAt: clock(time.Minute)}))
		oneWins(t, storage.ErrConsumed, func(int) error {
			token, err := s.ConsumeToken(patient(t), "k", "h", clock(0))
			if token.Hash != "h" || token.ConsumedAt.IsZero() {
				t.Errorf("got %+v along with %v", token, err)
			}
			return err
		})
	})
}
