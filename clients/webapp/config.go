package webapp

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Paths that a provider has to know, below BaseURL.
const (
	CallbackPath          = "/callback"           // for redirect_uris (OIDC Registration §2)
	SignedOutPath         = "/signed-out"         // for post_logout_redirect_uris (RP-Initiated Logout §3.1)
	BackchannelLogoutPath = "/backchannel-logout" // for backchannel_logout_uri (Back-Channel Logout §2.2)
)

// Look is how an application's pages are dressed, so that several of them can be told apart at a
// glance. Each has a light and a dark variant and follows the browser.
type Look string

// The looks there are.
const (
	LookPaper   Look = "paper"   // cream, ink and a serif: a notebook
	LookGallery Look = "gallery" // a quiet wall, with the title on the left
	LookMeadow  Look = "meadow"  // green, round corners
)

// Kind is what an application is for.
type Kind string

// The kinds there are.
const (
	KindNotes  Kind = "notes"  // everybody's own notes
	KindPhotos Kind = "photos" // a wall of pictures that people share
	KindLedger Kind = "ledger" // everybody's own ledger, which the first of the APIs keeps
)

// An API that the application calls with its access token.
type API struct {
	Key  string // part of element ids: "" gives call-me, "flask" gives call-flask-me. Lower-case letters and digits
	Name string // what the page calls it
	URL  string // its base URL, without a slash at the end; the routes are /public, /me and /admin
}

// Link leads to a sibling application.
type Link struct{ Name, URL string }

// Config says who the application is and which provider it trusts.
type Config struct {
	Name    string // as people know it. Required
	Tagline string // one sentence below the name. Empty: one that fits the kind
	Look    Look   // empty: LookPaper
	Kind    Kind   // empty: KindNotes

	// File keeps notes and pictures. Empty: they are kept in memory and end with the process.
	File string

	// BaseURL is where browsers reach the application, without a slash at the end:
	// http://notes.localhost:9101. Required.
	BaseURL string
	// Issuer is the provider, exactly as it writes itself. Required.
	Issuer string
	// ClientID and ClientSecret are what the provider gave the application. Required.
	ClientID, ClientSecret string

	// Scopes to ask for beside openid. Nil: profile, email and groups.
	Scopes []string
	// OfflineAccess also asks for a refresh token (OIDC Core §11); the page then has a button that
	// uses it.
	OfflineAccess bool
	// Resources name the APIs that access tokens are for (RFC 8707 §2). Nil: the provider's choice
	// for the client.
	Resources []string

	APIs   []API  // what the page has buttons for
	Others []Link // sibling applications that the page leads to

	// StayAtProvider ends "sign out everywhere" at the provider's own page, which says what became
	// of each application, in place of leading back here.
	StayAtProvider bool

	// HTTPClient talks to the provider and to the APIs. Nil: one with a timeout of ten seconds.
	HTTPClient *http.Client
	// Now is the clock. Nil: time.Now.
	Now func() time.Time
	// Logger hears what happened, and never a token, code or cookie. Nil: nothing is logged.
	Logger *slog.Logger
}

// idTokenAlgorithms is the application's own list of what an ID token or a logout token may be
// signed with. A token names an algorithm itself, so the choice must not be the token's
// (RFC 8725 §3.1).
var idTokenAlgorithms = []string{"RS256", "ES256", "PS256", "EdDSA"}

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
		if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.RawQuery != "" ||
			u.Fragment != "" || u.User != nil {
			faults = append(faults, fmt.Errorf("%s %q is not an http or https URL without query and fragment; an example is %s", name, value, example))
		}
	}
	need("name", c.Name, "Notes")
	need("client id", c.ClientID, "notes")
	need("client secret", c.ClientSecret, "the one printed when the client was made")
	address("base URL", c.BaseURL, "http://notes.localhost:9101")
	address("issuer", c.Issuer, "http://id.localhost:9100")
	c.BaseURL = strings.TrimSuffix(c.BaseURL, "/")
	if c.Look == "" {
		c.Look = LookPaper
	}
	if !slices.Contains([]Look{LookPaper, LookGallery, LookMeadow}, c.Look) {
		faults = append(faults, fmt.Errorf("look %q is not paper, gallery or meadow", c.Look))
	}
	if c.Kind == "" {
		c.Kind = KindNotes
	}
	if !slices.Contains([]Kind{KindNotes, KindPhotos, KindLedger}, c.Kind) {
		faults = append(faults, fmt.Errorf("kind %q is not notes, photos or ledger", c.Kind))
	}
	seen := map[string]bool{}
	for _, a := range c.APIs {
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
	if c.HTTPClient == nil {
		c.HTTPClient = &http.Client{Timeout: 10 * time.Second}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c, errors.Join(faults...)
}
