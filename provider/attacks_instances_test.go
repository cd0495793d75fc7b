package provider_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"latchkey/keys"
	"latchkey/provider"
	"latchkey/provider/admin"
	"latchkey/provider/providertest"
	"latchkey/provider/registration"
	"latchkey/provider/storage"
)

// TestWhatIsUsedOnceIsUsedOnceByAllInstances races on everything but codes, refresh tokens and
// assertions.
func TestWhatIsUsedOnceIsUsedOnceByAllInstances(t *testing.T) {
	t.Parallel()
	w := providertest.New(t, func(c *provider.Config) { c.Registration = registration.Token })
	other := w.Twin(t)
	w.AddUser("alice")
	var turn atomic.Int32
	at := func() string {
		if turn.Add(1)%2 == 0 {
			return other
		}
		return w.Issuer
	}
	t.Run("an initial access token registers one client", func(t *testing.T) {
		for range 10 {
			token, _, err := w.Admin.CreateInitialAccessToken(t.Context(), admin.Actor{Kind: storage.ActorSystem},
				time.Hour)
			if err != nil {
				t.Fatal(err)
			}
			var created atomic.Int32
			providertest.AtOnce(20, func() providertest.AnswerJSON {
				r := providertest.NewRegistration(t, w)
				r.URL.Host = strings.TrimPrefix(at(), "http://")
				r.Header.Set("Authorization", "Bearer "+token)
				a := w.Send(r)
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
		c := w.AddClient("web")
		for range 10 {
			b := w.Browser()
			b.Code(c, "alice")
			// POST leaves an interaction that needs nothing more to be asked.
			p := b.Post("/authorize", providertest.MustQuery(t, w.Request(c)))
			location := p.Header.Get("Location")
			b.Get("/jwks")
			cookies := b.Client.Jar.Cookies(w.Web.Base)
			var codes atomic.Int32
			providertest.AtOnce(20, func() providertest.AnswerJSON {
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
					return providertest.AnswerJSON{Response: &http.Response{}}
				}
				resp.Body.Close()
				if strings.Contains(resp.Header.Get("Location"), "code=") {
					codes.Add(1)
				} else if resp.StatusCode != http.StatusBadRequest {
					t.Errorf("%d %s", resp.StatusCode, resp.Header.Get("Location"))
				}
				return providertest.AnswerJSON{Response: resp}
			})
			if codes.Load() != 1 {
				t.Errorf("%d codes of one interaction", codes.Load())
			}
		}
	})
	t.Run("guesses at a password are counted by all together", func(t *testing.T) {
		w.AddUser("bob")
		b := w.Browser()
		login := b.Open(w.Request(w.AddClient("guess")))
		csrf := providertest.AccountForm(login, "").Get("csrf")
		cookies := b.Client.Jar.Cookies(w.Web.Base)
		var evaluated atomic.Int32
		providertest.AtOnce(60, func() providertest.AnswerJSON {
			n := turn.Load()
			form := url.Values{"csrf": {csrf}, "username": {[]string{"bob", "BOB", " bob", "bob ", "ｂｏｂ"}[n%5]},
				"password": {"wrong"}}
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
				return providertest.AnswerJSON{Response: &http.Response{}}
			}
			resp.Body.Close()
			switch resp.StatusCode {
			case http.StatusUnauthorized:
				evaluated.Add(1)
			case http.StatusTooManyRequests, http.StatusServiceUnavailable:
			default:
				t.Errorf("%d", resp.StatusCode)
			}
			return providertest.AnswerJSON{Response: resp}
		})
		if n := evaluated.Load(); n > 10 || n == 0 {
			t.Errorf("%d guesses were looked at", n)
		}
		p := b.Submit(login, "login-submit", url.Values{"username": {"bob"}, "password": {providertest.TestPassword}})
		if p.StatusCode != http.StatusTooManyRequests {
			t.Errorf("the right password, too late: %d", p.StatusCode)
		}
		w.Clock.Advance(16 * time.Minute)
		if p := b.Submit(login, "login-submit", url.Values{"username": {"bob"},
			"password": {providertest.TestPassword}}); p.StatusCode != http.StatusSeeOther {
			t.Errorf("the control, a while later: %d", p.StatusCode)
		}
	})
	t.Run("an access token of one is read and revoked by the other, and an end of session holds for both",
		func(t *testing.T) {
			alice, err := w.Store.UserByUsername(t.Context(), "alice")
			if err != nil {
				t.Fatal(err)
			}
			c := w.AddClient("both")
			info := func(base, token string) int {
				r, err := http.NewRequest("GET", base+"/userinfo", nil)
				if err != nil {
					t.Fatal(err)
				}
				r.Header.Set("Authorization", "Bearer "+token)
				return w.Send(r).StatusCode
			}
			got := w.Tokens(c, alice, "openid")
			if a, b := info(w.Issuer, got.Str("access_token")), info(other, got.Str("access_token")); a != http.StatusOK ||
				b != http.StatusOK {
				t.Errorf("the control: %d, %d", a, b)
			}
			if err := w.Sessions.EndAll(t.Context(), alice.ID); err != nil {
				t.Fatal(err)
			}
			if a, b := info(w.Issuer, got.Str("access_token")),
				info(other, got.Str("access_token")); a != http.StatusUnauthorized || b != http.StatusUnauthorized {
				t.Errorf("after the end: %d, %d", a, b)
			}
		})
}

// TestRotatingKeysAtBothInstancesAtOnce leaves no token whose key is not published by both.
func TestRotatingKeysAtBothInstancesAtOnce(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	alice, c := w.AddUser("alice"), w.AddClient("web")
	cfg := w.Config
	cfg.Keys = providertest.TestRing(t, cfg)
	second, err := provider.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(second.Handler())
	t.Cleanup(server.Close)
	var old []string
	for range 5 {
		got := w.Tokens(c, alice, "openid")
		old = append(old, got.Str("id_token"))
		published := w.Browser().Get(server.URL + "/jwks").Body
		header, err := keys.PeekHeader(got.Str("id_token"))
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
		w.Clock.Advance(2 * time.Hour)
	}
	for _, token := range old {
		if p := w.Browser().Get(w.Request(c, "id_token_hint", token)); p.Answer().Get("error") != "" {
			t.Errorf("a hint signed before: %s", p.Header.Get("Location"))
		}
	}
}
