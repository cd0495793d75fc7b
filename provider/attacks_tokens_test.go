package provider

import (
	"errors"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"latchkey/provider/clients"
	"latchkey/provider/oauth"
	"latchkey/provider/storage"
)

// TestEveryCredentialIsGoodForOneThing presents each kind of credential wherever another kind is expected.
func TestEveryCredentialIsGoodForOneThing(t *testing.T) {
	t.Parallel()
	w := newTestProvider(t, func(c *Config) { c.Registration = RegistrationToken })
	alice := w.addUser("alice")
	key := ecKey(t)
	web := w.addClient("web", func(c *clients.Client) {
		c.UserinfoSignedResponseAlg, c.BackchannelLogoutURI, c.PostLogoutRedirectURIs = "RS256", "https://web.example/out", []string{"https://web.example/bye"}
		c.JWKS = jwksOf(t, map[string]any{"k": key.Public()})
	})
	opaque := w.addClient("opaque", func(c *clients.Client) { c.OpaqueAccessTokens = true })
	w.addClient("jwt-j", byKey(t, "ES256", map[string]any{"k": key.Public()}))
	got, got2 := w.tokens(web, alice, offline), w.tokens(opaque, alice, offline)
	code, grant := w.authorized(web, alice, offline)
	initial, err := NewInitialAccessToken(t.Context(), w.Store, w.now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	rat := random()
	registered := w.addClient("registered", func(c *clients.Client) { c.Dynamic, c.RegistrationTokenHash = true, storage.Hash(rat) })
	session := w.sessionFor(alice)
	logout, err := w.logoutToken(t.Context(), web, storage.LogoutDelivery{Subject: alice.ID, SessionID: session.ID})
	if err != nil {
		t.Fatal(err)
	}
	info, err := w.sign(t.Context(), "RS256", "", map[string]any{"iss": w.Issuer, "sub": alice.ID, "aud": web.ID})
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]string{
		"code": code, "access token": got.str("access_token"), "opaque access token": got2.str("access_token"), "refresh token": got.str("refresh_token"), "ID token": got.str("id_token"),
		"logout token": logout, "userinfo response": info, "initial access token": initial, "registration access token": rat, "session": session.ID, "grant": grant.ID, "client secret": testSecret,
		"client assertion": signJWT(t, jose.ES256, key, w.assertionOf("jwt-j", nil), kid("k")), "request object": signJWT(t, jose.ES256, key, w.objectOf(web, nil), kid("k")),
		"code as opaque token": opaquePrefix + code[len(codePrefix):], "code as refresh token": refreshPrefix + code[len(codePrefix):], "refresh token as code": codePrefix + got.str("refresh_token")[len(refreshPrefix):],
	}
	// What each place accepts, and everything else must not be.
	bearer := func(method, path, value string) answerJSON {
		r, err := http.NewRequest(method, w.Issuer+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+value)
		return w.send(r)
	}
	active := func(value string) bool {
		a := w.call("/introspect", web, url.Values{"token": {value}})
		return a.JSON["active"] == true
	}
	for kind, value := range kinds {
		if a := bearer("GET", "/userinfo", value); (a.StatusCode == http.StatusOK) != (kind == "access token" || kind == "opaque access token") {
			t.Errorf("%s at userinfo: %d %v", kind, a.StatusCode, a.JSON)
		}
		if is := active(value); is != (kind == "access token" || kind == "refresh token") {
			t.Errorf("%s at introspection: active %v", kind, is)
		}
		if a := w.renew(web, value); kind != "refresh token" {
			mustRefuse(t, a, http.StatusBadRequest, oauth.InvalidGrant)
		} else if a.StatusCode != http.StatusOK {
			t.Errorf("the control: %v", a.JSON)
		}
		if kind != "code" {
			mustRefuse(t, w.redeem(web, value), http.StatusBadRequest, oauth.InvalidGrant)
		}
		if a := bearer("GET", "/register/"+registered.ID, value); (a.StatusCode == http.StatusOK) != (kind == "registration access token") {
			t.Errorf("%s at registration management: %d", kind, a.StatusCode)
		}
		if kind != "initial access token" {
			r := newRegistration(t, w)
			r.Header.Set("Authorization", "Bearer "+value)
			mustRefuse(t, w.send(r), http.StatusUnauthorized, oauth.InvalidToken)
		}
		if a := w.assert(value); (a.StatusCode == http.StatusOK) != (kind == "client assertion") {
			t.Errorf("%s as client assertion: %d %v", kind, a.StatusCode, a.JSON)
		}
		w.forgive()
		b := w.browser()
		if p := b.get(w.request(web, "id_token_hint", value)); (p.answer().Get("error") == "") != (kind == "ID token") {
			t.Errorf("%s as id_token_hint: %d %s", kind, p.StatusCode, p.Header.Get("Location"))
		}
		if p := b.get("/logout?" + url.Values{"id_token_hint": {value}, "post_logout_redirect_uri": {"https://web.example/bye"}}.Encode()); (p.StatusCode == http.StatusSeeOther) != (kind == "ID token") {
			t.Errorf("%s as id_token_hint of a logout: %d %s", kind, p.StatusCode, p.Header.Get("Location"))
		}
		if p := b.get(w.request(web, "request", value)); (p.answer().Get("error") == "") != (kind == "request object") {
			t.Errorf("%s as request object: %d %s", kind, p.StatusCode, p.Header.Get("Location"))
		}
		for _, name := range []string{sessionCookie, browserCookie} {
			r, err := http.NewRequest("GET", w.Issuer+"/account", nil)
			if err != nil {
				t.Fatal(err)
			}
			r.AddCookie(&http.Cookie{Name: name, Value: value})
			if p := w.browser().do(r); p.StatusCode == http.StatusOK {
				t.Errorf("%s as cookie %s", kind, name)
			}
		}
	}
	// None of the attempts has used anything up.
	mustWork(t, w.redeem(web, code))
	r := newRegistration(t, w)
	r.Header.Set("Authorization", "Bearer "+initial)
	if a := w.send(r); a.StatusCode != http.StatusCreated {
		t.Errorf("the initial access token: %d %v", a.StatusCode, a.JSON)
	}
}

func TestCredentialsAreExact(t *testing.T) {
	t.Parallel()
	w := newTestProvider(t)
	alice, web := w.addUser("alice"), w.addClient("web")
	opaque := w.addClient("opaque", func(c *clients.Client) { c.OpaqueAccessTokens = true })
	got, got2 := w.tokens(web, alice, offline), w.tokens(opaque, alice, offline)
	code, _ := w.authorized(web, alice, offline)
	for _, value := range []string{got.str("access_token"), got2.str("access_token"), got.str("refresh_token"), code} {
		last := value[len(value)-1]
		other := byte('A')
		if last == other {
			other = 'B'
		}
		wrong := []string{value + "=", value + "A", value + "\x00", value + " ", value + "\n", " " + value, value + ".", value + ".a", value[:len(value)-1] + string(other), value[1:], "Bearer " + value, value + "," + value}
		for n := 1; n <= 8; n++ {
			wrong = append(wrong, value[:len(value)-n])
		}
		// The last character of 43 carries four bits that mean nothing.
		for _, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") {
			if c != last {
				wrong = append(wrong, value[:len(value)-1]+string(c))
			}
		}
		for _, v := range wrong {
			if v == "" {
				continue
			}
			if a := w.redeem(web, v); a.StatusCode == http.StatusOK {
				t.Errorf("a code: %q for %q", v, value)
			}
			if a := w.renew(web, v); a.StatusCode == http.StatusOK {
				t.Errorf("a refresh token: %q for %q", v, value)
			}
			for _, asker := range []clients.Client{web, opaque} {
				if a := w.call("/introspect", asker, url.Values{"token": {v}}); a.JSON["active"] == true {
					t.Errorf("active: %q for %q", v, value)
				}
			}
		}
	}
	mustWork(t, w.redeem(web, code))
	mustWork(t, w.renew(web, got.str("refresh_token")))
}

// TestAClientIsNoPerson is about a client whose client_id is somebody's subject.
func TestAClientIsNoPerson(t *testing.T) {
	t.Parallel()
	w := newTestProvider(t)
	alice := w.addUser("alice")
	twin := w.addClient(alice.ID, service, func(c *clients.Client) { c.Scope = "openid profile api:read" })
	got := w.call("/token", twin, url.Values{"grant_type": {"client_credentials"}})
	mustWork(t, got)
	if info := w.userinfoOf(got.str("access_token")); info.StatusCode == http.StatusOK {
		t.Errorf("RFC 9068 §5: %v", info.JSON)
	}
	mustRefuse(t, w.call("/token", twin, url.Values{"grant_type": {"client_credentials"}, "scope": {"openid"}}), http.StatusBadRequest, oauth.InvalidScope)
}

func TestRevokedSessionsTakeTheirTokensAlong(t *testing.T) {
	t.Parallel()
	w := newTestProvider(t)
	w.addUser("alice")
	web, b := w.addClient("web"), w.browser()
	unused, used := b.code(web, "alice", "scope", "openid"), b.code(web, "alice", "scope", "openid")
	got := w.redeem(web, used)
	mustWork(t, got)
	stolen := b.client.Jar.Cookies(w.base)
	b.follow(b.submit(b.open("/logout"), "logout-confirm", nil))
	mustRefuse(t, w.redeem(web, unused), http.StatusBadRequest, oauth.InvalidGrant)
	if info := w.userinfoOf(got.str("access_token")); info.StatusCode != http.StatusUnauthorized {
		t.Errorf("userinfo: %d", info.StatusCode)
	}
	thief := w.browser()
	thief.client.Jar.SetCookies(w.base, stolen)
	if p := thief.open(w.request(web, "prompt", "none")); p.answer().Get("error") != string(oauth.LoginRequired) {
		t.Errorf("with the cookies of a session that has ended: %s", p.Header.Get("Location"))
	}
	if _, err := w.Store.Consent(t.Context(), "x", "y"); !errors.Is(err, storage.ErrNotFound) {
		t.Error(err)
	}
}
