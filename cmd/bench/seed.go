package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"latchkey/provider/storage"
)

// seed stores sessions and grants, as many of each, of people who are not there otherwise: what a
// server has that has run for a while. They are good for longer than the run. With expired they ran
// out long ago, so that the next cleanup removes them.
func (s *server) seed(ctx context.Context, rows int, expired bool) error {
	return s.seedWith(ctx, rows, func(ctx context.Context, store *storage.Store, i int) error {
		return seedOne(ctx, store, i, expired)
	})
}

// seedWith calls one for each row, many at a time.
func (s *server) seedWith(ctx context.Context, rows int, one func(ctx context.Context, store *storage.Store,
	i int) error) error {
	store, err := s.openStore(ctx)
	if err != nil {
		return err
	}
	defer store.Close()
	const writers = 256
	var wg sync.WaitGroup
	failed := make(chan error, writers)
	for w := range writers {
		wg.Go(func() {
			for i := w; i < rows; i += writers {
				if err := one(ctx, store, i); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	wg.Wait()
	select {
	case err := <-failed:
		return fmt.Errorf("seed: %w", err)
	default:
		return nil
	}
}

func (s *server) openStore(ctx context.Context) (*storage.Store, error) {
	if s.mongodb != "" {
		return storage.OpenMongoDB(ctx, s.mongodb)
	}
	return storage.OpenSQLite(ctx, filepath.Join(s.folder, "data", "latchkey.db"))
}

func seedOne(ctx context.Context, store *storage.Store, i int, expired bool) error {
	now := time.Now().UTC().Truncate(time.Millisecond)
	if expired {
		now = now.AddDate(-1, 0, 0)
	}
	user := fmt.Sprintf("seeded-%d", i/4)
	session := storage.Session{
		ID: storage.NewID(now), SecretHash: storage.Hash(rand.Text()), UserID: user, State: rand.Text(), AuthTime: now,
		AMR: []string{"pwd"}, ACR: "urn:latchkey:acr:password",
		UserAgent: "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
		Address:   "198.51.100.7", CreatedAt: now, LastSeen: now, IdleAt: now.Add(12 * time.Hour),
		ExpiresAt: now.Add(12 * time.Hour),
	}
	if err := store.CreateSession(ctx, session); err != nil {
		return err
	}
	grant := seededGrant(now, user, variants[i%len(variants)].web, session.ID)
	grant.AMR, grant.ACR = session.AMR, session.ACR
	return store.CreateGrant(ctx, grant)
}

// seededGrant is a grant with a refresh token that nobody knows.
func seededGrant(now time.Time, user, client, session string) storage.Grant {
	now = now.UTC().Truncate(time.Millisecond)
	return storage.Grant{
		ID: storage.NewID(now), UserID: user, ClientID: client, SessionID: session,
		Scope: []string{"openid", "profile", "email", "offline_access"}, Nonce: rand.Text(), AuthTime: now,
		Offline: true, CreatedAt: now, LastUsed: now, ExpiresAt: now.AddDate(0, 6, 0),
		CodeHash: storage.Hash(rand.Text()), CodeExpiresAt: now.Add(time.Minute), CodeUsedAt: now,
		RedirectURI: callback, CodeChallenge: challenge,
		RefreshGeneration: 1, RefreshedAt: now, RefreshIdleAt: now.AddDate(0, 1, 0),
	}
}
