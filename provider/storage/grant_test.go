package storage_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"latchkey/provider/storage"
)

// withCode is a grant whose code is not used yet.
func withCode(id string) storage.Grant {
	return storage.Grant{ID: id, UserID: "u", ClientID: "c", SessionID: "s", Scope: []string{"openid"},
		CreatedAt: clock(0), LastUsed: clock(0),
		ExpiresAt: clock(10 * time.Minute), CodeHash: "code of " + id, CodeExpiresAt: clock(time.Minute),
		RedirectURI: "https://c.example/cb"}
}

// withRefresh is a grant whose code was used, with a refresh token of that generation.
func withRefresh(id string, generation int64) storage.Grant {
	g := withCode(id)
	g.CodeUsedAt, g.ExpiresAt = clock(0), clock(24*time.Hour)
	g.RefreshGeneration, g.RefreshedAt, g.RefreshIdleAt = generation, clock(0), clock(time.Hour)
	return g
}

// redeem reads the grant and redeems its code, as the token endpoint does.
func redeem(ctx context.Context, s *storage.Store, id, codeHash string, now, refreshIdleAt,
	expiresAt time.Time) (storage.Grant, error) {
	seen, err := s.Grant(ctx, id)
	if err == storage.ErrNotFound {
		seen, err = storage.Grant{ID: id}, nil
	}
	if err != nil {
		return storage.Grant{}, err
	}
	return s.RedeemCode(ctx, seen, storage.Redemption{CodeHash: codeHash, Now: now, ExpiresAt: expiresAt,
		RefreshIdleAt: refreshIdleAt})
}

// rotate reads the grant and uses its refresh token, as the token endpoint does.
func rotate(ctx context.Context, s *storage.Store, id string, generation int64, now, idleAt time.Time) (storage.Grant,
	error) {
	seen, err := s.Grant(ctx, id)
	if err == storage.ErrNotFound {
		seen, err = storage.Grant{ID: id}, nil
	}
	if err != nil {
		return storage.Grant{}, err
	}
	return s.RotateRefresh(ctx, seen, storage.Rotation{Generation: generation, Now: now, IdleAt: idleAt})
}

func TestGrants(t *testing.T) {
	contract(t, func(t *testing.T, s *storage.Store) {
		ctx := patient(t)
		g := withCode("g")
		must(t, s.CreateGrant(ctx, g))
		want(t, s.CreateGrant(ctx, g), storage.ErrConflict)
		_, err := s.Grant(ctx, "none")
		want(t, err, storage.ErrNotFound)

		must(t, s.RevokeGrant(ctx, "g", clock(time.Minute)))
		must(t, s.RevokeGrant(ctx, "g", clock(2*time.Minute)))
		got, err := s.Grant(ctx, "g")
		must(t, err)
		g.RevokedAt = clock(time.Minute)
		equal(t, got, kept(g))
		want(t, s.RevokeGrant(ctx, "none", clock(0)), storage.ErrNotFound)
	})
}

func TestRedeemCode(t *testing.T) {
	contract(t, func(t *testing.T, s *storage.Store) {
		ctx := patient(t)
		redeemAt := func(id, code string, at time.Duration) (storage.Grant, error) {
			return redeem(ctx, s, id, code, clock(at), clock(time.Hour), clock(24*time.Hour))
		}
		unchanged := func(g storage.Grant) {
			t.Helper()
			got, err := s.Grant(ctx, g.ID)
			must(t, err)
			equal(t, got, kept(g))
		}
		nothing := func(g storage.Grant, err error) {
			t.Helper()
			want(t, err, storage.ErrNotFound)
			equal(t, g, storage.Grant{})
		}

		g := withCode("g")
		must(t, s.CreateGrant(ctx, g))
		nothing(redeemAt("g", "code of another", 0))
		nothing(redeemAt("g", "", 0))
		nothing(redeemAt("none", "code of g", 0))
		nothing(redeemAt("g", "code of g", time.Minute)) // just expired
		unchanged(g)

		got, err := redeemAt("g", "code of g", 30*time.Second)
		must(t, err)
		g.CodeUsedAt, g.LastUsed, g.ExpiresAt = clock(30*time.Second), clock(30*time.Second), clock(24*time.Hour)
		g.RefreshGeneration, g.RefreshedAt, g.RefreshIdleAt = 1, clock(30*time.Second), clock(time.Hour)
		equal(t, got, kept(g))
		unchanged(g)

		for _, at := range []time.Duration{31 * time.Second, 10 * time.Hour} { // a replay is one however late it comes
			got, err = redeemAt("g", "code of g", at)
			want(t, err, storage.ErrConsumed)
			equal(t, got, kept(g))
			unchanged(g)
		}
		nothing(redeemAt("g", "code of another", 31*time.Second))

		plain := withCode("plain")
		must(t, s.CreateGrant(ctx, plain))
		got, err = redeem(ctx, s, "plain", "code of plain", clock(0), time.Time{}, clock(time.Hour))
		must(t, err)
		equal(t, got.RefreshGeneration, int64(0))
		_, err = rotate(ctx, s, "plain", 0, clock(0), clock(time.Hour))
		want(t, err, storage.ErrNotFound)

		revoked := withCode("revoked")
		revoked.RevokedAt = clock(0)
		must(t, s.CreateGrant(ctx, revoked))
		nothing(redeemAt("revoked", "code of revoked", 0))
		unchanged(revoked)

		without := storage.Grant{ID: "without", ExpiresAt: clock(time.Hour)}
		must(t, s.CreateGrant(ctx, without))
		nothing(redeemAt("without", "", 0))
		unchanged(without)
	})
}

func TestOneOfManyRedeemsACode(t *testing.T) {
	contract(t, func(t *testing.T, s *storage.Store) {
		for round := range 3 {
			id := fmt.Sprint("g", round)
			must(t, s.CreateGrant(patient(t), withCode(id)))
			oneWins(t, storage.ErrConsumed, func(int) error {
				g, err := redeem(patient(t), s, id, "code of "+id, clock(0), clock(time.Hour), clock(time.Hour))
				if g.ID != id || g.CodeUsedAt.IsZero() {
					t.Errorf("got %+v along with %v", g, err)
				}
				return err
			})
		}
	})
}

func TestRefresh(t *testing.T) {
	contract(t, func(t *testing.T, s *storage.Store) {
		ctx := patient(t)
		rotateAt := func(id string, generation int64, at time.Duration) (storage.Grant, error) {
			return rotate(ctx, s, id, generation, clock(at), clock(at+time.Hour))
		}
		g := withRefresh("g", 3)
		must(t, s.CreateGrant(ctx, g))
		nothing := func(got storage.Grant, err error) {
			t.Helper()
			want(t, err, storage.ErrNotFound)
			equal(t, got, storage.Grant{})
		}
		nothing(rotateAt("none", 3, 0))
		nothing(rotateAt("g", 0, 0))
		nothing(rotateAt("g", 4, 0))
		nothing(rotateAt("g", 3, time.Hour)) // RefreshIdleAt has come
		nothing(rotateAt("g", 2, time.Hour))

		got, err := rotateAt("g", 2, time.Minute)
		want(t, err, storage.ErrConsumed)
		equal(t, got, kept(g))

		got, err = rotateAt("g", 3, time.Minute)
		must(t, err)
		g.LastUsed, g.RefreshIdleAt = clock(time.Minute), clock(time.Hour+time.Minute)
		g.RefreshGeneration, g.RefreshedAt = 4, clock(time.Minute)
		equal(t, got, kept(g))
		got, err = s.Grant(ctx, "g")
		must(t, err)
		equal(t, got, kept(g))

		must(t, s.RevokeGrant(ctx, "g", clock(2*time.Minute)))
		nothing(rotateAt("g", g.RefreshGeneration, 3*time.Minute))
		nothing(rotateAt("g", 1, 3*time.Minute))

		short := withRefresh("short", 1)
		short.ExpiresAt = clock(5 * time.Minute)
		must(t, s.CreateGrant(ctx, short))
		nothing(rotateAt(short.ID, 1, 5*time.Minute))
		fresh := withCode("fresh")
		must(t, s.CreateGrant(ctx, fresh))
		nothing(rotateAt(fresh.ID, 0, 0))
		nothing(rotateAt(fresh.ID, 1, 0))
	})
}

func TestOneOfManyRotatesAGeneration(t *testing.T) {
	contract(t, func(t *testing.T, s *storage.Store) {
		must(t, s.CreateGrant(patient(t), withRefresh("g", 1)))
		for generation := range int64(3) {
			oneWins(t, storage.ErrConsumed, func(int) error {
				g, err := rotate(patient(t), s, "g", generation+1, clock(0), clock(time.Hour))
				if g.RefreshGeneration != generation+2 {
					t.Errorf("generation %d along with %v, want %d", g.RefreshGeneration, err, generation+2)
				}
				return err
			})
		}
	})
}

func TestRevokeGrants(t *testing.T) {
	contract(t, func(t *testing.T, s *storage.Store) {
		ctx := patient(t)
		all := []storage.Grant{
			{ID: "1", UserID: "u", ClientID: "a", SessionID: "s1"},
			{ID: "2", UserID: "u", ClientID: "b", SessionID: "s1", Offline: true},
			{ID: "3", UserID: "u", ClientID: "a", SessionID: "s2"},
			{ID: "4", UserID: "v", ClientID: "a", SessionID: "s3"},
			{ID: "5", UserID: "v", ClientID: "b", SessionID: "s3", RevokedAt: clock(-time.Minute)},
		}
		for _, g := range all {
			g.ExpiresAt = clock(time.Hour)
			must(t, s.CreateGrant(ctx, g))
		}
		standing := func() (ids string) {
			for _, g := range all {
				got, err := s.Grant(ctx, g.ID)
				must(t, err)
				if got.RevokedAt.IsZero() {
					ids += g.ID
				}
			}
			return ids
		}
		for _, filter := range []storage.GrantFilter{{}, {KeepOffline: true}} {
			if _, err := s.RevokeGrants(ctx, filter, clock(0)); err == nil {
				t.Errorf("the filter %+v was accepted", filter)
			}
		}
		for _, step := range []struct {
			filter storage.GrantFilter
			n      int
			left   string
		}{
			{storage.GrantFilter{UserID: "nobody"}, 0, "1234"},
			{storage.GrantFilter{UserID: "u", ClientID: "b", SessionID: "s2"}, 0, "1234"},
			{storage.GrantFilter{SessionID: "s1", KeepOffline: true}, 1, "234"},
			{storage.GrantFilter{ClientID: "a", UserID: "u"}, 1, "24"},
			{storage.GrantFilter{ClientID: "b"}, 1, "4"},
			{storage.GrantFilter{UserID: "v"}, 1, ""},
			{storage.GrantFilter{UserID: "v"}, 0, ""},
		} {
			n, err := s.RevokeGrants(ctx, step.filter, clock(0))
			must(t, err)
			if left := standing(); n != step.n || left != step.left {
				t.Errorf("%+v revoked %d and left %q, want %d and %q", step.filter, n, left, step.n, step.left)
			}
		}
		g, err := s.Grant(ctx, "5")
		must(t, err)
		equal(t, g.RevokedAt, kept(clock(-time.Minute))) // the first time counts
	})
}

func TestGrantsOfUser(t *testing.T) {
	contract(t, func(t *testing.T, s *storage.Store) {
		ctx := patient(t)
		for i, change := range []func(*storage.Grant){
			func(g *storage.Grant) {},
			func(g *storage.Grant) { g.CreatedAt = clock(time.Minute) },
			// never had a code
			func(g *storage.Grant) { g.CodeHash, g.CodeUsedAt, g.CreatedAt = "", time.Time{}, clock(-time.Minute) },
			func(g *storage.Grant) { g.CodeUsedAt = time.Time{} },
			func(g *storage.Grant) { g.ExpiresAt = clock(5 * time.Minute) },
			func(g *storage.Grant) { g.RevokedAt = clock(0) },
			func(g *storage.Grant) { g.UserID = "other" },
		} {
			g := withRefresh(fmt.Sprint(i), 1)
			change(&g)
			must(t, s.CreateGrant(ctx, g))
		}
		ids := func() (ids []string) {
			all, err := s.GrantsOfUser(ctx, "u", clock(5*time.Minute))
			must(t, err)
			for _, g := range all {
				ids = append(ids, g.ID)
			}
			return ids
		}
		equal(t, ids(), []string{"1", "0", "2"})
		g := withCode("new")
		g.CreatedAt = clock(2 * time.Minute)
		must(t, s.CreateGrant(ctx, g))
		equal(t, ids(), []string{"1", "0", "2"})
		_, err := redeem(ctx, s, "new", "code of new", clock(0), time.Time{}, clock(time.Hour))
		must(t, err)
		equal(t, ids(), []string{"new", "1", "0", "2"})
		must(t, s.RevokeGrant(ctx, "1", clock(0)))
		equal(t, ids(), []string{"new", "0", "2"})
	})
}

func TestGrantsOfUserAreAtMost500(t *testing.T) {
	contract(t, func(t *testing.T, s *storage.Store) {
		var wg sync.WaitGroup
		for w := range 16 {
			wg.Go(func() {
				for i := w; i < 510; i += 16 {
					g := withRefresh(fmt.Sprint(i), 1)
					g.CreatedAt = clock(time.Duration(i) * time.Second)
					if err := s.CreateGrant(patient(t), g); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		all, err := s.GrantsOfUser(patient(t), "u", clock(0))
		must(t, err)
		if len(all) != 500 || all[0].ID != "509" || all[499].ID != "10" {
			t.Errorf("%d grants", len(all))
		}
	})
}

func TestClientsOfSession(t *testing.T) {
	contract(t, func(t *testing.T, s *storage.Store) {
		ctx := patient(t)
		for i, g := range []storage.Grant{
			{ClientID: "b", SessionID: "s"}, {ClientID: "a", SessionID: "s", RevokedAt: clock(0)},
			{ClientID: "b", SessionID: "s"}, {ClientID: "c", SessionID: "t"},
		} {
			g.ID, g.ExpiresAt = fmt.Sprint(i), clock(time.Hour)
			must(t, s.CreateGrant(ctx, g))
		}
		got, err := s.ClientsOfSession(ctx, "s")
		must(t, err)
		equal(t, got, []string{"a", "b"})
		got, err = s.ClientsOfSession(ctx, "none")
		must(t, err)
		equal(t, got, []string(nil))
	})
}

func TestGrantThatWasReadTooEarlyDecidesNothing(t *testing.T) {
	contract(t, func(t *testing.T, s *storage.Store) {
		ctx := patient(t)
		must(t, s.CreateGrant(ctx, withCode("g")))
		seen, err := s.Grant(ctx, "g")
		must(t, err)
		use := storage.Redemption{CodeHash: "code of g", Now: clock(0), ExpiresAt: clock(time.Hour)}
		first, err := s.RedeemCode(ctx, seen, use)
		must(t, err)
		got, err := s.RedeemCode(ctx, seen, use) // by what this caller has seen, the code is unused
		want(t, err, storage.ErrConsumed)
		equal(t, got, first)

		must(t, s.CreateGrant(ctx, withCode("revoked")))
		seen, err = s.Grant(ctx, "revoked")
		must(t, err)
		must(t, s.RevokeGrant(ctx, "revoked", clock(0)))
		use.CodeHash = "code of revoked"
		_, err = s.RedeemCode(ctx, seen, use)
		want(t, err, storage.ErrNotFound)

		// What only the caller believes is not stored, and refuses nothing.
		must(t, s.CreateGrant(ctx, withCode("fresh")))
		seen, err = s.Grant(ctx, "fresh")
		must(t, err)
		seen.RevokedAt, use.CodeHash = clock(0), "code of fresh"
		got, err = s.RedeemCode(ctx, seen, use)
		must(t, err)
		equal(t, got.RevokedAt, time.Time{})
	})
}
