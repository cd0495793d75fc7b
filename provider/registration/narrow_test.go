package registration_test

import (
	"net/http"
	"slices"
	"testing"

	"latchkey/provider"
	"latchkey/provider/clients"
	"latchkey/provider/providertest"
	"latchkey/provider/registration"
)

func TestAClientIsRegisteredForThePartOfItsMetadataThatIsKnown(t *testing.T) {
	t.Parallel()
	w := providertest.New(t, openRegistration)
	a, c := w.Registered(object{"redirect_uris": []string{"https://a.test/cb"}, "scope": "openid mcp:tools email",
		"grant_types": []string{"authorization_code", "refresh_token", "client_credentials",
			"urn:ietf:params:oauth:grant-type:jwt-bearer"}})
	if !slices.Equal(c.GrantTypes, []string{"authorization_code", "refresh_token"}) || c.Scope != "openid email" ||
		a.Str("scope") != "openid email" {
		t.Errorf("RFC 7591 §3.2.1: %v", a.JSON)
	}
}

func TestAnApplicationWithAddressesOnADeviceAloneIsNative(t *testing.T) {
	t.Parallel()
	for _, uris := range [][]string{{"com.example.app:/cb"}, {"http://127.0.0.1:3334/cb", "http://localhost:3334/cb"},
		{"http://[::1]/cb"}} {
		if got := registration.Completed(clients.Metadata{RedirectURIs: uris}, false).ApplicationType; got != "native" {
			t.Errorf("%v: %q", uris, got)
		}
	}
	for _, uris := range [][]string{{"https://a.test/cb"}, {"http://127.0.0.1/cb", "https://a.test/cb"}, nil} {
		if got := registration.Completed(clients.Metadata{RedirectURIs: uris}, false).ApplicationType; got != "" {
			t.Errorf("%v: %q", uris, got)
		}
	}
	if got := registration.Completed(clients.Metadata{RedirectURIs: []string{"http://localhost/cb"}},
		true).ApplicationType; got != "" {
		t.Errorf("on a provider for development: %q", got)
	}
}

func TestSelfRegisteredClientsMayAskForTheResourcesThatAnAdministratorListed(t *testing.T) {
	t.Parallel()
	const mcp = "https://mcp.example.com/mcp"
	w := providertest.New(t, openRegistration, func(c *provider.Config) { c.RegistrationResources = []string{mcp} })
	w.AddUser("alice")
	_, c := w.Registered(object{"redirect_uris": []string{"https://a.test/cb"}, "token_endpoint_auth_method": "none"})
	b := w.Browser()
	tokens := w.Redeem(c, b.Code(c, "alice", "resource", mcp))
	if tokens.StatusCode != http.StatusOK || providertest.ClaimsOf(t, tokens.Str("access_token"))["aud"] != mcp {
		t.Errorf("%d %v", tokens.StatusCode, tokens.JSON)
	}
	tokens = w.Redeem(c, b.Code(c, "alice"))
	if providertest.ClaimsOf(t, tokens.Str("access_token"))["aud"] != w.Issuer {
		t.Errorf("a request that names none: %v", tokens.JSON)
	}
	if got := b.Get(w.Request(c, "resource", "https://other.example")).Answer().Get("error"); got != "invalid_target" {
		t.Errorf("what is not listed: %q", got)
	}
}
