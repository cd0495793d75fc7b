package attacks_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"latchkey/provider/clients"
	"latchkey/provider/oauth"
	"latchkey/provider/providertest"
)

func TestAttacksOnCodes(t *testing.T) {
	group(t,
		attack{"AC-1", "a code is redeemed by its own client alone, and survives the tries of others", func(c *trial) {
			alice, a, b, spa := c.user("alice"), c.client("web-a"), c.client("web-b"),
				c.client("spa", providertest.Public)
			code, _ := c.w.Authorized(a, alice, "openid")
			for _, uri := range []string{a.RedirectURIs[0], b.RedirectURIs[0]} {
				c.refused("by web-b", c.w.Redeem(b, code, "redirect_uri", uri), http.StatusBadRequest,
					oauth.InvalidGrant)
				c.refused("by spa", c.w.Redeem(spa, code, "redirect_uri", uri), http.StatusBadRequest,
					oauth.InvalidGrant)
			}
			c.refused("by web-b in the name of web-a", c.w.Redeem(b, code, "client_id", a.ID), http.StatusBadRequest,
				oauth.InvalidRequest, oauth.InvalidClient)
			if !strings.Contains(c.w.Log.String(), "a code was presented by another client") {
				c.Error("the log says nothing")
			}
			c.works(c.w.Redeem(a, code))
		}},
		attack{"AC-2", "a code that comes a second time ends everything that came of the first", func(c *trial) {
			alice, a := c.user("alice"), c.client("web")
			for _, wait := range []int{0, 1, 30} {
				code, _ := c.w.Authorized(a, alice, "openid offline_access")
				got := c.works(c.w.Redeem(a, code))
				c.works(c.w.Whois(got.Str("access_token")))
				c.w.Clock.Advance(seconds(wait))
				c.refused("the code", c.w.Redeem(a, code), http.StatusBadRequest, oauth.InvalidGrant)
				c.refused("userinfo", c.w.Whois(got.Str("access_token")), http.StatusUnauthorized, oauth.InvalidToken)
				c.refused("refresh", c.w.Renew(a, got.Str("refresh_token")), http.StatusBadRequest, oauth.InvalidGrant)
				if _, body := c.w.Introspected(a, got.Str("access_token")); body != `{"active":false}` {
					c.Errorf("introspection: %s", body)
				}
			}
		}},
		attack{"AC-3", "of many who redeem a code at once at two instances one gets tokens", func(c *trial) {
			alice, a, two := c.user("alice"), c.client("web"), c.instances()
			for range 8 {
				code, _ := c.w.Authorized(a, alice, "openid offline_access")
				won, lost := providertest.AtOnce(24, func() providertest.AnswerJSON {
					return two.post("/token", a,
						redeem(a, code))
				})
				c.control(len(won) == 1, "%d token sets of one code", len(won))
				for _, l := range lost {
					c.refused("a loser", l, http.StatusBadRequest, oauth.InvalidGrant)
				}
				c.refused("what the winner got, since the code was used again",
					c.w.Renew(a, won[0].Str("refresh_token")), http.StatusBadRequest, oauth.InvalidGrant)
			}
		}},
		attack{"AC-4", "a code ends with its lifetime, to the second", func(c *trial) {
			alice, a := c.user("alice"), c.client("web")
			for _, late := range []int{-1, 0, 1, 60} {
				code, _ := c.w.Authorized(a, alice, "openid")
				c.w.Clock.Advance(c.w.CodeTTL + seconds(late))
				if got := c.w.Redeem(a, code); late < 0 {
					c.works(got)
				} else {
					c.refused("late", got, http.StatusBadRequest, oauth.InvalidGrant)
				}
			}
			if c.w.CodeTTL > seconds(60) {
				c.Errorf("a code lasts for %s", c.w.CodeTTL)
			}
		}},
		attack{"AC-5", "a stolen code is worth nothing with the thief's own verifier", func(c *trial) {
			alice, a := c.user("alice"), c.client("web")
			stolen, _ := c.w.Authorized(a, alice, "openid")
			c.refused("the thief's verifier", c.w.Redeem(a, stolen, "code_verifier", strings.Repeat("m", 43)),
				http.StatusBadRequest, oauth.InvalidGrant)
			c.refused("the challenge itself", c.w.Redeem(a, stolen, "code_verifier", providertest.TestChallenge),
				http.StatusBadRequest, oauth.InvalidGrant)
			c.works(c.w.Redeem(a, stolen))
		}},
		attack{"AC-7", "what is used once is taken for its own kind alone, and no try uses it up", func(c *trial) {
			alice, a := c.user("alice"), c.client("web")
			first, _ := c.w.Authorized(a, alice, "openid offline_access")
			got := c.works(c.w.Redeem(a, first))
			code, grant := c.w.Authorized(a, alice, "openid offline_access")
			b, s := c.w.SignedIn(alice)
			registered, client := c.w.Registered(map[string]any{"redirect_uris": []string{"https://a.example/cb"}})
			waits := c.w.Browser().Open(c.w.Request(a)).Request.URL.Query().Get("i")
			values := map[string]string{"code": code, "refresh token": got.Str("refresh_token"),
				"registration access token": registered.Str("registration_access_token"),
				"initial access token":      c.w.InitialToken(),
				"session":                   s.ID, "interaction": waits, "grant": grant.ID,
				"form value": providertest.RegexpCSRF(b.Get("/logout").Body)}
			for kind, value := range values {
				if value == "" {
					c.Fatalf("no %s", kind)
				}
				for _, prefix := range []string{"", "lkc_", "lkr_", "lka_", "code:", "refresh:"} {
					value := prefix + value
					if kind != "code" || prefix != "" {
						c.refused(kind+" as code", c.w.Redeem(a, value), http.StatusBadRequest, oauth.InvalidGrant)
					}
					if kind != "refresh token" || prefix != "" {
						c.refused(kind+" as refresh token", c.w.Renew(a, value), http.StatusBadRequest,
							oauth.InvalidGrant)
					}
					if kind != "registration access token" || prefix != "" {
						c.refused(kind+" at registration", c.w.Json("GET", c.w.Issuer+"/register/"+client.ID, value,
							nil), http.StatusUnauthorized, oauth.InvalidToken)
					}
					if kind != "interaction" || prefix != "" {
						if p := c.w.Browser().Get("/login?i=" + url.QueryEscape(value)); p.StatusCode < 400 {
							c.Errorf("%s as interaction: %d", kind, p.StatusCode)
						}
					}
					c.refused(kind+" as access token", c.w.Whois(value), http.StatusUnauthorized, oauth.InvalidToken)
				}
			}
			c.works(c.w.Redeem(a, code))
			c.works(c.w.Renew(a, got.Str("refresh_token")))
			c.works(c.w.Json("GET", c.w.Issuer+"/register/"+client.ID, registered.Str("registration_access_token"), nil))
		}},
	)
}

func TestAttacksOnPKCE(t *testing.T) {
	group(t,
		attack{"PK-1", "a code with a challenge is not redeemed without its verifier", func(c *trial) {
			alice := c.user("alice")
			for _, client := range []clients.Client{c.client("web"), c.client("spa", providertest.Public)} {
				code, _ := c.w.Authorized(client, alice, "openid")
				c.refused("none", c.w.Redeem(client, code, "code_verifier", ""), http.StatusBadRequest,
					oauth.InvalidGrant, oauth.InvalidRequest)
				form := redeem(client, code)
				form["code_verifier"] = []string{""}
				c.refused("an empty one", c.w.Call("/token", client, form), http.StatusBadRequest, oauth.InvalidGrant,
					oauth.InvalidRequest)
				c.works(c.w.Redeem(client, code))
			}
		}},
		attack{"PK-2", "a verifier for a code without a challenge is refused", func(c *trial) {
			client := c.client("web", func(m *clients.Client) { m.WithoutPKCE = true })
			b, _, _ := c.signedIn("alice")
			code := c.code(b.Get(c.w.Request(client, "code_challenge", "", "code_challenge_method", "")))
			c.refused("a verifier", c.w.Redeem(client, code), http.StatusBadRequest, oauth.InvalidGrant,
				oauth.InvalidRequest)
			c.works(c.w.Redeem(client, code, "code_verifier", ""))
		}},
		attack{"PK-3", "every client has to use PKCE unless its administrator said otherwise", func(c *trial) {
			key := providertest.EcKey(c)
			b, _, _ := c.signedIn("alice")
			jwks := func(m *clients.Client) { m.JWKS = providertest.JwksOf(c, map[string]any{"k": key.Public()}) }
			native := func(m *clients.Client) {
				providertest.Public(m)
				m.Type, m.ApplicationType, m.RedirectURIs = clients.TypeNative, "native",
					[]string{"com.example.app:/cb"}
			}
			all := []clients.Client{c.client("web", jwks), c.client("spa", jwks, providertest.Public),
				c.client("native", jwks, native)}
			_, self := c.w.Registered(map[string]any{"redirect_uris": []string{"https://a.example/cb"},
				"token_endpoint_auth_method": "none"})
			for _, client := range append(all, self) {
				for _, scope := range []string{"openid", "openid offline_access"} {
					p := b.Get(c.w.Request(client, "scope", scope, "code_challenge", "", "code_challenge_method", ""))
					c.refusedThere(client.ID+" "+scope, p, client, oauth.InvalidRequest)
				}
				if client.JWKS != nil {
					object := providertest.SignJWT(c, "ES256", key,
						c.w.ObjectOf(client, map[string]any{"code_challenge": nil, "code_challenge_method": nil}),
						providertest.Kid("k"))
					c.refusedThere(client.ID+" by a request object",
						b.Get(c.w.Request(client, "request", object, "code_challenge", "", "code_challenge_method",
							"")), client, oauth.InvalidRequest)
				}
			}
			c.code(b.Get(c.w.Request(all[0])))
		}},
		attack{"PK-4", "no method but S256 is taken, and discovery lists no other", func(c *trial) {
			key := providertest.EcKey(c)
			client := c.client("web", func(m *clients.Client) {
				m.JWKS = providertest.JwksOf(c,
					map[string]any{"k": key.Public()})
			})
			b, _, _ := c.signedIn("alice")
			c.code(b.Get(c.w.Request(client)))
			for _, method := range []string{"plain", "s256", "S256 ", "none", "S512"} {
				for how, p := range c.carried(b, client, key, "code_challenge_method", method) {
					c.refusedThere(method+" "+how, p, client, oauth.InvalidRequest)
				}
			}
			c.refusedThere("none", b.Get(c.w.Request(client, "code_challenge_method", "")), client,
				oauth.InvalidRequest)
			c.refusedThere("an empty one", b.Get(c.w.Request(client, "code_challenge_method",
				"")+"&code_challenge_method="), client, oauth.InvalidRequest)
			c.refusedThere("two", b.Get(c.w.Request(client)+"&code_challenge_method=plain"), client,
				oauth.InvalidRequest)
			methods, _ := c.w.Json("GET", c.w.Issuer+"/.well-known/openid-configuration", "",
				nil).JSON["code_challenge_methods_supported"].([]any)
			if !slices.Equal(methods, []any{"S256"}) {
				c.Errorf("discovery: %v", methods)
			}
		}},
	)
}
