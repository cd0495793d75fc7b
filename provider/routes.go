package provider

import (
	"net/http"

	"latchkey/provider/registration"
	"latchkey/provider/web"
	"latchkey/templates"
)

// Methods of a page that only shows. What only looks at a page may do so by HEAD (RFC 9110 §9.3.2),
// but not where GET has consequences: a program that checks links must not sign anybody out, or use
// up what waits for a user.
var show = []string{http.MethodGet, http.MethodHead}

var (
	get  = []string{http.MethodGet}
	post = []string{http.MethodPost}
	both = []string{http.MethodGet, http.MethodPost}
)

// Endpoints is the one table of every endpoint.
func (p *Provider) Endpoints() []web.Endpoint {
	table := []web.Endpoint{
		// A user is looking.
		{Path: "/authorize", Methods: both, Audience: web.AudiencePage, Handler: p.SignIn.Authorize,
			Member: "authorization_endpoint"},
		{Path: "/login", Methods: show, Audience: web.AudienceForm, Handler: p.SignIn.ShowLogin},
		{Path: "/login", Methods: post, Audience: web.AudienceForm, Handler: p.SignIn.Login},
		{Path: "/mfa", Methods: show, Audience: web.AudienceForm, Handler: p.SignIn.ShowFactor},
		{Path: "/mfa", Methods: post, Audience: web.AudienceForm, Handler: p.SignIn.Factor},
		{Path: "/mfa/enrol", Methods: get, Audience: web.AudienceForm, Handler: p.SignIn.ShowEnrolment},
		{Path: "/mfa/enrol", Methods: post, Audience: web.AudienceForm, Handler: p.SignIn.Enrol},
		{Path: "/passkey", Methods: show, Audience: web.AudienceForm, Handler: p.SignIn.ShowOffer},
		{Path: "/passkey", Methods: post, Audience: web.AudienceForm, Handler: p.SignIn.Offer},
		{Path: "/consent", Methods: show, Audience: web.AudienceForm, Handler: p.SignIn.ShowConsent},
		{Path: "/consent", Methods: post, Audience: web.AudienceForm, Handler: p.SignIn.Consent},
		{Path: "/accounts", Methods: show, Audience: web.AudienceForm, Handler: p.SignIn.ShowAccounts},
		{Path: "/accounts", Methods: post, Audience: web.AudienceForm, Handler: p.SignIn.ChooseAccount},
		{Path: "/session", Methods: show, Audience: web.AudiencePage, Handler: p.SignIn.CheckSession,
			Member: "check_session_iframe"},
		{Path: "/logout", Methods: both, Audience: web.AudiencePage, Handler: p.Account.Logout,
			Member: "end_session_endpoint"},
		{Path: "/logout/confirm", Methods: post, Audience: web.AudienceForm, Handler: p.Account.ConfirmLogout},
		{Path: "/logout/done", Methods: show, Audience: web.AudienceForm, Handler: p.Account.LoggedOut},
		{Path: "/account", Methods: show, Audience: web.AudienceForm, Handler: p.Account.Account},
		{Path: "/account/profile", Methods: show, Audience: web.AudienceForm, Handler: p.Account.ShowProfile},
		{Path: "/account/profile", Methods: post, Audience: web.AudienceForm, Handler: p.Account.ChangeProfile},
		{Path: "/account/password", Methods: show, Audience: web.AudienceForm, Handler: p.Account.ShowPassword},
		{Path: "/account/password", Methods: post, Audience: web.AudienceForm, Handler: p.Account.ChangePassword},
		{Path: "/account/sessions", Methods: show, Audience: web.AudienceForm, Handler: p.Account.ShowSessions},
		{Path: "/account/sessions", Methods: post, Audience: web.AudienceForm, Handler: p.Account.ChangeSessions},
		{Path: "/account/connections", Methods: show, Audience: web.AudienceForm, Handler: p.Account.ShowConnections},
		{Path: "/account/connections", Methods: post, Audience: web.AudienceForm, Handler: p.Account.ChangeConnections},
		{Path: "/account/activity", Methods: show, Audience: web.AudienceForm, Handler: p.Account.ShowActivity},
		{Path: "/account/language", Methods: show, Audience: web.AudienceForm, Handler: p.Account.ShowPreferences},
		{Path: "/account/language", Methods: post, Audience: web.AudienceForm, Handler: p.Account.ChangePreferences},
		{Path: "/account/data", Methods: show, Audience: web.AudienceForm, Handler: p.Account.ShowData},
		{Path: "/account/data", Methods: post, Audience: web.AudienceForm, Handler: p.Account.ChangeData},
		{Path: "/.well-known/change-password", Methods: show, AtRoot: true, Audience: web.AudienceForm,
			Handler: p.Account.ChangePasswordAddress},
		{Path: "/account/methods", Methods: show, Audience: web.AudienceForm, Handler: p.Account.Methods},
		{Path: "/account/methods", Methods: post, Audience: web.AudienceForm, Handler: p.Account.ChangeMethods},
		{Path: "/account/methods/totp", Methods: show, Audience: web.AudienceForm, Handler: p.Account.EnrolTOTP},
		{Path: "/account/methods/totp", Methods: post, Audience: web.AudienceForm, Handler: p.Account.ConfirmTOTP},
		{Path: "/", Methods: show, Audience: web.AudienceForm, Handler: p.Account.Home},

		// A program is calling.
		{Path: "/token", Methods: post, Audience: web.AudienceCORS, Handler: p.Tokens.Token, Member: "token_endpoint"},
		{Path: "/par", Methods: post, Audience: web.AudienceCORS, Handler: p.SignIn.PushAuthorizationRequest,
			Member: "pushed_authorization_request_endpoint"},
		{Path: "/userinfo", Methods: both, Audience: web.AudienceCORS, Handler: p.Tokens.Userinfo,
			Member: "userinfo_endpoint"},
		{Path: "/revoke", Methods: post, Audience: web.AudienceCORS, Handler: p.Tokens.Revoke,
			Member: "revocation_endpoint"},
		{Path: "/introspect", Methods: post, Audience: web.AudienceAPI, Handler: p.Tokens.Introspect,
			Member: "introspection_endpoint"},

		// Anybody may read it.
		{Path: "/jwks", Methods: show, Audience: web.AudiencePublic, Handler: p.Registrations.JWKS, Member: "jwks_uri"},
		{Path: "/logo/{client_id}", Methods: show, Audience: web.AudiencePublic, Handler: p.Registrations.Logo},
		{Path: "/assets/", Methods: show, Prefix: true, Audience: web.AudiencePlain,
			Handler: web.Plain(http.StripPrefix(p.Web.Path, templates.Assets()))},
		{Path: "/look/", Methods: show, Prefix: true, Audience: web.AudiencePlain,
			Handler: web.Plain(http.StripPrefix(p.Web.Path, p.Templates.LookFiles()))},
		{Path: "/.well-known/webfinger", Methods: show, AtRoot: true, Audience: web.AudiencePublic,
			Handler: p.Registrations.Webfinger},
		{Path: "/healthz", Methods: show, AtRoot: true, Audience: web.AudiencePlain, Handler: p.Web.Healthz},
		{Path: "/readyz", Methods: show, AtRoot: true, Audience: web.AudiencePlain, Handler: p.Web.Readyz},
	}
	if p.Recovery != nil {
		table = append(table,
			web.Endpoint{Path: "/password/forgot", Methods: show, Audience: web.AudienceForm,
				Handler: p.Recovery.ShowForgot},
			web.Endpoint{Path: "/password/forgot", Methods: post, Audience: web.AudienceForm,
				Handler: p.Recovery.Forgot},
			web.Endpoint{Path: "/password/reset", Methods: show, Audience: web.AudienceForm,
				Handler: p.Recovery.ShowReset},
			web.Endpoint{Path: "/password/reset", Methods: post, Audience: web.AudienceForm, Handler: p.Recovery.Reset},
			web.Endpoint{Path: "/password/reset/done", Methods: show, Audience: web.AudienceForm,
				Handler: p.Recovery.ResetDone},
			web.Endpoint{Path: "/invitation", Methods: show, Audience: web.AudienceForm,
				Handler: p.Recovery.ShowInvitation},
			web.Endpoint{Path: "/invitation", Methods: post, Audience: web.AudienceForm,
				Handler: p.Recovery.AcceptInvitation},
			web.Endpoint{Path: "/account/address", Methods: show, Audience: web.AudienceForm,
				Handler: p.Account.ShowAddress},
			web.Endpoint{Path: "/account/address", Methods: post, Audience: web.AudienceForm,
				Handler: p.Account.AskAddress},
			web.Endpoint{Path: "/account/address/confirm", Methods: show, Audience: web.AudienceForm,
				Handler: p.Account.ShowConfirmAddress},
			web.Endpoint{Path: "/account/address/confirm", Methods: post, Audience: web.AudienceForm,
				Handler: p.Account.ConfirmAddress},
		)
	}
	table = append(table, p.Console.Endpoints()...)
	if p.Recovery != nil && p.LostWait > 0 {
		table = append(table,
			web.Endpoint{Path: "/recovery", Methods: show, Audience: web.AudienceForm, Handler: p.Recovery.ShowLost},
			web.Endpoint{Path: "/recovery", Methods: post, Audience: web.AudienceForm, Handler: p.Recovery.Lost},
			web.Endpoint{Path: "/recovery/begin", Methods: show, Audience: web.AudienceForm,
				Handler: p.Recovery.ShowBegin},
			web.Endpoint{Path: "/recovery/begin", Methods: post, Audience: web.AudienceForm, Handler: p.Recovery.Begin},
			web.Endpoint{Path: "/recovery/stop", Methods: show, Audience: web.AudienceForm,
				Handler: p.Recovery.ShowStop},
			web.Endpoint{Path: "/recovery/stop", Methods: post, Audience: web.AudienceForm, Handler: p.Recovery.Stop},
			web.Endpoint{Path: "/recovery/finish", Methods: show, Audience: web.AudienceForm,
				Handler: p.Recovery.ShowFinish},
			web.Endpoint{Path: "/recovery/finish", Methods: post, Audience: web.AudienceForm,
				Handler: p.Recovery.Finish},
		)
	}
	if p.SignUps != nil {
		table = append(table,
			web.Endpoint{Path: "/sign-up", Methods: show, Audience: web.AudienceForm, Handler: p.SignUps.Show},
			web.Endpoint{Path: "/sign-up", Methods: post, Audience: web.AudienceForm, Handler: p.SignUps.Ask},
			web.Endpoint{Path: "/sign-up/finish", Methods: show, Audience: web.AudienceForm,
				Handler: p.SignUps.ShowFinish},
			web.Endpoint{Path: "/sign-up/finish", Methods: post, Audience: web.AudienceForm, Handler: p.SignUps.Finish},
		)
	}
	if len(p.Config.Passkeys.RelatedOrigins) > 0 {
		table = append(table, web.Endpoint{Path: "/.well-known/webauthn", Methods: show, AtRoot: true,
			Audience: web.AudiencePublic, Handler: p.relatedOrigins})
	}
	// RFC 8414 §3.1 puts the well-known part between host and path, OIDC Discovery §4 behind the
	// path. Both are served.
	for _, name := range []string{"/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"} {
		table = append(table, web.Endpoint{Path: name + p.Web.Path, Methods: show, AtRoot: true,
			Audience: web.AudiencePublic, Handler: p.Registrations.Metadata})
		if p.Web.Path != "" {
			table = append(table, web.Endpoint{Path: name, Methods: show, Audience: web.AudiencePublic,
				Handler: p.Registrations.Metadata})
		}
	}
	if p.Registration != registration.Closed {
		table = append(table,
			web.Endpoint{Path: "/register", Methods: post, Audience: web.AudienceAPI, Handler: p.Registrations.Register,
				Member: "registration_endpoint"},
			web.Endpoint{Path: "/register/{client_id}", Methods: get, Audience: web.AudienceAPI,
				Handler: p.Registrations.Read},
			web.Endpoint{Path: "/register/{client_id}", Methods: []string{http.MethodPut}, Audience: web.AudienceAPI,
				Handler: p.Registrations.Update},
			web.Endpoint{Path: "/register/{client_id}", Methods: []string{http.MethodDelete}, Audience: web.AudienceAPI,
				Handler: p.Registrations.Delete},
		)
	}
	return table
}

// relatedOrigins lists the origins that may use our passkeys beside our own (WebAuthn §5.11.1).
func (p *Provider) relatedOrigins(w http.ResponseWriter, _ *http.Request) error {
	origins := append([]string{p.Web.Base.Scheme + "://" + p.Web.Base.Host}, p.Config.Passkeys.RelatedOrigins...)
	web.WriteJSON(w, http.StatusOK, map[string][]string{"origins": origins})
	return nil
}
