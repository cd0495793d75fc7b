package templates

// Consent asks the person what the application may have (OIDC Core §3.1.2.4). The buttons post
// decision=allow or decision=deny.
type Consent struct {
	App          App
	Person       Person
	Action, CSRF string
	Scopes       []ScopeItem
	SwitchURL    string // "not you?"
}

func (Consent) file() string { return "signin/consent" }

// Policy lets the form lead to the application.
func (c Consent) Policy() Policy { return Policy{Forms: c.App.LeadsTo} }

func consentSamples() []sample {
	return []sample{
		{"more", Consent{
			App: sampleApp, Person: samplePerson, Action: "/consent?i=1", CSRF: "c",
			Scopes: sampleScopes, SwitchURL: "/login?i=1&switch=1",
		}},
		{"nothing", Consent{App: sampleStranger, Person: Person{Username: "ada", Picture: "/picture/ada"}}},
	}
}
