package token

import (
	"errors"
	"fmt"
	"time"

	"latchkey/provider/failpoint"
	"latchkey/provider/grants"
	"latchkey/provider/oauth"
	"latchkey/provider/storage"
	"latchkey/provider/web"
)

// refresh exchanges a refresh token for new tokens (RFC 6749 §6, OIDC Core §12). The refresh token
// is replaced each time (RFC 9700 §4.14.2). A client whose answer got lost may ask again with the
// old one for a few seconds, and gets the same successor; later, or when the successor was used
// already, two parties hold the token, and the grant ends.
func (ep *Endpoints) refresh(x exchange) (grants.TokenResponse, error) {
	ctx, client, params := x.ctx, x.client, x.params
	unknown := oauth.Errorf(oauth.InvalidGrant,
		"the refresh token is unknown, has expired or was revoked, or was issued to another client")
	if !params.Has("refresh_token") {
		return grants.TokenResponse{}, oauth.Errorf(oauth.InvalidRequest, "refresh_token is missing")
	}
	grantID, generation, ok := ep.Grants.ParseRefreshToken(params.Get("refresh_token"))
	if !ok {
		return grants.TokenResponse{}, unknown.Because(errors.New("not a refresh token of ours"))
	}
	grant, err := ep.Store.Grant(ctx, grantID)
	if errors.Is(err, storage.ErrNotFound) {
		return grants.TokenResponse{}, unknown.Because(errors.New("no such grant"))
	}
	if err != nil {
		return grants.TokenResponse{}, fmt.Errorf("load grant: %w", err)
	}
	now := ep.Web.Now()
	switch {
	case grant.ClientID != client.ID:
		ep.Grants.WarnMisuse(ctx, "a refresh token was presented by another client", client, grant)
		return grants.TokenResponse{}, unknown.Because(fmt.Errorf("the refresh token was issued to client %q",
			grant.ClientID))
	case generation > grant.RefreshGeneration:
		return grants.TokenResponse{}, unknown.Because(errors.New("a generation that was never issued"))
	case !grant.Stands(now):
		return grants.TokenResponse{}, unknown.Because(errors.New("the grant was revoked or has expired"))
	case generation < grant.RefreshGeneration && !ep.withinGrace(grant, generation, now):
		return grants.TokenResponse{}, ep.Grants.RevokeReused(ctx, "refresh token", client, grant)
	case !now.Before(grant.RefreshIdleAt):
		return grants.TokenResponse{}, unknown.Because(fmt.Errorf("not used until %s",
			grant.RefreshIdleAt.Format(time.RFC3339)))
	}
	confirmation, err := x.confirmation(grant.Confirmation, client.Public())
	if err != nil {
		return grants.TokenResponse{}, err
	}
	issuance, err := ep.Grants.Entitle(ctx, client, grant, params.Get("scope"), params.Resource)
	if err != nil {
		return grants.TokenResponse{}, err
	}
	web.Mention(x.r, "sub", issuance.User.ID)

	if err := ep.Clients.UseProof(ctx, x.proof); err != nil {
		return grants.TokenResponse{}, err
	}
	failpoint.At(failpoint.RefreshChecked)
	if generation == grant.RefreshGeneration {
		grant, err = ep.Store.RotateRefresh(ctx, grant, storage.Rotation{
			Generation: generation, Now: now, IdleAt: earlier(now.Add(ep.Grants.RefreshIdle), grant.ExpiresAt),
		})
		switch {
		case errors.Is(err, storage.ErrConsumed):
			if !ep.withinGrace(grant, generation, now) {
				return grants.TokenResponse{}, ep.Grants.RevokeReused(ctx, "refresh token", client, grant)
			}
		case errors.Is(err, storage.ErrNotFound):
			return grants.TokenResponse{}, unknown.Because(errors.New("expired or revoked this very moment"))
		case err != nil:
			return grants.TokenResponse{}, fmt.Errorf("rotate refresh token: %w", err)
		}
	}
	// A nonce belongs to the authorization request and is not repeated (OIDC Core §12.2).
	issuance.Grant, issuance.Confirmation = grant, confirmation
	failpoint.At(failpoint.RefreshBurnt)
	made, err := ep.Grants.Issue(ctx, issuance)
	failpoint.At(failpoint.RefreshMinted)
	return made, err
}

// withinGrace reports whether a replaced refresh token still yields its successor: it is the one
// before the current, so nobody has used that one yet, and it was replaced only just now.
func (ep *Endpoints) withinGrace(grant storage.Grant, generation int64, now time.Time) bool {
	return ep.Grants.RefreshGrace > 0 && generation == grant.RefreshGeneration-1 &&
		now.Sub(grant.RefreshedAt).Abs() < ep.Grants.RefreshGrace
}
