package session_test

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"latchkey/provider"
	"latchkey/provider/people"
	"latchkey/provider/providertest"
	"latchkey/provider/storage"
	"latchkey/provider/storage/storagetest"
)

func TestAClientIsToldOfASignOutHoweverLongAgoItWasReached(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	w.AddUser("alice")
	rp := providertest.NewRelyingParty(t)
	c, other := w.AddClient("shop", rp.Hears), w.AddClient("mail")
	b := w.Browser()
	p := b.Open(w.Request(c))
	p = b.Follow(b.Submit(p, "login-submit", url.Values{"username": {"alice"}, "password": {providertest.TestPassword},
		"remember": {"yes"}}))
	w.Redeem(c, p.Answer().Get("code"))
	for range 4 { // days, with a purge on each
		w.Clock.Advance(24 * time.Hour)
		if _, err := w.Store.Purge(t.Context(), w.Now()); err != nil {
			t.Fatal(err)
		}
		b.Code(other, "alice")
	}
	account := b.Get("/account/sessions")
	if !strings.Contains(account.Body, "App shop") {
		t.Error("the account page has forgotten the application")
	}
	confirm := b.Get("/logout")
	b.Submit(confirm, "logout-confirm", nil)
	w.DeliverDue()
	if n := len(rp.Heard()); n != 1 {
		t.Errorf("%d logout tokens", n)
	}
}

// The cleanup has found the session, and then its user signs in again and carries it on.
func TestCleanupEndsNoSessionThatWasRenewedMeanwhile(t *testing.T) {
	t.Parallel()
	var between atomic.Pointer[func()] // what happens after the cleanup has looked for sessions, before it ends one
	w := providertest.New(t, func(c *provider.Config) {
		c.SessionIdle = time.Minute
		c.Store = storagetest.Intercept(c.Store, func(_ context.Context, call storagetest.Call) error {
			if call.Do == "values" && call.Table == "grants" {
				if f := between.Swap(nil); f != nil {
					(*f)()
				}
			}
			return nil
		})
	})
	w.AddUser("alice")
	rp := providertest.NewRelyingParty(t)
	c := w.AddClient("shop", rp.Hears)
	b := w.Browser()
	b.Code(c, "alice")
	w.Clock.Advance(63 * time.Second)
	again := func() { b.Code(c, "alice") }
	between.Store(&again)
	if _, err := w.Sessions.EndLapsed(t.Context()); err != nil {
		t.Fatal(err)
	}
	if between.Load() != nil {
		t.Fatal("the cleanup has found nothing")
	}
	if p := b.Open(w.Request(c)); p.Answer().Get("code") == "" {
		t.Errorf("the user who has just signed in is signed out: %d", p.StatusCode)
	}
	w.DeliverDue()
	if n := len(rp.Heard()); n != 0 {
		t.Errorf("%d logout tokens of a session that goes on", n)
	}
	// Its real end is told.
	b.Submit(b.Get("/logout"), "logout-confirm", nil)
	w.DeliverDue()
	if n := len(rp.Heard()); n != 1 {
		t.Errorf("%d logout tokens in the end", n)
	}
}

func TestASessionThatRanOutIsEndedLikeTheOthers(t *testing.T) {
	t.Parallel()
	begin := func(t *testing.T) (w *providertest.World, heard func() int, b *providertest.Browser) {
		w = providertest.New(t, func(c *provider.Config) { c.SessionIdle = time.Minute })
		w.AddUser("alice")
		w.AddUser("bob")
		rp := providertest.NewRelyingParty(t)
		b = w.Browser()
		b.Code(w.AddClient("shop", rp.Hears), "alice")
		w.Clock.Advance(63 * time.Second)
		return w, func() int { return len(rp.Heard()) }, b
	}
	told := func(t *testing.T, w *providertest.World, heard func() int, want int) {
		t.Helper()
		w.DeliverDue()
		if n := heard(); n != want {
			t.Errorf("%d logout tokens, want %d", n, want)
		}
	}
	t.Run("by the cleanup", func(t *testing.T) {
		t.Parallel()
		w, heard, _ := begin(t)
		if n, err := w.Sessions.EndLapsed(t.Context()); err != nil || n != 1 {
			t.Errorf("%d %v", n, err)
		}
		told(t, w, heard, 1)
		if n, err := w.Sessions.EndLapsed(t.Context()); err != nil || n != 0 {
			t.Errorf("once more: %d %v", n, err)
		}
	})
	t.Run("by an administrator who ends all sessions of the user", func(t *testing.T) {
		t.Parallel()
		w, heard, _ := begin(t)
		if err := w.EndSessions(t.Context(), "sub-alice"); err != nil {
			t.Fatal(err)
		}
		told(t, w, heard, 1)
	})
	t.Run("by a sign-out after the same user has signed in again", func(t *testing.T) {
		t.Parallel()
		w, heard, b := begin(t)
		b.Code(w.AddClient("second"), "alice")
		told(t, w, heard, 0) // the session goes on
		b.Submit(b.Get("/logout"), "logout-confirm", nil)
		told(t, w, heard, 1)
	})
	t.Run("when somebody else signs in", func(t *testing.T) {
		t.Parallel()
		w, heard, b := begin(t)
		b.Code(w.AddClient("second"), "bob")
		told(t, w, heard, 1)
	})
}

// TestASignInUnderWayDoesNotSurviveAChangeOfTheAccount puts the change between the check of the
// password and the new session.
func TestASignInUnderWayDoesNotSurviveAChangeOfTheAccount(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*testing.T, *providertest.World, storage.User){
		"another password": func(t *testing.T, w *providertest.World, u storage.User) {
			hash, err := people.NewHasher(people.Params{Memory: 64, Time: 1, Threads: 1}, 1).Hash(t.Context(),
				"another password of alice")
			if err == nil {
				u.PasswordHash = hash
				err = w.Store.UpdateUser(t.Context(), u)
			}
			if err != nil {
				t.Fatal(err)
			}
		},
		"disabled": func(t *testing.T, w *providertest.World, u storage.User) {
			u.Disabled = true
			if err := w.Store.UpdateUser(t.Context(), u); err != nil {
				t.Fatal(err)
			}
		},
		"deleted": func(t *testing.T, w *providertest.World, u storage.User) {
			if err := w.Store.DeleteUser(t.Context(), u.ID); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var once sync.Once
			gate := &gatedUsers{}
			w := providertest.New(t, func(c *provider.Config) {
				gate.Store = c.Store
				c.People = &people.Authenticator{Store: gate, Now: c.Now,
					Hasher:   people.NewHasher(people.Params{Memory: 64, Time: 1, Threads: 1}, 4),
					Throttle: &people.Throttle{Counters: c.Store, Key: []byte("key")}}
			})
			alice := w.AddUser("alice")
			c, b := w.AddClient("web"), w.Browser()
			login := b.Open(w.Request(c))
			gate.loaded = func() {
				once.Do(func() {
					there, err := w.Store.User(t.Context(), alice.ID)
					if err != nil {
						t.Error(err)
						return
					}
					change(t, w, there)
					if err := w.EndSessions(t.Context(), alice.ID); err != nil {
						t.Error(err)
					}
				})
			}
			p := b.Follow(b.Submit(login, "login-submit", url.Values{"username": {"alice"},
				"password": {providertest.TestPassword}}))
			if p.StatusCode != http.StatusUnauthorized || p.Answer().Has("code") {
				t.Errorf("%d %s", p.StatusCode, p.Header.Get("Location"))
			}
			if got := b.Get(w.Request(c, "prompt", "none")).Answer(); got.Get("error") != "login_required" {
				t.Errorf("afterwards: %v", got)
			}
		})
	}
}

// gatedUsers calls loaded after an account was read to check its password.
type gatedUsers struct {
	*storage.Store
	loaded func()
}

func (g *gatedUsers) UserBySignInName(ctx context.Context, username string) (storage.User, error) {
	u, err := g.Store.UserBySignInName(ctx, username)
	if g.loaded != nil {
		g.loaded()
	}
	return u, err
}
