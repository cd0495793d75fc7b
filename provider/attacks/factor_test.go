package attacks_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"latchkey/provider/clients"
	"latchkey/provider/oauth"
	"latchkey/provider/people"
	"latchkey/provider/providertest"
	"latchkey/provider/storage"
)

func TestAttacksOnSecondFactors(t *testing.T) {
	// enrolled is a person with an authenticator, whose code of this moment is not used yet.
	enrolled := func(c *trial, name string) (storage.User, providertest.Authenticator, []string) {
		u := c.user(name)
		a, recovery := c.w.Browser().EnrolTOTP(u.Username)
		c.w.Clock.Advance(time.Minute)
		return u, a, recovery
	}
	// half is a browser that has given the password, at the page that asks for more.
	half := func(c *trial, u storage.User, client clients.Client) (*providertest.Browser, providertest.Page) {
		c.Helper()
		b := c.w.Browser()
		p := b.SignInAs(b.Open(c.w.Request(client)), u.Username)
		if !p.Has("mfa-page") {
			c.Fatalf("no second step: %d %s", p.StatusCode, p.Request.URL)
		}
		return b, p
	}
	sends := func(b *providertest.Browser, p providertest.Page, code string, method ...string) providertest.Page {
		form := url.Values{"code": {code}}
		if len(method) > 0 {
			form.Set("method", method[0])
		}
		return b.Submit(p, "mfa-submit", form)
	}
	no := func(c *trial, what string, p providertest.Page) {
		c.Helper()
		if p.StatusCode != http.StatusUnauthorized || p.Header.Get("Location") != "" {
			c.Errorf("%s: %d to %q", what, p.StatusCode, p.Header.Get("Location"))
		}
	}
	group(t,
		attack{"TO-1", "a one-time code is good once, for all browsers and instances together, and none before it is good after it", func(c *trial) {
			alice, a, _ := enrolled(c, "alice")
			web := c.client("web")
			b, p := half(c, alice, web)
			used := a.Code(0)
			c.code(b.Follow(sends(b, p, used)))
			b, p = half(c, alice, web)
			no(c, "the same one", sends(b, p, used))
			no(c, "the one before", sends(b, p, a.Code(-1)))
			c.code(b.Follow(sends(b, p, a.Code(1))))
			c.w.Clock.Advance(16 * time.Minute)
			var in atomic.Int32
			done := make(chan struct{})
			for range 4 {
				b, p := half(c, alice, web)
				go func() {
					defer func() { done <- struct{}{} }()
					if b.Follow(sends(b, p, a.Code(0))).Answer().Has("code") {
						in.Add(1)
					}
				}()
			}
			for range 4 {
				<-done
			}
			c.control(in.Load() == 1, "%d browsers by one code", in.Load())
		}},
		attack{"TO-2", "a one-time code is good for its own thirty seconds and one step around them", func(c *trial) {
			alice, a, _ := enrolled(c, "alice")
			web := c.client("web")
			for _, steps := range []int64{-1, 0, 1} {
				c.w.Clock.Advance(16 * time.Minute)
				b, p := half(c, alice, web)
				no(c, "two steps early", sends(b, p, a.Code(2)))
				no(c, "two steps late", sends(b, p, a.Code(-2)))
				c.code(b.Follow(sends(b, p, a.Code(steps))))
			}
		}},
		attack{"TO-3", "an authenticator is set up by a secret of ours, confirmed in the session that began it, and shown once", func(c *trial) {
			bob := c.user("bob")
			one, other := c.w.Browser(), c.w.Browser()
			add := url.Values{"action": {"add-totp"}, "secret": {"AAAAAAAAAAAAAAAA"}, "user_id": {"sub-alice"}}
			begun := one.Follow(one.Submit(one.Methods(bob.Username, nil), "add-totp", add))
			a := one.AuthenticatorOf(begun)
			if len(a.Secret) < 20 || strings.Contains(begun.Body, "AAAAAAAAAAAAAAAA") {
				c.Errorf("a secret of %d bytes", len(a.Secret))
			}
			stored, err := c.w.Store.User(c.Context(), bob.ID)
			c.must(err)
			csrf := providertest.FormValue(other.Methods(bob.Username, nil))
			if p := other.Post("/account/methods/totp", url.Values{"csrf": {csrf}, "id": {stored.Factors.TOTP[0].ID},
				"code": {a.Code(0)}}); p.StatusCode != http.StatusNotFound {
				c.Errorf("another session confirms: %d", p.StatusCode)
			}
			again := one.Follow(one.Submit(one.Methods(bob.Username, nil), "add-totp", add))
			if p := one.Submit(again, "totp-submit",
				url.Values{"code": {a.Code(0)}}); p.StatusCode != http.StatusBadRequest {
				c.Errorf("a code of the secret before: %d", p.StatusCode)
			}
			a = one.AuthenticatorOf(again)
			p := one.Follow(one.Submit(again, "totp-submit", url.Values{"code": {a.Code(0)}, "name": {"Phone"}}))
			c.control(len(providertest.RecoveryCodesOf(p)) == 10, "%d", p.StatusCode)
			if p := one.Open("/account/methods/totp"); strings.Contains(p.Body, "otpauth") {
				c.Error("the secret is shown again")
			}
			if p := other.Open("/account/methods"); p.Has("methods-page") {
				c.Error("another session changes methods without the new factor")
			}
		}},
		attack{"TO-4", "a factor is removed after a fresh proof alone, and a recovery code stands in once",
			func(c *trial) {
				alice, a, recovery := enrolled(c, "alice")
				web := c.client("web")
				b := c.w.Browser()
				csrf := providertest.FormValue(b.Methods(alice.Username, &a))
				stored, err := c.w.Store.User(c.Context(), alice.ID)
				c.must(err)
				remove := url.Values{"csrf": {csrf}, "action": {"remove"}, "id": {stored.Factors.TOTP[0].ID}}
				for _, header := range elsewhere {
					if p := b.SendFrom("/account/methods", remove, header...); p.StatusCode != http.StatusForbidden {
						c.Errorf("%v: %d", header, p.StatusCode)
					}
				}
				c.w.Clock.Advance(6 * time.Minute)
				b.Post("/account/methods", remove)
				b.Post("/account/methods", url.Values{"csrf": {csrf}, "action": {"recovery"}})
				if now, err := c.w.Store.User(c.Context(), alice.ID); err != nil || len(now.Factors.TOTP) != 1 ||
					now.Factors.RecoveryLeft() != 10 {
					c.Errorf("changed with an old proof: %+v %v", now.Factors, err)
				}
				in, p := half(c, alice, web)
				c.code(in.Follow(sends(in, p, recovery[0], "recovery")))
				in, p = half(c, alice, web)
				no(c, "a second time", sends(in, p, recovery[0], "recovery"))
				c.code(in.Follow(sends(in, p, recovery[1], "recovery")))
				for _, code := range recovery {
					if strings.Contains(fmt.Sprintf("%+v", stored.Factors), code) {
						c.Error("a recovery code is stored as it is")
					}
				}
			}},
		attack{"BF-2", "wrong second factors are counted together, over all methods and sign-ins", func(c *trial) {
			alice, a, recovery := enrolled(c, "alice")
			web := c.client("web")
			for i := range people.SecondFactorTries {
				b, p := half(c, alice, web) // the right password each time
				if i%2 == 0 {
					no(c, "a wrong code", sends(b, p, a.Code(int64(50+i))))
				} else {
					no(c, "a wrong recovery code", sends(b, p, strings.Repeat("b", 24), "recovery"))
				}
			}
			b, p := half(c, alice, web)
			for _, got := range []providertest.Page{sends(b, p, a.Code(0)), sends(b, p, recovery[0], "recovery")} {
				if got.StatusCode != http.StatusTooManyRequests {
					c.Errorf("a right one, too late: %d", got.StatusCode)
				}
			}
			c.w.Clock.Advance(16 * time.Minute)
			b, p = half(c, alice, web)
			c.code(b.Follow(sends(b, p, a.Code(0))))
		}},
		attack{"AE-5", "a second factor that was asked for is not met by a fresh password, or by nothing",
			func(c *trial) {
				alice, a, _ := enrolled(c, "alice")
				web, bob := c.client("web"), c.user("bob")
				essential := `{"id_token":{"acr":{"essential":true,"values":["` + people.ACRMultiFactor + `"]}}}`
				b := c.w.Browser()
				p := b.SignInAs(b.Open(c.w.Request(web, "claims", essential)), alice.Username)
				if !p.Has("mfa-page") {
					c.Fatalf("%d %s", p.StatusCode, p.Request.URL)
				}
				if q := b.Submit(p, "mfa-submit", url.Values{"code": {""}}); q.Answer().Has("code") || q.StatusCode < 400 {
					c.Errorf("nothing: %d", q.StatusCode)
				}
				id := c.w.IdTokenOf(web, c.code(b.Follow(sends(b, p, a.Code(0)))))
				if id["acr"] != people.ACRMultiFactor {
					c.Errorf("acr %v", id["acr"])
				}
				in := c.w.Browser()
				if p := in.SignInAs(in.Open(c.w.Request(web, "claims", essential)), bob.Username); p.Answer().Has("code") {
					c.Errorf("bob, who has none: %s", p.Header.Get("Location"))
				}
			}},
		attack{"AE-6", "whoever has a second factor gets no code by any way around it", func(c *trial) {
			alice, a, _ := enrolled(c, "alice")
			mallory, theirs, _ := enrolled(c, "mallory")
			web, other := c.client("web"), c.client("other")
			b, p := half(c, alice, web)
			i := p.Request.URL.Query().Get("i")
			for _, target := range []string{"/authorize?i=" + i, "/consent?i=" + i, "/accounts?i=" + i, "/login?i=" + i,
				c.w.Request(web), c.w.Request(other), c.w.Request(other, "acr_values", people.ACRPassword), "/account",
				"/account/methods"} {
				if p := b.Open(target); p.Answer().Has("code") || !p.Has("mfa-page") && !p.Has("login-page") {
					c.Errorf("%s: %d %s", target, p.StatusCode, p.Request.URL)
				}
			}
			c.refusedThere("silently", b.Get(c.w.Request(web, "prompt", "none")), web, oauth.LoginRequired)
			mb, mp := half(c, mallory, web)
			no(c, "another person's code", sends(b, p, theirs.Code(0)))
			no(c, "alice's code for mallory", sends(mb, mp, a.Code(0)))
			if q := mb.Post("/mfa?i="+i, url.Values{"csrf": {providertest.FormValue(p)},
				"code": {a.Code(0)}}); q.StatusCode != http.StatusForbidden && q.StatusCode != http.StatusBadRequest {
				c.Errorf("the step of another browser: %d", q.StatusCode)
			}
			c.code(b.Follow(sends(b, p, a.Code(0))))
		}},
	)
}
