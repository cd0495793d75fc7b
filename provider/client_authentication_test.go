package provider

import (
	"bytes"
	"context"
	"encoding/base64"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey/provider/clients"
	"latchkey/provider/oauth"
	"latchkey/provider/people"
)

// basic is an Authorization header made of raw text.
func basic(text string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(text)) }

// try posts a form to the token endpoint with these Authorization headers.
func (w *world) try(path string, form url.Values, authorization ...string) answerJSON {
	w.t.Helper()
	r, err := http.NewRequest("POST", w.Issuer+path, strings.NewReader(form.Encode()))
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for _, a := range authorization {
		r.Header.Add("Authorization", a)
	}
	return w.send(r)
}

func with(form url.Values, add ...string) url.Values {
	out := maps.Clone(form)
	for i := 0; i+1 < len(add); i += 2 {
		out.Set(add[i], add[i+1])
	}
	return out
}

func TestExactlyOneClientAuthentication(t *testing.T) {
	t.Parallel()
	w := newTestProvider(t)
	w.addClient("svc", service)
	w.addClient("other", service)
	cc := url.Values{"grant_type": {"client_credentials"}}
	good := basic("svc:" + testSecret)
	mustWork(t, w.try("/token", cc, good))
	mustWork(t, w.try("/token", with(cc, "client_id", "svc"), good))
	mustWork(t, w.try("/token", with(cc, "client_secret", ""), good)) // a parameter without a value was not sent (RFC 6749 §3.1)

	for name, got := range map[string]answerJSON{
		"header and client_secret":    w.try("/token", with(cc, "client_secret", testSecret), good),
		"header and client_assertion": w.try("/token", with(cc, "client_assertion", "x"), good),
		"header and the type alone":   w.try("/token", with(cc, "client_assertion_type", oauth.ClientAssertionTypeJWT), good),
		"secret and client_assertion": w.try("/token", with(cc, "client_id", "svc", "client_secret", testSecret, "client_assertion", "x")),
		"two headers":                 w.try("/token", cc, good, good),
		"two different headers":       w.try("/token", cc, good, basic("other:"+testSecret)),
		"header and another client":   w.try("/token", with(cc, "client_id", "other"), good),
		"an unknown assertion type":   w.try("/token", with(cc, "client_id", "svc", "client_assertion", "x", "client_assertion_type", "x")),
		"a type without an assertion": w.try("/token", with(cc, "client_id", "svc", "client_assertion_type", oauth.ClientAssertionTypeJWT)),
	} {
		if got.StatusCode != http.StatusBadRequest || got.str("error") != "invalid_request" {
			t.Errorf("RFC 6749 §2.3 %s: %d %v", name, got.StatusCode, got.JSON)
		}
	}
}

func TestOnlyTheRegisteredMethodAuthenticates(t *testing.T) {
	t.Parallel()
	w := newTestProvider(t)
	form := url.Values{"grant_type": {"authorization_code"}, "code": {"x"}, "redirect_uri": {"https://x.example/cb"}}
	post := func(c *clients.Client) { c.TokenEndpointAuthMethod = oauth.AuthClientSecretPost }
	jwt := func(c *clients.Client) { c.TokenEndpointAuthMethod = oauth.AuthPrivateKeyJWT } // the hash of an older secret is still there
	unsaid := func(c *clients.Client) { c.TokenEndpointAuthMethod = "" }
	for _, c := range []clients.Client{w.addClient("basic"), w.addClient("unsaid", unsaid), w.addClient("post", post), w.addClient("jwt", jwt), w.addClient("spa", public)} {
		ways := map[string]answerJSON{
			oauth.AuthClientSecretBasic: w.try("/token", form, basic(c.ID+":"+testSecret)),
			oauth.AuthClientSecretPost:  w.try("/token", with(form, "client_id", c.ID, "client_secret", testSecret)),
			oauth.AuthNone:              w.try("/token", with(form, "client_id", c.ID)),
			"empty password":            w.try("/token", form, basic(c.ID+":")),
			"guessed secret":            w.try("/token", form, basic(c.ID+":guess")),
			"unsigned assertion": w.try("/token", with(form, "client_id", c.ID, "client_assertion_type", oauth.ClientAssertionTypeJWT, "client_assertion",
				base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`))+"."+base64.RawURLEncoding.EncodeToString([]byte(`{"sub":"`+c.ID+`"}`))+".")),
			"Bearer": w.try("/token", with(form, "client_id", c.ID), "Bearer "+testSecret),
		}
		registered := c.TokenEndpointAuthMethod
		if registered == "" {
			registered = oauth.AuthClientSecretBasic
		}
		for way, got := range ways {
			if way == registered {
				mustRefuse(t, got, http.StatusBadRequest, oauth.InvalidGrant) // authenticated, and then the code is wrong
				continue
			}
			if got.StatusCode != http.StatusUnauthorized || got.str("error") != "invalid_client" || got.Header.Get("WWW-Authenticate") == "" {
				t.Errorf("%s by %s: %d %v", c.ID, way, got.StatusCode, got.JSON)
			}
		}
	}
	if strings.Contains(w.log.String(), testSecret) {
		t.Error("a secret is in the log")
	}
}

func TestUnauthenticatedConfidentialClientGetsNowhere(t *testing.T) {
	t.Parallel()
	w := newTestProvider(t)
	alice := w.addUser("alice")
	a := w.addClient("web-a", func(c *clients.Client) { c.GrantTypes = append(c.GrantTypes, oauth.GrantClientCredentials) })
	got := w.tokens(a, alice, "openid offline_access")
	code, _ := w.authorized(a, alice, "openid")
	for _, id := range []string{"web-a", ""} {
		for _, form := range []url.Values{
			{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {a.RedirectURIs[0]}, "code_verifier": {testVerifier}},
			{"grant_type": {"refresh_token"}, "refresh_token": {got.str("refresh_token")}},
			{"grant_type": {"client_credentials"}},
		} {
			mustRefuse(t, w.try("/token", with(form, "client_id", id)), http.StatusUnauthorized, oauth.InvalidClient)
		}
		for _, path := range []string{"/introspect", "/revoke"} {
			mustRefuse(t, w.try(path, url.Values{"client_id": {id}, "token": {got.str("refresh_token")}}), http.StatusUnauthorized, oauth.InvalidClient)
		}
	}
	mustWork(t, w.whois(got.str("access_token")))
	mustWork(t, w.renew(a, got.str("refresh_token")))
	mustWork(t, w.redeem(a, code))
}

func TestBasicIsDecodedStrictly(t *testing.T) {
	t.Parallel()
	w := newTestProvider(t)
	const id, secret = "a:b+c%d e\u00e9", "s:+% \u00e9/="
	w.addClient(id, service, func(c *clients.Client) { c.SecretHash = w.secrets.Hash(secret) })
	w.addClient("plain", service)
	cc := url.Values{"grant_type": {"client_credentials"}}
	encoded := url.QueryEscape(id) + ":" + url.QueryEscape(secret)
	b64 := base64.StdEncoding.EncodeToString([]byte(encoded))
	for header, works := range map[string]bool{
		"Basic " + b64: true, "basic " + b64: true, "BASIC " + b64: true,
		basic(strings.ReplaceAll(encoded, "+", "%20")): true,
		basic("plain:" + testSecret):                   true, // what needs no encoding may come without
		basic(id + ":" + secret):                       false,
		basic(url.QueryEscape(id) + ":" + secret):      false,
		"Basic  " + b64:                                false,
		"Basic " + b64 + " ":                           true, // surrounding space is no part of a header's value
		"Basic " + b64[:8] + " " + b64[8:]:             false,
		"Basic " + strings.TrimRight(b64, "="):         strings.TrimRight(b64, "=") == b64,
		"Basic " + b64 + "=":                           false,
		"Basic " + b64 + "AAAA":                        false,
		"Basic " + base64.URLEncoding.EncodeToString([]byte("plain:\xfb\xff")): false,
		basic("plain"):                        false,
		basic(":" + testSecret):               false,
		basic("plain:" + testSecret + "\x00"): false,
		basic("plain:" + testSecret + "%00"):  false,
		basic("plain:" + testSecret + "%0a"):  false,
		basic("plain:" + testSecret + "%"):    false,
		basic("plain:" + testSecret + "%2"):   false,
		basic("plain:" + testSecret + "%zz"):  false,
		basic("plain:" + testSecret + "%ff"):  false,
		basic("plain:" + testSecret + " "):    false,
		basic("plain:" + testSecret + ":"):    false,
		"Basic":                               false,
		"Basic ":                              false,
		"Digest " + b64:                       false,
		"Basic," + b64:                        false,
		"BasicX " + b64:                       false,
	} {
		got := w.try("/token", cc, header)
		if works != (got.StatusCode == http.StatusOK) || !works && (got.StatusCode != http.StatusUnauthorized || got.str("error") != "invalid_client") {
			t.Errorf("%q: %d %v", header, got.StatusCode, got.JSON)
		}
	}
}

func TestFailedClientAuthenticationTellsNothing(t *testing.T) {
	t.Parallel()
	w := newTestProvider(t)
	w.addClient("svc", service)
	w.addClient("off", service, func(c *clients.Client) { c.Disabled = true })
	w.addClient("old", service, func(c *clients.Client) { c.SecretExpiresAt = w.now() })
	w.addClient("none", service, func(c *clients.Client) { c.SecretHash = nil })
	cc := url.Values{"grant_type": {"client_credentials"}}
	mustWork(t, w.try("/token", cc, basic("svc:"+testSecret)))
	var first answerJSON
	for i, header := range []string{basic("svc:wrong"), basic("svc:" + testSecret + "x"), basic("svc:" + testSecret[:10]), basic("unknown:wrong"), basic("unknown:" + testSecret),
		basic("off:" + testSecret), basic("off:wrong"), basic("old:" + testSecret), basic("none:" + testSecret), basic(strings.Repeat("x", 5000) + ":x")} {
		got := w.try("/token", cc, header)
		mustRefuse(t, got, http.StatusUnauthorized, oauth.InvalidClient)
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
	for _, why := range []string{"the client is not registered", "the client secret is wrong", "the client is disabled"} {
		if !strings.Contains(w.log.String(), why) {
			t.Errorf("the log does not say %q", why)
		}
	}
	t.Run("a secret works until it expires", func(t *testing.T) {
		w.addClient("soon", service, func(c *clients.Client) { c.SecretExpiresAt = w.now().Add(time.Second) })
		mustWork(t, w.try("/token", cc, basic("soon:"+testSecret)))
		w.clock.Advance(time.Second)
		mustRefuse(t, w.try("/token", cc, basic("soon:"+testSecret)), http.StatusUnauthorized, oauth.InvalidClient)
	})
}

func TestGuessingAClientSecretIsSlow(t *testing.T) {
	t.Parallel()
	w := newTestProvider(t)
	w.addClient("svc", service)
	w.addClient("other", service)
	cc := url.Values{"grant_type": {"client_credentials"}}
	for range failuresAllowed {
		mustRefuse(t, w.try("/token", cc, basic("svc:wrong")), http.StatusUnauthorized, oauth.InvalidClient)
	}
	got := w.try("/token", cc, basic("svc:wrong"))
	mustRefuse(t, got, http.StatusTooManyRequests, oauth.TemporarilyUnavailable)
	if got.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	mustRefuse(t, w.try("/token", cc, basic("svc:"+testSecret)), http.StatusTooManyRequests, oauth.TemporarilyUnavailable)
	mustWork(t, w.try("/token", cc, basic("other:"+testSecret)))
	if w.clientFailures.tooMany("svc\x00192.0.2.1", w.now()) {
		t.Error("the client is blocked elsewhere too")
	}
	w.clock.Advance(failuresWindow)
	mustWork(t, w.try("/token", cc, basic("svc:"+testSecret)))

	t.Run("what is remembered is bounded", func(t *testing.T) {
		var f clientFailures
		for i := range maxFailureRows * 2 {
			f.add(string(rune('a'+i%26))+strings.Repeat("x", i%50)+time.Duration(i).String(), w.now())
		}
		if len(f.rows) > maxFailureRows {
			t.Errorf("%d rows", len(f.rows))
		}
	})
	t.Run("a network is what one subscriber has", func(t *testing.T) {
		if people.Network("2001:db8:1:2::1") != people.Network("2001:db8:1:2:ffff::9") || people.Network("2001:db8:1:2::1") == people.Network("2001:db8:1:3::1") ||
			people.Network("192.0.2.1") == people.Network("192.0.2.2") || people.Network("invalid IP") != "invalid IP" {
			t.Error("networks")
		}
	})
}

func TestAFaultOfTheStoreIsNotAWrongSecret(t *testing.T) {
	t.Parallel()
	var f *faults
	w := newTestProvider(t, withFaults(&f))
	svc := w.addClient("svc", service)
	f.set(true, "Client")
	for range failuresAllowed + 5 {
		mustRefuse(t, w.call("/token", svc, url.Values{"grant_type": {"client_credentials"}}), http.StatusServiceUnavailable, oauth.TemporarilyUnavailable)
	}
	f.set(false, "Client")
	mustWork(t, w.call("/token", svc, url.Values{"grant_type": {"client_credentials"}}))
}

func TestDisabledClientsTokensEnd(t *testing.T) {
	t.Parallel()
	w := newTestProvider(t)
	alice, a, rs := w.addUser("alice"), w.addClient("web-a"), w.addClient("rs", api("https://api.test"))
	svc := w.addClient("svc", service, func(c *clients.Client) { c.Audience = []string{"https://api.test"} })
	at := w.tokens(a, alice, "openid").str("access_token")
	own := w.call("/token", svc, url.Values{"grant_type": {"client_credentials"}}).str("access_token")
	mustWork(t, w.whois(at))
	if got := w.asks(rs, own); got.JSON["active"] != true {
		t.Fatalf("%v", got.JSON)
	}
	for _, c := range []clients.Client{a, svc} {
		c.Disabled, c.Version = true, 1
		if err := w.Store.UpdateClient(context.Background(), c); err != nil {
			t.Fatal(err)
		}
	}
	mustRefuse(t, w.whois(at), http.StatusUnauthorized, oauth.InvalidToken)
	if got := w.asks(rs, own); got.JSON["active"] != false {
		t.Errorf("%v", got.JSON)
	}
}

func FuzzParseBasic(f *testing.F) {
	f.Add(basic("a%3Ab:c+d"))
	f.Add(basic("a:"))
	f.Add("basic YTpi")
	f.Fuzz(func(t *testing.T, header string) {
		id, secret, err := parseBasic(header)
		if err != nil {
			return
		}
		// What parses, writes back and parses the same.
		id2, secret2, err := parseBasic(basic(url.QueryEscape(id) + ":" + url.QueryEscape(secret)))
		if err != nil || id2 != id || secret2 != secret || bytes.ContainsAny([]byte(id+secret), "\x00\r\n") {
			t.Fatalf("%q: %q %q, %q %q %v", header, id, secret, id2, secret2, err)
		}
	})
}
