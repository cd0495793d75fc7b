package api_test

import (
	"bytes"
	"encoding/base64"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey/clients/api"
	"latchkey/clients/internal/optest"
)

const audience = "http://api.localhost:9110"

func newAPI(t *testing.T, change ...func(*api.Config)) (*optest.Provider, string, *optest.Clock) {
	t.Helper()
	c := optest.NewClock(time.Now())
	p := optest.New(t)
	p.With(func() { p.Now = c.Now })
	config := api.Config{Audience: audience, Issuer: p.Issuer, AllowedOrigins: []string{optest.Origin},
		HTTPClient: optest.HTTPClient(), Now: c.Now}
	for _, f := range change {
		f(&config)
	}
	h, err := api.New(config)
	if err != nil {
		t.Fatal(err)
	}
	return p, optest.Serve(t, "api.localhost", h), c
}

func TestTheAPIKeepsTheSamplesPromises(t *testing.T) {
	t.Parallel()
	p, base, _ := newAPI(t)
	optest.CheckAPI(t, p, base, audience)
}

func TestARotatedKeyIsFoundAtOnce(t *testing.T) {
	t.Parallel()
	p, base, c := newAPI(t)
	optest.Ask(t, "GET", base+"/me", nil, "Bearer "+p.AccessToken(audience, nil, nil))
	c.Advance(10 * time.Second) // keys are looked for once in so long
	optest.CheckAPIRotation(t, p, base, audience)
}

func TestTheLedgerFileIsThereAfterARestart(t *testing.T) {
	t.Parallel()
	p := optest.New(t)
	optest.CheckLedgerFile(t, p, audience, func(file string) (string, func()) {
		h, err := api.New(api.Config{Audience: audience, Issuer: p.Issuer, HTTPClient: optest.HTTPClient(),
			LedgerFile: file})
		if err != nil {
			t.Fatal(err)
		}
		return optest.Serve(t, "api.localhost", h), func() {}
	})
	file := filepath.Join(t.TempDir(), "broken.json")
	if err := os.WriteFile(file, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := api.New(api.Config{Audience: audience, Issuer: p.Issuer, LedgerFile: file}); err == nil ||
		!strings.Contains(err.Error(), file) {
		t.Errorf("a broken file: %v", err)
	}
}

func TestLedgerEntryThatCannotBeWrittenIsNotThere(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "ledger")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	p, base, _ := newAPI(t, func(c *api.Config) { c.LedgerFile = filepath.Join(folder, "ledger.json") })
	if err := os.Remove(folder); err != nil {
		t.Fatal(err)
	}
	token := "Bearer " + p.AccessToken(audience, nil, nil)
	req, err := http.NewRequest(http.MethodPost, base+"/entries",
		strings.NewReader(`{"what": "Train", "cents": -1250}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", token)
	req.Header.Set("Content-Type", "application/json")
	res, err := optest.HTTPClient().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusInternalServerError {
		t.Errorf("POST: %s", res.Status)
	}
	if a := optest.Ask(t, "GET", base+"/entries", nil, token); a.Body["balance"] != 0.0 {
		t.Errorf("afterwards: %+v", a)
	}
}

func TestTheAPIAsksForTheKindOfSignInThatIsConfigured(t *testing.T) {
	t.Parallel()
	p, base, _ := newAPI(t, func(c *api.Config) { c.AdminMaxAge, c.AdminACR = time.Hour, optest.ACR })
	optest.CheckACR(t, p, base, audience, "3600")
}

func TestRFC9728MetadataStandsBetweenHostAndPathOfTheIdentifier(t *testing.T) {
	t.Parallel()
	for audience, want := range map[string]string{
		"https://api.example.com":     "https://api.example.com/.well-known/oauth-protected-resource",
		"https://api.example.com/":    "https://api.example.com/.well-known/oauth-protected-resource",
		"https://example.com/ledger":  "https://example.com/.well-known/oauth-protected-resource/ledger",
		"https://example.com/a/b?c=d": "",
		"urn:example:ledger":          "",
		"ledger":                      "",
	} {
		_, base, _ := newAPI(t, func(c *api.Config) { c.Audience = audience })
		a := optest.Ask(t, "GET", base+"/me", nil)
		_, found, _ := strings.Cut(a.Authenticate, `resource_metadata="`)
		if found = strings.TrimSuffix(found, `"`); a.Status != 401 || found != want {
			t.Errorf("%s: %+v", audience, a)
		}
		path := "/.well-known/oauth-protected-resource"
		if u, err := url.Parse(want); err == nil && want != "" {
			path = u.Path
		}
		if a := optest.Ask(t, "GET", base+path, nil); (want != "") != (a.Status == 200) || want != "" &&
			a.Body["resource"] != audience {
			t.Errorf("%s: GET %s: %+v", audience, path, a)
		}
	}
}

func TestKeysAreKeptForMaxAge(t *testing.T) {
	t.Parallel()
	p, base, c := newAPI(t)
	p.With(func() { p.MaxAge = 100 })
	ask := func(want int) {
		t.Helper()
		if a := optest.Ask(t, "GET", base+"/me", nil, "Bearer "+p.AccessToken(audience, nil, nil)); a.Status != want {
			t.Errorf("%+v", a)
		}
	}
	fetches := func(want int) {
		t.Helper()
		p.With(func() {
			if p.KeyFetches != want {
				t.Errorf("%d fetches, want %d", p.KeyFetches, want)
			}
		})
	}
	fetches(0)
	ask(200)
	c.Advance(99 * time.Second)
	ask(200)
	fetches(1)
	c.Advance(2 * time.Second)
	ask(200)
	fetches(2)
}

func TestAnUnknownKeyIsLookedForButNotAllTheTime(t *testing.T) {
	t.Parallel()
	p, base, c := newAPI(t)
	good := func() int {
		return optest.Ask(t, "GET", base+"/me", nil, "Bearer "+p.AccessToken(audience, nil, nil)).Status
	}
	if s := good(); s != 200 {
		t.Fatal(s)
	}
	optest.CheckAPIKeys(t, p, base, audience)
	c.Advance(11 * time.Second)
	p.Rotate()
	if s := good(); s != 200 {
		t.Errorf("a token of the new key: %d", s)
	}
	p.With(func() {
		if p.KeyFetches != 2 {
			t.Errorf("%d fetches", p.KeyFetches)
		}
	})
}

func TestAWithdrawnKeyStopsCountingAfterMaxAge(t *testing.T) {
	t.Parallel()
	p, base, c := newAPI(t)
	old := p.AccessToken(audience, nil, map[string]any{"exp": time.Now().Add(24 * time.Hour).Unix()})
	p.Rotate()
	p.With(func() { p.MaxAge = 60 })
	ask := func() int { return optest.Ask(t, "GET", base+"/me", nil, "Bearer "+old).Status }
	if s := ask(); s != 401 {
		t.Errorf("withdrawn before the first fetch: %d", s)
	}
	c.Advance(61 * time.Second)
	if s := ask(); s != 401 {
		t.Errorf("withdrawn: %d", s)
	}
}

func TestWithoutPublishedKeysNoTokenIsAccepted(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	var mu sync.Mutex
	p, base, c := newAPI(t, func(c *api.Config) { c.Logger = slog.New(slog.NewTextHandler(&locked{&mu, &log}, nil)) })
	token := "Bearer " + p.AccessToken(audience, nil, nil)
	p.With(func() { p.Down = true })
	if a := optest.Ask(t, "GET", base+"/me", nil, token); a.Status != 503 || a.Header.Get("Retry-After") == "" ||
		a.Body["error"] != "temporarily_unavailable" {
		t.Errorf("provider down: %+v", a)
	}
	p.With(func() { p.Down = false })
	if a := optest.Ask(t, "GET", base+"/me", nil, token); a.Status != 503 {
		t.Errorf("at once after a failure it asked again: %+v", a)
	}
	c.Advance(2 * time.Second)
	if a := optest.Ask(t, "GET", base+"/me", nil, token); a.Status != 200 {
		t.Errorf("provider back: %+v", a)
	}
	// Stale keys are no keys.
	c.Advance(301 * time.Second)
	p.With(func() { p.Down = true })
	fresh := "Bearer " + p.AccessToken(audience, nil, nil)
	if a := optest.Ask(t, "GET", base+"/me", nil, fresh); a.Status != 503 {
		t.Errorf("stale keys: %+v", a)
	}
	mu.Lock()
	defer mu.Unlock()
	if !strings.Contains(log.String(), "keys not available") || strings.Contains(log.String(), "eyJ") {
		t.Errorf("log: %s", log.String())
	}
}

type locked struct {
	mu *sync.Mutex
	b  *bytes.Buffer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func TestTheDiscoveryDocumentMustBeTheIssuersOwn(t *testing.T) {
	t.Parallel()
	var other string
	p, base, _ := newAPI(t, func(c *api.Config) {
		other = strings.Replace(c.Issuer, "id.localhost", "other.localhost", 1)
		c.Issuer = other
	})
	token := p.AccessToken(audience, nil, map[string]any{"iss": other})
	if a := optest.Ask(t, "GET", base+"/me", nil, "Bearer "+token); a.Status != 503 {
		t.Errorf("%+v", a)
	}
}

func TestAccessTokenEndsWhenItSays(t *testing.T) {
	t.Parallel()
	p, base, c := newAPI(t)
	token := "Bearer " + p.AccessToken(audience, nil, map[string]any{"exp": c.Now().Unix() + 60})
	c.Advance(58 * time.Second)
	if a := optest.Ask(t, "GET", base+"/me", nil, token); a.Status != 200 {
		t.Errorf("before: %+v", a)
	}
	c.Advance(2 * time.Second)
	if a := optest.Ask(t, "GET", base+"/me", nil, token); a.Status != 401 {
		t.Errorf("at exp: %+v", a)
	}
}

func TestTheAPITakesConfiguredAlgorithmsOnly(t *testing.T) {
	t.Parallel()
	p, base, _ := newAPI(t, func(c *api.Config) { c.Algorithms = []string{"ES256"} })
	for kid, want := range map[string]int{"es-1": 200, "rs-1": 401, "ed-1": 401} {
		if a := optest.Ask(t, "GET", base+"/me", nil, "Bearer "+p.AccessToken(audience, map[string]any{"kid": kid},
			nil)); a.Status != want {
			t.Errorf("%s: %+v", kid, a)
		}
	}
	for _, bad := range []string{"none", "HS256", "rs256"} {
		if _, err := api.New(api.Config{Audience: audience, Issuer: p.Issuer, Algorithms: []string{bad}}); err == nil {
			t.Errorf("%s was accepted into the list", bad)
		}
	}
}

func TestEveryFaultOfTheConfigurationIsNamedAtOnce(t *testing.T) {
	t.Parallel()
	_, err := api.New(api.Config{Issuer: "id", AllowedOrigins: []string{"http://a.localhost/"}})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, word := range []string{"audience is missing", `issuer "id"`, `origin "http://a.localhost/"`} {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("not named: %s in %v", word, err)
		}
	}
}

func TestManyRequestsAtOnceFetchTheKeysOnce(t *testing.T) {
	t.Parallel()
	p, base, _ := newAPI(t)
	token := "Bearer " + p.AccessToken(audience, nil, nil)
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			if a := optest.Ask(t, "GET", base+"/me", nil, token); a.Status != 200 {
				t.Errorf("%+v", a)
			}
		})
	}
	wg.Wait()
	p.With(func() {
		if p.KeyFetches != 1 || p.Discoveries != 1 {
			t.Errorf("%d fetches, %d discoveries", p.KeyFetches, p.Discoveries)
		}
	})
}

// FuzzAuthorization sends whatever bytes as a token: nothing but the one good token gets in, and
// nothing panics.
func FuzzAuthorization(f *testing.F) {
	p := optest.New(f)
	h, err := api.New(api.Config{Audience: audience, Issuer: p.Issuer, HTTPClient: optest.HTTPClient()})
	if err != nil {
		f.Fatal(err)
	}
	good := p.AccessToken(audience, nil, map[string]any{"exp": time.Now().Add(time.Hour).Unix()})
	f.Add(good)
	f.Add(good + "=")
	f.Add(strings.Replace(good, ".", ".\n", 1))
	f.Add("..")
	f.Add(base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"at+jwt"}`)) + ".e30.")
	f.Fuzz(func(t *testing.T, token string) {
		r, err := http.NewRequest(http.MethodGet, "/me", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header["Authorization"] = []string{"Bearer " + token}
		w := &recorder{header: http.Header{}}
		h.ServeHTTP(w, r)
		if (w.status == 200) != (strings.TrimLeft(token, " ") == good) || w.status >= 500 {
			t.Errorf("%q: %d", token, w.status)
		}
	})
}

type recorder struct {
	header http.Header
	status int
}

func (r *recorder) Header() http.Header         { return r.header }
func (r *recorder) WriteHeader(status int)      { r.status = status }
func (r *recorder) Write(p []byte) (int, error) { return len(p), nil }

func BenchmarkVerify(b *testing.B) {
	p := optest.New(b)
	h, err := api.New(api.Config{Audience: audience, Issuer: p.Issuer, HTTPClient: optest.HTTPClient()})
	if err != nil {
		b.Fatal(err)
	}
	r, err := http.NewRequest(http.MethodGet, "/me", nil)
	if err != nil {
		b.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+p.AccessToken(audience, nil, nil))
	for b.Loop() {
		w := &recorder{header: http.Header{}}
		if h.ServeHTTP(w, r); w.status != 200 {
			b.Fatal(w.status)
		}
	}
}
