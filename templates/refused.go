package templates

// Refused tells a person who is signed in that they may not use this application: why, and whom to
// ask.
type Refused struct {
	App        App
	Person     Person
	Reason     string // not_in_group, user_disabled, client_disabled, user_unknown, client_unknown
	Contact    string // mail address, https address or words
	RequestID  string
	BackURL    string // a link back to the application, or
	BackAction string // a form that posts csrf and decision=deny there
	CSRF       string
	SwitchURL  string // sign in as another person
}

func (Refused) file() string { return "signin/refused" }

// Policy lets the form lead to the application.
func (r Refused) Policy() Policy { return Policy{Forms: r.App.LeadsTo} }

func refusedSamples() []sample {
	return []sample{
		{"group", Refused{
			App: sampleApp, Person: samplePerson, Reason: "not_in_group", Contact: "it@example.org",
			RequestID:  "8QK4-7TZM",
			BackAction: "/consent?i=1", CSRF: "c", SwitchURL: "/login?i=1&switch=1",
		}},
		{"link", Refused{App: sampleStranger, Person: samplePerson, Reason: "client_disabled",
			BackURL: "https://dash.example/"}},
	}
}
