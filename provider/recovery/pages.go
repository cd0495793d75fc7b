package recovery

import (
	"time"

	"latchkey/provider/audit"
	"latchkey/provider/letters"
	"latchkey/provider/mail"
	"latchkey/provider/people"
	"latchkey/provider/session"
	"latchkey/provider/storage"
	"latchkey/provider/web"
)

// Config is what Pages needs. All fields must be set, but the last two.
type Config struct {
	Web       *web.Site
	Store     *storage.Store
	Sessions  *session.Sessions
	People    *people.Authenticator
	Factors   *people.Throttle // of second factors
	Limit     *people.Throttle // of mails asked for: its counters must not be those of sign-ins
	Passwords people.PasswordPolicy
	Letters   *letters.Letters
	Audit     *audit.Log    // nil: no events
	LostWait  time.Duration // how long who has lost everything waits for a way back; 0: there is none
}

// Pages are the pages of recovery and of invitations.
type Pages struct {
	Config
	Mails *mail.Queue // what is queued, and sends it
}

// New makes Pages.
func New(c Config) *Pages { return &Pages{Config: c, Mails: c.Letters.Queue} }

// Verbs of the events of this package.
const (
	verbReset    = "user.password"
	verbRecovery = "user.recovery"
)
