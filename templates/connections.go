package templates

import "time"

// Connections shows a person which applications they have let in. Its forms post csrf and
// action=disconnect with client_id to Action.
type Connections struct {
	Frame
	Apps  []AccountApp
	Pager Pager
}

// NoticeDisconnected is what Connections.Notice says: a key of a message.
const NoticeDisconnected = "account.disconnected"

// AccountApp is one application that the person has let in.
type AccountApp struct {
	ClientID        string
	App             App
	Scopes          []ScopeItem
	Since, LastUsed time.Time
	Offline         bool // it may act while the person is away
}

func (Connections) file() string { return "account/connections" }

// Policy is the least: the forms go to ourselves.
func (Connections) Policy() Policy { return Policy{} }

func connectionsSamples() []sample {
	full := Connections{
		Frame: sampleFrame(NavConnections, "/account/connections"),
		Apps: []AccountApp{
			{
				ClientID: "notes", App: sampleApp, Scopes: sampleScopes, Offline: true,
				Since: sampleTime.Add(-2000 * time.Hour), LastUsed: sampleTime.Add(-time.Minute),
			},
			{ClientID: "dash", App: sampleStranger, Since: sampleTime.Add(-5 * time.Hour)},
		},
	}
	full.Notice = NoticeDisconnected
	return []sample{{"full", full}, {"none", Connections{Frame: sampleFrame(NavConnections, "")}},
		{"empty", Connections{}}}
}
