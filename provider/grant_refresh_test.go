package provider

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey/provider/clients"
	"latchkey/provider/oauth"
	"latchkey/provider/storage"
)

const offline = "openid profile offline_access"

func TestRefreshTokenIsReplacedEachTime(t *testing.T) {
	t.Parallel()
	w := newTestProvider(t)
	alice := w.addUser("alice")
	for _, c := range []clients.Client{w.addClient("web-a"), w.addClient("spa", public)} {
		first := w.tokens(c, alice, offline)
		id := claimsOf(t, first.str("id_token"))
		w.clock.Advance(time.Minute)
		second := w.renew(c, first.str("refresh_token"))
		mustWork(t, second)
		if second.str("refresh_token") == "" || second.str("refresh_token") == first.str("refresh_token") || second.str("access_token") == first.str("access_token") {
			t.Errorf("%v", second.JSON)
		}
		if second.str("scope") != offline {
			t.Errorf("scope %q", second.str("scope"))
		}
		again := claimsOf(t, second.str("id_token"))
		for _, name := range []string{"iss", "sub", "aud", "auth_time", "azp"} {
			if again[name] != id[name] {
				t.Errorf("OIDC Core §12.2 %s: %v, was %v", name, again[name], id[name])
			}
		}
		if _, has := again["nonce"]; has || again["iat"].(float64) <= id["iat"].(float64) {
			t.Errorf("OIDC Core §12.2: %v", again)
		}
		mustWork(t, w.whois(second.str("access_token")))
		mustWork(t, w.renew(c, second.str("refresh_token")))
	}
}

func TestRefreshTokenReuse(t *testing.T) {
	t.Parallel()
	w := newTestProvider(t)
	alice, spa := w.addUser("alice"), w.addClient("spa", public)

	t.Run("RFC 9700 §4.14.2 a replaced token ends everything under its grant, and nothing else", func(t *testing.T) {
		other := w.tokens(spa, alice, offline)
		one := w.tokens(spa, alice, offline)
		two := w.renew(spa, one.str("refresh_token"))
		three := w.renew(spa, two.str("refresh_token"))
		mustWork(t, w.whois(three.str("access_token")))
		mustRefuse(t, w.renew(spa, one.str("refresh_token")), http.StatusBadRequest, oauth.InvalidGrant)
		mustRefuse(t, w.renew(spa, three.str("refresh_token")), http.StatusBadRequest, oauth.InvalidGrant)
		for _, a := range []answerJSON{one, two, three} {
			mustRefuse(t, w.whois(a.str("access_token")), http.StatusUnauthorized, oauth.InvalidToken)
		}
		mustWork(t, w.whois(other.str("access_token")))
		mustWork(t, w.renew(spa, other.str("refresh_token")))
		if !strings.Contains(w.log.String(), "refresh token was used again; its grant is revoked") {
			t.Error("nobody was warned")
		}
	})
	t.Run("within the grace the same successor comes again", func(t *testing.T) {
		one := w.tokens(spa, alice, offline)
		two := w.renew(spa, one.str("refresh_token"))
		w.clock.Advance(w.RefreshGrace - time.Millisecond)
		for range 20 {
			again := w.renew(spa, one.str("refresh_token"))
			mustWork(t, again)
			if again.str("refresh_token") != two.str("refresh_token") {
				t.Fatal("another successor: two live branches")
			}
		}
		mustWork(t, w.renew(spa, two.str("refresh_token")))
	})
	t.Run("after the grace it is reuse", func(t *testing.T) {
		one := w.tokens(spa, alice, offline)
		two := w.renew(spa, one.str("refresh_token"))
		w.clock.Advance(w.RefreshGrace)
		mustRefuse(t, w.renew(spa, one.str("refresh_token")), http.StatusBadRequest, oauth.InvalidGrant)
		mustRefuse(t, w.renew(spa, two.str("refresh_token")), http.StatusBadRequest, oauth.InvalidGrant)
	})
	t.Run("once the successor was used it is reuse, grace or not", func(t *testing.T) {
		one := w.tokens(spa, alice, offline)
		two := w.renew(spa, one.str("refresh_token"))
		three := w.renew(spa, two.str("refresh_token"))
		mustRefuse(t, w.renew(spa, one.str("refresh_token")), http.StatusBadRequest, oauth.InvalidGrant)
		mustRefuse(t, w.renew(spa, three.str("refresh_token")), http.StatusBadRequest, oauth.InvalidGrant)
	})
	t.Run("fifty at once get one successor", func(t *testing.T) {
		for range 5 {
			one := w.tokens(spa, alice, offline)
			won, lost := atOnce(50, func() answerJSON { return w.renew(spa, one.str("refresh_token")) })
			if len(won) == 0 {
				t.Fatalf("nobody got one: %v", lost[0].JSON)
			}
			for _, a := range won {
				if a.str("refresh_token") != won[0].str("refresh_token") {
					t.Fatal("two live branches")
				}
			}
			for _, l := range lost {
				mustRefuse(t, l, http.StatusBadRequest, oauth.InvalidGrant)
			}
			mustWork(t, w.renew(spa, won[0].str("refresh_token")))
		}
	})
	t.Run("fifty at once after the grace end the grant", func(t *testing.T) {
		one := w.tokens(spa, alice, offline)
		two := w.renew(spa, one.str("refresh_token"))
		w.clock.Advance(time.Minute)
		won, _ := atOnce(50, func() answerJSON { return w.renew(spa, one.str("refresh_token")) })
		if len(won) != 0 {
			t.Errorf("%d token sets", len(won))
		}
		mustRefuse(t, w.renew(spa, two.str("refresh_token")), http.StatusBadRequest, oauth.InvalidGrant)
	})
}

func TestRefreshTokenWithoutGrace(t *testing.T) {
	t.Parallel()
	w := newTestProvider(t, func(c *Config) { c.RefreshGrace = -1 })
	alice, spa := w.addUser("alice"), w.addClient("spa", public)
	one := w.tokens(spa, alice, offline)
	won, lost := atOnce(50, func() answerJSON { return w.renew(spa, one.str("refresh_token")) })
	if len(won) != 1 {
		t.Fatalf("%d token sets", len(won))
	}
	for _, l := range lost {
		mustRefuse(t, l, http.StatusBadRequest, oauth.InvalidGrant)
	}
	mustRefuse(t, w.renew(spa, won[0].str("refresh_token")), http.StatusBadRequest, oauth.InvalidGrant)
}

func TestRefreshTokenBelongsToItsClient(t *testing.T) {
	t.Parallel()
	w := newTestProvider(t)
	alice, a, b, spa := w.addUser("alice"), w.addClient("web-a"), w.addClient("web-b"), w.addClient("spa", public)
	got, mine := w.tokens(a, alice, offline), w.tokens(spa, alice, offline)
	rt := got.str("refresh_token")
	mustRefuse(t, w.renew(b, rt), http.StatusBadRequest, oauth.InvalidGrant)
	mustRefuse(t, w.renew(spa, rt), http.StatusBadRequest, oauth.InvalidGrant)
	mustRefuse(t, w.renew(a, mine.str("refresh_token")), http.StatusBadRequest, oauth.InvalidGrant)
	mustRefuse(t, w.try("/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {rt}, "client_id": {"web-a"}}), http.StatusUnauthorized, oauth.InvalidClient)
	mustRefuse(t, w.renew(a, rt, "refresh_token", ""), http.StatusBadRequest, oauth.InvalidRequest)
	t.Run("what was cut, extended, changed or guessed is unknown", func(t *testing.T) {
		grantID, generation, ok := w.parseRefreshToken(rt)
		if !ok || generation != 1 || w.refreshToken(grantID, 1) != rt {
			t.Fatalf("%q %d", grantID, generation)
		}
		parts := strings.Split(rt, ".")
		for _, bad := range []string{rt[:len(rt)-1], rt + "A", rt + "=", rt + ".", rt + " ", strings.ToUpper(rt), parts[0] + ".2." + parts[2], parts[0] + ".01." + parts[2],
			parts[0] + ".+1." + parts[2], parts[0] + ".0." + parts[2], parts[0] + ".-1." + parts[2], parts[0] + "." + parts[2], strings.TrimPrefix(rt, refreshPrefix),
			codePrefix + strings.TrimPrefix(rt, refreshPrefix), w.refreshToken(grantID, 2), w.refreshToken(grantID, 99), w.refreshToken("nothing", 1), got.str("access_token"), got.str("id_token"), "x",
			strings.Repeat("x", 10000)} {
			mustRefuse(t, w.renew(a, bad), http.StatusBadRequest, oauth.InvalidGrant)
		}
		last := []byte(rt)
		const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
		for _, c := range []byte(alphabet) { // also those that differ only in bits that base64url does not use
			if last[len(last)-1] = c; string(last) != rt {
				mustRefuse(t, w.renew(a, string(last)), http.StatusBadRequest, oauth.InvalidGrant)
			}
		}
	})
	mustWork(t, w.renew(a, rt))
	mustWork(t, w.renew(spa, mine.str("refresh_token")))
	if strings.Contains(w.log.String(), rt) {
		t.Error("a refresh token is in the log")
	}
}

func TestRefreshCannotWiden(t *testing.T) {
	t.Parallel()
	w := newTestProvider(t)
	alice := w.addUser("alice")
	a := w.addClient("web-a", func(c *clients.Client) {
		c.Scope, c.Audience = "openid profile email offline_access admin", []string{"https://api1.test", "https://api2.test"}
	})
	rt := w.tokens(a, alice, offline, func(g *storage.Grant) { g.Resource = []string{"https://api1.test"} }).str("refresh_token")
	for _, c := range []struct {
		name, value string
		code        oauth.Code
	}{
		{"scope", "openid profile admin", oauth.InvalidScope}, {"scope", "email", oauth.InvalidScope}, {"scope", "api:write", oauth.InvalidScope},
		{"scope", "openid\"", oauth.InvalidScope}, {"scope", "Openid", oauth.InvalidScope}, {"resource", "https://api2.test", oauth.InvalidTarget}, {"resource", "https://api1.test/", oauth.InvalidTarget},
	} {
		mustRefuse(t, w.renew(a, rt, c.name, c.value), http.StatusBadRequest, c.code)
	}
	w.clock.Advance(time.Minute)
	narrow := w.renew(a, rt, "scope", "openid", "resource", "https://api1.test")
	mustWork(t, narrow)
	at := claimsOf(t, narrow.str("access_token"))
	if narrow.str("scope") != "openid" || at["scope"] != "openid" || at["aud"] != "https://api1.test" {
		t.Errorf("%v %v", narrow.JSON, at)
	}
	if got := w.whois(narrow.str("access_token")); got.JSON["name"] != nil || got.JSON["sub"] != alice.ID {
		t.Errorf("%v", got.JSON)
	}
	if got := w.renew(a, narrow.str("refresh_token"), "scope", "profile"); got.JSON["id_token"] != nil || got.str("scope") != "profile" {
		t.Errorf("without openid there is no ID token: %v", got.JSON)
	} else if got = w.renew(a, got.str("refresh_token")); got.str("scope") != offline {
		t.Errorf("RFC 6749 §6 the grant stays as it was: %v", got.JSON)
	}
}

func TestWithdrawnResourcesAreNotGivenAgain(t *testing.T) {
	t.Parallel()
	w := newTestProvider(t)
	alice := w.addUser("alice")
	a := w.addClient("web-a", func(c *clients.Client) { c.Audience = []string{"https://api1.test", "https://api2.test"} })
	got := w.tokens(a, alice, offline, func(g *storage.Grant) { g.Resource = a.Audience })
	for _, left := range [][]string{{"https://api2.test"}, {"https://api3.test"}} {
		a.Version++
		a.Audience = left
		if err := w.Store.UpdateClient(context.Background(), a); err != nil {
			t.Fatal(err)
		}
		next := w.renew(a, got.str("refresh_token"))
		if left[0] == "https://api3.test" {
			mustRefuse(t, next, http.StatusBadRequest, oauth.InvalidTarget)
			continue
		}
		mustWork(t, next)
		if aud := claimsOf(t, next.str("access_token"))["aud"]; aud != "https://api2.test" {
			t.Errorf("%v", aud)
		}
		mustRefuse(t, w.renew(a, next.str("refresh_token"), "resource", "https://api1.test"), http.StatusBadRequest, oauth.InvalidTarget)
		got = next
	}
}

func TestRefreshAsksAgainWhatStillStands(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for _, c := range []struct {
		name   string
		change func(w *world, a clients.Client, u storage.User, g string) error
		status int
		code   oauth.Code
	}{
		{"the person was disabled", func(w *world, a clients.Client, u storage.User, g string) error {
			u.Disabled = true
			return w.Store.UpdateUser(ctx, u)
		}, 400, oauth.InvalidGrant},
		{"the person was deleted", func(w *world, a clients.Client, u storage.User, g string) error {
			return w.Store.DeleteUser(ctx, u.ID)
		}, 400, oauth.InvalidGrant},
		{"the person left the group", func(w *world, a clients.Client, u storage.User, g string) error {
			u.Groups = nil
			return w.Store.UpdateUser(ctx, u)
		}, 400, oauth.InvalidGrant},
		{"the grant was revoked", func(w *world, a clients.Client, u storage.User, g string) error {
			return w.Store.RevokeGrant(ctx, g, w.now())
		}, 400, oauth.InvalidGrant},
		{"the client was disabled", func(w *world, a clients.Client, u storage.User, g string) error {
			a.Disabled = true
			return w.Store.UpdateClient(ctx, a)
		}, 401, oauth.InvalidClient},
		{"the client lost the grant type", func(w *world, a clients.Client, u storage.User, g string) error {
			a.GrantTypes = []string{"authorization_code"}
			return w.Store.UpdateClient(ctx, a)
		}, 400, oauth.UnauthorizedClient},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newTestProvider(t)
			alice := w.addUser("alice", "staff")
			a := w.addClient("web-a", func(c *clients.Client) { c.AllowedGroups = []string{"staff"} })
			alice.Version, a.Version = 1, 1
			got := w.tokens(a, alice, offline)
			mustWork(t, w.renew(a, got.str("refresh_token")))
			got = w.tokens(a, alice, offline)
			id, _, _ := w.parseRefreshToken(got.str("refresh_token"))
			if err := c.change(w, a, alice, id); err != nil {
				t.Fatal(err)
			}
			mustRefuse(t, w.renew(a, got.str("refresh_token")), c.status, c.code)
			if c.code != oauth.UnauthorizedClient {
				mustRefuse(t, w.whois(got.str("access_token")), http.StatusUnauthorized, oauth.InvalidToken)
			}
		})
	}
	t.Run("roles, groups and scopes are those of now", func(t *testing.T) {
		t.Parallel()
		w := newTestProvider(t)
		alice, a := w.addUser("alice", "staff"), w.addClient("web-a", func(c *clients.Client) { c.Scope = offline + " groups email" })
		for name, role := range map[string]string{"staff": "reader", "boss": "admin"} {
			if err := w.Store.PutGroup(ctx, storage.Group{Name: name, Roles: []string{role}}); err != nil {
				t.Fatal(err)
			}
		}
		got := w.tokens(a, alice, offline+" groups email")
		if roles := claimsOf(t, got.str("access_token"))["roles"]; !slices.Equal(roles.([]any), []any{"reader"}) {
			t.Errorf("%v", roles)
		}
		alice.Version, alice.Groups = 1, []string{"boss"}
		if err := w.Store.UpdateUser(ctx, alice); err != nil {
			t.Fatal(err)
		}
		a.Version, a.Scope = 1, offline+" groups"
		if err := w.Store.UpdateClient(ctx, a); err != nil {
			t.Fatal(err)
		}
		got = w.renew(a, got.str("refresh_token"))
		at := claimsOf(t, got.str("access_token"))
		if !slices.Equal(at["roles"].([]any), []any{"admin"}) || !slices.Equal(at["groups"].([]any), []any{"boss"}) || got.str("scope") != offline+" groups" {
			t.Errorf("%v %v", at, got.JSON)
		}
		if who := w.whois(got.str("access_token")); who.JSON["email"] != nil || !slices.Equal(who.JSON["roles"].([]any), []any{"admin"}) {
			t.Errorf("%v", who.JSON)
		}
		mustRefuse(t, w.renew(a, got.str("refresh_token"), "scope", "openid admin"), http.StatusBadRequest, oauth.InvalidScope)
		mustRefuse(t, w.renew(a, got.str("refresh_token"), "scope", "email"), http.StatusBadRequest, oauth.InvalidScope)
	})
}

func TestRefreshTokenEnds(t *testing.T) {
	t.Parallel()
	w := newTestProvider(t)
	alice, a := w.addUser("alice"), w.addClient("web-a")
	t.Run("when it was not used for too long", func(t *testing.T) {
		got := w.tokens(a, alice, offline)
		w.clock.Advance(w.RefreshIdle - time.Millisecond)
		got = w.renew(a, got.str("refresh_token"))
		mustWork(t, got)
		w.clock.Advance(w.RefreshIdle)
		mustRefuse(t, w.renew(a, got.str("refresh_token")), http.StatusBadRequest, oauth.InvalidGrant)
	})
	t.Run("at the absolute end, however often it was used", func(t *testing.T) {
		got := w.tokens(a, alice, offline)
		for spent := time.Duration(0); spent+20*24*time.Hour < w.RefreshAbsolute; spent += 20 * 24 * time.Hour {
			w.clock.Advance(20 * 24 * time.Hour)
			got = w.renew(a, got.str("refresh_token"))
			mustWork(t, got)
		}
		w.clock.Advance(20 * 24 * time.Hour)
		mustRefuse(t, w.renew(a, got.str("refresh_token")), http.StatusBadRequest, oauth.InvalidGrant)
	})
	t.Run("nothing outlives the grant", func(t *testing.T) {
		got := w.tokens(a, alice, offline)
		w.clock.Advance(w.RefreshIdle - time.Minute)
		for range 5 {
			got = w.renew(a, got.str("refresh_token"))
			w.clock.Advance(w.RefreshIdle - time.Minute)
		}
		got = w.renew(a, got.str("refresh_token"))
		w.clock.Advance(6*time.Minute - 30*time.Second) // 30 s before the end
		got = w.renew(a, got.str("refresh_token"))
		mustWork(t, got)
		if n := got.JSON["expires_in"]; n != float64(30) {
			t.Errorf("expires_in %v", n)
		}
	})
	t.Run("sign-out ends what is bound to the session, and leaves offline access", func(t *testing.T) {
		bound := w.tokens(a, alice, "openid")
		var session string
		away := w.tokens(a, alice, offline, func(g *storage.Grant) { session = g.SessionID })
		if _, err := w.Store.EndSession(context.Background(), session, w.now()); err != nil {
			t.Fatal(err)
		}
		mustWork(t, w.whois(bound.str("access_token")))
		mustWork(t, w.renew(a, away.str("refresh_token")))
		at := w.tokens(a, alice, "openid", func(g *storage.Grant) { session = g.SessionID }).str("access_token")
		if _, err := w.Store.EndSession(context.Background(), session, w.now()); err != nil {
			t.Fatal(err)
		}
		mustRefuse(t, w.whois(at), http.StatusUnauthorized, oauth.InvalidToken)
	})
}

func TestRefreshTokenIsIssuedOnlyWhereAllowed(t *testing.T) {
	t.Parallel()
	w := newTestProvider(t)
	alice := w.addUser("alice")
	a := w.addClient("web-a")
	b := w.addClient("web-b", func(c *clients.Client) { c.GrantTypes = []string{"authorization_code"} })
	for name, got := range map[string]answerJSON{
		"without offline_access":         w.tokens(a, alice, "openid profile"),
		"for a client without the grant": w.tokens(b, alice, offline, func(g *storage.Grant) { g.ExpiresAt = g.CreatedAt.Add(time.Hour) }),
		"for client_credentials":         w.call("/token", w.addClient("svc", service), url.Values{"grant_type": {"client_credentials"}, "scope": {"api:read"}}),
	} {
		mustWork(t, got)
		if got.JSON["refresh_token"] != nil || strings.Contains(got.str("scope"), "offline_access") {
			t.Errorf("%s: %v", name, got.JSON)
		}
	}
}

func TestRefreshSurvivesAFaultOfTheStore(t *testing.T) {
	t.Parallel()
	var f *faults
	w := newTestProvider(t, withFaults(&f))
	alice, a := w.addUser("alice"), w.addClient("web-a")
	got := w.tokens(a, alice, offline)
	for _, method := range []string{"Client", "Grant", "User", "RotateRefresh"} {
		f.set(true, method)
		mustRefuse(t, w.renew(a, got.str("refresh_token")), http.StatusServiceUnavailable, oauth.TemporarilyUnavailable)
		f.set(false, method)
	}
	next := w.renew(a, got.str("refresh_token"))
	mustWork(t, next)
	w.clock.Advance(time.Minute)
	f.set(true, "RevokeGrant") // what is reuse cannot be acted on: that is ours, and must be seen
	mustRefuse(t, w.renew(a, got.str("refresh_token")), http.StatusServiceUnavailable, oauth.TemporarilyUnavailable)
	f.set(false, "RevokeGrant")
	mustWork(t, w.renew(a, next.str("refresh_token")))
}

func FuzzParseRefreshToken(f *testing.F) {
	w := newTestProvider(f)
	f.Add(w.refreshToken("GRANT", 1))
	f.Add(w.refreshToken("G.R", 9223372036854775807))
	f.Add(refreshPrefix + "a.1.")
	f.Fuzz(func(t *testing.T, s string) {
		id, generation, ok := w.parseRefreshToken(s)
		if ok && w.refreshToken(id, generation) != s {
			t.Fatalf("%q is a second spelling", s)
		}
	})
}
