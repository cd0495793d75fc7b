package templates

import "time"

// Activity shows a person what happened with their account.
type Activity struct {
	Frame
	Events []ActivityEvent
	Pager  Pager
}

// ActivityEvent is one thing that happened.
type ActivityEvent struct {
	Verb    string // of the audit log
	App     string // the application that it was about, or through which it was done
	Time    time.Time
	Device  string
	Address string
	Refused bool // it was tried, and did not succeed
	Admin   bool // somebody else did it, who administers
	Count   int  // how many like it it stands for; 0 is 1
}

// Words is the key of the message that says it.
func (e ActivityEvent) Words() string {
	if e.Verb == "user.set_password" {
		return "activity.user.password"
	}
	if key := "activity." + e.Verb; english().messages[key] != nil {
		return key
	}
	return "activity.other"
}

// Event says what happened.
func (v view) Event(e ActivityEvent) phrase { return v.t(e.Words(), Args{"app": e.App}) }

// Via is the application through which it was done, if the words do not name it.
func (e ActivityEvent) Via() string {
	if len(english().messages[e.Words()].values()) > 0 {
		return ""
	}
	return e.App
}

func (Activity) file() string { return "account/activity" }

// Policy is the least: there is no form.
func (Activity) Policy() Policy { return Policy{} }

func activitySamples() []sample {
	ago := func(h int) time.Time { return sampleTime.Add(-time.Duration(h) * time.Hour) }
	return []sample{
		{"full", Activity{
			Frame: sampleFrame(NavActivity, ""),
			Events: []ActivityEvent{
				{Verb: "session.begin", App: "Field Notes", Time: ago(0), Device: "Firefox on Linux",
					Address: "192.0.2.7"},
				{Verb: "session.begin", Time: ago(1), Address: "198.51.100.9", Refused: true, Count: 8},
				{Verb: "consent.grant", App: "Wiki", Time: ago(30)},
				{Verb: "user.set_password", Time: ago(50), Admin: true},
				{Verb: "user.something_new", Time: ago(100)},
			},
			Pager: Pager{OlderURL: "/account/activity?before=x"},
		}},
		{"none", Activity{Frame: sampleFrame(NavActivity, "")}},
		{"empty", Activity{}},
	}
}
