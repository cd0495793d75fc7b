package account_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"latchkey/keys"
	"latchkey/provider"
	"latchkey/provider/account"
	"latchkey/provider/clients"
	"latchkey/provider/people"
	"latchkey/provider/providertest"
	"latchkey/provider/storage"
	"latchkey/provider/storage/storagetest"
	"latchkey/provider/web"
)

func TestRPInitiatedLogout(t *testing.T) {
	t.Parallel()
	state := strings.Repeat("s+/ &", 25) + "end" // 128 characters
	if len(state) != 128 {
		t.Fatal(len(state))
	}

	t.Run("RP-Initiated Logout §3 the person is sent to the registered URI with exactly state, and afterwards prompt=none says login_required", func(t *testing.T) {
		t.Parallel()
		w := providertest.New(t)
		shop := w.AddClient("shop", providertest.SignsOutTo(providertest.OutURI))
		b, s := w.SignedIn(w.AddUser("alice"))
		w.Granted(s, shop)
		if !w.StillSignedIn(b, s) {
			t.Fatal("not signed in to begin with")
		}
		p := b.Get(providertest.LogoutURL("id_token_hint", w.Hint(s, shop, nil), "post_logout_redirect_uri",
			providertest.OutURI, "state", state))
		if p.StatusCode != http.StatusSeeOther ||
			p.Header.Get("Location") != providertest.OutURI+"?state="+url.QueryEscape(state) {
			t.Errorf("%d %s", p.StatusCode, p.Header.Get("Location"))
		}
		if w.StillSignedIn(b, s) {
			t.Error("the session goes on")
		}
		if got := b.Get(w.Request(shop, "prompt", "none")).Answer().Get("error"); got != "login_required" {
			t.Errorf("prompt=none afterwards: %q", got)
		}
	})

	t.Run("RP-Initiated Logout §3 without state nothing is added to the URI, not even where it has a query",
		func(t *testing.T) {
			t.Parallel()
			w := providertest.New(t)
			const other = "https://shop.example/out?from=op&x="
			shop := w.AddClient("shop", providertest.SignsOutTo(providertest.OutURI, other))
			alice := w.AddUser("alice")
			for _, uri := range []string{providertest.OutURI, other} {
				b, s := w.SignedIn(alice)
				w.Granted(s, shop)
				if got := b.Get(providertest.LogoutURL("id_token_hint", w.Hint(s, shop, nil), "post_logout_redirect_uri",
					uri)).Header.Get("Location"); got != uri {
					t.Errorf("%q, want %q", got, uri)
				}
			}
			b, s := w.SignedIn(alice)
			if got := b.Get(providertest.LogoutURL("id_token_hint", w.Hint(s, shop, nil), "post_logout_redirect_uri", other,
				"state", "S")).Header.Get("Location"); got != other+"&state=S" {
				t.Errorf("%q", got)
			}
		})

	t.Run("RP-Initiated Logout §3 a post_logout_redirect_uri that is not exactly a registered one is refused and nobody is signed out", func(t *testing.T) {
		t.Parallel()
		w := providertest.New(t)
		shop := w.AddClient("shop", providertest.SignsOutTo(providertest.OutURI))
		w.AddClient("other", providertest.SignsOutTo("https://other.example/out"))
		none := w.AddClient("none")
		b, s := w.SignedIn(w.AddUser("alice"))
		w.Granted(s, shop)
		for _, uri := range []string{
			providertest.OutURI + "?a=b", providertest.OutURI + "/", providertest.OutURI + "#f", providertest.OutURI +
				"?", "https://SHOP.example/out", "https://shop.example/Out", "https://shop.example/%6fut",
			"https://shop.example:443/out", "https://user@shop.example/out", "https://shop.example/x/../out",
			"http://shop.example/out",
			"https://shop.example.evil.example/out", "https://evil.example/https://shop.example/out",
			"//shop.example/out", "javascript:alert(1)",
			"data:text/html,x", "https://other.example/out", "https://shop.example/cb", " " + providertest.OutURI,
			providertest.OutURI + "\n", providertest.OutURI + " https://evil.example/",
		} {
			for what, p := range map[string]providertest.Page{
				"hint": b.Get(providertest.LogoutURL("id_token_hint", w.Hint(s, shop, nil),
					"post_logout_redirect_uri", uri)),
				"client_id": b.Get(providertest.LogoutURL("client_id", "shop", "post_logout_redirect_uri", uri)),
				"none": b.Get(providertest.LogoutURL("id_token_hint", w.Hint(s, none, nil),
					"post_logout_redirect_uri", uri)),
			} {
				if p.StatusCode != http.StatusBadRequest || p.Header.Get("Location") != "" || !p.Has("op-error") {
					t.Errorf("%s, %q: %d %q", what, uri, p.StatusCode, p.Header.Get("Location"))
				}
			}
		}
		if !w.StillSignedIn(b, s) {
			t.Error("the person was signed out")
		}
		if p := b.Get(providertest.LogoutURL("id_token_hint", w.Hint(s, shop, nil), "post_logout_redirect_uri",
			providertest.OutURI, "post_logout_redirect_uri", "https://evil.example/")); p.StatusCode != 400 ||
			p.Header.Get("Location") != "" {
			t.Errorf("a parameter twice: %d", p.StatusCode)
		}
		if !strings.Contains(w.Log.String(), `https://shop.example/out/\"`) {
			t.Error("the log does not say what was received")
		}
	})

	t.Run("RP-Initiated Logout §2 without id_token_hint and client_id the URI counts for nothing", func(t *testing.T) {
		t.Parallel()
		w := providertest.New(t)
		w.AddClient("shop", providertest.SignsOutTo(providertest.OutURI))
		b, s := w.SignedIn(w.AddUser("alice"))
		p := b.Get(providertest.LogoutURL("post_logout_redirect_uri", providertest.OutURI, "state", "S"))
		if p.StatusCode != 200 || !p.Has("logout-confirm") || !w.StillSignedIn(b, s) {
			t.Fatalf("%d\n%s", p.StatusCode, p.Body)
		}
		p = b.Follow(b.Submit(p, "logout-confirm", nil))
		if !p.Has("logged-out") || !strings.HasPrefix(p.Request.URL.Path, "/logout") ||
			strings.Contains(p.Body, "shop.example") {
			t.Errorf("%s\n%s", p.Request.URL, p.Body)
		}
		if w.StillSignedIn(b, s) {
			t.Error("the session goes on")
		}
		if p := w.Browser().Get(providertest.LogoutURL("post_logout_redirect_uri",
			providertest.OutURI)); p.StatusCode != 200 || !p.Has("logged-out") ||
			strings.Contains(p.Body, "shop.example") {
			t.Errorf("without a session: %d\n%s", p.StatusCode, p.Body)
		}
	})

	t.Run("RP-Initiated Logout §2 no parameters, or state alone: the person is asked, then sees the signed-out page",
		func(t *testing.T) {
			t.Parallel()
			w := providertest.New(t)
			alice := w.AddUser("alice")
			for _, params := range [][]string{{}, {"state", "S"}, {"logout_hint", "alice", "ui_locales", "de"},
				{"unknown", "x"}} {
				b, s := w.SignedIn(alice)
				p := b.Get(providertest.LogoutURL(params...))
				if !p.Has("logout-confirm") || !strings.Contains(p.Body, "Alice Example") {
					t.Fatalf("%v: %s", params, p.Body)
				}
				if p = b.Follow(b.Submit(p, "logout-confirm", nil)); !p.Has("logged-out") || w.StillSignedIn(b, s) {
					t.Errorf("%v: %s", params, p.Body)
				}
			}
		})

	t.Run("RP-Initiated Logout §2 a hint without post_logout_redirect_uri signs out and stays on the provider's page",
		func(t *testing.T) {
			t.Parallel()
			w := providertest.New(t)
			shop := w.AddClient("shop", func(c *clients.Client) { c.ClientURI = "https://shop.example/" })
			b, s := w.SignedIn(w.AddUser("alice"))
			w.Granted(s, shop)
			p := b.Open(providertest.LogoutURL("id_token_hint", w.Hint(s, shop, nil), "client_id", "shop", "state", "S"))
			if !p.Has("logged-out") || !strings.Contains(p.Body, `href="https://shop.example/"`) || w.StillSignedIn(b, s) {
				t.Errorf("%s", p.Body)
			}
		})

	t.Run("RP-Initiated Logout §2 a client that is only named gets its redirect after the person has confirmed",
		func(t *testing.T) {
			t.Parallel()
			w := providertest.New(t)
			shop := w.AddClient("shop", providertest.SignsOutTo(providertest.OutURI))
			b, s := w.SignedIn(w.AddUser("alice"))
			w.Granted(s, shop)
			p := b.Get(providertest.LogoutURL("client_id", "shop", "post_logout_redirect_uri", providertest.OutURI, "state",
				"S&<>\""))
			if !p.Has("logout-confirm") || !w.StillSignedIn(b, s) {
				t.Fatal(p.Body)
			}
			if csp := p.Header.Get("Content-Security-Policy"); !strings.Contains(csp,
				"form-action 'self' https://shop.example") {
				t.Errorf("the form cannot lead there: %s", csp)
			}
			if got := b.Submit(p, "logout-confirm",
				nil).Header.Get("Location"); got != providertest.OutURI+"?state="+url.QueryEscape("S&<>\"") {
				t.Errorf("%q", got)
			}
			if w.StillSignedIn(b, s) {
				t.Error("the session goes on")
			}
		})

	t.Run("RP-Initiated Logout §2 client_id and the hint's audience have to agree", func(t *testing.T) {
		t.Parallel()
		w := providertest.New(t)
		shop := w.AddClient("shop", providertest.SignsOutTo(providertest.OutURI))
		w.AddClient("other", providertest.SignsOutTo(providertest.OutURI))
		b, s := w.SignedIn(w.AddUser("alice"))
		p := b.Get(providertest.LogoutURL("id_token_hint", w.Hint(s, shop, nil), "client_id", "other",
			"post_logout_redirect_uri", providertest.OutURI))
		if p.StatusCode != 400 || !p.Has("op-error") || !w.StillSignedIn(b, s) {
			t.Errorf("%d %s", p.StatusCode, p.Header.Get("Location"))
		}
	})

	t.Run("a posted request comes along once more by GET, so that the cookie does too, and changes nothing before",
		func(t *testing.T) {
			t.Parallel()
			w := providertest.New(t)
			shop := w.AddClient("shop", providertest.SignsOutTo(providertest.OutURI))
			b, s := w.SignedIn(w.AddUser("alice"))
			w.Granted(s, shop)
			form := url.Values{"id_token_hint": {w.Hint(s, shop, nil)}, "post_logout_redirect_uri": {providertest.OutURI},
				"state": {"S"}, "utm": {"x"}}
			r, _ := http.NewRequest("POST", w.Issuer+"/logout", strings.NewReader(form.Encode()))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.Header.Set("Origin", "https://shop.example")
			r.Header.Set("Sec-Fetch-Site", "cross-site")
			p := w.Browser().Do(r) // without our cookies, as a browser sends it across sites
			if p.StatusCode != http.StatusSeeOther || !strings.HasPrefix(p.Header.Get("Location"), "/logout?") ||
				strings.Contains(p.Header.Get("Location"), "utm") || len(p.Cookies()) > 0 {
				t.Fatalf("%d %q", p.StatusCode, p.Header.Get("Location"))
			}
			if !w.StillSignedIn(b, s) {
				t.Fatal("the session has ended too early")
			}
			if got := b.Get(p.Header.Get("Location")).Header.Get("Location"); got != providertest.OutURI+"?state=S" {
				t.Errorf("%q", got)
			}
		})

	t.Run("what cannot be read is refused and changes nothing", func(t *testing.T) {
		t.Parallel()
		w := providertest.New(t)
		w.AddClient("shop", providertest.SignsOutTo(providertest.OutURI))
		b, s := w.SignedIn(w.AddUser("alice"))
		for name, do := range map[string]func() providertest.Page{
			"400 a query that is none": func() providertest.Page { return b.Get("/logout?state=%zz") },
			"414 a long query": func() providertest.Page {
				return b.Get("/logout?state=" +
					strings.Repeat("x", 40<<10))
			},
			"413 a long body": func() providertest.Page {
				return b.Post("/logout",
					url.Values{"state": {strings.Repeat("x", 40<<10)}})
			},
			"400 a body of another type": func() providertest.Page {
				r, _ := http.NewRequest("POST", w.Issuer+"/logout", strings.NewReader(`{"state":"x"}`))
				r.Header.Set("Content-Type", "text/plain")
				return b.Do(r)
			},
		} {
			if p := do(); fmt.Sprint(p.StatusCode) != name[:3] || !p.Has("op-error") {
				t.Errorf("%s: %d", name, p.StatusCode)
			}
		}
		if p := b.Get(providertest.LogoutURL("client_id", "nobody")); p.StatusCode != 400 {
			t.Errorf("unknown client: %d", p.StatusCode)
		}
		if p := b.Get(providertest.LogoutURL("client_id", "shop", "state",
			strings.Repeat("x", 9000))); p.StatusCode != 400 {
			t.Errorf("long state: %d", p.StatusCode)
		}
		if !w.StillSignedIn(b, s) {
			t.Error("the person was signed out")
		}
	})
}

func TestIDTokenHintOfALogout(t *testing.T) {
	t.Parallel()

	t.Run("RP-Initiated Logout §4 what is not an ID token of ours is refused: no redirect, nobody signed out",
		func(t *testing.T) {
			t.Parallel()
			w := providertest.New(t)
			shop := w.AddClient("shop", providertest.SignsOutTo(providertest.OutURI))
			b, s := w.SignedIn(w.AddUser("alice"))
			w.Granted(s, shop)
			ctx := context.Background()
			good := w.Hint(s, shop, nil)
			parts := strings.Split(good, ".")
			payload, err := json.Marshal(w.HintClaims(s, shop, nil))
			if err != nil {
				t.Fatal(err)
			}
			b64 := base64.RawURLEncoding.EncodeToString
			typed := func(typ string, claims any) string {
				token, err := w.Keys.Sign(ctx, "RS256", typ, claims)
				if err != nil {
					t.Fatal(err)
				}
				return token
			}
			other, err := rsa.GenerateKey(rand.Reader, 2048)
			if err != nil {
				t.Fatal(err)
			}
			foreign := func(kid string) string {
				signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: other,
					KeyID: kid}}, nil)
				if err != nil {
					t.Fatal(err)
				}
				jws, err := signer.Sign(payload)
				if err != nil {
					t.Fatal(err)
				}
				out, err := jws.CompactSerialize()
				if err != nil {
					t.Fatal(err)
				}
				return out
			}
			var header struct {
				KeyID string `json:"kid"`
			}
			rawHeader, _ := base64.RawURLEncoding.DecodeString(parts[0])
			if err := json.Unmarshal(rawHeader, &header); err != nil || header.KeyID == "" {
				t.Fatal("no kid in the header")
			}
			jwks, _, _, err := w.Keys.JWKS(ctx)
			if err != nil {
				t.Fatal(err)
			}
			hs256 := b64([]byte(`{"alg":"HS256","kid":"`+header.KeyID+`"}`)) + "." + parts[1]
			mac := hmac.New(sha256.New, jwks)
			mac.Write([]byte(hs256))
			flipped := []byte(parts[2])
			flipped[10] ^= 'A' ^ 'B'
			for what, hint := range map[string]string{
				"alg none": b64([]byte(`{"alg":"none"}`)) + "." + parts[1] + ".",
				"alg none with a signature": b64([]byte(`{"alg":"none","kid":"`+header.KeyID+`"}`)) + "." + parts[1] + "." +
					parts[2],
				"modified payload": parts[0] + "." +
					b64(bytes.Replace(payload, []byte("sub-alice"), []byte("sub-bobby"), 1)) + "." + parts[2],
				"modified signature":        parts[0] + "." + parts[1] + "." + string(flipped),
				"no signature":              parts[0] + "." + parts[1] + ".",
				"another key":               foreign("rp"),
				"another key, our kid":      foreign(header.KeyID),
				"HS256 with the public key": hs256 + "." + b64(mac.Sum(nil)),
				"access token":              typed("at+jwt", w.HintClaims(s, shop, nil)),
				"logout token":              typed("logout+jwt", w.HintClaims(s, shop, nil)),
				"another issuer":            w.Hint(s, shop, map[string]any{"iss": "https://op.evil.example"}),
				"issued by the client":      w.Hint(s, shop, map[string]any{"iss": "shop"}),
				"no sub":                    w.Hint(s, shop, map[string]any{"sub": nil}),
				"no aud":                    w.Hint(s, shop, map[string]any{"aud": nil}),
				"aud of nobody":             w.Hint(s, shop, map[string]any{"aud": "nobody"}),
				"not a token":               "x",
				"five parts":                "a.b.c.d.e",
				"no JSON":                   typed("", "text"),
			} {
				for _, uri := range []string{providertest.OutURI, ""} {
					p := b.Get(providertest.LogoutURL("id_token_hint", hint, "post_logout_redirect_uri", uri, "state", "S"))
					// As without a hint: the person is asked, and is sent nowhere.
					asked := p.StatusCode == http.StatusOK && p.Has("logout-confirm")
					if p.Header.Get("Location") != "" || !asked && what != "aud of nobody" {
						t.Errorf("%s: %d %q", what, p.StatusCode, p.Header.Get("Location"))
					}
				}
			}
			if !w.StillSignedIn(b, s) {
				t.Error("the person was signed out")
			}
		})

	t.Run("RP-Initiated Logout §4 an expired one, also by a key that was replaced, is accepted", func(t *testing.T) {
		t.Parallel()
		w := providertest.New(t)
		shop := w.AddClient("shop", providertest.SignsOutTo(providertest.OutURI))
		b, s := w.SignedIn(w.AddUser("alice"))
		hint := w.Hint(s, shop, nil)
		for range 2 {
			if _, err := w.Keys.Rotate(context.Background()); err != nil {
				t.Fatal(err)
			}
			w.Clock.Advance(25 * time.Minute)
		}
		w.Clock.Advance(30 * time.Minute)
		if newer := w.Hint(s, shop, nil); strings.Split(newer, ".")[0] == strings.Split(hint, ".")[0] {
			t.Fatal("the key was not replaced")
		}
		if got := b.Get(providertest.LogoutURL("id_token_hint", hint, "post_logout_redirect_uri",
			providertest.OutURI)).Header.Get("Location"); got != providertest.OutURI {
			t.Errorf("%q", got)
		}
		if w.StillSignedIn(b, s) {
			t.Error("the session goes on")
		}
	})

	t.Run("RP-Initiated Logout §2 the person is asked when the hint is not of the session that would end",
		func(t *testing.T) {
			t.Parallel()
			w := providertest.New(t)
			shop := w.AddClient("shop", providertest.SignsOutTo(providertest.OutURI))
			alice, bob := w.AddUser("alice"), w.AddUser("bob")
			_, earlier := w.SignedIn(alice)
			old := w.Hint(earlier, shop, map[string]any{"sid": nil})
			w.Clock.Advance(time.Minute)
			b, s := w.SignedIn(alice)
			bobs, bobSession := w.SignedIn(bob)
			for what, hint := range map[string]string{
				"another person's":                         w.Hint(bobSession, shop, nil),
				"another session's":                        w.Hint(earlier, shop, nil),
				"of the person, from before this session":  old,
				"another person's, with this session's id": w.Hint(bobSession, shop, map[string]any{"sid": s.ID}),
			} {
				p := b.Get(providertest.LogoutURL("id_token_hint", hint, "post_logout_redirect_uri", providertest.OutURI))
				if p.StatusCode != 200 || !p.Has("logout-confirm") {
					t.Errorf("%s: %d %q", what, p.StatusCode, p.Header.Get("Location"))
				}
			}
			if !w.StillSignedIn(b, s) || !w.StillSignedIn(bobs, bobSession) {
				t.Error("somebody was signed out")
			}
			// One without sid that was issued in this session is enough.
			if got := b.Get(providertest.LogoutURL("id_token_hint", w.Hint(s, shop, map[string]any{"sid": nil}),
				"post_logout_redirect_uri", providertest.OutURI)).Header.Get("Location"); got != providertest.OutURI {
				t.Errorf("a hint of this session without sid: %q", got)
			}
			if w.StillSignedIn(b, s) || !w.StillSignedIn(bobs, bobSession) {
				t.Error("not this one was signed out")
			}
		})

	t.Run("RP-Initiated Logout §2 with nobody signed in a hint and a registered URI lead straight there, again and again", func(t *testing.T) {
		t.Parallel()
		w := providertest.New(t)
		shop := w.AddClient("shop", providertest.SignsOutTo(providertest.OutURI))
		b, s := w.SignedIn(w.AddUser("alice"))
		target := providertest.LogoutURL("id_token_hint", w.Hint(s, shop, nil), "post_logout_redirect_uri",
			providertest.OutURI, "state", "S")
		for _, who := range []*providertest.Browser{b, b, b, w.Browser()} {
			if got := who.Get(target).Header.Get("Location"); got != providertest.OutURI+"?state=S" {
				t.Errorf("%q", got)
			}
		}
		p := b.Get(providertest.LogoutURL("client_id", "shop", "post_logout_redirect_uri", providertest.OutURI, "state", "S"))
		if p.StatusCode != 200 || !p.Has("logged-out") ||
			!strings.Contains(p.Body, `href="`+providertest.OutURI+`?state=S"`) ||
			strings.Contains(p.Body, "http-equiv") {
			t.Errorf("a client that is only named gets a link: %d\n%s", p.StatusCode, p.Body)
		}
	})
}

func TestLogoutIsNotForOtherSites(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	w.AddClient("shop", providertest.SignsOutTo(providertest.OutURI))
	b, s := w.SignedIn(w.AddUser("alice"))
	_, other := w.SignedIn(w.AddUser("bob"))
	confirm := b.Get("/logout")
	if !confirm.Has("logout-confirm") {
		t.Fatal(confirm.Body)
	}
	token := func(p providertest.Page) url.Values {
		form := url.Values{}
		for _, in := range providertest.InputTag.FindAllStringSubmatch(p.Body, -1) {
			form.Set(providertest.Attributes(in[1])["name"], providertest.Attributes(in[1])["value"])
		}
		return form
	}(confirm)
	send := func(form url.Values, header ...string) providertest.Page {
		r, _ := http.NewRequest("POST", w.Issuer+"/logout/confirm", strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		for i := 0; i+1 < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		return b.Do(r)
	}
	ref := w.Web.Cookie(b.Request("/"), web.BrowserCookie)
	for what, p := range map[string]providertest.Page{
		"no token": send(url.Values{}, "Sec-Fetch-Site", "same-origin"),
		"another session's token": send(url.Values{"csrf": {w.Web.CSRF(ref, "logout:"+other.ID)}},
			"Sec-Fetch-Site", "same-origin"),
		"another purpose's token": send(url.Values{"csrf": {w.Web.CSRF(ref, "account:"+s.ID)}},
			"Sec-Fetch-Site", "same-origin"),
		"another browser's token": send(url.Values{"csrf": {w.Web.CSRF("x", "logout:"+s.ID)}},
			"Sec-Fetch-Site", "same-origin"),
		"the right token from another site": send(token, "Sec-Fetch-Site", "cross-site"),
		"the right token from evil.example": send(token, "Origin", "https://evil.example"),
		"the right token from nowhere":      send(token, "Origin", "null"),
	} {
		if p.StatusCode != http.StatusForbidden || !p.Has("op-error") {
			t.Errorf("%s: %d", what, p.StatusCode)
		}
	}
	if p := b.Get("/logout/confirm?" + token.Encode()); p.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("by GET: %d", p.StatusCode)
	}
	if !w.StillSignedIn(b, s) {
		t.Fatal("the person was signed out")
	}
	// The parameters in the form are checked like those in the address.
	evil := url.Values{"csrf": token["csrf"], "client_id": {"shop"},
		"post_logout_redirect_uri": {"https://evil.example/"}}
	if p := send(evil, "Sec-Fetch-Site", "same-origin"); p.StatusCode != 400 || p.Header.Get("Location") != "" ||
		!w.StillSignedIn(b, s) {
		t.Errorf("a URI that was put into the form: %d", p.StatusCode)
	}
	if p := send(token, "Sec-Fetch-Site", "same-origin"); p.StatusCode != http.StatusSeeOther || w.StillSignedIn(b, s) {
		t.Errorf("the person's own: %d", p.StatusCode)
	}
	// Sent twice, by a double click, it is the same.
	if p := b.Follow(send(token, "Sec-Fetch-Site", "same-origin")); p.StatusCode != 200 || !p.Has("logged-out") {
		t.Errorf("the second time: %d", p.StatusCode)
	}
}

// failingStore is out of reach when told.
type failingStore struct {
	endSession, deliveries atomic.Bool
	meanwhile              func() // just before a session ends
}

func (s *failingStore) ask(_ context.Context, c storagetest.Call) error {
	switch {
	case c.Do == "update" && c.Table == "sessions":
		if s.endSession.Load() {
			return storage.ErrUnavailable
		}
		if s.meanwhile != nil {
			s.meanwhile()
		}
	case c.Do == "update" && c.Table == "logout_deliveries" && s.deliveries.Load():
		return storage.ErrUnavailable
	}
	return nil
}

func TestLogoutWhileTheStoreIsOutOfReach(t *testing.T) {
	t.Parallel()
	store := &failingStore{}
	w := providertest.New(t, func(c *provider.Config) { c.Store = storagetest.Intercept(c.Store, store.ask) })
	rp := providertest.NewRelyingParty(t)
	shop := w.AddClient("shop", providertest.SignsOutTo(providertest.OutURI), rp.Hears)
	b, s := w.SignedIn(w.AddUser("alice"))
	w.Granted(s, shop)
	target := providertest.LogoutURL("id_token_hint", w.Hint(s, shop, nil), "post_logout_redirect_uri",
		providertest.OutURI)

	for _, out := range []*atomic.Bool{&store.deliveries, &store.endSession} {
		out.Store(true)
		p := b.Get(target)
		if p.StatusCode != http.StatusServiceUnavailable || p.Header.Get("Location") != "" || len(p.Cookies()) > 0 ||
			!p.Has("op-error") {
			t.Errorf("%d %q %v", p.StatusCode, p.Header.Get("Location"), p.Cookies())
		}
		if !w.StillSignedIn(b, s) {
			t.Fatal("the session has ended")
		}
		out.Store(false)
	}
	// A delivery was stored before the session could not be ended. The application is not told of
	// an end that has not come.
	w.DeliverDue()
	if n := len(rp.Heard()); n != 0 {
		t.Fatalf("the application was told %d times of a session that goes on", n)
	}
	if got := b.Get(target).Header.Get("Location"); got != providertest.OutURI || w.StillSignedIn(b, s) {
		t.Fatalf("%q", got)
	}
	w.DeliverDue()
	if n := len(rp.Heard()); n != 1 {
		t.Errorf("the application was told %d times", n)
	}
}

func TestEndingASession(t *testing.T) {
	t.Parallel()
	ctx := context.Background()

	t.Run("OIDC Core §11 grants of the session are revoked, those with offline access outlive it", func(t *testing.T) {
		t.Parallel()
		w := providertest.New(t)
		shop := w.AddClient("shop")
		alice := w.AddUser("alice")
		_, s := w.SignedIn(alice)
		_, other := w.SignedIn(alice)
		online, offline := w.Granted(s, shop), w.Granted(s, shop, func(g *storage.Grant) { g.Offline = true })
		elsewhere := w.Granted(other, shop)
		if _, err := w.Sessions.End(ctx, s); err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			grant  storage.Grant
			stands bool
		}{{online, false}, {offline, true}, {elsewhere, true}} {
			g, err := w.Store.Grant(ctx, c.grant.ID)
			if err != nil || g.Stands(w.Web.Now()) != c.stands {
				t.Errorf("offline %v, stands %v: %v", g.Offline, g.Stands(w.Web.Now()), err)
			}
		}
	})

	t.Run("twenty at once announce it once", func(t *testing.T) {
		t.Parallel()
		w := providertest.New(t)
		rp := providertest.NewRelyingParty(t)
		shop := w.AddClient("shop", rp.Hears)
		_, s := w.SignedIn(w.AddUser("alice"))
		w.Granted(s, shop)
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				if id, err := w.Sessions.End(ctx, s); err != nil || id == "" {
					t.Errorf("%q %v", id, err)
				}
			})
		}
		wg.Wait()
		w.DeliverDue()
		if n := len(rp.Heard()); n != 1 {
			t.Errorf("announced %d times", n)
		}
	})

	t.Run("an application that is being signed in to at that moment is told too", func(t *testing.T) {
		t.Parallel()
		store := &failingStore{}
		w := providertest.New(t, func(c *provider.Config) { c.Store = storagetest.Intercept(c.Store, store.ask) })
		rp := providertest.NewRelyingParty(t)
		shop, mail := w.AddClient("shop", rp.Hears), w.AddClient("mail", rp.Hears)
		_, s := w.SignedIn(w.AddUser("alice"))
		w.Granted(s, shop)
		store.meanwhile = func() { w.Granted(s, mail) }
		if _, err := w.Sessions.End(ctx, s); err != nil {
			t.Fatal(err)
		}
		w.DeliverDue()
		if n := len(rp.Heard()); n != 2 {
			t.Errorf("%d were told", n)
		}
	})

	t.Run("EndSessions ends all of a person's sessions, tells the applications, and revokes offline access too",
		func(t *testing.T) {
			t.Parallel()
			w := providertest.New(t)
			rp := providertest.NewRelyingParty(t)
			shop := w.AddClient("shop", rp.Hears)
			alice, bob := w.AddUser("alice"), w.AddUser("bob")
			b1, s1 := w.SignedIn(alice)
			b2, s2 := w.SignedIn(alice)
			b3, s3 := w.SignedIn(bob)
			var grants []storage.Grant
			for _, s := range []storage.Session{s1, s2, s3} {
				grants = append(grants, w.Granted(s, shop, func(g *storage.Grant) { g.Offline = true }))
			}
			if err := w.Sessions.EndAll(ctx, alice.ID); err != nil {
				t.Fatal(err)
			}
			if w.StillSignedIn(b1, s1) || w.StillSignedIn(b2, s2) || !w.StillSignedIn(b3, s3) {
				t.Error("not exactly this person's sessions have ended")
			}
			for i, g := range grants {
				now, err := w.Store.Grant(ctx, g.ID)
				if err != nil || now.Stands(w.Web.Now()) != (i == 2) {
					t.Errorf("grant %d stands: %v %v", i, now.Stands(w.Web.Now()), err)
				}
			}
			w.DeliverDue()
			sids := map[any]bool{}
			for _, token := range rp.Heard() {
				sids[providertest.ClaimsOf(t, token)["sid"]] = true
			}
			if len(sids) != 2 || !sids[s1.ID] || !sids[s2.ID] {
				t.Errorf("told of %v", sids)
			}
			if err := w.Sessions.EndAll(ctx, alice.ID); err != nil {
				t.Errorf("a second time: %v", err)
			}
		})

	t.Run("whoever signs in as somebody else ends the session that was there", func(t *testing.T) {
		t.Parallel()
		w := providertest.New(t)
		rp := providertest.NewRelyingParty(t)
		shop := w.AddClient("shop", rp.Hears)
		b, s := w.SignedIn(w.AddUser("alice"))
		w.Granted(s, shop)
		bob, err := w.Sessions.Begin(httptest.NewRecorder(), b.Request("/login"), w.AddUser("bob"), false,
			people.ByPassword())
		if err != nil || bob.ID == s.ID {
			t.Fatalf("%v", err)
		}
		w.DeliverDue()
		if heard := rp.Heard(); len(heard) != 1 || providertest.ClaimsOf(t, heard[0])["sid"] != s.ID {
			t.Errorf("%d told", len(heard))
		}
		if now, err := w.Store.Session(ctx, s.ID); err != nil || now.Valid(w.Web.Now()) {
			t.Errorf("the first session goes on: %v", err)
		}
	})
}

func TestSignedOutPage(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	rp := providertest.NewRelyingParty(t)
	for i := range 3 {
		w.AddClient(fmt.Sprintf("app%d", i), rp.Hears)
	}
	w.AddClient("quiet")
	alice := w.AddUser("alice")
	begin := func() (*providertest.Browser, storage.Session, providertest.Page) {
		b, s := w.SignedIn(alice)
		for i := range 3 {
			w.Granted(s, clients.Client{ID: fmt.Sprintf("app%d", i)})
		}
		w.Granted(s, clients.Client{ID: "quiet"})
		return b, s, b.Submit(b.Get("/logout"), "logout-confirm", nil)
	}

	b, _, p := begin()
	done := p.Header.Get("Location")
	shown := b.Get(done)
	if got, want := shown.Outcome(), "App app0 waiting, App app1 waiting, App app2 waiting, App quiet none"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if seconds, to := shown.Refresh(); seconds != "2" || to != done+"&look=1" {
		t.Errorf("looks again after %q at %q", seconds, to)
	}
	w.DeliverDue()
	shown = b.Get(done + "&look=1")
	if got, want := shown.Outcome(), "App app0 told, App app1 told, App app2 told, App quiet none"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if strings.Contains(shown.Body, "http-equiv") {
		t.Error("the page looks again although there is nothing to wait for")
	}

	b, _, p = begin()
	done = p.Header.Get("Location")
	if p := b.Get(done + "&look=5"); strings.Contains(p.Body, "http-equiv") || !strings.Contains(p.Outcome(),
		"waiting") {
		t.Error("the page looks again without end")
	}
	ref, _ := url.Parse(done)
	sealed := ref.Query().Get("r")
	payload, mac, _ := strings.Cut(sealed, ".")
	for what, p := range map[string]providertest.Page{
		"another browser":     w.Browser().Get(done),
		"no reference":        b.Get("/logout/done"),
		"cut":                 b.Get("/logout/done?r=" + payload),
		"changed":             b.Get("/logout/done?r=" + "A" + payload[1:] + "." + mac),
		"another's signature": b.Get("/logout/done?r=" + payload + "." + w.Web.CSRF(payload, "")),
	} {
		if p.StatusCode != 200 || !p.Has("logged-out") || strings.Contains(p.Body, "App app") {
			t.Errorf("%s: %d\n%s", what, p.StatusCode, p.Body)
		}
	}
	w.Clock.Advance(account.SignedOutTTL)
	if p := b.Get(done); strings.Contains(p.Body, "App app") {
		t.Error("the page can be looked at for ever")
	}
	// Somebody who is signed in again is not told that they are signed out.
	b, _ = w.SignedIn(alice)
	if p := b.Get("/logout/done?r=x"); p.StatusCode != 400 || p.Has("logged-out") {
		t.Errorf("%d", p.StatusCode)
	}
}

func FuzzSignedOutReference(f *testing.F) {
	sealer, err := keys.NewSealer([]byte("a master key that only tests use"))
	if err != nil {
		f.Fatal(err)
	}
	site := web.New(web.Config{Issuer: &url.URL{Scheme: "http", Host: "localhost"}, Sealer: sealer, Clock: time.Now})
	pages := account.New(account.Config{Web: site, Sealer: sealer})
	f.Add("x.y")
	f.Add(pages.SealSignedOut(account.SignedOut{Logout: "l"}))
	f.Fuzz(func(t *testing.T, sealed string) {
		if _, ok := pages.OpenSignedOut(httptest.NewRequest("GET", "/", nil), sealed); ok {
			t.Errorf("%q opens without the browser's cookie", sealed)
		}
	})
}
