package templates

import "time"

// What the samples of several pages show.
var (
	sampleTime = time.Date(2026, 11, 23, 20, 15, 0, 0, time.UTC)
	sampleApp  = App{
		Name: "Field Notes", LogoURI: "/logo/field-notes", HomeURI: "https://notes.example/",
		PolicyURI: "https://notes.example/privacy", TOSURI: "https://notes.example/terms", Host: "notes.example",
		LeadsTo: []string{"https://notes.example/callback"},
	}
	sampleStranger = App{
		Name: "Shiny Dashboards", Host: "dash.example", Unverified: true,
		LeadsTo: []string{"com.example.dash:/callback"},
	}
	samplePerson = Person{Name: "Ada Lovelace", Username: "ada", Email: "ada@example.org"}
	sampleScopes = []ScopeItem{
		{Name: "openid", Title: "Know that it’s you",
			Detail: "It receives an identifier for you, and the time when you signed in."},
		{Name: "email", Title: "See your e-mail address", Detail: "And whether it has been confirmed."},
		{
			Name: "offline_access", Title: "Stay connected while you are away", New: true,
			Detail: "It can go on using what you allow here after you have closed it.",
		},
	}
)
