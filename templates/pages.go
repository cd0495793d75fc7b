package templates

import "time"

// Page is what Render takes: one of the structs below.
type Page interface{ name() string }

// App is an application as the person is told of it. Every member but Name may be empty.
type App struct {
	Name       string
	LogoURI    string // picture to show, best one that we serve ourselves
	HomeURI    string // OIDC Registration §2 client_uri
	PolicyURI  string // OIDC Registration §2 policy_uri
	TOSURI     string // OIDC Registration §2 tos_uri
	Host       string // host of the redirect URI: where the answer goes
	Unverified bool   // it registered itself, and nobody here has looked at it
}

// Person is somebody as we show them to themselves.
type Person struct{ Name, Username, Email, Picture string }

// What Login.Error can say. Any other text is shown as it is.
const (
	LoginWrong      = "login.wrong"      // username or password, never which
	LoginIncomplete = "login.incomplete" // a field was left empty
	LoginThrottled  = "login.throttled"  // with ThrottledUntil: when to try again
)

// Login is the sign-in page. Its form posts csrf, username, password and, if ticked, remember to Action.
type Login struct {
	App            *App   // nil: for our own pages
	Action         string // where the form goes
	CSRF           string
	Username       string // what was typed or hinted before
	Error          string // LoginWrong, LoginIncomplete, LoginThrottled or a sentence; "" at first
	ThrottledUntil time.Time
	Remember       bool    // whether the box is ticked
	Reauthenticate *Person // somebody is signed in and has to prove it once more; there is no #username then
	SwitchURL      string  // with Reauthenticate: sign in as somebody else
	CancelAction   string  // posts action=cancel; "" shows no such button
}

// Consent asks the person what the application may have (OIDC Core §3.1.2.4). The buttons post decision=allow or decision=deny.
type Consent struct {
	App          App
	Person       Person
	Action, CSRF string
	Scopes       []ScopeItem
	SwitchURL    string // "not you?"
}

// ScopeItem is one thing that an application wants, as a sentence for a person. Set.Scopes makes them.
type ScopeItem struct {
	Name   string // the scope, claim or resource itself
	Title  string
	Detail string // may be empty
	New    bool   // was not allowed before
}

// Accounts lets the person choose with which account to go on (prompt=select_account). The buttons post account=current or account=other.
type Accounts struct {
	App          *App
	Person       Person
	Action, CSRF string
}

// Error says what went wrong, and what to do next. Title, Message and Advice are English sentences; those that the catalogue knows
// are shown in the person's language.
type Error struct {
	Title, Message, Advice string
	RequestID              string // also in the log
	BackURL, BackName      string // a way back, if there is a safe one
	Details                [][2]string
}

// Refused tells a person who is signed in that they may not use this application: why, and whom to ask.
type Refused struct {
	App        App
	Person     Person
	Reason     string // not_in_group, user_disabled, client_disabled, or a sentence
	Contact    string // mail address, https address or words
	RequestID  string
	BackURL    string // a link back to the application, or
	BackAction string // a form that posts csrf and decision=deny there
	CSRF       string
	SwitchURL  string // sign in as somebody else
}

// LogoutConfirm asks before signing somebody out (RP-Initiated Logout §2). Its form posts csrf and Fields to Action.
type LogoutConfirm struct {
	App          *App
	Person       Person
	Action, CSRF string
	Fields       [][2]string // carried through as hidden inputs
}

// LoggedOut says that the person is signed out, and which applications know. With ReloadURL the page looks again after
// RefreshSeconds; without, and with a ContinueURL and RefreshSeconds, it goes on there by itself.
type LoggedOut struct {
	Apps             []LoggedOutApp
	Frames           []string // front-channel logout addresses (Front-Channel Logout §2), loaded in frames
	ContinueURL      string
	ContinueName     string // of the application there
	RefreshSeconds   int
	ReloadURL        string
	AlreadySignedOut bool // there was nobody to sign out
}

// LoggedOutApp is what became of one application.
type LoggedOutApp struct {
	Name  string
	State string // told, waiting, failed, browser (told by a frame of this page), none (cannot be told, keeps its own session)
}

// Account is the person's own page. Its forms post csrf and action=end-session with id, action=end-other-sessions, or
// action=disconnect with client_id, to Action.
type Account struct {
	Person       Person
	Claims       [][2]string // claim name and value; names of standard claims are shown in words
	Groups       []string
	Sessions     []AccountSession
	Apps         []AccountApp
	CSRF, Action string
	Notice       string // what was just done: NoticeSessionEnded and so on, or a sentence
}

// What Account.Notice can say. Any other text is shown as it is.
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

// AccountApp is one application that the person has let in.
type AccountApp struct {
	ClientID        string
	App             App
	Scopes          []ScopeItem
	Since, LastUsed time.Time
	Offline         bool // it may act while the person is away
}

// FormPost sends the response to the application by a form that submits itself (OAuth 2.0 Form Post Response Mode §2).
type FormPost struct {
	Action  string
	Fields  [][2]string
	AppName string
}

// CheckSession is the frame in which applications ask whether the session is still the one they know (OIDC Session Management §3.2).
type CheckSession struct {
	CookieName string // of the cookie with the browser's state, which scripts can read
}

func (Login) name() string         { return "login" }
func (Consent) name() string       { return "consent" }
func (Accounts) name() string      { return "accounts" }
func (Error) name() string         { return "error" }
func (Refused) name() string       { return "refused" }
func (LogoutConfirm) name() string { return "logout_confirm" }
func (LoggedOut) name() string     { return "logged_out" }
func (Account) name() string       { return "account" }
func (FormPost) name() string      { return "form_post" }
func (CheckSession) name() string  { return "check_session" }
