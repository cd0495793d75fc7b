package interop

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"
)

// answer is what a program got.
type answer struct {
	status int
	header http.Header
	body   string
}

func (a answer) json(t testing.TB) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal([]byte(a.body), &v); err != nil {
		t.Fatalf("%v in %s", err, a.body)
	}
	return v
}

// ask makes a request as a program does; headers are pairs.
func ask(t testing.TB, method, address string, form url.Values, headers ...string) answer {
	t.Helper()
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	req, err := http.NewRequest(method, address, body)
	if err != nil {
		t.Fatal(err)
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{res.StatusCode, res.Header, string(text)}
}

// claims reads a JWT without believing it.
func claims(t testing.TB, token string) (header, payload map[string]any) {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("not a JWT: %s", token)
	}
	for i, v := range []*map[string]any{&header, &payload} {
		text, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err == nil {
			err = json.Unmarshal(text, v)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return header, payload
}

// What applications and proxies in the field are known to trip over, each as one sentence about the
// provider.
func TestHabitsOfLibrariesAreTaken(t *testing.T) {
	t.Parallel()
	const path = "/realms/one"
	l := serve(t, "127.0.0.1", path)
	origin := strings.TrimSuffix(l.issuer, path)
	meta := ask(t, "GET", l.issuer+"/.well-known/openid-configuration", nil).json(t)
	at := func(name string) string { s, _ := meta[name].(string); return s }
	const back = "https://app.example.com/callback"
	app := l.register("App", "--redirect-uri", back, "--post-logout-redirect-uri", "https://app.example.com/bye",
		"--without-pkce", "--skip-consent")
	conf := oauth2.Config{ClientID: app.ID, ClientSecret: app.Secret, RedirectURL: back, Scopes: []string{"openid",
		"email", "profile", "groups"},
		Endpoint: oauth2.Endpoint{AuthURL: at("authorization_endpoint"), TokenURL: at("token_endpoint")}}
	b := newBrowser(t)
	back1, err := url.Parse(b.follow(conf.AuthCodeURL("s"), back))
	if err != nil {
		t.Fatal(err)
	}
	token, err := conf.Exchange(t.Context(), back1.Query().Get("code"))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	idToken, _ := token.Extra("id_token").(string)
	idHeader, id := claims(t, idToken)
	accessHeader, access := claims(t, token.AccessToken)

	t.Run("the issuer is the same to the byte wherever it stands", func(t *testing.T) {
		for where, got := range map[string]any{"discovery": meta["issuer"], "ID token": id["iss"],
			"access token": access["iss"], "response": back1.Query().Get("iss")} {
			if got != l.issuer {
				t.Errorf("%s: %v instead of %s", where, got, l.issuer)
			}
		}
	})
	t.Run("a slash at the end of the configured issuer is taken away with a warning", func(t *testing.T) {
		cmd := exec.Command(l.path, "config", "check", "--issuer", "http://localhost:8080/", "--data", t.TempDir())
		cmd.Env = []string{}
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "slash at the end was taken away") {
			t.Errorf("%v %s", err, out)
		}
	})
	t.Run("an http issuer is accepted on loopback hosts only, without a flag", func(t *testing.T) {
		for issuer, fine := range map[string]bool{"http://localhost:8080": true, "http://127.0.0.1:8080": true,
			"http://[::1]:8080": true, "http://id.localhost:8080": true,
			"http://id.example.com": false, "http://192.0.2.1": false} {
			cmd := exec.Command(l.path, "config", "check", "--issuer", issuer, "--data", t.TempDir())
			cmd.Env = []string{}
			if out, err := cmd.CombinedOutput(); (err == nil) != fine {
				t.Errorf("%s: %v %s", issuer, err, out)
			}
		}
	})
	t.Run("ID tokens are signed with RS256 by default, which discovery lists, and access tokens with ES256",
		func(t *testing.T) {
			if idHeader["alg"] != "RS256" || accessHeader["alg"] != "ES256" || accessHeader["typ"] != "at+jwt" ||
				!strings.Contains(list(meta["id_token_signing_alg_values_supported"]), "RS256") {
				t.Errorf("%v %v", idHeader, accessHeader)
			}
		})
	t.Run("client secrets need no encoding", func(t *testing.T) {
		for range 3 {
			secret := l.register("Another", "--redirect-uri", back).Secret
			if url.QueryEscape(secret) != secret || len(secret) < 32 {
				t.Errorf("%q", secret)
			}
		}
	})
	t.Run("discovery lists S256 as the only code challenge method", func(t *testing.T) {
		if got := list(meta["code_challenge_methods_supported"]); got != "S256" {
			t.Error(got)
		}
	})
	t.Run("userinfo has the claims with their JSON types", func(t *testing.T) {
		who := ask(t, "GET", at("userinfo_endpoint"), nil, "Authorization", "Bearer "+token.AccessToken).json(t)
		if who["email"] != "ada@example.com" || who["email_verified"] != true || who["name"] != "Ada Lovelace" ||
			who["preferred_username"] != username || list(who["groups"]) != "staff" {
			t.Errorf("%v", who)
		}
		if id["email"] != nil {
			t.Errorf("in the ID token, although nobody asked for it: %v", id)
		}
	})
	t.Run("redirect URIs of well-known native applications work as they are", func(t *testing.T) {
		for registered, asked := range map[string]string{
			"app.immich:///oauth-callback": "app.immich:///oauth-callback",
			"kitchenowl:/signin/redirect":  "kitchenowl:/signin/redirect",
			"oc://ios.owncloud.com":        "oc://ios.owncloud.com",
			"audiobookshelf://oauth":       "audiobookshelf://oauth",
			"http://localhost":             "http://localhost",
			// any port, at addresses only (RFC 8252 §7.3, §8.3)
			"http://127.0.0.1":                    "http://127.0.0.1:53682",
			"http://[::1]/":                       "http://[::1]:53682/",
			"http://localhost:8085/auth/callback": "http://localhost:8085/auth/callback", // Argo CD
			"http://localhost:8250/oidc/callback": "http://localhost:8250/oidc/callback", // Vault
			"http://localhost:18000":              "http://localhost:18000",              // kubelogin
		} {
			native := l.register(registered, "--type", "native", "--redirect-uri", registered, "--skip-consent")
			conf := oauth2.Config{ClientID: native.ID, RedirectURL: asked, Scopes: []string{"openid"},
				Endpoint: oauth2.Endpoint{AuthURL: at("authorization_endpoint"), TokenURL: at("token_endpoint"),
					AuthStyle: oauth2.AuthStyleInParams}}
			verifier := oauth2.GenerateVerifier()
			u, err := url.Parse(b.follow(conf.AuthCodeURL("s", oauth2.S256ChallengeOption(verifier)), asked))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := conf.Exchange(t.Context(), u.Query().Get("code"),
				oauth2.VerifierOption(verifier)); err != nil {
				t.Errorf("%s: %v at %s", asked, err, u)
			}
		}
	})
	t.Run("iat is a whole number of seconds that is not in the future", func(t *testing.T) {
		for _, c := range []map[string]any{id, access} {
			iat, _ := c["iat"].(float64)
			if iat != float64(int64(iat)) || int64(iat) > now.Unix() || c["nbf"] != nil {
				t.Errorf("iat %v, nbf %v at %d", c["iat"], c["nbf"], now.Unix())
			}
		}
	})
	t.Run("CORS is open for public documents and limited to registered origins elsewhere", func(t *testing.T) {
		const own, foreign = "https://app.example.com", "https://evil.example"
		for _, address := range []string{l.issuer + "/.well-known/openid-configuration", at("jwks_uri")} {
			a := ask(t, "GET", address, nil, "Origin", foreign)
			if a.header.Get("Access-Control-Allow-Origin") != "*" ||
				a.header.Get("Access-Control-Allow-Credentials") != "" {
				t.Errorf("%s: %v", address, a.header)
			}
		}
		for _, name := range []string{"token_endpoint", "userinfo_endpoint", "revocation_endpoint"} {
			for from, want := range map[string]string{own: own, foreign: ""} {
				a := ask(t, "OPTIONS", at(name), nil, "Origin", from, "Access-Control-Request-Method", "POST",
					"Access-Control-Request-Headers", "authorization")
				if a.header.Get("Access-Control-Allow-Origin") != want || a.status >= 400 && want != "" {
					t.Errorf("%s from %s: %d %v", name, from, a.status, a.header)
				}
			}
		}
	})
	t.Run("an authorization request may come by POST", func(t *testing.T) {
		u, err := url.Parse(conf.AuthCodeURL("posted"))
		if err != nil {
			t.Fatal(err)
		}
		b.send("POST", at("authorization_endpoint"), u.Query())
		if to := b.follow(b.resolve(b.header.Get("Location")), back); !strings.Contains(to, "code=") ||
			!strings.Contains(to, "state=posted") {
			t.Error(to)
		}
	})
	t.Run("WebFinger names the issuer of any account", func(t *testing.T) {
		a := ask(t, "GET", origin+"/.well-known/webfinger?resource="+url.QueryEscape("acct:ada@127.0.0.1")+"&rel="+url.QueryEscape("http://openid.net/specs/connect/1.0/issuer"), nil)
		if a.status != 200 || !strings.Contains(a.body, l.issuer) ||
			a.header.Get("Content-Type") != "application/jrd+json" {
			t.Errorf("%d %v %s", a.status, a.header, a.body)
		}
	})
	t.Run("published keys may be cached, and each has a kid of its own", func(t *testing.T) {
		a := ask(t, "GET", at("jwks_uri"), nil)
		keys, _ := a.json(t)["keys"].([]any)
		seen := map[any]bool{}
		for _, k := range keys {
			key, _ := k.(map[string]any)
			if kid := key["kid"]; kid == nil || seen[kid] || key["d"] != nil || key["use"] != "sig" &&
				key["use"] != "enc" {
				t.Errorf("%v", key)
			} else {
				seen[kid] = true
			}
		}
		if !seen[idHeader["kid"]] || len(seen) < 2 || !strings.Contains(a.header.Get("Cache-Control"), "max-age=") {
			t.Errorf("%v %v", seen, a.header)
		}
	})
	t.Run("introspection names the subject of users' and of services' tokens", func(t *testing.T) {
		const api = "https://api.example.com"
		l.register("API", "--type", "api", "--audience", api)
		service := l.register("Service", "--type", "service", "--audience", api)
		for _, of := range []struct {
			a        application
			token    string
			sub      string
			username any
		}{{app, token.AccessToken, l.sub, username}, {service, l.clientCredentials(service), service.ID, nil}} {
			about := ask(t, "POST", at("introspection_endpoint"), url.Values{"token": {of.token}, "client_id": {}},
				"Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(of.a.ID+":"+of.a.Secret))).json(t)
			for _, name := range []string{"active", "client_id", "aud", "iss", "exp"} {
				if about[name] == nil {
					t.Errorf("no %s in %v", name, about)
				}
			}
			if about["sub"] != of.sub || about["username"] != of.username {
				t.Errorf("%v", about)
			}
		}
	})
	t.Run("metadata is at both well-known addresses in both of their forms", func(t *testing.T) {
		for _, address := range []string{l.issuer + "/.well-known/oauth-authorization-server", origin +
			"/.well-known/oauth-authorization-server" + path, origin + "/.well-known/openid-configuration" + path} {
			if got := ask(t, "GET", address, nil).json(t)["issuer"]; got != l.issuer {
				t.Errorf("%s: %v", address, got)
			}
		}
	})
	t.Run("signing out with nothing but client_id asks first, and leads back", func(t *testing.T) {
		q := url.Values{"client_id": {app.ID}, "post_logout_redirect_uri": {"https://app.example.com/bye"},
			"state": {"x"}}
		b.send("GET", at("end_session_endpoint")+"?"+q.Encode(), nil)
		if !b.has("logout-confirm") {
			t.Errorf("did not ask: %d %s", b.status, b.body)
		}
		if to := b.follow(at("end_session_endpoint")+"?"+q.Encode(),
			"https://app.example.com/bye"); to != "https://app.example.com/bye?state=x" {
			t.Error(to)
		}
	})
}

// list writes a list of texts as one text.
func list(v any) string {
	values, _ := v.([]any)
	var out []string
	for _, value := range values {
		s, _ := value.(string)
		out = append(out, s)
	}
	return strings.Join(out, " ")
}
