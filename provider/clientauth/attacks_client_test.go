package clientauth_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

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
			got := w.Try("/token", url.Values{"grant_type": {"authorization_code"}, "client_id": {"spa"}, "client_secret": {"any"}})
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
			providertest.MustRefuse(t, w.Try("/token", url.Values{"grant_type": {"authorization_code"}, "client_id": {"web"}}), http.StatusUnauthorized, oauth.InvalidClient)
		}
		if got := w.Redeem(web, code); got.StatusCode != http.StatusOK {
			t.Errorf("%d %v", got.StatusCode, got.JSON)
		}
	})
	t.Run("a long client_id is not repeated in the log", func(t *testing.T) {
		long := strings.Repeat("x", 200<<10)
		for i := range 3 {
			id := fmt.Sprint(long, i)
			providertest.MustRefuse(t, w.Try("/token", url.Values{"grant_type": {"client_credentials"}, "client_id": {id}, "client_secret": {"s"}}), http.StatusUnauthorized, oauth.InvalidClient)
			providertest.MustRefuse(t, w.Try("/token", url.Values{"grant_type": {"client_credentials"}}, providertest.Basic(id[:100<<10]+":s")), http.StatusUnauthorized, oauth.InvalidClient)
		}
		if strings.Contains(w.Log.String(), long[:300]) {
			t.Error("the log repeats it")
		}
	})
}
