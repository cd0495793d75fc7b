package provider

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"latchkey/provider/clients"
)

// TestNoSecretIsLogged goes through everything with a log of every level, succeeding and failing, and looks for each secret that was used.
func TestNoSecretIsLogged(t *testing.T) {
	t.Parallel()
	var f *faults
	w := newTestProvider(t, func(c *Config) { c.Registration = RegistrationOpen }, withFaults(&f))
	w.Logger = slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	w.addUser("alice")
	key := ecKey(t)
	web := w.addClient("web", asksConsent, func(c *clients.Client) { c.PostLogoutRedirectURIs = []string{"https://web.example/bye"} })
	post := w.addClient("post", func(c *clients.Client) { c.TokenEndpointAuthMethod = "client_secret_post" })
	opaque := w.addClient("opaque", func(c *clients.Client) { c.OpaqueAccessTokens = true })
	jar := w.addClient("jar", signsRequests(t, key.Public()))
	w.addClient("jwt-j", byKey(t, "ES256", map[string]any{"k": key.Public()}))
	secrets := map[string]string{"password": testPassword, "client secret": testSecret, "client secret in Basic": base64.StdEncoding.EncodeToString([]byte("web:" + testSecret)), "code_verifier": testVerifier}
	note := func(name, value string) string {
		if value == "" {
			t.Errorf("no %s", name)
			return value
		}
		secrets[name] = value
		return value
	}
	csrf := regexp.MustCompile(`name="csrf" value="([^"]+)"`)
	read := func(name string, p page) page {
		if m := csrf.FindStringSubmatch(p.body); m != nil {
			note("csrf of "+name, m[1])
		}
		for _, c := range p.Cookies() {
			if c.MaxAge >= 0 && c.Name != stateCookie {
				note("cookie of "+name+" "+c.Name, c.Value)
			}
		}
		if i := p.Request.URL.Query().Get("i"); i != "" {
			note("interaction of "+name, i)
		}
		return p
	}
	b := w.browser()
	ask := w.request(web, "scope", offline, "nonce", "nonce-that-is-nobodys-business", "state", "state-that-is-nobodys-business")
	secrets["nonce"], secrets["state"] = "nonce-that-is-nobodys-business", "state-that-is-nobodys-business"
	login := read("login", b.open(ask))
	wrong := note("wrong password", "wrong-password-of-alice")
	read("failed login", b.submit(login, "login-submit", url.Values{"username": {"alice"}, "password": {wrong}}))
	b.submit(login, "login-submit", url.Values{"username": {note("password in the wrong field", "Pass-in-the-wrong-field")}, "password": {wrong}})
	signedIn := read("signed in", b.submit(login, "login-submit", url.Values{"username": {"alice"}, "password": {testPassword}}))
	consent := read("consent", b.follow(signedIn))
	code := note("code", b.follow(b.submit(consent, "consent-allow", allow)).answer().Get("code"))
	w.redeem(web, code, "code_verifier", note("wrong verifier", strings.Repeat("wrongverifier", 4)))
	w.redeem(opaque, code)
	got := w.redeem(web, code)
	for _, name := range []string{"access_token", "id_token", "refresh_token"} {
		note(name, got.str(name))
	}
	again := w.renew(web, got.str("refresh_token"))
	note("second refresh_token", again.str("refresh_token"))
	note("second access_token", again.str("access_token"))
	note("opaque access_token", w.redeem(opaque, b.code(opaque, "alice")).str("access_token"))
	w.call("/token", post, url.Values{"grant_type": {"authorization_code"}, "client_id": {"post"}, "client_secret": {testSecret}})
	w.try("/token", url.Values{"grant_type": {"client_credentials"}, "client_id": {"post"}, "client_secret": {note("wrong client secret", "wrong-secret-of-a-client")}})
	w.try("/token", url.Values{"grant_type": {"client_credentials"}}, "Bearer "+got.str("access_token"))
	w.try("/token?client_secret="+note("client secret in the URL", "secret-in-the-url-of-token")+"&client_id=post", url.Values{"grant_type": {"client_credentials"}})
	assertion := note("client assertion", signJWT(t, jose.ES256, key, w.assertionOf("jwt-j", nil), kid("k")))
	w.assert(assertion)
	w.assert(assertion)
	w.assert(assertion[:len(assertion)-4] + "AAAA")
	object := note("request object", signJWT(t, jose.ES256, key, w.objectOf(jar, nil), kid("k")))
	b.get(w.request(jar, "request", object))
	b.get(w.request(jar, "request", object[:len(object)-4]+"AAAA"))
	for _, path := range []string{"/introspect", "/revoke"} {
		for _, name := range []string{"access_token", "opaque access_token", "second refresh_token"} {
			w.call(path, web, url.Values{"token": {secrets[name]}})
		}
	}
	w.userinfoOf(secrets["access_token"])
	b.get("/userinfo?access_token=" + secrets["access_token"])
	b.get("/nowhere?code=" + code)
	b.get("/nowhere/" + note("secret in a path", "secret-in-a-path"))
	registered := w.send(newRegistration(t, w))
	for _, name := range []string{"client_secret", "registration_access_token"} {
		note("registered "+name, registered.str(name))
	}
	r := newRegistration(t, w)
	r.Header.Set("Authorization", "Bearer "+note("initial access token", "initial-access-token-of-nobody"))
	w.send(r)
	b.get("/logout?" + url.Values{"id_token_hint": {secrets["id_token"]}, "post_logout_redirect_uri": {"https://evil.example/"}}.Encode())
	read("logout", b.get("/logout?"+url.Values{"id_token_hint": {secrets["id_token"]}, "post_logout_redirect_uri": {"https://web.example/bye"}, "state": {secrets["state"]}}.Encode()))
	// And once more while the store answers nothing.
	all := []string{"Client", "User", "Session", "Grant", "Token", "Spend", "Spent"}
	f.set(true, all...)
	faulty := []answerJSON{w.redeem(web, code), w.renew(web, secrets["second refresh_token"]), w.assert(assertion), w.call("/introspect", web, url.Values{"token": {secrets["access_token"]}}),
		w.call("/revoke", web, url.Values{"token": {secrets["access_token"]}}), w.userinfoOf(secrets["access_token"])}
	for _, a := range faulty {
		if body, _ := json.Marshal(a.JSON); bytes.Contains(body, []byte("fire")) || bytes.Contains(body, []byte("/var")) {
			t.Errorf("the answer tells of our insides: %s", body)
		}
	}
	if p := b.get(ask); strings.Contains(p.body, "fire") {
		t.Error("the page tells of our insides")
	}
	f.set(false, all...)

	metrics := httptest.NewRecorder()
	w.MetricsHandler().ServeHTTP(metrics, httptest.NewRequest("GET", "/metrics", nil))
	log := w.log.String()
	if len(log) < 5000 || !strings.Contains(log, "fire") {
		t.Fatalf("the control: there is a log, and it has the causes: %d bytes", len(log))
	}
	for name, value := range secrets {
		for _, form := range []string{value, url.QueryEscape(value), base64.StdEncoding.EncodeToString([]byte(value))} {
			if i := strings.Index(log, form); i >= 0 {
				t.Errorf("the log has the %s: …%s…", name, log[max(0, i-200):min(len(log), i+len(form)+20)])
			}
			if strings.Contains(metrics.Body.String(), form) {
				t.Errorf("the metrics have the %s", name)
			}
		}
	}
}

func TestOneLinePerRequestWhateverIsSent(t *testing.T) {
	t.Parallel()
	for name, handler := range map[string]func(*logBuffer) slog.Handler{
		"text": func(l *logBuffer) slog.Handler { return slog.NewTextHandler(l, nil) }, "JSON": func(l *logBuffer) slog.Handler { return slog.NewJSONHandler(l, nil) },
	} {
		w := newTestProvider(t)
		w.Logger = slog.New(handler(w.log))
		c := w.addClient("web")
		b := w.browser()
		before := strings.Count(w.log.String(), "\n")
		sent := 0
		for _, evil := range []string{"x\nlevel=ERROR msg=forged", "x\r\n{\"level\":\"fatal\"}", "\x1b[2J\x1b[31m", "\u2028forged", `"},{"level":"fatal"`, strings.Repeat("x", 100<<10)} {
			b.post("/authorize", url.Values{"client_id": {evil}, "redirect_uri": {evil}, "response_type": {evil}})
			b.post("/authorize", url.Values{"client_id": {c.ID}, "redirect_uri": {evil}, "response_type": {"code"}})
			w.try("/token", url.Values{"grant_type": {evil}, "client_id": {evil}, "client_secret": {"x"}})
			b.get("/logout?" + url.Values{"client_id": {evil[:min(len(evil), 10000)]}}.Encode())
			sent += 4
		}
		r, _ := http.NewRequest("GET", w.Issuer+"/account", nil)
		r.Header.Set("User-Agent", strings.Repeat("u", 10000))
		b.do(r)
		sent++
		log := w.log.String()
		if got := strings.Count(log, "\n") - before; got != sent || strings.ContainsAny(log, "\x1b\r\u2028") {
			t.Errorf("%s: %d lines for %d requests", name, got, sent)
		}
		if len(log) > sent*4000 {
			t.Errorf("%s: %d bytes for %d requests", name, len(log), sent)
		}
	}
}
