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

// signIn sends the browser to the provider (OIDC Core §3.1.2.1).
func (a *app) signIn(w http.ResponseWriter, r *http.Request) {
	d, err := a.provider.get(r.Context())
	if err != nil {
		a.config.Logger.ErrorContext(r.Context(), "provider not available", "cause", err)
		a.fail(w, r, http.StatusServiceUnavailable, "The sign-in service cannot be reached at the moment. Try again shortly.")
		return
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
	state := a.sessions.begin(attempt{browser: browser, nonce: nonce, verifier: verifier})
	address := d.oauth2.AuthCodeURL(state, oidc.Nonce(nonce), oauth2.S256ChallengeOption(verifier))
	for _, resource := range a.config.Resources { // may be several, which an AuthCodeOption cannot say
		address += "&resource=" + url.QueryEscape(resource)
	}
	http.Redirect(w, r, address, http.StatusSeeOther)
}

// callback takes the provider's answer.
func (a *app) callback(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	for name, values := range query {
		if len(values) > 1 { // RFC 6749 §3.1
			a.config.Logger.WarnContext(r.Context(), "sign-in refused", "cause", "repeated parameter", "parameter", name)
			a.fail(w, r, http.StatusBadRequest, "The answer of the sign-in service is garbled.")
			return
		}
	}
	// The answer must belong to a sign-in that this browser began, else somebody could plant theirs (RFC 6749 §10.12).
	var browser string
	if c, err := r.Cookie(a.attemptCookie); err == nil {
		browser = c.Value
	}
	begun, ok := a.sessions.take(query.Get("state"), browser)
	if !ok {
		a.config.Logger.WarnContext(r.Context(), "sign-in refused", "cause", "state is unknown, used, too old or another browser's")
		a.fail(w, r, http.StatusBadRequest, "This answer does not belong to a sign-in that was begun here a short while ago. Please sign in again.")
		return
	}
	d, err := a.provider.get(r.Context())
	if err != nil {
		a.config.Logger.ErrorContext(r.Context(), "provider not available", "cause", err)
		a.fail(w, r, http.StatusServiceUnavailable, "The sign-in service cannot be reached at the moment. Try again shortly.")
		return
	}
	// The answer must come from the provider that was asked (RFC 9207 §2.4): errors as well as codes.
	if iss := query.Get("iss"); iss != a.config.Issuer && (query.Has("iss") || d.metadata.ResponseIss) {
		a.config.Logger.WarnContext(r.Context(), "sign-in refused", "cause", "iss of the response is not the issuer", "iss", iss)
		a.fail(w, r, http.StatusBadRequest, "The answer is from another sign-in service than the one that was asked.")
		return
	}
	if code := query.Get("error"); code != "" {
		a.config.Logger.InfoContext(r.Context(), "sign-in answered with an error", "error", code, "error_description", query.Get("error_description"))
		a.fail(w, r, http.StatusForbidden, inWords(code, query.Get("error_description")))
		return
	}
	if query.Get("code") == "" {
		a.fail(w, r, http.StatusBadRequest, "The answer of the sign-in service holds neither a code nor an error.")
		return
	}
	s, err := a.redeem(r.Context(), d, query.Get("code"), begun)
	if err != nil {
		a.config.Logger.WarnContext(r.Context(), "sign-in failed", "cause", withoutBody(err))
		a.fail(w, r, http.StatusBadGateway, "The sign-in could not be completed. Please sign in again.")
		return
	}
	old, _ := a.session(r)
	a.setCookie(w, a.cookie, a.sessions.start(old.id, s), 0)
	a.config.Logger.InfoContext(r.Context(), "signed in", "sub", s.subject, "sid", s.sid)
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

// read verifies the ID token of a token response and collects what the pages show (OIDC Core §3.1.3.7).
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

// whoIs reads what is known about the person from the ID token, and the rest from the userinfo endpoint: a provider
// may keep identity claims to that (OIDC Core §5.4).
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
	return person{Name: c.Name, Username: c.Username, Email: c.Email, Subject: id.Subject, Groups: c.Groups, Roles: c.Roles}
}

// refresh asks for new tokens with the refresh token (RFC 6749 §6, OIDC Core §12).
func (a *app) refresh(w http.ResponseWriter, r *http.Request, s session) {
	if s.refreshToken == "" {
		a.fail(w, r, http.StatusBadRequest, "There is no refresh token: the application did not ask for offline access.")
		return
	}
	d, err := a.provider.get(r.Context())
	if err != nil {
		a.config.Logger.ErrorContext(r.Context(), "provider not available", "cause", err)
		a.fail(w, r, http.StatusServiceUnavailable, "The sign-in service cannot be reached at the moment. Try again shortly.")
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
		a.fail(w, r, http.StatusBadGateway, "The tokens could not be renewed. Try again shortly.")
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
			a.fail(w, r, http.StatusBadGateway, "The new tokens could not be verified.")
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
		n.note = "The provider issued new tokens."
	})
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// inWords says what an error of the provider means to a person (RFC 6749 §4.1.2.1, OIDC Core §3.1.2.6).
func inWords(code, description string) string {
	words := map[string]string{
		"access_denied":              "You were not signed in: access was denied, by you or by the rules of the sign-in service.",
		"login_required":             "You are not signed in at the sign-in service.",
		"consent_required":           "The sign-in service needs your consent first.",
		"interaction_required":       "The sign-in service needs to ask you something first.",
		"account_selection_required": "The sign-in service needs you to choose an account first.",
		"temporarily_unavailable":    "The sign-in service is busy. Try again shortly.",
		"server_error":               "The sign-in service met a problem of its own. Try again shortly.",
		"invalid_request":            "The sign-in service did not understand this application.",
		"unauthorized_client":        "The sign-in service does not let this application sign people in like this.",
		"invalid_scope":              "This application asked the sign-in service for more than it may have.",
	}[code]
	if words == "" {
		words = "The sign-in service refused."
	}
	if len(description) > 300 {
		description = description[:300]
	}
	if description != "" {
		words += " It says: " + description
	}
	return words + " (" + shortCode(code) + ")"
}

// shortCode bounds an error code, which comes from outside.
func shortCode(code string) string {
	if len(code) > 60 {
		return code[:60]
	}
	return code
}

// withoutBody describes an error of x/oauth2 without the body of the answer, which may hold what no log should.
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
