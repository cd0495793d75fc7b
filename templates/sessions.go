package templates

import (
	"net/netip"
	"time"
)

// Sessions shows a person where they are signed in. Its forms post csrf and action=end-session with
// id, or action=end-other-sessions, to Action.
type Sessions struct {
	Frame
	Sessions []AccountSession
	Others   bool // there is another one than this
	Pager    Pager
}

// What Sessions.Notice can say: keys of messages.
const (
	NoticeSessionEnded  = "account.session-ended"
	NoticeSessionsEnded = "account.sessions-ended"
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

func (Sessions) file() string { return "account/sessions" }

// Policy is the least: the forms go to ourselves.
func (Sessions) Policy() Policy { return Policy{} }

func sessionsSamples() []sample {
	full := Sessions{
		Frame: sampleFrame(NavSessions, "/account/sessions"), Others: true,
		Sessions: []AccountSession{
			{
				ID: "s1", Device: "Firefox on Linux", Address: "192.0.2.7", Current: true,
				SignedInAt: sampleTime.Add(-time.Hour), LastSeen: sampleTime, Apps: []string{"Field Notes", "Wiki",
					"Chat"},
			},
			{
				ID: "s2", Address: "::1", SignedInAt: sampleTime.Add(-100 * time.Hour),
				LastSeen: sampleTime.Add(-30 * time.Hour),
			},
		},
		Pager: Pager{From: 21, To: 22, Total: 50, NewerURL: "/account/sessions", OlderURL: "/account/sessions?page=3"},
	}
	full.Notice = NoticeSessionEnded
	alone := full
	alone.Sessions, alone.Others, alone.Pager, alone.Notice = full.Sessions[:1], false, Pager{}, ""
	return []sample{{"full", full}, {"alone", alone}, {"empty", Sessions{}}}
}
