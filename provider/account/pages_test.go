package account_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey/provider"
	"latchkey/provider/clients"
	"latchkey/provider/providertest"
	"latchkey/provider/storage"
)

// bend changes a user behind the pages.
func bend(t *testing.T, w *providertest.World, id string, change func(*storage.User)) {
	t.Helper()
	u, err := w.Store.User(t.Context(), id)
	if err == nil {
		change(&u)
		err = w.Store.UpdateUser(t.Context(), u)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func userOf(t *testing.T, w *providertest.World, id string) storage.User {
	t.Helper()
	u, err := w.Store.User(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

var ownPages = []string{"/account", "/account/profile", "/account/methods", "/account/password", "/account/sessions",
	"/account/connections",
	"/account/activity", "/account/language", "/account/data"}

func TestEveryOwnPageLeadsToAllOthersAndAsksStrangersToSignIn(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	b, _ := w.SignedIn(w.AddUser("alice"))
	for _, path := range ownPages {
		p := b.Get(path)
		if p.StatusCode != http.StatusOK || strings.Count(p.Body, `aria-current="page"`) != 2 {
			t.Fatalf("%s: %d\n%s", path, p.StatusCode, p.Body)
		}
		for _, other := range ownPages {
			if !strings.Contains(p.Body, `href="`+other+`"`) {
				t.Errorf("%s does not lead to %s", path, other)
			}
		}
		stranger := w.Browser()
		asked := stranger.Open(path)
		if !asked.Has("login-page") || strings.Contains(asked.Body, "Alice") {
			t.Errorf("%s: a stranger: %d", path, asked.StatusCode)
		}
		if back := stranger.SignInAs(asked, "alice"); back.Request.URL.Path != path {
			t.Errorf("%s: after the sign-in: %s", path, back.Request.URL)
		}
	}
}

func TestWhatNeedsAFreshProofAsksForIt(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	alice := w.AddUser("alice")
	b, _ := w.SignedIn(alice)
	password, data := b.Get("/account/password"), b.Get("/account/data")
	if !password.Has("password-page") || !data.Has("data-page") {
		t.Fatal(password.StatusCode, data.StatusCode)
	}
	w.Clock.Advance(5*time.Minute + time.Second)
	for _, path := range []string{"/account/password", "/account/data", "/account/methods"} {
		if p := b.Open(path); !p.Has("login-page") || p.Has("username") {
			t.Errorf("%s: %s", path, p.Request.URL)
		}
	}
	if p := b.Open("/account/sessions"); !p.Has("sessions-page") {
		t.Errorf("what only shows asks too: %s", p.Request.URL)
	}
	// A form that was shown while the proof was fresh.
	form := url.Values{"new_password": {"gravel tandem oboe"}, "repeat_password": {"gravel tandem oboe"}}
	if p := b.Submit(password, "password-submit", form); p.StatusCode != http.StatusSeeOther ||
		!strings.HasPrefix(p.Header.Get("Location"), "/authorize?i=") {
		t.Errorf("%d %s", p.StatusCode, p.Header.Get("Location"))
	}
	if p := b.Submit(data, "data-export", url.Values{"action": {"export"}}); p.StatusCode != http.StatusSeeOther {
		t.Errorf("export: %d", p.StatusCode)
	}
	if u := userOf(t, w, alice.ID); u.PasswordHash != alice.PasswordHash {
		t.Error("the password was changed")
	}
}

func TestAPersonChangesTheirPassword(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	alice := w.AddUser("alice")
	shop := w.AddClient("shop")
	b, s := w.SignedIn(alice)
	other, otherSession := w.SignedIn(alice)
	offline := w.Granted(otherSession, shop, func(g *storage.Grant) { g.Offline = true })
	kept := w.Granted(s, shop)

	if got := b.Get("/.well-known/change-password").Header.Get("Location"); got != "/account/password" {
		t.Errorf("the well-known address leads to %q", got)
	}
	p := b.Get("/account/password")
	if !regexp.MustCompile(`value="alice" autocomplete="username" hidden`).MatchString(p.Body) {
		t.Error("programs that keep passwords cannot tell whose it is")
	}
	send := func(a, b2 string, more ...string) providertest.Page {
		form := url.Values{"new_password": {a}, "repeat_password": {b2}}
		for _, m := range more {
			form.Set(m, "yes")
		}
		return b.Submit(p, "password-submit", form)
	}
	for _, bad := range [][2]string{{"", ""}, {"short", "short"}, {"gravel tandem oboe", "gravel tandem oboes"},
		{"alice@example.com", "alice@example.com"}, {"password123", "password123"}} {
		if p := send(bad[0], bad[1]); p.StatusCode != http.StatusBadRequest || !p.Has("password-error") ||
			bad[0] != "" && strings.Contains(p.Body, `value="`+bad[0]) {
			t.Errorf("%v: %d", bad, p.StatusCode)
		}
	}
	before := b.Request("/").Cookies()
	done := send("gravel tandem oboe", "gravel tandem oboe", "others")
	if got := done.Header.Get("Location"); got != "/account/password?notice=password" {
		t.Fatalf("%d %q\n%s", done.StatusCode, got, done.Body)
	}
	if p := b.Follow(done); !p.Has("notice") || !p.Has("password-page") {
		t.Errorf("%d", p.StatusCode)
	}
	if w.StillSignedIn(other, otherSession) || !w.StillSignedIn(b, s) {
		t.Error("not exactly the other sessions have ended")
	}
	for g, stands := range map[string]bool{offline.ID: false, kept.ID: true} {
		if now, err := w.Store.Grant(t.Context(), g); err != nil || now.Stands(w.Web.Now()) != stands {
			t.Errorf("%s stands: %t %v", g, !stands, err)
		}
	}
	// A copy of the cookie from before is worth nothing.
	r, _ := http.NewRequest("GET", w.Issuer+"/account", nil)
	for _, c := range before {
		r.AddCookie(c)
	}
	if p := w.Browser().Do(r); p.StatusCode != http.StatusSeeOther {
		t.Errorf("the old reference: %d", p.StatusCode)
	}
	if p := send("another good one", "another good one"); p.StatusCode != http.StatusForbidden {
		t.Errorf("the form of before: %d", p.StatusCode)
	}
	fresh := w.Browser()
	if p := fresh.SignInAs(fresh.Open("/account"), "alice"); !p.Has("login-error") {
		t.Error("the old password still works")
	}
	if events := b.Get("/account/activity"); !strings.Contains(events.Body, "Password changed") {
		t.Error(events.Body)
	}

	// Without the tick others stay.
	third, thirdSession := w.SignedIn(alice)
	p = b.Get("/account/password")
	if p := send("violet umbrella canoe", "violet umbrella canoe"); p.StatusCode != http.StatusSeeOther {
		t.Fatal(p.StatusCode)
	}
	if !w.StillSignedIn(third, thirdSession) {
		t.Error("the others were signed out without being asked")
	}
}

func TestAPersonChangesWhatTheyMayAndNothingElse(t *testing.T) {
	t.Parallel()
	w := providertest.New(t, func(c *provider.Config) {
		c.EditableClaims = []string{"name", "website", "birthdate", "phone_number", "address", "locale", "zoneinfo"}
	})
	w.AddUser("root")
	alice := w.AddUser("alice", "staff")
	bend(t, w, alice.ID, func(u *storage.User) {
		u.Claims.PhoneNumber, u.Claims.PhoneNumberVerified, u.Claims.Address = "+44 1", true,
			&storage.Address{StreetAddress: "1 Mill Lane", Locality: "Leeds"}
	})
	b, _ := w.SignedIn(alice)
	p := b.Get("/account/profile")
	if !strings.Contains(p.Body, `name="website"`) || strings.Contains(p.Body, `name="nickname"`) ||
		strings.Contains(p.Body, `name="email"`) || !strings.Contains(p.Body, "1 Mill Lane\nLeeds") {
		t.Errorf("%s", p.Body)
	}
	form := url.Values{"name": {" Alice B. "}, "website": {"https://alice.example/"}, "birthdate": {"1990-12-31"},
		"phone_number": {"+44 2"}, "address": {"2 Mill Lane\r\nLeeds"}}
	for _, name := range []string{"email", "username", "preferred_username", "sub", "nickname", "role", "family_name"} {
		form.Set(name, "root")
	}
	for _, name := range []string{"email_verified", "phone_number_verified", "verified", "is_admin", "admin"} {
		form.Set(name, "true")
	}
	form["groups"], form["roles"] = []string{"admins"}, []string{"owner"}
	if done := b.Follow(b.Submit(p, "profile-save", form)); !done.Has("notice") {
		t.Fatalf("%d %s", done.StatusCode, done.Body)
	}
	u := userOf(t, w, alice.ID)
	if c := u.Claims; c.Name != "Alice B." || c.Website != "https://alice.example/" || c.Birthdate != "1990-12-31" ||
		c.PhoneNumber != "+44 2" || c.PhoneNumberVerified || c.Address.Formatted != "2 Mill Lane\nLeeds" {
		t.Errorf("%+v %+v", c, c.Address)
	}
	if u.Username != "alice" || u.Claims.Email != "alice@example.com" || u.Claims.Nickname != "" ||
		u.Claims.FamilyName != "Example" || len(u.Groups) != 1 || u.Role != "" {
		t.Errorf("%+v", u)
	}
	for field, bad := range map[string]string{"website": "javascript:alert(1)", "birthdate": "yesterday",
		"name": strings.Repeat("x", 201), "phone_number": "1\n2"} {
		p := b.Submit(p, "profile-save", url.Values{field: {bad}})
		if p.StatusCode != http.StatusBadRequest || !p.Has("profile-error") {
			t.Errorf("%s: %d", field, p.StatusCode)
		}
	}
	if now := userOf(t, w, alice.ID); fmt.Sprint(now.Claims.Website, now.Claims.Birthdate,
		now.Claims.Name) != fmt.Sprint(u.Claims.Website, u.Claims.Birthdate, u.Claims.Name) {
		t.Errorf("%+v", now.Claims)
	}

	// Where nothing may be changed, there is no form, and one that is sent anyway does nothing.
	fixed := providertest.New(t, func(c *provider.Config) { c.EditableClaims = []string{} })
	bob := fixed.AddUser("bob")
	bb, bs := fixed.SignedIn(bob)
	if p := bb.Get("/account/profile"); p.Has("profile-save") {
		t.Error("there is a form")
	}
	if p := bb.Post("/account/profile",
		url.Values{"csrf": {fixed.Web.CSRF(fixed.Web.Cookie(bb.Request("/"), "latchkey_browser"), "account:"+bs.ID)},
			"name": {"Mallory"}}); p.StatusCode != http.StatusBadRequest {
		t.Errorf("%d", p.StatusCode)
	}
	if u := userOf(t, fixed, bob.ID); u.Claims.Name != "Bob Example" {
		t.Error(u.Claims.Name)
	}
}

func TestLanguageAndTimesFollowThePerson(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	alice := w.AddUser("alice")
	b, _ := w.SignedIn(alice)
	p := b.Get("/account/language")
	if strings.Count(p.Body, "<option") < 400 || len(p.Body) > 40<<10 {
		t.Errorf("%d zones in %d bytes", strings.Count(p.Body, "<option"), len(p.Body))
	}
	done := b.Follow(b.Submit(p, "language-save", url.Values{"locale": {"de"}, "zoneinfo": {"Asia/Kolkata"}}))
	if !strings.Contains(done.Body, `<html lang="de"`) || !done.Has("notice") || !strings.Contains(done.Body,
		`<option selected>Asia/Kolkata</option>`) {
		t.Fatalf("%d %s", done.StatusCode, done.Body)
	}
	w.Granted(storage.Session{ID: "x", UserID: alice.ID}, w.AddClient("shop"), func(g *storage.Grant) {
		g.Offline, g.CreatedAt, g.ExpiresAt = true, w.Web.Now().Add(-48*time.Hour), w.Web.Now().Add(time.Hour)
	})
	if p := b.Get("/account/connections"); !strings.Contains(p.Body, "21. Nov. 2026") &&
		!strings.Contains(p.Body, "14:30 IST") {
		t.Error(p.Body)
	}
	for _, bad := range []url.Values{{"locale": {"xx"}}, {"zoneinfo": {"Local"}}, {"zoneinfo": {"../../etc/passwd"}},
		{"zoneinfo": {"Mars/Phobos"}}} {
		if p := b.Submit(done, "language-save", bad); p.StatusCode != http.StatusBadRequest {
			t.Errorf("%v: %d", bad, p.StatusCode)
		}
	}
	if p := b.Follow(b.Submit(done, "language-save", url.Values{"locale": {""},
		"zoneinfo": {""}})); !strings.Contains(p.Body, `<html lang="en"`) {
		t.Error("it stays German")
	}
	if c := userOf(t, w, alice.ID).Claims; c.Locale != "" || c.Zoneinfo != "" {
		t.Errorf("%+v", c)
	}
}

func TestWhatAPersonCanOpenIsWhatTheyMayUse(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	alice := w.AddUser("alice", "staff")
	home := func(c *clients.Client) { c.ClientURI = "https://" + c.ID + ".example/start" }
	w.AddClient("open", home)
	w.AddClient("staffonly", home, func(c *clients.Client) { c.AllowedGroups = []string{"staff"} })
	w.AddClient("bosses", home, func(c *clients.Client) { c.AllowedGroups = []string{"board"} })
	w.AddClient("off", home, func(c *clients.Client) { c.Disabled = true })
	w.AddClient("stranger", home, func(c *clients.Client) { c.Dynamic = true })
	w.AddClient("nowhere")
	w.AddClient("begins", home, func(c *clients.Client) { c.InitiateLoginURI = "https://begins.example/login?a=b" })
	b, _ := w.SignedIn(alice)
	p := b.Get("/account")
	for id, want := range map[string]bool{"open": true, "staffonly": true, "bosses": false, "off": false,
		"stranger": false, "nowhere": false, "begins": true} {
		if strings.Contains(p.Body, "App "+id) != want {
			t.Errorf("%s: %t", id, !want)
		}
	}
	if !strings.Contains(p.Body, `href="https://begins.example/login?a=b&amp;iss=`+url.QueryEscape(w.Issuer)+`"`) ||
		!strings.Contains(p.Body, `href="https://open.example/start"`) {
		t.Error(p.Body)
	}
}

func TestLongListsAreCutIntoPages(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	alice := w.AddUser("alice")
	b, s := w.SignedIn(alice)
	const many = 2000
	for i := range many {
		now := w.Web.Now()
		err := w.Store.CreateSession(t.Context(), storage.Session{ID: fmt.Sprint("s", i), UserID: alice.ID,
			AuthTime: now, CreatedAt: now,
			LastSeen: now.Add(time.Duration(i+1) * time.Second), IdleAt: now.Add(time.Hour),
			ExpiresAt: now.Add(time.Hour), UserAgent: strings.Repeat("Firefox/", 20)})
		if err != nil {
			t.Fatal(err)
		}
	}
	seen := map[string]bool{}
	ids := regexp.MustCompile(`name="id" value="([^"]+)"`)
	target := "/account/sessions"
	for n := range 200 {
		p := b.Get(target)
		if len(p.Body) > 40<<10 {
			t.Fatalf("%d bytes", len(p.Body))
		}
		found := ids.FindAllStringSubmatch(p.Body, -1)
		if n == 0 && (found[0][1] != s.ID || !strings.Contains(p.Body, "1 to 20 of 2001")) {
			t.Errorf("the browser at hand is not the first:\n%s", p.Body)
		}
		for _, m := range found {
			seen[m[1]] = true
		}
		next := regexp.MustCompile(`id="page-older" class="button" href="([^"]+)"`).FindStringSubmatch(p.Body)
		if next == nil {
			break
		}
		target = next[1]
	}
	if len(seen) != many+1 {
		t.Errorf("%d of %d sessions were shown", len(seen), many+1)
	}
	for _, odd := range []string{"0", "-1", "x", "99999999999999999999", "1000000"} {
		if p := b.Get("/account/sessions?page=" + odd); p.StatusCode != http.StatusOK || !p.Has("sessions-page") {
			t.Errorf("%s: %d", odd, p.StatusCode)
		}
	}
}

func TestActivityTellsOfThePersonsOwnAccountAlone(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	alice, bob := w.AddUser("alice"), w.AddUser("bob")
	note := func(e storage.Event) {
		w.Config.Audit.Note(t.Context(), e)
		w.Clock.Advance(time.Second)
	}
	party := func(u storage.User) storage.EventParty {
		return storage.EventParty{Kind: "user", ID: u.ID, Name: u.Username}
	}
	note(storage.Event{Actor: party(bob), Verb: "session.begin", Address: "198.51.100.77",
		Object: storage.EventParty{Kind: "session", ID: "x"}})
	note(storage.Event{Actor: storage.EventParty{Kind: storage.ActorCommand, Name: "root@host"},
		Verb: "user.set_password", Object: party(alice), Address: "203.0.113.99"})
	note(storage.Event{Actor: party(alice), Verb: "session.begin", Outcome: storage.OutcomeRefused, Count: 12,
		Address: "198.51.100.5", Object: party(alice)})
	note(storage.Event{Actor: party(alice), Verb: "consent.grant", Object: storage.EventParty{Kind: "client",
		ID: w.AddClient("shop").ID, Name: "Old name"}})
	note(storage.Event{Actor: party(alice), Verb: "something.new", Object: party(alice)})
	for range 30 {
		note(storage.Event{Actor: party(alice), Verb: "user.update", Object: party(alice)})
	}
	b, _ := w.SignedIn(alice)
	p := b.Get("/account/activity")
	if n := strings.Count(p.Body, "Details changed"); n != 20 {
		t.Errorf("%d events on a page", n)
	}
	next := regexp.MustCompile(`id="page-older" class="button" href="([^"]+)"`).FindStringSubmatch(p.Body)
	if next == nil {
		t.Fatal("nothing leads on")
	}
	p = b.Get(next[1])
	for _, want := range []string{"Password changed", "by an administrator", "failed", "12 times", "198.51.100.5",
		"App shop", "A change to your account"} {
		if !strings.Contains(p.Body, want) {
			t.Errorf("%q is missing", want)
		}
	}
	if n := strings.Count(p.Body, "Details changed"); n != 10 {
		t.Errorf("%d events on the second page", n)
	}
	for _, no := range []string{"198.51.100.77", "root@host", "203.0.113.99"} {
		if strings.Contains(p.Body, no) {
			t.Errorf("%q is shown", no)
		}
	}
	for _, odd := range []string{"x", strings.Repeat("y", 200), "%00"} {
		if p := b.Get("/account/activity?before=" + odd); p.StatusCode != http.StatusOK &&
			p.StatusCode != http.StatusBadRequest {
			t.Errorf("%.10s: %d", odd, p.StatusCode)
		}
	}
}

func TestAPersonHasWhatIsKeptAboutThem(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	alice, shop := w.AddUser("alice", "staff"), w.AddClient("shop")
	b, s := w.SignedIn(alice)
	w.Granted(s, shop, func(g *storage.Grant) { g.CodeHash = "secret-code-hash" })
	if _, err := w.Store.AddPasskey(t.Context(), alice.ID, storage.Passkey{CredentialID: []byte("secret-credential"),
		PublicKey: []byte("secret-key"), Name: "the laptop", Synced: true, CreatedAt: w.Clock.Now()}, nil, 5); err != nil {
		t.Fatal(err)
	}
	bobs, bobSession := w.SignedIn(w.AddUser("bob"))
	_ = bobs
	p := b.Submit(b.Get("/account/data"), "data-export", url.Values{"action": {"export"}})
	if p.StatusCode != http.StatusOK || p.Header.Get("Content-Disposition") != `attachment; filename="account.json"` ||
		p.Header.Get("Cache-Control") != "no-store" {
		t.Fatalf("%d %v", p.StatusCode, p.Header)
	}
	var got map[string]any
	if err := json.Unmarshal([]byte(p.Body), &got); err != nil {
		t.Fatal(err)
	}
	account, _ := got["account"].(map[string]any)
	if account["username"] != "alice" || got["issuer"] != w.Issuer || len(got["sessions"].([]any)) != 1 {
		t.Errorf("%s", p.Body)
	}
	ways, _ := got["sign_in_methods"].([]any)
	if !slices.ContainsFunc(ways, func(one any) bool {
		m, _ := one.(map[string]any)
		return m["kind"] == "passkey" && m["name"] == "the laptop" && m["synced"] == true && m["added"] != nil
	}) {
		t.Errorf("the passkey is not in it: %v", ways)
	}
	for _, no := range []string{alice.PasswordHash, s.SecretHash, bobSession.ID, "secret-code-hash", "argon2"} {
		if strings.Contains(p.Body, no) {
			t.Errorf("%q is in it", no)
		}
	}
	if p := b.Get("/account/activity"); !strings.Contains(p.Body, "Your data downloaded") {
		t.Error("no event")
	}
	if p := b.Get("/account/data"); p.Has("data-delete") {
		t.Error("an account can be deleted that may not be")
	}
	if p := b.Submit(b.Get("/account/data"), "data-export", url.Values{"action": {"delete"},
		"username": {"alice"}}); p.StatusCode != http.StatusBadRequest {
		t.Errorf("deleted: %d", p.StatusCode)
	}
}

func TestAPersonDeletesTheirAccount(t *testing.T) {
	t.Parallel()
	w := providertest.New(t, func(c *provider.Config) { c.MayDeleteAccount = true })
	rp := providertest.NewRelyingParty(t)
	shop := w.AddClient("shop", rp.Hears)
	alice := w.AddUser("alice")
	b, s := w.SignedIn(alice)
	other, otherSession := w.SignedIn(alice)
	w.Granted(s, shop)
	p := b.Get("/account/data")
	for _, typed := range []string{"", "bob", "sub-alice"} {
		if p := b.Submit(p, "data-delete", url.Values{"action": {"delete"},
			"username": {typed}}); p.StatusCode != http.StatusBadRequest || !p.Has("delete-error") {
			t.Errorf("%q: %d", typed, p.StatusCode)
		}
	}
	if p := b.Submit(p, "data-delete", url.Values{"action": {"delete"}, "username": {" Alice "}}); !p.Has("deleted") {
		t.Fatalf("%d %s", p.StatusCode, p.Body)
	}
	if _, err := w.Store.User(t.Context(), alice.ID); err == nil {
		t.Error("it is there")
	}
	if !b.Open("/account").Has("login-page") || w.StillSignedIn(other, otherSession) {
		t.Error("somebody is signed in")
	}
	w.DeliverDue()
	if len(rp.Heard()) != 1 {
		t.Error("the application was not told")
	}
	events, err := w.Store.Events(t.Context(), storage.EventFilter{Object: alice.ID}, "", 10)
	if err != nil || len(events) == 0 || events[0].Verb != "user.delete" || events[0].Actor.ID != alice.ID {
		t.Errorf("%v %+v", err, events)
	}
	// The last owner stays.
	owner := w.AddUser("owner")
	bend(t, w, owner.ID, func(u *storage.User) { u.Role = storage.RoleOwner })
	ob, _ := w.SignedIn(owner)
	if p := ob.Submit(ob.Get("/account/data"), "data-delete", url.Values{"action": {"delete"},
		"username": {"owner"}}); p.StatusCode != http.StatusConflict || !p.Has("delete-error") {
		t.Errorf("%d", p.StatusCode)
	}
	if u := userOf(t, w, owner.ID); u.Disabled {
		t.Error("the last owner is disabled")
	}
}
