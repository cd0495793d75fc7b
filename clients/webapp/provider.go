package webapp

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

const (
	// lookAgain is how old what was learnt from the discovery document may be. go-oidc keeps keys
	// until a token names one it does not know; looking again is what makes a withdrawn key stop
	// counting.
	lookAgain = time.Hour
	// retryAfter passes after a failed look, so that a crowd does not fall upon a provider that is
	// just starting.
	retryAfter = time.Second
	// keysAgain passes between two fetches of the keys: tokens with invented key ids cost the
	// provider nothing.
	keysAgain = 5 * time.Second
)

// provider is what the application knows of the issuer. It is discovered when first needed
// (OIDC Discovery §4).
type provider struct {
	config Config
	ctx    context.Context // carries the HTTP client, the way go-oidc and x/oauth2 want it; never ends

	turn chan struct{} // holds one value while somebody looks

	mu      sync.Mutex
	found   *discovered
	foundAt time.Time
	failed  error
	next    time.Time // before this nobody looks after a failure
}

type discovered struct {
	oidc     *oidc.Provider
	oauth2   oauth2.Config
	verifier *oidc.IDTokenVerifier
	metadata metadata
}

// metadata is what go-oidc does not look at (OIDC Discovery §3, RP-Initiated Logout §2.1,
// RFC 9207 §3).
type metadata struct {
	Issuer                  string   `json:"issuer"`
	JWKSURI                 string   `json:"jwks_uri"`
	EndSessionEndpoint      string   `json:"end_session_endpoint"`
	ResponseIss             bool     `json:"authorization_response_iss_parameter_supported"`
	TokenEndpointAuthMethod []string `json:"token_endpoint_auth_methods_supported"`
}

func newProvider(ctx context.Context, c Config) *provider {
	return &provider{config: c, turn: make(chan struct{}, 1),
		ctx: oidc.ClientContext(context.WithoutCancel(ctx), c.HTTPClient)}
}

// get returns what is known, after looking if need be. One caller looks, the others wait for what
// it finds.
func (p *provider) get(ctx context.Context) (*discovered, error) {
	if found, err := p.known(); found != nil || err != nil {
		return found, err
	}
	select {
	case p.turn <- struct{}{}:
		defer func() { <-p.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if found, err := p.known(); found != nil || err != nil {
		return found, err
	}
	found, err := p.discover()
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.next, p.failed = p.config.Now().Add(retryAfter), fmt.Errorf("discover %s: %w", p.config.Issuer, err)
		if p.found != nil {
			return p.found, nil // what was found before serves until the provider is back
		}
		return nil, p.failed
	}
	p.found, p.foundAt, p.failed = found, p.config.Now(), nil
	return found, nil
}

// known returns what was found unless it is time to look again, or the failure that was just met.
func (p *provider) known() (*discovered, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.config.Now()
	if p.found != nil && (now.Before(p.foundAt.Add(lookAgain)) || now.Before(p.next)) {
		return p.found, nil
	}
	if p.found == nil && p.failed != nil && now.Before(p.next) {
		return nil, p.failed
	}
	return nil, nil
}

func (p *provider) discover() (*discovered, error) {
	found, err := oidc.NewProvider(p.ctx, p.config.Issuer)
	if err != nil {
		return nil, err
	}
	d := &discovered{oidc: found}
	if err := found.Claims(&d.metadata); err != nil {
		return nil, err
	}
	// The method is chosen from what the provider offers: trying one after the other would show it
	// the secret twice.
	endpoint := found.Endpoint()
	endpoint.AuthStyle = oauth2.AuthStyleInHeader
	if m := d.metadata.TokenEndpointAuthMethod; len(m) > 0 && !slices.Contains(m, "client_secret_basic") {
		endpoint.AuthStyle = oauth2.AuthStyleInParams
	}
	scopes := append([]string{oidc.ScopeOpenID}, p.config.Scopes...)
	if p.config.OfflineAccess {
		scopes = append(scopes, oidc.ScopeOfflineAccess)
	}
	d.oauth2 = oauth2.Config{
		ClientID: p.config.ClientID, ClientSecret: p.config.ClientSecret, Endpoint: endpoint,
		RedirectURL: p.config.BaseURL + CallbackPath, Scopes: scopes,
	}
	patient := *p.config.HTTPClient
	patient.Transport = &patientTransport{next: patient.Transport, now: p.config.Now}
	keys := oidc.NewRemoteKeySet(oidc.ClientContext(p.ctx, &patient), d.metadata.JWKSURI)
	d.verifier = oidc.NewVerifier(p.config.Issuer, keys, &oidc.Config{
		ClientID: p.config.ClientID, SupportedSigningAlgs: idTokenAlgorithms, Now: p.config.Now,
	})
	return d, nil
}

// origins are those that a form's redirect may lead to.
func (p *provider) origins() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := []string{origin(p.config.Issuer)}
	if p.found != nil {
		if o := origin(p.found.metadata.EndSessionEndpoint); o != "" && o != all[0] {
			all = append(all, o)
		}
	}
	return all
}

// verify checks a token that the provider has signed for this client: signature, algorithm, iss,
// aud, exp.
func (d *discovered) verify(ctx context.Context, raw string) (*oidc.IDToken, error) {
	if err := strictCompact(raw); err != nil {
		return nil, err
	}
	return d.verifier.Verify(ctx, raw)
}

// strictCompact refuses every spelling of a token but the one that was issued. go-jose reads around
// white space and the unused last bits of base64url, and go-oidc also takes the JSON serialization;
// nothing that a provider sends needs either (RFC 7515 §3.1, RFC 4648 §3.5).
func strictCompact(raw string) error {
	parts := strings.Split(raw, ".")
	if len(parts) != 3 {
		return errors.New("not a JWT in compact serialization")
	}
	for _, part := range parts {
		if _, err := base64.RawURLEncoding.Strict().DecodeString(part); err != nil || part == "" ||
			strings.ContainsAny(part, "\r\n") {
			return errors.New("not a JWT in base64url")
		}
	}
	return nil
}

// joseHeader reads the header of a token, for what go-oidc does not tell.
func joseHeader(raw string) (header map[string]any, err error) {
	first, _, _ := strings.Cut(raw, ".")
	b, err := base64.RawURLEncoding.DecodeString(first)
	if err != nil {
		return nil, err
	}
	return header, json.Unmarshal(b, &header)
}

// patientTransport repeats a good answer for a while instead of asking again. It serves one
// address: the keys'.
type patientTransport struct {
	next http.RoundTripper
	now  func() time.Time

	mu    sync.Mutex
	until time.Time
	head  http.Header
	body  []byte
}

// RoundTrip implements http.RoundTripper.
func (t *patientTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.now().Before(t.until) {
		next := t.next
		if next == nil {
			next = http.DefaultTransport
		}
		res, err := next.RoundTrip(r)
		if err != nil || res.StatusCode != http.StatusOK {
			return res, err
		}
		body, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
		res.Body.Close()
		if err != nil {
			return nil, err
		}
		t.until, t.head, t.body = t.now().Add(keysAgain), res.Header, body
	}
	return &http.Response{
		Status: "200 OK", StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r,
		Header: t.head.Clone(), Body: io.NopCloser(bytes.NewReader(t.body)), ContentLength: int64(len(t.body)),
	}, nil
}
