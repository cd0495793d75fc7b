package templates

// SignUp lets somebody ask for an account. Its form posts csrf, email and name to Action.
type SignUp struct {
	Action, CSRF string
	Email, Name  string   // what was typed before
	Bad          bool     // the address is none, or none that may
	Domains      []string // of the addresses that may; none: all may
	Approval     bool     // an administrator looks at the account first
	BackURL      string   // back to the sign-in; "" when there is none to go back to
}

func (SignUp) file() string { return "signup/ask" }

// Policy is the least: the form goes to ourselves.
func (SignUp) Policy() Policy { return Policy{} }

// FinishSignUp lets somebody choose how they sign in. Its form posts csrf, name, username,
// new_password and repeat_password to Action.
type FinishSignUp struct {
	Action, CSRF          string
	Email, Name, Username string
	MinLength             int
	Taken                 bool   // the username cannot be used
	Error                 string // as in Reset
	ErrorN                int
}

func (FinishSignUp) file() string { return "signup/finish" }

// Policy is the least: the form goes to ourselves.
func (FinishSignUp) Policy() Policy { return Policy{} }

// SignedUp says that the account is made.
type SignedUp struct {
	Username    string
	Approval    bool   // it waits for an administrator
	ContinueURL string // the sign-in that it was made for; "": the person's own page
}

func (SignedUp) file() string { return "signup/done" }

// Policy is the least: there is no form.
func (SignedUp) Policy() Policy { return Policy{} }

func signUpSamples() []sample {
	return []sample{
		{"first", SignUp{Action: "/sign-up", CSRF: "c", BackURL: "/login?i=1"}},
		{"bad", SignUp{Action: "/sign-up", CSRF: "c", Email: "ada@example.net", Bad: true,
			Domains: []string{"example.com", "example.org"}}},
		{"approval", SignUp{Action: "/sign-up", CSRF: "c", Approval: true}},
		{"empty", SignUp{}},
	}
}

func finishSignUpSamples() []sample {
	first := FinishSignUp{Action: "/sign-up/finish", CSRF: "c", Email: "ada@example.org", Name: "Ada", MinLength: 10}
	taken, short := first, first
	taken.Username, taken.Taken = "ada", true
	short.Username, short.Error, short.ErrorN = "ada", "short", 10
	return []sample{{"first", first}, {"taken", taken}, {"short", short}, {"empty", FinishSignUp{}}}
}

func signedUpSamples() []sample {
	return []sample{
		{"done", SignedUp{Username: "ada", ContinueURL: "/login?i=1"}},
		{"approval", SignedUp{Username: "ada", Approval: true}}, {"empty", SignedUp{}},
	}
}
