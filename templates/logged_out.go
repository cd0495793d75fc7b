package templates

// LoggedOut says that the person is signed out, and which applications know. With ReloadURL the
// page looks again after RefreshSeconds; without, and with a ContinueURL and RefreshSeconds, it
// goes on there by itself.
type LoggedOut struct {
	Apps             []LoggedOutApp
	Frames           []string // front-channel logout addresses (Front-Channel Logout §2), loaded in frames
	ContinueURL      string
	ContinueName     string // of the application there
	RefreshSeconds   int
	ReloadURL        string
	AlreadySignedOut bool // nobody was signed in
}

// LoggedOutApp is what became of one application.
type LoggedOutApp struct {
	Name string
	// told, waiting, failed, browser (told by a frame of this page), none (cannot be told, keeps
	// its own session)
	State string
}

func (LoggedOut) file() string { return "account/logged_out" }

// Policy lets the applications' addresses be loaded in frames.
func (l LoggedOut) Policy() Policy { return Policy{Frames: l.Frames} }

func loggedOutSamples() []sample {
	return []sample{
		{"apps", LoggedOut{
			Apps: []LoggedOutApp{
				{"Field Notes", "told"}, {"Wiki", "waiting"}, {"Old Intranet", "failed"}, {"Mail", "browser"},
				{"Chat", "none"},
			},
			Frames:         []string{"https://mail.example/logout?iss=x&sid=y"},
			RefreshSeconds: 2, ReloadURL: "/logout/done?r=1&look=1",
		}},
		{"already", LoggedOut{
			AlreadySignedOut: true, RefreshSeconds: 2,
			ContinueURL: "https://notes.example/bye?state=a", ContinueName: "Field Notes",
		}},
		{"native", LoggedOut{ContinueURL: "org.example.app:/signed-out"}},
		{"empty", LoggedOut{}},
	}
}
