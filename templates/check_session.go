package templates

// CheckSession is the frame in which applications ask whether the session is still the one they
// know (OIDC Session Management §3.2).
type CheckSession struct {
	CookieName string // of the cookie with the browser's state, which scripts can read
}

func (CheckSession) file() string { return "signin/check_session" }

// Policy lets every application frame the page, and a script answer it.
func (CheckSession) Policy() Policy { return Policy{Script: true, Framed: true} }

func checkSessionSamples() []sample {
	return []sample{{"frame", CheckSession{CookieName: "__Host-latchkey-state"}}}
}
