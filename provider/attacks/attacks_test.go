package attacks_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"latchkey/provider"
	"latchkey/provider/clients"
	"latchkey/provider/oauth"
	"latchkey/provider/providertest"
	"latchkey/provider/registration"
	"latchkey/provider/storage"
	"latchkey/provider/storage/storagetest"
)

// attack is one case: its number in docs/attacks.md, what holds, and what tries to break it.
type attack struct {
	id, holds string
	try       func(*trial)
}

// trial is an attack under way on one store. What it makes has names of its own, because cases of a
// group share a provider.
type trial struct {
	*testing.T
	w        *providertest.World
	fresh    func(bend ...func(*provider.Config)) *providertest.World
	name     string
	controls int
}

// group tries attacks one after the other, on each store at the same time. Registration is open,
// unless bend says otherwise.
func group(t *testing.T, attacks ...attack) {
	t.Helper()
	t.Parallel()
	for kind, open := range map[string]func(*testing.T) *storage.Store{
		"SQLite": func(t *testing.T) *storage.Store {
			s, err := storage.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "latchkey.db"))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = s.Close() })
			return s
		},
		"MongoDB": func(t *testing.T) *storage.Store { return storagetest.MongoDB(t) },
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			on := func(t *testing.T, bend ...func(*provider.Config)) *providertest.World {
				s := open(t)
				return providertest.New(t, append([]func(*provider.Config){func(c *provider.Config) { c.Store, c.Registration = s, registration.Open }}, bend...)...)
			}
			w := on(t)
			for _, a := range attacks {
				t.Run(a.id+" "+a.holds, func(t *testing.T) {
					c := &trial{T: t, w: w.In(t), name: strings.ToLower(a.id) + "-"}
					c.fresh = func(bend ...func(*provider.Config)) *providertest.World { return on(t, bend...) }
					a.try(c)
					if c.controls == 0 {
						t.Error("nothing was done as it should be: a refusal says nothing without that")
					}
					// Whatever was counted against this machine's address is not held against the
					// next.
					w.Forgive()
					w.Clock.Advance(time.Hour)
				})
			}
		})
	}
}

// control notes what has to succeed for a refusal to mean something.
func (c *trial) control(ok bool, what string, args ...any) {
	c.Helper()
	c.controls++
	if !ok {
		c.Fatalf("the control failed: "+what, args...)
	}
}

// works is a control that a program's endpoint answers.
func (c *trial) works(a providertest.AnswerJSON) providertest.AnswerJSON {
	c.Helper()
	c.control(a.StatusCode == http.StatusOK || a.StatusCode == http.StatusCreated, "%d %v", a.StatusCode, a.JSON)
	return a
}

// code is a control that the browser is sent to the application with a code.
func (c *trial) code(p providertest.Page) string {
	c.Helper()
	code := p.Answer().Get("code")
	c.control(code != "", "no code: %d %s", p.StatusCode, p.Header.Get("Location"))
	return code
}

func (c *trial) user(name string, groups ...string) storage.User {
	c.Helper()
	return c.w.AddUser(c.name+name, groups...)
}

func (c *trial) client(id string, bend ...func(*clients.Client)) clients.Client {
	c.Helper()
	return c.w.AddClient(c.name+id, bend...)
}

func (c *trial) must(err error) {
	c.Helper()
	if err != nil {
		c.Fatal(err)
	}
}

// signedIn is a browser in which a new person is signed in.
func (c *trial) signedIn(name string) (*providertest.Browser, storage.Session, storage.User) {
	c.Helper()
	u := c.user(name)
	b, s := c.w.SignedIn(u)
	return b, s, u
}

// change reads a client, and stores it changed.
func (c *trial) change(client clients.Client, bend func(*clients.Client)) {
	c.Helper()
	now, err := c.w.Store.Client(c.Context(), client.ID)
	c.must(err)
	bend(&now)
	c.must(c.w.Store.UpdateClient(c.Context(), now))
}

func (c *trial) changeUser(u storage.User, bend func(*storage.User)) {
	c.Helper()
	now, err := c.w.Store.User(c.Context(), u.ID)
	c.must(err)
	bend(&now)
	c.must(c.w.Store.UpdateUser(c.Context(), now))
}

// refused checks a refusal of an endpoint for programs.
func (c *trial) refused(what string, a providertest.AnswerJSON, status int, codes ...oauth.Code) {
	c.Helper()
	fits := len(codes) == 0
	for _, code := range codes {
		fits = fits || a.Str("error") == string(code)
	}
	if a.StatusCode != status || !fits || a.Header.Get("Cache-Control") != "no-store" ||
		a.Str("access_token")+a.Str("id_token")+a.Str("refresh_token") != "" {
		c.Errorf("%s: %d %v %v, want %d %v", what, a.StatusCode, a.JSON, a.Header, status, codes)
	}
}

// refusedHere checks a refusal on a page of ours: the browser is sent nowhere, and nobody frames or
// keeps it.
func (c *trial) refusedHere(what string, p providertest.Page) {
	c.Helper()
	if p.StatusCode != http.StatusBadRequest && p.StatusCode != http.StatusForbidden ||
		p.Header.Get("Location") != "" || p.Header.Get("Cache-Control") != "no-store" ||
		!strings.Contains(p.Header.Get("Content-Security-Policy"), "frame-ancestors 'none'") || p.Has("login-page") {
		c.Errorf("%s: %d to %q %v", what, p.StatusCode, p.Header.Get("Location"), p.Header)
	}
}

// refusedThere checks a refusal that is told to the application at a redirect URI that is
// registered.
func (c *trial) refusedThere(what string, p providertest.Page, client clients.Client, codes ...oauth.Code) {
	c.Helper()
	a, fits := p.Answer(), false
	for _, code := range codes {
		fits = fits || a.Get("error") == string(code)
	}
	if !fits || a.Has("code") || a.Has("id_token") || a.Get("iss") != c.w.Issuer ||
		!strings.HasPrefix(p.Header.Get("Location"), client.RedirectURIs[0]) {
		c.Errorf("%s: %d to %q, want %v", what, p.StatusCode, p.Header.Get("Location"), codes)
	}
}

// instances are two processes on the same store; at sends a form to one of them after the other.
type instances struct {
	c     *trial
	mu    sync.Mutex
	bases []string
	next  int
}

func (c *trial) instances() *instances {
	return &instances{c: c, bases: []string{c.w.Issuer, c.w.Twin(c.T)}}
}

func (i *instances) base() string {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.next++
	return i.bases[i.next%len(i.bases)]
}

func (i *instances) post(path string, client clients.Client, form url.Values) providertest.AnswerJSON {
	r, err := http.NewRequest(http.MethodPost, i.base()+path, strings.NewReader(form.Encode()))
	if err != nil {
		i.c.Error(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if client.ID != "" && !client.Public() {
		r.SetBasicAuth(url.QueryEscape(client.ID), url.QueryEscape(providertest.TestSecret))
	}
	return i.c.w.Send(r)
}

func (i *instances) bearer(base, path, token string) providertest.AnswerJSON {
	r, err := http.NewRequest(http.MethodGet, base+path, nil)
	if err != nil {
		i.c.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	return i.c.w.Send(r)
}

// carried sends an authorization request in every way there is: in the address, in a body, and in a
// signed request object.
func (c *trial) carried(b *providertest.Browser, client clients.Client, key any, name,
	value string) map[string]providertest.Page {
	c.Helper()
	request := c.w.Request(client, name, value)
	return map[string]providertest.Page{
		"by GET":  b.Get(request),
		"by POST": b.Post("/authorize", providertest.MustQuery(c, request)),
		"in a request object": b.Get(c.w.Request(client, name, "", "request",
			providertest.SignJWT(c, jose.ES256, key, c.w.ObjectOf(client, map[string]any{name: value}),
				providertest.Kid("k")))),
	}
}

// canary counts who calls it.
type canary struct {
	*httptest.Server
	mu   sync.Mutex
	hits int
}

func (c *trial) canary() *canary {
	k := &canary{}
	k.Server = httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.hits++
	}))
	c.Cleanup(k.Close)
	return k
}

func (k *canary) count() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.hits
}

func redeem(client clients.Client, code string) url.Values {
	form := url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {client.RedirectURIs[0]},
		"code_verifier": {providertest.TestVerifier}}
	if client.Public() {
		form.Set("client_id", client.ID)
	}
	return form
}

func seconds(n int) time.Duration { return time.Duration(n) * time.Second }
