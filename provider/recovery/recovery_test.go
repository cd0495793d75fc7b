package recovery_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey/provider"
	"latchkey/provider/mail"
	"latchkey/provider/providertest"
	"latchkey/provider/storage"
)

const newPassword = "gravel tandem oboe"

// box is where the mails of a test arrive.
type box struct {
	mu   sync.Mutex
	got  []mail.Message
	fail error
}

func (b *box) Send(_ context.Context, m mail.Message) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fail == nil {
		b.got = append(b.got, m)
	}
	return b.fail
}

// take empties the box.
func (b *box) take() []mail.Message {
	b.mu.Lock()
	defer b.mu.Unlock()
	got := b.got
	b.got = nil
	return got
}

// house is a provider with mail.
type house struct {
	*providertest.World
	*box
	t *testing.T
}

func newHouse(t *testing.T, bend ...func(*provider.Config)) *house {
	t.Helper()
	h := &house{box: &box{}, t: t}
	h.World = providertest.New(t, append(bend, func(c *provider.Config) { c.Mail = h.box })...)
	return h
}

// mails sends what is queued, and what that queues, and returns it.
func (h *house) mails() []mail.Message {
	h.t.Helper()
	for {
		n, err := h.Recovery.Mails.SendDue(h.t.Context())
		if err != nil {
			h.t.Fatal(err)
		}
		if n == 0 {
			return h.take()
		}
	}
}

// ask asks for a mail in a browser of its own.
func (h *house) ask(typed string) providertest.Page {
	h.t.Helper()
	b := h.Browser()
	return b.Submit(b.Open("/password/forgot"), "forgot-submit", url.Values{"username": {typed}})
}

var linkIn = regexp.MustCompile(`http\S+/password/reset\?link=\S+`)

// link asks for a mail and returns the link in it.
func (h *house) link(typed string) string {
	h.t.Helper()
	if p := h.ask(typed); p.StatusCode != http.StatusOK || !p.Has("forgot-sent") {
		h.t.Fatalf("%d %s", p.StatusCode, p.Body)
	}
	got := h.mails()
	if len(got) != 1 {
		h.t.Fatalf("%d mails", len(got))
	}
	link := linkIn.FindString(got[0].Text)
	if link == "" || !strings.Contains(got[0].HTML, link) {
		h.t.Fatalf("no link:\n%s\n%s", got[0].Text, got[0].HTML)
	}
	return link
}

func passwords(p string) url.Values {
	return url.Values{"new_password": {p}, "repeat_password": {p}}
}

// signIn tries a password and reports whether it is right.
func (h *house) signIn(username, password string) bool {
	h.t.Helper()
	b := h.Browser()
	p := b.Submit(b.Open("/account"), "login-submit", url.Values{"username": {username}, "password": {password}})
	return p.StatusCode == http.StatusSeeOther
}

func TestAForgottenPasswordIsResetByTheLinkOfAMail(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice := h.AddUser("alice")
	c := h.AddClient("web")
	elsewhere := h.Browser()
	elsewhere.Code(c, "alice")
	for range 12 { // locked out
		h.signIn("alice", "a wrong password")
	}
	b := h.Browser()
	p := b.Open(h.Request(c))
	if !p.Has("login-forgot") {
		t.Fatal("the sign-in page does not lead here")
	}
	href := regexp.MustCompile(`id="login-forgot" href="([^"]*)"`).FindStringSubmatch(p.Body)[1]
	p = b.Open(href)
	if p = b.Submit(p, "forgot-submit", url.Values{"username": {"alice"}}); !p.Has("forgot-sent") ||
		!strings.Contains(p.Body, "30 minutes") {
		t.Fatalf("%d %s", p.StatusCode, p.Body)
	}
	if back := b.Open(regexp.MustCompile(`id="forgot-back"[^>]* href="([^"]*)"`).FindStringSubmatch(p.Body)[1]); !back.Has("login-page") || !strings.Contains(back.Body, "App web") {
		t.Errorf("the way back leads to %d", back.StatusCode)
	}
	got := h.mails()
	if len(got) != 1 || got[0].To != "alice@example.com" || !strings.Contains(got[0].Text, "Alice Example") {
		t.Fatalf("%+v", got)
	}
	link := linkIn.FindString(got[0].Text)

	// A program that checks mails opens the link, often.
	for range 3 {
		h.Browser().Open(link)
	}
	if !strings.HasPrefix(link, h.Issuer+"/") {
		t.Fatal(link)
	}
	p = b.Open(link)
	if !p.Has("reset-page") || strings.Contains(p.Request.URL.String(), "link=") || strings.Contains(p.Body, strings.Split(link, "link=")[1]) {
		t.Fatalf("%s\n%s", p.Request.URL, p.Body)
	}
	for bad, want := range map[string]string{"short": "too short", "password123": "too easy", "alice@example.com": "too close", "": "both fields"} {
		if p := b.Submit(p, "reset-submit", passwords(bad)); p.StatusCode != http.StatusBadRequest || !strings.Contains(p.Body, want) {
			t.Errorf("%q: %d", bad, p.StatusCode)
		}
	}
	if p := b.Submit(p, "reset-submit", url.Values{"new_password": {newPassword}, "repeat_password": {newPassword + "."}}); p.StatusCode != http.StatusBadRequest || !strings.Contains(p.Body, "differ") {
		t.Errorf("two passwords: %d", p.StatusCode)
	}
	done := b.Follow(b.Submit(p, "reset-submit", passwords(newPassword)))
	if !done.Has("reset-done") {
		t.Fatalf("%d %s", done.StatusCode, done.Body)
	}

	// Nobody is signed in by it, and everybody is signed out.
	if !b.Open("/account").Has("login-page") || !elsewhere.Open("/account").Has("login-page") {
		t.Error("somebody is signed in")
	}
	if h.signIn("alice", providertest.TestPassword) || !h.signIn("alice", newPassword) {
		t.Error("the new password is not the one, or the lock-out stays")
	}
	// The person is told.
	told := slices.DeleteFunc(h.mails(), func(m mail.Message) bool { return strings.Contains(m.Subject, "another browser") })
	if len(told) != 1 || told[0].To != "alice@example.com" || !strings.Contains(told[0].Subject, "changed") || strings.Contains(told[0].Text, "link=") {
		t.Errorf("%+v", told)
	}
	// What has happened can be looked up.
	events, err := h.Store.Events(t.Context(), storage.EventFilter{Object: alice.ID}, "", 100)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]string{}
	for _, e := range events {
		seen[e.Verb] = e.Outcome
	}
	if seen["user.reset_mail"] != storage.OutcomeDone || seen["user.password"] != storage.OutcomeDone {
		t.Errorf("events: %v", seen)
	}
	if strings.Contains(h.Log.String(), "mail not sent") {
		t.Error("the log speaks of a mail that was not sent")
	}
	if log := h.Log.String(); strings.Contains(log, strings.Split(link, "link=")[1]) || strings.Contains(log, newPassword) {
		t.Error("the log has a secret")
	}
}

func TestTheAnswerIsTheSameWhetherThereIsAnAccount(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.AddUser("alice")
	gone := h.AddUser("gone")
	gone.Version, gone.Disabled = 1, true
	noAddress := h.AddUser("quiet")
	noAddress.Version, noAddress.Claims.Email = 1, ""
	for _, u := range []storage.User{gone, noAddress} {
		if err := h.Store.UpdateUser(t.Context(), u); err != nil {
			t.Fatal(err)
		}
	}
	want := h.ask("alice")
	for _, typed := range []string{"nobody", "gone", "quiet", "nobody@example.com", "ALICE", "alice@example.com", "a b c", "x@y@z", "alice@example.com,mallory@example.com",
		"alice@example.com\r\nBcc: mallory@example.com", "alıce", "\u202ealice"} {
		got := h.ask(typed)
		if got.StatusCode != want.StatusCode || got.Body != want.Body {
			t.Errorf("%q is answered differently: %d\n%s", typed, got.StatusCode, got.Body)
		}
	}
	// Mails go to addresses that are stored, and there alone.
	sent := h.mails()
	for _, m := range sent {
		if m.To != "alice@example.com" {
			t.Errorf("a mail to %q", m.To)
		}
	}
	if len(sent) != 3 { // alice, ALICE, alice@example.com
		t.Errorf("%d mails", len(sent))
	}
}

func TestOnlyTheNewestLinkWorksAndOnce(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.AddUser("alice")
	older, newest := h.link("alice"), h.link("alice@example.com")
	dead := func(name, link string) {
		t.Helper()
		if p := h.Browser().Open(link); p.StatusCode != http.StatusGone || !p.Has("op-error") {
			t.Errorf("%s: %d", name, p.StatusCode)
		}
	}
	dead("an older link", older)
	dead("a shorter link", newest[:len(newest)-1])
	dead("a longer link", newest+"A")
	dead("no link", h.Issuer+"/password/reset")
	dead("another link", h.Issuer+"/password/reset?link=x")

	// Of many who send the form at once, one sets a password.
	const many = 20
	var wait sync.WaitGroup
	var won sync.Map
	type reader struct {
		b *providertest.Browser
		p providertest.Page
	}
	var readers []reader
	for range many {
		b := h.Browser()
		readers = append(readers, reader{b, b.Open(newest)})
	}
	for i, r := range readers {
		b, p := r.b, r.p
		wait.Go(func() {
			if p := b.Submit(p, "reset-submit", passwords(fmt.Sprint(newPassword, " ", i))); p.StatusCode == http.StatusSeeOther {
				won.Store(i, true)
			} else if p.StatusCode != http.StatusGone {
				t.Errorf("%d", p.StatusCode)
			}
		})
	}
	wait.Wait()
	winners := 0
	won.Range(func(i, _ any) bool {
		winners++
		if !h.signIn("alice", fmt.Sprint(newPassword, " ", i)) {
			t.Error("the winner's password is not the one")
		}
		return true
	})
	if winners != 1 {
		t.Errorf("%d set a password", winners)
	}
	dead("a used link", newest)
}

func TestALinkIsVoidWhenItsReasonIsGone(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for name, change := range map[string]func(*storage.User){
		"the password was changed": func(u *storage.User) { u.PasswordHash = "another" },
		"the address was changed":  func(u *storage.User) { u.Claims.Email = "new@example.com" },
		"the account is disabled":  func(u *storage.User) { u.Disabled = true },
		"the link is too old":      nil,
	} {
		username := strings.ReplaceAll(name, " ", "")
		u := h.AddUser(username)
		link := h.link(username)
		b := h.Browser()
		p := b.Open(link)
		if change == nil {
			h.Clock.Advance(30 * time.Minute)
		} else {
			u, err := h.Store.User(t.Context(), u.ID)
			if err != nil {
				t.Fatal(err)
			}
			change(&u)
			if err := h.Store.UpdateUser(t.Context(), u); err != nil {
				t.Fatal(err)
			}
		}
		if p := b.Submit(p, "reset-submit", passwords(newPassword)); p.StatusCode != http.StatusGone {
			t.Errorf("%s: %d", name, p.StatusCode)
		}
		if p := h.Browser().Open(link); p.StatusCode != http.StatusGone {
			t.Errorf("%s: it still opens: %d", name, p.StatusCode)
		}
	}
}

func TestAResetCannotBeRetargeted(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.AddUser("alice")
	h.AddUser("mallory")
	link := h.link("mallory")
	b := h.Browser()
	p := b.Open(link)
	form := passwords(newPassword)
	form.Set("username", "alice")
	form.Set("user_id", "sub-alice")
	form.Set("link", h.link("alice"))
	if p := b.Submit(p, "reset-submit", form); p.StatusCode != http.StatusSeeOther {
		t.Fatal(p.StatusCode)
	}
	if h.signIn("alice", newPassword) || !h.signIn("mallory", newPassword) {
		t.Error("it was set for somebody else")
	}
	// Without the browser that opened the link, the form is worth nothing.
	other := h.Browser()
	other.Open("/password/forgot")
	if p := other.Post("/password/reset", passwords(newPassword)); p.StatusCode != http.StatusForbidden {
		t.Errorf("without the link: %d", p.StatusCode)
	}
}

func TestMailLinksLeadToTheIssuerWhateverARequestSays(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.AddUser("alice")
	b := h.Browser()
	p := b.Open("/password/forgot")
	csrf := regexp.MustCompile(`name="csrf" value="([^"]*)"`).FindStringSubmatch(p.Body)[1]
	for name, value := range map[string]string{"Host": "evil.test", "X-Forwarded-Host": "evil.test", "Forwarded": "host=evil.test;proto=http",
		"X-Forwarded-Proto": "http", "X-Original-Host": "evil.test"} {
		r, err := http.NewRequest("POST", h.Issuer+"/password/forgot", strings.NewReader(url.Values{"csrf": {csrf}, "username": {"alice"}}.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", h.Issuer)
		r.Header.Set("Sec-Fetch-Site", "same-origin")
		if r.Header.Set(name, value); name == "Host" {
			r.Host = value
		}
		b.Do(r)
		for _, m := range h.mails() {
			if link := linkIn.FindString(m.Text); !strings.HasPrefix(link, h.Issuer+"/") || strings.Contains(m.Text+m.HTML, "evil") {
				t.Errorf("%s: %s", name, m.Text)
			}
		}
	}
}

func TestMailsThatMayBeAskedForAreLimited(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.AddUser("alice")
	for _, name := range []string{"alice", "nobody"} {
		for i := range 8 {
			p := h.ask(name)
			if want := map[bool]int{true: http.StatusOK, false: http.StatusTooManyRequests}[i < 5]; p.StatusCode != want {
				t.Errorf("%s, time %d: %d", name, i+1, p.StatusCode)
			}
		}
	}
	if n := len(h.mails()); n != 5 {
		t.Errorf("%d mails to one person", n)
	}
	for i := range 60 {
		h.ask(fmt.Sprint("somebody", i))
	}
	if p := h.ask("yet another"); p.StatusCode != http.StatusTooManyRequests {
		t.Errorf("from one address: %d", p.StatusCode)
	}
	if !h.signIn("alice", providertest.TestPassword) {
		t.Error("who asks for mails keeps the person from signing in")
	}
	h.Clock.Advance(time.Hour)
	if p := h.ask("alice"); p.StatusCode != http.StatusOK {
		t.Errorf("an hour later: %d", p.StatusCode)
	}
}

func TestAnEmptyOrEndlessNameIsAskedForAgain(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for _, typed := range []string{"", "  ", strings.Repeat("a", 255)} {
		if p := h.ask(typed); p.StatusCode != http.StatusBadRequest || !p.Has("forgot-page") {
			t.Errorf("%.10q: %d", typed, p.StatusCode)
		}
	}
	if n := len(h.mails()); n != 0 {
		t.Errorf("%d mails", n)
	}
}

func TestAMailThatIsSentLaterHasALinkThatIsMadeLater(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.AddUser("alice")
	h.box.fail = errors.New("the mail server is away")
	h.ask("alice")
	h.mails()
	h.box.fail = nil
	h.Clock.Advance(10 * time.Second)
	got := h.mails()
	if len(got) != 1 {
		t.Fatalf("%d mails", len(got))
	}
	if p := h.Browser().Open(linkIn.FindString(got[0].Text)); !p.Has("reset-page") {
		t.Errorf("%d", p.StatusCode)
	}
}

func TestWithoutMailNothingOfItIsThere(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	b := w.Browser()
	if b.Open("/account").Has("login-forgot") {
		t.Error("the sign-in page leads to what is not there")
	}
	for _, path := range []string{"/password/forgot", "/password/reset?link=x", "/password/reset/done"} {
		if p := b.Get(path); p.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %d", path, p.StatusCode)
		}
	}
}

func TestMailsAreInThePersonsLanguage(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	u := h.AddUser("alice")
	u.Version, u.Claims.Locale = 1, "fr-CA"
	if err := h.Store.UpdateUser(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	h.ask("alice")
	if got := h.mails(); len(got) != 1 || got[0].Lang != "fr" || !strings.Contains(got[0].Subject, "mot de passe") {
		t.Errorf("%+v", got)
	}
}
