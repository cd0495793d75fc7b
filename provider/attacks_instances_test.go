package provider

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"latchkey/keys"
)

// twin is a second instance on the same store, with keys and everything else of its own; its base addresses the requests.
func (w *world) twin(t *testing.T) string {
	t.Helper()
	cfg := w.Config
	cfg.Keys = testRing(t, cfg)
	second, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(second.Handler())
	t.Cleanup(server.Close)
	return server.URL
}

// TestWhatIsUsedOnceIsUsedOnceByAllInstances races on everything but codes, refresh tokens and assertions.
func TestWhatIsUsedOnceIsUsedOnceByAllInstances(t *testing.T) {
	t.Parallel()
	w := newTestProvider(t, func(c *Config) { c.Registration = RegistrationToken })
	other := w.twin(t)
	w.addUser("alice")
	var turn atomic.Int32
	at := func() string {
		if turn.Add(1)%2 == 0 {
			return other
		}
		return w.Issuer
	}
	t.Run("an initial access token registers one client", func(t *testing.T) {
		for range 10 {
			token, err := NewInitialAccessToken(t.Context(), w.Store, w.now(), time.Hour)
			if err != nil {
				t.Fatal(err)
			}
			var created atomic.Int32
			atOnce(20, func() answerJSON {
				r := newRegistration(t, w)
				r.URL.Host = strings.TrimPrefix(at(), "http://")
				r.Header.Set("Authorization", "Bearer "+token)
				a := w.send(r)
				switch a.StatusCode {
				case http.StatusCreated:
					created.Add(1)
				case http.StatusUnauthorized:
				default:
					t.Errorf("%d %v", a.StatusCode, a.JSON)
				}
				return a
			})
			if created.Load() != 1 {
				t.Errorf("RFC 7591 §3: %d clients of one initial access token", created.Load())
			}
		}
	})
	t.Run("an interaction gives one code", func(t *testing.T) {
		c := w.addClient("web")
		for range 10 {
			b := w.browser()
			b.code(c, "alice")
			// POST leaves an interaction that needs nothing more to be asked.
			p := b.post("/authorize", mustQuery(t, w.request(c)))
			location := p.Header.Get("Location")
			b.get("/jwks")
			cookies := b.client.Jar.Cookies(w.base)
			var codes atomic.Int32
			atOnce(20, func() answerJSON {
				r, err := http.NewRequest("GET", at()+location, nil)
				if err != nil {
					t.Error(err)
				}
				for _, ck := range cookies {
					r.AddCookie(ck)
				}
				resp, err := http.DefaultTransport.RoundTrip(r)
				if err != nil {
					t.Error(err)
					return answerJSON{Response: &http.Response{}}
				}
				resp.Body.Close()
				if strings.Contains(resp.Header.Get("Location"), "code=") {
					codes.Add(1)
				} else if resp.StatusCode != http.StatusBadRequest {
					t.Errorf("%d %s", resp.StatusCode, resp.Header.Get("Location"))
				}
				return answerJSON{Response: resp}
			})
			if codes.Load() != 1 {
				t.Errorf("%d codes of one interaction", codes.Load())
			}
		}
	})
	t.Run("guesses at a password are counted by all together", func(t *testing.T) {
		w.addUser("bob")
		b := w.browser()
		login := b.open(w.request(w.addClient("guess")))
		csrf := accountForm(login, "").Get("csrf")
		cookies := b.client.Jar.Cookies(w.base)
		var evaluated atomic.Int32
		atOnce(60, func() answerJSON {
			n := turn.Load()
			form := url.Values{"csrf": {csrf}, "username": {[]string{"bob", "BOB", " bob", "bob ", "ｂｏｂ"}[n%5]}, "password": {"wrong"}}
			r, err := http.NewRequest("POST", at()+login.Request.URL.RequestURI(), strings.NewReader(form.Encode()))
			if err != nil {
				t.Error(err)
			}
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			for _, ck := range cookies {
				r.AddCookie(ck)
			}
			resp, err := http.DefaultTransport.RoundTrip(r)
			if err != nil {
				t.Error(err)
				return answerJSON{Response: &http.Response{}}
			}
			resp.Body.Close()
			switch resp.StatusCode {
			case http.StatusUnauthorized:
				evaluated.Add(1)
			case http.StatusTooManyRequests, http.StatusServiceUnavailable:
			default:
				t.Errorf("%d", resp.StatusCode)
			}
			return answerJSON{Response: resp}
		})
		if n := evaluated.Load(); n > 10 || n == 0 {
			t.Errorf("%d guesses were looked at", n)
		}
		p := b.submit(login, "login-submit", url.Values{"username": {"bob"}, "password": {testPassword}})
		if p.StatusCode != http.StatusTooManyRequests {
			t.Errorf("the right password, too late: %d", p.StatusCode)
		}
		w.clock.Advance(16 * time.Minute)
		if p := b.submit(login, "login-submit", url.Values{"username": {"bob"}, "password": {testPassword}}); p.StatusCode != http.StatusSeeOther {
			t.Errorf("the control, a while later: %d", p.StatusCode)
		}
	})
	t.Run("an access token of one is read and revoked by the other, and an end of session holds for both", func(t *testing.T) {
		alice, err := w.Store.UserByUsername(t.Context(), "alice")
		if err != nil {
			t.Fatal(err)
		}
		c := w.addClient("both")
		info := func(base, token string) int {
			r, err := http.NewRequest("GET", base+"/userinfo", nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Authorization", "Bearer "+token)
			return w.send(r).StatusCode
		}
		got := w.tokens(c, alice, "openid")
		if a, b := info(w.Issuer, got.str("access_token")), info(other, got.str("access_token")); a != http.StatusOK || b != http.StatusOK {
			t.Errorf("the control: %d, %d", a, b)
		}
		if err := w.EndSessions(t.Context(), alice.ID); err != nil {
			t.Fatal(err)
		}
		if a, b := info(w.Issuer, got.str("access_token")), info(other, got.str("access_token")); a != http.StatusUnauthorized || b != http.StatusUnauthorized {
			t.Errorf("after the end: %d, %d", a, b)
		}
	})
}

// TestRotatingKeysAtBothInstancesAtOnce leaves no token whose key is not published by both.
func TestRotatingKeysAtBothInstancesAtOnce(t *testing.T) {
	t.Parallel()
	w := newTestProvider(t)
	alice, c := w.addUser("alice"), w.addClient("web")
	cfg := w.Config
	cfg.Keys = testRing(t, cfg)
	second, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(second.Handler())
	t.Cleanup(server.Close)
	var old []string
	for range 5 {
		got := w.tokens(c, alice, "openid")
		old = append(old, got.str("id_token"))
		published := w.browser().get(server.URL + "/jwks").body
		header, err := keys.PeekHeader(got.str("id_token"))
		if err != nil {
			t.Fatal(err)
		}
		if header.KeyID == "" || !strings.Contains(published, header.KeyID) {
			t.Errorf("a token is signed with %q, which the other instance does not publish", header.KeyID)
		}
		done := make(chan error, 2)
		go func() { _, err := w.Keys.Rotate(t.Context()); done <- err }()
		go func() { _, err := second.Keys.Rotate(t.Context()); done <- err }()
		for range 2 {
			if err := <-done; err != nil {
				t.Logf("one of two rotations at once: %v", err)
			}
		}
		w.clock.Advance(2 * time.Hour)
	}
	for _, token := range old {
		if p := w.browser().get(w.request(c, "id_token_hint", token)); p.answer().Get("error") != "" {
			t.Errorf("a hint signed before: %s", p.Header.Get("Location"))
		}
	}
}
