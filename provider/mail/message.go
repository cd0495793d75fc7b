package mail

import (
	"context"
	"errors"
	"fmt"
	netmail "net/mail"
	"strings"
	"time"

	gomail "github.com/wneessen/go-mail"
)

// Message is a mail as it is sent, to one address.
type Message struct {
	ID      string // of the message: letters, digits, - and _ (RFC 5322 §3.6.4 id-left)
	To      string // the address alone
	Lang    string // BCP 47
	Subject string
	Text    string // the mail for those who read text
	HTML    string // the same for the others
	Date    time.Time
}

// Sender is whom a mail comes from.
type Sender struct {
	Name    string // as people know the provider
	Address string // the address alone
}

// Transport is a way to send a message. An error that wraps ErrRefused says that it is of no use to
// try again.
type Transport interface {
	Send(ctx context.Context, m Message) error
}

// ErrRefused says that the server will not take this mail for this address, however often it is
// tried (RFC 5321 §4.2.1, 5yz).
var ErrRefused = errors.New("mail: refused for good")

// CheckAddress reports, as an error, that s is not one e-mail address without a name and without
// anything odd: as it can stand in a header and in an SMTP command.
func CheckAddress(s string) error {
	a, err := netmail.ParseAddress(s)
	if err != nil || a.Name != "" || a.Address != s || len(s) > 254 || strings.Count(s, "@") != 1 ||
		strings.ContainsAny(s, " \"\\\r\n\t()<>,;:[]") {
		return errors.New("is not an e-mail address such as ada@example.com")
	}
	return nil
}

// format makes the message as it goes over the wire (RFC 5322): text first, then HTML
// (RFC 2046 §5.1.4), marked as automatic so that nobody's holiday notice answers it (RFC 3834 §5).
func format(from Sender, m Message) (*gomail.Msg, error) {
	if err := CheckAddress(m.To); err != nil {
		return nil, fmt.Errorf("%w: the address of the user %w", ErrRefused, err)
	}
	msg := gomail.NewMsg(gomail.WithNoDefaultUserAgent())
	if err := msg.FromFormat(line(from.Name), from.Address); err != nil {
		return nil, fmt.Errorf("sender: %w", err)
	}
	if err := msg.To(m.To); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	_, domain, _ := strings.Cut(from.Address, "@")
	msg.SetMessageIDWithValue(m.ID + "@" + domain)
	msg.SetDateWithValue(m.Date)
	msg.Subject(line(m.Subject))
	msg.SetGenHeader("Auto-Submitted", "auto-generated")
	msg.SetGenHeader("X-Auto-Response-Suppress", "All")
	if m.Lang != "" {
		msg.SetGenHeader("Content-Language", m.Lang)
	}
	msg.SetBodyString(gomail.TypeTextPlain, m.Text)
	msg.AddAlternativeString(gomail.TypeTextHTML, m.HTML)
	return msg, nil
}

// line is a text in one line: nothing in it ends a header.
func line(s string) string { return strings.Join(strings.Fields(s), " ") }
