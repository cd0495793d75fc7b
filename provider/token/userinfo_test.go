package token_test

import (
	"context"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"latchkey/provider/clients"
	"latchkey/provider/oauth"
	"latchkey/provider/providertest"
)

func TestUserinfoTakesTheTokenInExactlyOneWay(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	alice, a := w.AddUser("alice"), w.AddClient("web-a")
	at := w.Tokens(a, alice, "openid profile").Str("access_token")
	form := url.Values{"access_token": {at}}.Encode()
	const formType = "application/x-www-form-urlencoded"
	for _, c := range []struct {
		name, method, query, contentType, body string
		authorization                          []string
		status                                 int
		challenge                              string
	}{
		{name: "GET", method: "GET", authorization: []string{"Bearer " + at}, status: 200},
		{name: "POST header", method: "POST", authorization: []string{"Bearer " + at}, status: 200},
		{name: "POST header, empty form", method: "POST", authorization: []string{"Bearer " + at},
			contentType: formType, status: 200},
		{name: "POST body", method: "POST", contentType: formType, body: form, status: 200},
		{name: "scheme in lower case", method: "GET", authorization: []string{"bearer " + at}, status: 200},
		{name: "scheme in upper case", method: "GET", authorization: []string{"BEARER " + at}, status: 200},
		{name: "query", method: "GET", query: "?" + form, status: 400, challenge: "invalid_request"},
		{name: "query and header", method: "GET", query: "?" + form, authorization: []string{"Bearer " + at},
			status: 400, challenge: "invalid_request"},
		{name: "query by POST", method: "POST", query: "?" + form, contentType: formType, status: 400,
			challenge: "invalid_request"},
		{name: "header and body", method: "POST", authorization: []string{"Bearer " + at}, contentType: formType,
			body: form, status: 400, challenge: "invalid_request"},
		{name: "body twice", method: "POST", contentType: formType, body: form + "&" + form, status: 400,
			challenge: "invalid_request"},
		{name: "two headers", method: "GET", authorization: []string{"Bearer " + at, "Bearer " + at}, status: 400,
			challenge: "invalid_request"},
		{name: "no token in the header", method: "GET", authorization: []string{"Bearer "}, status: 400,
			challenge: "invalid_request"},
		{name: "a body of a GET", method: "GET", contentType: formType, body: form, status: 401, challenge: "none"},
		{name: "JSON", method: "POST", contentType: "application/json", body: `{"access_token":"` + at + `"}`,
			status: 401, challenge: "none"},
		{name: "nothing", method: "GET", status: 401, challenge: "none"},
		{name: "Basic", method: "GET", authorization: []string{providertest.Basic("web-a:" + providertest.TestSecret)},
			status: 401, challenge: "none"},
		{name: "DPoP", method: "GET", authorization: []string{"DPoP " + at}, status: 401, challenge: "DPoP"},
		{name: "garbage", method: "GET", authorization: []string{"Bearer x"}, status: 401, challenge: "invalid_token"},
		{name: "two spaces", method: "GET", authorization: []string{"Bearer  " + at}, status: 401,
			challenge: "invalid_token"},
		{name: "PUT", method: "PUT", authorization: []string{"Bearer " + at}, status: 405},
	} {
		r, err := http.NewRequest(c.method, w.Issuer+"/userinfo"+c.query, strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		if c.contentType != "" {
			r.Header.Set("Content-Type", c.contentType)
		}
		for _, a := range c.authorization {
			r.Header.Add("Authorization", a)
		}
		got := w.Send(r)
		if got.StatusCode != c.status || c.status == 200 && got.JSON["sub"] != alice.ID || c.status != 200 &&
			got.JSON["sub"] != nil {
			t.Errorf("%s: %d %v", c.name, got.StatusCode, got.JSON)
		}
		if c.status != 405 && got.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %v", c.name, got.Header)
		}
		switch said := got.Header.Get("WWW-Authenticate"); c.challenge {
		case "":
			if said != "" && c.status == 200 {
				t.Errorf("%s: %q", c.name, said)
			}
		case "DPoP": // RFC 9449 §7.1: the scheme that was tried
			if !strings.HasPrefix(said, `DPoP realm="latchkey", algs="`) || !strings.Contains(said, `error="invalid_token"`) {
				t.Errorf("%s: %q", c.name, said)
			}
		case "none": // RFC 6750 §3.1: no error for a request that lacks any authentication information
			if said != `Bearer realm="latchkey"` {
				t.Errorf("%s: %q", c.name, said)
			}
		default:
			if !strings.HasPrefix(said, `Bearer realm="latchkey", error="`+c.challenge+`", error_description="`) {
				t.Errorf("%s: %q", c.name, said)
			}
		}
	}
	if strings.Contains(w.Log.String(), at) {
		t.Error("the token is in the log")
	}
}

func TestOnlyAnAccessTokenOpensUserinfo(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	alice, a := w.AddUser("alice"), w.AddClient("web-a")
	code, _ := w.Authorized(a, alice, providertest.Offline)
	got := w.Tokens(a, alice, providertest.Offline)
	at := got.Str("access_token")
	providertest.MustWork(t, w.Whois(at))
	logout, err := w.Keys.Sign(t.Context(), "RS256", "logout+jwt", map[string]any{"iss": w.Issuer, "sub": alice.ID,
		"aud": "web-a", "jti": "x", "exp": w.Web.Now().Unix() + 60})
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(at, ".")
	claims := providertest.ClaimsOf(t, at)
	minted := func(typ string, change map[string]any) string {
		forged := maps.Clone(claims)
		maps.Copy(forged, change)
		jws, err := w.Keys.Sign(t.Context(), "RS256", typ, forged)
		if err != nil {
			t.Fatal(err)
		}
		return jws
	}
	providertest.MustWork(t, w.Whois(minted("at+jwt", nil)))
	for name, token := range map[string]string{
		"an ID token": got.Str("id_token"), "a refresh token": got.Str("refresh_token"), "a code": code,
		"a logout token": logout,
		"signed by a stranger": providertest.SignJWT(t, jose.RS256, providertest.RsaKey(), claims,
			map[jose.HeaderKey]any{"typ": "at+jwt"}),
		"another's key id": providertest.SignJWT(t, jose.RS256, providertest.RsaKey(), claims,
			map[jose.HeaderKey]any{"typ": "at+jwt", "kid": w.Published().Keys[0].KeyID}),
		"no signature":           parts[0] + "." + parts[1] + ".",
		"changed signature":      at[:len(at)-2] + "AA",
		"alg none":               "eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0." + parts[1] + ".",
		"without typ":            minted("", nil),
		"typ JWT":                minted("JWT", nil),
		"of another issuer":      minted("at+jwt", map[string]any{"iss": "https://evil.test"}),
		"without jti":            minted("at+jwt", map[string]any{"jti": ""}),
		"expired":                minted("at+jwt", map[string]any{"exp": w.Web.Now().Unix()}),
		"of an unknown client":   minted("at+jwt", map[string]any{"client_id": "nobody"}),
		"of another client":      minted("at+jwt", map[string]any{"client_id": w.AddClient("web-b").ID}),
		"of an unknown grant":    minted("at+jwt", map[string]any{"gid": "nothing"}),
		"with a number for exp?": minted("at+jwt", map[string]any{"exp": "soon"}),
		"padded":                 at + "=",
		"dots":                   strings.Repeat(".", 5000),
	} {
		got := w.Whois(token)
		if got.StatusCode != http.StatusUnauthorized || got.Str("error") != "invalid_token" || got.JSON["sub"] != nil {
			t.Errorf("%s: %d %v", name, got.StatusCode, got.JSON)
		}
	}
	t.Run("RFC 6750 §3.1 without scope openid it is 403", func(t *testing.T) {
		for _, scope := range []string{"profile", "openidx profile"} {
			c := w.AddClient("c-"+strings.Fields(scope)[0],
				func(c *clients.Client) { c.Scope = "openidx profile email" })
			got := w.Whois(w.Tokens(c, alice, scope).Str("access_token"))
			providertest.MustRefuse(t, got, http.StatusForbidden, oauth.InsufficientScope)
			if !strings.Contains(got.Header.Get("WWW-Authenticate"), `error="insufficient_scope"`) {
				t.Errorf("%v", got.Header)
			}
		}
	})
}

func TestUserinfoIsOfNow(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	ctx := context.Background()
	alice, a := w.AddUser("alice"), w.AddClient("web-a")
	at := w.Tokens(a, alice, "openid profile").Str("access_token")
	alice.Version, alice.Claims.Name = 1, "New Name"
	if err := w.Store.UpdateUser(ctx, alice); err != nil {
		t.Fatal(err)
	}
	if got := w.Whois(at); got.JSON["name"] != "New Name" {
		t.Errorf("%v", got.JSON)
	}
	alice.Version, alice.Disabled = 2, true
	if err := w.Store.UpdateUser(ctx, alice); err != nil {
		t.Fatal(err)
	}
	providertest.MustRefuse(t, w.Whois(at), http.StatusUnauthorized, oauth.InvalidToken)
	alice.Version, alice.Disabled = 3, false
	if err := w.Store.UpdateUser(ctx, alice); err != nil {
		t.Fatal(err)
	}
	providertest.MustWork(t, w.Whois(at))
	a.Version, a.AllowedGroups = 1, []string{"staff"}
	if err := w.Store.UpdateClient(ctx, a); err != nil {
		t.Fatal(err)
	}
	providertest.MustRefuse(t, w.Whois(at), http.StatusUnauthorized, oauth.InvalidToken)
}

func TestSignedUserinfo(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	alice := w.AddUser("alice")
	for _, alg := range []string{"RS256", "ES256", "PS256", "EdDSA"} {
		c := w.AddClient("signed-"+alg, func(c *clients.Client) { c.UserinfoSignedResponseAlg = alg })
		r, err := http.NewRequest("GET", w.Issuer+"/userinfo", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+w.Tokens(c, alice, "openid profile").Str("access_token"))
		p := w.Browser().Do(r)
		if p.StatusCode != http.StatusOK || p.Header.Get("Content-Type") != "application/jwt" {
			t.Fatalf("%d %v", p.StatusCode, p.Header)
		}
		_, claims := w.Verified(p.Body, alg)
		if claims["iss"] != w.Issuer || claims["aud"] != c.ID || claims["sub"] != alice.ID ||
			claims["name"] != "Alice Example" || claims["nonce"] != nil {
			t.Errorf("OIDC Core §5.3.2: %v", claims)
		}
		providertest.MustRefuse(t, w.Whois(p.Body), http.StatusUnauthorized, oauth.InvalidToken)
	}
}

func TestUserinfoAndAFaultOfTheStore(t *testing.T) {
	t.Parallel()
	var f *providertest.Faults
	w := providertest.New(t, providertest.WithFaults(&f))
	alice, a := w.AddUser("alice"), w.AddClient("web-a")
	at := w.Tokens(a, alice, "openid").Str("access_token")
	opaque := w.Tokens(w.AddClient("opaque", func(c *clients.Client) { c.OpaqueAccessTokens = true }), alice,
		"openid").Str("access_token")
	for token, methods := range map[string][]string{at: {"Spent", "Client", "Grant", "Session", "User"},
		opaque: {"Token", "Client", "Grant", "Session", "User"}} {
		for _, method := range methods {
			f.Set(true, method)
			got := w.Whois(token)
			providertest.MustRefuse(t, got, http.StatusServiceUnavailable, oauth.TemporarilyUnavailable)
			if got.Header.Get("WWW-Authenticate") != "" {
				t.Errorf("%s: the token is not to blame: %v", method, got.Header)
			}
			f.Set(false, method)
		}
		providertest.MustWork(t, w.Whois(token))
	}
}
