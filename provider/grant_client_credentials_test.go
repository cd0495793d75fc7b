package provider

import (
	"net/http"
	"net/url"
	"testing"

	"latchkey/provider/clients"
	"latchkey/provider/oauth"
)

func TestClientCredentials(t *testing.T) {
	t.Parallel()
	w := newTestProvider(t)
	svc := w.addClient("svc", service, func(c *clients.Client) {
		c.Scope += " openid profile offline_access"
		c.Audience = []string{"https://api1.test", "https://api2.test"}
	})
	ask := func(c clients.Client, change ...string) answerJSON {
		return w.call("/token", c, with(url.Values{"grant_type": {"client_credentials"}}, change...))
	}
	got := ask(svc)
	mustWork(t, got)
	at := claimsOf(t, got.str("access_token"))
	if got.str("scope") != "api:read api:write" || at["sub"] != "svc" || at["client_id"] != "svc" || at["aud"] != "https://api1.test" || at["gid"] != nil || at["auth_time"] != nil {
		t.Errorf("RFC 6749 §4.4, RFC 9068 §2.2: %v %v", got.JSON, at)
	}
	if got.JSON["refresh_token"] != nil || got.JSON["id_token"] != nil {
		t.Errorf("RFC 6749 §4.4.3: %v", got.JSON)
	}
	narrow := ask(svc, "scope", "api:read", "resource", "https://api2.test")
	mustWork(t, narrow)
	if at := claimsOf(t, narrow.str("access_token")); at["scope"] != "api:read" || at["aud"] != "https://api2.test" {
		t.Errorf("%v", at)
	}
	for _, scope := range []string{"openid", "api:read openid", "profile", "offline_access", "api:admin", "api", "api:read\t"} {
		mustRefuse(t, ask(svc, "scope", scope), http.StatusBadRequest, oauth.InvalidScope)
	}
	mustRefuse(t, ask(svc, "resource", "https://api3.test"), http.StatusBadRequest, oauth.InvalidTarget)
	mustRefuse(t, ask(w.addClient("spa", public, func(c *clients.Client) { c.GrantTypes = []string{"client_credentials"} }), "client_id", "spa"), http.StatusBadRequest, oauth.UnauthorizedClient)
	mustRefuse(t, ask(w.addClient("web-a")), http.StatusBadRequest, oauth.UnauthorizedClient)

	t.Run("RFC 9068 §5 a client whose identifier is that of a person is not that person", func(t *testing.T) {
		alice := w.addUser("alice")
		twin := w.addClient(alice.ID, service, func(c *clients.Client) { c.Scope = "openid api:read" })
		got := ask(twin)
		mustWork(t, got)
		mustRefuse(t, w.whois(got.str("access_token")), http.StatusForbidden, oauth.InsufficientScope)
		opaque := w.addClient("twin", service, func(c *clients.Client) { c.OpaqueAccessTokens = true })
		mustRefuse(t, w.whois(ask(opaque).str("access_token")), http.StatusForbidden, oauth.InsufficientScope)
	})
	t.Run("its tokens are revoked one by one", func(t *testing.T) {
		for _, c := range []clients.Client{svc, w.addClient("opaque", service, func(c *clients.Client) { c.OpaqueAccessTokens = true })} {
			one, two := ask(c).str("access_token"), ask(c).str("access_token")
			mustWork(t, w.call("/revoke", c, url.Values{"token": {one}}))
			if w.asks(c, one).JSON["active"] != false || w.asks(c, two).JSON["active"] != true {
				t.Errorf("%s: %v %v", c.ID, w.asks(c, one).JSON, w.asks(c, two).JSON)
			}
		}
	})
}
