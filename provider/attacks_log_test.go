package provider_test

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

	"latchkey/provider"
	"latchkey/provider/clients"
	"latchkey/provider/providertest"
	"latchkey/provider/registration"
	"latchkey/provider/session"
)

// TestNoSecretIsLogged goes through everything with a log of every level, succeeding and failing,
// and looks for each secret that was used.
func TestNoSecretIsLogged(t *testing.T) {
	t.Parallel()
	var f *providertest.Faults
	w := providertest.New(t, func(c *provider.Config) { c.Registration = registration.Open },
		providertest.WithFaults(&f))
	w.Logger = slog.New(slog.NewTextHandler(w.Log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	w.AddUser("alice")
	key := providertest.EcKey(t)
	web := w.AddClient("web", providertest.AsksConsent,
		func(c *clients.Client) { c.PostLogoutRedirectURIs = []string{"https://web.example/bye"} })
	post := w.AddClient("post", func(c *clients.Client) { c.TokenEndpointAuthMethod = "client_secret_post" })
	opaque := w.AddClient("opaque", func(c *clients.Client) { c.OpaqueAccessTokens = true })
	jar := w.AddClient("jar", providertest.SignsRequests(t, key.Public()))
	w.AddClient("jwt-j", providertest.ByKey(t, "ES256", map[string]any{"k": key.Public()}))
	secrets := map[string]string{"password": providertest.TestPassword, "client secret": providertest.TestSecret,
		"client secret in Basic": base64.StdEncoding.EncodeToString([]byte("web:" + providertest.TestSecret)),
		"code_verifier":          providertest.TestVerifier}
	note := func(name, value string) string {
		if value == "" {
			t.Errorf("no %s", name)
			return value
		}
		secrets[name] = value
		return value
	}
	csrf := regexp.MustCompile(`name="csrf" value="([^"]+)"`)
	read := func(name string, p providertest.Page) providertest.Page {
		if m := csrf.FindStringSubmatch(p.Body); m != nil {
			note("csrf of "+name, m[1])
		}
		for _, c := range p.Cookies() {
			if c.MaxAge >= 0 && c.Name != session.StateCookie {
				note("cookie of "+name+" "+c.Name, c.Value)
			}
		}
		if i := p.Request.URL.Query().Get("i"); i != "" {
			note("interaction of "+name, i)
		}
		return p
	}
	b := w.Browser()
	ask := w.Request(web, "scope", providertest.Offline, "nonce", "nonce-that-is-nobodys-business", "state",
		"state-that-is-nobodys-business")
	secrets["nonce"], secrets["state"] = "nonce-that-is-nobodys-business", "state-that-is-nobodys-business"
	login := read("login", b.Open(ask))
	wrong := note("wrong password", "wrong-password-of-alice")
	read("failed login", b.Submit(login, "login-submit", url.Values{"username": {"alice"}, "password": {wrong}}))
	b.Submit(login, "login-submit", url.Values{"username": {note("password in the wrong field",
		"Pass-in-the-wrong-field")}, "password": {wrong}})
	signedIn := read("signed in", b.Submit(login, "login-submit", url.Values{"username": {"alice"},
		"password": {providertest.TestPassword}}))
	consent := read("consent", b.Follow(signedIn))
	code := note("code", b.Follow(b.Submit(consent, "consent-allow", providertest.Allow)).Answer().Get("code"))
	w.Redeem(web, code, "code_verifier", note("wrong verifier", strings.Repeat("wrongverifier", 4)))
	w.Redeem(opaque, code)
	got := w.Redeem(web, code)
	for _, name := range []string{"access_token", "id_token", "refresh_token"} {
		note(name, got.Str(name))
	}
	again := w.Renew(web, got.Str("refresh_token"))
	note("second refresh_token", again.Str("refresh_token"))
	note("second access_token", again.Str("access_token"))
	note("opaque access_token", w.Redeem(opaque, b.Code(opaque, "alice")).Str("access_token"))
	w.Call("/token", post, url.Values{"grant_type": {"authorization_code"}, "client_id": {"post"},
		"client_secret": {providertest.TestSecret}})
	w.Try("/token", url.Values{"grant_type": {"client_credentials"}, "client_id": {"post"},
		"client_secret": {note("wrong client secret", "wrong-secret-of-a-client")}})
	w.Try("/token", url.Values{"grant_type": {"client_credentials"}}, "Bearer "+got.Str("access_token"))
	w.Try("/token?client_secret="+note("client secret in the URL", "secret-in-the-url-of-token")+"&client_id=post",
		url.Values{"grant_type": {"client_credentials"}})
	assertion := note("client assertion", providertest.SignJWT(t, jose.ES256, key, w.AssertionOf("jwt-j", nil),
		providertest.Kid("k")))
	w.Assert(assertion)
	w.Assert(assertion)
	w.Assert(assertion[:len(assertion)-4] + "AAAA")
	object := note("request object", providertest.SignJWT(t, jose.ES256, key, w.ObjectOf(jar, nil),
		providertest.Kid("k")))
	b.Get(w.Request(jar, "request", object))
	b.Get(w.Request(jar, "request", object[:len(object)-4]+"AAAA"))
	for _, path := range []string{"/introspect", "/revoke"} {
		for _, name := range []string{"access_token", "opaque access_token", "second refresh_token"} {
			w.Call(path, web, url.Values{"token": {secrets[name]}})
		}
	}
	w.UserinfoOf(secrets["access_token"])
	b.Get("/userinfo?access_token=" + secrets["access_token"])
	b.Get("/nowhere?code=" + code)
	b.Get("/nowhere/" + note("secret in a path", "secret-in-a-path"))
	registered := w.Send(providertest.NewRegistration(t, w))
	for _, name := range []string{"client_secret", "registration_access_token"} {
		note("registered "+name, registered.Str(name))
	}
	r := providertest.NewRegistration(t, w)
	r.Header.Set("Authorization", "Bearer "+note("initial access token", "initial-access-token-of-nobody"))
	w.Send(r)
	b.Get("/logout?" + url.Values{"id_token_hint": {secrets["id_token"]},
		"post_logout_redirect_uri": {"https://evil.example/"}}.Encode())
	read("logout", b.Get("/logout?"+url.Values{"id_token_hint": {secrets["id_token"]},
		"post_logout_redirect_uri": {"https://web.example/bye"}, "state": {secrets["state"]}}.Encode()))
	// And once more while the store answers nothing.
	all := []string{"Client", "User", "Session", "Grant", "Token", "Spend", "Spent"}
	f.Set(true, all...)
	faulty := []providertest.AnswerJSON{w.Redeem(web, code), w.Renew(web, secrets["second refresh_token"]),
		w.Assert(assertion), w.Call("/introspect", web, url.Values{"token": {secrets["access_token"]}}),
		w.Call("/revoke", web, url.Values{"token": {secrets["access_token"]}}), w.UserinfoOf(secrets["access_token"])}
	for _, a := range faulty {
		if body, _ := json.Marshal(a.JSON); bytes.Contains(body, []byte("fire")) ||
			bytes.Contains(body, []byte("/var")) {
			t.Errorf("the answer tells of our insides: %s", body)
		}
	}
	if p := b.Get(ask); strings.Contains(p.Body, "fire") {
		t.Error("the page tells of our insides")
	}
	f.Set(false, all...)

	metrics := httptest.NewRecorder()
	w.MetricsHandler().ServeHTTP(metrics, httptest.NewRequest("GET", "/metrics", nil))
	log := w.Log.String()
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
	for name, handler := range map[string]func(*providertest.LogBuffer) slog.Handler{
		"text": func(l *providertest.LogBuffer) slog.Handler { return slog.NewTextHandler(l, nil) },
		"JSON": func(l *providertest.LogBuffer) slog.Handler { return slog.NewJSONHandler(l, nil) },
	} {
		w := providertest.New(t)
		w.Logger = slog.New(handler(w.Log))
		c := w.AddClient("web")
		b := w.Browser()
		before := strings.Count(w.Log.String(), "\n")
		sent := 0
		for _, evil := range []string{"x\nlevel=ERROR msg=forged", "x\r\n{\"level\":\"fatal\"}", "\x1b[2J\x1b[31m", "\u2028forged", `"},{"level":"fatal"`, strings.Repeat("x", 100<<10)} {
			b.Post("/authorize", url.Values{"client_id": {evil}, "redirect_uri": {evil}, "response_type": {evil}})
			b.Post("/authorize", url.Values{"client_id": {c.ID}, "redirect_uri": {evil}, "response_type": {"code"}})
			w.Try("/token", url.Values{"grant_type": {evil}, "client_id": {evil}, "client_secret": {"x"}})
			b.Get("/logout?" + url.Values{"client_id": {evil[:min(len(evil), 10000)]}}.Encode())
			sent += 4
		}
		r, _ := http.NewRequest("GET", w.Issuer+"/account", nil)
		r.Header.Set("User-Agent", strings.Repeat("u", 10000))
		b.Do(r)
		sent++
		log := w.Log.String()
		if got := strings.Count(log, "\n") - before; got != sent || strings.ContainsAny(log, "\x1b\r\u2028") {
			t.Errorf("%s: %d lines for %d requests", name, got, sent)
		}
		if len(log) > sent*4000 {
			t.Errorf("%s: %d bytes for %d requests", name, len(log), sent)
		}
	}
}
