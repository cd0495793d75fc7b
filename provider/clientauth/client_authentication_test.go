package clientauth_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey/provider"
	"latchkey/provider/clientauth"
	"latchkey/provider/clients"
	"latchkey/provider/oauth"
	"latchkey/provider/people"
	"latchkey/provider/providertest"
)

func TestExactlyOneClientAuthentication(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	w.AddClient("svc", providertest.Service)
	w.AddClient("other", providertest.Service)
	cc := url.Values{"grant_type": {"client_credentials"}}
	good := providertest.Basic("svc:" + providertest.TestSecret)
	providertest.MustWork(t, w.Try("/token", cc, good))
	providertest.MustWork(t, w.Try("/token", providertest.With(cc, "client_id", "svc"), good))
	// a parameter without a value was not sent (RFC 6749 §3.1)
	providertest.MustWork(t, w.Try("/token", providertest.With(cc, "client_secret", ""), good))

	for name, got := range map[string]providertest.AnswerJSON{
		"header and client_secret": w.Try("/token", providertest.With(cc, "client_secret", providertest.TestSecret),
			good),
		"header and client_assertion": w.Try("/token", providertest.With(cc, "client_assertion", "x"), good),
		"header and the type alone": w.Try("/token", providertest.With(cc, "client_assertion_type",
			oauth.ClientAssertionTypeJWT), good),
		"secret and client_assertion": w.Try("/token", providertest.With(cc, "client_id", "svc", "client_secret",
			providertest.TestSecret, "client_assertion", "x")),
		"two headers":               w.Try("/token", cc, good, good),
		"two different headers":     w.Try("/token", cc, good, providertest.Basic("other:"+providertest.TestSecret)),
		"header and another client": w.Try("/token", providertest.With(cc, "client_id", "other"), good),
		"an unknown assertion type": w.Try("/token", providertest.With(cc, "client_id", "svc", "client_assertion",
			"x", "client_assertion_type", "x")),
		"a type without an assertion": w.Try("/token", providertest.With(cc, "client_id", "svc",
			"client_assertion_type", oauth.ClientAssertionTypeJWT)),
	} {
		if got.StatusCode != http.StatusBadRequest || got.Str("error") != "invalid_request" {
			t.Errorf("RFC 6749 §2.3 %s: %d %v", name, got.StatusCode, got.JSON)
		}
	}
}

func TestOnlyTheRegisteredMethodAuthenticates(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	form := url.Values{"grant_type": {"authorization_code"}, "code": {"x"}, "redirect_uri": {"https://x.example/cb"}}
	post := func(c *clients.Client) { c.TokenEndpointAuthMethod = oauth.AuthClientSecretPost }
	// the hash of an older secret is still there
	jwt := func(c *clients.Client) { c.TokenEndpointAuthMethod = oauth.AuthPrivateKeyJWT }
	unsaid := func(c *clients.Client) { c.TokenEndpointAuthMethod = "" }
	for _, c := range []clients.Client{w.AddClient("basic"), w.AddClient("unsaid", unsaid), w.AddClient("post", post),
		w.AddClient("jwt", jwt), w.AddClient("spa", providertest.Public)} {
		ways := map[string]providertest.AnswerJSON{
			oauth.AuthClientSecretBasic: w.Try("/token", form, providertest.Basic(c.ID+":"+providertest.TestSecret)),
			oauth.AuthClientSecretPost: w.Try("/token", providertest.With(form, "client_id", c.ID, "client_secret",
				providertest.TestSecret)),
			oauth.AuthNone:   w.Try("/token", providertest.With(form, "client_id", c.ID)),
			"empty password": w.Try("/token", form, providertest.Basic(c.ID+":")),
			"guessed secret": w.Try("/token", form, providertest.Basic(c.ID+":guess")),
			"unsigned assertion": w.Try("/token", providertest.With(form, "client_id", c.ID, "client_assertion_type",
				oauth.ClientAssertionTypeJWT, "client_assertion",
				base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`))+"."+base64.RawURLEncoding.EncodeToString([]byte(`{"sub":"`+c.ID+`"}`))+".")),
			"Bearer": w.Try("/token", providertest.With(form, "client_id", c.ID), "Bearer "+providertest.TestSecret),
		}
		registered := c.TokenEndpointAuthMethod
		if registered == "" {
			registered = oauth.AuthClientSecretBasic
		}
		for way, got := range ways {
			if way == registered || way == "empty password" && registered == oauth.AuthNone { // RFC 6749 §2.3.1
				// authenticated, and then the code is wrong
				providertest.MustRefuse(t, got, http.StatusBadRequest, oauth.InvalidGrant)
				continue
			}
			if got.StatusCode != http.StatusUnauthorized || got.Str("error") != "invalid_client" ||
				got.Header.Get("WWW-Authenticate") == "" {
				t.Errorf("%s by %s: %d %v", c.ID, way, got.StatusCode, got.JSON)
			}
		}
	}
	if strings.Contains(w.Log.String(), providertest.TestSecret) {
		t.Error("a secret is in the log")
	}
}

func TestRightSecretByTheOtherMethodIsNoGuess(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	alice := w.AddUser("alice")
	web := w.AddClient("web", func(c *clients.Client) { c.TokenEndpointAuthMethod = oauth.AuthClientSecretPost })
	code, _ := w.Authorized(web, alice, "openid")
	redeem := url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {web.RedirectURIs[0]},
		"code_verifier": {providertest.TestVerifier}}
	for range clientauth.FailuresAllowed + 5 {
		providertest.MustRefuse(t, w.Try("/token", redeem, providertest.Basic("web:"+providertest.TestSecret)),
			http.StatusUnauthorized, oauth.InvalidClient)
	}
	if !strings.Contains(w.Log.String(),
		"registered for client_secret_post, not for client_secret_basic; the secret was right") {
		t.Errorf("the log does not say that the secret was right: %s", w.Log)
	}
	providertest.MustWork(t, w.Try("/token", providertest.With(redeem, "client_id", "web", "client_secret",
		providertest.TestSecret)))

	// A wrong one counts, in whatever way it comes.
	for range clientauth.FailuresAllowed {
		providertest.MustRefuse(t, w.Try("/token", redeem, providertest.Basic("web:guess")), http.StatusUnauthorized,
			oauth.InvalidClient)
	}
	if !strings.Contains(w.Log.String(), "the secret was wrong or has expired") {
		t.Error("the log does not say that the secret was wrong")
	}
	if got := w.Try("/token", redeem, providertest.Basic("web:guess")); got.StatusCode != http.StatusTooManyRequests {
		t.Errorf("guesses go on: %d", got.StatusCode)
	}

	// The hash that a client has from before it got a key proves nothing, and is a guess.
	w.AddClient("jwt", func(c *clients.Client) { c.TokenEndpointAuthMethod = oauth.AuthPrivateKeyJWT })
	for range clientauth.FailuresAllowed {
		providertest.MustRefuse(t, w.Try("/token", redeem, providertest.Basic("jwt:"+providertest.TestSecret)),
			http.StatusUnauthorized, oauth.InvalidClient)
	}
	if got := w.Try("/token", redeem, providertest.Basic("jwt:"+providertest.TestSecret)); got.StatusCode != http.StatusTooManyRequests {
		t.Errorf("an old secret of a client with a key: %d", got.StatusCode)
	}
}

func TestClientMayBeAllowedEitherSecretMethod(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	form := url.Values{"grant_type": {"client_credentials"}}
	for id, method := range map[string]string{"by-header": oauth.AuthClientSecretBasic,
		"by-body": oauth.AuthClientSecretPost} {
		w.AddClient(id, providertest.Service,
			func(c *clients.Client) { c.TokenEndpointAuthMethod, c.EitherSecretMethod = method, true })
		providertest.MustWork(t, w.Try("/token", form, providertest.Basic(id+":"+providertest.TestSecret)))
		providertest.MustWork(t, w.Try("/token", providertest.With(form, "client_id", id, "client_secret",
			providertest.TestSecret)))
		for name, got := range map[string]providertest.AnswerJSON{
			"a guess in the header": w.Try("/token", form, providertest.Basic(id+":guess")),
			"a guess in the body": w.Try("/token", providertest.With(form, "client_id", id, "client_secret",
				"guess")),
			"an empty password": w.Try("/token", form, providertest.Basic(id+":")),
			"no secret":         w.Try("/token", providertest.With(form, "client_id", id)),
		} {
			if got.StatusCode != http.StatusUnauthorized || got.Str("error") != "invalid_client" {
				t.Errorf("%s, %s: %d %v", id, name, got.StatusCode, got.JSON)
			}
		}
		both := w.Try("/token", providertest.With(form, "client_id", id, "client_secret", providertest.TestSecret),
			providertest.Basic(id+":"+providertest.TestSecret))
		// RFC 6749 §2.3: never two at once
		providertest.MustRefuse(t, both, http.StatusBadRequest, oauth.InvalidRequest)
	}
	policy := clients.Policy{GrantTypes: []clients.GrantType{{Name: oauth.GrantAuthorizationCode},
		{Name: oauth.GrantRefreshToken}}}
	for method, jwks := range map[string]string{oauth.AuthPrivateKeyJWT: "https://app.example/jwks",
		oauth.AuthClientSecretJWT: ""} {
		c, err := clients.NewClient(clients.TypeWeb, clients.Metadata{TokenEndpointAuthMethod: method,
			RedirectURIs: []string{"https://app.example/cb"}, JWKSURI: jwks}, policy)
		if err != nil {
			t.Fatal(err)
		}
		c.EitherSecretMethod = true
		if _, err := clients.Prepare(c, policy); err == nil || !strings.Contains(err.Error(), "either_secret_method") {
			t.Errorf("%s: %v", method, err)
		}
	}
}

func TestChallengeOfARefusedClientSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	got := w.Try("/token", url.Values{"grant_type": {"client_credentials"}}, providertest.Basic("nobody:x"))
	want := `Basic realm="latchkey", charset="UTF-8", error="invalid_client", error_description="` +
		got.Str("error_description") + `"`
	if challenge := got.Header.Get("WWW-Authenticate"); got.Str("error_description") == "" || challenge != want {
		t.Errorf("%s, want %s", challenge, want)
	}
}

func TestUnauthenticatedConfidentialClientGetsNowhere(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	alice := w.AddUser("alice")
	a := w.AddClient("web-a", func(c *clients.Client) {
		c.GrantTypes = append(c.GrantTypes,
			oauth.GrantClientCredentials)
	})
	got := w.Tokens(a, alice, "openid offline_access")
	code, _ := w.Authorized(a, alice, "openid")
	for _, id := range []string{"web-a", ""} {
		for _, form := range []url.Values{
			{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {a.RedirectURIs[0]},
				"code_verifier": {providertest.TestVerifier}},
			{"grant_type": {"refresh_token"}, "refresh_token": {got.Str("refresh_token")}},
			{"grant_type": {"client_credentials"}},
		} {
			providertest.MustRefuse(t, w.Try("/token", providertest.With(form, "client_id", id)),
				http.StatusUnauthorized, oauth.InvalidClient)
		}
		for _, path := range []string{"/introspect", "/revoke"} {
			providertest.MustRefuse(t, w.Try(path, url.Values{"client_id": {id}, "token": {got.Str("refresh_token")}}),
				http.StatusUnauthorized, oauth.InvalidClient)
		}
	}
	providertest.MustWork(t, w.Whois(got.Str("access_token")))
	providertest.MustWork(t, w.Renew(a, got.Str("refresh_token")))
	providertest.MustWork(t, w.Redeem(a, code))
}

func TestBasicIsDecodedStrictly(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	const id, secret = "a:b+c%d e\u00e9", "s:+% \u00e9/="
	w.AddClient(id, providertest.Service, func(c *clients.Client) { c.SecretHash = w.ClientAuth.Secrets.Hash(secret) })
	w.AddClient("plain", providertest.Service)
	cc := url.Values{"grant_type": {"client_credentials"}}
	encoded := url.QueryEscape(id) + ":" + url.QueryEscape(secret)
	b64 := base64.StdEncoding.EncodeToString([]byte(encoded))
	for header, works := range map[string]bool{
		"Basic " + b64: true, "basic " + b64: true, "BASIC " + b64: true,
		providertest.Basic(strings.ReplaceAll(encoded, "+", "%20")): true,
		providertest.Basic("plain:" + providertest.TestSecret):      true, // what needs no encoding may come without
		providertest.Basic(id + ":" + secret):                       false,
		providertest.Basic(url.QueryEscape(id) + ":" + secret):      false,
		"Basic  " + b64:                        false,
		"Basic " + b64 + " ":                   true, // surrounding space is no part of a header's value
		"Basic " + b64[:8] + " " + b64[8:]:     false,
		"Basic " + strings.TrimRight(b64, "="): strings.TrimRight(b64, "=") == b64,
		"Basic " + b64 + "=":                   false,
		"Basic " + b64 + "AAAA":                false,
		"Basic " + base64.URLEncoding.EncodeToString([]byte("plain:\xfb\xff")): false,
		providertest.Basic("plain"):                                     false,
		providertest.Basic(":" + providertest.TestSecret):               false,
		providertest.Basic("plain:" + providertest.TestSecret + "\x00"): false,
		providertest.Basic("plain:" + providertest.TestSecret + "%00"):  false,
		providertest.Basic("plain:" + providertest.TestSecret + "%0a"):  false,
		providertest.Basic("plain:" + providertest.TestSecret + "%"):    false,
		providertest.Basic("plain:" + providertest.TestSecret + "%2"):   false,
		providertest.Basic("plain:" + providertest.TestSecret + "%zz"):  false,
		providertest.Basic("plain:" + providertest.TestSecret + "%ff"):  false,
		providertest.Basic("plain:" + providertest.TestSecret + " "):    false,
		providertest.Basic("plain:" + providertest.TestSecret + ":"):    false,
		"Basic":         false,
		"Basic ":        false,
		"Digest " + b64: false,
		"Basic," + b64:  false,
		"BasicX " + b64: false,
	} {
		got := w.Try("/token", cc, header)
		if works != (got.StatusCode == http.StatusOK) || !works && (got.StatusCode != http.StatusUnauthorized ||
			got.Str("error") != "invalid_client") {
			t.Errorf("%q: %d %v", header, got.StatusCode, got.JSON)
		}
	}
}

func TestFailedClientAuthenticationTellsNothing(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	w.AddClient("svc", providertest.Service)
	w.AddClient("off", providertest.Service, func(c *clients.Client) { c.Disabled = true })
	w.AddClient("old", providertest.Service, func(c *clients.Client) { c.SecretExpiresAt = w.Web.Now() })
	w.AddClient("none", providertest.Service, func(c *clients.Client) { c.SecretHash = nil })
	cc := url.Values{"grant_type": {"client_credentials"}}
	providertest.MustWork(t, w.Try("/token", cc, providertest.Basic("svc:"+providertest.TestSecret)))
	var first providertest.AnswerJSON
	for i, header := range []string{providertest.Basic("svc:wrong"), providertest.Basic("svc:" +
		providertest.TestSecret + "x"), providertest.Basic("svc:" + providertest.TestSecret[:10]),
		providertest.Basic("unknown:wrong"), providertest.Basic("unknown:" + providertest.TestSecret),
		providertest.Basic("off:" + providertest.TestSecret), providertest.Basic("off:wrong"),
		providertest.Basic("old:" + providertest.TestSecret), providertest.Basic("none:" + providertest.TestSecret),
		providertest.Basic(strings.Repeat("x", 5000) + ":x")} {
		got := w.Try("/token", cc, header)
		providertest.MustRefuse(t, got, http.StatusUnauthorized, oauth.InvalidClient)
		got.Header.Del("X-Request-Id")
		got.Header.Del("Date")
		if i == 0 {
			first = got
			continue
		}
		if !maps.EqualFunc(first.Header, got.Header, slices.Equal[[]string]) || !maps.Equal(first.JSON, got.JSON) {
			t.Errorf("%q: %v %v, but %v %v for a wrong secret", header, got.Header, got.JSON, first.Header, first.JSON)
		}
	}
	for _, why := range []string{"the client is not registered", "the client secret is wrong",
		"the client is disabled"} {
		if !strings.Contains(w.Log.String(), why) {
			t.Errorf("the log does not say %q", why)
		}
	}
	t.Run("a secret works until it expires", func(t *testing.T) {
		w.AddClient("soon", providertest.Service,
			func(c *clients.Client) { c.SecretExpiresAt = w.Web.Now().Add(time.Second) })
		providertest.MustWork(t, w.Try("/token", cc, providertest.Basic("soon:"+providertest.TestSecret)))
		w.Clock.Advance(time.Second)
		providertest.MustRefuse(t, w.Try("/token", cc, providertest.Basic("soon:"+providertest.TestSecret)),
			http.StatusUnauthorized, oauth.InvalidClient)
	})
}

func TestGuessingAClientSecretIsSlow(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	w.AddClient("svc", providertest.Service)
	w.AddClient("other", providertest.Service)
	cc := url.Values{"grant_type": {"client_credentials"}}
	for range clientauth.FailuresAllowed {
		providertest.MustRefuse(t, w.Try("/token", cc, providertest.Basic("svc:wrong")), http.StatusUnauthorized,
			oauth.InvalidClient)
	}
	got := w.Try("/token", cc, providertest.Basic("svc:wrong"))
	providertest.MustRefuse(t, got, http.StatusTooManyRequests, oauth.TemporarilyUnavailable)
	if got.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	providertest.MustRefuse(t, w.Try("/token", cc, providertest.Basic("svc:"+providertest.TestSecret)),
		http.StatusTooManyRequests, oauth.TemporarilyUnavailable)
	providertest.MustWork(t, w.Try("/token", cc, providertest.Basic("other:"+providertest.TestSecret)))
	if w.ClientAuth.TooManyFailures("svc\x00192.0.2.1", w.Web.Now()) {
		t.Error("the client is blocked elsewhere too")
	}
	w.Clock.Advance(clientauth.FailuresWindow)
	providertest.MustWork(t, w.Try("/token", cc, providertest.Basic("svc:"+providertest.TestSecret)))

	t.Run("a network is what one subscriber has", func(t *testing.T) {
		if people.Network("2001:db8:1:2::1") != people.Network("2001:db8:1:2:ffff::9") ||
			people.Network("2001:db8:1:2::1") == people.Network("2001:db8:1:3::1") ||
			people.Network("192.0.2.1") == people.Network("192.0.2.2") || people.Network("invalid IP") != "invalid IP" {
			t.Error("networks")
		}
	})
}

// Every client_id that is guessed at takes a place in memory, and they can be made up. Whoever
// fills all places shares the last window with everybody who has none.
func TestFloodOfMadeUpClientsKeepsNobodyElseOut(t *testing.T) {
	t.Parallel()
	w := providertest.New(t, func(c *provider.Config) { c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} })
	w.AddClient("svc", providertest.Service)
	handler := w.Handler()
	from := func(address, id, secret string) int {
		r := httptest.NewRequest("POST", w.Issuer+"/token", strings.NewReader("grant_type=client_credentials"))
		r.RemoteAddr = "127.0.0.1:4711"
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("X-Forwarded-For", address)
		r.SetBasicAuth(id, secret)
		rec := httptest.NewRecorder()
		handler.ServeHTTP(rec, r)
		return rec.Code
	}
	refused := 0
	for i := range 12_000 {
		if from(fmt.Sprintf("2001:db8:1:%x::1", i), fmt.Sprint("made-up-", i), "guess") == http.StatusTooManyRequests {
			refused++
		}
	}
	if refused != 12_000-clientauth.FloodAllowed {
		t.Errorf("%d were refused", refused)
	}
	if got := from("192.0.2.7", "svc", providertest.TestSecret); got != http.StatusOK {
		t.Errorf("a client elsewhere: %d", got)
	}
	if got := from("192.0.2.7", "svc", "typo"); got != http.StatusUnauthorized {
		t.Errorf("a mistake elsewhere: %d", got)
	}
	w.Clock.Advance(clientauth.FailuresWindow)
	if got := from("2001:db8:1::1", "svc", providertest.TestSecret); got != http.StatusOK {
		t.Errorf("a minute later: %d", got)
	}
}

func TestAFaultOfTheStoreIsNotAWrongSecret(t *testing.T) {
	t.Parallel()
	var f *providertest.Faults
	w := providertest.New(t, providertest.WithFaults(&f))
	svc := w.AddClient("svc", providertest.Service)
	f.Set(true, "Client")
	for range clientauth.FailuresAllowed + 5 {
		providertest.MustRefuse(t, w.Call("/token", svc, url.Values{"grant_type": {"client_credentials"}}),
			http.StatusServiceUnavailable, oauth.TemporarilyUnavailable)
	}
	f.Set(false, "Client")
	providertest.MustWork(t, w.Call("/token", svc, url.Values{"grant_type": {"client_credentials"}}))
}

func TestDisabledClientsTokensEnd(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	alice, a, rs := w.AddUser("alice"), w.AddClient("web-a"), w.AddClient("rs", providertest.API("https://api.test"))
	svc := w.AddClient("svc", providertest.Service,
		func(c *clients.Client) { c.Audience = []string{"https://api.test"} })
	at := w.Tokens(a, alice, "openid").Str("access_token")
	own := w.Call("/token", svc, url.Values{"grant_type": {"client_credentials"}}).Str("access_token")
	providertest.MustWork(t, w.Whois(at))
	if got := w.Asks(rs, own); got.JSON["active"] != true {
		t.Fatalf("%v", got.JSON)
	}
	for _, c := range []clients.Client{a, svc} {
		c.Disabled, c.Version = true, 1
		if err := w.Store.UpdateClient(context.Background(), c); err != nil {
			t.Fatal(err)
		}
	}
	providertest.MustRefuse(t, w.Whois(at), http.StatusUnauthorized, oauth.InvalidToken)
	if got := w.Asks(rs, own); got.JSON["active"] != false {
		t.Errorf("%v", got.JSON)
	}
}

func FuzzParseBasic(f *testing.F) {
	f.Add(providertest.Basic("a%3Ab:c+d"))
	f.Add(providertest.Basic("a:"))
	f.Add("basic YTpi")
	f.Fuzz(func(t *testing.T, header string) {
		id, secret, err := clientauth.ParseBasic(header)
		if err != nil {
			return
		}
		// What parses, writes back and parses the same.
		id2, secret2, err := clientauth.ParseBasic(providertest.Basic(url.QueryEscape(id) + ":" +
			url.QueryEscape(secret)))
		if err != nil || id2 != id || secret2 != secret || bytes.ContainsAny([]byte(id+secret), "\x00\r\n") {
			t.Fatalf("%q: %q %q, %q %q %v", header, id, secret, id2, secret2, err)
		}
	})
}
