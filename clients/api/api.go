package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Config says what the API is called and whom it believes.
type Config struct {
	// Audience is the name under which tokens are meant for this API: its identifier as a resource
	// (RFC 8707 §2), by custom its base URL. A token must list it in aud. Required.
	Audience string
	// Issuer is the provider whose tokens count, exactly as it writes itself (RFC 8414 §2).
	// Required.
	Issuer string
	// Algorithms a token may be signed with: the API's own list, whatever a token or a key says.
	// Only asymmetric algorithms are accepted. Empty: RS256, ES256, PS256, EdDSA.
	Algorithms []string
	// AllowedOrigins may call from a browser (CORS), each as a browser writes it:
	// scheme://host[:port].
	AllowedOrigins []string
	// AdminMaxAge is how long ago an administrator may have signed in at most (RFC 9470 §3). Zero:
	// five minutes.
	AdminMaxAge time.Duration
	// AdminACR lists the kinds of sign-in that are enough for an administrator, the best first
	// (RFC 9470 §3): a token must name one of them in acr. Nil: every kind is.
	AdminACR []string
	// LedgerFile keeps the ledger. Empty: it is kept in memory and ends with the process.
	LedgerFile string
	// HTTPClient fetches discovery document and keys. Nil: one with a timeout of ten seconds.
	HTTPClient *http.Client
	// Now is the clock. Nil: time.Now.
	Now func() time.Time
	// Logger hears why a token was refused, and never the token. Nil: nothing is logged.
	Logger *slog.Logger
}

// asymmetric lists what Config.Algorithms may name. A symmetric algorithm would let everybody who
// can check a token make one, and a public key taken for an HMAC secret is the oldest forgery of
// all (RFC 8725 §2.1).
var asymmetric = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}

func (c Config) withDefaults() (Config, error) {
	var faults []error
	if c.Audience == "" {
		faults = append(faults, errors.New("audience is missing; an example is http://api.localhost:9110"))
	}
	if u, err := url.Parse(c.Issuer); err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" ||
		u.RawQuery != "" || u.Fragment != "" {
		faults = append(faults, fmt.Errorf("issuer %q is not an absolute http or https URL without query and fragment",
			c.Issuer))
	}
	if len(c.Algorithms) == 0 {
		c.Algorithms = []string{"RS256", "ES256", "PS256", "EdDSA"}
	}
	for _, a := range c.Algorithms {
		if !slices.Contains(asymmetric, a) {
			faults = append(faults, fmt.Errorf("algorithm %q is not one of %s", a, strings.Join(asymmetric, ", ")))
		}
	}
	for _, o := range c.AllowedOrigins {
		if u, err := url.Parse(o); err != nil || u.Scheme == "" || u.Host == "" || o != u.Scheme+"://"+u.Host {
			faults = append(faults, fmt.Errorf("origin %q is not scheme://host[:port]", o))
		}
	}
	for _, acr := range c.AdminACR {
		if acr == "" || strings.ContainsFunc(acr, func(r rune) bool {
			return r <= ' ' || r > '~' || r == '"' ||
				r == '\\'
		}) {
			faults = append(faults, fmt.Errorf("acr %q is not a word of printable ASCII without quotes", acr))
		}
	}
	if c.AdminMaxAge < 0 || c.AdminMaxAge%time.Second != 0 {
		faults = append(faults, fmt.Errorf("the administrators' maximum age %s is not a whole number of seconds",
			c.AdminMaxAge))
	}
	if c.AdminMaxAge == 0 {
		c.AdminMaxAge = 5 * time.Minute
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

// New returns the API, or an error that names every fault of the configuration. It asks the
// provider for nothing before the first token arrives, so the two may start in any order.
func New(config Config) (http.Handler, error) {
	config, err := config.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("configure the API: %w", err)
	}
	a := &api{config: config, keys: newKeySet(config)}
	if a.ledger, err = openLedger(config.LedgerFile); err != nil {
		return nil, fmt.Errorf("configure the API: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /public", a.public)
	mux.HandleFunc("GET /me", a.protected(a.me))
	mux.HandleFunc("GET /admin", a.protected(a.admin))
	mux.HandleFunc("GET /entries", a.protected(a.listEntries))
	mux.HandleFunc("POST /entries", a.protected(a.addEntry))
	mux.HandleFunc("DELETE /entries/{id}", a.protected(a.removeEntry))
	if address, path := metadataAddress(config.Audience); address != "" {
		a.metadataURL = address
		mux.HandleFunc("GET "+path, a.metadata)
	}
	return a.headers(mux), nil
}

type api struct {
	config      Config
	keys        *keySet
	ledger      *ledger
	metadataURL string // empty when the audience is no URL
}

// public answers everybody. A token is not looked at: not needing one includes not judging one.
func (a *api) public(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, map[string]any{"message": "Anybody may read this."})
}

// me tells the caller whom the token is about.
func (a *api) me(w http.ResponseWriter, _ *http.Request, t token) {
	answer(w, http.StatusOK, map[string]any{
		"message":   "The token is good.",
		"sub":       t.Subject,
		"client_id": t.ClientID,
		"scope":     t.Scope,
		"groups":    orEmpty(t.Groups),
		"roles":     orEmpty(t.Roles),
	})
}

// admin answers administrators who signed in a short while ago. A known caller without the role
// gets 403: a new token would not help (RFC 6750 §3.1). An administrator whose sign-in is too old,
// or too weak, gets 401 and is told what would do (RFC 9470 §3).
func (a *api) admin(w http.ResponseWriter, _ *http.Request, t token) {
	if !slices.Contains(t.Roles, "admin") {
		a.refuse(w, &refusal{status: http.StatusForbidden, code: "insufficient_scope",
			description: "this needs the role admin"})
		return
	}
	if no := a.stepUp(t); no != nil {
		a.refuse(w, no)
		return
	}
	answer(w, http.StatusOK, map[string]any{"message": "Welcome, administrator.", "sub": t.Subject})
}

// stepUp returns the challenge for a token whose sign-in does not do for an administrator, or nil
// (RFC 9470 §3). A token that does not say when or how the person signed in counts as the weakest
// there is.
func (a *api) stepUp(t token) *refusal {
	seconds := int64(a.config.AdminMaxAge / time.Second)
	no := &refusal{status: http.StatusUnauthorized, code: "insufficient_user_authentication",
		parameters: [][2]string{{"max_age", strconv.FormatInt(seconds, 10)}}}
	if len(a.config.AdminACR) > 0 {
		no.parameters = append(no.parameters, [2]string{"acr_values", strings.Join(a.config.AdminACR, " ")})
	}
	now := float64(a.config.Now().UnixNano()) / 1e9
	switch {
	case t.AuthTime == nil || !(now-*t.AuthTime <= float64(seconds)): // also when it is no number
		no.description = "this needs a sign-in within the last " + a.config.AdminMaxAge.String()
	case len(a.config.AdminACR) > 0 && !slices.Contains(a.config.AdminACR, t.ACR):
		no.description = "this needs another kind of sign-in"
	default:
		return nil
	}
	return no
}

// protected lets a request through to next with the token it brought, or says what was wrong with
// it.
func (a *api) protected(next func(http.ResponseWriter, *http.Request, token)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		t, err := a.authenticate(r)
		var no *refusal
		switch {
		case err == nil:
			next(w, r, t)
		case errors.As(err, &no):
			a.config.Logger.InfoContext(r.Context(), "refused", "path", r.URL.Path, "error", no.code, "cause",
				no.description)
			a.refuse(w, no)
		default:
			// The token may be good; there are no keys to tell. That is no fault of the caller, and
			// never a way in.
			a.config.Logger.ErrorContext(r.Context(), "keys not available", "issuer", a.config.Issuer, "cause", err)
			w.Header().Set("Retry-After", "2")
			answer(w, http.StatusServiceUnavailable, map[string]any{
				"error":             "temporarily_unavailable",
				"error_description": "the keys of the provider cannot be fetched at the moment",
			})
		}
	}
}

// A refusal is what a caller without a good token hears (RFC 6750 §3).
type refusal struct {
	status      int
	code        string // empty when no token came (RFC 6750 §3.1)
	description string // fixed words, so that they fit into a quoted string
	parameters  [][2]string
}

func (e *refusal) Error() string { return e.description }

func invalidToken(description string) error {
	return &refusal{status: http.StatusUnauthorized, code: "invalid_token", description: description}
}

func (a *api) refuse(w http.ResponseWriter, no *refusal) {
	challenge := `Bearer realm="` + quotable(a.config.Audience) + `"`
	body := map[string]any{"error": "unauthorized", "error_description": no.description}
	if no.code != "" {
		challenge += `, error="` + no.code + `", error_description="` + quotable(no.description) + `"`
		body["error"] = no.code
	}
	for _, p := range no.parameters {
		challenge += `, ` + p[0] + `="` + quotable(p[1]) + `"`
	}
	if a.metadataURL != "" {
		challenge += `, resource_metadata="` + quotable(a.metadataURL) + `"` // RFC 9728 §5.1
	}
	w.Header().Set("WWW-Authenticate", challenge)
	answer(w, no.status, body)
}

// quotable drops what RFC 6750 §3 does not allow inside error_description, quotes and backslashes
// among it.
func quotable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r > 0x7e || r == '"' || r == '\\' {
			return -1
		}
		return r
	}, s)
}

// headers answers preflights and marks answers that a page of an allowed origin may read
// (Fetch §3.3, "CORS").
func (a *api) headers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Add("Vary", "Origin")
		origin := r.Header.Get("Origin")
		allowed := origin != "" && slices.Contains(a.config.AllowedOrigins, origin)
		if allowed {
			// No Access-Control-Allow-Credentials: the token travels in a header that the page sets
			// itself.
			h.Set("Access-Control-Allow-Origin", origin)
			h.Set("Access-Control-Expose-Headers", "WWW-Authenticate")
		}
		if r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != "" {
			if allowed {
				h.Set("Access-Control-Allow-Methods", "GET, HEAD, POST, DELETE")
				h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type")
				h.Set("Access-Control-Max-Age", "600")
			}
			w.WriteHeader(http.StatusNoContent)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func answer(w http.ResponseWriter, status int, body map[string]any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the caller has gone; there is nobody left to tell
}

// orEmpty makes an absent list an empty one in JSON, so that a reader need not handle null.
func orEmpty(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}
