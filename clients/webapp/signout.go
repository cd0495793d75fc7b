package webapp

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
)

// clockSkew is how far the provider's clock may be ahead of ours.
const clockSkew = time.Minute

// backchannelEvent is what makes a JWT a logout token (Back-Channel Logout §2.4).
const backchannelEvent = "http://schemas.openid.net/event/backchannel-logout"

// signOut ends the session of this application and no other.
func (a *app) signOut(w http.ResponseWriter, r *http.Request, s session) {
	a.sessions.end(s.id, endedHere)
	a.setCookie(w, a.askedCookie, askedNever, 0)
	http.Redirect(w, r, SignedOutPath, http.StatusSeeOther)
}

// signOutEverywhere sends the browser to the provider's end-session endpoint
// (RP-Initiated Logout §2). The session here goes on until the provider says that it has ended: the
// person may still say no there.
func (a *app) signOutEverywhere(w http.ResponseWriter, r *http.Request, s session) {
	d, err := a.provider.get(r.Context())
	if err != nil {
		a.config.Logger.ErrorContext(r.Context(), "provider not available", "cause", err)
		a.fail(w, r, http.StatusServiceUnavailable, textsFor(r).ProviderAway)
		return
	}
	end, err := url.Parse(d.metadata.EndSessionEndpoint)
	if err != nil || end.Host == "" {
		a.fail(w, r, http.StatusNotImplemented, textsFor(r).NoSignOutEverywhere)
		return
	}
	state := rand.Text()
	a.sessions.update(s.id, func(n *session) { n.logoutState = state })
	q := end.Query()
	q.Set("id_token_hint", s.idToken)
	q.Set("client_id", a.config.ClientID)
	if !a.config.StayAtProvider {
		q.Set("post_logout_redirect_uri", a.config.BaseURL+SignedOutPath)
		q.Set("state", state)
	}
	end.RawQuery = q.Encode()
	http.Redirect(w, r, end.String(), http.StatusSeeOther)
}

// signedOut is where the provider sends the browser after signing out. A session that is still
// there although the provider is done ends now: its logout token was late or lost.
func (a *app) signedOut(w http.ResponseWriter, r *http.Request) {
	if s, ok := a.session(r); ok {
		if state := r.URL.Query().Get("state"); state == "" || state != s.logoutState {
			http.Redirect(w, r, "/", http.StatusSeeOther) // nobody asked for it: still signed in
			return
		}
		a.sessions.end(s.id, endedOnReturn)
	}
	a.showSignedOut(w, r)
}

// backchannelLogout ends sessions because the provider says so (Back-Channel Logout §2.5 to §2.8).
func (a *app) backchannelLogout(w http.ResponseWriter, r *http.Request) {
	n, err := a.endByLogoutToken(w, r)
	if err != nil {
		a.config.Logger.WarnContext(r.Context(), "back-channel logout refused", "cause", err)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		_ = json.NewEncoder(w).Encode(map[string]string{"error": "invalid_request", "error_description": err.Error()})
		return
	}
	a.config.Logger.InfoContext(r.Context(), "back-channel logout", "sessions", n)
	w.WriteHeader(http.StatusOK)
}

// endByLogoutToken checks the logout token by the list of Back-Channel Logout §2.6, and only then
// acts.
func (a *app) endByLogoutToken(w http.ResponseWriter, r *http.Request) (int, error) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil ||
		kind != "application/x-www-form-urlencoded" {
		return 0, errors.New("the body is not application/x-www-form-urlencoded")
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		return 0, errors.New("the form cannot be read")
	}
	values := r.PostForm["logout_token"]
	if len(values) != 1 || values[0] == "" {
		return 0, errors.New("not exactly one logout_token")
	}
	raw := values[0]
	d, err := a.provider.get(r.Context())
	if err != nil {
		return 0, err
	}
	// Signature, algorithm, iss, aud and exp, as for an ID token (1 to 3). A token without exp
	// counts as expired.
	token, err := d.verify(oidc.ClientContext(r.Context(), a.config.HTTPClient), raw)
	if err != nil {
		return 0, fmt.Errorf("verify the logout token: %w", err)
	}
	header, err := joseHeader(raw)
	if err != nil {
		return 0, errors.New("the header cannot be read")
	}
	// Explicit typing is recommended (§2.4); what says that it is something else is something else.
	switch typ, _ := header["typ"].(string); strings.TrimPrefix(strings.ToLower(typ), "application/") {
	case "logout+jwt", "jwt", "":
	default:
		return 0, errors.New("typ is not logout+jwt")
	}
	var c struct {
		IssuedAt *float64                   `json:"iat"`
		Subject  string                     `json:"sub"`
		SID      string                     `json:"sid"`
		JTI      string                     `json:"jti"`
		Events   map[string]json.RawMessage `json:"events"`
	}
	if err := token.Claims(&c); err != nil {
		return 0, errors.New("the claims cannot be read")
	}
	var claims map[string]json.RawMessage
	if err := token.Claims(&claims); err != nil {
		return 0, errors.New("the claims cannot be read")
	}
	var event map[string]any
	_, hasNonce := claims["nonce"]
	switch {
	case c.IssuedAt == nil:
		return 0, errors.New("iat is missing")
	case token.IssuedAt.After(a.config.Now().Add(clockSkew)):
		return 0, errors.New("iat is in the future")
	case c.Subject == "" && c.SID == "":
		return 0, errors.New("neither sub nor sid")
	case json.Unmarshal(c.Events[backchannelEvent], &event) != nil || event == nil:
		return 0, errors.New("events does not say that this is a logout")
	case hasNonce: // an ID token in disguise
		return 0, errors.New("nonce is not allowed")
	case c.JTI == "":
		return 0, errors.New("jti is missing")
	}
	n, first := a.sessions.logOut(c.JTI, token.Expiry, token.Issuer, c.Subject, c.SID)
	if !first {
		return 0, errors.New("this logout token was used before")
	}
	return n, nil
}
