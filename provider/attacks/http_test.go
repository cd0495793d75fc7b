package attacks_test

import (
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"latchkey/keys"
	"latchkey/provider"
	"latchkey/provider/clients"
	"latchkey/provider/oauth"
	"latchkey/provider/providertest"
	"latchkey/provider/storage"
)

// operators are values that a database might read as something else than text.
var operators = []string{`{"$ne":null}`, `{"$regex":"^a"}`, `{"$where":"sleep(1000)"}`, "$ne", "' OR '1'='1", "'; DROP TABLE users;--", "%", "_", `lkc_' OR 1=1 --.x`, "lkc_%.x", "lkc_$ne.x", "x\\' --", "*", "(|(uid=*))", strings.Repeat("a", 500)}

func TestAttacksByInjection(t *testing.T) {
	// everywhere sends a value in every field that leads to the store, and expects the refusal of
	// an unknown one.
	everywhere := func(c *trial, values []string) {
		web, alice := c.client("any"), c.user("carol")
		made, self := c.w.Registered(object())
		b := c.w.Browser()
		login := b.Open(c.w.Request(web))
		for _, v := range values {
			c.refused("code", c.w.Redeem(web, v), http.StatusBadRequest, oauth.InvalidGrant)
			c.refused("refresh token", c.w.Renew(web, v), http.StatusBadRequest, oauth.InvalidGrant)
			c.refused("client_id", c.w.Try("/token", url.Values{"grant_type": {"client_credentials"}, "client_id": {v}, "client_secret": {providertest.TestSecret}}), http.StatusUnauthorized, oauth.InvalidClient)
			c.refused("secret", c.w.Try("/token", clientCredentials, providertest.Basic(web.ID+":"+url.QueryEscape(v))), http.StatusUnauthorized, oauth.InvalidClient)
			c.w.Forgive()
			if _, body := c.w.Introspected(web, v); body != `{"active":false}` {
				c.Errorf("introspection of %q: %s", v, body)
			}
			c.refusedHere("client_id", b.Get(c.w.Request(web, "client_id", v)))
			if p := b.Get("/login?i=" + url.QueryEscape(v)); p.StatusCode != http.StatusBadRequest && p.StatusCode != http.StatusForbidden {
				c.Errorf("interaction %q: %d", v, p.StatusCode)
			}
			if p := signIn(b, login, v, v); p.StatusCode != http.StatusUnauthorized {
				c.Errorf("username %q: %d", v, p.StatusCode)
			}
			if got := c.w.Json("GET", c.w.Issuer+"/register/"+url.PathEscape(v), made.Str("registration_access_token"), nil); got.StatusCode != http.StatusUnauthorized && got.StatusCode != http.StatusNotFound && got.StatusCode != http.StatusBadRequest {
				c.Errorf("registration %q: %d", v, got.StatusCode)
			}
			r, err := http.NewRequest(http.MethodGet, c.w.Issuer+"/account", nil)
			c.must(err)
			r.Header.Set("Cookie", "latchkey="+url.QueryEscape(v)+"; latchkey_browser="+url.QueryEscape(v))
			if p := c.w.Browser().Do(r); p.StatusCode == http.StatusOK {
				c.Errorf("cookie %q", v)
			}
		}
		c.code(b.Follow(signIn(b, login, alice.Username, providertest.TestPassword)))
		c.works(c.w.Json("GET", c.w.Issuer+"/register/"+self.ID, made.Str("registration_access_token"), nil))
	}
	group(t,
		attack{"NI-1", "JSON where a form is expected, and anything but text where text is, is refused before it is looked up", func(c *trial) {
			web := c.client("web")
			for path, wants := range map[string]string{"/token": "application/x-www-form-urlencoded", "/introspect": "", "/revoke": ""} {
				for _, body := range []string{`{"grant_type":"client_credentials","client_id":{"$ne":null},"client_secret":{"$ne":null}}`, `{"token":{"$regex":"^a"}}`, `[]`, `null`} {
					r, err := http.NewRequest(http.MethodPost, c.w.Issuer+path, strings.NewReader(body))
					c.must(err)
					r.Header.Set("Content-Type", "application/json")
					r.SetBasicAuth(web.ID, providertest.TestSecret)
					if got := c.w.Send(r); got.StatusCode < 400 || got.StatusCode > 415 || got.StatusCode == http.StatusUnauthorized {
						c.Errorf("%s %s: %d, wants %s", path, body, got.StatusCode, wants)
					}
				}
			}
			b := c.w.Browser()
			login := b.Open(c.w.Request(web))
			r, err := http.NewRequest(http.MethodPost, c.w.Issuer+login.Request.URL.RequestURI(), strings.NewReader(`{"username":{"$ne":null},"password":{"$ne":null}}`))
			c.must(err)
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set("Sec-Fetch-Site", "same-origin")
			if p := b.Do(r); p.StatusCode < 400 || p.StatusCode >= 500 || p.StatusCode == http.StatusUnauthorized {
				c.Errorf("sign-in: %d", p.StatusCode)
			}
			before := c.w.CountClients()
			for _, v := range []any{map[string]any{"$ne": nil}, []any{map[string]any{"$gt": ""}}, 1, true, []any{1}} {
				for _, member := range []string{"redirect_uris", "client_name", "scope", "token_endpoint_auth_method", "jwks_uri", "contacts"} {
					if member == "scope" && v == true || member == "client_name" && v == true {
						continue
					}
					c.refused(fmt.Sprint(member, " ", v), c.w.Register(object(member, v)), http.StatusBadRequest, "invalid_client_metadata", "invalid_redirect_uri")
				}
			}
			if c.w.CountClients() != before {
				c.Error("something was registered")
			}
			everywhere(c, []string{operators[0], operators[1], operators[2]})
		}},
		attack{"NI-2", "an operator in the name of a parameter makes it another parameter, which means nothing", func(c *trial) {
			web, alice := c.client("web"), c.user("alice")
			code, _ := c.w.Authorized(web, alice, "openid")
			for _, name := range []string{"code[$ne]", "code[]", "code.$regex", "code[$gt]", "$where", "Code", "code\x00", "code%00"} {
				form := redeem(web, ".*")
				form.Del("code")
				form.Set(name, ".*")
				c.refused(name, c.w.Call("/token", web, form), http.StatusBadRequest, oauth.InvalidRequest)
				form.Set(name, code)
				c.refused(name, c.w.Call("/token", web, form), http.StatusBadRequest, oauth.InvalidRequest)
			}
			for _, name := range []string{"client_id[$gt]", "client_id[]", "client_id.$ne"} {
				c.refused(name, c.w.Try("/token", url.Values{"grant_type": {"client_credentials"}, name: {""}, "client_secret[$ne]": {"x"}}), http.StatusUnauthorized, oauth.InvalidClient)
				c.refusedHere(name, c.w.Browser().Get(c.w.Request(web, "client_id", "")+"&"+url.QueryEscape(name)+"=x"))
			}
			b := c.w.Browser()
			login := b.Open(c.w.Request(web))
			if p := b.Submit(login, "login-submit", url.Values{"username[$ne]": {"x"}, "password[$ne]": {"x"}}); p.StatusCode == http.StatusSeeOther {
				c.Errorf("sign-in: %d", p.StatusCode)
			}
			c.works(c.w.Redeem(web, code))
		}},
		attack{"NI-3", "what an application sends under strange names, or without end, is dropped or refused, and what is kept comes back as it was", func(c *trial) {
			many := object()
			for i := range 3000 {
				many[fmt.Sprint("x", i)] = 1
			}
			for what, o := range map[string]any{"operators": object("$set", 1, "a.b", 2, "_id", "x", "", 3, "__proto__", map[string]any{"x": 1}, "a\x00b", 4), "a long name": object(strings.Repeat("k", 10_000), 1), "many": many,
				"deep": `{"redirect_uris":["https://a.example/cb"],"x":` + strings.Repeat("[", 200) + strings.Repeat("]", 200) + "}", "deeper": strings.Repeat(`{"a":`, 20_000), "NaN": `{"redirect_uris":["https://a.example/cb"],"default_max_age":NaN}`,
				"overflow": `{"redirect_uris":["https://a.example/cb"],"default_max_age":9223372036854775808}`, "not UTF-8": "{\"redirect_uris\":[\"https://a.example/cb\"],\"client_name\":\"\xff\"}", "a NUL": object("client_name", "a\x00b")} {
				got := c.w.Register(o)
				if got.StatusCode != http.StatusCreated && (got.StatusCode < 400 || got.StatusCode >= 500) {
					c.Errorf("%s: %d", what, got.StatusCode)
				}
				if got.StatusCode == http.StatusCreated && (got.JSON["$set"] != nil || got.JSON["_id"] != nil || got.JSON["a.b"] != nil) {
					c.Errorf("%s: %v", what, got.JSON)
				}
			}
			name := "a.b $set é \u00a0𝔘 'x' %_"
			made, _ := c.w.Registered(object("client_name", name, "software_id", "$where: 1", "contacts", []string{"a.b@$x.example"}))
			read := c.works(c.w.Json("GET", made.Str("registration_client_uri"), made.Str("registration_access_token"), nil))
			c.control(read.Str("client_name") == name && read.Str("software_id") == "$where: 1" && reflect.DeepEqual(read.JSON["contacts"], []any{"a.b@$x.example"}), "%v", read.JSON)
		}},
		attack{"NI-4", "no text that is looked up is read as a query or a pattern", func(c *trial) {
			everywhere(c, operators)
			odd := c.client("a%b", func(m *clients.Client) { m.RedirectURIs = []string{"https://odd.example/cb"} })
			c.code(func() providertest.Page { b, _, _ := c.signedIn("bob"); return b.Get(c.w.Request(odd)) }())
			for _, like := range []string{c.name + "a_b", c.name + "a%", c.name + "axb", "%"} {
				c.refusedHere(like, c.w.Browser().Get(c.w.Request(odd, "client_id", like)))
			}
		}},
		attack{"NI-5", "what looks like a template in a name or a parameter is text", func(c *trial) {
			values := []string{"{{.}}", `{{printf "%s" .Secret}}`, `{{template "x"}}`, "${7*7}", "<%=7*7%>", "#{7*7}"}
			b, s, alice := c.signedIn("alice")
			for i, v := range values {
				client := c.client(fmt.Sprint("web", i), providertest.AsksConsent, func(m *clients.Client) { m.ClientName = v })
				c.w.Granted(s, client)
				for what, p := range map[string]providertest.Page{"sign-in": c.w.Browser().Open(c.w.Request(client, "login_hint", v, "ui_locales", "en")), "consent": b.Open(c.w.Request(client)), "an error": b.Get("/authorize?client_id=" + url.QueryEscape(v))} {
					if strings.Contains(p.Body, "49") && !strings.Contains(p.Header.Get("X-Request-Id"), "49") && strings.Contains(p.Body, ">49<") || p.StatusCode >= 500 {
						c.Errorf("%s: %d", what, p.StatusCode)
					}
				}
				p := b.Open(c.w.Request(client))
				c.control(p.Has("consent-page") && strings.Contains(html.UnescapeString(p.Body), v), "%q is not on the page as it is", v)
			}
			c.changeUser(alice, func(u *storage.User) { u.Claims.Name = values[1] })
			if p := b.Get("/account"); !strings.Contains(html.UnescapeString(p.Body), values[1]) {
				c.Errorf("the person's name: %s", p.Body)
			}
		}},
		attack{"NI-6", "no line break in a request becomes a header of the answer", func(c *trial) {
			web := c.client("web")
			b, _, _ := c.signedIn("alice")
			for _, evil := range []string{"x\r\nSet-Cookie: evil=1", "x\nSet-Cookie: evil=1", "x\rSet-Cookie: evil=1", "x\u010d\u010aSet-Cookie: evil=1"} {
				for _, name := range []string{"state", "login_hint", "ui_locales", "client_id", "redirect_uri", "nonce", "response_type", "prompt", "scope", "id_token_hint"} {
					for _, p := range []providertest.Page{b.Get(c.w.Request(web, name, evil)), b.Get("/logout?" + url.Values{name: {evil}}.Encode())} {
						for key, values := range p.Header {
							for _, v := range values {
								if strings.ContainsAny(v, "\r\n") || key == "Set-Cookie" && strings.HasPrefix(v, "evil") {
									c.Errorf("%s: %s: %q", name, key, v)
								}
							}
						}
					}
				}
				got := b.Get(c.w.Request(web, "state", evil)).Answer().Get("state")
				c.control(got == evil, "state %q came back as %q", evil, got)
			}
		}},
	)
}

func TestAttacksOnTheIssuersName(t *testing.T) {
	group(t,
		attack{"HH-1", "what the provider is called is configuration, whatever a request says", func(c *trial) {
			alice, web := c.user("alice"), c.client("web")
			want := c.w.Browser().Get("/.well-known/openid-configuration").Body
			raw := func(target, host, extra string) (resp *http.Response, body string) {
				all := c.w.Raw("GET " + target + " HTTP/1.1\r\nHost: " + host + "\r\n" + extra + "Connection: close\r\n\r\n")
				if len(all) != 1 {
					c.Fatalf("%d answers", len(all))
				}
				text, err := io.ReadAll(all[0].Body)
				c.must(err)
				return all[0], string(text)
			}
			_, got := raw("/.well-known/openid-configuration", c.w.Web.Base.Host, "")
			c.control(got == want && strings.Contains(want, c.w.Issuer), "%s", got)
			for _, header := range []string{"Host: evil.example", "X-Forwarded-Host: evil.example", "X-Forwarded-Proto: https", "Forwarded: host=evil.example;proto=https", "X-Original-Host: evil.example", "X-Rewrite-URL: /evil", "X-Forwarded-Prefix: /evil.example", "X-Forwarded-Port: 1"} {
				host, extra := c.w.Web.Base.Host, header+"\r\n"
				if h, is := strings.CutPrefix(header, "Host: "); is {
					host, extra = h, ""
				}
				for _, target := range []string{"/.well-known/openid-configuration", "http://evil.example/.well-known/openid-configuration"} {
					if resp, got := raw(target, host, extra); got != want && resp.StatusCode != http.StatusMisdirectedRequest && resp.StatusCode != http.StatusBadRequest {
						c.Errorf("%s: %d %.200s", header, resp.StatusCode, got)
					}
				}
				for _, target := range []string{"/", "/account", c.w.Request(web), "/logout", "/nowhere"} {
					if resp, body := raw(target, host, extra); strings.Contains(resp.Header.Get("Location")+body, "evil") {
						c.Errorf("%s at %s: %s", header, target, resp.Header.Get("Location"))
					}
				}
			}
			code, _ := c.w.Authorized(web, alice, "openid")
			r, err := http.NewRequest(http.MethodPost, c.w.Issuer+"/token", strings.NewReader(redeem(web, code).Encode()))
			c.must(err)
			r.Host = "evil.example"
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.SetBasicAuth(web.ID, providertest.TestSecret)
			if iss := providertest.ClaimsOf(c, c.works(c.w.Send(r)).Str("id_token"))["iss"]; iss != c.w.Issuer {
				c.Errorf("iss %v", iss)
			}
		}},
		attack{"HH-2", "only a proxy that is listed may say that a request came by TLS, and what came in clear is not led on", func(c *trial) {
			trusted, stranger := c.tls("127.0.0.1/32"), c.tls("192.0.2.1/32")
			resp, _ := trusted.send("GET", "/account", nil)
			c.control(resp.StatusCode == http.StatusSeeOther, "by the listed proxy: %d", resp.StatusCode)
			for _, header := range [][]string{{}, {"Forwarded", "proto=https"}, {"X_Forwarded_Proto", "https"}, {"Connection", "X-Forwarded-For"}, {"X-Forwarded-For", "192.0.2.1"}, {"X-Forwarded-Ssl", "on"}} {
				for _, method := range []string{http.MethodGet, http.MethodPost} {
					resp, body := stranger.send(method, "/account", url.Values{"password": {"x"}}, header...)
					if resp.StatusCode != http.StatusBadRequest || resp.Header.Get("Location") != "" || len(resp.Cookies()) > 0 {
						c.Errorf("%s %v: %d to %q %.100s", method, header, resp.StatusCode, resp.Header.Get("Location"), body)
					}
				}
			}
			if resp, _ := trusted.send("POST", "/account", url.Values{"password": {"x"}}, "X-Forwarded-Proto", "http"); resp.StatusCode != http.StatusBadRequest || resp.Header.Get("Location") != "" {
				c.Errorf("in clear by the listed proxy: %d", resp.StatusCode)
			}
		}},
		attack{"HH-3", "every answer to an application says whose it is", func(c *trial) {
			web := c.client("web", func(m *clients.Client) { m.ResponseTypes = []string{"code", "code id_token"} })
			b, _, _ := c.signedIn("alice")
			for _, change := range [][]string{{}, {"prompt", "none"}, {"response_type", "nothing"}, {"scope", ""}, {"code_challenge", ""}, {"response_mode", "fragment"}, {"response_mode", "query"}, {"max_age", "x"}, {"request", "x"}} {
				p := b.Get(c.w.Request(web, change...))
				if a := p.Answer(); a.Get("iss") != c.w.Issuer || len(a["iss"]) != 1 {
					c.Errorf("%v: %d %s", change, p.StatusCode, p.Header.Get("Location"))
				}
			}
			p := b.Get(c.w.Request(web, "response_mode", "form_post"))
			if !strings.Contains(p.Body, `name="iss" value="`+c.w.Issuer+`"`) {
				c.Errorf("form_post: %s", p.Body)
			}
			p = b.Get("/authorize?client_id=nobody&redirect_uri=https://evil.example/")
			c.refusedHere("before the client is known", p)
			c.control(c.w.Json("GET", c.w.Issuer+"/.well-known/openid-configuration", "", nil).JSON["authorization_response_iss_parameter_supported"] == true, "discovery does not say so")
		}},
	)
}

func TestAttacksOnHTTP(t *testing.T) {
	group(t,
		attack{"HT-1", "a parameter that comes twice is refused, with the same value too", func(c *trial) {
			web := c.client("web")
			b, _, alice := c.signedIn("alice")
			good := providertest.MustQuery(c, c.w.Request(web))
			for _, name := range []string{"client_id", "redirect_uri", "response_type", "scope", "state", "nonce", "code_challenge", "code_challenge_method", "prompt", "max_age", "request", "request_uri", "claims", "response_mode"} {
				for _, value := range []string{good.Get(name), "other"} {
					target := c.w.Request(web) + "&" + url.Values{name: {value}}.Encode()
					if !good.Has(name) {
						target += "&" + url.Values{name: {value + "x"}}.Encode()
						if value == "" {
							continue
						}
					}
					for how, p := range map[string]providertest.Page{"GET": b.Get(target), "POST": b.Post("/authorize", providertest.MustQuery(c, target))} {
						if name == "client_id" || name == "redirect_uri" {
							c.refusedHere(how+" "+name, p)
						} else {
							c.refusedThere(how+" "+name, p, web, oauth.InvalidRequest)
						}
					}
				}
			}
			code, _ := c.w.Authorized(web, alice, providertest.Offline)
			form := redeem(web, code)
			for name := range form {
				for _, value := range []string{form.Get(name), "other"} {
					double := providertest.With(form)
					double[name] = []string{form.Get(name), value}
					c.refused(name, c.w.Call("/token", web, double), http.StatusBadRequest, oauth.InvalidRequest)
				}
			}
			got := c.works(c.w.Call("/token", web, form))
			for _, path := range []string{"/revoke", "/introspect"} {
				c.refused(path, c.w.Call(path, web, url.Values{"token": {got.Str("access_token"), got.Str("refresh_token")}}), http.StatusBadRequest, oauth.InvalidRequest)
			}
			c.refused("refresh_token", c.w.Call("/token", web, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {got.Str("refresh_token"), got.Str("refresh_token")}}), http.StatusBadRequest, oauth.InvalidRequest)
			c.works(c.w.Renew(web, got.Str("refresh_token")))
		}},
		attack{"HT-2", "a request that two readers would end at different places is refused, and nothing behind it is done", func(c *trial) {
			two := "GET /jwks HTTP/1.1\r\nHost: x\r\n\r\nGET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
			all := c.w.Raw(two)
			c.control(len(all) == 2 && all[0].StatusCode == http.StatusOK, "%d answers to two requests", len(all))
			const second = "GET /second HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
			for _, first := range []string{
				"POST /token HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n", "POST /token HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nContent-Length: 5\r\n\r\n",
				"POST /token HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", "POST /token HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n", "POST /token HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n",
				"GET /jwks HTTP/1.1\r\nHost: x\r\nContent-Length : 0\r\n\r\n", "GET /jwks HTTP/1.1\r\nHost: x\r\nX: a\x00b\r\n\r\n", "GET /jwks HTTP/1.1\r\nHost: x\r\nX: a\rSet-Cookie: b\r\n\r\n", "GET /jwks HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
				"GET /jwks HTTP/1.1\r\n\r\n", "GET /jwks\r\n\r\n", "POST /token HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\na\r\n0\r\n\r\n", "POST /token HTTP/1.0\r\nTransfer-Encoding: xchunked\r\n\r\n",
			} {
				for _, resp := range c.w.Raw(first + second) {
					if resp.StatusCode < 400 || resp.StatusCode == http.StatusNotFound {
						c.Errorf("%q: answered with %d", first, resp.StatusCode)
					}
				}
			}
			if strings.Contains(c.w.Log.String(), "/second") {
				c.Error("what came behind was done")
			}
		}},
		attack{"HT-3", "what is too large is refused early, at every endpoint, and costs the others nothing", func(c *trial) {
			web, alice := c.client("web"), c.user("alice")
			b := c.w.Browser()
			many := url.Values{}
			for i := range 10_000 {
				many.Set(fmt.Sprint("p", i), "x")
			}
			for _, path := range []string{"/token", "/revoke", "/introspect", "/userinfo", "/authorize", "/logout", "/login", "/account", "/consent", "/accounts", "/logout/confirm"} {
				for _, form := range []url.Values{{"token": {strings.Repeat("a", 300<<10)}}, many} {
					if p := b.Post(path, form); p.StatusCode < 400 || p.StatusCode > 499 {
						c.Errorf("%s: %d", path, p.StatusCode)
					}
				}
			}
			if got := c.w.Register(strings.Repeat(" ", 5<<20)); got.StatusCode != http.StatusRequestEntityTooLarge {
				c.Errorf("registration: %d", got.StatusCode)
			}
			for _, target := range []string{"/authorize?state=" + strings.Repeat("x", 200<<10), "/jwks?" + strings.Repeat("a=b&", 20_000), "/account?" + strings.Repeat("x", 100<<10)} {
				if p := b.Get(target); p.StatusCode >= 500 || p.Answer().Has("code") {
					c.Errorf("%.20s: %d", target, p.StatusCode)
				}
			}
			r, err := http.NewRequest(http.MethodPost, c.w.Issuer+"/token", strings.NewReader("\x1f\x8b\x08\x00"+strings.Repeat("\x00", 1000)))
			c.must(err)
			r.Header.Set("Content-Encoding", "gzip")
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			if got := c.w.Send(r); got.StatusCode < 400 || got.StatusCode >= 500 {
				c.Errorf("gzip: %d", got.StatusCode)
			}
			for _, resp := range c.w.Raw("GET /jwks HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 2<<20) + "\r\nConnection: close\r\n\r\n") {
				if resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
					c.Errorf("headers: %d", resp.StatusCode)
				}
			}
			c.works(c.w.Redeem(web, b.Code(web, alice.Username)))
		}},
		attack{"TI-1", "what we issued ends to the second, and only what others signed has a tolerance", func(c *trial) {
			alice, web, key := c.user("alice"), c.client("web", func(m *clients.Client) { m.OpaqueAccessTokens = false }), providertest.EcKey(c)
			opaque := c.client("opaque", func(m *clients.Client) { m.OpaqueAccessTokens = true })
			jwt := c.client("jwt", providertest.ByKey(c, "ES256", map[string]any{"k": key.Public()}))
			for _, client := range []clients.Client{web, opaque} {
				for late, good := range map[int]bool{-1: true, 0: false, 1: false} {
					at := c.w.Tokens(client, alice, "openid").Str("access_token")
					c.w.Clock.Advance(c.w.AccessTokenTTL + seconds(late))
					if got := c.w.Whois(at); good {
						c.works(got)
					} else {
						c.refused(fmt.Sprint(client.ID, " at ", late), got, http.StatusUnauthorized, oauth.InvalidToken)
					}
					if active := c.w.Asks(client, at).JSON["active"] == true; active != good {
						c.Errorf("%s: introspection at %d says %v", client.ID, late, active)
					}
				}
			}
			for late, good := range map[int]bool{-1: true, 0: false, 1: false} {
				rt := c.w.Tokens(web, alice, providertest.Offline).Str("refresh_token")
				c.w.Clock.Advance(c.w.RefreshIdle + seconds(late))
				if got := c.w.Renew(web, rt); good {
					c.works(got)
				} else {
					c.refused("refresh", got, http.StatusBadRequest, oauth.InvalidGrant)
				}
				b, s := c.w.SignedIn(alice)
				c.w.Clock.Advance(c.w.SessionIdle + seconds(late))
				if got := b.Get("/account").StatusCode == http.StatusOK; got != good {
					c.Errorf("session %s at %d: %v", s.ID, late, got)
				}
			}
			now := c.w.Web.Now().Unix()
			for _, x := range []struct {
				change map[string]any
				good   bool
			}{{map[string]any{"exp": now - 59}, true}, {map[string]any{"exp": now - 61}, false}, {map[string]any{"nbf": now + 8}, true}, {map[string]any{"nbf": now + 61}, false}, {map[string]any{"iat": now + 8}, true}, {map[string]any{"iat": now + 61}, false}, {map[string]any{"exp": now + 7200}, false}} {
				got := c.w.Assert(providertest.SignJWT(c, jose.ES256, key, c.w.AssertionOf(jwt.ID, x.change), nil))
				if (got.StatusCode == http.StatusOK) != x.good {
					c.Errorf("%v at %d: %d", x.change, now, got.StatusCode)
				}
				c.w.Forgive()
			}
		}},
	)
}

func TestAttacksOnKeys(t *testing.T) {
	kid := func(c *trial, jwt string) string {
		h, err := keys.PeekHeader(jwt)
		c.must(err)
		return h.KeyID
	}
	published := func(c *trial, base string) map[string]bool {
		out := map[string]bool{}
		set, _ := c.w.Json("GET", base+"/jwks", "", nil).JSON["keys"].([]any)
		for _, k := range set {
			id, _ := k.(map[string]any)["kid"].(string)
			if id == "" || out[id] {
				c.Errorf("kid %q", id)
			}
			out[id] = true
		}
		return out
	}
	group(t,
		attack{"KR-1", "while keys change, at two instances at once, every good token's key is published and was published in time", func(c *trial) {
			w := c.fresh()
			c.w = w
			other, there := w.Twin(c.T), providertest.TestRing(c.T, w.Config)
			alice, web := w.AddUser("alice"), w.AddClient("web")
			cached, at := published(c, w.Issuer), w.Clock.Now()
			var old []string
			for minute := range 45 {
				if minute%5 == 0 && minute < 25 {
					done := make(chan error, 2)
					for _, ring := range []*keys.Ring{w.Keys, there} {
						go func() { _, err := ring.Rotate(c.Context()); done <- err }()
					}
					for range 2 {
						if err := <-done; err != nil {
							c.Error(err)
						}
					}
				}
				w.Clock.Advance(time.Minute)
				c.must(w.Keys.Maintain(c.Context()))
				here, beside := published(c, w.Issuer), published(c, other)
				token := c.works(w.Tokens(web, alice, "openid")).Str("access_token")
				if w.Clock.Now().Sub(at) >= 10*time.Minute {
					cached, at = here, w.Clock.Now()
				}
				if k := kid(c, token); !here[k] || !beside[k] || !cached[k] {
					c.Fatalf("minute %d: signed by %s; published %v and %v, in a cache %v", minute, k, here, beside, cached)
				}
				old = append(old, token)
				for _, token := range old[max(0, len(old)-9):] {
					if !here[kid(c, token)] {
						c.Fatalf("minute %d: the key of a good token is not published", minute)
					}
				}
			}
			w.Clock.Advance(48 * time.Hour)
			c.must(w.Keys.Maintain(c.Context()))
			if n := len(published(c, w.Issuer)); n > 6 {
				c.Errorf("%d keys are published", n)
			}
		}},
		attack{"KR-2", "tokens and hints of a revoked key are refused by every instance within a second", func(c *trial) {
			w := c.fresh()
			c.w = w
			bases := []string{w.Issuer, w.Twin(c.T)}
			alice, web := w.AddUser("alice"), w.AddClient("web", providertest.SignsOutTo("https://a.example/out"))
			got := w.Tokens(web, alice, providertest.Offline)
			access, two := got.Str("access_token"), &instances{c: c}
			b, s := w.SignedIn(alice)
			hint := w.Hint(s, web, nil)
			for _, base := range bases {
				c.works(two.bearer(base, "/userinfo", access))
			}
			for _, jwt := range []string{access, hint} {
				_, err := w.Keys.Revoke(c.Context(), kid(c, jwt))
				c.must(err)
			}
			w.Clock.Advance(time.Second)
			for _, base := range bases {
				c.refused("userinfo", two.bearer(base, "/userinfo", access), http.StatusUnauthorized, oauth.InvalidToken)
				if p := published(c, base); p[kid(c, access)] || p[kid(c, hint)] {
					c.Errorf("still published: %v", p)
				}
			}
			if _, body := w.Introspected(web, access); body != `{"active":false}` {
				c.Errorf("introspection: %s", body)
			}
			if p := b.Get(providertest.LogoutURL("id_token_hint", hint, "post_logout_redirect_uri", "https://a.example/out")); p.Header.Get("Location") == "https://a.example/out" || !w.StillSignedIn(b, s) {
				c.Error("the hint is believed")
			}
			c.works(w.Whois(c.works(w.Renew(web, got.Str("refresh_token"))).Str("access_token")))
		}},
		attack{"KR-3", "published keys are public parts alone, named, and strong", func(c *trial) {
			_, err := c.w.Keys.Rotate(c.Context())
			c.must(err)
			body := c.w.Browser().Get("/jwks")
			set, _ := c.w.Json("GET", c.w.Issuer+"/jwks", "", nil).JSON["keys"].([]any)
			c.control(len(set) > 1 && strings.Contains(body.Header.Get("Cache-Control"), "max-age"), "%v", set)
			published(c, c.w.Issuer)
			for _, k := range set {
				key, _ := k.(map[string]any)
				for _, private := range []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"} {
					if _, has := key[private]; has {
						c.Errorf("%v has %s", key["kid"], private)
					}
				}
				if n, _ := key["n"].(string); key["kty"] == "oct" || key["use"] == nil || key["alg"] == nil || key["kty"] == "RSA" && len(n) < 341 {
					c.Errorf("%v", key)
				}
			}
		}},
		attack{"KR-4", "instances that start together on an empty store have one set of keys", func(c *trial) {
			const n = 5
			var rings [n]*keys.Ring
			w := c.fresh(func(cfg *provider.Config) {
				done := make(chan error, n)
				for i := range rings {
					go func() {
						var err error
						rings[i], err = keys.Open(c.Context(), keys.Config{Store: cfg.Store, Sealer: cfg.Sealer, Now: cfg.Now, Algorithms: []string{provider.DefaultAccessTokenAlg}})
						done <- err
					}()
				}
				for range n {
					c.must(<-done)
				}
				cfg.Keys = rings[0]
			})
			c.w = w
			var bases []string
			for _, ring := range rings {
				cfg := w.Config
				cfg.Keys = ring
				p, err := provider.New(cfg)
				c.must(err)
				server := httptest.NewServer(p.Handler())
				c.Cleanup(server.Close)
				bases = append(bases, server.URL)
			}
			alice, web, two := w.AddUser("alice"), w.AddClient("web"), &instances{c: c}
			for _, base := range bases {
				if !reflect.DeepEqual(published(c, base), published(c, bases[0])) {
					c.Error("instances publish different keys")
				}
				code, _ := w.Authorized(web, alice, "openid")
				got := c.works((&instances{c: c, bases: []string{base}}).post("/token", web, redeem(web, code)))
				for _, verifies := range bases {
					c.works(two.bearer(verifies, "/userinfo", got.Str("access_token")))
				}
			}
		}},
	)
}

func TestAttacksOnTheLog(t *testing.T) {
	group(t,
		attack{"LG-1", "no secret is in the log or the metrics, whether it was good, wrong or misplaced", func(c *trial) {
			web, alice := c.client("web", providertest.AsksConsent), c.user("alice")
			b := c.w.Browser()
			secrets := map[string]string{"password": providertest.TestPassword, "secret": providertest.TestSecret, "verifier": providertest.TestVerifier}
			login := b.Open(c.w.Request(web, "scope", providertest.Offline, "nonce", "nonce-of-nobodys-business", "state", "state-of-nobodys-business"))
			secrets["nonce"], secrets["state"], secrets["form value"] = "nonce-of-nobodys-business", "state-of-nobodys-business", providertest.RegexpCSRF(login.Body)
			secrets["wrong password"], secrets["password as name"] = "wrong-password-of-alice", "Password-In-The-Wrong-Field"
			signIn(b, login, alice.Username, secrets["wrong password"])
			signIn(b, login, secrets["password as name"], secrets["wrong password"])
			consent := b.Follow(signIn(b, login, alice.Username, providertest.TestPassword))
			code := c.code(b.Follow(b.Submit(consent, "consent-allow", providertest.Allow)))
			got := c.works(c.w.Redeem(web, code))
			again := c.works(c.w.Renew(web, got.Str("refresh_token")))
			for name, a := range map[string]providertest.AnswerJSON{"first ": got, "second ": again} {
				for _, member := range []string{"access_token", "refresh_token", "id_token"} {
					secrets[name+member] = a.Str(member)
				}
			}
			secrets["code"], secrets["in a path"], secrets["wrong secret"] = code, "secret-in-a-path", "wrong-secret-of-a-client"
			c.w.Redeem(web, code)
			c.w.Whois(again.Str("access_token") + "x")
			c.w.Call("/introspect", web, url.Values{"token": {got.Str("access_token")}})
			c.w.Try("/token", clientCredentials, providertest.Basic(web.ID+":"+secrets["wrong secret"]))
			b.Get("/userinfo?access_token=" + again.Str("access_token"))
			b.Get("/nowhere/" + secrets["in a path"] + "?code=" + code)
			b.Get(c.w.Request(web, "id_token_hint", got.Str("id_token"), "request", got.Str("id_token")))
			made, _ := c.w.Registered(object())
			secrets["registered secret"], secrets["registration access token"] = made.Str("client_secret"), made.Str("registration_access_token")
			for _, ck := range b.Client.Jar.Cookies(c.w.Web.Base) {
				if !strings.HasSuffix(ck.Name, "_state") {
					secrets["cookie "+ck.Name] = ck.Value
				}
			}
			metrics := httptest.NewRecorder()
			c.w.MetricsHandler().ServeHTTP(metrics, httptest.NewRequest(http.MethodGet, "/metrics", nil))
			log := c.w.Log.String()
			c.control(len(log) > 2000 && metrics.Body.Len() > 500, "there is a log: %d", len(log))
			for name, secret := range secrets {
				if secret == "" {
					c.Errorf("no %s", name)
					continue
				}
				for _, spelt := range []string{secret, url.QueryEscape(secret)} {
					if strings.Contains(log, spelt) || strings.Contains(metrics.Body.String(), spelt) {
						c.Errorf("the log or the metrics have the %s", name)
					}
				}
			}
		}},
		attack{"LG-2", "an answer while the store fails says so, with a reference, and nothing of our insides", func(c *trial) {
			var f *providertest.Faults
			w := c.fresh(providertest.WithFaults(&f))
			c.w = w
			alice, web := w.AddUser("alice"), w.AddClient("web")
			got := w.Tokens(web, alice, providertest.Offline)
			b, _ := w.SignedIn(alice)
			code, _ := w.Authorized(web, alice, "openid")
			all := []string{"Client", "User", "Session", "Grant", "Token", "Spend", "Spent"}
			f.Set(true, all...)
			r := map[string]string{}
			for what, a := range map[string]providertest.AnswerJSON{"code": w.Redeem(web, code), "refresh": w.Renew(web, got.Str("refresh_token")), "introspection": w.Asks(web, got.Str("access_token")), "revocation": w.Call("/revoke", web, url.Values{"token": {got.Str("access_token")}}), "userinfo": w.Whois(got.Str("access_token"))} {
				c.refused(what, a, http.StatusServiceUnavailable, oauth.TemporarilyUnavailable)
				r[what] = fmt.Sprint(a.JSON)
			}
			for what, p := range map[string]providertest.Page{"authorize": b.Get(w.Request(web)), "account": b.Get("/account"), "logout": b.Get("/logout")} {
				if p.StatusCode != http.StatusServiceUnavailable || !strings.Contains(p.Body, p.Header.Get("X-Request-Id")) {
					c.Errorf("%s: %d", what, p.StatusCode)
				}
				r[what] = p.Body
			}
			f.Set(false, all...)
			for what, body := range r {
				for _, inner := range []string{"fire", "/var/lib", "goroutine", ".go:", "SQLITE", "sqlite", "mongo", "storage"} {
					if strings.Contains(body, inner) {
						c.Errorf("%s says %s: %s", what, inner, body)
					}
				}
			}
			c.control(strings.Contains(w.Log.String(), "on fire"), "the log has the cause")
			c.works(w.Redeem(web, code))
		}},
	)
}
