package signin_test

import (
	"net/http"
	"strings"
	"testing"

	"latchkey/provider/clients"
	"latchkey/provider/providertest"
)

// TestNobodyAllowsAnythingForSomebodyElse is about two people at one browser.
func TestNobodyAllowsAnythingForSomebodyElse(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	w.AddUser("alice")
	bob := w.AddUser("bob")
	noConsentOfBob := func(t *testing.T, c clients.Client) {
		t.Helper()
		if got, err := w.Store.Consent(t.Context(), bob.ID, c.ID); err == nil {
			t.Errorf("stored for bob: %+v", got)
		}
	}
	t.Run("what one person allowed does not count for the next who signs in to the same request", func(t *testing.T) {
		c, b := w.AddClient("one", providertest.AsksConsent), w.Browser()
		consent := b.SignInAs(b.Open(w.Request(c)), "alice")
		if p := b.Submit(consent, "consent-allow", providertest.Allow); p.StatusCode != http.StatusSeeOther {
			t.Fatalf("%d", p.StatusCode)
		} // alice's answer is recorded; nobody has gone on from there yet
		if p := b.Follow(b.SignInOver(consent, "bob")); !p.Has("consent-page") {
			t.Errorf("bob was not asked: %d %s", p.StatusCode, p.Header.Get("Location"))
		}
		noConsentOfBob(t, c)
	})
	t.Run("nor for one who signs in in another tab", func(t *testing.T) {
		c, b := w.AddClient("two", providertest.AsksConsent), w.Browser()
		consent := b.SignInAs(b.Open(w.Request(c)), "alice")
		b.Submit(consent, "consent-allow", providertest.Allow)
		b.SignInOver(b.Open(w.Request(c, "prompt", "login")), "bob")
		if p := b.Open("/authorize?i=" + consent.Request.URL.Query().Get("i")); !p.Has("consent-page") {
			t.Errorf("bob was not asked: %d %s", p.StatusCode, p.Header.Get("Location"))
		}
		noConsentOfBob(t, c)
	})
	t.Run("a question that was put to one person is not answered by the next", func(t *testing.T) {
		c, b := w.AddClient("three", providertest.AsksConsent), w.Browser()
		consent := b.SignInAs(b.Open(w.Request(c)), "alice")
		b.SignInOver(b.Open(w.Request(c, "prompt", "login")), "bob")
		p := b.Follow(b.Submit(consent, "consent-allow", providertest.Allow))
		if !p.Has("consent-page") || !strings.Contains(p.Body, "bob") {
			t.Errorf("bob was not asked: %d %s", p.StatusCode, p.Header.Get("Location"))
		}
		noConsentOfBob(t, c)
		if code := b.Follow(b.Submit(p, "consent-allow", providertest.Allow)).Answer().Get("code"); code == "" {
			t.Error("the control: once bob was asked, his answer counts")
		}
	})
	t.Run("an account that was chosen is the one that was shown", func(t *testing.T) {
		c, b := w.AddClient("four"), w.Browser()
		b.Code(c, "alice")
		accounts := b.Open(w.Request(c, "prompt", "select_account"))
		b.SignInOver(b.Open(w.Request(c, "prompt", "login")), "bob")
		p := b.Follow(b.Post(accounts.FormAction("account-current"), providertest.AccountForm(accounts, "current")))
		if code := p.Answer().Get("code"); code != "" {
			t.Error("bob's code, though alice's account was chosen")
		}
	})
}

func TestClaimsByNameDoNotReachFurtherThanScopes(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	w.AddUser("alice", "staff")
	const asked = `{"userinfo":{"email":{"essential":true},"groups":null,"name":null},"id_token":{"email":null,"roles":null,"acr":null}}`
	said := func(c clients.Client) (userinfo, idToken map[string]any) {
		t.Helper()
		got := w.Redeem(c, w.Browser().Code(c, "alice", "claims", asked))
		info := w.UserinfoOf(got.Str("access_token"))
		if info.StatusCode != http.StatusOK {
			t.Fatalf("userinfo: %d %v", info.StatusCode, info.JSON)
		}
		return info.JSON, providertest.ClaimsOf(t, got.Str("id_token"))
	}
	has := func(m map[string]any, name string) bool { _, ok := m[name]; return ok }

	info, id := said(w.AddClient("free"))
	if !has(info, "email") || !has(info, "groups") || !has(info, "name") || !has(id, "email") || !has(id, "roles") {
		t.Errorf("the control: %v %v", info, id)
	}
	kept := w.AddClient("kept", providertest.AsksConsent, func(c *clients.Client) { c.Scope = "openid profile" })
	b := w.Browser()
	if page := b.SignInAs(b.Open(w.Request(kept, "claims", asked)), "alice"); !page.Has("consent-page") ||
		strings.Contains(page.Body, "e-mail address") {
		t.Errorf("nobody is asked for what the application cannot get: %d", page.StatusCode)
	}
	info, id = said(kept)
	if has(info, "email") || has(info, "groups") || has(id, "email") || has(id, "roles") || !has(info, "name") {
		t.Errorf("a client that may have openid and profile got %v and %v", info, id)
	}
	t.Run("nor does what was granted before the client lost the scope", func(t *testing.T) {
		c := w.AddClient("later")
		got := w.Redeem(c, w.Browser().Code(c, "alice", "claims", asked))
		c, err := w.Store.Client(t.Context(), c.ID)
		if err != nil {
			t.Fatal(err)
		}
		c.Scope = "openid"
		if err := w.Store.UpdateClient(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		if info := w.UserinfoOf(got.Str("access_token")); info.StatusCode != http.StatusOK || has(info.JSON, "email") ||
			has(info.JSON, "name") || has(info.JSON, "groups") {
			t.Errorf("%d %v", info.StatusCode, info.JSON)
		}
	})
}
