package session_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"latchkey/provider/clients"
	"latchkey/provider/providertest"
	"latchkey/provider/session"
	"latchkey/provider/storage"
)

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(code) }
}

func TestLogoutToken(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	rp := providertest.NewRelyingParty(t)
	ctx := context.Background()
	if err := w.Keys.EnsureAlgorithm(ctx, "sig", "ES256"); err != nil {
		t.Fatal(err)
	}
	shop := w.AddClient("shop", rp.Hears, providertest.SignsOutTo(providertest.OutURI))
	unsigned := w.AddClient("unsigned", rp.Hears, func(c *clients.Client) { c.IDTokenSignedResponseAlg = "none" })
	es := w.AddClient("es", rp.Hears, func(c *clients.Client) { c.IDTokenSignedResponseAlg = "ES256" })
	plain := w.AddClient("plain", rp.Hears, func(c *clients.Client) { c.IDTokenSignedResponseAlg = "" })
	quiet := w.AddClient("quiet")
	elsewhere := w.AddClient("elsewhere", rp.Hears)
	alice := w.AddUser("alice")
	_, s := w.SignedIn(alice)
	for _, c := range []clients.Client{shop, shop, unsigned, es, plain, quiet} {
		w.Granted(s, c)
	}
	_, other := w.SignedIn(alice)
	w.Granted(other, elsewhere)
	if _, err := w.Sessions.End(ctx, s); err != nil {
		t.Fatal(err)
	}
	w.DeliverDue()

	wantAlg := map[string]string{"shop": "RS256", "unsigned": "RS256", "es": "ES256", "plain": "RS256"}
	ids := map[any]bool{}
	for _, form := range rp.Forms {
		if len(form) != 1 || len(form["logout_token"]) != 1 {
			t.Fatalf("Back-Channel Logout §2.5: the body holds more than logout_token: %v", form)
		}
		token := form.Get("logout_token")
		if _, _, err := w.Keys.Verify(context.Background(), token, "", "JWT"); err == nil {
			t.Error("Back-Channel Logout §2.4: the token passes for an ID token")
		}
		_, alg, err := w.Keys.Verify(context.Background(), token, "logout+jwt")
		if err != nil {
			t.Fatal(err)
		}
		claims := providertest.ClaimsOf(t, token)
		aud, _ := claims["aud"].(string)
		if alg != wantAlg[aud] {
			t.Errorf("%s: alg %s, want %s", aud, alg, wantAlg[aud])
		}
		delete(wantAlg, aud)
		events, _ := claims["events"].(map[string]any)
		event, ok := events["http://schemas.openid.net/event/backchannel-logout"].(map[string]any)
		if claims["iss"] != w.Issuer || claims["sub"] != "sub-alice" || claims["sid"] != s.ID || len(events) != 1 ||
			!ok || len(event) != 0 {
			t.Errorf("%v", claims)
		}
		if _, has := claims["nonce"]; has {
			t.Error("Back-Channel Logout §2.4: a nonce is prohibited")
		}
		iat, _ := claims["iat"].(float64)
		exp, _ := claims["exp"].(float64)
		if int64(iat) != w.Web.Now().Unix() || exp <= iat || exp-iat > 120 {
			t.Errorf("iat %v, exp %v", iat, exp)
		}
		if jti, _ := claims["jti"].(string); len(jti) < 16 || ids[jti] {
			t.Errorf("jti %q", jti)
		}
		ids[claims["jti"]] = true
		if len(claims) != 8 {
			t.Errorf("claims beyond the standard's: %v", claims)
		}
	}
	if len(wantAlg) > 0 || len(rp.Forms) != 4 {
		t.Errorf("Back-Channel Logout §2.5: not told: %v; %d told", wantAlg, len(rp.Forms))
	}
	b, now := w.SignedIn(alice)
	for _, token := range rp.Heard() {
		if p := b.Get(providertest.LogoutURL("id_token_hint", token)); !p.Has("logout-confirm") {
			t.Errorf("a logout token as id_token_hint asks nobody: %d", p.StatusCode)
		}
	}
	if !w.StillSignedIn(b, now) {
		t.Error("signed out by a logout token")
	}
	if strings.Contains(w.Log.String(), rp.Heard()[0]) {
		t.Error("the log has a logout token in it")
	}
}

func TestLogoutDelivery(t *testing.T) {
	t.Parallel()

	t.Run("Back-Channel Logout §2.5 an application that fails is tried again, also after a restart",
		func(t *testing.T) {
			t.Parallel()
			w := providertest.New(t)
			rp := providertest.NewRelyingParty(t)
			rp.Answers(status(http.StatusServiceUnavailable))
			id := w.SignedOutOf(w.AddUser("alice"), w.AddClient("shop", rp.Hears))
			w.DeliverDue()
			if d := w.Delivery(id); d.Attempts != 1 || d.LastError == "" ||
				!d.NextAt.Equal(w.Web.Now().Add(2*time.Second)) {
				t.Fatalf("%+v", d)
			}
			if n := w.DeliverDue(); n != 0 {
				t.Fatal("tried again at once")
			}
			rp.Answers(status(http.StatusNoContent))
			restarted := w.Again()
			w.Clock.Advance(2 * time.Second)
			if n := restarted.DeliverDue(); n != 1 || len(rp.Heard()) != 2 || w.Delivery(id).DeliveredAt.IsZero() {
				t.Fatalf("%d attempts, %d heard", n, len(rp.Heard()))
			}
			first, second := providertest.ClaimsOf(t, rp.Heard()[0]), providertest.ClaimsOf(t, rp.Heard()[1])
			if first["jti"] == second["jti"] || first["iat"] == second["iat"] {
				t.Error("the same token was sent twice")
			}
			w.Clock.Advance(time.Hour)
			if restarted.DeliverDue() != 0 || w.DeliverDue() != 0 {
				t.Error("told again although it was told")
			}
		})

	t.Run("what a crash left in the middle of an attempt is taken up when its lease has run out", func(t *testing.T) {
		t.Parallel()
		w := providertest.New(t)
		rp := providertest.NewRelyingParty(t)
		w.SignedOutOf(w.AddUser("alice"), w.AddClient("shop", rp.Hears))
		if _, err := w.Sessions.LeaseLogout(context.Background()); err != nil {
			t.Fatal(err)
		}
		restarted := w.Again()
		w.Clock.Advance(session.LogoutLease - time.Millisecond)
		if restarted.DeliverDue() != 0 {
			t.Error("taken up while it was leased")
		}
		w.Clock.Advance(time.Millisecond)
		if restarted.DeliverDue() != 1 || len(rp.Heard()) != 1 {
			t.Error("forgotten")
		}
	})

	t.Run("an application that will not is asked five times", func(t *testing.T) {
		t.Parallel()
		for _, code := range []int{400, 404, 501} {
			w := providertest.New(t)
			rp := providertest.NewRelyingParty(t)
			rp.Answers(status(code))
			id := w.SignedOutOf(w.AddUser("alice"), w.AddClient("shop", rp.Hears))
			for range 12 {
				w.DeliverDue()
				w.Clock.Advance(session.LogoutBackoffMax)
			}
			if n, gone := len(rp.Heard()), session.GivenUp(w.Delivery(id), w.Web.Now()); code != 501 &&
				(n != 5 || !gone) || code == 501 && (n != 12 || gone) {
				t.Errorf("%d: asked %d times, given up: %v", code, n, gone)
			}
		}
	})

	t.Run("an application that cannot is given up after a day, with longer and longer pauses", func(t *testing.T) {
		t.Parallel()
		w := providertest.New(t)
		rp := providertest.NewRelyingParty(t)
		rp.Answers(status(500))
		begun := w.Web.Now()
		id := w.SignedOutOf(w.AddUser("alice"), w.AddClient("shop", rp.Hears))
		var pause time.Duration
		for w.DeliverDue() == 1 {
			next := w.Delivery(id).NextAt
			if got := next.Sub(w.Web.Now()); got < pause || got > session.LogoutBackoffMax {
				t.Fatalf("a pause of %v after one of %v", got, pause)
			} else {
				pause = got
			}
			w.Clock.Advance(pause)
		}
		if since := w.Web.Now().Sub(begun); since < session.LogoutGiveUp ||
			since > session.LogoutGiveUp+session.LogoutBackoffMax || !session.GivenUp(w.Delivery(id), w.Web.Now()) {
			t.Errorf("given up after %v", since)
		}
		if n := len(rp.Heard()); n < 20 || n > 60 {
			t.Errorf("%d attempts in a day", n)
		}
	})

	t.Run("redirects are not followed", func(t *testing.T) {
		t.Parallel()
		w := providertest.New(t)
		canary := providertest.NewRelyingParty(t)
		rp := providertest.NewRelyingParty(t)
		for _, code := range []int{302, 307, 308} {
			rp.Answers(func(rw http.ResponseWriter, r *http.Request) { http.Redirect(rw, r, canary.URL, code) })
			id := w.SignedOutOf(w.AddUser(fmt.Sprint("alice", code)), w.AddClient(fmt.Sprint("shop", code), rp.Hears))
			w.DeliverDue()
			if d := w.Delivery(id); !d.DeliveredAt.IsZero() || d.LastError == "" {
				t.Errorf("%d: %+v", code, d)
			}
		}
		if len(canary.Heard()) != 0 {
			t.Error("the redirect was followed")
		}
	})

	t.Run("addresses that we may not call are not called", func(t *testing.T) {
		t.Parallel()
		w := providertest.New(t)
		id := w.SignedOutOf(w.AddUser("alice"),
			w.AddClient("shop", func(c *clients.Client) { c.BackchannelLogoutURI = "https://169.254.169.254/latest" }))
		for range 10 {
			w.DeliverDue()
			w.Clock.Advance(session.LogoutBackoffMax)
		}
		if d := w.Delivery(id); d.Attempts != session.LogoutRefusalsMax || !session.GivenUp(d, w.Web.Now()) {
			t.Errorf("%+v", d)
		}
		for outcome, n := range map[string]int{"delivered": 0, "failed": session.LogoutRefusalsMax - 1, "given_up": 1} {
			want := fmt.Sprintf("latchkey_logout_deliveries_total{outcome=%q} %d\n", outcome, n)
			if text := w.MetricsText(); !strings.Contains(text, want) {
				t.Errorf("no %s in %s", want, text)
			}
		}
	})

	t.Run("an application that was deleted in the meantime is given up", func(t *testing.T) {
		t.Parallel()
		w := providertest.New(t)
		rp := providertest.NewRelyingParty(t)
		id := w.SignedOutOf(w.AddUser("alice"), w.AddClient("shop", rp.Hears))
		if err := w.Store.DeleteClient(context.Background(), "shop", w.Web.Now()); err != nil {
			t.Fatal(err)
		}
		w.DeliverDue()
		if !session.GivenUp(w.Delivery(id), w.Web.Now()) || len(rp.Heard()) != 0 {
			t.Error("still tried")
		}
	})
}

// running runs the deliveries' loop of some providers until the test ends.
func running(t *testing.T, all ...*providertest.World) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for _, w := range all {
		wg.Go(func() { w.Sessions.DeliverLogouts(ctx) })
	}
	t.Cleanup(func() { cancel(); wg.Wait() })
	for _, w := range all {
		for w.Sessions.Loops() == 0 {
			select {
			case <-t.Context().Done():
				return
			default:
				runtime.Gosched()
			}
		}
	}
}

func TestTwoInstancesTellEachApplicationOnce(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	rp := providertest.NewRelyingParty(t)
	alice := w.AddUser("alice")
	var reached []clients.Client
	for i := range 40 {
		reached = append(reached, w.AddClient(fmt.Sprintf("app%02d", i), rp.Hears))
	}
	second := w.Again()
	running(t, w, second)
	id := w.SignedOutOf(alice, reached...)
	second.Sessions.Wake()
	w.Told(id)
	seen := map[any]int{}
	for _, token := range rp.Heard() {
		seen[providertest.ClaimsOf(t, token)["aud"]]++
	}
	for _, c := range reached {
		if seen[c.ID] != 1 {
			t.Errorf("%s was told %d times", c.ID, seen[c.ID])
		}
	}
}

func TestSignOutEverywhere(t *testing.T) {
	t.Parallel()

	t.Run("three applications are told before the person is back at the first", func(t *testing.T) {
		t.Parallel()
		w := providertest.New(t)
		running(t, w)
		rp := providertest.NewRelyingParty(t)
		apps := []clients.Client{w.AddClient("shop", rp.Hears, providertest.SignsOutTo(providertest.OutURI)),
			w.AddClient("mail", rp.Hears), w.AddClient("wiki", rp.Hears)}
		b, s := w.SignedIn(w.AddUser("alice"))
		for _, c := range apps {
			w.Granted(s, c)
		}
		if got := b.Get(providertest.LogoutURL("id_token_hint", w.Hint(s, apps[0], nil), "post_logout_redirect_uri",
			providertest.OutURI)).Header.Get("Location"); got != providertest.OutURI {
			t.Fatalf("%q", got)
		}
		if n := len(rp.Heard()); n != 3 {
			t.Errorf("%d were told", n)
		}
		b, s = w.SignedIn(storage.User{ID: s.UserID})
		for _, c := range apps {
			w.Granted(s, c)
		}
		p := b.Follow(b.Submit(b.Get("/logout"), "logout-confirm", nil))
		if got, want := p.Outcome(), "App mail told, App shop told, App wiki told"; got != want {
			t.Errorf("%s, want %s", got, want)
		}
	})

	t.Run("Back-Channel Logout §2.4 after real sign-ins sid and sub are those of each application's ID token, and nothing of the session is good any more", func(t *testing.T) {
		t.Parallel()
		w := providertest.New(t)
		running(t, w)
		rp := providertest.NewRelyingParty(t)
		w.AddUser("alice")
		apps := []clients.Client{
			w.AddClient("shop", rp.Hears, providertest.SignsOutTo(providertest.OutURI)),
			w.AddClient("mail", rp.Hears, func(c *clients.Client) { c.SubjectType = "pairwise" }),
			w.AddClient("wiki", rp.Hears),
		}
		b := w.Browser()
		idTokens, refresh := map[any]string{}, map[any]string{}
		for _, c := range apps {
			tokens := w.Redeem(c, b.Code(c, "alice"))
			idTokens[c.ID], refresh[c.ID] = tokens.Str("id_token"), tokens.Str("refresh_token")
			if idTokens[c.ID] == "" {
				t.Fatalf("%v", tokens.JSON)
			}
		}
		cookies := b.Request("/account").Cookies()
		p := b.Get(providertest.LogoutURL("id_token_hint", idTokens["shop"], "post_logout_redirect_uri",
			providertest.OutURI, "state", "S"))
		if got := p.Header.Get("Location"); got != providertest.OutURI+"?state=S" {
			t.Fatalf("%d %q", p.StatusCode, got)
		}
		heard := rp.Heard()
		if len(heard) != len(apps) {
			t.Fatalf("%d were told", len(heard))
		}
		for _, token := range heard {
			claims := providertest.ClaimsOf(t, token)
			id := providertest.ClaimsOf(t, idTokens[claims["aud"]])
			if claims["sid"] == nil || claims["sid"] != id["sid"] || claims["sub"] != id["sub"] ||
				claims["iss"] != id["iss"] {
				t.Errorf("logout token %v, ID token %v", claims, id)
			}
		}
		for _, c := range apps {
			if refresh[c.ID] == "" {
				continue
			}
			a := w.Call("/token", c, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refresh[c.ID]}})
			if a.StatusCode != 400 || a.Str("error") != "invalid_grant" {
				t.Errorf("%s can refresh: %d %v", c.ID, a.StatusCode, a.JSON)
			}
		}
		for _, instance := range []*providertest.World{w, w.Again()} {
			r := httptest.NewRequest("GET", w.Issuer+"/account", nil)
			for _, c := range cookies {
				r.AddCookie(c)
			}
			rec := httptest.NewRecorder()
			instance.Handler().ServeHTTP(rec, r)
			if rec.Code != http.StatusSeeOther || !strings.HasPrefix(rec.Header().Get("Location"), "/login") {
				t.Errorf("the cookie of before still opens the account page: %d", rec.Code)
			}
		}
	})

	t.Run("applications are told also when the session had run out by itself", func(t *testing.T) {
		t.Parallel()
		w := providertest.New(t)
		running(t, w)
		rp := providertest.NewRelyingParty(t)
		shop, mail := w.AddClient("shop", rp.Hears, providertest.SignsOutTo(providertest.OutURI)),
			w.AddClient("mail", rp.Hears)
		b, s := w.SignedIn(w.AddUser("alice"))
		w.Granted(s, shop)
		w.Granted(s, mail)
		hint := w.Hint(s, shop, nil)
		w.Clock.Advance(w.SessionIdle)
		if w.StillSignedIn(b, s) {
			t.Fatal("the session has not run out")
		}
		if got := b.Get(providertest.LogoutURL("id_token_hint", hint, "post_logout_redirect_uri",
			providertest.OutURI)).Header.Get("Location"); got != providertest.OutURI || len(rp.Heard()) != 2 {
			t.Errorf("%q, %d were told", got, len(rp.Heard()))
		}
	})

	t.Run("an application that does not answer keeps nobody waiting", func(t *testing.T) {
		t.Parallel()
		w := providertest.New(t)
		w.Sessions.SetPatience(20 * time.Millisecond)
		release := make(chan struct{})
		rp := providertest.NewRelyingParty(t)
		rp.Answers(func(http.ResponseWriter, *http.Request) { <-release })
		running(t, w)
		t.Cleanup(func() { close(release) })
		shop := w.AddClient("shop", rp.Hears, providertest.SignsOutTo(providertest.OutURI))
		b, s := w.SignedIn(w.AddUser("alice"))
		w.Granted(s, shop)
		if got := b.Get(providertest.LogoutURL("id_token_hint", w.Hint(s, shop, nil), "post_logout_redirect_uri",
			providertest.OutURI)).Header.Get("Location"); got != providertest.OutURI {
			t.Fatalf("%q", got)
		}
		if !w.Delivery(s.ID).DeliveredAt.IsZero() || w.StillSignedIn(b, s) {
			t.Error("the person is not signed out, or the application was told")
		}
	})
}

func TestLogoutBackoff(t *testing.T) {
	t.Parallel()
	for attempts, want := range map[int]time.Duration{0: 2 * time.Second, 1: 2 * time.Second, 2: 4 * time.Second,
		5: 32 * time.Second, 11: 2048 * time.Second, 12: time.Hour, 1000: time.Hour} {
		if got := session.LogoutBackoff(attempts); got != want {
			t.Errorf("after %d attempts: %v, want %v", attempts, got, want)
		}
	}
}

func TestManyApplicationsKeepNobodyWaiting(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	w.Sessions.SetPatience(20 * time.Millisecond)
	release := make(chan struct{})
	rp := providertest.NewRelyingParty(t)
	var trying atomic.Int32
	var most atomic.Int32
	rp.Answers(func(http.ResponseWriter, *http.Request) {
		n := trying.Add(1)
		defer trying.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		<-release
	})
	running(t, w)
	t.Cleanup(func() { close(release) })
	shop := w.AddClient("shop", providertest.SignsOutTo(providertest.OutURI))
	b, s := w.SignedIn(w.AddUser("alice"))
	w.Granted(s, shop)
	for i := range 500 {
		w.Granted(s, w.AddClient(fmt.Sprintf("app%03d", i), rp.Hears))
	}
	begun := time.Now()
	if got := b.Get(providertest.LogoutURL("id_token_hint", w.Hint(s, shop, nil), "post_logout_redirect_uri",
		providertest.OutURI)).Header.Get("Location"); got != providertest.OutURI {
		t.Fatalf("%q", got)
	}
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("the person waited %v", took)
	}
	all, err := w.Store.LogoutDeliveries(context.Background(), s.ID)
	if err != nil || len(all) != 500 {
		t.Errorf("%d deliveries: %v", len(all), err)
	}
	if n := most.Load(); n > session.LogoutParallel {
		t.Errorf("%d at a time", n)
	}
}
