package templates

// Page is what Render takes: one of the structs of this package. Each has a file of its own, with
// what it needs from a Content-Security-Policy and the samples that it is tested with.
type Page interface {
	// Policy is the Content-Security-Policy that the page must be sent with.
	Policy() Policy

	file() string // its template in html/, without the extension
}

// pageRow is one row of the table of pages.
type pageRow struct {
	file    string
	samples func() []sample // the first shows the page as it is met most often
	ids     []string        // of elements that automation looks for: every sample has them, for good
}

// pages is the table of every page.
var pages = []pageRow{
	{Login{}.file(), loginSamples, []string{"login-page", "password", "login-submit"}},
	{Factor{}.file(), factorSamples, []string{"mfa-page"}},
	{NewPasskey{}.file(), newPasskeySamples,
		[]string{"passkey-page", "passkey", "passkey-form", "passkey-use"}},
	{Accounts{}.file(), accountsSamples, []string{"accounts-page", "account-current", "account-other"}},
	{Consent{}.file(), consentSamples, []string{"consent-page", "consent-allow", "consent-deny"}},
	{Refused{}.file(), refusedSamples, []string{"refused"}},
	{FormPost{}.file(), formPostSamples, []string{"form-post", "form-post-continue"}},
	{Onward{}.file(), onwardSamples, []string{"onward"}},
	{CheckSession{}.file(), checkSessionSamples, nil},
	{Forgot{}.file(), forgotSamples, []string{"forgot-page", "username", "forgot-submit"}},
	{ForgotSent{}.file(), forgotSentSamples, []string{"forgot-sent"}},
	{Reset{}.file(), resetSamples, []string{"reset-page", "new-password", "repeat-password", "reset-submit"}},
	{ResetDone{}.file(), resetDoneSamples, []string{"reset-done", "reset-sign-in"}},
	{Step{}.file(), stepSamples, []string{"step-page"}},
	{SignUp{}.file(), signUpSamples, []string{"sign-up-page", "sign-up-submit"}},
	{FinishSignUp{}.file(), finishSignUpSamples, []string{"finish-page", "finish-submit"}},
	{SignedUp{}.file(), signedUpSamples, []string{"signed-up"}},
	{Account{}.file(), accountSamples, []string{"account-page"}},
	{Profile{}.file(), profileSamples, []string{"profile-page"}},
	{Address{}.file(), addressSamples, []string{"address-page"}},
	{Password{}.file(), passwordSamples,
		[]string{"password-page", "new-password", "repeat-password", "others", "password-submit"}},
	{Sessions{}.file(), sessionsSamples, []string{"sessions-page"}},
	{Connections{}.file(), connectionsSamples, []string{"connections-page"}},
	{Activity{}.file(), activitySamples, []string{"activity-page"}},
	{Preferences{}.file(), preferencesSamples,
		[]string{"language-page", "locale", "zoneinfo", "language-save"}},
	{Data{}.file(), dataSamples, []string{"data-page", "data-export"}},
	{Deleted{}.file(), deletedSamples, []string{"deleted", "deleted-sign-in"}},
	{Methods{}.file(), methodsSamples, []string{"methods-page"}},
	{EnrolTOTP{}.file(), enrolTOTPSamples, []string{"totp-page", "code", "totp-submit"}},
	{RecoveryCodes{}.file(), recoveryCodesSamples, []string{"recovery-page"}},
	{LogoutConfirm{}.file(), logoutConfirmSamples, []string{"logout-page", "logout-confirm"}},
	{LoggedOut{}.file(), loggedOutSamples, []string{"logged-out"}},
	{Console{}.file(), consoleSamples, []string{"content"}},
	{Error{}.file(), errorSamples, []string{"op-error"}},
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
