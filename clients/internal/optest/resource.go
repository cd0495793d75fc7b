package optest

import (
	"encoding/json"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Origin is the one that an API under CheckAPI must allow.
const Origin = "http://spa.localhost:9104"

// Answer is what an API said.
type Answer struct {
	Status       int
	Header       http.Header
	Authenticate string
	Body         map[string]any
}

// Ask sends a request with the Authorization headers, one each.
func Ask(t testing.TB, method, address string, body io.Reader, authorization ...string) Answer {
	t.Helper()
	req, err := http.NewRequest(method, address, body)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range authorization {
		req.Header.Add("Authorization", a)
	}
	return send(t, req)
}

var asking = HTTPClient() // one for all: a small server counts idle connections

func send(t testing.TB, req *http.Request) Answer {
	t.Helper()
	res, err := asking.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	a := Answer{Status: res.StatusCode, Header: res.Header, Authenticate: res.Header.Get("WWW-Authenticate")}
	_ = json.Unmarshal(raw, &a.Body) // not every answer has a body
	return a
}

// CheckAPI says of an API at base, which is named audience and trusts p, everything that both
// sample APIs promise.
func CheckAPI(t *testing.T, p *Provider, base, audience string) {
	type m = map[string]any
	now := time.Now()
	bearer := func(header, claims m) string { return "Bearer " + p.AccessToken(audience, header, claims) }
	challenge := `Bearer realm="` + audience + `"`
	metadata := `, resource_metadata="` + audience + `/.well-known/oauth-protected-resource"`

	t.Run("anybody may read /public", func(t *testing.T) {
		if a := Ask(t, "GET", base+"/public", nil); a.Status != 200 || a.Body["message"] != "Anybody may read this." {
			t.Errorf("%+v", a)
		}
	})
	t.Run("RFC 6750 §3.1 no token: 401 without an error code", func(t *testing.T) {
		for _, authorization := range [][]string{nil, {"Basic YTpi"}} {
			if a := Ask(t, "GET", base+"/me", nil, authorization...); a.Status != 401 ||
				a.Authenticate != challenge+metadata {
				t.Errorf("%v: %+v", authorization, a)
			}
		}
	})
	t.Run("RFC 6750 §2.1 a good token opens /me", func(t *testing.T) {
		for name, authorization := range map[string]string{
			"as issued":                  bearer(nil, nil),
			"scheme in lower case":       strings.Replace(bearer(nil, nil), "Bearer", "bearer", 1),
			"ES256":                      bearer(m{"kid": "es-1"}, nil),
			"EdDSA":                      bearer(m{"kid": "ed-1"}, nil),
			"long form of typ":           bearer(m{"typ": "application/at+jwt"}, nil),
			"one of several audiences":   bearer(nil, m{"aud": []string{"http://other.localhost", audience}}),
			"clocks a few seconds apart": bearer(nil, m{"iat": now.Add(10 * time.Second).Unix()}),
			"already valid, long not over": bearer(nil, m{"nbf": now.Add(-time.Hour).Unix(),
				"exp": now.Add(time.Hour).Unix()}),
		} {
			a := Ask(t, "GET", base+"/me", nil, authorization)
			if a.Status != 200 || a.Body["sub"] != Subject || a.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s: %+v", name, a)
			}
		}
	})
	t.Run("a person with the role who has just signed in opens /admin", func(t *testing.T) {
		for _, ago := range []time.Duration{0, 4 * time.Minute} {
			a := Ask(t, "GET", base+"/admin", nil,
				bearer(nil, m{"roles": []string{"editor", "admin"}, "auth_time": now.Add(-ago).Unix()}))
			if a.Status != 200 {
				t.Errorf("signed in %s ago: %+v", ago, a)
			}
		}
	})
	t.Run("RFC 9470 §3 a sign-in that is too old, or of unknown age: 401 and what would do", func(t *testing.T) {
		for name, at := range map[string]any{"an hour ago": now.Add(-time.Hour).Unix(), "not said": nil,
			"the beginning of time": 0} {
			a := Ask(t, "GET", base+"/admin", nil, bearer(nil, m{"roles": []string{"admin"}, "auth_time": at}))
			if a.Status != 401 || !strings.HasPrefix(a.Authenticate,
				challenge+`, error="insufficient_user_authentication", error_description="`) ||
				!strings.Contains(a.Authenticate, `, max_age="300"`) ||
				a.Body["error"] != "insufficient_user_authentication" {
				t.Errorf("%s: %+v", name, a)
			}
		}
		// A stranger is not told that another sign-in would help.
		if a := Ask(t, "GET", base+"/admin", nil,
			bearer(nil, m{"roles": []string{}, "auth_time": 0})); a.Status != 403 || strings.Contains(a.Authenticate,
			"max_age") {
			t.Errorf("without the role: %+v", a)
		}
	})
	t.Run("RFC 9728 §3.2 the resource says who issues its tokens", func(t *testing.T) {
		a := Ask(t, "GET", base+"/.well-known/oauth-protected-resource", nil)
		servers, _ := a.Body["authorization_servers"].([]any)
		if a.Status != 200 || a.Body["resource"] != audience || len(servers) != 1 || servers[0] != p.Issuer ||
			a.Header.Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("%+v", a)
		}
	})
	t.Run("everybody has a ledger of their own", func(t *testing.T) {
		call := func(method, path, sub, body string) Answer {
			t.Helper()
			req, err := http.NewRequest(method, base+path, strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", bearer(nil, m{"sub": sub}))
			req.Header.Set("Content-Type", "application/json; charset=utf-8")
			return send(t, req)
		}
		count := func(sub string, wantEntries int, wantBalance float64) {
			t.Helper()
			a := call("GET", "/entries", sub, "")
			if entries, ok := a.Body["entries"].([]any); a.Status != 200 || !ok || len(entries) != wantEntries ||
				a.Body["balance"] != wantBalance {
				t.Errorf("%s: %+v, want %d entries and %v", sub, a, wantEntries, wantBalance)
			}
		}
		count("ada", 0, 0)
		call("POST", "/entries", "ada", `{"what": "Wages", "cents": 250000}`)
		a := call("POST", "/entries", "ada", `{"what": " Café Müller ", "cents": -450}`)
		made, _ := a.Body["entry"].(m)
		if a.Status != 201 || made["what"] != "Café Müller" || made["cents"] != -450.0 {
			t.Fatalf("%+v", a)
		}
		count("ada", 2, 249550)
		count("grace", 0, 0)
		id, _ := made["id"].(string)
		if a := call("DELETE", "/entries/"+id, "grace", ""); a.Status != 404 {
			t.Errorf("somebody else's entry: %+v", a)
		}
		count("ada", 2, 249550)
		if a := call("DELETE", "/entries/"+id, "ada", ""); a.Status != 204 {
			t.Errorf("one's own entry: %+v", a)
		}
		for _, body := range []string{"", "null", "[]", `{"what": "x"}`, `{"what": "x", "cents": 0}`,
			`{"what": "x", "cents": 1.5}`, `{"what": "x", "cents": "1"}`,
			`{"what": "x", "cents": true}`, `{"what": "", "cents": 1}`, `{"what": "a\nb", "cents": 1}`,
			`{"what": 7, "cents": 1}`,
			`{"what": "x", "cents": 100000001}`, `{"what": "` + strings.Repeat("x", 121) + `", "cents": 1}`,
			`{"what": "` + strings.Repeat("x", 9000) + `", "cents": 1}`} {
			if a := call("POST", "/entries", "ada", body); a.Status != 400 || a.Body["error"] != "invalid_entry" {
				t.Errorf("%.60s: %+v", body, a)
			}
		}
		count("ada", 1, 250000)
		if a := Ask(t, "GET", base+"/entries", nil); a.Status != 401 {
			t.Errorf("without a token: %+v", a)
		}
	})
	t.Run("RFC 6750 §3.1 a good token without the role: 403 insufficient_scope", func(t *testing.T) {
		for name, claims := range map[string]m{
			"no roles":          {"roles": nil},
			"other roles":       {"roles": []string{"administrator", "Admin", ""}},
			"a group, no role":  {"groups": []string{"admin"}, "roles": []string{}},
			"a scope, no role":  {"scope": "admin", "roles": []string{}},
			"a part of another": {"roles": []string{"not-admin"}},
		} {
			if a := Ask(t, "GET", base+"/admin", nil, bearer(nil, claims)); a.Status != 403 ||
				!strings.Contains(a.Authenticate, `error="insufficient_scope"`) {
				t.Errorf("%s: %+v", name, a)
			}
		}
	})

	t.Run("roles that are no list are no roles", func(t *testing.T) {
		if a := Ask(t, "GET", base+"/admin", nil, bearer(nil, m{"roles": "admin"})); a.Status != 401 &&
			a.Status != 403 {
			t.Errorf("%+v", a)
		}
	})

	// A token each of whose parts ends in a character with unused bits.
	var good string
	var parts []string
	for header, claims := (m{"pad": ""}), (m{"pad": "", "roles": []string{"admin"}, "auth_time": now.Unix()}); ; {
		good = p.AccessToken(audience, header, claims)
		parts = strings.Split(good, ".")
		if len(parts[0])%4 == 0 {
			header["pad"] = header["pad"].(string) + "x"
		} else if len(parts[1])%4 == 0 {
			claims["pad"] = claims["pad"].(string) + "x"
		} else {
			break
		}
	}
	if a := Ask(t, "GET", base+"/admin", nil, "Bearer "+good); a.Status != 200 {
		t.Fatalf("the token that the cases below spoil is not good: %+v", a)
	}
	for sentence, token := range map[string]string{
		"RFC 9068 §4 another issuer": p.AccessToken(audience, nil,
			m{"iss": "http://evil.localhost"}),
		"RFC 9068 §4 no issuer":                         p.AccessToken(audience, nil, m{"iss": nil}),
		"RFC 9068 §4 another audience":                  p.AccessToken("http://other.localhost", nil, nil),
		"RFC 9068 §4 an audience that begins like ours": p.AccessToken(audience+"/x", nil, nil),
		"RFC 9068 §4 no audience":                       p.AccessToken(audience, nil, m{"aud": nil}),
		"RFC 9068 §4 expired": p.AccessToken(audience, nil,
			m{"exp": now.Add(-time.Second).Unix()}),
		"RFC 9068 §4 no exp":                p.AccessToken(audience, nil, m{"exp": nil}),
		"RFC 9068 §4 exp that is no number": p.AccessToken(audience, nil, m{"exp": "tomorrow"}),
		"RFC 9068 §2.2 no iat":              p.AccessToken(audience, nil, m{"iat": nil}),
		"RFC 9068 §2.2 no sub":              p.AccessToken(audience, nil, m{"sub": nil}),
		"RFC 7519 §4.1.6 from the future": p.AccessToken(audience, nil,
			m{"iat": now.Add(time.Hour).Unix()}),
		"RFC 7519 §4.1.5 not valid yet": p.AccessToken(audience, nil,
			m{"nbf": now.Add(time.Hour).Unix()}),
		"RFC 9068 §4 no typ":                            p.AccessToken(audience, m{"typ": nil}, nil),
		"RFC 9068 §4 typ of an ID token":                p.AccessToken(audience, m{"typ": "JWT"}, nil),
		"RFC 9068 §4 typ of a logout token":             p.AccessToken(audience, m{"typ": "logout+jwt"}, nil),
		"RFC 9068 §4 typ that is no string":             p.AccessToken(audience, m{"typ": 7}, nil),
		"RFC 8725 §3.1 alg none":                        p.AccessToken(audience, m{"alg": "none"}, nil),
		"RFC 8725 §3.1 alg None":                        p.AccessToken(audience, m{"alg": "None", "kid": "rs-1"}, nil),
		"RFC 8725 §3.1 the public key as HMAC secret":   p.AccessToken(audience, m{"alg": "HS256"}, nil),
		"RFC 8725 §3.1 an algorithm not on the list":    p.AccessToken(audience, m{"alg": "RS512"}, nil),
		"RFC 7517 §4.4 an algorithm the key is not for": p.AccessToken(audience, m{"alg": "PS256"}, nil),
		"RFC 8725 §3.1 a key of another kind":           p.AccessToken(audience, m{"kid": "es-1", "alg": "RS256"}, nil),
		"RFC 7515 §4.1.4 an unknown key":                p.AccessToken(audience, m{"kid": "unknown"}, nil),
		"RFC 7515 §4.1.4 no kid":                        p.AccessToken(audience, m{"no_kid": true}, nil),
		"RFC 7515 §4.1.4 kid that is no string":         p.AccessToken(audience, m{"kid": []string{"rs-1"}}, nil),
		"RFC 7515 §4.1.11 a critical header parameter":  p.AccessToken(audience, m{"crit": []string{"x"}, "x": 1}, nil),
		"RFC 7797 §3 an unencoded payload": p.AccessToken(audience, m{"crit": []string{"b64"},
			"b64": true}, nil),
		"RFC 7515 §4.1.3 a key that the token brings": p.AccessToken(audience,
			m{"kid": "unknown", "jwk": m{"kty": "oct", "k": "AA"}}, nil),
		"RFC 7515 §7.1 the signature is missing": parts[0] + "." + parts[1] + ".",
		"RFC 7515 §7.1 two parts":                parts[0] + "." + parts[1],
		"RFC 7515 §7.1 four parts":               good + ".AAAA",
		"RFC 7515 §7.1 another token's signature": parts[0] + "." + parts[1] + "." +
			strings.Split(p.AccessToken(audience, nil, nil), ".")[2],
		"RFC 7515 §2 padding": good + "==",
		"RFC 7515 §2 the alphabet of plain base64": parts[0] + "." + parts[1] + "." +
			strings.NewReplacer("-", "+", "_", "/").Replace(parts[2]) + "+",
		"RFC 4648 §3.5 unused last bits of the header":    flipUnused(parts[0]) + "." + parts[1] + "." + parts[2],
		"RFC 4648 §3.5 unused last bits of the payload":   parts[0] + "." + flipUnused(parts[1]) + "." + parts[2],
		"RFC 4648 §3.5 unused last bits of the signature": parts[0] + "." + parts[1] + "." + flipUnused(parts[2]),
		"a word":                  "opaque",
		"an object":               `{"payload":"e30"}`,
		"a header of garbage":     "AAAA." + parts[1] + "." + parts[2],
		"a header that is a list": "W10." + parts[1] + "." + parts[2],
		"very long":               strings.Repeat("A", 20000) + "." + parts[1] + "." + parts[2],
	} {
		t.Run(sentence+": 401 invalid_token", func(t *testing.T) {
			if token == good {
				t.Fatal("this token is the good one")
			}
			if a := Ask(t, "GET", base+"/me", nil, "Bearer "+token); a.Status != 401 ||
				!strings.HasPrefix(a.Authenticate, challenge+`, error="invalid_token", error_description="`) {
				t.Errorf("%+v", a)
			}
		})
	}
	t.Run("one changed character anywhere: 401", func(t *testing.T) {
		step := 7 // with a length that it does not divide, it reaches all three parts
		for i := 0; i < len(good); i += step {
			if good[i] == '.' {
				continue
			}
			c := byte('A')
			if good[i] == c {
				c = 'Q'
			}
			if a := Ask(t, "GET", base+"/me", nil, "Bearer "+good[:i]+string(c)+good[i+1:]); a.Status != 401 {
				t.Errorf("character %d of %d: %+v", i, len(good), a)
			}
		}
	})
	t.Run("RFC 6750 §3.1 a malformed header: 400 invalid_request", func(t *testing.T) {
		for _, authorization := range [][]string{{"Bearer"}, {"Bearer "}, {"Bearer a b"},
			{"Bearer " + good + " " + good},
			{"Bearer " + good + ", Bearer " + good}, {"Bearer " + good, "Bearer " + good},
			{"Bearer " + good, "Basic YTpi"}} {
			a := Ask(t, "GET", base+"/me", nil, authorization...)
			if a.Status != 400 && a.Status != 401 {
				t.Errorf("%q: %+v", authorization, a)
			}
		}
	})
	t.Run("RFC 9700 §4.3.2 a token in the query or the body does not count", func(t *testing.T) {
		if a := Ask(t, "GET", base+"/me?access_token="+good, nil); a.Status != 401 ||
			a.Authenticate != challenge+metadata {
			t.Errorf("query: %+v", a)
		}
		if a := Ask(t, "GET", base+"/me", strings.NewReader("access_token="+good)); a.Status != 401 {
			t.Errorf("body: %+v", a)
		}
		if a := Ask(t, "POST", base+"/me", strings.NewReader("access_token="+good)); a.Status != 405 {
			t.Errorf("POST: %+v", a)
		}
	})
	t.Run("a page of an allowed origin may call, others not", func(t *testing.T) {
		for _, test := range []struct {
			origin  string
			allowed bool
		}{{Origin, true}, {"http://evil.localhost", false}, {"null", false}, {Origin + ".evil.localhost", false},
			{"", false}} {
			req, err := http.NewRequest(http.MethodOptions, base+"/me", nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Origin", test.origin)
			req.Header.Set("Access-Control-Request-Method", "GET")
			req.Header.Set("Access-Control-Request-Headers", "authorization")
			a := send(t, req)
			if got := a.Header.Get("Access-Control-Allow-Origin"); (got == test.origin && got != "") != test.allowed ||
				got == "*" {
				t.Errorf("preflight from %q: %v", test.origin, a.Header)
			}
			if test.allowed && (a.Status/100 != 2 ||
				a.Header.Get("Access-Control-Allow-Headers") != "Authorization, Content-Type") {
				t.Errorf("preflight: %+v", a)
			}
			if req, err = http.NewRequest(http.MethodGet, base+"/me", nil); err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Origin", test.origin)
			a = send(t, req) // an answer that says no must be readable as well
			if (a.Header.Get("Access-Control-Allow-Origin") != "") != test.allowed ||
				a.Header.Get("Access-Control-Allow-Credentials") != "" {
				t.Errorf("answer to %q: %v", test.origin, a.Header)
			}
			if test.allowed && a.Header.Get("Access-Control-Expose-Headers") != "WWW-Authenticate" {
				t.Errorf("answer: %v", a.Header)
			}
		}
	})
	t.Run("unknown paths and methods", func(t *testing.T) {
		for _, path := range []string{"/", "/admin/", "/me/../admin/x", "/nothing"} {
			if a := Ask(t, "GET", base+path, nil, "Bearer "+good); a.Status != 404 {
				t.Errorf("%s: %d", path, a.Status)
			}
		}
		if a := Ask(t, "DELETE", base+"/admin", nil, "Bearer "+good); a.Status != 405 {
			t.Errorf("DELETE: %d", a.Status)
		}
	})
}

// CheckAPIKeys says how an API keeps the published keys: it must have answered a request with a
// good token before.
func CheckAPIKeys(t *testing.T, p *Provider, base, audience string) {
	fetches := func() (n int) { p.With(func() { n = p.KeyFetches }); return }
	before := fetches()
	for range 10 {
		Ask(t, "GET", base+"/me", nil, "Bearer "+p.AccessToken(audience, nil, nil))
		Ask(t, "GET", base+"/me", nil, "Bearer "+p.AccessToken(audience, map[string]any{"kid": "unknown"}, nil))
	}
	if n := fetches() - before; n > 1 {
		t.Errorf("20 requests made it fetch the keys %d times", n)
	}
}

// CheckAPIRotation says that an API accepts a key that is published after it has fetched the
// others. Until now it must have met no unknown key.
func CheckAPIRotation(t *testing.T, p *Provider, base, audience string) {
	if a := Ask(t, "GET", base+"/me", nil, "Bearer "+p.AccessToken(audience, nil, nil)); a.Status != 200 {
		t.Fatalf("before: %+v", a)
	}
	fresh := p.Rotate()
	if a := Ask(t, "GET", base+"/me", nil, "Bearer "+p.AccessToken(audience, map[string]any{"kid": fresh},
		nil)); a.Status != 200 {
		t.Errorf("a token by the new key: %+v", a)
	}
}

// ACR is what the API under CheckACR must demand of administrators.
var ACR = []string{"phrh", "phr"}

// CheckACR says of an API that it demands one of ACR for /admin, and a sign-in within maxAge
// seconds (RFC 9470 §3).
func CheckACR(t *testing.T, p *Provider, base, audience, maxAge string) {
	ask := func(acr any) Answer {
		return Ask(t, "GET", base+"/admin", nil, "Bearer "+p.AccessToken(audience, nil,
			map[string]any{"roles": []string{"admin"}, "auth_time": time.Now().Unix(), "acr": acr}))
	}
	for _, acr := range ACR {
		if a := ask(acr); a.Status != 200 {
			t.Errorf("%s: %+v", acr, a)
		}
	}
	for _, acr := range []any{nil, "", "pwd", "phrh phr"} {
		a := ask(acr)
		if a.Status != 401 || !strings.Contains(a.Authenticate, `error="insufficient_user_authentication"`) ||
			!strings.Contains(a.Authenticate, `acr_values="phrh phr"`) || !strings.Contains(a.Authenticate,
			`max_age="`+maxAge+`"`) {
			t.Errorf("%v: %+v", acr, a)
		}
	}
}

// CheckLedgerFile says of an API that start runs with a file that what was entered is there after a
// restart.
func CheckLedgerFile(t *testing.T, p *Provider, audience string, start func(file string) (base string, stop func())) {
	file := filepath.Join(t.TempDir(), "ledger.json")
	base, stop := start(file)
	token := "Bearer " + p.AccessToken(audience, nil, nil)
	req, err := http.NewRequest(http.MethodPost, base+"/entries",
		strings.NewReader(`{"what": "Train", "cents": -1250}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", token)
	req.Header.Set("Content-Type", "application/json")
	if a := send(t, req); a.Status != 201 {
		t.Fatalf("%+v", a)
	}
	stop()
	base, stop = start(file)
	defer stop()
	if a := Ask(t, "GET", base+"/entries", nil, token); a.Status != 200 || a.Body["balance"] != -1250.0 {
		t.Errorf("after a restart: %+v", a)
	}
}

// flipUnused flips a bit of the last character that belongs to no byte. The length of part is no
// multiple of four.
func flipUnused(part string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	n := strings.IndexByte(alphabet, part[len(part)-1])
	return part[:len(part)-1] + string(alphabet[n^1])
}
