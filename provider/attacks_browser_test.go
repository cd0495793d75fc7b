package provider

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"latchkey/provider/clients"
	"latchkey/provider/oauth"
	"latchkey/provider/storage"
)

// send posts a form as the browser does, with these headers; no other tells where it came from.
func (b *browser) sendFrom(target string, form url.Values, header ...string) page {
	b.w.t.Helper()
	r, err := http.NewRequest("POST", b.w.absolute(target), strings.NewReader(form.Encode()))
	if err != nil {
		b.w.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return b.do(r)
}

// elsewhere are the headers with which browsers say that a form is of another site.
var elsewhere = [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "https://evil.example"}, {"Origin", "null"}, {"Origin", "http://127.0.0.1"}, {"Origin", "https://evil.example", "Sec-Fetch-Site", "same-site"}}

func TestFormsOfOtherSitesDoNothing(t *testing.T) {
	t.Parallel()
	w := newTestProvider(t)
	w.addUser("alice")
	w.addUser("mallory")
	c := w.addClient("web", asksConsent)
	mallory := w.browser()
	hers := mallory.open(w.request(c))
	herForm := with(url.Values{"username": {"mallory"}, "password": {testPassword}}, "csrf", accountForm(hers, "").Get("csrf"))
	herAction := "/login?i=" + hers.Request.URL.Query().Get("i")

	b := w.browser()
	login := b.open(w.request(c))
	action := "/login?i=" + login.Request.URL.Query().Get("i")
	own := accountForm(login, "").Get("csrf")
	none := func(name string, p page) {
		t.Helper()
		if p.StatusCode != http.StatusForbidden && p.StatusCode != http.StatusUnsupportedMediaType && p.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("%s: %d %s", name, p.StatusCode, p.Header.Get("Location"))
		}
		for _, ck := range p.Cookies() {
			if ck.Name == sessionCookie && ck.Value != "" {
				t.Errorf("%s began a session", name)
			}
		}
	}
	creds := url.Values{"username": {"mallory"}, "password": {testPassword}}
	none("somebody else's form, in this browser", b.post(herAction, herForm))
	none("this browser's interaction with somebody else's value", b.post(action, herForm))
	none("no value", b.post(action, creds))
	none("an empty value", b.post(action, with(creds, "csrf", "")))
	none("the value of another purpose", b.post(action, with(creds, "csrf", w.csrf("x", "interaction:"+login.Request.URL.Query().Get("i")))))
	for _, header := range elsewhere {
		none("the right value from "+strings.Join(header, " "), b.sendFrom(action, with(creds, "csrf", own), header...))
	}
	none("as text", b.sendFrom(action, with(creds, "csrf", own), "Content-Type", "text/plain"))
	none("as JSON", b.sendFrom(action, with(creds, "csrf", own), "Content-Type", "application/json"))
	none("without cookies", w.browser().post(action, with(creds, "csrf", own)))
	if p := b.get(action + "&username=mallory&password=" + url.QueryEscape(testPassword) + "&csrf=" + own); !p.has("login-page") {
		t.Errorf("a sign-in by GET: %d", p.StatusCode)
	}

	consent := b.signInAs(login, "alice")
	if !consent.has("consent-page") {
		t.Fatalf("the control: %d", consent.StatusCode)
	}
	form := with(accountForm(consent, ""), "decision", "allow")
	form.Del("account")
	target := consent.Request.URL.RequestURI()
	for _, header := range elsewhere {
		none("consent from "+strings.Join(header, " "), b.sendFrom(target, form, header...))
		none("account from "+strings.Join(header, " "), b.sendFrom("/account", url.Values{"action": {"end-other-sessions"}}, header...))
		none("logout from "+strings.Join(header, " "), b.sendFrom("/logout/confirm", url.Values{}, header...))
	}
	none("consent with somebody else's value", b.post(target, with(form, "csrf", herForm.Get("csrf"))))
	if p := b.get(target + "&decision=allow&csrf=" + form.Get("csrf")); !p.has("consent-page") {
		t.Errorf("a consent by GET: %d", p.StatusCode)
	}
	if code := b.follow(b.post(target, form)).answer().Get("code"); code == "" {
		t.Error("the control: nothing of all that has changed anything")
	}
}

func TestAnInteractionBelongsToOneBrowser(t *testing.T) {
	t.Parallel()
	w := newTestProvider(t)
	w.addUser("alice")
	w.addUser("mallory")
	c := w.addClient("web", asksConsent)
	alice, mallory := w.browser(), w.browser()
	mallory.code(c, "mallory")
	consent := alice.signInAs(alice.open(w.request(c)), "alice")
	i := consent.Request.URL.Query().Get("i")
	form := with(accountForm(consent, ""), "decision", "allow")
	for name, other := range map[string]*browser{"nobody": w.browser(), "mallory": mallory} {
		for _, p := range []page{other.get("/authorize?i=" + i), other.get("/consent?i=" + i), other.get("/login?i=" + i), other.get("/accounts?i=" + i), other.post("/consent?i="+i, form), other.post("/login?i="+i, form)} {
			if p.StatusCode != http.StatusForbidden || p.Header.Get("Location") != "" {
				t.Errorf("%s at %s: %d", name, p.Request.URL, p.StatusCode)
			}
		}
	}
	// One that came by POST is the first browser's.
	posted := w.browser().post("/authorize", mustQuery(t, w.request(c))).Header.Get("Location")
	if p := w.browser().get(posted); p.StatusCode != http.StatusSeeOther {
		t.Fatalf("the control: %d", p.StatusCode)
	}
	if p := mallory.get(posted); p.StatusCode != http.StatusForbidden {
		t.Errorf("the second browser: %d", p.StatusCode)
	}
	// What was asked is what is stored, whatever the form adds.
	got := alice.follow(alice.post("/consent?i="+i, with(form, "scope", "openid email offline_access", "client_id", "x", "redirect_uri", "https://evil.example/")))
	if !strings.HasPrefix(got.Header.Get("Location"), "https://web.example/cb?") {
		t.Fatalf("%d %s", got.StatusCode, got.Header.Get("Location"))
	}
	if tokens := w.redeem(c, got.answer().Get("code")); tokens.str("scope") != "openid" || tokens.str("refresh_token") != "" {
		t.Errorf("%v", tokens.JSON)
	}
	for _, p := range []page{alice.get("/authorize?i=" + i), alice.post("/consent?i="+i, form)} {
		if p.StatusCode != http.StatusBadRequest || p.Header.Get("Location") != "" {
			t.Errorf("once more: %d %s", p.StatusCode, p.Header.Get("Location"))
		}
	}
}

func TestWhatAClientChangesMeanwhileIsAskedAnew(t *testing.T) {
	t.Parallel()
	w := newTestProvider(t)
	w.addUser("alice")
	for name, bend := range map[string]func(*clients.Client){
		"disabled":                  func(c *clients.Client) { c.Disabled = true },
		"its redirect URI is gone":  func(c *clients.Client) { c.RedirectURIs = []string{"https://web.example/new"} },
		"only for others meanwhile": func(c *clients.Client) { c.AllowedGroups = []string{"others"} },
	} {
		c := w.addClient("web-"+strings.ReplaceAll(name, " ", ""), asksConsent)
		b := w.browser()
		consent := b.signInAs(b.open(w.request(c)), "alice")
		c, err := w.Store.Client(t.Context(), c.ID)
		if err != nil {
			t.Fatal(err)
		}
		bend(&c)
		if err := w.Store.UpdateClient(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		if p := b.follow(b.submit(consent, "consent-allow", allow)); p.answer().Get("code") != "" || p.StatusCode < 400 {
			t.Errorf("%s: %d %s", name, p.StatusCode, p.Header.Get("Location"))
		}
	}
}

func TestReauthenticationCannotBeSkipped(t *testing.T) {
	t.Parallel()
	w := newTestProvider(t)
	w.addUser("alice")
	c := w.addClient("web")
	b := w.browser()
	b.code(c, "alice")
	w.clock.Advance(10 * time.Minute)
	for name, change := range map[string][]string{"prompt=login": {"prompt", "login"}, "max_age": {"max_age", "60"}, "max_age=0": {"max_age", "0"}, "prompt=login consent": {"prompt", "login consent"}} {
		p := b.get(w.request(c, change...))
		i := mustQuery(t, p.Header.Get("Location")).Get("i")
		for _, target := range []string{"/authorize?i=" + i, "/authorize?i=" + i + "&prompt=", "/authorize?i=" + i + "&max_age=9999", "/accounts?i=" + i, "/consent?i=" + i} {
			if q := b.open(target); q.answer().Get("code") != "" || !q.has("login-page") {
				t.Errorf("%s at %s: %d %s", name, target, q.StatusCode, q.Header.Get("Location"))
			}
		}
		csrf := accountForm(b.open("/authorize?i="+i), "").Get("csrf")
		for _, p := range []page{b.post("/accounts?i="+i, url.Values{"csrf": {csrf}, "account": {"current"}}), b.post("/consent?i="+i, url.Values{"csrf": {csrf}, "decision": {"allow"}}), b.post("/login?i="+i, url.Values{"csrf": {csrf}})} {
			if q := b.follow(p); q.answer().Get("code") != "" {
				t.Errorf("%s by a form of another step: %s", name, q.Header.Get("Location"))
			}
		}
		// A sign-in for one request is none for another that was begun before it.
		b.signInAs(b.open(w.request(c, "prompt", "login")), "alice")
		if q := b.open("/authorize?i=" + i); strings.Contains(name, "login") && q.answer().Get("code") != "" {
			t.Errorf("%s by a sign-in for another request", name)
		}
		w.clock.Advance(10 * time.Minute)
	}
	for _, bad := range []string{"-1", "abc", "99999999999999999999", "1.5", "0x10"} {
		if p := b.get(w.request(c, "max_age", bad)); p.answer().Get("error") != string(oauth.InvalidRequest) {
			t.Errorf("max_age=%s: %s", bad, p.Header.Get("Location"))
		}
	}
}

func TestNobodyLearnsWhoHasAnAccount(t *testing.T) {
	t.Parallel()
	w := newTestProvider(t)
	w.addUser("alice")
	for username, bend := range map[string]func(*storage.User){"disabled": func(u *storage.User) { u.Disabled = true }, "nopassword": func(u *storage.User) { u.PasswordHash = "" }} {
		u, err := w.Store.User(t.Context(), w.addUser(username).ID)
		if err != nil {
			t.Fatal(err)
		}
		bend(&u)
		if err := w.Store.UpdateUser(t.Context(), u); err != nil {
			t.Fatal(err)
		}
	}
	c := w.addClient("web")
	changing := regexp.MustCompile(`name="csrf" value="[^"]*|\?i=[^"&;]*`)
	var want string
	for _, username := range []string{"alice", "disabled", "nopassword", "nobody"} {
		for _, password := range []string{"wrong password", testPassword} {
			if username == "alice" && password == testPassword {
				continue
			}
			b := w.browser()
			p := b.submit(b.open(w.request(c)), "login-submit", url.Values{"username": {username}, "password": {password}})
			got := changing.ReplaceAllString(strings.ReplaceAll(p.body, username, "USERNAME"), "")
			if want == "" {
				want = got
			}
			if p.StatusCode != http.StatusUnauthorized || got != want || len(p.Cookies()) != 0 {
				t.Errorf("%s: %d %v", username, p.StatusCode, p.Cookies())
			}
		}
	}
	for _, id := range []string{"nobody", "web"} { // unknown and disabled clients look alike
		if id == "web" {
			c, err := w.Store.Client(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			c.Disabled = true
			if err := w.Store.UpdateClient(t.Context(), c); err != nil {
				t.Fatal(err)
			}
		}
	}
	reference := regexp.MustCompile(`[A-Z2-7]{12}`)
	unknown, disabled := w.browser().get(w.request(c, "client_id", "nobody")), w.browser().get(w.request(c))
	if reference.ReplaceAllString(unknown.body, "") != reference.ReplaceAllString(disabled.body, "") || unknown.StatusCode != disabled.StatusCode {
		t.Error("an unknown and a disabled client can be told apart")
	}
}

func TestCookiesOverTLSAreOfThisHostAlone(t *testing.T) {
	t.Parallel()
	w := newTestProvider(t, func(c *Config) {
		c.Issuer, c.TrustedProxies = "https://op.example", []netip.Prefix{netip.MustParsePrefix("192.0.2.1/32")}
	})
	w.addUser("alice")
	c := w.addClient("web")
	handler := w.Handler()
	jar := map[string]string{}
	ask := func(method, target string, form url.Values, peer string, header ...string) *http.Response {
		r := httptest.NewRequest(method, target, strings.NewReader(form.Encode()))
		r.RemoteAddr = peer + ":1"
		r.Header.Set("X-Forwarded-Proto", "https")
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		for name, value := range jar {
			r.AddCookie(&http.Cookie{Name: name, Value: value})
		}
		for i := 0; i+1 < len(header); i += 2 {
			r.Header.Add(header[i], header[i+1])
		}
		out := httptest.NewRecorder()
		handler.ServeHTTP(out, r)
		resp := out.Result()
		for _, ck := range resp.Cookies() {
			jar[ck.Name] = ck.Value
			if !strings.HasPrefix(ck.Name, "__Host-") || !ck.Secure || ck.Path != "/" || ck.Domain != "" || ck.Name != "__Host-"+stateCookie && (!ck.HttpOnly || ck.SameSite != http.SameSiteLaxMode) {
				t.Errorf("cookie %s: %+v", ck.Name, ck)
			}
		}
		if !strings.Contains(resp.Header.Get("Strict-Transport-Security"), "max-age=") {
			t.Errorf("%s: no HSTS", target)
		}
		return resp
	}
	// Who is not the trusted proxy cannot say that it was TLS.
	for _, method := range []string{"GET", "POST"} {
		resp := ask(method, "/account", url.Values{"password": {"x"}}, "203.0.113.9", "Connection", "X-Forwarded-For", "Forwarded", "proto=https")
		if method == "GET" && resp.Header.Get("Location") != "https://op.example/account" || method == "POST" && (resp.StatusCode != http.StatusBadRequest || resp.Header.Get("Location") != "") {
			t.Errorf("%s in clear: %d %s", method, resp.StatusCode, resp.Header.Get("Location"))
		}
	}
	if l := ask("GET", "//evil.example/", nil, "203.0.113.9").Header.Get("Location"); !strings.HasPrefix(l, "https://op.example/") {
		t.Errorf("to %s", l)
	}
	resp := ask("GET", w.request(c), nil, "192.0.2.1")
	login := resp.Header.Get("Location")
	resp = ask("GET", login, nil, "192.0.2.1")
	body := new(strings.Builder)
	if err := resp.Write(body); err != nil {
		t.Fatal(err)
	}
	creds := url.Values{"csrf": {regexpCSRF(body.String())}, "username": {"alice"}, "password": {testPassword}}
	// A cookie that a neighbour host planted has no prefix, and says nothing.
	planted := ask("GET", w.request(c, "prompt", "none"), nil, "192.0.2.1", "Cookie", sessionCookie+"="+jar["__Host-"+browserCookie])
	if !strings.Contains(planted.Header.Get("Location"), "login_required") {
		t.Errorf("a planted cookie: %s", planted.Header.Get("Location"))
	}
	resp = ask("POST", login, creds, "192.0.2.1", "Origin", "https://op.example", "Sec-Fetch-Site", "same-origin")
	if resp.StatusCode != http.StatusSeeOther || jar["__Host-"+sessionCookie] == "" {
		t.Fatalf("the control: %d %v", resp.StatusCode, jar)
	}
	if resp = ask("GET", resp.Header.Get("Location"), nil, "192.0.2.1"); !strings.Contains(resp.Header.Get("Location"), "code=") {
		t.Errorf("%d %s", resp.StatusCode, resp.Header.Get("Location"))
	}
	for name, value := range jar {
		if strings.Contains(value, "alice") {
			t.Errorf("cookie %s tells who it is", name)
		}
	}
}

func TestAClockThatJumpsRevivesNothing(t *testing.T) {
	t.Parallel()
	w := newTestProvider(t)
	alice, c := w.addUser("alice"), w.addClient("web")
	key := ecKey(t)
	w.addClient("jwt-j", byKey(t, "ES256", map[string]any{"k": key.Public()}))
	code, _ := w.authorized(c, alice, offline)
	got := w.redeem(c, code)
	late, _ := w.authorized(c, alice, offline)
	again := w.renew(c, got.str("refresh_token"))
	mustWork(t, again)
	w.clock.Advance(time.Hour)
	mustRefuse(t, w.redeem(c, late), http.StatusBadRequest, oauth.InvalidGrant)
	if info := w.userinfoOf(got.str("access_token")); info.StatusCode != http.StatusUnauthorized {
		t.Errorf("an hour later: %d", info.StatusCode)
	}
	if _, err := w.Store.Purge(t.Context(), w.now()); err != nil {
		t.Fatal(err)
	}
	w.clock.Advance(-time.Hour)
	mustRefuse(t, w.redeem(c, code), http.StatusBadRequest, oauth.InvalidGrant)
	mustRefuse(t, w.renew(c, again.str("refresh_token")), http.StatusBadRequest, oauth.InvalidGrant) // ended with its code's second use
	if left := w.tokens(c, alice, "openid").JSON["expires_in"]; left != float64(w.AccessTokenTTL/time.Second) {
		t.Errorf("expires_in %v", left)
	}
	for _, d := range []time.Duration{10 * 365 * 24 * time.Hour, -20 * 365 * 24 * time.Hour, 10 * 365 * 24 * time.Hour} {
		w.clock.Advance(d)
		for _, p := range []string{"/jwks", "/.well-known/openid-configuration", "/account", "/readyz", w.request(c)} {
			if got := w.browser().get(p); got.StatusCode >= 500 {
				t.Errorf("%s after %s: %d", p, d, got.StatusCode)
			}
		}
	}
}

func TestPasswordsAreBoundedBeforeTheyAreHashed(t *testing.T) {
	t.Parallel()
	w := newTestProvider(t)
	w.addUser("alice")
	c, b := w.addClient("web"), w.browser()
	login := b.open(w.request(c))
	for _, password := range []string{strings.Repeat("x", 200<<10), testPassword + strings.Repeat(" ", 100<<10), testPassword + "\x00", testPassword + " ", " " + testPassword, testPassword[:len(testPassword)-1], "\xff\xfe"} {
		p := b.submit(login, "login-submit", url.Values{"username": {"alice"}, "password": {password}})
		if p.StatusCode < 400 || p.StatusCode >= 500 {
			t.Errorf("%.30q: %d", password, p.StatusCode)
		}
	}
	if p := b.submit(login, "login-submit", url.Values{"username": {"alice"}, "password": {testPassword}}); p.StatusCode != http.StatusSeeOther {
		t.Errorf("the control: %d", p.StatusCode)
	}
}
