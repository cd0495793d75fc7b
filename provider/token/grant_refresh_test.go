package token_test

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey/provider"
	"latchkey/provider/clients"
	"latchkey/provider/grants"
	"latchkey/provider/oauth"
	"latchkey/provider/providertest"
	"latchkey/provider/storage"
)

func TestRefreshTokenIsReplacedEachTime(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	alice := w.AddUser("alice")
	for _, c := range []clients.Client{w.AddClient("web-a"), w.AddClient("spa", providertest.Public)} {
		first := w.Tokens(c, alice, providertest.Offline)
		id := providertest.ClaimsOf(t, first.Str("id_token"))
		w.Clock.Advance(time.Minute)
		second := w.Renew(c, first.Str("refresh_token"))
		providertest.MustWork(t, second)
		if second.Str("refresh_token") == "" || second.Str("refresh_token") == first.Str("refresh_token") ||
			second.Str("access_token") == first.Str("access_token") {
			t.Errorf("%v", second.JSON)
		}
		if second.Str("scope") != providertest.Offline {
			t.Errorf("scope %q", second.Str("scope"))
		}
		again := providertest.ClaimsOf(t, second.Str("id_token"))
		for _, name := range []string{"iss", "sub", "aud", "auth_time", "azp"} {
			if again[name] != id[name] {
				t.Errorf("OIDC Core §12.2 %s: %v, was %v", name, again[name], id[name])
			}
		}
		if _, has := again["nonce"]; has || again["iat"].(float64) <= id["iat"].(float64) {
			t.Errorf("OIDC Core §12.2: %v", again)
		}
		providertest.MustWork(t, w.Whois(second.Str("access_token")))
		providertest.MustWork(t, w.Renew(c, second.Str("refresh_token")))
	}
}

func TestRefreshTokenReuse(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	alice, spa := w.AddUser("alice"), w.AddClient("spa", providertest.Public)

	t.Run("RFC 9700 §4.14.2 a replaced token ends everything under its grant, and nothing else", func(t *testing.T) {
		other := w.Tokens(spa, alice, providertest.Offline)
		one := w.Tokens(spa, alice, providertest.Offline)
		two := w.Renew(spa, one.Str("refresh_token"))
		three := w.Renew(spa, two.Str("refresh_token"))
		providertest.MustWork(t, w.Whois(three.Str("access_token")))
		providertest.MustRefuse(t, w.Renew(spa, one.Str("refresh_token")), http.StatusBadRequest, oauth.InvalidGrant)
		providertest.MustRefuse(t, w.Renew(spa, three.Str("refresh_token")), http.StatusBadRequest, oauth.InvalidGrant)
		for _, a := range []providertest.AnswerJSON{one, two, three} {
			providertest.MustRefuse(t, w.Whois(a.Str("access_token")), http.StatusUnauthorized, oauth.InvalidToken)
		}
		providertest.MustWork(t, w.Whois(other.Str("access_token")))
		providertest.MustWork(t, w.Renew(spa, other.Str("refresh_token")))
		if !strings.Contains(w.Log.String(), "refresh token was used again; its grant is revoked") {
			t.Error("nobody was warned")
		}
	})
	t.Run("within the grace the same successor comes again", func(t *testing.T) {
		one := w.Tokens(spa, alice, providertest.Offline)
		two := w.Renew(spa, one.Str("refresh_token"))
		w.Clock.Advance(w.RefreshGrace - time.Millisecond)
		for range 20 {
			again := w.Renew(spa, one.Str("refresh_token"))
			providertest.MustWork(t, again)
			if again.Str("refresh_token") != two.Str("refresh_token") {
				t.Fatal("another successor: two live branches")
			}
		}
		providertest.MustWork(t, w.Renew(spa, two.Str("refresh_token")))
	})
	t.Run("after the grace it is reuse", func(t *testing.T) {
		one := w.Tokens(spa, alice, providertest.Offline)
		two := w.Renew(spa, one.Str("refresh_token"))
		w.Clock.Advance(w.RefreshGrace)
		providertest.MustRefuse(t, w.Renew(spa, one.Str("refresh_token")), http.StatusBadRequest, oauth.InvalidGrant)
		providertest.MustRefuse(t, w.Renew(spa, two.Str("refresh_token")), http.StatusBadRequest, oauth.InvalidGrant)
	})
	t.Run("a clock that is put back makes the grace no longer", func(t *testing.T) {
		one := w.Tokens(spa, alice, providertest.Offline)
		two := w.Renew(spa, one.Str("refresh_token"))
		w.Clock.Advance(-w.RefreshGrace)
		defer w.Clock.Advance(w.RefreshGrace)
		providertest.MustRefuse(t, w.Renew(spa, one.Str("refresh_token")), http.StatusBadRequest, oauth.InvalidGrant)
		providertest.MustRefuse(t, w.Renew(spa, two.Str("refresh_token")), http.StatusBadRequest, oauth.InvalidGrant)
	})
	t.Run("once the successor was used it is reuse, grace or not", func(t *testing.T) {
		one := w.Tokens(spa, alice, providertest.Offline)
		two := w.Renew(spa, one.Str("refresh_token"))
		three := w.Renew(spa, two.Str("refresh_token"))
		providertest.MustRefuse(t, w.Renew(spa, one.Str("refresh_token")), http.StatusBadRequest, oauth.InvalidGrant)
		providertest.MustRefuse(t, w.Renew(spa, three.Str("refresh_token")), http.StatusBadRequest, oauth.InvalidGrant)
	})
	t.Run("fifty at once get one successor", func(t *testing.T) {
		for range 5 {
			one := w.Tokens(spa, alice, providertest.Offline)
			won, lost := providertest.AtOnce(50, func() providertest.AnswerJSON {
				return w.Renew(spa,
					one.Str("refresh_token"))
			})
			if len(won) == 0 {
				t.Fatalf("nobody got one: %v", lost[0].JSON)
			}
			for _, a := range won {
				if a.Str("refresh_token") != won[0].Str("refresh_token") {
					t.Fatal("two live branches")
				}
			}
			for _, l := range lost {
				providertest.MustRefuse(t, l, http.StatusBadRequest, oauth.InvalidGrant)
			}
			providertest.MustWork(t, w.Renew(spa, won[0].Str("refresh_token")))
		}
	})
	t.Run("fifty at once after the grace end the grant", func(t *testing.T) {
		one := w.Tokens(spa, alice, providertest.Offline)
		two := w.Renew(spa, one.Str("refresh_token"))
		w.Clock.Advance(time.Minute)
		won, _ := providertest.AtOnce(50, func() providertest.AnswerJSON {
			return w.Renew(spa,
				one.Str("refresh_token"))
		})
		if len(won) != 0 {
			t.Errorf("%d token sets", len(won))
		}
		providertest.MustRefuse(t, w.Renew(spa, two.Str("refresh_token")), http.StatusBadRequest, oauth.InvalidGrant)
	})
}

func TestRefreshTokenWithoutGrace(t *testing.T) {
	t.Parallel()
	w := providertest.New(t, func(c *provider.Config) { c.RefreshGrace = -1 })
	alice, spa := w.AddUser("alice"), w.AddClient("spa", providertest.Public)
	one := w.Tokens(spa, alice, providertest.Offline)
	won, lost := providertest.AtOnce(50, func() providertest.AnswerJSON {
		return w.Renew(spa,
			one.Str("refresh_token"))
	})
	if len(won) != 1 {
		t.Fatalf("%d token sets", len(won))
	}
	for _, l := range lost {
		providertest.MustRefuse(t, l, http.StatusBadRequest, oauth.InvalidGrant)
	}
	providertest.MustRefuse(t, w.Renew(spa, won[0].Str("refresh_token")), http.StatusBadRequest, oauth.InvalidGrant)
}

func TestRefreshTokenBelongsToItsClient(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	alice, a, b, spa := w.AddUser("alice"), w.AddClient("web-a"), w.AddClient("web-b"),
		w.AddClient("spa", providertest.Public)
	got, mine := w.Tokens(a, alice, providertest.Offline), w.Tokens(spa, alice, providertest.Offline)
	rt := got.Str("refresh_token")
	providertest.MustRefuse(t, w.Renew(b, rt), http.StatusBadRequest, oauth.InvalidGrant)
	providertest.MustRefuse(t, w.Renew(spa, rt), http.StatusBadRequest, oauth.InvalidGrant)
	providertest.MustRefuse(t, w.Renew(a, mine.Str("refresh_token")), http.StatusBadRequest, oauth.InvalidGrant)
	providertest.MustRefuse(t, w.Try("/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {rt},
		"client_id": {"web-a"}}), http.StatusUnauthorized, oauth.InvalidClient)
	providertest.MustRefuse(t, w.Renew(a, rt, "refresh_token", ""), http.StatusBadRequest, oauth.InvalidRequest)
	t.Run("what was cut, extended, changed or guessed is unknown", func(t *testing.T) {
		grantID, generation, ok := w.Grants.ParseRefreshToken(rt)
		if !ok || generation != 1 || w.Grants.RefreshToken(grantID, 1) != rt {
			t.Fatalf("%q %d", grantID, generation)
		}
		parts := strings.Split(rt, ".")
		for _, bad := range []string{rt[:len(rt)-1], rt + "A", rt + "=", rt + ".", rt + " ", strings.ToUpper(rt),
			parts[0] + ".2." + parts[2], parts[0] + ".01." + parts[2],
			parts[0] + ".+1." + parts[2], parts[0] + ".0." + parts[2], parts[0] + ".-1." + parts[2], parts[0] + "." +
				parts[2], strings.TrimPrefix(rt, grants.RefreshPrefix),
			grants.CodePrefix + strings.TrimPrefix(rt, grants.RefreshPrefix), w.Grants.RefreshToken(grantID, 2),
			w.Grants.RefreshToken(grantID, 99), w.Grants.RefreshToken("nothing", 1), got.Str("access_token"),
			got.Str("id_token"), "x",
			strings.Repeat("x", 10000)} {
			providertest.MustRefuse(t, w.Renew(a, bad), http.StatusBadRequest, oauth.InvalidGrant)
		}
		last := []byte(rt)
		const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
		for _, c := range []byte(alphabet) { // also those that differ only in bits that base64url does not use
			if last[len(last)-1] = c; string(last) != rt {
				providertest.MustRefuse(t, w.Renew(a, string(last)), http.StatusBadRequest, oauth.InvalidGrant)
			}
		}
	})
	providertest.MustWork(t, w.Renew(a, rt))
	providertest.MustWork(t, w.Renew(spa, mine.Str("refresh_token")))
	if strings.Contains(w.Log.String(), rt) {
		t.Error("a refresh token is in the log")
	}
}

func TestRefreshCannotWiden(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	alice := w.AddUser("alice")
	a := w.AddClient("web-a", func(c *clients.Client) {
		c.Scope, c.Audience = "openid profile email offline_access admin", []string{"https://api1.test",
			"https://api2.test"}
	})
	rt := w.Tokens(a, alice, providertest.Offline,
		func(g *storage.Grant) { g.Resource = []string{"https://api1.test"} }).Str("refresh_token")
	for _, c := range []struct {
		name, value string
		code        oauth.Code
	}{
		{"scope", "openid profile admin", oauth.InvalidScope}, {"scope", "email", oauth.InvalidScope},
		{"scope", "api:write", oauth.InvalidScope},
		{"scope", "openid\"", oauth.InvalidScope}, {"scope", "Openid", oauth.InvalidScope},
		{"resource", "https://api2.test", oauth.InvalidTarget}, {"resource", "https://api1.test/",
			oauth.InvalidTarget},
	} {
		providertest.MustRefuse(t, w.Renew(a, rt, c.name, c.value), http.StatusBadRequest, c.code)
	}
	w.Clock.Advance(time.Minute)
	narrow := w.Renew(a, rt, "scope", "openid", "resource", "https://api1.test")
	providertest.MustWork(t, narrow)
	at := providertest.ClaimsOf(t, narrow.Str("access_token"))
	if narrow.Str("scope") != "openid" || at["scope"] != "openid" || at["aud"] != "https://api1.test" {
		t.Errorf("%v %v", narrow.JSON, at)
	}
	providertest.MustRefuse(t, w.Whois(narrow.Str("access_token")), http.StatusUnauthorized, oauth.InvalidToken)
	narrow = w.Renew(a, narrow.Str("refresh_token"), "scope", "openid", "resource", w.Issuer)
	if got := w.Whois(narrow.Str("access_token")); got.JSON["name"] != nil || got.JSON["sub"] != alice.ID {
		t.Errorf("%v", got.JSON)
	}
	if got := w.Renew(a, narrow.Str("refresh_token"), "scope", "profile"); got.JSON["id_token"] != nil ||
		got.Str("scope") != "profile" {
		t.Errorf("without openid there is no ID token: %v", got.JSON)
	} else if got = w.Renew(a, got.Str("refresh_token")); got.Str("scope") != providertest.Offline {
		t.Errorf("RFC 6749 §6 the grant stays as it was: %v", got.JSON)
	}
}

func TestWithdrawnResourcesAreNotGivenAgain(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	alice := w.AddUser("alice")
	a := w.AddClient("web-a", func(c *clients.Client) {
		c.Audience = []string{"https://api1.test",
			"https://api2.test"}
	})
	got := w.Tokens(a, alice, providertest.Offline, func(g *storage.Grant) { g.Resource = a.Audience })
	for _, left := range [][]string{{"https://api2.test"}, {"https://api3.test"}} {
		a.Version++
		a.Audience = left
		if err := w.Store.UpdateClient(context.Background(), a); err != nil {
			t.Fatal(err)
		}
		next := w.Renew(a, got.Str("refresh_token"))
		if left[0] == "https://api3.test" {
			providertest.MustRefuse(t, next, http.StatusBadRequest, oauth.InvalidTarget)
			continue
		}
		providertest.MustWork(t, next)
		if aud := providertest.ClaimsOf(t, next.Str("access_token"))["aud"]; aud != "https://api2.test" {
			t.Errorf("%v", aud)
		}
		providertest.MustRefuse(t, w.Renew(a, next.Str("refresh_token"), "resource", "https://api1.test"),
			http.StatusBadRequest, oauth.InvalidTarget)
		got = next
	}
}

func TestRefreshAsksAgainWhatStillStands(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for _, c := range []struct {
		name   string
		change func(w *providertest.World, a clients.Client, u storage.User, g string) error
		status int
		code   oauth.Code
	}{
		{"the person was disabled", func(w *providertest.World, a clients.Client, u storage.User, g string) error {
			u.Disabled = true
			return w.Store.UpdateUser(ctx, u)
		}, 400, oauth.InvalidGrant},
		{"the person was deleted", func(w *providertest.World, a clients.Client, u storage.User, g string) error {
			return w.Store.DeleteUser(ctx, u.ID)
		}, 400, oauth.InvalidGrant},
		{"the person left the group", func(w *providertest.World, a clients.Client, u storage.User, g string) error {
			u.Groups = nil
			return w.Store.UpdateUser(ctx, u)
		}, 400, oauth.InvalidGrant},
		{"the grant was revoked", func(w *providertest.World, a clients.Client, u storage.User, g string) error {
			return w.Store.RevokeGrant(ctx, g, w.Web.Now())
		}, 400, oauth.InvalidGrant},
		{"the client was disabled", func(w *providertest.World, a clients.Client, u storage.User, g string) error {
			a.Disabled = true
			return w.Store.UpdateClient(ctx, a)
		}, 401, oauth.InvalidClient},
		{"the client took the place of one that was deleted", func(w *providertest.World, a clients.Client,
			u storage.User, g string) error {
			a.CreatedAt = w.Web.Now().Add(2 * time.Minute) // and the grant slipped through at that moment
			return w.Store.UpdateClient(ctx, a)
		}, 400, oauth.InvalidGrant},
		{"the client lost the grant type", func(w *providertest.World, a clients.Client, u storage.User,
			g string) error {
			a.GrantTypes = []string{"authorization_code"}
			return w.Store.UpdateClient(ctx, a)
		}, 400, oauth.UnauthorizedClient},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := providertest.New(t)
			alice := w.AddUser("alice", "staff")
			a := w.AddClient("web-a", func(c *clients.Client) { c.AllowedGroups = []string{"staff"} })
			alice.Version, a.Version = 1, 1
			got := w.Tokens(a, alice, providertest.Offline)
			providertest.MustWork(t, w.Renew(a, got.Str("refresh_token")))
			got = w.Tokens(a, alice, providertest.Offline)
			id, _, _ := w.Grants.ParseRefreshToken(got.Str("refresh_token"))
			if err := c.change(w, a, alice, id); err != nil {
				t.Fatal(err)
			}
			providertest.MustRefuse(t, w.Renew(a, got.Str("refresh_token")), c.status, c.code)
			if c.code != oauth.UnauthorizedClient {
				providertest.MustRefuse(t, w.Whois(got.Str("access_token")), http.StatusUnauthorized,
					oauth.InvalidToken)
			}
		})
	}
	t.Run("roles, groups and scopes are those of now", func(t *testing.T) {
		t.Parallel()
		w := providertest.New(t)
		alice, a := w.AddUser("alice", "staff"),
			w.AddClient("web-a", func(c *clients.Client) { c.Scope = providertest.Offline + " groups email" })
		for name, role := range map[string]string{"staff": "reader", "boss": "admin"} {
			if err := w.Store.PutGroup(ctx, storage.Group{Name: name, Roles: []string{role}}); err != nil {
				t.Fatal(err)
			}
		}
		got := w.Tokens(a, alice, providertest.Offline+" groups email")
		if roles := providertest.ClaimsOf(t, got.Str("access_token"))["roles"]; !slices.Equal(roles.([]any),
			[]any{"reader"}) {
			t.Errorf("%v", roles)
		}
		alice.Version, alice.Groups = 1, []string{"boss"}
		if err := w.Store.UpdateUser(ctx, alice); err != nil {
			t.Fatal(err)
		}
		a.Version, a.Scope = 1, providertest.Offline+" groups"
		if err := w.Store.UpdateClient(ctx, a); err != nil {
			t.Fatal(err)
		}
		got = w.Renew(a, got.Str("refresh_token"))
		at := providertest.ClaimsOf(t, got.Str("access_token"))
		if !slices.Equal(at["roles"].([]any), []any{"admin"}) || !slices.Equal(at["groups"].([]any), []any{"boss"}) ||
			got.Str("scope") != providertest.Offline+" groups" {
			t.Errorf("%v %v", at, got.JSON)
		}
		if who := w.Whois(got.Str("access_token")); who.JSON["email"] != nil || !slices.Equal(who.JSON["roles"].([]any),
			[]any{"admin"}) {
			t.Errorf("%v", who.JSON)
		}
		providertest.MustRefuse(t, w.Renew(a, got.Str("refresh_token"), "scope", "openid admin"), http.StatusBadRequest,
			oauth.InvalidScope)
		providertest.MustRefuse(t, w.Renew(a, got.Str("refresh_token"), "scope", "email"), http.StatusBadRequest,
			oauth.InvalidScope)
	})
}

func TestRefreshTokenEnds(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	alice, a := w.AddUser("alice"), w.AddClient("web-a")
	t.Run("when it was not used for too long", func(t *testing.T) {
		got := w.Tokens(a, alice, providertest.Offline)
		w.Clock.Advance(w.RefreshIdle - time.Millisecond)
		got = w.Renew(a, got.Str("refresh_token"))
		providertest.MustWork(t, got)
		w.Clock.Advance(w.RefreshIdle)
		providertest.MustRefuse(t, w.Renew(a, got.Str("refresh_token")), http.StatusBadRequest, oauth.InvalidGrant)
	})
	t.Run("at the absolute end, however often it was used", func(t *testing.T) {
		got := w.Tokens(a, alice, providertest.Offline)
		for spent := time.Duration(0); spent+20*24*time.Hour < w.RefreshAbsolute; spent += 20 * 24 * time.Hour {
			w.Clock.Advance(20 * 24 * time.Hour)
			got = w.Renew(a, got.Str("refresh_token"))
			providertest.MustWork(t, got)
		}
		w.Clock.Advance(20 * 24 * time.Hour)
		providertest.MustRefuse(t, w.Renew(a, got.Str("refresh_token")), http.StatusBadRequest, oauth.InvalidGrant)
	})
	t.Run("nothing outlives the grant", func(t *testing.T) {
		got := w.Tokens(a, alice, providertest.Offline)
		w.Clock.Advance(w.RefreshIdle - time.Minute)
		for range 5 {
			got = w.Renew(a, got.Str("refresh_token"))
			w.Clock.Advance(w.RefreshIdle - time.Minute)
		}
		got = w.Renew(a, got.Str("refresh_token"))
		w.Clock.Advance(6*time.Minute - 30*time.Second) // 30 s before the end
		got = w.Renew(a, got.Str("refresh_token"))
		providertest.MustWork(t, got)
		if n := got.JSON["expires_in"]; n != float64(30) {
			t.Errorf("expires_in %v", n)
		}
	})
	t.Run("sign-out ends what is bound to the session, and leaves offline access", func(t *testing.T) {
		bound := w.Tokens(a, alice, "openid")
		var session string
		away := w.Tokens(a, alice, providertest.Offline, func(g *storage.Grant) { session = g.SessionID })
		if _, err := w.Store.EndSession(context.Background(), session, w.Web.Now()); err != nil {
			t.Fatal(err)
		}
		providertest.MustWork(t, w.Whois(bound.Str("access_token")))
		providertest.MustWork(t, w.Renew(a, away.Str("refresh_token")))
		at := w.Tokens(a, alice, "openid", func(g *storage.Grant) { session = g.SessionID }).Str("access_token")
		if _, err := w.Store.EndSession(context.Background(), session, w.Web.Now()); err != nil {
			t.Fatal(err)
		}
		providertest.MustRefuse(t, w.Whois(at), http.StatusUnauthorized, oauth.InvalidToken)
	})
}

func TestRefreshTokenIsIssuedOnlyWhereAllowed(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	alice := w.AddUser("alice")
	a := w.AddClient("web-a")
	b := w.AddClient("web-b", func(c *clients.Client) { c.GrantTypes = []string{"authorization_code"} })
	for name, got := range map[string]providertest.AnswerJSON{
		"without offline_access": w.Tokens(a, alice, "openid profile"),
		"for a client without the grant": w.Tokens(b, alice, providertest.Offline,
			func(g *storage.Grant) { g.ExpiresAt = g.CreatedAt.Add(time.Hour) }),
		"for client_credentials": w.Call("/token", w.AddClient("svc", providertest.Service),
			url.Values{"grant_type": {"client_credentials"}, "scope": {"api:read"}}),
	} {
		providertest.MustWork(t, got)
		if got.JSON["refresh_token"] != nil || strings.Contains(got.Str("scope"), "offline_access") {
			t.Errorf("%s: %v", name, got.JSON)
		}
	}
}

func TestRefreshSurvivesAFaultOfTheStore(t *testing.T) {
	t.Parallel()
	var f *providertest.Faults
	w := providertest.New(t, providertest.WithFaults(&f))
	alice, a := w.AddUser("alice"), w.AddClient("web-a")
	got := w.Tokens(a, alice, providertest.Offline)
	for _, method := range []string{"Client", "Grant", "User", "RotateRefresh"} {
		f.Set(true, method)
		providertest.MustRefuse(t, w.Renew(a, got.Str("refresh_token")), http.StatusServiceUnavailable,
			oauth.TemporarilyUnavailable)
		f.Set(false, method)
	}
	next := w.Renew(a, got.Str("refresh_token"))
	providertest.MustWork(t, next)
	w.Clock.Advance(time.Minute)
	f.Set(true, "RevokeGrant") // what is reuse cannot be acted on: that is ours, and must be seen
	providertest.MustRefuse(t, w.Renew(a, got.Str("refresh_token")), http.StatusServiceUnavailable,
		oauth.TemporarilyUnavailable)
	f.Set(false, "RevokeGrant")
	providertest.MustWork(t, w.Renew(a, next.Str("refresh_token")))
}

func FuzzParseRefreshToken(f *testing.F) {
	w := providertest.New(f)
	f.Add(w.Grants.RefreshToken("GRANT", 1))
	f.Add(w.Grants.RefreshToken("G.R", 9223372036854775807))
	f.Add(grants.RefreshPrefix + "a.1.")
	f.Fuzz(func(t *testing.T, s string) {
		id, generation, ok := w.Grants.ParseRefreshToken(s)
		if ok && w.Grants.RefreshToken(id, generation) != s {
			t.Fatalf("%q is a second spelling", s)
		}
	})
}
