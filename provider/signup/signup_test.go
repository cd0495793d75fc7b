package signup_test

import (
	"context"
	"net/http"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey/provider"
	"latchkey/provider/people"
	"latchkey/provider/providertest"
	"latchkey/provider/signup"
	"latchkey/provider/storage"
)

const password = "gravel tandem oboe"

func mode(m signup.Mode, domains ...string) func(*provider.Config) {
	return func(c *provider.Config) { c.SignUp, c.SignUpDomains = m, domains }
}

func ask(b *providertest.Browser, path, email string) providertest.Page {
	return b.Submit(b.Open(path), "sign-up-submit", url.Values{"email": {email}, "name": {"Eve Example"}})
}

func finish(b *providertest.Browser, p providertest.Page, username string) providertest.Page {
	form := providertest.PasswordForm(password)
	form.Set("username", username)
	form.Set("name", "Eve")
	return b.Submit(p, "finish-submit", form)
}

func TestAnApplicationLetsAPersonMakeAnAccountAndGoOn(t *testing.T) {
	t.Parallel()
	w := providertest.NewPost(t, mode(signup.Open))
	c := w.AddClient("web")
	b := w.Browser()
	p := b.Open(w.Request(c, "prompt", "create"))
	if !p.Has("sign-up-page") {
		t.Fatalf("%s", p.Request.URL)
	}
	if p := b.Submit(p, "sign-up-submit", url.Values{"email": {"eve@example.com"},
		"name": {"Eve Example"}}); !p.Has("forgot-sent") {
		t.Fatalf("%d %s", p.StatusCode, p.Body)
	}
	link := w.Link("eve@example.com")
	w.Browser().Open(link) // a program that checks mails
	p = b.Open(link)
	if !p.Has("finish-page") || !strings.Contains(p.Body, "Eve Example") || strings.Contains(p.Request.URL.String(),
		"link=") {
		t.Fatalf("%d %s", p.StatusCode, p.Body)
	}
	w.AddUser("taken")
	for _, bad := range []string{"taken", "TAKEN", "a b", ""} {
		if p := finish(b, p, bad); p.StatusCode != http.StatusBadRequest || !p.Has("username-error") {
			t.Errorf("%q: %d", bad, p.StatusCode)
		}
	}
	if p := b.Submit(p, "finish-submit", url.Values{"username": {"eve"}, "new_password": {"short"},
		"repeat_password": {"short"}}); p.StatusCode != http.StatusBadRequest || !p.Has("password-error") {
		t.Errorf("a short password: %d", p.StatusCode)
	}
	done := finish(b, p, "Eve")
	if !done.Has("signed-up") {
		t.Fatalf("%d %s", done.StatusCode, done.Body)
	}
	u, err := w.Store.UserByUsername(t.Context(), "eve")
	if err != nil || u.Claims.Email != "eve@example.com" || !u.Claims.EmailVerified || u.Disabled || u.Role != "" ||
		len(u.Groups) != 0 {
		t.Errorf("%v %+v", err, u)
	}
	// It signs nobody in; the way on leads through the sign-in to the application.
	if !w.Browser().Open("/account").Has("login-page") || !b.Open("/account").Has("login-page") {
		t.Error("somebody is signed in")
	}
	at := strings.Index(done.Body, `id="signed-up-continue"`)
	href := done.Body[at:]
	href = href[strings.Index(href, `href="`)+6:]
	p = b.Open(strings.ReplaceAll(href[:strings.Index(href, `"`)], "&amp;", "&"))
	p = b.Follow(b.Submit(p, "login-submit", url.Values{"username": {"eve"}, "password": {password}}))
	if p.Answer().Get("code") == "" {
		t.Errorf("no way back to the application: %d %s", p.StatusCode, p.Request.URL)
	}
	if p := w.Browser().Open(link); p.StatusCode != http.StatusGone {
		t.Errorf("a used link: %d", p.StatusCode)
	}
	if found := slices.Contains(w.Json("GET", w.Issuer+"/.well-known/openid-configuration", "", nil).JSON["prompt_values_supported"].([]any), any("create")); !found {
		t.Error("discovery does not say so")
	}
}

func TestTheAnswerIsTheSameWhetherThereIsAnAccountAndItsOwnerIsTold(t *testing.T) {
	t.Parallel()
	w := providertest.NewPost(t, mode(signup.Open))
	w.AddUser("alice")
	known, unknown := ask(w.Browser(), "/sign-up", "Alice@example.com"), ask(w.Browser(), "/sign-up", "nobody@example.com")
	if known.StatusCode != unknown.StatusCode || known.Body != unknown.Body {
		t.Errorf("%d %d\n%s\n%s", known.StatusCode, unknown.StatusCode, known.Body, unknown.Body)
	}
	for _, m := range w.Mails() {
		link := providertest.LinkIn(m)
		switch m.To {
		case "alice@example.com":
			if link != "" || !strings.Contains(m.Subject, "already") {
				t.Errorf("%s", m.Text)
			}
		case "nobody@example.com":
			if !strings.HasPrefix(link, w.Issuer+"/sign-up/finish?") {
				t.Errorf("%s", m.Text)
			}
		default:
			t.Errorf("a mail to %s", m.To)
		}
	}
	for _, bad := range []string{"", "x", "a@b@c", "a@example.com,b@example.com", "a@example.com\r\nBcc: b@example.com"} {
		if p := ask(w.Browser(), "/sign-up", bad); p.StatusCode != http.StatusBadRequest || !p.Has("sign-up-error") {
			t.Errorf("%q: %d", bad, p.StatusCode)
		}
	}
	refused := 0
	for range 10 {
		if ask(w.Browser(), "/sign-up", "victim@example.org").StatusCode == http.StatusTooManyRequests {
			refused++
		}
	}
	if n := len(w.Mails()); n > 5 || refused != 5 {
		t.Errorf("%d mails to one address, %d refused", n, refused)
	}
}

func TestOnlySomeDomainsMayOrAnAdministratorDecides(t *testing.T) {
	t.Parallel()
	w := providertest.NewPost(t, mode(signup.Domain, "example.com"))
	for address, status := range map[string]int{"eve@example.com": 200, "eve@EXAMPLE.com": 200, "eve@example.org": 400, "eve@sub.example.com": 400, "eve@example.com.evil.test": 400, "eve@evilexample.com": 400} {
		if p := ask(w.Browser(), "/sign-up", address); p.StatusCode != status {
			t.Errorf("%s: %d", address, p.StatusCode)
		}
	}
	a := providertest.NewPost(t, mode(signup.Approval))
	b := a.Browser()
	ask(b, "/sign-up", "eve@example.com")
	if p := finish(b, b.Open(a.Link("eve@example.com")), "eve"); !p.Has("signed-up") || !strings.Contains(p.Body, "looks at each new account") {
		t.Fatalf("%d %s", p.StatusCode, p.Body)
	}
	if u, err := a.Store.UserByUsername(t.Context(), "eve"); err != nil || !u.Disabled {
		t.Errorf("%v %+v", err, u)
	}
	if a.SignsIn("eve", password) {
		t.Error("an account that nobody has looked at is used")
	}
}

func TestALinkToMakeAnAccountMakesOne(t *testing.T) {
	t.Parallel()
	w := providertest.NewPost(t, mode(signup.Open))
	ask(w.Browser(), "/sign-up", "eve@example.com")
	older := w.Link("eve@example.com")
	ask(w.Browser(), "/sign-up", "EVE@example.com")
	link := w.Link("EVE@example.com")
	if p := w.Browser().Open(older); p.StatusCode != http.StatusGone {
		t.Errorf("an older link: %d", p.StatusCode)
	}
	type reader struct {
		b *providertest.Browser
		p providertest.Page
	}
	var readers []reader
	for range 10 {
		b := w.Browser()
		readers = append(readers, reader{b, b.Open(link)})
	}
	var wait sync.WaitGroup
	for i, r := range readers {
		wait.Go(func() { finish(r.b, r.p, "eve"+string(rune('a'+i))) })
	}
	wait.Wait()
	users, err := w.Store.Users(t.Context(), "", 100)
	if err != nil || len(users) != 1 {
		t.Errorf("%v: %d accounts", err, len(users))
	}
	ask(w.Browser(), "/sign-up", "late@example.com")
	link = w.Link("late@example.com")
	b := w.Browser()
	p := b.Open(link)
	w.Clock.Advance(31 * time.Minute)
	if p := finish(b, p, "late"); p.StatusCode != http.StatusGone && p.StatusCode != http.StatusForbidden {
		t.Errorf("too old: %d", p.StatusCode)
	}
	if _, err := w.Store.UserByUsername(t.Context(), "late"); err == nil {
		t.Error("it was made")
	}
	// The address went to somebody by another way meanwhile.
	ask(w.Browser(), "/sign-up", "race@example.com")
	b = w.Browser()
	p = b.Open(w.Link("race@example.com"))
	if err := w.Store.CreateUser(t.Context(), storage.User{ID: "r", Username: "race", Claims: storage.Claims{Email: "race@example.com", EmailVerified: true}}); err != nil {
		t.Fatal(err)
	}
	if p := finish(b, p, "race2"); p.StatusCode != http.StatusGone {
		t.Errorf("an address of somebody: %d", p.StatusCode)
	}
}

func TestWhereItIsClosedNothingOfItIsThere(t *testing.T) {
	t.Parallel()
	for name, w := range map[string]*providertest.World{"by default": providertest.NewPost(t).World, "without mail": providertest.New(t, mode(signup.Open))} {
		b := w.Browser()
		if b.Open("/account").Has("login-sign-up") {
			t.Errorf("%s: the sign-in page leads there", name)
		}
		for _, path := range []string{"/sign-up", "/sign-up/finish?link=x"} {
			if p := b.Get(path); p.StatusCode != http.StatusNotFound {
				t.Errorf("%s: %s: %d", name, path, p.StatusCode)
			}
			if p := b.Post(path, url.Values{"email": {"a@example.com"}}); p.StatusCode != http.StatusNotFound {
				t.Errorf("%s: POST %s: %d", name, path, p.StatusCode)
			}
		}
		if p := b.Open(w.Request(w.AddClient("web"), "prompt", "create")); !p.Has("login-page") {
			t.Errorf("%s: prompt=create: %s", name, p.Request.URL)
		}
	}
}

func TestNobodyTakesAnAddressOfSomebodyElseAsAUsername(t *testing.T) {
	t.Parallel()
	w := providertest.NewPost(t, mode(signup.Open))
	w.AddUser("alice")
	b := w.Browser()
	ask(b, "/sign-up", "eve@example.org")
	p := b.Open(w.Link("eve@example.org"))
	for _, name := range []string{"alice@example.com", "ALICE@example.com", "bob@example.com", "alice"} {
		if got := finish(b, p, name); got.StatusCode != http.StatusBadRequest || !got.Has("username-error") {
			t.Errorf("%s: %d", name, got.StatusCode)
		}
	}
	if done := finish(b, p, "eve@example.org"); !done.Has("signed-up") || !w.SignsIn("Eve@example.org", password) {
		t.Errorf("her own address: %d", done.StatusCode)
	}
}

func TestNobodySendsWordsOfTheirOwnToAStranger(t *testing.T) {
	t.Parallel()
	w := providertest.NewPost(t, mode(signup.Open))
	const bait = "you have won, see evil.example"
	b := w.Browser()
	b.Submit(b.Open("/sign-up"), "sign-up-submit", url.Values{"email": {"stranger@example.org"}, "name": {bait}})
	// Nor does who has an account already, by the address that they would like to have.
	mallory := w.AddUser("mallory")
	u, err := w.Store.User(t.Context(), mallory.ID)
	if err != nil {
		t.Fatal(err)
	}
	u.Claims.Name = bait
	if err := w.Store.UpdateUser(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	in, _ := w.SignedIn(mallory)
	in.Submit(in.Get("/account/address"), "address-submit", url.Values{"action": {"change"},
		"email": {"another@example.org"}})
	strangers := 0
	for _, m := range w.Mails() {
		if !strings.HasSuffix(m.To, "@example.org") {
			continue
		}
		strangers++
		if all := m.Subject + m.Text + m.HTML; strings.Contains(all, "evil") || !strings.Contains(all, m.To) {
			t.Errorf("to %s: %s\n%s", m.To, m.Subject, m.Text)
		}
	}
	if strangers != 2 {
		t.Errorf("%d mails", strangers)
	}
}

func TestOneLinkDoesNotTellWhoHasAnAccount(t *testing.T) {
	t.Parallel()
	w := providertest.NewPost(t, mode(signup.Open))
	w.AddUser("alice")
	b := w.Browser()
	ask(b, "/sign-up", "eve@example.org")
	p := b.Open(w.Link("eve@example.org"))
	told := 0
	for range 30 {
		if finish(b, p, "alice").Has("username-error") {
			told++
		}
	}
	if told != 20 {
		t.Errorf("%d usernames were looked up", told)
	}
	if got := finish(b, p, "eve"); got.StatusCode != http.StatusTooManyRequests || got.Header.Get("Retry-After") == "" {
		t.Errorf("one more: %d", got.StatusCode)
	}
	// Another link of the same person has names of its own, and a person who needs few gets in.
	w.Clock.Advance(time.Hour)
	ask(b, "/sign-up", "eve@example.org")
	p = b.Open(w.Link("eve@example.org"))
	finish(b, p, "alice")
	if got := finish(b, p, "eve"); !got.Has("signed-up") {
		t.Errorf("%d %s", got.StatusCode, got.Body)
	}
}

func TestABusyMachineUsesUpNoLink(t *testing.T) {
	t.Parallel()
	hasher := people.NewHasher(people.Params{Memory: 64, Time: 1, Threads: 1}, 1)
	w := providertest.NewPost(t, mode(signup.Open), func(c *provider.Config) {
		c.People = &people.Authenticator{Store: c.Store, Hasher: hasher, Now: c.Now,
			Throttle: &people.Throttle{Counters: c.Store, Key: []byte("a key of tests")}}
	})
	b := w.Browser()
	ask(b, "/sign-up", "eve@example.org")
	p := b.Open(w.Link("eve@example.org"))
	// More hashes than may wait, each of them long.
	const long = "$argon2id$v=19$m=65536,t=16,p=1$c2FsdHNhbHRzYWx0c2FsdA$ZPidoNOWM3jRl0AD+3mGdZsq+GvHprGL+ccPXPy6Nvs"
	ctx, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for range 40 {
		all.Go(func() {
			for ctx.Err() == nil {
				_, _, _ = hasher.Verify(ctx, long, "x")
			}
		})
	}
	for hasher.Waiting() < 32 {
		runtime.Gosched()
	}
	busy := finish(b, p, "eve")
	stop()
	all.Wait()
	if busy.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("busy: %d", busy.StatusCode)
	}
	if got := finish(b, p, "eve"); !got.Has("signed-up") {
		t.Errorf("the link was used up: %d %s", got.StatusCode, got.Body)
	}
	if !w.SignsIn("eve", password) {
		t.Error("another password was set")
	}
}
