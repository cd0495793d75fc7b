package attacks_test

import (
	"net/http"
	"strings"
	"testing"

	"latchkey/provider/clients"
	"latchkey/provider/oauth"
	"latchkey/provider/providertest"
)

// unequal are spellings of https://HOST/cb that a lenient comparison would take for it.
func unequal(host string) []string {
	at := "https://" + host
	return []string{at + "/cb/", at + "/CB", "https://" + strings.ToUpper(host) + "/cb", at + ":443/cb", "http://" +
		host + "/cb", at + "/cb?x=1", at + "/cb?", at + "/cb#", at + "/cb#f",
		at + "/./cb", at + "/x/../cb", at + "/cb;x", at + "/%63b", " " + at + "/cb", at + "/cb ", at + "/cb%20", at +
			"//cb", at + "/cb\n", at + "/cb\x00", at}
}

// confused are addresses that name HOST somewhere, and are of somebody else.
func confused(host string) []string {
	at := "https://" + host
	return []string{at + "@evil.example/cb", at + ":443@evil.example/cb", `https://evil.example\@` + host + "/cb",
		"https://evil.example%5C@" + host + "/cb", at + ".evil.example/cb", "https://evil" + host + "/cb",
		"https://evil.example/?u=" + at + "/cb", "https://" + strings.Replace(host, ".example", "%2eevil.example", 1) +
			"/cb", at + "%00.evil.example/cb", "https:///" + host + "/cb", "https:" + host + "/cb",
		"//" + host + "/cb", "https://" + strings.Replace(host, ".example", "。example", 1) + "/cb", "https://user:pw@" +
			host + "/cb"}
}

var scripts = []string{"javascript:alert(1)", "JaVaScRiPt:alert(1)", "java\nscript:alert(1)", "\tjavascript:alert(1)",
	"data:text/html,x", "vbscript:x", "blob:x", "file:///etc/passwd", "about:blank",
	"view-source:https://a.example", "ftp://a.example/", "urn:x"}

func TestAttacksOnRedirectURIs(t *testing.T) {
	register := func(c *trial, uri string) {
		c.Helper()
		before := c.w.CountClients()
		for _, kind := range []string{"web", "native"} {
			a := c.w.Register(map[string]any{"redirect_uris": []string{uri}, "application_type": kind})
			c.refused("register "+uri, a, http.StatusBadRequest, "invalid_redirect_uri", "invalid_client_metadata")
		}
		if c.w.CountClients() != before {
			c.Errorf("%q was stored", uri)
		}
	}
	registers := func(c *trial) {
		c.works(c.w.Register(map[string]any{"redirect_uris": []string{"https://a.example/cb"}}))
	}
	nowhere := func(c *trial, uris func(host string) []string) {
		key := providertest.EcKey(c)
		client := c.client("web", func(m *clients.Client) {
			m.JWKS = providertest.JwksOf(c,
				map[string]any{"k": key.Public()})
		})
		b, _, _ := c.signedIn("alice")
		for how, p := range c.carried(b, client, key, "redirect_uri", client.RedirectURIs[0]) {
			c.code(b.Follow(p))
			_ = how
		}
		for _, uri := range uris(client.ID + ".example") {
			for how, p := range c.carried(b, client, key, "redirect_uri", uri) {
				c.refusedHere(uri+" "+how, p)
			}
			c.refusedHere(uri+", not signed in", c.w.Browser().Get(c.w.Request(client, "redirect_uri", uri)))
		}
		c.code(b.Get(c.w.Request(client)))
	}
	group(t,
		attack{"RU-1", "a redirect URI is compared character by character, signed in or not",
			func(c *trial) { nowhere(c, unequal) }},
		attack{"RU-2", "an address that only looks like the registered one is followed nowhere and not registered",
			func(c *trial) {
				nowhere(c, confused)
				registers(c)
				for _, uri := range confused("a.example") {
					if strings.HasPrefix(uri, "https://a.example.evil") || strings.HasPrefix(uri, "https://evila.") ||
						strings.HasPrefix(uri, "https://evil.example/?u=") {
						continue // an ordinary address, of somebody else's host
					}
					register(c, uri)
				}
			}},
		attack{"RU-3", "dots and stars of a registered redirect URI match nothing but themselves", func(c *trial) {
			registers(c)
			for _, uri := range []string{"https://*.a.example/cb", "https://a.example/*/cb", "https://*/cb"} {
				register(c, uri)
			}
			client := c.client("web", func(m *clients.Client) {
				m.RedirectURIs = []string{"https://foo.a.example/cb.php", "https://a.example/x*"}
			})
			b, _, _ := c.signedIn("alice")
			c.code(b.Get(c.w.Request(client)))
			for _, uri := range []string{"https://fooXa.example/cb.php", "https://foo.aXexample/cb.php",
				"https://foo.a.example/cbXphp", "https://evil.example/x.a.example/cb.php",
				"https://a.example/../../evil",
				"https://a.example/..;/x", "https://a.example/%2e%2e/x", "https://a.example/x", "https://a.example/xx",
				"https://a.example/xy"} {
				c.refusedHere(uri, b.Get(c.w.Request(client, "redirect_uri", uri)))
			}
		}},
		attack{"RU-4", "an address that would run a script or leave the web is neither registered nor answered to",
			func(c *trial) {
				registers(c)
				client := c.client("web")
				b, _, _ := c.signedIn("alice")
				c.code(b.Get(c.w.Request(client)))
				for _, uri := range scripts {
					register(c, uri)
					p := b.Get(c.w.Request(client, "redirect_uri", uri, "response_mode", "form_post"))
					c.refusedHere(uri, p)
					if strings.Contains(strings.ToLower(p.Body), "script:") || strings.Contains(p.Body, "text/html,x") {
						c.Errorf("%q is on the page", uri)
					}
				}
			}},
		attack{"RU-5", "a redirect URI with a fragment, a password or parameters of an answer is not registered",
			func(c *trial) {
				registers(c)
				for _, uri := range []string{"https://a.example/cb#x", "https://a.example/cb#", "https://u:p@a.example/cb",
					"https://u@a.example/cb", "https://a.example/cb?code=1", "https://a.example/cb?state=1&iss=x",
					"https://a.example/cb?error=x", "https://a.example/cb?x=1&id_token=y"} {
					register(c, uri)
				}
			}},
		attack{"RU-6", "a foreign redirect URI is followed for no other error in the same request", func(c *trial) {
			client := c.client("web")
			b, _, _ := c.signedIn("alice")
			c.code(b.Get(c.w.Request(client)))
			const evil = "https://evil.example/"
			for _, also := range [][]string{{}, {"prompt", "none"}, {"response_type", "foo"}, {"scope", ""},
				{"code_challenge", ""}, {"request", "garbage"}, {"request_uri", "urn:x"}, {"max_age", "-1"},
				{"claims", "["},
				{"response_mode", "zzz"}, {"response_mode", "form_post"}, {"client_id", "nobody"}, {"client_id", ""},
				{"resource", "x"}, {"state", strings.Repeat("x", 9000)}, {"prompt", "none login"}} {
				target := c.w.Request(client, append([]string{"redirect_uri", evil}, also...)...)
				for who, in := range map[string]*providertest.Browser{"signed in": b, "not signed in": c.w.Browser()} {
					for _, p := range []providertest.Page{in.Get(target),
						in.Post("/authorize", providertest.MustQuery(c, target)), in.Get(target + "&client_id=" +
							client.ID)} {
						c.refusedHere(who+" "+strings.Join(also, "="), p)
						if strings.Contains(p.Body, "evil.example") && strings.Contains(p.Body, `href="https://evil`) {
							c.Errorf("%v: the page leads there", also)
						}
					}
				}
			}
		}},
		attack{"RU-10", "a code is redeemed with the redirect URI of its request, and another one costs nothing",
			func(c *trial) {
				client := c.client("web", func(m *clients.Client) {
					m.RedirectURIs = append(m.RedirectURIs,
						"https://a.example/second")
				})
				b, _, _ := c.signedIn("alice")
				code := c.code(b.Get(c.w.Request(client)))
				c.refused("the other one", c.w.Redeem(client, code, "redirect_uri", "https://a.example/second"),
					http.StatusBadRequest, oauth.InvalidGrant)
				c.refused("none", c.w.Redeem(client, code, "redirect_uri", ""), http.StatusBadRequest, oauth.InvalidGrant,
					oauth.InvalidRequest)
				for _, uri := range unequal(client.ID + ".example") {
					c.refused(uri, c.w.Redeem(client, code, "redirect_uri", uri), http.StatusBadRequest, oauth.InvalidGrant,
						oauth.InvalidRequest)
				}
				c.works(c.w.Redeem(client, code))
				c.refused("a second time", c.w.Redeem(client, code), http.StatusBadRequest, oauth.InvalidGrant)
			}},
	)
}
