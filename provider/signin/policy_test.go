package signin

import (
	"testing"
	"time"

	"latchkey/provider/clients"
	"latchkey/provider/oauth"
	"latchkey/provider/people"
	"latchkey/provider/storage"
)

func TestNextStep(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	web := clients.Client{ID: "web", Metadata: clients.Metadata{TokenEndpointAuthMethod: "client_secret_basic",
		ApplicationType: "web"}}
	native := clients.Client{ID: "nat", Decisions: clients.Decisions{SkipConsent: true},
		Metadata: clients.Metadata{TokenEndpointAuthMethod: "none", ApplicationType: "native"}}
	seconds := func(n int64) *int64 { return &n }
	second := storage.Factors{TOTP: []storage.TOTP{{ID: "phone", ConfirmedAt: now}}}
	base := func(bend func(*situation)) situation {
		s := situation{
			Request: oauth.AuthorizationRequest{ClientID: "web", Scope: []string{"openid", "email"}},
			Client:  web, Now: now, SignedIn: true,
			Session: storage.Session{ID: "sid", UserID: "u", AuthTime: now.Add(-10 * time.Minute),
				ACR: people.ACRPassword},
			User: storage.User{ID: "u", Username: "alice", Groups: []string{"staff"}}, Subject: "u",
			Consent: storage.Consent{UserID: "u", ClientID: "web", Scope: []string{"openid", "email"}},
		}
		if bend != nil {
			bend(&s)
		}
		return s
	}
	out := func(s *situation) {
		s.SignedIn, s.Session, s.User, s.Subject, s.Consent = false, storage.Session{}, storage.User{}, "",
			storage.Consent{}
	}
	for _, c := range []struct {
		name string
		bend func(*situation)
		want stepKind
		code oauth.Code
	}{
		{"signed in and allowed before: respond", nil, stepRespond, ""},
		{"nobody signed in: sign in", out, stepLogin, ""},
		{"OIDC Core §3.1.2.1 prompt=none, nobody signed in: login_required",
			func(s *situation) { out(s); s.Request.Prompt = []string{"none"} }, stepError, oauth.LoginRequired},
		{"prompt=none, signed in and allowed: respond", func(s *situation) { s.Request.Prompt = []string{"none"} },
			stepRespond, ""},
		{"prompt=login: sign in again", func(s *situation) { s.Request.Prompt = []string{"login"} }, stepLogin, ""},
		{"prompt=login, done for this request: respond", func(s *situation) {
			s.Request.Prompt = []string{"login"}
			s.Session.AuthTime, s.Interaction.SignedInAt = now, now
		}, stepRespond, ""},
		{"prompt=login, the sign-in recorded is newer than the session: sign in", func(s *situation) {
			s.Request.Prompt = []string{"login"}
			s.Interaction.SignedInAt = now
		}, stepLogin, ""},
		{"max_age not passed: respond", func(s *situation) { s.Request.MaxAge = seconds(601) }, stepRespond, ""},
		{"max_age passed: sign in", func(s *situation) { s.Request.MaxAge = seconds(599) }, stepLogin, ""},
		{"max_age=0: sign in", func(s *situation) { s.Request.MaxAge = seconds(0) }, stepLogin, ""},
		{"max_age=0, just done: respond", func(s *situation) {
			s.Request.MaxAge = seconds(0)
			s.Session.AuthTime, s.Interaction.SignedInAt = now.Add(-time.Second), now.Add(-time.Second)
		}, stepRespond, ""},
		{"default_max_age passed: sign in", func(s *situation) { s.Client.DefaultMaxAge = seconds(60) }, stepLogin, ""},
		{"max_age of the request goes before default_max_age",
			func(s *situation) { s.Client.DefaultMaxAge, s.Request.MaxAge = seconds(60), seconds(3600) }, stepRespond, ""},
		{"max_age passed with prompt=none: login_required",
			func(s *situation) { s.Request.MaxAge, s.Request.Prompt = seconds(1), []string{"none"} }, stepError,
			oauth.LoginRequired},
		{"a huge max_age does not overflow", func(s *situation) { s.Request.MaxAge = seconds(1 << 40) }, stepRespond, ""},
		{"id_token_hint of the same person: respond", func(s *situation) { s.Request.HintSubject = "u" }, stepRespond, ""},
		{"id_token_hint of another person: sign in", func(s *situation) { s.Request.HintSubject = "bob" }, stepLogin, ""},
		{"id_token_hint of another person with prompt=none: login_required", func(s *situation) {
			s.Request.HintSubject, s.Request.Prompt = "bob", []string{"none"}
		}, stepError, oauth.LoginRequired},
		{"id_token_hint of another person, but alice signed in for it: never alice's token", func(s *situation) {
			s.Request.HintSubject = "bob"
			s.Session.AuthTime, s.Interaction.SignedInAt = now, now
		}, stepError, oauth.LoginRequired},
		{"OIDC Core §5.5.1 sub with another value", func(s *situation) {
			s.Request.Claims.IDToken = map[string]oauth.ClaimRequest{"sub": {Values: []string{"bob"}}}
			s.Request.Prompt = []string{"none"}
		}, stepError, oauth.LoginRequired},
		{"prompt=select_account: choose", func(s *situation) { s.Request.Prompt = []string{"select_account"} },
			stepAccounts, ""},
		{"prompt=select_account, chosen: respond", func(s *situation) {
			s.Request.Prompt, s.Interaction = []string{"select_account"}, storage.Interaction{Selected: true,
				PersonID: "u"}
		}, stepRespond, ""},
		{"prompt=select_account, chosen by somebody else: choose", func(s *situation) {
			s.Request.Prompt, s.Interaction = []string{"select_account"}, storage.Interaction{Selected: true,
				PersonID: "v"}
		}, stepAccounts, ""},
		{"prompt=select_account, nobody signed in: sign in",
			func(s *situation) { out(s); s.Request.Prompt = []string{"select_account"} }, stepLogin, ""},
		{"a second factor that was not used: prove more, before any question of consent", func(s *situation) {
			s.User.Factors, s.Consent = second, storage.Consent{}
		}, stepFactor, ""},
		{"a second factor that was used: respond", func(s *situation) {
			s.User.Factors, s.Session.ACR = second, people.ACRMultiFactor
		}, stepRespond, ""},
		{"a second factor that was begun only: respond", func(s *situation) {
			s.User.Factors = storage.Factors{TOTP: []storage.TOTP{{ID: "phone"}}}
		}, stepRespond, ""},
		{"a second factor that was not used with prompt=none: login_required", func(s *situation) {
			s.User.Factors, s.Request.Prompt = second, []string{"none"}
		}, stepError, oauth.LoginRequired},
		{"login comes before the second factor", func(s *situation) {
			s.User.Factors, s.Request.MaxAge = second, seconds(1)
		}, stepLogin, ""},
		{"essential acr weaker than what was proved: respond", func(s *situation) {
			s.Session.ACR = people.ACRMultiFactor
			s.Request.Claims.IDToken = map[string]oauth.ClaimRequest{"acr": {Essential: true,
				Values: []string{people.ACRPassword}}}
		}, stepRespond, ""},
		{"a provider that requires a second factor of everybody: set one up", func(s *situation) {
			s.Required, s.Session.AuthTime = people.ForEverybody, now
		}, stepEnrol, ""},
		{"an application that requires a second factor: set one up", func(s *situation) {
			s.Client.RequireSecondFactor, s.Session.AuthTime = true, now
		}, stepEnrol, ""},
		{"an application that requires a second factor, an old sign-in: sign in", func(s *situation) {
			s.Client.RequireSecondFactor = true
		}, stepLogin, ""},
		{"an application that requires a second factor, which was used: respond", func(s *situation) {
			s.Client.RequireSecondFactor, s.User.Factors, s.Session.ACR = true, second, people.ACRMultiFactor
		}, stepRespond, ""},
		{"an application that requires a second factor with prompt=none: login_required", func(s *situation) {
			s.Client.RequireSecondFactor, s.Request.Prompt = true, []string{"none"}
		}, stepError, oauth.LoginRequired},
		{"nobody sets up a second factor for an application that they may not use", func(s *situation) {
			s.Client.RequireSecondFactor, s.Client.AllowedGroups, s.Session.AuthTime = true, []string{"admins"}, now
		}, stepRefuse, oauth.AccessDenied},
		{"essential acr that a second factor would reach: set one up", func(s *situation) {
			s.Session.AuthTime = now
			s.Request.Claims.IDToken = map[string]oauth.ClaimRequest{"acr": {Essential: true,
				Values: []string{people.ACRMultiFactor}}}
		}, stepEnrol, ""},
		{"essential acr that is reached: respond", func(s *situation) {
			s.Request.Claims.IDToken = map[string]oauth.ClaimRequest{"acr": {Essential: true,
				Values: []string{"x", people.ACRPassword}}}
		}, stepRespond, ""},
		{"essential acr that cannot be reached", func(s *situation) {
			s.Request.Claims.IDToken = map[string]oauth.ClaimRequest{"acr": {Essential: true, Values: []string{"phr"}}}
		}, stepError, oauth.UnmetAuthenticationRequirements},
		{"voluntary acr that cannot be reached: respond", func(s *situation) { s.Request.ACRValues = []string{"phr"} },
			stepRespond, ""},
		{"not in an allowed group: refuse, before any question of consent", func(s *situation) {
			s.Client.AllowedGroups, s.Consent = []string{"admins"}, storage.Consent{}
		}, stepRefuse, oauth.AccessDenied},
		{"in an allowed group: respond", func(s *situation) { s.Client.AllowedGroups = []string{"admins", "staff"} },
			stepRespond, ""},
		{"not in an allowed group with prompt=none", func(s *situation) {
			s.Client.AllowedGroups, s.Request.Prompt = []string{"admins"}, []string{"none"}
		}, stepError, oauth.AccessDenied},
		{"never allowed before: consent", func(s *situation) { s.Consent = storage.Consent{} }, stepConsent, ""},
		{"a scope that is new: consent", func(s *situation) { s.Request.Scope = append(s.Request.Scope, "phone") },
			stepConsent, ""},
		{"a claim that is new: consent", func(s *situation) { s.Request.Claims.Userinfo = map[string]oauth.ClaimRequest{"phone_number": {}} }, stepConsent, ""},
		{"a claim that nobody knows is not asked about",
			func(s *situation) { s.Request.Claims.Userinfo = map[string]oauth.ClaimRequest{"shoe_size": {}} },
			stepRespond, ""},
		{"a resource that is new: consent", func(s *situation) { s.Request.Resource = []string{"https://api.example"} },
			stepConsent, ""},
		{"prompt=consent: ask although allowed before", func(s *situation) { s.Request.Prompt = []string{"consent"} },
			stepConsent, ""},
		{"prompt=consent, answered: respond", func(s *situation) {
			s.Request.Prompt, s.Interaction = []string{"consent"}, storage.Interaction{Consented: true, PersonID: "u"}
		}, stepRespond, ""},
		{"allowed by somebody else: consent", func(s *situation) {
			s.Consent, s.Interaction = storage.Consent{}, storage.Interaction{Consented: true, PersonID: "v"}
		}, stepConsent, ""},
		{"prompt=none without consent: consent_required", func(s *situation) {
			s.Consent, s.Request.Prompt = storage.Consent{}, []string{"none"}
		}, stepError, oauth.ConsentRequired},
		{"the operator's own application: nobody is asked",
			func(s *situation) { s.Client.SkipConsent, s.Consent = true, storage.Consent{} }, stepRespond, ""},
		{"RFC 8252 §8.6 a native public client is asked about every time", func(s *situation) { s.Client = native },
			stepConsent, ""},
		{"RFC 8252 §8.6 and is never answered silently", func(s *situation) {
			s.Client, s.Request.Prompt = native, []string{"none"}
		}, stepError, oauth.ConsentRequired},
		{"login comes before consent", func(s *situation) { s.Request.Prompt = []string{"consent", "login"} },
			stepLogin, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := nextStep(base(c.bend))
			if got.kind != c.want {
				t.Fatalf("got step %d (%s), want %d", got.kind, got.reason, c.want)
			}
			if c.code != "" && (got.err == nil || got.err.Code != c.code) {
				t.Fatalf("got %v, want %s", got.err, c.code)
			}
		})
	}
}
