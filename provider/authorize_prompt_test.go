package provider

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"latchkey/provider/clients"
)

// idTokenOf redeems a code and decodes the ID token that comes for it.
func (w *world) idTokenOf(c clients.Client, code string) map[string]any {
	w.t.Helper()
	tokens := w.redeem(c, code)
	if tokens.StatusCode != http.StatusOK {
		w.t.Fatalf("%d %v", tokens.StatusCode, tokens.JSON)
	}
	return claimsOf(w.t, tokens.str("id_token"))
}

func TestPromptAndMaxAge(t *testing.T) {
	t.Parallel()
	w := newTestProvider(t)
	w.addUser("alice")
	w.addUser("bob")
	c := w.addClient("web-a")
	signedIn := func(t *testing.T) (*browser, map[string]any) {
		t.Helper()
		b := w.browser()
		return b, w.idTokenOf(c, b.code(c, "alice"))
	}

	t.Run("OIDC Core §3.1.2.1 prompt=login asks again and auth_time is new", func(t *testing.T) {
		b, first := signedIn(t)
		w.clock.Advance(5 * time.Second)
		p := b.open(w.request(c, "prompt", "login"))
		if !p.has("login-page") {
			t.Fatal("no second sign-in page")
		}
		again := w.idTokenOf(c, b.signInAs(p, "alice").answer().Get("code"))
		if again["auth_time"].(float64) <= first["auth_time"].(float64) || again["sub"] != first["sub"] {
			t.Errorf("%v, %v", first, again)
		}
	})
	t.Run("OIDC Core §3.1.2.1 prompt=none answers silently, with the same auth_time", func(t *testing.T) {
		b, first := signedIn(t)
		w.clock.Advance(5 * time.Second)
		again := w.idTokenOf(c, b.get(w.request(c, "prompt", "none")).answer().Get("code"))
		if again["auth_time"] != first["auth_time"] || again["sub"] != first["sub"] {
			t.Errorf("%v, %v", first, again)
		}
	})
	t.Run("OIDC Core §3.1.2.1 max_age that has passed asks again", func(t *testing.T) {
		b, first := signedIn(t)
		w.clock.Advance(2 * time.Second)
		p := b.open(w.request(c, "max_age", "1"))
		if !p.has("login-page") {
			t.Fatal("no second sign-in page")
		}
		again := w.idTokenOf(c, b.signInAs(p, "alice").answer().Get("code"))
		if again["auth_time"].(float64) <= first["auth_time"].(float64) {
			t.Errorf("%v, %v", first, again)
		}
	})
	t.Run("and leaving the parameter out on the way does not help", func(t *testing.T) {
		b, _ := signedIn(t)
		w.clock.Advance(2 * time.Second)
		p := b.open(w.request(c, "max_age", "1"))
		if q := b.open("/authorize?i=" + p.Request.URL.Query().Get("i")); !q.has("login-page") || q.answer().Has("code") {
			t.Errorf("%s", q.Request.URL)
		}
	})
	t.Run("OIDC Core §3.1.2.1 max_age that has not passed is silent", func(t *testing.T) {
		b, first := signedIn(t)
		w.clock.Advance(2 * time.Second)
		if again := w.idTokenOf(c, b.get(w.request(c, "max_age", "10000")).answer().Get("code")); again["auth_time"] != first["auth_time"] {
			t.Errorf("%v, %v", first, again)
		}
	})
	t.Run("OIDC Core §3.1.2.1 id_token_hint of who is signed in is silent, of another is not answered", func(t *testing.T) {
		b := w.browser()
		tokens := w.redeem(c, b.code(c, "alice"))
		hint := tokens.str("id_token")
		if b.get(w.request(c, "prompt", "none", "id_token_hint", hint)).answer().Get("code") == "" {
			t.Error("the person who is signed in is the one that is meant")
		}
		other := w.browser()
		other.code(c, "bob")
		if got := other.get(w.request(c, "prompt", "none", "id_token_hint", hint)).answer().Get("error"); got != "login_required" {
			t.Errorf("bob is not alice: %q", got)
		}
		p := other.open(w.request(c, "id_token_hint", hint))
		if q := other.signInAs(p, "bob").answer(); q.Get("error") != "login_required" || q.Has("code") {
			t.Errorf("nor after signing in: %v", q)
		}
	})
	t.Run("OIDC Core §3.1.2.1 prompt=select_account goes on with the account that was chosen", func(t *testing.T) {
		b, _ := signedIn(t)
		p := b.open(w.request(c, "prompt", "select_account"))
		if !strings.HasPrefix(p.Request.URL.Path, "/accounts") {
			t.Fatalf("%s", p.Request.URL)
		}
		q := b.follow(b.post(p.Request.URL.RequestURI(), url.Values{"account": {"current"}, "csrf": {regexpCSRF(p.body)}}))
		if q.answer().Get("code") == "" {
			t.Errorf("%d %s", q.StatusCode, q.body)
		}
	})
	t.Run("OIDC Core §3.1.2.1 prompt=consent asks although it was allowed before", func(t *testing.T) {
		asking := w.addClient("web-asking", asksConsent)
		b := w.browser()
		b.code(asking, "alice")
		if b.get(w.request(asking, "prompt", "none")).answer().Get("code") == "" {
			t.Fatal("it was allowed before")
		}
		p := b.open(w.request(asking, "prompt", "consent"))
		if !p.has("consent-page") {
			t.Fatal("not asked")
		}
		if b.follow(b.submit(p, "consent-allow", url.Values{"decision": {"allow"}})).answer().Get("code") == "" {
			t.Error("no code")
		}
	})
	t.Run("OIDC Core §3.1.2.1 acr_values is answered with the acr that was reached", func(t *testing.T) {
		b := w.browser()
		if id := w.idTokenOf(c, b.code(c, "alice", "acr_values", ACRPassword)); id["acr"] != ACRPassword {
			t.Errorf("acr is %v", id["acr"])
		}
	})
	t.Run("OIDC Core §3.1.2.1 what only gives a hint breaks nothing", func(t *testing.T) {
		b, _ := signedIn(t)
		for _, extra := range [][]string{{"display", "popup"}, {"display", "page"}, {"ui_locales", "se"}, {"claims_locales", "se"}, {"login_hint", "alice"}, {"extra", "foobar"}, {"nonce", ""}} {
			if b.get(w.request(c, extra...)).answer().Get("code") == "" {
				t.Errorf("%v", extra)
			}
		}
	})
}

func TestTurningBack(t *testing.T) {
	t.Parallel()
	w := newTestProvider(t)
	w.addUser("alice")
	c := w.addClient("web-a", func(c *clients.Client) { c.AllowedGroups = []string{"staff"} })
	t.Run("RFC 6749 §4.1.2.1 cancelling the sign-in is access_denied", func(t *testing.T) {
		b := w.browser()
		p := b.open(w.request(c))
		q := b.post(p.Request.URL.RequestURI(), url.Values{"action": {"cancel"}, "csrf": {regexpCSRF(p.body)}}).answer()
		if q.Get("error") != "access_denied" || q.Get("state") != "S1" || q.Get("iss") != w.Issuer {
			t.Errorf("%v", q)
		}
	})
	t.Run("also when the browser has lost the cookie that ties it to what it is in the middle of", func(t *testing.T) {
		b := w.browser()
		b.code(w.addClient("web-open"), "alice")
		b.client.Jar.SetCookies(w.base, []*http.Cookie{{Name: browserCookie, Path: "/", MaxAge: -1}})
		p := b.get(w.request(c))
		if !p.has("refused") {
			t.Fatalf("%d %s", p.StatusCode, p.body)
		}
		action := attributes(formTag.FindAllStringSubmatch(p.body, -1)[0][1])["action"]
		if q := b.post(action, url.Values{"decision": {"deny"}, "csrf": {regexpCSRF(p.body)}}); q.answer().Get("error") != "access_denied" {
			t.Errorf("%d %s", q.StatusCode, q.body)
		}
	})
	t.Run("RFC 6749 §4.1.2.1 so is leaving the page of a refusal", func(t *testing.T) {
		b := w.browser()
		p := b.signInAs(b.open(w.request(c)), "alice")
		if !p.has("refused") {
			t.Fatalf("%d %s", p.StatusCode, p.body)
		}
		forms := formTag.FindAllStringSubmatch(p.body, -1)
		if len(forms) == 0 {
			t.Fatal("no way back")
		}
		q := b.post(attributes(forms[0][1])["action"], url.Values{"decision": {"deny"}, "csrf": {regexpCSRF(p.body)}}).answer()
		if q.Get("error") != "access_denied" || q.Has("code") {
			t.Errorf("%v", q)
		}
	})
}
