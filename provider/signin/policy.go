package signin

import (
	"slices"
	"time"

	"latchkey/provider/access"
	"latchkey/provider/clients"
	"latchkey/provider/oauth"
	"latchkey/provider/people"
	"latchkey/provider/storage"
)

// stepKind is what comes next for an authorization request.
type stepKind int

const (
	stepLogin    stepKind = iota // the person proves who they are
	stepFactor                   // the person proves more: a second factor
	stepEnrol                    // the person sets up a second factor
	stepOffer                    // the person is offered a passkey
	stepAccounts                 // the person chooses the account
	stepConsent                  // the person allows it
	stepRefuse                   // the person may not use the application: a page says why
	stepRespond                  // the application gets what it asked for
	stepError                    // the application hears why not
)

// step is what comes next, and why.
type step struct {
	kind   stepKind
	reason string
	err    *oauth.Error // of stepError, and what the application is told when the person turns back from stepRefuse
	acr    string       // of stepFactor and stepEnrol: what has to be reached
	wish   bool         // of these two: the person may go on without
}

// situation is everything that nextStep looks at.
type situation struct {
	Request     oauth.AuthorizationRequest
	Client      clients.Client
	Interaction storage.Interaction // zero when nobody was asked anything yet
	SignedIn    bool
	Session     storage.Session
	User        storage.User
	Subject     string // of User, as Client knows it
	Consent     storage.Consent
	Shown       string // stands for what a consent page would tell now
	Now         time.Time
	Required    string // why the user needs a second factor, whatever the client wants; "": they do not
	Passkeys    bool   // they can be used here
}

// nextStep decides what comes next. It is a pure function, asked again after every answer of the
// person, so that nothing that was required can be skipped on the way
// (OIDC Core §3.1.2.3, §3.1.2.4).
func nextStep(s situation) step {
	silent := s.Request.HasPrompt("none")

	// Who is it?
	if why := needsLogin(s); why != "" {
		if silent {
			return step{kind: stepError, reason: why, err: oauth.Errorf(oauth.LoginRequired,
				"the person has to sign in, and prompt=none forbids asking")}
		}
		return step{kind: stepLogin, reason: why}
	}
	if s.Request.HasPrompt("select_account") && !(s.Interaction.Selected && answeredByCurrentUser(s)) &&
		!signedInHere(s) {
		return step{kind: stepAccounts, reason: "prompt=select_account"}
	}
	if why := otherPerson(s); why != "" {
		// Whoever is signed in is not who the application means. After a fresh sign-in there is no
		// use in asking again, and a token for somebody else must never go out (OIDC Core §3.1.2.1
		// id_token_hint, §5.5.1).
		if silent || signedInHere(s) {
			return step{kind: stepError, reason: why, err: oauth.Errorf(oauth.LoginRequired,
				"the person who is signed in is not the one that was asked for")}
		}
		return step{kind: stepLogin, reason: why}
	}

	// Was it done strongly enough?
	if next, asked := strengthen(s); asked {
		return next
	}
	if want := s.Request.Claims.IDToken["acr"]; want.Essential && len(want.Values) > 0 && firstReached(s.Session.ACR,
		want.Values) == "" &&
		access.Decide(s.Client, s.User).Allowed {
		// Whoever has what it takes has used it by now, so asking again would not help.
		return step{kind: stepError, reason: "essential acr",
			err: oauth.Errorf(oauth.UnmetAuthenticationRequirements,
				"none of the acr values that were asked for as essential can be reached")}
	}

	// May they?
	if d := access.Decide(s.Client, s.User); !d.Allowed {
		denied := oauth.Errorf(oauth.AccessDenied, "the person may not use this application")
		if silent {
			return step{kind: stepError, reason: string(d.Reason), err: denied}
		}
		return step{kind: stepRefuse, reason: string(d.Reason), err: denied}
	}

	// Would they like it easier next time?
	if !silent && offersPasskey(s) {
		return step{kind: stepOffer, reason: "the person has no passkey"}
	}

	// Do they allow it?
	if why := needsConsent(s); why != "" {
		if silent {
			return step{kind: stepError, reason: why, err: oauth.Errorf(oauth.ConsentRequired,
				"the person has to allow this, and prompt=none forbids asking")}
		}
		return step{kind: stepConsent, reason: why}
	}
	return step{kind: stepRespond}
}

// signedInHere reports whether the person proved who they are for this very request, with the
// session that is theirs now.
func signedInHere(s situation) bool {
	at := s.Interaction.SignedInAt
	return s.SignedIn && !at.IsZero() && !s.Session.AuthTime.Before(at)
}

// answeredByCurrentUser reports whether what was answered in the interaction is the word of the
// person who is signed in now. In between somebody else may have signed in, here or in another tab,
// and nobody allows anything for somebody else.
func answeredByCurrentUser(s situation) bool {
	return s.SignedIn && s.Interaction.PersonID == s.User.ID
}

// consented reports whether the person who is signed in now has allowed what is asked now.
func consented(s situation) bool {
	return s.Interaction.Consented && answeredByCurrentUser(s) && s.Interaction.Shown == s.Shown
}

// needsLogin says why the person has to prove who they are, "" if they need not.
func needsLogin(s situation) string {
	switch {
	case !s.SignedIn:
		return "nobody is signed in"
	case signedInHere(s):
		return ""
	case s.Request.HasPrompt("login"):
		return "prompt=login"
	case s.Request.HasPrompt(oauth.PromptCreate):
		return "prompt=create" // an account of their own; whoever has one signs in to it all the same
	}
	maxAge := s.Request.MaxAge
	if maxAge == nil {
		maxAge = s.Client.DefaultMaxAge
	}
	if maxAge != nil && s.Now.Sub(s.Session.AuthTime) > time.Duration(min(*maxAge, 1<<32))*time.Second {
		return "max_age has passed"
	}
	return ""
}

// demand is an acr value that a session has to reach, and why.
type demand struct {
	acr, reason string
	// wish: the client would like it, and goes on without it if it must.
	wish bool
}

// demands are those of the situation, in the order in which they are met.
func demands(s situation) (out []demand) {
	if !people.Proved(s.Session.ACR, s.User) {
		out = append(out, demand{acr: people.ACRMultiFactor, reason: "the person has a second factor"})
	}
	if s.Required != "" {
		out = append(out, demand{acr: people.ACRMultiFactor, reason: s.Required})
	}
	if s.Client.RequireSecondFactor {
		out = append(out, demand{acr: people.ACRMultiFactor, reason: "the application requires a second factor"})
	}
	want := s.Request.Claims.IDToken["acr"]
	for _, asked := range []struct {
		values []string
		wish   bool
		reason string
	}{{want.Values, !want.Essential, "essential acr"}, {s.Request.ACRValues, true, "acr_values"}} {
		if firstReached(s.Session.ACR, asked.values) != "" {
			continue
		}
		// The first value that there is: the client's order is its preference.
		if v := firstReached(people.ACRHardwareProtected, asked.values); v != "" {
			out = append(out, demand{v, asked.reason, asked.wish})
		}
	}
	return slices.DeleteFunc(out, func(d demand) bool {
		switch {
		case people.Reaches(s.Session.ACR, d.acr):
			return true
		case d.wish && (s.Request.HasPrompt("none") || s.Interaction.Skipped && answeredByCurrentUser(s)):
			return true
		case people.Reaches(d.acr, people.ACRPhishingResistant) && !s.Passkeys:
			return true // there is no way to reach it
		}
		return false
	})
}

// strengthen decides what comes next for a session that has proved too little. asked is false when
// it has proved enough.
func strengthen(s situation) (next step, asked bool) {
	silent := s.Request.HasPrompt("none")
	for _, d := range demands(s) {
		next := step{reason: d.reason, acr: d.acr, wish: d.wish}
		if people.CanReach(s.User, d.acr) {
			if silent {
				next.kind, next.err = stepError, oauth.Errorf(oauth.LoginRequired,
					"the person has to prove more, and prompt=none forbids asking")
				return next, true
			}
			next.kind = stepFactor
			return next, true
		}
		switch {
		case !access.Decide(s.Client, s.User).Allowed:
			continue // it would be set up for nothing
		case silent:
			next.kind, next.err = stepError, oauth.Errorf(oauth.LoginRequired,
				"the person has to set up a second factor, and prompt=none forbids asking")
		case !freshEnough(s):
			next.kind = stepLogin
		default:
			next.kind = stepEnrol
		}
		return next, true
	}
	return step{}, false
}

// firstReached is the first of the acr values that a session with the value have is strong enough
// for, "" if there is none.
func firstReached(have string, values []string) string {
	for _, v := range values {
		if people.Reaches(have, v) {
			return v
		}
	}
	return ""
}

// answeredACR is the acr that the application is told: of the values that it asked for the first
// that was reached, in the order of its preference (OIDC Core §3.1.2.1, §5.5.1.1); otherwise what
// the session has proved.
func answeredACR(req oauth.AuthorizationRequest, s storage.Session) string {
	if v := firstReached(s.ACR, req.Claims.IDToken["acr"].Values); v != "" {
		return v
	}
	if v := firstReached(s.ACR, req.ACRValues); v != "" {
		return v
	}
	return s.ACR
}

// FreshFor is how old a proof may be where a page of ours is about what proves who somebody is.
const FreshFor = 5 * time.Minute

// nextOwnStep decides what comes next on the way to a page of ours: stepRespond is that page.
func nextOwnStep(s situation) step {
	if s.Interaction.Fresh {
		seconds := int64(FreshFor / time.Second)
		s.Request.MaxAge = &seconds
	}
	if why := needsLogin(s); why != "" {
		return step{kind: stepLogin, reason: why}
	}
	next := step{kind: stepFactor, reason: "the person has a second factor", acr: people.ACRMultiFactor}
	switch {
	case !people.Proved(s.Session.ACR, s.User):
		return next
	case s.Required == "" || people.Reaches(s.Session.ACR, people.ACRMultiFactor):
		return step{kind: stepRespond}
	}
	next.reason = s.Required
	switch {
	case people.CanReach(s.User, people.ACRMultiFactor):
	case freshEnough(s):
		next.kind = stepEnrol
	default:
		next.kind = stepLogin
	}
	return next
}

// otherPerson says why the person who is signed in is not the one that was asked for, "" if they
// are or nobody in particular was.
func otherPerson(s situation) string {
	if h := s.Request.HintSubject; h != "" && h != s.Subject {
		return "id_token_hint names another person"
	}
	for _, want := range []oauth.ClaimRequest{s.Request.Claims.IDToken["sub"], s.Request.Claims.Userinfo["sub"]} {
		if len(want.Values) > 0 && !slices.Contains(want.Values, s.Subject) {
			return "the claims parameter names another person"
		}
	}
	return ""
}

// needsConsent says why the person has to be asked, "" if they need not.
func needsConsent(s situation) string {
	if consented(s) {
		return ""
	}
	impersonable := s.Client.Impersonable(s.Request.RedirectURI)
	covered := s.Consent.Covers(s.Request.Scope, access.RequestedClaims(s.Request), s.Request.Resource)
	switch {
	case s.Request.HasPrompt("consent"):
		return "prompt=consent"
	case impersonable && !covered:
		return "not allowed before"
	case impersonable:
		return "anybody on the device could pretend to be this application" // RFC 8252 §8.6
	case s.Client.SkipConsent:
		return ""
	case !covered:
		return "not allowed before"
	}
	return ""
}
