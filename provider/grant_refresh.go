package provider

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"latchkey/provider/clients"
	"latchkey/provider/oauth"
	"latchkey/provider/storage"
)

// refresh exchanges a refresh token for new tokens (RFC 6749 §6, OIDC Core §12). The refresh token is replaced each time (RFC 9700 §4.14.2). A
// client whose answer got lost may ask again with the old one for a few seconds, and gets the same successor; later, or when the successor
// was used already, two parties hold the token, and the grant ends.
func (p *Provider) refresh(ctx context.Context, r *http.Request, client clients.Client, params oauth.Parameters) (tokenResponse, error) {
	unknown := oauth.Errorf(oauth.InvalidGrant, "the refresh token is unknown, has expired or was revoked, or was issued to another client")
	if !params.Has("refresh_token") {
		return tokenResponse{}, oauth.Errorf(oauth.InvalidRequest, "refresh_token is missing")
	}
	grantID, generation, ok := p.parseRefreshToken(params.Get("refresh_token"))
	if !ok {
		return tokenResponse{}, unknown.Because(errors.New("not a refresh token of ours"))
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
	case grant.ClientID != client.ID:
		p.misused(ctx, "a refresh token was presented by another client", client, grant)
		return tokenResponse{}, unknown.Because(fmt.Errorf("the refresh token was issued to client %q", grant.ClientID))
	case generation > grant.RefreshGeneration:
		return tokenResponse{}, unknown.Because(errors.New("a generation that was never issued"))
	case !grant.Stands(now):
		return tokenResponse{}, unknown.Because(errors.New("the grant was revoked or has expired"))
	case generation < grant.RefreshGeneration && !p.withinGrace(grant, generation, now):
		return tokenResponse{}, p.revokeReused(ctx, "refresh token", client, grant)
	case !now.Before(grant.RefreshIdleAt):
		return tokenResponse{}, unknown.Because(fmt.Errorf("not used until %s", grant.RefreshIdleAt.Format(time.RFC3339)))
	}
	user, err := p.standing(ctx, client, grant)
	if err != nil {
		return tokenResponse{}, err
	}
	mention(r, "sub", user.ID)
	scope, err := scopeOf(client, grant, params.Get("scope"))
	if err != nil {
		return tokenResponse{}, err
	}
	audience, err := p.audienceOf(client, grant, params.Resource)
	if err != nil {
		return tokenResponse{}, err
	}

	if generation == grant.RefreshGeneration {
		grant, err = p.Store.RotateRefresh(ctx, grant.ID, generation, now, earlier(now.Add(p.RefreshIdle), grant.ExpiresAt))
		switch {
		case errors.Is(err, storage.ErrConsumed):
			if !p.withinGrace(grant, generation, now) {
				return tokenResponse{}, p.revokeReused(ctx, "refresh token", client, grant)
			}
		case errors.Is(err, storage.ErrNotFound):
			return tokenResponse{}, unknown.Because(errors.New("expired or revoked this very moment"))
		case err != nil:
			return tokenResponse{}, fmt.Errorf("rotate refresh token: %w", err)
		}
	}
	// A nonce belongs to the authorization request and is not repeated (OIDC Core §12.2).
	return p.mint(ctx, client, grant, user, scope, audience, "")
}

// withinGrace says whether a replaced refresh token still yields its successor: it is the one before the current, so nobody has used that
// one yet, and it was replaced only just now.
func (p *Provider) withinGrace(grant storage.Grant, generation int64, now time.Time) bool {
	return p.RefreshGrace > 0 && generation == grant.RefreshGeneration-1 && now.Sub(grant.RefreshedAt) < p.RefreshGrace
}
