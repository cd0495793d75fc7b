package templates

import "time"

// Factor asks for the second factor. Its form posts csrf, method and code to Action.
type Factor struct {
	App            *App // nil: for our own pages
	Person         Person
	Action, CSRF   string
	Method         string         // one of the Method constants; "" if the person has none that works
	Others         []FactorChoice // the other methods that the person has
	Error          string         // FactorWrong and so on; "" at first
	ThrottledUntil time.Time
	SwitchURL      string // sign in as another person
	CancelAction   string // posts action=cancel; "" shows no such button
}

// FactorChoice leads to the page with another method.
type FactorChoice struct{ Method, URL string }

// What Factor.Method can be.
const (
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

// Policy lets the form lead to the application.
func (f Factor) Policy() Policy { return Policy{Forms: f.App.leadsTo()} }

func factorSamples() []sample {
	app := sampleApp
	recovery := []FactorChoice{{Method: MethodRecovery, URL: "/mfa?i=1&method=recovery"}}
	return []sample{
		{"first", Factor{
			App: &app, Person: samplePerson, Action: "/mfa?i=1", CSRF: "c", Method: MethodTOTP, Others: recovery, SwitchURL: "/login?i=1&switch=1",
			CancelAction: "/mfa?i=1",
		}},
		{"wrong", Factor{App: &app, Person: samplePerson, Action: "/mfa?i=1", CSRF: "c", Method: MethodTOTP, Error: FactorWrong, CancelAction: "/mfa?i=1"}},
		{"recovery", Factor{
			Person: samplePerson, Action: "/mfa?i=1", CSRF: "c", Method: MethodRecovery, Error: FactorThrottled,
			ThrottledUntil: sampleTime.Add(20 * time.Minute), Others: []FactorChoice{{Method: MethodTOTP, URL: "/mfa?i=1&method=totp"}},
		}},
		{"empty", Factor{}},
	}
}
