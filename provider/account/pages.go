package account

import (
	"latchkey/keys"
	"latchkey/provider/admin"
	"latchkey/provider/audit"
	"latchkey/provider/grants"
	"latchkey/provider/letters"
	"latchkey/provider/people"
	"latchkey/provider/session"
	"latchkey/provider/signin"
	"latchkey/provider/storage"
	"latchkey/provider/web"
)

// Config is what Pages needs. All fields must be set, but Passkeys, Audit and Letters.
type Config struct {
	Web       *web.Site
	Store     *storage.Store
	Sealer    *keys.Sealer
	Grants    *grants.Grants
	Sessions  *session.Sessions
	SignIn    *signin.Pages
	Admin     *admin.Admin
	People    *people.Authenticator
	Factors   *people.Factors
	Passkeys  *people.Passkeys // nil: there are none here
	Passwords people.PasswordPolicy
	Audit     *audit.Log // nil: what people do here leaves no events

	// Letters are mails to people; nil: there are none.
	Letters *letters.Letters
	// MailLimit bounds the mails that a person can have sent to addresses that they type.
	MailLimit *people.Throttle

	// Editable are the claims that people may change about themselves, see EditableClaims.
	Editable []string
	// MayDelete lets people delete their account.
	MayDelete bool
}

// Pages are a user's own pages: the account page and sign-out.
type Pages struct {
	Config
	stateKey []byte // authenticates what the signed-out page is about
}

// New makes Pages.
func New(cfg Config) *Pages {
	return &Pages{Config: cfg, stateKey: cfg.Sealer.Derive("signed-out pages", 32)}
}
