package attacks_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"latchkey/provider/clients"
	"latchkey/provider/oauth"
	"latchkey/provider/providertest"
	"latchkey/provider/session"
	"latchkey/provider/storage"
)

// elsewhere are the headers by which browsers say that another site sent a form.
var elsewhere = [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"},
	{"Origin", "https://evil.example"}, {"Origin", "null"}, {"Origin", "http://127.0.0.1"}}

// signIn sends the form of a sign-in page, without following where it leads.
func signIn(b *providertest.Browser, login providertest.Page, username, password string) providertest.Page {
	return b.Submit(login, "login-submit", url.Values{"username": {username}, "password": {password}})
}

func TestAttacksOnAuthorization(t *testing.T) {
	interaction := func(p providertest.Page) string {
		u, err := url.Parse(p.Header.Get("Location"))
		if err != nil {
			return ""
		}
		return u.Query().Get("i")
	}
	group(t,
		attack{"AE-1", "prompt=none shows nothing and gives nothing that was not given before", func(c *trial) {
			web, asks := c.client("web"), c.client("asks", providertest.AsksConsent)
			b, _, alice := c.signedIn("alice")
			c.code(b.Get(c.w.Request(web, "prompt", "none")))
			c.refusedThere("nobody signed in", c.w.Browser().Get(c.w.Request(web, "prompt", "none")), web,
				oauth.LoginRequired)
			c.refusedThere("no consent", b.Get(c.w.Request(asks, "prompt", "none")), asks, oauth.ConsentRequired,
				oauth.InteractionRequired)
			c.refusedThere("none and login", b.Get(c.w.Request(web, "prompt", "none login")), web, oauth.InvalidRequest)
			c.w.Clock.Advance(10 * time.Minute)
			c.refusedThere("too long ago", b.Get(c.w.Request(web, "prompt", "none", "max_age", "60")), web,
				oauth.LoginRequired)
			c.changeUser(alice, func(u *storage.User) { u.Disabled = true })
			c.refusedThere("disabled", b.Get(c.w.Request(web, "prompt", "none")), web, oauth.LoginRequired)
		}},
		attack{"AE-2", "no form, address or parameter stands for a person's consent, and more is asked for again",
			func(c *trial) {
				a := c.client("a", providertest.AsksConsent, func(m *clients.Client) {
					m.Scope, m.Audience, m.RedirectURIs = "openid email profile", []string{"https://api.example"},
						append(m.RedirectURIs, m.RedirectURIs[0]+"/2")
				})
				other := c.client("other", providertest.AsksConsent)
				b, _, alice := c.signedIn("alice")
				asked := func(what string, p providertest.Page) providertest.Page {
					c.Helper()
					if !p.Has("consent-page") {
						c.Errorf("%s: %d %s", what, p.StatusCode, p.Header.Get("Location"))
					}
					return p
				}
				first := asked("the first time", b.Open(c.w.Request(a)))
				i := first.Request.URL.Query().Get("i")
				for _, p := range []string{"/authorize?i=" + i, "/authorize?i=" + i + "&decision=allow", "/consent?i=" + i +
					"&decision=allow", c.w.Request(a, "approve", "1"), c.w.Request(a, "consent", "allow"),
					c.w.Request(a, "skip_consent", "true")} {
					asked(p, b.Open(p))
				}
				form := url.Values{"csrf": {providertest.RegexpCSRF(first.Body)}, "decision": {"allow"}}
				second := asked("the other application", b.Open(c.w.Request(other)))
				if p := b.Post("/consent?i="+second.Request.URL.Query().Get("i"),
					form); p.StatusCode != http.StatusForbidden && p.StatusCode != http.StatusBadRequest {
					c.Errorf("the form of one for another: %d", p.StatusCode)
				}
				got := c.works(c.w.Redeem(a, c.code(b.Follow(b.Post("/consent?i="+i, providertest.With(form, "scope",
					"openid email", "client_id", other.ID, "redirect_uri", "https://evil.example/"))))))
				if got.Str("scope") != "openid" {
					c.Errorf("scope %s", got.Str("scope"))
				}
				if p := b.Post("/consent?i="+i, form); p.StatusCode != http.StatusBadRequest &&
					p.StatusCode != http.StatusForbidden {
					c.Errorf("an answered question, again: %d", p.StatusCode)
				}
				c.code(b.Get(c.w.Request(a)))
				for what, change := range map[string][]string{"scope": {"scope", "openid email"},
					"claims":   {"claims", `{"userinfo":{"email":{"essential":true}}}`},
					"resource": {"resource", "https://api.example"}, "prompt": {"prompt", "consent"}} {
					asked(what, b.Open(c.w.Request(a, change...)))
				}
				if _, err := c.w.Store.Consent(c.Context(), alice.ID, other.ID); err == nil {
					c.Error("consent to the other application is stored")
				}
			}},
		attack{"AE-3", "an application that anybody can impersonate is allowed anew each time", func(c *trial) {
			native := func(uri string) func(*clients.Client) {
				return func(m *clients.Client) {
					providertest.Public(m)
					m.Type, m.ApplicationType, m.RedirectURIs = clients.TypeNative, "native", []string{uri}
				}
			}
			b, _, _ := c.signedIn("alice")
			for _, client := range []clients.Client{c.client("scheme", native("com.example.app:/cb")),
				c.client("loopback", native("http://127.0.0.1/cb"))} {
				for range 2 {
					p := b.Open(c.w.Request(client))
					if !p.Has("consent-page") {
						c.Errorf("%s: %d %s", client.ID, p.StatusCode, p.Header.Get("Location"))
						continue
					}
					p = b.Submit(p, "consent-allow", providertest.Allow)
					for range 5 {
						if p.Answer().Has("code") || p.Header.Get("Location") == "" {
							break
						}
						p = b.Get(p.Header.Get("Location"))
					}
					if !p.Answer().Has("code") && !strings.Contains(p.Body, "code=") {
						c.Errorf("%s after consent: %d", client.ID, p.StatusCode)
					}
				}
				c.refusedThere("silently", b.Get(c.w.Request(client, "prompt", "none")), client, oauth.ConsentRequired,
					oauth.InteractionRequired)
			}
			web := c.client("web", providertest.AsksConsent)
			c.code(b.Follow(b.Submit(b.Open(c.w.Request(web)), "consent-allow", providertest.Allow)))
			c.code(b.Get(c.w.Request(web)))
		}},
		attack{"AE-4", "a fresh sign-in that was asked for happens, and nobody is taken for whom the application meant",
			func(c *trial) {
				web := c.client("web")
				alice, bob := c.user("alice"), c.user("bob")
				b := c.w.Browser()
				old := providertest.ClaimsOf(c, c.works(c.w.Redeem(web, b.Code(web, alice.Username, "max_age",
					"9999"))).Str("id_token"))
				_, bobs := c.w.SignedIn(bob)
				c.w.Clock.Advance(10 * time.Minute)
				for _, change := range [][]string{{"max_age", "0"}, {"max_age", "1"}, {"prompt", "login"}} {
					p := b.Get(c.w.Request(web, change...))
					i := interaction(p)
					for _, target := range []string{"/authorize?i=" + i, "/authorize?i=" + i + "&max_age=9999&prompt=",
						"/consent?i=" + i, "/accounts?i=" + i} {
						if p := b.Open(target); !p.Has("login-page") {
							c.Errorf("%v by %s: %d %s", change, target, p.StatusCode, p.Header.Get("Location"))
						}
					}
					p = b.Follow(signIn(b, b.Open("/authorize?i="+i), alice.Username, providertest.TestPassword))
					id := providertest.ClaimsOf(c, c.works(c.w.Redeem(web, c.code(p))).Str("id_token"))
					if now, _ := id["auth_time"].(float64); now <= old["auth_time"].(float64) {
						c.Errorf("%v: auth_time %v", change, now)
					}
					c.w.Clock.Advance(10 * time.Minute)
				}
				for _, bad := range []string{"-1", "abc", "99999999999999999999", "1.5"} {
					c.refusedThere("max_age="+bad, b.Get(c.w.Request(web, "max_age", bad)), web, oauth.InvalidRequest)
				}
				c.refusedThere("an acr that nobody reaches",
					b.Get(c.w.Request(web, "claims", `{"id_token":{"acr":{"essential":true,"values":["urn:example:gold"]}}}`)), web, oauth.UnmetAuthenticationRequirements)
				hint := c.w.Hint(bobs, web, nil)
				c.refusedThere("bob, silently", b.Get(c.w.Request(web, "id_token_hint", hint, "prompt", "none")), web,
					oauth.LoginRequired)
				p := b.Open(c.w.Request(web, "id_token_hint", hint))
				if !p.Has("login-page") {
					c.Fatalf("bob: %d %s", p.StatusCode, p.Header.Get("Location"))
				}
				if p := b.Follow(signIn(b, p, alice.Username, providertest.TestPassword)); p.Answer().Has("code") {
					c.Error("alice's code for bob")
				}
			}},
		attack{"AE-7", "a sign-in under way belongs to one browser, and none of its steps can be changed, skipped or done twice", func(c *trial) {
			web, other := c.client("web", providertest.AsksConsent), c.client("other", providertest.AsksConsent)
			alice, mallory := c.user("alice"), c.user("mallory")
			b, hers := c.w.Browser(), c.w.Browser()
			login := b.Open(c.w.Request(web))
			i := login.Request.URL.Query().Get("i")
			form := url.Values{"csrf": {providertest.RegexpCSRF(login.Body)}, "username": {mallory.Username},
				"password": {providertest.TestPassword}}
			hers.Open(c.w.Request(web))
			for what, p := range map[string]providertest.Page{"her form in another browser": hers.Post("/login?i="+i,
				form), "the page": hers.Get("/login?i=" + i), "where it goes on": hers.Get("/authorize?i=" + i),
				"the consent page": hers.Get("/consent?i=" + i)} {
				c.refusedHere(what, p)
			}
			if p := b.Open("/consent?i=" + i); !p.Has("login-page") {
				c.Errorf("consent before sign-in: %d", p.StatusCode)
			}
			tab := b.Open(c.w.Request(other))
			crossed := b.Post("/login?i="+tab.Request.URL.Query().Get("i"), form)
			c.refusedHere("the form of one tab in another", crossed)
			consent := b.Follow(b.Post("/login?i="+i, url.Values{"csrf": form["csrf"], "username": {alice.Username},
				"password": {providertest.TestPassword}, "client_id": {other.ID}, "scope": {"openid email"},
				"redirect_uri": {"https://evil.example/"}, "acr": {"x"}, "user": {mallory.ID}}))
			if !consent.Has("consent-page") {
				c.Fatalf("%d %s", consent.StatusCode, consent.Header.Get("Location"))
			}
			done := b.Follow(b.Submit(consent, "consent-allow", providertest.Allow))
			got := c.works(c.w.Redeem(web, c.code(done)))
			if got.Str("scope") != "openid" || providertest.ClaimsOf(c, got.Str("id_token"))["sub"] != alice.ID {
				c.Errorf("%v", got.JSON)
			}
			for _, p := range []providertest.Page{b.Get("/authorize?i=" + i), b.Get("/consent?i=" + i),
				b.Get("/authorize?i=" + i + "x"), b.Get("/authorize?i=")} {
				if p.Answer().Has("code") || p.StatusCode < 400 {
					c.Errorf("%s: %d %s", p.Request.URL, p.StatusCode, p.Header.Get("Location"))
				}
			}
		}},
	)
}

func TestAttacksOnSessions(t *testing.T) {
	cookie := func(c *trial, b *providertest.Browser) string {
		for _, ck := range b.Client.Jar.Cookies(c.w.Web.Base) {
			if ck.Name == c.w.Web.CookieName(session.SessionCookie) {
				return ck.Value
			}
		}
		return ""
	}
	with := func(c *trial, base, value string) int {
		r, err := http.NewRequest(http.MethodGet, base+"/account", nil)
		c.must(err)
		r.AddCookie(&http.Cookie{Name: c.w.Web.CookieName(session.SessionCookie), Value: value})
		return c.w.Browser().Do(r).StatusCode
	}
	group(t,
		attack{"LC-1", "the session gets a new reference at each sign-in, and one that a browser brings along is none",
			func(c *trial) {
				web, alice := c.client("web"), c.user("alice")
				b := c.w.Browser()
				planted := "MTczMjQzODg3OHxQbGFudGVk"
				b.Client.Jar.SetCookies(c.w.Web.Base, []*http.Cookie{{Name: c.w.Web.CookieName(session.SessionCookie),
					Value: planted, Path: "/"}})
				b.Code(web, alice.Username)
				first := cookie(c, b)
				if first == planted || first == "" || with(c, c.w.Issuer, planted) == http.StatusOK {
					c.Errorf("the planted reference is used: %q", first)
				}
				c.control(with(c, c.w.Issuer, first) == http.StatusOK, "the session")
				c.w.Clock.Advance(time.Minute)
				signIn(b, b.Open(c.w.Request(web, "prompt", "login")), alice.Username, providertest.TestPassword)
				second := cookie(c, b)
				c.control(second != first && with(c, c.w.Issuer, second) == http.StatusOK, "after a second sign-in")
				if with(c, c.w.Issuer, first) == http.StatusOK {
					c.Error("the reference of before is still good")
				}
			}},
		attack{"LC-2", "another site cannot sign a browser in to somebody else's account", func(c *trial) {
			web, mallory := c.client("web"), c.user("mallory")
			b, hers := c.w.Browser(), c.w.Browser()
			login, herLogin := b.Open(c.w.Request(web)), hers.Open(c.w.Request(web))
			action := "/login?i=" + login.Request.URL.Query().Get("i")
			form := func(csrf string) url.Values {
				return url.Values{"username": {mallory.Username}, "password": {providertest.TestPassword},
					"csrf": {csrf}}
			}
			own, foreign := providertest.RegexpCSRF(login.Body), providertest.RegexpCSRF(herLogin.Body)
			tries := map[string]providertest.Page{"no value": b.Post(action, form("")),
				"another browser's value": b.Post(action, form(foreign)),
				"another browser's form":  b.Post("/login?i="+herLogin.Request.URL.Query().Get("i"), form(foreign)),
				"as text":                 b.SendFrom(action, form(own), "Content-Type", "text/plain"),
				"without cookies":         c.w.Browser().Post(action, form(own))}
			for _, header := range elsewhere {
				tries[strings.Join(header, " ")] = b.SendFrom(action, form(own), header...)
			}
			for what, p := range tries {
				c.refusedHere(what, p)
			}
			if cookie(c, b) != "" {
				c.Error("a session has begun")
			}
			if p := b.Get(action + "&" + form(own).Encode()); !p.Has("login-page") || cookie(c, b) != "" {
				c.Errorf("by GET: %d", p.StatusCode)
			}
			c.code(b.Follow(b.Post(action, form(own))))
		}},
		attack{"LC-3", "no form of ours does anything when another site sent it, nor by GET", func(c *trial) {
			asks := c.client("asks", providertest.AsksConsent)
			b, s, alice := c.signedIn("alice")
			_, beside := c.w.SignedIn(alice)
			c.w.Granted(beside, c.client("app"))
			consent := b.Open(c.w.Request(asks))
			accounts := b.Open(c.w.Request(asks, "prompt", "select_account"))
			target := consent.Request.URL.RequestURI()
			forms := map[string]url.Values{
				target: {"decision": {"allow"},
					"csrf": {providertest.RegexpCSRF(consent.Body)}},
				accounts.FormAction("account-current"): providertest.AccountForm(accounts, "current"),
				"/account/sessions": {"action": {"end-other-sessions"},
					"csrf": {providertest.RegexpCSRF(b.Get("/account/sessions").Body)}},
				"/logout/confirm": {"csrf": {providertest.RegexpCSRF(b.Get("/logout").Body)}},
				"/account/profile": {"name": {"Mallory"},
					"csrf": {providertest.RegexpCSRF(b.Get("/account/profile").Body)}},
				"/account/password": {"new_password": {"gravel tandem oboe"},
					"repeat_password": {"gravel tandem oboe"},
					"csrf":            {providertest.RegexpCSRF(b.Get("/account/password").Body)}},
				"/account/language": {"locale": {"de"},
					"csrf": {providertest.RegexpCSRF(b.Get("/account/language").Body)}},
				"/account/data": {"action": {"export"},
					"csrf": {providertest.RegexpCSRF(b.Get("/account/data").Body)}},
				"/account/methods": {"action": {"add-totp"},
					"csrf": {providertest.RegexpCSRF(b.Get("/account/methods").Body)}},
			}
			for action, form := range forms {
				if form.Get("csrf") == "" {
					c.Errorf("%s has no value of ours", action)
				}
				for _, header := range elsewhere {
					if p := b.SendFrom(action, form, header...); p.StatusCode != http.StatusForbidden {
						c.Errorf("%s, %v: %d", action, header, p.StatusCode)
					}
				}
				if p := b.Post(action, providertest.With(form, "csrf", "x")); p.StatusCode != http.StatusForbidden {
					c.Errorf("%s with a wrong value: %d", action, p.StatusCode)
				}
				join := "?"
				if strings.Contains(action, "?") {
					join = "&"
				}
				b.Get(action + join + form.Encode() + "&_method=POST")
			}
			if now, err := c.w.Store.Session(c.Context(), beside.ID); err != nil || !now.Valid(c.w.Web.Now()) ||
				!c.w.StillSignedIn(b, s) {
				c.Errorf("a session has ended: %v", err)
			}
			if _, err := c.w.Store.Consent(c.Context(), alice.ID, asks.ID); err == nil {
				c.Error("consent is stored")
			}
			now, err := c.w.Store.User(c.Context(), alice.ID)
			c.must(err)
			if now.PasswordHash != alice.PasswordHash || now.Claims.Name != alice.Claims.Name ||
				len(now.Factors.TOTP) != 0 {
				c.Errorf("the account was changed: %+v", now)
			}
			c.code(b.Follow(b.Post(target, forms[target])))
		}},
		attack{"LC-4", "a session that ends has ended at every instance, with its tokens", func(c *trial) {
			web := c.client("web")
			bases := []string{c.w.Issuer, c.w.Twin(c.T)}
			two := &instances{c: c}
			for name, end := range map[string]func(*providertest.Browser, storage.User){
				"signed out": func(b *providertest.Browser, _ storage.User) {
					b.Follow(b.Submit(b.Open("/logout"), "logout-confirm", nil))
				},
				"ended by an administrator": func(_ *providertest.Browser, u storage.User) {
					_, err := c.w.Admin.EndSessions(c.Context(), system, u.ID)
					c.must(err)
				},
				"disabled": func(_ *providertest.Browser, u storage.User) {
					_, err := c.w.Admin.SetDisabled(c.Context(), system, u.ID, true)
					c.must(err)
				},
				"a new password": func(_ *providertest.Browser, u storage.User) {
					_, err := c.w.Admin.SetPassword(c.Context(), system, u.ID, "another horse battery staple")
					c.must(err)
				},
				"deleted": func(_ *providertest.Browser, u storage.User) {
					_, err := c.w.Admin.DeleteUser(c.Context(), system, u.ID)
					c.must(err)
				},
			} {
				b, _, u := c.signedIn("alice-" + strings.ReplaceAll(name, " ", "-"))
				got := c.works(c.w.Redeem(web, c.code(b.Get(c.w.Request(web)))))
				value := cookie(c, b)
				for _, base := range bases {
					c.control(with(c, base, value) == http.StatusOK, "%s: before", name)
					c.works(two.bearer(base, "/userinfo", got.Str("access_token")))
				}
				unused := c.code(b.Get(c.w.Request(web)))
				end(b, u)
				for _, base := range append(bases, c.w.Twin(c.T)) {
					if status := with(c, base, value); status == http.StatusOK {
						c.Errorf("%s: the cookie is still good", name)
					}
					c.refused(name, two.bearer(base, "/userinfo", got.Str("access_token")), http.StatusUnauthorized,
						oauth.InvalidToken)
				}
				c.refused(name+", a code", c.w.Redeem(web, unused), http.StatusBadRequest, oauth.InvalidGrant)
			}
		}},
	)
}
