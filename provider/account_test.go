package provider

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"latchkey/provider/clients"
	"latchkey/provider/storage"
)

// change posts a form of the account page, with the token that the page has for this browser and session.
func (b *browser) change(s storage.Session, form url.Values) page {
	b.w.t.Helper()
	form.Set("csrf", b.w.csrf(b.w.cookie(b.request("/"), browserCookie), "account:"+s.ID))
	return b.post("/account", form)
}

func TestAccount(t *testing.T) {
	t.Parallel()
	ctx := context.Background()

	t.Run("whoever is not signed in is asked to, and comes back", func(t *testing.T) {
		t.Parallel()
		w := newTestProvider(t)
		w.addUser("alice")
		b := w.browser()
		if got := b.get("/").Header.Get("Location"); got != "/account" {
			t.Errorf("/ leads to %q", got)
		}
		p := b.open("/account")
		if p.Request.URL.Path != "/login" || !p.has("login-page") || strings.Contains(p.body, "Alice") {
			t.Fatalf("%s\n%s", p.Request.URL, p.body)
		}
		p = b.signInAs(p, "alice")
		if p.Request.URL.Path != "/account" || p.StatusCode != 200 || !strings.Contains(p.body, "Alice Example") {
			t.Errorf("%s\n%s", p.Request.URL, p.body)
		}
	})

	t.Run("it shows what is known, where the person is signed in, and who was let in", func(t *testing.T) {
		t.Parallel()
		w := newTestProvider(t)
		alice, bob := w.addUser("alice", "staff"), w.addUser("bob")
		shop, mail := w.addClient("shop"), w.addClient("mail", func(c *clients.Client) { c.ClientName = "<b>Mail" })
		w.addClient("gone")
		b, s := w.signedIn(alice)
		_, s2 := w.signedIn(alice)
		_, bobs := w.signedIn(bob)
		w.granted(s, shop)
		w.granted(s2, mail, func(g *storage.Grant) { g.Offline = true })
		w.granted(bobs, w.addClient("bobsapp"))
		if err := w.Store.AddConsent(ctx, storage.Consent{UserID: alice.ID, ClientID: "gone", Scope: []string{"openid", "email"}, CreatedAt: w.now(), UpdatedAt: w.now()}); err != nil {
			t.Fatal(err)
		}
		if err := w.Store.DeleteClient(ctx, "gone", w.now()); err != nil {
			t.Fatal(err)
		}
		p := b.get("/account")
		for _, want := range []string{"Alice Example", "alice@example.com", "staff", "Firefox (Linux)", "App shop", "&lt;b&gt;Mail", s.ID, s2.ID} {
			if !strings.Contains(p.body, want) {
				t.Errorf("%q is missing", want)
			}
		}
		for _, no := range []string{bobs.ID, "App bobsapp", "App gone", "<b>Mail", alice.PasswordHash, s.SecretHash} {
			if strings.Contains(p.body, no) {
				t.Errorf("%q is shown", no)
			}
		}
		if got := p.Header.Get("Cache-Control"); got != "no-store" {
			t.Errorf("Cache-Control: %q", got)
		}
	})

	t.Run("another session is ended and its applications are told", func(t *testing.T) {
		t.Parallel()
		w := newTestProvider(t)
		rp := newRelyingParty(t)
		shop := w.addClient("shop", rp.hears)
		alice := w.addUser("alice")
		b, s := w.signedIn(alice)
		b2, s2 := w.signedIn(alice)
		g := w.granted(s2, shop)
		p := b.change(s, url.Values{"action": {"end-session"}, "id": {s2.ID}})
		if p.StatusCode != http.StatusSeeOther || p.Header.Get("Location") != "/account?notice=session-ended" {
			t.Fatalf("%d %q", p.StatusCode, p.Header.Get("Location"))
		}
		if w.stillSignedIn(b2, s2) || !w.stillSignedIn(b, s) {
			t.Error("not exactly the other session has ended")
		}
		if now, err := w.Store.Grant(ctx, g.ID); err != nil || now.Stands(w.now()) {
			t.Errorf("its grant stands: %v", err)
		}
		w.deliverDue()
		if len(rp.heard()) != 1 {
			t.Error("the application was not told")
		}
		if p := b.follow(p); strings.Contains(p.body, s2.ID) || p.StatusCode != 200 {
			t.Error("it is still listed")
		}
		if p := b.change(s, url.Values{"action": {"end-session"}, "id": {s2.ID}}); p.StatusCode != http.StatusSeeOther {
			t.Errorf("a second time: %d", p.StatusCode)
		}
	})

	t.Run("this session is ended like by signing out", func(t *testing.T) {
		t.Parallel()
		w := newTestProvider(t)
		b, s := w.signedIn(w.addUser("alice"))
		if p := b.follow(b.change(s, url.Values{"action": {"end-session"}, "id": {s.ID}})); !p.has("logged-out") || w.stillSignedIn(b, s) {
			t.Errorf("%s\n%s", p.Request.URL, p.body)
		}
	})

	t.Run("all other sessions are ended at once", func(t *testing.T) {
		t.Parallel()
		w := newTestProvider(t)
		alice := w.addUser("alice")
		b, s := w.signedIn(alice)
		b2, s2 := w.signedIn(alice)
		b3, s3 := w.signedIn(alice)
		bobs, bobSession := w.signedIn(w.addUser("bob"))
		if p := b.follow(b.change(s, url.Values{"action": {"end-other-sessions"}})); p.StatusCode != 200 {
			t.Fatalf("%d", p.StatusCode)
		}
		if !w.stillSignedIn(b, s) || w.stillSignedIn(b2, s2) || w.stillSignedIn(b3, s3) || !w.stillSignedIn(bobs, bobSession) {
			t.Error("not exactly the other sessions have ended")
		}
	})

	t.Run("an application is disconnected: consent and grants are gone, offline access too", func(t *testing.T) {
		t.Parallel()
		w := newTestProvider(t)
		shop, mail := w.addClient("shop", asksConsent), w.addClient("mail")
		alice, bob := w.addUser("alice"), w.addUser("bob")
		b, s := w.signedIn(alice)
		_, bobs := w.signedIn(bob)
		offline := w.granted(s, shop, func(g *storage.Grant) { g.Offline = true })
		for _, u := range []storage.User{alice, bob} {
			if err := w.Store.AddConsent(ctx, storage.Consent{UserID: u.ID, ClientID: "shop", Scope: []string{"openid"}, CreatedAt: w.now(), UpdatedAt: w.now()}); err != nil {
				t.Fatal(err)
			}
		}
		others := w.granted(s, mail)
		bobGrant := w.granted(bobs, shop)
		if got := b.get(w.request(shop)).answer().Get("code"); got == "" {
			t.Fatal("consent was not remembered to begin with")
		}
		if p := b.follow(b.change(s, url.Values{"action": {"disconnect"}, "client_id": {"shop"}})); p.StatusCode != 200 {
			t.Fatalf("%d", p.StatusCode)
		}
		for _, c := range []struct {
			grant  storage.Grant
			stands bool
		}{{offline, false}, {others, true}, {bobGrant, true}} {
			g, err := w.Store.Grant(ctx, c.grant.ID)
			if err != nil || g.Stands(w.now()) != c.stands {
				t.Errorf("%s of %s stands: %v %v", g.ClientID, g.UserID, g.Stands(w.now()), err)
			}
		}
		if _, err := w.Store.Consent(ctx, bob.ID, "shop"); err != nil {
			t.Errorf("bob's consent: %v", err)
		}
		if p := b.open(w.request(shop)); p.Request.URL.Path != "/consent" {
			t.Errorf("the application did not have to ask again: %s", p.Request.URL)
		}
	})

	t.Run("somebody else's sessions and connections are as unknown as what never was", func(t *testing.T) {
		t.Parallel()
		w := newTestProvider(t)
		alice, bob := w.addUser("alice"), w.addUser("bob")
		shop := w.addClient("shop")
		b, s := w.signedIn(alice)
		bobs, bobSession := w.signedIn(bob)
		g := w.granted(bobSession, shop)
		strip := func(p page) string { return strings.ReplaceAll(p.body, p.Header.Get("X-Request-Id"), "") }
		unknown := b.change(s, url.Values{"action": {"end-session"}, "id": {"never-was"}})
		theirs := b.change(s, url.Values{"action": {"end-session"}, "id": {bobSession.ID}})
		if unknown.StatusCode != 404 || theirs.StatusCode != 404 || strip(unknown) != strip(theirs) {
			t.Errorf("sessions: %d %d", unknown.StatusCode, theirs.StatusCode)
		}
		unknown = b.change(s, url.Values{"action": {"disconnect"}, "client_id": {"never-was"}})
		theirs = b.change(s, url.Values{"action": {"disconnect"}, "client_id": {"shop"}})
		if unknown.StatusCode != 404 || theirs.StatusCode != 404 || strip(unknown) != strip(theirs) {
			t.Errorf("connections: %d %d", unknown.StatusCode, theirs.StatusCode)
		}
		for _, form := range []url.Values{{"action": {"end-session"}}, {"action": {"disconnect"}}} {
			if p := b.change(s, form); p.StatusCode != 404 {
				t.Errorf("%v: %d", form, p.StatusCode)
			}
		}
		for _, form := range []url.Values{{}, {"action": {"delete"}}} {
			if p := b.change(s, form); p.StatusCode != 400 {
				t.Errorf("%v: %d", form, p.StatusCode)
			}
		}
		if now, err := w.Store.Grant(ctx, g.ID); err != nil || !now.Stands(w.now()) || !w.stillSignedIn(bobs, bobSession) {
			t.Errorf("something of bob's was changed: %v", err)
		}
	})

	t.Run("forms from elsewhere change nothing", func(t *testing.T) {
		t.Parallel()
		w := newTestProvider(t)
		alice := w.addUser("alice")
		b, s := w.signedIn(alice)
		b2, s2 := w.signedIn(alice)
		form := url.Values{"action": {"end-session"}, "id": {s2.ID}}
		ref := w.cookie(b.request("/"), browserCookie)
		for what, csrf := range map[string]string{"none": "", "another session's": w.csrf(ref, "account:"+s2.ID), "another form's": w.csrf(ref, "logout:"+s.ID), "another browser's": w.csrf("x", "account:"+s.ID)} {
			form.Set("csrf", csrf)
			if p := b.post("/account", form); p.StatusCode != 403 {
				t.Errorf("with token %s: %d", what, p.StatusCode)
			}
		}
		form.Set("csrf", w.csrf(ref, "account:"+s.ID))
		for _, header := range []http.Header{{"Sec-Fetch-Site": {"cross-site"}}, {"Origin": {"https://evil.example"}}, {"Sec-Fetch-Site": {"same-site"}}} {
			r, _ := http.NewRequest("POST", w.Issuer+"/account", strings.NewReader(form.Encode()))
			r.Header = header.Clone()
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			if p := b.do(r); p.StatusCode != 403 {
				t.Errorf("%v: %d", header, p.StatusCode)
			}
		}
		b.get("/account?" + form.Encode())
		if p := w.browser().post("/account", form); p.StatusCode != http.StatusSeeOther || p.Header.Get("Location") != "/account" {
			t.Errorf("without a session: %d %q", p.StatusCode, p.Header.Get("Location"))
		}
		if !w.stillSignedIn(b2, s2) || !w.stillSignedIn(b, s) {
			t.Error("a session was ended")
		}
	})

	t.Run("a disabled person sees nothing", func(t *testing.T) {
		t.Parallel()
		w := newTestProvider(t)
		alice := w.addUser("alice")
		b, _ := w.signedIn(alice)
		u, err := w.Store.User(ctx, alice.ID)
		if err != nil {
			t.Fatal(err)
		}
		u.Disabled = true
		if err := w.Store.UpdateUser(ctx, u); err != nil {
			t.Fatal(err)
		}
		if p := b.get("/account"); p.StatusCode != http.StatusSeeOther || !strings.HasPrefix(p.Header.Get("Location"), "/login?") {
			t.Errorf("%d %q", p.StatusCode, p.Header.Get("Location"))
		}
	})

	t.Run("a connection ends with its session, unless it was given for the time after", func(t *testing.T) {
		t.Parallel()
		w := newTestProvider(t)
		shop, mail := w.addClient("shop"), w.addClient("mail")
		alice := w.addUser("alice")
		_, s2 := w.signedIn(alice)
		long := func(g *storage.Grant) { g.ExpiresAt = w.now().Add(100 * time.Hour) }
		w.granted(s2, shop, long)
		w.granted(s2, mail, long, func(g *storage.Grant) { g.Offline = true })
		w.clock.Advance(3 * time.Hour) // idle for too long
		b, _ := w.signedIn(alice)
		if p := b.get("/account"); strings.Contains(p.body, "App shop") || !strings.Contains(p.body, "App mail") {
			t.Error(p.body)
		}
	})
}

func TestDevice(t *testing.T) {
	t.Parallel()
	for agent, want := range map[string]string{
		"Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0":                                                                  "Firefox (Linux)",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36":                         "Chrome (Windows)",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36 Edg/142.0.0.0":           "Edge (Windows)",
		"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Safari/605.1.15":                   "Safari (macOS)",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Mobile/15E148 Safari/604.1": "Safari (iPhone)",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/142.0 Mobile/15E148 Safari/604.1":  "Chrome (iPhone)",
		"Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Mobile Safari/537.36":                         "Chrome (Android)",
		"Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36":                          "Chrome (ChromeOS)",
		"curl/8.9.1":                 "curl",
		"Mozilla/5.0 (X11; FreeBSD)": "FreeBSD",
		"":                           "",
		"<script>alert(1)</script>":  "",
	} {
		if got := device(agent); got != want {
			t.Errorf("%q: %q, want %q", agent, got, want)
		}
	}
}
