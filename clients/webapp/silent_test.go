package webapp_test

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey/clients/internal/optest"
	"latchkey/clients/webapp"
)

func (w *world) asked() (prompt string) {
	w.op.With(func() { prompt = w.op.LastRequest.Get("prompt") })
	return prompt
}

func TestAFirstVisitAsksTheProviderOnceAndThePersonForNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := optest.NewBrowser(t).Get(w.notes + "/")
	if b.URL.String() != w.notes+"/" || b.Status != http.StatusOK || !b.Has("signed-out") || b.Has("error") ||
		w.asked() != "none" {
		t.Fatalf("%d %s, prompt %q\n%s", b.Status, b.URL, w.asked(), b.Body)
	}
	b.Click("sign-in")
	if w.asked() != "" || !b.Has("login-submit") {
		t.Errorf("the button leads to %s with prompt %q", b.URL, w.asked())
	}
	// Signed in elsewhere meanwhile: the next visit finds out, whatever the first one heard.
	b.Get(w.tasks+"/").Click("sign-in").Click("login-submit", "username", optest.Username)
	if b.Get(w.notes + "/"); !b.Has("signed-in") {
		t.Errorf("after signing in at the other application: %s", b.Body)
	}
}

func TestWhateverTheProviderAnswersASilentVisitEndsAtThePage(t *testing.T) {
	t.Parallel()
	for _, code := range []string{"login_required", "consent_required", "interaction_required", "access_denied",
		"server_error", "invalid_request"} {
		w := newWorld(t)
		w.op.With(func() { w.op.Deny = code })
		if b := optest.NewBrowser(t).Get(w.notes + "/"); b.URL.String() != w.notes+"/" || b.Status != http.StatusOK ||
			!b.Has("signed-out") || b.Has("error") {
			t.Errorf("%s: %d %s", code, b.Status, b.URL)
		}
	}
	w := newWorld(t)
	b := w.signedIn(t)
	w.op.With(func() { w.op.Refuse = "invalid_grant" })
	if b.Get(w.tasks + "/"); b.URL.String() != w.tasks+"/" || b.Status != http.StatusOK || !b.Has("signed-out") ||
		b.Has("error") {
		t.Errorf("a code that cannot be redeemed: %d %s", b.Status, b.URL)
	}
}

func TestSigningOutHereIsNotUndoneByTheNextVisit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.signedIn(t).Click("sign-out-here")
	for range 3 {
		if b.Get(w.notes + "/"); !b.Has("signed-out") {
			t.Fatal("signed in again without a click")
		}
	}
	if b.Click("sign-in"); !b.Has("signed-in") {
		t.Fatalf("the button: %s", b.Body)
	}
}

func TestABrowserWithoutCookiesIsToldSoAndNotSentInCircles(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := optest.HTTPClient() // it has no jar
	res, err := c.Get(w.notes + "/")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusOK || res.Request.URL.Path != webapp.CallbackPath {
		t.Errorf("%s at %s", res.Status, res.Request.URL)
	}
}

func TestOnlyAVisitAsksSilently(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := optest.HTTPClient()
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	for name, test := range map[string]struct {
		method string
		header [2]string
		want   int
	}{
		"a visit":              {http.MethodGet, [2]string{"Sec-Fetch-Dest", "document"}, http.StatusSeeOther},
		"a browser of old":     {http.MethodGet, [2]string{"Accept", "text/html"}, http.StatusSeeOther},
		"a frame":              {http.MethodGet, [2]string{"Sec-Fetch-Dest", "iframe"}, http.StatusOK},
		"a picture":            {http.MethodGet, [2]string{"Sec-Fetch-Dest", "image"}, http.StatusOK},
		"a guess":              {http.MethodGet, [2]string{"Sec-Purpose", "prefetch;prerender"}, http.StatusOK},
		"a question for heads": {http.MethodHead, [2]string{"Accept", "*/*"}, http.StatusOK},
	} {
		req, err := http.NewRequest(test.method, w.notes+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set(test.header[0], test.header[1])
		res, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != test.want {
			t.Errorf("%s: %s, want %d", name, res.Status, test.want)
		}
	}
}

// challenging makes the API of the world answer /admin with a challenge until the sign-in is
// younger than 300 seconds.
func challenging(t *testing.T, challenge func(q url.Values) string) (*world, *optest.Browser) {
	t.Helper()
	var w *world
	w = newWorld(t, func(c *webapp.Config) {
		c.APIs = []webapp.API{{Name: "API", URL: optest.Serve(t, "api.localhost",
			http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
				var q url.Values
				w.op.With(func() { q = w.op.LastRequest })
				if text := challenge(q); text != "" {
					rw.Header().Set("WWW-Authenticate", text)
					rw.WriteHeader(http.StatusUnauthorized)
				}
			}))}}
	})
	return w, w.signedIn(t)
}

func TestRFC9470AStepUpChallengeIsFollowedAndTheCallMadeAgain(t *testing.T) {
	t.Parallel()
	w, b := challenging(t, func(q url.Values) string {
		if q.Get("max_age") == "300" && q.Get("acr_values") == "phrh phr" {
			return ""
		}
		return `Bearer realm="x", error="insufficient_user_authentication", error_description="more", max_age="300", acr_values="phrh phr"`
	})
	w.op.With(func() {
		for sid := range w.op.SignedInAt {
			w.op.SignedInAt[sid] = w.op.SignedInAt[sid].Add(-time.Hour)
		}
	})
	before := csrf(b)
	b.Click("call-admin")
	if !strings.HasPrefix(b.URL.String(), w.op.Issuer+"/authorize?") || !b.Has("login-submit") {
		t.Fatalf("the challenge led to %s\n%s", b.URL, b.Body)
	}
	b.Click("login-submit", "username", optest.Username)
	if b.Attribute("api-answer", "data-status") != "200" || !strings.Contains(b.Text("api-answer"), "/admin") ||
		!b.Has("note") {
		t.Errorf("afterwards: %s %s", b.URL, b.Text("api-answer"))
	}
	if csrf(b) != before {
		t.Error("the forms of other tabs stopped working")
	}
}

func TestRFC9470AChallengeThatStaysIsShownAndNotFollowedForEver(t *testing.T) {
	t.Parallel()
	_, b := challenging(t, func(url.Values) string { return `Bearer error="insufficient_user_authentication", max_age="300"` })
	if b.Click("call-admin"); b.Attribute("api-answer", "data-status") != "401" ||
		!strings.Contains(b.Text("www-authenticate"), "max_age") {
		t.Errorf("%s %s", b.URL, b.Body)
	}
}

func TestRFC9470AChallengeThatAsksForNothingSensibleIsOnlyShown(t *testing.T) {
	t.Parallel()
	for _, challenge := range []string{
		`Bearer error="insufficient_user_authentication"`,
		`Bearer error="insufficient_user_authentication", max_age="-1"`,
		`Bearer error="insufficient_user_authentication", max_age="1e3"`,
		`Bearer error="insufficient_user_authentication", acr_values="a` + strings.Repeat("x", 500) + `"`,
		`Bearer error="insufficient_user_authentication", acr_values="a\"b"`,
		`Basic realm="x", error="insufficient_user_authentication", max_age="300"`,
		`Bearer error="invalid_token", max_age="300"`,
		`Bearer error="insufficient_user_authentication", max_age="300", max_age="0"`,
	} {
		w, b := challenging(t, func(url.Values) string { return challenge })
		if b.Click("call-admin"); b.URL.Path != "/" || b.Attribute("api-answer", "data-status") != "401" {
			t.Errorf("%s: %s", challenge, b.URL)
		}
		if w.op.With(func() {
			if w.op.LastRequest.Has("max_age") || w.op.LastRequest.Has("acr_values") {
				t.Errorf("%s: followed with %v", challenge, w.op.LastRequest)
			}
		}); t.Failed() {
			break
		}
	}
}

func TestAnExpiredAccessTokenIsRenewedWithoutAClick(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	now := time.Now()
	good := ""
	api := optest.Serve(t, "api.localhost", http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if token := r.Header.Get("Authorization"); token == good {
			rw.Header().Set("WWW-Authenticate", `Bearer error="invalid_token", error_description="expired"`)
			rw.WriteHeader(http.StatusUnauthorized)
		} else if good == "" {
			good = token
		}
	}))
	w := newWorld(t, func(c *webapp.Config) {
		c.APIs = []webapp.API{{Name: "API", URL: api}}
		c.Now = func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	})
	b := w.signedIn(t).Click("call-me")
	if got := b.Attribute("api-answer", "data-status"); got != "200" {
		t.Fatalf("at first: %s", got)
	}
	// Refused although it has not expired: another token would be refused as well.
	if b.Click("call-me"); b.Attribute("api-answer", "data-status") != "401" || w.asked() != "none" && w.asked() != "" {
		t.Errorf("refused: %s", b.Body)
	}
	mu.Lock()
	now = now.Add(10 * time.Minute)
	mu.Unlock()
	w.op.With(func() { w.op.Now = func() time.Time { return now } })
	if b.Click("call-me"); b.Attribute("api-answer", "data-status") != "200" || w.asked() != "none" {
		t.Errorf("expired: %s %s", b.URL, b.Text("api-answer"))
	}
	// And where the provider knows nobody any more, the person is told, and can sign in.
	mu.Lock()
	now, good = now.Add(10*time.Minute), ""
	mu.Unlock()
	b.Click("call-me")
	w.op.With(func() { w.op.Deny = "login_required" })
	mu.Lock()
	now = now.Add(10 * time.Minute)
	mu.Unlock()
	if b.Click("call-me"); b.URL.String() != w.notes+"/" || !b.Has("note") || !b.Has("sign-in") {
		t.Errorf("session over: %s\n%s", b.URL, b.Body)
	}
}
