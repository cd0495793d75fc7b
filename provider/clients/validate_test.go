package clients

import (
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"latchkey/provider/oauth"
)

// known are the grant types of the provider.
var known = []GrantType{
	{Name: "authorization_code", SelfRegistered: true}, {Name: "client_credentials"},
	{Name: "implicit", SelfRegistered: true},
	{Name: "refresh_token", SelfRegistered: true},
}

var dynamic = Policy{GrantTypes: known, Dynamic: true, KnownScopes: oauth.Scopes}

// testJWKS has one EC key, of RFC 7517 Appendix A.1.
const testJWKS = `{"keys":[{"kty":"EC","crv":"P-256","kid":"1","use":"sig","alg":"ES256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}]}`

func web(uris ...string) Metadata { return Metadata{RedirectURIs: uris} }

func native(uris ...string) Metadata {
	return Metadata{ApplicationType: "native", TokenEndpointAuthMethod: "none", RedirectURIs: uris}
}

func codeOf(t *testing.T, err error) oauth.Code {
	t.Helper()
	var e *oauth.Error
	if err != nil && !errors.As(err, &e) {
		t.Fatalf("not an *oauth.Error: %v", err)
	}
	if e == nil {
		return ""
	}
	return e.Code
}

func TestRedirectURIsThatMayNeverBeRegistered(t *testing.T) {
	t.Parallel()
	for _, uri := range []string{
		"",
		// authority confusion
		"https://a.test@evil.test/cb", "https://a.test:443@evil.test/cb", `https://evil.test\@a.test/cb`,
		"https://evil.test%5C@a.test/cb",
		"https://a.test%2eevil.test/cb", "https://a.test%00.evil.test/cb", "https:///a.test/cb", "https:a.test/cb",
		"//a.test/cb", "https://a。test/cb",
		"https://@a.test/cb", "https://a.test:/cb", "https://a.test:0/cb", "https://a.test:99999/cb",
		"https://a..test/cb", "https://a.test./cb", "https://.a.test/cb",
		"https://127.1/cb", "https://2130706433/cb", "https://0x7f.1/cb", "https://[::ffff:127.0.0.1]/cb",
		"https://[fe80::1%25eth0]/cb", "https://[::1/cb",
		"https://ä.example/cb", "https://a.test:4a/cb",
		// wildcards
		"https://*.a.test/cb", "https://a.test/*", "https://a.test/cb?x=*", "*", "https://*",
		// schemes that do something
		"javascript:alert(1)", "JaVaScRiPt:alert(1)", "java%0ascript:alert(1)", "java\nscript:alert(1)",
		"\tjavascript:alert(1)", " javascript:alert(1)",
		"javascript://a.test/%0aalert(1)", "data:text/html,x", "vbscript:x", "blob:x", "blob:https://a.test/1",
		"file:///etc/passwd", "about:blank",
		"view-source:https://a.test", "ftp://a.test/", "urn:x", "ws://a.test/", "wss://a.test/",
		"filesystem:https://a.test/x", "mailto:a@a.test", "tel:1",
		"intent://x#Intent;scheme=a;end", "ms-settings:x", "search-ms:x", "chrome-extension://x/cb", "web+app:cb",
		"x:cb", "1app:/cb", "-app:/cb",
		// fragments, users, reserved parameters
		"https://a.test/cb#x", "https://a.test/cb#", "https://u:p@a.test/cb", "https://u@a.test/cb",
		"https://:@a.test/cb",
		"https://a.test/cb?code=1", "https://a.test/cb?state=1&iss=x", "https://a.test/cb?error=x",
		"https://a.test/cb?error_description=x",
		"https://a.test/cb?a=1&id_token=x", "https://a.test/cb?access_token=x", "https://a.test/cb?session_state=x",
		"https://a.test/cb?%63ode=1",
		"https://a.test/cb?CODE=1", "https://a.test/cb?response=x", "https://a.test/cb?a=1;b=2",
		"https://a.test/cb?code",
		// what browsers rewrite
		"https://a.test/./cb", "https://a.test/x/../cb", "https://a.test/%2e%2e/x", "https://a.test/c b",
		"https://a.test/cb\n", "https://a.test/cb\x00",
		`https://a.test\cb`, "https://a.test/cb\u202e", "https://a.test/c\u00e4", "https://a.test/%zz",
		"https://a.test/<x>", `https://a.test/"x`,
		"HTTPS://a.test/cb", "Https://a.test/cb", "http:/cb", "https:/cb", "http://", "https://?x", "/cb", "cb",
		"a.test/cb",
		"http://a.test/cb", "http://localhost.evil.test/cb", "http://evil-localhost/cb",
		"http://127.0.0.1.evil.test/cb",
		"https://" + strings.Repeat("a", 64) + ".test/cb", "https://a.test/" + strings.Repeat("x", 2001),
	} {
		for _, m := range []Metadata{web(uri), native(uri), web("https://ok.test/cb", uri)} {
			for _, pol := range []Policy{{GrantTypes: known}, dynamic, {GrantTypes: known, Dynamic: true,
				AllowHTTPLoopback: true}} {
				if _, err := Validate(m, pol); codeOf(t, err) != oauth.InvalidRedirectURI {
					t.Errorf("%q (%s, dynamic %v): %v", uri, m.ApplicationType, pol.Dynamic, err)
				}
			}
		}
	}
}

func TestRedirectURIsByKindOfApplication(t *testing.T) {
	t.Parallel()
	const yes, no = true, false
	for _, c := range []struct {
		uri                                         string
		web, webDynamic, webLoopback, nat, natDynam bool
	}{
		{"https://a.test/cb", yes, yes, yes, yes, yes},
		{"https://a.test", yes, yes, yes, yes, yes},
		{"https://a.test:8443/cb?tenant=1&b=%2541", yes, yes, yes, yes, yes},
		{"https://xn--bcher-kva.example/cb", yes, yes, yes, yes, yes},
		{"https://[2001:db8::1]:8443/cb", yes, yes, yes, yes, yes},
		{"https://192.0.2.1/cb", yes, yes, yes, yes, yes},
		{"https://127.0.0.1:3000/cb", yes, yes, yes, yes, yes},
		{"http://127.0.0.1:3000/cb", yes, no, yes, yes, yes},
		{"http://127.0.0.1/cb", yes, no, yes, yes, yes},
		{"http://[::1]/cb", yes, no, yes, yes, yes},
		{"http://localhost:8085/auth/callback", yes, no, yes, yes, yes},
		{"http://app.localhost:4000/cb", yes, no, yes, no, no},
		{"http://127.0.0.2:3000/cb", yes, no, yes, no, no},
		{"com.example.app:/cb", no, no, no, yes, yes},
		{"com.example.app://host/cb", no, no, no, yes, yes},
		{"app.immich:///oauth-callback", no, no, no, yes, yes},
		{"kitchenowl:/signin/redirect", no, no, no, yes, no},
		{"oc://ios.owncloud.com", no, no, no, yes, no},
		{"audiobookshelf://oauth", no, no, no, yes, no},
		{"myapp:/cb", no, no, no, yes, no},
		{"com..app:/cb", no, no, no, no, no},
		{"com.example.app:/cb#x", no, no, no, no, no},
		{"com.example.app:/cb?code=x", no, no, no, no, no},
		{"com.example.app://u:p@host/cb", no, no, no, no, no},
		{"com.example.*:/cb", no, no, no, no, no},
	} {
		for _, try := range []struct {
			name string
			m    Metadata
			pol  Policy
			want bool
		}{
			{"web", web(c.uri), Policy{GrantTypes: known}, c.web}, {"web, dynamic", web(c.uri), dynamic, c.webDynamic},
			{"web, dynamic, loopback", web(c.uri), Policy{GrantTypes: known, Dynamic: true, AllowHTTPLoopback: true},
				c.webLoopback},
			{"native", native(c.uri), Policy{GrantTypes: known}, c.nat}, {"native, dynamic", native(c.uri), dynamic,
				c.natDynam},
		} {
			_, err := Validate(try.m, try.pol)
			if got := err == nil; got != try.want {
				t.Errorf("%s as %s: accepted %v (%v)", c.uri, try.name, got, err)
			} else if err != nil && codeOf(t, err) != oauth.InvalidRedirectURI {
				t.Errorf("%s as %s: code %s", c.uri, try.name, codeOf(t, err))
			}
		}
	}
}

func TestDefaultsAreThoseOfTheStandards(t *testing.T) {
	t.Parallel()
	m, err := Validate(web("https://a.test/cb"), dynamic)
	if err != nil {
		t.Fatal(err)
	}
	want := Metadata{RedirectURIs: []string{"https://a.test/cb"}, TokenEndpointAuthMethod: "client_secret_basic",
		GrantTypes:    []string{"authorization_code"},
		ResponseTypes: []string{"code"}, ApplicationType: "web", SubjectType: "public",
		IDTokenSignedResponseAlg: "RS256"}
	if !reflect.DeepEqual(m, want) {
		t.Errorf("got  %+v\nwant %+v", m, want)
	}
	again, err := Validate(m, dynamic)
	if err != nil || !reflect.DeepEqual(again, m) {
		t.Errorf("a second time: %+v %v", again, err)
	}
	m.IDTokenEncryptedResponseAlg, m.JWKS = "ECDH-ES",
		json.RawMessage(strings.Replace(testJWKS, `"use":"sig","alg":"ES256"`, `"use":"enc"`, 1))
	if m, err = Validate(m, dynamic); err != nil || m.IDTokenEncryptedResponseEnc != "A128CBC-HS256" {
		t.Errorf("id_token_encrypted_response_enc %q %v", m.IDTokenEncryptedResponseEnc, err)
	}
}

func TestGrantTypesFitResponseTypes(t *testing.T) {
	t.Parallel()
	l := func(s ...string) []string { return s }
	for _, c := range []struct {
		grants, responses         []string
		wantGrants, wantResponses []string // nil: refused
	}{
		{nil, nil, l("authorization_code"), l("code")},
		{nil, l("id_token"), l("implicit"), l("id_token")},
		{nil, l("token id_token"), l("implicit"), l("id_token token")},
		{nil, l("code id_token"), l("authorization_code", "implicit"), l("code id_token")},
		{nil, l("none"), l("authorization_code"), l("none")},
		{l("authorization_code"), nil, l("authorization_code"), l("code")},
		{l("authorization_code", "refresh_token"), l("code"), l("authorization_code", "refresh_token"), l("code")},
		{l("authorization_code", "implicit"), l("code id_token token", "code token"),
			l("authorization_code", "implicit"), l("code id_token token", "code token")},
		{l("authorization_code", "authorization_code"), l("code", "code"), l("authorization_code"), l("code")},
		{l("authorization_code"), l("id_token"), nil, nil},
		{l("implicit"), l("code"), nil, nil},
		{l("implicit"), l("code id_token"), nil, nil},
		{l("authorization_code"), l("code token"), nil, nil},
		{l("implicit"), nil, nil, nil},
		{l("refresh_token"), nil, nil, nil},
		{l("implicit", "refresh_token"), l("id_token"), nil, nil},
		{nil, l("token"), nil, nil},
		{nil, l("code code"), nil, nil},
		{nil, l(""), nil, nil},
		{nil, l("code none"), nil, nil},
		{l("password"), nil, nil, nil},
		{l("authorization_code", "urn:ietf:params:oauth:grant-type:token-exchange"), nil, l("authorization_code"),
			l("code")},
		{l("authorization_code", "client_credentials"), nil, l("authorization_code"), l("code")}, // dynamic
	} {
		m := web("https://a.test/cb")
		m.GrantTypes, m.ResponseTypes = c.grants, c.responses
		got, err := Validate(m, dynamic)
		if c.wantGrants == nil {
			if codeOf(t, err) != oauth.InvalidClientMetadata {
				t.Errorf("%q %q: %v", c.grants, c.responses, err)
			}
			continue
		}
		if err != nil || !slices.Equal(got.GrantTypes, c.wantGrants) || !slices.Equal(got.ResponseTypes,
			c.wantResponses) {
			t.Errorf("%q %q: got %q %q %v", c.grants, c.responses, got.GrantTypes, got.ResponseTypes, err)
		}
	}
}

// bent is good metadata with one thing changed.
func bent(change func(*Metadata)) Metadata {
	m := web("https://a.test/cb")
	change(&m)
	return m
}

func TestMetadataThatIsRefused(t *testing.T) {
	t.Parallel()
	minus := int64(-1)
	long := make([]string, 51)
	for i := range long {
		long[i] = "https://a.test/" + strings.Repeat("x", i+1)
	}
	for name, m := range map[string]Metadata{
		"application_type":             bent(func(m *Metadata) { m.ApplicationType = "desktop" }),
		"auth method":                  bent(func(m *Metadata) { m.TokenEndpointAuthMethod = "tls_client_auth" }),
		"subject_type":                 bent(func(m *Metadata) { m.SubjectType = "private" }),
		"private_key_jwt without keys": bent(func(m *Metadata) { m.TokenEndpointAuthMethod = "private_key_jwt" }),
		"assertion alg none":           bent(func(m *Metadata) { m.TokenEndpointAuthAlg = "none" }),
		"assertion alg of the other method": bent(func(m *Metadata) {
			m.TokenEndpointAuthMethod, m.JWKS, m.TokenEndpointAuthAlg = "private_key_jwt", json.RawMessage(testJWKS),
				"HS256"
		}),
		"HMAC assertion by RSA": bent(func(m *Metadata) { m.TokenEndpointAuthMethod, m.TokenEndpointAuthAlg = "client_secret_jwt", "RS256" }),
		"jwks and jwks_uri":     bent(func(m *Metadata) { m.JWKS, m.JWKSURI = json.RawMessage(testJWKS), "https://a.test/jwks" }),
		"jwks empty":            bent(func(m *Metadata) { m.JWKS = json.RawMessage(`{"keys":[]}`) }),
		"jwks no set":           bent(func(m *Metadata) { m.JWKS = json.RawMessage(`{"kty":"EC"}`) }),
		"jwks private": bent(func(m *Metadata) {
			m.JWKS = json.RawMessage(strings.Replace(testJWKS, `"kty"`,
				`"d":"AQ","kty"`, 1))
		}),
		"jwks symmetric beside": bent(func(m *Metadata) {
			m.JWKS = json.RawMessage(strings.Replace(testJWKS, `[`, `[{"kty":"oct","k":"AQ"},`, 1))
		}),
		"id_token alg":                bent(func(m *Metadata) { m.IDTokenSignedResponseAlg = "HS256" }),
		"id_token alg none":           bent(func(m *Metadata) { m.IDTokenSignedResponseAlg = "none" }),
		"userinfo alg":                bent(func(m *Metadata) { m.UserinfoSignedResponseAlg = "none" }),
		"request object alg none":     bent(func(m *Metadata) { m.RequestObjectSigningAlg = "none" }),
		"request object without keys": bent(func(m *Metadata) { m.RequestObjectSigningAlg = "RS256" }),
		"signed request without keys": bent(func(m *Metadata) { m.RequireSignedRequestObject = true }),
		"encryption alg":              bent(func(m *Metadata) { m.IDTokenEncryptedResponseAlg, m.JWKS = "RSA1_5", json.RawMessage(testJWKS) }),
		"encryption alg dir":          bent(func(m *Metadata) { m.RequestObjectEncryptionAlg = "dir" }),
		"encryption without keys":     bent(func(m *Metadata) { m.UserinfoEncryptedResponseAlg = "ECDH-ES" }),
		"enc without alg":             bent(func(m *Metadata) { m.IDTokenEncryptedResponseEnc = "A128GCM" }),
		"enc unknown": bent(func(m *Metadata) {
			m.RequestObjectEncryptionAlg, m.RequestObjectEncryptionEnc = "RSA-OAEP-256", "A192GCM"
		}),
		"max_age":                    bent(func(m *Metadata) { m.DefaultMaxAge = &minus }),
		"acr":                        bent(func(m *Metadata) { m.DefaultACRValues = []string{"a b"} }),
		"acr empty":                  bent(func(m *Metadata) { m.DefaultACRValues = []string{""} }),
		"scope":                      bent(func(m *Metadata) { m.Scope = "admin" }),
		"scope grammar":              bent(func(m *Metadata) { m.Scope = `openid "` }),
		"name long":                  bent(func(m *Metadata) { m.ClientName = strings.Repeat("x", 201) }),
		"name bidi":                  bent(func(m *Metadata) { m.ClientName = "Bank\u202ekna" }),
		"name isolate":               bent(func(m *Metadata) { m.ClientName = "Bank\u2066" }),
		"name invisible":             bent(func(m *Metadata) { m.ClientName = "B\u200bank" }),
		"name joined":                bent(func(m *Metadata) { m.ClientName = "B\u200dank" }),
		"encryption, no fitting key": bent(func(m *Metadata) { m.IDTokenEncryptedResponseAlg, m.JWKS = "RSA-OAEP-256", json.RawMessage(testJWKS) }),
		"name control":               bent(func(m *Metadata) { m.ClientName = "Bank\x00" }),
		"name lines":                 bent(func(m *Metadata) { m.ClientName = "Bank\nof" }),
		"name no UTF-8":              bent(func(m *Metadata) { m.ClientName = "\xff" }),
		"software_id":                bent(func(m *Metadata) { m.SoftwareID = "a\nb" }),
		"contacts":                   bent(func(m *Metadata) { m.Contacts = []string{"a@a.test\r\nBcc: b@b.test"} }),
		"contacts many":              bent(func(m *Metadata) { m.Contacts = long }),
		"request_uris many":          bent(func(m *Metadata) { m.RequestURIs = long }),
		"request_uris urn":           bent(func(m *Metadata) { m.RequestURIs = []string{"urn:ietf:params:oauth:request_uri:x"} }),
		"request_uris http":          bent(func(m *Metadata) { m.RequestURIs = []string{"http://a.test/r"} }),
		"request_uris long": bent(func(m *Metadata) {
			m.RequestURIs = []string{"https://a.test/" +
				strings.Repeat("x", 500)}
		}),
		"pairwise, two hosts": bent(func(m *Metadata) {
			m.SubjectType = "pairwise"
			m.RedirectURIs = append(m.RedirectURIs, "https://b.test/cb")
		}),
		"pairwise, no host": bent(func(m *Metadata) {
			m.SubjectType, m.ApplicationType, m.RedirectURIs = "pairwise", "native", []string{"com.example.app:/cb"}
		}),
		"initiate_login_uri http":     bent(func(m *Metadata) { m.InitiateLoginURI = "http://a.test/login" }),
		"frontchannel elsewhere":      bent(func(m *Metadata) { m.FrontchannelLogoutURI = "https://b.test/out" }),
		"frontchannel other port":     bent(func(m *Metadata) { m.FrontchannelLogoutURI = "https://a.test:8443/out" }),
		"frontchannel session alone":  bent(func(m *Metadata) { m.FrontchannelLogoutSessionRequired = true }),
		"backchannel session alone":   bent(func(m *Metadata) { m.BackchannelLogoutSessionRequired = true }),
		"backchannel fragment":        bent(func(m *Metadata) { m.BackchannelLogoutURI = "https://a.test/out#x" }),
		"post_logout wildcard":        bent(func(m *Metadata) { m.PostLogoutRedirectURIs = []string{"https://a.test/*"} }),
		"post_logout state":           bent(func(m *Metadata) { m.PostLogoutRedirectURIs = []string{"https://a.test/?state=1"} }),
		"post_logout javascript":      bent(func(m *Metadata) { m.PostLogoutRedirectURIs = []string{"javascript:alert(1)"} }),
		"require signed and alg none": bent(func(m *Metadata) { m.RequireSignedRequestObject, m.RequestObjectSigningAlg = true, "none" }),
	} {
		if _, err := Validate(m, dynamic); codeOf(t, err) != oauth.InvalidClientMetadata {
			t.Errorf("%s: %v", name, err)
		}
	}
	publicService := bent(func(m *Metadata) {
		m.TokenEndpointAuthMethod, m.GrantTypes = "none", []string{"authorization_code", "client_credentials"}
	})
	if _, err := Validate(publicService, Policy{GrantTypes: known}); codeOf(t, err) != oauth.InvalidClientMetadata {
		t.Errorf("public client_credentials: %v", err)
	}
	if m, err := Validate(publicService, dynamic); err != nil || len(m.GrantTypes) != 1 {
		t.Errorf("RFC 7591 §3.2.1 what a self-registered client may not have is left out: %v %v", m.GrantTypes, err)
	}
	// Links and endpoints, every member.
	for _, bad := range []string{"javascript:alert(1)", "data:text/html,x", `https://a.test/x"onload="`,
		"ftp://a.test/", "a.test", "https://", "https://u@a.test/", "//a.test/x",
		"file:///etc/passwd", "gopher://127.0.0.1:11211/", "https://a.test/\r\nx"} {
		for member, set := range map[string]func(*Metadata){
			"client_uri": func(m *Metadata) { m.ClientURI = bad }, "logo_uri": func(m *Metadata) { m.LogoURI = bad },
			"policy_uri": func(m *Metadata) { m.PolicyURI = bad }, "tos_uri": func(m *Metadata) { m.TOSURI = bad },
			"jwks_uri":                func(m *Metadata) { m.JWKSURI = bad },
			"sector_identifier_uri":   func(m *Metadata) { m.SectorIdentifierURI = bad },
			"initiate_login_uri":      func(m *Metadata) { m.InitiateLoginURI = bad },
			"backchannel_logout_uri":  func(m *Metadata) { m.BackchannelLogoutURI = bad },
			"frontchannel_logout_uri": func(m *Metadata) { m.FrontchannelLogoutURI = bad },
			"request_uris":            func(m *Metadata) { m.RequestURIs = []string{bad} },
		} {
			if _, err := Validate(bent(set), Policy{GrantTypes: known}); codeOf(t, err) != oauth.InvalidClientMetadata {
				t.Errorf("%s %q: %v", member, bad, err)
			}
		}
	}
}

func TestMetadataThatIsAccepted(t *testing.T) {
	t.Parallel()
	zero := int64(0)
	allowNone := dynamic
	allowNone.AllowNone = true
	for name, c := range map[string]struct {
		m   Metadata
		pol Policy
	}{
		"terms on another host": {bent(func(m *Metadata) {
			m.TOSURI, m.PolicyURI, m.LogoURI = "https://terms.example/x", "http://p.example", "https://l.example/l.png"
		}), dynamic},
		"request_uris with fragment": {bent(func(m *Metadata) { m.RequestURIs = []string{"https://a.test/r#hash"} }),
			dynamic},
		"pairwise at one host": {bent(func(m *Metadata) {
			m.SubjectType = "pairwise"
			m.RedirectURIs = append(m.RedirectURIs, "https://A.test:8443/cb2")
		}), dynamic},
		"pairwise with a sector": {bent(func(m *Metadata) {
			m.SubjectType, m.SectorIdentifierURI = "pairwise", "https://sector.example/list"
			m.RedirectURIs = append(m.RedirectURIs, "https://b.test/cb")
		}), dynamic},
		"unsigned ID token": {bent(func(m *Metadata) { m.IDTokenSignedResponseAlg = "none" }), allowNone},
		"unsigned ID token beside an access token from the authorization endpoint": {bent(func(m *Metadata) {
			m.IDTokenSignedResponseAlg, m.ResponseTypes, m.GrantTypes = "none", []string{"code token"},
				[]string{"authorization_code", "implicit"}
		}), allowNone},
		"unsigned request object": {bent(func(m *Metadata) { m.RequestObjectSigningAlg = "none" }), allowNone},
		"max_age 0":               {bent(func(m *Metadata) { m.DefaultMaxAge = &zero }), dynamic},
		"name with joiners":       {bent(func(m *Metadata) { m.ClientName = "👩\u200d💻 Bücher" }), dynamic},
		"logout": {bent(func(m *Metadata) {
			m.PostLogoutRedirectURIs, m.BackchannelLogoutURI, m.FrontchannelLogoutURI = []string{"https://a.test/bye?x=1"}, "https://a.test/bc", "https://A.test:443/fc"
			m.BackchannelLogoutSessionRequired, m.FrontchannelLogoutSessionRequired = true, true
		}), dynamic},
		"private_key_jwt":   {bent(func(m *Metadata) { m.TokenEndpointAuthMethod, m.JWKSURI = "private_key_jwt", "https://a.test/jwks" }), dynamic},
		"client_secret_jwt": {bent(func(m *Metadata) { m.TokenEndpointAuthMethod, m.TokenEndpointAuthAlg = "client_secret_jwt", "HS512" }), dynamic},
		"scopes of an admin": {bent(func(m *Metadata) { m.Scope = "openid api:read" }),
			Policy{GrantTypes: known}},
		"endpoints on loopback": {bent(func(m *Metadata) { m.JWKSURI = "http://app.localhost:4000/jwks" }),
			Policy{GrantTypes: known}},
		"encrypted request objects": {bent(func(m *Metadata) { m.RequestObjectEncryptionAlg = "RSA-OAEP-256" }),
			dynamic},
	} {
		got, err := Validate(c.m, c.pol)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if again, err := Validate(got, c.pol); err != nil || !reflect.DeepEqual(again, got) {
			t.Errorf("%s, a second time: %+v %v", name, again, err)
		}
	}
	// An unsigned ID token must not come through the browser, whatever is allowed.
	m := bent(func(m *Metadata) { m.IDTokenSignedResponseAlg, m.ResponseTypes = "none", []string{"id_token"} })
	if _, err := Validate(m, allowNone); codeOf(t, err) != oauth.InvalidClientMetadata {
		t.Errorf("alg none with response_type id_token: %v", err)
	}
	// Tokens in the front channel must not travel over http.
	m = bent(func(m *Metadata) {
		m.RedirectURIs, m.ResponseTypes = []string{"http://localhost:3000/cb"}, []string{"id_token token"}
	})
	if _, err := Validate(m, Policy{GrantTypes: known}); codeOf(t, err) != oauth.InvalidRedirectURI {
		t.Errorf("implicit over http: %v", err)
	}
}
