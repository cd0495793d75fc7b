package recovery

import (
	"log/slog"
	"time"

	"latchkey/provider/audit"
	"latchkey/provider/mail"
	"latchkey/provider/people"
	"latchkey/provider/session"
	"latchkey/provider/storage"
	"latchkey/provider/web"
)

// Config is what Pages needs. All fields must be set, but Audit.
type Config struct {
	Web       *web.Site
	Store     *storage.Store
	Sessions  *session.Sessions
	People    *people.Authenticator
	Limit     *people.Throttle // of mails asked for: its counters must not be those of sign-ins
	Passwords people.PasswordPolicy
	Transport mail.Transport
	Audit     *audit.Log    // nil: no events
	LinkTTL   time.Duration // how long a link works
	Logger    *slog.Logger
}

// Pages are the pages of recovery, and the queue of its mails.
type Pages struct {
	Config
	Mails *mail.Queue
}

// New makes Pages.
func New(c Config) *Pages {
	p := &Pages{Config: c}
	p.Mails = mail.NewQueue(c.Store, c.Transport, p.compose, c.Web.Now, c.Logger)
	return p
}

// Kinds of storage.Mail that this package queues.
const (
	kindAsked   = "reset-asked"      // somebody asked for a link, for Account
	kindReset   = "reset"            // a link for the user
	kindChanged = "password-changed" // the user's password was changed
)

// Verbs and reasons of the events of this package.
const (
	verbAsked = "user.reset_mail"
	verbReset = "user.password"
)
