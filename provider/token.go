package provider

import (
	"context"
	"fmt"
	"net/http"
	"slices"

	"latchkey/provider/access"
	"latchkey/provider/clients"
	"latchkey/provider/oauth"
	"latchkey/provider/storage"
)

// token is the token endpoint (RFC 6749 §3.2): who is the client, which grant type, and then what that says.
func (p *Provider) token(w http.ResponseWriter, r *http.Request) (err error) {
	ctx, grantType := r.Context(), ""
	defer func() { p.metrics.token(grantType, err) }()
	params, err := oauth.ParseBody(r)
	if err != nil {
		return err
	}
	client, err := p.authenticateClient(ctx, r, params)
	if err != nil {
		return err
	}
	grantType = params.Get("grant_type")
	mention(r, "grant_type", grantType)
	var answer tokenResponse
	switch grantType {
	case oauth.GrantAuthorizationCode, oauth.GrantRefreshToken, oauth.GrantClientCredentials:
		if !client.MayGrant(grantType) {
			return oauth.Errorf(oauth.UnauthorizedClient, "the client is not registered for grant_type %s", grantType)
		}
	case "":
		return oauth.Errorf(oauth.InvalidRequest, "grant_type is missing")
	default:
		return oauth.Errorf(oauth.UnsupportedGrantType, "grant_type must be authorization_code, refresh_token or client_credentials")
	}
	switch grantType {
	case oauth.GrantAuthorizationCode:
		answer, err = p.redeemCode(ctx, r, client, params)
	case oauth.GrantRefreshToken:
		answer, err = p.refresh(ctx, r, client, params)
	case oauth.GrantClientCredentials:
		answer, err = p.clientCredentials(ctx, client, params)
	}
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, answer)
	return nil
}

// tokenResponse is a successful answer (RFC 6749 §5.1, OIDC Core §3.1.3.3).
type tokenResponse struct {
	AccessToken  string `json:"access_token"`
	TokenType    string `json:"token_type"`
	ExpiresIn    int64  `json:"expires_in"` // seconds
	RefreshToken string `json:"refresh_token,omitempty"`
	IDToken      string `json:"id_token,omitempty"`
	Scope        string `json:"scope,omitempty"`
}

// mint makes the tokens of a grant, after everything was checked and what is used once was used. scope and audience are those of
// this answer, the grant's or less.
func (p *Provider) mint(ctx context.Context, client clients.Client, grant storage.Grant, user storage.User, scope, audience []string, nonce string) (tokenResponse, error) {
	answer := tokenResponse{TokenType: "Bearer", Scope: oauth.JoinScope(scope)}
	var err error
	if answer.AccessToken, answer.ExpiresIn, err = p.accessToken(ctx, client, grant, user, scope, audience); err != nil {
		return tokenResponse{}, fmt.Errorf("make access token: %w", err)
	}
	if grant.RefreshGeneration > 0 {
		answer.RefreshToken = p.refreshToken(grant.ID, grant.RefreshGeneration)
	}
	if slices.Contains(scope, oauth.ScopeOpenID) {
		grant.Scope = scope
		if answer.IDToken, err = p.idToken(ctx, client, grant, user, idTokenFor{Nonce: nonce, AccessToken: answer.AccessToken}); err != nil {
			return tokenResponse{}, fmt.Errorf("make id token: %w", err)
		}
	}
	return answer, nil
}

// scopeOf is the scope of a grant's tokens: what was granted, or the part of it that is asked for now, as far as the client may still have
// it. The grant itself stays as it is (RFC 6749 §6).
func scopeOf(client clients.Client, grant storage.Grant, requested string) ([]string, error) {
	scope := grant.Scope
	if requested != "" {
		asked, err := oauth.ParseScope(requested)
		if err != nil {
			return nil, err
		}
		for _, s := range asked {
			if !slices.Contains(grant.Scope, s) {
				return nil, oauth.Errorf(oauth.InvalidScope, "scope names something that was not granted; it can only be narrowed")
			}
		}
		scope = asked
	}
	if scope = access.GrantableScope(client, scope); len(scope) == 0 {
		return nil, oauth.Errorf(oauth.InvalidScope, "the client may not have any of these scopes any more")
	}
	return scope, nil
}

// audienceOf chooses the audience of a token among what was granted and what the client may still ask for (RFC 8707 §2.2).
func (p *Provider) audienceOf(client clients.Client, grant storage.Grant, requested []string) ([]string, error) {
	granted := slices.DeleteFunc(slices.Clone(grant.Resource), func(r string) bool { return !slices.Contains(client.Audience, r) })
	if len(grant.Resource) == 0 {
		granted = p.defaultAudience(client)
	}
	if len(granted) == 0 {
		return nil, oauth.Errorf(oauth.InvalidTarget, "the client may not ask for tokens for this resource any more")
	}
	if len(requested) == 0 {
		return granted, nil
	}
	for _, r := range requested {
		if !slices.Contains(granted, r) {
			return nil, oauth.Errorf(oauth.InvalidTarget, "resource names something that was not granted")
		}
	}
	return requested, nil
}

// misused warns of a credential that somebody used who should not have been able to: its grant is revoked by then, or was spared
// because only the client was wrong.
func (p *Provider) misused(ctx context.Context, what string, client clients.Client, grant storage.Grant) {
	p.Logger.WarnContext(ctx, what, "client_id", client.ID, "grant", grant.ID, "granted_to", grant.ClientID, "sub", grant.UserID)
}

// revokeReused ends everything under a grant whose single-use credential was used twice: one of the two users was not the
// client (RFC 6749 §4.1.2, RFC 9700 §4.14.2).
func (p *Provider) revokeReused(ctx context.Context, what string, client clients.Client, grant storage.Grant) error {
	if err := p.Store.RevokeGrant(ctx, grant.ID, p.now()); err != nil {
		return fmt.Errorf("revoke grant: %w", err)
	}
	p.misused(ctx, what+" was used again; its grant is revoked", client, grant)
	return oauth.Errorf(oauth.InvalidGrant, "the %s was used before; everything issued for it is revoked now", what)
}
