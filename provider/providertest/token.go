package providertest

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"latchkey/provider"
	"latchkey/provider/clients"
	"latchkey/provider/grants"
	"latchkey/provider/oauth"
	"latchkey/provider/people"
	"latchkey/provider/storage"
	"latchkey/provider/storage/storagetest"
)

// SessionFor stores a session of the person, as a sign-in leaves it.
func (w *World) SessionFor(u storage.User) storage.Session {
	w.t.Helper()
	now := w.Web.Now()
	s := storage.Session{ID: storage.ShortID(), SecretHash: storage.Hash(storage.Random()), UserID: u.ID, AuthTime: now,
		AMR: []string{"pwd"}, ACR: people.ACRPassword,
		State: storage.ShortID(), CreatedAt: now, LastSeen: now, IdleAt: now.Add(w.SessionIdle),
		ExpiresAt: now.Add(w.SessionAbsolute)}
	if err := w.Store.CreateSession(context.Background(), s); err != nil {
		w.t.Fatal(err)
	}
	return s
}

// Authorized stores a grant with a code, as an authorization request leaves it; bend changes it
// before.
func (w *World) Authorized(c clients.Client, u storage.User, scope string, bend ...func(*storage.Grant)) (code string,
	grant storage.Grant) {
	w.t.Helper()
	s, now := w.SessionFor(u), w.Web.Now()
	grant = storage.Grant{
		ID: storage.ShortID(), UserID: u.ID, ClientID: c.ID, SessionID: s.ID, Scope: strings.Fields(scope), Nonce: "N1",
		AuthTime: s.AuthTime, AMR: s.AMR, ACR: s.ACR, Offline: strings.Contains(scope, oauth.ScopeOfflineAccess),
		CreatedAt: now, LastUsed: now, ExpiresAt: now.Add(w.AccessTokenTTL), RedirectURI: c.RedirectURIs[0],
		CodeChallenge: TestChallenge,
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

// MustRefuse checks a refusal of an endpoint for programs: status and code, JSON, and that nobody
// keeps it.
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

// Faults makes a store fail on command.
type Faults struct {
	mu     sync.Mutex
	failed map[storagetest.Call]bool
}

// calls is what the methods of a store ask of its engine.
var calls = map[string]storagetest.Call{
	"Client":        {Do: "get", Table: "clients"},
	"User":          {Do: "get", Table: "users"},
	"Session":       {Do: "get", Table: "sessions"},
	"Grant":         {Do: "get", Table: "grants"},
	"RedeemCode":    {Do: "update", Table: "grants"},
	"RotateRefresh": {Do: "update", Table: "grants"},
	"RevokeGrant":   {Do: "sweep", Table: "grants"},
	"Token":         {Do: "get", Table: "tokens"},
	"DeleteToken":   {Do: "remove", Table: "tokens"},
	"Spend":         {Do: "update", Table: "spent"},
	"Spent":         {Do: "get", Table: "spent"},
	"KeySet":        {Do: "get", Table: "key_set"},
}

// Set makes what these methods of the store ask of the database fail, or no longer. A method that
// is not in calls panics.
func (f *Faults) Set(on bool, methods ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, m := range methods {
		call, ok := calls[m]
		if !ok {
			panic("no fault for " + m)
		}
		f.failed[call] = on
	}
}

func (f *Faults) ask(_ context.Context, c storagetest.Call) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.failed[storagetest.Call{Do: c.Do, Table: c.Table}] {
		return errors.New("/var/lib/store is on fire")
	}
	return nil
}

// WithFaults puts a store that can fail in front of the real one.
func WithFaults(f **Faults) func(*provider.Config) {
	return func(c *provider.Config) {
		*f = &Faults{failed: map[storagetest.Call]bool{}}
		c.Store = storagetest.Intercept(c.Store, (*f).ask)
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
