package templates

import "time"

// Forgot lets a person who does not know their password ask for a mail. Its form posts csrf and
// username to Action.
type Forgot struct {
	Action, CSRF   string
	Username       string // what was typed before
	Error          string // ForgotIncomplete or LoginThrottled; "" at first
	ThrottledUntil time.Time
	BackURL        string        // back to the sign-in; "" when there is none to go back to
	LostURL        string        // for who has lost more than the password; "" when there is no such way
	LostWait       time.Duration // not 0: this is that way, and how long it takes
}

// ForgotIncomplete is what Forgot.Error says of an empty field.
const ForgotIncomplete = "forgot.incomplete"

func (Forgot) file() string { return "recovery/forgot" }

// Policy is the least: the form goes to ourselves.
func (Forgot) Policy() Policy { return Policy{} }

// ForgotSent says that a mail is on its way, if there is anybody to get one. It says the same for
// everybody.
type ForgotSent struct {
	Valid   time.Duration // how long the link in the mail works
	BackURL string        // as in Forgot
}

func (ForgotSent) file() string { return "recovery/forgot_sent" }

// Policy is the least: there is no form.
func (ForgotSent) Policy() Policy { return Policy{} }

func forgotSamples() []sample {
	return []sample{
		{"first", Forgot{Action: "/password/forgot", CSRF: "c", BackURL: "/login?i=1", LostURL: "/recovery"}},
		{"incomplete", Forgot{Action: "/password/forgot", CSRF: "c", Error: ForgotIncomplete}},
		{"throttled", Forgot{
			Action: "/password/forgot", CSRF: "c", Username: "ada", Error: LoginThrottled,
			ThrottledUntil: sampleTime.Add(20 * time.Minute),
		}},
		{"lost", Forgot{Action: "/recovery", CSRF: "c", LostWait: 72 * time.Hour}},
		{"empty", Forgot{}},
	}
}

func forgotSentSamples() []sample {
	return []sample{
		{"sent", ForgotSent{Valid: 30 * time.Minute, BackURL: "/login?i=1"}},
		{"empty", ForgotSent{}},
	}
}
