package token_test

import (
	"net/http"
	"net/url"
	"testing"

	"latchkey/provider/clients"
	"latchkey/provider/oauth"
	"latchkey/provider/providertest"
)

func TestClientCredentials(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	svc := w.AddClient("svc", providertest.Service, func(c *clients.Client) {
		c.Scope += " openid profile offline_access"
		c.Audience = []string{"https://api1.test", "https://api2.test"}
	})
	ask := func(c clients.Client, change ...string) providertest.AnswerJSON {
		return w.Call("/token", c, providertest.With(url.Values{"grant_type": {"client_credentials"}}, change...))
	}
	got := ask(svc)
	providertest.MustWork(t, got)
	at := providertest.ClaimsOf(t, got.Str("access_token"))
	if got.Str("scope") != "api:read api:write" || at["sub"] != "svc" || at["client_id"] != "svc" ||
		at["aud"] != "https://api1.test" || at["gid"] != nil || at["auth_time"] != nil {
		t.Errorf("RFC 6749 §4.4, RFC 9068 §2.2: %v %v", got.JSON, at)
	}
	if got.JSON["refresh_token"] != nil || got.JSON["id_token"] != nil {
		t.Errorf("RFC 6749 §4.4.3: %v", got.JSON)
	}
	narrow := ask(svc, "scope", "api:read", "resource", "https://api2.test")
	providertest.MustWork(t, narrow)
	if at := providertest.ClaimsOf(t, narrow.Str("access_token")); at["scope"] != "api:read" ||
		at["aud"] != "https://api2.test" {
		t.Errorf("%v", at)
	}
	for _, scope := range []string{"openid", "api:read openid", "profile", "offline_access", "api:admin", "api",
		"api:read\t"} {
		providertest.MustRefuse(t, ask(svc, "scope", scope), http.StatusBadRequest, oauth.InvalidScope)
	}
	providertest.MustRefuse(t, ask(svc, "resource", "https://api3.test"), http.StatusBadRequest, oauth.InvalidTarget)
	providertest.MustRefuse(t, ask(w.AddClient("spa", providertest.Public,
		func(c *clients.Client) { c.GrantTypes = []string{"client_credentials"} }), "client_id", "spa"),
		http.StatusBadRequest, oauth.UnauthorizedClient)
	providertest.MustRefuse(t, ask(w.AddClient("web-a")), http.StatusBadRequest, oauth.UnauthorizedClient)

	t.Run("RFC 9068 §5 a client whose identifier is that of a person is not that person", func(t *testing.T) {
		alice := w.AddUser("alice")
		twin := w.AddClient(alice.ID, providertest.Service, func(c *clients.Client) { c.Scope = "openid api:read" })
		got := ask(twin)
		providertest.MustWork(t, got)
		providertest.MustRefuse(t, w.Whois(got.Str("access_token")), http.StatusForbidden, oauth.InsufficientScope)
		opaque := w.AddClient("twin", providertest.Service, func(c *clients.Client) { c.OpaqueAccessTokens = true })
		providertest.MustRefuse(t, w.Whois(ask(opaque).Str("access_token")), http.StatusForbidden,
			oauth.InsufficientScope)
	})
	t.Run("its tokens are revoked one by one", func(t *testing.T) {
		for _, c := range []clients.Client{svc, w.AddClient("opaque", providertest.Service,
			func(c *clients.Client) { c.OpaqueAccessTokens = true })} {
			one, two := ask(c).Str("access_token"), ask(c).Str("access_token")
			providertest.MustWork(t, w.Call("/revoke", c, url.Values{"token": {one}}))
			if w.Asks(c, one).JSON["active"] != false || w.Asks(c, two).JSON["active"] != true {
				t.Errorf("%s: %v %v", c.ID, w.Asks(c, one).JSON, w.Asks(c, two).JSON)
			}
		}
	})
}
