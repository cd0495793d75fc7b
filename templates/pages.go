package templates

// Page is what Render takes: one of the structs of this package. Each has a file of its own, with
// what it needs from a Content-Security-Policy and the samples that it is tested with.
type Page interface {
	// Policy is the Content-Security-Policy that the page must be sent with.
	Policy() Policy

	file() string // its template in html/, without the extension
}

// pages is the table of every page: the samples of each, of which the first shows the page as it is
// met most often.
var pages = []struct {
	file    string
	samples func() []sample
}{
	{Login{}.file(), loginSamples},
	{Factor{}.file(), factorSamples},
	{NewPasskey{}.file(), newPasskeySamples},
	{Accounts{}.file(), accountsSamples},
	{Consent{}.file(), consentSamples},
	{Refused{}.file(), refusedSamples},
	{FormPost{}.file(), formPostSamples},
	{CheckSession{}.file(), checkSessionSamples},
	{Forgot{}.file(), forgotSamples},
	{ForgotSent{}.file(), forgotSentSamples},
	{Reset{}.file(), resetSamples},
	{ResetDone{}.file(), resetDoneSamples},
	{Step{}.file(), stepSamples},
	{SignUp{}.file(), signUpSamples},
	{FinishSignUp{}.file(), finishSignUpSamples},
	{SignedUp{}.file(), signedUpSamples},
	{Account{}.file(), accountSamples},
	{Profile{}.file(), profileSamples},
	{Address{}.file(), addressSamples},
	{Password{}.file(), passwordSamples},
	{Sessions{}.file(), sessionsSamples},
	{Connections{}.file(), connectionsSamples},
	{Activity{}.file(), activitySamples},
	{Preferences{}.file(), preferencesSamples},
	{Data{}.file(), dataSamples},
	{Deleted{}.file(), deletedSamples},
	{Methods{}.file(), methodsSamples},
	{EnrolTOTP{}.file(), enrolTOTPSamples},
	{RecoveryCodes{}.file(), recoveryCodesSamples},
	{LogoutConfirm{}.file(), logoutConfirmSamples},
	{LoggedOut{}.file(), loggedOutSamples},
	{Console{}.file(), consoleSamples},
	{Error{}.file(), errorSamples},
}

// sample is a page as it may be asked for: with everything on it, with nothing, or in a case of its
// own. New renders them all, and the tests look at what comes out. The name is the case; it is
// unique for the page.
type sample struct {
	name string
	page Page
}

// App is an application as the person is told of it. Every member but Name may be empty.
type App struct {
	Name       string
	LogoURI    string   // picture to show: a path of ours, pages load pictures from nowhere else
	HomeURI    string   // OIDC Registration §2 client_uri
	PolicyURI  string   // OIDC Registration §2 policy_uri
	TOSURI     string   // OIDC Registration §2 tos_uri
	Host       string   // host of the redirect URI: where the answer goes
	Accent     string   // colour of its pages, such as #14594a
	Welcome    string   // a line on the sign-in page
	Unverified bool     // it registered itself, and nobody here has looked at it
	LeadsTo    []string // addresses that a form of the page may lead to at the end of its redirects
}

// leadsTo is App.LeadsTo of an application that may be missing.
func (a *App) leadsTo() []string {
	if a == nil {
		return nil
	}
	return a.LeadsTo
}

// Person is a person as we show them to themselves. Picture is a path of ours.
type Person struct{ Name, Username, Email, Picture string }
