package account_test

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey/provider"
	"latchkey/provider/mail"
	"latchkey/provider/providertest"
	"latchkey/provider/storage"
)

func to(all []mail.Message) map[string]string {
	out := map[string]string{}
	for _, m := range all {
		out[m.To] += m.Subject + "|"
	}
	return out
}

// asks has the person of the browser ask for another address.
func asks(b *providertest.Browser, address string) providertest.Page {
	return b.Submit(b.Get("/account/address"), "address-submit", url.Values{"action": {"change"}, "email": {address}})
}

func TestAnAddressIsChangedByItsOwnLinkAndBothAreTold(t *testing.T) {
	t.Parallel()
	w := providertest.NewPost(t)
	alice := w.AddUser("alice")
	b, _ := w.SignedIn(alice)
	for _, bad := range []string{"", "alice", "a@b@c", "alice@example.com,mallory@example.com",
		"a@example.com\r\nBcc: m@example.com", "Ada <a@example.com>"} {
		if p := asks(b, bad); p.StatusCode != http.StatusBadRequest || !p.Has("address-error") {
			t.Errorf("%q: %d", bad, p.StatusCode)
		}
	}
	if p := b.Follow(asks(b, "new@example.net")); !p.Has("notice") || !strings.Contains(p.Body, "alice@example.com") {
		t.Fatalf("%d\n%s", p.StatusCode, p.Body)
	}
	got := w.Mails()
	if told := to(got); len(got) != 2 || !strings.Contains(told["new@example.net"], "Confirm your e-mail address") ||
		!strings.Contains(told["alice@example.com"], "is to be changed") {
		t.Fatalf("%v", told)
	}
	var link string
	for _, m := range got {
		if l := providertest.LinkIn(m); l != "" {
			if m.To != "new@example.net" || !strings.HasPrefix(l, w.Issuer+"/account/address/confirm?") {
				t.Errorf("%s to %s", l, m.To)
			}
			link = l
		}
	}
	// A program that checks mails, a stranger, and somebody else with an account change nothing.
	w.Browser().Open(link)
	if p := w.Browser().Open(link); !p.Has("login-page") || strings.Contains(p.Body, "alice") {
		t.Errorf("a stranger: %d", p.StatusCode)
	}
	mallory, _ := w.SignedIn(w.AddUser("mallory"))
	if p := mallory.Open(link); p.StatusCode != http.StatusForbidden || !p.Has("op-error") {
		t.Errorf("somebody else: %d", p.StatusCode)
	}
	p := b.Open(link)
	if !p.Has("step-page") || !strings.Contains(p.Body, "new@example.net") || strings.Contains(p.Request.URL.String(),
		"link=") {
		t.Fatalf("%s\n%s", p.Request.URL, p.Body)
	}
	if u := userOf(t, w.World, alice.ID); u.Claims.Email != "alice@example.com" {
		t.Error("opening the link has changed it")
	}
	if done := b.Follow(b.Submit(p, "step-submit", nil)); !done.Has("notice") || !strings.Contains(done.Body,
		"new@example.net") {
		t.Fatalf("%d\n%s", done.StatusCode, done.Body)
	}
	if u := userOf(t, w.World, alice.ID); u.Claims.Email != "new@example.net" || !u.Claims.EmailVerified {
		t.Errorf("%+v", u.Claims)
	}
	if told := to(w.Mails()); !strings.Contains(told["new@example.net"], "was changed") ||
		!strings.Contains(told["alice@example.com"], "was changed") {
		t.Errorf("%v", told)
	}
	if p := b.Open(link); p.StatusCode != http.StatusGone {
		t.Errorf("a used link: %d", p.StatusCode)
	}
	// The address of before still hears what happens, for a while.
	if p := b.Submit(b.Get("/account/password"), "password-submit",
		providertest.PasswordForm("gravel tandem oboe")); p.StatusCode != http.StatusSeeOther {
		t.Fatal(p.StatusCode)
	}
	if told := to(w.Mails()); !strings.Contains(told["alice@example.com"], "password") ||
		!strings.Contains(told["new@example.net"], "password") {
		t.Errorf("%v", told)
	}
	for _, secret := range []string{strings.Split(link, "link=")[1]} {
		if strings.Contains(w.Log.String(), secret) {
			t.Error("the log has the link")
		}
	}
}

func TestAnAddressThatIsTakenGetsNoLinkAndNobodyElseLearnsIt(t *testing.T) {
	t.Parallel()
	w := providertest.NewPost(t)
	alice, _ := w.AddUser("alice"), w.AddUser("bob")
	b, _ := w.SignedIn(alice)
	free, taken := asks(b, "free@example.com"), asks(b, "bob@example.com")
	if free.StatusCode != taken.StatusCode || free.Header.Get("Location") != taken.Header.Get("Location") {
		t.Errorf("%d %d", free.StatusCode, taken.StatusCode)
	}
	for _, m := range w.Mails() {
		if m.To == "bob@example.com" && (providertest.LinkIn(m) != "" || strings.Contains(m.Text+m.HTML, "alice")) {
			t.Errorf("%s", m.Text)
		}
	}
	// Taken between the link and its use.
	asks(b, "soon@example.com")
	link := w.Link("soon@example.com")
	page := b.Open(link)
	bend(t, w.World, "sub-bob", func(u *storage.User) { u.Claims.Email = "soon@example.com" })
	if p := b.Submit(page, "step-submit", nil); p.StatusCode != http.StatusGone {
		t.Errorf("%d", p.StatusCode)
	}
	if u := userOf(t, w.World, alice.ID); u.Claims.Email != "alice@example.com" {
		t.Error(u.Claims.Email)
	}
}

func TestALinkForAnAddressIsVoidWhenItsReasonIsGone(t *testing.T) {
	t.Parallel()
	w := providertest.NewPost(t)
	for name, change := range map[string]func(u *storage.User){
		"a new password":  func(u *storage.User) { u.PasswordHash = "another" },
		"another address": func(u *storage.User) { u.Claims.Email = "other@example.com" },
		"disabled":        func(u *storage.User) { u.Disabled = true }, "too old": nil, "a newer link": nil,
	} {
		id := strings.ReplaceAll(name, " ", "")
		u := w.AddUser(id)
		b, _ := w.SignedIn(u)
		asks(b, id+"-new@example.com")
		link := w.Link(id + "-new@example.com")
		page := b.Open(link)
		switch {
		case change != nil:
			bend(t, w.World, u.ID, change)
		case name == "too old":
			w.Clock.Advance(31 * time.Minute)
		default:
			asks(b, id+"-newer@example.com")
			w.Mails()
		}
		if p := b.Submit(page, "step-submit", nil); p.StatusCode != http.StatusGone &&
			p.StatusCode != http.StatusForbidden {
			t.Errorf("%s: %d", name, p.StatusCode)
		}
		if now := userOf(t, w.World, u.ID); strings.HasSuffix(now.Claims.Email, "-new@example.com") {
			t.Errorf("%s: it was changed", name)
		}
	}
}

func TestOfManyWhoConfirmAtOnceOneDoes(t *testing.T) {
	t.Parallel()
	w := providertest.NewPost(t)
	alice := w.AddUser("alice")
	b, _ := w.SignedIn(alice)
	asks(b, "new@example.com")
	page := b.Open(w.Link("new@example.com"))
	var wait sync.WaitGroup
	var mu sync.Mutex
	won := 0
	for range 20 {
		wait.Go(func() {
			if p := b.Submit(page, "step-submit", nil); p.StatusCode == http.StatusSeeOther &&
				strings.Contains(p.Header.Get("Location"), "confirmed") {
				mu.Lock()
				won++
				mu.Unlock()
			}
		})
	}
	wait.Wait()
	if won != 1 {
		t.Errorf("%d have confirmed it", won)
	}
}

func TestAnAddressIsConfirmedWithoutBeingChanged(t *testing.T) {
	t.Parallel()
	w := providertest.NewPost(t, func(c *provider.Config) { c.EditableClaims = []string{"name"} })
	alice := w.AddUser("alice")
	bend(t, w.World, alice.ID, func(u *storage.User) { u.Claims.EmailVerified = false })
	b, _ := w.SignedIn(alice)
	if p := b.Get("/account"); !strings.Contains(p.Body, "not confirmed yet") {
		t.Error("the overview does not say so")
	}
	page := b.Get("/account/address")
	if page.Has("address-submit") {
		t.Error("another address can be asked for that may not be")
	}
	if p := b.Submit(page, "address-confirm", url.Values{"action": {"change"},
		"email": {"mallory@example.com"}}); p.StatusCode != http.StatusBadRequest {
		t.Errorf("another address was asked for: %d", p.StatusCode)
	}
	b.Submit(page, "address-confirm", url.Values{"action": {"confirm"}})
	p := b.Open(w.Link("alice@example.com"))
	b.Submit(p, "step-submit", nil)
	if u := userOf(t, w.World, alice.ID); !u.Claims.EmailVerified || len(u.FormerAddresses) != 0 {
		t.Errorf("%+v", u)
	}
	if got := w.Mails(); len(got) != 0 {
		t.Errorf("%d mails more", len(got))
	}
}

func TestMailsThatAPersonHasSentAreLimited(t *testing.T) {
	t.Parallel()
	w := providertest.NewPost(t)
	b, _ := w.SignedIn(w.AddUser("alice"))
	refused := 0
	for range 20 {
		if p := asks(b, "somebody@example.org"); p.StatusCode == http.StatusTooManyRequests {
			refused++
		}
	}
	if n := strings.Count(to(w.Mails())["somebody@example.org"], "Confirm"); n > 5 || refused != 15 {
		t.Errorf("%d mails, %d refused", n, refused)
	}
}

func TestPeopleHearOfNewBrowsersAndOfChangesToTheirWaysIn(t *testing.T) {
	t.Parallel()
	w := providertest.NewPost(t)
	w.AddUser("alice")
	first := w.Browser()
	first.SignInAs(first.Open("/account"), "alice")
	if got := w.Mails(); len(got) != 0 {
		t.Errorf("the first sign-in of all: %v", to(got))
	}
	first.Submit(first.Open("/logout"), "logout-confirm", nil)
	first.SignInAs(first.Open("/account"), "alice")
	if got := w.Mails(); len(got) != 0 {
		t.Errorf("the same browser: %v", to(got))
	}
	second := w.Browser()
	second.SignInAs(second.Open("/account"), "alice")
	got := w.Mails()
	if len(got) != 1 || !strings.Contains(got[0].Subject, "another browser") || providertest.LinkIn(got[0]) != "" {
		t.Fatalf("another browser: %v", to(got))
	}
	p := second.Follow(second.Submit(second.Open("/account/methods"), "add-totp", url.Values{"action": {"add-totp"}}))
	a := second.AuthenticatorOf(p)
	second.Submit(p, "totp-submit", url.Values{"code": {a.Code(0)}})
	if told := to(w.Mails()); !strings.Contains(told["alice@example.com"], "was added") {
		t.Errorf("%v", told)
	}
	second.Submit(second.Open("/account/methods"), "new-recovery", url.Values{"action": {"recovery"}})
	if told := to(w.Mails()); !strings.Contains(told["alice@example.com"], "recovery codes") {
		t.Errorf("%v", told)
	}
}
