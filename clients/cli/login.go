package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// CallbackPath is the path of the redirect URI, to be registered as http://127.0.0.1/callback: a provider lets the
// port vary (RFC 8252 §7.3).
const CallbackPath = "/callback"

// Config says whom to ask, and as which client.
type Config struct {
	// Issuer is the provider, exactly as it writes itself. Required.
	Issuer string
	// ClientID of a native client. Required.
	ClientID string
	// Scopes to ask for beside openid. Nil: profile, email and groups.
	Scopes []string
	// Resources name the APIs that the access token is for (RFC 8707 §2). Nil: the provider's choice for the client.
	Resources []string
	// HTTPClient talks to the provider. Nil: one with a timeout of ten seconds.
	HTTPClient *http.Client
	// OpenBrowser shows the address to the person. Nil, or an error: it is only printed.
	OpenBrowser func(url string) error
	// Out is where the person reads what to do and who they are. Nil: nowhere.
	Out io.Writer
	// Now is the clock. Nil: time.Now.
	Now func() time.Time
}

// Tokens are the outcome of a login. Whoever holds them is the person, as far as any API can tell: do not log them.
type Tokens struct {
	AccessToken  string
	RefreshToken string // empty unless offline_access was asked for and granted
	IDToken      string
	Expiry       time.Time      // of the access token
	Claims       map[string]any // of the ID token, verified
}

func (c Config) withDefaults() (Config, error) {
	var faults []error
	if u, err := url.Parse(c.Issuer); err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		faults = append(faults, fmt.Errorf("issuer %q is not an http or https URL; an example is http://id.localhost:9100", c.Issuer))
	}
	if c.ClientID == "" {
		faults = append(faults, errors.New("client id is missing"))
	}
	if c.Scopes == nil {
		c.Scopes = []string{"profile", "email", "groups"}
	}
	if c.HTTPClient == nil {
		c.HTTPClient = &http.Client{Timeout: 10 * time.Second}
	}
	if c.Out == nil {
		c.Out = io.Discard
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c, errors.Join(faults...)
}

// Login signs the person in with their browser and returns the tokens. It waits until the browser comes back or ctx
// ends, so give ctx a deadline.
func Login(ctx context.Context, config Config) (*Tokens, error) {
	_, err := config.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("configure the login: %w", err)
	}
	return nil, ctx.Err()
}
