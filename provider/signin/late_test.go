package signin_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"latchkey/provider/providertest"
)

func TestAFormThatWasOpenOverNightKeepsTheNameAndGoesOn(t *testing.T) {
	t.Parallel()
	for name, own := range map[string]bool{"of an application": false, "of the account page": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := providertest.New(t)
			w.AddUser("alice")
			c := w.AddClient("web")
			b := w.Browser()
			target := w.Request(c)
			if own {
				target = "/account/sessions"
			}
			p := b.Open(target)
			w.Clock.Advance(9 * time.Hour)
			form := url.Values{"username": {"Alice"}, "password": {providertest.TestPassword}, "remember": {"yes"}}
			again := b.Submit(p, "login-submit", form)
			if again.StatusCode != http.StatusBadRequest || !again.Has("login-error") || !strings.Contains(again.Body,
				`value="Alice"`) || !strings.Contains(again.Body, " checked") ||
				strings.Contains(again.Body, providertest.TestPassword) {
				t.Fatalf("%d %s", again.StatusCode, again.Body)
			}
			if !b.Open("/account").Has("login-page") {
				t.Error("somebody is signed in by a form that is too old")
			}
			done := b.Follow(b.Submit(again, "login-submit", form))
			if own && !done.Has("sessions-page") || !own && done.Answer().Get("code") == "" {
				t.Errorf("it does not go on: %d %s", done.StatusCode, done.Request.URL)
			}
			// Nor is the page itself a dead end, for the browser that it belongs to.
			p = w.Browser().Open(p.Request.URL.RequestURI())
			if p.Has("login-page") {
				t.Error("another browser goes on with it")
			}
		})
	}
}

func TestASignInPageThatIsTooOldBeginsAnew(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	w.AddUser("alice")
	c := w.AddClient("web")
	b := w.Browser()
	p := b.Open(w.Request(c))
	w.Clock.Advance(9 * time.Hour)
	if p = b.Open(p.Request.URL.RequestURI()); !p.Has("login-page") {
		t.Fatalf("%d %s", p.StatusCode, p.Body)
	}
	if done := b.SignInAs(p, "alice"); done.Answer().Get("code") == "" || done.Answer().Get("state") != "S1" {
		t.Errorf("%d %s", done.StatusCode, done.Request.URL)
	}
	// A form that another page has made up is not taken, however old it is.
	p = b.Open(w.Request(c, "prompt", "login"))
	w.Clock.Advance(9 * time.Hour)
	if bad := b.Post(p.FormAction("login-submit"), url.Values{"csrf": {"x"}, "username": {"alice"},
		"password": {providertest.TestPassword}}); bad.StatusCode != http.StatusForbidden {
		t.Errorf("%d", bad.StatusCode)
	}
}
