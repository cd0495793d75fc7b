package signin

import (
	"time"

	"latchkey/keys"
	"latchkey/provider/audit"
	"latchkey/provider/clientauth"
	"latchkey/provider/grants"
	"latchkey/provider/letters"
	"latchkey/provider/outbound"
	"latchkey/provider/people"
	"latchkey/provider/session"
	"latchkey/provider/storage"
	"latchkey/provider/web"
)

// Pages are the authorization endpoint and the pages of an interaction. All fields must be set, but
// for those that say what nil means.
type Pages struct {
	Web      *web.Site
	Store    *storage.Store
	Keys     *keys.Ring
	Sealer   *keys.Sealer
	Clients  *clientauth.Authenticator
	Grants   *grants.Grants
	Sessions *session.Sessions
	People   *people.Authenticator
	Factors  *people.Factors
	Passkeys *people.Passkeys // nil: there are none here
	Outbound *outbound.Client
	Audit    *audit.Log // nil: sign-ins leave no events

	// OffersSignUp lets the sign-in page lead to where an account is made, and an application ask
	// for that (prompt=create).
	OffersSignUp bool
	Letters      *letters.Letters // tells of sign-ins in another browser; nil: nobody is told

	InteractionTTL time.Duration // how long a user may take to sign in

	// Pushes counts pushed authorization requests, by client. Make it with NewPushLimit.
	Pushes *web.Limit
	// RequirePushed lets no client send its authorization request through the browser
	// (RFC 9126 §5).
	RequirePushed bool

	// FactorPolicy says who is let in nowhere by password alone. An application can require more,
	// see clients.Decisions.
	FactorPolicy people.FactorPolicy
	// OffersReset lets the sign-in page lead to where a forgotten password is reset.
	OffersReset bool

	// InsecurePublicWithoutPKCE lets public clients that registered themselves leave out
	// code_challenge.
	InsecurePublicWithoutPKCE bool

	stored storedLimits
}
