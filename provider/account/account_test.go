package account_test

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"latchkey/provider/clients"
	"latchkey/provider/providertest"
	"latchkey/provider/storage"
	"latchkey/provider/web"
)

func TestAccount(t *testing.T) {
	t.Parallel()
	ctx := context.Background()

	t.Run("whoever is not signed in is asked to, and comes back", func(t *testing.T) {
		t.Parallel()
		w := providertest.New(t)
		w.AddUser("alice")
		b := w.Browser()
		if got := b.Get("/").Header.Get("Location"); got != "/account" {
			t.Errorf("/ leads to %q", got)
		}
		p := b.Open("/account")
		if p.Request.URL.Path != "/login" || !p.Has("login-page") || strings.Contains(p.Body, "Alice") {
			t.Fatalf("%s\n%s", p.Request.URL, p.Body)
		}
		p = b.SignInAs(p, "alice")
		if p.Request.URL.Path != "/account" || p.StatusCode != 200 || !strings.Contains(p.Body, "Alice Example") {
			t.Errorf("%s\n%s", p.Request.URL, p.Body)
		}
	})

	t.Run("it shows what is known, where the person is signed in, and who was let in", func(t *testing.T) {
		t.Parallel()
		w := providertest.New(t)
		alice, bob := w.AddUser("alice", "staff"), w.AddUser("bob")
		shop, mail := w.AddClient("shop"), w.AddClient("mail", func(c *clients.Client) { c.ClientName = "<b>Mail" })
		w.AddClient("gone")
		b, s := w.SignedIn(alice)
		_, s2 := w.SignedIn(alice)
		_, bobs := w.SignedIn(bob)
		w.Granted(s, shop)
		w.Granted(s2, mail, func(g *storage.Grant) { g.Offline = true })
		w.Granted(bobs, w.AddClient("bobsapp"))
		if err := w.Store.AddConsent(ctx, storage.Consent{UserID: alice.ID, ClientID: "gone",
			Scope: []string{"openid", "email"}, CreatedAt: w.Web.Now(), UpdatedAt: w.Web.Now()}); err != nil {
			t.Fatal(err)
		}
		if err := w.Store.DeleteClient(ctx, "gone", w.Web.Now()); err != nil {
			t.Fatal(err)
		}
		p := b.Get("/account/profile")
		p.Body += b.Get("/account/sessions").Body + b.Get("/account/connections").Body
		for _, want := range []string{"Alice Example", "alice@example.com", "staff", "Firefox (Linux)", "App shop",
			"&lt;b&gt;Mail", s.ID, s2.ID} {
			if !strings.Contains(p.Body, want) {
				t.Errorf("%q is missing", want)
			}
		}
		for _, no := range []string{bobs.ID, "App bobsapp", "App gone", "<b>Mail", alice.PasswordHash, s.SecretHash} {
			if strings.Contains(p.Body, no) {
				t.Errorf("%q is shown", no)
			}
		}
		if got := p.Header.Get("Cache-Control"); got != "no-store" {
			t.Errorf("Cache-Control: %q", got)
		}
	})

	t.Run("another session is ended and its applications are told", func(t *testing.T) {
		t.Parallel()
		w := providertest.New(t)
		rp := providertest.NewRelyingParty(t)
		shop := w.AddClient("shop", rp.Hears)
		alice := w.AddUser("alice")
		b, s := w.SignedIn(alice)
		b2, s2 := w.SignedIn(alice)
		g := w.Granted(s2, shop)
		p := b.Change(s, url.Values{"action": {"end-session"}, "id": {s2.ID}})
		if p.StatusCode != http.StatusSeeOther || p.Header.Get("Location") != "/account/sessions?notice=session-ended" {
			t.Fatalf("%d %q", p.StatusCode, p.Header.Get("Location"))
		}
		if w.StillSignedIn(b2, s2) || !w.StillSignedIn(b, s) {
			t.Error("not exactly the other session has ended")
		}
		if now, err := w.Store.Grant(ctx, g.ID); err != nil || now.Stands(w.Web.Now()) {
			t.Errorf("its grant stands: %v", err)
		}
		w.DeliverDue()
		if len(rp.Heard()) != 1 {
			t.Error("the application was not told")
		}
		if p := b.Follow(p); strings.Contains(p.Body, s2.ID) || p.StatusCode != 200 {
			t.Error("it is still listed")
		}
		if p := b.Change(s, url.Values{"action": {"end-session"}, "id": {s2.ID}}); p.StatusCode != http.StatusSeeOther {
			t.Errorf("a second time: %d", p.StatusCode)
		}
	})

	t.Run("this session is ended like by signing out", func(t *testing.T) {
		t.Parallel()
		w := providertest.New(t)
		b, s := w.SignedIn(w.AddUser("alice"))
		if p := b.Follow(b.Change(s, url.Values{"action": {"end-session"}, "id": {s.ID}})); !p.Has("logged-out") ||
			w.StillSignedIn(b, s) {
			t.Errorf("%s\n%s", p.Request.URL, p.Body)
		}
	})

	t.Run("all other sessions are ended at once", func(t *testing.T) {
		t.Parallel()
		w := providertest.New(t)
		alice := w.AddUser("alice")
		b, s := w.SignedIn(alice)
		b2, s2 := w.SignedIn(alice)
		b3, s3 := w.SignedIn(alice)
		bobs, bobSession := w.SignedIn(w.AddUser("bob"))
		if p := b.Follow(b.Change(s, url.Values{"action": {"end-other-sessions"}})); p.StatusCode != 200 {
			t.Fatalf("%d", p.StatusCode)
		}
		if !w.StillSignedIn(b, s) || w.StillSignedIn(b2, s2) || w.StillSignedIn(b3, s3) ||
			!w.StillSignedIn(bobs, bobSession) {
			t.Error("not exactly the other sessions have ended")
		}
	})

	t.Run("an application is disconnected: consent and grants are gone, offline access too", func(t *testing.T) {
		t.Parallel()
		w := providertest.New(t)
		shop, mail := w.AddClient("shop", providertest.AsksConsent), w.AddClient("mail")
		alice, bob := w.AddUser("alice"), w.AddUser("bob")
		b, s := w.SignedIn(alice)
		_, bobs := w.SignedIn(bob)
		offline := w.Granted(s, shop, func(g *storage.Grant) { g.Offline = true })
		for _, u := range []storage.User{alice, bob} {
			if err := w.Store.AddConsent(ctx, storage.Consent{UserID: u.ID, ClientID: "shop", Scope: []string{"openid"},
				CreatedAt: w.Web.Now(), UpdatedAt: w.Web.Now()}); err != nil {
				t.Fatal(err)
			}
		}
		others := w.Granted(s, mail)
		bobGrant := w.Granted(bobs, shop)
		if got := b.Get(w.Request(shop)).Answer().Get("code"); got == "" {
			t.Fatal("consent was not remembered to begin with")
		}
		if p := b.Follow(b.Change(s, url.Values{"action": {"disconnect"},
			"client_id": {"shop"}})); p.StatusCode != 200 {
			t.Fatalf("%d", p.StatusCode)
		}
		for _, c := range []struct {
			grant  storage.Grant
			stands bool
		}{{offline, false}, {others, true}, {bobGrant, true}} {
			g, err := w.Store.Grant(ctx, c.grant.ID)
			if err != nil || g.Stands(w.Web.Now()) != c.stands {
				t.Errorf("%s of %s stands: %v %v", g.ClientID, g.UserID, g.Stands(w.Web.Now()), err)
			}
		}
		if _, err := w.Store.Consent(ctx, bob.ID, "shop"); err != nil {
			t.Errorf("bob's consent: %v", err)
		}
		if p := b.Open(w.Request(shop)); p.Request.URL.Path != "/consent" {
			t.Errorf("the application did not have to ask again: %s", p.Request.URL)
		}
	})

	t.Run("somebody else's sessions and connections are as unknown as what never was", func(t *testing.T) {
		t.Parallel()
		w := providertest.New(t)
		alice, bob := w.AddUser("alice"), w.AddUser("bob")
		shop := w.AddClient("shop")
		b, s := w.SignedIn(alice)
		bobs, bobSession := w.SignedIn(bob)
		g := w.Granted(bobSession, shop)
		strip := func(p providertest.Page) string { return strings.ReplaceAll(p.Body, p.Header.Get("X-Request-Id"), "") }
		unknown := b.Change(s, url.Values{"action": {"end-session"}, "id": {"never-was"}})
		theirs := b.Change(s, url.Values{"action": {"end-session"}, "id": {bobSession.ID}})
		if unknown.StatusCode != 404 || theirs.StatusCode != 404 || strip(unknown) != strip(theirs) {
			t.Errorf("sessions: %d %d", unknown.StatusCode, theirs.StatusCode)
		}
		unknown = b.Change(s, url.Values{"action": {"disconnect"}, "client_id": {"never-was"}})
		theirs = b.Change(s, url.Values{"action": {"disconnect"}, "client_id": {"shop"}})
		if unknown.StatusCode != 404 || theirs.StatusCode != 404 || strip(unknown) != strip(theirs) {
			t.Errorf("connections: %d %d", unknown.StatusCode, theirs.StatusCode)
		}
		for _, form := range []url.Values{{"action": {"end-session"}}, {"action": {"disconnect"}}} {
			if p := b.Change(s, form); p.StatusCode != 404 {
				t.Errorf("%v: %d", form, p.StatusCode)
			}
		}
		for _, form := range []url.Values{{}, {"action": {"delete"}}} {
			if p := b.Change(s, form); p.StatusCode != 400 {
				t.Errorf("%v: %d", form, p.StatusCode)
			}
		}
		if now, err := w.Store.Grant(ctx, g.ID); err != nil || !now.Stands(w.Web.Now()) ||
			!w.StillSignedIn(bobs, bobSession) {
			t.Errorf("something of bob's was changed: %v", err)
		}
	})

	t.Run("forms from elsewhere change nothing", func(t *testing.T) {
		t.Parallel()
		w := providertest.New(t)
		alice := w.AddUser("alice")
		b, s := w.SignedIn(alice)
		b2, s2 := w.SignedIn(alice)
		form := url.Values{"action": {"end-session"}, "id": {s2.ID}}
		ref := w.Web.Cookie(b.Request("/"), web.BrowserCookie)
		for what, csrf := range map[string]string{"none": "", "another session's": w.Web.CSRF(ref, "account:"+s2.ID),
			"another form's": w.Web.CSRF(ref, "logout:"+s.ID), "another browser's": w.Web.CSRF("x", "account:"+s.ID)} {
			form.Set("csrf", csrf)
			if p := b.Post("/account/sessions", form); p.StatusCode != 403 {
				t.Errorf("with token %s: %d", what, p.StatusCode)
			}
		}
		form.Set("csrf", w.Web.CSRF(ref, "account:"+s.ID))
		for _, header := range []http.Header{{"Sec-Fetch-Site": {"cross-site"}}, {"Origin": {"https://evil.example"}},
			{"Sec-Fetch-Site": {"same-site"}}} {
			r, _ := http.NewRequest("POST", w.Issuer+"/account/sessions", strings.NewReader(form.Encode()))
			r.Header = header.Clone()
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			if p := b.Do(r); p.StatusCode != 403 {
				t.Errorf("%v: %d", header, p.StatusCode)
			}
		}
		b.Get("/account/sessions?" + form.Encode())
		if p := w.Browser().Post("/account/sessions", form); p.StatusCode != http.StatusSeeOther ||
			p.Header.Get("Location") != "/account/sessions" {
			t.Errorf("without a session: %d %q", p.StatusCode, p.Header.Get("Location"))
		}
		if !w.StillSignedIn(b2, s2) || !w.StillSignedIn(b, s) {
			t.Error("a session was ended")
		}
	})

	t.Run("a disabled person sees nothing", func(t *testing.T) {
		t.Parallel()
		w := providertest.New(t)
		alice := w.AddUser("alice")
		b, _ := w.SignedIn(alice)
		u, err := w.Store.User(ctx, alice.ID)
		if err != nil {
			t.Fatal(err)
		}
		u.Disabled = true
		if err := w.Store.UpdateUser(ctx, u); err != nil {
			t.Fatal(err)
		}
		if p := b.Get("/account"); p.StatusCode != http.StatusSeeOther || !strings.HasPrefix(p.Header.Get("Location"),
			"/login?") {
			t.Errorf("%d %q", p.StatusCode, p.Header.Get("Location"))
		}
	})

	t.Run("a connection ends with its session, unless it was given for the time after", func(t *testing.T) {
		t.Parallel()
		w := providertest.New(t)
		shop, mail := w.AddClient("shop"), w.AddClient("mail")
		alice := w.AddUser("alice")
		_, s2 := w.SignedIn(alice)
		long := func(g *storage.Grant) { g.ExpiresAt = w.Web.Now().Add(100 * time.Hour) }
		w.Granted(s2, shop, long)
		w.Granted(s2, mail, long, func(g *storage.Grant) { g.Offline = true })
		w.Clock.Advance(3 * time.Hour) // idle for too long
		b, _ := w.SignedIn(alice)
		if p := b.Get("/account/connections"); strings.Contains(p.Body, "App shop") ||
			!strings.Contains(p.Body, "App mail") {
			t.Error(p.Body)
		}
	})
}
