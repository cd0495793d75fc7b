package provider

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"go.opentelemetry.io/otel/trace"

	"latchkey/keys"
	"latchkey/provider/account"
	"latchkey/provider/admin"
	"latchkey/provider/audit"
	"latchkey/provider/clientauth"
	"latchkey/provider/console"
	"latchkey/provider/grants"
	"latchkey/provider/letters"
	"latchkey/provider/mail"
	"latchkey/provider/outbound"
	"latchkey/provider/people"
	"latchkey/provider/recovery"
	"latchkey/provider/registration"
	"latchkey/provider/session"
	"latchkey/provider/signin"
	"latchkey/provider/signup"
	"latchkey/provider/storage"
	"latchkey/provider/token"
	"latchkey/provider/web"
	"latchkey/templates"
)

// Lifetimes say how long things are good for. A field that is zero is that of DefaultLifetimes.
type Lifetimes struct {
	CodeTTL         time.Duration // of an authorization code
	AccessTokenTTL  time.Duration
	IDTokenTTL      time.Duration
	RefreshIdle     time.Duration // a refresh token that is not used for so long ends
	RefreshAbsolute time.Duration // a grant with offline access ends after
	RefreshGrace    time.Duration // a replaced refresh token yields its same successor for so long; negative: never
	SessionIdle     time.Duration // a session in which nothing happens for so long ends
	SessionAbsolute time.Duration // a session ends after, whatever happens
	RememberedIdle  time.Duration // SessionIdle of a session that the user wanted remembered
	RememberedMax   time.Duration // SessionAbsolute of such a session
	InteractionTTL  time.Duration // how long a user may take to sign in
	LinkTTL         time.Duration // how long the link of a mail works
	InvitationTTL   time.Duration // how long that of an invitation works
}

// DefaultLifetimes returns the lifetimes that hold unless others are configured.
func DefaultLifetimes() Lifetimes {
	const day = 24 * time.Hour
	return Lifetimes{
		CodeTTL: time.Minute, AccessTokenTTL: 10 * time.Minute, IDTokenTTL: 10 * time.Minute,
		RefreshIdle: 30 * day, RefreshAbsolute: 180 * day, RefreshGrace: 10 * time.Second,
		SessionIdle: 2 * time.Hour, SessionAbsolute: 12 * time.Hour, RememberedIdle: 14 * day, RememberedMax: 30 * day,
		InteractionTTL: time.Hour, LinkTTL: 30 * time.Minute, InvitationTTL: 7 * day,
	}
}

// orDefault is l with the defaults in place of zeros.
func (l Lifetimes) orDefault() Lifetimes {
	d := DefaultLifetimes()
	return Lifetimes{
		CodeTTL: cmp.Or(l.CodeTTL, d.CodeTTL), AccessTokenTTL: cmp.Or(l.AccessTokenTTL, d.AccessTokenTTL),
		IDTokenTTL:  cmp.Or(l.IDTokenTTL, d.IDTokenTTL),
		RefreshIdle: cmp.Or(l.RefreshIdle, d.RefreshIdle), RefreshAbsolute: cmp.Or(l.RefreshAbsolute,
			d.RefreshAbsolute),
		RefreshGrace: cmp.Or(l.RefreshGrace, d.RefreshGrace),
		SessionIdle:  cmp.Or(l.SessionIdle, d.SessionIdle), SessionAbsolute: cmp.Or(l.SessionAbsolute,
			d.SessionAbsolute),
		RememberedIdle: cmp.Or(l.RememberedIdle, d.RememberedIdle), RememberedMax: cmp.Or(l.RememberedMax,
			d.RememberedMax),
		InteractionTTL: cmp.Or(l.InteractionTTL, d.InteractionTTL), LinkTTL: cmp.Or(l.LinkTTL, d.LinkTTL),
		InvitationTTL: cmp.Or(l.InvitationTTL, d.InvitationTTL),
	}
}

// Config is everything a Provider needs. Fields without a default must be set.
type Config struct {
	// Issuer identifies the provider, e.g. https://id.example.com or https://example.com/id. No
	// trailing slash, no query.
	Issuer string
	// Name is what users know the provider by. Default Latchkey.
	Name string

	Store     *storage.Store
	Keys      *keys.Ring
	Sealer    *keys.Sealer
	Templates *templates.Set
	People    *people.Authenticator
	Outbound  *outbound.Client
	Audit     *audit.Log       // default: events are kept in Store for audit.DefaultKeep
	Logger    *slog.Logger     // default: nothing is logged
	Now       func() time.Time // default time.Now

	// Tracer gets a span for each request. nil: nobody traces.
	Tracer trace.Tracer

	// Version is that of the program, for administrators to see.
	Version string

	// TrustedProxies may say with X-Forwarded-For and X-Forwarded-Proto who the client is. Default
	// none.
	TrustedProxies []netip.Prefix

	Lifetimes

	// AccessTokenAlg signs access tokens for APIs whose registration names no algorithm: one of
	// keys.SigningAlgorithms. Default ES256.
	AccessTokenAlg string

	// Registration is closed by default.
	Registration registration.Mode
	// RegistrationsPerHour limits registration, open or by token, per client address. 0: no limit.
	RegistrationsPerHour int
	// RegistrationResources are the APIs that clients which register themselves may ask for tokens
	// for (RFC 8707). Default none but the issuer.
	RegistrationResources []string
	// RegistrationUnused is how long a client that registered itself is kept while nobody signs in
	// to it. 0: for good.
	RegistrationUnused time.Duration

	// Passkeys says what domain passkeys belong to.
	Passkeys PasskeyConfig

	// Mail sends mails. nil: none are sent, and what needs them is not offered.
	Mail mail.Transport
	// Passwords says which passwords users may set. Name is one that none may be made of.
	Passwords people.PasswordPolicy

	// SignUp says who may make an account for themselves. It needs Mail. Default nobody.
	SignUp signup.Mode
	// SignUpDomains are the domains of addresses that may, in lower case, with signup.Domain.
	SignUpDomains []string
	// LostWait is how long people wait for a way back who have lost everything that they sign in
	// with: mails at their addresses are then all that they need. 0: there is no such way.
	LostWait time.Duration
	// EditableClaims are those that people may change about themselves, by their names (OIDC Core
	// §5.1), see account.EditableClaims. nil: account.DefaultEditable.
	EditableClaims []string
	// MayDeleteAccount lets people delete their account.
	MayDeleteAccount bool

	// InsecureAllowNone lets a client register for unsigned ID tokens and unsigned request objects
	// (alg none). Only the certification suite needs it; never on in production.
	InsecureAllowNone bool
	// RequireSecondFactor lets nobody in by password alone: whoever has no second factor sets one up
	// during the sign-in.
	RequireSecondFactor bool
	// RequireAdministratorSecondFactor does so for whoever has a role. Groups say the same of their
	// people, see storage.Group.
	RequireAdministratorSecondFactor bool

	// RequirePushedAuthorizationRequests lets no client send its authorization request through the
	// browser (RFC 9126 §5).
	RequirePushedAuthorizationRequests bool
	// RequireDPoPNonce wants a nonce of ours in each DPoP proof (RFC 9449 §8, §9).
	RequireDPoPNonce bool

	// InsecurePublicWithoutPKCE lets public clients that registered themselves leave out
	// code_challenge. Only the certification suite needs it; never on in production: an attacker
	// who intercepts a code could then use it (RFC 7636 §1).
	InsecurePublicWithoutPKCE bool
}

// SignUpModes are all that Config.SignUp may be.
func SignUpModes() []string {
	var out []string
	for _, m := range signup.Modes {
		out = append(out, string(m))
	}
	return out
}

// DefaultEditableClaims is Config.EditableClaims when nothing is said.
func DefaultEditableClaims() []string { return account.DefaultEditable() }

// EditableClaims are all that Config.EditableClaims may name.
func EditableClaims() []string { return account.EditableClaims() }

// PasskeyConfig says what domain passkeys belong to (WebAuthn §5.1.2). The zero value is the host
// of the issuer.
type PasskeyConfig struct {
	// RPID is the domain. Changing it makes every passkey worthless. Default the host of the
	// issuer; there are no passkeys if that is an IP address.
	RPID string
	// RelatedOrigins are the origins of other sites that may use passkeys of RPID, such as
	// https://id.example.de (WebAuthn §5.11). Browsers read them at RPID. Default none.
	RelatedOrigins []string
}

// DefaultAccessTokenAlg is Config.AccessTokenAlg when nothing is said.
const DefaultAccessTokenAlg = "ES256"

// How many mails may be asked for in an hour: for one account, so that nobody's mailbox is flooded,
// and from one network.
const (
	mailsPerAccount = 5
	mailsPerAddress = 50
)

// Provider answers every endpoint. Make one with New.
type Provider struct {
	Config
	Web           *web.Site
	ClientAuth    *clientauth.Authenticator
	Grants        *grants.Grants
	Sessions      *session.Sessions
	SignIn        *signin.Pages
	Account       *account.Pages
	Letters       *letters.Letters // nil without Mail
	Recovery      *recovery.Pages  // nil without Mail
	SignUps       *signup.Pages    // nil where people make no accounts
	Admin         *admin.Admin
	Tokens        *token.Endpoints
	Registrations *registration.Endpoints
	Console       *console.Console
}

// New checks the configuration and makes a Provider. It refuses an issuer that is no plain http or
// https URL, and a Config that lacks one of Store, Keys, Sealer, Templates, People and Outbound.
func New(cfg Config) (*Provider, error) {
	base, err := url.Parse(cfg.Issuer)
	switch {
	case err != nil:
		return nil, fmt.Errorf("issuer: %w", err)
	case base.Scheme != "https" && base.Scheme != "http", base.Host == "", base.RawQuery != "", base.Fragment != "",
		base.User != nil,
		strings.HasSuffix(cfg.Issuer, "/"):
		return nil, errors.New("issuer: must look like https://id.example.com, without query, fragment or trailing slash")
	case cfg.Store == nil || cfg.Keys == nil || cfg.Sealer == nil || cfg.Templates == nil || cfg.People == nil ||
		cfg.Outbound == nil:
		return nil, errors.New("provider: Store, Keys, Sealer, Templates, People and Outbound are needed")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Audit == nil {
		cfg.Audit = &audit.Log{Store: cfg.Store, Now: cfg.Now, Logger: cfg.Logger}
	}
	if cfg.Name == "" {
		cfg.Name = "Latchkey"
	}
	if cfg.AccessTokenAlg == "" {
		cfg.AccessTokenAlg = DefaultAccessTokenAlg
	}
	if !slices.Contains(keys.SigningAlgorithms, cfg.AccessTokenAlg) {
		return nil, fmt.Errorf("provider: AccessTokenAlg must be one of %s", strings.Join(keys.SigningAlgorithms, ", "))
	}
	if cfg.Registration == "" {
		cfg.Registration = registration.Closed
	}
	if cfg.EditableClaims == nil {
		cfg.EditableClaims = account.DefaultEditable()
	}
	for _, claim := range cfg.EditableClaims {
		if !slices.Contains(account.EditableClaims(), claim) {
			return nil, fmt.Errorf("provider: EditableClaims must be of %s", strings.Join(account.EditableClaims(),
				", "))
		}
	}
	cfg.Lifetimes = cfg.orDefault()
	return assemble(cfg, base)
}

// grantNames are the labels by which the metrics tell grants apart.
func grantNames() []string {
	var out []string
	for _, g := range token.GrantTypes() {
		out = append(out, g.Name)
	}
	return out
}

// assemble makes the parts, each of the ones before it.
func assemble(cfg Config, base *url.URL) (*Provider, error) {
	p := &Provider{Config: cfg}
	secrets := admin.NewSecretHasher(cfg.Sealer)
	checks := []web.Check{{Name: "store", Ask: cfg.Store.Ping}, {Name: "keys", Ask: cfg.Keys.Ready}}
	p.Web = web.New(web.Config{
		Issuer: base, Store: cfg.Store, Sealer: cfg.Sealer, Templates: cfg.Templates, Logger: cfg.Logger,
		Clock:          cfg.Now,
		Metrics:        web.NewMetrics(grantNames(), registration.NewKeyAges(cfg.Keys, cfg.Now)),
		TrustedProxies: cfg.TrustedProxies,
		Checks:         checks, Tracer: cfg.Tracer,
		Failed: func(r *http.Request, f web.Failed) { p.Console.KeepFailed(r, f) },
	})
	p.ClientAuth = clientauth.New(clientauth.Config{
		Web: p.Web, Store: cfg.Store, Sealer: cfg.Sealer, Secrets: secrets, Outbound: cfg.Outbound,
		DPoPNonces: cfg.RequireDPoPNonce,
	})
	p.Grants = grants.New(grants.Config{
		Issuer: cfg.Issuer, Store: cfg.Store, Keys: cfg.Keys, Sealer: cfg.Sealer, Clients: p.ClientAuth,
		Logger: cfg.Logger, Now: p.Web.Now,
		Lifetimes: grants.Lifetimes{
			CodeTTL: cfg.CodeTTL, AccessTokenTTL: cfg.AccessTokenTTL, IDTokenTTL: cfg.IDTokenTTL,
			RefreshIdle: cfg.RefreshIdle, RefreshAbsolute: cfg.RefreshAbsolute, RefreshGrace: cfg.RefreshGrace,
		},
		AccessTokenAlg:    cfg.AccessTokenAlg,
		InsecureAllowNone: cfg.InsecureAllowNone,
	})
	p.Sessions = session.New(session.Config{
		Web: p.Web, Store: cfg.Store, Grants: p.Grants, Outbound: cfg.Outbound, Logger: cfg.Logger,
		Lifetimes: session.Lifetimes{
			SessionIdle: cfg.SessionIdle, SessionAbsolute: cfg.SessionAbsolute, RememberedIdle: cfg.RememberedIdle,
			RememberedMax: cfg.RememberedMax,
		},
	})
	factors := &people.Factors{
		Store: cfg.Store, Sealer: cfg.Sealer, Key: cfg.Sealer.Derive("recovery codes", 32), Now: cfg.Now,
		Name:     cfg.Name,
		Throttle: people.NewFactorThrottle(cfg.Store, cfg.Sealer.Derive(people.FactorThrottleLabel, 32)),
	}
	passkeys, err := newPasskeys(cfg, base, factors)
	if err != nil {
		return nil, err
	}
	p.SignIn = &signin.Pages{
		Web: p.Web, Factors: factors, Passkeys: passkeys, Store: cfg.Store, Keys: cfg.Keys, Sealer: cfg.Sealer,
		Clients: p.ClientAuth, Grants: p.Grants, Sessions: p.Sessions, People: cfg.People,
		Outbound: cfg.Outbound, Audit: cfg.Audit, InteractionTTL: cfg.InteractionTTL,
		FactorPolicy: people.FactorPolicy{Groups: cfg.Store, Everybody: cfg.RequireSecondFactor,
			Administrators: cfg.RequireAdministratorSecondFactor},
		InsecurePublicWithoutPKCE: cfg.InsecurePublicWithoutPKCE,
		Pushes:                    signin.NewPushLimit(), RequirePushed: cfg.RequirePushedAuthorizationRequests,
	}
	passwords := cfg.Passwords
	passwords.Own = append(slices.Clone(passwords.Own), cfg.Name)
	p.Admin = admin.New(admin.Config{
		Store: cfg.Store, Audit: cfg.Audit, Now: cfg.Now, Keys: cfg.Keys, Sealer: cfg.Sealer, Hasher: cfg.People.Hasher,
		Throttle: cfg.People.Throttle,
		Sessions: p, Outbound: cfg.Outbound, Name: cfg.Name, Passwords: cfg.Passwords, AllowNone: cfg.InsecureAllowNone,
		GrantTypes: token.GrantTypes(), Resource: p.Web.URL(console.Base),
	})
	mailLimit := &people.Throttle{Counters: cfg.Store, Key: cfg.Sealer.Derive("recovery limits", 32),
		PerAccount: mailsPerAccount, PerAddress: mailsPerAddress, Window: time.Hour}
	if cfg.Mail != nil {
		p.Letters = letters.New(letters.Config{
			Web: p.Web, Store: cfg.Store, Transport: cfg.Mail, Audit: cfg.Audit, Logger: cfg.Logger,
			LinkTTL: cfg.LinkTTL, InvitationTTL: cfg.InvitationTTL,
		})
		p.SignIn.OffersReset = true
		p.SignIn.Letters = p.Letters
		p.Recovery = recovery.New(recovery.Config{
			Web: p.Web, Store: cfg.Store, Sessions: p.Sessions, People: cfg.People, Factors: factors.Throttle,
			Passwords: passwords, Letters: p.Letters,
			Audit: cfg.Audit, Limit: mailLimit, LostWait: cfg.LostWait,
		})
	}
	if cfg.Mail != nil && cfg.SignUp != "" && cfg.SignUp != signup.Closed {
		p.SignIn.OffersSignUp = true
		p.SignUps = &signup.Pages{Config: signup.Config{
			Web: p.Web, Store: cfg.Store, Admin: p.Admin, Letters: p.Letters, Limit: mailLimit, Passwords: passwords,
			Mode: cfg.SignUp, Domains: cfg.SignUpDomains,
		}}
	}
	p.Account = account.New(account.Config{
		Web: p.Web, Store: cfg.Store, Sealer: cfg.Sealer, Grants: p.Grants, Sessions: p.Sessions, SignIn: p.SignIn,
		Admin: p.Admin, People: cfg.People,
		Passwords: passwords, Audit: cfg.Audit, Factors: factors, Passkeys: passkeys, Letters: p.Letters,
		MailLimit: mailLimit,
		Editable:  cfg.EditableClaims, MayDelete: cfg.MayDeleteAccount,
	})
	p.Tokens = &token.Endpoints{Web: p.Web, Store: cfg.Store, Clients: p.ClientAuth, Grants: p.Grants}
	p.Registrations = registration.New(registration.Config{
		Web: p.Web, Store: cfg.Store, Keys: cfg.Keys, Admin: p.Admin, Secrets: secrets, Clients: p.ClientAuth,
		Outbound:   cfg.Outbound,
		GrantTypes: token.GrantTypes(), Registration: cfg.Registration, RegistrationsPerHour: cfg.RegistrationsPerHour,
		Resources: cfg.RegistrationResources, UnusedFor: cfg.RegistrationUnused,
		InsecureAllowNone: cfg.InsecureAllowNone,
		OffersSignUp:      p.SignUps != nil,
		RequirePushed:     cfg.RequirePushedAuthorizationRequests,
	})
	p.Console, err = console.New(console.Config{
		Web: p.Web, Store: cfg.Store, Sealer: cfg.Sealer, Admin: p.Admin, Grants: p.Grants, Sessions: p.Sessions,
		SignIn: p.SignIn, Audit: cfg.Audit,
		Logger: cfg.Logger, Ready: checks, Version: cfg.Version, Mail: cfg.Mail != nil,
		Handler: sync.OnceValue(p.Handler),
	})
	if err != nil {
		return nil, err
	}
	// What the table says of addresses is what discovery says.
	addresses := map[string]string{}
	for _, e := range p.Endpoints() {
		if e.Member != "" {
			addresses[e.Member] = p.Web.URL(e.Path)
		}
	}
	if err := p.Registrations.Announce(addresses); err != nil {
		return nil, err
	}
	return p, nil
}

// newPasskeys is nil where no browser would have a passkey: at an issuer that is an IP address.
func newPasskeys(cfg Config, base *url.URL, factors *people.Factors) (*people.Passkeys, error) {
	id := cmp.Or(cfg.Passkeys.RPID, base.Hostname())
	if _, err := netip.ParseAddr(id); err == nil && cfg.Passkeys.RPID == "" {
		return nil, nil
	}
	return people.NewPasskeys(people.PasskeyConfig{
		Store: cfg.Store, Sealer: cfg.Sealer, Factors: factors, Now: cfg.Now, RPID: id, Origin: base.Scheme + "://" +
			base.Host, Name: cfg.Name,
	})
}

// Handler serves everything below the issuer, and its metadata where the standards want it.
func (p *Provider) Handler() http.Handler { return p.Web.Routes(p.Endpoints()) }

// MetricsHandler serves the metrics in Prometheus's format. It belongs on a listener of its own, on
// loopback: it is not among the routes of Handler.
func (p *Provider) MetricsHandler() http.Handler {
	return promhttp.HandlerFor(p.Web.Metrics.Registry, promhttp.HandlerOpts{})
}

// EndSessions signs a user out everywhere and revokes all that they granted, see
// session.Sessions.EndAll.
func (p *Provider) EndSessions(ctx context.Context, userID string) error {
	return p.Sessions.EndAll(ctx, userID)
}

// EndSession signs the user of one session out, see session.Sessions.End.
func (p *Provider) EndSession(ctx context.Context, s storage.Session) error {
	_, err := p.Sessions.End(ctx, s)
	return err
}

// EndEverything signs every user out and revokes every grant, see session.Sessions.EndEverything.
func (p *Provider) EndEverything(ctx context.Context) (ended, revoked int, err error) {
	return p.Sessions.EndEverything(ctx)
}

// TakeOver makes p tell the clients of the sessions that replaced has and p has not, see
// session.Sessions.TakeOver.
func (p *Provider) TakeOver(ctx context.Context, replaced *Provider) (sessions int, err error) {
	return p.Sessions.TakeOver(ctx, replaced.Sessions)
}

// SendMails sends what is queued until ctx is done. It returns at once where there is no mail.
func (p *Provider) SendMails(ctx context.Context) {
	if p.Recovery != nil {
		p.Recovery.Mails.Run(ctx)
	}
}

// DeliverLogouts tells clients of sessions that have ended until ctx is done, see
// session.Sessions.DeliverLogouts.
func (p *Provider) DeliverLogouts(ctx context.Context) { p.Sessions.DeliverLogouts(ctx) }
