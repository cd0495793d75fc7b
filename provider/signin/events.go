package signin

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"latchkey/provider/people"
	"latchkey/provider/storage"
	"latchkey/provider/web"
	"latchkey/templates"
)

// Verbs of the events of this package.
const (
	verbSignIn  = "session.begin"
	verbLockOut = "user.lock_out"
	verbConsent = "consent.grant"
	verbFactor  = "session.second_factor"

	verbFactorAdd = "factor.add"
)

// Reasons of a sign-in that was refused.
const (
	reasonWrongPassword = "wrong_password"
	reasonUnknown       = "unknown"     // there is no such account
	reasonDisabled      = "disabled"    // the password may have been right
	reasonNoPassword    = "no_password" // the account has none
	reasonLocked        = "locked"      // too many failures at this account
	reasonThrottled     = "throttled"   // too many failures from this network, or in this browser
	reasonWrongCode     = "wrong_code"
	reasonUsedCode      = "used_code" // a right one, for the second time
	reasonWrongPasskey  = "wrong_passkey"
	// The passkey is nobody's, or not the one's who was asked.
	reasonUnknownPasskey = "unknown_passkey"
	reasonCopiedPasskey  = "copied_passkey" // its signature counter has not grown
	reasonChallengeOver  = "challenge_over"
)

// recordSignIn records that a user has signed in.
func (p *Pages) recordSignIn(r *http.Request, user storage.User, session storage.Session, clientID string) {
	e := p.Web.Event(r, user, verbSignIn)
	e.Object = storage.EventParty{Kind: "session", ID: session.ID}
	e.SessionID, e.ClientID = session.ID, clientID
	p.tellOfNewDevice(r, user)
	p.Audit.Note(r.Context(), e)
}

// tellOfNewDevice writes to a user who signs in with a browser that was not used for the account
// before. The first sign-in of all is none to be told of. It runs before the sign-in is recorded
// and the browser remembered.
func (p *Pages) tellOfNewDevice(r *http.Request, user storage.User) {
	if p.Letters == nil || p.Web.KnownDevice(r, user) != "" {
		return
	}
	before, err := p.Store.Events(r.Context(), storage.EventFilter{Actor: user.ID, VerbPrefix: verbSignIn}, "", 1)
	if err == nil && len(before) > 0 {
		err = p.Letters.Notice(r, user, templates.MailNewDevice, map[string]string{"device": web.Device(r.UserAgent())})
	}
	if err != nil {
		web.Note(r, err) // the sign-in stands
	}
}

// recordNewFactor records that a user has got another way to prove who they are in the middle of a
// sign-in, and writes to them: it may have been somebody else, who knows the password. What was
// added stands, whether or not that can be queued.
func (p *Pages) recordNewFactor(r *http.Request, at pending, added storage.EventParty) {
	e := p.Web.Event(r, at.User, verbFactorAdd)
	e.Object, e.SessionID, e.ClientID = added, at.Session.ID, at.Client.ID
	p.Audit.Note(r.Context(), e)
	if err := p.Letters.Notice(r, at.User, templates.MailFactorAdded, nil); err != nil {
		web.Note(r, err)
	}
}

// recordFailure records a sign-in that was refused, and the lock-out that it may have brought. It
// runs apart from the request: the answer must not tell by its time whether there is such an
// account. A name that no account has is not recorded: people type passwords there.
func (p *Pages) recordFailure(r *http.Request, typed, clientID string, throttled bool) {
	e := p.Web.Event(r, storage.User{}, verbSignIn)
	e.ClientID = clientID
	network := "network " + people.Network(e.Address)
	p.Audit.Later(r.Context(), func(ctx context.Context) {
		_ = p.Store.CountDay(ctx, storage.DayFailures, p.Web.Now()) // a number for administrators, and no more
		user, err := storage.User{}, storage.ErrNotFound
		if name, possible := people.SignInName(typed); possible {
			user, err = p.Store.UserBySignInName(ctx, name)
		}
		if err != nil {
			if errors.Is(err, storage.ErrNotFound) {
				e.Reason = reasonUnknown
				p.Audit.Failure(ctx, e, network+", unknown account", "unknown accounts")
			}
			return
		}
		e.Actor.ID, e.Actor.Name = user.ID, user.Username
		e.Object = storage.EventParty{Kind: "user", ID: user.ID, Name: user.Username}
		lockout, err := p.People.Throttle.Lockout(ctx, user.Username, p.Web.Now())
		if err != nil {
			return
		}
		switch {
		case throttled && lockout.Locked():
			e.Reason = reasonLocked
		case throttled:
			e.Reason = reasonThrottled
		case user.Disabled:
			e.Reason = reasonDisabled
		case user.PasswordHash == "":
			e.Reason = reasonNoPassword
		default:
			e.Reason = reasonWrongPassword
		}
		p.Audit.Failure(ctx, e, "account "+user.ID+" "+e.Reason, network)
		// Of the failures that find the account locked, the first one locked it: one event a
		// lock-out.
		if lockout.Locked() && p.Store.Spend(ctx, "lock_out", user.ID, p.Web.Now(), lockout.Until) == nil {
			e.Verb, e.Reason, e.Outcome, e.Count = verbLockOut, "", storage.OutcomeDone, 0
			e.Actor = storage.EventParty{Kind: storage.ActorSystem, Name: "latchkey"}
			e.After, _ = json.Marshal(map[string]any{"until": lockout.Until, "failures": lockout.Failures})
			p.Audit.Note(ctx, e)
		}
	})
}

// recordFactor records that a user has used a second factor in their session, or why it was
// refused.
func (p *Pages) recordFactor(r *http.Request, at pending, method, reason string) {
	e := p.Web.Event(r, at.User, verbFactor)
	e.Object, e.SessionID, e.ClientID = storage.EventParty{Kind: "session", ID: at.Session.ID}, at.Session.ID,
		at.Client.ID
	e.After, _ = json.Marshal(map[string]any{"method": method})
	if e.Reason = reason; reason == "" {
		p.Audit.Note(r.Context(), e)
		return
	}
	p.Audit.Failure(r.Context(), e, "account "+at.User.ID+" "+reason, "network "+people.Network(e.Address))
}

// recordConsent records what a user has allowed a client.
func (p *Pages) recordConsent(r *http.Request, at pending, c storage.Consent) {
	e := p.Web.Event(r, at.User, verbConsent)
	e.Object = storage.EventParty{Kind: "client", ID: at.Client.ID, Name: at.Client.Name()}
	e.SessionID, e.ClientID = at.Session.ID, at.Client.ID
	e.After, _ = json.Marshal(map[string]any{"scope": c.Scope, "claims": c.Claims, "resource": c.Resource})
	p.Audit.Note(r.Context(), e)
}
