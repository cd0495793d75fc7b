package token_test

import (
	"errors"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"latchkey/provider"
	"latchkey/provider/admin"
	"latchkey/provider/clients"
	"latchkey/provider/grants"
	"latchkey/provider/oauth"
	"latchkey/provider/providertest"
	"latchkey/provider/registration"
	"latchkey/provider/storage"
)

// TestEveryCredentialIsGoodForOneThing presents each kind of credential wherever another kind is
// expected.
func TestEveryCredentialIsGoodForOneThing(t *testing.T) {
	t.Parallel()
	w := providertest.New(t, func(c *provider.Config) { c.Registration = registration.Token })
	alice := w.AddUser("alice")
	key := providertest.EcKey(t)
	web := w.AddClient("web", func(c *clients.Client) {
		c.UserinfoSignedResponseAlg, c.BackchannelLogoutURI, c.PostLogoutRedirectURIs = "RS256",
			"https://web.example/out", []string{"https://web.example/bye"}
		c.JWKS = providertest.JwksOf(t, map[string]any{"k": key.Public()})
	})
	opaque := w.AddClient("opaque", func(c *clients.Client) { c.OpaqueAccessTokens = true })
	w.AddClient("jwt-j", providertest.ByKey(t, "ES256", map[string]any{"k": key.Public()}))
	got, got2 := w.Tokens(web, alice, providertest.Offline), w.Tokens(opaque, alice, providertest.Offline)
	code, grant := w.Authorized(web, alice, providertest.Offline)
	initial, _, err := w.Admin.CreateInitialAccessToken(t.Context(), admin.Actor{Kind: storage.ActorSystem}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	rat := storage.Random()
	registered := w.AddClient("registered",
		func(c *clients.Client) { c.Dynamic, c.RegistrationTokenHash = true, storage.Hash(rat) })
	session := w.SessionFor(alice)
	logout, err := w.Sessions.LogoutToken(t.Context(), web, storage.LogoutDelivery{Subject: alice.ID,
		SessionID: session.ID})
	if err != nil {
		t.Fatal(err)
	}
	info, err := w.Grants.Sign(t.Context(), "RS256", "", map[string]any{"iss": w.Issuer, "sub": alice.ID,
		"aud": web.ID})
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]string{
		"code": code, "access token": got.Str("access_token"), "opaque access token": got2.Str("access_token"),
		"refresh token": got.Str("refresh_token"), "ID token": got.Str("id_token"),
		"logout token": logout, "userinfo response": info, "initial access token": initial,
		"registration access token": rat, "session": session.ID, "grant": grant.ID,
		"client secret": providertest.TestSecret,
		"client assertion": providertest.SignJWT(t, jose.ES256, key, w.AssertionOf("jwt-j", nil),
			providertest.Kid("k")), "request object": providertest.SignJWT(t, jose.ES256, key, w.ObjectOf(web, nil),
			providertest.Kid("k")),
		"code as opaque token":  grants.OpaquePrefix + code[len(grants.CodePrefix):],
		"code as refresh token": grants.RefreshPrefix + code[len(grants.CodePrefix):],
		"refresh token as code": grants.CodePrefix + got.Str("refresh_token")[len(grants.RefreshPrefix):],
	}
	// What each place accepts, and everything else must not be.
	bearer := func(method, path, value string) providertest.AnswerJSON {
		r, err := http.NewRequest(method, w.Issuer+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+value)
		return w.Send(r)
	}
	active := func(value string) bool {
		a := w.Call("/introspect", web, url.Values{"token": {value}})
		return a.JSON["active"] == true
	}
	w.AddUser("bob")
	bob := w.Browser()
	bob.Code(web, "bob")
	for kind, value := range kinds {
		if a := bearer("GET", "/userinfo", value); (a.StatusCode == http.StatusOK) != (kind == "access token" ||
			kind == "opaque access token") {
			t.Errorf("%s at userinfo: %d %v", kind, a.StatusCode, a.JSON)
		}
		if is := active(value); is != (kind == "access token" || kind == "refresh token") {
			t.Errorf("%s at introspection: active %v", kind, is)
		}
		if a := w.Renew(web, value); kind != "refresh token" {
			providertest.MustRefuse(t, a, http.StatusBadRequest, oauth.InvalidGrant)
		} else if a.StatusCode != http.StatusOK {
			t.Errorf("the control: %v", a.JSON)
		}
		if kind != "code" {
			providertest.MustRefuse(t, w.Redeem(web, value), http.StatusBadRequest, oauth.InvalidGrant)
		}
		if a := bearer("GET", "/register/"+registered.ID,
			value); (a.StatusCode == http.StatusOK) != (kind == "registration access token") {
			t.Errorf("%s at registration management: %d", kind, a.StatusCode)
		}
		if kind != "initial access token" {
			r := providertest.NewRegistration(t, w)
			r.Header.Set("Authorization", "Bearer "+value)
			providertest.MustRefuse(t, w.Send(r), http.StatusUnauthorized, oauth.InvalidToken)
		}
		if a := w.Assert(value); (a.StatusCode == http.StatusOK) != (kind == "client assertion") {
			t.Errorf("%s as client assertion: %d %v", kind, a.StatusCode, a.JSON)
		}
		w.Forgive()
		b := w.Browser()
		// Bob is signed in. An ID token of alice keeps him from a code; anything else is no hint,
		// and is ignored.
		if p := bob.Get(w.Request(web, "id_token_hint",
			value)); (p.Answer().Get("code") == "") != (kind == "ID token") {
			t.Errorf("%s as id_token_hint: %d %s", kind, p.StatusCode, p.Header.Get("Location"))
		}
		if p := b.Get("/logout?" + url.Values{"id_token_hint": {value},
			"post_logout_redirect_uri": {"https://web.example/bye"}}.Encode()); (p.StatusCode == http.StatusSeeOther) != (kind == "ID token") {
			t.Errorf("%s as id_token_hint of a logout: %d %s", kind, p.StatusCode, p.Header.Get("Location"))
		}
		if p := b.Get(w.Request(web, "request", value)); (p.Answer().Get("error") == "") != (kind == "request object") {
			t.Errorf("%s as request object: %d %s", kind, p.StatusCode, p.Header.Get("Location"))
		}
		for _, name := range []string{"latchkey", "latchkey_browser"} {
			r, err := http.NewRequest("GET", w.Issuer+"/account", nil)
			if err != nil {
				t.Fatal(err)
			}
			r.AddCookie(&http.Cookie{Name: name, Value: value})
			if p := w.Browser().Do(r); p.StatusCode == http.StatusOK {
				t.Errorf("%s as cookie %s", kind, name)
			}
		}
	}
	// None of the attempts has used anything up.
	providertest.MustWork(t, w.Redeem(web, code))
	r := providertest.NewRegistration(t, w)
	r.Header.Set("Authorization", "Bearer "+initial)
	if a := w.Send(r); a.StatusCode != http.StatusCreated {
		t.Errorf("the initial access token: %d %v", a.StatusCode, a.JSON)
	}
}

func TestCredentialsAreExact(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	alice, web := w.AddUser("alice"), w.AddClient("web")
	opaque := w.AddClient("opaque", func(c *clients.Client) { c.OpaqueAccessTokens = true })
	got, got2 := w.Tokens(web, alice, providertest.Offline), w.Tokens(opaque, alice, providertest.Offline)
	code, _ := w.Authorized(web, alice, providertest.Offline)
	for _, value := range []string{got.Str("access_token"), got2.Str("access_token"), got.Str("refresh_token"), code} {
		last := value[len(value)-1]
		other := byte('A')
		if last == other {
			other = 'B'
		}
		wrong := []string{value + "=", value + "A", value + "\x00", value + " ", value + "\n", " " + value, value + ".",
			value + ".a", value[:len(value)-1] + string(other), value[1:], "Bearer " + value, value + "," + value}
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
			if a := w.Redeem(web, v); a.StatusCode == http.StatusOK {
				t.Errorf("a code: %q for %q", v, value)
			}
			if a := w.Renew(web, v); a.StatusCode == http.StatusOK {
				t.Errorf("a refresh token: %q for %q", v, value)
			}
			for _, asker := range []clients.Client{web, opaque} {
				if a := w.Call("/introspect", asker, url.Values{"token": {v}}); a.JSON["active"] == true {
					t.Errorf("active: %q for %q", v, value)
				}
			}
		}
	}
	providertest.MustWork(t, w.Redeem(web, code))
	providertest.MustWork(t, w.Renew(web, got.Str("refresh_token")))
}

// TestAClientIsNoPerson is about a client whose client_id is somebody's subject.
func TestAClientIsNoPerson(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	alice := w.AddUser("alice")
	twin := w.AddClient(alice.ID, providertest.Service, func(c *clients.Client) { c.Scope = "openid profile api:read" })
	got := w.Call("/token", twin, url.Values{"grant_type": {"client_credentials"}})
	providertest.MustWork(t, got)
	if info := w.UserinfoOf(got.Str("access_token")); info.StatusCode == http.StatusOK {
		t.Errorf("RFC 9068 §5: %v", info.JSON)
	}
	providertest.MustRefuse(t, w.Call("/token", twin, url.Values{"grant_type": {"client_credentials"},
		"scope": {"openid"}}), http.StatusBadRequest, oauth.InvalidScope)
}

func TestRevokedSessionsTakeTheirTokensAlong(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	w.AddUser("alice")
	web, b := w.AddClient("web"), w.Browser()
	unused, used := b.Code(web, "alice", "scope", "openid"), b.Code(web, "alice", "scope", "openid")
	got := w.Redeem(web, used)
	providertest.MustWork(t, got)
	stolen := b.Client.Jar.Cookies(w.Web.Base)
	b.Follow(b.Submit(b.Open("/logout"), "logout-confirm", nil))
	providertest.MustRefuse(t, w.Redeem(web, unused), http.StatusBadRequest, oauth.InvalidGrant)
	if info := w.UserinfoOf(got.Str("access_token")); info.StatusCode != http.StatusUnauthorized {
		t.Errorf("userinfo: %d", info.StatusCode)
	}
	thief := w.Browser()
	thief.Client.Jar.SetCookies(w.Web.Base, stolen)
	if p := thief.Open(w.Request(web, "prompt", "none")); p.Answer().Get("error") != string(oauth.LoginRequired) {
		t.Errorf("with the cookies of a session that has ended: %s", p.Header.Get("Location"))
	}
	if _, err := w.Store.Consent(t.Context(), "x", "y"); !errors.Is(err, storage.ErrNotFound) {
		t.Error(err)
	}
}
