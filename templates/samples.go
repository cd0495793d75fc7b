package templates

import "time"

// samples are pages with everything on them and pages with nothing. New renders them all, the tests look at what comes out.
func samples() []Page {
	at := time.Date(2026, 11, 23, 20, 15, 0, 0, time.UTC)
	app := App{
		Name: "Field Notes", LogoURI: "/logo/field-notes", HomeURI: "https://notes.example/", PolicyURI: "https://notes.example/privacy",
		TOSURI: "https://notes.example/terms", Host: "notes.example",
	}
	stranger := App{Name: "Shiny Dashboards", Host: "dash.example", Unverified: true}
	ada := Person{Name: "Ada Lovelace", Username: "ada", Email: "ada@example.org"}
	scopes := []ScopeItem{
		{Name: "openid", Title: "Know that it’s you", Detail: "It is told an identifier that stands for you, and when you signed in."},
		{Name: "email", Title: "See your e-mail address", Detail: "And whether it has been confirmed."},
		{Name: "offline_access", Title: "Stay connected while you are away", Detail: "It may go on using what you allow here after you have closed it.", New: true},
	}
	return []Page{
		Login{App: &app, Action: "/login?i=1", CSRF: "c", CancelAction: "/login?i=1"},
		Login{App: &app, Action: "/login?i=1", CSRF: "c", Username: "ada", Error: LoginWrong, Remember: true, CancelAction: "/login?i=1"},
		Login{Action: "/login?i=1", CSRF: "c", Username: "ada", Error: LoginThrottled, ThrottledUntil: at.Add(5 * time.Minute)},
		Login{App: &stranger, Action: "/login?i=1", CSRF: "c", Username: "ada", Reauthenticate: &ada, SwitchURL: "/login?i=1&switch=1"},
		Login{},
		Consent{App: app, Person: ada, Action: "/consent?i=1", CSRF: "c", Scopes: scopes, SwitchURL: "/login?i=1&switch=1"},
		Consent{App: stranger, Person: Person{Username: "ada", Picture: "/picture/ada"}},
		Accounts{App: &app, Person: ada, Action: "/accounts?i=1", CSRF: "c"},
		Accounts{},
		Error{
			Title: "This request cannot be answered", Message: "The redirect_uri is not registered.", Advice: "Go back and try again.", RequestID: "8QK4-7TZM",
			BackURL: "https://notes.example/", BackName: "Field Notes", Details: [][2]string{{"error", "invalid_request"}, {"redirect_uri", "https://notes.example/wrong"}},
		},
		Error{},
		Refused{App: app, Person: ada, Reason: "not_in_group", Contact: "it@example.org", RequestID: "8QK4-7TZM", BackAction: "/consent?i=1", CSRF: "c", SwitchURL: "/login?i=1&switch=1"},
		Refused{App: stranger, Person: ada, Reason: "Try on Monday.", BackURL: "https://dash.example/"},
		LogoutConfirm{App: &app, Person: ada, Action: "/logout/confirm", CSRF: "c", Fields: [][2]string{{"client_id", "notes"}, {"state", "a&b"}}},
		LogoutConfirm{},
		LoggedOut{
			Apps:   []LoggedOutApp{{"Field Notes", "told"}, {"Wiki", "waiting"}, {"Old Intranet", "failed"}, {"Mail", "browser"}, {"Chat", "none"}},
			Frames: []string{"https://mail.example/logout?iss=x&sid=y"}, RefreshSeconds: 2, ReloadURL: "/logout/done?r=1&look=1",
		},
		LoggedOut{AlreadySignedOut: true, ContinueURL: "https://notes.example/bye?state=a", ContinueName: "Field Notes", RefreshSeconds: 2},
		LoggedOut{ContinueURL: "org.example.app:/signed-out"},
		Account{
			Person: ada, Claims: [][2]string{{"name", "Ada Lovelace"}, {"email", "ada@example.org"}, {"shoe_size", "38"}}, Groups: []string{"engineers", "admins"},
			Sessions: []AccountSession{
				{ID: "s1", Device: "Firefox on Linux", Address: "192.0.2.7", Current: true, SignedInAt: at.Add(-time.Hour), LastSeen: at, Apps: []string{"Field Notes", "Wiki"}},
				{ID: "s2", SignedInAt: at.Add(-100 * time.Hour), LastSeen: at.Add(-30 * time.Hour)},
			},
			Apps: []AccountApp{
				{ClientID: "notes", App: app, Scopes: scopes, Since: at.Add(-2000 * time.Hour), LastUsed: at.Add(-time.Minute), Offline: true},
				{ClientID: "dash", App: stranger, Since: at.Add(-5 * time.Hour)},
			},
			CSRF: "c", Action: "/account", Notice: NoticeSessionEnded,
		},
		Account{},
		FormPost{Action: "https://notes.example/callback", Fields: [][2]string{{"code", "abc"}, {"state", "\"><script>"}}, AppName: "Field Notes"},
		FormPost{Action: "https://notes.example/callback"},
		CheckSession{CookieName: "__Host-latchkey-state"},
	}
}
