package session_test

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"latchkey/provider/providertest"
	"latchkey/provider/session"
	"latchkey/provider/storage"
	"latchkey/provider/web"
)

func TestSessionState(t *testing.T) {
	t.Parallel()

	t.Run("OIDC Session Management §3.2 the value is a hash over client, origin, browser state and salt, and the salt",
		func(t *testing.T) {
			t.Parallel()
			got := session.State("shop", "https://shop.example", "state")
			hash, salt, ok := strings.Cut(got, ".")
			sum := sha256.Sum256([]byte("shop https://shop.example state " + salt))
			if !ok || hash != fmt.Sprintf("%x", sum) || len(salt) < 16 || strings.ContainsAny(got, " ") {
				t.Errorf("%q", got)
			}
			if again := session.State("shop", "https://shop.example", "state"); again == got {
				t.Error("the salt is always the same, so that applications could compare what they were given")
			}
		})

	t.Run("OIDC Session Management §2 the authorization response carries it for the state in the browser's cookie, and logout replaces that", func(t *testing.T) {
		t.Parallel()
		w := providertest.New(t)
		shop := w.AddClient("shop", providertest.SignsOutTo(providertest.OutURI))
		b, s := w.SignedIn(w.AddUser("alice"))
		inCookie := func() string {
			for _, c := range b.Client.Jar.Cookies(w.Web.Base) {
				if c.Name == w.Web.CookieName(session.StateCookie) {
					return c.Value
				}
			}
			return ""
		}
		before := inCookie()
		state := b.Get(w.Request(shop)).Answer().Get("session_state")
		_, salt, _ := strings.Cut(state, ".")
		if before == "" || before != s.State || state != session.SaltedSessionState("shop", "https://shop.example",
			before, salt) {
			t.Errorf("session_state %q for the state %q", state, before)
		}
		b.Get(providertest.LogoutURL("id_token_hint", w.Hint(s, shop, nil), "post_logout_redirect_uri",
			providertest.OutURI))
		if after := inCookie(); after == "" || after == before {
			t.Errorf("after logout the browser state is %q, before %q", after, before)
		}
	})

	t.Run("the cookie can be read by scripts and frames, and says nothing", func(t *testing.T) {
		t.Parallel()
		for issuer, want := range map[string]string{
			"https://op.example":   "__Host-latchkey_state=abc; Path=/; Secure; SameSite=None",
			"http://localhost:123": "latchkey_state=abc; Path=/; SameSite=Lax",
		} {
			sessions := session.New(session.Config{Web: &web.Site{Secure: strings.HasPrefix(issuer, "https")}})
			w := &providertest.HeaderOnly{H: http.Header{}}
			sessions.SetStateCookie(w, "abc", 0)
			if got := w.H.Get("Set-Cookie"); got != want {
				t.Errorf("%s: %q, want %q", issuer, got, want)
			}
		}
		if s := (storage.Session{ID: "id", SecretHash: "h", State: storage.ShortID()}); strings.Contains(s.State,
			s.ID) {
			t.Error("the browser state tells of the session")
		}
	})
}

func TestCheckSessionFrame(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	p := w.Browser().Get("/session")
	csp := p.Header.Get("Content-Security-Policy")
	if p.StatusCode != 200 || p.Header.Get("X-Frame-Options") != "" || !strings.Contains(csp, "frame-ancestors *") ||
		!strings.Contains(csp, "default-src 'none'") ||
		!strings.Contains(csp, "script-src 'self';") || strings.Contains(csp, "unsafe") || len(p.Cookies()) > 0 {
		t.Errorf("%d %v", p.StatusCode, p.Header)
	}
	if !strings.Contains(p.Header.Get("Cache-Control"), "public, max-age=") ||
		!strings.Contains(p.Body, w.Web.CookieName(session.StateCookie)) {
		t.Errorf("%s\n%s", p.Header.Get("Cache-Control"), p.Body)
	}
	for _, path := range []string{"/logout", "/logout/done", "/account", "/nothing"} {
		p := w.Browser().Get(path)
		if csp := p.Header.Get("Content-Security-Policy"); p.Header.Get("X-Frame-Options") != "DENY" &&
			p.StatusCode != http.StatusSeeOther || !strings.Contains(csp, "frame-ancestors 'none'") {
			t.Errorf("%s may be framed: %s", path, csp)
		}
	}
}

// The frame's script is run as it is served, in a page that node makes up; where there is no node
// the test says so.
func TestFrameAnswersWhatTheResponseSaid(t *testing.T) {
	t.Parallel()
	node, err := exec.LookPath("node")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("needs node to run the frame's script")
		}
		t.Skip("needs node to run the frame's script")
	}
	w := providertest.New(t)
	shop := w.AddClient("shop")
	b, s := w.SignedIn(w.AddUser("alice"))
	frame := b.Get("/session")
	src := regexp.MustCompile(`<script src="([^"]+)"`).FindStringSubmatch(frame.Body)
	if src == nil {
		t.Fatal(frame.Body)
	}
	script := b.Get(html.UnescapeString(src[1]))
	if script.StatusCode != 200 {
		t.Fatalf("%s: %d", src[1], script.StatusCode)
	}
	state := b.Get(w.Request(shop)).Answer().Get("session_state")
	cookie := "other=1; " + w.Web.CookieName(session.StateCookie) + "=" + s.State + "; x=y"
	long := strings.Repeat("client ü😀 ", 30)
	type question struct {
		Cookie string `json:"cookie"`
		Data   any    `json:"data"`
		Origin string `json:"origin"`
		Want   string `json:"want"`
	}
	questions := []question{
		{cookie, "shop " + state, "https://shop.example", "unchanged"},
		{strings.Replace(cookie, s.State, "another", 1), "shop " + state, "https://shop.example", "changed"},
		{"other=1", "shop " + state, "https://shop.example", "changed"},
		{"", "shop " + state, "https://shop.example", "changed"},
		{cookie, "shop " + state, "https://evil.example", "changed"},
		{cookie, "mail " + state, "https://shop.example", "changed"},
		{cookie, long + " " + session.State(long, "https://a.example:8443", s.State), "https://a.example:8443",
			"unchanged"},
		{cookie, "shop", "https://shop.example", "error"},
		{cookie, "shop nodot", "https://shop.example", "error"},
		{cookie, "", "https://shop.example", "error"},
		{cookie, map[string]any{"a": 1}, "https://shop.example", "error"},
	}
	for n := range 130 { // every length of the last block
		id := strings.Repeat("c", n+1)
		questions = append(questions, question{cookie, id + " " + session.State(id, "https://shop.example", s.State),
			"https://shop.example", "unchanged"})
	}
	asked, err := json.Marshal(questions)
	if err != nil {
		t.Fatal(err)
	}
	name, err := json.Marshal(w.Web.CookieName(session.StateCookie))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(node, "-")
	cmd.Stdin = strings.NewReader(`
var listener, document = {cookie: '', body: {getAttribute: function (a) { return a === 'data-cookie' ? ` + string(name) + ` : null; }}};
var window = {addEventListener: function (type, f) { if (type === 'message') { listener = f; } }};
(function () {` + script.Body + `
}());
var asked = ` + string(asked) + `, answered = 0;
asked.forEach(function (q) {
  document.cookie = q.cookie;
  listener({data: q.data, origin: q.origin, source: {postMessage: function (got, to) {
    answered++;
    if (got !== q.want || to !== q.origin) { console.log(JSON.stringify(q.data).slice(0, 100) + ' from ' + q.origin + ': ' + got + ' to ' + to + ', want ' + q.want); }
  }}});
});
if (answered !== asked.length) { console.log(answered + ' of ' + asked.length + ' were answered'); }
console.log('done');
`)
	out, err := cmd.CombinedOutput()
	if err != nil || string(out) != "done\n" {
		t.Errorf("%v\n%s", err, out)
	}
}
