package provider

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"latchkey/provider/oauth"
)

func TestFailingInSomebodysName(t *testing.T) {
	t.Parallel()
	w := newTestProvider(t)
	alice, spa, web := w.addUser("alice"), w.addClient("spa", public), w.addClient("web")
	t.Run("shuts no public client out", func(t *testing.T) {
		code, _ := w.authorized(spa, alice, "openid")
		for range failuresAllowed + 5 {
			got := w.try("/token", url.Values{"grant_type": {"authorization_code"}, "client_id": {"spa"}, "client_secret": {"any"}})
			if got.StatusCode < 400 {
				t.Fatal("a public client has no secret")
			}
		}
		if got := w.redeem(spa, code); got.StatusCode != http.StatusOK {
			t.Errorf("%d %v", got.StatusCode, got.JSON)
		}
	})
	t.Run("and no other by sending no secret", func(t *testing.T) {
		code, _ := w.authorized(web, alice, "openid")
		for range failuresAllowed + 5 {
			mustRefuse(t, w.try("/token", url.Values{"grant_type": {"authorization_code"}, "client_id": {"web"}}), http.StatusUnauthorized, oauth.InvalidClient)
		}
		if got := w.redeem(web, code); got.StatusCode != http.StatusOK {
			t.Errorf("%d %v", got.StatusCode, got.JSON)
		}
	})
	t.Run("is remembered in little space, however long the names", func(t *testing.T) {
		long := strings.Repeat("x", 200<<10)
		for i := range 3 {
			id := fmt.Sprint(long, i)
			mustRefuse(t, w.try("/token", url.Values{"grant_type": {"client_credentials"}, "client_id": {id}, "client_secret": {"s"}}), http.StatusUnauthorized, oauth.InvalidClient)
			mustRefuse(t, w.try("/token", url.Values{"grant_type": {"client_credentials"}}, basic(id[:100<<10]+":s")), http.StatusUnauthorized, oauth.InvalidClient)
		}
		w.clientFailures.mu.Lock()
		defer w.clientFailures.mu.Unlock()
		for who := range w.clientFailures.rows {
			if len(who) > maxClientID+100 {
				t.Errorf("a key of %d bytes", len(who))
			}
		}
		if strings.Contains(w.log.String(), long[:300]) {
			t.Error("the log repeats it")
		}
	})
}
