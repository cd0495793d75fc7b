package account_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"latchkey/provider/people"
	"latchkey/provider/providertest"
	"latchkey/provider/storage"
)

func factorsOf(t *testing.T, w *providertest.World, id string) storage.Factors {
	t.Helper()
	u, err := w.Store.User(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return u.Factors
}

func TestAuthenticatorIsSetUpNamedAndRemoved(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	w.AddUser("alice")
	b := w.Browser()
	p := b.Follow(b.Submit(b.Methods("alice", nil), "add-totp", url.Values{"action": {"add-totp"}}))
	a := b.AuthenticatorOf(p)
	if !strings.Contains(p.Body, `<svg class="qr"`) ||
		!strings.Contains(p.Body, "otpauth://totp/Latchkey:alice?secret=") {
		t.Errorf("no picture, or no address:\n%s", p.Body)
	}
	if len(a.Secret) < 20 {
		t.Errorf("the secret has %d bytes", len(a.Secret))
	}
	for typed, status := range map[string]int{"12": http.StatusBadRequest, a.Code(5): http.StatusBadRequest} {
		if again := b.Submit(p, "totp-submit", url.Values{"code": {typed}}); again.StatusCode != status ||
			!again.Has("totp-error") {
			t.Errorf("%s: %d", typed, again.StatusCode)
		}
	}
	if factorsOf(t, w, "sub-alice").Second() {
		t.Fatal("it counts before a code of it was seen")
	}
	form := url.Values{"code": {a.Code(0)}, "name": {" My\n phone \u202e"}}
	done := b.Follow(b.Submit(p, "totp-submit", form))
	if codes := providertest.RecoveryCodesOf(done); len(codes) != 10 {
		t.Fatalf("%d recovery codes\n%s", len(codes), done.Body)
	}
	// The secret and the codes are never shown again, and what was confirmed is not confirmed
	// twice.
	for _, target := range []string{"/account/methods/totp", "/account/methods", "/account"} {
		if p := b.Open(target); p.StatusCode != http.StatusOK || len(providertest.RecoveryCodesOf(p)) > 0 ||
			strings.Contains(p.Body, "otpauth") {
			t.Errorf("%s: %d\n%s", target, p.StatusCode, p.Body)
		}
	}
	if p := b.Submit(p, "totp-submit", form); p.StatusCode < 400 {
		t.Errorf("confirmed twice: %d", p.StatusCode)
	}

	// A second one leaves the first and the recovery codes alone.
	w.Clock.Advance(time.Minute)
	p = b.Methods("alice", &a)
	p = b.Follow(b.Submit(p, "add-totp", url.Values{"action": {"add-totp"}}))
	second := b.AuthenticatorOf(p)
	if p = b.Follow(b.Submit(p, "totp-submit", url.Values{"code": {second.Code(0)},
		"name": {"Tablet"}})); !p.Has("methods-page") {
		t.Fatalf("the second: %d\n%s", p.StatusCode, p.Body)
	}
	if f := factorsOf(t, w, "sub-alice"); len(f.Confirmed()) != 2 || f.RecoveryLeft() != 10 ||
		string(f.TOTP[0].Secret) == string(a.Secret) {
		t.Errorf("%+v", f)
	}
	if p = b.Follow(b.Submit(p, "name-1", url.Values{"action": {"rename"},
		"name": {"Old tablet"}})); !strings.Contains(p.Body, "Old tablet") {
		t.Errorf("renamed: %d\n%s", p.StatusCode, p.Body)
	}
	f := factorsOf(t, w, "sub-alice")
	csrf := providertest.FormValue(p)
	for _, id := range []string{f.TOTP[0].ID, f.TOTP[1].ID} {
		if p := b.Follow(b.Post("/account/methods", url.Values{"csrf": {csrf}, "action": {"remove"},
			"id": {id}})); p.StatusCode != http.StatusOK {
			t.Errorf("removed: %d\n%s", p.StatusCode, p.Body)
		}
	}
	if p := b.Post("/account/methods", url.Values{"csrf": {csrf}, "action": {"remove"},
		"id": {f.TOTP[0].ID}}); p.StatusCode != http.StatusNotFound {
		t.Errorf("removed twice: %d", p.StatusCode)
	}
	if f := factorsOf(t, w, "sub-alice"); f.Second() || len(f.Recovery) != 0 {
		t.Errorf("after the last was removed: %+v", f)
	}
	events, err := w.Store.Events(t.Context(), storage.EventFilter{}, "", 100)
	if err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	for _, e := range events {
		count[e.Verb]++
	}
	if count["factor.add"] != 2 || count["factor.rename"] != 1 || count["factor.remove"] != 2 {
		t.Errorf("events: %v", count)
	}
}

func TestSignInMethodsAreChangedOnlyWithAFreshProof(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	w.AddUser("alice")
	b := w.Browser()
	a, _ := b.EnrolTOTP("alice")
	w.Clock.Advance(time.Minute)
	p := b.Methods("alice", &a)
	csrf := providertest.FormValue(p)
	id := factorsOf(t, w, "sub-alice").TOTP[0].ID

	w.Clock.Advance(6 * time.Minute)
	for _, form := range []url.Values{{"action": {"remove"}, "id": {id}}, {"action": {"recovery"}},
		{"action": {"add-totp"}}, {"action": {"rename"}, "id": {id}, "name": {"x"}}} {
		form.Set("csrf", csrf)
		if p := b.Post("/account/methods", form); p.StatusCode != http.StatusSeeOther ||
			!strings.Contains(p.Header.Get("Location"), "/authorize?i=") {
			t.Errorf("%v: %d %s", form, p.StatusCode, p.Header.Get("Location"))
		}
	}
	if f := factorsOf(t, w, "sub-alice"); len(f.TOTP) != 1 || f.TOTP[0].Name != "Phone" || f.RecoveryLeft() != 10 {
		t.Fatalf("changed with an old proof: %+v", f)
	}
	// The password alone is not enough either.
	p = b.Open("/account/methods")
	if !p.Has("login-page") || p.Has("username") {
		t.Fatalf("not asked to confirm: %d %s", p.StatusCode, p.Request.URL)
	}
	if p = b.SignInAs(p, "alice"); !p.Has("mfa-page") {
		t.Fatalf("%d %s", p.StatusCode, p.Request.URL)
	}
	if p := b.Open("/account/methods"); p.Has("methods-page") {
		t.Fatal("half a proof opens the page")
	}
	p = b.Follow(b.Submit(p, "mfa-submit", url.Values{"code": {a.Code(0)}}))
	if !p.Has("methods-page") {
		t.Fatalf("%d %s", p.StatusCode, p.Request.URL)
	}

	// Fresh codes put an end to the old ones.
	shown := providertest.RecoveryCodesOf(b.Submit(p, "new-recovery", url.Values{"action": {"recovery"}}))
	if len(shown) != 10 {
		t.Fatalf("%d codes", len(shown))
	}
}

func TestFormsAboutSignInMethodsBelongToOneBrowserAndPerson(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	w.AddUser("alice")
	w.AddUser("mallory")
	b, mb := w.Browser(), w.Browser()
	b.EnrolTOTP("alice")
	m, _ := mb.EnrolTOTP("mallory")
	id := factorsOf(t, w, "sub-alice").TOTP[0].ID
	w.Clock.Advance(time.Minute)
	theirs := providertest.FormValue(mb.Methods("mallory", &m))
	for _, csrf := range []string{"", "x", theirs} {
		if p := b.Post("/account/methods", url.Values{"csrf": {csrf}, "action": {"remove"},
			"id": {id}}); p.StatusCode != http.StatusForbidden {
			t.Errorf("%q: %d", csrf, p.StatusCode)
		}
	}
	if p := mb.Post("/account/methods", url.Values{"csrf": {theirs}, "action": {"remove"},
		"id": {id}}); p.StatusCode != http.StatusNotFound {
		t.Errorf("mallory removes what is alice's: %d", p.StatusCode)
	}
	if !factorsOf(t, w, "sub-alice").Second() {
		t.Error("it is gone")
	}
	// What one session has begun, another one does not see or confirm.
	w.AddUser("bob")
	one, other := w.Browser(), w.Browser()
	begun := one.Follow(one.Submit(one.Methods("bob", nil), "add-totp", url.Values{"action": {"add-totp"}}))
	secret := one.AuthenticatorOf(begun)
	csrf := providertest.FormValue(other.Methods("bob", nil))
	if p := other.Open("/account/methods/totp"); strings.Contains(p.Body, "otpauth") {
		t.Error("another session sees the secret")
	}
	pending := factorsOf(t, w, "sub-bob").TOTP[0].ID
	if p := other.Post("/account/methods/totp", url.Values{"csrf": {csrf}, "id": {pending},
		"code": {secret.Code(0)}}); p.StatusCode != http.StatusNotFound {
		t.Errorf("another session confirms: %d", p.StatusCode)
	}
	// Begun once more, the first secret is worth nothing.
	again := one.Follow(one.Submit(one.Methods("bob", nil), "add-totp", url.Values{"action": {"add-totp"}}))
	if p := one.Submit(again, "totp-submit",
		url.Values{"code": {secret.Code(0)}}); p.StatusCode != http.StatusBadRequest {
		t.Errorf("a code of the secret before: %d", p.StatusCode)
	}
	if p := one.Submit(begun, "totp-submit",
		url.Values{"code": {secret.Code(0)}}); p.StatusCode != http.StatusNotFound {
		t.Errorf("the page before: %d", p.StatusCode)
	}
}

func TestThereAreOnlySoManyAuthenticators(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	w.AddUser("alice")
	ctx := t.Context()
	for i := range people.MostTOTP {
		name := string(rune('a' + i))
		if err := w.Store.BeginTOTP(ctx, "sub-alice", storage.TOTP{ID: name}, people.MostTOTP); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Store.ConfirmTOTP(ctx, "sub-alice", name, name, 1, nil, w.Clock.Now()); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Store.BeginTOTP(ctx, "sub-alice", storage.TOTP{ID: "z"}, people.MostTOTP); err == nil {
		t.Error("one more")
	}
}
