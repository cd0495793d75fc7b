package provider

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"latchkey/provider/clients"
	"latchkey/provider/oauth"
)

func TestRevocation(t *testing.T) {
	t.Parallel()
	w := newTestProvider(t)
	alice := w.addUser("alice")
	b := w.addClient("web-b")
	for _, a := range []clients.Client{w.addClient("web-a"), w.addClient("opaque", func(c *clients.Client) { c.OpaqueAccessTokens = true }), w.addClient("spa", public)} {
		revoke := func(c clients.Client, token string, also ...string) answerJSON {
			form := url.Values{"token": {token}}
			if c.Public() {
				form.Set("client_id", c.ID)
			}
			return w.call("/revoke", c, with(form, also...))
		}
		for _, hint := range []string{"", "access_token", "refresh_token", "nonsense"} {
			t.Run("RFC 7009 §2.1 a refresh token ends everything under its grant, "+a.ID+" "+hint, func(t *testing.T) {
				got := w.tokens(a, alice, offline)
				mustWork(t, w.whois(got.str("access_token")))
				mustWork(t, revoke(a, got.str("refresh_token"), "token_type_hint", hint))
				mustRefuse(t, w.whois(got.str("access_token")), http.StatusUnauthorized, oauth.InvalidToken)
				mustRefuse(t, w.renew(a, got.str("refresh_token")), http.StatusBadRequest, oauth.InvalidGrant)
				mustWork(t, revoke(a, got.str("refresh_token"), "token_type_hint", hint))
			})
			t.Run("an access token ends alone, "+a.ID+" "+hint, func(t *testing.T) {
				got := w.tokens(a, alice, offline)
				next := w.renew(a, got.str("refresh_token"))
				mustWork(t, revoke(a, got.str("access_token"), "token_type_hint", hint))
				mustRefuse(t, w.whois(got.str("access_token")), http.StatusUnauthorized, oauth.InvalidToken)
				mustWork(t, w.whois(next.str("access_token")))
				mustWork(t, w.renew(a, next.str("refresh_token")))
				mustWork(t, revoke(a, got.str("access_token")))
			})
		}
		t.Run("RFC 7009 §2.1 nobody revokes another's token, "+a.ID, func(t *testing.T) {
			got := w.tokens(a, alice, offline)
			for _, token := range []string{got.str("access_token"), got.str("refresh_token")} {
				mustWork(t, revoke(b, token))
				mustRefuse(t, w.try("/revoke", url.Values{"token": {token}}), http.StatusUnauthorized, oauth.InvalidClient)
				mustRefuse(t, w.try("/revoke", url.Values{"token": {token}}, basic(a.ID+":wrong")), http.StatusUnauthorized, oauth.InvalidClient)
			}
			mustWork(t, w.whois(got.str("access_token")))
			mustWork(t, w.renew(a, got.str("refresh_token")))
			w.forgive()
		})
	}
	t.Run("RFC 7009 §2.2 what is unknown is as good as revoked", func(t *testing.T) {
		got := w.tokens(b, alice, "openid")
		code, _ := w.authorized(b, alice, "openid")
		for _, token := range []string{"x", "a.b.c", got.str("id_token"), code, strings.Repeat("x", 100<<10), opaquePrefix + "x", refreshPrefix + "x.1.y"} {
			mustWork(t, w.call("/revoke", b, url.Values{"token": {token}}))
		}
		mustWork(t, w.redeem(b, code))
		mustWork(t, w.whois(got.str("access_token")))
	})
	t.Run("RFC 7009 §2.2.1 a request without a token is wrong", func(t *testing.T) {
		mustRefuse(t, w.call("/revoke", b, url.Values{}), http.StatusBadRequest, oauth.InvalidRequest)
		mustRefuse(t, w.call("/revoke", b, url.Values{"token": {""}}), http.StatusBadRequest, oauth.InvalidRequest)
		mustRefuse(t, w.call("/revoke", b, url.Values{"token": {"x", "y"}}), http.StatusBadRequest, oauth.InvalidRequest)
		mustRefuse(t, w.call("/revoke", b, url.Values{"token": {strings.Repeat("x", 1<<20)}}), http.StatusRequestEntityTooLarge, oauth.InvalidRequest)
	})
}

func TestRevocationThatFailedSaysSo(t *testing.T) {
	t.Parallel()
	var f *faults
	w := newTestProvider(t, withFaults(&f))
	alice := w.addUser("alice")
	a, o := w.addClient("web-a"), w.addClient("opaque", func(c *clients.Client) { c.OpaqueAccessTokens = true })
	jwt, opaque := w.tokens(a, alice, offline), w.tokens(o, alice, offline)
	for _, c := range []struct {
		client  clients.Client
		token   string
		methods []string
	}{
		{a, jwt.str("access_token"), []string{"Spent", "Spend"}},
		{o, opaque.str("access_token"), []string{"Token", "DeleteToken"}},
		{a, jwt.str("refresh_token"), []string{"Grant", "RevokeGrant"}},
	} {
		for _, method := range c.methods {
			f.set(true, method)
			mustRefuse(t, w.call("/revoke", c.client, url.Values{"token": {c.token}}), http.StatusServiceUnavailable, oauth.TemporarilyUnavailable)
			f.set(false, method)
			if got := w.asks(c.client, c.token); got.JSON["active"] != true {
				t.Errorf("%s: %v", method, got.JSON)
			}
		}
		mustWork(t, w.call("/revoke", c.client, url.Values{"token": {c.token}}))
		if got := w.asks(c.client, c.token); got.JSON["active"] != false {
			t.Errorf("%v", got.JSON)
		}
	}
}
