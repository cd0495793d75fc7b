package attacks_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey/provider"
	"latchkey/provider/admin"
	"latchkey/provider/providertest"
	"latchkey/provider/signup"
	"latchkey/provider/storage"
)

const another = "gravel tandem oboe"

// askReset asks for a mail to reset a password, in a browser of its own.
func askReset(w *providertest.Post, typed string) providertest.Page {
	b := w.Browser()
	return b.Submit(b.Open("/password/forgot"), "forgot-submit", url.Values{"username": {typed}})
}

// askAddress has the person of a browser ask for another address.
func askAddress(b *providertest.Browser, address string) providertest.Page {
	return b.Submit(b.Get("/account/address"), "address-submit", url.Values{"action": {"change"}, "email": {address}})
}

func TestAttacksOnRecoveryAndMail(t *testing.T) {
	group(t,
		attack{"RC-1", "a link of a mail is random, works once and for a while, and only the newest one does",
			func(c *trial) {
				w := providertest.PostOn(c.fresh)
				alice := w.AddUser("alice")
				values := map[string]bool{}
				var last string
				for range 5 {
					askReset(w, "alice")
					last = w.Link("alice@example.com")
					value := strings.Split(last, "link=")[1]
					if values[value] || len(value) < 43 {
						c.Errorf("%q", value)
					}
					values[value] = true
				}
				for value := range values {
					p := w.Browser().Open("/password/reset?link=" + value)
					if newest := strings.HasSuffix(last, value); (p.StatusCode == http.StatusGone) == newest {
						c.Errorf("a link, the newest: %t: %d", newest, p.StatusCode)
					}
				}
				for _, bad := range []string{last + "A", last[:len(last)-1], "/password/reset?link=" + storage.Hash("x"),
					"/password/reset"} {
					if p := w.Browser().Open(bad); p.StatusCode != http.StatusGone {
						c.Errorf("%s: %d", bad, p.StatusCode)
					}
				}
				// Of many at once, one is used.
				type reader struct {
					b *providertest.Browser
					p providertest.Page
				}
				var readers []reader
				for range 20 {
					b := w.Browser()
					readers = append(readers, reader{b, b.Open(last)})
				}
				var wait sync.WaitGroup
				var won sync.Map
				for i, r := range readers {
					wait.Go(func() {
						if r.b.Submit(r.p, "reset-submit", providertest.PasswordForm(fmt.Sprint(another,
							i))).StatusCode == http.StatusSeeOther {
							won.Store(i, true)
						}
					})
				}
				wait.Wait()
				n := 0
				won.Range(func(any, any) bool { n++; return true })
				c.control(n == 1, "%d have set a password", n)
				// What is left in the store opens nothing, and a link that is too old does not either.
				link, err := w.Store.LinkOf(c.Context(), storage.LinkReset, alice.ID)
				c.must(err)
				if p := w.Browser().Open("/password/reset?link=" + link.Hash); p.StatusCode != http.StatusGone {
					c.Errorf("the hash of a link: %d", p.StatusCode)
				}
				w.Clock.Advance(time.Hour) // so many mails are enough for an hour
				askReset(w, "alice")
				last = w.Link("alice@example.com")
				w.Clock.Advance(30 * time.Minute)
				if p := w.Browser().Open(last); p.StatusCode != http.StatusGone {
					c.Errorf("too old: %d", p.StatusCode)
				}
			}},
		attack{"RC-2", "a link in a mail leads to the issuer, whatever a request says of hosts", func(c *trial) {
			w := providertest.PostOn(c.fresh, func(cfg *provider.Config) { cfg.SignUp = signup.Open })
			w.AddUser("alice")
			b := w.Browser()
			for target, field := range map[string]string{"/password/forgot": "username", "/sign-up": "email"} {
				csrf := providertest.RegexpCSRF(b.Open(target).Body)
				for name, value := range map[string]string{"Host": "evil.test", "X-Forwarded-Host": "evil.test",
					"Forwarded": "host=evil.test;proto=http", "X-Original-Host": "evil.test",
					"X-Forwarded-Prefix": "/evil"} {
					r, err := http.NewRequest(http.MethodPost, w.Issuer+target,
						strings.NewReader(url.Values{"csrf": {csrf}, field: {name + "@example.org"}}.Encode()))
					c.must(err)
					for k, v := range map[string]string{"Content-Type": "application/x-www-form-urlencoded",
						"Origin": w.Issuer, "Sec-Fetch-Site": "same-origin", name: value} {
						r.Header.Set(k, v)
					}
					if name == "Host" {
						r.Host = value
					}
					b.Do(r)
				}
			}
			askReset(w, "alice")
			found := 0
			for _, m := range w.Mails() {
				link := providertest.LinkIn(m)
				if !strings.HasPrefix(link, w.Issuer+"/") || strings.Contains(m.Text+m.HTML, "evil") {
					c.Errorf("%s", m.Text)
				}
				found++
			}
			c.control(found > 1, "%d mails", found)
		}},
		attack{"RC-3", "who has reset a password is signed in nowhere, and still needs a second factor",
			func(c *trial) {
				w := providertest.PostOn(c.fresh)
				alice, web := w.AddUser("alice"), w.AddClient("web")
				b := w.Browser()
				p := b.Follow(b.Submit(b.Methods("alice", nil), "add-totp", url.Values{"action": {"add-totp"}}))
				a := b.AuthenticatorOf(p)
				b.Submit(p, "totp-submit", url.Values{"code": {a.Code(0)}})
				got := w.Tokens(web, alice, providertest.Offline)
				w.Mails()
				askReset(w, "alice")
				reader := w.Browser()
				p = reader.Submit(reader.Open(w.Link("alice@example.com")), "reset-submit",
					providertest.PasswordForm(another))
				c.control(p.StatusCode == http.StatusSeeOther, "%d", p.StatusCode)
				if !reader.Open("/account").Has("login-page") || !b.Open("/account").Has("login-page") {
					c.Error("somebody is signed in")
				}
				c.refused("the refresh token", w.Renew(web, got.Str("refresh_token")), http.StatusBadRequest,
					"invalid_grant")
				p = reader.Follow(reader.Submit(reader.Open("/account"), "login-submit", url.Values{"username": {"alice"},
					"password": {another}}))
				if !p.Has("mfa-page") {
					c.Errorf("no second factor: %s", p.Request.URL)
				}
				told := false
				for _, m := range w.Mails() {
					told = told || m.To == "alice@example.com" && strings.Contains(m.Subject, "changed")
				}
				if !told {
					c.Error("she was not told")
				}
			}},
		attack{"RC-4", "a recovery is for the account that the link was made for, and mails go to stored addresses",
			func(c *trial) {
				w := providertest.PostOn(c.fresh)
				w.AddUser("alice")
				w.AddUser("mallory")
				for _, typed := range []string{"alice@example.com,mallory@example.com",
					"alice@example.com\r\nBcc: mallory@example.com", "alıce@example.com",
					"alice@example.com mallory@example.com"} {
					askReset(w, typed)
				}
				for _, m := range w.Mails() {
					c.Errorf("a mail to %s", m.To)
				}
				askReset(w, "alice")
				hers := w.Link("alice@example.com")
				askReset(w, "mallory")
				b := w.Browser()
				p := b.Open(w.Link("mallory@example.com"))
				form := providertest.PasswordForm(another)
				for k, v := range map[string]string{"username": "alice", "user_id": "sub-alice",
					"email": "alice@example.com", "link": strings.Split(hers, "link=")[1]} {
					form.Set(k, v)
				}
				p = b.Submit(p, "reset-submit", form)
				c.control(p.StatusCode == http.StatusSeeOther && w.SignsIn("mallory", another), "%d", p.StatusCode)
				if w.SignsIn("alice", another) {
					c.Error("alice's password was set")
				}
				if p := w.Browser().Post("/password/reset",
					providertest.PasswordForm(another)); p.StatusCode != http.StatusForbidden {
					c.Errorf("without a link: %d", p.StatusCode)
				}
			}},
		attack{"RC-5", "nobody calls an address verified but by its own link, signed in, and nobody takes another's",
			func(c *trial) {
				w := providertest.PostOn(c.fresh)
				alice, bob := w.AddUser("alice"), w.AddUser("bob")
				b, s := w.SignedIn(alice)
				csrf := w.Web.CSRF(w.Web.Cookie(b.Request("/"), "latchkey_browser"), "account:"+s.ID)
				form := url.Values{"csrf": {csrf}, "name": {"Alice"}, "email": {"mallory@example.com"},
					"email_verified": {"true"}, "phone_number_verified": {"true"}, "verified": {"true"},
					"groups": {"admins"}, "roles": {"owner"}, "role": {"owner"}, "is_admin": {"true"}, "username": {"bob"}}
				b.Post("/account/profile", form)
				u, err := w.Store.User(c.Context(), alice.ID)
				c.must(err)
				if u.Claims.Email != alice.Claims.Email || u.Claims.PhoneNumberVerified || u.Role != "" ||
					len(u.Groups) != 0 || u.Username != "alice" {
					c.Errorf("%+v", u)
				}
				askAddress(b, bob.Claims.Email)
				askAddress(b, "BOB@example.com")
				for _, m := range w.Mails() {
					if providertest.LinkIn(m) != "" {
						c.Errorf("a link to %s", m.To)
					}
				}
				askAddress(b, "first@example.org")
				first := w.Link("first@example.org")
				askAddress(b, "new@example.org")
				told := w.Mails()
				var link string
				for _, m := range told {
					if m.To == "new@example.org" {
						link = providertest.LinkIn(m)
					}
				}
				if p := b.Open(first); p.StatusCode != http.StatusGone {
					c.Errorf("an older link: %d", p.StatusCode)
				}
				mallory, _ := w.SignedIn(w.AddUser("mallory"))
				if p := mallory.Open(link); p.StatusCode != http.StatusForbidden {
					c.Errorf("somebody else: %d", p.StatusCode)
				}
				p := b.Submit(b.Open(link), "step-submit", nil)
				c.control(p.StatusCode == http.StatusSeeOther, "%d", p.StatusCode)
				if u, err = w.Store.User(c.Context(), alice.ID); err != nil || u.Claims.Email != "new@example.org" ||
					!u.Claims.EmailVerified {
					c.Errorf("%v %+v", err, u.Claims)
				}
				w.Clock.Advance(6 * time.Minute)
				if p := b.Get("/account/address"); p.StatusCode != http.StatusSeeOther {
					c.Errorf("without a fresh proof: %d", p.StatusCode)
				}
			}},
		attack{"RC-6", "what people call themselves is text in a mail, and a mail has one recipient", func(c *trial) {
			w := providertest.PostOn(c.fresh)
			alice := w.AddUser("alice")
			u, err := w.Store.User(c.Context(), alice.ID)
			c.must(err)
			u.Claims.Name = "<a href=//evil.test>x</a>{{.Link}}\r\nBcc: x@y" + strings.Repeat("z", 10_000)
			c.must(w.Store.UpdateUser(c.Context(), u))
			askReset(w, "alice")
			got := w.Mails()
			c.control(len(got) == 1, "%d mails", len(got))
			for _, m := range got {
				if m.To != "alice@example.com" || strings.ContainsAny(m.Subject, "\r\n") ||
					strings.Contains(m.HTML, "<a href=//evil") || strings.Contains(m.Text, "\nBcc:") ||
					len(m.Text) > 4000 || strings.Count(m.Text, "link=") != 1 {
					c.Errorf("%s\n%s", m.To, m.Text)
				}
			}
		}},
		attack{"RC-7", "nobody's mailbox is flooded, and the answer does not change for it", func(c *trial) {
			w := providertest.PostOn(c.fresh)
			w.AddUser("alice")
			answers := map[string][]int{}
			for range 30 {
				for _, typed := range []string{"alice", "nobody"} {
					answers[typed] = append(answers[typed], askReset(w, typed).StatusCode)
				}
			}
			if fmt.Sprint(answers["alice"]) != fmt.Sprint(answers["nobody"]) {
				c.Errorf("%v", answers)
			}
			n := len(w.Mails())
			c.control(n > 0, "no mail at all")
			if n > 5 {
				c.Errorf("%d mails", n)
			}
			shell := admin.Actor{Kind: storage.ActorCommand, Name: "root"}
			if _, err := w.Admin.Invite(c.Context(), shell, "sub-alice"); err != nil {
				c.Error(err)
			}
		}},
	)
}
