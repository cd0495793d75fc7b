package signin_test

import (
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey/provider"
	"latchkey/provider/clients"
	"latchkey/provider/people"
	"latchkey/provider/providertest"
	"latchkey/provider/storage"
)

// enrolled is a world in which alice has an authenticator application, and a step has passed since
// it was set up.
func enrolled(t *testing.T) (w *providertest.World, c clients.Client, a providertest.Authenticator, recovery []string) {
	t.Helper()
	w = providertest.New(t)
	w.AddUser("alice")
	c = w.AddClient("web")
	a, recovery = w.Browser().EnrolTOTP("alice")
	w.Clock.Advance(time.Minute)
	return w, c, a, recovery
}

func code(v string) url.Values { return url.Values{"code": {v}} }

// atFactor is a new browser in which alice has given her password for a request, with the page that
// asks for more.
func atFactor(t *testing.T, w *providertest.World, c clients.Client, change ...string) (*providertest.Browser,
	providertest.Page) {
	t.Helper()
	b := w.Browser()
	p := b.SignInAs(b.Open(w.Request(c, change...)), "alice")
	if !p.Has("mfa-page") {
		t.Fatalf("no second step: %d %s\n%s", p.StatusCode, p.Request.URL, p.Body)
	}
	return b, p
}

func TestWhoeverHasASecondFactorIsAskedForIt(t *testing.T) {
	t.Parallel()
	w, c, a, _ := enrolled(t)
	b, p := atFactor(t, w, c)
	if p.Answer().Get("code") != "" {
		t.Fatal("a code for half a sign-in")
	}
	p = b.Follow(b.Submit(p, "mfa-submit", code(a.Code(0))))
	id := w.IdTokenOf(c, p.Answer().Get("code"))
	if id["acr"] != people.ACRMultiFactor || !reflect.DeepEqual(id["amr"], []any{"pwd", "otp", "mfa"}) {
		t.Errorf("acr %v, amr %v", id["acr"], id["amr"])
	}
	// And not again in this session.
	if p := b.Open(w.Request(c)); p.Answer().Get("code") == "" {
		t.Errorf("asked again: %d %s", p.StatusCode, p.Request.URL)
	}
	// Somebody without one is not asked.
	w.AddUser("bob")
	if id := w.IdTokenOf(c, w.Browser().Code(c, "bob")); id["acr"] != people.ACRPassword ||
		!reflect.DeepEqual(id["amr"], []any{"pwd"}) {
		t.Errorf("bob: acr %v, amr %v", id["acr"], id["amr"])
	}
}

func TestHalfASignInOpensNothing(t *testing.T) {
	t.Parallel()
	w, c, _, _ := enrolled(t)
	b, p := atFactor(t, w, c)
	i := p.Request.URL.Query().Get("i")
	for _, target := range []string{
		"/authorize?i=" + i, "/consent?i=" + i, "/accounts?i=" + i, "/login?i=" + i, w.Request(c), "/account",
		"/account/profile", "/account/password", "/account/sessions", "/account/connections",
		"/account/activity", "/account/language", "/account/data", "/account/methods", "/account/methods/totp",
	} {
		if p := b.Open(target); !p.Has("mfa-page") && !p.Has("login-page") || p.Answer().Get("code") != "" {
			t.Errorf("%s: %d %s\n%s", target, p.StatusCode, p.Request.URL, p.Body)
		}
	}
	if got := b.Get(w.Request(c, "prompt", "none")).Answer().Get("error"); got != "login_required" {
		t.Errorf("prompt=none: %q", got)
	}
	for _, form := range []url.Values{{"action": {"add-totp"}}, {"action": {"recovery"}},
		{"action": {"end-other-sessions"}}} {
		for _, target := range []string{"/account/sessions", "/account/password", "/account/data", "/account/profile",
			"/account/methods", "/account/methods/totp"} {
			if p := b.Post(target, form); p.StatusCode != http.StatusSeeOther {
				t.Errorf("%s %v: %d", target, form, p.StatusCode)
			}
		}
	}
	if u, _ := w.Store.User(t.Context(), "sub-alice"); len(u.Factors.TOTP) != 1 || u.Factors.RecoveryLeft() != 10 {
		t.Errorf("changed by half a sign-in: %+v", u.Factors)
	}
}

func TestTOTPCodeIsGoodOnceAndWithinOneStep(t *testing.T) {
	t.Parallel()
	w, c, a, _ := enrolled(t)
	b, p := atFactor(t, w, c)
	for _, steps := range []int64{-2, 2} {
		if p := b.Submit(p, "mfa-submit", code(a.Code(steps))); p.StatusCode != http.StatusUnauthorized ||
			!p.Has("mfa-error") {
			t.Errorf("%+d steps: %d", steps, p.StatusCode)
		}
	}
	if p := b.Follow(b.Submit(p, "mfa-submit", code(a.Code(0)))); p.Answer().Get("code") == "" {
		t.Fatalf("refused: %d\n%s", p.StatusCode, p.Body)
	}
	b, p = atFactor(t, w, c)
	for _, steps := range []int64{0, -1} { // used, and older than one that was used
		if p := b.Submit(p, "mfa-submit", code(a.Code(steps))); p.StatusCode != http.StatusUnauthorized ||
			p.Header.Get("Location") != "" {
			t.Errorf("%+d steps, again: %d", steps, p.StatusCode)
		}
	}
	if p := b.Follow(b.Submit(p, "mfa-submit", code(a.Code(1)))); p.Answer().Get("code") == "" {
		t.Errorf("the next code is refused: %d\n%s", p.StatusCode, p.Body)
	}
}

func TestOneTOTPCodeSignsOneBrowserIn(t *testing.T) {
	t.Parallel()
	w, c, a, _ := enrolled(t)
	var wait sync.WaitGroup
	var mu sync.Mutex
	in := 0
	for range 4 { // as many as the limit leaves for wrong ones
		b, p := atFactor(t, w, c)
		wait.Go(func() {
			if p := b.Follow(b.Submit(p, "mfa-submit", code(a.Code(0)))); p.Answer().Get("code") != "" {
				mu.Lock()
				in++
				mu.Unlock()
			}
		})
	}
	wait.Wait()
	if in != 1 {
		t.Errorf("%d browsers were signed in by one code", in)
	}
}

func TestRecoveryCodeStandsInOnce(t *testing.T) {
	t.Parallel()
	w, c, _, recovery := enrolled(t)
	b, p := atFactor(t, w, c)
	p = b.Open(providertest.LinkTo(p, "mfa-recovery"))
	wrong := strings.Repeat("a", 24)
	if p := b.Submit(p, "mfa-submit", code(wrong)); p.StatusCode != http.StatusUnauthorized {
		t.Errorf("a wrong one: %d", p.StatusCode)
	}
	p = b.Follow(b.Submit(p, "mfa-submit", code(strings.ToUpper(recovery[3]))))
	id := w.IdTokenOf(c, p.Answer().Get("code"))
	if id["acr"] != people.ACRMultiFactor || !reflect.DeepEqual(id["amr"], []any{"pwd", "mfa"}) {
		t.Errorf("acr %v, amr %v", id["acr"], id["amr"])
	}
	b, p = atFactor(t, w, c)
	p = b.Open(providertest.LinkTo(p, "mfa-recovery"))
	if p := b.Submit(p, "mfa-submit", code(recovery[3])); p.StatusCode != http.StatusUnauthorized {
		t.Errorf("a second time: %d", p.StatusCode)
	}
	if p := b.Follow(b.Submit(p, "mfa-submit", code(recovery[4]))); p.Answer().Get("code") == "" {
		t.Errorf("another one: %d", p.StatusCode)
	}
}

func TestSecondFactorHasALimitOfItsOwnOverAllMethodsAndSignIns(t *testing.T) {
	t.Parallel()
	w, c, a, recovery := enrolled(t)
	for i := range people.SecondFactorTries {
		b, p := atFactor(t, w, c) // the right password each time
		form := url.Values{"code": {fmt.Sprintf("%06d", i)}}
		if i%2 == 1 {
			form = url.Values{"code": {strings.Repeat("b", 24)}, "method": {"recovery"}}
		}
		if p := b.Submit(p, "mfa-submit", form); p.StatusCode != http.StatusUnauthorized {
			t.Errorf("try %d: %d", i, p.StatusCode)
		}
	}
	b, p := atFactor(t, w, c)
	for _, form := range []url.Values{{"code": {a.Code(0)}}, {"code": {recovery[0]}, "method": {"recovery"}}} {
		if p := b.Submit(p, "mfa-submit", form); p.StatusCode != http.StatusTooManyRequests || !p.Has("mfa-error") {
			t.Errorf("a right one after the limit: %d", p.StatusCode)
		}
	}
	if u, _ := w.Store.User(t.Context(), "sub-alice"); u.Factors.RecoveryLeft() != 10 {
		t.Error("a code was used up")
	}
	w.Clock.Advance(16 * time.Minute)
	b, p = atFactor(t, w, c)
	if p := b.Follow(b.Submit(p, "mfa-submit", code(a.Code(0)))); p.Answer().Get("code") == "" {
		t.Errorf("after the window: %d\n%s", p.StatusCode, p.Body)
	}
	events, err := w.Store.Events(t.Context(), storage.EventFilter{VerbPrefix: "session.second_factor"}, "", 100)
	if err != nil {
		t.Fatal(err)
	}
	reasons := map[string]int{}
	for _, e := range events {
		reasons[e.Reason]++
	}
	if reasons["wrong_code"] != people.SecondFactorTries || reasons["locked"] != 2 || reasons[""] != 1 {
		t.Errorf("events: %v", reasons)
	}
}

func TestWhatIsNoCodeIsRefusedAndNotCounted(t *testing.T) {
	t.Parallel()
	w, c, a, _ := enrolled(t)
	b, p := atFactor(t, w, c)
	for _, typed := range []string{"", "12345", "1234567", "１２３４５６", "١٢٣٤٥٦", "+12345", "123456\x00", "[1]",
		strings.Repeat("9", 5000)} {
		if p := b.Submit(p, "mfa-submit", code(typed)); p.StatusCode != http.StatusBadRequest {
			t.Errorf("%.20q: %d", typed, p.StatusCode)
		}
	}
	if p := b.Follow(b.Submit(p, "mfa-submit",
		code(" "+a.Code(0)[:3]+" "+a.Code(0)[3:]))); p.Answer().Get("code") == "" {
		t.Errorf("a right one with blanks: %d", p.StatusCode)
	}
}

func TestSecondFactorOfAnotherPersonOrSecretProvesNothing(t *testing.T) {
	t.Parallel()
	w, c, a, _ := enrolled(t)
	w.AddUser("mallory")
	m, codes := w.Browser().EnrolTOTP("mallory")
	w.Clock.Advance(time.Minute)
	b, p := atFactor(t, w, c)
	for _, form := range []url.Values{{"code": {m.Code(0)}}, {"code": {codes[0]}, "method": {"recovery"}}} {
		if p := b.Submit(p, "mfa-submit", form); p.StatusCode != http.StatusUnauthorized {
			t.Errorf("mallory's: %d", p.StatusCode)
		}
	}
	// A form that was shown to mallory does not speak for alice.
	mb := w.Browser()
	if p := mb.SignInAs(mb.Open(w.Request(c)), "mallory"); mb.Submit(p, "mfa-submit",
		code(a.Code(0))).StatusCode != http.StatusUnauthorized {
		t.Error("alice's code proves mallory")
	}
	// Secrets that were moved to another row do not open, and nobody gets in by them.
	ctx := t.Context()
	alice, _ := w.Store.User(ctx, "sub-alice")
	mallory, _ := w.Store.User(ctx, "sub-mallory")
	alice.Factors.TOTP = mallory.Factors.TOTP
	if err := w.Store.UpdateUser(ctx, alice); err != nil {
		t.Fatal(err)
	}
	if p := b.Submit(p, "mfa-submit", code(m.Code(1))); p.StatusCode != http.StatusUnauthorized ||
		!strings.Contains(w.Log.String(), "moved to another row") {
		t.Errorf("a secret that was moved to another row opens: %d", p.StatusCode)
	}
}

func TestStepUpWithinTheSession(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	w.AddUser("alice")
	c := w.AddClient("web")
	other := w.Browser()
	before := w.IdTokenOf(c, other.Code(c, "alice"))
	w.Clock.Advance(10 * time.Minute)
	a, _ := w.Browser().EnrolTOTP("alice")
	w.Clock.Advance(time.Minute)

	// The other browser is asked for the second factor alone, and its session stays the same one.
	p := other.Open(w.Request(c, "acr_values", people.ACRMultiFactor))
	if !p.Has("mfa-page") {
		t.Fatalf("%d %s", p.StatusCode, p.Request.URL)
	}
	p = other.Follow(other.Submit(p, "mfa-submit", code(a.Code(0))))
	after := w.IdTokenOf(c, p.Answer().Get("code"))
	if after["acr"] != people.ACRMultiFactor || after["sid"] != before["sid"] ||
		after["auth_time"] != before["auth_time"] {
		t.Errorf("before %v, after %v", before, after)
	}
	// RFC 9470 §4: max_age wants both again.
	p = other.SignInAs(other.Open(w.Request(c, "acr_values", people.ACRMultiFactor, "max_age", "300")), "alice")
	if !p.Has("mfa-page") {
		t.Fatalf("max_age: %d %s", p.StatusCode, p.Request.URL)
	}
	w.Clock.Advance(time.Minute)
	p = other.Follow(other.Submit(p, "mfa-submit", code(a.Code(0))))
	if fresh := w.IdTokenOf(c, p.Answer().Get("code")); fresh["acr"] != people.ACRMultiFactor ||
		fresh["auth_time"] == before["auth_time"] {
		t.Errorf("max_age: %v", fresh)
	}
	// The application hears the value that it asked for, if that was reached.
	for want, acrValues := range map[string]string{people.ACRPassword: people.ACRPassword,
		people.ACRMultiFactor: "phr " + people.ACRMultiFactor + " " + people.ACRPassword} {
		if id := w.IdTokenOf(c, other.Code(c, "alice", "acr_values", acrValues)); id["acr"] != want {
			t.Errorf("acr_values=%s: %v", acrValues, id["acr"])
		}
	}
	essential := `{"id_token":{"acr":{"essential":true,"values":["` + people.ACRMultiFactor + `"]}}}`
	if id := w.IdTokenOf(c, other.Code(c, "alice", "claims", essential)); id["acr"] != people.ACRMultiFactor {
		t.Errorf("essential acr: %v", id["acr"])
	}
	w.AddUser("bob")
	if got := w.Browser().SignInAs(w.Browser().Open(w.Request(c, "claims", essential)),
		"bob").Answer(); got.Get("code") != "" {
		t.Errorf("essential acr that bob cannot reach: %v", got)
	}
}

func TestPersonTurnsBackAtTheSecondStep(t *testing.T) {
	t.Parallel()
	w, c, _, _ := enrolled(t)
	b, p := atFactor(t, w, c)
	if got := b.Submit(p, "mfa-cancel",
		url.Values{"action": {"cancel"}}).Answer().Get("error"); got != "access_denied" {
		t.Errorf("cancelled: %q", got)
	}
}

func TestSecondFactorIsSetUpInTheMiddleOfTheSignInThatNeedsIt(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	w.AddUser("alice")
	open, strict := w.AddClient("open"), w.AddClient("strict", func(c *clients.Client) { c.RequireSecondFactor = true })
	b := w.Browser()
	b.Code(open, "alice")
	w.Clock.Advance(10 * time.Minute)

	// Whoever finds the browser open cannot make a second factor of their own alice's.
	p := b.Open(w.Request(strict))
	if !p.Has("login-page") {
		t.Fatalf("not asked for the password: %d %s", p.StatusCode, p.Request.URL)
	}
	i := p.Request.URL.Query().Get("i")
	if p := b.Open("/mfa/enrol?i=" + i); p.Has("totp-page") {
		t.Fatal("set up without a fresh proof")
	}
	if p = b.SignInAs(p, "alice"); !p.Has("totp-page") {
		t.Fatalf("nothing is set up: %d %s", p.StatusCode, p.Request.URL)
	}
	a := b.AuthenticatorOf(p)
	if again := b.Open(p.Request.URL.Path + "?" +
		p.Request.URL.RawQuery); string(b.AuthenticatorOf(again).Secret) != string(a.Secret) {
		t.Error("another secret after a look back")
	}
	for _, target := range []string{"/authorize?i=" + i, "/consent?i=" + i, w.Request(strict)} {
		if p := b.Open(target); !p.Has("totp-page") {
			t.Errorf("%s leads past it: %d %s", target, p.StatusCode, p.Request.URL)
		}
	}
	if p := b.Submit(p, "totp-submit", code(a.Code(7))); p.StatusCode != http.StatusBadRequest || !p.Has("totp-error") {
		t.Errorf("a wrong code: %d", p.StatusCode)
	}
	p = b.Follow(b.Submit(p, "totp-submit", code(a.Code(0))))
	if len(providertest.RecoveryCodesOf(p)) != 10 {
		t.Fatalf("no recovery codes: %d\n%s", p.StatusCode, p.Body)
	}
	p = b.Open(providertest.LinkTo(p, "recovery-continue"))
	id := w.IdTokenOf(strict, p.Answer().Get("code"))
	if id["acr"] != people.ACRMultiFactor || !reflect.DeepEqual(id["amr"], []any{"pwd", "otp", "mfa"}) {
		t.Errorf("acr %v, amr %v", id["acr"], id["amr"])
	}
	// From now on it is asked for, everywhere.
	w.Clock.Advance(time.Minute)
	nb, p := atFactor(t, w, open)
	if p := nb.Follow(nb.Submit(p, "mfa-submit", code(a.Code(0)))); p.Answer().Get("code") == "" {
		t.Errorf("%d %s", p.StatusCode, p.Request.URL)
	}
	// Who turns back is not let in.
	w.AddUser("bob")
	bb := w.Browser()
	if got := bb.Submit(bb.SignInAs(bb.Open(w.Request(strict)), "bob"), "totp-turn-back",
		url.Values{"action": {"cancel"}}).Answer().Get("error"); got != "access_denied" {
		t.Errorf("turned back: %q", got)
	}
	if got := bb.Get(w.Request(strict, "prompt", "none")).Answer().Get("error"); got != "login_required" {
		t.Errorf("prompt=none: %q", got)
	}
}

func TestProviderCanRequireASecondFactorOfEverybody(t *testing.T) {
	t.Parallel()
	w := providertest.New(t, func(c *provider.Config) { c.RequireSecondFactor = true })
	w.AddUser("alice")
	c := w.AddClient("web")
	b := w.Browser()
	p := b.SignInAs(b.Open(w.Request(c)), "alice")
	a := b.AuthenticatorOf(p)
	p = b.Follow(b.Submit(p, "totp-submit", code(a.Code(0))))
	if p = b.Open(providertest.LinkTo(p, "recovery-continue")); p.Answer().Get("code") == "" {
		t.Errorf("%d %s", p.StatusCode, p.Request.URL)
	}
}
