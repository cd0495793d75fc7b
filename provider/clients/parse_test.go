package clients

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"latchkey/provider/oauth"
)

func TestMetadataHasTheTypesOfTheStandard(t *testing.T) {
	t.Parallel()
	for _, body := range []string{
		``, `null`, `[]`, `""`, `0`, `true`, `{`, `{}x`, `[{"redirect_uris":[]}]`, "\xff", `{"client_name":"\ud800"`,
		`{"a":1}{"b":2}`,
		`{"redirect_uris":"https://a.test/cb"}`, `{"redirect_uris":{"0":"https://a.test/cb"}}`, `{"redirect_uris":[1]}`,
		`{"redirect_uris":[null]}`, `{"redirect_uris":[["https://a.test/cb"]]}`,
		`{"client_name":1}`, `{"client_name":["x"]}`, `{"client_name":{}}`, `{"client_name":true}`,
		`{"grant_types":"authorization_code"}`, `{"response_types":"code"}`,
		`{"jwks":"{}"}`, `{"jwks":[]}`, `{"jwks":1}`, `{"default_max_age":"60"}`, `{"default_max_age":1.5}`,
		`{"default_max_age":1e400}`, `{"require_auth_time":"true"}`, `{"require_auth_time":1}`,
		`{"contacts":"a@a.test"}`, `{"scope":["openid"]}`, `{"request_uris":[{}]}`,
		`{"post_logout_redirect_uris":"https://a.test"}`, `{"backchannel_logout_session_required":"yes"}`,
		`{"redirect_uris":["https://a.test/cb"],"redirect_uris":["https://evil.test/cb"]}`,
		`{"redirect_uris":["https://a.test/cb"],"Redirect_URIs":["https://evil.test/cb"]}`,
		strings.Repeat(`{"a":`, 10_000) + `1` + strings.Repeat(`}`, 10_000), `{"x":` + strings.Repeat(`[`, 10_000) +
			strings.Repeat(`]`, 10_000) + `}`,
	} {
		_, _, err := ParseMetadata([]byte(body))
		var e *oauth.Error
		if !errors.As(err, &e) || e.Code != oauth.InvalidClientMetadata {
			t.Errorf("%.80q: %v", body, err)
		}
	}
}

func TestUnknownMembersMeanNothing(t *testing.T) {
	t.Parallel()
	m, rest, err := ParseMetadata([]byte(`{"redirect_uris":["https://a.test/cb"],"client_name":"A","client_name#de":"Ä","logo_uri":null,"contacts":null,
		"skip_consent":true,"client_id":"mine","type":"service","Policy_URI":"https://evil.test","Metadata":{"client_name":"C"}}`))
	if err != nil {
		t.Fatal(err)
	}
	if want := (Metadata{RedirectURIs: []string{"https://a.test/cb"}, ClientName: "A"}); !reflect.DeepEqual(m, want) {
		t.Errorf("got %+v", m)
	}
	if len(rest) != 6 || string(rest["client_id"]) != `"mine"` {
		t.Errorf("the rest: %v", rest)
	}
}

// Whatever is accepted is accepted again as it was written back, and means the same; and no
// accepted redirect URI has anything in it that two readers could read differently.
func FuzzMetadata(f *testing.F) {
	for _, s := range []string{
		`{"redirect_uris":["https://a.test/cb"]}`,
		`{"redirect_uris":["com.example.app:/cb"],"application_type":"native","token_endpoint_auth_method":"none"}`,
		`{"redirect_uris":["https://a.test/cb"],"response_types":["code id_token"],"grant_types":["authorization_code","implicit"]}`,
		`{"redirect_uris":["https://a.test/cb"],"jwks":` + testJWKS +
			`,"token_endpoint_auth_method":"private_key_jwt"}`,
		`{"redirect_uris":["https://a.test/cb"],"subject_type":"pairwise","default_max_age":3600,"client_name":" x "}`,
		`{"redirect_uris":[null]}`, `[]`,
	} {
		f.Add([]byte(s), true)
		f.Add([]byte(s), false)
	}
	f.Fuzz(func(t *testing.T, body []byte, isDynamic bool) {
		pol := Policy{GrantTypes: known, Dynamic: isDynamic, KnownScopes: oauth.Scopes}
		m, _, err := ParseMetadata(body)
		if err != nil {
			return
		}
		if m, err = Validate(m, pol); err != nil {
			var e *oauth.Error
			if !errors.As(err, &e) || e.Code != oauth.InvalidClientMetadata && e.Code != oauth.InvalidRedirectURI ||
				e.Description == "" {
				t.Fatalf("no refusal in the standard's words: %v", err)
			}
			return
		}
		written, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		again, _, err := ParseMetadata(written)
		if err == nil {
			again, err = Validate(again, pol)
		}
		if err != nil || !reflect.DeepEqual(again, m) {
			t.Fatalf("%s\nagain: %+v\nfirst: %+v\n%v", written, again, m, err)
		}
		for _, uri := range append(m.RedirectURIs, m.PostLogoutRedirectURIs...) {
			if strings.ContainsAny(uri, "#*\\<>\" \t\r\n") || strings.Contains(authority(uri), "@") {
				t.Fatalf("accepted %q", uri)
			}
			scheme, _, _ := strings.Cut(uri, ":")
			if isDynamic && scheme != "https" && scheme != "http" && !strings.Contains(scheme, ".") {
				t.Fatalf("accepted %q", uri)
			}
		}
	})
}
