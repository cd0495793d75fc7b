package console

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"latchkey/provider/admin"
	"latchkey/provider/clients"
	"latchkey/provider/oauth"
	"latchkey/provider/storage"
	"latchkey/templates"
)

// inside carries requests to the provider without a network, as a browser or an application of
// whoever asks would send them.
type inside struct {
	c    *Console
	from *http.Request // whose address the requests come from
}

// recorded is an answer in memory.
type recorded struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (r *recorded) Header() http.Header { return r.header }

func (r *recorded) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
}

func (r *recorded) Write(b []byte) (int, error) {
	r.WriteHeader(http.StatusOK)
	return r.body.Write(b)
}

// RoundTrip answers a request to the issuer. Any other is refused: the flow must not leave the
// provider.
func (t inside) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Host != t.c.Web.Base.Host || r.URL.Scheme != t.c.Web.Base.Scheme {
		return nil, fmt.Errorf("%s is not at the provider", r.URL.Redacted())
	}
	in := r.Clone(r.Context())
	in.Host, in.RemoteAddr, in.RequestURI = r.URL.Host, t.from.RemoteAddr, r.URL.RequestURI()
	if in.Body == nil {
		in.Body = http.NoBody
	}
	if t.c.Web.Secure {
		in.TLS = &tls.ConnectionState{}
	}
	for _, name := range []string{"X-Forwarded-For", "X-Forwarded-Proto", "Forwarded"} {
		if value := t.from.Header.Values(name); value != nil {
			in.Header[name] = value
		}
	}
	out := &recorded{header: http.Header{}}
	t.c.Handler().ServeHTTP(out, in)
	out.WriteHeader(http.StatusOK)
	return &http.Response{StatusCode: out.status, Status: http.StatusText(out.status), Proto: "HTTP/1.1", ProtoMajor: 1,
		ProtoMinor: 1, Header: out.header,
		Body: io.NopCloser(&out.body), ContentLength: int64(out.body.Len()), Request: r}, nil
}

// States of a step, as the stylesheet calls them.
const (
	stepDone    = "told"
	stepFailed  = "failed"
	stepWaiting = "waiting" // it was not tried
)

// trial is the flow of an application under way, as its own relying party would run it.
type trial struct {
	v      *visit
	client clients.Client
	secret string
	http   *http.Client
	steps  []templates.ConsoleStep
	failed bool
}

func (t *trial) note(step templates.ConsoleStep) bool {
	t.steps = append(t.steps, step)
	t.failed = t.failed || step.State == stepFailed
	return step.State == stepDone
}

func (t *trial) done(label, detail string) bool {
	return t.note(templates.ConsoleStep{Label: say(label), State: stepDone, Detail: detail})
}

func (t *trial) wait(label, detail string) {
	t.note(templates.ConsoleStep{Label: say(label), State: stepWaiting, Detail: detail})
}

func (t *trial) fail(label, detail, expected, received string) bool {
	return t.note(templates.ConsoleStep{Label: say(label), State: stepFailed, Detail: detail, Expected: expected,
		Received: received})
}

// tryForm is the form that runs the flow. A secret that is at hand stands in it.
func (v *visit) tryForm(client clients.Client, secret string) templates.ConsoleForm {
	f := v.post("try-form", "try", "admin.try", "applications", client.ID)
	if client.UsesSecret() {
		s := field("client_secret", "admin.secret", "password", secret)
		s.Hint = say("admin.try.secret.hint")
		f.Fields, f.Inline = []templates.ConsoleField{s}, false
	}
	return f
}

// tryApplication runs the flow of an application for whoever asks, and never for anybody else, and
// shows what came of each step.
func (c *Console) tryApplication(v *visit, id string) error {
	client, err := c.Admin.Client(v.ctx, v.actor, id)
	if err != nil {
		return err
	}
	if !v.may(admin.VerbClientUpdate) {
		return admin.ErrForbidden
	}
	t := &trial{v: v, client: client, secret: v.form.Get("client_secret"),
		http: &http.Client{Transport: inside{c, v.Request}, Timeout: 10 * time.Second,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
	allowed, err := c.Store.Consent(v.ctx, v.user.ID, client.ID)
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return err
	}
	begun := c.Web.Now()
	t.run(v.ctx)
	if err := t.clean(v.ctx, allowed, begun); err != nil {
		return err
	}
	c.Audit.Note(v.ctx, storage.Event{Actor: storage.EventParty{Kind: v.actor.Kind, ID: v.actor.ID, Name: v.actor.Name},
		Verb:   "client.try",
		Object: storage.EventParty{Kind: "client", ID: client.ID, Name: client.Name()}, Address: v.actor.Address,
		RequestID: v.actor.RequestID})
	p := v.page("try", "applications", say("admin.try.title", "name", client.Name()))
	p.BackURL, p.Back = c.path("applications", client.ID), say("admin.application.title", "name", client.Name())
	waiting := slices.ContainsFunc(t.steps, func(s templates.ConsoleStep) bool { return s.State == stepWaiting })
	switch {
	case t.failed:
		p.Problem = say("admin.try.failed")
	case waiting:
		p.Lead = say("admin.try.partly")
	default:
		p.Notice = say("admin.try.green")
	}
	p.Parts = []templates.ConsolePart{{ID: "steps", Steps: t.steps},
		{ID: "again", Forms: []templates.ConsoleForm{v.tryForm(client, "")}}}
	return v.render(p)
}

// clean takes back what the trial was given. allowed is what the user had allowed the client
// before, the zero Consent if nothing.
func (t *trial) clean(ctx context.Context, allowed storage.Consent, begun time.Time) error {
	c := t.v.c
	grants, err := c.Store.GrantsOfUser(ctx, t.v.user.ID, c.Web.Now())
	if err != nil {
		return err
	}
	for _, g := range grants {
		if g.ClientID == t.client.ID && !g.CreatedAt.Before(begun) {
			if err := c.Store.RevokeGrant(ctx, g.ID, c.Web.Now()); err != nil {
				return err
			}
		}
	}
	is, err := c.Store.Consent(ctx, t.v.user.ID, t.client.ID)
	if errors.Is(err, storage.ErrNotFound) || err == nil && is.Version == allowed.Version {
		return nil // nothing was allowed in the trial
	}
	if err != nil {
		return err
	}
	if err := c.Store.DeleteConsent(ctx, t.v.user.ID, t.client.ID); err != nil || allowed.Version == 0 {
		return err
	}
	allowed.Version = 0
	return c.Store.AddConsent(ctx, allowed)
}

// run goes through the flow: discovery, authorization, token, ID token, userinfo, sign-out.
func (t *trial) run(ctx context.Context) {
	c, client := t.v.c, t.client
	ctx = oidc.ClientContext(ctx, t.http)
	// 1. Discovery, as the application sees it.
	provider, err := oidc.NewProvider(ctx, c.Web.Issuer)
	if err != nil {
		t.fail("admin.try.discovery", err.Error(), c.Web.Issuer, "")
		return
	}
	var pushing pushing
	if err := provider.Claims(&pushing); err != nil {
		t.fail("admin.try.discovery", err.Error(), c.Web.Issuer, "")
		return
	}
	t.done("admin.try.discovery", c.Web.URL("/.well-known/openid-configuration"))
	if !client.MayRespond("code") || len(client.RedirectURIs) == 0 {
		t.wait("admin.try.authorize", "the application does not ask for codes")
		return
	}
	if client.RequireSignedRequestObject {
		t.wait("admin.try.authorize", "the application signs its requests, which is not done here")
		return
	}
	pushed := pushing.Required || client.RequirePushedAuthorizationRequests
	if lack := t.lacks(); pushed && lack != "" {
		t.wait("admin.try.authorize", lack)
		return
	}
	// 2. Authorization, in the session of whoever asks.
	config := oauth2.Config{ClientID: client.ID, ClientSecret: t.secret, Endpoint: provider.Endpoint(),
		RedirectURL: client.RedirectURIs[0], Scopes: t.scope()}
	config.Endpoint.AuthStyle = oauth2.AuthStyleInHeader
	if client.TokenEndpointAuthMethod != oauth.AuthClientSecretBasic {
		config.Endpoint.AuthStyle = oauth2.AuthStyleInParams
	}
	verifier, state, nonce := oauth2.GenerateVerifier(), storage.Random(), storage.Random()
	address := config.AuthCodeURL(state, oidc.Nonce(nonce), oauth2.S256ChallengeOption(verifier))
	if pushed {
		if address, err = t.push(ctx, pushing.Endpoint, address); err != nil {
			t.fail("admin.try.authorize", "the request cannot be pushed", pushing.Endpoint, err.Error())
			return
		}
	}
	code, ok := t.authorize(ctx, address, state)
	if !ok {
		return
	}
	// 3. PKCE: the code is worth nothing without its verifier, and is not used up by a wrong one.
	if lack := t.lacks(); lack != "" {
		t.wait("admin.try.token", lack)
		return
	}
	if client.RequiresPKCE() {
		_, err = config.Exchange(ctx, code, oauth2.VerifierOption(oauth2.GenerateVerifier()))
		var refused *oauth2.RetrieveError
		switch {
		case errors.As(err, &refused) && refused.ErrorCode == string(oauth.InvalidClient):
			t.fail("admin.try.token", "the client secret is wrong", client.TokenEndpointAuthMethod,
				refused.ErrorDescription)
			return
		case !errors.As(err, &refused) || refused.ErrorCode != string(oauth.InvalidGrant):
			t.fail("admin.try.pkce", "a wrong code_verifier was not refused", string(oauth.InvalidGrant),
				fmt.Sprint(err))
			return
		}
		t.done("admin.try.pkce", "a wrong code_verifier is refused")
	}
	// 4. Client authentication and the code.
	token, err := config.Exchange(ctx, code, oauth2.VerifierOption(verifier))
	if err != nil {
		t.fail("admin.try.token", "the token endpoint refused", client.TokenEndpointAuthMethod, said(err))
		return
	}
	t.done("admin.try.token", client.TokenEndpointAuthMethod)
	// 5. The ID token.
	if client.IDTokenEncryptedResponseAlg != "" {
		t.wait("admin.try.id-token", "it is encrypted to the application")
	} else if !t.idToken(ctx, provider, token, nonce) {
		return
	}
	// 6. Userinfo.
	info, err := provider.UserInfo(ctx, oauth2.StaticTokenSource(token))
	want := c.Grants.Subject(client, t.v.user.ID)
	switch {
	case client.UserinfoEncryptedResponseAlg != "":
		t.wait("admin.try.userinfo", "it is encrypted to the application")
	case err != nil:
		t.fail("admin.try.userinfo", err.Error(), want, "")
		return
	case info.Subject != want:
		t.fail("admin.try.userinfo", "sub", want, info.Subject)
		return
	default:
		t.done("admin.try.userinfo", "sub "+info.Subject)
	}
	// 7. Sign-out: where the application may lead people back to. Nobody is signed out.
	if len(client.PostLogoutRedirectURIs) == 0 {
		t.wait("admin.try.logout", "no post_logout_redirect_uri is registered, so people stay at the provider after they sign out")
		return
	}
	t.done("admin.try.logout", client.PostLogoutRedirectURIs[0])
}

// lacks says what is missing here to authenticate as the application and to get its tokens; "" for
// nothing.
func (t *trial) lacks() string {
	switch method := t.client.TokenEndpointAuthMethod; {
	case method == oauth.AuthClientSecretJWT:
		return "the application proves who it is by a JWT that its secret signs, which is not done here"
	case t.client.UsesSecret() && t.secret == "":
		return "enter the client secret to try what comes next"
	case !t.client.UsesSecret() && !t.client.Public():
		return "the application proves who it is by its own key, which is not here"
	case t.client.DPoPBoundAccessTokens:
		return "the tokens of the application are bound to a key of its own (DPoP), which is not here"
	}
	return ""
}

// pushing is what discovery says about pushed authorization requests (RFC 9126 §5).
type pushing struct {
	Endpoint string `json:"pushed_authorization_request_endpoint"`
	Required bool   `json:"require_pushed_authorization_requests"`
}

// push sends the request at an address ahead, and returns the address that refers to it (RFC 9126
// §2, §4).
func (t *trial) push(ctx context.Context, endpoint, address string) (string, error) {
	u, err := url.Parse(address)
	if err != nil {
		return "", err
	}
	form := u.Query()
	basic := t.client.TokenEndpointAuthMethod == oauth.AuthClientSecretBasic
	if !basic && t.client.UsesSecret() {
		form.Set("client_secret", t.secret)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return "", err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if basic {
		r.SetBasicAuth(url.QueryEscape(t.client.ID), url.QueryEscape(t.secret))
	}
	resp, err := t.http.Do(r)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	var answer struct {
		RequestURI  string `json:"request_uri"`
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return "", err
	}
	if resp.StatusCode != http.StatusCreated {
		return "", fmt.Errorf("%s: %s", answer.Error, answer.Description)
	}
	u.RawQuery = url.Values{"client_id": {t.client.ID}, "request_uri": {answer.RequestURI}}.Encode()
	return u.String(), nil
}

// scope is what the trial asks for: what most applications do, as far as this one may.
func (t *trial) scope() []string {
	want := []string{oidc.ScopeOpenID, "profile", "email"}
	if t.client.Scope == "" {
		return want
	}
	allowed := strings.Fields(t.client.Scope)
	return slices.DeleteFunc(want, func(s string) bool { return !slices.Contains(allowed, s) })
}

// said is what a refusal of the token endpoint says.
func said(err error) string {
	var refused *oauth2.RetrieveError
	if errors.As(err, &refused) {
		return refused.ErrorCode + ": " + refused.ErrorDescription
	}
	return err.Error()
}

// maxHops bounds the pages on the way to an answer.
const maxHops = 8

var (
	formAction = regexp.MustCompile(`<form[^>]* action="([^"]*)"`)
	csrfField  = regexp.MustCompile(`name="csrf" value="([^"]*)"`)
)

// authorize follows the request through the provider until the application is answered.
func (t *trial) authorize(ctx context.Context, address, state string) (code string, ok bool) {
	const label = "admin.try.authorize"
	redirect := t.client.RedirectURIs[0]
	form := url.Values(nil)
	for range maxHops {
		status, location, body, err := t.browse(ctx, address, form)
		if err != nil {
			return "", t.fail(label, err.Error(), redirect, "")
		}
		form = nil
		switch {
		case location == "" && strings.Contains(body, `id="consent-page"`):
			action, csrf := formAction.FindStringSubmatch(body), csrfField.FindStringSubmatch(body)
			if action == nil || csrf == nil {
				return "", t.fail(label, "the consent page has no form", "", "")
			}
			address, form = html.UnescapeString(action[1]), url.Values{"csrf": {html.UnescapeString(csrf[1])},
				"decision": {"allow"}}
			t.done("admin.try.consent", "people are asked; you have allowed it for this trial")
		case location == "" && strings.Contains(body, `id="refused"`):
			return "", t.fail(label, "you may not use this application: "+Why(t.client, t.v.user).Text, redirect, "")
		case location == "":
			return "", t.fail(label, fmt.Sprintf("the provider shows a page (%d)", status), redirect, pageTitle(body))
		case strings.HasPrefix(location, redirect+"?") || strings.HasPrefix(location, redirect+"&"):
			return t.answered(location, state)
		case strings.Contains(location, "/login") || strings.Contains(location, "/mfa"):
			return "", t.fail(label, "the application asks for a new sign-in", redirect, "/login")
		default:
			address = location
		}
	}
	return "", t.fail(label, "the provider leads in circles", redirect, "")
}

// answered checks what the application is answered.
func (t *trial) answered(location, state string) (code string, ok bool) {
	const label = "admin.try.authorize"
	u, err := url.Parse(location)
	if err != nil {
		return "", t.fail(label, err.Error(), "", "")
	}
	q := u.Query()
	switch {
	case q.Get("error") != "":
		return "", t.fail(label, q.Get("error"), "code", q.Get("error_description"))
	case q.Get("state") != state:
		return "", t.fail(label, "state", state, q.Get("state"))
	case q.Get("iss") != t.v.c.Web.Issuer:
		return "", t.fail(label, "iss (RFC 9207)", t.v.c.Web.Issuer, q.Get("iss"))
	case q.Get("code") == "":
		return "", t.fail(label, "code", "code", "")
	}
	return q.Get("code"), t.done(label, "the code goes to "+t.client.RedirectURIs[0])
}

var titleTag = regexp.MustCompile(`<title>([^<]*)</title>`)

func pageTitle(body string) string {
	if m := titleTag.FindStringSubmatch(body); m != nil {
		return html.UnescapeString(m[1])
	}
	return ""
}

// browse sends a request as the browser of whoever asks, and returns the status, where it leads and
// what it shows.
func (t *trial) browse(ctx context.Context, address string, form url.Values) (status int, location, shown string,
	err error) {
	base := t.v.c.Web.Base
	target, err := base.Parse(address)
	if err != nil {
		return 0, "", "", err
	}
	method, body := http.MethodGet, io.Reader(nil)
	if form != nil {
		method, body = http.MethodPost, strings.NewReader(form.Encode())
	}
	r, err := http.NewRequestWithContext(ctx, method, target.String(), body)
	if err != nil {
		return 0, "", "", err
	}
	for _, name := range []string{"Cookie", "User-Agent", "Accept-Language"} {
		if values := t.v.Header.Values(name); values != nil {
			r.Header[name] = values
		}
	}
	r.Header.Set("Accept", "text/html")
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", base.Scheme+"://"+base.Host)
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	resp, err := t.http.Do(r)
	if err != nil {
		return 0, "", "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, resp.Header.Get("Location"), string(text), err
}

// idToken checks the ID token as an application does (OIDC Core §3.1.3.7).
func (t *trial) idToken(ctx context.Context, provider *oidc.Provider, token *oauth2.Token, nonce string) bool {
	const label = "admin.try.id-token"
	raw, _ := token.Extra("id_token").(string)
	alg := t.client.IDTokenSignedResponseAlg
	if alg == "" {
		alg = oidc.RS256
	}
	verified, err := provider.VerifierContext(ctx, &oidc.Config{ClientID: t.client.ID,
		SupportedSigningAlgs: []string{alg}, Now: t.v.c.Web.Now}).Verify(ctx, raw)
	if err != nil {
		return t.fail(label, err.Error(), alg, "")
	}
	if verified.Nonce != nonce {
		return t.fail(label, "nonce", nonce, verified.Nonce)
	}
	if err := verified.VerifyAccessToken(token.AccessToken); verified.AccessTokenHash != "" && err != nil {
		return t.fail(label, "at_hash", "", err.Error())
	}
	return t.done(label, alg)
}
