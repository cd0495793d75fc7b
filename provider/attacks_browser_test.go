package provider_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"latchkey/provider"
	"latchkey/provider/clients"
	"latchkey/provider/oauth"
	"latchkey/provider/providertest"
	"latchkey/provider/session"
	"latchkey/provider/storage"
	"latchkey/provider/web"
)

// elsewhere are the headers with which browsers say that a form is of another site.
var elsewhere = [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"},
	{"Origin", "https://evil.example"}, {"Origin", "null"}, {"Origin", "http://127.0.0.1"},
	{"Origin", "https://evil.example", "Sec-Fetch-Site", "same-site"}}

func TestFormsOfOtherSitesDoNothing(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	w.AddUser("alice")
	w.AddUser("mallory")
	c := w.AddClient("web", providertest.AsksConsent)
	mallory := w.Browser()
	hers := mallory.Open(w.Request(c))
	herForm := providertest.With(url.Values{"username": {"mallory"}, "password": {providertest.TestPassword}}, "csrf",
		providertest.AccountForm(hers, "").Get("csrf"))
	herAction := "/login?i=" + hers.Request.URL.Query().Get("i")

	b := w.Browser()
	login := b.Open(w.Request(c))
	action := "/login?i=" + login.Request.URL.Query().Get("i")
	own := providertest.AccountForm(login, "").Get("csrf")
	none := func(name string, p providertest.Page) {
		t.Helper()
		if p.StatusCode != http.StatusForbidden && p.StatusCode != http.StatusBadRequest &&
			p.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("%s: %d %s", name, p.StatusCode, p.Header.Get("Location"))
		}
		for _, ck := range p.Cookies() {
			if ck.Name == session.SessionCookie && ck.Value != "" {
				t.Errorf("%s began a session", name)
			}
		}
	}
	creds := url.Values{"username": {"mallory"}, "password": {providertest.TestPassword}}
	none("somebody else's form, in this browser", b.Post(herAction, herForm))
	none("this browser's interaction with somebody else's value", b.Post(action, herForm))
	none("no value", b.Post(action, creds))
	none("an empty value", b.Post(action, providertest.With(creds, "csrf", "")))
	none("the value of another purpose",
		b.Post(action, providertest.With(creds, "csrf",
			w.Web.CSRF("x", "interaction:"+login.Request.URL.Query().Get("i")))))
	for _, header := range elsewhere {
		none("the right value from "+strings.Join(header, " "),
			b.SendFrom(action, providertest.With(creds, "csrf", own), header...))
	}
	none("as text", b.SendFrom(action, providertest.With(creds, "csrf", own), "Content-Type", "text/plain"))
	none("as JSON", b.SendFrom(action, providertest.With(creds, "csrf", own), "Content-Type", "application/json"))
	none("without cookies", w.Browser().Post(action, providertest.With(creds, "csrf", own)))
	if p := b.Get(action + "&username=mallory&password=" + url.QueryEscape(providertest.TestPassword) + "&csrf=" +
		own); !p.Has("login-page") {
		t.Errorf("a sign-in by GET: %d", p.StatusCode)
	}

	consent := b.SignInAs(login, "alice")
	if !consent.Has("consent-page") {
		t.Fatalf("the control: %d", consent.StatusCode)
	}
	form := providertest.With(providertest.AccountForm(consent, ""), "decision", "allow")
	form.Del("account")
	target := consent.Request.URL.RequestURI()
	for _, header := range elsewhere {
		none("consent from "+strings.Join(header, " "), b.SendFrom(target, form, header...))
		none("account from "+strings.Join(header, " "), b.SendFrom("/account/sessions",
			url.Values{"action": {"end-other-sessions"}}, header...))
		none("logout from "+strings.Join(header, " "), b.SendFrom("/logout/confirm", url.Values{}, header...))
	}
	none("consent with somebody else's value", b.Post(target, providertest.With(form, "csrf", herForm.Get("csrf"))))
	if p := b.Get(target + "&decision=allow&csrf=" + form.Get("csrf")); !p.Has("consent-page") {
		t.Errorf("a consent by GET: %d", p.StatusCode)
	}
	if code := b.Follow(b.Post(target, form)).Answer().Get("code"); code == "" {
		t.Error("the control: nothing of all that has changed anything")
	}
}

func TestAnInteractionBelongsToOneBrowser(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	w.AddUser("alice")
	w.AddUser("mallory")
	c := w.AddClient("web", providertest.AsksConsent)
	alice, mallory := w.Browser(), w.Browser()
	mallory.Code(c, "mallory")
	consent := alice.SignInAs(alice.Open(w.Request(c)), "alice")
	i := consent.Request.URL.Query().Get("i")
	form := providertest.With(providertest.AccountForm(consent, ""), "decision", "allow")
	for name, other := range map[string]*providertest.Browser{"nobody": w.Browser(), "mallory": mallory} {
		for _, p := range []providertest.Page{other.Get("/authorize?i=" + i), other.Get("/consent?i=" + i),
			other.Get("/login?i=" + i), other.Get("/accounts?i=" + i), other.Post("/consent?i="+i, form),
			other.Post("/login?i="+i, form)} {
			if p.StatusCode != http.StatusForbidden || p.Header.Get("Location") != "" {
				t.Errorf("%s at %s: %d", name, p.Request.URL, p.StatusCode)
			}
		}
	}
	// One that came by POST is the first browser's.
	posted := w.Browser().Post("/authorize", providertest.MustQuery(t, w.Request(c))).Header.Get("Location")
	if p := w.Browser().Get(posted); p.StatusCode != http.StatusSeeOther {
		t.Fatalf("the control: %d", p.StatusCode)
	}
	if p := mallory.Get(posted); p.StatusCode != http.StatusForbidden {
		t.Errorf("the second browser: %d", p.StatusCode)
	}
	// What was asked is what is stored, whatever the form adds.
	got := alice.Follow(alice.Post("/consent?i="+i, providertest.With(form, "scope", "openid email offline_access",
		"client_id", "x", "redirect_uri", "https://evil.example/")))
	if !strings.HasPrefix(got.Header.Get("Location"), "https://web.example/cb?") {
		t.Fatalf("%d %s", got.StatusCode, got.Header.Get("Location"))
	}
	if tokens := w.Redeem(c, got.Answer().Get("code")); tokens.Str("scope") != "openid" ||
		tokens.Str("refresh_token") != "" {
		t.Errorf("%v", tokens.JSON)
	}
	for _, p := range []providertest.Page{alice.Get("/authorize?i=" + i), alice.Post("/consent?i="+i, form)} {
		if p.StatusCode != http.StatusBadRequest || p.Header.Get("Location") != "" {
			t.Errorf("once more: %d %s", p.StatusCode, p.Header.Get("Location"))
		}
	}
}

func TestWhatAClientChangesMeanwhileIsAskedAnew(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	w.AddUser("alice")
	for name, bend := range map[string]func(*clients.Client){
		"disabled":                  func(c *clients.Client) { c.Disabled = true },
		"its redirect URI is gone":  func(c *clients.Client) { c.RedirectURIs = []string{"https://web.example/new"} },
		"only for others meanwhile": func(c *clients.Client) { c.AllowedGroups = []string{"others"} },
	} {
		c := w.AddClient("web-"+strings.ReplaceAll(name, " ", ""), providertest.AsksConsent)
		b := w.Browser()
		consent := b.SignInAs(b.Open(w.Request(c)), "alice")
		c, err := w.Store.Client(t.Context(), c.ID)
		if err != nil {
			t.Fatal(err)
		}
		bend(&c)
		if err := w.Store.UpdateClient(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		if p := b.Follow(b.Submit(consent, "consent-allow", providertest.Allow)); p.Answer().Get("code") != "" ||
			p.StatusCode < 400 {
			t.Errorf("%s: %d %s", name, p.StatusCode, p.Header.Get("Location"))
		}
	}
}

func TestReauthenticationCannotBeSkipped(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	w.AddUser("alice")
	c := w.AddClient("web")
	b := w.Browser()
	b.Code(c, "alice")
	w.Clock.Advance(10 * time.Minute)
	for name, change := range map[string][]string{"prompt=login": {"prompt", "login"}, "max_age": {"max_age", "60"},
		"max_age=0": {"max_age", "0"}, "prompt=login consent": {"prompt", "login consent"}} {
		p := b.Get(w.Request(c, change...))
		i := providertest.MustQuery(t, p.Header.Get("Location")).Get("i")
		for _, target := range []string{"/authorize?i=" + i, "/authorize?i=" + i + "&prompt=", "/authorize?i=" + i +
			"&max_age=9999", "/accounts?i=" + i, "/consent?i=" + i} {
			if q := b.Open(target); q.Answer().Get("code") != "" || !q.Has("login-page") {
				t.Errorf("%s at %s: %d %s", name, target, q.StatusCode, q.Header.Get("Location"))
			}
		}
		csrf := providertest.AccountForm(b.Open("/authorize?i="+i), "").Get("csrf")
		for _, p := range []providertest.Page{b.Post("/accounts?i="+i, url.Values{"csrf": {csrf},
			"account": {"current"}}), b.Post("/consent?i="+i, url.Values{"csrf": {csrf}, "decision": {"allow"}}),
			b.Post("/login?i="+i, url.Values{"csrf": {csrf}})} {
			if q := b.Follow(p); q.Answer().Get("code") != "" {
				t.Errorf("%s by a form of another step: %s", name, q.Header.Get("Location"))
			}
		}
		// A sign-in for one request is none for another that was begun before it.
		b.SignInAs(b.Open(w.Request(c, "prompt", "login")), "alice")
		if q := b.Open("/authorize?i=" + i); strings.Contains(name, "login") && q.Answer().Get("code") != "" {
			t.Errorf("%s by a sign-in for another request", name)
		}
		w.Clock.Advance(10 * time.Minute)
	}
	for _, bad := range []string{"-1", "abc", "99999999999999999999", "1.5", "0x10"} {
		if p := b.Get(w.Request(c, "max_age", bad)); p.Answer().Get("error") != string(oauth.InvalidRequest) {
			t.Errorf("max_age=%s: %s", bad, p.Header.Get("Location"))
		}
	}
}

func TestNobodyLearnsWhoHasAnAccount(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	w.AddUser("alice")
	for username, bend := range map[string]func(*storage.User){"disabled": func(u *storage.User) { u.Disabled = true },
		"nopassword": func(u *storage.User) { u.PasswordHash = "" }} {
		u, err := w.Store.User(t.Context(), w.AddUser(username).ID)
		if err != nil {
			t.Fatal(err)
		}
		bend(&u)
		if err := w.Store.UpdateUser(t.Context(), u); err != nil {
			t.Fatal(err)
		}
	}
	c := w.AddClient("web")
	changing := regexp.MustCompile(`name="csrf" value="[^"]*|\?i=[^"&;]*`)
	var want string
	for _, username := range []string{"alice", "disabled", "nopassword", "nobody"} {
		for _, password := range []string{"wrong password", providertest.TestPassword} {
			if username == "alice" && password == providertest.TestPassword {
				continue
			}
			b := w.Browser()
			p := b.Submit(b.Open(w.Request(c)), "login-submit", url.Values{"username": {username},
				"password": {password}})
			got := changing.ReplaceAllString(strings.ReplaceAll(p.Body, username, "USERNAME"), "")
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
	unknown, disabled := w.Browser().Get(w.Request(c, "client_id", "nobody")), w.Browser().Get(w.Request(c))
	if reference.ReplaceAllString(unknown.Body, "") != reference.ReplaceAllString(disabled.Body, "") ||
		unknown.StatusCode != disabled.StatusCode {
		t.Error("an unknown and a disabled client can be told apart")
	}
}

func TestCookiesOverTLSAreOfThisHostAlone(t *testing.T) {
	t.Parallel()
	w := providertest.New(t, func(c *provider.Config) {
		c.Issuer, c.TrustedProxies = "https://op.example", []netip.Prefix{netip.MustParsePrefix("192.0.2.1/32")}
	})
	w.AddUser("alice")
	c := w.AddClient("web")
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
			if !strings.HasPrefix(ck.Name, "__Host-") || !ck.Secure || ck.Path != "/" || ck.Domain != "" ||
				ck.Name != "__Host-"+session.StateCookie && (!ck.HttpOnly || ck.SameSite != http.SameSiteLaxMode) {
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
		resp := ask(method, "/account", url.Values{"password": {"x"}}, "203.0.113.9", "Connection", "X-Forwarded-For",
			"Forwarded", "proto=https")
		if body, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusBadRequest ||
			resp.Header.Get("Location") != "" || !strings.Contains(string(body), "trusted_proxies") {
			t.Errorf("%s in clear: %d %s", method, resp.StatusCode, resp.Header.Get("Location"))
		}
	}
	if l := ask("GET", "//evil.example/", nil, "203.0.113.9").Header.Get("Location"); l != "" &&
		!strings.HasPrefix(l, "https://op.example/") {
		t.Errorf("to %s", l)
	}
	resp := ask("GET", w.Request(c), nil, "192.0.2.1")
	login := resp.Header.Get("Location")
	resp = ask("GET", login, nil, "192.0.2.1")
	body := new(strings.Builder)
	if err := resp.Write(body); err != nil {
		t.Fatal(err)
	}
	creds := url.Values{"csrf": {providertest.RegexpCSRF(body.String())}, "username": {"alice"},
		"password": {providertest.TestPassword}}
	// A cookie that a neighbour host planted has no prefix, and says nothing.
	planted := ask("GET", w.Request(c, "prompt", "none"), nil, "192.0.2.1", "Cookie",
		session.SessionCookie+"="+jar["__Host-"+web.BrowserCookie])
	if !strings.Contains(planted.Header.Get("Location"), "login_required") {
		t.Errorf("a planted cookie: %s", planted.Header.Get("Location"))
	}
	resp = ask("POST", login, creds, "192.0.2.1", "Origin", "https://op.example", "Sec-Fetch-Site", "same-origin")
	if resp.StatusCode != http.StatusSeeOther || jar["__Host-"+session.SessionCookie] == "" {
		t.Fatalf("the control: %d %v", resp.StatusCode, jar)
	}
	if resp = ask("GET", resp.Header.Get("Location"), nil, "192.0.2.1"); !strings.Contains(resp.Header.Get("Location"),
		"code=") {
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
	w := providertest.New(t)
	alice, c := w.AddUser("alice"), w.AddClient("web")
	key := providertest.EcKey(t)
	w.AddClient("jwt-j", providertest.ByKey(t, "ES256", map[string]any{"k": key.Public()}))
	code, _ := w.Authorized(c, alice, providertest.Offline)
	got := w.Redeem(c, code)
	late, _ := w.Authorized(c, alice, providertest.Offline)
	again := w.Renew(c, got.Str("refresh_token"))
	providertest.MustWork(t, again)
	w.Clock.Advance(time.Hour)
	providertest.MustRefuse(t, w.Redeem(c, late), http.StatusBadRequest, oauth.InvalidGrant)
	if info := w.UserinfoOf(got.Str("access_token")); info.StatusCode != http.StatusUnauthorized {
		t.Errorf("an hour later: %d", info.StatusCode)
	}
	if _, err := w.Store.Purge(t.Context(), w.Web.Now()); err != nil {
		t.Fatal(err)
	}
	w.Clock.Advance(-time.Hour)
	providertest.MustRefuse(t, w.Redeem(c, code), http.StatusBadRequest, oauth.InvalidGrant)
	// ended with its code's second use
	providertest.MustRefuse(t, w.Renew(c, again.Str("refresh_token")), http.StatusBadRequest, oauth.InvalidGrant)
	if left := w.Tokens(c, alice, "openid").JSON["expires_in"]; left != float64(w.AccessTokenTTL/time.Second) {
		t.Errorf("expires_in %v", left)
	}
	for _, d := range []time.Duration{10 * 365 * 24 * time.Hour, -20 * 365 * 24 * time.Hour,
		10 * 365 * 24 * time.Hour} {
		w.Clock.Advance(d)
		for _, p := range []string{"/jwks", "/.well-known/openid-configuration", "/account", "/readyz", w.Request(c)} {
			if got := w.Browser().Get(p); got.StatusCode >= 500 {
				t.Errorf("%s after %s: %d", p, d, got.StatusCode)
			}
		}
	}
}

func TestPasswordsAreBoundedBeforeTheyAreHashed(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	w.AddUser("alice")
	c, b := w.AddClient("web"), w.Browser()
	login := b.Open(w.Request(c))
	for _, password := range []string{strings.Repeat("x", 200<<10), providertest.TestPassword +
		strings.Repeat(" ", 100<<10), providertest.TestPassword + "\x00", providertest.TestPassword + " ", " " +
		providertest.TestPassword, providertest.TestPassword[:len(providertest.TestPassword)-1], "\xff\xfe"} {
		p := b.Submit(login, "login-submit", url.Values{"username": {"alice"}, "password": {password}})
		if p.StatusCode < 400 || p.StatusCode >= 500 {
			t.Errorf("%.30q: %d", password, p.StatusCode)
		}
	}
	if p := b.Submit(login, "login-submit", url.Values{"username": {"alice"},
		"password": {providertest.TestPassword}}); p.StatusCode != http.StatusSeeOther {
		t.Errorf("the control: %d", p.StatusCode)
	}
}
