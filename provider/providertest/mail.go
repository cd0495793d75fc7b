package providertest

import (
	"context"
	"net/http"
	"net/url"
	"regexp"
	"sync"
	"testing"

	"latchkey/provider"
	"latchkey/provider/mail"
)

// Post is a provider whose mails arrive in the test's hands.
type Post struct {
	*World
	mu   sync.Mutex
	got  []mail.Message
	Fail error // what becomes of each mail
}

// NewPost serves a provider with mail.
func NewPost(t testing.TB, bend ...func(*provider.Config)) *Post {
	t.Helper()
	return PostOn(func(bend ...func(*provider.Config)) *World { return New(t, bend...) }, bend...)
}

// PostOn is NewPost on a provider that another function makes, on a store of its choice.
func PostOn(make func(bend ...func(*provider.Config)) *World, bend ...func(*provider.Config)) *Post {
	p := &Post{}
	p.World = make(append(bend, func(c *provider.Config) { c.Mail = p })...)
	return p
}

// Send takes a mail.
func (p *Post) Send(_ context.Context, m mail.Message) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.Fail == nil {
		p.got = append(p.got, m)
	}
	return p.Fail
}

// Mails sends what is due, and what that queues, and returns it.
func (p *Post) Mails() []mail.Message {
	p.t.Helper()
	for {
		n, err := p.Letters.Queue.SendDue(context.Background())
		if err != nil {
			p.t.Fatal(err)
		}
		if n == 0 {
			break
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	got := p.got
	p.got = nil
	return got
}

var mailLink = regexp.MustCompile(`https?://\S+\?link=\S+`)

// LinkIn is the link of a mail, "" if it has none.
func LinkIn(m mail.Message) string { return mailLink.FindString(m.Text) }

// Link is the one link in the mails that are due: there must be exactly one mail with one, to this
// address.
func (p *Post) Link(to string) string {
	p.t.Helper()
	var found []string
	for _, m := range p.Mails() {
		if l := LinkIn(m); l != "" && m.To == to {
			found = append(found, l)
		}
	}
	if len(found) != 1 {
		p.t.Fatalf("%d links to %s", len(found), to)
	}
	return found[0]
}

// PasswordForm is that of a page that sets a password.
func PasswordForm(password string) url.Values {
	return url.Values{"new_password": {password}, "repeat_password": {password}}
}

// SignsIn tries a password and reports whether it is right.
func (w *World) SignsIn(username, password string) bool {
	w.t.Helper()
	b := w.Browser()
	return b.Submit(b.Open("/account"), "login-submit", url.Values{"username": {username},
		"password": {password}}).StatusCode == http.StatusSeeOther
}
