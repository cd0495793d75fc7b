package grants_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"latchkey/keys"
	"latchkey/provider"
	"latchkey/provider/clients"
	"latchkey/provider/oauth"
	"latchkey/provider/providertest"
)

// algOf is alg in the header of a JWT whose signature is verified by the published keys.
func algOf(t *testing.T, w *providertest.World, jws string) string {
	t.Helper()
	h, err := keys.PeekHeader(jws)
	if err != nil {
		t.Fatal(err)
	}
	w.Verified(jws, h.Algorithm)
	return h.Algorithm
}

// addAPI registers an API as an administrator does.
func addAPI(t *testing.T, w *providertest.World, id, audience, alg string) clients.Client {
	t.Helper()
	return w.AddClient(id, func(c *clients.Client) {
		*c = clients.Client{ID: id, Type: clients.TypeAPI, SecretHash: c.SecretHash,
			Metadata:  clients.Metadata{ClientName: id, AccessTokenSignedResponseAlg: alg},
			Decisions: clients.Decisions{Audience: []string{audience}}}
		made, err := clients.Prepare(*c, clients.Policy{})
		if err != nil {
			t.Fatal(err)
		}
		*c = made
	})
}

const notes, files, mails = "https://notes.test", "https://files.test", "https://mails.test"

func TestAccessTokenIsSignedAsTheAPIThatReadsItWants(t *testing.T) {
	t.Parallel()
	w := providertest.New(t, func(c *provider.Config) { c.AccessTokenAlg = "PS256" })
	alice := w.AddUser("alice")
	addAPI(t, w, "notes-api", notes, "RS256")
	addAPI(t, w, "files-api", files, "EdDSA")
	addAPI(t, w, "mails-api", mails, "") // has said nothing
	for name, c := range map[string]struct {
		audience []string
		want     string
	}{
		"only the provider reads it":  {nil, "ES256"},
		"an API that said RS256":      {[]string{notes}, "RS256"},
		"an API that said EdDSA":      {[]string{files}, "EdDSA"},
		"an API that said nothing":    {[]string{mails}, "PS256"},
		"an API that nobody made":     {[]string{"https://unknown.test"}, "PS256"},
		"the provider, then an API":   {[]string{w.Issuer, notes}, "ES256"}, // the first is the default
		"an API, then the provider":   {[]string{files, w.Issuer}, "EdDSA"},
		"an API, and others on offer": {[]string{mails, notes, files}, "PS256"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			id := strings.ToLower(strings.NewReplacer(" ", "-", ",", "").Replace(name))
			web := w.AddClient(id, func(k *clients.Client) { k.Audience = c.audience; k.IDTokenSignedResponseAlg = "RS256" })
			got := w.Tokens(web, alice, "openid offline_access")
			if alg := algOf(t, w, got.Str("access_token")); alg != c.want {
				t.Errorf("signed with %s, want %s", alg, c.want)
			}
			if alg := algOf(t, w, got.Str("id_token")); alg != "RS256" {
				t.Errorf("the ID token is signed with %s", alg)
			}
			// Refreshed, and for a program alone, it is the same.
			if alg := algOf(t, w, w.Renew(web, got.Str("refresh_token")).Str("access_token")); alg != c.want {
				t.Errorf("refreshed it is signed with %s, want %s", alg, c.want)
			}
			service := w.AddClient(id+"-service", func(k *clients.Client) {
				k.Type, k.RedirectURIs, k.ResponseTypes, k.GrantTypes, k.Audience = clients.TypeService, nil, nil,
					[]string{"client_credentials"}, c.audience
			})
			a := w.Call("/token", service, url.Values{"grant_type": {"client_credentials"}})
			if alg := algOf(t, w, a.Str("access_token")); alg != c.want {
				t.Errorf("for a program it is signed with %s, want %s", alg, c.want)
			}
			if info := w.Whois(got.Str("access_token")); info.StatusCode != http.StatusOK {
				t.Errorf("userinfo reads no %s: %d", c.want, info.StatusCode)
			}
		})
	}
}

func TestTokenForAPIsThatWantDifferentSignaturesIsRefusedAndCostsNothing(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	alice := w.AddUser("alice")
	addAPI(t, w, "notes-api", notes, "RS256")
	addAPI(t, w, "files-api", files, "EdDSA")
	both := func(c *clients.Client) { c.Audience = []string{notes, files, mails} }
	web := w.AddClient("web", both)
	b := w.Browser()
	p := b.Open(w.Request(web, "scope", "openid offline_access") + "&resource=" + url.QueryEscape(notes) +
		"&resource=" + url.QueryEscape(files) + "&resource=" + url.QueryEscape(mails))
	code := b.SignInAs(p, alice.Username).Answer().Get("code")

	providertest.MustRefuse(t, w.Redeem(web, code), http.StatusBadRequest, oauth.InvalidTarget)
	got := w.Redeem(web, code, "resource", files) // the code is still good
	if alg := algOf(t, w, got.Str("access_token")); alg != "EdDSA" {
		t.Errorf("signed with %s", alg)
	}
	providertest.MustRefuse(t, w.Renew(web, got.Str("refresh_token")), http.StatusBadRequest, oauth.InvalidTarget)
	got = w.Renew(web, got.Str("refresh_token"), "resource", notes) // and so is the refresh token
	if alg := algOf(t, w, got.Str("access_token")); alg != "RS256" {
		t.Errorf("refreshed it is signed with %s", alg)
	}
	// An API that has said nothing takes what the other wants: both are readable by the published
	// keys.
	r := w.Renew(web, got.Str("refresh_token"), "resource", mails)
	if alg := algOf(t, w, r.Str("access_token")); alg != "ES256" {
		t.Errorf("signed with %s", alg)
	}

	// In the front channel the client hears of it before the user is asked anything.
	implicit := w.AddClient("implicit", both, func(c *clients.Client) {
		c.GrantTypes, c.ResponseTypes = []string{"implicit"}, []string{"id_token token"}
	})
	q := w.Request(implicit, "response_type", "id_token token", "code_challenge", "", "code_challenge_method", "")
	answer := w.Browser().Get(q + "&resource=" + url.QueryEscape(notes) + "&resource=" + url.QueryEscape(files))
	if at := answer.Header.Get("Location"); !strings.Contains(at, "error=invalid_target") ||
		!strings.HasPrefix(at, implicit.RedirectURIs[0]) {
		t.Errorf("%d to %s", answer.StatusCode, at)
	}
}

func TestChangedRegistrationOfAnAPIChangesTheNextToken(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	alice := w.AddUser("alice")
	api := addAPI(t, w, "notes-api", notes, "RS256")
	web := w.AddClient("web", func(c *clients.Client) { c.Audience = []string{notes} })
	opaque := w.AddClient("opaque", func(c *clients.Client) { c.Audience, c.OpaqueAccessTokens = []string{notes}, true })
	if alg := algOf(t, w, w.Tokens(web, alice, "openid").Str("access_token")); alg != "RS256" {
		t.Errorf("signed with %s", alg)
	}
	for _, alg := range []string{"PS256", ""} {
		api, err := w.Store.Client(t.Context(), api.ID)
		if err != nil {
			t.Fatal(err)
		}
		api.AccessTokenSignedResponseAlg = alg
		if api, err = clients.Prepare(api, clients.Policy{}); err != nil {
			t.Fatal(err)
		}
		if err := w.Store.UpdateClient(t.Context(), api); err != nil {
			t.Fatal(err)
		}
		want := alg
		if want == "" {
			want = provider.DefaultAccessTokenAlg
		}
		if got := algOf(t, w, w.Tokens(web, alice, "openid").Str("access_token")); got != want {
			t.Errorf("signed with %s, want %s", got, want)
		}
	}
	if token := w.Tokens(opaque, alice, "openid").Str("access_token"); strings.Contains(token, ".") {
		t.Errorf("the opaque token is %s", token)
	}
}

// An installation from before has one key, RS256. APIs that keep the JWK Set for as long as they
// are told must never meet a token whose key is not in it.
func TestFirstKeyOfAnotherAlgorithmWaitsUntilCachesHaveIt(t *testing.T) {
	t.Parallel()
	w := providertest.New(t, func(c *provider.Config) {
		ring, err := keys.Open(t.Context(), keys.Config{Store: c.Store, Sealer: c.Sealer, Now: c.Now})
		if err != nil {
			t.Fatal(err)
		}
		c.Keys = ring
	})
	alice, web := w.AddUser("alice"), w.AddClient("web", func(c *clients.Client) { c.Audience = []string{notes} })
	w.Clock.Advance(24 * time.Hour)
	if err := w.Keys.EnsureAlgorithm(t.Context(), keys.UseSignature, "ES256"); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		later time.Duration
		want  string
	}{{0, "RS256"}, {keys.MaxAge - time.Second, "RS256"}, {time.Second, "ES256"}} {
		w.Clock.Advance(c.later)
		if got := algOf(t, w, w.Tokens(web, alice, "openid").Str("access_token")); got != c.want {
			t.Errorf("%s later it is signed with %s, want %s", c.later, got, c.want)
		}
	}
}
