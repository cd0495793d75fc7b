package signin_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"latchkey/provider"
	"latchkey/provider/people"
	"latchkey/provider/providertest"
	"latchkey/provider/storage"
)

// A group whose people need a second factor: it is set up in the middle of the first sign-in, and
// asked for on every path from then on.
func TestAGroupCanRequireASecondFactor(t *testing.T) {
	onEach(t, func(t *testing.T, open func(...func(*provider.Config)) *providertest.World) {
		w := open()
		g := storage.Group{Name: "finance", RequireSecondFactor: true}
		if err := w.Store.CreateGroup(t.Context(), g); err != nil {
			t.Fatal(err)
		}
		w.AddUser("alice", "finance")
		w.AddUser("bob", "gone") // a group that is being deleted
		c := w.AddClient("web")
		if w.Browser().Code(c, "bob") == "" {
			t.Error("somebody outside the group is asked")
		}
		b := w.Browser()
		p := b.SignInAs(b.Open(w.Request(c)), "alice")
		if !p.Has("totp-page") {
			t.Fatalf("nothing is set up: %d %s", p.StatusCode, p.Request.URL)
		}
		// Until then she is let in nowhere.
		for _, target := range []string{"/account", "/account/methods", "/account/password"} {
			if got := b.Open(target); !got.Has("totp-page") {
				t.Errorf("%s: %d %s", target, got.StatusCode, got.Request.URL)
			}
		}
		silent := b.Get(w.Request(c, "prompt", "none")).Answer()
		if silent.Get("error") != "login_required" {
			t.Errorf("prompt=none: %v", silent)
		}
		a := b.AuthenticatorOf(p)
		p = b.Follow(b.Submit(p, "totp-submit", code(a.Code(0))))
		if p = b.Open(providertest.LinkTo(p, "recovery-continue")); p.Answer().Get("code") == "" {
			t.Fatalf("%d %s", p.StatusCode, p.Request.URL)
		}
		if acr := w.IdTokenOf(c, p.Answer().Get("code"))["acr"]; acr != people.ACRMultiFactor {
			t.Errorf("acr %v", acr)
		}
		if p = b.Open("/account/methods"); !p.Has("methods-needed") {
			t.Errorf("the account page does not say so: %d %s", p.StatusCode, p.Request.URL)
		}
		nb, p := atFactor(t, w, c)
		w.Clock.Advance(time.Minute)
		if p := nb.Follow(nb.Submit(p, "mfa-submit", code(a.Code(0)))); p.Answer().Get("code") == "" {
			t.Errorf("the next sign-in: %d", p.StatusCode)
		}
	})
}

// A session from before the group required it is asked at its next request, and its tokens live on.
func TestARequirementReachesSessionsThatThereAre(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	if err := w.Store.CreateGroup(t.Context(), storage.Group{Name: "finance"}); err != nil {
		t.Fatal(err)
	}
	w.AddUser("alice", "finance")
	c := w.AddClient("web")
	b := w.Browser()
	tokens := w.Redeem(c, b.Code(c, "alice", "scope", "openid offline_access", "prompt", "consent"))
	g, err := w.Store.Group(t.Context(), "finance")
	if err != nil {
		t.Fatal(err)
	}
	g.RequireSecondFactor = true
	if err := w.Store.UpdateGroup(t.Context(), g); err != nil {
		t.Fatal(err)
	}
	w.Clock.Advance(2 * time.Second)
	if p := b.Open(w.Request(c)); !p.Has("totp-page") {
		t.Errorf("the session goes on: %d %s", p.StatusCode, p.Request.URL)
	}
	w.Clock.Advance(10 * time.Minute)
	// Whoever finds the browser open sets nothing up.
	for _, target := range []string{w.Request(c), "/account"} {
		if p := b.Open(target); !p.Has("login-page") {
			t.Errorf("%s, later: %d %s", target, p.StatusCode, p.Request.URL)
		}
	}
	providertest.MustWork(t, w.Renew(c, tokens.Str("refresh_token"))) // the refresh token is not affected
}

func TestAdministratorsCanBeRequiredToHaveASecondFactor(t *testing.T) {
	onEach(t, func(t *testing.T, open func(...func(*provider.Config)) *providertest.World) {
		w := open(func(c *provider.Config) { c.RequireAdministratorSecondFactor = true })
		root := w.AddUser("root")
		root, err := w.Store.User(t.Context(), root.ID)
		if err == nil {
			root.Role = storage.RoleOwner
			err = w.Store.UpdateUser(t.Context(), root)
		}
		if err != nil {
			t.Fatal(err)
		}
		w.AddUser("alice")
		c := w.AddClient("web")
		if w.Browser().Code(c, "alice") == "" {
			t.Error("somebody without a role is asked")
		}
		if p := w.Browser(); !p.SignInAs(p.Open(w.Request(c)), "root").Has("totp-page") {
			t.Error("an application lets an administrator in by password alone")
		}
		b := w.Browser()
		p := b.SignInAs(b.Open("/admin"), "root")
		if !p.Has("totp-page") || strings.Contains(p.Body, "totp-turn-back") {
			t.Fatalf("the pages for administrators: %d %s", p.StatusCode, p.Request.URL)
		}
		wrong := b.Submit(p, "totp-submit", url.Values{"code": {"000000"}})
		if wrong.StatusCode != http.StatusBadRequest {
			t.Errorf("a wrong code: %d", wrong.StatusCode)
		}
		a := b.AuthenticatorOf(p)
		p = b.Follow(b.Submit(p, "totp-submit", code(a.Code(0))))
		if p = b.Open(providertest.LinkTo(p, "recovery-continue")); !p.Has("console-start") {
			t.Errorf("after it was set up: %d %s", p.StatusCode, p.Request.URL)
		}
	})
}
