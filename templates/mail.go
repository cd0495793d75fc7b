package templates

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"strings"
	"time"
)

//go:embed mails/mail.html
var mailSource string

var mailTemplate = template.Must(template.New("mail").Parse(mailSource))

// Mail is what a mail says. Its words are the messages mail.KIND.subject, .text, .button and .note.
// The last two may be missing; a mail without a link and without a note of its own has
// mail.notice.note.
type Mail struct {
	Kind   string
	Person string        // how to greet
	Link   string        // where the button leads, if there is one
	Valid  time.Duration // {wait} in the words: how long the link works
	Args   Args          // further values in the words
}

// Kinds of Mail.
const (
	MailReset           = "reset"            // a link to choose a new password
	MailSignUp          = "sign-up"          // a link to finish an account
	MailSignUpKnown     = "sign-up-known"    // without "time" and "address"
	MailInvite          = "invite"           // a link to choose a first password
	MailAddress         = "address"          // a link to confirm the address that it goes to
	MailLost            = "lost"             // a link to begin the way back without anything
	MailLostBegun       = "lost-begun"       // a link to stop that way
	MailLostReady       = "lost-ready"       // a link to end it
	MailPasswordChanged = "password-changed" // with "time" and "address", as all that follow
	MailAddressAsked    = "address-asked"
	MailAddressChanged  = "address-changed"
	MailAddressTaken    = "address-taken" // without "time" and "address"
	MailNewDevice       = "new-device"    // with "device", too
	MailFactorAdded     = "factor-added"
	MailFactorRemoved   = "factor-removed"
	MailCodesNew        = "codes-new"
	MailDeleted         = "deleted"
)

// mailKinds lists them all, for the tests.
var mailKinds = []string{
	MailReset, MailSignUp, MailSignUpKnown, MailInvite, MailAddress, MailLost, MailLostBegun, MailLostReady,
	MailPasswordChanged, MailAddressAsked,
	MailAddressChanged, MailAddressTaken, MailNewDevice, MailFactorAdded, MailFactorRemoved, MailCodesNew, MailDeleted,
}

// Mail writes a mail in a language that Match returned: subject, the text, and the same as HTML.
// There is no picture and nothing else that is fetched when somebody reads it.
func (s *Set) Mail(lang string, m Mail) (subject, text, html string, err error) {
	v := s.view(lang, nil)
	args := Args{"provider": v.Provider, "person": m.Person, "wait": v.Lasts(m.Valid)}
	for name, value := range m.Args {
		args[name] = value
	}
	word := func(key string) string { return v.t(key, args).String() }
	part := func(name string) string {
		key := "mail." + m.Kind + "." + name
		if english().messages[key] == nil {
			return ""
		}
		return word(key)
	}
	if part("subject") == "" || part("text") == "" {
		return "", "", "", fmt.Errorf("templates: there is no mail %q", m.Kind)
	}
	note := part("note")
	if note == "" && part("button") == "" {
		note = word("mail.notice.note")
	}
	page := struct{ Lang, Dir, Subject, Hello, Text, Link, Button, Note, From string }{
		v.Lang, v.Dir, part("subject") + " – " + v.Provider, word("mail.hello"), part("text"), m.Link, part("button"),
		note, word("mail.from"),
	}
	var b bytes.Buffer
	if err := mailTemplate.Execute(&b, page); err != nil {
		return "", "", "", fmt.Errorf("templates: %w", err)
	}
	var paragraphs []string
	for _, p := range []string{page.Hello, page.Text, page.Link, page.Note, "-- \n" + page.From} {
		if p != "" {
			paragraphs = append(paragraphs, p)
		}
	}
	return page.Subject, strings.Join(paragraphs, "\n\n") + "\n", b.String(), nil
}

// MailDate is a time as it stands in the words of a mail in this language, in the given zone; nil
// is UTC.
func (s *Set) MailDate(lang string, zone *time.Location, t time.Time) string {
	v := s.view(lang, nil)
	if zone != nil {
		v.zone = zone
	}
	return v.date(t).String()
}
