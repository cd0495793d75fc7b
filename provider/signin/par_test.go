package signin_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"latchkey/provider"
	"latchkey/provider/clients"
	"latchkey/provider/oauth"
	"latchkey/provider/providertest"
	"latchkey/provider/storage"
)

func TestPushedAuthorizationRequests(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	w.AddUser("alice")
	web, spa := w.AddClient("web"), w.AddClient("spa", providertest.Public)
	b := w.Browser()
	b.Code(web, "alice")
	b.Code(spa, "alice")

	t.Run("RFC 9126 §2.2 the answer is a reference that is good for a minute", func(t *testing.T) {
		a := w.In(t).Push(web)
		uri := a.Str("request_uri")
		if a.StatusCode != http.StatusCreated || !strings.HasPrefix(uri, providertest.PushedPrefix) || len(uri) > 512 ||
			a.JSON["expires_in"] != 60.0 || a.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%d %v %v", a.StatusCode, a.JSON, a.Header)
		}
	})
	for name, c := range map[string]clients.Client{"confidential": web, "public": spa} {
		t.Run("RFC 9126 §4 a "+name+" client gets a code for what it pushed", func(t *testing.T) {
			w := w.In(t)
			p := b.Get(w.MustPush(c, "state", "pushed", "nonce", "pushed"))
			got := w.Redeem(c, p.Answer().Get("code"))
			if p.Answer().Get("state") != "pushed" || p.Answer().Get("iss") != w.Issuer ||
				providertest.ClaimsOf(t, got.Str("id_token"))["nonce"] != "pushed" {
				t.Errorf("%s %v", p.Header.Get("Location"), got.JSON)
			}
		})
		t.Run("RFC 9126 §4 a large request of a "+name+" client is kept", func(t *testing.T) {
			w := w.In(t)
			state := strings.Repeat("0123456789abcdef", 250)
			if got := b.Get(w.MustPush(c, "state", state, "nonce", noise(3000))).Answer(); got.Get("state") != state {
				t.Errorf("%v", got)
			}
		})
	}
	t.Run("RFC 9126 §4 parameters beside the reference do not count", func(t *testing.T) {
		uri := w.In(t).Push(web).Str("request_uri")
		got := b.Get(w.Pushed(web, uri, "state", "outside", "redirect_uri", "https://evil.example/", "scope", "email",
			"response_type", "id_token", "prompt", "login")).Answer()
		if got.Get("state") != "S1" || got.Get("code") == "" {
			t.Errorf("%v", got)
		}
	})
	t.Run("RFC 9126 §4 a reference may be opened twice before it is used", func(t *testing.T) {
		fresh := w.Browser()
		target := w.In(t).MustPush(web)
		fresh.Open(target)
		p := fresh.Open(target)
		w.Clock.Advance(30 * time.Minute) // the reference is gone by then, the sign-in goes on
		if done := fresh.SignInAs(p, "alice"); done.Answer().Get("code") == "" {
			t.Errorf("%d %s", done.StatusCode, done.Body)
		}
		if again := fresh.Get(target); again.StatusCode != http.StatusBadRequest || !again.Has("op-error") {
			t.Errorf("after its use: %d %s", again.StatusCode, again.Header.Get("Location"))
		}
	})
	t.Run("RFC 9126 §7.3 of two tabs with one reference one is answered", func(t *testing.T) {
		one, two := w.Browser(), w.Browser()
		target := w.In(t).MustPush(web)
		first, second := one.Open(target), two.Open(target)
		if one.SignInAs(first, "alice").Answer().Get("code") == "" {
			t.Error("no code")
		}
		if p := two.SignInAs(second, "alice"); p.Answer().Has("code") || p.StatusCode != http.StatusBadRequest {
			t.Errorf("%d %s", p.StatusCode, p.Header.Get("Location"))
		}
	})
	t.Run("a form that was open over night begins anew with a pushed request, once", func(t *testing.T) {
		fresh := w.Browser()
		p := fresh.Open(w.In(t).MustPush(web))
		address := p.Request.URL.RequestURI()
		w.Clock.Advance(9 * time.Hour)
		if p = fresh.Open(address); fresh.SignInAs(p, "alice").Answer().Get("code") == "" {
			t.Fatalf("%d %s", p.StatusCode, p.Body)
		}
		w.Clock.Advance(9 * time.Hour)
		if p = fresh.Open(address); p.Has("login-page") || p.Answer().Has("code") {
			t.Errorf("used, it begins once more: %d %s", p.StatusCode, p.Request.URL)
		}
		if p = fresh.Open(w.In(t).MustPush(web)); p.Has("login-page") {
			address = p.Request.URL.RequestURI()
			w.Clock.Advance(25 * time.Hour)
			if p = fresh.Open(address); p.Has("login-page") {
				t.Error("it begins anew after a day")
			}
		}
	})
	t.Run("RFC 9126 §4 who turns back uses the reference up", func(t *testing.T) {
		asks := w.AddClient("asks", providertest.AsksConsent)
		target := w.In(t).MustPush(asks)
		b := w.Browser()
		p := b.SignInAs(b.Open(target), "alice")
		p = b.Follow(b.Submit(p, "consent-deny", url.Values{"decision": {"deny"}}))
		if p.Answer().Get("error") != "access_denied" || b.Get(target).StatusCode != http.StatusBadRequest {
			t.Errorf("%d %s", p.StatusCode, p.Header.Get("Location"))
		}
	})
}

// noise does not become smaller by compression.
func noise(n int) string {
	var b strings.Builder
	for b.Len() < n {
		b.WriteString(storage.Random())
	}
	return b.String()[:n]
}

func TestWhatMayBePushed(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	w.AddUser("alice")
	key := providertest.EcKey(t)
	web, other := w.AddClient("web"), w.AddClient("other")
	jar := w.AddClient("jar", providertest.SignsRequests(t, key.Public()))
	service := w.AddClient("service", providertest.Service)
	b := w.Browser()
	b.Code(web, "alice")
	sign := func(change map[string]any) string {
		return providertest.SignJWT(t, jose.ES256, key, w.ObjectOf(jar, change), providertest.Kid("k"))
	}
	body := func(c clients.Client, change ...string) url.Values {
		return providertest.MustQuery(t, w.Request(c, change...))
	}

	t.Run("RFC 9126 §3 a request object is pushed, and nothing beside it counts", func(t *testing.T) {
		w := w.In(t)
		a := w.Call("/par", jar, url.Values{"client_id": {"jar"}, "request": {sign(nil)}, "state": {"outside"}})
		if got := b.Open(w.Pushed(jar, a.Str("request_uri"))).Answer(); got.Get("state") != "inside" ||
			got.Get("code") == "" {
			t.Errorf("%v %v", a.JSON, got)
		}
		a = w.Call("/par", jar, providertest.With(body(jar), "request", sign(map[string]any{"redirect_uri": nil})))
		providertest.MustRefuse(t, a, http.StatusBadRequest, oauth.InvalidRequest)
	})
	const invalid, reference = oauth.InvalidRequest, providertest.PushedPrefix + "x"
	for name, c := range map[string]struct {
		client clients.Client
		form   url.Values
		code   oauth.Code
	}{
		"RFC 9126 §2.1 a reference":         {web, body(web, "request_uri", reference), invalid},
		"RFC 9126 §2.1 a foreign client_id": {web, body(other), invalid},
		"a foreign redirect_uri":            {web, body(web, "redirect_uri", "https://evil.example/"), invalid},
		"no redirect_uri":                   {web, body(web, "redirect_uri", ""), invalid},
		"no code_challenge": {web, body(web, "code_challenge", "", "code_challenge_method", ""),
			invalid},
		"code_challenge_method plain": {web, body(web, "code_challenge_method", "plain"), invalid},
		"no response_type":            {web, body(web, "response_type", ""), invalid},
		"an unregistered response_type": {web, body(web, "response_type", "code id_token"),
			oauth.UnauthorizedClient},
		"an unknown response_type":          {web, body(web, "response_type", "ticket"), oauth.UnsupportedResponseType},
		"prompt none and login":             {web, body(web, "prompt", "none login"), invalid},
		"a client that nobody signs in to":  {service, body(service), invalid},
		"a foreign resource":                {web, body(web, "resource", "https://api.example"), oauth.InvalidTarget},
		"no request object where it is due": {jar, body(jar), invalid},
		"a request object by another key": {jar, url.Values{"request": {providertest.SignJWT(t, jose.ES256,
			providertest.EcKey(t), w.ObjectOf(jar, nil), providertest.Kid("k"))}}, oauth.InvalidRequestObject},
		"a reference inside": {jar, url.Values{"request": {sign(map[string]any{
			"request_uri": providertest.PushedPrefix + "x"})}}, oauth.InvalidRequestObject},
	} {
		t.Run("is not pushed: "+name, func(t *testing.T) {
			providertest.MustRefuse(t, w.In(t).Call("/par", c.client, c.form), http.StatusBadRequest, c.code)
		})
	}
	t.Run("what is too large is refused by its size", func(t *testing.T) {
		a := w.In(t).Call("/par", web, body(web, "claims_locales", strings.Repeat("x", 64<<10)))
		providertest.MustRefuse(t, a, http.StatusRequestEntityTooLarge, oauth.InvalidRequest)
	})
	t.Run("RFC 9126 §7.4 what changed since it was pushed counts", func(t *testing.T) {
		w := w.In(t)
		gone := w.MustPush(other)
		other.RedirectURIs = []string{"https://other.example/second"}
		other.Version = 1
		if err := w.Store.UpdateClient(t.Context(), other); err != nil {
			t.Fatal(err)
		}
		if p := b.Get(gone); p.StatusCode != http.StatusBadRequest || p.Header.Get("Location") != "" {
			t.Errorf("%d %s", p.StatusCode, p.Header.Get("Location"))
		}
	})
	t.Run("secrets do not reach the store or the log", func(t *testing.T) {
		w := w.In(t)
		post := w.AddClient("post", func(c *clients.Client) { c.TokenEndpointAuthMethod = oauth.AuthClientSecretPost })
		a := w.Try("/par", providertest.With(body(post), "client_secret", providertest.TestSecret))
		if a.StatusCode != http.StatusCreated || strings.Contains(w.Log.String(), providertest.TestSecret) ||
			strings.Contains(w.Log.String(), a.Str("request_uri")) {
			t.Errorf("%d %v", a.StatusCode, a.JSON)
		}
	})
}

func TestPushedRequestsAreRequired(t *testing.T) {
	t.Parallel()
	for name, w := range map[string]*providertest.World{
		"of one client": providertest.New(t),
		"of everybody":  providertest.New(t, func(c *provider.Config) { c.RequirePushedAuthorizationRequests = true }),
	} {
		t.Run("RFC 9126 §5, §6 "+name, func(t *testing.T) {
			w := w.In(t)
			w.AddUser("alice")
			c := w.AddClient("web", func(c *clients.Client) {
				c.RequirePushedAuthorizationRequests = name == "of one client"
			})
			b := w.Browser()
			if p := b.SignInAs(b.Open(w.MustPush(c)), "alice"); p.Answer().Get("code") == "" {
				t.Fatalf("%d %s", p.StatusCode, p.Body)
			}
			for _, prompt := range []string{"", "none", "login"} {
				if got := b.Get(w.Request(c, "prompt", prompt)).Answer(); got.Get("error") != "invalid_request" ||
					got.Has("code") {
					t.Errorf("prompt %q: %v", prompt, got)
				}
			}
		})
	}
}

func TestPushesAreLimited(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	spa, web, noisy := w.AddClient("spa", providertest.Public), w.AddClient("web"), w.AddClient("noisy")
	for range 10_000 { // as if it had
		w.SignIn.Pushes.Count(noisy.ID, w.Web.Now())
	}
	a := w.Push(noisy)
	providertest.MustRefuse(t, a, http.StatusTooManyRequests, oauth.TemporarilyUnavailable)
	if a.Header.Get("Retry-After") != "61" {
		t.Errorf("no Retry-After: %v", a.Header)
	}
	w.MustPush(web)
	// What is anonymous is kept nowhere while it is small, and not often while it is large.
	for range 200 {
		w.MustPush(spa)
	}
	refused := 0
	for range 40 {
		if w.Push(spa, "nonce", noise(3000)).StatusCode == http.StatusTooManyRequests {
			refused++
		}
	}
	if refused != 10 {
		t.Errorf("%d of 40 large ones are refused, want 10", refused)
	}
	w.MustPush(spa)
	w.Clock.Advance(time.Minute)
	w.MustPush(noisy)
}
