package signin_test

import (
	"net/http"
	"net/url"
	"testing"

	"latchkey/provider"
	"latchkey/provider/admin"
	"latchkey/provider/providertest"
	"latchkey/provider/storage"
	"latchkey/provider/storage/storagetest"
)

// onEach runs a test on either store. open makes its provider.
func onEach(t *testing.T, run func(t *testing.T, open func(bend ...func(*provider.Config)) *providertest.World)) {
	t.Helper()
	t.Parallel()
	storagetest.Each(t, func(t *testing.T, s *storage.Store) {
		run(t, func(bend ...func(*provider.Config)) *providertest.World {
			return providertest.New(t, append(bend, func(c *provider.Config) { c.Store = s })...)
		})
	})
}

func named(name, password string) url.Values {
	return url.Values{"username": {name}, "password": {password}}
}

func TestAPersonSignsInByAVerifiedAddress(t *testing.T) {
	onEach(t, func(t *testing.T, open func(...func(*provider.Config)) *providertest.World) {
		w := open()
		alice, c := w.AddUser("alice"), w.AddClient("web")
		for _, name := range []string{"alice", "alice@example.com", " Alice@Example.COM ", "ａlice@example.com"} {
			b := w.Browser()
			p := b.Submit(b.Open(w.Request(c)), "login-submit", named(name, providertest.TestPassword))
			code := b.Follow(p).Answer().Get("code")
			if got := w.IdTokenOf(c, code)["sub"]; got != alice.ID {
				t.Errorf("%q signs in %v", name, got)
			}
		}
		// An address that nobody has confirmed is nobody's name.
		u, err := w.Store.User(t.Context(), alice.ID)
		if err != nil {
			t.Fatal(err)
		}
		u.Claims.EmailVerified = false
		if err := w.Store.UpdateUser(t.Context(), u); err != nil {
			t.Fatal(err)
		}
		if w.SignsIn("alice@example.com", providertest.TestPassword) || !w.SignsIn("alice", providertest.TestPassword) {
			t.Error("an address that is not verified signs somebody in, or the username does not any more")
		}
	})
}

// Guesses by either name count against the one account, and a lock-out by one is a lock-out of both.
func TestFailuresByEitherNameCountAgainstTheAccount(t *testing.T) {
	onEach(t, func(t *testing.T, open func(...func(*provider.Config)) *providertest.World) {
		w := open()
		w.AddUser("alice")
		names := []string{"alice", "alice@example.com", "ALICE@example.com", "unknown@example.com", "unknown"}
		status := func(name, password string) int {
			b := w.Browser()
			return b.Submit(b.Open("/account"), "login-submit", named(name, password)).StatusCode
		}
		for i := range 10 {
			if got := status(names[i%3], "wrong"); got != http.StatusUnauthorized {
				t.Errorf("failure %d: %d", i, got)
			}
		}
		for i, want := range []int{429, 429, 429, 401, 401} {
			if got := status(names[i], providertest.TestPassword); got != want {
				t.Errorf("%s: %d, want %d", names[i], got, want)
			}
		}
		w.Config.Audit.Wait()
		events, err := w.Store.Events(t.Context(), storage.EventFilter{Object: "sub-alice"}, "", 100)
		if err != nil {
			t.Fatal(err)
		}
		verbs := map[string]int{}
		for _, e := range events {
			verbs[e.Verb]++
			if e.Object.Name != "alice" {
				t.Errorf("the log names %q", e.Object.Name)
			}
		}
		if verbs["user.lock_out"] != 1 || verbs["session.begin"] == 0 {
			t.Errorf("%v", verbs)
		}
	})
}

func TestAKnownBrowserIsKnownByEitherName(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	w.AddUser("alice")
	b := w.Browser()
	p := b.Submit(b.Open("/account"), "login-submit", named("alice", providertest.TestPassword))
	b.Follow(p)
	if err := w.Sessions.EndAll(t.Context(), "sub-alice"); err != nil {
		t.Fatal(err)
	}
	for range 11 {
		other := w.Browser()
		other.Submit(other.Open("/account"), "login-submit", named("alice", "wrong"))
	}
	if w.SignsIn("alice@example.com", providertest.TestPassword) {
		t.Error("the account is not locked")
	}
	p = b.Submit(b.Open("/account"), "login-submit", named("alice@example.com", providertest.TestPassword))
	if p.StatusCode != http.StatusSeeOther {
		t.Errorf("her own browser: %d", p.StatusCode)
	}
}

func TestARenamedPersonKeepsTheirSubjectIdentifier(t *testing.T) {
	onEach(t, func(t *testing.T, open func(...func(*provider.Config)) *providertest.World) {
		w := open()
		alice, c := w.AddUser("alice"), w.AddClient("web")
		b := w.Browser()
		before := w.IdTokenOf(c, b.Code(c, "alice"))
		if _, err := w.Admin.RenameUser(t.Context(), admin.Actor{Kind: storage.ActorCommand, Name: "test"}, alice.ID,
			"Liddell"); err != nil {
			t.Fatal(err)
		}
		// The session goes on, and tells the new name.
		p := b.Open(w.Request(c, "prompt", "none", "scope", "openid profile"))
		after := w.IdTokenOf(c, p.Answer().Get("code"))
		if before["sub"] != after["sub"] || after["sub"] == nil {
			t.Errorf("%v %v", before["sub"], after["sub"])
		}
		if w.SignsIn("alice", providertest.TestPassword) || !w.SignsIn("liddell", providertest.TestPassword) {
			t.Error("the new name does not sign in, or the old one does")
		}
	})
}
