package token_test

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"latchkey/provider/clients"
	"latchkey/provider/oauth"
	"latchkey/provider/providertest"
	"latchkey/provider/storage"
)

func TestIntrospection(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	ctx := context.Background()
	alice := w.AddUser("alice", "staff")
	if err := w.Store.PutGroup(ctx, storage.Group{Name: "staff", Roles: []string{"reader"}}); err != nil {
		t.Fatal(err)
	}
	for _, opaque := range []bool{false, true} {
		name := map[bool]string{false: "jwt", true: "opaque"}[opaque]
		a := w.AddClient("web-"+name, func(c *clients.Client) {
			c.Audience, c.OpaqueAccessTokens = []string{"https://" + name + ".test"}, opaque
		})
		rs1, rs2 := w.AddClient("rs1-"+name, providertest.API("https://"+name+".test", "https://x.test")),
			w.AddClient("rs2-"+name, providertest.API("https://other.test"))
		// may ask for tokens for it, but is not it
		b := w.AddClient("web-b-"+name, func(c *clients.Client) { c.Audience = a.Audience })
		spa := w.AddClient("spa-"+name, providertest.Public)
		got := w.Tokens(a, alice, "openid profile groups offline_access")
		at, rt := got.Str("access_token"), got.Str("refresh_token")

		t.Run("RFC 7662 §2.2 the full answer goes to the audience and to the client itself, "+name, func(t *testing.T) {
			now := float64(w.Web.Now().Unix())
			for _, c := range []clients.Client{rs1, a} {
				answer := w.Asks(c, at, "token_type_hint", "refresh_token").JSON
				for member, v := range map[string]any{"active": true, "scope": "openid profile groups offline_access",
					"client_id": a.ID, "username": "alice", "sub": alice.ID,
					"iss": w.Issuer, "iat": now, "exp": now + 600, "token_type": "Bearer"} {
					if answer[member] != v {
						t.Errorf("%s: %s is %v, want %v", c.ID, member, answer[member], v)
					}
				}
				if aud, _ := answer["aud"].([]any); !slices.Equal(aud, []any{"https://" + name + ".test", w.Issuer}) {
					t.Errorf("%s: aud is %v", c.ID, answer["aud"])
				}
				if jti, _ := answer["jti"].(string); jti == "" || strings.Contains(jti, at) ||
					!slices.Equal(answer["roles"].([]any), []any{"reader"}) {
					t.Errorf("%s: %v", c.ID, answer)
				}
			}
			answer := w.Asks(a, rt).JSON
			if answer["active"] != true || answer["client_id"] != a.ID || answer["sub"] != alice.ID ||
				answer["token_type"] != nil || answer["exp"] != now+w.RefreshIdle.Seconds() {
				t.Errorf("%v", answer)
			}
		})
		t.Run("RFC 7662 §4 nobody else learns anything, "+name, func(t *testing.T) {
			for _, c := range []clients.Client{rs2, b} {
				for _, token := range []string{at, rt} {
					if status, body := w.Introspected(c, token); status != 200 || body != `{"active":false}` {
						t.Errorf("%s: %d %s", c.ID, status, body)
					}
				}
			}
			if status, body := w.Introspected(rs1, rt); status != 200 || body != `{"active":false}` {
				t.Errorf("a refresh token is its client's alone: %d %s", status, body)
			}
			providertest.MustRefuse(t, w.Call("/introspect", spa, url.Values{"token": {at}, "client_id": {spa.ID}}),
				http.StatusUnauthorized, oauth.InvalidClient)
			providertest.MustRefuse(t, w.Try("/introspect", url.Values{"token": {at}}), http.StatusUnauthorized,
				oauth.InvalidClient)
			providertest.MustRefuse(t, w.Try("/introspect", url.Values{"token": {at}}, "Bearer "+at),
				http.StatusUnauthorized, oauth.InvalidClient)
			providertest.MustRefuse(t, w.Try("/introspect", url.Values{"token": {at}},
				providertest.Basic(rs1.ID+":wrong")), http.StatusUnauthorized, oauth.InvalidClient)
		})
		t.Run("RFC 7662 §2.2 an inactive answer carries nothing, "+name, func(t *testing.T) {
			replaced := w.Tokens(a, alice, providertest.Offline)
			providertest.MustWork(t, w.Renew(a, replaced.Str("refresh_token")))
			revoked := w.Tokens(a, alice, providertest.Offline)
			providertest.MustWork(t, w.Call("/revoke", a, url.Values{"token": {revoked.Str("access_token")}}))
			dead := w.Tokens(a, alice, providertest.Offline)
			id, _, _ := w.Grants.ParseRefreshToken(dead.Str("refresh_token"))
			if err := w.Store.RevokeGrant(ctx, id, w.Web.Now()); err != nil {
				t.Fatal(err)
			}
			code, _ := w.Authorized(a, alice, "openid")
			dave := w.AddUser("dave-" + name)
			off := w.Tokens(a, dave, "openid").Str("access_token")
			dave.Version, dave.Disabled = 1, true
			if err := w.Store.UpdateUser(ctx, dave); err != nil {
				t.Fatal(err)
			}
			for why, token := range map[string]string{
				"unknown": "x", "garbage": "a.b.c", "an ID token": got.Str("id_token"), "a code": code,
				"revoked": revoked.Str("access_token"), "replaced": replaced.Str("refresh_token"),
				"of a revoked grant":               dead.Str("access_token"),
				"refresh token of a revoked grant": dead.Str("refresh_token"), "of a disabled person": off,
				"huge":    strings.Repeat("x", 200<<10),
				"changed": at[:len(at)-2] + "AA",
			} {
				for _, c := range []clients.Client{rs1, a} {
					if status, body := w.Introspected(c, token); status != 200 || body != `{"active":false}` {
						t.Errorf("%s by %s: %d %s", why, c.ID, status, body)
					}
				}
			}
		})
		t.Run("RFC 7662 §2.1 a request without a token is wrong, "+name, func(t *testing.T) {
			providertest.MustRefuse(t, w.Call("/introspect", rs1, url.Values{}), http.StatusBadRequest,
				oauth.InvalidRequest)
			providertest.MustRefuse(t, w.Call("/introspect", rs1, url.Values{"token": {""}}), http.StatusBadRequest,
				oauth.InvalidRequest)
			providertest.MustRefuse(t, w.Call("/introspect", rs1, url.Values{"token": {at, at}}), http.StatusBadRequest,
				oauth.InvalidRequest)
			providertest.MustRefuse(t, w.Call("/introspect", rs1, url.Values{"token": {at + "\x00"}}),
				http.StatusBadRequest, oauth.InvalidRequest)
			providertest.MustRefuse(t, w.Call("/introspect", rs1, url.Values{"token": {strings.Repeat("x", 1<<20)}}),
				http.StatusRequestEntityTooLarge, oauth.InvalidRequest)
			r, err := http.NewRequest("GET", w.Issuer+"/introspect?token="+at, nil)
			if err != nil {
				t.Fatal(err)
			}
			if got := w.Send(r); got.StatusCode != http.StatusMethodNotAllowed {
				t.Errorf("%d", got.StatusCode)
			}
		})
	}
}

func TestIntrospectionAndAFaultOfTheStore(t *testing.T) {
	t.Parallel()
	var f *providertest.Faults
	w := providertest.New(t, providertest.WithFaults(&f))
	alice := w.AddUser("alice")
	for name, opaque := range map[string]bool{"jwt": false, "opaque": true} {
		a := w.AddClient(name, func(c *clients.Client) { c.OpaqueAccessTokens = opaque })
		got := w.Tokens(a, alice, "openid offline_access")
		bound := w.Tokens(a, alice, "openid")
		for token, methods := range map[string][]string{
			bound.Str("access_token"): {map[bool]string{false: "Spent", true: "Token"}[opaque], "Grant", "User",
				"Session"},
			got.Str("refresh_token"): {"Grant", "User"},
		} {
			for _, method := range methods {
				f.Set(true, method)
				providertest.MustRefuse(t, w.Asks(a, token), http.StatusServiceUnavailable,
					oauth.TemporarilyUnavailable)
				f.Set(false, method)
			}
			if answer := w.Asks(a, token); answer.JSON["active"] != true {
				t.Errorf("%v", answer.JSON)
			}
		}
	}
}
