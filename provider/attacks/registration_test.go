package attacks_test

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"latchkey/provider"
	"latchkey/provider/clients"
	"latchkey/provider/oauth"
	"latchkey/provider/outbound"
	"latchkey/provider/providertest"
	"latchkey/provider/registration"
)

// object is JSON of a registration: ordinary metadata, and what is added or changed.
func object(change ...any) map[string]any {
	o := map[string]any{"redirect_uris": []string{"https://a.example/cb"}, "client_name": "App"}
	for i := 0; i+1 < len(change); i += 2 {
		o[change[i].(string)] = change[i+1]
	}
	return o
}

// inside are hosts that are nobody's but ours, in every spelling that a resolver or a parser may
// take.
func inside(port string) []string {
	var out []string
	for _, host := range []string{"127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "0.0.0.0", "[::1]",
		"[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[64:ff9b::7f00:1]", "localhost", "localhost.", "LOCALHOST",
		"a.localhost"} {
		out = append(out, host+":"+port)
	}
	return append(out, "[fe80::1%25lo]", "169.254.169.254", "[fd00::1]", "100.64.0.1", "10.0.0.1", "192.168.0.1",
		"172.16.0.1", "224.0.0.1")
}

// listener counts connections, whatever is said on them.
func (c *trial) listener() (port string, count func() int) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	c.must(err)
	c.Cleanup(func() { _ = l.Close() })
	var n atomic.Int32
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			n.Add(1)
			_ = conn.Close()
		}
	}()
	return fmt.Sprint(l.Addr().(*net.TCPAddr).Port), func() int { return int(n.Load()) }
}

func guarded(cfg *provider.Config) { cfg.Outbound = outbound.New(outbound.Config{}) }

func TestAttacksOnRegistration(t *testing.T) {
	group(t,
		attack{"DR-1", "registration is closed unless it was opened, and an initial access token registers one application", func(c *trial) {
			closed := c.fresh(func(cfg *provider.Config) { cfg.Registration = registration.Closed })
			if got := closed.Register(object()); got.StatusCode != http.StatusNotFound {
				c.Errorf("closed: %d", got.StatusCode)
			}
			if got := closed.Json("POST", closed.Issuer+"/register", closed.InitialToken(),
				object()); got.StatusCode != http.StatusNotFound {
				c.Errorf("closed, with a token: %d", got.StatusCode)
			}
			if closed.Json("GET", closed.Issuer+"/.well-known/openid-configuration", "",
				nil).JSON["registration_endpoint"] != nil {
				c.Error("discovery names the endpoint")
			}
			w := c.fresh(func(cfg *provider.Config) { cfg.Registration = registration.Token })
			old := w.InitialToken()
			w.Clock.Advance(time.Hour)
			token := w.InitialToken()
			for what, value := range map[string]string{"none": "", "wrong": "wrong", "expired": old,
				"an access token": w.Tokens(w.AddClient("web"), w.AddUser("alice"), "openid").Str("access_token")} {
				c.refused(what, w.Json("POST", w.Issuer+"/register", value, object()), http.StatusUnauthorized)
			}
			bases, before := []string{w.Issuer, w.Twin(c.T)}, w.CountClients()
			var n, created atomic.Int32
			var wait sync.WaitGroup
			for range 24 {
				wait.Go(func() {
					a := w.Json("POST", bases[n.Add(1)%2]+"/register", token, object())
					if a.StatusCode == http.StatusCreated {
						created.Add(1)
					} else if a.StatusCode != http.StatusUnauthorized {
						c.Errorf("%d %v", a.StatusCode, a.JSON)
					}
				})
			}
			wait.Wait()
			c.control(created.Load() == 1 && w.CountClients() == before+1, "%d registered, %d stored", created.Load(),
				w.CountClients()-before)
		}},
		attack{"DR-2", "no address in an application's metadata leads the provider to its own network", func(c *trial) {
			port, count := c.listener()
			w := c.fresh(guarded)
			for _, host := range inside(port) {
				for _, member := range []string{"jwks_uri", "sector_identifier_uri", "backchannel_logout_uri",
					"logo_uri", "request_uris"} {
					var value any = "https://" + host + "/x"
					if member == "request_uris" {
						value = []any{value}
					}
					c.refused(member+" "+host, w.Register(object(member, value)), http.StatusBadRequest,
						"invalid_client_metadata")
				}
			}
			c.refused("a statement", w.Register(object("software_statement", "e30.e30.")), http.StatusBadRequest,
				"unapproved_software_statement")
			if w.CountClients() != 0 || count() != 0 {
				c.Errorf("%d stored, %d connections", w.CountClients(), count())
			}
			c.w.Register(object("sector_identifier_uri", "https://127.0.0.1:"+port+"/x"))
			c.control(count() > 0, "where the operator allows it, the address is called")
		}},
		attack{"DR-3", "what an application says of itself is text on every page", func(c *trial) {
			alice := c.user("alice")
			for _, name := range []string{`<script>x</script>`, `"><img src=x onerror=x>`, "{{7*7}}", "${7*7}", `</title><svg onload=x>`} {
				made, client := c.w.Registered(object("client_name", name, "client_uri", "https://a.example/"))
				c.control(made.Str("client_name") == name, "%v", made.JSON)
				b, s := c.w.SignedIn(alice)
				c.w.Granted(s, client)
				for what, p := range map[string]providertest.Page{"consent": b.Open(c.w.Request(client)), "sign-in": c.w.Browser().Open(c.w.Request(client)), "account": b.Get("/account"), "logout": b.Get(providertest.LogoutURL("client_id", client.ID))} {
					for _, raw := range []string{"<script>x", "<img src=x", "<svg onload", "<title>49", ">49<"} {
						if strings.Contains(p.Body, raw) {
							c.Errorf("%s: %s is markup", what, raw)
						}
					}
					if csp := p.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") {
						c.Errorf("%s: %s", what, csp)
					}
				}
			}
			for member, values := range map[string][]string{"client_name": {"Bank\u202egro.live", strings.Repeat("x", 10_000)}, "logo_uri": {"javascript:alert(1)", "data:text/html,x", `https://a.example/x" onload="`},
				"client_uri": {"javascript:alert(1)", "data:text/html,x"}, "policy_uri": {"javascript:alert(1)", "vbscript:x"}, "tos_uri": {"javascript:alert(1)", "file:///x"}} {
				for _, v := range values {
					c.refused(member+" "+v[:min(len(v), 30)], c.w.Register(object(member, v)), http.StatusBadRequest, "invalid_client_metadata")
				}
			}
		}},
		attack{"DR-4", "an application that registers itself cannot choose what the provider or its administrator decides", func(c *trial) {
			victim := c.client("victim")
			made, client := c.w.Registered(object("client_id", victim.ID, "client_secret", "mine-mine-mine-mine-mine", "registration_access_token", "mine", "client_id_issued_at", 1, "trusted", true, "first_party", true, "skip_consent", true,
				"audience", []string{"https://api.example"}, "type", "service", "without_pkce", true, "allowed_groups", []string{"x"}, "opaque_access_tokens", true, "$set", map[string]any{"skip_consent": true}, "__proto__", map[string]any{"x": 1}, "_id", victim.ID))
			c.control(made.Str("client_id") != "" && made.Str("client_id") != victim.ID, "%v", made.JSON)
			if client.SkipConsent || client.Audience != nil || client.Type != clients.TypeWeb || client.AllowedGroups != nil || client.OpaqueAccessTokens || !client.Dynamic || made.Str("client_secret") == "mine-mine-mine-mine-mine" || made.Str("registration_access_token") == "mine" {
				c.Errorf("%+v", client)
			}
			before := c.w.CountClients()
			for what, o := range map[string]map[string]any{"scope": object("scope", "admin"), "password": object("grant_types", []string{"password"}), "client_credentials": object("grant_types", []string{"client_credentials"}),
				"exchange": object("grant_types", []string{"urn:ietf:params:oauth:grant-type:token-exchange"}), "public service": object("token_endpoint_auth_method", "none", "grant_types", []string{"client_credentials"}),
				"default_max_age": object("default_max_age", -1)} {
				c.refused(what, c.w.Register(o), http.StatusBadRequest, "invalid_client_metadata")
			}
			c.refused("http", c.w.Register(object("redirect_uris", []string{"http://a.example/cb"})), http.StatusBadRequest, "invalid_redirect_uri")
			if c.w.CountClients() != before {
				c.Error("something was stored")
			}
		}},
		attack{"DR-5", "a registration is read and changed with its own token, and a disabled one is not changed at all", func(c *trial) {
			x, client := c.w.Registered(object())
			y, _ := c.w.Registered(object())
			static := c.client("static")
			at, own := x.Str("registration_client_uri"), x.Str("registration_access_token")
			put := object("client_id", client.ID, "client_name", "Renamed")
			access := c.w.Tokens(static, c.user("alice"), "openid").Str("access_token")
			for what, v := range map[string][2]string{"another's token": {at, y.Str("registration_access_token")}, "an access token": {at, access}, "an initial access token": {at, c.w.InitialToken()}, "the secret": {at, x.Str("client_secret")},
				"none": {at, ""}, "a client of the administrator": {c.w.Issuer + "/register/" + static.ID, own}, "nobody": {c.w.Issuer + "/register/nobody", own}} {
				c.refused("GET with "+what, c.w.Json("GET", v[0], v[1], nil), http.StatusUnauthorized)
				c.refused("PUT with "+what, c.w.Json("PUT", v[0], v[1], put), http.StatusUnauthorized)
				c.refused("DELETE with "+what, c.w.Json("DELETE", v[0], v[1], nil), http.StatusUnauthorized)
			}
			for what, o := range map[string]map[string]any{"no client_id": object(), "another client_id": object("client_id", static.ID), "another secret": object("client_id", client.ID, "client_secret", "mine-mine-mine-mine-mine"),
				"a script": object("client_id", client.ID, "redirect_uris", []string{"javascript:x"}), "a scope": object("client_id", client.ID, "scope", "admin"), "text for a list": object("client_id", client.ID, "redirect_uris", "https://a.example/cb")} {
				c.refused(what, c.w.Json("PUT", at, own, o), http.StatusBadRequest)
			}
			c.control(c.works(c.w.Json("GET", at, own, nil)).Str("client_name") == "App", "something was changed")
			c.works(c.w.Json("PUT", at, own, put))
			c.change(client, func(m *clients.Client) { m.Disabled = true })
			c.refused("disabled", c.w.Json("PUT", at, own, object("client_id", client.ID, "disabled", false)), http.StatusForbidden)
			c.change(client, func(m *clients.Client) { m.Disabled = false })
			if got := c.w.Json("DELETE", at, own, nil); got.StatusCode != http.StatusNoContent {
				c.Errorf("DELETE: %d", got.StatusCode)
			}
			c.refused("deleted", c.w.Json("GET", at, own, nil), http.StatusUnauthorized)
		}},
	)
}

func TestAttacksThroughCallsOfOurs(t *testing.T) {
	// asks lets a client be authenticated by keys at an address, which the provider has to fetch.
	asks := func(c *trial, w *providertest.World, id, uri string) int {
		key := providertest.EcKey(c)
		w.AddClient(id, providertest.ByKey(c, "ES256", nil), func(m *clients.Client) { m.JWKS, m.JWKSURI = nil, uri })
		defer w.Forgive()
		return w.Assert(providertest.SignJWT(c, jose.ES256, key, w.AssertionOf(id, nil), providertest.Kid("k"))).StatusCode
	}
	group(t,
		attack{"SS-1", "no spelling of an address of ours is connected to, whoever wrote it", func(c *trial) {
			port, count := c.listener()
			w := c.fresh(guarded)
			for i, host := range inside(port) {
				uri := "https://" + host + "/keys"
				if status := asks(c, w, fmt.Sprint("jwt", i), uri); status != http.StatusUnauthorized {
					c.Errorf("%s: %d", uri, status)
				}
				logo := w.AddClient(fmt.Sprint("logo", i), func(m *clients.Client) { m.LogoURI, m.BackchannelLogoutURI = uri, uri })
				if p := w.Fetch("/logo/" + logo.ID); p.StatusCode != http.StatusNotFound {
					c.Errorf("%s as logo: %d", uri, p.StatusCode)
				}
			}
			if count() != 0 {
				c.Errorf("%d connections", count())
			}
			asks(c, c.w, c.name+"jwt", "https://127.0.0.1:"+port+"/keys")
			c.control(count() > 0, "where the operator allows it, the address is called")
		}},
		attack{"SS-2", "a call of ours follows no redirect, speaks http alone and says no more than it must", func(c *trial) {
			bird, key := c.canary(), providertest.EcKey(c)
			var heard atomic.Pointer[http.Header]
			host := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				switch path := r.URL.Path; path {
				case "/keys":
					h := r.Header.Clone()
					heard.Store(&h)
					_, _ = rw.Write(providertest.JwksOf(c, map[string]any{"k": key.Public()}))
				case "/file":
					rw.Header().Set("Location", "file:///etc/passwd")
					rw.WriteHeader(http.StatusFound)
				default:
					status := http.StatusFound
					_, _ = fmt.Sscanf(path, "/%d", &status)
					http.Redirect(rw, r, bird.URL+"/keys", status)
				}
			}))
			c.Cleanup(host.Close)
			at := func(name, uri string) string {
				c.client(name, providertest.ByKey(c, "ES256", nil), func(m *clients.Client) { m.JWKS, m.JWKSURI = nil, uri })
				return providertest.SignJWT(c, jose.ES256, key, c.w.AssertionOf(c.name+name, nil), providertest.Kid("k"))
			}
			c.works(c.w.Assert(at("good", host.URL+"/keys")))
			for i, uri := range []string{host.URL + "/301", host.URL + "/302", host.URL + "/303", host.URL + "/307", host.URL + "/308", host.URL + "/file", "file:///etc/passwd", "gopher://127.0.0.1:1/_x", "ftp://127.0.0.1/x", "unix:///tmp/x",
				strings.Replace(host.URL, "://", "://u:p@", 1) + "/keys", host.URL + "/keys%0d%0aHost:%20x"} {
				c.refused(uri, c.w.Assert(at(fmt.Sprint("bad", i), uri)), http.StatusUnauthorized, oauth.InvalidClient)
				c.w.Forgive()
			}
			said := *heard.Load()
			if bird.count() != 0 || said.Get("Cookie")+said.Get("Authorization")+said.Get("Referer") != "" {
				c.Errorf("%d calls, said %v", bird.count(), said)
			}
		}},
	)
}

func TestAttacksOnLogout(t *testing.T) {
	signsOut := func(c *trial, b *providertest.Browser, p providertest.Page) {
		c.control(b.Follow(b.Submit(p, "logout-confirm", nil)).StatusCode == http.StatusOK, "the person's own sign-out")
	}
	group(t,
		attack{"LO-1", "a sign-out leads to a registered address, compared character by character, or nowhere", func(c *trial) {
			out := "https://" + c.name + "web.example/cb"
			web, other, none := c.client("web", providertest.SignsOutTo(out)), c.client("other", providertest.SignsOutTo("https://other.example/out")), c.client("none")
			b, s, _ := c.signedIn("alice")
			c.w.Granted(s, web)
			hint := c.w.Hint(s, web, nil)
			uris := append(append(unequal(c.name+"web.example"), confused(c.name+"web.example")...), scripts...)
			for _, uri := range append(uris, other.PostLogoutRedirectURIs[0], web.RedirectURIs[0]+"x") {
				for what, params := range map[string][]string{"hint": {"id_token_hint", hint}, "client_id": {"client_id", web.ID}, "a client without any": {"id_token_hint", c.w.Hint(s, none, nil)}} {
					c.refusedHere(what+" "+uri, b.Get(providertest.LogoutURL(append(params, "post_logout_redirect_uri", uri, "state", "S")...)))
				}
			}
			c.refusedHere("hint of one, name of another", b.Get(providertest.LogoutURL("id_token_hint", hint, "client_id", other.ID, "post_logout_redirect_uri", out)))
			c.refusedHere("hint of another", b.Get(providertest.LogoutURL("id_token_hint", c.w.Hint(s, other, nil), "post_logout_redirect_uri", out)))
			if !c.w.StillSignedIn(b, s) {
				c.Error("signed out")
			}
			p := b.Get(providertest.LogoutURL("id_token_hint", hint, "post_logout_redirect_uri", out, "state", "S"))
			c.control(p.Header.Get("Location") == out+"?state=S", "%d %s", p.StatusCode, p.Header.Get("Location"))
		}},
		attack{"LO-2", "another site signs nobody out without that person's yes", func(c *trial) {
			web := c.client("web", providertest.SignsOutTo("https://a.example/out"))
			b, s, alice := c.signedIn("alice")
			_, bobs, _ := c.signedIn("bob")
			_, before := c.w.SignedIn(alice)
			for what, hint := range map[string]string{"none": "", "another person's": c.w.Hint(bobs, web, nil), "an earlier session's": c.w.Hint(before, web, nil)} {
				if p := b.Get(providertest.LogoutURL("id_token_hint", hint)); !p.Has("logout-confirm") {
					c.Errorf("%s: %d", what, p.StatusCode)
				}
			}
			confirm := b.Get("/logout")
			form := url.Values{"csrf": {providertest.RegexpCSRF(confirm.Body)}}
			for _, header := range elsewhere {
				if p := b.SendFrom("/logout/confirm", form, header...); p.StatusCode != http.StatusForbidden {
					c.Errorf("%v: %d", header, p.StatusCode)
				}
				if p := b.Follow(b.SendFrom("/logout", url.Values{}, header...)); !p.Has("logout-confirm") {
					c.Errorf("%v at /logout: %d", header, p.StatusCode)
				}
			}
			if p := b.Get("/logout/confirm?" + form.Encode()); p.StatusCode != http.StatusMethodNotAllowed {
				c.Errorf("by GET: %d", p.StatusCode)
			}
			if !c.w.StillSignedIn(b, s) {
				c.Error("signed out")
			}
			signsOut(c, b, confirm)
			if c.w.StillSignedIn(b, s) {
				c.Error("still signed in")
			}
		}},
		attack{"LO-3", "only an ID token of ours, expired or not, is a hint; anything else leads nowhere and signs nobody out", func(c *trial) {
			web := c.client("web", providertest.SignsOutTo("https://a.example/out"))
			b, s, alice := c.signedIn("alice")
			good, claims := c.w.Hint(s, web, nil), c.w.HintClaims(s, web, nil)
			parts := strings.Split(good, ".")
			access, err := c.w.Keys.Sign(c.Context(), "RS256", "at+jwt", claims)
			c.must(err)
			hints := map[string]string{"none": forge(`{"alg":"none"}`, claims, nil), "another key": providertest.SignJWT(c, jose.RS256, providertest.RsaKey(), claims, providertest.Kid(c.w.Published().Keys[0].KeyID)),
				"changed": parts[0] + "." + parts[1] + ".AAAA" + parts[2][4:], "access token": access, "another issuer": c.w.Hint(s, web, map[string]any{"iss": "https://evil.example"}), "for nobody": c.w.Hint(s, web, map[string]any{"aud": "nobody"}), "garbage": "x"}
			for name, secret := range spellings(c, c.w.Published().Keys[0].Key) {
				hints["HS256 by "+name] = mac(claims, secret)
			}
			for what, hint := range hints {
				target := providertest.LogoutURL("id_token_hint", hint, "post_logout_redirect_uri", "https://a.example/out")
				if p := b.Get(target); p.Header.Get("Location") != "" || p.StatusCode == http.StatusOK && !p.Has("logout-confirm") {
					c.Errorf("%s: %d to %q", what, p.StatusCode, p.Header.Get("Location"))
				}
				yes, _ := c.w.SignedIn(alice) // and who says yes is not led there either
				if p := yes.Get(target); p.StatusCode == http.StatusOK {
					if p = yes.Follow(yes.Submit(p, "logout-confirm", nil)); p.Header.Get("Location") != "" || strings.Contains(p.Body, "a.example/out") {
						c.Errorf("%s, confirmed: %d to %q", what, p.StatusCode, p.Header.Get("Location"))
					}
				}
			}
			if !c.w.StillSignedIn(b, s) {
				c.Error("signed out")
			}
			c.w.Clock.Advance(c.w.IDTokenTTL + time.Minute)
			p := b.Get(providertest.LogoutURL("id_token_hint", good, "post_logout_redirect_uri", "https://a.example/out"))
			c.control(p.Header.Get("Location") == "https://a.example/out", "expired: %d %s", p.StatusCode, p.Header.Get("Location"))
		}},
		attack{"LO-4", "every application of a session is told once, by a logout token that passes for nothing else", func(c *trial) {
			rp := providertest.NewRelyingParty(c.T)
			a, b := c.client("a", rp.Hears), c.client("b", rp.Hears)
			c.client("c", rp.Hears)
			browser, s, alice := c.signedIn("alice")
			for _, client := range []clients.Client{a, a, b} {
				c.w.Granted(s, client)
			}
			signsOut(c, browser, browser.Get("/logout"))
			c.w.DeliverDue()
			told := map[string]bool{}
			for _, token := range rp.Heard() {
				header, claims := c.w.Verified(token, "RS256")
				aud := audience(c, token)
				events, _ := claims["events"].(map[string]any)
				iat, _ := claims["iat"].(float64)
				exp, _ := claims["exp"].(float64)
				if header.ExtraHeaders["typ"] != "logout+jwt" || claims["iss"] != c.w.Issuer || claims["sub"] != alice.ID || claims["sid"] != s.ID || claims["jti"] == nil || len(aud) != 1 || exp-iat > 120 ||
					events["http://schemas.openid.net/event/backchannel-logout"] == nil || claims["nonce"] != nil {
					c.Errorf("%v %v", header, claims)
				}
				if told[aud[0]] {
					c.Errorf("%s was told twice", aud[0])
				}
				told[aud[0]] = true
				if again, s := c.w.SignedIn(alice); !c.w.StillSignedIn(again, s) || again.Get(providertest.LogoutURL("id_token_hint", token)).Header.Get("Location") != "" || !c.w.StillSignedIn(again, s) {
					c.Error("the logout token is taken as a hint")
				}
			}
			c.control(len(told) == 2 && told[a.ID] && told[b.ID], "told: %v", told)
		}},
		attack{"LO-5", "an application's logout address inside, or one that hangs, harms neither us nor the sign-out", func(c *trial) {
			port, count := c.listener()
			w := c.fresh(guarded)
			var inner []clients.Client
			for i, host := range inside(port) {
				inner = append(inner, w.AddClient(fmt.Sprint("in", i), func(m *clients.Client) { m.BackchannelLogoutURI = "https://" + host + "/x" }))
			}
			w.SignedOutOf(w.AddUser("alice"), inner...)
			w.DeliverDue()
			if count() != 0 {
				c.Errorf("%d connections", count())
			}
			bird, rp := c.canary(), providertest.NewRelyingParty(c.T)
			rp.Answers(func(rw http.ResponseWriter, r *http.Request) { http.Redirect(rw, r, bird.URL, http.StatusFound) })
			id := c.w.SignedOutOf(c.user("alice"), c.client("moves", rp.Hears))
			c.w.DeliverDue()
			c.control(len(rp.Heard()) == 1, "told %d times", len(rp.Heard()))
			if bird.count() != 0 || !c.w.Delivery(id).DeliveredAt.IsZero() {
				c.Errorf("a redirect was followed, %d times", bird.count())
			}
			// Nobody delivers here, as when every application hangs: the person's answer comes all
			// the same.
			b, s, _ := c.signedIn("bob")
			c.w.Granted(s, c.client("hangs", rp.Hears))
			signsOut(c, b, b.Get("/logout"))
			if c.w.StillSignedIn(b, s) {
				c.Error("still signed in")
			}
		}},
	)
}
