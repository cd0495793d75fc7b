package recovery_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"latchkey/provider"
	"latchkey/provider/admin"
	"latchkey/provider/providertest"
	"latchkey/provider/storage"
)

const waiting = 72 * time.Hour

func patient(c *provider.Config) { c.LostWait = waiting }

// enrolled is a user with a second factor, and the address of before.
func enrolled(t *testing.T, w *providertest.Post) {
	t.Helper()
	u := w.AddUser("alice")
	u.Version = 1
	u.Factors = storage.Factors{TOTP: []storage.TOTP{{ID: "t", Secret: []byte("x"), ConfirmedAt: w.Web.Now()}}}
	u.FormerAddresses = []storage.FormerAddress{{Address: "old@example.org", Until: w.Web.Now().Add(24 * time.Hour)},
		{Address: "ancient@example.org", Until: w.Web.Now()}}
	if err := w.Store.UpdateUser(t.Context(), u); err != nil {
		t.Fatal(err)
	}
}

// begin asks for the way back and begins it.
func begin(t *testing.T, w *providertest.Post) {
	t.Helper()
	b := w.Browser()
	b.Submit(b.Open("/recovery"), "forgot-submit", url.Values{"username": {"alice"}})
	link := w.Link("alice@example.com")
	w.Browser().Open(link) // a program that checks mails
	p := b.Open(link)
	if !p.Has("step-page") || !strings.Contains(p.Body, "72 hours") {
		t.Fatalf("%d %s", p.StatusCode, p.Body)
	}
	if p := b.Submit(p, "step-submit", nil); !p.Has("step-home") {
		t.Fatalf("%d %s", p.StatusCode, p.Body)
	}
	if p := b.Open(link); p.StatusCode != http.StatusGone {
		t.Errorf("a used link: %d", p.StatusCode)
	}
}

func TestWhoHasLostEverythingGetsBackInAfterTheWaitingTime(t *testing.T) {
	t.Parallel()
	w := providertest.NewPost(t, patient)
	enrolled(t, w)
	begin(t, w)
	told := map[string]bool{}
	for _, m := range w.Mails() {
		told[m.To] = strings.Contains(m.Subject, "has begun")
		if l := providertest.LinkIn(m); !strings.Contains(l, "/recovery/stop?") {
			t.Errorf("%s", l)
		}
	}
	if len(told) != 2 || !told["alice@example.com"] || !told["old@example.org"] {
		t.Errorf("%v", told)
	}
	w.Clock.Advance(waiting - time.Minute)
	if got := w.Mails(); len(got) != 0 {
		t.Fatalf("too early: %v", got[0].Subject)
	}
	w.Clock.Advance(2 * time.Minute)
	link := w.Link("alice@example.com")
	b := w.Browser()
	p := b.Open(link)
	if !p.Has("reset-page") || !strings.Contains(p.Body, "second steps are removed") {
		t.Fatalf("%d %s", p.StatusCode, p.Body)
	}
	if p := b.Submit(p, "reset-submit",
		providertest.PasswordForm("gravel tandem oboe")); p.StatusCode != http.StatusSeeOther {
		t.Fatalf("%d %s", p.StatusCode, p.Body)
	}
	u, err := w.Store.User(t.Context(), "sub-alice")
	if err != nil || u.Factors.Second() {
		t.Errorf("%v %+v", err, u.Factors)
	}
	if !b.Open("/account").Has("login-page") || !w.SignsIn("alice", "gravel tandem oboe") {
		t.Error("it signs in by itself, or not at all")
	}
	if p := w.Browser().Open(link); p.StatusCode != http.StatusGone {
		t.Errorf("a used link: %d", p.StatusCode)
	}
}

func TestTheWayBackIsStopped(t *testing.T) {
	t.Parallel()
	for name, stop := range map[string]func(w *providertest.Post){
		"by the link in a mail to any address": func(w *providertest.Post) {
			for _, m := range w.Mails() {
				if m.To == "old@example.org" {
					b := w.Browser()
					p := b.Open(providertest.LinkIn(m))
					if p := b.Submit(p, "step-submit", nil); !p.Has("step-home") {
						t.Errorf("%d %s", p.StatusCode, p.Body)
					}
				}
			}
		},
		"by whoever uses a second factor": func(w *providertest.Post) {
			w.Mails()
			if err := w.Store.UseTOTP(t.Context(), "sub-alice", "t", 1, w.Web.Now()); err != nil {
				t.Error(err)
			}
		},
		"by an administrator who sets a password": func(w *providertest.Post) {
			w.Mails()
			if _, err := w.Admin.SetPassword(t.Context(), admin.Actor{Kind: storage.ActorCommand}, "sub-alice",
				"violet umbrella canoe"); err != nil {
				t.Error(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := providertest.NewPost(t, patient)
			enrolled(t, w)
			begin(t, w)
			stop(w)
			w.Clock.Advance(waiting + time.Hour)
			for _, m := range w.Mails() {
				if providertest.LinkIn(m) != "" {
					t.Errorf("%s: %s", m.To, m.Subject)
				}
			}
		})
	}
}

func TestALinkOfTheWayBackIsOfNoOtherUse(t *testing.T) {
	t.Parallel()
	w := providertest.NewPost(t, patient)
	enrolled(t, w)
	b := w.Browser()
	b.Submit(b.Open("/recovery"), "forgot-submit", url.Values{"username": {"alice"}})
	value := strings.Split(w.Link("alice@example.com"), "?")[1]
	for _, path := range []string{"/password/reset", "/invitation", "/recovery/finish", "/recovery/stop",
		"/account/address/confirm"} {
		if p := w.Browser().Open(path + "?" + value); p.StatusCode != http.StatusGone {
			t.Errorf("%s: %d", path, p.StatusCode)
		}
	}
}

func TestWithoutAWaitingTimeThereIsNoWayBack(t *testing.T) {
	t.Parallel()
	w := providertest.NewPost(t)
	if w.Browser().Open("/password/forgot").Has("forgot-lost") {
		t.Error("the page leads to what is not there")
	}
	for _, path := range []string{"/recovery", "/recovery/begin?link=x", "/recovery/stop?link=x",
		"/recovery/finish?link=x"} {
		if p := w.Browser().Get(path); p.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %d", path, p.StatusCode)
		}
	}
}

func TestAnInvitedPersonChoosesAFirstPassword(t *testing.T) {
	t.Parallel()
	w := providertest.NewPost(t)
	shell := admin.Actor{Kind: storage.ActorCommand, Name: "ada@host"}
	u, err := w.Admin.CreateUser(t.Context(), shell, admin.NewUser{Username: "eve", Claims: storage.Claims{Name: "Eve",
		Email: "eve@example.com"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Admin.Invite(t.Context(), admin.Actor{Kind: storage.ActorUser, ID: u.ID}, u.ID); err == nil {
		t.Error("somebody without a role invites")
	}
	if _, err := w.Admin.Invite(t.Context(), shell, u.ID); err != nil {
		t.Fatal(err)
	}
	link := w.Link("eve@example.com")
	w.Clock.Advance(6 * 24 * time.Hour)
	b := w.Browser()
	p := b.Open(link)
	if !p.Has("reset-page") || !strings.Contains(p.Body, "Welcome") {
		t.Fatalf("%d %s", p.StatusCode, p.Body)
	}
	if p := b.Submit(p, "reset-submit",
		providertest.PasswordForm("gravel tandem oboe")); p.StatusCode != http.StatusSeeOther {
		t.Fatalf("%d %s", p.StatusCode, p.Body)
	}
	if now, err := w.Store.User(t.Context(), u.ID); err != nil || !now.Claims.EmailVerified ||
		!w.SignsIn("eve", "gravel tandem oboe") {
		t.Errorf("%v", err)
	}
	if p := w.Browser().Open(link); p.StatusCode != http.StatusGone {
		t.Errorf("a used link: %d", p.StatusCode)
	}
	// Another one takes the place of the first, and it ends.
	if _, err := w.Admin.Invite(t.Context(), shell, u.ID); err != nil {
		t.Fatal(err)
	}
	link = w.Link("eve@example.com")
	w.Clock.Advance(8 * 24 * time.Hour)
	if p := w.Browser().Open(link); p.StatusCode != http.StatusGone {
		t.Errorf("too old: %d", p.StatusCode)
	}
}
