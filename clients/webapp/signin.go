package webapp

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// A visit to the provider: what is asked there, and what follows it.
type visit struct {
	// prompt=none: the provider asks for nothing, and says so if it would have to (OIDC Core
	// §3.1.2.1)
	silent            bool
	maxAge, acrValues string // as an API has asked for them (RFC 9470 §4)
	then              called // a call to an API to make afterwards
	steppedUp         bool   // an API asked for this visit; it gets no second one
}

// signIn sends the browser to the provider because the person wants to sign in.
func (a *app) signIn(w http.ResponseWriter, r *http.Request) {
	a.forgetAsked(w, r)
	if !a.leave(w, r, visit{}) {
		a.fail(w, r, http.StatusServiceUnavailable, textsFor(r).ProviderAway)
	}
}

// leave sends the browser to the provider (OIDC Core §3.1.2.1), or reports that the provider cannot
// be reached.
func (a *app) leave(w http.ResponseWriter, r *http.Request, v visit) bool {
	d, err := a.provider.get(r.Context())
	if err != nil {
		a.config.Logger.ErrorContext(r.Context(), "provider not available", "cause", err)
		return false
	}
	// All tabs of a browser share this value, so that signing in in two of them at once works.
	var browser string
	if c, err := r.Cookie(a.attemptCookie); err == nil && len(c.Value) >= 26 {
		browser = c.Value
	} else {
		browser = rand.Text()
	}
	a.setCookie(w, a.attemptCookie, browser, attemptAge)

	nonce, verifier := rand.Text(), oauth2.GenerateVerifier()
	state := a.sessions.begin(attempt{browser: browser, nonce: nonce, verifier: verifier, visit: v})
	options := []oauth2.AuthCodeOption{oidc.Nonce(nonce), oauth2.S256ChallengeOption(verifier)}
	for name, value := range map[string]string{"max_age": v.maxAge, "acr_values": v.acrValues} {
		if value != "" {
			options = append(options, oauth2.SetAuthURLParam(name, value))
		}
	}
	if v.silent {
		options = append(options, oauth2.SetAuthURLParam("prompt", "none"))
	}
	address := d.oauth2.AuthCodeURL(state, options...)
	for _, resource := range a.config.Resources { // may be several, which an AuthCodeOption cannot say
		address += "&resource=" + url.QueryEscape(resource)
	}
	http.Redirect(w, r, address, http.StatusSeeOther)
	return true
}

// mayAskSilently reports whether a visitor without a session is sent to the provider to ask whether
// it knows them. That happens once per visit, so that an answer of no leads to the page and not
// back, and never after the person has signed out here.
func (a *app) mayAskSilently(r *http.Request) bool {
	if _, err := r.Cookie(a.askedCookie); err == nil || r.Method != http.MethodGet {
		return false
	}
	if c, err := r.Cookie(a.cookie); err == nil && a.sessions.howEnded(c.Value) == endedRefused {
		return false // the person hears first that the session has ended
	}
	// A browser says what it fetches for: a frame, or a guess at where the person goes next, is no
	// visit.
	destination := r.Header.Get("Sec-Fetch-Dest")
	return (destination == "" || destination == "document") && r.Header.Get("Sec-Purpose") == "" &&
		r.Header.Get("Purpose") == ""
}

// forgetAsked lets the next visit ask again.
func (a *app) forgetAsked(w http.ResponseWriter, r *http.Request) {
	if _, err := r.Cookie(a.askedCookie); err == nil {
		a.setCookie(w, a.askedCookie, "", 0)
	}
}

// Values of the cookie that says not to ask silently.
const (
	askedJustNow = "now" // the provider has just said no
	askedNever   = "out" // the person signed out here: only the button leads in again
)

// callback takes the provider's answer.
func (a *app) callback(w http.ResponseWriter, r *http.Request) {
	t := textsFor(r)
	query := r.URL.Query()
	for name, values := range query {
		if len(values) > 1 { // RFC 6749 §3.1
			a.config.Logger.WarnContext(r.Context(), "sign-in refused", "cause", "repeated parameter", "parameter", name)
			a.fail(w, r, http.StatusBadRequest, t.AnswerGarbled)
			return
		}
	}
	// The answer must belong to a sign-in that this browser began, else somebody could plant theirs
	// (RFC 6749 §10.12).
	var browser string
	if c, err := r.Cookie(a.attemptCookie); err == nil {
		browser = c.Value
	}
	begun, ok := a.sessions.take(query.Get("state"), browser)
	if !ok && browser == "" && query.Get("error") != "" && a.sessions.isSilent(query.Get("state")) {
		// A browser that keeps no cookies, or a program: nobody has asked to sign in, so nothing
		// has failed.
		p := a.newPage(r)
		p.Note = t.CookiesNeeded
		a.render(w, r, http.StatusOK, p)
		return
	}
	if !ok {
		a.config.Logger.WarnContext(r.Context(), "sign-in refused", "cause",
			"state is unknown, used, too old or another browser's")
		a.fail(w, r, http.StatusBadRequest, t.AnswerForeign)
		return
	}
	d, err := a.provider.get(r.Context())
	if err != nil {
		a.config.Logger.ErrorContext(r.Context(), "provider not available", "cause", err)
		a.fail(w, r, http.StatusServiceUnavailable, t.ProviderAway)
		return
	}
	// The answer must come from the provider that was asked (RFC 9207 §2.4): errors as well as
	// codes.
	if iss := query.Get("iss"); iss != a.config.Issuer && (query.Has("iss") || d.metadata.ResponseIss) {
		a.config.Logger.WarnContext(r.Context(), "sign-in refused", "cause", "iss of the response is not the issuer",
			"iss", iss)
		a.fail(w, r, http.StatusBadRequest, t.AnswerOfAnother)
		return
	}
	if code := query.Get("error"); code != "" {
		a.config.Logger.InfoContext(r.Context(), "sign-in answered with an error", "error", code, "error_description",
			query.Get("error_description"))
		if begun.visit.silent {
			a.notKnown(w, r)
			return
		}
		a.fail(w, r, http.StatusForbidden, t.failure(code, query.Get("error_description")))
		return
	}
	if query.Get("code") == "" {
		a.fail(w, r, http.StatusBadRequest, t.AnswerEmpty)
		return
	}
	s, err := a.redeem(r.Context(), d, query.Get("code"), begun)
	if err != nil {
		a.config.Logger.WarnContext(r.Context(), "sign-in failed", "cause", withoutBody(err))
		if begun.visit.silent {
			a.notKnown(w, r)
			return
		}
		a.fail(w, r, http.StatusBadGateway, t.SignInIncomplete)
		return
	}
	old, _ := a.session(r)
	if old.subject == s.subject && old.issuer == s.issuer {
		s.csrf = old.csrf // other tabs' forms go on to work
	}
	if begun.visit.steppedUp {
		s.note = t.SteppedUp
	}
	s.id = a.sessions.start(old.id, s)
	a.setCookie(w, a.cookie, s.id, 0)
	a.forgetAsked(w, r)
	a.config.Logger.InfoContext(r.Context(), "signed in", "sub", s.subject, "sid", s.sid)
	if got := a.perform(r, s, begun.visit.then); got != nil {
		a.showAnswer(w, r, s.id, got)
		return
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// notKnown ends a silent visit that brought nobody. Nobody asked to sign in, so the page with the
// button is the answer. If somebody is signed in here whom the provider does not know any more,
// they keep what they see and are told why nothing new comes.
func (a *app) notKnown(w http.ResponseWriter, r *http.Request) {
	if s, ok := a.session(r); ok {
		a.sessions.update(s.id, func(n *session) { n.note = textsFor(r).AccessRanOut })
	}
	a.setCookie(w, a.askedCookie, askedJustNow, askedAge)
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// redeem exchanges the code and makes a session of what it brings.
func (a *app) redeem(ctx context.Context, d *discovered, code string, begun attempt) (session, error) {
	ctx = oidc.ClientContext(ctx, a.config.HTTPClient)
	tokens, err := d.oauth2.Exchange(ctx, code, oauth2.VerifierOption(begun.verifier))
	if err != nil {
		return session{}, fmt.Errorf("exchange the code: %w", err)
	}
	s, id, err := a.read(ctx, d, tokens)
	if err != nil {
		return session{}, err
	}
	// The token must be of this very sign-in (OIDC Core §3.1.3.7, 11).
	if id.Nonce != begun.nonce {
		return session{}, errors.New("nonce of the ID token is not ours")
	}
	return s, nil
}

// read verifies the ID token of a token response and collects what the pages show
// (OIDC Core §3.1.3.7).
func (a *app) read(ctx context.Context, d *discovered, tokens *oauth2.Token) (session, *oidc.IDToken, error) {
	raw, _ := tokens.Extra("id_token").(string)
	if raw == "" {
		return session{}, nil, errors.New("the token response has no id_token")
	}
	id, err := d.verify(ctx, raw)
	if err != nil {
		return session{}, nil, fmt.Errorf("verify the ID token: %w", err)
	}
	var own struct {
		AuthorizedParty string `json:"azp"`
		SessionID       string `json:"sid"`
	}
	if err := id.Claims(&own); err != nil {
		return session{}, nil, fmt.Errorf("read the ID token: %w", err)
	}
	if own.AuthorizedParty != a.config.ClientID && (own.AuthorizedParty != "" || len(id.Audience) > 1) {
		return session{}, nil, errors.New("azp of the ID token is another client")
	}
	if id.AccessTokenHash != "" {
		if err := id.VerifyAccessToken(tokens.AccessToken); err != nil {
			return session{}, nil, fmt.Errorf("verify at_hash: %w", err)
		}
	}
	header, err := joseHeader(raw)
	if err != nil {
		return session{}, nil, fmt.Errorf("read the header of the ID token: %w", err)
	}
	s := session{
		idToken: raw, accessToken: tokens.AccessToken, refreshToken: tokens.RefreshToken, expiry: tokens.Expiry,
		issuer: id.Issuer, subject: id.Subject, sid: own.SessionID,
	}
	s.algorithm, _ = header["alg"].(string)
	s.keyID, _ = header["kid"].(string)
	var claims map[string]any
	if err := id.Claims(&claims); err != nil {
		return session{}, nil, fmt.Errorf("read the ID token: %w", err)
	}
	s.header, s.claims = indented(header), indented(claims)
	s.who = a.whoIs(ctx, d, id, tokens)
	return s, id, nil
}

// whoIs reads what is known about the person from the ID token, and the rest from the userinfo
// endpoint: a provider may keep identity claims to that (OIDC Core §5.4).
func (a *app) whoIs(ctx context.Context, d *discovered, id *oidc.IDToken, tokens *oauth2.Token) person {
	var c struct {
		Name     string   `json:"name"`
		Username string   `json:"preferred_username"`
		Email    string   `json:"email"`
		Groups   []string `json:"groups"`
		Roles    []string `json:"roles"`
	}
	if err := id.Claims(&c); err != nil {
		a.config.Logger.WarnContext(ctx, "claims of the ID token", "cause", err)
	}
	if d.oidc.UserInfoEndpoint() != "" {
		info, err := d.oidc.UserInfo(ctx, oauth2.StaticTokenSource(tokens))
		switch {
		case err != nil:
			a.config.Logger.WarnContext(ctx, "userinfo", "cause", withoutBody(err))
		case info.Subject != id.Subject: // OIDC Core §5.3.2: the access token may be somebody else's
			a.config.Logger.WarnContext(ctx, "userinfo", "cause", "sub is not that of the ID token")
		default:
			if err := info.Claims(&c); err != nil {
				a.config.Logger.WarnContext(ctx, "claims of userinfo", "cause", err)
			}
		}
	}
	return person{Name: c.Name, Username: c.Username, Email: c.Email, Subject: id.Subject, Groups: c.Groups,
		Roles: c.Roles}
}

// refresh asks for new tokens with the refresh token (RFC 6749 §6, OIDC Core §12).
func (a *app) refresh(w http.ResponseWriter, r *http.Request, s session) {
	t := textsFor(r)
	if s.refreshToken == "" {
		a.fail(w, r, http.StatusBadRequest, t.NoRefreshToken)
		return
	}
	d, err := a.provider.get(r.Context())
	if err != nil {
		a.config.Logger.ErrorContext(r.Context(), "provider not available", "cause", err)
		a.fail(w, r, http.StatusServiceUnavailable, t.ProviderAway)
		return
	}
	ctx := oidc.ClientContext(r.Context(), a.config.HTTPClient)
	tokens, err := d.oauth2.TokenSource(ctx, &oauth2.Token{RefreshToken: s.refreshToken}).Token()
	var refused *oauth2.RetrieveError
	if errors.As(err, &refused) && refused.ErrorCode == "invalid_grant" {
		// What it was granted under is over, so this session is as well.
		a.config.Logger.InfoContext(r.Context(), "refresh refused", "error", refused.ErrorCode, "sub", s.subject)
		a.sessions.end(s.id, endedRefused)
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return
	}
	if err != nil {
		a.config.Logger.WarnContext(r.Context(), "refresh failed", "cause", withoutBody(err))
		a.fail(w, r, http.StatusBadGateway, t.NotRenewed)
		return
	}
	fresh := session{accessToken: tokens.AccessToken, refreshToken: tokens.RefreshToken, expiry: tokens.Expiry}
	withID := false
	if _, withID = tokens.Extra("id_token").(string); withID {
		var id *oidc.IDToken
		fresh, id, err = a.read(ctx, d, tokens)
		// OIDC Core §12.2: a refresh never changes who it is about.
		if err == nil && (id.Subject != s.subject || id.Issuer != s.issuer) {
			err = errors.New("the new ID token is about somebody else")
		}
		if err != nil {
			a.config.Logger.WarnContext(r.Context(), "refresh failed", "cause", err)
			a.fail(w, r, http.StatusBadGateway, t.RenewedBadly)
			return
		}
	}
	a.sessions.update(s.id, func(n *session) {
		n.accessToken, n.expiry = fresh.accessToken, fresh.expiry
		if fresh.refreshToken != "" {
			n.refreshToken = fresh.refreshToken
		}
		if withID {
			n.idToken, n.who, n.header, n.claims = fresh.idToken, fresh.who, fresh.header, fresh.claims
			n.algorithm, n.keyID = fresh.algorithm, fresh.keyID
		}
		n.note = t.Renewed
	})
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// withoutBody describes an error of x/oauth2 without the body of the answer, which may hold what no
// log should.
func withoutBody(err error) string {
	var retrieve *oauth2.RetrieveError
	if errors.As(err, &retrieve) {
		status := 0
		if retrieve.Response != nil {
			status = retrieve.Response.StatusCode
		}
		return fmt.Sprintf("token endpoint answered %d %q %q", status, retrieve.ErrorCode, retrieve.ErrorDescription)
	}
	return err.Error()
}

func indented(v any) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // the template escapes
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return ""
	}
	return b.String()
}
