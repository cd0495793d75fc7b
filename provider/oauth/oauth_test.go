package oauth

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestVerifyPKCE(t *testing.T) {
	t.Parallel()
	const (
		verifier  = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk" // RFC 7636 Appendix B
		challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
	)
	for _, c := range []struct {
		name, challenge, verifier string
		ok                        bool
	}{
		{"RFC 7636 Appendix B the example verifies", challenge, verifier, true},
		{"no verifier is needed without a challenge", "", "", true},
		{"a missing verifier is refused when a challenge was sent", challenge, "", false},
		{"a verifier without a challenge is refused", "", verifier, false},
		{"a wrong verifier is refused", challenge, strings.Replace(verifier, "d", "e", 1), false},
		{"the challenge as its own verifier is refused", challenge, challenge, false},
		{"a verifier of 42 characters is refused", challenge, verifier[:42], false},
		{"a verifier of 129 characters is refused", challenge, strings.Repeat("a", 129), false},
		{"a verifier with a character outside unreserved is refused", challenge, verifier[:42] + "%", false},
		{"a verifier with NUL is refused", challenge, verifier[:42] + "\x00", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := VerifyPKCE(c.challenge, c.verifier)
			if (err == nil) != c.ok {
				t.Fatalf("got %v", err)
			}
			if err != nil && AsError(err).Code != InvalidGrant {
				t.Fatalf("code is %s", AsError(err).Code)
			}
		})
	}
}

func TestCheckChallenge(t *testing.T) {
	t.Parallel()
	const challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
	for _, c := range []struct {
		name, challenge, method string
		ok                      bool
	}{
		{"S256 is accepted", challenge, "S256", true},
		{"no challenge needs no method", "", "", true},
		{"plain is refused", challenge, "plain", false},
		{"an absent method means plain and is refused", challenge, "", false},
		{"a method without a challenge is refused", "", "S256", false},
		{"a method in lower case is refused", challenge, "s256", false},
		{"a method with a trailing blank is refused", challenge, "S256 ", false},
		{"a challenge of 42 characters is refused", challenge[:42], "S256", false},
		{"a challenge of 44 characters is refused", challenge + "A", "S256", false},
		{"a challenge with padding is refused", challenge + "=", "S256", false},
		{"a challenge in the standard base64 alphabet is refused", "+" + challenge[1:], "S256", false},
		{"a challenge with unused bits set is refused", challenge[:42] + "N", "S256", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := CheckChallenge(c.challenge, c.method); (err == nil) != c.ok {
				t.Fatalf("got %v", err)
			}
		})
	}
}

func TestParseResponseType(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"code": "code", "id_token": "id_token", "id_token token": "id_token token", "token id_token": "id_token token",
		"code id_token": "code id_token", "id_token code": "code id_token",
		"token code id_token": "code id_token token", "none": "none",
		"": "", "token": "", "CODE": "", "code code": "", "none code": "", "foo": "", " code": "", "code  token": "",
	} {
		rt, err := ParseResponseType(in)
		if (err == nil) != (want != "") || rt.String() != want {
			t.Errorf("%q: %q, %v", in, rt.String(), err)
		}
	}
	for _, rt := range ResponseTypes {
		if got, err := ParseResponseType(rt); err != nil || got.String() != rt {
			t.Errorf("%q is published, but parses as %q, %v", rt, got, err)
		}
	}
}

func TestParseScope(t *testing.T) {
	t.Parallel()
	got, err := ParseScope("openid  profile openid")
	if err != nil || !slices.Equal(got, []string{"openid", "profile"}) {
		t.Errorf("got %q, %v", got, err)
	}
	for _, bad := range []string{"open\"id", "a\\b", "a\tb", "a\nb", "caf\u00e9", "a\u00a0b", strings.Repeat("a", 5000),
		strings.Repeat("a ", 1) + manyScopes(101)} {
		if _, err := ParseScope(bad); err == nil || AsError(err).Code != InvalidScope {
			t.Errorf("%.20q: %v", bad, err)
		}
	}
}

func manyScopes(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(" s")
		b.WriteByte(byte('a' + i%26))
		b.WriteByte(byte('a' + i/26))
	}
	return b.String()
}

func TestParseBody(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, contentType, body string
		status                  int
	}{
		{"a form is read", "application/x-www-form-urlencoded", "a=1&b=2", 0},
		{"a form with charset UTF-8 is read", "application/x-www-form-urlencoded; charset=UTF-8", "a=1", 0},
		{"a form in another charset is refused", "application/x-www-form-urlencoded; charset=utf-16", "a=1", 400},
		{"a JSON body is refused", "application/json", `{"a":1}`, 400},
		{"a multipart body is refused", "multipart/form-data; boundary=x", "--x--", 400},
		{"a body without a type is refused", "", "a=1", 400},
		{"RFC 6749 §3.2 a repeated parameter is refused", "application/x-www-form-urlencoded", "a=1&a=1", 400},
		{"a broken escape is refused", "application/x-www-form-urlencoded", "a=%zz", 400},
		{"a semicolon as separator is refused", "application/x-www-form-urlencoded", "a=1;b=2", 400},
		{"overlong UTF-8 is refused", "application/x-www-form-urlencoded", "a=%C0%AF", 400},
		{"NUL is refused", "application/x-www-form-urlencoded", "a=%00", 400},
		{"a body that is too large is refused", "application/x-www-form-urlencoded", "a=" +
			strings.Repeat("x", MaxBody), 413},
		{"a body with too many parameters is refused", "application/x-www-form-urlencoded", manyPairs(65), 400},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := httptest.NewRequest("POST", "/token?a=fromtheurl", strings.NewReader(c.body))
			r.Header.Set("Content-Type", c.contentType)
			p, err := ParseBody(r)
			if c.status == 0 {
				if err != nil || p.Get("a") != "1" {
					t.Fatalf("%v, a=%q", err, p.Get("a"))
				}
				return
			}
			if err == nil || AsError(err).HTTPStatus() != c.status {
				t.Fatalf("got %v", err)
			}
		})
	}
}

func manyPairs(n int) string {
	v := url.Values{}
	for i := range n {
		v.Set(strings.Repeat("p", i+1), "1")
	}
	return v.Encode()
}

func TestParametersWithoutAValueCountAsAbsent(t *testing.T) {
	t.Parallel()
	p, err := ParseQuery("state=&resource=a&resource=b&resource=")
	if err != nil || p.Has("state") || !slices.Equal(p.Resource, []string{"a", "b"}) {
		t.Fatalf("%v %v %v", err, p, p.Resource)
	}
}

func TestParseAuthorization(t *testing.T) {
	t.Parallel()
	parse := func(q string) (AuthorizationRequest, error) {
		p, err := ParseQuery(q)
		if err != nil {
			t.Fatal(err)
		}
		return ParseAuthorization(p)
	}
	good, err := parse("response_type=code&scope=openid+email&state=S&nonce=N&prompt=login+consent&max_age=10&ui_locales=se+de&acr_values=a+b&claims=%7B%22userinfo%22%3A%7B%22name%22%3A%7B%22essential%22%3Atrue%7D%2C%22x%22%3Anull%7D%7D&extra=foobar")
	if err != nil {
		t.Fatal(err)
	}
	ten := int64(10)
	want := AuthorizationRequest{
		ResponseType: "code", ResponseMode: "query", Scope: []string{"openid", "email"}, State: "S", Nonce: "N",
		Prompt: []string{"login", "consent"}, MaxAge: &ten, UILocales: []string{"se", "de"},
		ACRValues: []string{"a", "b"},
		Claims:    ClaimsRequest{Userinfo: map[string]ClaimRequest{"name": {Essential: true}, "x": {}}},
	}
	if !reflect.DeepEqual(good, want) {
		t.Errorf("got  %+v\nwant %+v", good, want)
	}
	for _, c := range []struct {
		query string
		code  Code
		mode  string
	}{
		{"scope=openid", InvalidRequest, "query"},
		{"scope=openid&response_mode=form_post", InvalidRequest, "form_post"},
		{"response_type=foo&scope=openid", UnsupportedResponseType, "query"},
		{"response_type=id_token&scope=openid", InvalidRequest, "fragment"},
		{"response_type=id_token&scope=email&nonce=N", InvalidScope, "fragment"},
		{"response_type=id_token+token&scope=openid&nonce=N&response_mode=query", InvalidRequest, "fragment"},
		{"response_type=code&scope=openid&response_mode=web_message", InvalidRequest, "query"},
		{"response_type=code&scope=openid&prompt=none+login", InvalidRequest, "query"},
		{"response_type=code&scope=openid&prompt=nothing", InvalidRequest, "query"},
		{"response_type=code&scope=openid&max_age=-1", InvalidRequest, "query"},
		{"response_type=code&scope=openid&max_age=abc", InvalidRequest, "query"},
		{"response_type=code&scope=openid&max_age=99999999999999", InvalidRequest, "query"},
		{"response_type=code&scope=openid&claims=%5B", InvalidRequest, "query"},
		{"response_type=code&scope=openid&claims=null", InvalidRequest, "query"},
		{"response_type=code&scope=openid&claims=" + url.QueryEscape(strings.Repeat(`{"userinfo":`, 5000)),
			InvalidRequest, "query"},
		{"response_type=code&scope=openid&code_challenge=abc&code_challenge_method=plain", InvalidRequest, "query"},
		{"response_type=code&scope=openid&state=" + strings.Repeat("s", 4097), InvalidRequest, ""},
	} {
		req, err := parse(c.query)
		if err == nil || AsError(err).Code != c.code || req.ResponseMode != c.mode {
			t.Errorf("%.80s: mode %q, %v", c.query, req.ResponseMode, err)
		}
	}
}

func TestErrorDescriptionsKeepToTheirGrammar(t *testing.T) {
	t.Parallel()
	e := Errorf(InvalidRequest, "say \"%s\" \\ \r\n caf\u00e9", strings.Repeat("x", 1000))
	for _, r := range e.Description {
		if r < 0x20 || r > 0x7e || r == '"' || r == '\\' {
			t.Fatalf("%q in the description (RFC 6749 §5.2)", r)
		}
	}
	if len(e.Description) > 400 {
		t.Errorf("%d characters", len(e.Description))
	}
	cause := errors.New("secret detail")
	if !errors.Is(e.Because(cause), cause) || strings.Contains(e.Description, "secret") {
		t.Error("the cause is for the log alone")
	}
	if AsError(cause).Code != ServerError || AsError(cause).HTTPStatus() != http.StatusInternalServerError {
		t.Error("an error that is not the wire's is server_error")
	}
}

func FuzzParseAuthorization(f *testing.F) {
	f.Add("response_type=code&scope=openid&claims=%7B%22id_token%22%3A%7B%22acr%22%3A%7B%22values%22%3A%5B%22a%22%5D%7D%7D%7D")
	f.Add("response_type=code+id_token&nonce=x&scope=openid&max_age=0&prompt=none&resource=a&resource=b")
	f.Fuzz(func(t *testing.T, query string) {
		p, err := ParseQuery(query)
		if err != nil {
			return
		}
		req, err := ParseAuthorization(p)
		if req.ResponseMode == "" {
			t.Fatal("an answer, or an error, needs a response_mode")
		}
		if err != nil {
			return
		}
		// What parses, writes back and parses the same.
		again, err := ParseQuery(p.Values().Encode())
		if err != nil {
			t.Fatal(err)
		}
		req2, err := ParseAuthorization(again)
		if err != nil || !reflect.DeepEqual(req, req2) {
			t.Fatalf("%+v\n%+v\n%v", req, req2, err)
		}
	})
}
