package account

import (
	"net/http"

	"latchkey/provider/storage"
)

// Verbs of the events of this package.
const (
	verbSignOut       = "session.end"
	verbSignOutOthers = "user.end_other_sessions"
	verbDisconnect    = "consent.revoke"
	verbAddMethod     = "factor.add"
	verbRenameMethod  = "factor.rename"
	verbRemoveMethod  = "factor.remove"
	verbRecoveryCodes = "user.new_recovery_codes"
	verbPassword      = "user.password"
	verbExport        = "user.export"
)

// record records what a user did on these pages. session is the one in which it was done.
func (p *Pages) record(r *http.Request, user storage.User, session, verb, kind, id string) {
	if user.Username == "" { // its identifier is all that the caller has
		if known, err := p.Store.User(r.Context(), user.ID); err == nil {
			user = known
		}
	}
	e := p.Web.Event(r, user, verb)
	e.Object, e.SessionID = storage.EventParty{Kind: kind, ID: id}, session
	p.Audit.Note(r.Context(), e)
}
