package templates

// Password lets a person choose another password. Its form posts csrf, new_password,
// repeat_password and, if ticked, others to Action.
type Password struct {
	Frame
	MinLength int
	Error     string // as in Reset
	ErrorN    int
	Others    bool // whether the box to be signed out everywhere else is ticked
}

// NoticePasswordSet is what Password.Notice says: a key of a message.
const NoticePasswordSet = "reset-done.title"

func (Password) file() string { return "account/password" }

// Policy is the least: the form goes to ourselves.
func (Password) Policy() Policy { return Policy{} }

func passwordSamples() []sample {
	first := Password{Frame: sampleFrame(NavPassword, "/account/password"), MinLength: 10, Others: true}
	short := first
	short.Error, short.ErrorN = "short", 10
	return []sample{{"first", first}, {"short", short}, {"empty", Password{}}}
}
