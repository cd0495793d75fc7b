package templates

import "strings"

// Error says what went wrong, and what to do next. Problem names the words; Args are the values in
// them.
type Error struct {
	Problem   Problem
	Args      Args
	RequestID string // also in the log
	BackURL   string // a way back, if there is a safe one: an address of the application
	BackName  string // its name
	Details   [][2]string
}

// Problem is what an error page is about. Its words are three messages: problem.NAME.title, .text
// and .advice; the last two may be missing. One with a dot in its name takes what it lacks from the
// one before the dot.
type Problem string

// What error pages can be about.
const (
	BadRequest       Problem = "bad-request"              // the application's request is wrong; Details say how
	NotFound         Problem = "not-found"                // no page has this address
	MethodNotAllowed Problem = "method-not-allowed"       // with "methods", a list
	Unavailable      Problem = "unavailable"              // something that the provider needs does not respond
	Internal         Problem = "internal"                 // our fault
	TooMany          Problem = "too-many"                 // this address asks for too much; try again later
	ForeignForm      Problem = "foreign-form"             // a form of ours was sent from another site
	CookieMissing    Problem = "cookie-missing"           // a form came without the browser's cookie
	FormExpired      Problem = "form-expired"             // a form was made for another browser or request
	SignInEnded      Problem = "sign-in-ended"            // the interaction is finished, or too old
	SignInDone       Problem = "sign-in-ended.done"       // the interaction is finished
	OtherBrowser     Problem = "other-browser"            // the interaction belongs to another browser
	ClientUnknown    Problem = "client-unknown"           // no such client_id, or a disabled one
	RedirectUnknown  Problem = "redirect-unknown"         // the redirect_uri is not registered
	RedirectMissing  Problem = "redirect-unknown.missing" // there is no redirect_uri
	NothingChosen    Problem = "nothing-chosen"           // a form came without the value of its button
	LinkOther        Problem = "link-other"               // the link of a mail is for another account
	LinkGone         Problem = "link-gone"                // the link of a mail was used, replaced, or is too old
	SessionGone      Problem = "gone.session"             // the session that was to be ended is not there
	ConnectionGone   Problem = "gone.connection"          // the application that was to be disconnected is not there
	// what proves who the person is, and was to be changed, is not there
	MethodGone         Problem = "gone.method"
	PasskeyTooLate     Problem = "passkey.over"       // the challenge for a new passkey was too old, or used
	PasskeyRefused     Problem = "passkey.wrong"      // what came is no passkey that can be taken
	PasskeyNotAdded    Problem = "passkey.known"      // it is registered already, or there are as many as there can be
	LastWayIn          Problem = "last-way-in"        // without it the person could not sign in
	LogoutHintInvalid  Problem = "logout.hint"        // the id_token_hint is no ID token of this provider
	LogoutClientDiffer Problem = "logout.client"      // client_id and id_token_hint name two applications
	LogoutRedirect     Problem = "logout.redirect"    // the post_logout_redirect_uri is not registered
	SignedOutExpired   Problem = "signed-out-expired" // the signed-out page is of an earlier sign-out

	NotAdministrator Problem = "not-administrator" // whoever is signed in administers nothing
	NotForThisRole   Problem = "not-for-this-role" // the role does not include it
	ObjectGone       Problem = "object-gone"       // what was to be looked at or changed is not there
	ObjectChanged    Problem = "object-changed"    // somebody else was faster, or it is needed
	SetUpGone        Problem = "set-up-gone"       // the set-up link was used, or is too old
)

// problems lists them all, for the tests.
var problems = []Problem{
	BadRequest, NotFound, MethodNotAllowed, Unavailable, Internal, TooMany, ForeignForm, CookieMissing, FormExpired,
	SignInEnded, SignInDone, OtherBrowser, ClientUnknown, RedirectUnknown, RedirectMissing, NothingChosen, LinkGone,
	LinkOther, SessionGone, ConnectionGone,
	MethodGone, PasskeyTooLate, PasskeyRefused, PasskeyNotAdded, LastWayIn,
	LogoutHintInvalid, LogoutClientDiffer, LogoutRedirect, SignedOutExpired, NotAdministrator,
	NotForThisRole, ObjectGone, ObjectChanged, SetUpGone,
}

// key is that of the problem's message for a part of the page, "" if it has none.
func (p Problem) key(part string) string {
	for name := string(p); ; {
		if key := "problem." + name + "." + part; english().messages[key] != nil {
			return key
		}
		dot := strings.LastIndexByte(name, '.')
		if dot < 0 {
			return ""
		}
		name = name[:dot]
	}
}

// plain writes typographic marks with the characters that an error_description may have (RFC 6749
// §5.2).
var plain = strings.NewReplacer("’", "'", "“", "'", "”", "'", "–", "-", "…", "...")

// Text is what happened, in English: for a program, or for the log.
func (e Error) Text() string {
	key := e.Problem.key("text")
	if key == "" {
		key = e.Problem.key("title")
	}
	return plain.Replace(Message{Key: key, Args: e.Args}.String())
}

func (Error) file() string { return "error" }

// Policy is the least: there is no form.
func (Error) Policy() Policy { return Policy{} }

func errorSamples() []sample {
	return []sample{
		{"request", Error{
			Problem: BadRequest, RequestID: "8QK4-7TZM", BackURL: "https://notes.example/", BackName: "Field Notes",
			Details: [][2]string{{"error", "invalid_request"}, {"error_description", "code_challenge is required"}},
		}},
		{"method", Error{
			Problem: MethodNotAllowed, Args: Args{"methods": []string{"GET", "HEAD", "POST"}}, RequestID: "8QK4-7TZM",
		}},
		{"inherited", Error{Problem: LogoutRedirect, RequestID: "8QK4-7TZM"}},
		{"internal", Error{Problem: Internal, RequestID: "8QK4-7TZM"}},
		{"empty", Error{}},
	}
}
