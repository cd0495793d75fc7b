package provider

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"

	"github.com/go-jose/go-jose/v4"

	"latchkey/keys"
	"latchkey/provider/clients"
	"latchkey/provider/storage"
)

// signedIn is a browser in which the person is signed in, and its session.
func (w *world) signedIn(user storage.User) (*browser, storage.Session) {
	w.t.Helper()
	b := w.browser()
	rec := httptest.NewRecorder()
	r := httptest.NewRequest("GET", w.Issuer+"/login", nil)
	r.Header.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0")
	s, err := w.signIn(rec, r, user, false)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := w.setCookie(rec, r, browserCookie, random(), cookieLife); err != nil {
		w.t.Fatal(err)
	}
	b.client.Jar.SetCookies(w.base, rec.Result().Cookies())
	return b, s
}

// granted lets the session reach the client.
func (w *world) granted(s storage.Session, c clients.Client, bend ...func(*storage.Grant)) storage.Grant {
	w.t.Helper()
	g := storage.Grant{ID: random()[:22], UserID: s.UserID, ClientID: c.ID, SessionID: s.ID, Scope: []string{"openid"},
		AuthTime: s.AuthTime, CreatedAt: w.now(), LastUsed: w.now(), ExpiresAt: w.now().Add(time.Hour)}
	for _, f := range bend {
		f(&g)
	}
	if err := w.Store.CreateGrant(context.Background(), g); err != nil {
		w.t.Fatal(err)
	}
	return g
}

// hint is an ID token of the session for the client; change replaces claims.
func (w *world) hint(s storage.Session, c clients.Client, change map[string]any) string {
	w.t.Helper()
	claims := w.hintClaims(s, c, change)
	token, err := w.Keys.Sign(context.Background(), "RS256", "", claims)
	if err != nil {
		w.t.Fatal(err)
	}
	return token
}

func (w *world) hintClaims(s storage.Session, c clients.Client, change map[string]any) map[string]any {
	claims := map[string]any{"iss": w.Issuer, "sub": w.subject(c, s.UserID), "aud": c.ID, "iat": w.now().Unix(), "exp": w.now().Add(10 * time.Minute).Unix(), "sid": s.ID}
	for k, v := range change {
		if v == nil {
			delete(claims, k)
		} else {
			claims[k] = v
		}
	}
	return claims
}

// stillSignedIn says whether the session stands, in the store and for the browser.
func (w *world) stillSignedIn(b *browser, s storage.Session) bool {
	w.t.Helper()
	now, err := w.Store.Session(context.Background(), s.ID)
	if err != nil {
		w.t.Fatal(err)
	}
	stands := now.Valid(w.now())
	if shown := b.get("/account").StatusCode == http.StatusOK; shown != stands {
		w.t.Errorf("the store says that the session stands: %v, the account page is shown: %v", stands, shown)
	}
	return stands
}

func logoutURL(params ...string) string {
	q := url.Values{}
	for i := 0; i+1 < len(params); i += 2 {
		q.Add(params[i], params[i+1])
	}
	return "/logout?" + q.Encode()
}

func signsOutTo(uris ...string) func(*clients.Client) {
	return func(c *clients.Client) { c.PostLogoutRedirectURIs = uris }
}

const outURI = "https://shop.example/out"

func TestRPInitiatedLogout(t *testing.T) {
	t.Parallel()
	state := strings.Repeat("s+/ &", 25) + "end" // 128 characters
	if len(state) != 128 {
		t.Fatal(len(state))
	}

	t.Run("RP-Initiated Logout §3 the person is sent to the registered URI with exactly state, and afterwards prompt=none says login_required", func(t *testing.T) {
		t.Parallel()
		w := newTestProvider(t)
		shop := w.addClient("shop", signsOutTo(outURI))
		b, s := w.signedIn(w.addUser("alice"))
		w.granted(s, shop)
		if !w.stillSignedIn(b, s) {
			t.Fatal("not signed in to begin with")
		}
		p := b.get(logoutURL("id_token_hint", w.hint(s, shop, nil), "post_logout_redirect_uri", outURI, "state", state))
		if p.StatusCode != http.StatusSeeOther || p.Header.Get("Location") != outURI+"?state="+url.QueryEscape(state) {
			t.Errorf("%d %s", p.StatusCode, p.Header.Get("Location"))
		}
		if w.stillSignedIn(b, s) {
			t.Error("the session goes on")
		}
		if got := b.get(w.request(shop, "prompt", "none")).answer().Get("error"); got != "login_required" {
			t.Errorf("prompt=none afterwards: %q", got)
		}
	})

	t.Run("RP-Initiated Logout §3 without state nothing is added to the URI, not even where it has a query", func(t *testing.T) {
		t.Parallel()
		w := newTestProvider(t)
		const other = "https://shop.example/out?from=op&x="
		shop := w.addClient("shop", signsOutTo(outURI, other))
		alice := w.addUser("alice")
		for _, uri := range []string{outURI, other} {
			b, s := w.signedIn(alice)
			w.granted(s, shop)
			if got := b.get(logoutURL("id_token_hint", w.hint(s, shop, nil), "post_logout_redirect_uri", uri)).Header.Get("Location"); got != uri {
				t.Errorf("%q, want %q", got, uri)
			}
		}
		b, s := w.signedIn(alice)
		if got := b.get(logoutURL("id_token_hint", w.hint(s, shop, nil), "post_logout_redirect_uri", other, "state", "S")).Header.Get("Location"); got != other+"&state=S" {
			t.Errorf("%q", got)
		}
	})

	t.Run("RP-Initiated Logout §3 a post_logout_redirect_uri that is not exactly a registered one is refused and nobody is signed out", func(t *testing.T) {
		t.Parallel()
		w := newTestProvider(t)
		shop := w.addClient("shop", signsOutTo(outURI))
		w.addClient("other", signsOutTo("https://other.example/out"))
		none := w.addClient("none")
		b, s := w.signedIn(w.addUser("alice"))
		w.granted(s, shop)
		for _, uri := range []string{
			outURI + "?a=b", outURI + "/", outURI + "#f", outURI + "?", "https://SHOP.example/out", "https://shop.example/Out", "https://shop.example/%6fut",
			"https://shop.example:443/out", "https://user@shop.example/out", "https://shop.example/x/../out", "http://shop.example/out",
			"https://shop.example.evil.example/out", "https://evil.example/https://shop.example/out", "//shop.example/out", "javascript:alert(1)",
			"data:text/html,x", "https://other.example/out", "https://shop.example/cb", " " + outURI, outURI + "\n", outURI + " https://evil.example/",
		} {
			for what, p := range map[string]page{
				"hint":      b.get(logoutURL("id_token_hint", w.hint(s, shop, nil), "post_logout_redirect_uri", uri)),
				"client_id": b.get(logoutURL("client_id", "shop", "post_logout_redirect_uri", uri)),
				"none":      b.get(logoutURL("id_token_hint", w.hint(s, none, nil), "post_logout_redirect_uri", uri)),
			} {
				if p.StatusCode != http.StatusBadRequest || p.Header.Get("Location") != "" || !p.has("op-error") {
					t.Errorf("%s, %q: %d %q", what, uri, p.StatusCode, p.Header.Get("Location"))
				}
			}
		}
		if !w.stillSignedIn(b, s) {
			t.Error("the person was signed out")
		}
		if p := b.get(logoutURL("id_token_hint", w.hint(s, shop, nil), "post_logout_redirect_uri", outURI, "post_logout_redirect_uri", "https://evil.example/")); p.StatusCode != 400 || p.Header.Get("Location") != "" {
			t.Errorf("a parameter twice: %d", p.StatusCode)
		}
		if !strings.Contains(w.log.String(), `https://shop.example/out/\"`) {
			t.Error("the log does not say what was received")
		}
	})

	t.Run("RP-Initiated Logout §2 without id_token_hint and client_id the URI counts for nothing", func(t *testing.T) {
		t.Parallel()
		w := newTestProvider(t)
		w.addClient("shop", signsOutTo(outURI))
		b, s := w.signedIn(w.addUser("alice"))
		p := b.get(logoutURL("post_logout_redirect_uri", outURI, "state", "S"))
		if p.StatusCode != 200 || !p.has("logout-confirm") || !w.stillSignedIn(b, s) {
			t.Fatalf("%d\n%s", p.StatusCode, p.body)
		}
		p = b.follow(b.submit(p, "logout-confirm", nil))
		if !p.has("logged-out") || !strings.HasPrefix(p.Request.URL.Path, "/logout") || strings.Contains(p.body, "shop.example") {
			t.Errorf("%s\n%s", p.Request.URL, p.body)
		}
		if w.stillSignedIn(b, s) {
			t.Error("the session goes on")
		}
		if p := w.browser().get(logoutURL("post_logout_redirect_uri", outURI)); p.StatusCode != 200 || !p.has("logged-out") || strings.Contains(p.body, "shop.example") {
			t.Errorf("without a session: %d\n%s", p.StatusCode, p.body)
		}
	})

	t.Run("RP-Initiated Logout §2 no parameters, or state alone: the person is asked, then sees the signed-out page", func(t *testing.T) {
		t.Parallel()
		w := newTestProvider(t)
		alice := w.addUser("alice")
		for _, params := range [][]string{{}, {"state", "S"}, {"logout_hint", "alice", "ui_locales", "de"}, {"unknown", "x"}} {
			b, s := w.signedIn(alice)
			p := b.get(logoutURL(params...))
			if !p.has("logout-confirm") || !strings.Contains(p.body, "Alice Example") {
				t.Fatalf("%v: %s", params, p.body)
			}
			if p = b.follow(b.submit(p, "logout-confirm", nil)); !p.has("logged-out") || w.stillSignedIn(b, s) {
				t.Errorf("%v: %s", params, p.body)
			}
		}
	})

	t.Run("RP-Initiated Logout §2 a hint without post_logout_redirect_uri signs out and stays on the provider's page", func(t *testing.T) {
		t.Parallel()
		w := newTestProvider(t)
		shop := w.addClient("shop", func(c *clients.Client) { c.ClientURI = "https://shop.example/" })
		b, s := w.signedIn(w.addUser("alice"))
		w.granted(s, shop)
		p := b.open(logoutURL("id_token_hint", w.hint(s, shop, nil), "client_id", "shop", "state", "S"))
		if !p.has("logged-out") || !strings.Contains(p.body, `href="https://shop.example/"`) || w.stillSignedIn(b, s) {
			t.Errorf("%s", p.body)
		}
	})

	t.Run("RP-Initiated Logout §2 a client that is only named gets its redirect after the person has confirmed", func(t *testing.T) {
		t.Parallel()
		w := newTestProvider(t)
		shop := w.addClient("shop", signsOutTo(outURI))
		b, s := w.signedIn(w.addUser("alice"))
		w.granted(s, shop)
		p := b.get(logoutURL("client_id", "shop", "post_logout_redirect_uri", outURI, "state", "S&<>\""))
		if !p.has("logout-confirm") || !w.stillSignedIn(b, s) {
			t.Fatal(p.body)
		}
		if csp := p.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "form-action 'self' https://shop.example") {
			t.Errorf("the form cannot lead there: %s", csp)
		}
		if got := b.submit(p, "logout-confirm", nil).Header.Get("Location"); got != outURI+"?state="+url.QueryEscape("S&<>\"") {
			t.Errorf("%q", got)
		}
		if w.stillSignedIn(b, s) {
			t.Error("the session goes on")
		}
	})

	t.Run("RP-Initiated Logout §2 client_id and the hint's audience have to agree", func(t *testing.T) {
		t.Parallel()
		w := newTestProvider(t)
		shop := w.addClient("shop", signsOutTo(outURI))
		w.addClient("other", signsOutTo(outURI))
		b, s := w.signedIn(w.addUser("alice"))
		p := b.get(logoutURL("id_token_hint", w.hint(s, shop, nil), "client_id", "other", "post_logout_redirect_uri", outURI))
		if p.StatusCode != 400 || !p.has("op-error") || !w.stillSignedIn(b, s) {
			t.Errorf("%d %s", p.StatusCode, p.Header.Get("Location"))
		}
	})

	t.Run("a posted request comes along once more by GET, so that the cookie does too, and changes nothing before", func(t *testing.T) {
		t.Parallel()
		w := newTestProvider(t)
		shop := w.addClient("shop", signsOutTo(outURI))
		b, s := w.signedIn(w.addUser("alice"))
		w.granted(s, shop)
		form := url.Values{"id_token_hint": {w.hint(s, shop, nil)}, "post_logout_redirect_uri": {outURI}, "state": {"S"}, "utm": {"x"}}
		r, _ := http.NewRequest("POST", w.Issuer+"/logout", strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", "https://shop.example")
		r.Header.Set("Sec-Fetch-Site", "cross-site")
		p := w.browser().do(r) // without our cookies, as a browser sends it across sites
		if p.StatusCode != http.StatusSeeOther || !strings.HasPrefix(p.Header.Get("Location"), "/logout?") || strings.Contains(p.Header.Get("Location"), "utm") || len(p.Cookies()) > 0 {
			t.Fatalf("%d %q", p.StatusCode, p.Header.Get("Location"))
		}
		if !w.stillSignedIn(b, s) {
			t.Fatal("the session has ended too early")
		}
		if got := b.get(p.Header.Get("Location")).Header.Get("Location"); got != outURI+"?state=S" {
			t.Errorf("%q", got)
		}
	})

	t.Run("what cannot be read is refused and changes nothing", func(t *testing.T) {
		t.Parallel()
		w := newTestProvider(t)
		w.addClient("shop", signsOutTo(outURI))
		b, s := w.signedIn(w.addUser("alice"))
		for want, do := range map[int]func() page{
			400: func() page { return b.get("/logout?state=%zz") },
			414: func() page { return b.get("/logout?state=" + strings.Repeat("x", 40<<10)) },
			413: func() page { return b.post("/logout", url.Values{"state": {strings.Repeat("x", 40<<10)}}) },
			415: func() page {
				r, _ := http.NewRequest("POST", w.Issuer+"/logout", strings.NewReader(`{"state":"x"}`))
				r.Header.Set("Content-Type", "text/plain")
				return b.do(r)
			},
		} {
			if p := do(); p.StatusCode != want || !p.has("op-error") {
				t.Errorf("%d, want %d", p.StatusCode, want)
			}
		}
		if p := b.get(logoutURL("client_id", "nobody")); p.StatusCode != 400 {
			t.Errorf("unknown client: %d", p.StatusCode)
		}
		if p := b.get(logoutURL("client_id", "shop", "state", strings.Repeat("x", 9000))); p.StatusCode != 400 {
			t.Errorf("long state: %d", p.StatusCode)
		}
		if !w.stillSignedIn(b, s) {
			t.Error("the person was signed out")
		}
	})
}

func TestIDTokenHintOfALogout(t *testing.T) {
	t.Parallel()

	t.Run("RP-Initiated Logout §4 what is not an ID token of ours is refused: no redirect, nobody signed out", func(t *testing.T) {
		t.Parallel()
		w := newTestProvider(t)
		shop := w.addClient("shop", signsOutTo(outURI))
		b, s := w.signedIn(w.addUser("alice"))
		w.granted(s, shop)
		ctx := context.Background()
		good := w.hint(s, shop, nil)
		parts := strings.Split(good, ".")
		payload, err := json.Marshal(w.hintClaims(s, shop, nil))
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
			signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: other, KeyID: kid}}, nil)
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
			"alg none":                  b64([]byte(`{"alg":"none"}`)) + "." + parts[1] + ".",
			"alg none with a signature": b64([]byte(`{"alg":"none","kid":"`+header.KeyID+`"}`)) + "." + parts[1] + "." + parts[2],
			"modified payload":          parts[0] + "." + b64(bytes.Replace(payload, []byte("sub-alice"), []byte("sub-bobby"), 1)) + "." + parts[2],
			"modified signature":        parts[0] + "." + parts[1] + "." + string(flipped),
			"no signature":              parts[0] + "." + parts[1] + ".",
			"another key":               foreign("rp"),
			"another key, our kid":      foreign(header.KeyID),
			"HS256 with the public key": hs256 + "." + b64(mac.Sum(nil)),
			"access token":              typed("at+jwt", w.hintClaims(s, shop, nil)),
			"logout token":              typed("logout+jwt", w.hintClaims(s, shop, nil)),
			"another issuer":            w.hint(s, shop, map[string]any{"iss": "https://op.evil.example"}),
			"issued by the client":      w.hint(s, shop, map[string]any{"iss": "shop"}),
			"no sub":                    w.hint(s, shop, map[string]any{"sub": nil}),
			"no aud":                    w.hint(s, shop, map[string]any{"aud": nil}),
			"aud of nobody":             w.hint(s, shop, map[string]any{"aud": "nobody"}),
			"not a token":               "x",
			"five parts":                "a.b.c.d.e",
			"no JSON":                   typed("", "text"),
		} {
			for _, uri := range []string{outURI, ""} {
				p := b.get(logoutURL("id_token_hint", hint, "post_logout_redirect_uri", uri, "state", "S"))
				if p.StatusCode != http.StatusBadRequest || p.Header.Get("Location") != "" || !p.has("op-error") {
					t.Errorf("%s: %d %q", what, p.StatusCode, p.Header.Get("Location"))
				}
			}
		}
		if !w.stillSignedIn(b, s) {
			t.Error("the person was signed out")
		}
	})

	t.Run("RP-Initiated Logout §4 an expired one, also by a key that was replaced, is accepted", func(t *testing.T) {
		t.Parallel()
		w := newTestProvider(t)
		shop := w.addClient("shop", signsOutTo(outURI))
		b, s := w.signedIn(w.addUser("alice"))
		hint := w.hint(s, shop, nil)
		for range 2 {
			if _, err := w.Keys.Rotate(context.Background()); err != nil {
				t.Fatal(err)
			}
			w.clock.Advance(25 * time.Minute)
		}
		w.clock.Advance(30 * time.Minute)
		if newer := w.hint(s, shop, nil); strings.Split(newer, ".")[0] == strings.Split(hint, ".")[0] {
			t.Fatal("the key was not replaced")
		}
		if got := b.get(logoutURL("id_token_hint", hint, "post_logout_redirect_uri", outURI)).Header.Get("Location"); got != outURI {
			t.Errorf("%q", got)
		}
		if w.stillSignedIn(b, s) {
			t.Error("the session goes on")
		}
	})

	t.Run("RP-Initiated Logout §2 the person is asked when the hint is not of the session that would end", func(t *testing.T) {
		t.Parallel()
		w := newTestProvider(t)
		shop := w.addClient("shop", signsOutTo(outURI))
		alice, bob := w.addUser("alice"), w.addUser("bob")
		_, earlier := w.signedIn(alice)
		old := w.hint(earlier, shop, map[string]any{"sid": nil})
		w.clock.Advance(time.Minute)
		b, s := w.signedIn(alice)
		bobs, bobSession := w.signedIn(bob)
		for what, hint := range map[string]string{
			"another person's":                         w.hint(bobSession, shop, nil),
			"another session's":                        w.hint(earlier, shop, nil),
			"of the person, from before this session":  old,
			"another person's, with this session's id": w.hint(bobSession, shop, map[string]any{"sid": s.ID}),
		} {
			p := b.get(logoutURL("id_token_hint", hint, "post_logout_redirect_uri", outURI))
			if p.StatusCode != 200 || !p.has("logout-confirm") {
				t.Errorf("%s: %d %q", what, p.StatusCode, p.Header.Get("Location"))
			}
		}
		if !w.stillSignedIn(b, s) || !w.stillSignedIn(bobs, bobSession) {
			t.Error("somebody was signed out")
		}
		// One without sid that was issued in this session is enough.
		if got := b.get(logoutURL("id_token_hint", w.hint(s, shop, map[string]any{"sid": nil}), "post_logout_redirect_uri", outURI)).Header.Get("Location"); got != outURI {
			t.Errorf("a hint of this session without sid: %q", got)
		}
		if w.stillSignedIn(b, s) || !w.stillSignedIn(bobs, bobSession) {
			t.Error("not this one was signed out")
		}
	})

	t.Run("RP-Initiated Logout §2 with nobody signed in a hint and a registered URI lead straight there, again and again", func(t *testing.T) {
		t.Parallel()
		w := newTestProvider(t)
		shop := w.addClient("shop", signsOutTo(outURI))
		b, s := w.signedIn(w.addUser("alice"))
		target := logoutURL("id_token_hint", w.hint(s, shop, nil), "post_logout_redirect_uri", outURI, "state", "S")
		for _, who := range []*browser{b, b, b, w.browser()} {
			if got := who.get(target).Header.Get("Location"); got != outURI+"?state=S" {
				t.Errorf("%q", got)
			}
		}
		p := b.get(logoutURL("client_id", "shop", "post_logout_redirect_uri", outURI, "state", "S"))
		if p.StatusCode != 200 || !p.has("logged-out") || !strings.Contains(p.body, `href="`+outURI+`?state=S"`) || strings.Contains(p.body, "http-equiv") {
			t.Errorf("a client that is only named gets a link: %d\n%s", p.StatusCode, p.body)
		}
	})
}

func TestLogoutIsNotForOtherSites(t *testing.T) {
	t.Parallel()
	w := newTestProvider(t)
	w.addClient("shop", signsOutTo(outURI))
	b, s := w.signedIn(w.addUser("alice"))
	_, other := w.signedIn(w.addUser("bob"))
	confirm := b.get("/logout")
	if !confirm.has("logout-confirm") {
		t.Fatal(confirm.body)
	}
	token := func(p page) url.Values {
		form := url.Values{}
		for _, in := range inputTag.FindAllStringSubmatch(p.body, -1) {
			form.Set(attributes(in[1])["name"], attributes(in[1])["value"])
		}
		return form
	}(confirm)
	send := func(form url.Values, header ...string) page {
		r, _ := http.NewRequest("POST", w.Issuer+"/logout/confirm", strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		for i := 0; i+1 < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		return b.do(r)
	}
	ref := w.cookie(b.request("/"), browserCookie)
	for what, p := range map[string]page{
		"no token":                          send(url.Values{}, "Sec-Fetch-Site", "same-origin"),
		"another session's token":           send(url.Values{"csrf": {w.csrf(ref, "logout:"+other.ID)}}, "Sec-Fetch-Site", "same-origin"),
		"another purpose's token":           send(url.Values{"csrf": {w.csrf(ref, "account:"+s.ID)}}, "Sec-Fetch-Site", "same-origin"),
		"another browser's token":           send(url.Values{"csrf": {w.csrf("x", "logout:"+s.ID)}}, "Sec-Fetch-Site", "same-origin"),
		"the right token from another site": send(token, "Sec-Fetch-Site", "cross-site"),
		"the right token from evil.example": send(token, "Origin", "https://evil.example"),
		"the right token from nowhere":      send(token, "Origin", "null"),
	} {
		if p.StatusCode != http.StatusForbidden || !p.has("op-error") {
			t.Errorf("%s: %d", what, p.StatusCode)
		}
	}
	if p := b.get("/logout/confirm?" + token.Encode()); p.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("by GET: %d", p.StatusCode)
	}
	if !w.stillSignedIn(b, s) {
		t.Fatal("the person was signed out")
	}
	// The parameters in the form are checked like those in the address.
	evil := url.Values{"csrf": token["csrf"], "client_id": {"shop"}, "post_logout_redirect_uri": {"https://evil.example/"}}
	if p := send(evil, "Sec-Fetch-Site", "same-origin"); p.StatusCode != 400 || p.Header.Get("Location") != "" || !w.stillSignedIn(b, s) {
		t.Errorf("a URI that was put into the form: %d", p.StatusCode)
	}
	if p := send(token, "Sec-Fetch-Site", "same-origin"); p.StatusCode != http.StatusSeeOther || w.stillSignedIn(b, s) {
		t.Errorf("the person's own: %d", p.StatusCode)
	}
	// Sent twice, by a double click, it is the same.
	if p := b.follow(send(token, "Sec-Fetch-Site", "same-origin")); p.StatusCode != 200 || !p.has("logged-out") {
		t.Errorf("the second time: %d", p.StatusCode)
	}
}

// request is a request with the browser's cookies, for the provider's own functions.
func (b *browser) request(path string) *http.Request {
	r := httptest.NewRequest("GET", b.w.Issuer+path, nil)
	for _, c := range b.client.Jar.Cookies(b.w.base) {
		r.AddCookie(c)
	}
	return r
}

// failingStore is out of reach when told.
type failingStore struct {
	storage.Store
	endSession, deliveries atomic.Bool
	meanwhile              func() // just before a session ends
}

func (s *failingStore) EndSession(ctx context.Context, id string, now time.Time) (storage.Session, error) {
	if s.endSession.Load() {
		return storage.Session{}, storage.ErrUnavailable
	}
	if s.meanwhile != nil {
		s.meanwhile()
	}
	return s.Store.EndSession(ctx, id, now)
}

func (s *failingStore) CreateLogoutDelivery(ctx context.Context, d storage.LogoutDelivery) error {
	if s.deliveries.Load() {
		return storage.ErrUnavailable
	}
	return s.Store.CreateLogoutDelivery(ctx, d)
}

func TestLogoutWhileTheStoreIsOutOfReach(t *testing.T) {
	t.Parallel()
	store := &failingStore{}
	w := newTestProvider(t, func(c *Config) { store.Store = c.Store; c.Store = store })
	rp := newRelyingParty(t)
	shop := w.addClient("shop", signsOutTo(outURI), rp.hears)
	b, s := w.signedIn(w.addUser("alice"))
	w.granted(s, shop)
	target := logoutURL("id_token_hint", w.hint(s, shop, nil), "post_logout_redirect_uri", outURI)

	for _, out := range []*atomic.Bool{&store.deliveries, &store.endSession} {
		out.Store(true)
		p := b.get(target)
		if p.StatusCode != http.StatusServiceUnavailable || p.Header.Get("Location") != "" || len(p.Cookies()) > 0 || !p.has("op-error") {
			t.Errorf("%d %q %v", p.StatusCode, p.Header.Get("Location"), p.Cookies())
		}
		if !w.stillSignedIn(b, s) {
			t.Fatal("the session has ended")
		}
		out.Store(false)
	}
	// A delivery was stored before the session could not be ended. The application is not told of an end that has not come.
	w.deliverDue()
	if n := len(rp.heard()); n != 0 {
		t.Fatalf("the application was told %d times of a session that goes on", n)
	}
	if got := b.get(target).Header.Get("Location"); got != outURI || w.stillSignedIn(b, s) {
		t.Fatalf("%q", got)
	}
	w.deliverDue()
	if n := len(rp.heard()); n != 1 {
		t.Errorf("the application was told %d times", n)
	}
}

func TestEndingASession(t *testing.T) {
	t.Parallel()
	ctx := context.Background()

	t.Run("OIDC Core §11 grants of the session are revoked, those with offline access outlive it", func(t *testing.T) {
		t.Parallel()
		w := newTestProvider(t)
		shop := w.addClient("shop")
		alice := w.addUser("alice")
		_, s := w.signedIn(alice)
		_, other := w.signedIn(alice)
		online, offline := w.granted(s, shop), w.granted(s, shop, func(g *storage.Grant) { g.Offline = true })
		elsewhere := w.granted(other, shop)
		if _, err := w.endSession(ctx, s); err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			grant  storage.Grant
			stands bool
		}{{online, false}, {offline, true}, {elsewhere, true}} {
			g, err := w.Store.Grant(ctx, c.grant.ID)
			if err != nil || g.Stands(w.now()) != c.stands {
				t.Errorf("offline %v, stands %v: %v", g.Offline, g.Stands(w.now()), err)
			}
		}
	})

	t.Run("twenty at once announce it once", func(t *testing.T) {
		t.Parallel()
		w := newTestProvider(t)
		rp := newRelyingParty(t)
		shop := w.addClient("shop", rp.hears)
		_, s := w.signedIn(w.addUser("alice"))
		w.granted(s, shop)
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				if id, err := w.endSession(ctx, s); err != nil || id == "" {
					t.Errorf("%q %v", id, err)
				}
			})
		}
		wg.Wait()
		w.deliverDue()
		if n := len(rp.heard()); n != 1 {
			t.Errorf("announced %d times", n)
		}
	})

	t.Run("an application that is being signed in to at that moment is told too", func(t *testing.T) {
		t.Parallel()
		store := &failingStore{}
		w := newTestProvider(t, func(c *Config) { store.Store = c.Store; c.Store = store })
		rp := newRelyingParty(t)
		shop, mail := w.addClient("shop", rp.hears), w.addClient("mail", rp.hears)
		_, s := w.signedIn(w.addUser("alice"))
		w.granted(s, shop)
		store.meanwhile = func() { w.granted(s, mail) }
		if _, err := w.endSession(ctx, s); err != nil {
			t.Fatal(err)
		}
		w.deliverDue()
		if n := len(rp.heard()); n != 2 {
			t.Errorf("%d were told", n)
		}
	})

	t.Run("EndSessions ends all of a person's sessions, tells the applications, and revokes offline access too", func(t *testing.T) {
		t.Parallel()
		w := newTestProvider(t)
		rp := newRelyingParty(t)
		shop := w.addClient("shop", rp.hears)
		alice, bob := w.addUser("alice"), w.addUser("bob")
		b1, s1 := w.signedIn(alice)
		b2, s2 := w.signedIn(alice)
		b3, s3 := w.signedIn(bob)
		var grants []storage.Grant
		for _, s := range []storage.Session{s1, s2, s3} {
			grants = append(grants, w.granted(s, shop, func(g *storage.Grant) { g.Offline = true }))
		}
		if err := w.EndSessions(ctx, alice.ID); err != nil {
			t.Fatal(err)
		}
		if w.stillSignedIn(b1, s1) || w.stillSignedIn(b2, s2) || !w.stillSignedIn(b3, s3) {
			t.Error("not exactly this person's sessions have ended")
		}
		for i, g := range grants {
			now, err := w.Store.Grant(ctx, g.ID)
			if err != nil || now.Stands(w.now()) != (i == 2) {
				t.Errorf("grant %d stands: %v %v", i, now.Stands(w.now()), err)
			}
		}
		w.deliverDue()
		sids := map[any]bool{}
		for _, token := range rp.heard() {
			sids[claimsOf(t, token)["sid"]] = true
		}
		if len(sids) != 2 || !sids[s1.ID] || !sids[s2.ID] {
			t.Errorf("told of %v", sids)
		}
		if err := w.EndSessions(ctx, alice.ID); err != nil {
			t.Errorf("a second time: %v", err)
		}
	})

	t.Run("whoever signs in as somebody else ends the session that was there", func(t *testing.T) {
		t.Parallel()
		w := newTestProvider(t)
		rp := newRelyingParty(t)
		shop := w.addClient("shop", rp.hears)
		b, s := w.signedIn(w.addUser("alice"))
		w.granted(s, shop)
		bob, err := w.signIn(httptest.NewRecorder(), b.request("/login"), w.addUser("bob"), false)
		if err != nil || bob.ID == s.ID {
			t.Fatalf("%v", err)
		}
		w.deliverDue()
		if heard := rp.heard(); len(heard) != 1 || claimsOf(t, heard[0])["sid"] != s.ID {
			t.Errorf("%d told", len(heard))
		}
		if now, err := w.Store.Session(ctx, s.ID); err != nil || now.Valid(w.now()) {
			t.Errorf("the first session goes on: %v", err)
		}
	})
}

var outcomeItem = regexp.MustCompile(`<li class="(\w+)"><strong><bdi>([^<]*)</bdi>`)

// outcome is what the signed-out page says became of each application.
func (p page) outcome() string {
	var out []string
	for _, m := range outcomeItem.FindAllStringSubmatch(p.body, -1) {
		out = append(out, m[2]+" "+m[1])
	}
	return strings.Join(out, ", ")
}

func TestSignedOutPage(t *testing.T) {
	t.Parallel()
	w := newTestProvider(t)
	rp := newRelyingParty(t)
	for i := range 3 {
		w.addClient(fmt.Sprintf("app%d", i), rp.hears)
	}
	w.addClient("quiet")
	alice := w.addUser("alice")
	begin := func() (*browser, storage.Session, page) {
		b, s := w.signedIn(alice)
		for i := range 3 {
			w.granted(s, clients.Client{ID: fmt.Sprintf("app%d", i)})
		}
		w.granted(s, clients.Client{ID: "quiet"})
		return b, s, b.submit(b.get("/logout"), "logout-confirm", nil)
	}

	b, _, p := begin()
	done := p.Header.Get("Location")
	shown := b.get(done)
	if got, want := shown.outcome(), "App app0 waiting, App app1 waiting, App app2 waiting, App quiet none"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if seconds, to := shown.refresh(); seconds != "2" || to != done+"&look=1" {
		t.Errorf("looks again after %q at %q", seconds, to)
	}
	w.deliverDue()
	shown = b.get(done + "&look=1")
	if got, want := shown.outcome(), "App app0 told, App app1 told, App app2 told, App quiet none"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if strings.Contains(shown.body, "http-equiv") {
		t.Error("the page looks again although there is nothing to wait for")
	}

	b, _, p = begin()
	done = p.Header.Get("Location")
	if p := b.get(done + "&look=5"); strings.Contains(p.body, "http-equiv") || !strings.Contains(p.outcome(), "waiting") {
		t.Error("the page looks again without end")
	}
	ref, _ := url.Parse(done)
	sealed := ref.Query().Get("r")
	payload, mac, _ := strings.Cut(sealed, ".")
	for what, p := range map[string]page{
		"another browser":     w.browser().get(done),
		"no reference":        b.get("/logout/done"),
		"cut":                 b.get("/logout/done?r=" + payload),
		"changed":             b.get("/logout/done?r=" + "A" + payload[1:] + "." + mac),
		"another's signature": b.get("/logout/done?r=" + payload + "." + w.csrf(payload, "")),
	} {
		if p.StatusCode != 200 || !p.has("logged-out") || strings.Contains(p.body, "App app") {
			t.Errorf("%s: %d\n%s", what, p.StatusCode, p.body)
		}
	}
	w.clock.Advance(signedOutTTL)
	if p := b.get(done); strings.Contains(p.body, "App app") {
		t.Error("the page can be looked at for ever")
	}
	// Somebody who is signed in again is not told that they are signed out.
	b, _ = w.signedIn(alice)
	if p := b.get("/logout/done?r=x"); p.StatusCode != 400 || p.has("logged-out") {
		t.Errorf("%d", p.StatusCode)
	}
}

func FuzzSignedOutReference(f *testing.F) {
	sealer, err := keys.NewSealer([]byte("a master key that only tests use"))
	if err != nil {
		f.Fatal(err)
	}
	p := &Provider{Config: Config{Now: time.Now}, stateKey: sealer.Derive("signed-out pages", 32)}
	p.cookies = newCookieStore(sealer, false)
	f.Add("x.y")
	f.Add(p.sealSignedOut(signedOut{Logout: "l"}))
	f.Fuzz(func(t *testing.T, sealed string) {
		if _, ok := p.openSignedOut(httptest.NewRequest("GET", "/", nil), sealed); ok {
			t.Errorf("%q opens without the browser's cookie", sealed)
		}
	})
}
