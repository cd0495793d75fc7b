package signin_test

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey/provider"
	"latchkey/provider/clients"
	"latchkey/provider/people"
	"latchkey/provider/providertest"
)

// TestPasskeySignsInAlone registers a passkey and signs in by nothing else.
func TestPasskeySignsInAlone(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		flags    byte
		key, acr string
	}{
		{"bound to its device", 0, people.AMRHardwareKey, people.ACRHardwareProtected},
		{"synced", providertest.FlagSynced | providertest.FlagBackedUp, people.AMRSoftwareKey,
			people.ACRPhishingResistant},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := providertest.New(t, providertest.OnDomain)
			w.AddUser("alice")
			app := w.AddClient("app")
			k := w.NewPasskey()
			k.Flags |= c.flags
			if codes := w.Browser().AddPasskey("alice", k); len(codes) == 0 {
				t.Error("the first passkey brought no recovery codes")
			}

			b := w.Browser()
			p := b.Open(w.Request(app))
			asked := providertest.AskedOf(t, p, "")
			if pk := asked.Options.PublicKey; pk.UserVerification != "required" || len(pk.AllowCredentials) != 0 ||
				pk.RPID != "localhost" {
				t.Errorf("asked: %+v", pk)
			}
			p = b.Follow(b.UsePasskey(p, asked, k.Get(asked)))
			code := p.Answer().Get("code")
			if code == "" {
				t.Fatalf("not signed in: %d %s\n%s", p.StatusCode, p.Body, w.Log)
			}
			id := w.IdTokenOf(app, code)
			if id["acr"] != c.acr {
				t.Errorf("acr %v", id["acr"])
			}
			var amr []string
			for _, v := range id["amr"].([]any) {
				amr = append(amr, v.(string))
			}
			slices.Sort(amr)
			want := []string{c.key, "mfa", "pop", "user"}
			slices.Sort(want)
			if !slices.Equal(amr, want) {
				t.Errorf("amr %v, not %v", amr, want)
			}
		})
	}
}

func TestPasskeyAfterPassword(t *testing.T) {
	t.Parallel()
	w := providertest.New(t, providertest.OnDomain)
	w.AddUser("alice")
	app := w.AddClient("app")
	k := w.NewPasskey()
	codes := w.Browser().AddPasskey("alice", k)

	b := w.Browser()
	p := b.SignInAs(b.Open(w.Request(app)), "alice")
	if !p.Has("mfa-page") {
		t.Fatalf("a password alone: %d %s", p.StatusCode, p.Body)
	}
	asked := providertest.AskedOf(t, p, "")
	if ids := asked.Options.PublicKey.AllowCredentials; len(ids) != 1 {
		t.Errorf("asked for %v", ids)
	}
	p = b.Follow(b.UsePasskey(p, asked, k.Get(asked)))
	id := w.IdTokenOf(app, p.Answer().Get("code"))
	if id["acr"] != people.ACRHardwareProtected {
		t.Errorf("acr %v", id["acr"])
	}

	// A recovery code stands in, and reaches less.
	b = w.Browser()
	p = b.SignInAs(b.Open(w.Request(app)), "alice")
	p = b.Open(providertest.LinkTo(p, "mfa-recovery"))
	p = b.Follow(b.Submit(p, "mfa-submit", url.Values{"code": {codes[0]}}))
	if id := w.IdTokenOf(app, p.Answer().Get("code")); id["acr"] != people.ACRMultiFactor {
		t.Errorf("by recovery code: acr %v", id["acr"])
	}
	// Where phishing must be resisted it does not: the passkey is asked for.
	p = b.Open(w.Request(app, "acr_values", "phr"))
	if !p.Has("mfa-page") || p.Has("mfa-recovery") {
		t.Errorf("acr_values=phr: %d %s", p.StatusCode, p.Body)
	}
	asked = providertest.AskedOf(t, p, "")
	p = b.Follow(b.UsePasskey(p, asked, k.Get(asked)))
	if id := w.IdTokenOf(app, p.Answer().Get("code")); id["acr"] != "phr" {
		t.Errorf("stepped up: acr %v", id["acr"])
	}
}

// TestPasskeyRefusals answers a challenge in every way that must not sign anybody in.
func TestPasskeyRefusals(t *testing.T) {
	t.Parallel()
	w := providertest.New(t, providertest.OnDomain)
	for _, name := range []string{"alice", "mallory", "bob"} {
		w.AddUser(name)
	}
	app := w.AddClient("app")
	alice, mallory := w.NewPasskey(), w.NewPasskey()
	w.Browser().AddPasskey("alice", alice)
	w.Browser().AddPasskey("mallory", mallory)

	refused := func(t *testing.T, p providertest.Page) {
		t.Helper()
		if p.StatusCode != http.StatusUnauthorized && p.StatusCode != http.StatusForbidden &&
			p.StatusCode != http.StatusBadRequest {
			t.Errorf("%d %s\n%s", p.StatusCode, p.Header.Get("Location"), p.Body)
		}
		if p.Answer().Get("code") != "" {
			t.Error("signed in")
		}
	}
	bent := func(k *providertest.Passkey, bend func(*providertest.Passkey)) *providertest.Passkey {
		other := *k
		bend(&other)
		return &other
	}
	origin := w.Issuer
	for name, bend := range map[string]func(*providertest.Passkey){
		"WA-3 origin of a host that ends alike": func(k *providertest.Passkey) {
			k.Origin = "http://bad" +
				strings.TrimPrefix(origin, "http://")
		},
		"WA-3 origin of a host that begins alike": func(k *providertest.Passkey) {
			k.Origin = origin +
				".evil.example"
		},
		"WA-3 origin of another scheme": func(k *providertest.Passkey) {
			k.Origin = strings.Replace(origin,
				"http:", "https:", 1)
		},
		"WA-3 origin of another port":     func(k *providertest.Passkey) { k.Origin = "http://localhost:1" },
		"WA-3 origin null":                func(k *providertest.Passkey) { k.Origin = "null" },
		"WA-3 RP ID of another":           func(k *providertest.Passkey) { k.RPID = "evil.example" },
		"WA-3 type of a registration":     func(k *providertest.Passkey) { k.Bend = func(d map[string]any) { d["type"] = "webauthn.create" } },
		"WA-3 in a frame of another site": func(k *providertest.Passkey) { k.Bend = func(d map[string]any) { d["crossOrigin"] = true } },
		"WA-3 below another site": func(k *providertest.Passkey) {
			k.Bend = func(d map[string]any) { d["crossOrigin"] = true; d["topOrigin"] = "https://evil.example" }
		},
		"WA-1 challenge of somebody else's making": func(k *providertest.Passkey) {
			k.Bend = func(d map[string]any) { d["challenge"] = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" }
		},
		"WA-4 user not verified":      func(k *providertest.Passkey) { k.Flags = providertest.FlagPresent },
		"WA-4 user not present":       func(k *providertest.Passkey) { k.Flags = providertest.FlagVerified },
		"WA-2 user handle of another": func(k *providertest.Passkey) { k.UserHandle = people.UserHandle("sub-bob") },
		"WA-2 no user handle":         func(k *providertest.Passkey) { k.UserHandle = nil },
		"WA-2 credential of another":  func(k *providertest.Passkey) { k.ID = mallory.ID },
		"WA-2 credential of nobody":   func(k *providertest.Passkey) { k.ID = []byte("nobody's credential") },
		"WA-2 synced all of a sudden": func(k *providertest.Passkey) { k.Flags |= providertest.FlagSynced },
	} {
		t.Run(name, func(t *testing.T) {
			w := w.In(t)
			b := w.Browser()
			p := b.Open(w.Request(app))
			asked := providertest.AskedOf(t, p, "")
			answer := bent(alice, bend).Get(asked)
			refused(t, b.UsePasskey(p, asked, answer))
		})
	}
	t.Run("WA-3 more in the client data than we know is fine", func(t *testing.T) {
		w := w.In(t)
		b := w.Browser()
		p := b.Open(w.Request(app))
		asked := providertest.AskedOf(t, p, "")
		k := bent(alice, func(k *providertest.Passkey) {
			k.Bend = func(d map[string]any) { d["other_keys_can_be_added_here"] = "x" }
		})
		if p := b.Follow(b.UsePasskey(p, asked, k.Get(asked))); p.Answer().Get("code") == "" {
			t.Errorf("%d %s", p.StatusCode, p.Body)
		}
	})
	t.Run("WA-1 challenge is used once, also by two at a time, and by a failure", func(t *testing.T) {
		w := w.In(t)
		b := w.Browser()
		p := b.Open(w.Request(app))
		asked := providertest.AskedOf(t, p, "")
		refused(t, b.UsePasskey(p, asked, bent(alice, func(k *providertest.Passkey) { k.Flags = 0 }).Get(asked)))
		refused(t, b.UsePasskey(p, asked, alice.Get(asked)))

		p = b.Open(w.Request(app))
		asked = providertest.AskedOf(t, p, "")
		var wait sync.WaitGroup
		won := make(chan bool, 8)
		for range cap(won) {
			answer := alice.Get(asked)
			wait.Go(func() {
				won <- b.UsePasskey(p, asked, answer).StatusCode == http.StatusSeeOther
			})
		}
		wait.Wait()
		winners := 0
		for range cap(won) {
			if <-won {
				winners++
			}
		}
		if winners == 0 {
			t.Error("nobody signed in")
		}
	})
	t.Run("WA-1 challenge of another browser, or of another sign-in", func(t *testing.T) {
		w := w.In(t)
		b, evil := w.Browser(), w.Browser()
		theirs := evil.Open(w.Request(app))
		asked := providertest.AskedOf(t, theirs, "")
		p := b.Open(w.Request(app))
		refused(t, b.UsePasskey(p, asked, alice.Get(asked)))
		other := b.Open(w.Request(app, "state", "S2"))
		asked = providertest.AskedOf(t, other, "")
		refused(t, b.UsePasskey(p, asked, alice.Get(asked)))
		// The other way round: what mallory has signed signs nobody in here.
		asked = providertest.AskedOf(t, theirs, "")
		refused(t, b.UsePasskey(p, asked, mallory.Get(asked)))
	})
	t.Run("WA-1 challenge for one purpose is worth nothing for another", func(t *testing.T) {
		w := w.In(t)
		b := w.Browser()
		p := b.SignInAs(b.Open(w.Request(app)), "alice")
		factor := providertest.AskedOf(t, p, "")
		login := b.Open(providertest.LinkTo(p, "mfa-switch"))
		refused(t, b.UsePasskey(login, factor, alice.Get(factor)))
		signIn := providertest.AskedOf(t, login, "")
		refused(t, b.UsePasskey(p, signIn, alice.Get(signIn)))
	})
	t.Run("WA-2 second factor by the passkey of another", func(t *testing.T) {
		w := w.In(t)
		b := w.Browser()
		p := b.SignInAs(b.Open(w.Request(app)), "alice")
		asked := providertest.AskedOf(t, p, "")
		refused(t, b.UsePasskey(p, asked, mallory.Get(asked)))
		p = b.Open(w.Request(app))
		asked = providertest.AskedOf(t, p, "")
		refused(t, b.UsePasskey(p, asked, bent(mallory,
			func(k *providertest.Passkey) { k.ID, k.UserHandle = alice.ID, alice.UserHandle }).Get(asked)))
	})
	t.Run("WA-8 what is no answer", func(t *testing.T) {
		w := w.In(t)
		b := w.Browser()
		p := b.Open(w.Request(app))
		for _, answer := range []string{"", "{}", "null", "[]", "\ufeff{}",
			`{"id":"AA==","rawId":"AA==","type":"public-key","response":{}}`, strings.Repeat("[", 10_000)} {
			refused(t, b.UsePasskey(p, providertest.AskedOf(t, b.Open(w.Request(app)), ""), answer))
			p = b.Open(w.Request(app))
			refused(t, b.UsePasskey(p, providertest.AskedOf(t, p, ""), answer))
		}
		refused(t, b.UsePasskey(p, providertest.Asked{State: "AAAA"}, alice.Get(providertest.AskedOf(t, p, ""))))
	})
	t.Run("WA-7 signature counter grows", func(t *testing.T) {
		w := w.In(t)
		try := func(count uint32) bool {
			b := w.Browser()
			p := b.Open(w.Request(app))
			asked := providertest.AskedOf(t, p, "")
			k := *mallory
			k.Count = count
			return b.Follow(b.UsePasskey(p, asked, k.Get(asked))).Answer().Get("code") != ""
		}
		for _, c := range []struct {
			count uint32
			ok    bool
		}{{0, true}, {0, true}, {10, true}, {9, false}, {10, false}, {5, false}, {0, false}, {11, true}} {
			if got := try(c.count); got != c.ok {
				t.Errorf("counter %d: signed in %v", c.count, got)
			}
		}
	})
	t.Run("WA-9 the page is the same for everybody", func(t *testing.T) {
		w := w.In(t)
		for _, hint := range []string{"alice", "bob", "nobody"} {
			pk := providertest.AskedOf(t, w.Browser().Open(w.Request(app, "login_hint", hint)), "").Options.PublicKey
			if len(pk.AllowCredentials) != 0 {
				t.Errorf("%s: %v", hint, pk.AllowCredentials)
			}
		}
	})
	t.Run("WA-2 user who is disabled, and passkey that is removed", func(t *testing.T) {
		w := w.In(t)
		ctx := context.Background()
		u, err := w.Store.User(ctx, "sub-alice")
		if err != nil {
			t.Fatal(err)
		}
		b := w.Browser()
		p := b.Open(w.Request(app))
		asked := providertest.AskedOf(t, p, "")
		u.Disabled = true
		if err := w.Store.UpdateUser(ctx, u); err != nil {
			t.Fatal(err)
		}
		p = b.UsePasskey(p, asked, alice.Get(asked))
		refused(t, p)
		if strings.Contains(p.Body, "data-unknown") {
			t.Error("the browser is told to forget the passkey of a user who is disabled")
		}
		p = b.Open(w.Request(app))
		asked = providertest.AskedOf(t, p, "")
		if _, err := w.Store.RemovePasskey(ctx, "sub-mallory", mallory.ID); err != nil {
			t.Fatal(err)
		}
		p = b.UsePasskey(p, asked, mallory.Get(asked))
		refused(t, p)
		if !strings.Contains(p.Body, "data-unknown") {
			t.Error("the browser is not told to forget the passkey")
		}
	})
	t.Run("WA-1 challenge that is five minutes old", func(t *testing.T) {
		w := w.In(t)
		b := w.Browser()
		p := b.Open(w.Request(app))
		asked := providertest.AskedOf(t, p, "")
		w.Clock.Advance(5 * time.Minute)
		refused(t, b.UsePasskey(p, asked, mallory.Get(asked)))
	})
}

// TestPasskeyIsSetUpInTheMiddleOfASignIn has an application ask for more than the person has.
func TestPasskeyIsSetUpInTheMiddleOfASignIn(t *testing.T) {
	t.Parallel()
	w := providertest.New(t, providertest.OnDomain)
	strict := w.AddClient("strict", func(c *clients.Client) { c.RequireSecondFactor = true })
	app := w.AddClient("app")

	t.Run("where a second factor is required", func(t *testing.T) {
		w := w.In(t)
		w.AddUser("alice")
		b, k := w.Browser(), w.NewPasskey()
		p := b.SignInAs(b.Open(w.Request(strict)), "alice")
		p = b.Open(providertest.LinkTo(p, "totp-passkey"))
		asked := providertest.AskedOf(t, p, "")
		p = b.UsePasskey(p, asked, k.Create(asked))
		if !p.Has("recovery-page") {
			t.Fatalf("%d %s", p.StatusCode, p.Body)
		}
		p = b.Open(providertest.LinkTo(p, "recovery-continue"))
		if id := w.IdTokenOf(strict, p.Answer().Get("code")); id["acr"] != people.ACRMultiFactor {
			t.Errorf("acr %v", id["acr"])
		}
	})
	t.Run("where an essential acr resists phishing, and is then used", func(t *testing.T) {
		w := w.In(t)
		w.AddUser("bob")
		b, k := w.Browser(), w.NewPasskey()
		claims := `{"id_token":{"acr":{"essential":true,"values":["phr"]}}}`
		p := b.SignInAs(b.Open(w.Request(app, "claims", claims)), "bob")
		if !p.Has("passkey-page") || p.Has("passkey-skip") {
			t.Fatalf("%d %s", p.StatusCode, p.Body)
		}
		asked := providertest.AskedOf(t, p, "")
		p = b.UsePasskey(p, asked, k.Create(asked))
		p = b.Open(providertest.LinkTo(p, "recovery-continue"))
		if !p.Has("mfa-page") { // nothing was signed yet
			t.Fatalf("%d %s", p.StatusCode, p.Body)
		}
		asked = providertest.AskedOf(t, p, "")
		p = b.Follow(b.UsePasskey(p, asked, k.Get(asked)))
		if id := w.IdTokenOf(app, p.Answer().Get("code")); id["acr"] != "phr" {
			t.Errorf("acr %v", id["acr"])
		}
	})
	t.Run("where acr_values wish for more, and the person goes on without", func(t *testing.T) {
		w := w.In(t)
		w.AddUser("carol")
		b := w.Browser()
		p := b.SignInAs(b.Open(w.Request(app, "acr_values", "phr")), "carol")
		p = b.Follow(b.Submit(p, "passkey-skip", url.Values{"action": {"skip"}}))
		if id := w.IdTokenOf(app, p.Answer().Get("code")); id["acr"] != people.ACRPassword {
			t.Errorf("acr %v", id["acr"])
		}
		if e := b.Get(w.Request(app, "acr_values", "phr", "prompt", "none")).Answer(); e.Get("code") == "" {
			t.Errorf("prompt=none: %v", e)
		}
	})
}

// TestPasskeyIsOfferedAfterAPassword offers one where the browser can keep it.
func TestPasskeyIsOfferedAfterAPassword(t *testing.T) {
	t.Parallel()
	w := providertest.New(t, providertest.OnDomain)
	w.AddUser("alice")
	app := w.AddClient("app")
	signIn := func(b *providertest.Browser, can string) providertest.Page {
		return b.Follow(b.Submit(b.Open(w.Request(app)), "login-submit", url.Values{
			"username": {"alice"}, "password": {providertest.TestPassword}, "passkeys": {can},
		}))
	}
	if p := signIn(w.Browser(), ""); p.Answer().Get("code") == "" {
		t.Fatalf("a browser without passkeys: %d %s", p.StatusCode, p.Body)
	}
	// Declined, it is not offered again for a while.
	b := w.Browser()
	p := signIn(b, "yes")
	if !p.Has("passkey-page") {
		t.Fatalf("%d %s", p.StatusCode, p.Body)
	}
	if p = b.Follow(b.Submit(p, "passkey-skip", url.Values{"action": {"skip"}})); p.Answer().Get("code") == "" {
		t.Errorf("declined: %d %s", p.StatusCode, p.Body)
	}
	if p = signIn(w.Browser(), "yes"); p.Answer().Get("code") == "" {
		t.Errorf("offered again: %d %s", p.StatusCode, p.Body)
	}
	w.Clock.Advance(91 * 24 * time.Hour)
	// The browser makes it without asking: nobody is seen or verified.
	b = w.Browser()
	p = signIn(b, "yes")
	asked := providertest.AskedOf(t, p, "passing")
	if asked.Options.Mediation != "conditional" {
		t.Errorf("mediation %q", asked.Options.Mediation)
	}
	k := w.NewPasskey()
	k.Flags = providertest.FlagSynced | providertest.FlagBackedUp
	if p = b.Follow(b.UsePasskey(p, asked, k.Create(asked))); p.Answer().Get("code") == "" {
		t.Fatalf("made in passing: %d %s\n%s", p.StatusCode, p.Body, w.Log)
	}
	// The password is as good as before; the passkey signs in, once it verifies its user.
	if p = signIn(w.Browser(), "yes"); p.Answer().Get("code") == "" {
		t.Errorf("by password: %d %s", p.StatusCode, p.Body)
	}
	for flags, ok := range map[byte]bool{k.Flags | providertest.FlagPresent: false,
		k.Flags | providertest.FlagPresent | providertest.FlagVerified: true} {
		b = w.Browser()
		p = b.Open(w.Request(app))
		asked = providertest.AskedOf(t, p, "")
		k.Flags = flags
		if got := b.Follow(b.UsePasskey(p, asked, k.Get(asked))).Answer().Get("code") != ""; got != ok {
			t.Errorf("flags %x: signed in %v", flags, got)
		}
	}
}

func TestRelatedOriginsAreListed(t *testing.T) {
	t.Parallel()
	w := providertest.New(t, providertest.OnDomain,
		func(c *provider.Config) { c.Passkeys.RelatedOrigins = []string{"https://id.example.de"} })
	p := w.Browser().Get("/.well-known/webauthn")
	if p.StatusCode != 200 || !strings.Contains(p.Body, `"https://id.example.de"`) ||
		!strings.HasPrefix(p.Header.Get("Content-Type"), "application/json") {
		t.Errorf("%d %s", p.StatusCode, p.Body)
	}
	if p := providertest.New(t, providertest.OnDomain).Browser().Get("/.well-known/webauthn"); p.StatusCode != http.StatusNotFound {
		t.Errorf("without any: %d", p.StatusCode)
	}
}
