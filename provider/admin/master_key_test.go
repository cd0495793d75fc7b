package admin_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"latchkey/keys"
	"latchkey/provider/admin"
	"latchkey/provider/clients"
	"latchkey/provider/oauth"
	"latchkey/provider/storage"
	"latchkey/provider/storage/storagetest"
)

// instance is one of several providers on a store.
type instance struct {
	sealer *keys.Sealer
	ring   *keys.Ring
	admin  *admin.Admin
}

func newInstance(t *testing.T, s *storage.Store, now func() time.Time, masters ...[]byte) instance {
	t.Helper()
	sealer, err := keys.OpenSealer(t.Context(), keys.SealerConfig{Store: s, Now: now, Masters: func() ([][]byte,
		error) {
		return masters, nil
	}})
	must(t, err)
	ring, err := keys.Open(t.Context(), keys.Config{Store: s, Sealer: sealer, Now: now})
	must(t, err)
	return instance{sealer, ring, admin.New(admin.Config{Store: s, Sealer: sealer, Now: now})}
}

func masterKey(first byte) []byte {
	key := make([]byte, keys.MinMasterKey)
	key[0] = first
	return key
}

func TestResealSealsEverySecretBesideChangesOfTheSameClients(t *testing.T) {
	t.Parallel()
	storagetest.Each(t, func(t *testing.T, s *storage.Store) {
		var mu sync.Mutex
		at := noon
		now := func() time.Time {
			mu.Lock()
			defer mu.Unlock()
			return at
		}
		first, second := masterKey(1), masterKey(2)
		here, there := newInstance(t, s, now, first, second), newInstance(t, s, now, first, second)
		const n = 450 // more than two pages
		for i := range n {
			c := clients.Client{ID: fmt.Sprintf("client-%03d", i), CreatedAt: noon, UpdatedAt: noon}
			if i%2 == 0 {
				c.TokenEndpointAuthMethod = oauth.AuthClientSecretJWT
				must(t, c.SetSecret(fmt.Sprintf("the secret of %s, as long as a hash", c.ID),
					admin.NewSecretHasher(here.sealer), here.sealer))
			}
			must(t, s.CreateClient(t.Context(), c))
		}
		damaged, err := s.Client(t.Context(), "client-010")
		must(t, err)
		damaged.SealedSecret[5] ^= 1
		must(t, s.UpdateClient(t.Context(), damaged))

		must(t, s.CreateUser(t.Context(), storage.User{ID: "u", Username: "ada"}))
		seed, err := here.sealer.Seal([]byte("a seed"), storage.TOTPData("u", "phone"))
		must(t, err)
		must(t, s.BeginTOTP(t.Context(), "u", storage.TOTP{ID: "phone", Secret: seed}, 1))

		if _, err := here.sealer.Rekey(t.Context(), second); err != nil {
			t.Fatal(err)
		}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := here.admin.Reseal(gone); err == nil {
			t.Error("a walk that was broken off says nothing")
		}
		var wait sync.WaitGroup
		total := make([]int, 3)
		for i, who := range []instance{here, there, here} {
			wait.Go(func() {
				var err error
				if total[i], err = who.admin.Reseal(context.Background()); err != nil {
					t.Error(err)
				}
			})
		}
		wait.Go(func() {
			for i := range n {
				for {
					c, err := s.Client(context.Background(), fmt.Sprintf("client-%03d", i))
					if err != nil {
						t.Error(err)
						return
					}
					c.ClientName = "changed meanwhile"
					if err = s.UpdateClient(context.Background(), c); err == nil {
						break
					} else if !errors.Is(err, storage.ErrConflict) {
						t.Error(err)
						return
					}
				}
			}
		})
		wait.Wait()
		if sum := total[0] + total[1] + total[2]; sum != n/2-1+1 {
			t.Errorf("%v values were sealed, %d are there", total, n/2-1+1)
		}
		alone := newInstance(t, s, now, second)
		u, err := s.User(t.Context(), "u")
		must(t, err)
		if _, changed, err := alone.sealer.Reseal(u.Factors.TOTP[0].Secret,
			storage.TOTPData("u", "phone")); err != nil || changed {
			t.Errorf("the secret of an authenticator application is not sealed by the new key: %v", err)
		}
		for i := range n {
			c, err := s.Client(t.Context(), fmt.Sprintf("client-%03d", i))
			must(t, err)
			if c.ClientName != "changed meanwhile" {
				t.Fatalf("%s lost a change", c.ID)
			}
			if len(c.SealedSecret) == 0 || i == 10 {
				continue
			}
			if _, changed, err := alone.sealer.Reseal(c.SealedSecret, clients.SealedSecretData(c.ID)); err != nil ||
				changed {
				t.Fatalf("%s: sealed by the old key: %t, %v", c.ID, changed, err)
			}
			plain, err := alone.sealer.Open(c.SealedSecret, clients.SealedSecretData(c.ID))
			if err != nil || string(plain) != fmt.Sprintf("the secret of %s, as long as a hash", c.ID) ||
				!admin.NewSecretHasher(alone.sealer).Check(c, string(plain), noon) {
				t.Fatalf("%s: %q, %v", c.ID, plain, err)
			}
		}
		if !alone.sealer.ResealDue() {
			t.Error("a walk that began with the change is the last one")
		}
		mu.Lock()
		at = at.Add(time.Hour)
		mu.Unlock()
		if sealed, err := alone.admin.Reseal(t.Context()); sealed != 0 || err != nil || alone.sealer.ResealDue() {
			t.Errorf("an hour later: %d sealed, %v, due: %t", sealed, err, alone.sealer.ResealDue())
		}
	})
}

func TestInstancesOnOneStoreRevokeRotateAndRekeyAtOnce(t *testing.T) {
	t.Parallel()
	storagetest.Each(t, func(t *testing.T, s *storage.Store) {
		first, second := masterKey(1), masterKey(2)
		all := make([]instance, 4)
		var wait sync.WaitGroup
		for i := range all {
			wait.Go(func() { all[i] = newInstance(t, s, time.Now, first, second) })
		}
		wait.Wait()
		if t.Failed() {
			t.FailNow()
		}
		pairwise := string(all[0].sealer.Derive("pairwise subjects", 32))
		must(t, all[0].ring.Maintain(t.Context()))
		bad, err := all[1].ring.Sign(t.Context(), "RS256", "at+jwt", map[string]string{"sub": "ada"})
		must(t, err)
		h, err := keys.PeekHeader(bad)
		must(t, err)
		winners := make([]int, len(all))
		for i, who := range all {
			wait.Go(func() {
				done, err := who.ring.Revoke(context.Background(), h.KeyID)
				if err != nil {
					t.Error(err)
				}
				winners[i] = len(done.Revoked)
			})
			wait.Go(func() {
				if _, err := who.sealer.Rekey(context.Background(), second); err != nil {
					t.Error(err)
				}
				if _, err := who.ring.Rotate(context.Background(), "RS256"); err != nil {
					t.Error(err)
				}
			})
		}
		wait.Wait()
		won := 0
		for _, n := range winners {
			if n > 0 {
				won++
			}
		}
		if won != 1 {
			t.Errorf("%d instances revoked one key", won)
		}
		fresh := newInstance(t, s, time.Now, second)
		good, err := fresh.ring.Sign(t.Context(), "RS256", "at+jwt", map[string]string{"sub": "ada"})
		must(t, err)
		for i, who := range append(all, fresh) {
			if _, _, err := who.ring.Verify(t.Context(), good, "at+jwt"); err != nil {
				t.Errorf("instance %d: a token of the fresh key: %v", i, err)
			}
			if _, _, err := who.ring.Verify(t.Context(), bad, "at+jwt"); !errors.Is(err, keys.ErrRevoked) {
				t.Errorf("instance %d: a token of the revoked key: %v", i, err)
			}
			if string(who.sealer.Derive("pairwise subjects", 32)) != pairwise {
				t.Errorf("instance %d knows people by another sub", i)
			}
		}
	})
}
