package registration_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"latchkey/keys"
	"latchkey/provider"
	"latchkey/provider/providertest"
	"latchkey/provider/registration"
)

var update = flag.Bool("update", false, "write golden files anew")

// golden compares with a file under testdata; -update writes it.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("differs from %s; read the difference, then run go test ./provider -update\n%s", file, got)
	}
}

func TestDiscovery(t *testing.T) {
	t.Parallel()
	w := providertest.New(t, openRegistration)
	p := w.Fetch("/.well-known/openid-configuration")
	if p.StatusCode != 200 || p.Header.Get("Content-Type") != "application/json" ||
		p.Header.Get("Access-Control-Allow-Origin") != "*" ||
		p.Header.Get("Access-Control-Allow-Credentials") != "" ||
		p.Header.Get("Cache-Control") != "public, max-age=3600" ||
		p.Header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("%d %v", p.StatusCode, p.Header)
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, []byte(strings.ReplaceAll(p.Body, w.Issuer, "https://id.example.com")), "",
		"  "); err != nil {
		t.Fatal(err)
	}
	golden(t, "openid-configuration.json", append(indented.Bytes(), '\n'))

	t.Run("RFC 8414 §3 the other address says the same", func(t *testing.T) {
		if q := w.Fetch("/.well-known/oauth-authorization-server"); q.Body != p.Body ||
			q.Header.Get("ETag") != p.Header.Get("ETag") {
			t.Error("the two documents differ")
		}
	})
	t.Run("whoever has it is told so", func(t *testing.T) {
		etag := p.Header.Get("ETag")
		if q := w.Fetch("/.well-known/openid-configuration", "If-None-Match",
			etag); q.StatusCode != http.StatusNotModified || q.Body != "" || q.Header.Get("ETag") != etag {
			t.Errorf("%d %q", q.StatusCode, q.Body)
		}
		if q := w.Fetch("/.well-known/openid-configuration", "If-None-Match", `"other"`); q.StatusCode != 200 {
			t.Errorf("%d", q.StatusCode)
		}
	})
	t.Run("HEAD and OPTIONS", func(t *testing.T) {
		r, _ := http.NewRequest("HEAD", w.Issuer+"/.well-known/openid-configuration", nil)
		if q := w.Browser().Do(r); q.StatusCode != 200 || q.Body != "" {
			t.Errorf("HEAD: %d %q", q.StatusCode, q.Body)
		}
		r, _ = http.NewRequest("OPTIONS", w.Issuer+"/jwks", nil)
		r.Header.Set("Origin", "https://spa.test")
		if q := w.Browser().Do(r); q.StatusCode != 204 || q.Header.Get("Access-Control-Allow-Origin") != "*" ||
			q.Header.Get("Access-Control-Allow-Credentials") != "" {
			t.Errorf("OPTIONS: %d %v", q.StatusCode, q.Header)
		}
		r, _ = http.NewRequest("POST", w.Issuer+"/.well-known/openid-configuration", nil)
		if q := w.Browser().Do(r); q.StatusCode != 405 {
			t.Errorf("POST: %d", q.StatusCode)
		}
	})
	t.Run("nothing in the request has a part in it", func(t *testing.T) {
		for _, h := range [][]string{{"Host", "evil.test"}, {"X-Forwarded-Host", "evil.test"},
			{"X-Forwarded-Proto", "https"}, {"Forwarded", "host=evil.test;proto=https"},
			{"X-Original-Host", "evil.test"}, {"X-Forwarded-Prefix", "/evil"}, {"Accept-Language", "de"},
			{"Origin", "https://evil.test"}} {
			if q := w.Fetch("/.well-known/openid-configuration", h...); q.StatusCode < 300 && q.Body != p.Body ||
				strings.Contains(q.Body, "evil") {
				t.Errorf("%v: %d", h, q.StatusCode)
			}
		}
	})
	t.Run("only what answers is announced", func(t *testing.T) {
		var m map[string]any
		if err := json.Unmarshal([]byte(p.Body), &m); err != nil {
			t.Fatal(err)
		}
		n := 0
		for name, v := range m {
			target, ok := v.(string)
			if !ok || name == "issuer" || !strings.HasSuffix(name, "_endpoint") && !strings.HasSuffix(name, "_uri") &&
				!strings.HasSuffix(name, "_iframe") {
				continue
			}
			n++
			if q := w.Fetch(target); q.StatusCode == http.StatusNotFound || q.StatusCode >= 500 {
				t.Errorf("%s: %d", name, q.StatusCode)
			}
		}
		if n < 8 {
			t.Errorf("looked at %d endpoints only", n)
		}
	})
}

// metadataOf reads a provider's metadata, its addresses included.
func metadataOf(t *testing.T, body string) registration.Metadata {
	t.Helper()
	m, all := registration.Metadata{Addresses: map[string]string{}}, map[string]any{}
	if err := errors.Join(json.Unmarshal([]byte(body), &m), json.Unmarshal([]byte(body), &all)); err != nil {
		t.Fatal(err)
	}
	for member, v := range all {
		if address, ok := v.(string); ok && member != "issuer" {
			m.Addresses[member] = address
		}
	}
	return m
}

func TestDiscoveryFollowsTheConfiguration(t *testing.T) {
	t.Parallel()
	read := func(bend ...func(*provider.Config)) registration.Metadata {
		w := providertest.New(t, bend...)
		return metadataOf(t, w.Fetch("/.well-known/openid-configuration").Body)
	}
	m := read()
	if m.Addresses["registration_endpoint"] != "" || slices.Contains(m.IDTokenSigningAlgs, "none") ||
		slices.Contains(m.RequestObjectSigningAlgs, "none") || slices.Contains(m.UserinfoSigningAlgs, "none") ||
		slices.Contains(m.TokenAuthSigningAlgs, "none") {
		t.Errorf("the safe default: %+v", m)
	}
	m = read(openRegistration, func(c *provider.Config) { c.InsecureAllowNone = true })
	if m.Addresses["registration_endpoint"] == "" || !slices.Contains(m.IDTokenSigningAlgs, "none") ||
		!slices.Contains(m.RequestObjectSigningAlgs, "none") || slices.Contains(m.TokenAuthSigningAlgs, "none") {
		t.Errorf("for certification: %+v", m)
	}
	if slices.Contains(keys.SigningAlgorithms, "none") || slices.Contains(keys.AcceptedSigningAlgorithms, "none") {
		t.Error("the lists of package keys were changed")
	}
	if m = read(func(c *provider.Config) { c.Registration = registration.Token }); m.Addresses["registration_endpoint"] == "" {
		t.Error("registration by token is not announced")
	}
}

func TestIssuerWithAPath(t *testing.T) {
	t.Parallel()
	w := providertest.New(t, openRegistration, func(c *provider.Config) { c.Issuer += "/id" })
	for _, at := range []string{"/id/.well-known/openid-configuration", "/.well-known/openid-configuration/id",
		"/.well-known/oauth-authorization-server/id", "/id/.well-known/oauth-authorization-server"} {
		p := w.Fetch(at)
		m := metadataOf(t, p.Body)
		if p.StatusCode != 200 || m.Issuer != w.Issuer || m.Addresses["jwks_uri"] != w.Issuer+"/jwks" ||
			!strings.HasSuffix(m.Issuer, "/id") {
			t.Errorf("%s: %d %+v", at, p.StatusCode, m)
		}
	}
	for _, at := range []string{"/.well-known/openid-configuration", "/.well-known/oauth-authorization-server",
		"/ID/.well-known/openid-configuration", "/.well-known/openid-configuration/ID",
		"/.well-known/openid-configuration/id2", "/other/.well-known/openid-configuration", "/jwks"} {
		if p := w.Fetch(at); p.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %d", at, p.StatusCode)
		}
	}
	if p := w.Fetch("/id/jwks"); p.StatusCode != 200 {
		t.Errorf("/id/jwks: %d", p.StatusCode)
	}
	a := w.Json("POST", w.Issuer+"/register", "", goodMetadata)
	if a.StatusCode != 201 || a.Str("registration_client_uri") != w.Issuer+"/register/"+a.Str("client_id") {
		t.Fatalf("%d %v", a.StatusCode, a.JSON)
	}
	if b := w.Json("GET", a.Str("registration_client_uri"), a.Str("registration_access_token"),
		nil); b.StatusCode != 200 {
		t.Errorf("%d %v", b.StatusCode, b.JSON)
	}
}

func TestPublishedKeysArePublic(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	for _, need := range [][2]string{{keys.UseSignature, "ES256"}, {keys.UseSignature, "EdDSA"},
		{keys.UseEncryption, "RSA-OAEP-256"}, {keys.UseEncryption, "ECDH-ES"}} {
		if err := w.Keys.EnsureAlgorithm(t.Context(), need[0], need[1]); err != nil {
			t.Fatal(err)
		}
	}
	p := w.Fetch("/jwks")
	if p.StatusCode != 200 || p.Header.Get("Content-Type") != "application/json" ||
		p.Header.Get("Access-Control-Allow-Origin") != "*" ||
		!regexp.MustCompile(`^public, max-age=[1-9][0-9]*$`).MatchString(p.Header.Get("Cache-Control")) {
		t.Errorf("%d %v", p.StatusCode, p.Header)
	}
	var set struct{ Keys []map[string]any }
	if err := json.Unmarshal([]byte(p.Body), &set); err != nil {
		t.Fatal(err)
	}
	kids, algs := map[any]bool{}, map[any]bool{}
	for _, k := range set.Keys {
		for _, private := range []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"} {
			if _, ok := k[private]; ok {
				t.Errorf("key %v has %s", k["kid"], private)
			}
		}
		if k["kty"] == "oct" || k["kid"] == nil || k["use"] == nil || k["use"] == "sig" && k["alg"] == nil ||
			kids[k["kid"]] {
			t.Errorf("key %v", k)
		}
		kids[k["kid"]], algs[k["alg"]] = true, true
	}
	if !algs["RS256"] || !algs["ES256"] || !algs["EdDSA"] || len(set.Keys) < 5 {
		t.Errorf("published %v", algs)
	}
	if q := w.Fetch("/jwks", "If-None-Match", p.Header.Get("ETag")); q.StatusCode != http.StatusNotModified {
		t.Errorf("%d", q.StatusCode)
	}
}

func TestWebFingerNamesTheIssuerOfEverybodyAlike(t *testing.T) {
	t.Parallel()
	w := providertest.New(t, func(c *provider.Config) {
		c.Issuer = "http://id.example.localhost:" +
			strings.Split(c.Issuer, ":")[2]
	})
	w.AddUser("alice")
	ask := func(query string) providertest.Page {
		resp, err := http.Get("http://127.0.0.1:" + w.Web.Base.Port() + "/.well-known/webfinger?" + query)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return providertest.Page{Response: resp, Body: string(body)}
	}
	rel := "&rel=" + url.QueryEscape(registration.IssuerRelation)
	alice, nobody := ask("resource=acct:alice@id.example.localhost"+rel),
		ask("resource=acct:nobody@id.example.localhost"+rel)
	if alice.StatusCode != 200 || nobody.StatusCode != 200 || strings.ReplaceAll(alice.Body, "alice",
		"nobody") != nobody.Body ||
		alice.Header.Get("Content-Type") != "application/jrd+json" ||
		alice.Header.Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("%d %s\n%d %s %v", alice.StatusCode, alice.Body, nobody.StatusCode, nobody.Body, alice.Header)
	}
	if want := `{"subject":"acct:alice@id.example.localhost","links":[{"rel":"http://openid.net/specs/connect/1.0/issuer","href":"` + w.Issuer + `"}]}`; alice.Body != want {
		t.Errorf("got  %s\nwant %s", alice.Body, want)
	}
	for query, status := range map[string]int{
		"resource=acct:a@id.example.localhost": 200, "resource=acct:a@ID.Example.localhost": 200,
		"resource=acct:a@example.localhost": 200, "resource=https://id.example.localhost/a": 200,
		"resource=https://id.example.localhost:8443/a": 200, "resource=acct%3Aa%2540b@example.localhost": 200,
		"resource=acct:a@evil.test": 404, "resource=acct:a@xexample.localhost": 404,
		"resource=acct:a@evil.id.example.localhost": 404, "resource=https://evil.test/a": 404,
		"": 400, "resource=": 400, "resource=a": 400, "resource=alice@id.example.localhost": 400,
		"resource=acct:@id.example.localhost": 400, "resource=acct:a@": 400, "resource=acct:a": 400,
		"resource=acct:a@b/c@id.example.localhost": 400, "resource=http://id.example.localhost/a": 400,
		"resource=https:///a": 400, "resource=acct:a%0a@id.example.localhost": 400,
		"resource=acct:a@id.example.localhost&resource=acct:b@id.example.localhost": 400, "resource=%zz": 400,
		"resource=acct:a@id.example.localhost:x": 400,
	} {
		if p := ask(query); p.StatusCode != status {
			t.Errorf("%s: %d, want %d: %s", query, p.StatusCode, status, p.Body)
		}
	}
	if p := ask("resource=acct:a@id.example.localhost&rel=http%3A%2F%2Fwebfinger.net%2Frel%2Fprofile-page"); p.StatusCode != 200 || !strings.HasSuffix(p.Body, `"links":[]}`) {
		t.Errorf("another relation: %d %s", p.StatusCode, p.Body)
	}
	if p := ask("resource=acct:a@id.example.localhost&rel=x" + rel); !strings.Contains(p.Body, w.Issuer) {
		t.Errorf("two relations: %s", p.Body)
	}
}
