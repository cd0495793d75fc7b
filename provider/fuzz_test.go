package provider_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"latchkey/provider/providertest"
	"latchkey/provider/session"
	"latchkey/provider/token"
)

// fuzzParts are what FuzzServer builds requests of: the words of the protocol, values that are
// right in this world, and values that are nowhere.
var fuzzParts = struct{ methods, names, types []string }{
	methods: []string{"GET", "POST", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE", "X", "PATCH"},
	names: []string{"client_id", "redirect_uri", "response_type", "response_mode", "scope", "state", "nonce", "prompt",
		"max_age", "claims", "request", "request_uri", "id_token_hint", "login_hint", "ui_locales",
		"acr_values", "resource", "code_challenge", "code_challenge_method", "display", "grant_type", "code",
		"code_verifier", "refresh_token", "token", "token_type_hint", "client_secret", "client_assertion",
		"client_assertion_type", "access_token", "i", "csrf", "username", "password", "decision", "account", "action",
		"id", "post_logout_redirect_uri", "r", "look", "switch", "notice", "rel"},
	types: []string{"application/x-www-form-urlencoded", "application/json", "", "text/plain",
		"multipart/form-data; boundary=x", "application/x-www-form-urlencoded; charset=utf-16"},
}

// FuzzServer sends requests that are nearly right to the whole server. Whatever comes, there is no
// panic, no fault of ours, and no answer without its headers; and nobody who sends no password gets
// a code.
func FuzzServer(f *testing.F) {
	w := providertest.New(f, providertest.Everything)
	alice := w.AddUser("alice")
	web := w.AddClient("web", providertest.AsksConsent)
	spa := w.AddClient("spa", providertest.Public)
	b := w.Browser()
	consent := b.SignInAs(b.Open(w.Request(web)), "alice")
	var cookies []string
	for _, c := range b.Client.Jar.Cookies(w.Web.Base) {
		cookies = append(cookies, c.Name+"="+c.Value)
	}
	tokens := w.Tokens(web, alice, providertest.Offline)
	code, _ := w.Authorized(spa, alice, providertest.Offline)
	values := []string{"", "web", "spa", web.RedirectURIs[0], spa.RedirectURIs[0], "code", "code id_token token",
		"none", "openid offline_access", "form_post", "login", "consent", "select_account", "S256",
		providertest.TestChallenge, providertest.TestVerifier,
		code, tokens.Str("access_token"),
		tokens.Str("refresh_token"), tokens.Str("id_token"), providertest.TestSecret,
		consent.Request.URL.Query().Get("i"),
		"allow", "deny", "current", "other", "cancel", "end-session", "disconnect", "0", "-1", "99999999999999999999",
		"https://evil.example/", "//evil", "javascript:1", "\x00", "\xff", "{", `{"userinfo":{"email":null}}`, "..",
		"a.b.c",
		`{"redirect_uris":["https://a.example/cb"]}`, strings.Repeat("x", 5000), "acct:a@127.0.0.1",
		"urn:ietf:params:oauth:client-assertion-type:jwt-bearer", "alice", "' OR 1=1 --", "<script>", "{{.}}", "de"}
	for _, grant := range token.GrantTypes() {
		values = append(values, grant.Name)
	}
	at := func(list []string, n byte) string { return list[int(n)%len(list)] }
	name := func(s string) byte { return byte(index(fuzzParts.names, s)) }
	value := func(s string) byte { return byte(index(values, s)) }
	paths := append(addresses(w), "//", "/%2e%2e", "/nowhere")
	if len(paths) > 256 || len(values) > 256 {
		f.Fatalf("%d paths, %d values: a byte no longer chooses among them", len(paths), len(values))
	}
	path := func(s string) byte { return byte(index(paths, s)) }

	// An authorization request, a code, a refresh token, userinfo, introspection, a consent, a
	// logout, a registration: as they should be.
	authorization := []byte{name("client_id"), value("web"), name("redirect_uri"), value(web.RedirectURIs[0]),
		name("response_type"), value("code"), name("scope"), value("openid offline_access"),
		name("code_challenge"), value(providertest.TestChallenge), name("code_challenge_method"), value("S256")}
	f.Add(byte(0), path("/authorize"), byte(0), byte(1), authorization, "", "")
	f.Add(byte(1), path("/authorize"), byte(0), byte(0), authorization, "", "")
	f.Add(byte(1), path("/token"), byte(0), byte(0), []byte{name("grant_type"), value("authorization_code"),
		name("code"), value(code), name("redirect_uri"), value(spa.RedirectURIs[0]),
		name("code_verifier"), value(providertest.TestVerifier), name("client_id"), value("spa")}, "", "")
	f.Add(byte(1), path("/token"), byte(0), byte(2), []byte{name("grant_type"), value("refresh_token"),
		name("refresh_token"), value(tokens.Str("refresh_token"))}, "", "")
	f.Add(byte(0), path("/userinfo"), byte(0), byte(4), []byte{}, "", "")
	f.Add(byte(1), path("/introspect"), byte(0), byte(2), []byte{name("token"), value(tokens.Str("access_token"))}, "", "")
	f.Add(byte(1), path("/consent"), byte(0), byte(9), []byte{name("i"), value(consent.Request.URL.Query().Get("i")),
		name("decision"), value("allow")}, "i="+consent.Request.URL.Query().Get("i"), "")
	f.Add(byte(0), path("/logout"), byte(0), byte(1), []byte{name("id_token_hint"), value(tokens.Str("id_token"))}, "", "")
	f.Add(byte(1), path("/register"), byte(1), byte(0), []byte{}, "", `{"redirect_uris":["https://a.example/cb"]}`)
	f.Add(byte(0), path("/.well-known/webfinger"), byte(0), byte(0),
		[]byte{name("resource"), value("acct:a@127.0.0.1")}, "", "")

	handler := w.Handler()
	f.Fuzz(func(t *testing.T, method, target, contentType, flags byte, parameters []byte, rawQuery, rawBody string) {
		form := url.Values{}
		for i := 0; i+1 < len(parameters) && i < 80; i += 2 {
			form.Add(at(fuzzParts.names, parameters[i]), at(values, parameters[i+1]))
		}
		m, query, body := at(fuzzParts.methods, method), rawQuery, rawBody
		if m == "POST" && rawBody == "" {
			body = form.Encode()
		} else {
			query = form.Encode() + "&" + query
		}
		u, err := url.Parse(w.Issuer + at(paths, target))
		if err != nil {
			return
		}
		u.RawQuery = query
		r := &http.Request{Method: m, URL: u, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Host: w.Web.Base.Host,
			RequestURI: u.RequestURI(), RemoteAddr: "192.0.2.1:1",
			Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body))}
		r = r.WithContext(t.Context())
		if ct := at(fuzzParts.types, contentType); ct != "" {
			r.Header.Set("Content-Type", ct)
		}
		for bit, header := range [][2]string{{"Cookie", strings.Join(cookies, "; ")},
			{"Authorization", providertest.Basic("web:" + providertest.TestSecret)}, {"Authorization", "Bearer " +
				tokens.Str("access_token")}, {"Origin", w.Issuer},
			{"Origin", "https://evil.example"}, {"Accept-Language", rawQuery}, {"Cookie", session.SessionCookie + "=" +
				rawBody}, {"Authorization", rawBody}} {
			if flags&(1<<bit) != 0 {
				r.Header.Add(header[0], header[1])
			}
		}
		w.Log.Reset() // of the request before
		out := httptest.NewRecorder()
		handler.ServeHTTP(out, r)
		resp := out.Result()
		what := m + " " + u.Path
		if resp.StatusCode >= 500 && resp.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("%s: %d\n%s", what, resp.StatusCode, w.Log)
		}
		mustBeGuarded(t, what, resp)
		if l := resp.Header.Get("Location"); l != "" {
			if strings.ContainsAny(l, "\r\n") || strings.HasPrefix(l, "//") || strings.HasPrefix(l, "/\\") ||
				strings.Contains(strings.SplitN(l, "?", 2)[0], "evil") {
				t.Errorf("%s leads to %q", what, l)
			}
		}
		if origin := resp.Header.Get("Access-Control-Allow-Origin"); origin == "https://evil.example" ||
			origin == "null" {
			t.Errorf("%s may be read by %s", what, origin)
		}
	})
}

func index(list []string, s string) int {
	for i, v := range list {
		if v == s {
			return i
		}
	}
	panic("no " + s)
}
