package templates

import "time"

// Login is the sign-in page. Its form posts csrf, username, password and, if ticked, remember to
// Action.
type Login struct {
	App            *App   // nil: for our own pages
	Action         string // where the form goes
	CSRF           string
	Username       string // what was typed or hinted before
	Error          string // LoginWrong, LoginIncomplete, LoginThrottled; "" at first
	ThrottledUntil time.Time
	Remember       bool    // whether the box is ticked
	Reauthenticate *Person // a person is signed in and has to prove it once more; there is no #username then
	SwitchURL      string  // with Reauthenticate: sign in as another person
	SignUpURL      string  // where to make an account; "" when that is not offered
	ForgotURL      string  // where to ask for a new password; "" when that is not offered
	Passkey        Passkey // to sign in with one: posts csrf, action=passkey, state and answer
	CancelAction   string  // posts action=cancel; "" shows no such button
}

// What Login.Error can say beside PasskeyOver and PasskeyWrong: keys of messages.
const (
	LoginWrong      = "login.wrong"      // username or password, never which
	LoginIncomplete = "login.incomplete" // a field was left empty
	LoginExpired    = "login.expired"    // the page was open for longer than a sign-in lasts
	LoginThrottled  = "login.throttled"  // with ThrottledUntil: when to try again
)

func (Login) file() string { return "signin/login" }

// Policy lets the form lead to the application, and runs passkeys.js if there is something for it
// to do.
func (l Login) Policy() Policy {
	use := l.Passkey.Options != ""
	return Policy{Forms: l.App.leadsTo(), Script: use, Fetches: use}
}

func loginSamples() []sample {
	app, stranger, ada := sampleApp, sampleStranger, samplePerson
	passkey := Passkey{Options: `{"publicKey":{}}`, State: "s"}
	return []sample{
		{"first", Login{App: &app, Action: "/login?i=1", CSRF: "c", CancelAction: "/login?i=1",
			ForgotURL: "/password/forgot?i=1", SignUpURL: "/sign-up?i=1", Passkey: passkey}},
		{"passkey", Login{Action: "/login?i=1", CSRF: "c", Error: PasskeyWrong,
			Passkey: Passkey{Options: `{"publicKey":{}}`, State: "s", Unknown: "AQ", RPID: "id.example"}}},
		{"wrong", Login{
			App: &app, Action: "/login?i=1", CSRF: "c", Username: "ada", Error: LoginWrong, Remember: true,
			CancelAction: "/login?i=1",
		}},
		{"expired", Login{App: &app, Action: "/login?i=2", CSRF: "c", Username: "ada", Error: LoginExpired}},
		{"throttled", Login{
			Action: "/login?i=1", CSRF: "c", Username: "ada", Error: LoginThrottled,
			ThrottledUntil: sampleTime.Add(20 * time.Minute),
		}},
		{"again", Login{
			App: &stranger, Action: "/login?i=1", CSRF: "c", Username: "ada", Reauthenticate: &ada,
			SwitchURL: "/login?i=1&switch=1", CancelAction: "/login?i=1",
		}},
		{"own", Login{Action: "/login?i=1", CSRF: "c"}},
		{"empty", Login{}},
	}
}
