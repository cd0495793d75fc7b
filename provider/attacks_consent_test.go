package provider

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"latchkey/clients"
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

func accountForm(p page, account string) url.Values {
	form := url.Values{"account": {account}}
	for _, in := range inputTag.FindAllStringSubmatch(p.body, -1) {
		if a := attributes(in[1]); a["name"] == "csrf" {
			form.Set("csrf", a["value"])
		}
	}
	return form
}
