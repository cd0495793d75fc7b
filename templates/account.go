package templates

import (
	"net/netip"
	"strings"
	"time"
)

// Account is the person's own page. Its forms post csrf and action=end-session with id,
// action=end-other-sessions, or action=disconnect with client_id, to Action.
type Account struct {
	Person       Person
	MethodsURL   string      // where the person sees how they prove who they are
	Claims       [][2]string // claim name and value; names of standard claims are shown in words
	Groups       []string
	Sessions     []AccountSession
	Apps         []AccountApp
	CSRF, Action string
	Notice       string // what was just done: NoticeSessionEnded and so on
}

// What Account.Notice can say: keys of messages.
const (
	NoticeSessionEnded  = "account.session-ended"
	NoticeSessionsEnded = "account.sessions-ended"
	NoticeDisconnected  = "account.disconnected"
)

// AccountSession is one browser in which the person is signed in.
type AccountSession struct {
	ID, Device, Address  string
	Current              bool
	SignedInAt, LastSeen time.Time
	Apps                 []string // names of the applications that it reached
}

// Place is the address to show: one that leads back to the same machine tells a person nothing.
func (s AccountSession) Place() string {
	if a, err := netip.ParseAddr(s.Address); err == nil && a.IsLoopback() {
		return ""
	}
	return s.Address
}

// AccountApp is one application that the person has let in.
type AccountApp struct {
	ClientID        string
	App             App
	Scopes          []ScopeItem
	Since, LastUsed time.Time
	Offline         bool // it may act while the person is away
}

func (Account) file() string { return "account/account" }

// Policy is the least: the forms go to ourselves.
func (Account) Policy() Policy { return Policy{} }

// AccountDetail is one row of the profile.
type AccountDetail struct {
	Claim, Value string
	Confirmed    bool
}

// Details are the rows of the profile: that an address was confirmed stands beside it, and a name
// is not taken apart into the very words that it consists of.
func (a Account) Details() []AccountDetail {
	values := map[string]string{}
	for _, c := range a.Claims {
		values[c[0]] = c[1]
	}
	words := strings.Fields(values["name"])
	var out []AccountDetail
	for _, c := range a.Claims {
		switch name := c[0]; name {
		case "email_verified", "phone_number_verified":
			continue
		case "given_name", "family_name", "middle_name":
			if containsRun(words, strings.Fields(c[1])) {
				continue
			}
		}
		out = append(out, AccountDetail{Claim: c[0], Value: c[1], Confirmed: values[c[0]+"_verified"] == "true"})
	}
	return out
}

// containsRun reports whether all words of part follow each other in whole.
func containsRun(whole, part []string) bool {
	return len(part) > 0 && strings.Contains(" "+strings.Join(whole, " ")+" ", " "+strings.Join(part, " ")+" ")
}

func accountSamples() []sample {
	return []sample{
		{"full", Account{
			Person: samplePerson, MethodsURL: "/account/methods",
			Claims: [][2]string{
				{"preferred_username", "ada"}, {"name", "Ada Lovelace"}, {"given_name", "Ada"}, {"nickname", "Enchantress"},
				{"email", "ada@example.org"}, {"email_verified", "true"}, {"shoe_size", "38"},
			},
			Groups: []string{"engineers", "admins"},
			Sessions: []AccountSession{
				{
					ID: "s1", Device: "Firefox on Linux", Address: "192.0.2.7", Current: true,
					SignedInAt: sampleTime.Add(-time.Hour), LastSeen: sampleTime, Apps: []string{"Field Notes", "Wiki", "Chat"},
				},
				{
					ID: "s2", Address: "::1", SignedInAt: sampleTime.Add(-100 * time.Hour),
					LastSeen: sampleTime.Add(-30 * time.Hour),
				},
			},
			Apps: []AccountApp{
				{
					ClientID: "notes", App: sampleApp, Scopes: sampleScopes, Offline: true,
					Since: sampleTime.Add(-2000 * time.Hour), LastUsed: sampleTime.Add(-time.Minute),
				},
				{ClientID: "dash", App: sampleStranger, Since: sampleTime.Add(-5 * time.Hour)},
			},
			CSRF: "c", Action: "/account", Notice: NoticeSessionEnded,
		}},
		{"empty", Account{}},
	}
}
