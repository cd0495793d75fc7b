package token_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"latchkey/provider/clients"
	"latchkey/provider/grants"
	"latchkey/provider/oauth"
	"latchkey/provider/providertest"
)

func TestRevocation(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	alice := w.AddUser("alice")
	b := w.AddClient("web-b")
	for _, a := range []clients.Client{w.AddClient("web-a"),
		w.AddClient("opaque", func(c *clients.Client) { c.OpaqueAccessTokens = true }),
		w.AddClient("spa", providertest.Public)} {
		revoke := func(c clients.Client, token string, also ...string) providertest.AnswerJSON {
			form := url.Values{"token": {token}}
			if c.Public() {
				form.Set("client_id", c.ID)
			}
			return w.Call("/revoke", c, providertest.With(form, also...))
		}
		for _, hint := range []string{"", "access_token", "refresh_token", "nonsense"} {
			t.Run("RFC 7009 §2.1 a refresh token ends everything under its grant, "+a.ID+" "+hint, func(t *testing.T) {
				got := w.Tokens(a, alice, providertest.Offline)
				providertest.MustWork(t, w.Whois(got.Str("access_token")))
				providertest.MustWork(t, revoke(a, got.Str("refresh_token"), "token_type_hint", hint))
				providertest.MustRefuse(t, w.Whois(got.Str("access_token")), http.StatusUnauthorized,
					oauth.InvalidToken)
				providertest.MustRefuse(t, w.Renew(a, got.Str("refresh_token")), http.StatusBadRequest,
					oauth.InvalidGrant)
				providertest.MustWork(t, revoke(a, got.Str("refresh_token"), "token_type_hint", hint))
			})
			t.Run("an access token ends alone, "+a.ID+" "+hint, func(t *testing.T) {
				got := w.Tokens(a, alice, providertest.Offline)
				next := w.Renew(a, got.Str("refresh_token"))
				providertest.MustWork(t, revoke(a, got.Str("access_token"), "token_type_hint", hint))
				providertest.MustRefuse(t, w.Whois(got.Str("access_token")), http.StatusUnauthorized,
					oauth.InvalidToken)
				providertest.MustWork(t, w.Whois(next.Str("access_token")))
				providertest.MustWork(t, w.Renew(a, next.Str("refresh_token")))
				providertest.MustWork(t, revoke(a, got.Str("access_token")))
			})
		}
		t.Run("RFC 7009 §2.1 nobody revokes another's token, "+a.ID, func(t *testing.T) {
			got := w.Tokens(a, alice, providertest.Offline)
			for _, token := range []string{got.Str("access_token"), got.Str("refresh_token")} {
				providertest.MustWork(t, revoke(b, token))
				providertest.MustRefuse(t, w.Try("/revoke", url.Values{"token": {token}}), http.StatusUnauthorized,
					oauth.InvalidClient)
				providertest.MustRefuse(t, w.Try("/revoke", url.Values{"token": {token}},
					providertest.Basic(a.ID+":wrong")), http.StatusUnauthorized, oauth.InvalidClient)
			}
			providertest.MustWork(t, w.Whois(got.Str("access_token")))
			providertest.MustWork(t, w.Renew(a, got.Str("refresh_token")))
			w.Forgive()
		})
	}
	t.Run("RFC 7009 §2.2 what is unknown is as good as revoked", func(t *testing.T) {
		got := w.Tokens(b, alice, "openid")
		code, _ := w.Authorized(b, alice, "openid")
		for _, token := range []string{"x", "a.b.c", got.Str("id_token"), code, strings.Repeat("x", 100<<10),
			grants.OpaquePrefix + "x", grants.RefreshPrefix + "x.1.y"} {
			providertest.MustWork(t, w.Call("/revoke", b, url.Values{"token": {token}}))
		}
		providertest.MustWork(t, w.Redeem(b, code))
		providertest.MustWork(t, w.Whois(got.Str("access_token")))
	})
	t.Run("RFC 7009 §2.2.1 a request without a token is wrong", func(t *testing.T) {
		providertest.MustRefuse(t, w.Call("/revoke", b, url.Values{}), http.StatusBadRequest, oauth.InvalidRequest)
		providertest.MustRefuse(t, w.Call("/revoke", b, url.Values{"token": {""}}), http.StatusBadRequest,
			oauth.InvalidRequest)
		providertest.MustRefuse(t, w.Call("/revoke", b, url.Values{"token": {"x", "y"}}), http.StatusBadRequest,
			oauth.InvalidRequest)
		providertest.MustRefuse(t, w.Call("/revoke", b, url.Values{"token": {strings.Repeat("x", 1<<20)}}),
			http.StatusRequestEntityTooLarge, oauth.InvalidRequest)
	})
}

func TestRevocationThatFailedSaysSo(t *testing.T) {
	t.Parallel()
	var f *providertest.Faults
	w := providertest.New(t, providertest.WithFaults(&f))
	alice := w.AddUser("alice")
	a, o := w.AddClient("web-a"), w.AddClient("opaque", func(c *clients.Client) { c.OpaqueAccessTokens = true })
	jwt, opaque := w.Tokens(a, alice, providertest.Offline), w.Tokens(o, alice, providertest.Offline)
	for _, c := range []struct {
		client  clients.Client
		token   string
		methods []string
	}{
		{a, jwt.Str("access_token"), []string{"Spent", "Spend"}},
		{o, opaque.Str("access_token"), []string{"Token", "DeleteToken"}},
		{a, jwt.Str("refresh_token"), []string{"Grant", "RevokeGrant"}},
	} {
		for _, method := range c.methods {
			f.Set(true, method)
			providertest.MustRefuse(t, w.Call("/revoke", c.client, url.Values{"token": {c.token}}),
				http.StatusServiceUnavailable, oauth.TemporarilyUnavailable)
			f.Set(false, method)
			if got := w.Asks(c.client, c.token); got.JSON["active"] != true {
				t.Errorf("%s: %v", method, got.JSON)
			}
		}
		providertest.MustWork(t, w.Call("/revoke", c.client, url.Values{"token": {c.token}}))
		if got := w.Asks(c.client, c.token); got.JSON["active"] != false {
			t.Errorf("%v", got.JSON)
		}
	}
}
