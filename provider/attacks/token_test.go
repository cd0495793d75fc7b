package attacks_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"latchkey/provider"
	"latchkey/provider/admin"
	"latchkey/provider/clients"
	"latchkey/provider/oauth"
	"latchkey/provider/providertest"
	"latchkey/provider/storage"
)

var system = admin.Actor{Kind: storage.ActorSystem}

func TestAttacksOnRefreshTokens(t *testing.T) {
	no := func(c *trial, what string, a providertest.AnswerJSON) {
		c.Helper()
		c.refused(what, a, http.StatusBadRequest, oauth.InvalidGrant)
	}
	group(t,
		attack{"RT-1", "a replaced refresh token ends all that its grant gave, and nothing else", func(c *trial) {
			alice, spa, web := c.user("alice"), c.client("spa", providertest.Public), c.client("web")
			beside, elsewhere := c.w.Tokens(spa, alice, providertest.Offline),
				c.w.Tokens(web, alice, providertest.Offline)
			one := c.w.Tokens(spa, alice, providertest.Offline)
			two := c.works(c.w.Renew(spa, one.Str("refresh_token")))
			three := c.works(c.w.Renew(spa, two.Str("refresh_token")))
			c.works(c.w.Whois(three.Str("access_token")))
			no(c, "the first", c.w.Renew(spa, one.Str("refresh_token")))
			no(c, "the newest", c.w.Renew(spa, three.Str("refresh_token")))
			for _, a := range []providertest.AnswerJSON{one, two, three} {
				c.refused("userinfo", c.w.Whois(a.Str("access_token")), http.StatusUnauthorized, oauth.InvalidToken)
			}
			if !strings.Contains(c.w.Log.String(), "refresh token was used again") {
				c.Error("the log says nothing")
			}
			c.works(c.w.Renew(spa, beside.Str("refresh_token")))
			c.works(c.w.Renew(web, elsewhere.Str("refresh_token")))
		}},
		attack{"RT-2", "a refresh token that many use at once has one successor", func(c *trial) {
			alice, spa, two := c.user("alice"), c.client("spa", providertest.Public), c.instances()
			for range 6 {
				one := c.w.Tokens(spa, alice, providertest.Offline)
				won, lost := providertest.AtOnce(24, func() providertest.AnswerJSON {
					return two.post("/token", spa, url.Values{"grant_type": {"refresh_token"},
						"refresh_token": {one.Str("refresh_token")}, "client_id": {spa.ID}})
				})
				c.control(len(won) > 0, "nobody got a successor")
				for _, a := range won {
					if a.Str("refresh_token") != won[0].Str("refresh_token") {
						c.Error("two live branches")
					}
				}
				for _, l := range lost {
					no(c, "a loser", l)
				}
				c.works(c.w.Renew(spa, won[0].Str("refresh_token")))
			}
			strict := c.fresh(func(cfg *provider.Config) { cfg.RefreshGrace = -1 })
			bob, app := strict.AddUser("bob"), strict.AddClient("app", providertest.Public)
			one := strict.Tokens(app, bob, providertest.Offline)
			won, _ := providertest.AtOnce(24, func() providertest.AnswerJSON {
				return strict.Renew(app,
					one.Str("refresh_token"))
			})
			c.control(len(won) == 1, "%d successors without a grace", len(won))
			no(c, "the one successor, since it was used again", strict.Renew(app, won[0].Str("refresh_token")))
		}},
		attack{"RT-3", "the grace for a lost answer ends with its time, and with the use of the successor",
			func(c *trial) {
				alice, spa, other := c.user("alice"), c.client("spa", providertest.Public),
					c.client("other", providertest.Public)
				one := c.w.Tokens(spa, alice, providertest.Offline)
				two := c.works(c.w.Renew(spa, one.Str("refresh_token")))
				c.w.Clock.Advance(c.w.RefreshGrace - time.Second)
				for range 30 {
					if again := c.works(c.w.Renew(spa, one.Str("refresh_token"))); again.Str("refresh_token") != two.Str("refresh_token") {
						c.Fatal("another successor")
					}
				}
				no(c, "by another client", c.w.Renew(other, one.Str("refresh_token")))
				c.w.Clock.Advance(2 * time.Second)
				no(c, "too late", c.w.Renew(spa, one.Str("refresh_token")))
				no(c, "the successor", c.w.Renew(spa, two.Str("refresh_token")))
				one = c.w.Tokens(spa, alice, providertest.Offline)
				two = c.works(c.w.Renew(spa, one.Str("refresh_token")))
				three := c.works(c.w.Renew(spa, two.Str("refresh_token")))
				no(c, "after its successor", c.w.Renew(spa, one.Str("refresh_token")))
				no(c, "the newest", c.w.Renew(spa, three.Str("refresh_token")))
			}},
		attack{"RT-4", "a refresh token is its client's alone, and survives the tries of others", func(c *trial) {
			alice, a, b, spa := c.user("alice"), c.client("web-a"), c.client("web-b"),
				c.client("spa", providertest.Public)
			of, mine := c.w.Tokens(a, alice, providertest.Offline).Str("refresh_token"),
				c.w.Tokens(spa, alice, providertest.Offline).Str("refresh_token")
			no(c, "web-a's by web-b", c.w.Renew(b, of))
			no(c, "web-a's by spa", c.w.Renew(spa, of))
			no(c, "spa's by web-a", c.w.Renew(a, mine))
			c.refused("web-a's without its secret", c.w.Try("/token", url.Values{"grant_type": {"refresh_token"},
				"refresh_token": {of}, "client_id": {a.ID}}), http.StatusUnauthorized, oauth.InvalidClient)
			c.works(c.w.Renew(a, of))
			c.works(c.w.Renew(spa, mine))
		}},
		attack{"RT-5", "person, application, group, consent and grant are looked at again at each refresh",
			func(c *trial) {
				type change struct {
					name string
					do   func(u storage.User, a clients.Client, b *providertest.Browser, s storage.Session) error
					code []oauth.Code
				}
				gone := []oauth.Code{oauth.InvalidGrant}
				for i, x := range []change{
					{"disabled", func(u storage.User, _ clients.Client, _ *providertest.Browser, _ storage.Session) error {
						_, err := c.w.Admin.SetDisabled(c.Context(), system, u.ID, true)
						return err
					}, gone},
					{"deleted", func(u storage.User, _ clients.Client, _ *providertest.Browser, _ storage.Session) error {
						_, err := c.w.Admin.DeleteUser(c.Context(), system, u.ID)
						return err
					}, gone},
					{"out of the group", func(u storage.User, _ clients.Client, _ *providertest.Browser,
						_ storage.Session) error {
						c.changeUser(u, func(u *storage.User) { u.Groups = nil })
						return nil
					}, gone},
					{"signed out everywhere by an administrator", func(u storage.User, _ clients.Client,
						_ *providertest.Browser, _ storage.Session) error {
						_, err := c.w.Admin.EndSessions(c.Context(), system, u.ID)
						return err
					}, gone},
					{"a new password", func(u storage.User, _ clients.Client, _ *providertest.Browser,
						_ storage.Session) error {
						_, err := c.w.Admin.SetPassword(c.Context(), system, u.ID, "another horse battery staple")
						return err
					}, gone},
					{"disconnected by the person", func(_ storage.User, a clients.Client, b *providertest.Browser,
						s storage.Session) error {
						if p := b.Change(s, url.Values{"action": {"disconnect"},
							"client_id": {a.ID}}); p.StatusCode != http.StatusSeeOther {
							c.Errorf("disconnect: %d", p.StatusCode)
						}
						return nil
					}, gone},
					{"the application disabled", func(_ storage.User, a clients.Client, _ *providertest.Browser,
						_ storage.Session) error {
						c.change(a, func(m *clients.Client) { m.Disabled = true })
						return nil
					}, []oauth.Code{oauth.InvalidClient}},
					{"the application without the grant type", func(_ storage.User, a clients.Client,
						_ *providertest.Browser, _ storage.Session) error {
						c.change(a, func(m *clients.Client) { m.GrantTypes = []string{"authorization_code"} })
						return nil
					}, []oauth.Code{oauth.UnauthorizedClient}},
				} {
					n := string(rune('a' + i))
					u, a := c.user("alice-"+n, "staff"),
						c.client("web-"+n, func(m *clients.Client) { m.AllowedGroups = []string{"staff"} })
					b, s := c.w.SignedIn(u)
					got := c.works(c.w.Redeem(a, c.code(b.Get(c.w.Request(a, "scope", providertest.Offline)))))
					got = c.works(c.w.Renew(a, got.Str("refresh_token")))
					c.must(x.do(u, a, b, s))
					status := http.StatusBadRequest
					if x.code[0] == oauth.InvalidClient {
						status = http.StatusUnauthorized
					}
					c.refused(x.name, c.w.Renew(a, got.Str("refresh_token")), status, x.code...)
				}
				alice, a := c.user("alice"), c.client("web",
					func(m *clients.Client) { m.Scope = "openid profile email offline_access" })
				got := c.works(c.w.Redeem(a, c.code(func() providertest.Page { b, _ := c.w.SignedIn(alice); return b.Get(c.w.Request(a, "scope", a.Scope)) }())))
				c.change(a, func(m *clients.Client) { m.Scope = "openid offline_access" })
				got = c.works(c.w.Renew(a, got.Str("refresh_token")))
				if who := c.works(c.w.Whois(got.Str("access_token"))); got.Str("scope") != "openid offline_access" ||
					who.JSON["email"] != nil {
					c.Errorf("a scope that was taken away: %v %v", got.JSON, who.JSON)
				}
			}},
		attack{"RT-6", "a refresh gives no scope and no API that was not granted", func(c *trial) {
			alice := c.user("alice")
			a := c.client("web", func(m *clients.Client) {
				m.Scope, m.Audience = "openid profile email offline_access admin", []string{"https://api1.example",
					"https://api2.example"}
			})
			rt := c.w.Tokens(a, alice, providertest.Offline,
				func(g *storage.Grant) { g.Resource = []string{"https://api1.example"} }).Str("refresh_token")
			for name, values := range map[string][]string{"scope": {"openid profile admin", "email", "api:write",
				"Openid"}, "resource": {"https://api2.example", "https://api1.example/", "https://evil.example"}} {
				for _, v := range values {
					c.refused(v, c.w.Renew(a, rt, name, v), http.StatusBadRequest, oauth.InvalidScope,
						oauth.InvalidTarget)
				}
			}
			narrow := c.works(c.w.Renew(a, rt, "scope", "openid"))
			if narrow.Str("scope") != "openid" {
				c.Errorf("%v", narrow.JSON)
			}
			if all := c.works(c.w.Renew(a, narrow.Str("refresh_token"), "audience",
				"https://api2.example")); all.Str("scope") != providertest.Offline ||
				strings.Contains(strings.Join(audience(c, all.Str("access_token")), " "), "api2") {
				c.Errorf("%v", all.JSON)
			}
		}},
	)
}

// audience are the members of aud of a JWT.
func audience(c *trial, jwt string) []string {
	c.Helper()
	var out []string
	switch aud := providertest.ClaimsOf(c, jwt)["aud"].(type) {
	case string:
		out = append(out, aud)
	case []any:
		for _, a := range aud {
			s, _ := a.(string)
			out = append(out, s)
		}
	}
	return out
}

func TestAttacksThatMixTokens(t *testing.T) {
	group(t,
		attack{"TM-1", "each kind of token is good at its own place and nowhere else", func(c *trial) {
			alice, key := c.user("alice"), providertest.EcKey(c)
			web := c.client("web", func(m *clients.Client) {
				m.BackchannelLogoutURI, m.PostLogoutRedirectURIs, m.JWKS = "https://a.example/bc",
					[]string{"https://a.example/bye"}, providertest.JwksOf(c, map[string]any{"k": key.Public()})
			})
			foreign := c.client("api", providertest.API("https://api.example"))
			opaque := c.client("opaque", func(m *clients.Client) { m.OpaqueAccessTokens = true })
			jwt := c.client("jwt", providertest.ByKey(c, "ES256", map[string]any{"k": key.Public()}))
			got, got2 := c.w.Tokens(web, alice, providertest.Offline), c.w.Tokens(opaque, alice, "openid")
			registered, self := c.w.Registered(map[string]any{"redirect_uris": []string{"https://a.example/cb"}})
			b, s := c.w.SignedIn(alice)
			logout, err := c.w.Sessions.LogoutToken(c.Context(), web, storage.LogoutDelivery{Subject: alice.ID,
				SessionID: s.ID})
			c.must(err)
			cookie := b.Client.Jar.Cookies(c.w.Web.Base)[0].Value
			for kind, value := range map[string]string{"ID token": got.Str("id_token"),
				"access token": got.Str("access_token"), "opaque access token": got2.Str("access_token"),
				"refresh token": got.Str("refresh_token"),
				"logout token":  logout, "registration access token": registered.Str("registration_access_token"),
				"assertion": providertest.SignJWT(c, jose.ES256, key, c.w.AssertionOf(jwt.ID, nil), nil),
				"cookie":    cookie, "secret": providertest.TestSecret} {
				only := func(where string, took bool, kinds ...string) {
					if c.Helper(); took != slices.Contains(kinds, kind) {
						c.Errorf("%s %s: taken %v", kind, where, took)
					} else if took {
						c.control(true, "")
					}
				}
				only("at userinfo", c.w.Whois(value).StatusCode == http.StatusOK, "access token", "opaque access token")
				only("as refresh token", c.w.Renew(web, value).StatusCode == http.StatusOK, "refresh token")
				only("at registration", c.w.Json("GET", c.w.Issuer+"/register/"+self.ID, value,
					nil).StatusCode == http.StatusOK, "registration access token")
				only("at introspection", c.w.Asks(web, value).JSON["active"] == true, "access token")
				only("at introspection by another", c.w.Asks(foreign, value).JSON["active"] == true)
				only("as hint", c.w.Browser().Get(providertest.LogoutURL("id_token_hint", value,
					"post_logout_redirect_uri", "https://a.example/bye")).StatusCode == http.StatusSeeOther, "ID token")
				only("as assertion", c.w.Assert(value).StatusCode == http.StatusOK, "assertion")
				c.w.Forgive()
			}
		}},
		attack{"TM-2", "userinfo takes tokens that were issued for it, with the scope openid, spelt so",
			func(c *trial) {
				alice := c.user("alice")
				a := c.client("web", func(m *clients.Client) {
					m.Audience, m.Scope = []string{"https://api1.example"}, "openid profile openidx xopenid api:read"
				})
				c.works(c.w.Whois(c.w.Tokens(a, alice, "openid profile").Str("access_token")))
				api := c.w.Tokens(a, alice, "api:read",
					func(g *storage.Grant) { g.Resource = a.Audience }).Str("access_token")
				if got := c.w.Whois(api); got.StatusCode != http.StatusUnauthorized &&
					got.StatusCode != http.StatusForbidden || got.JSON["sub"] != nil {
					c.Errorf("one for an API: %d %v", got.StatusCode, got.JSON)
				}
				for _, scope := range []string{"openidx", "xopenid", "profile", "openidx xopenid"} {
					if got := c.w.Whois(c.w.Tokens(a, alice,
						scope).Str("access_token")); got.StatusCode != http.StatusUnauthorized &&
						got.StatusCode != http.StatusForbidden || got.JSON["sub"] != nil {
						c.Errorf("scope %s: %d %v", scope, got.StatusCode, got.JSON)
					}
				}
				svc := c.client("svc", providertest.Service)
				if got := c.w.Whois(c.works(c.w.Call("/token", svc,
					clientCredentials)).Str("access_token")); got.StatusCode == http.StatusOK {
					c.Errorf("a client's own token: %v", got.JSON)
				}
			}},
		attack{"TM-3", "access tokens and ID tokens say what they are, and cannot be taken for each other",
			func(c *trial) {
				alice := c.user("alice")
				a := c.client("web", func(m *clients.Client) { m.Audience = []string{"https://api1.example"} })
				got := c.works(c.w.Redeem(a, func() string {
					code, _ := c.w.Authorized(a, alice,
						"openid")
					return code
				}()))
				header, access := c.w.Verified(got.Str("access_token"), "ES256")
				if header.ExtraHeaders["typ"] != "at+jwt" || access["iss"] != c.w.Issuer || access["client_id"] != a.ID ||
					access["sub"] != alice.ID {
					c.Errorf("%v %v", header, access)
				}
				for _, name := range []string{"exp", "iat", "jti", "aud"} {
					if access[name] == nil {
						c.Errorf("no %s", name)
					}
				}
				if slices.Contains(audience(c, got.Str("access_token")), a.ID) {
					c.Error("the client is an audience of its access token")
				}
				header, id := c.w.Verified(got.Str("id_token"), "RS256")
				if typ, _ := header.ExtraHeaders["typ"].(string); typ == "at+jwt" ||
					!slices.Equal(audience(c, got.Str("id_token")), []string{a.ID}) || id["sub"] != alice.ID {
					c.Errorf("%v %v", header, id)
				}
			}},
	)
}

func TestAttacksOnIntrospectionAndRevocation(t *testing.T) {
	group(t,
		attack{"IR-1", "a token is explained to its API and its client, and to nobody else", func(c *trial) {
			alice, a := c.user("alice"), c.client("web",
				func(m *clients.Client) { m.Audience = []string{"https://api1.example"} })
			rs1, rs2, b, spa := c.client("rs1", providertest.API("https://api1.example")),
				c.client("rs2", providertest.API("https://api2.example")), c.client("b"),
				c.client("spa", providertest.Public)
			at := c.w.Tokens(a, alice, "openid").Str("access_token")
			for _, asker := range []clients.Client{rs1, a} {
				got := c.works(c.w.Asks(asker, at))
				c.control(got.JSON["active"] == true && got.JSON["sub"] == alice.ID, "%v", got.JSON)
			}
			for _, asker := range []clients.Client{rs2, b} {
				if status, body := c.w.Introspected(asker, at); status != http.StatusOK || body != `{"active":false}` {
					c.Errorf("%s: %d %s", asker.ID, status, body)
				}
			}
			form := url.Values{"token": {at}}
			c.refused("spa", c.w.Try("/introspect", providertest.With(form, "client_id", spa.ID)),
				http.StatusUnauthorized, oauth.InvalidClient)
			c.refused("nobody", c.w.Try("/introspect", form), http.StatusUnauthorized, oauth.InvalidClient)
			c.refused("the token itself", c.w.Try("/introspect", form, "Bearer "+at), http.StatusUnauthorized,
				oauth.InvalidClient)
			c.change(rs1, func(m *clients.Client) { m.SecretExpiresAt = c.w.Web.Now() })
			c.refused("by a secret that has expired", c.w.Asks(rs1, at), http.StatusUnauthorized, oauth.InvalidClient)
		}},
		attack{"IR-2", "of a token that is not good the answer says that and nothing more", func(c *trial) {
			alice, dave, a := c.user("alice"), c.user("dave"),
				c.client("web", func(m *clients.Client) { m.Audience = []string{"https://api1.example"} })
			rs := c.client("rs", providertest.API("https://api1.example"))
			expired := c.w.Tokens(a, alice, "openid")
			c.control(c.w.Asks(rs, expired.Str("access_token")).JSON["active"] == true, "the control")
			c.w.Clock.Advance(c.w.AccessTokenTTL)
			good, revoked, off := c.w.Tokens(a, alice, "openid"), c.w.Tokens(a, alice, "openid"),
				c.w.Tokens(a, dave, "openid")
			c.works(c.w.Call("/revoke", a, url.Values{"token": {revoked.Str("access_token")}}))
			c.changeUser(dave, func(u *storage.User) { u.Disabled = true })
			for why, token := range map[string]string{"expired": expired.Str("access_token"),
				"revoked": revoked.Str("access_token"), "disabled": off.Str("access_token"), "unknown": "x",
				"malformed":   "a.b.c",
				"an ID token": good.Str("id_token"), "changed": good.Str("access_token") + "A",
				"huge": strings.Repeat("x", 100<<10)} {
				for _, asker := range []clients.Client{rs, a} {
					if status, body := c.w.Introspected(asker, token); status != http.StatusOK ||
						body != `{"active":false}` {
						c.Errorf("%s to %s: %d %s", why, asker.ID, status, body)
					}
				}
			}
		}},
		attack{"IR-3", "nobody revokes the token of another client, and a wrong hint hides none", func(c *trial) {
			alice, a, b, spa := c.user("alice"), c.client("a"), c.client("b"), c.client("spa", providertest.Public)
			got := c.w.Tokens(a, alice, providertest.Offline)
			for _, token := range []string{got.Str("access_token"), got.Str("refresh_token")} {
				c.w.Call("/revoke", b, url.Values{"token": {token}})
				c.w.Try("/revoke", url.Values{"token": {token}, "client_id": {spa.ID}})
				c.refused("nobody", c.w.Try("/revoke", url.Values{"token": {token}}), http.StatusUnauthorized,
					oauth.InvalidClient)
				c.refused("its name alone", c.w.Try("/revoke", url.Values{"token": {token}, "client_id": {a.ID}}),
					http.StatusUnauthorized, oauth.InvalidClient)
			}
			c.works(c.w.Whois(got.Str("access_token")))
			got = c.works(c.w.Renew(a, got.Str("refresh_token")))
			c.works(c.w.Call("/revoke", a, url.Values{"token": {got.Str("refresh_token")},
				"token_type_hint": {"access_token"}}))
			c.refused("revoked with a wrong hint", c.w.Renew(a, got.Str("refresh_token")), http.StatusBadRequest,
				oauth.InvalidGrant)
		}},
		attack{"IR-4", "a revocation that the store did not take is an error, one that it took ends the tokens at once",
			func(c *trial) {
				var f *providertest.Faults
				w := c.fresh(providertest.WithFaults(&f))
				alice, a := w.AddUser("alice"), w.AddClient("web")
				got := w.Tokens(a, alice, providertest.Offline)
				for token, methods := range map[string][]string{got.Str("refresh_token"): {"RevokeGrant"},
					got.Str("access_token"): {"Spend"}} {
					f.Set(true, methods...)
					c.refused("while the store fails", w.Call("/revoke", a, url.Values{"token": {token}}),
						http.StatusServiceUnavailable, oauth.TemporarilyUnavailable)
					f.Set(false, methods...)
					c.control(w.Asks(a, token).JSON["active"] == true,
						"the token has ended although that was said to have failed")
				}
				c.works(w.Call("/revoke", a, url.Values{"token": {got.Str("refresh_token")}}))
				c.refused("refresh", w.Renew(a, got.Str("refresh_token")), http.StatusBadRequest, oauth.InvalidGrant)
				c.refused("userinfo", w.Whois(got.Str("access_token")), http.StatusUnauthorized, oauth.InvalidToken)
				if w.Asks(a, got.Str("access_token")).JSON["active"] != false {
					c.Error("still active")
				}
			}},
	)
}
