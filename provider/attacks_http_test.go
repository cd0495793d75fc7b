package provider_test

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"latchkey/provider"
	"latchkey/provider/clients"
	"latchkey/provider/oauth"
	"latchkey/provider/providertest"
	"latchkey/provider/registration"
	"latchkey/provider/web"
)

// mustBeGuarded checks the headers that every answer has, whoever reads it.
func mustBeGuarded(t testing.TB, what string, resp *http.Response) {
	t.Helper()
	h := resp.Header
	if h.Get("X-Content-Type-Options") != "nosniff" || h.Get("X-Request-Id") == "" || h.Get("Server") != "" {
		t.Errorf("%s: %d %v", what, resp.StatusCode, h)
	}
	if strings.HasPrefix(h.Get("Content-Type"), "text/html") {
		csp := h.Get("Content-Security-Policy")
		if !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") ||
			!strings.Contains(csp, "base-uri 'none'") {
			t.Errorf("%s: Content-Security-Policy %q", what, csp)
		}
	}
	if h.Get("Cache-Control") == "" && resp.StatusCode != http.StatusNoContent {
		t.Errorf("%s: %d says nothing about caching", what, resp.StatusCode)
	}
	if h.Get("Access-Control-Allow-Credentials") != "" {
		t.Errorf("%s: lets scripts of other origins use cookies", what)
	}
}

func TestEveryAddressHasOneSpelling(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"", "/id"} {
		w := providertest.New(t, func(c *provider.Config) { c.Issuer += path })
		if p := w.Browser().Get(path + "/jwks"); p.StatusCode != http.StatusOK {
			t.Fatalf("the control: %d", p.StatusCode)
		}
		for _, target := range []string{
			"/token/", "//token", "/./token", "/TOKEN", "/token;x=1", "/token%2f..%2fadmin", "/%74oken/", "/x/../token",
			"/..;/token", "//evil.example/", "//evil.example/%2e%2e",
			"///evil.example", "/%2f%2fevil.example", "/%5cevil.example", "/assets/../token",
			"/assets/%2e%2e/%2e%2e/etc/passwd", "/assets/../../../etc/passwd", "/assets/",
			"/assets//", "/%00", "/login/", "/.well-known/openid-configuration/", "/logo/", "/logo/../jwks",
			"/register//", "/" + strings.Repeat("a/", 4000), "/authorize//", "/account/x.css",
		} {
			for _, method := range []string{"GET", "POST"} {
				all := w.Raw(method + " " + path + target + " HTTP/1.1\r\nHost: " + w.Web.Base.Host +
					"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
				if len(all) != 1 {
					t.Fatalf("%s %.60s: %d answers", method, target, len(all))
				}
				resp := all[0]
				if resp.StatusCode != http.StatusNotFound && resp.StatusCode != http.StatusMethodNotAllowed &&
					resp.StatusCode != http.StatusBadRequest || resp.Header.Get("Location") != "" {
					t.Errorf("%s %.60s: %d to %q", method, target, resp.StatusCode, resp.Header.Get("Location"))
				}
				if resp.StatusCode != http.StatusBadRequest {
					mustBeGuarded(t, method+" "+target[:min(len(target), 60)], resp)
				}
			}
		}
	}
}

// pathVariable is a variable in the path of an endpoint.
var pathVariable = regexp.MustCompile(`\{[a-z_]+\}`)

// addresses are all that the table of endpoints has, with something in the place of variables.
func addresses(w *providertest.World) []string {
	var out []string
	for _, e := range w.Endpoints() {
		path := pathVariable.ReplaceAllString(e.Path, "web")
		if !e.AtRoot {
			path = w.Web.Path + path
		}
		if !slices.Contains(out, path) {
			out = append(out, path)
		}
	}
	return out
}

// pathInSource is the path of a row where the table of endpoints is written.
var pathInSource = regexp.MustCompile(`\bPath: "([^"]+)"`)

// The tests of this file, and the fuzzer, range over the table of one provider. A row that is only
// there with some feature is in it, because every feature is switched on.
func TestEveryRowOfTheTableIsAttacked(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("routes.go")
	if err != nil {
		t.Fatal(err)
	}
	rows := pathInSource.FindAllStringSubmatch(string(source), -1)
	if len(rows) < 70 {
		t.Fatalf("only %d rows were found", len(rows))
	}
	table := providertest.New(t, providertest.Everything).Endpoints()
	for _, row := range rows {
		if !slices.ContainsFunc(table, func(e web.Endpoint) bool { return e.Path == row[1] }) {
			t.Errorf("%s: providertest.Everything does not switch it on", row[1])
		}
	}
}

func TestMethodsThatMeanNothingHere(t *testing.T) {
	t.Parallel()
	w := providertest.New(t, providertest.Everything)
	for _, path := range addresses(w) {
		for _, method := range []string{"TRACE", "DELETE", "PATCH", "PUT", "PROPFIND", "get", "X"} {
			if slices.ContainsFunc(w.Endpoints(), func(e web.Endpoint) bool {
				return pathVariable.ReplaceAllString(e.Path, "web") == path && slices.Contains(e.Methods, method)
			}) {
				continue // this method means something here
			}
			all := w.Raw(method + " " + path + " HTTP/1.1\r\nHost: " + w.Web.Base.Host +
				"\r\nX-HTTP-Method-Override: GET\r\nX-Echo: marker-of-trace\r\nConnection: close\r\n\r\n")
			if len(all) != 1 {
				t.Fatalf("%s %s: %d answers", method, path, len(all))
			}
			body, _ := io.ReadAll(all[0].Body)
			if all[0].StatusCode != http.StatusMethodNotAllowed || all[0].Header.Get("Allow") == "" ||
				strings.Contains(string(body), "marker-of-trace") {
				t.Errorf("%s %s: %d, Allow %q", method, path, all[0].StatusCode, all[0].Header.Get("Allow"))
			}
			mustBeGuarded(t, method+" "+path, all[0])
		}
	}
	// What takes a secret takes it in no address, and says which method it takes.
	for _, e := range w.Endpoints() {
		if e.Audience != web.AudienceAPI && e.Audience != web.AudienceCORS ||
			!slices.Equal(e.Methods, []string{"POST"}) {
			continue
		}
		p := w.Browser().Get(e.Path + "?grant_type=client_credentials&client_id=svc&client_secret=" +
			providertest.TestSecret)
		if p.StatusCode != http.StatusMethodNotAllowed || p.Header.Get("Allow") != "POST" {
			t.Errorf("GET %s: %d, Allow %q", e.Path, p.StatusCode, p.Header.Get("Allow"))
		}
	}
}

func TestTableOfEndpointsHoldsForEveryAudience(t *testing.T) {
	t.Parallel()
	for _, below := range []string{"", "/id"} {
		w := providertest.New(t, providertest.Everything, func(c *provider.Config) { c.Issuer += below })
		for _, e := range w.Endpoints() {
			path := pathVariable.ReplaceAllString(e.Path, "nobody")
			if !e.AtRoot {
				path = below + path
			}
			for _, method := range e.Methods {
				what := method + " " + path
				send := func(header ...string) providertest.Page {
					r, err := http.NewRequest(method, w.Web.Base.Scheme+"://"+w.Web.Base.Host+path,
						strings.NewReader(""))
					if err != nil {
						t.Fatal(err)
					}
					for i := 0; i+1 < len(header); i += 2 {
						r.Header.Set(header[i], header[i+1])
					}
					return w.Browser().Do(r)
				}
				p := send()
				if p.StatusCode == http.StatusMethodNotAllowed || p.StatusCode >= 500 {
					t.Errorf("%s: %d", what, p.StatusCode)
				}
				mustBeGuarded(t, what, p.Response)
				allowed := p.Header.Get("Access-Control-Allow-Origin")
				if e.Audience == web.AudiencePublic != (allowed == "*") && !strings.HasPrefix(e.Path, "/logo/") {
					t.Errorf("%s: scripts of %q may read it", what, allowed)
				}
				foreign := send("Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site")
				if a := foreign.Header.Get("Access-Control-Allow-Origin"); a != "" && a != "*" {
					t.Errorf("%s from an origin that nobody registered: %q", what, a)
				}
				if e.Audience == web.AudienceForm && method == "POST" && foreign.StatusCode != http.StatusForbidden {
					t.Errorf("%s from another site: %d", what, foreign.StatusCode)
				}
				if html := strings.HasPrefix(foreign.Header.Get("Content-Type"), "text/html"); html &&
					(e.Audience == web.AudienceAPI || e.Audience == web.AudienceCORS) {
					t.Errorf("%s answers a program with a page", what)
				}
			}
		}
	}
}

func TestOneRequestIsNeverTwo(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	second := "GET /second HTTP/1.1\r\nHost: x\r\n\r\n"
	if all := w.Raw("GET /jwks HTTP/1.1\r\nHost: x\r\n\r\nGET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); len(all) != 2 {
		t.Fatalf("the control: %d answers to two requests", len(all))
	}
	for name, text := range map[string]string{
		"Content-Length beside Transfer-Encoding": "POST /token HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n",
		"two Content-Lengths":                     "POST /token HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nContent-Length: 5\r\n\r\n",
		"a negative Content-Length":               "POST /token HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
		"a disguised Transfer-Encoding":           "POST /token HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n",
		"a blank before the colon":                "GET /jwks HTTP/1.1\r\nHost: x\r\nContent-Length : 0\r\n\r\n",
		"NUL in a header":                         "GET /jwks HTTP/1.1\r\nHost: x\r\nX: a\x00b\r\n\r\n",
		"a lone CR in a header":                   "GET /jwks HTTP/1.1\r\nHost: x\r\nX: a\rSet-Cookie: b\r\n\r\n",
		"two hosts":                               "GET /jwks HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
		"no host":                                 "GET /jwks HTTP/1.1\r\n\r\n",
		"no version":                              "GET /jwks\r\n\r\n",
		"a chunk with a bare LF":                  "POST /token HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\na\r\n0\r\n\r\n",
	} {
		for _, resp := range w.Raw(text + second)[:] {
			if resp.StatusCode < 400 || resp.StatusCode == http.StatusNotFound {
				t.Errorf("%s: answered with %d", name, resp.StatusCode)
			}
		}
	}
}

func TestAParameterIsSentOnce(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	alice := w.AddUser("alice")
	c := w.AddClient("web")
	b := w.Browser()
	b.Code(c, "alice") // is signed in, so that nothing but the repetition keeps her from a code
	for _, name := range []string{"client_id", "redirect_uri", "response_type", "scope", "state", "nonce", "prompt",
		"request", "request_uri", "response_mode", "code_challenge", "claims", "max_age", "login_hint",
		"code_challenge_method"} {
		first, err := url.ParseQuery(strings.TrimPrefix(w.Request(c), "/authorize?"))
		if err != nil {
			t.Fatal(err)
		}
		for _, value := range []string{first.Get(name), "other"} {
			query := w.Request(c) + "&" + url.Values{name: {value}}.Encode()
			if !first.Has(name) {
				query += "&" + url.Values{name: {value}}.Encode() + "x"
			}
			for how, p := range map[string]providertest.Page{"GET": b.Get(query), "POST": b.Post("/authorize",
				providertest.MustQuery(t, query))} {
				switch {
				case name == "client_id" || name == "redirect_uri":
					if p.StatusCode != http.StatusBadRequest || p.Header.Get("Location") != "" {
						t.Errorf("%s %s twice: %d to %q", how, name, p.StatusCode, p.Header.Get("Location"))
					}
				case p.Answer().Get("error") != string(oauth.InvalidRequest) || p.Answer().Get("code") != "" ||
					!strings.HasPrefix(p.Header.Get("Location"), c.RedirectURIs[0]+"?"):
					t.Errorf("%s %s twice: %d to %q", how, name, p.StatusCode, p.Header.Get("Location"))
				}
			}
		}
	}
	code, _ := w.Authorized(c, alice, providertest.Offline)
	form := url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {c.RedirectURIs[0]},
		"code_verifier": {providertest.TestVerifier}}
	for name := range form {
		for _, value := range []string{form.Get(name), "other"} {
			double := providertest.With(form)
			double[name] = []string{form.Get(name), value}
			providertest.MustRefuse(t, w.Call("/token", c, double), http.StatusBadRequest, oauth.InvalidRequest)
		}
	}
	got := w.Call("/token", c, form)
	providertest.MustWork(t, got)
	for _, path := range []string{"/revoke", "/introspect"} {
		providertest.MustRefuse(t, w.Call(path, c,
			url.Values{"token": {got.Str("access_token"), got.Str("refresh_token")}}), http.StatusBadRequest,
			oauth.InvalidRequest)
	}
	if info := w.UserinfoOf(got.Str("access_token")); info.StatusCode != http.StatusOK {
		t.Errorf("nothing changed: %d", info.StatusCode)
	}
}

func TestOperatorsInParameterNamesAreJustNames(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	alice, c := w.AddUser("alice"), w.AddClient("web")
	code, _ := w.Authorized(c, alice, "openid")
	for _, name := range []string{"code[$ne]", "code[]", "code.$regex", "code[$gt]", "$where", "Code"} {
		providertest.MustRefuse(t, w.Call("/token", c, url.Values{"grant_type": {"authorization_code"}, name: {".*"},
			"redirect_uri": {c.RedirectURIs[0]}, "code_verifier": {providertest.TestVerifier}}),
			http.StatusBadRequest, oauth.InvalidRequest)
	}
	for _, value := range []string{`{"$ne":null}`, "' OR '1'='1", `lkc_' OR 1=1 --.x`, "lkc_%.x", "lkc_$ne.x", "lkc_" +
		strings.Repeat("a", 240) + ".x"} {
		providertest.MustRefuse(t, w.Redeem(c, value), http.StatusBadRequest, oauth.InvalidGrant)
		providertest.MustRefuse(t, w.Try("/token", url.Values{"grant_type": {"authorization_code"}, "code": {code},
			"client_id": {value}, "client_secret": {providertest.TestSecret}}), http.StatusUnauthorized,
			oauth.InvalidClient)
		if p := w.Browser().Get(w.Request(c, "client_id", value)); p.StatusCode != http.StatusBadRequest ||
			p.Header.Get("Location") != "" {
			t.Errorf("client_id %q: %d", value, p.StatusCode)
		}
		b := w.Browser()
		login := b.Open(w.Request(c))
		if p := b.Submit(login, "login-submit", url.Values{"username": {value},
			"password": {value}}); p.StatusCode != http.StatusUnauthorized {
			t.Errorf("username %q: %d", value, p.StatusCode)
		}
		if p := b.Get("/login?i=" + url.QueryEscape(value)); p.StatusCode != http.StatusBadRequest {
			t.Errorf("i %q: %d", value, p.StatusCode)
		}
	}
	providertest.MustWork(t, w.Redeem(c, code))
}

func TestNothingBecomesAHeader(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	w.AddUser("alice")
	c, b := w.AddClient("web"), w.Browser()
	b.Code(c, "alice")
	for _, evil := range []string{"x\r\nSet-Cookie: evil=1", "x\nSet-Cookie: evil=1", "x\rSet-Cookie: evil=1",
		"x\u010d\u010aSet-Cookie: evil=1", "x\u2028Set-Cookie: evil=1"} {
		for _, name := range []string{"state", "login_hint", "ui_locales", "client_id", "redirect_uri", "nonce",
			"response_type", "prompt", "scope", "id_token_hint", "acr_values"} {
			for _, p := range []providertest.Page{b.Get(w.Request(c, name, evil)),
				b.Get("/logout?" + url.Values{name: {evil}}.Encode())} {
				for key, values := range p.Header {
					for _, v := range values {
						if strings.ContainsAny(v, "\r\n") || key == "Set-Cookie" && strings.HasPrefix(v, "evil") {
							t.Errorf("%s: %s: %q", name, key, v)
						}
					}
				}
			}
		}
		if got := b.Get(w.Request(c, "state", evil)).Answer().Get("state"); got != evil {
			t.Errorf("state %q came back as %q", evil, got)
		}
	}
	if p := b.Get(w.Request(c) + "&ui_locales=%ff%fe"); p.Answer().Get("error") != string(oauth.InvalidRequest) {
		t.Errorf("not UTF-8: %d %s", p.StatusCode, p.Header.Get("Location"))
	}
	for _, bad := range []string{"%ff%fe", "a%00b"} {
		target := strings.Replace(w.Request(c, "state", ""), "/authorize?", "/authorize?state="+bad+"&", 1)
		if p := b.Get(target); p.Answer().Get("error") != string(oauth.InvalidRequest) || p.Answer().Has("state") {
			t.Errorf("state %s comes back: %s", bad, p.Header.Get("Location"))
		}
	}
}

func TestAddressesAreNeverWhatTheRequestSays(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	alice, c := w.AddUser("alice"), w.AddClient("web")
	want := w.Browser().Get("/.well-known/openid-configuration")
	for _, header := range []string{"Host", "X-Forwarded-Host", "X-Forwarded-Proto", "Forwarded", "X-Original-Host",
		"X-Original-URL", "X-Rewrite-URL", "X-Forwarded-Prefix", "X-Host"} {
		value := "evil.example"
		if header == "Forwarded" {
			value = "host=evil.example;proto=https"
		}
		host := w.Web.Base.Host
		extra := header + ": " + value + "\r\n"
		if header == "Host" {
			host, extra = value, ""
		}
		for _, target := range []string{"/.well-known/openid-configuration",
			"http://evil.example/.well-known/openid-configuration"} {
			all := w.Raw("GET " + target + " HTTP/1.1\r\nHost: " + host + "\r\n" + extra + "Connection: close\r\n\r\n")
			if len(all) != 1 {
				t.Fatalf("%s: %d answers", header, len(all))
			}
			if body, _ := io.ReadAll(all[0].Body); string(body) != want.Body {
				t.Errorf("%s: %.200s", header, body)
			}
		}
		for _, target := range []string{"/", "/account", w.Request(c), "/logout", "/nowhere"} {
			for _, resp := range w.Raw("GET " + target + " HTTP/1.1\r\nHost: " + host + "\r\n" + extra +
				"Connection: close\r\n\r\n") {
				body, _ := io.ReadAll(resp.Body)
				if strings.Contains(resp.Header.Get("Location"), "evil") || strings.Contains(string(body),
					"evil.example") {
					t.Errorf("%s on %s: Location %q", header, target, resp.Header.Get("Location"))
				}
			}
		}
	}
	code, _ := w.Authorized(c, alice, "openid")
	r, _ := http.NewRequest("POST", w.Issuer+"/token",
		strings.NewReader(url.Values{"grant_type": {"authorization_code"}, "code": {code},
			"redirect_uri": {c.RedirectURIs[0]}, "code_verifier": {providertest.TestVerifier}}.Encode()))
	r.Host = "evil.example"
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(c.ID, providertest.TestSecret)
	got := w.Send(r)
	if iss := providertest.ClaimsOf(t, got.Str("id_token"))["iss"]; iss != w.Issuer {
		t.Errorf("iss %v", iss)
	}
}

func TestSizesAreBounded(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	alice, c := w.AddUser("alice"), w.AddClient("web")
	b := w.Browser()
	many := url.Values{}
	for i := range 10_000 {
		many.Set(fmt.Sprint("p", i), "x")
	}
	for _, path := range []string{"/token", "/revoke", "/introspect", "/userinfo", "/authorize", "/logout", "/login",
		"/account", "/consent", "/logout/confirm"} {
		for name, form := range map[string]url.Values{"a body of 300 KB": {"token": {strings.Repeat("a", 300<<10)}},
			"10000 parameters": many} {
			p := b.Post(path, form)
			if p.StatusCode < 400 || p.StatusCode > 499 {
				t.Errorf("%s with %s: %d", path, name, p.StatusCode)
			}
		}
	}
	for name, value := range map[string]string{
		"scope": strings.Repeat("a ", 5000), "claims": strings.Repeat(`{"userinfo":`, 2000),
		"ui_locales": strings.Repeat("de ", 10000), "acr_values": strings.Repeat("x ", 10000),
		"state": strings.Repeat("s", 5000), "nonce": strings.Repeat("n", 5000), "max_age": "99999999999999999999",
		"code_challenge": strings.Repeat("E", 10000),
		"request":        strings.Repeat("a", 100<<10) + ".." + strings.Repeat("b", 100<<10),
		"redirect_uri":   "https://web.example/" + strings.Repeat("c", 10000), "client_id": strings.Repeat("w",
			10000),
		"login_hint": strings.Repeat("l", 100<<10), "display": strings.Repeat("d", 100<<10),
		"prompt": strings.Repeat("login ", 1000), "id_token_hint": strings.Repeat("h", 10000),
	} {
		p := b.Post("/authorize", providertest.MustQuery(t, w.Request(c, name, value)))
		if p.StatusCode >= 500 {
			t.Errorf("%s: %d", name, p.StatusCode)
		}
		if i := providertest.MustQuery(t, p.Header.Get("Location")).Get("i"); i != "" {
			kept, err := w.Store.Interaction(t.Context(), i)
			if err != nil {
				t.Fatal(err)
			}
			if size := len(fmt.Sprintf("%+v", kept)); size > 20<<10 {
				t.Errorf("%s: %d bytes are kept for a request that nobody has signed in to", name, size)
			}
		}
	}
	if code := b.Code(c, "alice"); w.Redeem(c, code).StatusCode != http.StatusOK {
		t.Error("the control")
	}
	_ = alice
}

func TestAParameterThatMeansNothingIsIgnored(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	w.AddUser("alice")
	c := w.AddClient("web")
	for _, name := range []string{"i", "switch", "csrf", "username", "approve", "consent", "skip_consent", "x"} {
		if code := w.Browser().Code(c, "alice", name, "1"); code == "" {
			t.Errorf("RFC 6749 §3.1: %s", name)
		}
	}
}

func TestEveryAnswerHasItsHeaders(t *testing.T) {
	t.Parallel()
	w := providertest.New(t, func(c *provider.Config) { c.Registration = registration.Open })
	alice, c := w.AddUser("alice"), w.AddClient("web", providertest.AsksConsent)
	tokens := w.Tokens(c, alice, "openid email")
	b := w.Browser()
	login := b.Open(w.Request(c))
	consent := b.SignInAs(login, "alice")
	secret := map[string]*http.Response{
		"sign-in": login.Response, "consent": consent.Response, "account": b.Get("/account").Response,
		"tokens":                tokens.Response,
		"refused token request": w.Call("/token", c, url.Values{}).Response, "introspection": w.Call("/introspect", c,
			url.Values{"token": {tokens.Str("access_token")}}).Response,
		"revocation":       w.Call("/revoke", c, url.Values{"token": {"x"}}).Response,
		"userinfo":         w.UserinfoOf(tokens.Str("access_token")).Response,
		"refused userinfo": w.UserinfoOf("x").Response, "unknown client": b.Get("/authorize?client_id=x").Response,
		"the code on its way": b.Follow(b.Submit(consent, "consent-allow", providertest.Allow)).Response,
		"an error on its way": b.Get(w.Request(c, "scope", "x", "response_type", "token")).Response,
		"a form post":         b.Get(w.Request(c, "response_mode", "form_post")).Response,
		"logout":              b.Get("/logout").Response, "registration": w.Send(providertest.NewRegistration(t, w)).Response,
		"nothing": b.Get("/nowhere").Response, "signed out": b.Get("/logout/done").Response,
		"health": b.Get("/healthz").Response, "no logo": b.Get("/logo/x").Response,
	}
	for what, resp := range secret {
		mustBeGuarded(t, what, resp)
		if resp.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d Cache-Control %q", what, resp.StatusCode, resp.Header.Get("Cache-Control"))
		}
		if what != "health" && what != "no logo" && (resp.Header.Get("X-Frame-Options") != "DENY" ||
			!strings.Contains(resp.Header.Get("Content-Security-Policy"), "frame-ancestors 'none'")) {
			t.Errorf("%s may be framed: %v", what, resp.Header)
		}
	}
	for _, path := range []string{"/jwks", "/.well-known/openid-configuration",
		"/.well-known/oauth-authorization-server", "/session"} {
		p := b.Get(path)
		mustBeGuarded(t, path, p.Response)
		if !strings.HasPrefix(p.Header.Get("Cache-Control"), "public, max-age=") || len(p.Cookies()) > 0 {
			t.Errorf("%s: %v", path, p.Header)
		}
	}
}

func TestScriptsOfOtherOrigins(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	w.AddClient("spa", providertest.Public, func(c *clients.Client) { c.CORSOrigins = []string{"https://spa.example"} })
	ask := func(method, path, origin string) *http.Response {
		r, err := http.NewRequest(method, w.Issuer+path, strings.NewReader(""))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Origin", origin)
		if method == "OPTIONS" {
			r.Header.Set("Access-Control-Request-Method", "POST")
			r.Header.Set("Access-Control-Request-Headers", "authorization, x-evil")
		}
		resp, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp
	}
	for _, path := range []string{"/token", "/userinfo", "/revoke"} {
		for _, method := range []string{"OPTIONS", "POST"} {
			if h := ask(method, path, "https://spa.example").Header; h.Get("Access-Control-Allow-Origin") != "https://spa.example" || !strings.Contains(strings.Join(h.Values("Vary"), ","), "Origin") {
				t.Errorf("the control, %s %s: %v", method, path, h)
			}
			for _, origin := range []string{"https://evil.example", "null", "https://spa.example.evil.example",
				"https://evilspa.example", "http://spa.example", "https://SPA.example",
				"https://spa.example:443", "https://spa.example/", "file://",
				"https://spa.example, https://evil.example", "*", "https://spa.example\x00", "%",
				strings.Repeat("x", 10000)} {
				if strings.Contains(origin, "\x00") {
					continue // no client of ours can send it
				}
				h := ask(method, path, origin).Header
				if h.Get("Access-Control-Allow-Origin") != "" || h.Get("Access-Control-Allow-Methods") != "" ||
					h.Get("Access-Control-Allow-Credentials") != "" {
					t.Errorf("%s %s from %.40q: %v", method, path, origin, h)
				}
			}
		}
	}
	for _, path := range []string{"/authorize", "/login", "/consent", "/accounts", "/account", "/logout", "/introspect",
		"/", "/session", "/healthz"} {
		for _, method := range []string{"OPTIONS", "GET", "POST"} {
			if h := ask(method, path, "https://spa.example").Header; h.Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("%s %s: %v", method, path, h)
			}
		}
	}
}

func TestPagesRepeatNoParameterNameOfTheSender(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	const text = "call 555 0100 and tell them your password"
	for _, path := range []string{"/authorize", "/login", "/consent", "/accounts", "/account", "/logout",
		"/logout/done"} {
		for _, q := range []string{url.QueryEscape(text) + "=1&" + url.QueryEscape(text) + "=2", url.QueryEscape(text) +
			"=%ff"} {
			p := w.Browser().Get(path + "?" + q)
			if strings.Contains(p.Body, "555") {
				t.Errorf("%s: %d %s", path, p.StatusCode, p.Body)
			}
		}
	}
	if p := w.Browser().Get("/authorize?scope=a&scope=b"); p.StatusCode != http.StatusBadRequest ||
		!strings.Contains(p.Body, "scope") {
		t.Errorf("the control: %d %s", p.StatusCode, p.Body)
	}
}
