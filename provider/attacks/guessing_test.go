package attacks_test

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey/provider"
	"latchkey/provider/admin"
	"latchkey/provider/oauth"
	"latchkey/provider/people"
	"latchkey/provider/providertest"
	"latchkey/provider/storage"
)

// measuring is held by a case that reads how much memory the process has taken.
var measuring sync.Mutex

func TestAttacksByGuessing(t *testing.T) {
	const wrong = "wrong horse battery"
	changing := regexp.MustCompile(`name="csrf" value="[^"]*|\?i=[^"&;]*|[A-Z2-7]{12}`)
	group(t,
		attack{"EN-1", "a sign-in that fails looks the same for everybody, whether there is an account or not",
			func(c *trial) {
				web := c.client("web")
				names := map[string]storage.User{"alice": c.user("alice"), "disabled": c.user("disabled"),
					"passwordless": c.user("passwordless")}
				c.changeUser(names["disabled"], func(u *storage.User) { u.Disabled = true })
				c.changeUser(names["passwordless"], func(u *storage.User) { u.PasswordHash = "" })
				var want string
				for _, username := range []string{"alice", "disabled", "passwordless", "nobody"} {
					username = c.name + username
					for _, password := range []string{wrong, providertest.TestPassword} {
						if username == c.name+"alice" && password == providertest.TestPassword {
							continue
						}
						b := c.w.Browser()
						login := b.Open(c.w.Request(web, "login_hint", username))
						p := signIn(b, login, username, password)
						got := fmt.Sprint(p.StatusCode, len(p.Cookies()), p.Header.Get("Location")) +
							changing.ReplaceAllString(strings.ReplaceAll(login.Body+p.Body, username, "NAME"), "")
						if want == "" {
							want = got
						}
						if got != want || p.StatusCode != http.StatusUnauthorized {
							c.Errorf("%s is told apart: %d", username, p.StatusCode)
						}
					}
				}
				b := c.w.Browser()
				c.code(b.Follow(signIn(b, b.Open(c.w.Request(web)), c.name+"alice", providertest.TestPassword)))
				off := c.client("off")
				unknown, gone := b.Get(c.w.Request(web, "client_id", "nobody")),
					b.Get(c.w.Request(web, "client_id", off.ID, "redirect_uri", "https://x.example/"))
				_ = gone
				if unknown.StatusCode != http.StatusBadRequest {
					c.Errorf("an unknown client: %d", unknown.StatusCode)
				}
			}},
		attack{"EN-2", "a sign-in that fails takes one hash of the same cost, for nobody as for somebody",
			func(c *trial) {
				measuring.Lock() // the same case on the other store takes as much memory at the same time
				defer measuring.Unlock()
				w := c.fresh(func(cfg *provider.Config) {
					cfg.People = &people.Authenticator{Store: cfg.Store,
						Hasher: people.NewHasher(people.Params{Memory: 64 << 10, Time: 1, Threads: 1}, 4), Now: cfg.Now,
						Throttle: &people.Throttle{Counters: cfg.Store, Key: cfg.Sealer.Derive("throttle", 32)}}
				})
				web := w.AddClient("web")
				hash, err := w.People.Hasher.Hash(c.Context(), providertest.TestPassword)
				c.must(err)
				for name, bend := range map[string]func(*storage.User){"alice": func(u *storage.User) {},
					"disabled":     func(u *storage.User) { u.Disabled = true },
					"passwordless": func(u *storage.User) { u.PasswordHash = "" }} {
					u, err := w.Store.User(c.Context(), w.AddUser(name).ID)
					c.must(err)
					u.PasswordHash = hash
					bend(&u)
					c.must(w.Store.UpdateUser(c.Context(), u))
				}
				b := w.Browser()
				login := b.Open(w.Request(web))
				// Time is not measured, because a busy machine has none to measure. What a hash takes
				// is memory, of a size that nothing else has.
				const size = 64 << 20
				least := map[string]uint64{}
				for range 4 { // the least of each is what the work takes without the tests beside it
					for _, name := range []string{"alice", "disabled", "passwordless", "nobody"} {
						var before, after runtime.MemStats
						runtime.ReadMemStats(&before)
						if p := signIn(b, login, name, wrong); p.StatusCode != http.StatusUnauthorized {
							c.Fatalf("%s: %d", name, p.StatusCode)
						}
						runtime.ReadMemStats(&after)
						if took := after.TotalAlloc - before.TotalAlloc; least[name] == 0 || took < least[name] {
							least[name] = took
						}
					}
				}
				for name, took := range least {
					if took < size || took > size*7/4 {
						c.Errorf("%s takes %d bytes, a hash %d", name, took, size)
					}
				}
				p := signIn(b, login, "alice", providertest.TestPassword)
				c.control(p.StatusCode == http.StatusSeeOther, "%d", p.StatusCode)
			}},
		attack{"BF-1", "of many guesses at once, at all instances and in all spellings, few are looked at",
			func(c *trial) {
				bob, web, two := c.user("bob"), c.client("web"), c.instances()
				b := c.w.Browser()
				login := b.Open(c.w.Request(web))
				csrf, cookies := providertest.RegexpCSRF(login.Body), b.Client.Jar.Cookies(c.w.Web.Base)
				var mu sync.Mutex
				seen, n := map[int]int{}, 0
				providertest.AtOnce(40, func() providertest.AnswerJSON {
					mu.Lock()
					n++
					spelt := []string{bob.Username, strings.ToUpper(bob.Username), " " + bob.Username, bob.Username + " ",
						strings.Replace(bob.Username, "bob", "ｂｏｂ", 1)}[n%5]
					mu.Unlock()
					r, err := http.NewRequest(http.MethodPost, two.base()+login.Request.URL.RequestURI(),
						strings.NewReader(url.Values{"csrf": {csrf}, "username": {spelt}, "password": {wrong}}.Encode()))
					if err != nil {
						c.Error(err)
					}
					r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
					for _, ck := range cookies {
						r.AddCookie(ck)
					}
					resp, err := http.DefaultTransport.RoundTrip(r)
					if err != nil {
						c.Error(err)
						return providertest.AnswerJSON{Response: &http.Response{}}
					}
					resp.Body.Close()
					mu.Lock()
					defer mu.Unlock()
					seen[resp.StatusCode]++
					return providertest.AnswerJSON{Response: resp}
				})
				if seen[http.StatusUnauthorized] > 10 ||
					seen[http.StatusUnauthorized]+seen[http.StatusTooManyRequests]+seen[http.StatusServiceUnavailable] != 40 {
					c.Errorf("%v", seen)
				}
				for range 12 { // those that were turned away because all places were taken did not count
					signIn(b, login, bob.Username, wrong)
				}
				if p := signIn(b, login, bob.Username,
					providertest.TestPassword); p.StatusCode != http.StatusTooManyRequests {
					c.Errorf("the right one, too late: %d", p.StatusCode)
				}
				c.w.Clock.Advance(16 * time.Minute)
				p := signIn(b, login, bob.Username, providertest.TestPassword)
				c.control(p.StatusCode == http.StatusSeeOther, "a while later: %d", p.StatusCode)
			}},
		attack{"BF-3", "whoever guesses locks themselves out, not the person whose browser is known", func(c *trial) {
			alice, web := c.user("alice"), c.client("web")
			known := c.w.Browser()
			known.Code(web, alice.Username)
			thief := c.w.Browser()
			login := thief.Open(c.w.Request(web))
			for range 15 {
				signIn(thief, login, alice.Username, wrong)
			}
			if p := signIn(thief, login, alice.Username,
				providertest.TestPassword); p.StatusCode != http.StatusTooManyRequests {
				c.Errorf("the thief goes on: %d", p.StatusCode)
			}
			c.code(known.Follow(signIn(known, known.Open(c.w.Request(web, "prompt", "login")), alice.Username,
				providertest.TestPassword)))
			c.w.Clock.Advance(16 * time.Minute)
			p := signIn(thief, thief.Open(c.w.Request(web)), alice.Username, providertest.TestPassword)
			c.control(p.StatusCode == http.StatusSeeOther, "the account opens by itself: %d", p.StatusCode)
		}},
		attack{"BF-4", "guesses at a password end nothing that was given; an administrator's disabling ends everything",
			func(c *trial) {
				web := c.client("web")
				b, _, bob := c.signedIn("bob")
				got := c.works(c.w.Redeem(web, c.code(b.Get(c.w.Request(web, "scope", providertest.Offline)))))
				stranger := c.w.Browser()
				login := stranger.Open(c.w.Request(web))
				for range 15 {
					signIn(stranger, login, bob.Username, wrong)
				}
				if p := signIn(stranger, login, bob.Username,
					providertest.TestPassword); p.StatusCode != http.StatusTooManyRequests {
					c.Errorf("%d", p.StatusCode)
				}
				unused := c.code(b.Get(c.w.Request(web)))
				got = c.works(c.w.Renew(web, got.Str("refresh_token")))
				_, err := c.w.Admin.SetDisabled(c.Context(), system, bob.ID, true)
				c.must(err)
				c.refused("a code", c.w.Redeem(web, unused), http.StatusBadRequest, oauth.InvalidGrant)
				c.refused("a refresh token", c.w.Renew(web, got.Str("refresh_token")), http.StatusBadRequest,
					oauth.InvalidGrant)
				c.refused("an access token", c.w.Whois(got.Str("access_token")), http.StatusUnauthorized,
					oauth.InvalidToken)
				c.refusedThere("the session", b.Get(c.w.Request(web, "prompt", "none")), web, oauth.LoginRequired)
			}},
		attack{"BF-5", "no header that a stranger sends makes two addresses of one", func(c *trial) {
			alice, web := c.user("alice"), c.client("web")
			b := c.w.Browser()
			login := b.Open(c.w.Request(web))
			csrf := providertest.RegexpCSRF(login.Body)
			guess := func(i int, username, password string) int {
				form := url.Values{"csrf": {csrf}, "username": {username}, "password": {password}}
				header := []string{"Origin", c.w.Issuer, "Sec-Fetch-Site", "same-origin", "X-Forwarded-For",
					fmt.Sprintf("203.0.113.%d", i), "X-Real-IP", fmt.Sprintf("203.0.113.%d", i), "True-Client-IP",
					fmt.Sprintf("198.51.100.%d", i), "Forwarded", fmt.Sprintf(`for="203.0.113.%d"`, i)}
				return b.SendFrom(login.Request.URL.RequestURI(), form, header...).StatusCode
			}
			looked := 0
			for i := range 130 {
				if guess(i, fmt.Sprint(c.name, "nobody", i), wrong) == http.StatusUnauthorized {
					looked++
				}
			}
			if looked > 100 {
				c.Errorf("%d guesses of one address were looked at", looked)
			}
			if status := guess(200, alice.Username, providertest.TestPassword); status != http.StatusTooManyRequests {
				c.Errorf("one more: %d", status)
			}
			if !strings.Contains(c.w.Log.String(), "127.0.0.1") || strings.Contains(c.w.Log.String(), "203.0.113.") {
				c.Error("the log has the address that the sender wrote")
			}
			c.w.Clock.Advance(16 * time.Minute)
			status := guess(201, alice.Username, providertest.TestPassword)
			c.control(status == http.StatusSeeOther, "a while later: %d", status)
		}},
		attack{"PW-1", "long passwords and many at once cost no more than was set aside for them", func(c *trial) {
			alice, web := c.user("alice"), c.client("web")
			b := c.w.Browser()
			login := b.Open(c.w.Request(web))
			for _, n := range []int{1025, 16 << 10, 200 << 10, 1 << 20} {
				if p := signIn(b, login, alice.Username, strings.Repeat("x", n)); p.StatusCode < 400 ||
					p.StatusCode >= 500 {
					c.Errorf("%d bytes: %d", n, p.StatusCode)
				}
			}
			var wait sync.WaitGroup
			csrf := providertest.RegexpCSRF(login.Body)
			for i := range 60 {
				wait.Go(func() {
					p := b.Post(login.Request.URL.RequestURI(), url.Values{"csrf": {csrf},
						"username": {fmt.Sprint(c.name, "nobody", i)}, "password": {strings.Repeat("y", 64)}})
					if s := p.StatusCode; s != http.StatusUnauthorized && s != http.StatusTooManyRequests &&
						s != http.StatusServiceUnavailable {
						c.Errorf("%d", s)
					}
				})
			}
			for range 20 {
				if p := c.w.Browser().Get("/jwks"); p.StatusCode != http.StatusOK {
					c.Errorf("meanwhile: %d", p.StatusCode)
				}
			}
			wait.Wait()
			c.w.Clock.Advance(16 * time.Minute)
			p := signIn(b, login, alice.Username, providertest.TestPassword)
			c.control(p.StatusCode == http.StatusSeeOther, "%d", p.StatusCode)
		}},
		attack{"PW-2", "every character of a password counts, and one spelling of a letter is as good as another",
			func(c *trial) {
				alice, web := c.user("alice"), c.client("web")
				long := " é" + strings.Repeat("correct horse ", 6) + "battery staple🔑 עברית "
				_, err := c.w.Admin.SetPassword(c.Context(), system, alice.ID, long)
				c.must(err)
				b := c.w.Browser()
				login := b.Open(c.w.Request(web))
				for what, p := range map[string]string{"the first 72 bytes": long[:72], "without the first space": long[1:],
					"without the last": long[:len(long)-1], "a NUL": long + "\x00", "upper case": strings.ToUpper(long),
					"another accent": strings.Replace(long, "é", "e", 1)} {
					if got := signIn(b, login, alice.Username, p); got.StatusCode == http.StatusSeeOther {
						c.Errorf("%s is taken", what)
					}
				}
				for _, spelt := range []string{long, strings.Replace(long, "é", "e\u0301", 1)} {
					p := signIn(b, b.Open(c.w.Request(web, "prompt", "login")), alice.Username, spelt)
					c.control(p.StatusCode == http.StatusSeeOther, "%q: %d", spelt[:4], p.StatusCode)
				}
			}},
		attack{"UN-1", "a username has one form, however it is typed, and no second one that looks like it",
			func(c *trial) {
				web := c.client("web")
				make := func(name string) error {
					_, err := c.w.Admin.CreateUser(c.Context(), system, admin.NewUser{Username: name,
						Password: "another horse battery staple"})
					return err
				}
				c.must(make("Un1-Alice"))
				for _, name := range []string{"un1-alice", "UN1-ALICE", "un1-alice ", "ｕｎ1-ａｌｉｃｅ", "un1-аlice",
					"un1-al\u0131ce", "un1-alice\u200b", "un1-ali\u00adce", "un1-alice\u202e", "un1-alic\u0435",
					"\u212an1-alice\u0000"} {
					if make(name) == nil {
						c.Errorf("%q was made beside Un1-Alice", name)
					}
				}
				for _, name := range []string{"un1-alice", "UN1-ALICE", "Un1-Alice", " un1-alice ", "ｕｎ1-ａｌｉｃｅ"} {
					b := c.w.Browser()
					p := signIn(b, b.Open(c.w.Request(web)), name, "another horse battery staple")
					c.control(p.StatusCode == http.StatusSeeOther, "%q: %d", name, p.StatusCode)
				}
				for _, name := range []string{"un1-аlice", "un1-alıce", "un1-alice\u200b"} {
					b := c.w.Browser()
					if p := signIn(b, b.Open(c.w.Request(web)), name,
						"another horse battery staple"); p.StatusCode == http.StatusSeeOther {
						c.Errorf("%q is alice", name)
					}
				}
			}},
	)
}

func TestAttacksOnTheAccountPage(t *testing.T) {
	group(t,
		attack{"AD-2", "what belongs to somebody else is as unknown to a person as what never was", func(c *trial) {
			web := c.client("web")
			b, s, alice := c.signedIn("alice")
			_, second := c.w.SignedIn(alice)
			bobs, bobSession, _ := c.signedIn("bob")
			grant := c.w.Granted(bobSession, web)
			strip := func(p providertest.Page) string { return strings.ReplaceAll(p.Body, p.Header.Get("X-Request-Id"), "") }
			for _, pair := range [][2]url.Values{{{"action": {"end-session"}, "id": {"never-was"}},
				{"action": {"end-session"}, "id": {bobSession.ID}}},
				{{"action": {"disconnect"}, "client_id": {"never-was"}}, {"action": {"disconnect"},
					"client_id": {web.ID}}}} {
				unknown, theirs := b.Change(s, pair[0]), b.Change(s, pair[1])
				if unknown.StatusCode != http.StatusNotFound || theirs.StatusCode != http.StatusNotFound ||
					strip(unknown) != strip(theirs) {
					c.Errorf("%v: %d, %d", pair[1], unknown.StatusCode, theirs.StatusCode)
				}
			}
			if now, err := c.w.Store.Grant(c.Context(), grant.ID); err != nil || !now.Stands(c.w.Web.Now()) ||
				!c.w.StillSignedIn(bobs, bobSession) {
				c.Errorf("something of bob's has ended: %v", err)
			}
			p := b.Change(s, url.Values{"action": {"end-session"}, "id": {second.ID}})
			c.control(p.StatusCode == http.StatusSeeOther, "her own: %d", p.StatusCode)
		}},
		attack{"AD-4", "no field beside a form's own is taken over into what is stored", func(c *trial) {
			b, s, alice := c.signedIn("alice")
			_, second := c.w.SignedIn(alice)
			before, err := c.w.Store.User(c.Context(), alice.ID)
			c.must(err)
			form := url.Values{"action": {"end-session"}, "id": {second.ID}}
			for _, name := range []string{"_id", "role", "roles", "is_admin", "groups", "disabled", "email",
				"email_verified", "password_hash", "created_at", "sub", "user_id", "username", "$set", "__proto__",
				"version", "acr", "auth_time"} {
				form.Set(name, "admin")
			}
			p := b.Change(s, form)
			c.control(p.StatusCode == http.StatusSeeOther, "%d", p.StatusCode)
			after, err := c.w.Store.User(c.Context(), alice.ID)
			c.must(err)
			if fmt.Sprintf("%+v", after) != fmt.Sprintf("%+v", before) {
				c.Errorf("before %+v\nafter  %+v", before, after)
			}
			session, err := c.w.Store.Session(c.Context(), s.ID)
			c.must(err)
			if session.ACR != s.ACR || !session.AuthTime.Equal(s.AuthTime) || session.UserID != s.UserID {
				c.Errorf("%+v", session)
			}
		}},
		attack{"AD-5", "a secret is shown once, when it is made, and no answer has a hash or a key", func(c *trial) {
			made, client := c.w.Registered(object("grant_types", []string{"authorization_code", "refresh_token"}))
			c.control(made.Str("client_secret") != "" && made.Str("registration_access_token") != "", "%v", made.JSON)
			b, s, alice := c.signedIn("alice")
			c.w.Granted(s, client)
			u, err := c.w.Store.User(c.Context(), alice.ID)
			c.must(err)
			web := c.client("web")
			got := c.w.Tokens(web, alice, providertest.Offline)
			secrets := map[string]string{"secret": made.Str("client_secret"), "password hash": u.PasswordHash,
				"session hash": s.SecretHash, "refresh token": got.Str("refresh_token"),
				"access token": got.Str("access_token"), "secret's hash": string(client.SecretHash),
				"token's hash": client.RegistrationTokenHash}
			read := c.w.Json("GET", made.Str("registration_client_uri"), made.Str("registration_access_token"), nil)
			bodies := map[string]string{"the registration": fmt.Sprint(read.JSON), "account": b.Get("/account").Body,
				"consent":       b.Open(c.w.Request(client)).Body,
				"userinfo":      fmt.Sprint(c.w.Whois(got.Str("access_token")).JSON),
				"introspection": fmt.Sprint(c.w.Asks(web, got.Str("access_token")).JSON),
				"discovery":     b.Get("/.well-known/openid-configuration").Body, "keys": b.Get("/jwks").Body}
			for where, body := range bodies {
				for what, secret := range secrets {
					if secret != "" && strings.Contains(body, secret) {
						c.Errorf("%s has the %s", where, what)
					}
				}
			}
		}},
	)
}
