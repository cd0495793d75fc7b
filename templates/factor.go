package templates

import "time"

// Factor asks for the second factor. Its form posts csrf, method and code to Action.
type Factor struct {
	App            *App // nil: for our own pages
	Person         Person
	Action, CSRF   string
	Method         string         // one of the Method constants; "" if the person has none that works
	Others         []FactorChoice // the other methods that the person has
	Passkey        Passkey        // of MethodPasskey: posts csrf, method, state and answer
	Error          string         // FactorWrong and so on; "" at first
	ThrottledUntil time.Time
	SwitchURL      string // sign in as another person
	SkipAction     string // posts action=skip: go on without; "" shows no such button
	CancelAction   string // posts action=cancel; "" shows no such button
}

// FactorChoice leads to the page with another method.
type FactorChoice struct{ Method, URL string }

// What Factor.Method can be.
const (
	MethodPasskey  = "passkey"
	MethodTOTP     = "totp"
	MethodRecovery = "recovery"
)

// What Factor.Error and Enrol.Error can say: keys of messages.
const (
	FactorWrong     = "mfa.wrong"
	FactorUsed      = "mfa.used"      // it was right, but was used before
	FactorShape     = "mfa.shape"     // it can be no code
	FactorThrottled = "mfa.throttled" // with ThrottledUntil: when to try again
)

func (Factor) file() string { return "signin/mfa" }

// Policy lets the form lead to the application, and runs passkeys.js if there is something for it
// to do.
func (f Factor) Policy() Policy {
	use := f.Passkey.Options != ""
	return Policy{Forms: f.App.leadsTo(), Script: use, Fetches: use}
}

func factorSamples() []sample {
	app := sampleApp
	recovery := []FactorChoice{{Method: MethodRecovery, URL: "/mfa?i=1&method=recovery"}}
	return []sample{
		{"first", Factor{
			App: &app, Person: samplePerson, Action: "/mfa?i=1", CSRF: "c", Method: MethodTOTP, Others: recovery,
			SwitchURL:    "/login?i=1&switch=1",
			CancelAction: "/mfa?i=1",
		}},
		{"wrong", Factor{App: &app, Person: samplePerson, Action: "/mfa?i=1", CSRF: "c", Method: MethodTOTP,
			Error: FactorWrong, CancelAction: "/mfa?i=1"}},
		{"recovery", Factor{
			Person: samplePerson, Action: "/mfa?i=1", CSRF: "c", Method: MethodRecovery, Error: FactorThrottled,
			ThrottledUntil: sampleTime.Add(20 * time.Minute),
			Others:         []FactorChoice{{Method: MethodTOTP, URL: "/mfa?i=1&method=totp"}},
		}},
		{"passkey", Factor{
			App: &app, Person: samplePerson, Action: "/mfa?i=1", CSRF: "c", Method: MethodPasskey,
			Passkey: Passkey{Options: `{"publicKey":{}}`, State: "s"},
			Others:  []FactorChoice{{Method: MethodTOTP, URL: "/mfa?i=1&method=totp"}}, SkipAction: "/mfa?i=1",
			CancelAction: "/mfa?i=1",
		}},
		{"empty", Factor{}},
	}
}
