package providertest

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"html"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey/keys"
	"latchkey/provider"
	"latchkey/provider/clients"
	"latchkey/provider/outbound"
	"latchkey/provider/storage"
	"latchkey/provider/testclock"
	"latchkey/templates"
)

// World is a provider that answers over HTTP, with its store, its clock and its log in the test's
// hands.
type World struct {
	*provider.Provider
	t     testing.TB
	Clock *testclock.Clock
	Log   *LogBuffer
}

// LogBuffer collects the log, for tests that look for what must or must not be in it.
type LogBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *LogBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *LogBuffer) Reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.b.Reset()
}

func (l *LogBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

const (
	TestPassword = "correct horse battery"
	TestVerifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
)

var TestChallenge = func() string {
	sum := sha256.Sum256([]byte(TestVerifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}()

// New serves a provider on loopback, on an embedded store in memory. bend changes the configuration
// before it is used.
func New(t testing.TB, bend ...func(*provider.Config)) *World {
	t.Helper()
	ctx := context.Background()
	w := &World{t: t, Clock: testclock.At(time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)), Log: &LogBuffer{}}
	store, err := storage.OpenSQLite(ctx, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	sealer, err := keys.NewSealer([]byte("a master key that only tests use"))
	if err != nil {
		t.Fatal(err)
	}
	pages, err := templates.New(templates.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var handler http.Handler
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		handler.ServeHTTP(rw,
			r)
	}))
	t.Cleanup(server.Close)
	cfg := provider.Config{
		Issuer: server.URL, Store: store, Sealer: sealer, Templates: pages, Now: w.Clock.Now,
		Outbound: outbound.New(outbound.Config{AllowLoopback: true}),
		Logger:   slog.New(slog.NewJSONHandler(w.Log, nil)),
	}
	for _, f := range bend {
		f(&cfg)
	}
	if cfg.Keys == nil {
		cfg.Keys = TestRing(t, cfg)
	}
	if cfg.People == nil {
		cfg.People = testPeople(cfg)
	}
	if w.Provider, err = provider.New(cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Config.Audit.Wait)
	handler = w.Handler()
	return w
}

func TestRing(t testing.TB, cfg provider.Config) *keys.Ring {
	t.Helper()
	ring, err := keys.Open(context.Background(), keys.Config{Store: cfg.Store, Sealer: cfg.Sealer, Now: cfg.Now,
		// A busy machine answers late, too, but not with what was published before.
		PublishWait: time.Minute,
		Algorithms:  []string{provider.DefaultAccessTokenAlg}})
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

// AddUser creates a person whose password is testPassword.
func (w *World) AddUser(username string, groups ...string) storage.User {
	w.t.Helper()
	u := storage.User{ID: "sub-" + username, Username: username, Groups: groups, CreatedAt: w.Web.Now(),
		UpdatedAt:    w.Web.Now(),
		PasswordHash: testPasswordHash(w.t),
		Claims: storage.Claims{Name: strings.ToUpper(username[:1]) + username[1:] + " Example", GivenName: username,
			FamilyName: "Example",
			Email:      username + "@example.com", EmailVerified: true}}
	if err := w.Store.CreateUser(context.Background(), u); err != nil {
		w.t.Fatal(err)
	}
	return u
}

var testPasswordHash = func() func(t testing.TB) string {
	var once sync.Once
	var phc string
	return func(t testing.TB) string {
		once.Do(func() {
			var err error
			if phc, err = testHasher().Hash(context.Background(), TestPassword); err != nil {
				t.Fatal(err)
			}
		})
		return phc
	}
}()

const TestSecret = "a-secret-of-a-client-that-only-tests-use"

// AddClient creates a confidential web client with redirect URI https://ID.example/cb; bend changes
// it.
func (w *World) AddClient(id string, bend ...func(*clients.Client)) clients.Client {
	w.t.Helper()
	c := clients.Client{ID: id, Type: clients.TypeWeb, Metadata: clients.Metadata{
		ClientName: "App " + id, RedirectURIs: []string{"https://" + id + ".example/cb"},
		TokenEndpointAuthMethod: "client_secret_basic",
		GrantTypes:              []string{"authorization_code", "refresh_token"}, ResponseTypes: []string{"code"},
		ApplicationType:          "web",
		IDTokenSignedResponseAlg: "RS256", SubjectType: "public",
	}, Decisions: clients.Decisions{SkipConsent: true}, SecretHash: w.ClientAuth.Secrets.Hash(TestSecret),
		CreatedAt: w.Web.Now(), UpdatedAt: w.Web.Now()}
	for _, f := range bend {
		f(&c)
	}
	if err := w.Store.CreateClient(context.Background(), c); err != nil {
		w.t.Fatal(err)
	}
	return c
}

// AsksConsent is for addClient: the client is not the operator's own.
func AsksConsent(c *clients.Client) { c.SkipConsent = false }

// Browser is a person's browser: it keeps cookies, and follows redirects only when told.
type Browser struct {
	w      *World
	Client *http.Client
}

func (w *World) Browser() *Browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return &Browser{w: w, Client: &http.Client{Jar: jar, CheckRedirect: func(*http.Request,
		[]*http.Request) error {
		return http.ErrUseLastResponse
	}}}
}

// Page is what the browser has been given.
type Page struct {
	*http.Response
	Body string
}

func (b *Browser) Do(r *http.Request) Page {
	b.w.t.Helper()
	resp, err := b.Client.Do(r)
	if err != nil {
		b.w.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		b.w.t.Fatal(err)
	}
	if resp.StatusCode >= 500 && resp.StatusCode != http.StatusServiceUnavailable {
		b.w.t.Errorf("%s %s: %d\n%s", r.Method, r.URL, resp.StatusCode, b.w.Log)
	}
	return Page{resp, string(body)}
}

// Get fetches a path of the provider, or a whole URL, without following where it leads.
func (b *Browser) Get(target string) Page {
	b.w.t.Helper()
	r, err := http.NewRequest("GET", b.w.Absolute(target), nil)
	if err != nil {
		b.w.t.Fatal(err)
	}
	r.Header.Set("Accept", "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8")
	return b.Do(r)
}

// Post sends a form as a page of the provider would.
func (b *Browser) Post(target string, form url.Values) Page {
	b.w.t.Helper()
	r, err := http.NewRequest("POST", b.w.Absolute(target), strings.NewReader(form.Encode()))
	if err != nil {
		b.w.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Origin", b.w.Issuer)
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	return b.Do(r)
}

func (w *World) Absolute(target string) string {
	if strings.HasPrefix(target, "/") {
		return w.Web.Base.Scheme + "://" + w.Web.Base.Host + target
	}
	return target
}

// ours reports whether a redirect leads to the provider itself.
func (w *World) ours(location string) bool {
	return strings.HasPrefix(location, "/") || strings.HasPrefix(location, w.Issuer+"/")
}

// Follow goes where redirects lead, as long as that is the provider.
func (b *Browser) Follow(p Page) Page {
	b.w.t.Helper()
	for range 20 {
		location := p.Header.Get("Location")
		if location == "" || !b.w.ours(location) {
			return p
		}
		p = b.Get(location)
	}
	b.w.t.Fatal("redirects without end")
	return p
}

// Open goes to a target and wherever that leads within the provider.
func (b *Browser) Open(target string) Page {
	b.w.t.Helper()
	return b.Follow(b.Get(target))
}

// Has reports whether the page has an element with this id.
func (p Page) Has(id string) bool { return strings.Contains(p.Body, `id="`+id+`"`) }

// Answer is the parameters with which the browser was sent to the application, from query or
// fragment.
func (p Page) Answer() url.Values {
	u, err := url.Parse(p.Header.Get("Location"))
	if err != nil {
		return url.Values{}
	}
	if u.Fragment != "" {
		v, _ := url.ParseQuery(u.EscapedFragment())
		return v
	}
	return u.Query()
}

var (
	FormTag  = regexp.MustCompile(`(?s)<form\b([^>]*)>(.*?)</form>`)
	InputTag = regexp.MustCompile(`<input\b([^>]*)>`)
	attr     = regexp.MustCompile(`([a-z-]+)="([^"]*)"`)
)

func Attributes(tag string) map[string]string {
	out := map[string]string{}
	for _, m := range attr.FindAllStringSubmatch(tag, -1) {
		out[m[1]] = html.UnescapeString(m[2])
	}
	return out
}

// Submit fills in the form that contains an element with this id and sends it.
func (b *Browser) Submit(p Page, id string, fill url.Values) Page {
	b.w.t.Helper()
	for _, f := range FormTag.FindAllStringSubmatch(p.Body, -1) {
		if !strings.Contains(f[2], `id="`+id+`"`) {
			continue
		}
		form := url.Values{}
		for _, in := range InputTag.FindAllStringSubmatch(f[2], -1) {
			a := Attributes(in[1])
			if a["type"] == "hidden" || a["value"] != "" && a["type"] != "checkbox" && a["type"] != "submit" {
				form.Set(a["name"], a["value"])
			}
		}
		for k, v := range fill {
			form[k] = v
		}
		action := Attributes(f[1])["action"]
		if action == "" {
			action = p.Request.URL.String()
		}
		return b.Post(action, form)
	}
	b.w.t.Fatalf("no form with #%s on the page:\n%s", id, p.Body)
	return Page{}
}

// SignInAs fills in the sign-in page p as the person, and follows where that leads within the
// provider.
func (b *Browser) SignInAs(p Page, username string) Page {
	b.w.t.Helper()
	return b.Follow(b.Submit(p, "login-submit", url.Values{"username": {username}, "password": {TestPassword}}))
}

// Request is the URL of an authorization request of the client; change adds, replaces, or with ""
// removes parameters.
func (w *World) Request(c clients.Client, change ...string) string {
	q := url.Values{"response_type": {"code"}, "client_id": {c.ID}, "scope": {"openid"}, "state": {"S1"},
		"nonce":          {"N1"},
		"code_challenge": {TestChallenge}, "code_challenge_method": {"S256"}}
	if len(c.RedirectURIs) > 0 {
		q.Set("redirect_uri", c.RedirectURIs[0])
	}
	for i := 0; i+1 < len(change); i += 2 {
		if change[i+1] == "" {
			q.Del(change[i])
		} else {
			q.Set(change[i], change[i+1])
		}
	}
	return w.Web.Path + "/authorize?" + q.Encode()
}

// Code signs the person in, if that is needed, and returns the code that the client is given.
func (b *Browser) Code(c clients.Client, username string, change ...string) string {
	b.w.t.Helper()
	p := b.Open(b.w.Request(c, change...))
	if p.Has("login-page") {
		p = b.SignInAs(p, username)
	}
	if p.Has("consent-page") {
		p = b.Follow(b.Submit(p, "consent-allow", url.Values{"decision": {"allow"}}))
	}
	code := p.Answer().Get("code")
	if code == "" {
		b.w.t.Fatalf("no code: %d %s\n%s", p.StatusCode, p.Header.Get("Location"), p.Body)
	}
	return code
}

// AnswerJSON is the answer of an endpoint for programs.
type AnswerJSON struct {
	*http.Response
	JSON map[string]any
}

// Str is a member of the answer as text.
func (a AnswerJSON) Str(name string) string { s, _ := a.JSON[name].(string); return s }

// Call posts a form to an endpoint as a confidential client does, with its secret in the
// Authorization header. Without a client, or for a public one, there is none.
func (w *World) Call(path string, c clients.Client, form url.Values) AnswerJSON {
	w.t.Helper()
	r, err := http.NewRequest("POST", w.Issuer+path, strings.NewReader(form.Encode()))
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if c.ID != "" && !c.Public() {
		r.SetBasicAuth(url.QueryEscape(c.ID), url.QueryEscape(TestSecret))
	}
	return w.Send(r)
}

// Send makes a request as a program does.
func (w *World) Send(r *http.Request) AnswerJSON {
	w.t.Helper()
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	a := AnswerJSON{Response: resp}
	_ = json.Unmarshal(body, &a.JSON) // an empty or other answer has no members
	if resp.StatusCode >= 500 && resp.StatusCode != http.StatusServiceUnavailable {
		w.t.Errorf("%s %s: %d %s\n%s", r.Method, r.URL, resp.StatusCode, body, w.Log)
	}
	return a
}

// Redeem exchanges a code at the token endpoint; change adds, replaces, or with "" removes
// parameters.
func (w *World) Redeem(c clients.Client, code string, change ...string) AnswerJSON {
	w.t.Helper()
	form := url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {c.RedirectURIs[0]},
		"code_verifier": {TestVerifier}}
	if c.Public() {
		form.Set("client_id", c.ID)
	}
	for i := 0; i+1 < len(change); i += 2 {
		if change[i+1] == "" {
			form.Del(change[i])
		} else {
			form.Set(change[i], change[i+1])
		}
	}
	return w.Call("/token", c, form)
}

// ClaimsOf decodes the payload of a compact JWS without verifying it.
func ClaimsOf(t testing.TB, jws string) map[string]any {
	t.Helper()
	parts := strings.Split(jws, ".")
	if len(parts) != 3 {
		t.Fatalf("not a compact JWS: %q", jws)
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	var out map[string]any
	if err := json.Unmarshal(raw, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// In is the same world for another test, a subtest say: what goes wrong there is its failure.
func (w *World) In(t testing.TB) *World {
	in := *w
	in.t = t
	return &in
}
