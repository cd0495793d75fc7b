package signin_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"latchkey/provider/clients"
	"latchkey/provider/people"
	"latchkey/provider/providertest"
	"latchkey/provider/web"
)

func TestPromptAndMaxAge(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	w.AddUser("alice")
	w.AddUser("bob")
	c := w.AddClient("web-a")
	signedIn := func(t *testing.T) (*providertest.Browser, map[string]any) {
		t.Helper()
		b := w.Browser()
		return b, w.IdTokenOf(c, b.Code(c, "alice"))
	}

	t.Run("OIDC Core §3.1.2.1 prompt=login asks again and auth_time is new", func(t *testing.T) {
		b, first := signedIn(t)
		w.Clock.Advance(5 * time.Second)
		p := b.Open(w.Request(c, "prompt", "login"))
		if !p.Has("login-page") {
			t.Fatal("no second sign-in page")
		}
		again := w.IdTokenOf(c, b.SignInAs(p, "alice").Answer().Get("code"))
		if again["auth_time"].(float64) <= first["auth_time"].(float64) || again["sub"] != first["sub"] {
			t.Errorf("%v, %v", first, again)
		}
	})
	t.Run("OIDC Core §3.1.2.1 prompt=none answers silently, with the same auth_time", func(t *testing.T) {
		b, first := signedIn(t)
		w.Clock.Advance(5 * time.Second)
		again := w.IdTokenOf(c, b.Get(w.Request(c, "prompt", "none")).Answer().Get("code"))
		if again["auth_time"] != first["auth_time"] || again["sub"] != first["sub"] {
			t.Errorf("%v, %v", first, again)
		}
	})
	t.Run("OIDC Core §3.1.2.1 max_age that has passed asks again", func(t *testing.T) {
		b, first := signedIn(t)
		w.Clock.Advance(2 * time.Second)
		p := b.Open(w.Request(c, "max_age", "1"))
		if !p.Has("login-page") {
			t.Fatal("no second sign-in page")
		}
		again := w.IdTokenOf(c, b.SignInAs(p, "alice").Answer().Get("code"))
		if again["auth_time"].(float64) <= first["auth_time"].(float64) {
			t.Errorf("%v, %v", first, again)
		}
	})
	t.Run("and leaving the parameter out on the way does not help", func(t *testing.T) {
		b, _ := signedIn(t)
		w.Clock.Advance(2 * time.Second)
		p := b.Open(w.Request(c, "max_age", "1"))
		if q := b.Open("/authorize?i=" + p.Request.URL.Query().Get("i")); !q.Has("login-page") ||
			q.Answer().Has("code") {
			t.Errorf("%s", q.Request.URL)
		}
	})
	t.Run("OIDC Core §3.1.2.1 max_age that has not passed is silent", func(t *testing.T) {
		b, first := signedIn(t)
		w.Clock.Advance(2 * time.Second)
		if again := w.IdTokenOf(c, b.Get(w.Request(c, "max_age",
			"10000")).Answer().Get("code")); again["auth_time"] != first["auth_time"] {
			t.Errorf("%v, %v", first, again)
		}
	})
	t.Run("OIDC Core §3.1.2.1 id_token_hint of who is signed in is silent, of another is not answered",
		func(t *testing.T) {
			b := w.Browser()
			tokens := w.Redeem(c, b.Code(c, "alice"))
			hint := tokens.Str("id_token")
			if b.Get(w.Request(c, "prompt", "none", "id_token_hint", hint)).Answer().Get("code") == "" {
				t.Error("the person who is signed in is the one that is meant")
			}
			other := w.Browser()
			other.Code(c, "bob")
			if got := other.Get(w.Request(c, "prompt", "none", "id_token_hint",
				hint)).Answer().Get("error"); got != "login_required" {
				t.Errorf("bob is not alice: %q", got)
			}
			p := other.Open(w.Request(c, "id_token_hint", hint))
			if q := other.SignInAs(p, "bob").Answer(); q.Get("error") != "login_required" || q.Has("code") {
				t.Errorf("nor after signing in: %v", q)
			}
		})
	t.Run("OIDC Core §3.1.2.1 prompt=select_account goes on with the account that was chosen", func(t *testing.T) {
		b, _ := signedIn(t)
		p := b.Open(w.Request(c, "prompt", "select_account"))
		if !strings.HasPrefix(p.Request.URL.Path, "/accounts") {
			t.Fatalf("%s", p.Request.URL)
		}
		q := b.Follow(b.Post(p.Request.URL.RequestURI(), url.Values{"account": {"current"},
			"csrf": {providertest.RegexpCSRF(p.Body)}}))
		if q.Answer().Get("code") == "" {
			t.Errorf("%d %s", q.StatusCode, q.Body)
		}
	})
	t.Run("OIDC Core §3.1.2.1 prompt=consent asks although it was allowed before", func(t *testing.T) {
		asking := w.AddClient("web-asking", providertest.AsksConsent)
		b := w.Browser()
		b.Code(asking, "alice")
		if b.Get(w.Request(asking, "prompt", "none")).Answer().Get("code") == "" {
			t.Fatal("it was allowed before")
		}
		p := b.Open(w.Request(asking, "prompt", "consent"))
		if !p.Has("consent-page") {
			t.Fatal("not asked")
		}
		if b.Follow(b.Submit(p, "consent-allow", url.Values{"decision": {"allow"}})).Answer().Get("code") == "" {
			t.Error("no code")
		}
	})
	t.Run("OIDC Core §3.1.2.1 acr_values is answered with the acr that was reached", func(t *testing.T) {
		b := w.Browser()
		if id := w.IdTokenOf(c, b.Code(c, "alice", "acr_values", people.ACRPassword)); id["acr"] != people.ACRPassword {
			t.Errorf("acr is %v", id["acr"])
		}
	})
	t.Run("OIDC Core §3.1.2.1 what only gives a hint breaks nothing", func(t *testing.T) {
		b, _ := signedIn(t)
		for _, extra := range [][]string{{"display", "popup"}, {"display", "page"}, {"ui_locales", "se"},
			{"claims_locales", "se"}, {"login_hint", "alice"}, {"extra", "foobar"}, {"nonce", ""}} {
			if b.Get(w.Request(c, extra...)).Answer().Get("code") == "" {
				t.Errorf("%v", extra)
			}
		}
	})
}

func TestTurningBack(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	w.AddUser("alice")
	c := w.AddClient("web-a", func(c *clients.Client) { c.AllowedGroups = []string{"staff"} })
	t.Run("RFC 6749 §4.1.2.1 cancelling the sign-in is access_denied", func(t *testing.T) {
		b := w.Browser()
		p := b.Open(w.Request(c))
		q := b.Post(p.Request.URL.RequestURI(), url.Values{"action": {"cancel"},
			"csrf": {providertest.RegexpCSRF(p.Body)}}).Answer()
		if q.Get("error") != "access_denied" || q.Get("state") != "S1" || q.Get("iss") != w.Issuer {
			t.Errorf("%v", q)
		}
	})
	t.Run("also when the browser has lost the cookie that ties it to what it is in the middle of", func(t *testing.T) {
		b := w.Browser()
		b.Code(w.AddClient("web-open"), "alice")
		b.Client.Jar.SetCookies(w.Web.Base, []*http.Cookie{{Name: web.BrowserCookie, Path: "/", MaxAge: -1}})
		p := b.Get(w.Request(c))
		if !p.Has("refused") {
			t.Fatalf("%d %s", p.StatusCode, p.Body)
		}
		action := providertest.Attributes(providertest.FormTag.FindAllStringSubmatch(p.Body, -1)[0][1])["action"]
		if q := b.Post(action, url.Values{"decision": {"deny"},
			"csrf": {providertest.RegexpCSRF(p.Body)}}); q.Answer().Get("error") != "access_denied" {
			t.Errorf("%d %s", q.StatusCode, q.Body)
		}
	})
	t.Run("RFC 6749 §4.1.2.1 so is leaving the page of a refusal", func(t *testing.T) {
		b := w.Browser()
		p := b.SignInAs(b.Open(w.Request(c)), "alice")
		if !p.Has("refused") {
			t.Fatalf("%d %s", p.StatusCode, p.Body)
		}
		forms := providertest.FormTag.FindAllStringSubmatch(p.Body, -1)
		if len(forms) == 0 {
			t.Fatal("no way back")
		}
		q := b.Post(providertest.Attributes(forms[0][1])["action"], url.Values{"decision": {"deny"},
			"csrf": {providertest.RegexpCSRF(p.Body)}}).Answer()
		if q.Get("error") != "access_denied" || q.Has("code") {
			t.Errorf("%v", q)
		}
	})
}
