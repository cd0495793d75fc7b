package token_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"latchkey/provider/clients"
	"latchkey/provider/grants"
	"latchkey/provider/oauth"
	"latchkey/provider/providertest"
	"latchkey/provider/storage"
)

func TestCodeBelongsToItsClient(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	alice, a, b := w.AddUser("alice"), w.AddClient("web-a"), w.AddClient("web-b")
	spa := w.AddClient("spa", providertest.Public)
	code, _ := w.Authorized(a, alice, "openid")

	t.Run("RFC 6749 §4.1.3 another client cannot redeem it", func(t *testing.T) {
		providertest.MustRefuse(t, w.Redeem(b, code, "redirect_uri", a.RedirectURIs[0]), http.StatusBadRequest,
			oauth.InvalidGrant)
		providertest.MustRefuse(t, w.Redeem(b, code), http.StatusBadRequest, oauth.InvalidGrant)
		providertest.MustRefuse(t, w.Redeem(spa, code, "redirect_uri", a.RedirectURIs[0]), http.StatusBadRequest,
			oauth.InvalidGrant)
		providertest.MustRefuse(t, w.Redeem(b, code, "client_id", "web-a"), http.StatusBadRequest, oauth.InvalidRequest)
		if !strings.Contains(w.Log.String(), "a code was presented by another client") {
			t.Error("nobody was warned")
		}
	})
	t.Run("RFC 6749 §4.1.3 redirect_uri is the one of the request", func(t *testing.T) {
		providertest.MustRefuse(t, w.Redeem(a, code, "redirect_uri", ""), http.StatusBadRequest, oauth.InvalidRequest)
		providertest.MustRefuse(t, w.Redeem(a, code, "redirect_uri", a.RedirectURIs[0]+"/"), http.StatusBadRequest,
			oauth.InvalidGrant)
	})
	t.Run("RFC 7636 §4.6 the verifier must fit", func(t *testing.T) {
		providertest.MustRefuse(t, w.Redeem(a, code, "code_verifier", ""), http.StatusBadRequest, oauth.InvalidGrant)
		for _, verifier := range []string{providertest.TestChallenge, strings.Repeat("a", 42), strings.Repeat("a", 129),
			providertest.TestVerifier + "x", providertest.TestVerifier[:42], strings.Repeat("%", 50)} {
			providertest.MustRefuse(t, w.Redeem(a, code, "code_verifier", verifier), http.StatusBadRequest,
				oauth.InvalidGrant)
		}
	})
	t.Run("a code that was cut, extended or changed is unknown", func(t *testing.T) {
		last := code[len(code)-1:]
		for _, c := range []string{code[:len(code)-1], code[:len(code)-8], code + "A", code + "=", code + " ", code +
			"\n", code + ".", code + ".x",
			strings.ToLower(code), strings.ToUpper(code), " " + code, strings.Replace(code, last, "_", 1),
			strings.TrimPrefix(code, grants.CodePrefix),
			grants.RefreshPrefix + strings.TrimPrefix(code, grants.CodePrefix), grants.CodePrefix, grants.CodePrefix +
				".", strings.Repeat("x", 5000), "x"} {
			if c != code {
				providertest.MustRefuse(t, w.Redeem(a, c), http.StatusBadRequest, oauth.InvalidGrant)
			}
		}
		providertest.MustRefuse(t, w.Redeem(a, code, "code", ""), http.StatusBadRequest, oauth.InvalidRequest)
	})
	t.Run("none of the failed tries used the code", func(t *testing.T) { providertest.MustWork(t, w.Redeem(a, code)) })
	t.Run("RFC 9700 §4.8.2 a verifier without a challenge is refused", func(t *testing.T) {
		code, _ := w.Authorized(a, alice, "openid", func(g *storage.Grant) { g.CodeChallenge = "" })
		providertest.MustRefuse(t, w.Redeem(a, code), http.StatusBadRequest, oauth.InvalidGrant)
		providertest.MustWork(t, w.Redeem(a, code, "code_verifier", ""))
	})
	if strings.Contains(w.Log.String(), code) {
		t.Error("a code is in the log")
	}
}

func TestCodeIsUsedOnce(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	alice, a := w.AddUser("alice"), w.AddClient("web-a")

	for name, wait := range map[string]time.Duration{"at once": 0, "after 30 seconds": 30 * time.Second,
		"after the code expired": 2 * time.Minute} {
		t.Run("RFC 6749 §4.1.2 a second use revokes what the first one gave, "+name, func(t *testing.T) {
			code, _ := w.Authorized(a, alice, "openid offline_access")
			first := w.Redeem(a, code)
			providertest.MustWork(t, first)
			providertest.MustWork(t, w.Whois(first.Str("access_token")))
			w.Clock.Advance(wait)
			if wait > 0 {
				providertest.MustWork(t, w.Whois(first.Str("access_token")))
			}
			providertest.MustRefuse(t, w.Redeem(a, code, "code_verifier", strings.Repeat("w", 43)),
				http.StatusBadRequest, oauth.InvalidGrant)
			providertest.MustWork(t, w.Whois(first.Str("access_token"))) // who has no verifier cannot revoke either
			providertest.MustRefuse(t, w.Redeem(a, code), http.StatusBadRequest, oauth.InvalidGrant)
			providertest.MustRefuse(t, w.Whois(first.Str("access_token")), http.StatusUnauthorized, oauth.InvalidToken)
			providertest.MustRefuse(t, w.Renew(a, first.Str("refresh_token")), http.StatusBadRequest,
				oauth.InvalidGrant)
			if got := w.Asks(a, first.Str("access_token")); got.JSON["active"] != false {
				t.Errorf("%v", got.JSON)
			}
			if !strings.Contains(w.Log.String(), "code was used again; its grant is revoked") {
				t.Error("nobody was warned")
			}
		})
	}
	t.Run("RFC 6749 §4.1.2 fifty at once yield exactly one token set", func(t *testing.T) {
		for range 5 {
			code, _ := w.Authorized(a, alice, "openid offline_access")
			won, lost := providertest.AtOnce(50, func() providertest.AnswerJSON { return w.Redeem(a, code) })
			if len(won) != 1 {
				t.Fatalf("%d token sets", len(won))
			}
			for _, l := range lost {
				providertest.MustRefuse(t, l, http.StatusBadRequest, oauth.InvalidGrant)
			}
			providertest.MustRefuse(t, w.Whois(won[0].Str("access_token")), http.StatusUnauthorized, oauth.InvalidToken)
		}
	})
}

func TestCodeExpires(t *testing.T) {
	t.Parallel()
	for after, works := range map[time.Duration]bool{59*time.Second + 999*time.Millisecond: true, time.Minute: false,
		61 * time.Second: false, 24 * time.Hour: false} {
		w := providertest.New(t)
		alice, a := w.AddUser("alice"), w.AddClient("web-a")
		code, grant := w.Authorized(a, alice, "openid",
			func(g *storage.Grant) { g.ExpiresAt = g.CreatedAt.Add(48 * time.Hour) })
		w.Clock.Advance(after)
		got := w.Redeem(a, code)
		if works {
			providertest.MustWork(t, got)
			continue
		}
		providertest.MustRefuse(t, got, http.StatusBadRequest, oauth.InvalidGrant)
		if g, err := w.Store.Grant(context.Background(), grant.ID); err != nil || !g.CodeUsedAt.IsZero() ||
			!g.RevokedAt.IsZero() {
			t.Errorf("an expired code changes nothing: %+v %v", g, err)
		}
	}
}

func TestCodesAreRandomAndOnlyTheirHashIsKept(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 10000 {
		code, hash := grants.NewCode("G")
		if seen[code] || len(code) < 40 || url.QueryEscape(code) != code || strings.Contains(hash, code) ||
			hash != storage.Hash(code) {
			t.Fatalf("%q %q", code, hash)
		}
		seen[code] = true
	}
}

func TestWhatChangedSinceTheCodeWasIssuedCounts(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		change func(w *providertest.World, a clients.Client, u storage.User, g storage.Grant) error
		status int
		code   oauth.Code
	}{
		{"the person was disabled", func(w *providertest.World, a clients.Client, u storage.User,
			g storage.Grant) error {
			u.Disabled, u.Version = true, 1
			return w.Store.UpdateUser(context.Background(), u)
		}, 400, oauth.InvalidGrant},
		{"the person was deleted", func(w *providertest.World, a clients.Client, u storage.User,
			g storage.Grant) error {
			return w.Store.DeleteUser(context.Background(), u.ID)
		}, 400, oauth.InvalidGrant},
		{"the person may not use the client any more", func(w *providertest.World, a clients.Client, u storage.User,
			g storage.Grant) error {
			a.AllowedGroups, a.Version = []string{"staff"}, 1
			return w.Store.UpdateClient(context.Background(), a)
		}, 400, oauth.InvalidGrant},
		{"the person signed out", func(w *providertest.World, a clients.Client, u storage.User, g storage.Grant) error {
			_, err := w.Store.EndSession(context.Background(), g.SessionID, w.Web.Now())
			return err
		}, 400, oauth.InvalidGrant},
		{"the grant was revoked", func(w *providertest.World, a clients.Client, u storage.User, g storage.Grant) error {
			return w.Store.RevokeGrant(context.Background(), g.ID, w.Web.Now())
		}, 400, oauth.InvalidGrant},
		{"the client was disabled", func(w *providertest.World, a clients.Client, u storage.User,
			g storage.Grant) error {
			a.Disabled, a.Version = true, 1
			return w.Store.UpdateClient(context.Background(), a)
		}, 401, oauth.InvalidClient},
		{"the client was deleted", func(w *providertest.World, a clients.Client, u storage.User,
			g storage.Grant) error {
			return w.Store.DeleteClient(context.Background(), a.ID, w.Web.Now())
		}, 401, oauth.InvalidClient},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := providertest.New(t)
			alice, a := w.AddUser("alice"), w.AddClient("web-a")
			providertest.MustWork(t, w.Tokens(a, alice, "openid"))
			code, grant := w.Authorized(a, alice, "openid")
			away, _ := w.Authorized(a, alice, providertest.Offline,
				func(g *storage.Grant) { g.SessionID = grant.SessionID })
			if err := c.change(w, a, alice, grant); err != nil {
				t.Fatal(err)
			}
			providertest.MustRefuse(t, w.Redeem(a, code), c.status, c.code)
			if c.name == "the grant was revoked" {
				providertest.MustWork(t, w.Redeem(a, away)) // which is another one
			} else {
				// offline access begins when the code is redeemed
				providertest.MustRefuse(t, w.Redeem(a, away), c.status, c.code)
			}
		})
	}
}

func TestCodeIsKeptWhenTheStoreFails(t *testing.T) {
	t.Parallel()
	var f *providertest.Faults
	w := providertest.New(t, providertest.WithFaults(&f))
	alice, a := w.AddUser("alice"), w.AddClient("web-a")
	code, _ := w.Authorized(a, alice, "openid")
	for _, method := range []string{"Client", "Grant", "Session", "User", "RedeemCode"} {
		f.Set(true, method)
		got := w.Redeem(a, code)
		providertest.MustRefuse(t, got, http.StatusServiceUnavailable, oauth.TemporarilyUnavailable)
		if got.Header.Get("Retry-After") == "" {
			t.Error("no Retry-After")
		}
		f.Set(false, method)
	}
	providertest.MustWork(t, w.Redeem(a, code))
	t.Run("a reuse that could not be acted on is a fault, not a refusal", func(t *testing.T) {
		f.Set(true, "RevokeGrant")
		providertest.MustRefuse(t, w.Redeem(a, code), http.StatusServiceUnavailable, oauth.TemporarilyUnavailable)
		f.Set(false, "RevokeGrant")
		providertest.MustRefuse(t, w.Redeem(a, code), http.StatusBadRequest, oauth.InvalidGrant)
	})
}

func TestResourceOfACode(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	alice := w.AddUser("alice")
	a := w.AddClient("web-a", func(c *clients.Client) {
		c.Audience = []string{"https://api1.test",
			"https://api2.test"}
	})
	both := func(g *storage.Grant) { g.Resource = []string{"https://api1.test", "https://api2.test"} }
	aud := func(a providertest.AnswerJSON) any { return providertest.ClaimsOf(t, a.Str("access_token"))["aud"] }

	if got := w.Tokens(a, alice, "openid"); fmt.Sprint(aud(got)) != fmt.Sprint([]any{"https://api1.test", w.Issuer}) {
		t.Errorf("the first audience of the client is the default, with the issuer for userinfo: %v", aud(got))
	}
	if got := w.Tokens(a, alice, "profile"); aud(got) != "https://api1.test" {
		t.Errorf("without openid nothing is for userinfo: %v", aud(got))
	}
	if got := w.Tokens(w.AddClient("web-b"), alice, "openid"); aud(got) != w.Issuer {
		t.Errorf("without one it is the issuer: %v", aud(got))
	}
	code, _ := w.Authorized(a, alice, "openid", both)
	providertest.MustRefuse(t, w.Redeem(a, code, "resource", "https://api3.test"), http.StatusBadRequest,
		oauth.InvalidTarget)
	got := w.Redeem(a, code, "resource", "https://api2.test")
	providertest.MustWork(t, got)
	if aud(got) != "https://api2.test" {
		t.Errorf("RFC 8707 §2.2: %v", aud(got))
	}
	code, _ = w.Authorized(a, alice, "openid")
	providertest.MustRefuse(t, w.Redeem(a, code, "resource", "https://api2.test"), http.StatusBadRequest,
		oauth.InvalidTarget)
	code, _ = w.Authorized(a, alice, "openid", both)
	if list, ok := aud(w.Redeem(a, code)).([]any); !ok || len(list) != 2 {
		t.Errorf("all that was granted: %v", list)
	}
}

func FuzzParseCode(f *testing.F) {
	code, _ := grants.NewCode("GRANT")
	f.Add(code)
	f.Add(grants.CodePrefix + "..")
	f.Fuzz(func(t *testing.T, s string) {
		id, hash, ok := grants.ParseCode(s)
		if !ok {
			return
		}
		if id == "" || hash != storage.Hash(s) || !strings.HasPrefix(s, grants.CodePrefix+id+".") {
			t.Fatalf("%q: %q %q", s, id, hash)
		}
	})
}
