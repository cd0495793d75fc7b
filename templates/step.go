package templates

import "time"

// Step is a page of the way back for who has lost everything, or of a link that is confirmed: it
// asks before something is done, and its form posts csrf to Action; or it says what was done.
type Step struct {
	Words        string        // one of the Step constants
	Wait         time.Duration // {wait} in the words
	Address      string        // {address} in the words
	Person       *Person       // whom it is about; nil: nobody is named
	Action, CSRF string        // "" shows no form, but a way to the sign-in
}

// What Step.Words can say: the beginnings of keys of messages.
const (
	StepLostBegin   = "lost-begin"
	StepLostBegun   = "lost-begun"
	StepLostStop    = "lost-stop"
	StepLostStopped = "lost-stopped"
	StepConfirm     = "confirm"
)

func (Step) file() string { return "recovery/step" }

// Policy is the least: the form goes to ourselves.
func (Step) Policy() Policy { return Policy{} }

// Step says the title, the lead or the button of a step; nothing for what it has no words for.
func (v view) Step(s Step, part string) phrase {
	key := s.Words + "." + part
	if part == "submit" && english().messages[key] == nil {
		key = s.Words + ".title"
	}
	if english().messages[key] == nil {
		return nil
	}
	return v.t(key, Args{"wait": v.Lasts(s.Wait), "address": s.Address})
}

func stepSamples() []sample {
	ada := samplePerson
	return []sample{
		{"begin", Step{Words: StepLostBegin, Wait: 72 * time.Hour, Person: &ada, Action: "/recovery/begin", CSRF: "c"}},
		{"begun", Step{Words: StepLostBegun, Wait: 72 * time.Hour}},
		{"stop", Step{Words: StepLostStop, Person: &ada, Action: "/recovery/stop", CSRF: "c"}},
		{"stopped", Step{Words: StepLostStopped}},
		{"confirm", Step{Words: StepConfirm, Address: "ada@example.net", Person: &ada,
			Action: "/account/address/confirm", CSRF: "c"}},
	}
}
