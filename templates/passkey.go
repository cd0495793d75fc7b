package templates

import "time"

// Passkey is what passkeys.js works with on a page: it gives what the browser's
// navigator.credentials takes and takes back what that answers. Options are JSON; State comes back
// with the answer. Where Options are empty there is nothing to ask.
type Passkey struct {
	Options, State string
	// PassingOptions and PassingState are for a passkey that the browser may make without asking.
	PassingOptions, PassingState string
	// Unknown is a credential ID that nobody has, so that the browser can forget it, and RPID whose
	// it was.
	Unknown, RPID string
	// Signal tells the browser which of the person's passkeys there are, as JSON.
	Signal string
}

// What pages say about a passkey that did not work: keys of messages.
const (
	PasskeyOver  = "passkey.over"  // the challenge was too old, or used
	PasskeyWrong = "passkey.wrong" // it was not accepted
	PasskeyKnown = "passkey.known" // it is registered already
	PasskeysFull = "passkey.full"  // there are as many as there can be
)

// NewPasskey asks for a new passkey in the middle of a sign-in: because one is needed, or as an
// offer. Its form posts csrf, action=passkey, state, answer and name to Action.
type NewPasskey struct {
	App          *App
	Person       Person
	Action, CSRF string
	Passkey      Passkey
	Offer        bool   // nobody needs it
	Hardware     bool   // it has to be one on a security key
	Error        string // one of the Passkey constants; "" at first
	TOTPURL      string // set up an authenticator application instead; "" shows no such link
	SkipAction   string // posts action=skip; "" shows no such button
	CancelAction string // posts action=cancel; "" shows no such button
}

func (NewPasskey) file() string { return "signin/passkey" }

// Policy lets the form lead to the application, and runs passkeys.js.
func (n NewPasskey) Policy() Policy {
	return Policy{Forms: n.App.leadsTo(), Script: true, Fetches: true}
}

func newPasskeySamples() []sample {
	app := sampleApp
	passkey := Passkey{Options: `{"publicKey":{}}`, State: "s"}
	return []sample{
		{"needed", NewPasskey{
			App: &app, Person: samplePerson, Action: "/mfa/enrol?i=1", CSRF: "c", Passkey: passkey,
			TOTPURL: "/mfa/enrol?i=1", CancelAction: "/mfa/enrol?i=1",
		}},
		{"offer", NewPasskey{
			App: &app, Person: samplePerson, Action: "/passkey?i=1", CSRF: "c", Offer: true, SkipAction: "/passkey?i=1",
			Passkey: Passkey{Options: `{"publicKey":{}}`, State: "s",
				PassingOptions: `{"publicKey":{},"mediation":"conditional"}`, PassingState: "p"},
		}},
		{"hardware", NewPasskey{
			App: &app, Person: samplePerson, Action: "/mfa/enrol?i=1", CSRF: "c", Passkey: passkey, Hardware: true,
			Error:        PasskeyWrong,
			CancelAction: "/mfa/enrol?i=1",
		}},
		{"empty", NewPasskey{}},
	}
}

// ShownPasskey is one of a person's passkeys.
type ShownPasskey struct {
	ID, Name, Model string // Name and Model may be empty
	Synced          bool   // it is copied to the person's other devices
	Required        bool   // it is asked for after the password, too
	LastWayIn       bool   // without it the person could not sign in
	Added, LastUsed time.Time
}
