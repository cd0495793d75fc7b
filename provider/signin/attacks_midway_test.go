package signin_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"latchkey/provider"
	"latchkey/provider/clients"
	"latchkey/provider/providertest"
	"latchkey/provider/registration"
	"latchkey/provider/storage"
)

// change stores the client differently, as an administrator does while somebody is signing in to
// it.
func change(t *testing.T, w *providertest.World, id string, bend func(*clients.Client)) clients.Client {
	t.Helper()
	c, err := w.Store.Client(t.Context(), id)
	if err == nil {
		bend(&c)
		err = w.Store.UpdateClient(t.Context(), c)
	}
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestWhatTheClientMayNotAskForAnyMoreIsNotGiven(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	w.AddUser("bob", "staff")
	hybrid := func(c *clients.Client) {
		c.SkipConsent, c.ResponseTypes, c.GrantTypes = false, []string{"code", "code id_token token"},
			[]string{"authorization_code", "implicit"}
		c.Audience = []string{"https://api.example", "https://other.example"}
	}
	ask := []string{"response_type", "code id_token token", "scope", "openid profile groups", "resource",
		"https://other.example"}
	for name, c := range map[string]struct {
		bend func(*clients.Client)
		want string // the error that the client hears
	}{
		"the response type": {func(c *clients.Client) { c.ResponseTypes = []string{"code"} },
			"unauthorized_client"},
		"the resource": {func(c *clients.Client) { c.Audience = c.Audience[:1] }, "invalid_target"},
		"every scope":  {func(c *clients.Client) { c.Scope = "email" }, "invalid_scope"},
		"requests without a signature": {func(c *clients.Client) { c.RequireSignedRequestObject = true },
			"invalid_request"},
	} {
		t.Run(name+" was taken away while the person was being asked", func(t *testing.T) {
			id := strings.ReplaceAll(name, " ", "-")
			b := w.Browser()
			consent := b.SignInAs(b.Open(w.Request(w.AddClient(id, hybrid), ask...)), "bob")
			if !consent.Has("consent-page") {
				t.Fatalf("%d %s", consent.StatusCode, consent.Header.Get("Location"))
			}
			change(t, w, id, c.bend)
			p := b.Follow(b.Submit(consent, "consent-allow", providertest.Allow))
			if got := p.Answer(); got.Get("error") != c.want || got.Has("access_token") || got.Has("code") ||
				got.Get("state") != "S1" {
				t.Errorf("%d %s", p.StatusCode, p.Header.Get("Location"))
			}
		})
	}
	t.Run("PKCE became necessary", func(t *testing.T) {
		b := w.Browser()
		c := w.AddClient("loose", hybrid, func(c *clients.Client) { c.WithoutPKCE = true })
		consent := b.SignInAs(b.Open(w.Request(c, "code_challenge", "", "code_challenge_method", "")), "bob")
		change(t, w, "loose", func(c *clients.Client) { c.WithoutPKCE = false })
		if got := b.Follow(b.Submit(consent, "consent-allow",
			providertest.Allow)).Answer(); got.Get("error") != "invalid_request" {
			t.Errorf("%v", got)
		}
	})
	t.Run("one of several scopes was taken away: what is left is asked again", func(t *testing.T) {
		b := w.Browser()
		consent := b.SignInAs(b.Open(w.Request(w.AddClient("narrow", hybrid), ask...)), "bob")
		change(t, w, "narrow", func(c *clients.Client) { c.Scope = "openid profile" })
		p := b.Follow(b.Submit(consent, "consent-allow", providertest.Allow))
		if !p.Has("consent-page") {
			t.Fatalf("the answer to another question: %d %s", p.StatusCode, p.Header.Get("Location"))
		}
		got := b.Follow(b.Submit(p, "consent-allow", providertest.Allow)).Answer()
		if got.Get("scope") != "openid profile" || got.Get("access_token") == "" {
			t.Errorf("%v", got)
		}
	})
	t.Run("the client became another one while the person was being asked", func(t *testing.T) {
		b := w.Browser()
		consent := b.SignInAs(b.Open(w.Request(w.AddClient("nice", hybrid), ask...)), "bob")
		change(t, w, "nice", func(c *clients.Client) { c.ClientName = "Another Name" })
		if p := b.Follow(b.Submit(consent, "consent-allow", providertest.Allow)); !p.Has("consent-page") ||
			!strings.Contains(p.Body, "Another Name") {
			t.Errorf("%d %s", p.StatusCode, p.Header.Get("Location"))
		}
	})
}

func open(c *provider.Config) { c.Registration = registration.Open }

func TestAllowingIsForWhatThePersonSaw(t *testing.T) {
	t.Parallel()
	w := providertest.New(t, open)
	w.AddUser("alice")
	meta := func(change map[string]any) map[string]any {
		m := map[string]any{"redirect_uris": []string{"https://nice.example/cb"}, "client_name": "Nice Notes",
			"client_uri": "https://nice.example/"}
		for k, v := range change {
			m[k] = v
		}
		return m
	}
	for name, became := range map[string]map[string]any{
		"another host":         {"redirect_uris": []string{"https://evil.example/cb"}},
		"one host more":        {"redirect_uris": []string{"https://nice.example/cb", "https://evil.example/cb"}},
		"another name":         {"client_name": "Your Bank"},
		"another logo":         {"logo_uri": "https://evil.example/logo.png"},
		"another home page":    {"client_uri": "https://evil.example/"},
		"an app without proof": {"token_endpoint_auth_method": "none"},
	} {
		a, c := w.Registered(meta(nil))
		b := w.Browser()
		b.Code(c, "alice", "scope", "openid profile email")
		silent := func() url.Values {
			return b.Get(w.Request(c, "scope", "openid profile email", "prompt", "none")).Answer()
		}
		if silent().Get("code") == "" {
			t.Fatalf("%s: the control: %v", name, silent())
		}
		put := func(change map[string]any) {
			m := meta(change)
			m["client_id"] = c.ID
			if got := w.Json("PUT", a.Str("registration_client_uri"), a.Str("registration_access_token"),
				m); got.StatusCode != http.StatusOK {
				t.Fatalf("%s: %d %v", name, got.StatusCode, got.JSON)
			}
			var err error
			if c, err = w.Store.Client(t.Context(), c.ID); err != nil {
				t.Fatal(err)
			}
		}
		put(became)
		if got := silent(); got.Get("error") != "consent_required" {
			t.Errorf("%s: %v", name, got)
		}
		put(map[string]any{"redirect_uris": []string{"https://nice.example/elsewhere"},
			"contacts": []string{"it@nice.example"}})
		if got := silent(); got.Get("code") == "" {
			t.Errorf("%s: what nobody sees changed as well: %v", name, got)
		}
	}
}

func TestNobodyIsSentInSilenceToWhatAnybodyCanPretendToBe(t *testing.T) {
	t.Parallel()
	w := providertest.New(t, open)
	w.AddUser("alice")
	native := func(uris ...string) func(*clients.Client) {
		return func(c *clients.Client) {
			c.Type, c.ApplicationType, c.RedirectURIs, c.TokenEndpointAuthMethod = clients.TypeNative, "native", uris,
				"none"
		}
	}
	secret := func(c *clients.Client) { c.TokenEndpointAuthMethod = "client_secret_basic" }
	spa := func(uris ...string) func(*clients.Client) {
		return func(c *clients.Client) {
			c.Type, c.RedirectURIs, c.TokenEndpointAuthMethod = clients.TypeSPA, uris, "none"
		}
	}
	onOwnMachine := func(c *clients.Client) { c.InsecureSilentLoopback = true }
	for i, c := range []struct {
		name   string
		bend   []func(*clients.Client)
		silent bool
	}{
		{"an app on a device, at its scheme", []func(*clients.Client){native("com.example.app:/cb")}, false},
		{"an app on a device, at loopback", []func(*clients.Client){native("http://127.0.0.1/cb")}, false},
		{"an app on a device with a secret", []func(*clients.Client){native("com.example.app:/cb",
			"http://127.0.0.1/cb"), secret}, false},
		{"an app on a device that claims an https address",
			[]func(*clients.Client){native("https://app.example.com/cb")}, true},
		{"a page in a browser, at loopback", []func(*clients.Client){spa("http://127.0.0.1:3000/cb")}, false},
		{"a page in a browser, at localhost", []func(*clients.Client){spa("http://localhost:3000/cb")}, false},
		{"a page in a browser, by https", []func(*clients.Client){spa("https://spa.example/cb")}, true},
		{"a page at loopback that an administrator lets in silently",
			[]func(*clients.Client){spa("http://board.localhost:3000/cb"), onOwnMachine}, true},
		{"a server", nil, true},
	} {
		for _, skip := range []bool{false, true} {
			b := w.Browser()
			client := w.AddClient(string(rune('a'+i))+map[bool]string{true: "-skip", false: ""}[skip],
				append([]func(*clients.Client){func(c *clients.Client) { c.SkipConsent = skip }}, c.bend...)...)
			b.Code(client, "alice") // asks once, unless skip counts
			got := b.Get(w.Request(client, "prompt", "none")).Answer()
			if c.silent != got.Has("code") || !c.silent && got.Get("error") != "consent_required" {
				t.Errorf("%s, skip_consent %t: %v", c.name, skip, got)
			}
		}
	}
	t.Run("one that registered itself as an app on a device", func(t *testing.T) {
		for _, uri := range []string{"com.example.app:/cb", "http://127.0.0.1/cb", "https://app.example/cb"} {
			_, c := w.Registered(map[string]any{"application_type": "native", "redirect_uris": []string{uri},
				"token_endpoint_auth_method": "client_secret_basic"})
			b := w.Browser()
			b.Code(c, "alice")
			if got := b.Get(w.Request(c, "prompt", "none")).Answer(); got.Get("error") != "consent_required" {
				t.Errorf("%s: %v", uri, got)
			}
		}
	})
}

func TestAFormThatIsSentTwiceLeadsOn(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	w.AddUser("alice")
	c := w.AddClient("web", providertest.AsksConsent)
	creds := url.Values{"username": {"alice"}, "password": {providertest.TestPassword}}
	b := w.Browser()
	login := b.Open(w.Request(c))
	first, second := b.Submit(login, "login-submit", creds), b.Submit(login, "login-submit", creds)
	if first.StatusCode != http.StatusSeeOther || second.StatusCode != http.StatusSeeOther {
		t.Fatalf("%d, then %d", first.StatusCode, second.StatusCode)
	}
	consent := b.Follow(second)
	if !consent.Has("consent-page") {
		t.Fatalf("%d %s", consent.StatusCode, consent.Header.Get("Location"))
	}
	b.Submit(consent, "consent-allow", providertest.Allow)
	if p := b.Follow(b.Submit(consent, "consent-allow", providertest.Allow)); p.Answer().Get("code") == "" {
		t.Errorf("consent, twice: %d %s", p.StatusCode, p.Header.Get("Location"))
	}
	t.Run("also when the first one had led to the application already", func(t *testing.T) {
		b := w.Browser()
		login := b.Open(w.Request(c))
		if b.Follow(b.Submit(login, "login-submit", creds)).Answer().Get("code") == "" {
			t.Fatal("the first")
		}
		if p := b.Follow(b.Submit(login, "login-submit", creds)); p.Answer().Get("code") == "" {
			t.Errorf("the second: %d %s", p.StatusCode, p.Header.Get("Location"))
		}
		w.Clock.Advance(w.InteractionTTL / 2)
		if p := b.Follow(b.Submit(login, "login-submit", creds)); p.StatusCode != http.StatusBadRequest ||
			!p.Has("op-error") || !p.Has("error-home") {
			t.Errorf("much later there are words and a way on: %d %s", p.StatusCode, p.Header.Get("Location"))
		}
	})
}

func TestWhatNobodyHasSignedInForIsNotStored(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	c := w.AddClient("web")
	stored := func(ref string) bool {
		_, err := w.Store.Interaction(t.Context(), ref)
		return err == nil
	}
	for _, target := range []string{w.Request(c), w.Request(c, "state", strings.Repeat("s", 3000), "nonce",
		strings.Repeat("n", 500)), "/account"} {
		p := w.Browser().Open(target)
		ref := p.Request.URL.Query().Get("i")
		if !p.Has("login-page") || ref == "" || stored(ref) || len(ref) > 7<<10 {
			t.Errorf("%.80s: %d, a reference of %d characters", target, p.StatusCode, len(ref))
		}
		for _, other := range []string{ref[:len(ref)-2], ref + "AA", "s.", "s." + ref, strings.ToUpper(ref), "s.%00"} {
			if p := w.Browser().Get("/login?i=" + url.QueryEscape(other)); p.StatusCode != http.StatusBadRequest {
				t.Errorf("a reference that was changed: %d", p.StatusCode)
			}
		}
	}
	// What is too large for an address, or comes by POST, is stored, but not without end.
	large := w.Request(c, "claims", `{"id_token":{"acr":{"values":["`+incompressible(7000)+`"]}}}`)
	for name, send := range map[string]func() providertest.Page{
		"large": func() providertest.Page { return w.Browser().Get(large) },
		"by POST": func() providertest.Page {
			return w.Browser().Post("/authorize", providertest.MustQuery(t, w.Request(c)))
		},
	} {
		kept, refused := 0, 0
		for range 300 {
			switch p := send(); p.StatusCode {
			case http.StatusSeeOther:
				kept++
			case http.StatusTooManyRequests:
				refused++
				if p.Header.Get("Retry-After") == "" {
					t.Fatalf("%s: no Retry-After", name)
				}
			default:
				t.Fatalf("%s: %d", name, p.StatusCode)
			}
		}
		if kept > 100 || refused == 0 {
			t.Errorf("%s: %d of 300 are stored", name, kept)
		}
	}
	if w.Browser().Open(w.Request(c)).Has("login-page") == false {
		t.Error("the others are kept out")
	}
}

// incompressible is a text of n characters that does not get shorter.
func incompressible(n int) string {
	var b strings.Builder
	for b.Len() < n {
		b.WriteString(storage.Random())
	}
	return b.String()[:n]
}
