package providertest

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey/keys"
	"latchkey/provider"
	"latchkey/provider/clients"
	"latchkey/provider/grants"
	"latchkey/provider/oauth"
	"latchkey/provider/people"
	"latchkey/provider/storage"
)

// SessionFor stores a session of the person, as a sign-in leaves it.
func (w *World) SessionFor(u storage.User) storage.Session {
	w.t.Helper()
	now := w.Web.Now()
	s := storage.Session{ID: storage.ShortID(), SecretHash: storage.Hash(storage.Random()), UserID: u.ID, AuthTime: now, AMR: []string{"pwd"}, ACR: people.ACRPassword,
		State: storage.ShortID(), CreatedAt: now, LastSeen: now, IdleAt: now.Add(w.SessionIdle), ExpiresAt: now.Add(w.SessionAbsolute)}
	if err := w.Store.CreateSession(context.Background(), s); err != nil {
		w.t.Fatal(err)
	}
	return s
}

// Authorized stores a grant with a code, as an authorization request leaves it; bend changes it before.
func (w *World) Authorized(c clients.Client, u storage.User, scope string, bend ...func(*storage.Grant)) (code string, grant storage.Grant) {
	w.t.Helper()
	s, now := w.SessionFor(u), w.Web.Now()
	grant = storage.Grant{
		ID: storage.ShortID(), UserID: u.ID, ClientID: c.ID, SessionID: s.ID, Scope: strings.Fields(scope), Nonce: "N1",
		AuthTime: s.AuthTime, AMR: s.AMR, ACR: s.ACR, Offline: strings.Contains(scope, oauth.ScopeOfflineAccess),
		CreatedAt: now, LastUsed: now, ExpiresAt: now.Add(w.AccessTokenTTL), RedirectURI: c.RedirectURIs[0], CodeChallenge: TestChallenge,
		CodeExpiresAt: now.Add(w.CodeTTL),
	}
	code, grant.CodeHash = grants.NewCode(grant.ID)
	for _, f := range bend {
		f(&grant)
	}
	if err := w.Store.CreateGrant(context.Background(), grant); err != nil {
		w.t.Fatal(err)
	}
	return code, grant
}

// Tokens is authorized and redeemed.
func (w *World) Tokens(c clients.Client, u storage.User, scope string, bend ...func(*storage.Grant)) AnswerJSON {
	w.t.Helper()
	code, _ := w.Authorized(c, u, scope, bend...)
	a := w.Redeem(c, code)
	if a.StatusCode != http.StatusOK {
		w.t.Fatalf("redeem: %d %v\n%s", a.StatusCode, a.JSON, w.Log)
	}
	return a
}

// Renew uses a refresh token; change adds, replaces, or with "" removes parameters.
func (w *World) Renew(c clients.Client, token string, change ...string) AnswerJSON {
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
	return w.Call("/token", c, form)
}

// Whois asks userinfo.
func (w *World) Whois(token string) AnswerJSON {
	w.t.Helper()
	r, err := http.NewRequest("GET", w.Issuer+"/userinfo", nil)
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	return w.Send(r)
}

// Asks introspects a token.
func (w *World) Asks(c clients.Client, token string, also ...string) AnswerJSON {
	w.t.Helper()
	form := url.Values{"token": {token}}
	for i := 0; i+1 < len(also); i += 2 {
		form.Set(also[i], also[i+1])
	}
	return w.Call("/introspect", c, form)
}

// MustRefuse checks a refusal of an endpoint for programs: status and code, JSON, and that nobody keeps it.
func MustRefuse(t testing.TB, a AnswerJSON, status int, code oauth.Code) {
	t.Helper()
	if a.StatusCode != status || a.Str("error") != string(code) {
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

func MustWork(t testing.TB, a AnswerJSON) {
	t.Helper()
	if a.StatusCode != http.StatusOK {
		t.Errorf("%d %v, want success", a.StatusCode, a.JSON)
	}
}

// Public makes a client public.
func Public(c *clients.Client) { c.TokenEndpointAuthMethod, c.SecretHash = oauth.AuthNone, nil }

// Service makes a client that acts for itself.
func Service(c *clients.Client) {
	c.Type, c.RedirectURIs, c.ResponseTypes = clients.TypeService, nil, nil
	c.GrantTypes, c.Scope = []string{oauth.GrantClientCredentials}, "api:read api:write"
}

// API makes a client that is a resource server for the identifiers.
func API(audience ...string) func(*clients.Client) {
	return func(c *clients.Client) {
		c.Type, c.RedirectURIs, c.ResponseTypes, c.GrantTypes, c.Audience = clients.TypeAPI, nil, nil, nil, audience
	}
}

// Faults is a store that fails on command.
type Faults struct {
	storage.Store
	mu     sync.Mutex
	failed map[string]bool
}

func (f *Faults) Set(on bool, methods ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, m := range methods {
		f.failed[m] = on
	}
}

func (f *Faults) err(method string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.failed[method] {
		return fmt.Errorf("%w: /var/lib/store is on fire", storage.ErrUnavailable)
	}
	return nil
}

func (f *Faults) Client(ctx context.Context, id string) (clients.Client, error) {
	if err := f.err("Client"); err != nil {
		return clients.Client{}, err
	}
	return f.Store.Client(ctx, id)
}

func (f *Faults) User(ctx context.Context, id string) (storage.User, error) {
	if err := f.err("User"); err != nil {
		return storage.User{}, err
	}
	return f.Store.User(ctx, id)
}

func (f *Faults) Session(ctx context.Context, id string) (storage.Session, error) {
	if err := f.err("Session"); err != nil {
		return storage.Session{}, err
	}
	return f.Store.Session(ctx, id)
}

func (f *Faults) Grant(ctx context.Context, id string) (storage.Grant, error) {
	if err := f.err("Grant"); err != nil {
		return storage.Grant{}, err
	}
	return f.Store.Grant(ctx, id)
}

func (f *Faults) RedeemCode(ctx context.Context, id, hash string, now, idle, expires time.Time) (storage.Grant, error) {
	if err := f.err("RedeemCode"); err != nil {
		return storage.Grant{}, err
	}
	return f.Store.RedeemCode(ctx, id, hash, now, idle, expires)
}

func (f *Faults) RotateRefresh(ctx context.Context, id string, generation int64, now, idle time.Time) (storage.Grant, error) {
	if err := f.err("RotateRefresh"); err != nil {
		return storage.Grant{}, err
	}
	return f.Store.RotateRefresh(ctx, id, generation, now, idle)
}

func (f *Faults) RevokeGrant(ctx context.Context, id string, now time.Time) error {
	if err := f.err("RevokeGrant"); err != nil {
		return err
	}
	return f.Store.RevokeGrant(ctx, id, now)
}

func (f *Faults) Token(ctx context.Context, kind, hash string) (storage.Token, error) {
	if err := f.err("Token"); err != nil {
		return storage.Token{}, err
	}
	return f.Store.Token(ctx, kind, hash)
}

func (f *Faults) DeleteToken(ctx context.Context, kind, hash string) error {
	if err := f.err("DeleteToken"); err != nil {
		return err
	}
	return f.Store.DeleteToken(ctx, kind, hash)
}

func (f *Faults) Spend(ctx context.Context, kind, id string, now, expires time.Time) error {
	if err := f.err("Spend"); err != nil {
		return err
	}
	return f.Store.Spend(ctx, kind, id, now, expires)
}

func (f *Faults) Spent(ctx context.Context, kind, id string, now time.Time) (bool, error) {
	if err := f.err("Spent"); err != nil {
		return false, err
	}
	return f.Store.Spent(ctx, kind, id, now)
}

func (f *Faults) KeySet(ctx context.Context) (keys.KeySet, error) {
	if err := f.err("KeySet"); err != nil {
		return keys.KeySet{}, err
	}
	return f.Store.KeySet(ctx)
}

// WithFaults puts a store that can fail in front of the real one.
func WithFaults(f **Faults) func(*provider.Config) {
	return func(c *provider.Config) {
		*f = &Faults{Store: c.Store, failed: map[string]bool{}}
		c.Store = *f
	}
}

// AtOnce makes n calls that start together, and returns the answers with status 200 and the others.
func AtOnce(n int, call func() AnswerJSON) (won []AnswerJSON, lost []AnswerJSON) {
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
