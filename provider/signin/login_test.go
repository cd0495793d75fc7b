package signin_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"latchkey/provider"
	"latchkey/provider/people"
	"latchkey/provider/providertest"
)

var slow = people.NewHasher(people.Params{Memory: 4 << 10, Time: 1, Threads: 1}, 1)

// slowHash is the password of everybody at the cost of slow.
var slowHash = sync.OnceValues(func() (string, error) {
	return slow.Hash(context.Background(),
		providertest.TestPassword)
})

func addSlow(t *testing.T, w *providertest.World, username string) {
	t.Helper()
	u := w.AddUser(username)
	u, err := w.Store.User(t.Context(), u.ID)
	if err == nil {
		u.PasswordHash, err = slowHash()
	}
	if err == nil {
		err = w.Store.UpdateUser(t.Context(), u)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// slowHashes makes sign-in as slow as it is in production: one password at a time, each at a real
// cost.
func slowHashes(c *provider.Config) {
	c.People = &people.Authenticator{Store: c.Store, Now: c.Now, Hasher: slow,
		Throttle: &people.Throttle{Counters: c.Store, Key: c.Sealer.Derive("throttle", 32)}}
}

func TestTwoHundredPeopleBehindOneAddressSignInWithinOneSecond(t *testing.T) {
	t.Parallel()
	w := providertest.New(t, slowHashes)
	c := w.AddClient("web")
	const people = 200
	type person struct {
		b *providertest.Browser
		p providertest.Page
	}
	all := make([]person, people)
	for i := range all {
		addSlow(t, w, fmt.Sprint("person", i))
		b := w.Browser()
		all[i] = person{b, b.Open(w.Request(c))}
	}
	var wait sync.WaitGroup
	for i, x := range all {
		wait.Go(func() {
			p := x.b.Submit(x.p, "login-submit", url.Values{"username": {fmt.Sprint("person", i)},
				"password": {providertest.TestPassword}})
			if p = x.b.Follow(p); p.Answer().Get("code") == "" {
				t.Errorf("person %d: %d %s", i, p.StatusCode, p.Header.Get("Location"))
			}
		})
	}
	wait.Wait()
}

func TestAPasswordHashedByAnotherProductSignsInAndIsHashedAnew(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	u := w.AddUser("imported")
	u, err := w.Store.User(t.Context(), u.ID)
	if err != nil {
		t.Fatal(err)
	}
	const django = "bcrypt_sha256$$2b$04$3C1iUt8g/aELUwntBN5W4uV14kNPF.X5kfLDYlHuUeqByrIkWgBIW"
	u.PasswordHash = django
	if err := w.Store.UpdateUser(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	c := w.AddClient("web")
	b := w.Browser()
	p := b.Submit(b.Open(w.Request(c)), "login-submit", url.Values{"username": {"imported"},
		"password": {"correct horse batteri"}})
	if p.StatusCode != http.StatusUnauthorized {
		t.Errorf("a wrong password: %d", p.StatusCode)
	}
	if u, err = w.Store.User(t.Context(), u.ID); err != nil || u.PasswordHash != django {
		t.Errorf("after a wrong password: %q %v", u.PasswordHash, err)
	}
	for _, time := range []string{"first", "second"} {
		b := w.Browser()
		if p := b.SignInAs(b.Open(w.Request(c)), "imported"); p.Answer().Get("code") == "" {
			t.Errorf("the %s sign-in: %d", time, p.StatusCode)
		}
		if u, err = w.Store.User(t.Context(), u.ID); err != nil || !strings.HasPrefix(u.PasswordHash, "$argon2id$") {
			t.Errorf("after the %s sign-in: %q %v", time, u.PasswordHash, err)
		}
	}
}

func TestOneAccountDoesNotKeepTheOthersFromSigningIn(t *testing.T) {
	t.Parallel()
	w := providertest.New(t, slowHashes)
	addSlow(t, w, "mallory")
	addSlow(t, w, "alice")
	c := w.AddClient("web")
	done := make(chan struct{})
	var wait sync.WaitGroup
	for range 60 {
		b := w.Browser()
		p := b.Open(w.Request(c, "prompt", "login"))
		wait.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					b.Submit(p, "login-submit", url.Values{"username": {"mallory"},
						"password": {providertest.TestPassword}})
				}
			}
		})
	}
	for range 5 {
		b := w.Browser()
		if p := b.SignInAs(b.Open(w.Request(c)), "alice"); p.StatusCode != http.StatusSeeOther ||
			p.Answer().Get("code") == "" {
			t.Errorf("alice: %d", p.StatusCode)
		}
	}
	close(done)
	wait.Wait()
}
