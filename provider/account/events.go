package account

import (
	"net/http"

	"latchkey/provider/storage"
	"latchkey/provider/web"
	"latchkey/templates"
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

	verbRequirePasskeys = "user.require_passkeys"
	verbExport          = "user.export"
	verbAddressAsked    = "user.address_asked"
	verbAddress         = "user.address"
)

// told are the events that the person hears of by mail, and how.
var told = map[string]string{
	verbAddMethod: templates.MailFactorAdded, verbRemoveMethod: templates.MailFactorRemoved,
	verbRecoveryCodes: templates.MailCodesNew,
	verbPassword:      templates.MailPasswordChanged,
}

// tell writes to the person what was done to what they prove who they are with. What was done
// stands, whether or not that can be queued.
func (p *Pages) tell(r *http.Request, user storage.User, verb string) {
	if kind := told[verb]; kind != "" {
		if err := p.Letters.Notice(r, user, kind, nil); err != nil {
			web.Note(r, err)
		}
	}
}

// record records what a user did on these pages, and tells them by mail what concerns their ways
// in. session is the one in which it was done.
func (p *Pages) record(r *http.Request, user storage.User, session, verb, kind, id string) {
	if user.Username == "" { // its identifier is all that the caller has
		if known, err := p.Store.User(r.Context(), user.ID); err == nil {
			user = known
		}
	}
	e := p.Web.Event(r, user, verb)
	e.Object, e.SessionID = storage.EventParty{Kind: kind, ID: id}, session
	p.Audit.Note(r.Context(), e)
	p.tell(r, user, verb)
}
