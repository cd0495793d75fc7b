package attacks_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"latchkey/provider"
	"latchkey/provider/clients"
	"latchkey/provider/oauth"
	"latchkey/provider/providertest"
	"latchkey/provider/session"
	"latchkey/provider/storage"
)

// tls is a provider at https://op.example behind a proxy that ends TLS, and a browser without rules
// of its own.
type tls struct {
	c    *trial
	w    *providertest.World
	base string
	jar  map[string]string
	seen []*http.Cookie
}

func (c *trial) tls(trusted ...string) *tls {
	b := &tls{c: c, jar: map[string]string{}}
	b.w = c.fresh(func(cfg *provider.Config) {
		b.base, cfg.Issuer = cfg.Issuer, "https://op.example"
		for _, t := range trusted {
			cfg.TrustedProxies = append(cfg.TrustedProxies, netip.MustParsePrefix(t))
		}
	})
	return b
}

func (b *tls) send(method, target string, form url.Values, header ...string) (*http.Response, string) {
	r, err := http.NewRequest(method, b.base+strings.TrimPrefix(target, "https://op.example"),
		strings.NewReader(form.Encode()))
	b.c.must(err)
	r.Host = "op.example"
	for k, v := range map[string]string{"X-Forwarded-Proto": "https",
		"Content-Type": "application/x-www-form-urlencoded", "Origin": "https://op.example",
		"Sec-Fetch-Site": "same-origin"} {
		r.Header.Set(k, v)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	for name, value := range b.jar {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	b.c.must(err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	b.c.must(err)
	for _, ck := range resp.Cookies() {
		b.seen = append(b.seen, ck)
		if b.jar[ck.Name] = ck.Value; ck.MaxAge < 0 {
			delete(b.jar, ck.Name)
		}
	}
	return resp, string(body)
}

func TestAttacksOnTheBrowser(t *testing.T) {
	group(t,
		attack{"CK-1", "cookies are of this host and https alone, hold nothing that is readable, and go as they came",
			func(c *trial) {
				b := c.tls("127.0.0.1/32")
				alice, client := b.w.AddUser("alice"), b.w.AddClient("web")
				resp, _ := b.send("GET", b.w.Request(client), nil)
				login := resp.Header.Get("Location")
				_, body := b.send("GET", login, nil)
				resp, _ = b.send("POST", login, url.Values{"csrf": {providertest.RegexpCSRF(body)},
					"username": {alice.Username}, "password": {providertest.TestPassword}})
				resp, _ = b.send("GET", resp.Header.Get("Location"), nil)
				c.control(strings.Contains(resp.Header.Get("Location"), "code="), "%d %s", resp.StatusCode,
					resp.Header.Get("Location"))
				_, body = b.send("GET", "/logout", nil)
				b.send("POST", "/logout/confirm", url.Values{"csrf": {providertest.RegexpCSRF(body)}})
				if _, still := b.jar["__Host-"+session.SessionCookie]; still {
					c.Error("the session's cookie is left after sign-out")
				}
				for _, ck := range b.seen {
					// read by a script of ours in a frame of the application
					state := ck.Name == "__Host-"+session.StateCookie
					if !strings.HasPrefix(ck.Name, "__Host-") || !ck.Secure || ck.Path != "/" || ck.Domain != "" ||
						!state && (!ck.HttpOnly || ck.SameSite != http.SameSiteLaxMode) {
						c.Errorf("%+v", ck)
					}
					if strings.Contains(ck.Value, "alice") || strings.Contains(ck.Value, alice.ID) {
						c.Errorf("%s tells who it is", ck.Name)
					}
				}
			}},
		attack{"CK-2", "nothing that the provider answers can be framed", func(c *trial) {
			asks := c.client("asks", providertest.AsksConsent)
			b, _, alice := c.signedIn("alice")
			token := c.w.Tokens(asks, alice, "openid").Str("access_token")
			all := map[string]*http.Response{
				"sign-in":  c.w.Browser().Open(c.w.Request(asks)).Response,
				"consent":  b.Open(c.w.Request(asks)).Response,
				"accounts": b.Open(c.w.Request(asks, "prompt", "select_account")).Response,
				"account":  b.Get("/account").Response,
				"logout":   b.Get("/logout").Response, "signed out": b.Get("/logout/done").Response,
				"an error": b.Get("/authorize?client_id=x").Response, "nothing": b.Get("/nowhere").Response,
				"a redirect":         b.Get(c.w.Request(asks)).Response,
				"an error elsewhere": b.Get(c.w.Request(asks, "prompt", "none")).Response, "tokens": c.w.Call("/token",
					asks, url.Values{}).Response, "userinfo": c.w.Whois(token).Response,
				"refused userinfo": c.w.Whois("x").Response,
				"introspection":    c.w.Asks(asks, token).Response,
				"registration":     c.w.Register(map[string]any{}).Response, "a wrong method": b.Get("/token").Response,
				"a form post": b.Get(c.w.Request(asks, "response_mode", "form_post", "prompt", "none")).Response,
			}
			for what, resp := range all {
				if resp.Header.Get("X-Frame-Options") != "DENY" ||
					!strings.Contains(resp.Header.Get("Content-Security-Policy"), "frame-ancestors 'none'") {
					c.Errorf("%s: %d %v", what, resp.StatusCode, resp.Header)
				}
			}
			// The one page that is made to be framed says nothing about anybody.
			p := b.Get("/session")
			c.control(p.StatusCode == http.StatusOK && p.Header.Get("X-Frame-Options") == "" &&
				!strings.Contains(p.Body, alice.Username), "%d %v", p.StatusCode, p.Header)
		}},
		attack{"CK-3", "no page runs or loads anything that is not ours, whatever is written on it", func(c *trial) {
			const evil = `"><script>alert(1)</script><img src=x onerror=alert(1)>{{7*7}}`
			client := c.client("web", providertest.AsksConsent, func(m *clients.Client) {
				m.ClientName, m.ClientURI, m.PolicyURI, m.TOSURI = evil, "https://a.example/",
					"https://a.example/policy", "https://a.example/tos"
			})
			b, s, alice := c.signedIn("alice")
			c.changeUser(alice, func(u *storage.User) { u.Claims.Name, u.Claims.GivenName, u.Claims.Email = evil, evil, "a@b.example" })
			c.w.Granted(s, client)
			outside := regexp.MustCompile(`(?i)<(?:script|img|link|iframe|object|embed|source|video|audio)\b[^>]*\b(?:src|href|data)=["']?(?:[a-z]+:)?//`)
			for what, p := range map[string]providertest.Page{"sign-in": c.w.Browser().Open(c.w.Request(client,
				"login_hint", evil, "state", evil)), "consent": b.Open(c.w.Request(client)),
				"accounts": b.Open(c.w.Request(client, "prompt", "select_account")),
				"account":  b.Get("/account"), "logout": b.Get(providertest.LogoutURL("client_id", client.ID)),
				"an error": b.Get("/authorize?client_id=" + url.QueryEscape(evil) + "&error=" +
					url.QueryEscape(evil)),
				"a form post": b.Get(c.w.Request(client, "prompt", "none", "response_mode", "form_post", "state",
					evil)), "the frame": b.Get("/session")} {
				csp := p.Header.Get("Content-Security-Policy")
				for _, want := range []string{"default-src 'none'", "base-uri 'none'"} {
					if !strings.Contains(csp, want) {
						c.Errorf("%s: %s", what, csp)
					}
				}
				csp = strings.Replace(csp, "frame-ancestors *", "", 1) // the frame, which is made to be one
				for _, no := range []string{"unsafe", "*", "data:", "blob:"} {
					if strings.Contains(csp, no) {
						c.Errorf("%s: %s", what, csp)
					}
				}
				if strings.Contains(p.Body, "<script>alert") || strings.Contains(p.Body, "<img src=x") ||
					outside.MatchString(p.Body) {
					c.Errorf("%s: %s", what, p.Body)
				}
				for directive := range strings.SplitSeq(csp, ";") {
					if f := strings.Fields(directive); len(f) > 0 && f[0] == "form-action" &&
						strings.Contains(directive, "evil") {
						c.Errorf("%s: %s", what, directive)
					}
				}
			}
			c.code(b.Follow(b.Submit(b.Open(c.w.Request(client)), "consent-allow", providertest.Allow)))
		}},
		attack{"CK-4", "a picture of an application is shown when it is one, from here, and as nothing else",
			func(c *trial) {
				const png = "\x89PNG\r\n\x1a\n and so on"
				bodies := map[string]string{"/png": png,
					"/svg":  `<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>`,
					"/html": "<script>alert(1)</script>", "/polyglot": "<script>alert(1)</script>" + png, "/large": png +
						strings.Repeat("x", 1<<20), "/cut": png[:4], "/empty": ""}
				other := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
					rw.Header().Set("Content-Type", map[bool]string{true: "text/html",
						false: "image/png"}[r.URL.Path == "/png"])
					_, _ = rw.Write([]byte(bodies[r.URL.Path]))
				}))
				c.Cleanup(other.Close)
				for path := range bodies {
					client := c.client("logo"+strings.Trim(path, "/"), func(m *clients.Client) {
						m.LogoURI = other.URL +
							path
					})
					p := c.w.Fetch("/logo/" + client.ID)
					if h := p.Header; h.Get("X-Content-Type-Options") != "nosniff" ||
						h.Get("Content-Security-Policy") != "default-src 'none'; sandbox" || len(p.Cookies()) > 0 {
						c.Errorf("%s: %v", path, h)
					}
					if path == "/png" {
						c.control(p.StatusCode == http.StatusOK && p.Header.Get("Content-Type") == "image/png", "%d %v",
							p.StatusCode, p.Header)
					} else if p.StatusCode != http.StatusNotFound || strings.Contains(p.Body, "alert") {
						c.Errorf("%s: %d %s", path, p.StatusCode, p.Body)
					}
				}
				if p := c.w.Fetch("/logo/..%2f..%2fetc%2fpasswd"); p.StatusCode != http.StatusNotFound {
					c.Errorf("a path: %d", p.StatusCode)
				}
			}},
		attack{"CO-1", "a script of another origin reads what its client registered the origin for, and no page at all",
			func(c *trial) {
				origin := "https://" + c.name + "spa.example"
				c.client("spa", providertest.Public, func(m *clients.Client) { m.CORSOrigins = []string{origin} })
				ask := func(method, path, origin string) http.Header {
					r, err := http.NewRequest(method, c.w.Issuer+path, strings.NewReader(""))
					c.must(err)
					for k, v := range map[string]string{"Origin": origin, "Access-Control-Request-Method": "POST",
						"Access-Control-Request-Headers": "authorization"} {
						r.Header.Set(k, v)
					}
					resp, err := http.DefaultTransport.RoundTrip(r)
					c.must(err)
					resp.Body.Close()
					if resp.Header.Get("Access-Control-Allow-Credentials") != "" {
						c.Errorf("%s %s: credentials", method, path)
					}
					return resp.Header
				}
				const may = "Access-Control-Allow-Origin"
				for _, path := range []string{"/token", "/userinfo", "/revoke"} {
					for _, method := range []string{http.MethodOptions, http.MethodPost} {
						h := ask(method, path, origin)
						c.control(h.Get(may) == origin && strings.Contains(strings.Join(h.Values("Vary"), ","), "Origin"),
							"%s %s: %v", method, path, h)
						for _, evil := range []string{"https://evil.example", "null", origin + ".evil.example",
							"https://evil" + strings.TrimPrefix(origin, "https://"), strings.Replace(origin, "https",
								"http", 1), strings.ToUpper(origin), origin + ":443", origin + "/", "file://", origin +
								", https://evil.example", "*"} {
							if got := ask(method, path, evil).Get(may); got != "" {
								c.Errorf("%s %s from %s: %s", method, path, evil, got)
							}
						}
					}
				}
				for _, path := range []string{"/authorize", "/login", "/consent", "/accounts", "/account", "/logout",
					"/introspect", "/register", "/"} {
					for _, method := range []string{http.MethodOptions, http.MethodGet, http.MethodPost} {
						if got := ask(method, path, origin).Get(may); got != "" {
							c.Errorf("%s %s: %s", method, path, got)
						}
					}
				}
				for _, path := range []string{"/jwks", "/.well-known/openid-configuration"} {
					if got := ask(http.MethodGet, path, "https://evil.example").Get(may); got != "*" {
						c.Errorf("%s: %s", path, got)
					}
				}
			}},
		attack{"CH-1", "nothing about a person or a secret is kept by a cache, and what everybody may have is",
			func(c *trial) {
				asks := c.client("asks", providertest.AsksConsent)
				b, _, alice := c.signedIn("alice")
				got := c.works(c.w.Tokens(asks, alice, "openid"))
				consent := b.Open(c.w.Request(asks))
				registered := c.w.Register(map[string]any{"redirect_uris": []string{"https://a.example/cb"}})
				for what, resp := range map[string]*http.Response{"tokens": got.Response,
					"refused tokens": c.w.Call("/token", asks, url.Values{}).Response,
					"userinfo":       c.w.Whois(got.Str("access_token")).Response, "introspection": c.w.Asks(asks,
						got.Str("access_token")).Response,
					"revocation": c.w.Call("/revoke", asks, url.Values{"token": {"x"}}).Response,
					"sign-in":    c.w.Browser().Open(c.w.Request(asks)).Response, "consent": consent.Response,
					"account": b.Get("/account").Response, "logout": b.Get("/logout").Response,
					"the code": b.Follow(b.Submit(consent, "consent-allow", providertest.Allow)).Response,
					"an error": b.Get("/authorize?client_id=x").Response, "registration": registered.Response,
					"reading it": c.w.Json("GET", registered.Str("registration_client_uri"),
						registered.Str("registration_access_token"), nil).Response} {
					if resp.Header.Get("Cache-Control") != "no-store" {
						c.Errorf("%s: %d %q", what, resp.StatusCode, resp.Header.Get("Cache-Control"))
					}
				}
				for _, path := range []string{"/jwks", "/.well-known/openid-configuration"} {
					if p := b.Get(path); !strings.HasPrefix(p.Header.Get("Cache-Control"), "public, max-age=") ||
						len(p.Cookies()) > 0 {
						c.Errorf("%s: %v", path, p.Header)
					}
				}
				for _, path := range []string{"/account/x.css", "/account;x.css", "/account%2fx.css", "/userinfo/x.js"} {
					if p := b.Get(path); p.StatusCode != http.StatusNotFound || strings.Contains(p.Body, alice.Username) {
						c.Errorf("%s: %d", path, p.StatusCode)
					}
				}
			}},
		attack{"CH-2", "a page tells no other site its address, and loads nothing from one", func(c *trial) {
			client := c.client("web", providertest.AsksConsent, func(m *clients.Client) {
				m.ClientURI, m.PolicyURI, m.TOSURI, m.LogoURI = "https://a.example/", "https://a.example/policy",
					"https://a.example/tos", "https://a.example/logo.png"
			})
			b, _, _ := c.signedIn("alice")
			foreign := regexp.MustCompile(`<a\b[^>]*href="https?://a\.example[^>]*>`)
			loads := regexp.MustCompile(`(?:src|action|data)="https?://a\.example|<link[^>]*href="https?://a\.example`)
			links := 0
			for what, p := range map[string]providertest.Page{"sign-in": c.w.Browser().Open(c.w.Request(client)),
				"consent": b.Open(c.w.Request(client)), "logout": b.Get(providertest.LogoutURL("client_id", client.ID)),
				"an error": b.Get("/authorize?client_id=x&code=secret&state=secret")} {
				if policy := p.Header.Get("Referrer-Policy"); policy != "no-referrer" && policy != "same-origin" {
					c.Errorf("%s: Referrer-Policy %q", what, policy)
				}
				if m := loads.FindString(p.Body); m != "" {
					c.Errorf("%s loads %s", what, m)
				}
				links += len(foreign.FindAllString(p.Body, -1))
			}
			c.control(links > 0, "no page links to the application")
			p := b.Get(c.w.Request(client, "prompt", "none"))
			if policy := p.Header.Get("Referrer-Policy"); policy != "no-referrer" && policy != "same-origin" {
				c.Errorf("the redirect to the application: %q", policy)
			}
		}},
		attack{"CH-3", "an access token in an address is refused and not logged, and a request brings one in one way",
			func(c *trial) {
				token := c.w.Tokens(c.client("web"), c.user("alice"), "openid").Str("access_token")
				c.works(c.w.Whois(token))
				c.works(c.w.Try("/userinfo", url.Values{"access_token": {token}}))
				r, err := http.NewRequest(http.MethodGet, c.w.Issuer+"/userinfo?access_token="+token, nil)
				c.must(err)
				if got := c.w.Send(r); got.StatusCode != http.StatusUnauthorized &&
					got.StatusCode != http.StatusBadRequest || got.JSON["sub"] != nil {
					c.Errorf("in the address: %d %v", got.StatusCode, got.JSON)
				}
				c.refused("header and body", c.w.Try("/userinfo", url.Values{"access_token": {token}}, "Bearer "+token),
					http.StatusBadRequest, oauth.InvalidRequest)
				c.refused("two headers", c.w.Try("/userinfo", url.Values{}, "Bearer "+token, "Bearer "+token),
					http.StatusBadRequest, oauth.InvalidRequest)
				if strings.Contains(c.w.Log.String(), token) {
					c.Error("the token is in the log")
				}
			}},
	)
}
