package storage_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"latchkey/provider/storage"
	"latchkey/provider/storage/storagetest"
)

func TestWhatADatabaseDoesIsObserved(t *testing.T) {
	contract(t, func(t *testing.T, s *storage.Store) {
		var mu sync.Mutex
		writes, commands := 0, []string{}
		s.Observe(storage.Observer{
			Commit: func(took time.Duration, n int) {
				mu.Lock()
				defer mu.Unlock()
				if writes += n; took <= 0 {
					t.Errorf("a commit took %v", took)
				}
			},
			Command: func(name string, took time.Duration, failed bool) {
				mu.Lock()
				defer mu.Unlock()
				if commands = append(commands, name); took <= 0 || failed {
					t.Errorf("%s took %v, failed %t", name, took, failed)
				}
			},
		})
		must(t, s.CreateUser(t.Context(), storage.User{ID: "u", Username: "u"}))
		must(t, s.Ping(t.Context()))
		mu.Lock()
		defer mu.Unlock()
		if embedded := s.Embedded() != nil; embedded && writes < 2 || !embedded && len(commands) < 2 {
			t.Errorf("%d writes were observed, and the commands %v", writes, commands)
		}
	})
}

func TestATracedStoreHasASpanForEachCallAndFaultsAreNoAnswers(t *testing.T) {
	contract(t, func(t *testing.T, s *storage.Store) {
		type key struct{}
		var spans []string
		broken := errors.New("broken")
		fail := false
		faulty := storagetest.Intercept(s, func(ctx context.Context, _ storagetest.Call) error {
			if ctx.Value(key{}) == nil {
				t.Error("the database was called outside of the span")
			}
			if fail {
				return broken
			}
			return nil
		})
		traced := faulty.Traced(func(ctx context.Context, operation, table string) (context.Context, func(error)) {
			return context.WithValue(ctx, key{}, true), func(err error) {
				end := " ok"
				if err != nil {
					end = " fault"
				}
				spans = append(spans, operation+" "+table+end)
			}
		})
		must(t, traced.CreateUser(t.Context(), storage.User{ID: "u", Username: "u"}))
		if err := traced.CreateUser(t.Context(), storage.User{ID: "u", Username: "u"}); err != storage.ErrConflict {
			t.Error(err)
		}
		if _, err := traced.User(t.Context(), "nobody"); err != storage.ErrNotFound {
			t.Error(err)
		}
		must(t, traced.CreateGrant(t.Context(), storage.Grant{ID: "g", UserID: "u", ClientID: "c"}))
		must(t, traced.RevokeGrant(t.Context(), "g", time.Now()))
		own := errors.New("what the reader says is not the database's fault")
		if err := traced.View(t.Context(), func(storage.Records) error { return own }); !errors.Is(err, own) {
			t.Error(err)
		}
		fail = true
		if _, err := traced.User(t.Context(), "u"); !errors.Is(err, storage.ErrUnavailable) {
			t.Error(err)
		}
		want := []string{"update users ok", "update users ok", "get users ok", "update grants ok", "sweep grants ok",
			"view  ok", "get users fault"}
		if !slices.Equal(spans, want) {
			t.Errorf("spans %q, want %q", spans, want)
		}
		if (traced.Embedded() == nil) != (faulty.Embedded() == nil) {
			t.Error("a traced store hides what it is on")
		}
	})
}
