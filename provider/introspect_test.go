package provider

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"latchkey/provider/clients"
	"latchkey/provider/oauth"
	"latchkey/provider/storage"
)

// introspected is the raw answer about a token.
func (w *world) introspected(c clients.Client, token string) (status int, body string) {
	w.t.Helper()
	r, err := http.NewRequest("POST", w.Issuer+"/introspect", strings.NewReader(url.Values{"token": {token}}.Encode()))
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Accept", "application/token-introspection+jwt")
	r.SetBasicAuth(c.ID, testSecret)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	if resp.Header.Get("Cache-Control") != "no-store" {
		w.t.Errorf("%v", resp.Header)
	}
	return resp.StatusCode, string(raw)
}

func TestIntrospection(t *testing.T) {
	t.Parallel()
	w := newTestProvider(t)
	ctx := context.Background()
	alice := w.addUser("alice", "staff")
	if err := w.Store.PutGroup(ctx, storage.Group{Name: "staff", Roles: []string{"reader"}}); err != nil {
		t.Fatal(err)
	}
	for _, opaque := range []bool{false, true} {
		name := map[bool]string{false: "jwt", true: "opaque"}[opaque]
		a := w.addClient("web-"+name, func(c *clients.Client) {
			c.Audience, c.OpaqueAccessTokens = []string{"https://" + name + ".test"}, opaque
		})
		rs1, rs2 := w.addClient("rs1-"+name, api("https://"+name+".test", "https://x.test")), w.addClient("rs2-"+name, api("https://other.test"))
		b := w.addClient("web-b-"+name, func(c *clients.Client) { c.Audience = a.Audience }) // may ask for tokens for it, but is not it
		spa := w.addClient("spa-"+name, public)
		got := w.tokens(a, alice, "openid profile groups offline_access")
		at, rt := got.str("access_token"), got.str("refresh_token")

		t.Run("RFC 7662 §2.2 the full answer goes to the audience and to the client itself, "+name, func(t *testing.T) {
			now := float64(w.now().Unix())
			for _, c := range []clients.Client{rs1, a} {
				answer := w.asks(c, at, "token_type_hint", "refresh_token").JSON
				for member, v := range map[string]any{"active": true, "scope": "openid profile groups offline_access", "client_id": a.ID, "username": "alice", "sub": alice.ID,
					"aud": "https://" + name + ".test", "iss": w.Issuer, "iat": now, "exp": now + 600, "token_type": "Bearer"} {
					if answer[member] != v {
						t.Errorf("%s: %s is %v, want %v", c.ID, member, answer[member], v)
					}
				}
				if jti, _ := answer["jti"].(string); jti == "" || strings.Contains(jti, at) || !slices.Equal(answer["roles"].([]any), []any{"reader"}) {
					t.Errorf("%s: %v", c.ID, answer)
				}
			}
			answer := w.asks(a, rt).JSON
			if answer["active"] != true || answer["client_id"] != a.ID || answer["sub"] != alice.ID || answer["token_type"] != nil || answer["exp"] != now+w.RefreshIdle.Seconds() {
				t.Errorf("%v", answer)
			}
		})
		t.Run("RFC 7662 §4 nobody else learns anything, "+name, func(t *testing.T) {
			for _, c := range []clients.Client{rs2, b} {
				for _, token := range []string{at, rt} {
					if status, body := w.introspected(c, token); status != 200 || body != `{"active":false}` {
						t.Errorf("%s: %d %s", c.ID, status, body)
					}
				}
			}
			if status, body := w.introspected(rs1, rt); status != 200 || body != `{"active":false}` {
				t.Errorf("a refresh token is its client's alone: %d %s", status, body)
			}
			mustRefuse(t, w.call("/introspect", spa, url.Values{"token": {at}, "client_id": {spa.ID}}), http.StatusUnauthorized, oauth.InvalidClient)
			mustRefuse(t, w.try("/introspect", url.Values{"token": {at}}), http.StatusUnauthorized, oauth.InvalidClient)
			mustRefuse(t, w.try("/introspect", url.Values{"token": {at}}, "Bearer "+at), http.StatusUnauthorized, oauth.InvalidClient)
			mustRefuse(t, w.try("/introspect", url.Values{"token": {at}}, basic(rs1.ID+":wrong")), http.StatusUnauthorized, oauth.InvalidClient)
		})
		t.Run("RFC 7662 §2.2 an inactive answer carries nothing, "+name, func(t *testing.T) {
			replaced := w.tokens(a, alice, offline)
			mustWork(t, w.renew(a, replaced.str("refresh_token")))
			revoked := w.tokens(a, alice, offline)
			mustWork(t, w.call("/revoke", a, url.Values{"token": {revoked.str("access_token")}}))
			dead := w.tokens(a, alice, offline)
			id, _, _ := w.parseRefreshToken(dead.str("refresh_token"))
			if err := w.Store.RevokeGrant(ctx, id, w.now()); err != nil {
				t.Fatal(err)
			}
			code, _ := w.authorized(a, alice, "openid")
			dave := w.addUser("dave-" + name)
			off := w.tokens(a, dave, "openid").str("access_token")
			dave.Version, dave.Disabled = 1, true
			if err := w.Store.UpdateUser(ctx, dave); err != nil {
				t.Fatal(err)
			}
			for why, token := range map[string]string{
				"unknown": "x", "garbage": "a.b.c", "an ID token": got.str("id_token"), "a code": code, "revoked": revoked.str("access_token"), "replaced": replaced.str("refresh_token"),
				"of a revoked grant": dead.str("access_token"), "refresh token of a revoked grant": dead.str("refresh_token"), "of a disabled person": off, "huge": strings.Repeat("x", 200<<10),
				"changed": at[:len(at)-2] + "AA",
			} {
				for _, c := range []clients.Client{rs1, a} {
					if status, body := w.introspected(c, token); status != 200 || body != `{"active":false}` {
						t.Errorf("%s by %s: %d %s", why, c.ID, status, body)
					}
				}
			}
		})
		t.Run("RFC 7662 §2.1 a request without a token is wrong, "+name, func(t *testing.T) {
			mustRefuse(t, w.call("/introspect", rs1, url.Values{}), http.StatusBadRequest, oauth.InvalidRequest)
			mustRefuse(t, w.call("/introspect", rs1, url.Values{"token": {""}}), http.StatusBadRequest, oauth.InvalidRequest)
			mustRefuse(t, w.call("/introspect", rs1, url.Values{"token": {at, at}}), http.StatusBadRequest, oauth.InvalidRequest)
			mustRefuse(t, w.call("/introspect", rs1, url.Values{"token": {at + "\x00"}}), http.StatusBadRequest, oauth.InvalidRequest)
			mustRefuse(t, w.call("/introspect", rs1, url.Values{"token": {strings.Repeat("x", 1<<20)}}), http.StatusRequestEntityTooLarge, oauth.InvalidRequest)
			r, err := http.NewRequest("GET", w.Issuer+"/introspect?token="+at, nil)
			if err != nil {
				t.Fatal(err)
			}
			if got := w.send(r); got.StatusCode != http.StatusMethodNotAllowed {
				t.Errorf("%d", got.StatusCode)
			}
		})
	}
}

func TestIntrospectionAndAFaultOfTheStore(t *testing.T) {
	t.Parallel()
	var f *faults
	w := newTestProvider(t, withFaults(&f))
	alice := w.addUser("alice")
	for name, opaque := range map[string]bool{"jwt": false, "opaque": true} {
		a := w.addClient(name, func(c *clients.Client) { c.OpaqueAccessTokens = opaque })
		got := w.tokens(a, alice, "openid offline_access")
		bound := w.tokens(a, alice, "openid")
		for token, methods := range map[string][]string{
			bound.str("access_token"): {map[bool]string{false: "Spent", true: "Token"}[opaque], "Grant", "User", "Session"},
			got.str("refresh_token"):  {"Grant", "User"},
		} {
			for _, method := range methods {
				f.set(true, method)
				mustRefuse(t, w.asks(a, token), http.StatusServiceUnavailable, oauth.TemporarilyUnavailable)
				f.set(false, method)
			}
			if answer := w.asks(a, token); answer.JSON["active"] != true {
				t.Errorf("%v", answer.JSON)
			}
		}
	}
}
