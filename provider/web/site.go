package web

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/sessions"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/sync/singleflight"

	"latchkey/keys"
	"latchkey/provider/storage"
	"latchkey/templates"
)

// Check asks one thing that the provider depends on whether it answers.
type Check struct {
	Name string
	Ask  func(context.Context) error
}

// Config is what a Site needs. All fields must be set, but Tracer, TrustedProxies and Checks.
type Config struct {
	Issuer    *url.URL // without trailing slash, query or fragment
	Store     *storage.Store
	Sealer    *keys.Sealer
	Templates *templates.Set
	Logger    *slog.Logger
	Clock     func() time.Time
	Metrics   *Metrics

	Tracer         trace.Tracer   // gets a span for each request; nil: none
	TrustedProxies []netip.Prefix // may say with X-Forwarded-For and X-Forwarded-Proto who the client is
	Checks         []Check        // of /readyz
	// Failed, if not nil, hears of every request of a client that was refused, before its answer has
	// ended: it must not take long.
	Failed func(*http.Request, Failed)
}

// Site is what every endpoint shares: how requests come in, and how answers, pages and problems
// leave.
type Site struct {
	Issuer    string
	Base      *url.URL // of the issuer
	Path      string   // of the issuer, "" or "/id"
	Secure    bool     // the issuer is https
	Store     *storage.Store
	Templates *templates.Set
	Logger    *slog.Logger
	Clock     func() time.Time
	Metrics   *Metrics

	TrustedProxies []netip.Prefix

	tracer     trace.Tracer // nil: none
	checks     []Check
	tellFailed func(*http.Request, Failed)
	asking     singleflight.Group // of checks
	cookies    *sessions.CookieStore
	csrfKey    []byte

	warnUnreadable sync.Once // of an X-Forwarded-For
	redirected     redirects
}

// New makes a Site.
func New(cfg Config) *Site {
	s := &Site{
		Issuer: cfg.Issuer.String(), Base: cfg.Issuer, Path: strings.TrimSuffix(cfg.Issuer.EscapedPath(), "/"),
		Secure: cfg.Issuer.Scheme == "https", Store: cfg.Store, Templates: cfg.Templates, Logger: cfg.Logger,
		Clock:   cfg.Clock,
		Metrics: cfg.Metrics, TrustedProxies: cfg.TrustedProxies, tracer: cfg.Tracer, checks: cfg.Checks,
		tellFailed: cfg.Failed, csrfKey: cfg.Sealer.Derive("csrf", 32),
	}
	s.cookies = newCookieStore(cfg.Sealer, s.Secure)
	return s
}

// URL returns the absolute URL of a path below the issuer.
func (s *Site) URL(path string) string { return s.Issuer + path }

// Now returns the time in UTC, cut to the millisecond that the store keeps, so that a value means
// the same before and after it was stored.
func (s *Site) Now() time.Time { return s.Clock().UTC().Truncate(time.Millisecond) }
