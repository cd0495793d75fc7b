package templates

// LogoutConfirm asks whether the person wants to sign out (RP-Initiated Logout §2).
type LogoutConfirm struct {
	App          *App
	Person       Person
	Action, CSRF string
	Fields       [][2]string // carried through as hidden inputs
}

func (LogoutConfirm) file() string { return "account/logout_confirm" }

// Policy lets the form lead to the application.
func (l LogoutConfirm) Policy() Policy { return Policy{Forms: l.App.leadsTo()} }

func logoutConfirmSamples() []sample {
	app := sampleApp
	return []sample{
		{"app", LogoutConfirm{
			App: &app, Person: samplePerson, Action: "/logout/confirm", CSRF: "c",
			Fields: [][2]string{{"client_id", "notes"}, {"state", "a&b"}},
		}},
		{"own", LogoutConfirm{Person: samplePerson, Action: "/logout/confirm", CSRF: "c"}},
		{"empty", LogoutConfirm{}},
	}
}
