package clients

import (
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey/keys"
	"latchkey/provider/oauth"
)

func TestEveryTypeHasDefaultsThatFit(t *testing.T) {
	t.Parallel()
	l := func(s ...string) []string { return s }
	for _, c := range []struct {
		typ                string
		m                  Metadata
		auth, app          string
		grants, responses  []string
		public, needsPKCE  bool
		secret, mayCORSish bool
	}{
		{TypeWeb, web("https://a.test/cb"), "client_secret_basic", "web", l("authorization_code", "refresh_token"),
			l("code"), false, true, true, true},
		{TypeSPA, web("https://a.test/cb"), "none", "web", l("authorization_code", "refresh_token"), l("code"), true,
			true, false, true},
		{TypeNative, Metadata{RedirectURIs: l("http://127.0.0.1/cb")}, "none", "native",
			l("authorization_code", "refresh_token"), l("code"), true, true, false, true},
		{TypeService, Metadata{}, "client_secret_basic", "web", l("client_credentials"), nil, false, true, true, false},
		{TypeAPI, Metadata{}, "client_secret_basic", "web", nil, nil, false, true, true, false},
		{TypeWeb, Metadata{RedirectURIs: l("https://a.test/cb"), ResponseTypes: l("code id_token")},
			"client_secret_basic", "web",
			l("authorization_code", "refresh_token", "implicit"), l("code id_token"), false, true, true, true},
	} {
		got, err := NewClient(c.typ, c.m, Policy{GrantTypes: known})
		if err != nil {
			t.Errorf("%s: %v", c.typ, err)
			continue
		}
		if got.Type != c.typ || got.TokenEndpointAuthMethod != c.auth || got.ApplicationType != c.app ||
			!slices.Equal(got.GrantTypes, c.grants) ||
			!slices.Equal(got.ResponseTypes, c.responses) || got.Public() != c.public ||
			got.RequiresPKCE() != c.needsPKCE || got.UsesSecret() != c.secret ||
			(len(got.CORSOrigins) > 0) != c.mayCORSish {
			t.Errorf("%s: %+v", c.typ, got)
		}
		again, err := Prepare(got, Policy{GrantTypes: known})
		if err != nil || !slices.Equal(again.GrantTypes, got.GrantTypes) || !slices.Equal(again.ResponseTypes,
			got.ResponseTypes) || !slices.Equal(again.CORSOrigins, got.CORSOrigins) {
			t.Errorf("%s, a second time: %+v %v", c.typ, again, err)
		}
	}
}

func TestTypesRefuseWhatDoesNotFit(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		typ string
		m   Metadata
	}{
		"unknown type":             {"desktop", web("https://a.test/cb")},
		"web without redirect URI": {TypeWeb, Metadata{}},
		"spa with a secret": {TypeSPA, Metadata{RedirectURIs: []string{"https://a.test/cb"},
			TokenEndpointAuthMethod: "client_secret_basic"}},
		"service with redirect URI":  {TypeService, web("https://a.test/cb")},
		"service with code":          {TypeService, Metadata{GrantTypes: []string{"authorization_code"}}},
		"service with response type": {TypeService, Metadata{ResponseTypes: []string{"code"}}},
		"public service":             {TypeService, Metadata{TokenEndpointAuthMethod: "none"}},
		"api with grants":            {TypeAPI, Metadata{GrantTypes: []string{"client_credentials"}}},
		"api with redirect URI":      {TypeAPI, web("https://a.test/cb")},
		"public api":                 {TypeAPI, Metadata{TokenEndpointAuthMethod: "none"}},
		"api with unknown signature": {TypeAPI, Metadata{AccessTokenSignedResponseAlg: "HS256"}},
		"signature for a service":    {TypeService, Metadata{AccessTokenSignedResponseAlg: "ES256"}},
		"native as web": {TypeNative, Metadata{ApplicationType: "web",
			RedirectURIs: []string{"https://a.test/cb"}}},
		"web as native": {TypeWeb, Metadata{ApplicationType: "native",
			RedirectURIs: []string{"https://a.test/cb"}}},
	} {
		if _, err := NewClient(c.typ, c.m, Policy{GrantTypes: known}); codeOf(t, err) == "" {
			t.Errorf("%s was accepted", name)
		}
	}
}

func TestWhatAnAdministratorDecidesIsCheckedToo(t *testing.T) {
	t.Parallel()
	good := func() Client {
		c, err := NewClient(TypeWeb, web("https://a.test/cb"), Policy{GrantTypes: known})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	for name, change := range map[string]func(*Client){
		"id empty":                    func(c *Client) { c.ID = "" },
		"id with a slash":             func(c *Client) { c.ID = "a/b" },
		"id with a colon":             func(c *Client) { c.ID = "a:b" },
		"id with a blank":             func(c *Client) { c.ID = "a b" },
		"id of dots":                  func(c *Client) { c.ID = ".." },
		"id long":                     func(c *Client) { c.ID = strings.Repeat("x", 101) },
		"origin with a path":          func(c *Client) { c.Origins = []string{"https://a.test/"} },
		"origin null":                 func(c *Client) { c.Origins = []string{"null"} },
		"origin wildcard":             func(c *Client) { c.Origins = []string{"https://*.a.test"} },
		"origin http":                 func(c *Client) { c.Origins = []string{"http://a.test"} },
		"origin in capitals":          func(c *Client) { c.Origins = []string{"https://A.test"} },
		"origin with its port":        func(c *Client) { c.Origins = []string{"https://a.test:443"} },
		"origin file":                 func(c *Client) { c.Origins = []string{"file://"} },
		"origin with a query":         func(c *Client) { c.Origins = []string{"https://a.test?x"} },
		"audience relative":           func(c *Client) { c.Audience = []string{"orders"} },
		"signature of an application": func(c *Client) { c.AccessTokenSignedResponseAlg = "RS256" },
		"audience fragment":           func(c *Client) { c.Audience = []string{"https://api.test/#x"} },
		"group without name":          func(c *Client) { c.AllowedGroups = []string{""} },
		"contact with a line":         func(c *Client) { c.RefusalContact = "a\nb" },
		"public without PKCE":         func(c *Client) { c.TokenEndpointAuthMethod, c.WithoutPKCE = "none", true },
		"metadata is checked":         func(c *Client) { c.LogoURI = "javascript:x" },
		"redirects are checked":       func(c *Client) { c.RedirectURIs = append(c.RedirectURIs, "https://a.test/*") },
		"post-logout are checked":     func(c *Client) { c.PostLogoutRedirectURIs = []string{"http://a.test/"} },
	} {
		c := good()
		change(&c)
		if _, err := Prepare(c, Policy{GrantTypes: known}); codeOf(t, err) == "" {
			t.Errorf("%s was accepted", name)
		}
	}
	c := good()
	c.ID, c.WithoutPKCE, c.Origins = "web-a", true, []string{"https://spa.test", "http://localhost:5173"}
	c.RedirectURIs = []string{"https://a.test/cb", "https://A.test:443/other", "http://app.localhost:4000/cb"}
	c.Audience, c.AllowedGroups, c.RefusalContact = []string{"https://api.test", "urn:example:orders"},
		[]string{"staff"}, "ask Ada, ada@example.com"
	c.SubjectType, c.SectorIdentifierURI = "pairwise", "https://Sector.test/list.json"
	got, err := Prepare(c, Policy{GrantTypes: known})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"https://spa.test", "http://localhost:5173", "https://a.test",
		"http://app.localhost:4000"}; !slices.Equal(got.CORSOrigins, want) {
		t.Errorf("CORSOrigins %q, want %q", got.CORSOrigins, want)
	}
	if got.SectorHost != "sector.test" {
		t.Errorf("SectorHost %q", got.SectorHost)
	}
	got.SubjectType, got.Origins, got.RedirectURIs = "public", nil, []string{"https://b.test/cb"}
	if got, err = Prepare(got, Policy{GrantTypes: known}); err != nil || got.SectorHost != "" ||
		!slices.Equal(got.CORSOrigins, []string{"https://b.test"}) {
		t.Errorf("after a change: %q %q %v", got.SectorHost, got.CORSOrigins, err)
	}
}

func TestIdentifiersAndSecretsNeedNoEncoding(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 1000 {
		id, secret := NewID(), NewSecret()
		if err := checkID(id); err != nil || len(id) < 26 || seen[id] || seen[secret] {
			t.Fatalf("id %q %v", id, err)
		}
		if len(secret) != 64 || strings.Trim(secret, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") != "" {
			t.Fatalf("secret of %d characters", len(secret))
		}
		seen[id], seen[secret] = true, true
	}
}

func TestSecretsAreKeptAsTheMethodNeedsThem(t *testing.T) {
	t.Parallel()
	sealer, err := keys.NewSealer([]byte(strings.Repeat("k", 32)))
	if err != nil {
		t.Fatal(err)
	}
	hasher, now := NewSecretHasher([]byte("key")), time.Unix(1e9, 0)
	c := Client{ID: "web-a", Metadata: Metadata{TokenEndpointAuthMethod: oauth.AuthClientSecretBasic}}
	for _, bad := range []string{"", "123456789012345", strings.Repeat("x", 513), "a secret with\na line",
		"ein Geheimnis für alle"} {
		if err := c.SetSecret(bad, hasher, sealer); codeOf(t, err) != oauth.InvalidClientMetadata {
			t.Errorf("%q: %v", bad, err)
		}
	}
	const secret = "1234567890123456"
	if err := c.SetSecret(secret, hasher, sealer); err != nil || c.SealedSecret != nil ||
		!hasher.Check(c, secret, now) || hasher.Check(c, secret+"x", now) || hasher.Check(c, "", now) {
		t.Errorf("client_secret_basic: %v %v", err, c)
	}
	c.SecretExpiresAt = now
	if hasher.Check(c, secret, now) || !hasher.Check(c, secret, now.Add(-time.Second)) {
		t.Error("SecretExpiresAt does not count")
	}
	if NewSecretHasher([]byte("other key")).Check(c, secret, now.Add(-time.Second)) {
		t.Error("the key of the hash does not count")
	}
	if hasher.Check(Client{}, "", now) {
		t.Error("no secret is as good as none")
	}
	c.TokenEndpointAuthMethod = oauth.AuthClientSecretJWT
	if err := c.SetSecret(secret, hasher, sealer); err == nil {
		t.Error("16 characters were accepted for HS256 (RFC 7518 §3.2)")
	}
	long := NewSecret()
	if err := c.SetSecret(long, hasher, sealer); err != nil || !hasher.Check(c, long, now) {
		t.Errorf("client_secret_jwt: %v", err)
	}
	if plain, err := sealer.Open(c.SealedSecret, SealedSecretData("web-a")); err != nil || string(plain) != long {
		t.Errorf("sealed secret: %v", err)
	}
	if _, err := sealer.Open(c.SealedSecret, SealedSecretData("web-b")); err == nil {
		t.Error("the sealed secret opens for another client")
	}
	c.TokenEndpointAuthMethod = oauth.AuthNone
	if err := c.SetSecret(long, hasher, sealer); err == nil {
		t.Error("a public client was given a secret")
	}
}
