package provider_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey/keys"
	"latchkey/provider/providertest"
	"latchkey/provider/storage"
	"latchkey/provider/storage/storagetest"
)

// kid names the key that signed a token.
func kid(t *testing.T, token string) string {
	t.Helper()
	h, err := keys.PeekHeader(token)
	if err != nil || h.KeyID == "" {
		t.Fatalf("%+v, %v", h, err)
	}
	return h.KeyID
}

// kidsAt lists the keys that the instance at this address publishes, and checks each as a stranger
// would.
func kidsAt(t *testing.T, w *providertest.World, issuer string) []string {
	t.Helper()
	page := w.Browser().Get(issuer + "/jwks")
	if page.StatusCode != http.StatusOK || !strings.Contains(page.Header.Get("Cache-Control"), "max-age=600") {
		t.Fatalf("%d %v", page.StatusCode, page.Header)
	}
	var set struct{ Keys []map[string]any }
	if err := json.Unmarshal([]byte(page.Body), &set); err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, k := range set.Keys {
		for _, private := range []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"} {
			if _, ok := k[private]; ok {
				t.Errorf("KR-3 the published set has the member %s", private)
			}
		}
		id, _ := k["kid"].(string)
		if id == "" || slices.Contains(out, id) || k["kty"] == "oct" || k["use"] != "sig" && k["use"] != "enc" ||
			k["use"] == "sig" && k["alg"] == nil {
			t.Errorf("KR-3 %v beside %v", k, out)
		}
		if n, ok := k["n"].(string); ok {
			if modulus, err := base64.RawURLEncoding.DecodeString(n); err != nil || len(modulus) < 256 {
				t.Errorf("KR-3 an RSA modulus of %d bytes, %v", len(modulus), err)
			}
		}
		out = append(out, id)
	}
	return out
}

func TestKR1RotationOnTwoInstancesAtOnceNeverSignsWithAKeyThatACacheMayLack(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	other := w.Twin(t)
	there := providertest.TestRing(t, w.Config)
	alice, c := w.AddUser("alice"), w.AddClient("web")
	cache := kidsAt(t, w, w.Issuer) // an application that asks every ten minutes, and never in between
	cached := w.Clock.Now()
	var old []string
	for minute := range 60 {
		if minute%3 == 0 && minute < 30 {
			var wait sync.WaitGroup
			for _, ring := range []*keys.Ring{w.Keys, there} {
				wait.Go(func() {
					if _, err := ring.Rotate(t.Context()); err != nil {
						t.Error(err)
					}
				})
			}
			wait.Wait()
		}
		w.Clock.Advance(time.Minute)
		if err := w.Keys.Maintain(t.Context()); err != nil {
			t.Fatal(err)
		}
		here, beside := kidsAt(t, w, w.Issuer), kidsAt(t, w, other)
		if !slices.Equal(here, beside) {
			t.Fatalf("KR-1 instances publish %v and %v", here, beside)
		}
		token := w.Tokens(c, alice, "openid").Str("access_token")
		if !slices.Contains(here, kid(t, token)) {
			t.Fatalf("KR-1 minute %d: signed by %s, published are %v", minute, kid(t, token), here)
		}
		if w.Clock.Now().Sub(cached) >= 10*time.Minute {
			cache, cached = here, w.Clock.Now()
		}
		if !slices.Contains(cache, kid(t, token)) {
			t.Fatalf("KR-1 minute %d: signed by %s, which a cache of %s lacks", minute, kid(t, token),
				w.Clock.Now().Sub(cached))
		}
		old = append(old, token)
		for _, token := range old[max(0, len(old)-9):] { // tokens last ten minutes
			if !slices.Contains(here, kid(t, token)) {
				t.Fatalf("KR-1 minute %d: %s signed a token that is good, and is not published", minute, kid(t, token))
			}
		}
	}
}

func TestKR2TokensAndHintsOfARevokedKeyAreRefusedByEveryInstance(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	other := w.Twin(t)
	alice, c, api := w.AddUser("alice"), w.AddClient("web"), w.AddClient("api")
	tokens := w.Tokens(c, alice, "openid offline_access")
	access, hint := tokens.Str("access_token"), tokens.Str("id_token")
	userinfo := func(issuer string) int {
		r, err := http.NewRequest(http.MethodGet, issuer+"/userinfo", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+access)
		return w.Send(r).StatusCode
	}
	w.AddUser("bob")
	bob := w.Browser()
	bob.Code(c, "bob")
	silent := w.Request(c, "prompt", "none", "id_token_hint", hint) // asks for alice
	if userinfo(w.Issuer) != http.StatusOK || userinfo(other) != http.StatusOK ||
		w.Asks(c, access).JSON["active"] != true {
		t.Fatal("control: the token is good")
	}
	if p := bob.Get(silent); !strings.Contains(p.Header.Get("Location"), "error=login_required") {
		t.Fatalf("control: the hint is good: %d %s", p.StatusCode, p.Header.Get("Location"))
	}

	if _, err := w.Keys.Revoke(t.Context(), kid(t, access), kid(t, hint)); err != nil {
		t.Fatal(err)
	}
	w.Clock.Advance(keys.FreshFor)

	for name, issuer := range map[string]string{"this instance": w.Issuer, "another instance": other} {
		if status := userinfo(issuer); status != http.StatusUnauthorized {
			t.Errorf("KR-2 userinfo of %s: %d", name, status)
		}
		if slices.Contains(kidsAt(t, w, issuer), kid(t, access)) {
			t.Errorf("KR-2 %s publishes the revoked key", name)
		}
	}
	if a := w.Asks(c, access); a.JSON["active"] != false || len(a.JSON) != 1 {
		t.Errorf("KR-2 introspection: %v", a.JSON)
	}
	if a := w.Asks(api, access); a.JSON["active"] == true {
		t.Errorf("KR-2 introspection by another client: %v", a.JSON)
	}
	if p := bob.Get(silent); strings.Contains(p.Header.Get("Location"), "login_required") {
		t.Errorf("KR-2 the hint is believed: %s", p.Header.Get("Location"))
	}
	if p := w.Browser().Get(providertest.LogoutURL("id_token_hint", hint, "post_logout_redirect_uri",
		providertest.OutURI)); p.Header.Get("Location") == providertest.OutURI {
		t.Error("KR-2 the hint ends a session without a question")
	}
	renewed := w.Renew(c, tokens.Str("refresh_token"))
	if renewed.StatusCode != http.StatusOK || w.Whois(renewed.Str("access_token")).StatusCode != http.StatusOK ||
		kid(t, renewed.Str("access_token")) == kid(t, access) {
		t.Errorf("the refresh token: %d %v", renewed.StatusCode, renewed.JSON)
	}
	if !strings.Contains(w.Log.String(), "it was revoked") {
		t.Error("KR-2 the log does not say why")
	}
}

func TestKR4InstancesThatStartTogetherOnAnEmptyStoreHaveTheSameKeys(t *testing.T) {
	t.Parallel()
	storagetest.Each(t, func(t *testing.T, s *storage.Store) {
		master := slices.Repeat([]byte{7}, 32)
		const instances = 6
		rings := make([]*keys.Ring, instances)
		subjects := make([]string, instances)
		var wait sync.WaitGroup
		for i := range instances {
			wait.Go(func() {
				sealer, err := keys.OpenSealer(t.Context(), keys.SealerConfig{Store: s, Masters: func() ([][]byte,
					error) {
					return [][]byte{master}, nil
				}})
				if err != nil {
					t.Error(err)
					return
				}
				subjects[i] = string(sealer.Derive("pairwise subjects", 32))
				if rings[i], err = keys.Open(t.Context(), keys.Config{Store: s, Sealer: sealer}); err != nil {
					t.Error(err)
				}
			})
		}
		wait.Wait()
		if t.Failed() {
			return
		}
		for i, signs := range rings {
			jws, err := signs.Sign(t.Context(), "RS256", "at+jwt", map[string]string{"sub": "ada"})
			if err != nil {
				t.Fatal(err)
			}
			for j, verifies := range rings {
				if _, _, err := verifies.Verify(t.Context(), jws, "at+jwt"); err != nil {
					t.Errorf("KR-4 instance %d signed, instance %d: %v", i, j, err)
				}
			}
			if subjects[i] != subjects[0] || len(signs.Keys()) != 1 {
				t.Errorf("KR-4 instance %d has %d keys, or other subjects", i, len(signs.Keys()))
			}
		}
	})
}
