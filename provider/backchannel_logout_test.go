package provider

import (
	"context"
	"errors"
	"fmt"
	"io"
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
	"latchkey/provider/storage"
)

// relyingParty hears logout tokens.
type relyingParty struct {
	*httptest.Server
	mu     sync.Mutex
	forms  []url.Values
	answer http.HandlerFunc // after the token was heard; nil: 200
}

func newRelyingParty(t *testing.T) *relyingParty {
	rp := &relyingParty{}
	rp.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		form, parseErr := url.ParseQuery(string(body))
		if err != nil || parseErr != nil || r.Method != "POST" || r.Header.Get("Content-Type") != "application/x-www-form-urlencoded" || r.URL.RawQuery != "" {
			t.Errorf("%s %s %s", r.Method, r.URL, r.Header.Get("Content-Type"))
		}
		rp.mu.Lock()
		rp.forms = append(rp.forms, form)
		answer := rp.answer
		rp.mu.Unlock()
		if answer != nil {
			answer(w, r)
		}
	}))
	t.Cleanup(rp.Close)
	return rp
}

func (rp *relyingParty) hears(c *clients.Client) {
	c.BackchannelLogoutURI = rp.URL + "/" + c.ID + "/logout"
}

func (rp *relyingParty) answers(h http.HandlerFunc) {
	rp.mu.Lock()
	defer rp.mu.Unlock()
	rp.answer = h
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(code) }
}

// heard lists the logout tokens that came.
func (rp *relyingParty) heard() []string {
	rp.mu.Lock()
	defer rp.mu.Unlock()
	var out []string
	for _, f := range rp.forms {
		out = append(out, f.Get("logout_token"))
	}
	return out
}

// deliverDue tries what is due at this moment, each once.
func (w *world) deliverDue() int {
	w.t.Helper()
	n := 0
	for {
		d, err := w.leaseLogout(context.Background())
		if errors.Is(err, storage.ErrNotFound) {
			return n
		}
		if err != nil {
			w.t.Fatal(err)
		}
		w.deliver(context.Background(), d)
		n++
	}
}

// signedOutOf ends a new session that had reached the clients, and returns its deliveries' identifier.
func (w *world) signedOutOf(user storage.User, reached ...clients.Client) (logoutID string) {
	w.t.Helper()
	_, s := w.signedIn(user)
	for _, c := range reached {
		w.granted(s, c)
	}
	id, err := w.endSession(context.Background(), s)
	if err != nil {
		w.t.Fatal(err)
	}
	return id
}

func (w *world) delivery(logoutID string) storage.LogoutDelivery {
	w.t.Helper()
	all, err := w.Store.LogoutDeliveries(context.Background(), logoutID)
	if err != nil || len(all) != 1 {
		w.t.Fatalf("%d deliveries: %v", len(all), err)
	}
	return all[0]
}

// again is another provider on the same store, as after a restart or beside the first.
func (w *world) again() *world {
	w.t.Helper()
	p, err := New(w.Config)
	if err != nil {
		w.t.Fatal(err)
	}
	return &world{Provider: p, t: w.t, clock: w.clock, log: w.log}
}

func TestLogoutToken(t *testing.T) {
	t.Parallel()
	w := newTestProvider(t)
	rp := newRelyingParty(t)
	ctx := context.Background()
	if err := w.Keys.EnsureAlgorithm(ctx, "sig", "ES256"); err != nil {
		t.Fatal(err)
	}
	shop := w.addClient("shop", rp.hears, signsOutTo(outURI))
	unsigned := w.addClient("unsigned", rp.hears, func(c *clients.Client) { c.IDTokenSignedResponseAlg = "none" })
	es := w.addClient("es", rp.hears, func(c *clients.Client) { c.IDTokenSignedResponseAlg = "ES256" })
	plain := w.addClient("plain", rp.hears, func(c *clients.Client) { c.IDTokenSignedResponseAlg = "" })
	quiet := w.addClient("quiet")
	elsewhere := w.addClient("elsewhere", rp.hears)
	alice := w.addUser("alice")
	_, s := w.signedIn(alice)
	for _, c := range []clients.Client{shop, shop, unsigned, es, plain, quiet} {
		w.granted(s, c)
	}
	_, other := w.signedIn(alice)
	w.granted(other, elsewhere)
	if _, err := w.endSession(ctx, s); err != nil {
		t.Fatal(err)
	}
	w.deliverDue()

	wantAlg := map[string]string{"shop": "RS256", "unsigned": "RS256", "es": "ES256", "plain": "RS256"}
	ids := map[any]bool{}
	for _, form := range rp.forms {
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
		claims := claimsOf(t, token)
		aud, _ := claims["aud"].(string)
		if alg != wantAlg[aud] {
			t.Errorf("%s: alg %s, want %s", aud, alg, wantAlg[aud])
		}
		delete(wantAlg, aud)
		events, _ := claims["events"].(map[string]any)
		event, ok := events["http://schemas.openid.net/event/backchannel-logout"].(map[string]any)
		if claims["iss"] != w.Issuer || claims["sub"] != "sub-alice" || claims["sid"] != s.ID || len(events) != 1 || !ok || len(event) != 0 {
			t.Errorf("%v", claims)
		}
		if _, has := claims["nonce"]; has {
			t.Error("Back-Channel Logout §2.4: a nonce is prohibited")
		}
		iat, _ := claims["iat"].(float64)
		exp, _ := claims["exp"].(float64)
		if int64(iat) != w.now().Unix() || exp <= iat || exp-iat > 120 {
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
	if len(wantAlg) > 0 || len(rp.forms) != 4 {
		t.Errorf("Back-Channel Logout §2.5: not told: %v; %d told", wantAlg, len(rp.forms))
	}
	b, now := w.signedIn(alice)
	for _, token := range rp.heard() {
		if p := b.get(logoutURL("id_token_hint", token)); p.StatusCode != 400 {
			t.Errorf("a logout token as id_token_hint: %d", p.StatusCode)
		}
	}
	if !w.stillSignedIn(b, now) {
		t.Error("signed out by a logout token")
	}
	if strings.Contains(w.log.String(), rp.heard()[0]) {
		t.Error("the log has a logout token in it")
	}
}

func TestLogoutDelivery(t *testing.T) {
	t.Parallel()

	t.Run("Back-Channel Logout §2.5 an application that fails is tried again, also after a restart", func(t *testing.T) {
		t.Parallel()
		w := newTestProvider(t)
		rp := newRelyingParty(t)
		rp.answers(status(http.StatusServiceUnavailable))
		id := w.signedOutOf(w.addUser("alice"), w.addClient("shop", rp.hears))
		w.deliverDue()
		if d := w.delivery(id); d.Attempts != 1 || d.LastError == "" || !d.NextAt.Equal(w.now().Add(2*time.Second)) {
			t.Fatalf("%+v", d)
		}
		if n := w.deliverDue(); n != 0 {
			t.Fatal("tried again at once")
		}
		rp.answers(status(http.StatusNoContent))
		restarted := w.again()
		w.clock.Advance(2 * time.Second)
		if n := restarted.deliverDue(); n != 1 || len(rp.heard()) != 2 || w.delivery(id).DeliveredAt.IsZero() {
			t.Fatalf("%d attempts, %d heard", n, len(rp.heard()))
		}
		first, second := claimsOf(t, rp.heard()[0]), claimsOf(t, rp.heard()[1])
		if first["jti"] == second["jti"] || first["iat"] == second["iat"] {
			t.Error("the same token was sent twice")
		}
		w.clock.Advance(time.Hour)
		if restarted.deliverDue() != 0 || w.deliverDue() != 0 {
			t.Error("told again although it was told")
		}
	})

	t.Run("what a crash left in the middle of an attempt is taken up when its lease has run out", func(t *testing.T) {
		t.Parallel()
		w := newTestProvider(t)
		rp := newRelyingParty(t)
		w.signedOutOf(w.addUser("alice"), w.addClient("shop", rp.hears))
		if _, err := w.leaseLogout(context.Background()); err != nil {
			t.Fatal(err)
		}
		restarted := w.again()
		w.clock.Advance(logoutLease - time.Millisecond)
		if restarted.deliverDue() != 0 {
			t.Error("taken up while it was leased")
		}
		w.clock.Advance(time.Millisecond)
		if restarted.deliverDue() != 1 || len(rp.heard()) != 1 {
			t.Error("forgotten")
		}
	})

	t.Run("an application that will not is asked five times", func(t *testing.T) {
		t.Parallel()
		for _, code := range []int{400, 404, 501} {
			w := newTestProvider(t)
			rp := newRelyingParty(t)
			rp.answers(status(code))
			id := w.signedOutOf(w.addUser("alice"), w.addClient("shop", rp.hears))
			for range 12 {
				w.deliverDue()
				w.clock.Advance(logoutBackoffMax)
			}
			if n, gone := len(rp.heard()), givenUp(w.delivery(id), w.now()); code != 501 && (n != 5 || !gone) || code == 501 && (n != 12 || gone) {
				t.Errorf("%d: asked %d times, given up: %v", code, n, gone)
			}
		}
	})

	t.Run("an application that cannot is given up after a day, with longer and longer pauses", func(t *testing.T) {
		t.Parallel()
		w := newTestProvider(t)
		rp := newRelyingParty(t)
		rp.answers(status(500))
		begun := w.now()
		id := w.signedOutOf(w.addUser("alice"), w.addClient("shop", rp.hears))
		var pause time.Duration
		for w.deliverDue() == 1 {
			next := w.delivery(id).NextAt
			if got := next.Sub(w.now()); got < pause || got > logoutBackoffMax {
				t.Fatalf("a pause of %v after one of %v", got, pause)
			} else {
				pause = got
			}
			w.clock.Advance(pause)
		}
		if since := w.now().Sub(begun); since < logoutGiveUp || since > logoutGiveUp+logoutBackoffMax || !givenUp(w.delivery(id), w.now()) {
			t.Errorf("given up after %v", since)
		}
		if n := len(rp.heard()); n < 20 || n > 60 {
			t.Errorf("%d attempts in a day", n)
		}
	})

	t.Run("redirects are not followed", func(t *testing.T) {
		t.Parallel()
		w := newTestProvider(t)
		canary := newRelyingParty(t)
		rp := newRelyingParty(t)
		for _, code := range []int{302, 307, 308} {
			rp.answers(func(rw http.ResponseWriter, r *http.Request) { http.Redirect(rw, r, canary.URL, code) })
			id := w.signedOutOf(w.addUser(fmt.Sprint("alice", code)), w.addClient(fmt.Sprint("shop", code), rp.hears))
			w.deliverDue()
			if d := w.delivery(id); !d.DeliveredAt.IsZero() || d.LastError == "" {
				t.Errorf("%d: %+v", code, d)
			}
		}
		if len(canary.heard()) != 0 {
			t.Error("the redirect was followed")
		}
	})

	t.Run("addresses that we may not call are not called", func(t *testing.T) {
		t.Parallel()
		w := newTestProvider(t)
		id := w.signedOutOf(w.addUser("alice"), w.addClient("shop", func(c *clients.Client) { c.BackchannelLogoutURI = "https://169.254.169.254/latest" }))
		for range 10 {
			w.deliverDue()
			w.clock.Advance(logoutBackoffMax)
		}
		if d := w.delivery(id); d.Attempts != logoutRefusalsMax || !givenUp(d, w.now()) {
			t.Errorf("%+v", d)
		}
	})

	t.Run("an application that was deleted in the meantime is given up", func(t *testing.T) {
		t.Parallel()
		w := newTestProvider(t)
		rp := newRelyingParty(t)
		id := w.signedOutOf(w.addUser("alice"), w.addClient("shop", rp.hears))
		if err := w.Store.DeleteClient(context.Background(), "shop", w.now()); err != nil {
			t.Fatal(err)
		}
		w.deliverDue()
		if !givenUp(w.delivery(id), w.now()) || len(rp.heard()) != 0 {
			t.Error("still tried")
		}
	})
}

// running runs the deliveries' loop of some providers until the test ends.
func running(t *testing.T, all ...*world) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for _, w := range all {
		wg.Go(func() { w.DeliverLogouts(ctx) })
	}
	t.Cleanup(func() { cancel(); wg.Wait() })
	for _, w := range all {
		for w.logouts.running.Load() == 0 {
			select {
			case <-t.Context().Done():
				return
			default:
				runtime.Gosched()
			}
		}
	}
}

// told waits until nothing of the logout is under way any more.
func (w *world) told(logoutID string) {
	w.t.Helper()
	for {
		progress := w.logouts.next()
		all, err := w.Store.LogoutDeliveries(context.Background(), logoutID)
		if err != nil {
			w.t.Fatal(err)
		}
		open := 0
		for _, d := range all {
			if d.DeliveredAt.IsZero() {
				open++
			}
		}
		if open == 0 {
			return
		}
		select {
		case <-progress:
		case <-time.After(50 * time.Millisecond): // another instance's outcome makes no noise here
		case <-w.t.(*testing.T).Context().Done():
			w.t.Fatal("not told in time")
		}
	}
}

func TestTwoInstancesTellEachApplicationOnce(t *testing.T) {
	t.Parallel()
	w := newTestProvider(t)
	rp := newRelyingParty(t)
	alice := w.addUser("alice")
	var reached []clients.Client
	for i := range 40 {
		reached = append(reached, w.addClient(fmt.Sprintf("app%02d", i), rp.hears))
	}
	second := w.again()
	running(t, w, second)
	id := w.signedOutOf(alice, reached...)
	second.logouts.wake()
	w.told(id)
	seen := map[any]int{}
	for _, token := range rp.heard() {
		seen[claimsOf(t, token)["aud"]]++
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
		w := newTestProvider(t)
		running(t, w)
		rp := newRelyingParty(t)
		apps := []clients.Client{w.addClient("shop", rp.hears, signsOutTo(outURI)), w.addClient("mail", rp.hears), w.addClient("wiki", rp.hears)}
		b, s := w.signedIn(w.addUser("alice"))
		for _, c := range apps {
			w.granted(s, c)
		}
		if got := b.get(logoutURL("id_token_hint", w.hint(s, apps[0], nil), "post_logout_redirect_uri", outURI)).Header.Get("Location"); got != outURI {
			t.Fatalf("%q", got)
		}
		if n := len(rp.heard()); n != 3 {
			t.Errorf("%d were told", n)
		}
		b, s = w.signedIn(storage.User{ID: s.UserID})
		for _, c := range apps {
			w.granted(s, c)
		}
		p := b.follow(b.submit(b.get("/logout"), "logout-confirm", nil))
		if got, want := p.outcome(), "App mail told, App shop told, App wiki told"; got != want {
			t.Errorf("%s, want %s", got, want)
		}
	})

	t.Run("Back-Channel Logout §2.4 after real sign-ins sid and sub are those of each application's ID token, and nothing of the session is good any more", func(t *testing.T) {
		t.Parallel()
		w := newTestProvider(t)
		running(t, w)
		rp := newRelyingParty(t)
		w.addUser("alice")
		apps := []clients.Client{
			w.addClient("shop", rp.hears, signsOutTo(outURI)),
			w.addClient("mail", rp.hears, func(c *clients.Client) { c.SubjectType = "pairwise" }),
			w.addClient("wiki", rp.hears),
		}
		b := w.browser()
		idTokens, refresh := map[any]string{}, map[any]string{}
		for _, c := range apps {
			tokens := w.redeem(c, b.code(c, "alice"))
			idTokens[c.ID], refresh[c.ID] = tokens.str("id_token"), tokens.str("refresh_token")
			if idTokens[c.ID] == "" {
				t.Fatalf("%v", tokens.JSON)
			}
		}
		cookies := b.request("/account").Cookies()
		p := b.get(logoutURL("id_token_hint", idTokens["shop"], "post_logout_redirect_uri", outURI, "state", "S"))
		if got := p.Header.Get("Location"); got != outURI+"?state=S" {
			t.Fatalf("%d %q", p.StatusCode, got)
		}
		heard := rp.heard()
		if len(heard) != len(apps) {
			t.Fatalf("%d were told", len(heard))
		}
		for _, token := range heard {
			claims := claimsOf(t, token)
			id := claimsOf(t, idTokens[claims["aud"]])
			if claims["sid"] == nil || claims["sid"] != id["sid"] || claims["sub"] != id["sub"] || claims["iss"] != id["iss"] {
				t.Errorf("logout token %v, ID token %v", claims, id)
			}
		}
		for _, c := range apps {
			if refresh[c.ID] == "" {
				continue
			}
			a := w.call("/token", c, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refresh[c.ID]}})
			if a.StatusCode != 400 || a.str("error") != "invalid_grant" {
				t.Errorf("%s can refresh: %d %v", c.ID, a.StatusCode, a.JSON)
			}
		}
		for _, instance := range []*world{w, w.again()} {
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
		w := newTestProvider(t)
		running(t, w)
		rp := newRelyingParty(t)
		shop, mail := w.addClient("shop", rp.hears, signsOutTo(outURI)), w.addClient("mail", rp.hears)
		b, s := w.signedIn(w.addUser("alice"))
		w.granted(s, shop)
		w.granted(s, mail)
		hint := w.hint(s, shop, nil)
		w.clock.Advance(w.SessionIdle)
		if w.stillSignedIn(b, s) {
			t.Fatal("the session has not run out")
		}
		if got := b.get(logoutURL("id_token_hint", hint, "post_logout_redirect_uri", outURI)).Header.Get("Location"); got != outURI || len(rp.heard()) != 2 {
			t.Errorf("%q, %d were told", got, len(rp.heard()))
		}
	})

	t.Run("an application that does not answer keeps nobody waiting", func(t *testing.T) {
		t.Parallel()
		w := newTestProvider(t)
		w.logouts.patience = 20 * time.Millisecond
		release := make(chan struct{})
		rp := newRelyingParty(t)
		rp.answers(func(http.ResponseWriter, *http.Request) { <-release })
		running(t, w)
		t.Cleanup(func() { close(release) })
		shop := w.addClient("shop", rp.hears, signsOutTo(outURI))
		b, s := w.signedIn(w.addUser("alice"))
		w.granted(s, shop)
		if got := b.get(logoutURL("id_token_hint", w.hint(s, shop, nil), "post_logout_redirect_uri", outURI)).Header.Get("Location"); got != outURI {
			t.Fatalf("%q", got)
		}
		if !w.delivery(s.ID).DeliveredAt.IsZero() || w.stillSignedIn(b, s) {
			t.Error("the person is not signed out, or the application was told")
		}
	})
}

func TestLogoutBackoff(t *testing.T) {
	t.Parallel()
	for attempts, want := range map[int]time.Duration{0: 2 * time.Second, 1: 2 * time.Second, 2: 4 * time.Second, 5: 32 * time.Second, 11: 2048 * time.Second, 12: time.Hour, 1000: time.Hour} {
		if got := logoutBackoff(attempts); got != want {
			t.Errorf("after %d attempts: %v, want %v", attempts, got, want)
		}
	}
}

func TestManyApplicationsKeepNobodyWaiting(t *testing.T) {
	t.Parallel()
	w := newTestProvider(t)
	w.logouts.patience = 20 * time.Millisecond
	release := make(chan struct{})
	rp := newRelyingParty(t)
	var trying atomic.Int32
	var most atomic.Int32
	rp.answers(func(http.ResponseWriter, *http.Request) {
		n := trying.Add(1)
		defer trying.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		<-release
	})
	running(t, w)
	t.Cleanup(func() { close(release) })
	shop := w.addClient("shop", signsOutTo(outURI))
	b, s := w.signedIn(w.addUser("alice"))
	w.granted(s, shop)
	for i := range 500 {
		w.granted(s, w.addClient(fmt.Sprintf("app%03d", i), rp.hears))
	}
	begun := time.Now()
	if got := b.get(logoutURL("id_token_hint", w.hint(s, shop, nil), "post_logout_redirect_uri", outURI)).Header.Get("Location"); got != outURI {
		t.Fatalf("%q", got)
	}
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("the person waited %v", took)
	}
	all, err := w.Store.LogoutDeliveries(context.Background(), s.ID)
	if err != nil || len(all) != 500 {
		t.Errorf("%d deliveries: %v", len(all), err)
	}
	if n := most.Load(); n > logoutParallel {
		t.Errorf("%d at a time", n)
	}
}
