package provider

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"latchkey/provider/clients"
)

var allow = url.Values{"decision": {"allow"}}

// formAction is where the form of a page with this element leads.
func (p page) formAction(id string) string {
	for _, f := range formTag.FindAllStringSubmatch(p.body, -1) {
		if strings.Contains(f[2], `id="`+id+`"`) {
			return attributes(f[1])["action"]
		}
	}
	return ""
}

// signInOver signs the person in on the sign-in page of the interaction that the page p belongs to, without following where that leads.
func (b *browser) signInOver(p page, username string) page {
	b.w.t.Helper()
	i := p.Request.URL.Query().Get("i")
	login := b.get(b.w.path + "/login?switch=1&i=" + i)
	return b.submit(login, "login-submit", url.Values{"username": {username}, "password": {testPassword}})
}

// TestNobodyAllowsAnythingForSomebodyElse is about two people at one browser.
func TestNobodyAllowsAnythingForSomebodyElse(t *testing.T) {
	t.Parallel()
	w := newTestProvider(t)
	w.addUser("alice")
	bob := w.addUser("bob")
	noConsentOfBob := func(t *testing.T, c clients.Client) {
		t.Helper()
		if got, err := w.Store.Consent(t.Context(), bob.ID, c.ID); err == nil {
			t.Errorf("stored for bob: %+v", got)
		}
	}
	t.Run("what one person allowed does not count for the next who signs in to the same request", func(t *testing.T) {
		c, b := w.addClient("one", asksConsent), w.browser()
		consent := b.signInAs(b.open(w.request(c)), "alice")
		if p := b.submit(consent, "consent-allow", allow); p.StatusCode != http.StatusSeeOther {
			t.Fatalf("%d", p.StatusCode)
		} // alice's answer is recorded; nobody has gone on from there yet
		if p := b.follow(b.signInOver(consent, "bob")); !p.has("consent-page") {
			t.Errorf("bob was not asked: %d %s", p.StatusCode, p.Header.Get("Location"))
		}
		noConsentOfBob(t, c)
	})
	t.Run("nor for one who signs in in another tab", func(t *testing.T) {
		c, b := w.addClient("two", asksConsent), w.browser()
		consent := b.signInAs(b.open(w.request(c)), "alice")
		b.submit(consent, "consent-allow", allow)
		b.signInOver(b.open(w.request(c, "prompt", "login")), "bob")
		if p := b.open("/authorize?i=" + consent.Request.URL.Query().Get("i")); !p.has("consent-page") {
			t.Errorf("bob was not asked: %d %s", p.StatusCode, p.Header.Get("Location"))
		}
		noConsentOfBob(t, c)
	})
	t.Run("a question that was put to one person is not answered by the next", func(t *testing.T) {
		c, b := w.addClient("three", asksConsent), w.browser()
		consent := b.signInAs(b.open(w.request(c)), "alice")
		b.signInOver(b.open(w.request(c, "prompt", "login")), "bob")
		p := b.follow(b.submit(consent, "consent-allow", allow))
		if !p.has("consent-page") || !strings.Contains(p.body, "bob") {
			t.Errorf("bob was not asked: %d %s", p.StatusCode, p.Header.Get("Location"))
		}
		noConsentOfBob(t, c)
		if code := b.follow(b.submit(p, "consent-allow", allow)).answer().Get("code"); code == "" {
			t.Error("the control: once bob was asked, his answer counts")
		}
	})
	t.Run("an account that was chosen is the one that was shown", func(t *testing.T) {
		c, b := w.addClient("four"), w.browser()
		b.code(c, "alice")
		accounts := b.open(w.request(c, "prompt", "select_account"))
		b.signInOver(b.open(w.request(c, "prompt", "login")), "bob")
		p := b.follow(b.post(accounts.formAction("account-current"), accountForm(accounts, "current")))
		if code := p.answer().Get("code"); code != "" {
			t.Error("bob's code, though alice's account was chosen")
		}
	})
}

// userinfoOf asks userinfo with an access token.
func (w *world) userinfoOf(token string) answerJSON {
	w.t.Helper()
	r, err := http.NewRequest("GET", w.Issuer+"/userinfo", nil)
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	return w.send(r)
}

func accountForm(p page, account string) url.Values {
	form := url.Values{"account": {account}}
	for _, in := range inputTag.FindAllStringSubmatch(p.body, -1) {
		if a := attributes(in[1]); a["name"] == "csrf" {
			form.Set("csrf", a["value"])
		}
	}
	return form
}

func TestClaimsByNameDoNotReachFurtherThanScopes(t *testing.T) {
	t.Parallel()
	w := newTestProvider(t)
	w.addUser("alice", "staff")
	const asked = `{"userinfo":{"email":{"essential":true},"groups":null,"name":null},"id_token":{"email":null,"roles":null,"acr":null}}`
	said := func(c clients.Client) (userinfo, idToken map[string]any) {
		t.Helper()
		got := w.redeem(c, w.browser().code(c, "alice", "claims", asked))
		info := w.userinfoOf(got.str("access_token"))
		if info.StatusCode != http.StatusOK {
			t.Fatalf("userinfo: %d %v", info.StatusCode, info.JSON)
		}
		return info.JSON, claimsOf(t, got.str("id_token"))
	}
	has := func(m map[string]any, name string) bool { _, ok := m[name]; return ok }

	info, id := said(w.addClient("free"))
	if !has(info, "email") || !has(info, "groups") || !has(info, "name") || !has(id, "email") || !has(id, "roles") {
		t.Errorf("the control: %v %v", info, id)
	}
	kept := w.addClient("kept", asksConsent, func(c *clients.Client) { c.Scope = "openid profile" })
	b := w.browser()
	if page := b.signInAs(b.open(w.request(kept, "claims", asked)), "alice"); !page.has("consent-page") || strings.Contains(page.body, "e-mail address") {
		t.Errorf("nobody is asked for what the application cannot get: %d", page.StatusCode)
	}
	info, id = said(kept)
	if has(info, "email") || has(info, "groups") || has(id, "email") || has(id, "roles") || !has(info, "name") {
		t.Errorf("a client that may have openid and profile got %v and %v", info, id)
	}
	t.Run("nor does what was granted before the client lost the scope", func(t *testing.T) {
		c := w.addClient("later")
		got := w.redeem(c, w.browser().code(c, "alice", "claims", asked))
		c, err := w.Store.Client(t.Context(), c.ID)
		if err != nil {
			t.Fatal(err)
		}
		c.Scope = "openid"
		if err := w.Store.UpdateClient(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		if info := w.userinfoOf(got.str("access_token")); info.StatusCode != http.StatusOK || has(info.JSON, "email") || has(info.JSON, "name") || has(info.JSON, "groups") {
			t.Errorf("%d %v", info.StatusCode, info.JSON)
		}
	})
}
