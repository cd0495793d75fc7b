package cli

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// CallbackPath is the path of the redirect URI, to be registered as http://127.0.0.1/callback: a
// provider lets the port vary (RFC 8252 §7.3).
const CallbackPath = "/callback"

// Config says whom to ask, and as which client.
type Config struct {
	// Issuer is the provider, exactly as it writes itself. Required.
	Issuer string
	// ClientID of a native client. Required.
	ClientID string
	// Scopes to ask for beside openid. Nil: profile, email and groups.
	Scopes []string
	// Resources name the APIs that the access token is for (RFC 8707 §2). Nil: the provider's
	// choice for the client.
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

// Tokens are the outcome of a login. Whoever holds them is the person, as far as any API can tell:
// do not log them.
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

// Login signs the person in with their browser and returns the tokens. It waits until the browser
// comes back or ctx ends, so give ctx a deadline.
func Login(ctx context.Context, config Config) (*Tokens, error) {
	config, err := config.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("configure the login: %w", err)
	}
	ctx = oidc.ClientContext(ctx, config.HTTPClient)
	provider, err := oidc.NewProvider(ctx, config.Issuer)
	if err != nil {
		return nil, fmt.Errorf("discover %s: %w", config.Issuer, err)
	}
	var metadata struct {
		ResponseIss bool `json:"authorization_response_iss_parameter_supported"`
	}
	if err := provider.Claims(&metadata); err != nil {
		return nil, fmt.Errorf("discover %s: %w", config.Issuer, err)
	}
	// The address and not the name localhost, which may lead elsewhere; the system chooses the port
	// (RFC 8252 §8.3).
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for the browser: %w", err)
	}
	endpoint := provider.Endpoint()
	endpoint.AuthStyle = oauth2.AuthStyleInParams // a public client has nothing to authenticate with
	client := oauth2.Config{
		ClientID: config.ClientID, Endpoint: endpoint, Scopes: append([]string{oidc.ScopeOpenID}, config.Scopes...),
		RedirectURL: "http://" + listener.Addr().String() + CallbackPath,
	}
	state, nonce, verifier := rand.Text(), rand.Text(), oauth2.GenerateVerifier()
	address := client.AuthCodeURL(state, oidc.Nonce(nonce), oauth2.S256ChallengeOption(verifier))
	for _, resource := range config.Resources { // may be several, which an AuthCodeOption cannot say
		address += "&resource=" + url.QueryEscape(resource)
	}

	answers := make(chan answer)
	stopped := make(chan struct{})
	receiver := &receiver{issuer: config.Issuer, promised: metadata.ResponseIss, state: state, answers: answers,
		stopped: stopped}
	server := &http.Server{Handler: receiver, ReadHeaderTimeout: 10 * time.Second, MaxHeaderBytes: 64 << 10}
	served := make(chan struct{})
	go func() { defer close(served); _ = server.Serve(listener) }() // it ends by Shutdown or Close below
	defer func() {
		close(stopped)
		// The page for the person is on its way: let it arrive.
		finish, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		if server.Shutdown(finish) != nil {
			server.Close()
		}
		<-served
	}()

	fmt.Fprintf(config.Out, "Open this address in your browser to sign in:\n\n  %s\n\n", address)
	if config.OpenBrowser != nil {
		if err := config.OpenBrowser(address); err != nil {
			fmt.Fprintf(config.Out, "The browser could not be opened (%v); open the address yourself.\n", err)
		}
	}
	var got answer
	select {
	case got = <-answers:
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for the browser: %w", ctx.Err())
	}
	if got.err != nil {
		return nil, got.err
	}
	tokens, err := redeem(ctx, config, provider, client, got.code, nonce, verifier)
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(config.Out, "Signed in as %s.\n", tokens.name())
	return tokens, nil
}

// redeem exchanges the code and verifies the ID token (OIDC Core §3.1.3.7).
func redeem(ctx context.Context, config Config, provider *oidc.Provider, client oauth2.Config, code, nonce,
	verifier string) (*Tokens, error) {
	response, err := client.Exchange(ctx, code, oauth2.VerifierOption(verifier))
	if err != nil {
		var refused *oauth2.RetrieveError
		if errors.As(err, &refused) { // without the body of the answer, which may hold what no screen should show
			return nil, fmt.Errorf("exchange the code: the provider answered %q %q", printable(refused.ErrorCode),
				printable(refused.ErrorDescription))
		}
		return nil, fmt.Errorf("exchange the code: %w", err)
	}
	raw, _ := response.Extra("id_token").(string)
	if raw == "" {
		return nil, errors.New("the token response has no id_token")
	}
	// The list of algorithms is ours and not the token's (RFC 8725 §3.1).
	id, err := provider.Verifier(&oidc.Config{
		ClientID: config.ClientID, SupportedSigningAlgs: []string{"RS256", "ES256", "PS256", "EdDSA"}, Now: config.Now,
	}).Verify(ctx, raw)
	if err != nil {
		return nil, fmt.Errorf("verify the ID token: %w", err)
	}
	if id.Nonce != nonce {
		return nil, errors.New("verify the ID token: nonce is not ours")
	}
	if id.AccessTokenHash != "" {
		if err := id.VerifyAccessToken(response.AccessToken); err != nil {
			return nil, fmt.Errorf("verify the ID token: %w", err)
		}
	}
	t := &Tokens{AccessToken: response.AccessToken, RefreshToken: response.RefreshToken, IDToken: raw,
		Expiry: response.Expiry}
	if err := id.Claims(&t.Claims); err != nil {
		return nil, fmt.Errorf("read the ID token: %w", err)
	}
	if azp, has := t.Claims["azp"]; (has || len(id.Audience) > 1) && azp != config.ClientID {
		return nil, errors.New("verify the ID token: azp is another client")
	}
	// A provider may keep identity claims to the userinfo endpoint (OIDC Core §5.4). Its answer
	// must be about the same person (OIDC Core §5.3.2).
	if provider.UserInfoEndpoint() != "" {
		info, err := provider.UserInfo(ctx, oauth2.StaticTokenSource(response))
		if err != nil {
			return nil, fmt.Errorf("ask userinfo: %w", err)
		}
		if info.Subject != id.Subject {
			return nil, errors.New("ask userinfo: sub is not that of the ID token")
		}
		var more map[string]any
		if err := info.Claims(&more); err != nil {
			return nil, fmt.Errorf("ask userinfo: %w", err)
		}
		for claim, value := range more {
			if _, known := t.Claims[claim]; !known {
				t.Claims[claim] = value
			}
		}
	}
	return t, nil
}

// name is what to call the person.
func (t *Tokens) name() string {
	sub, _ := t.Claims["sub"].(string)
	for _, claim := range []string{"name", "preferred_username", "email"} {
		if s, _ := t.Claims[claim].(string); s != "" {
			return fmt.Sprintf("%s (%s)", printable(s), printable(sub))
		}
	}
	return printable(sub)
}

// printable keeps what comes from elsewhere from steering the terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return -1
	}, s)
}

// answer is what the browser brought back.
type answer struct {
	code string
	err  error
}

// receiver waits for the one answer that belongs to this login. Whatever else knocks at the port,
// and any page in the browser can, is told no and changes nothing.
type receiver struct {
	issuer   string
	promised bool // the provider says that it puts iss into responses
	state    string
	answers  chan<- answer
	stopped  <-chan struct{}
}

// ServeHTTP implements http.Handler.
func (rc *receiver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Connection", "close")
	query := r.URL.Query()
	switch {
	case r.Method != http.MethodGet:
		page(w, http.StatusMethodNotAllowed, "Only GET is answered here.")
		return
	case r.URL.Path != CallbackPath:
		page(w, http.StatusNotFound, "There is nothing here.")
		return
	case len(query["state"]) != 1 || subtle.ConstantTimeCompare([]byte(query.Get("state")), []byte(rc.state)) != 1:
		page(w, http.StatusBadRequest, "This answer does not belong to the login that is waiting. Go back to the terminal and use the address printed there.")
		return
	}
	got := rc.read(query)
	select {
	case rc.answers <- got:
	case <-rc.stopped: // a second one: the first was taken
		page(w, http.StatusGone, "This login is over.")
		return
	case <-r.Context().Done():
		return
	}
	if got.err != nil {
		page(w, http.StatusForbidden, "You were not signed in. The terminal says why. You can close this window.")
		return
	}
	page(w, http.StatusOK, "You can close this window and go back to the terminal.")
}

// read checks the answer with the right state (RFC 6749 §4.1.2, RFC 9207 §2.4).
func (rc *receiver) read(query url.Values) answer {
	for name, values := range query {
		if len(values) > 1 {
			return answer{err: fmt.Errorf("the answer has the parameter %q more than once", printable(name))}
		}
	}
	switch iss := query.Get("iss"); {
	case iss != rc.issuer && (query.Has("iss") || rc.promised):
		return answer{err: fmt.Errorf("the answer is from the issuer %q, not from %q", printable(iss), rc.issuer)}
	case query.Has("error"):
		return answer{err: fmt.Errorf("the provider refused: %s %s", printable(query.Get("error")),
			printable(query.Get("error_description")))}
	case query.Get("code") == "":
		return answer{err: errors.New("the answer holds neither a code nor an error")}
	}
	return answer{code: query.Get("code")}
}

// page shows fixed words.
func page(w http.ResponseWriter, status int, words string) {
	w.WriteHeader(status)
	fmt.Fprintf(w, "<!doctype html><html lang=en><meta charset=utf-8><title>Sign-in</title><p id=message>%s</p></html>\n", words)
}
