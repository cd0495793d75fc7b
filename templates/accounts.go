package templates

// Accounts lets the person choose with which account to go on (prompt=select_account). The buttons
// post account=current or account=other.
type Accounts struct {
	App          *App
	Person       Person
	Action, CSRF string
}

func (Accounts) file() string { return "signin/accounts" }

// Policy lets the form lead to the application.
func (a Accounts) Policy() Policy { return Policy{Forms: a.App.leadsTo()} }

func accountsSamples() []sample {
	app := sampleApp
	return []sample{
		{"app", Accounts{App: &app, Person: samplePerson, Action: "/accounts?i=1", CSRF: "c"}},
		{"empty", Accounts{}},
	}
}
