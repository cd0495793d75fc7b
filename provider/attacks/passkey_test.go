package attacks_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"latchkey/provider/clients"
	"latchkey/provider/people"
	"latchkey/provider/providertest"
	"latchkey/provider/storage"
)

func TestAttacksOnPasskeys(t *testing.T) {
	// begun is a person with a passkey, at a provider whose name is a domain, and a client.
	begun := func(c *trial) (storage.User, *providertest.Passkey, clients.Client) {
		c.w = c.fresh(providertest.OnDomain).In(c.T)
		u, k := c.user("alice"), c.w.NewPasskey()
		c.w.Browser().AddPasskey(u.Username, k)
		return u, k, c.client("web")
	}
	// at is a browser at the sign-in page, and what that asks.
	at := func(c *trial, web clients.Client) (*providertest.Browser, providertest.Page, providertest.Asked) {
		b := c.w.Browser()
		p := b.Open(c.w.Request(web))
		return b, p, providertest.AskedOf(c, p, "")
	}
	signsIn := func(c *trial, k *providertest.Passkey, web clients.Client) {
		c.Helper()
		b, p, asked := at(c, web)
		c.code(b.Follow(b.UsePasskey(p, asked, k.Get(asked))))
	}
	no := func(c *trial, what string, p providertest.Page) {
		c.Helper()
		if p.StatusCode != http.StatusUnauthorized && p.StatusCode != http.StatusForbidden ||
			p.Header.Get("Location") != "" {
			c.Errorf("%s: %d to %q", what, p.StatusCode, p.Header.Get("Location"))
		}
	}
	bent := func(k *providertest.Passkey, bend func(*providertest.Passkey)) *providertest.Passkey {
		other := *k
		bend(&other)
		return &other
	}
	group(t,
		attack{"WA-1", "a passkey's challenge is used once, within five minutes, in the browser and for the purpose that it was made for", func(c *trial) {
			alice, k, web := begun(c)
			signsIn(c, k, web)
			b, p, asked := at(c, web)
			answer := k.Get(asked)
			c.code(b.Follow(b.UsePasskey(p, asked, answer)))
			evil, there, other := at(c, web)
			no(c, "in another browser, a second time", evil.UsePasskey(there, asked, answer))
			_, _, fresh := at(c, web)
			no(c, "in another browser, for the first time", evil.UsePasskey(there, fresh, k.Get(fresh)))
			no(c, "a failure", evil.UsePasskey(there, other, "{}"))
			no(c, "after a failure", evil.UsePasskey(there, other, k.Get(other)))
			b = c.w.Browser()
			p = b.SignInAs(b.Open(c.w.Request(web)), alice.Username)
			factor := providertest.AskedOf(c, p, "")
			login := b.Open(providertest.LinkTo(p, "mfa-switch"))
			no(c, "a second factor's for a sign-in", b.UsePasskey(login, factor, k.Get(factor)))
			signIn := providertest.AskedOf(c, login, "")
			no(c, "a sign-in's for a second factor", b.UsePasskey(p, signIn, k.Get(signIn)))
			no(c, "none", b.UsePasskey(login, providertest.Asked{}, k.Get(signIn)))
			b, p, asked = at(c, web)
			c.w.Clock.Advance(5 * time.Minute)
			no(c, "too late", b.UsePasskey(p, asked, k.Get(asked)))
		}},
		attack{"WA-2", "a passkey is its person's alone", func(c *trial) {
			alice, k, web := begun(c)
			mallory, own := c.user("mallory"), c.w.NewPasskey()
			c.w.Browser().AddPasskey(mallory.Username, own)
			signsIn(c, k, web)
			signsIn(c, own, web)
			for what, bad := range map[string]*providertest.Passkey{
				"her credential, his key": bent(own, func(o *providertest.Passkey) { o.ID = k.ID }),
				"her credential and handle": bent(own,
					func(o *providertest.Passkey) { o.ID, o.UserHandle = k.ID, k.UserHandle }),
				"his credential, her handle": bent(own, func(o *providertest.Passkey) { o.UserHandle = k.UserHandle }),
				"nobody's credential":        bent(own, func(o *providertest.Passkey) { o.ID = []byte("nobody's") }),
				"no handle":                  bent(own, func(o *providertest.Passkey) { o.UserHandle = nil }),
			} {
				b, p, asked := at(c, web)
				no(c, what, b.UsePasskey(p, asked, bad.Get(asked)))
				b = c.w.Browser()
				p = b.SignInAs(b.Open(c.w.Request(web)), alice.Username)
				asked = providertest.AskedOf(c, p, "")
				no(c, "after her password: "+what, b.UsePasskey(p, asked, bad.Get(asked)))
			}
			b, p, asked := at(c, web)
			_, err := c.w.Store.RemovePasskey(c.Context(), mallory.ID, own.ID)
			c.must(err)
			no(c, "removed meanwhile", b.UsePasskey(p, asked, own.Get(asked)))
			b, p, asked = at(c, web)
			c.changeUser(alice, func(u *storage.User) { u.Disabled = true })
			no(c, "disabled meanwhile", b.UsePasskey(p, asked, k.Get(asked)))
		}},
		attack{"WA-3", "a passkey answers our origin alone, and no frame", func(c *trial) {
			_, k, web := begun(c)
			signsIn(c, k, web)
			ours := k.Origin
			for _, origin := range []string{
				ours + ".evil.example", strings.Replace(ours, "//", "//bad", 1), strings.Replace(ours, "http:",
					"https:", 1), "http://localhost:1", "null", "", "https://evil.example",
				strings.Replace(ours, "//", "//evil@", 1) + "x",
			} {
				b, p, asked := at(c, web)
				no(c, "origin "+origin, b.UsePasskey(p, asked,
					bent(k, func(k *providertest.Passkey) { k.Origin = origin }).Get(asked)))
			}
			for what, bend := range map[string]func(*providertest.Passkey){
				"RP ID":       func(k *providertest.Passkey) { k.RPID = "evil.example" },
				"type":        func(k *providertest.Passkey) { k.Bend = func(d map[string]any) { d["type"] = "webauthn.create" } },
				"crossOrigin": func(k *providertest.Passkey) { k.Bend = func(d map[string]any) { d["crossOrigin"] = true } },
				"topOrigin": func(k *providertest.Passkey) {
					k.Bend = func(d map[string]any) { d["crossOrigin"], d["topOrigin"] = true, "https://evil.example" }
				},
			} {
				b, p, asked := at(c, web)
				no(c, what, b.UsePasskey(p, asked, bent(k, bend).Get(asked)))
			}
		}},
		attack{"WA-4", "a passkey signs in only where its authenticator has verified its user", func(c *trial) {
			alice, k, web := begun(c)
			signsIn(c, k, web)
			for _, flags := range []byte{0, providertest.FlagPresent, providertest.FlagVerified} {
				weak := bent(k, func(k *providertest.Passkey) { k.Flags = flags })
				b, p, asked := at(c, web)
				if asked.Options.PublicKey.UserVerification != "required" {
					c.Errorf("asked for %+v", asked.Options)
				}
				no(c, "alone", b.UsePasskey(p, asked, weak.Get(asked)))
				b = c.w.Browser()
				p = b.SignInAs(b.Open(c.w.Request(web)), alice.Username)
				asked = providertest.AskedOf(c, p, "")
				no(c, "after a password", b.UsePasskey(p, asked, weak.Get(asked)))
			}
			bob := c.user("bob")
			b := c.w.Browser()
			p := b.Methods(bob.Username, nil)
			asked := providertest.AskedOf(c, p, "")
			weak := c.w.NewPasskey()
			weak.Flags = providertest.FlagPresent
			if p := b.UsePasskey(p, asked, weak.Create(asked)); p.StatusCode != http.StatusBadRequest {
				c.Errorf("registered without: %d", p.StatusCode)
			}
		}},
		attack{"WA-5", "a passkey is registered once, with an algorithm that was offered, and only so many",
			func(c *trial) {
				_, k, _ := begun(c)
				bob := c.user("bob")
				b := c.w.Browser()
				b.Methods(bob.Username, nil)
				try := func(what string, status int, bend func(*providertest.Passkey)) {
					c.Helper()
					page := b.Open("/account/methods")
					asked := providertest.AskedOf(c, page, "")
					bad := c.w.NewPasskey()
					bend(bad)
					if got := b.UsePasskey(page, asked, bad.Create(asked)); got.StatusCode != status {
						c.Errorf("%s: %d, want %d", what, got.StatusCode, status)
					}
				}
				try("another's credential", http.StatusConflict, func(b *providertest.Passkey) { b.ID = k.ID })
				try("a long credential ID", http.StatusBadRequest,
					func(b *providertest.Passkey) { b.ID = make([]byte, 1100) })
				try("an algorithm nobody knows", http.StatusBadRequest, func(b *providertest.Passkey) {
					b.Key = map[int]any{1: 3, 3: -65535, -1: make([]byte, 256), -2: []byte{1, 0, 1}}
				})
				try("a short RSA key", http.StatusBadRequest, func(b *providertest.Passkey) {
					n := make([]byte, 64)
					n[0], n[63] = 0x80, 1
					b.Key = map[int]any{1: 3, 3: -257, -1: n, -2: []byte{1, 0, 1}}
				})
				try("a point that is on no curve", http.StatusBadRequest, func(b *providertest.Passkey) {
					b.Key = map[int]any{1: 2, 3: -7, -1: 1, -2: make([]byte, 32), -3: make([]byte, 32)}
				})
				try("a curve of another algorithm", http.StatusBadRequest, func(b *providertest.Passkey) {
					b.Key = map[int]any{1: 2, 3: -7, -1: 2, -2: make([]byte, 48), -3: make([]byte, 48)}
				})
				p := b.Open("/account/methods")
				asked := providertest.AskedOf(c, p, "")
				one := c.w.NewPasskey()
				done := b.UsePasskey(p, asked, one.Create(asked))
				c.control(len(providertest.RecoveryCodesOf(done)) > 0, "register: %d", done.StatusCode)
				try("one's own again", http.StatusConflict, func(b *providertest.Passkey) { b.ID = one.ID })
				for range people.MostPasskeys - 1 {
					extra := c.w.NewPasskey()
					_, err := c.w.Store.AddPasskey(c.Context(), bob.ID, storage.Passkey{CredentialID: extra.ID,
						PublicKey: []byte{1}}, nil, people.MostPasskeys)
					c.must(err)
				}
				if p := b.Open("/account/methods"); strings.Contains(p.Body, "data-options") {
					c.Error("one more is asked for than there can be")
				}
			}},
		attack{"WA-6", "a passkey is added after a fresh sign-in, in the session that asked", func(c *trial) {
			begun(c)
			bob, carol := c.user("bob"), c.user("carol")
			b := c.w.Browser()
			p := b.Methods(bob.Username, nil)
			asked := providertest.AskedOf(c, p, "")
			k := c.w.NewPasskey()
			answer := k.Create(asked)
			evil := c.w.Browser()
			theirs := evil.Methods(carol.Username, nil)
			if p := evil.UsePasskey(theirs, asked, answer); p.StatusCode < 400 {
				c.Errorf("in another session: %d", p.StatusCode)
			}
			if p := b.Post("/account/methods", url.Values{"action": {"passkey"}, "state": {asked.State},
				"answer": {answer}}); p.StatusCode != http.StatusForbidden {
				c.Errorf("without the form's value: %d", p.StatusCode)
			}
			c.w.Clock.Advance(5*time.Minute + time.Second)
			late := b.UsePasskey(p, asked, answer)
			if late.StatusCode != http.StatusSeeOther || !strings.Contains(late.Header.Get("Location"), "/authorize") {
				c.Errorf("after five minutes: %d to %q", late.StatusCode, late.Header.Get("Location"))
			}
			if u, err := c.w.Store.User(c.Context(), bob.ID); err != nil || len(u.Factors.Passkeys) != 0 {
				c.Errorf("registered all the same: %v", err)
			}
			c.control(len(c.w.Browser().AddPasskey(bob.Username, k)) > 0, "register")
		}},
	)
}
