package provider

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"time"

	"latchkey/provider/clients"
	"latchkey/provider/oauth"
	"latchkey/provider/storage"
)

// redeemCode exchanges an authorization code for tokens (RFC 6749 §4.1.3, OIDC Core §3.1.3). Every check comes before the code is used,
// and that before anything is made.
func (p *Provider) redeemCode(ctx context.Context, r *http.Request, client clients.Client, params oauth.Parameters) (tokenResponse, error) {
	unknown := oauth.Errorf(oauth.InvalidGrant, "the code is unknown or has expired, or was issued to another client")
	if !params.Has("code") {
		return tokenResponse{}, oauth.Errorf(oauth.InvalidRequest, "code is missing")
	}
	if !params.Has("redirect_uri") {
		return tokenResponse{}, oauth.Errorf(oauth.InvalidRequest, "redirect_uri is missing; it must be the one of the authorization request (RFC 6749 section 4.1.3)")
	}
	grantID, hash, ok := parseCode(params.Get("code"))
	if !ok {
		return tokenResponse{}, unknown.Because(errors.New("not a code of ours"))
	}
	grant, err := p.Store.Grant(ctx, grantID)
	if errors.Is(err, storage.ErrNotFound) {
		return tokenResponse{}, unknown.Because(errors.New("no such grant"))
	}
	if err != nil {
		return tokenResponse{}, fmt.Errorf("load grant: %w", err)
	}
	now := p.now()
	switch {
	case grant.CodeHash == "" || subtle.ConstantTimeCompare([]byte(hash), []byte(grant.CodeHash)) != 1:
		return tokenResponse{}, unknown.Because(errors.New("the code is not that of the grant"))
	case grant.ClientID != client.ID:
		p.misused(ctx, "a code was presented by another client", client, grant)
		return tokenResponse{}, unknown.Because(fmt.Errorf("the code was issued to client %q", grant.ClientID))
	case params.Get("redirect_uri") != grant.RedirectURI:
		return tokenResponse{}, oauth.Errorf(oauth.InvalidGrant, "redirect_uri differs from the one of the authorization request")
	}
	// The verifier is checked before the code is used: whoever holds the code without it can then neither spend the code nor, by
	// spending it twice, revoke the owner's grant (RFC 7636 §1, RFC 6749 §4.1.2).
	if err := oauth.VerifyPKCE(grant.CodeChallenge, params.Get("code_verifier")); err != nil {
		return tokenResponse{}, err
	}
	switch {
	case !grant.RevokedAt.IsZero():
		return tokenResponse{}, oauth.Errorf(oauth.InvalidGrant, "the code was revoked")
	case !grant.CodeUsedAt.IsZero():
		return tokenResponse{}, p.revokeReused(ctx, "code", client, grant)
	case !now.Before(grant.CodeExpiresAt):
		return tokenResponse{}, unknown.Because(fmt.Errorf("the code expired at %s", grant.CodeExpiresAt.Format(time.RFC3339)))
	}
	user, err := p.standing(ctx, client, grant)
	if err != nil {
		return tokenResponse{}, err
	}
	mention(r, "sub", user.ID)
	scope, err := scopeOf(client, grant, "")
	if err != nil {
		return tokenResponse{}, err
	}
	audience, err := p.audienceOf(client, grant, params.Resource)
	if err != nil {
		return tokenResponse{}, err
	}

	expiresAt, idleAt := now.Add(p.AccessTokenTTL), time.Time{}
	if refreshable(client, grant) {
		expiresAt = grant.CreatedAt.Add(p.RefreshAbsolute)
		idleAt = earlier(now.Add(p.RefreshIdle), expiresAt)
	}
	grant, err = p.Store.RedeemCode(ctx, grant.ID, hash, now, idleAt, expiresAt)
	switch {
	case errors.Is(err, storage.ErrConsumed):
		return tokenResponse{}, p.revokeReused(ctx, "code", client, grant)
	case errors.Is(err, storage.ErrNotFound):
		return tokenResponse{}, unknown.Because(errors.New("expired or revoked this very moment"))
	case err != nil:
		return tokenResponse{}, fmt.Errorf("redeem code: %w", err)
	}
	return p.mint(ctx, client, grant, user, scope, audience, grant.Nonce)
}

// refreshable says whether the grant comes with refresh tokens: only for offline access, which the person has allowed, and only for a client
// that is registered to use them (OIDC Core §11).
func refreshable(client clients.Client, grant storage.Grant) bool {
	return grant.Offline && client.MayGrant(oauth.GrantRefreshToken)
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
