package signin_test

import (
	"net/url"
	"slices"
	"testing"

	"latchkey/provider/clients"
	"latchkey/provider/mail"
	"latchkey/provider/providertest"
)

// TestWhatIsAddedInTheMiddleOfASignInIsToldByMail tells the owner of an account, who may not be the
// one who knows the password.
func TestWhatIsAddedInTheMiddleOfASignInIsToldByMail(t *testing.T) {
	t.Parallel()
	w := providertest.NewPost(t, providertest.OnDomain)
	strict := w.AddClient("strict", func(c *clients.Client) { c.RequireSecondFactor = true })
	app := w.AddClient("app")
	told := func(who string) bool {
		return slices.ContainsFunc(w.Mails(), func(m mail.Message) bool {
			return m.To == who+"@example.com" && m.Subject == "A sign-in method was added – Latchkey"
		})
	}

	w.AddUser("alice")
	b := w.Browser()
	p := b.SignInAs(b.Open(w.Request(strict)), "alice")
	a := b.AuthenticatorOf(p)
	b.Submit(p, "totp-submit", code(a.Code(0)))
	if !told("alice") {
		t.Error("an authenticator application: nobody is told")
	}

	w.AddUser("bob")
	b, k := w.Browser(), w.NewPasskey()
	p = b.SignInAs(b.Open(w.Request(strict)), "bob")
	p = b.Open(providertest.LinkTo(p, "totp-passkey"))
	asked := providertest.AskedOf(t, p, "")
	b.UsePasskey(p, asked, k.Create(asked))
	if !told("bob") {
		t.Error("a passkey that is needed: nobody is told")
	}

	w.AddUser("carol")
	b, k = w.Browser(), w.NewPasskey()
	p = b.Follow(b.Submit(b.Open(w.Request(app)), "login-submit", url.Values{
		"username": {"carol"}, "password": {providertest.TestPassword}, "passkeys": {"yes"},
	}))
	asked = providertest.AskedOf(t, p, "")
	b.UsePasskey(p, asked, k.Create(asked))
	if !told("carol") {
		t.Error("a passkey that is offered: nobody is told")
	}
}
