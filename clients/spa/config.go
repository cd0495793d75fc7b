package spa

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// Paths that a provider has to know, below BaseURL.
const (
	CallbackPath  = "/callback"   // for redirect_uris (OIDC Registration §2)
	SignedOutPath = "/signed-out" // for post_logout_redirect_uris (RP-Initiated Logout §3.1)
)

// An API that the application calls with its access token.
type API struct {
	Key  string // part of element ids: "" gives call-me, "flask" gives call-flask-me. Lower-case letters and digits
	Name string // what the page calls it
	URL  string // its base URL, without a slash at the end; the routes are /public, /me and /admin
}

// Link leads to a sibling application.
type Link struct{ Name, URL string }

// Config says who the application is and which provider it trusts. There is no secret: whatever a
// page knows, everybody knows (RFC 6749 §2.1).
type Config struct {
	Name    string // as people know it. Required
	Tagline string // one sentence below the name. Empty: one that fits

	// BaseURL is where browsers reach the application, without a slash at the end:
	// http://board.localhost:9104. Required.
	BaseURL string
	// Issuer is the provider, exactly as it writes itself. Required. The page may connect to its
	// origin and to those of APIs, and to nothing else.
	Issuer string
	// ClientID is what the provider knows the application by. Required.
	ClientID string

	// Scopes to ask for beside openid. Nil: profile, email and groups.
	Scopes []string
	// Resources name the APIs that access tokens are for (RFC 8707 §2). Nil: the provider's choice
	// for the client.
	Resources []string

	APIs   []API  // what the page has buttons for
	Others []Link // sibling applications that the page leads to
}

var keyPattern = regexp.MustCompile(`^[a-z0-9]*$`)

func (c Config) withDefaults() (Config, error) {
	var faults []error
	need := func(name, value, example string) {
		if value == "" {
			faults = append(faults, fmt.Errorf("%s is missing; an example is %s", name, example))
		}
	}
	address := func(name, value, example string) {
		u, err := url.Parse(value)
		// The addresses go into the Content-Security-Policy, where these characters would begin
		// something new.
		if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.RawQuery != "" ||
			u.Fragment != "" ||
			u.User != nil || strings.ContainsAny(u.Host, "; ,'\"*") {
			faults = append(faults, fmt.Errorf("%s %q is not an http or https URL without query and fragment; an example is %s", name, value, example))
		}
	}
	need("name", c.Name, "Board")
	need("client id", c.ClientID, "board")
	address("base URL", c.BaseURL, "http://board.localhost:9104")
	address("issuer", c.Issuer, "http://id.localhost:9100")
	c.BaseURL = strings.TrimSuffix(c.BaseURL, "/")
	c.APIs = slices.Clone(c.APIs)
	seen := map[string]bool{}
	for i, a := range c.APIs {
		c.APIs[i].URL = strings.TrimSuffix(a.URL, "/")
		address("API", a.URL, "http://api.localhost:9110")
		if !keyPattern.MatchString(a.Key) || seen[a.Key] {
			faults = append(faults, fmt.Errorf("API key %q is not of lower-case letters and digits, or used twice",
				a.Key))
		}
		seen[a.Key] = true
	}
	if c.Scopes == nil {
		c.Scopes = []string{"profile", "email", "groups"}
	}
	return c, errors.Join(faults...)
}
