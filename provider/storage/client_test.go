package storage_test

import (
	"testing"
	"time"

	"latchkey/provider/clients"
	"latchkey/provider/storage"
)

func TestClients(t *testing.T) {
	contract(t, func(t *testing.T, s *storage.Store) {
		ctx := patient(t)
		c := clients.Client{ID: "a", CORSOrigins: []string{"https://a.example", "https://b.example"}}
		must(t, s.CreateClient(ctx, c))
		want(t, s.CreateClient(ctx, c), storage.ErrConflict)
		c.Version, c.Type = 1, clients.TypeSPA
		must(t, s.UpdateClient(ctx, c))
		want(t, s.UpdateClient(ctx, c), storage.ErrConflict)
		stored, err := s.Client(ctx, "a")
		must(t, err)
		c.Version = 2
		equal(t, stored, c)
		want(t, s.UpdateClient(ctx, clients.Client{ID: "none", Version: 1}), storage.ErrNotFound)
		_, err = s.Client(ctx, "none")
		want(t, err, storage.ErrNotFound)
		must(t, s.CreateClient(ctx, clients.Client{ID: "b", CORSOrigins: []string{"https://b.example"}}))
		must(t, s.CreateClient(ctx, clients.Client{ID: "c"}))
		list, err := s.Clients(ctx, "a", 1)
		must(t, err)
		equal(t, list, []clients.Client{{ID: "b", CORSOrigins: []string{"https://b.example"}, Version: 1}})
		list, err = s.Clients(ctx, "", 10)
		must(t, err)
		equal(t, len(list), 3)
		list, err = s.Clients(ctx, "", 0)
		must(t, err)
		equal(t, len(list), 0)

		// OriginAllowed
		allowed := func(origin string, want bool) {
			t.Helper()
			got, err := s.OriginAllowed(ctx, origin)
			must(t, err)
			equal(t, got, want)
		}
		allowed("https://a.example", true)
		allowed("https://b.example", true)
		allowed("https://c.example", false)
		allowed("", false)
		c.Disabled = true
		must(t, s.UpdateClient(ctx, c))
		allowed("https://a.example", false)
		allowed("https://b.example", true) // of the other client
		c.Version, c.Disabled, c.CORSOrigins = 3, false, []string{"https://c.example"}
		must(t, s.UpdateClient(ctx, c))
		allowed("https://a.example", false)
		allowed("https://c.example", true)

		// SigningAPIs
		must(t, s.CreateClient(ctx, clients.Client{ID: "api-1", SigningAudience: []string{"https://x.test",
			"https://y.test"}}))
		must(t, s.CreateClient(ctx, clients.Client{ID: "api-0", SigningAudience: []string{"https://y.test"},
			Metadata: clients.Metadata{AccessTokenSignedResponseAlg: "RS256"}}))
		signing := func(audience string, want ...string) {
			t.Helper()
			apis, err := s.SigningAPIs(ctx, audience)
			must(t, err)
			var got []string
			for _, api := range apis {
				got = append(got, api.ID+api.AccessTokenSignedResponseAlg)
			}
			equal(t, got, want)
		}
		signing("https://x.test", "api-1")
		signing("https://y.test", "api-0RS256", "api-1")
		signing("https://z.test")
		must(t, s.UpdateClient(ctx, clients.Client{ID: "api-1", Version: 1,
			SigningAudience: []string{"https://z.test"}}))
		signing("https://x.test")
		signing("https://y.test", "api-0RS256")
		signing("https://z.test", "api-1")
		must(t, s.DeleteClient(ctx, "api-0", time.Now()))
		signing("https://y.test")

		// DeleteClient
		must(t, s.AddConsent(ctx, storage.Consent{UserID: "u", ClientID: "a"}))
		must(t, s.AddConsent(ctx, storage.Consent{UserID: "u", ClientID: "b"}))
		for _, client := range []string{"a", "b"} {
			must(t, s.CreateGrant(ctx, storage.Grant{ID: "of " + client, UserID: "u", ClientID: client, Offline: true,
				ExpiresAt: clock(time.Hour)}))
		}
		must(t, s.DeleteClient(ctx, "a", clock(0)))
		_, err = s.Client(ctx, "a")
		want(t, err, storage.ErrNotFound)
		allowed("https://c.example", false)
		consents, err := s.ConsentsOfUser(ctx, "u")
		must(t, err)
		equal(t, consents, []storage.Consent{{UserID: "u", ClientID: "b"}})
		g, err := s.Grant(ctx, "of a")
		must(t, err)
		equal(t, g.RevokedAt, kept(clock(0)))
		g, err = s.Grant(ctx, "of b")
		must(t, err)
		equal(t, g.RevokedAt, time.Time{})
		want(t, s.DeleteClient(ctx, "a", clock(0)), storage.ErrNotFound)
	})
}
