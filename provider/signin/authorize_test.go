package signin_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"latchkey/provider/clients"
	"latchkey/provider/providertest"
	"latchkey/provider/session"
	"latchkey/provider/web"
)

func TestAuthorizationCodeFlow(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	w.AddUser("alice")
	c := w.AddClient("web-a")
	b := w.Browser()

	p := b.Open(w.Request(c, "login_hint", "alice"))
	if p.StatusCode != http.StatusOK || !p.Has("login-page") || !strings.HasPrefix(p.Request.URL.Path, "/login") {
		t.Fatalf("%d %s: %s", p.StatusCode, p.Request.URL, p.Body)
	}
	if !strings.Contains(p.Body, "App web-a") || !strings.Contains(p.Body, `value="alice"`) {
		t.Error("the sign-in page shows who asks, and takes up login_hint")
	}
	p = b.SignInAs(p, "alice")
	if p.StatusCode != http.StatusSeeOther {
		t.Fatalf("%d: %s", p.StatusCode, p.Body)
	}
	q := p.Answer()
	if q.Get("state") != "S1" || q.Get("iss") != w.Issuer || len(q["code"]) != 1 {
		t.Fatalf("RFC 9207 §2: %s", p.Header.Get("Location"))
	}
	tokens := w.Redeem(c, q.Get("code"))
	if tokens.StatusCode != http.StatusOK {
		t.Fatalf("%d %v", tokens.StatusCode, tokens.JSON)
	}
	id := providertest.ClaimsOf(t, tokens.Str("id_token"))
	if id["sub"] != "sub-alice" || id["nonce"] != "N1" || id["aud"] != "web-a" || id["iss"] != w.Issuer {
		t.Errorf("%v", id)
	}

	t.Run("a second request of the signed-in person is answered without a page", func(t *testing.T) {
		p := b.Get(w.Request(c, "prompt", "none"))
		if p.Answer().Get("code") == "" {
			t.Fatalf("%d %s", p.StatusCode, p.Header.Get("Location"))
		}
	})
}

func TestWrongRedirectURIsAreNeverFollowed(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	w.AddUser("alice")
	a := w.AddClient("web-a", func(c *clients.Client) { c.RedirectURIs = []string{"https://a.test/cb"} })
	b := w.Browser()
	if b.Code(a, "alice") == "" {
		t.Fatal("the legal request must work")
	}
	stranger := w.Browser()
	for _, uri := range []string{
		"https://a.test/cb/", "https://a.test/CB", "https://A.test/cb", "https://a.test:443/cb", "http://a.test/cb",
		"https://a.test/cb?x=1",
		"https://a.test/cb?", "https://a.test/cb#", "https://a.test/cb#f", "https://a.test/./cb",
		"https://a.test/x/../cb", "https://a.test/cb;x",
		"https://a.test/%63b", " https://a.test/cb", "https://a.test/cb ", "https://a.test//cb",
		"https://a.test@evil.test/cb", "https://a.test:443@evil.test/cb", `https://evil.test\@a.test/cb`,
		"https://evil.test%5C@a.test/cb",
		"https://a.test.evil.test/cb", "https://evila.test/cb", "https://evil.test/?u=https://a.test/cb",
		"https:///a.test/cb", "https:a.test/cb",
		"//a.test/cb", "https://a\u3002test/cb", "javascript:alert(1)", "data:text/html,x", "http://127.0.0.1/cb",
	} {
		for name, br := range map[string]*providertest.Browser{"signed in": b, "signed out": stranger} {
			for _, also := range [][]string{nil, {"prompt", "none"}, {"response_type", "foo"}, {"scope", ""},
				{"code_challenge", ""},
				{"request", "garbage"}, {"request_uri", "urn:x"}, {"max_age", "-1"}, {"claims", "["},
				{"response_mode", "zzz"}, {"response_mode", "form_post"}} {
				p := br.Get(w.Request(a, append([]string{"redirect_uri", uri}, also...)...))
				if p.StatusCode != http.StatusBadRequest || p.Header.Get("Location") != "" || !p.Has("op-error") {
					t.Errorf("%s, %q with %v: %d, Location %q", name, uri, also, p.StatusCode, p.Header.Get("Location"))
				}
				if strings.Contains(p.Body, "evil.test") || strings.Contains(p.Body, "alert(1)") {
					t.Errorf("%q is on the page", uri)
				}
			}
		}
	}
	if !strings.Contains(w.Log.String(), "https://evila.test/cb") || !strings.Contains(w.Log.String(),
		"https://a.test/cb") {
		t.Error("the log says what was received and what was registered")
	}
	for name, target := range map[string]string{
		"missing redirect_uri":         w.Request(a, "redirect_uri", ""),
		"unknown client":               w.Request(a, "client_id", "nobody"),
		"missing client":               w.Request(a, "client_id", ""),
		"endless client_id":            w.Request(a, "client_id", strings.Repeat("x", 5000)),
		"repeated client_id":           w.Request(a) + "&client_id=web-b",
		"repeated redirect_uri":        w.Request(a) + "&redirect_uri=https%3A%2F%2Fevil.test%2F",
		"client_id with invalid UTF-8": w.Request(a, "client_id", "\xff"),
	} {
		p := b.Get(target)
		if p.StatusCode != http.StatusBadRequest || p.Header.Get("Location") != "" || !p.Has("op-error") {
			t.Errorf("%s: %d, Location %q", name, p.StatusCode, p.Header.Get("Location"))
		}
	}
}

func TestProblemsOfTheRequestGoToTheClient(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	c := w.AddClient("web-a", func(c *clients.Client) { c.RedirectURIs = []string{"https://a.test/cb?tenant=1"} })
	b := w.Browser()
	for _, x := range []struct {
		name   string
		target string
		code   string
		joint  string // between the registered URI and what is added; & when empty
	}{
		{"PKCE is required", w.Request(c, "code_challenge", "", "code_challenge_method", ""), "invalid_request", ""},
		{"plain PKCE", w.Request(c, "code_challenge_method", "plain"), "invalid_request", ""},
		{"response_type missing", w.Request(c, "response_type", ""), "invalid_request", ""},
		{"response_type unknown", w.Request(c, "response_type", "foo"), "unsupported_response_type", ""},
		{"response_type token", w.Request(c, "response_type", "token"), "unsupported_response_type", ""},
		{"response_type not registered", w.Request(c, "response_type", "code id_token"), "unauthorized_client", "#"},
		{"response_type none not registered", w.Request(c, "response_type", "none"), "unauthorized_client", ""},
		{"no scope", w.Request(c, "scope", ""), "invalid_scope", ""},
		{"no scope that is known", w.Request(c, "scope", "admin"), "invalid_scope", ""},
		{"prompt none with another", w.Request(c, "prompt", "none login"), "invalid_request", ""},
		{"prompt=none and nobody signed in", w.Request(c, "prompt", "none"), "login_required", ""},
		{"request_uri not registered", w.Request(c, "request_uri", "https://a.test/r"), "request_uri_not_supported", ""},
		{"request garbage", w.Request(c, "request", "garbage"), "invalid_request_object", ""},
		{"both request and request_uri", w.Request(c, "request", "x", "request_uri", "https://a.test/r"),
			"invalid_request", ""},
		{"a resource of somebody else", w.Request(c, "resource", "https://api.test"), "invalid_target", ""},
		{"repeated scope", w.Request(c) + "&scope=email", "invalid_request", ""},
		{"repeated prompt", w.Request(c, "prompt", "login") + "&prompt=none", "invalid_request", ""},
	} {
		if x.joint == "" {
			x.joint = "&"
		}
		p := b.Get(x.target)
		q := p.Answer()
		if p.StatusCode != http.StatusSeeOther || q.Get("error") != x.code || q.Get("iss") != w.Issuer ||
			q.Has("code") ||
			!strings.HasPrefix(p.Header.Get("Location"), "https://a.test/cb?tenant=1"+x.joint+"error=") {
			t.Errorf("%s: %d %s\n%s", x.name, p.StatusCode, p.Header.Get("Location"), p.Body)
		}
		if q.Get("state") != "S1" {
			t.Errorf("%s: state is %q", x.name, q.Get("state"))
		}
	}
	t.Run("state comes back byte for byte, and once", func(t *testing.T) {
		state := `x&code=y "'<>` + "\u00e9" + strings.Repeat("s", 128)
		p := b.Get(w.Request(c, "prompt", "none", "state", state))
		if q := p.Answer(); q.Get("state") != state || len(q["state"]) != 1 || q.Has("code") {
			t.Errorf("%s", p.Header.Get("Location"))
		}
	})
	t.Run("OAuth Form Post §2 the error comes as a form that is escaped", func(t *testing.T) {
		p := b.Get(w.Request(c, "prompt", "none", "response_mode", "form_post", "state", `"><script>x</script>`))
		if p.StatusCode != http.StatusOK || strings.Contains(p.Body, "<script>x") || !strings.Contains(p.Body, "login_required") {
			t.Errorf("%d %s", p.StatusCode, p.Body)
		}
		if csp := p.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "form-action https://a.test") || strings.Contains(csp, "unsafe") {
			t.Errorf("CSP %s", csp)
		}
	})
}

func TestProgramsAreAnsweredInJSONAndPeopleByAPage(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	for _, c := range []struct {
		method, path string
		status       int
	}{{"GET", "/token", 405}, {"DELETE", "/userinfo", 405}, {"POST", "/jwks", 405}, {"POST", "/register", 404}, {"GET", "/nowhere", 404}} {
		r, _ := http.NewRequest(c.method, w.Issuer+c.path, nil)
		a := w.Send(r)
		if a.StatusCode != c.status || a.Str("error") != "invalid_request" || a.Header.Get("Cache-Control") != "no-store" || c.status == 405 && a.Header.Get("Allow") == "" {
			t.Errorf("%s %s for a program: %d %v %v", c.method, c.path, a.StatusCode, a.JSON, a.Header)
		}
		r, _ = http.NewRequest(c.method, w.Issuer+c.path, nil)
		r.Header.Set("Accept", "text/html")
		if p := w.Browser().Do(r); p.StatusCode != c.status || !p.Has("op-error") {
			t.Errorf("%s %s for a person: %d %s", c.method, c.path, p.StatusCode, p.Body)
		}
	}
}

func TestRequestWhoseStateCannotBeSentBackIsAnsweredInPlace(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	c := w.AddClient("web-a")
	p := w.Browser().Get(w.Request(c, "state", strings.Repeat("s", 60000)))
	if p.StatusCode != http.StatusBadRequest || p.Header.Get("Location") != "" || !p.Has("op-error") {
		t.Errorf("%d to %.100s", p.StatusCode, p.Header.Get("Location"))
	}
	// An error that is sent back has the state (RFC 6749 §4.1.2.1), whatever else is too long.
	if q := w.Browser().Get(w.Request(c, "state", "mine", "nonce", strings.Repeat("n", 5000))).Answer(); q.Get("error") != "invalid_request" || q.Get("state") != "mine" {
		t.Errorf("%v", q)
	}
}

func TestRequestsByPOST(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	w.AddUser("alice")
	c := w.AddClient("web-a")
	b := w.Browser()
	b.Code(c, "alice")
	post := func(br *providertest.Browser) providertest.Page {
		u, _ := url.Parse(w.Request(c))
		r, _ := http.NewRequest("POST", w.Issuer+"/authorize", strings.NewReader(u.RawQuery))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", "https://web-a.example")
		r.Header.Set("Sec-Fetch-Site", "cross-site")
		return br.Do(r)
	}
	// The browser sends no cookie with a cross-site POST (SameSite=Lax): send it without, then
	// follow with them.
	p := post(w.Browser())
	if p.StatusCode != http.StatusSeeOther || !strings.HasPrefix(p.Header.Get("Location"), "/authorize?i=") {
		t.Fatalf("%d %s %s", p.StatusCode, p.Header.Get("Location"), p.Body)
	}
	if got := b.Follow(p).Answer().Get("code"); got == "" {
		t.Error("the session that the browser has counts after the redirect")
	}
	if again := b.Follow(p); !again.Has("op-error") {
		t.Error("an interaction that is over gives no second code")
	}
}

func TestConsent(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	w.AddUser("alice")
	c := w.AddClient("web-a", providertest.AsksConsent)
	b := w.Browser()
	p := b.SignInAs(b.Open(w.Request(c, "scope", "openid email")), "alice")
	if !p.Has("consent-page") || !p.Has("consent-allow") || !p.Has("consent-deny") || !strings.HasPrefix(p.Request.URL.Path, "/consent") {
		t.Fatalf("%s: %s", p.Request.URL, p.Body)
	}
	t.Run("a form from another browser, without its token, or for another request does nothing", func(t *testing.T) {
		action := p.Request.URL.RequestURI()
		if q := b.Post(action, url.Values{"decision": {"allow"}}); q.StatusCode != http.StatusForbidden {
			t.Errorf("without token: %d", q.StatusCode)
		}
		if q := w.Browser().Submit(p, "consent-allow", url.Values{"decision": {"allow"}}); q.StatusCode != http.StatusForbidden {
			t.Errorf("from another browser: %d", q.StatusCode)
		}
		other := b.Open(w.Request(c, "scope", "openid phone"))
		crossed := providertest.RegexpCSRF(other.Body)
		if q := b.Post(action, url.Values{"decision": {"allow"}, "csrf": {crossed}}); q.StatusCode != http.StatusForbidden {
			t.Errorf("with another request's token: %d", q.StatusCode)
		}
		r, _ := http.NewRequest("POST", w.Absolute(action), strings.NewReader(url.Values{"decision": {"allow"}, "csrf": {providertest.RegexpCSRF(p.Body)}}.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "cross-site")
		r.Header.Set("Origin", "https://evil.test")
		if q := b.Do(r); q.StatusCode != http.StatusForbidden {
			t.Errorf("from another site: %d", q.StatusCode)
		}
		if q := w.Browser().Get(action); q.StatusCode != http.StatusForbidden {
			t.Errorf("the page in another browser: %d", q.StatusCode)
		}
	})
	denied := b.Submit(p, "consent-deny", url.Values{"decision": {"deny"}})
	if q := denied.Answer(); q.Get("error") != "access_denied" || q.Get("state") != "S1" || q.Has("code") {
		t.Fatalf("%s", denied.Header.Get("Location"))
	}
	if over := b.Follow(b.Submit(p, "consent-allow", url.Values{"decision": {"allow"}})); !over.Has("op-error") {
		t.Error("what was denied cannot be allowed afterwards with the same form")
	}
	b.Code(c, "alice", "scope", "openid email")
	t.Run("remembered: the same is not asked again", func(t *testing.T) {
		if b.Get(w.Request(c, "scope", "openid email", "prompt", "none")).Answer().Get("code") == "" {
			t.Error("no code")
		}
		if b.Get(w.Request(c, "scope", "openid")).Answer().Get("code") == "" {
			t.Error("no code for less")
		}
	})
	t.Run("something new is asked, and marked", func(t *testing.T) {
		if got := b.Get(w.Request(c, "scope", "openid email phone", "prompt", "none")).Answer().Get("error"); got != "consent_required" {
			t.Errorf("got %q", got)
		}
		p := b.Open(w.Request(c, "scope", "openid email phone"))
		if !p.Has("consent-page") {
			t.Fatal("not asked")
		}
		for _, item := range regexp.MustCompile(`(?s)<li.*?</li>`).FindAllString(p.Body, -1) {
			if marked := strings.Contains(item, `<span class="tag">`); marked != strings.Contains(item, "phone number") {
				t.Errorf("marked as new is %v: %s", marked, item)
			}
		}
	})
	t.Run("a claim that was allowed by its name does not pass for the scope of that name", func(t *testing.T) {
		byName := w.AddClient("by-name", providertest.AsksConsent)
		b.Code(byName, "alice", "claims", `{"userinfo":{"profile":null}}`)
		p := b.Open(w.Request(byName, "scope", "openid profile"))
		if n := strings.Count(p.Body, `<span class="tag">`); n != 1 {
			t.Errorf("%d things are marked as new, the scope profile should be:\n%s", n, p.Body)
		}
	})
}

func TestRememberedPeopleStayRemembered(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	w.AddUser("alice")
	c := w.AddClient("web-a")
	for _, remembered := range []bool{true, false} {
		b, form := w.Browser(), url.Values{"username": {"alice"}, "password": {providertest.TestPassword}}
		if remembered {
			form.Set("remember", "yes")
		}
		b.Follow(b.Submit(b.Open(w.Request(c)), "login-submit", form))
		again := b.Open(w.Request(c, "prompt", "login"))
		if again.Has("remember") {
			t.Error("somebody who is known is not asked for it again")
		}
		answer := b.Submit(again, "login-submit", url.Values{"password": {providertest.TestPassword}})
		for _, set := range answer.Cookies() {
			if set.Name == session.SessionCookie && (set.MaxAge > 0) != remembered {
				t.Errorf("remembered %v: after signing in again the cookie has Max-Age %d", remembered, set.MaxAge)
			}
		}
		b.Follow(answer)
		w.Clock.Advance(w.SessionAbsolute + time.Hour)
		if got := b.Get(w.Request(c, "prompt", "none")).Answer().Has("code"); got != remembered {
			t.Errorf("remembered %v: still signed in after %s is %v", remembered, w.SessionAbsolute+time.Hour, got)
		}
	}
}

func TestAHintThatCannotBeVerifiedIsIgnored(t *testing.T) {
	t.Parallel()
	var f *providertest.Faults
	w := providertest.New(t, providertest.WithFaults(&f))
	c := w.AddClient("web-a")
	hint := providertest.SignJWT(t, jose.RS256, providertest.RsaKey(), map[string]any{"iss": w.Issuer, "sub": "x", "aud": c.ID, "iat": w.Web.Now().Unix()}, providertest.Kid("made by another instance"))
	b := w.Browser()
	w.AddUser("alice")
	other := w.AddClient("web-b")
	b.Code(c, "alice")
	for name, hint := range map[string]string{
		"a key that is nobody's": hint, "no token": "garbage", "one that was cut": hint[:40],
		"one that was issued to another client": w.Redeem(other, b.Code(other, "alice")).Str("id_token"),
	} {
		if b.Get(w.Request(c, "id_token_hint", hint, "prompt", "none")).Answer().Get("code") == "" {
			t.Errorf("%s does more than be ignored", name)
		}
		if p := w.Browser().Open(w.Request(c, "id_token_hint", hint)); !p.Has("login-page") {
			t.Errorf("%s, nobody signed in: %d %s", name, p.StatusCode, p.Header.Get("Location"))
		}
	}
	w.Clock.Advance(time.Minute)
	f.Set(true, "KeySet")
	if got := b.Get(w.Request(c, "id_token_hint", hint)).Answer().Get("error"); got != "temporarily_unavailable" {
		t.Errorf("the keys are out of reach: %q", got)
	}
}

func TestPagesSpeakTheLanguageThatWasAskedFor(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	w.AddUser("alice")
	c := w.AddClient("web-a", providertest.AsksConsent)
	b := w.Browser()
	german := func(p providertest.Page, name string) {
		t.Helper()
		if !p.Has(name) || !strings.Contains(p.Body, `lang="de"`) {
			t.Errorf("OIDC Core §3.1.2.1 ui_locales: #%s is not in German: %d\n%s", name, p.StatusCode, p.Body)
		}
	}
	login := b.Open(w.Request(c, "ui_locales", "xx de-AT en"))
	german(login, "login-page")
	german(b.SignInAs(login, "alice"), "consent-page")
	german(b.Open(w.Request(c, "ui_locales", "de", "redirect_uri", "https://evil.example/")), "op-error")
	german(b.Open("/logout?ui_locales=de"), "logout-confirm")
}

func TestPagesAreLookedAtByHEAD(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	w.AddUser("alice")
	b := w.Browser()
	login := b.Open(w.Request(w.AddClient("web-a")))
	head := func(target string) providertest.Page {
		r, err := http.NewRequest("HEAD", w.Absolute(target), nil)
		if err != nil {
			t.Fatal(err)
		}
		return b.Do(r)
	}
	if p := head(login.Request.URL.RequestURI()); p.StatusCode != http.StatusOK || p.Body != "" || p.Header.Get("Content-Security-Policy") == "" {
		t.Errorf("RFC 9110 §9.3.2: %d %q %v", p.StatusCode, p.Body, p.Header)
	}
	for path, status := range map[string]int{"/": 303, "/account": 303, "/session": 200, "/logout/done": 200, "/authorize": 405, "/logout": 405, "/token": 405} {
		if p := head(path); p.StatusCode != status {
			t.Errorf("HEAD %s: %d", path, p.StatusCode)
		}
	}
}

func TestWhoeverGoesAwayIsNoFaultOfOurs(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	r := httptest.NewRequest("GET", w.Request(w.AddClient("web-a")), nil).WithContext(ctx)
	w.Handler().ServeHTTP(httptest.NewRecorder(), r)
	if log := w.Log.String(); !strings.Contains(log, `"status":499`) || strings.Contains(log, `"level":"ERROR"`) {
		t.Error(log)
	}
}

func TestTwoTabsAndTheBackButton(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	w.AddUser("alice")
	a, c := w.AddClient("web-a"), w.AddClient("web-c")
	b := w.Browser()
	tab1, tab2 := b.Open(w.Request(a)), b.Open(w.Request(c))
	if got := b.SignInAs(tab1, "alice").Answer().Get("code"); got == "" {
		t.Fatal("the first tab")
	}
	if got := b.Open(tab2.Request.URL.RequestURI()).Answer().Get("code"); got == "" {
		t.Error("the second tab goes on by itself once it is reloaded")
	}
	tab3 := b.Open(w.Request(a, "prompt", "login"))
	if got := b.SignInAs(tab3, "alice").Answer().Get("code"); got == "" {
		t.Error("signing in again")
	}
	back := b.SignInAs(tab3, "alice")
	if !back.Has("op-error") || back.StatusCode != http.StatusBadRequest {
		t.Errorf("the back button leads to words, not to a second code: %d", back.StatusCode)
	}
}

func TestSessions(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	w.AddUser("alice")
	w.AddUser("bob")
	c := w.AddClient("web-a")
	cookie := func(b *providertest.Browser) string {
		for _, c := range b.Client.Jar.Cookies(w.Web.Base) {
			if c.Name == session.SessionCookie {
				return c.Value
			}
		}
		return ""
	}
	b := w.Browser()
	b.Code(c, "alice")
	first := cookie(b)
	if first == "" {
		t.Fatal("no session cookie")
	}
	b.SignInAs(b.Open(w.Request(c, "prompt", "login")), "alice")
	if second := cookie(b); second == first {
		t.Error("a new reference at every sign-in")
	}
	planted := w.Browser()
	planted.Client.Jar.SetCookies(w.Web.Base, []*http.Cookie{{Name: session.SessionCookie, Value: first, Path: "/"}})
	if got := planted.Get(w.Request(c, "prompt", "none")).Answer().Get("error"); got != "login_required" {
		t.Errorf("the old reference is worth nothing: %q", got)
	}
	for _, garbage := range []string{"", "x", strings.Repeat("A", 3000), "\x01", first[:len(first)-1]} {
		g := w.Browser()
		g.Client.Jar.SetCookies(w.Web.Base, []*http.Cookie{{Name: session.SessionCookie, Value: garbage, Path: "/"}, {Name: web.BrowserCookie, Value: garbage, Path: "/"}})
		if got := g.Get(w.Request(c, "prompt", "none")).Answer().Get("error"); got != "login_required" {
			t.Errorf("a garbage cookie is no cookie: %q", got)
		}
	}
	t.Run("another person in the same browser: the first one's session is ended", func(t *testing.T) {
		x := w.Browser()
		p := x.Open(w.Request(c))
		x.SignInAs(p, "alice")
		old := cookie(x)
		p = x.Open(w.Request(c, "prompt", "select_account"))
		if !strings.HasPrefix(p.Request.URL.Path, "/accounts") {
			t.Fatalf("%s", p.Request.URL)
		}
		p = x.Follow(x.Post(p.Request.URL.RequestURI(), url.Values{"account": {"other"}, "csrf": {providertest.RegexpCSRF(p.Body)}}))
		tokens := w.Redeem(c, x.SignInAs(p, "bob").Answer().Get("code"))
		if got := providertest.ClaimsOf(t, tokens.Str("id_token"))["sub"]; got != "sub-bob" {
			t.Errorf("sub is %v", got)
		}
		y := w.Browser()
		y.Client.Jar.SetCookies(w.Web.Base, []*http.Cookie{{Name: session.SessionCookie, Value: old, Path: "/"}})
		if got := y.Get(w.Request(c, "prompt", "none")).Answer().Get("error"); got != "login_required" {
			t.Errorf("alice's session lives on: %q", got)
		}
	})
	t.Run("idle and absolute lifetime", func(t *testing.T) {
		x := w.Browser()
		x.Code(c, "alice")
		w.Clock.Advance(w.SessionIdle - time.Second)
		if x.Get(w.Request(c, "prompt", "none")).Answer().Get("code") == "" {
			t.Error("ended before its idle time")
		}
		w.Clock.Advance(w.SessionIdle)
		if got := x.Get(w.Request(c, "prompt", "none")).Answer().Get("error"); got != "login_required" {
			t.Errorf("after its idle time: %q", got)
		}
		x.Code(c, "alice")
		for elapsed := time.Duration(0); elapsed < w.SessionAbsolute; elapsed += time.Hour {
			x.Get(w.Request(c, "prompt", "none"))
			w.Clock.Advance(time.Hour)
		}
		if got := x.Get(w.Request(c, "prompt", "none")).Answer().Get("error"); got != "login_required" {
			t.Errorf("after its absolute time: %q", got)
		}
	})
}

func TestSigningInWrongly(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	w.AddUser("alice")
	c := w.AddClient("web-a")
	b := w.Browser()
	p := b.Open(w.Request(c))
	wrong := b.Submit(p, "login-submit", url.Values{"username": {"alice"}, "password": {"wrong password"}})
	nobody := b.Submit(p, "login-submit", url.Values{"username": {"nobody"}, "password": {"wrong password"}})
	if wrong.StatusCode != http.StatusUnauthorized || nobody.StatusCode != wrong.StatusCode || !wrong.Has("login-page") {
		t.Fatalf("%d %d", wrong.StatusCode, nobody.StatusCode)
	}
	if strings.ReplaceAll(wrong.Body, "alice", "nobody") != nobody.Body {
		t.Error("the same words whether or not the account exists")
	}
	if strings.Contains(wrong.Body, "wrong password") || strings.Contains(w.Log.String(), "wrong password") {
		t.Error("the password is neither shown nor logged")
	}
	for range 20 {
		p := b.Submit(p, "login-submit", url.Values{"username": {"alice"}, "password": {"wrong password"}})
		if p.StatusCode == http.StatusTooManyRequests {
			blocked := b.Submit(p, "login-submit", url.Values{"username": {"alice"}, "password": {providertest.TestPassword}})
			if blocked.StatusCode != http.StatusTooManyRequests {
				t.Errorf("the right password while blocked: %d", blocked.StatusCode)
			}
			w.Clock.Advance(time.Hour)
			fresh := w.Browser()
			if fresh.Code(c, "alice") == "" {
				t.Error("blocked for good")
			}
			return
		}
	}
	t.Error("guessing is not limited")
}

func TestWhoMayUseWhat(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	w.AddUser("alice", "staff")
	w.AddUser("bob")
	c := w.AddClient("web-a", func(c *clients.Client) { c.AllowedGroups, c.RefusalContact = []string{"staff"}, "it@example.com" })
	if w.Browser().Code(c, "alice") == "" {
		t.Fatal("alice may")
	}
	b := w.Browser()
	p := b.SignInAs(b.Open(w.Request(c)), "bob")
	if p.StatusCode != http.StatusForbidden || p.Header.Get("Location") != "" || !strings.Contains(p.Body, "it@example.com") || !strings.Contains(p.Body, "App web-a") {
		t.Fatalf("%d %s", p.StatusCode, p.Body)
	}
	if !strings.HasPrefix(p.Request.URL.Path, "/authorize") {
		t.Errorf("shown at %s", p.Request.URL)
	}
	grants, err := w.Store.GrantsOfUser(context.Background(), "sub-bob", w.Web.Now())
	if err != nil || len(grants) > 0 {
		t.Errorf("%v %v", grants, err)
	}
	if got := b.Get(w.Request(c, "prompt", "none")).Answer().Get("error"); got != "access_denied" {
		t.Errorf("prompt=none: %q", got)
	}
}

func TestHybridAndImplicit(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	w.AddUser("alice")
	all := []string{"code", "id_token", "id_token token", "code id_token", "code token", "code id_token token", "none"}
	c := w.AddClient("web-a", func(c *clients.Client) {
		c.ResponseTypes, c.GrantTypes = all, []string{"authorization_code", "implicit", "refresh_token"}
	})
	b := w.Browser()
	b.Code(c, "alice")
	for _, rt := range all {
		for _, mode := range []string{"", "form_post"} {
			p := b.Get(w.Request(c, "response_type", rt, "response_mode", mode))
			q := p.Answer()
			if mode == "form_post" {
				q = url.Values{}
				for _, in := range providertest.InputTag.FindAllStringSubmatch(p.Body, -1) {
					if a := providertest.Attributes(in[1]); a["name"] != "" {
						q.Add(a["name"], a["value"])
					}
				}
			} else if rt != "code" && rt != "none" && !strings.Contains(p.Header.Get("Location"), "#") {
				t.Errorf("%s: tokens travel in the fragment: %s", rt, p.Header.Get("Location"))
			}
			words := strings.Fields(rt)
			for param, word := range map[string]string{"code": "code", "id_token": "id_token", "access_token": "token"} {
				if want := slices.Contains(words, word); q.Has(param) != want {
					t.Errorf("%s %s: %s present is %v", rt, mode, param, !want)
				}
			}
			if q.Get("state") != "S1" || q.Get("iss") != w.Issuer || q.Has("error") {
				t.Errorf("%s %s: %v", rt, mode, q)
			}
			if q.Has("id_token") {
				id := providertest.ClaimsOf(t, q.Get("id_token"))
				if _, has := id["at_hash"]; has != q.Has("access_token") {
					t.Errorf("%s: at_hash is %v (OIDC Core §3.3.2.11)", rt, has)
				}
				if _, has := id["c_hash"]; has != q.Has("code") {
					t.Errorf("%s: c_hash is %v (OIDC Core §3.3.2.11)", rt, has)
				}
				if id["nonce"] != "N1" {
					t.Errorf("%s: nonce is %v", rt, id["nonce"])
				}
			}
			if q.Has("code") {
				if tokens := w.Redeem(c, q.Get("code")); tokens.StatusCode != http.StatusOK {
					t.Errorf("%s: %d %v", rt, tokens.StatusCode, tokens.JSON)
				}
			}
		}
	}
}

func TestEveryPageKeepsItselfToItself(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	w.AddUser("alice")
	c := w.AddClient("web-a", providertest.AsksConsent)
	b := w.Browser()
	login := b.Open(w.Request(c))
	consent := b.SignInAs(login, "alice")
	for _, p := range []providertest.Page{login, consent, b.Get("/nowhere"), b.Get("/authorize"), b.Get("/token"), b.Get("/account"), b.Get("/logout")} {
		csp := p.Header.Get("Content-Security-Policy")
		if !strings.Contains(csp, "frame-ancestors 'none'") || strings.Contains(csp, "unsafe") || !strings.Contains(csp, "default-src 'none'") ||
			p.Header.Get("X-Frame-Options") != "DENY" || p.Header.Get("Cache-Control") != "no-store" ||
			p.Header.Get("Referrer-Policy") != "same-origin" || p.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %v", p.Request.URL, p.Header)
		}
	}
	if p := b.Get("/token"); p.StatusCode != http.StatusMethodNotAllowed || !strings.Contains(p.Header.Get("Allow"), "POST") {
		t.Errorf("%d, Allow %q", p.StatusCode, p.Header.Get("Allow"))
	}
	for _, ck := range append(login.Cookies(), consent.Cookies()...) {
		if ck.Name != session.StateCookie && (!ck.HttpOnly || ck.SameSite != http.SameSiteLaxMode || ck.Domain != "" || ck.Path != "/") {
			t.Errorf("cookie %s: %+v", ck.Name, ck)
		}
	}
}

func TestAStoreThatDoesNotAnswerIsNoRefusal(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	w.AddUser("alice")
	c := w.AddClient("web-a")
	b := w.Browser()
	b.Code(c, "alice")
	_ = w.Store.Close()
	if p := b.Get(w.Request(c)); p.StatusCode != http.StatusServiceUnavailable || p.Header.Get("Location") != "" {
		t.Errorf("%d %s", p.StatusCode, p.Body)
	}
}
