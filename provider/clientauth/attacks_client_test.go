package clientauth_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"latchkey/provider/clientauth"
	"latchkey/provider/oauth"
	"latchkey/provider/providertest"
)

func TestFailingInSomebodysName(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	alice, spa, web := w.AddUser("alice"), w.AddClient("spa", providertest.Public), w.AddClient("web")
	t.Run("shuts no public client out", func(t *testing.T) {
		code, _ := w.Authorized(spa, alice, "openid")
		for range clientauth.FailuresAllowed + 5 {
			got := w.Try("/token", url.Values{"grant_type": {"authorization_code"}, "client_id": {"spa"},
				"client_secret": {"any"}})
			if got.StatusCode < 400 {
				t.Fatal("a public client has no secret")
			}
		}
		if got := w.Redeem(spa, code); got.StatusCode != http.StatusOK {
			t.Errorf("%d %v", got.StatusCode, got.JSON)
		}
	})
	t.Run("and no other by sending no secret", func(t *testing.T) {
		code, _ := w.Authorized(web, alice, "openid")
		for range clientauth.FailuresAllowed + 5 {
			providertest.MustRefuse(t, w.Try("/token", url.Values{"grant_type": {"authorization_code"},
				"client_id": {"web"}}), http.StatusUnauthorized, oauth.InvalidClient)
		}
		if got := w.Redeem(web, code); got.StatusCode != http.StatusOK {
			t.Errorf("%d %v", got.StatusCode, got.JSON)
		}
	})
	t.Run("a long client_id is not repeated in the log", func(t *testing.T) {
		long := strings.Repeat("x", 200<<10)
		for i := range 3 {
			id := fmt.Sprint(long, i)
			providertest.MustRefuse(t, w.Try("/token", url.Values{"grant_type": {"client_credentials"},
				"client_id": {id}, "client_secret": {"s"}}), http.StatusUnauthorized, oauth.InvalidClient)
			providertest.MustRefuse(t, w.Try("/token", url.Values{"grant_type": {"client_credentials"}},
				providertest.Basic(id[:100<<10]+":s")), http.StatusUnauthorized, oauth.InvalidClient)
		}
		if strings.Contains(w.Log.String(), long[:300]) {
			t.Error("the log repeats it")
		}
	})
}

func TestRegisteredKeySetIsReadOnceAndAgainWhenItChanges(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	first, second := providertest.EcKey(t), providertest.EcKey(t)
	c := w.AddClient("jwt", providertest.ByKey(t, "ES256", map[string]any{"1": first.Public()}))
	set, err := w.ClientAuth.ClientSet(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := w.ClientAuth.ClientSet(t.Context(), c); err != nil || again != set {
		t.Errorf("it is read for each request: %v", err)
	}
	forged := func() string {
		return providertest.SignJWT(t, jose.ES256, second, w.AssertionOf("jwt", nil), providertest.Kid("1"))
	}
	providertest.MustRefuse(t, w.Assert(forged()), http.StatusUnauthorized, oauth.InvalidClient)
	if c, err = w.Store.Client(t.Context(), c.ID); err != nil {
		t.Fatal(err)
	}
	c.JWKS = providertest.JwksOf(t, map[string]any{"1": second.Public()})
	if err := w.Store.UpdateClient(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	providertest.MustWork(t, w.Assert(forged()))
	providertest.MustRefuse(t, w.Assert(providertest.SignJWT(t, jose.ES256, first, w.AssertionOf("jwt", nil),
		providertest.Kid("1"))), http.StatusUnauthorized, oauth.InvalidClient)
}
