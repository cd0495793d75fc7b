package templates

// Reset lets a person set a new password by the link of a mail. Its form posts csrf, new_password
// and repeat_password to Action.
type Reset struct {
	Words        string // one of the Reset constants; "" is ResetForgotten
	Person       Person
	Action, CSRF string
	MinLength    int // characters that a password needs
	// PasswordMissing, PasswordMismatch, or why the password is refused: the end of a key of a
	// message
	Error  string
	ErrorN int // the limit that Error is about
}

// What Reset.Words can say: the beginnings of keys of messages.
const (
	ResetForgotten = "reset"
	ResetInvited   = "invitation"
	ResetLost      = "lost-finish"
)

// Title and Lead are the keys of the messages.
func (r Reset) Title() string { return r.words() + ".title" }
func (r Reset) Lead() string  { return r.words() + ".lead" }

func (r Reset) words() string {
	if r.Words == ResetInvited || r.Words == ResetLost {
		return r.Words
	}
	return ResetForgotten
}

// What Reset.Error can say beside the reasons of the password policy.
const (
	PasswordMissing  = "missing"
	PasswordMismatch = "mismatch"
)

func (Reset) file() string { return "recovery/reset" }

// Policy is the least: the form goes to ourselves.
func (Reset) Policy() Policy { return Policy{} }

// ResetDone says that the new password is set, and leads to the sign-in.
type ResetDone struct{}

func (ResetDone) file() string { return "recovery/reset_done" }

// Policy is the least: there is no form.
func (ResetDone) Policy() Policy { return Policy{} }

func resetSamples() []sample {
	return []sample{
		{"first", Reset{Person: samplePerson, Action: "/password/reset", CSRF: "c", MinLength: 10}},
		{"short", Reset{Person: samplePerson, Action: "/password/reset", CSRF: "c", MinLength: 10, Error: "short",
			ErrorN: 10}},
		{"mismatch", Reset{Person: samplePerson, Action: "/password/reset", CSRF: "c", MinLength: 10,
			Error: PasswordMismatch}},
		{"invited", Reset{Words: ResetInvited, Person: samplePerson, Action: "/invitation", CSRF: "c", MinLength: 10}},
		{"lost", Reset{Words: ResetLost, Person: samplePerson, Action: "/recovery/finish", CSRF: "c", MinLength: 10}},
		{"empty", Reset{}},
	}
}

func resetDoneSamples() []sample { return []sample{{"done", ResetDone{}}} }
