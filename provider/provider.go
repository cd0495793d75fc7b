package provider

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/gorilla/sessions"

	"latchkey/keys"
	"latchkey/provider/clients"
	"latchkey/provider/outbound"
	"latchkey/provider/people"
	"latchkey/provider/storage"
	"latchkey/templates"
)

// Registration says who may use the registration endpoint (RFC 7591 §3).
type Registration string

const (
	RegistrationClosed Registration = "closed" // the endpoint does not exist
	RegistrationToken  Registration = "token"  // with an initial access token
	RegistrationOpen   Registration = "open"   // anybody, within RegistrationsPerHour
)

// ACRPassword is the acr of a sign-in by password.
const ACRPassword = "urn:latchkey:acr:password"

// Config is everything a Provider needs. Fields without a default must be set.
type Config struct {
	// Issuer identifies the provider, e.g. https://id.example.com or https://example.com/id. No trailing slash, no query.
	Issuer string
	// Name is what people know the provider by. Default Latchkey.
	Name string

	Store     storage.Store
	Keys      *keys.Ring
	Sealer    *keys.Sealer
	Templates *templates.Set
	People    *people.Authenticator
	Outbound  *outbound.Client
	Logger    *slog.Logger
	Now       func() time.Time // default time.Now

	// TrustedProxies may say with X-Forwarded-For and X-Forwarded-Proto who the client is. Default none.
	TrustedProxies []netip.Prefix

	CodeTTL         time.Duration // default 60 s
	AccessTokenTTL  time.Duration // default 10 min
	IDTokenTTL      time.Duration // default 10 min
	RefreshIdle     time.Duration // a refresh token that is not used for so long ends; default 30 days
	RefreshAbsolute time.Duration // a grant with offline access ends after; default 180 days
	RefreshGrace    time.Duration // a replaced refresh token yields its same successor for so long; default 10 s, negative: never
	SessionIdle     time.Duration // default 2 h
	SessionAbsolute time.Duration // default 12 h
	RememberedIdle  time.Duration // of a session that the person wanted remembered; default 14 days
	RememberedMax   time.Duration // default 30 days
	InteractionTTL  time.Duration // how long a person may take to sign in; default 1 h

	// Registration is closed by default.
	Registration Registration
	// RegistrationsPerHour limits registration, open or by token, per client address. 0: no limit.
	RegistrationsPerHour int

	// InsecureAllowNone lets a client register for unsigned ID tokens and unsigned request objects (alg none).
	// Only the certification suite needs it; never on in production.
	InsecureAllowNone bool
	// InsecurePublicWithoutPKCE lets public clients that registered themselves leave out code_challenge. Only the certification
	// suite needs it; never on in production: whoever intercepts a code could then use it (RFC 7636 §1).
	InsecurePublicWithoutPKCE bool
}

// Provider answers every endpoint. Make one with New.
type Provider struct {
	Config
	base     *url.URL // of the issuer
	path     string   // of the issuer, "" or "/id"
	secure   bool     // the issuer is https
	cookies  *sessions.CookieStore
	secrets  *clients.SecretHasher
	csrfKey  []byte
	subKey   []byte
	tokenKey []byte
	stateKey []byte
	metrics  *metrics
	logouts  *logoutSignals
	limits   *registrationLimits
	logos    *logoCache

	discovery document // what /.well-known says, made once

	clientKeys     clientKeys     // what clients publish at their jwks_uri
	clientFailures clientFailures // failed client authentications
}

// New checks the configuration and makes a Provider.
func New(cfg Config) (*Provider, error) {
	base, err := url.Parse(cfg.Issuer)
	switch {
	case err != nil:
		return nil, fmt.Errorf("issuer: %w", err)
	case base.Scheme != "https" && base.Scheme != "http", base.Host == "", base.RawQuery != "", base.Fragment != "", base.User != nil,
		strings.HasSuffix(cfg.Issuer, "/"):
		return nil, errors.New("issuer: must look like https://id.example.com, without query, fragment or trailing slash")
	case cfg.Store == nil || cfg.Keys == nil || cfg.Sealer == nil || cfg.Templates == nil || cfg.People == nil || cfg.Outbound == nil:
		return nil, errors.New("provider: Store, Keys, Sealer, Templates, People and Outbound are needed")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Name == "" {
		cfg.Name = "Latchkey"
	}
	if cfg.Registration == "" {
		cfg.Registration = RegistrationClosed
	}
	for _, d := range []struct {
		v    *time.Duration
		what time.Duration
	}{
		{&cfg.CodeTTL, time.Minute}, {&cfg.AccessTokenTTL, 10 * time.Minute}, {&cfg.IDTokenTTL, 10 * time.Minute},
		{&cfg.RefreshIdle, 30 * 24 * time.Hour}, {&cfg.RefreshAbsolute, 180 * 24 * time.Hour}, {&cfg.RefreshGrace, 10 * time.Second},
		{&cfg.SessionIdle, 2 * time.Hour}, {&cfg.SessionAbsolute, 12 * time.Hour},
		{&cfg.RememberedIdle, 14 * 24 * time.Hour}, {&cfg.RememberedMax, 30 * 24 * time.Hour}, {&cfg.InteractionTTL, time.Hour},
	} {
		if *d.v == 0 {
			*d.v = d.what
		}
	}
	p := &Provider{
		Config:   cfg,
		base:     base,
		path:     strings.TrimSuffix(base.EscapedPath(), "/"),
		secure:   base.Scheme == "https",
		secrets:  clients.NewSecretHasher(cfg.Sealer.Derive("client secrets", 32)),
		csrfKey:  cfg.Sealer.Derive("csrf", 32),
		subKey:   cfg.Sealer.Derive("pairwise subjects", 32),
		tokenKey: cfg.Sealer.Derive("refresh tokens", 32),
		stateKey: cfg.Sealer.Derive("signed-out pages", 32),
		metrics:  newMetrics(cfg.Keys, cfg.Now),
		logouts:  newLogoutSignals(),
		limits:   newRegistrationLimits(cfg.RegistrationsPerHour),
		logos:    newLogoCache(),
	}
	p.cookies = newCookieStore(cfg.Sealer, p.secure)
	if p.discovery, err = newDocument(p.describe()); err != nil {
		return nil, err
	}
	return p, nil
}

// url is the absolute URL of one of our paths.
func (p *Provider) url(path string) string { return p.Issuer + path }

// now is the time, cut to the millisecond that the store keeps, so that a value means the same before and after it was stored.
func (p *Provider) now() time.Time { return p.Now().UTC().Truncate(time.Millisecond) }

// Handler serves everything below the issuer, and its metadata where the standards want it.
func (p *Provider) Handler() http.Handler { return p.routes() }
