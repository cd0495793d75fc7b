package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"latchkey/keys"
	"latchkey/provider/clients"
	"latchkey/provider/people"
	"latchkey/provider/storage"
	"latchkey/provider/storage/storagetest"
)

const testPassword = "wonderful-teapot-77"

// application is a relying party on a library of others, as small as one can be.
type application struct {
	*httptest.Server
	mu     sync.Mutex
	answer url.Values    // the last authorization response
	logout []string      // logout tokens
	told   chan struct{} // holds one element when there is another one
}

func newApplication(t testing.TB) *application {
	a := &application{told: make(chan struct{}, 1)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /callback", func(w http.ResponseWriter, r *http.Request) {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.answer = r.URL.Query()
		_, _ = io.WriteString(w, `<p id="back">back</p>`)
	})
	mux.HandleFunc("GET /bye", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w,
			`<p id="bye">bye</p>`)
	})
	mux.HandleFunc("POST /backchannel", func(w http.ResponseWriter, r *http.Request) {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.logout = append(a.logout, r.FormValue("logout_token"))
		select {
		case a.told <- struct{}{}:
		default:
		}
	})
	a.Server = httptest.NewServer(mux)
	t.Cleanup(a.Close)
	return a
}

func (a *application) get(name string) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.answer.Get(name)
}

// TestTheMainJobOnEveryStore starts the server as main does, makes everything by the commands, and
// signs in with a well-known library.
func TestTheMainJobOnEveryStore(t *testing.T) {
	t.Parallel()
	t.Run("SQLite", func(t *testing.T) {
		t.Parallel()
		mainJob(t)
	})
	t.Run("MongoDB", func(t *testing.T) {
		t.Parallel()
		mainJob(t, "--mongodb", storagetest.MongoURI(t))
	})
}

func mainJob(t *testing.T, store ...string) {
	data := t.TempDir()
	port := freePorts(t, 1)
	issuer := "http://localhost:" + strconv.Itoa(port)
	on := func(args ...string) []string { return append(append(args, "--data", data), store...) }
	app := newApplication(t)

	// Before the server runs.
	succeed(t, "", on("group", "create", "staff", "--role", "editor")...)
	server := serveAt(t, port, data, store...)

	// And while it does.
	ada := into[storage.User](t, succeed(t, testPassword+"\n", on("user", "create", "Ada", "--email", "ada@example.com",
		"--name", "Ada Example", "--group", "staff", "--password-stdin", "--json")...))
	made := into[newClient](t, succeed(t, "", on("client", "create", "--name", "Notes", "--type", "web",
		"--redirect-uri", app.URL+"/callback",
		"--post-logout-redirect-uri", app.URL+"/bye", "--backchannel-logout-uri", app.URL+"/backchannel", "--group",
		"staff", "--skip-consent",
		"--issuer", issuer, "--json")...))
	if made.ClientSecret == "" || made.Discovery != issuer+"/.well-known/openid-configuration" {
		t.Fatalf("created: %+v", made)
	}

	ctx := context.Background()
	provider, err := oidc.NewProvider(ctx, issuer)
	if err != nil {
		t.Fatal(err)
	}
	config := oauth2.Config{ClientID: made.ID, ClientSecret: made.ClientSecret, Endpoint: provider.Endpoint(),
		RedirectURL: app.URL + "/callback",
		Scopes:      []string{oidc.ScopeOpenID, "profile", "email", "groups", oidc.ScopeOfflineAccess}}
	verifier := oauth2.GenerateVerifier()
	who := newPerson(t)
	signIn := config.AuthCodeURL("state-1", oidc.Nonce("nonce-1"), oauth2.S256ChallengeOption(verifier),
		oauth2.SetAuthURLParam("prompt", "consent"))
	who.open(signIn).must("login-page").press("login-submit", "username", "ada", "password",
		"not-her-password").must("login-error")
	who.press("login-submit", "username", "ADA", "password", testPassword)
	if who.sees("consent-page") {
		who.press("consent-allow")
	}
	who.must("back")
	if app.get("state") != "state-1" || app.get("iss") != issuer {
		t.Fatalf("answer: %v", app.answer)
	}
	tokens, err := config.Exchange(ctx, app.get("code"), oauth2.VerifierOption(verifier))
	if err != nil {
		t.Fatal(err)
	}
	raw, _ := tokens.Extra("id_token").(string)
	idToken, err := provider.Verifier(&oidc.Config{ClientID: made.ID}).Verify(ctx, raw)
	if err != nil || idToken.Nonce != "nonce-1" || idToken.Subject != ada.ID {
		t.Fatalf("ID token: %+v, %v", idToken, err)
	}
	t.Run("userinfo has the claims", func(t *testing.T) {
		info, err := provider.UserInfo(ctx, config.TokenSource(ctx, tokens))
		if err != nil {
			t.Fatal(err)
		}
		var claims struct {
			Name   string   `json:"name"`
			Groups []string `json:"groups"`
			Roles  []string `json:"roles"`
		}
		if err := info.Claims(&claims); err != nil || info.Email != "ada@example.com" || claims.Name != "Ada Example" ||
			!slices.Equal(claims.Groups, []string{"staff"}) {
			t.Errorf("%+v %+v %v", info, claims, err)
		}
	})
	t.Run("a code is good once", func(t *testing.T) {
		second := newPerson(t)
		second.open(config.AuthCodeURL("s", oauth2.S256ChallengeOption(verifier))).press("login-submit", "username",
			"ada", "password", testPassword)
		if second.sees("consent-page") {
			second.press("consent-allow")
		}
		second.must("back")
		if _, err := config.Exchange(ctx, app.get("code"), oauth2.VerifierOption(verifier)); err != nil {
			t.Fatal(err)
		}
		if _, err := config.Exchange(ctx, app.get("code"), oauth2.VerifierOption(verifier)); err == nil ||
			!strings.Contains(err.Error(), "invalid_grant") {
			t.Errorf("the second time: %v", err)
		}
	})
	t.Run("a refresh token gets new tokens", func(t *testing.T) {
		if tokens.RefreshToken == "" {
			t.Fatal("there is none")
		}
		renewed, err := config.TokenSource(ctx, &oauth2.Token{RefreshToken: tokens.RefreshToken}).Token()
		if err != nil || renewed.AccessToken == tokens.AccessToken {
			t.Fatalf("%v", err)
		}
		tokens = renewed
	})
	t.Run("an API introspects", func(t *testing.T) {
		api := into[newClient](t, succeed(t, "", on("client", "create", "--name", "Files", "--type", "api",
			"--audience", issuer, "--json")...))
		active := func() bool {
			req, err := http.NewRequest(http.MethodPost, issuer+"/introspect",
				strings.NewReader(url.Values{"token": {tokens.AccessToken}}.Encode()))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			req.SetBasicAuth(api.ID, api.ClientSecret)
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			var answer struct {
				Active bool   `json:"active"`
				Sub    string `json:"sub"`
			}
			if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || resp.StatusCode != http.StatusOK {
				t.Fatalf("%d %v", resp.StatusCode, err)
			}
			return answer.Active && answer.Sub == ada.ID
		}
		if !active() {
			t.Fatal("a good token is not active")
		}
		succeed(t, "", on("user", "disable", "ada")...)
		if active() {
			t.Error("the token of a disabled person is active")
		}
		if _, err := config.TokenSource(ctx, &oauth2.Token{RefreshToken: tokens.RefreshToken}).Token(); err == nil {
			t.Error("a disabled person's refresh token works")
		}
		succeed(t, "", on("user", "enable", "ada")...)
		if active() {
			t.Error("what was ended is good again")
		}
	})
	t.Run("signing out ends the session and tells the application", func(t *testing.T) {
		who.open(config.AuthCodeURL("s", oauth2.S256ChallengeOption(verifier))).must("login-page").press("login-submit",
			"username", "ada", "password", testPassword)
		if who.sees("consent-page") {
			who.press("consent-allow")
		}
		who.must("back")
		tokens, err := config.Exchange(ctx, app.get("code"), oauth2.VerifierOption(verifier))
		if err != nil {
			t.Fatal(err)
		}
		hint, _ := tokens.Extra("id_token").(string)
		who.open(issuer + "/logout?" + url.Values{"id_token_hint": {hint}, "post_logout_redirect_uri": {app.URL +
			"/bye"}}.Encode())
		if !who.sees("bye") && !who.sees("logged-out") {
			t.Fatalf("at %s: %s", who.url, who.body)
		}
		told := false
		app.mu.Lock()
		for _, token := range app.logout {
			told = told || sid(t, token) == sid(t, hint)
		}
		app.mu.Unlock()
		if !told {
			t.Errorf("no logout token for this session among the %d that arrived", len(app.logout))
		}
		who.open(config.AuthCodeURL("s", oauth2.S256ChallengeOption(verifier))).must("login-page")
	})
	t.Run("keys rotate under a running server", func(t *testing.T) {
		before := into[[]listedKey](t, succeed(t, "", on("keys", "list", "--json")...))
		succeed(t, "", on("keys", "rotate")...)
		after := into[[]listedKey](t, succeed(t, "", on("keys", "list", "--json")...))
		if len(after) <= len(before) {
			t.Errorf("%d keys before, %d after", len(before), len(after))
		}
		for _, k := range after {
			if len(k.Sealed) > 0 {
				t.Error("a private key was printed")
			}
		}
	})
	t.Run("keys are revoked under a running server", func(t *testing.T) {
		who.open(config.AuthCodeURL("s", oauth2.S256ChallengeOption(verifier))).must("login-page").press("login-submit",
			"username", "ada", "password", testPassword)
		if who.sees("consent-page") {
			who.press("consent-allow")
		}
		tokens, err := config.Exchange(ctx, app.get("code"), oauth2.VerifierOption(verifier))
		if err != nil {
			t.Fatal(err)
		}
		if status := userinfo(t, issuer, tokens.AccessToken); status != http.StatusOK {
			t.Fatalf("control: %d", status)
		}
		kid := kidOf(t, tokens.AccessToken)
		if !slices.Contains(publishedKIDs(t, issuer), kid) {
			t.Fatal("control: the key is not published")
		}
		if r := latchkey(t, "", nil, on("keys", "revoke", kid, "nonsense")...); r.code == exitOK ||
			!strings.Contains(r.stderr, "nothing was revoked") {
			t.Errorf("an unknown kid: exit %d, %s", r.code, r.stderr)
		}
		done := into[[]listedKey](t, succeed(t, "", on("keys", "revoke", kid, "--json")...))
		states := map[string]int{}
		for _, k := range done {
			states[k.State]++
		}
		if states[keyRevoked] < 2 || states[keyActive] != 1 || states[keyNext] != 1 {
			t.Errorf("%v", states)
		}
		if status := userinfo(t, issuer, tokens.AccessToken); status != http.StatusUnauthorized {
			t.Errorf("a token of the revoked key: %d", status)
		}
		if slices.Contains(publishedKIDs(t, issuer), kid) {
			t.Error("the revoked key is published")
		}
		renewed, err := config.TokenSource(ctx, &oauth2.Token{RefreshToken: tokens.RefreshToken}).Token()
		if err != nil {
			t.Fatalf("the refresh token: %v", err)
		}
		if status := userinfo(t, issuer, renewed.AccessToken); status != http.StatusOK ||
			kidOf(t, renewed.AccessToken) == kid {
			t.Errorf("a new token: %d", status)
		}
		if list := succeed(t, "", on("keys", "list")...); !regexp.MustCompile(kid + ` .*revoked`).MatchString(list) {
			t.Errorf("%s", list)
		}
		if out := latchkey(t, "", nil, on("keys", "revoke", kid)...); out.code != exitOK ||
			!strings.Contains(out.stderr, "revoked before") {
			t.Errorf("again: exit %d, %s", out.code, out.stderr)
		}
		if out := succeed(t, "", on("keys", "revoke", "--all", "--json")...); !strings.Contains(out,
			kidOf(t, renewed.AccessToken)) {
			t.Errorf("--all: %s", out)
		}
		if status := userinfo(t, issuer, renewed.AccessToken); status != http.StatusUnauthorized {
			t.Errorf("after --all: %d", status)
		}
	})
	t.Run("the master key changes under a running server", func(t *testing.T) {
		masterKeyChanges(t, issuer, data, on, app, who)
	})
	if code := server.stop(); code != exitOK {
		t.Errorf("exit %d: %s", code, server.stderr)
	}
	log := server.stderr.String()
	for _, secret := range []string{testPassword, made.ClientSecret, tokens.AccessToken, tokens.RefreshToken, verifier,
		raw} {
		if strings.Contains(log, secret) {
			t.Errorf("the log has a secret: %.10s…", secret)
		}
	}
	if !strings.Contains(log, `"route":"/token"`) {
		t.Errorf("the log has no line for the token request: %s", log)
	}
}

// userinfo returns the status of the userinfo endpoint for an access token.
func userinfo(t testing.TB, issuer, token string) int {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, issuer+"/userinfo", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

// kidOf returns the kid in the header of a token.
func kidOf(t testing.TB, token string) string {
	t.Helper()
	h, err := keys.PeekHeader(token)
	if err != nil || h.KeyID == "" {
		t.Fatalf("%+v, %v", h, err)
	}
	return h.KeyID
}

// publishedKIDs returns the kids of the published key set.
func publishedKIDs(t testing.TB, issuer string) []string {
	t.Helper()
	resp, err := http.Get(issuer + "/jwks")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var set struct {
		Keys []struct {
			KID string `json:"kid"`
		} `json:"keys"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&set); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%d %v", resp.StatusCode, err)
	}
	var out []string
	for _, k := range set.Keys {
		out = append(out, k.KID)
	}
	return out
}

// sid is the session that a token is about.
func sid(t testing.TB, token string) string {
	t.Helper()
	_, rest, _ := strings.Cut(token, ".")
	payload, _, _ := strings.Cut(rest, ".")
	text, err := base64.RawURLEncoding.DecodeString(payload)
	if err != nil {
		t.Fatal(err)
	}
	claims := into[struct {
		SID string `json:"sid"`
	}](t, string(text))
	if claims.SID == "" {
		t.Fatalf("no sid in %s", text)
	}
	return claims.SID
}

func TestServersSayWhatIsInTheirWay(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	port := freePorts(t, 1)
	serveAt(t, port, data)
	taken := "127.0.0.1:" + strconv.Itoa(port)

	r := latchkey(t, "", nil, "serve", "--data", t.TempDir(), "--listen", taken, "--issuer", "http://localhost:1234")
	if r.code != exitFailed || strings.Count(r.stderr, "\n") != 1 || !strings.Contains(r.stderr, strconv.Itoa(port)) ||
		!strings.Contains(r.stderr, "--listen") {
		t.Errorf("a taken port: exit %d, %q", r.code, r.stderr)
	}
	free := "127.0.0.1:" + strconv.Itoa(freePorts(t, 1))
	r = latchkey(t, "", []string{"LATCHKEY_METRICS_LISTEN="}, "serve", "--data", data, "--listen", free, "--issuer",
		"http://localhost:1234")
	if r.code != exitFailed || strings.Count(r.stderr, "\n") != 1 || !strings.Contains(r.stderr, "in use") {
		t.Errorf("a second server on one database: exit %d, %q", r.code, r.stderr)
	}
	r = latchkey(t, "", nil, "demo", "--port", strconv.Itoa(port))
	if r.code != exitFailed || strings.Count(r.stderr, "\n") != 1 || !strings.Contains(r.stderr, strconv.Itoa(port)) ||
		!strings.Contains(r.stderr, "--port") {
		t.Errorf("a demonstration on a taken port: exit %d, %q", r.code, r.stderr)
	}
}

func TestHealthAndMetricsOnASecondListener(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	port := freePorts(t, 2)
	public, inner := "127.0.0.1:"+strconv.Itoa(port), "127.0.0.1:"+strconv.Itoa(port+1)
	r := start(t, []string{"LATCHKEY_METRICS_LISTEN=" + inner}, "serve", "--data", data, "--listen", public, "--issuer",
		"http://"+public)
	r.await(r.stderr, "msg=ready")
	get := func(address string) (int, string) {
		resp, err := http.Get(address)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(body)
	}
	for _, address := range []string{"http://" + public + "/healthz", "http://" + public + "/readyz", "http://" +
		inner + "/healthz", "http://" + inner + "/readyz"} {
		if status, body := get(address); status != http.StatusOK {
			t.Errorf("%s: %d %s", address, status, body)
		}
	}
	if status, body := get("http://" + inner + "/metrics"); status != http.StatusOK ||
		!strings.Contains(body, "latchkey_http_request_duration_seconds") {
		t.Errorf("metrics: %d %s", status, body)
	}
	for _, path := range []string{"/metrics", "/debug/pprof/", "/debug/vars"} {
		if status, _ := get("http://" + public + path); status != http.StatusNotFound {
			t.Errorf("%s at the public address: %d", path, status)
		}
	}
	if status, _ := get("http://" + inner + "/.well-known/openid-configuration"); status != http.StatusNotFound {
		t.Errorf("the inner listener serves people: %d", status)
	}
	if out := succeed(t, "", "healthcheck", "--listen", public); out != "ready\n" {
		t.Errorf("healthcheck: %q", out)
	}
	if code := r.stop(); code != exitOK {
		t.Errorf("exit %d", code)
	}
	if r := latchkey(t, "", nil, "healthcheck", "--listen", public); r.code != exitFailed {
		t.Errorf("healthcheck of nobody: exit %d", r.code)
	}
}

func TestASlowRequestIsFinishedBeforeTheServerEnds(t *testing.T) {
	t.Parallel()
	port := freePorts(t, 1)
	r := serveAt(t, port, t.TempDir())
	addr := "127.0.0.1:" + strconv.Itoa(port)
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	// Half a request is under way when the server is told to stop, and the other half follows.
	const body = "grant_type=authorization_code&code=x&client_id=nobody"
	if _, err := io.WriteString(conn, "POST /token HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\nExpect: 100-continue\r\nContent-Length: "+strconv.Itoa(len(body))+"\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 4096)
	if n, err := conn.Read(answer); err != nil || !strings.Contains(string(answer[:n]), "100 Continue") {
		t.Fatalf("%s %v", answer[:n], err)
	}
	stopped := make(chan int)
	go func() { stopped <- r.stop() }()
	r.await(r.stderr, `"msg":"stopping"`)
	if _, err := io.WriteString(conn, body); err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(conn)
	if err != nil || !strings.Contains(string(rest), "invalid_client") {
		t.Errorf("the answer was lost: %q %v", rest, err)
	}
	if code := <-stopped; code != exitOK {
		t.Errorf("exit %d: %s", code, r.stderr)
	}
}

func TestADatabaseWithoutItsMasterKeyIsRefused(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(t *testing.T, file string) string{
		"missing": func(t *testing.T, file string) string { remove(t, file); return "missing" },
		"of another": func(t *testing.T, file string) string {
			rewrite(t, file, otherKey,
				0o600)
			return "not the one"
		},
		"empty": func(t *testing.T, file string) string { rewrite(t, file, "", 0o600); return "empty" },
		"cut": func(t *testing.T, file string) string {
			rewrite(t, file, otherKey[:20],
				0o600)
			return "bytes"
		},
		"world-readable": func(t *testing.T, file string) string { rewrite(t, file, otherKey, 0o644); return "others" },
		"a folder": func(t *testing.T, file string) string {
			remove(t, file)
			mkdir(t,
				file)
			return "not a file"
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			data := t.TempDir()
			succeed(t, "", "group", "create", "staff", "--data", data)
			want := damage(t, data+"/master.key")
			for _, args := range [][]string{
				{"serve", "--issuer", "http://localhost:1", "--listen", "127.0.0.1:" + strconv.Itoa(freePorts(t, 1))},
				{"group", "list"}, {"keys", "rotate"}, {"client", "create", "--name", "X", "--type", "service"},
			} {
				r := latchkey(t, "", []string{"LATCHKEY_METRICS_LISTEN="}, append(args, "--data", data)...)
				if r.code != exitFailed || !strings.Contains(r.stderr, want) {
					t.Errorf("%s: exit %d, %s", args[0], r.code, r.stderr)
				}
				if strings.Contains(r.stderr, otherKey) {
					t.Error("the key was printed")
				}
			}
		})
	}
}

func TestWhatTheCommandsPrintIsStable(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	at := func(args ...string) []string { return append(args, "--data", data) }
	members := func(text string) []string {
		var out []string
		for k := range into[map[string]any](t, text) {
			out = append(out, k)
		}
		slices.Sort(out)
		return out
	}
	want := func(what string, got []string, names string) {
		t.Helper()
		if !slices.Equal(got, strings.Fields(names)) {
			t.Errorf("%s prints %v, want %s", what, got, names)
		}
	}
	succeed(t, "", at("group", "create", "staff")...)
	want("group create", members(succeed(t, "", at("group", "create", "admins", "--role", "admin", "--description", "d",
		"--json")...)), "created_at description name roles")
	want("user create", members(succeed(t, testPassword, at("user", "create", "ada", "--email", "a@example.com",
		"--group", "staff", "--password-stdin", "--json")...)),
		"claims created_at groups sub updated_at username")
	want("client create", members(succeed(t, "", at("client", "create", "--name", "N", "--redirect-uri",
		"https://n.example.com/cb", "--issuer", "https://id.example.com", "--json")...)),
		"application_type client_id client_name client_secret created_at discovery grant_types id_token_signed_response_alg issuer redirect_uris response_types subject_type token_endpoint_auth_method type updated_at")
	id := into[[]clients.Client](t, succeed(t, "", at("client", "list", "--json")...))[0].ID
	want("client show", members(succeed(t, "", at("client", "show", id, "--json")...)),
		"application_type client_id client_name created_at grant_types id_token_signed_response_alg redirect_uris response_types subject_type token_endpoint_auth_method type updated_at")
	if secret := members(succeed(t, "", at("client", "rotate-secret", id, "--json")...)); !slices.Contains(secret,
		"client_secret") {
		t.Errorf("rotate-secret prints %v", secret)
	}
	want("token create", members(succeed(t, "", at("token", "create", "--json")...)), "expires_at initial_access_token")
	want("api-key create", members(succeed(t, "", at("api-key", "create", "ada", "--name", "report", "--scope",
		"admin:people.read", "--json")...)),
		"api_key created_at expires_at id name scope sub")
	key := into[[]shownAPIKey](t, succeed(t, "", at("api-key", "list", "--json")...))
	if len(key) != 1 || key[0].Name != "report" || key[0].Key != "" || !key[0].RevokedAt.IsZero() {
		t.Errorf("%+v", key)
	}
	succeed(t, "", at("api-key", "revoke", key[0].ID)...)
	if key = into[[]shownAPIKey](t, succeed(t, "", at("api-key", "list", "--json")...)); key[0].RevokedAt.IsZero() {
		t.Errorf("%+v", key)
	}
	want("why", members(succeed(t, "", at("why", "ADA", id, "--json")...)), "allowed client_id rule sub text")
	want("audit verify", members(succeed(t, "", at("audit", "verify", "--json")...)),
		"events expired faults head open seals seen")
	if r := latchkey(t, "", nil, at("audit", "verify", "--expect", "0123")...); r.code != exitFailed ||
		!strings.Contains(r.stdout, "no seal has the hash 0123") {
		t.Errorf("audit verify: %+v", r)
	}
	if said := succeed(t, "", at("doctor", id)...); said != "" {
		t.Errorf("doctor: %q", said)
	}
	if r := latchkey(t, "", nil, at("doctor", "NOWHERE")...); r.code == 0 {
		t.Errorf("doctor of nothing: %+v", r)
	}
	if why := succeed(t, "", at("why", "ada", id)...); why != "yes: the application is for everybody\n" {
		t.Errorf("why: %q", why)
	}
	want("version", members(succeed(t, "", "version", "--json")), "commit version")
	if list := succeed(t, "", at("user", "list", "--json")...); strings.Contains(list, "argon2") {
		t.Errorf("a password hash was printed: %s", list)
	}
}

func TestCommandsAskedForInTheWrongWayExitWith2AndSayHow(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	for _, args := range [][]string{
		{"nothing"}, {"user"}, {"user", "nothing"}, {"user", "create"}, {"user", "create", "a", "b"},
		{"user", "create", "ada", "--password=secret-on-the-command-line"},
		{"user", "create", "ada", "--data", data}, // nobody is there to type a password
		{"client", "create", "--type", "desktop", "--data", data}, {"client", "create", "--data", data},
		{"client", "show"},
		{"keys", "rotate", "HS256", "--data", data}, {"token", "create", "--valid", "soon"},
		{"demo", "--port", "70000"}, {"serve", "now"}, {"apply"}, {"group", "add", "staff"},
	} {
		r := latchkey(t, "", nil, args...)
		if r.code != exitUsage || !strings.Contains(r.stderr, "--help") || r.stdout != "" {
			t.Errorf("latchkey %s: exit %d, %q %q", strings.Join(args, " "), r.code, r.stdout, r.stderr)
		}
	}
	for _, args := range [][]string{
		{"user", "show", "nobody"}, {"user", "list", "--data", data + "/not-there"}, {"client", "show", "nothing"},
		{"group", "add", "nothing", "nobody"},
		{"user", "create", "ada", "--no-password", "--group", "nothing"}, {"user", "create", "ada", "--no-password",
			"--email", "no address"},
		{"client", "create", "--name", "N", "--redirect-uri", "http://n.example.com/cb"}, {"client", "create", "--name",
			"N", "--redirect-uri", "https://*.example.com/cb"},
		{"client", "create", "--name", "N", "--type", "spa", "--redirect-uri", "https://n.example.com/cb",
			"--without-pkce"},
		{"client", "create", "--name", "N", "--redirect-uri", "https://n.example.com/cb", "--id-token-alg", "none"},
		{"client", "create", "--name", "N", "--redirect-uri", "https://n.example.com/cb", "--group", "nothing"},
	} {
		if !slices.Contains(args, "--data") {
			args = append(args, "--data", data)
		}
		succeed(t, "", "group", "list", "--data", seeded(t, data))
		if r := latchkey(t, "", nil, args...); r.code == exitOK || r.code == exitUsage || r.stderr == "" {
			t.Errorf("latchkey %s: exit %d, %q", strings.Join(args, " "), r.code, r.stderr)
		}
	}
	if left := succeed(t, "", "client", "list", "--data", data, "--json"); strings.TrimSpace(left) != "[]" {
		t.Errorf("a refused command left something behind: %s", left)
	}
}

func TestAPasswordIsJudgedBeforeItIsSet(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	for password, why := range map[string]string{"tiny-1": "10", "password123": "", "ada-ada-ada": ""} {
		r := latchkey(t, password+"\n", nil, "user", "create", "ada", "--password-stdin", "--data", data)
		if r.code != exitRefused || !strings.Contains(r.stderr, why) || strings.Contains(r.stderr, password) {
			t.Errorf("%q: exit %d, %s", password, r.code, r.stderr)
		}
	}
	if r := latchkey(t, "", nil, "user", "create", "ada", "--password-stdin", "--data", data); r.code != exitFailed {
		t.Errorf("an empty standard input: exit %d", r.code)
	}
	succeed(t, testPassword, "user", "create", "ada", "--password-stdin", "--data", data)
	if r := latchkey(t, testPassword, nil, "user", "create", "ADA", "--password-stdin", "--data",
		data); r.code != exitConflict || !strings.Contains(r.stderr, "taken") {
		t.Errorf("twice: %d %s", r.code, r.stderr)
	}
}

func TestHashingLeavesRoomForOtherRequests(t *testing.T) {
	before := runtime.GOMAXPROCS(0)
	defer runtime.GOMAXPROCS(before)
	runtime.GOMAXPROCS(1)
	leaveRoom(1)
	if got := runtime.GOMAXPROCS(0); got != 2 {
		t.Errorf("beside one hash on one processor %d goroutines run at once", got)
	}
	runtime.GOMAXPROCS(8)
	leaveRoom(2)
	if got := runtime.GOMAXPROCS(0); got != 8 {
		t.Errorf("there was room already, and now %d goroutines run at once", got)
	}
	// By default there is one hash for each processor, and a second server in one process has no
	// more of them than the first.
	first := people.NewHasher(people.Params{}, 0).Concurrency()
	leaveRoom(first)
	if second := people.NewHasher(people.Params{}, 0).Concurrency(); second != first || runtime.GOMAXPROCS(0) <= first {
		t.Errorf("%d hashes, then %d, beside %d goroutines", first, second, runtime.GOMAXPROCS(0))
	}
}
