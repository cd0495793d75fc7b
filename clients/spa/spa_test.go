package spa_test

import (
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"latchkey/clients/internal/optest"
	"latchkey/clients/spa"
)

func newApplication(t *testing.T, config spa.Config) string {
	t.Helper()
	late := &optest.Late{}
	base := optest.Serve(t, "board.localhost", late)
	config.Name, config.BaseURL, config.ClientID = "Board", base, "board"
	h, err := spa.New(config)
	if err != nil {
		t.Fatal(err)
	}
	late.Handler = h
	return base
}

func get(t *testing.T, address string) (*http.Response, string) {
	t.Helper()
	res, err := optest.HTTPClient().Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(body)
}

func TestThePageMayRunItsOwnScriptAndTalkToProviderAndAPIsOnly(t *testing.T) {
	t.Parallel()
	base := newApplication(t, spa.Config{Tagline: `<script>alert(1)</script>`, Issuer: "http://id.localhost:9100/realm",
		APIs: []spa.API{{Name: "Go", URL: "http://api.localhost:9110/"}, {Key: "flask", Name: "Flask",
			URL: "http://flask.localhost:9111"}},
		Others: []spa.Link{{Name: "Bad", URL: "javascript:alert(1)"}}})
	for _, path := range []string{"/", spa.CallbackPath + "?code=x&state=y", spa.SignedOutPath} {
		res, body := get(t, base+path)
		body = strings.Replace(body, `<script id="texts" type="application/json">{`, "", 1)
		want := "default-src 'none'; script-src 'self'; style-src 'self'; connect-src http://id.localhost:9100 http://api.localhost:9110 http://flask.localhost:9111; " +
			"frame-src http://id.localhost:9100; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
		if got := res.Header.Get("Content-Security-Policy"); res.StatusCode != 200 || got != want ||
			res.Header.Get("Referrer-Policy") != "no-referrer" || res.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %s %v", path, res.Status, res.Header)
		}
		if strings.Contains(body, "<script>") || strings.Contains(body, "javascript:") ||
			strings.Contains(body, "style=") || regexp.MustCompile(` on[a-z]+=`).MatchString(body) {
			t.Errorf("%s: what was configured became part of the page's code", path)
		}
		for _, id := range []string{"signed-out", "signed-in", "sign-in", "sign-in-silently", "who", "id-token",
			"signature-state", "call-public", "call-me", "call-admin",
			"call-flask-me", "call-flask-admin", "api-answer", "api-status", "sign-out-here", "sign-out-everywhere",
			"error"} {
			if strings.Count(body, `id="`+id+`"`) != 1 {
				t.Errorf("%s: #%s is there %d times", path, id, strings.Count(body, `id="`+id+`"`))
			}
		}
	}
	for path, kind := range map[string]string{"/app.js": "text/javascript", "/style.css": "text/css"} {
		if res, body := get(t, base+path); res.StatusCode != 200 || !strings.HasPrefix(res.Header.Get("Content-Type"),
			kind) || strings.Contains(body, "//cdn") {
			t.Errorf("%s: %s %s", path, res.Status, res.Header.Get("Content-Type"))
		}
	}
	if res, _ := get(t, base+"/spa.go"); res.StatusCode != 404 {
		t.Errorf("another file: %s", res.Status)
	}
}

func TestTokensAreKeptInMemoryOnly(t *testing.T) {
	t.Parallel()
	_, script := get(t, newApplication(t, spa.Config{Issuer: "http://id.localhost:9100"})+"/app.js")
	for _, word := range []string{"localStorage", "indexedDB", "document.cookie", "innerHTML", "eval(",
		"client_secret"} {
		if strings.Contains(script, word) {
			t.Errorf("the script uses %s", word)
		}
	}
	if stored := regexp.MustCompile(`sessionStorage\.setItem\(([^)]*)`).FindAllString(script, -1); len(stored) != 3 {
		t.Errorf("the script stores %q", stored)
	}
	// The one message that it sends names its receiver and holds no token.
	sent := regexp.MustCompile(`postMessage\(.*`).FindAllString(script, -1)
	if len(sent) != 1 || !strings.HasPrefix(sent[0],
		"postMessage(`${config.clientId} ${tokens.sessionState}`, origin)") {
		t.Errorf("the script sends %q", sent)
	}
}

func TestEveryFaultOfTheConfigurationIsNamedAtOnce(t *testing.T) {
	t.Parallel()
	_, err := spa.New(spa.Config{Issuer: "http://id.localhost; script-src *", APIs: []spa.API{{Key: "A", URL: "x"},
		{Key: "A", URL: "http://a.localhost"}}})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, word := range []string{"name is missing", "client id is missing", `base URL ""`,
		`issuer "http://id.localhost; script-src *"`, `API "x"`, `API key "A"`} {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("not named: %s in %v", word, err)
		}
	}
}

func TestThePageSpeaksTheBrowsersLanguage(t *testing.T) {
	t.Parallel()
	base := newApplication(t, spa.Config{Issuer: "http://id.localhost:9100"})
	for header, want := range map[string]string{"": "en", "de-CH, en;q=0.5": "de", "fr": "fr", "ja": "en", "<>": "en"} {
		req, err := http.NewRequest(http.MethodGet, base+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept-Language", header)
		res, err := optest.HTTPClient().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if !strings.Contains(string(body), `<html lang="`+want+`">`) || res.Header.Get("Vary") != "Accept-Language" {
			t.Errorf("%q: not %s", header, want)
		}
	}
}
