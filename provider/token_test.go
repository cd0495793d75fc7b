package provider

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"latchkey/keys"
	"latchkey/provider/clients"
	"latchkey/provider/oauth"
	"latchkey/provider/storage"
)

// sessionFor stores a session of the person, as a sign-in leaves it.
func (w *world) sessionFor(u storage.User) storage.Session {
	w.t.Helper()
	now := w.now()
	s := storage.Session{ID: random()[:22], SecretHash: storage.Hash(random()), UserID: u.ID, AuthTime: now, AMR: []string{"pwd"}, ACR: ACRPassword,
		State: random()[:22], CreatedAt: now, LastSeen: now, IdleAt: now.Add(w.SessionIdle), ExpiresAt: now.Add(w.SessionAbsolute)}
	if err := w.Store.CreateSession(context.Background(), s); err != nil {
		w.t.Fatal(err)
	}
	return s
}

// authorized stores a grant with a code, as an authorization request leaves it; bend changes it before.
func (w *world) authorized(c clients.Client, u storage.User, scope string, bend ...func(*storage.Grant)) (code string, grant storage.Grant) {
	w.t.Helper()
	s, now := w.sessionFor(u), w.now()
	grant = storage.Grant{
		ID: random()[:22], UserID: u.ID, ClientID: c.ID, SessionID: s.ID, Scope: strings.Fields(scope), Nonce: "N1",
		AuthTime: s.AuthTime, AMR: s.AMR, ACR: s.ACR, Offline: strings.Contains(scope, oauth.ScopeOfflineAccess),
		CreatedAt: now, LastUsed: now, ExpiresAt: now.Add(w.AccessTokenTTL), RedirectURI: c.RedirectURIs[0], CodeChallenge: testChallenge,
		CodeExpiresAt: now.Add(w.CodeTTL),
	}
	code, grant.CodeHash = newCode(grant.ID)
	for _, f := range bend {
		f(&grant)
	}
	if err := w.Store.CreateGrant(context.Background(), grant); err != nil {
		w.t.Fatal(err)
	}
	return code, grant
}

// tokens is authorized and redeemed.
func (w *world) tokens(c clients.Client, u storage.User, scope string, bend ...func(*storage.Grant)) answerJSON {
	w.t.Helper()
	code, _ := w.authorized(c, u, scope, bend...)
	a := w.redeem(c, code)
	if a.StatusCode != http.StatusOK {
		w.t.Fatalf("redeem: %d %v\n%s", a.StatusCode, a.JSON, w.log)
	}
	return a
}

// renew uses a refresh token; change adds, replaces, or with "" removes parameters.
func (w *world) renew(c clients.Client, token string, change ...string) answerJSON {
	w.t.Helper()
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}}
	if c.Public() {
		form.Set("client_id", c.ID)
	}
	for i := 0; i+1 < len(change); i += 2 {
		form.Del(change[i])
		if change[i+1] != "" {
			form.Set(change[i], change[i+1])
		}
	}
	return w.call("/token", c, form)
}

// whois asks userinfo.
func (w *world) whois(token string) answerJSON {
	w.t.Helper()
	r, err := http.NewRequest("GET", w.Issuer+"/userinfo", nil)
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	return w.send(r)
}

// asks introspects a token.
func (w *world) asks(c clients.Client, token string, also ...string) answerJSON {
	w.t.Helper()
	form := url.Values{"token": {token}}
	for i := 0; i+1 < len(also); i += 2 {
		form.Set(also[i], also[i+1])
	}
	return w.call("/introspect", c, form)
}

// mustRefuse checks a refusal of an endpoint for programs: status and code, JSON, and that nobody keeps it.
func mustRefuse(t testing.TB, a answerJSON, status int, code oauth.Code) {
	t.Helper()
	if a.StatusCode != status || a.str("error") != string(code) {
		t.Errorf("%d %v, want %d %s", a.StatusCode, a.JSON, status, code)
	}
	if a.Header.Get("Cache-Control") != "no-store" || a.Header.Get("Content-Type") != "application/json" {
		t.Errorf("headers %v", a.Header)
	}
	for _, name := range []string{"access_token", "id_token", "refresh_token"} {
		if _, has := a.JSON[name]; has {
			t.Errorf("a refusal with %s", name)
		}
	}
}

func mustWork(t testing.TB, a answerJSON) {
	t.Helper()
	if a.StatusCode != http.StatusOK {
		t.Errorf("%d %v, want success", a.StatusCode, a.JSON)
	}
}

// public makes a client public.
func public(c *clients.Client) { c.TokenEndpointAuthMethod, c.SecretHash = oauth.AuthNone, nil }

// service makes a client that acts for itself.
func service(c *clients.Client) {
	c.Type, c.RedirectURIs, c.ResponseTypes = clients.TypeService, nil, nil
	c.GrantTypes, c.Scope = []string{oauth.GrantClientCredentials}, "api:read api:write"
}

// api makes a client that is a resource server for the identifiers.
func api(audience ...string) func(*clients.Client) {
	return func(c *clients.Client) {
		c.Type, c.RedirectURIs, c.ResponseTypes, c.GrantTypes, c.Audience = clients.TypeAPI, nil, nil, nil, audience
	}
}

// faults is a store that fails on command.
type faults struct {
	storage.Store
	mu     sync.Mutex
	failed map[string]bool
}

func (f *faults) set(on bool, methods ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, m := range methods {
		f.failed[m] = on
	}
}

func (f *faults) err(method string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.failed[method] {
		return fmt.Errorf("%w: /var/lib/store is on fire", storage.ErrUnavailable)
	}
	return nil
}

func (f *faults) Client(ctx context.Context, id string) (clients.Client, error) {
	if err := f.err("Client"); err != nil {
		return clients.Client{}, err
	}
	return f.Store.Client(ctx, id)
}

func (f *faults) User(ctx context.Context, id string) (storage.User, error) {
	if err := f.err("User"); err != nil {
		return storage.User{}, err
	}
	return f.Store.User(ctx, id)
}

func (f *faults) Session(ctx context.Context, id string) (storage.Session, error) {
	if err := f.err("Session"); err != nil {
		return storage.Session{}, err
	}
	return f.Store.Session(ctx, id)
}

func (f *faults) Grant(ctx context.Context, id string) (storage.Grant, error) {
	if err := f.err("Grant"); err != nil {
		return storage.Grant{}, err
	}
	return f.Store.Grant(ctx, id)
}

func (f *faults) RedeemCode(ctx context.Context, id, hash string, now, idle, expires time.Time) (storage.Grant, error) {
	if err := f.err("RedeemCode"); err != nil {
		return storage.Grant{}, err
	}
	return f.Store.RedeemCode(ctx, id, hash, now, idle, expires)
}

func (f *faults) RotateRefresh(ctx context.Context, id string, generation int64, now, idle time.Time) (storage.Grant, error) {
	if err := f.err("RotateRefresh"); err != nil {
		return storage.Grant{}, err
	}
	return f.Store.RotateRefresh(ctx, id, generation, now, idle)
}

func (f *faults) RevokeGrant(ctx context.Context, id string, now time.Time) error {
	if err := f.err("RevokeGrant"); err != nil {
		return err
	}
	return f.Store.RevokeGrant(ctx, id, now)
}

func (f *faults) Token(ctx context.Context, kind, hash string) (storage.Token, error) {
	if err := f.err("Token"); err != nil {
		return storage.Token{}, err
	}
	return f.Store.Token(ctx, kind, hash)
}

func (f *faults) DeleteToken(ctx context.Context, kind, hash string) error {
	if err := f.err("DeleteToken"); err != nil {
		return err
	}
	return f.Store.DeleteToken(ctx, kind, hash)
}

func (f *faults) Spend(ctx context.Context, kind, id string, now, expires time.Time) error {
	if err := f.err("Spend"); err != nil {
		return err
	}
	return f.Store.Spend(ctx, kind, id, now, expires)
}

func (f *faults) Spent(ctx context.Context, kind, id string, now time.Time) (bool, error) {
	if err := f.err("Spent"); err != nil {
		return false, err
	}
	return f.Store.Spent(ctx, kind, id, now)
}

func (f *faults) KeySet(ctx context.Context) (keys.KeySet, error) {
	if err := f.err("KeySet"); err != nil {
		return keys.KeySet{}, err
	}
	return f.Store.KeySet(ctx)
}

// withFaults puts a store that can fail in front of the real one.
func withFaults(f **faults) func(*Config) {
	return func(c *Config) {
		*f = &faults{Store: c.Store, failed: map[string]bool{}}
		c.Store = *f
	}
}

// atOnce makes n calls that start together, and returns the answers with status 200 and the others.
func atOnce(n int, call func() answerJSON) (won []answerJSON, lost []answerJSON) {
	var mu sync.Mutex
	var ready, done sync.WaitGroup
	gate := make(chan struct{})
	ready.Add(n)
	for range n {
		done.Go(func() {
			ready.Done()
			<-gate
			a := call()
			mu.Lock()
			defer mu.Unlock()
			if a.StatusCode == http.StatusOK {
				won = append(won, a)
			} else {
				lost = append(lost, a)
			}
		})
	}
	ready.Wait()
	close(gate)
	done.Wait()
	return won, lost
}

func TestTokenEndpoint(t *testing.T) {
	t.Parallel()
	w := newTestProvider(t)
	alice, a := w.addUser("alice"), w.addClient("web-a")
	svc := w.addClient("svc", service)
	everything := url.Values{"grant_type": {"client_credentials"}}
	mustWork(t, w.call("/token", svc, everything))

	t.Run("RFC 6749 §5.1 the answer is complete and nobody keeps it", func(t *testing.T) {
		got := w.tokens(a, alice, "openid profile")
		if got.str("token_type") != "Bearer" || got.JSON["expires_in"] != float64(600) || got.str("scope") != "openid profile" ||
			got.str("access_token") == "" || got.str("id_token") == "" || got.JSON["refresh_token"] != nil {
			t.Errorf("%v", got.JSON)
		}
		if got.Header.Get("Cache-Control") != "no-store" || got.Header.Get("Pragma") != "no-cache" || got.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%v", got.Header)
		}
	})
	t.Run("RFC 6749 §3.2 POST only", func(t *testing.T) {
		for _, method := range []string{"GET", "HEAD", "PUT", "DELETE", "PATCH", "TRACE"} {
			r, err := http.NewRequest(method, w.Issuer+"/token?grant_type=client_credentials", nil)
			if err != nil {
				t.Fatal(err)
			}
			r.SetBasicAuth("svc", testSecret)
			if got := w.send(r); got.StatusCode != http.StatusMethodNotAllowed || !strings.Contains(got.Header.Get("Allow"), "POST") {
				t.Errorf("%s: %d, Allow %q", method, got.StatusCode, got.Header.Get("Allow"))
			}
		}
	})
	t.Run("RFC 6749 §2.3.1 what stands in the URL counts for nothing, and is not logged", func(t *testing.T) {
		post := func(query, body string) answerJSON {
			r, err := http.NewRequest("POST", w.Issuer+"/token?"+query, strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			return w.send(r)
		}
		q := url.Values{"client_id": {"svc"}, "client_secret": {"url-" + testSecret}, "grant_type": {"client_credentials"}}
		mustRefuse(t, post(q.Encode(), ""), http.StatusUnauthorized, oauth.InvalidClient)
		mustRefuse(t, post("client_secret=url-"+testSecret, "client_id=svc&grant_type=client_credentials"), http.StatusUnauthorized, oauth.InvalidClient)
		mustRefuse(t, post("grant_type=client_credentials", "client_id=svc"), http.StatusUnauthorized, oauth.InvalidClient)
		if strings.Contains(w.log.String(), testSecret) {
			t.Error("the secret is in the log")
		}
	})
	t.Run("RFC 6749 §3.2 a repeated parameter is refused", func(t *testing.T) {
		for _, name := range []string{"grant_type", "scope", "client_id", "client_secret", "code", "code_verifier", "refresh_token", "x"} {
			form := url.Values{"grant_type": {"client_credentials"}}
			form[name] = []string{"client_credentials", "client_credentials"}
			mustRefuse(t, w.call("/token", svc, form), http.StatusBadRequest, oauth.InvalidRequest)
		}
	})
	t.Run("content types, charsets and sizes", func(t *testing.T) {
		for _, c := range []struct {
			contentType, body string
			status            int
		}{
			{"application/json", `{"grant_type":"client_credentials"}`, 415},
			{"multipart/form-data; boundary=x", "--x--", 415},
			{"text/plain", "grant_type=client_credentials", 415},
			{"", "grant_type=client_credentials", 415},
			{"application/x-www-form-urlencoded; charset=utf-16", "grant_type=client_credentials", 415},
			{"application/x-www-form-urlencoded", "grant_type=client_credentials&x=%C0%AF", 400},
			{"application/x-www-form-urlencoded", "grant_type=client_credentials&x=%00", 400},
			{"application/x-www-form-urlencoded", "grant_type=client_credentials&x=%zz", 400},
			{"application/x-www-form-urlencoded", "grant_type=client_credentials;x=y", 400},
			{"application/x-www-form-urlencoded", "grant_type=client_credentials" + strings.Repeat("&a", 1), 200},
			{"application/x-www-form-urlencoded", strings.Repeat("a=1&", 100000), 413},
			{"application/x-www-form-urlencoded; charset=UTF-8", "grant_type=client_credentials", 200},
		} {
			r, err := http.NewRequest("POST", w.Issuer+"/token", strings.NewReader(c.body))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Content-Type", c.contentType)
			r.SetBasicAuth("svc", testSecret)
			if got := w.send(r); got.StatusCode != c.status {
				t.Errorf("%s, %.60s: %d %v, want %d", c.contentType, c.body, got.StatusCode, got.JSON, c.status)
			}
		}
	})
	t.Run("RFC 6749 §5.2 grant types", func(t *testing.T) {
		for grantType, want := range map[string]oauth.Code{
			"": oauth.InvalidRequest, "password": oauth.UnsupportedGrantType, "foo": oauth.UnsupportedGrantType, "implicit": oauth.UnsupportedGrantType,
			"urn:ietf:params:oauth:grant-type:device_code":    oauth.UnsupportedGrantType,
			"urn:ietf:params:oauth:grant-type:token-exchange": oauth.UnsupportedGrantType,
			"authorization_code":                              oauth.UnauthorizedClient, "refresh_token": oauth.UnauthorizedClient,
		} {
			mustRefuse(t, w.call("/token", svc, url.Values{"grant_type": {grantType}, "username": {"alice"}, "password": {testPassword}}), http.StatusBadRequest, want)
		}
		mustRefuse(t, w.call("/token", a, everything), http.StatusBadRequest, oauth.UnauthorizedClient)
	})
}

func TestTokenEndpointFromABrowserOnAnotherOrigin(t *testing.T) {
	t.Parallel()
	w := newTestProvider(t)
	spa := w.addClient("spa", public, func(c *clients.Client) { c.CORSOrigins = []string{"https://spa.example"} })
	for _, path := range []string{"/token", "/userinfo", "/revoke"} {
		for origin, want := range map[string]string{
			"https://spa.example": "https://spa.example", "https://evil.test": "", "null": "", "https://spa.example.evil.test": "",
			"http://spa.example": "", "https://SPA.example": "", "file://": "",
		} {
			for _, method := range []string{"OPTIONS", "POST"} {
				r, err := http.NewRequest(method, w.Issuer+path, strings.NewReader("client_id="+spa.ID))
				if err != nil {
					t.Fatal(err)
				}
				r.Header.Set("Origin", origin)
				r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				got := w.send(r)
				if got.Header.Get("Access-Control-Allow-Origin") != want || got.Header.Get("Access-Control-Allow-Credentials") != "" || !strings.Contains(got.Header.Get("Vary"), "Origin") {
					t.Errorf("%s %s from %s: %v", method, path, origin, got.Header)
				}
			}
		}
	}
}

func TestSeveralInstancesAgree(t *testing.T) {
	t.Parallel()
	w := newTestProvider(t)
	alice, spa := w.addUser("alice"), w.addClient("spa", public)
	key := ecKey(t)
	w.addClient("jwt-j", byKey(t, "ES256", map[string]any{"j1": key.Public()}))
	cfg := w.Config
	cfg.Keys = testRing(t, cfg)
	second, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(second.Handler())
	t.Cleanup(server.Close)
	var turn atomic.Int32
	// half sends every other request to the second instance, which knows the first one's name.
	half := func(form url.Values) func() answerJSON {
		return func() answerJSON {
			at := w.Issuer
			if turn.Add(1)%2 == 0 {
				at = server.URL
			}
			r, err := http.NewRequest("POST", at+"/token", strings.NewReader(form.Encode()))
			if err != nil {
				t.Error(err)
			}
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			return w.send(r)
		}
	}
	for range 4 {
		code, _ := w.authorized(spa, alice, offline)
		won, lost := atOnce(50, half(url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {spa.RedirectURIs[0]}, "code_verifier": {testVerifier}, "client_id": {"spa"}}))
		if len(won) != 1 || len(lost) != 49 {
			t.Errorf("RFC 6749 §4.1.2: %d token sets", len(won))
		}
		got := w.tokens(spa, alice, offline)
		won, _ = atOnce(50, half(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {got.str("refresh_token")}, "client_id": {"spa"}}))
		successors := map[string]bool{}
		for _, a := range won {
			successors[a.str("refresh_token")] = true
		}
		if len(successors) != 1 {
			t.Errorf("%d successors", len(successors))
		}
		assertion := signJWT(t, jose.ES256, key, w.assertionOf("jwt-j", nil), kid("j1"))
		won, _ = atOnce(16, half(url.Values{"grant_type": {"client_credentials"}, "client_assertion_type": {oauth.ClientAssertionTypeJWT}, "client_assertion": {assertion}}))
		if len(won) != 1 {
			t.Errorf("RFC 7523 §3: %d of one assertion", len(won))
		}
		w.clock.Advance(2 * time.Minute)
	}
}
