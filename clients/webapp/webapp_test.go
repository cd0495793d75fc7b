package webapp_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey/clients/internal/optest"
	"latchkey/clients/webapp"
)

// world is a provider with two applications and an API that echoes the request's token.
type world struct {
	op           *optest.Provider
	notes, tasks string // base URLs
	log          *safeBuffer
}

type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func newWorld(t *testing.T, change ...func(*webapp.Config)) *world {
	t.Helper()
	w := &world{op: optest.New(t), log: &safeBuffer{}}
	api := optest.Serve(t, "api.localhost", http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "" && r.URL.Path != "/public" {
			rw.Header().Set("WWW-Authenticate", `Bearer realm="test"`)
			rw.WriteHeader(http.StatusUnauthorized)
		}
		_ = json.NewEncoder(rw).Encode(map[string]string{"path": r.URL.Path, "with": r.Header.Get("Authorization")})
	}))
	start := func(id string) string {
		late := &optest.Late{}
		base := optest.Serve(t, id+".localhost", late)
		c := webapp.Config{
			Name: strings.ToUpper(id), Tagline: "A test", BaseURL: base, Issuer: w.op.Issuer, ClientID: id,
			ClientSecret: "s e+c/ret:" + id,
			APIs:         []webapp.API{{Name: "API in Go", URL: api}, {Key: "flask", Name: "API in Flask", URL: api}},
			HTTPClient:   optest.HTTPClient(), Logger: slog.New(slog.NewTextHandler(w.log, nil)),
		}
		for _, f := range change {
			f(&c)
		}
		h, err := webapp.New(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		late.Handler = h
		w.op.With(func() {
			w.op.Clients[id] = optest.Client{ID: id, Secret: c.ClientSecret, RedirectURI: base + webapp.CallbackPath,
				PostLogoutRedirectURI: base + webapp.SignedOutPath, BackchannelLogoutURI: base +
					webapp.BackchannelLogoutPath}
		})
		return base
	}
	w.notes, w.tasks = start("notes"), start("tasks")
	return w
}

func (w *world) signedIn(t *testing.T) *optest.Browser {
	t.Helper()
	b := optest.NewBrowser(t).Get(w.notes+"/").Click("sign-in").Click("login-submit", "username", optest.Username)
	if !b.Has("signed-in") {
		t.Fatalf("not signed in: %d %s\n%s", b.Status, b.URL, w.log)
	}
	return b
}

func TestTheSampleImportsNothingOfOurs(t *testing.T) {
	t.Parallel()
	out, err := exec.Command("go", "list", "-deps", "latchkey/clients/webapp", "latchkey/clients/spa",
		"latchkey/clients/api",
		"latchkey/clients/flaskapi", "latchkey/clients/cli").CombinedOutput()
	if err != nil {
		t.Fatalf("go list: %v: %s", err, out)
	}
	samples := 0
	for name := range strings.FieldsSeq(string(out)) {
		if !strings.HasPrefix(name, "latchkey") {
			continue
		}
		switch name {
		case "latchkey/clients/webapp", "latchkey/clients/spa", "latchkey/clients/api", "latchkey/clients/flaskapi",
			"latchkey/clients/cli":
			samples++
		default:
			t.Errorf("a sample depends on %s", name)
		}
	}
	if samples != 5 {
		t.Errorf("go list named %d of the five samples", samples)
	}
}

func TestSignInAtOneApplicationOpensTheOtherWithoutAPrompt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := optest.NewBrowser(t).Get(w.notes + "/")
	if !b.Has("signed-out") || b.Status != http.StatusOK {
		t.Fatalf("first visit: %d\n%s", b.Status, b.Body)
	}
	b.Click("sign-in")
	if !strings.HasPrefix(b.URL.String(), w.op.Issuer+"/authorize?") {
		t.Fatalf("sign-in led to %s", b.URL)
	}
	b.Click("login-submit", "username", optest.Username)
	if b.URL.String() != w.notes+"/" || b.Text("who") != "Alice <Example>" {
		t.Fatalf("after signing in: %s, who %q\n%s", b.URL, b.Text("who"), w.log)
	}
	if got := b.Text("signature-state"); !strings.HasPrefix(got,
		"Signature verified: RS256 with the key rs-1, published at "+w.op.Issuer) {
		t.Errorf("signature state: %s", got)
	}
	if got := b.Text("groups"); got != "staff" {
		t.Errorf("groups: %q", got)
	}
	if !strings.Contains(b.Text("id-token-claims"), `"sub": "`+optest.Subject+`"`) ||
		!strings.Contains(b.Text("id-token-header"), `"kid": "rs-1"`) {
		t.Errorf("ID token: %s", b.Text("id-token"))
	}
	if b.Get(w.tasks + "/"); b.URL.String() != w.tasks+"/" || !b.Has("signed-in") {
		t.Fatalf("the second application asked: %s", b.URL)
	}
	if strings.Contains(w.log.String(), "eyJ") || strings.Contains(w.log.String(), "s e+c/ret") {
		t.Errorf("a token or secret in the log: %s", w.log)
	}
}

func TestTheRequestHasStateNonceChallengeAndResources(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *webapp.Config) { c.Resources = []string{"http://a.localhost", "http://b.localhost"} })
	w.signedIn(t)
	w.op.With(func() {
		q := w.op.LastRequest
		if len(q.Get("state")) < 26 || len(q.Get("nonce")) < 26 || q.Get("code_challenge_method") != "S256" ||
			len(q.Get("code_challenge")) != 43 ||
			q.Get("scope") != "openid profile email groups" || len(q["resource"]) != 2 || q.Get("client_secret") != "" {
			t.Errorf("request: %v", q)
		}
	})
}

func TestPagesLoadNothingButTheirStyleAndPicturesAndTheCookieIsForThisHostOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := optest.HTTPClient()
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	c.Jar = jar
	get := func(u string) *http.Response {
		res, err := c.Get(u)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		return res
	}
	res := get(w.notes + "/")
	csp := res.Header.Get("Content-Security-Policy")
	if !strings.Contains(csp, "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self' "+w.op.Issuer+";") || !strings.Contains(csp, "frame-ancestors 'none'") {
		t.Errorf("policy: %s", csp)
	}
	if res.Header.Get("Cache-Control") != "no-store" || res.Header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("headers: %v", res.Header)
	}
	if res := get(w.notes + "/style.css"); res.StatusCode != http.StatusOK ||
		!strings.HasPrefix(res.Header.Get("Content-Type"), "text/css") {
		t.Errorf("style: %s %s", res.Status, res.Header.Get("Content-Type"))
	}
	// By hand to the callback, to see the cookie as it is set.
	res = get(w.notes + "/sign-in")
	res, err = c.PostForm(res.Header.Get("Location"), url.Values{"username": {optest.Username}})
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	res = get(res.Header.Get("Location"))
	cookies := res.Cookies()
	if len(cookies) != 1 || cookies[0].Name != "notes-session" || !cookies[0].HttpOnly ||
		cookies[0].SameSite != http.SameSiteLaxMode ||
		cookies[0].Domain != "" || cookies[0].Path != "/" || len(cookies[0].Value) < 26 || cookies[0].MaxAge != 0 {
		t.Errorf("cookies: %v", cookies)
	}
}

func TestOnHTTPSTheCookieIsSecureAndVouchedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *webapp.Config) { c.BaseURL = "https://" + strings.TrimPrefix(c.BaseURL, "http://") })
	c := optest.HTTPClient()
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	res, err := c.Get(w.notes + "/sign-in")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	cookies := res.Cookies()
	if len(cookies) != 1 || cookies[0].Name != "__Host-notes-signin" || !cookies[0].Secure {
		t.Errorf("cookies: %v", cookies)
	}
}

func TestAuthorizationResponseIsChecked(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change func(*optest.Provider)
		status int
		words  string
	}{
		"RFC 9207 §2.4 another issuer": {func(p *optest.Provider) {
			p.Response = func(q url.Values) { q.Set("iss", "http://evil.localhost") }
		}, 400, "another sign-in service"},
		"RFC 9207 §2.4 no issuer although promised": {func(p *optest.Provider) {
			p.Response = func(q url.Values) { q.Del("iss") }
		}, 400, "another sign-in service"},
		"RFC 9207 §2.4 an error from another issuer": {func(p *optest.Provider) {
			p.Deny = "access_denied"
			p.Response = func(q url.Values) { q.Set("iss", "http://evil.localhost") }
		}, 400, "another sign-in service"},
		"RFC 6749 §10.12 a wrong state": {func(p *optest.Provider) {
			p.Response = func(q url.Values) { q.Set("state", "wrong") }
		}, 400, "does not belong"},
		"RFC 6749 §10.12 no state": {func(p *optest.Provider) {
			p.Response = func(q url.Values) { q.Del("state") }
		}, 400, "does not belong"},
		"RFC 6749 §3.1 a parameter twice": {func(p *optest.Provider) {
			p.Response = func(q url.Values) { q.Add("code", "another") }
		}, 400, "garbled"},
		"RFC 6749 §4.1.2 neither code nor error": {func(p *optest.Provider) {
			p.Response = func(q url.Values) { q.Del("code") }
		}, 400, "neither a code nor an error"},
		"RFC 6749 §5.2 the code is refused": {func(p *optest.Provider) { p.Refuse = "invalid_grant" }, 502,
			"could not be completed"},
		"RFC 6749 §4.1.2.1 access_denied in words": {func(p *optest.Provider) { p.Deny = "access_denied" }, 403,
			"access was denied, by you or by the rules of the sign-in service. It says: because <b>the test</b> says so (access_denied)"},
		"RFC 6749 §4.1.2.1 an unknown error in words": {func(p *optest.Provider) { p.Deny = strings.Repeat("x", 500) },
			403, "The sign-in service refused."},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.op.With(func() { test.change(w.op) })
			b := optest.NewBrowser(t).Get(w.notes + "/sign-in")
			if b.Has("login-submit") {
				b.Click("login-submit", "username", optest.Username)
			}
			if b.Status != test.status || !b.Has("signed-out") || !strings.Contains(b.Text("error"), test.words) {
				t.Errorf("%d %q", b.Status, b.Text("error"))
			}
			if b.Get(w.notes + "/"); b.Has("signed-in") {
				t.Error("signed in all the same")
			}
		})
	}
}

func TestTheIDTokenIsChecked(t *testing.T) {
	t.Parallel()
	edit := func(claim string, value any) func(string, map[string]any, map[string]any) {
		return func(kind string, _, claims map[string]any) {
			if kind == "id_token" {
				claims[claim] = value
				if value == nil {
					delete(claims, claim)
				}
			}
		}
	}
	head := func(name string, value any) func(string, map[string]any, map[string]any) {
		return func(kind string, header, _ map[string]any) {
			if kind == "id_token" {
				header[name] = value
			}
		}
	}
	for name, change := range map[string]func(string, map[string]any, map[string]any){
		"OIDC Core §3.1.3.7 another issuer":            edit("iss", "http://evil.localhost"),
		"OIDC Core §3.1.3.7 another audience":          edit("aud", "tasks"),
		"OIDC Core §3.1.3.7 several audiences, no azp": edit("aud", []string{"notes", "tasks"}),
		"OIDC Core §3.1.3.7 another authorized party":  edit("azp", "tasks"),
		"OIDC Core §3.1.3.7 expired":                   edit("exp", time.Now().Add(-time.Minute).Unix()),
		"OIDC Core §3.1.3.7 no expiry":                 edit("exp", nil),
		"OIDC Core §3.1.3.7 another nonce":             edit("nonce", "another"),
		"OIDC Core §3.1.3.7 no nonce":                  edit("nonce", nil),
		"OIDC Core §3.1.3.8 at_hash of another token":  edit("at_hash", "AAAAAAAAAAAAAAAAAAAAAA"),
		"RFC 8725 §3.1 alg none":                       head("alg", "none"),
		"RFC 8725 §3.1 the public key as HMAC secret":  head("alg", "HS256"),
		"RFC 7515 §4.1.4 signed with an unknown key":   head("kid", "unknown"),
		"RFC 7515 §4.1.11 a critical header parameter": head("crit", []string{"exp"}),
		"RFC 8725 §3.1 an algorithm that the key is not of": func(kind string, header, _ map[string]any) {
			if kind == "id_token" {
				header["kid"], header["alg"] = "es-1", "RS256"
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.op.With(func() { w.op.Edit = change })
			b := optest.NewBrowser(t).Get(w.notes+"/sign-in").Click("login-submit", "username", optest.Username)
			if b.Status != http.StatusBadGateway || !b.Has("error") || b.Has("signed-in") {
				t.Errorf("%d %s", b.Status, b.Text("error"))
			}
		})
	}
}

func TestUserinfoOfSomebodyElseIsLeftOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.op.With(func() {
		w.op.Edit = func(kind string, _, claims map[string]any) {
			if kind == "userinfo" {
				claims["sub"] = "subject-of-mallory"
			}
		}
	})
	if b := w.signedIn(t); b.Text("who") != optest.Username || strings.Contains(b.Body, "Alice") {
		t.Errorf("who: %q", b.Text("who"))
	}
}

func TestAuthorizationResponseIsOnlyForTheBrowserThatAskedAndOnlyOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	// The attacker begins a sign-in and keeps the answer for somebody else's browser.
	c := optest.HTTPClient()
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	c.Jar = jar
	res, err := c.Get(w.notes + "/sign-in")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res, err = c.PostForm(res.Header.Get("Location"), url.Values{"username": {optest.Username}}); err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	planted := res.Header.Get("Location")
	if b := optest.NewBrowser(t).Get(w.notes + "/sign-in").Get(planted); b.Status != http.StatusBadRequest ||
		b.Has("signed-in") {
		t.Errorf("another browser: %d", b.Status)
	}
	for i, want := range []int{http.StatusSeeOther, http.StatusBadRequest} {
		res, err := c.Get(planted)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("use %d: %s, want %d", i+1, res.Status, want)
		}
	}
}

func TestTwoTabsMaySignInAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := optest.NewBrowser(t).Get(w.notes + "/sign-in")
	first := b.URL.String()
	b.Get(w.notes+"/sign-in").Click("login-submit", "username", optest.Username)
	if !b.Has("signed-in") {
		t.Fatal("second tab")
	}
	if b.Get(first); !b.Has("signed-in") {
		t.Errorf("first tab: %d %s", b.Status, b.Text("error"))
	}
}

func TestTheSessionGetsANewIDAtSignIn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := optest.NewBrowser(t)
	u, err := url.Parse(w.notes)
	if err != nil {
		t.Fatal(err)
	}
	b.Jar().SetCookies(u, []*http.Cookie{{Name: "notes-session", Value: "planted-by-somebody-else-before", Path: "/"}})
	id := func() string {
		for _, c := range b.Jar().Cookies(u) {
			if c.Name == "notes-session" {
				return c.Value
			}
		}
		return ""
	}
	b.Get(w.notes+"/sign-in").Click("login-submit", "username", optest.Username)
	first := id()
	b.Get(w.notes + "/sign-in")
	if second := id(); first == "planted-by-somebody-else-before" || second == first || !b.Has("signed-in") {
		t.Errorf("ids: %q, %q", first, second)
	}
	other := optest.NewBrowser(t)
	other.Jar().SetCookies(u, []*http.Cookie{{Name: "notes-session", Value: first, Path: "/"}})
	if other.Get(w.notes + "/"); other.Has("signed-in") {
		t.Error("the id from before the second sign-in still works")
	}
}

func TestTheWebApplicationCallsTheAPIsAndShowsTheirAnswers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.signedIn(t)
	for id, want := range map[string]string{"call-public": "200", "call-me": "200", "call-admin": "200",
		"call-flask-me": "200", "call-anonymous": "401"} {
		b.Click(id)
		if b.Text("api-status") != want || b.Attribute("api-answer", "data-status") != want ||
			!strings.Contains(b.Text("api-answer"), want) {
			t.Errorf("%s: %q\n%s", id, b.Text("api-answer"), w.log)
		}
		if with := strings.Contains(b.Body, "Bearer eyJ"); with != (want == "200" && id != "call-public") {
			t.Errorf("%s: sent a token: %v", id, with)
		}
	}
	b.Click("call-anonymous")
	if got := b.Text("www-authenticate"); got != `WWW-Authenticate: Bearer realm="test"` {
		t.Errorf("WWW-Authenticate: %q", got)
	}
	b.Click("call-me")
	whole := b.Text("api-body")
	if b.Click("call-tampered"); b.Text("api-body") == whole || len(b.Text("api-body")) != len(whole) {
		t.Errorf("tampered: %q", b.Text("api-body"))
	}
	if b.Post(w.notes+"/call", url.Values{"csrf": {csrf(b)}, "api": {"other"},
		"way": {"me"}}); b.Status != http.StatusBadRequest || !b.Has("error") {
		t.Errorf("an API that is not configured: %d", b.Status)
	}
}

func csrf(b *optest.Browser) string {
	_, rest, _ := strings.Cut(b.Body, `name="csrf" value="`)
	value, _, _ := strings.Cut(rest, `"`)
	return value
}

func TestFormsWithoutThePagesOwnValueChangeNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.signedIn(t)
	for _, path := range []string{"/call", "/refresh", "/sign-out", "/sign-out-everywhere"} {
		for _, value := range []string{"", "wrong", csrf(w.signedIn(t))} {
			if b.Post(w.notes+path, url.Values{"csrf": {value}, "api": {""},
				"way": {"me"}}); b.Status != http.StatusForbidden || !b.Has("error") {
				t.Errorf("%s with %q: %d", path, value, b.Status)
			}
		}
		if b.Get(w.notes + path); b.Status != http.StatusMethodNotAllowed {
			t.Errorf("GET %s: %d", path, b.Status)
		}
	}
	if b.Get(w.notes + "/"); !b.Has("signed-in") {
		t.Error("signed out by somebody else's form")
	}
	if b := optest.NewBrowser(t).Post(w.notes+"/sign-out", nil); b.URL.String() != w.notes+"/" || !b.Has("signed-out") {
		t.Errorf("without a session: %s", b.URL)
	}
}

func TestSigningOutHereLeavesTheOthersSignedIn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.signedIn(t)
	b.Get(w.tasks + "/sign-in").Get(w.notes + "/").Click("sign-out-here")
	if !b.Has("signed-out") || b.Attribute("ended", "data-reason") != "here" {
		t.Errorf("after: %s", b.Body)
	}
	if b.Get(w.tasks + "/"); !b.Has("signed-in") {
		t.Error("the other application lost its session")
	}
	if b.Get(w.notes + "/"); !b.Has("signed-out") || b.Has("ended") {
		t.Error("still signed in, or told twice")
	}
}

func TestSigningOutEverywhereEndsEverySessionByBackChannelLogout(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.signedIn(t)
	bystander := w.signedIn(t)
	b.Get(w.tasks + "/sign-in").Get(w.notes + "/").Click("sign-out-everywhere")
	if !strings.HasPrefix(b.URL.String(), w.notes+webapp.SignedOutPath+"?state=") || !b.Has("signed-out") ||
		b.Attribute("ended", "data-reason") != "backchannel" {
		t.Errorf("after: %s %s", b.URL, b.Text("ended"))
	}
	w.op.With(func() {
		if len(w.op.LogoutCodes) != 2 || w.op.LogoutCodes[0] != 200 || w.op.LogoutCodes[1] != 200 {
			t.Errorf("logout tokens were answered %v\n%s", w.op.LogoutCodes, w.log)
		}
	})
	if b.Get(w.tasks + "/"); !b.Has("signed-out") || b.Attribute("ended", "data-reason") != "backchannel" {
		t.Errorf("the other application: %s", b.Body)
	}
	if bystander.Get(w.notes + "/"); !bystander.Has("signed-in") {
		t.Error("another session of the same person ended, which the logout token did not name")
	}
}

func TestComingBackSignedOutEndsTheSessionWhenTheLogoutTokenWasLost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.signedIn(t)
	w.op.With(func() {
		c := w.op.Clients["notes"]
		c.BackchannelLogoutURI = ""
		w.op.Clients["notes"] = c
	})
	if b.Get(w.notes + webapp.SignedOutPath + "?state=invented"); !b.Has("signed-in") {
		t.Fatal("a link signed somebody out")
	}
	if b.Click("sign-out-everywhere"); !b.Has("signed-out") || b.Attribute("ended", "data-reason") != "return" {
		t.Errorf("after: %s", b.Text("ended"))
	}
}

func TestLogoutTokensAreCheckedAndEndNothingWhenTheyAreBad(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.signedIn(t)
	sid := w.op.Sessions()[0]
	event := "http://schemas.openid.net/event/backchannel-logout"
	now := time.Now()
	type m = map[string]any
	for name, token := range map[string]string{
		"§2.6 1 signature changed":         corrupt(w.op.LogoutToken("notes", sid, nil, nil)),
		"§2.6 2 alg none":                  w.op.LogoutToken("notes", sid, m{"alg": "none"}, nil),
		"§2.6 2 public key as HMAC secret": w.op.LogoutToken("notes", sid, m{"alg": "HS256"}, nil),
		"§2.6 2 unknown key":               w.op.LogoutToken("notes", sid, m{"kid": "unknown"}, nil),
		"§2.6 3 another issuer": w.op.LogoutToken("notes", sid, nil,
			m{"iss": "http://evil.localhost"}),
		"§2.6 3 another audience": w.op.LogoutToken("tasks", sid, nil, nil),
		"§2.6 3 no audience":      w.op.LogoutToken("notes", sid, nil, m{"aud": nil}),
		"§2.6 3 expired": w.op.LogoutToken("notes", sid, nil,
			m{"exp": now.Add(-time.Minute).Unix()}),
		"§2.6 3 no exp": w.op.LogoutToken("notes", sid, nil, m{"exp": nil}),
		"§2.6 3 no iat": w.op.LogoutToken("notes", sid, nil, m{"iat": nil}),
		"§2.6 3 iat in the future": w.op.LogoutToken("notes", sid, nil,
			m{"iat": now.Add(time.Hour).Unix()}),
		"§2.6 4 neither sub nor sid": w.op.LogoutToken("notes", sid, nil, m{"sub": nil, "sid": nil}),
		"§2.6 5 no events":           w.op.LogoutToken("notes", sid, nil, m{"events": nil}),
		"§2.6 5 another event": w.op.LogoutToken("notes", sid, nil,
			m{"events": m{"http://example.com/other": m{}}}),
		"§2.6 5 an event that is no object":      w.op.LogoutToken("notes", sid, nil, m{"events": m{event: "yes"}}),
		"§2.6 5 an event that is null":           w.op.LogoutToken("notes", sid, nil, m{"events": m{event: nil}}),
		"§2.6 6 a nonce":                         w.op.LogoutToken("notes", sid, nil, m{"nonce": "n"}),
		"§2.6 6 an empty nonce":                  w.op.LogoutToken("notes", sid, nil, m{"nonce": ""}),
		"§2.4 no jti":                            w.op.LogoutToken("notes", sid, nil, m{"jti": nil}),
		"§2.4 typ of an access token":            w.op.LogoutToken("notes", sid, m{"typ": "at+jwt"}, nil),
		"RFC 7515 §4.1.11 critical header":       w.op.LogoutToken("notes", sid, m{"crit": []string{"x"}, "x": 1}, nil),
		"RFC 7515 §7.1 four parts":               w.op.LogoutToken("notes", sid, nil, nil) + ".AAAA",
		"RFC 7515 §3.1 white space inside":       strings.Replace(w.op.LogoutToken("notes", sid, nil, nil), ".", " .", 1),
		"RFC 4648 §3.5 unused last bits are set": lastBits(w.op.LogoutToken("notes", sid, nil, nil)),
		"not a token":                            "not a token",
		"nothing":                                "",
	} {
		if code := optest.PostForm(t.Context(), w.op.HTTP, w.notes+webapp.BackchannelLogoutPath,
			url.Values{"logout_token": {token}}); code != http.StatusBadRequest {
			t.Errorf("Back-Channel Logout %s: %d", name, code)
		}
		if b.Get(w.notes + "/"); !b.Has("signed-in") {
			t.Fatalf("Back-Channel Logout %s ended the session", name)
		}
	}
	good := w.op.LogoutToken("notes", sid, nil, nil)
	post := func(form url.Values) int {
		return optest.PostForm(t.Context(), w.op.HTTP, w.notes+webapp.BackchannelLogoutPath, form)
	}
	if code := post(url.Values{"logout_token": {good, good}}); code != http.StatusBadRequest {
		t.Errorf("two tokens: %d", code)
	}
	res, err := w.op.HTTP.Post(w.notes+webapp.BackchannelLogoutPath, "application/json",
		strings.NewReader(`{"logout_token":"`+good+`"}`))
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	res.Body.Close()
	if err != nil || res.StatusCode != http.StatusBadRequest || !strings.Contains(string(body), `"invalid_request"`) ||
		res.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("JSON: %s %s %v", res.Status, body, err)
	}
	if code := optest.PostForm(t.Context(), w.op.HTTP, w.notes+webapp.BackchannelLogoutPath+"?logout_token="+good,
		nil); code != http.StatusBadRequest {
		t.Errorf("in the query: %d", code)
	}
	if b.Get(w.notes + "/"); !b.Has("signed-in") {
		t.Fatal("ended")
	}
	if code := post(url.Values{"logout_token": {good}}); code != http.StatusOK {
		t.Errorf("a good one: %d\n%s", code, w.log)
	}
	w.op.With(func() { w.op.Deny = "login_required" })
	if b.Get(w.notes + "/"); !b.Has("signed-out") {
		t.Error("a good one ended nothing")
	}
	if code := post(url.Values{"logout_token": {good}}); code != http.StatusBadRequest {
		t.Errorf("the same again: %d", code)
	}
}

func TestALogoutTokenWithoutSidEndsAllSessionsOfTheSubjectOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first, second := w.signedIn(t), w.signedIn(t)
	post := func(claims map[string]any) {
		token := w.op.LogoutToken("notes", "", nil, claims)
		if code := optest.PostForm(t.Context(), w.op.HTTP, w.notes+webapp.BackchannelLogoutPath,
			url.Values{"logout_token": {token}}); code != http.StatusOK {
			t.Errorf("%v: %d", claims, code)
		}
	}
	post(map[string]any{"sid": nil, "sub": "somebody-else"})
	post(map[string]any{"sid": "unknown"})
	if first.Get(w.notes+"/").Has("signed-out") || second.Get(w.notes+"/").Has("signed-out") {
		t.Fatal("a logout token about somebody else ended a session")
	}
	post(map[string]any{"sid": nil})
	w.op.With(func() { w.op.Deny = "login_required" })
	for _, b := range []*optest.Browser{first, second} {
		if b.Get(w.notes + "/"); !b.Has("signed-out") || b.Attribute("ended", "data-reason") != "backchannel" {
			t.Error("a session of the subject goes on")
		}
	}
}

func TestInventedKeyIDsDoNotMakeTheWebApplicationHammerTheProvider(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.signedIn(t)
	var before int
	w.op.With(func() { before = w.op.KeyFetches })
	for range 30 {
		token := w.op.LogoutToken("notes", "s", map[string]any{"kid": "unknown"}, nil)
		optest.PostForm(t.Context(), w.op.HTTP, w.notes+webapp.BackchannelLogoutPath,
			url.Values{"logout_token": {token}})
	}
	w.op.With(func() {
		if n := w.op.KeyFetches - before; n > 5 {
			t.Errorf("30 tokens made it fetch the keys %d times", n)
		}
	})
}

func TestRefreshingBringsNewTokensAndAWithdrawnGrantEndsTheSession(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *webapp.Config) { c.OfflineAccess = true })
	b := w.signedIn(t)
	b.Click("call-me")
	before := b.Text("api-body")
	if b.Click("refresh"); !b.Has("note") || b.Has("error") {
		t.Fatalf("refresh: %d %s\n%s", b.Status, b.Text("error"), w.log)
	}
	if b.Click("call-me"); b.Text("api-body") == before || b.Has("note") {
		t.Error("the access token is the old one, or the note stays")
	}
	w.op.With(func() {
		w.op.Edit = func(kind string, _, claims map[string]any) {
			if kind == "id_token" {
				claims["sub"] = "subject-of-mallory"
			}
		}
	})
	if b.Click("refresh"); b.Status != http.StatusBadGateway || strings.Contains(b.Body, "mallory") {
		t.Errorf("a new ID token about somebody else: %d", b.Status)
	}
	w.op.With(func() { w.op.Edit, w.op.Refuse = nil, "invalid_grant" })
	if b.Click("refresh"); !b.Has("signed-out") || b.Attribute("ended", "data-reason") != "refused" {
		t.Errorf("a withdrawn grant: %s", b.Body)
	}
}

func TestWithoutOfflineAccessThereIsNoRefreshToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.signedIn(t)
	if b.Has("refresh") {
		t.Error("a button without a refresh token")
	}
	if b.Post(w.notes+"/refresh", url.Values{"csrf": {csrf(b)}}); b.Status != http.StatusBadRequest ||
		!b.Has("signed-in") {
		t.Errorf("refresh: %d", b.Status)
	}
}

func TestTheWebApplicationStartsBeforeTheProviderAndRecovers(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	now := time.Now()
	w := newWorld(t, func(c *webapp.Config) {
		c.Now = func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	})
	w.op.With(func() { w.op.Down = true })
	b := optest.NewBrowser(t).Get(w.notes + "/")
	if !b.Has("signed-out") {
		t.Fatal("no page without the provider")
	}
	if b.Click("sign-in"); b.Status != http.StatusServiceUnavailable || !strings.Contains(b.Text("error"),
		"cannot be reached") {
		t.Errorf("provider down: %d %s", b.Status, b.Text("error"))
	}
	w.op.With(func() { w.op.Down = false })
	mu.Lock()
	now = now.Add(2 * time.Second)
	mu.Unlock()
	if b.Click("sign-in").Click("login-submit", "username", optest.Username); !b.Has("signed-in") {
		t.Errorf("provider back: %d", b.Status)
	}
	// An hour later it looks again, and goes on with what it knew should the provider be away.
	mu.Lock()
	now = now.Add(61 * time.Minute)
	mu.Unlock()
	w.op.With(func() { w.op.Down = true })
	if b.Click("sign-out-everywhere"); b.URL.Host != hostOf(t, w.op.Issuer) {
		t.Errorf("provider away: %s", b.URL)
	}
}

func hostOf(t *testing.T, address string) string {
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}

func TestSessionsEndAfterTwelveHours(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	now := time.Now()
	w := newWorld(t, func(c *webapp.Config) {
		c.Now = func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	})
	b := w.signedIn(t)
	mu.Lock()
	now = now.Add(12*time.Hour + time.Second)
	mu.Unlock()
	w.op.With(func() { w.op.Deny = "login_required" })
	if b.Get(w.notes + "/"); !b.Has("signed-out") {
		t.Error("still signed in")
	}
}

func TestEveryFaultOfTheConfigurationIsNamedAtOnce(t *testing.T) {
	t.Parallel()
	_, err := webapp.New(context.Background(), webapp.Config{BaseURL: "ftp://x", Issuer: "http://id.localhost/?q",
		Look: "loud", APIs: []webapp.API{{Key: "A B", URL: "api"}}})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, word := range []string{"name is missing", "client id is missing", "client secret is missing",
		`base URL "ftp://x"`, `issuer "http://id.localhost/?q"`, `look "loud"`, `API "api"`, `API key "A B"`} {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("not named: %s\n%v", word, err)
		}
	}
}

// corrupt changes the first character of the signature.
func corrupt(token string) string {
	i := strings.LastIndexByte(token, '.') + 1
	c := "A"
	if token[i] == 'A' {
		c = "B"
	}
	return token[:i] + c + token[i+1:]
}

// lastBits sets bits of the last character that belong to no byte of a 256-byte signature.
func lastBits(token string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	n := strings.IndexByte(alphabet, token[len(token)-1])
	return token[:len(token)-1] + string(alphabet[n|1])
}
