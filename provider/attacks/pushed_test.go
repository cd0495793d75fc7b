package attacks_test

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey/provider/clients"
	"latchkey/provider/oauth"
	"latchkey/provider/providertest"
)

// pushes makes a client that has to push its requests, and a browser that is signed in, and checks
// first that a pushed request leads to a code.
func pushes(c *trial) (clients.Client, *providertest.Browser) {
	client := c.client("par", func(m *clients.Client) {
		m.RequirePushedAuthorizationRequests = true
		m.GrantTypes = append(m.GrantTypes, oauth.GrantClientCredentials)
		m.Scope = "openid email api:read"
	})
	b, _, _ := c.signedIn("alice")
	c.code(b.Get(c.w.MustPush(client)))
	return client, b
}

func TestAttacksOnPushedRequests(t *testing.T) {
	group(t,
		attack{"PA-1", "a pushed request is its client's alone", func(c *trial) {
			client, b := pushes(c)
			web, spa := c.client("web"), c.client("spa", providertest.Public)
			for _, owner := range []clients.Client{client, spa} {
				uri := c.w.Push(owner).Str("request_uri")
				c.refusedHere("another client", b.Get(c.w.Pushed(web, uri)))
				c.refusedHere("no client", b.Get("/authorize?"+url.Values{"request_uri": {uri}}.Encode()))
				p := b.Get(c.w.Pushed(owner, uri, "redirect_uri", "https://evil.example/", "state", "evil",
					"scope", "openid email", "response_mode", "fragment"))
				if !strings.HasPrefix(p.Header.Get("Location"), owner.RedirectURIs[0]+"?") ||
					p.Answer().Get("state") != "S1" {
					c.Errorf("what stands beside it counts: %s", p.Header.Get("Location"))
				}
				if got := c.works(c.w.Redeem(owner, c.code(p))); got.Str("scope") != "openid" {
					c.Errorf("scope %q", got.Str("scope"))
				}
			}
		}},
		attack{"PA-2", "a pushed request is used once, and soon", func(c *trial) {
			client, b := pushes(c)
			spa := c.client("spa", providertest.Public)
			for _, owner := range []clients.Client{client, spa} {
				used := c.w.MustPush(owner)
				fresh := c.w.Browser()
				c.control(fresh.Open(used).Has("login-page") && fresh.Open(used).Has("login-page"),
					"it cannot be opened twice before it is used")
				c.code(b.Get(used))
				c.refusedHere("used", b.Get(used))
				c.refusedHere("used, by another browser", c.w.Browser().Get(used))
				late := c.w.MustPush(owner)
				c.w.Clock.Advance(time.Minute)
				c.refusedHere("expired", b.Get(late))
				// Many browsers at two instances finish one request at once.
				twin := c.w.Twin(c.T)
				for range 10 {
					target := c.w.MustPush(owner)
					var all sync.WaitGroup
					codes := make(chan string, 8)
					for i := range 8 {
						base := []string{"", twin}[i%2]
						all.Go(func() { codes <- b.Get(base + target).Answer().Get("code") })
					}
					all.Wait()
					close(codes)
					won := 0
					for code := range codes {
						if code != "" {
							won++
						}
					}
					if won != 1 {
						c.Errorf("%d codes for one pushed request", won)
					}
				}
			}
		}},
		attack{"PA-3", "a client that has to push its requests is not heard otherwise", func(c *trial) {
			client, b := pushes(c)
			key := providertest.EcKey(c)
			c.change(client, func(m *clients.Client) {
				m.JWKS = providertest.JwksOf(c, map[string]any{"k": key.Public()})
			})
			for how, p := range c.carried(b, client, key, "scope", "openid") {
				c.refusedThere(how, p, client, oauth.InvalidRequest)
			}
			for how, p := range c.carried(c.w.Browser(), client, key, "prompt", "login") {
				c.refusedThere(how+", not signed in", p, client, oauth.InvalidRequest)
			}
			c.refusedHere("a made-up reference",
				b.Get(c.w.Request(client, "request_uri", providertest.PushedPrefix+"x")))
			c.works(c.w.Call("/token", client, url.Values{"grant_type": {"client_credentials"}}))
		}},
		attack{"PA-4", "what is no pushed request is answered by no reference", func(c *trial) {
			client, _ := pushes(c)
			good := providertest.MustQuery(c, c.w.Request(client))
			for what, form := range map[string]url.Values{
				"a reference":            providertest.With(good, "request_uri", providertest.PushedPrefix+"x"),
				"an address":             providertest.With(good, "request_uri", client.RedirectURIs[0]),
				"a foreign redirect_uri": providertest.With(good, "redirect_uri", "https://evil.example/"),
				"a foreign client_id":    providertest.With(good, "client_id", c.client("other").ID),
			} {
				c.refused(what, c.w.Call("/par", client, form), http.StatusBadRequest, oauth.InvalidRequest)
			}
			twice := providertest.With(good)
			twice["redirect_uri"] = append(twice["redirect_uri"], twice["redirect_uri"]...)
			c.refused("redirect_uri twice", c.w.Call("/par", client, twice), http.StatusBadRequest,
				oauth.InvalidRequest)
			c.refused("too large", c.w.Call("/par", client, providertest.With(good, "x", strings.Repeat("x", 64<<10))),
				http.StatusRequestEntityTooLarge, oauth.InvalidRequest)
			c.refused("no secret", c.w.Try("/par", good), http.StatusUnauthorized, oauth.InvalidClient)
			for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodPatch, http.MethodDelete} {
				r, err := http.NewRequest(method, c.w.Issuer+"/par?"+good.Encode(), strings.NewReader(good.Encode()))
				c.must(err)
				r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				if a := c.w.Send(r); a.StatusCode != http.StatusMethodNotAllowed || a.Header.Get("Allow") == "" {
					c.Errorf("%s: %d", method, a.StatusCode)
				}
			}
			for _, kind := range []string{"", "application/json", "text/plain"} {
				r, err := http.NewRequest(http.MethodPost, c.w.Issuer+"/par", strings.NewReader(good.Encode()))
				c.must(err)
				r.SetBasicAuth(client.ID, providertest.TestSecret)
				r.Header.Set("Content-Type", kind)
				c.refused("Content-Type "+kind, c.w.Send(r), http.StatusBadRequest, oauth.InvalidRequest)
			}
		}},
		attack{"PA-5", "a reference cannot be guessed, and guesses are told apart by nothing", func(c *trial) {
			client, b := pushes(c)
			seen := map[string]bool{}
			for range 200 {
				uri := strings.TrimPrefix(c.w.Push(client).Str("request_uri"), providertest.PushedPrefix)
				if len(uri) < 43 || seen[uri] {
					c.Fatalf("%q is short, or came twice", uri)
				}
				seen[uri] = true
			}
			web := c.client("web")
			foreign := c.w.Push(web).Str("request_uri")
			var first string
			for _, uri := range []string{foreign, providertest.PushedPrefix + "x", providertest.PushedPrefix,
				providertest.PushedPrefix + "s.AAAA", foreign + "A",
				providertest.PushedPrefix + strings.Repeat("A", 43)} {
				p := b.Get(c.w.Pushed(client, uri))
				c.refusedHere(uri, p)
				body := strings.ReplaceAll(p.Body, p.Header.Get("X-Request-Id"), "")
				if first == "" {
					first = body
				} else if body != first {
					c.Errorf("%q is told apart", uri)
				}
			}
		}},
		attack{"PA-6", "what was pushed is asked again when it is used", func(c *trial) {
			client, b := pushes(c)
			c.change(client, func(m *clients.Client) {
				m.RedirectURIs = append(m.RedirectURIs, m.RedirectURIs[0]+"/2")
			})
			uri, scope := c.w.MustPush(client, "redirect_uri", client.RedirectURIs[0]+"/2"),
				c.w.MustPush(client, "scope", "email")
			last := c.w.MustPush(client)
			c.change(client, func(m *clients.Client) {
				m.RedirectURIs, m.Scope = m.RedirectURIs[:1], "openid"
			})
			c.refusedHere("a redirect URI that was taken away", b.Get(uri))
			c.refusedThere("a scope that was taken away", b.Get(scope), client, oauth.InvalidScope)
			c.change(client, func(m *clients.Client) { m.Disabled = true })
			c.refusedHere("a client that was disabled", b.Get(last))
		}},
		attack{"PA-7", "who pushes without measure is kept waiting, and nobody else is", func(c *trial) {
			client, b := pushes(c)
			web := c.client("web")
			large := providertest.MustQuery(c, c.w.Request(client, "claims_locales", strings.Repeat("x", 60<<10)))
			c.control(c.w.Call("/par", client, large).StatusCode == http.StatusCreated, "a large request is not taken")
			for range 10_000 { // as if it had pushed so many
				c.w.SignIn.Pushes.Count(client.ID, c.w.Web.Now())
			}
			c.refused("one more", c.w.Push(client), http.StatusTooManyRequests, oauth.TemporarilyUnavailable)
			c.code(b.Get(c.w.MustPush(web)))
			c.w.Clock.Advance(time.Minute)
			c.w.MustPush(client)
		}},
	)
}
