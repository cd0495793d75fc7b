package signin_test

import (
	"context"
	"net/url"
	"sync/atomic"
	"testing"

	"latchkey/provider"
	"latchkey/provider/providertest"
	"latchkey/provider/storage"
	"latchkey/provider/storage/storagetest"
)

func TestNoGrantOutlivesAConsentThatIsTakenBackAtTheSameMoment(t *testing.T) {
	t.Parallel()
	var before atomic.Pointer[func()] // what happens just before the grant is stored
	w := providertest.New(t, func(c *provider.Config) {
		c.Store = storagetest.Intercept(c.Store, func(_ context.Context, call storagetest.Call) error {
			if call.Do == "update" && call.Table == "grants" {
				if f := before.Swap(nil); f != nil {
					(*f)()
				}
			}
			return nil
		})
	})
	alice, c := w.AddUser("alice"), w.AddClient("web", providertest.AsksConsent)
	b := w.Browser()
	b.Code(c, "alice", "scope", "openid offline_access")
	account := b.Get("/account/connections")
	disconnect := func() {
		var csrf string
		for _, in := range providertest.InputTag.FindAllStringSubmatch(account.Body, -1) {
			if a := providertest.Attributes(in[1]); a["name"] == "csrf" {
				csrf = a["value"]
			}
		}
		b.Post("/account/connections", url.Values{"csrf": {csrf}, "action": {"disconnect"}, "client_id": {c.ID}})
	}
	before.Store(&disconnect)
	p := b.Open(w.Request(c, "scope", "openid offline_access"))
	if before.Load() != nil {
		t.Fatal("no grant was stored")
	}
	if a := p.Answer(); a.Get("error") != "access_denied" || a.Get("code") != "" || a.Get("state") != "S1" {
		t.Errorf("%d to %s", p.StatusCode, p.Header.Get("Location"))
	}
	if _, err := w.Store.Consent(t.Context(), alice.ID, c.ID); err == nil {
		t.Error("the consent is still there")
	}
	if n, err := w.Store.RevokeGrants(t.Context(), storage.GrantFilter{UserID: alice.ID}, w.Web.Now()); err != nil ||
		n != 0 {
		t.Errorf("%d grants were left, %v", n, err)
	}
	if p := b.Open(w.Request(c, "scope", "openid offline_access")); !p.Has("consent-page") {
		t.Errorf("the application need not ask again: %d to %s", p.StatusCode, p.Header.Get("Location"))
	}
}
