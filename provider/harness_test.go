package provider

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
	"latchkey/provider/clients"
	"latchkey/provider/outbound"
	"latchkey/provider/storage"
	"latchkey/templates"
)

// clock is the time that a test holds.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// world is a provider that answers over HTTP, with its store, its clock and its log in the test's hands.
type world struct {
	*Provider
	t     testing.TB
	clock *clock
	log   *logBuffer
}

// logBuffer collects the log, for tests that look for what must or must not be in it.
type logBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.b.Reset()
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

const (
	testPassword = "correct horse battery"
	testVerifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
)

var testChallenge = func() string {
	sum := sha256.Sum256([]byte(testVerifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}()

// newTestProvider serves a provider on loopback, on an embedded store in memory. bend changes the configuration before it is used.
func newTestProvider(t testing.TB, bend ...func(*Config)) *world {
	t.Helper()
	ctx := context.Background()
	w := &world{t: t, clock: &clock{t: time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)}, log: &logBuffer{}}
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
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { handler.ServeHTTP(rw, r) }))
	t.Cleanup(server.Close)
	cfg := Config{
		Issuer: server.URL, Store: store, Sealer: sealer, Templates: pages, Now: w.clock.Now,
		Outbound: outbound.New(outbound.Config{AllowLoopback: true}),
		Logger:   slog.New(slog.NewJSONHandler(w.log, nil)),
	}
	for _, f := range bend {
		f(&cfg)
	}
	if cfg.Keys == nil {
		cfg.Keys = testRing(t, cfg)
	}
	if cfg.People == nil {
		cfg.People = testPeople(cfg)
	}
	if w.Provider, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	handler = w.Handler()
	return w
}

func testRing(t testing.TB, cfg Config) *keys.Ring {
	t.Helper()
	ring, err := keys.Open(context.Background(), keys.Config{Store: cfg.Store, Sealer: cfg.Sealer, Now: cfg.Now})
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

// addUser creates a person whose password is testPassword.
func (w *world) addUser(username string, groups ...string) storage.User {
	w.t.Helper()
	u := storage.User{ID: "sub-" + username, Username: username, Groups: groups, CreatedAt: w.now(), UpdatedAt: w.now(),
		PasswordHash: testPasswordHash(w.t),
		Claims: storage.Claims{Name: strings.ToUpper(username[:1]) + username[1:] + " Example", GivenName: username, FamilyName: "Example",
			Email: username + "@example.com", EmailVerified: true}}
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
			if phc, err = testHasher().Hash(context.Background(), testPassword); err != nil {
				t.Fatal(err)
			}
		})
		return phc
	}
}()

const testSecret = "a-secret-of-a-client-that-only-tests-use"

// addClient creates a confidential web client with redirect URI https://ID.example/cb; bend changes it.
func (w *world) addClient(id string, bend ...func(*clients.Client)) clients.Client {
	w.t.Helper()
	c := clients.Client{ID: id, Type: clients.TypeWeb, Metadata: clients.Metadata{
		ClientName: "App " + id, RedirectURIs: []string{"https://" + id + ".example/cb"}, TokenEndpointAuthMethod: "client_secret_basic",
		GrantTypes: []string{"authorization_code", "refresh_token"}, ResponseTypes: []string{"code"}, ApplicationType: "web",
		IDTokenSignedResponseAlg: "RS256", SubjectType: "public",
	}, Decisions: clients.Decisions{SkipConsent: true}, SecretHash: w.secrets.Hash(testSecret), CreatedAt: w.now(), UpdatedAt: w.now()}
	for _, f := range bend {
		f(&c)
	}
	if err := w.Store.CreateClient(context.Background(), c); err != nil {
		w.t.Fatal(err)
	}
	return c
}

// asksConsent is for addClient: the client is not the operator's own.
func asksConsent(c *clients.Client) { c.SkipConsent = false }

// browser is a person's browser: it keeps cookies, and follows redirects only when told.
type browser struct {
	w      *world
	client *http.Client
}

func (w *world) browser() *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return &browser{w: w, client: &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// page is what the browser has been given.
type page struct {
	*http.Response
	body string
}

func (b *browser) do(r *http.Request) page {
	b.w.t.Helper()
	resp, err := b.client.Do(r)
	if err != nil {
		b.w.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		b.w.t.Fatal(err)
	}
	if resp.StatusCode >= 500 && resp.StatusCode != http.StatusServiceUnavailable {
		b.w.t.Errorf("%s %s: %d\n%s", r.Method, r.URL, resp.StatusCode, b.w.log)
	}
	return page{resp, string(body)}
}

// get fetches a path of the provider, or a whole URL, without following where it leads.
func (b *browser) get(target string) page {
	b.w.t.Helper()
	r, err := http.NewRequest("GET", b.w.absolute(target), nil)
	if err != nil {
		b.w.t.Fatal(err)
	}
	r.Header.Set("Accept", "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8")
	return b.do(r)
}

// post sends a form as a page of the provider would.
func (b *browser) post(target string, form url.Values) page {
	b.w.t.Helper()
	r, err := http.NewRequest("POST", b.w.absolute(target), strings.NewReader(form.Encode()))
	if err != nil {
		b.w.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Origin", b.w.Issuer)
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	return b.do(r)
}

func (w *world) absolute(target string) string {
	if strings.HasPrefix(target, "/") {
		return w.base.Scheme + "://" + w.base.Host + target
	}
	return target
}

// ours says whether a redirect leads to the provider itself.
func (w *world) ours(location string) bool {
	return strings.HasPrefix(location, "/") || strings.HasPrefix(location, w.Issuer+"/")
}

// follow goes where redirects lead, as long as that is the provider.
func (b *browser) follow(p page) page {
	b.w.t.Helper()
	for range 20 {
		location := p.Header.Get("Location")
		if location == "" || !b.w.ours(location) {
			return p
		}
		p = b.get(location)
	}
	b.w.t.Fatal("redirects without end")
	return p
}

// open goes to a target and wherever that leads within the provider.
func (b *browser) open(target string) page {
	b.w.t.Helper()
	return b.follow(b.get(target))
}

// has says whether the page has an element with this id.
func (p page) has(id string) bool { return strings.Contains(p.body, `id="`+id+`"`) }

// answer is the parameters with which the browser was sent to the application, from query or fragment.
func (p page) answer() url.Values {
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
	formTag  = regexp.MustCompile(`(?s)<form\b([^>]*)>(.*?)</form>`)
	inputTag = regexp.MustCompile(`<input\b([^>]*)>`)
	attr     = regexp.MustCompile(`([a-z-]+)="([^"]*)"`)
)

func attributes(tag string) map[string]string {
	out := map[string]string{}
	for _, m := range attr.FindAllStringSubmatch(tag, -1) {
		out[m[1]] = html.UnescapeString(m[2])
	}
	return out
}

// submit fills in the form that contains an element with this id and sends it.
func (b *browser) submit(p page, id string, fill url.Values) page {
	b.w.t.Helper()
	for _, f := range formTag.FindAllStringSubmatch(p.body, -1) {
		if !strings.Contains(f[2], `id="`+id+`"`) {
			continue
		}
		form := url.Values{}
		for _, in := range inputTag.FindAllStringSubmatch(f[2], -1) {
			a := attributes(in[1])
			if a["type"] == "hidden" || a["value"] != "" && a["type"] != "checkbox" && a["type"] != "submit" {
				form.Set(a["name"], a["value"])
			}
		}
		for k, v := range fill {
			form[k] = v
		}
		action := attributes(f[1])["action"]
		if action == "" {
			action = p.Request.URL.String()
		}
		return b.post(action, form)
	}
	b.w.t.Fatalf("no form with #%s on the page:\n%s", id, p.body)
	return page{}
}

// signInAs fills in the sign-in page p as the person, and follows where that leads within the provider.
func (b *browser) signInAs(p page, username string) page {
	b.w.t.Helper()
	return b.follow(b.submit(p, "login-submit", url.Values{"username": {username}, "password": {testPassword}}))
}

// request is the URL of an authorization request of the client; change adds, replaces, or with "" removes parameters.
func (w *world) request(c clients.Client, change ...string) string {
	q := url.Values{"response_type": {"code"}, "client_id": {c.ID}, "scope": {"openid"}, "state": {"S1"}, "nonce": {"N1"},
		"code_challenge": {testChallenge}, "code_challenge_method": {"S256"}}
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
	return w.path + "/authorize?" + q.Encode()
}

// code signs the person in, if that is needed, and returns the code that the client is given.
func (b *browser) code(c clients.Client, username string, change ...string) string {
	b.w.t.Helper()
	p := b.open(b.w.request(c, change...))
	if p.has("login-page") {
		p = b.signInAs(p, username)
	}
	if p.has("consent-page") {
		p = b.follow(b.submit(p, "consent-allow", url.Values{"decision": {"allow"}}))
	}
	code := p.answer().Get("code")
	if code == "" {
		b.w.t.Fatalf("no code: %d %s\n%s", p.StatusCode, p.Header.Get("Location"), p.body)
	}
	return code
}

// answerJSON is the answer of an endpoint for programs.
type answerJSON struct {
	*http.Response
	JSON map[string]any
}

// str is a member of the answer as text.
func (a answerJSON) str(name string) string { s, _ := a.JSON[name].(string); return s }

// call posts a form to an endpoint as a confidential client does, with its secret in the Authorization header. Without a
// client, or for a public one, there is none.
func (w *world) call(path string, c clients.Client, form url.Values) answerJSON {
	w.t.Helper()
	r, err := http.NewRequest("POST", w.Issuer+path, strings.NewReader(form.Encode()))
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if c.ID != "" && !c.Public() {
		r.SetBasicAuth(url.QueryEscape(c.ID), url.QueryEscape(testSecret))
	}
	return w.send(r)
}

// send makes a request as a program does.
func (w *world) send(r *http.Request) answerJSON {
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
	a := answerJSON{Response: resp}
	_ = json.Unmarshal(body, &a.JSON) // an empty or other answer has no members
	if resp.StatusCode >= 500 && resp.StatusCode != http.StatusServiceUnavailable {
		w.t.Errorf("%s %s: %d %s\n%s", r.Method, r.URL, resp.StatusCode, body, w.log)
	}
	return a
}

// redeem exchanges a code at the token endpoint; change adds, replaces, or with "" removes parameters.
func (w *world) redeem(c clients.Client, code string, change ...string) answerJSON {
	w.t.Helper()
	form := url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {c.RedirectURIs[0]}, "code_verifier": {testVerifier}}
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
	return w.call("/token", c, form)
}

// claimsOf decodes the payload of a compact JWS without verifying it.
func claimsOf(t testing.TB, jws string) map[string]any {
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
