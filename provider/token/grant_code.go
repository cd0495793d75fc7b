package token

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"time"

	"latchkey/provider/failpoint"
	"latchkey/provider/grants"
	"latchkey/provider/oauth"
	"latchkey/provider/storage"
	"latchkey/provider/web"
)

// redeemCode exchanges an authorization code for tokens (RFC 6749 §4.1.3, OIDC Core §3.1.3). Every
// check comes before the code is used, and that before anything is made.
func (ep *Endpoints) redeemCode(x exchange) (grants.TokenResponse, error) {
	ctx, client, params := x.ctx, x.client, x.params
	unknown := oauth.Errorf(oauth.InvalidGrant, "the code is unknown or has expired, or was issued to another client")
	if !params.Has("code") {
		return grants.TokenResponse{}, oauth.Errorf(oauth.InvalidRequest, "code is missing")
	}
	if !params.Has("redirect_uri") {
		return grants.TokenResponse{}, oauth.Errorf(oauth.InvalidRequest,
			"redirect_uri is missing; it must be the one of the authorization request (RFC 6749 section 4.1.3)")
	}
	grantID, hash, ok := grants.ParseCode(params.Get("code"))
	if !ok {
		return grants.TokenResponse{}, unknown.Because(errors.New("not a code of ours"))
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
	case grant.CodeHash == "" || subtle.ConstantTimeCompare([]byte(hash), []byte(grant.CodeHash)) != 1:
		return grants.TokenResponse{}, unknown.Because(errors.New("the code is not that of the grant"))
	case grant.ClientID != client.ID:
		ep.Grants.WarnMisuse(ctx, "a code was presented by another client", client, grant)
		return grants.TokenResponse{}, unknown.Because(fmt.Errorf("the code was issued to client %q", grant.ClientID))
	case params.Get("redirect_uri") != grant.RedirectURI:
		return grants.TokenResponse{}, oauth.Errorf(oauth.InvalidGrant,
			"redirect_uri differs from the one of the authorization request")
	}
	// The verifier is checked before the code is used: whoever holds the code without it can then
	// neither spend the code nor, by spending it twice, revoke the owner's grant (RFC 7636 §1,
	// RFC 6749 §4.1.2).
	if err := oauth.VerifyPKCE(grant.CodeChallenge, params.Get("code_verifier")); err != nil {
		return grants.TokenResponse{}, err
	}
	confirmation, err := x.confirmation(grant.Confirmation, true)
	if err != nil {
		return grants.TokenResponse{}, err
	}
	switch {
	case !grant.RevokedAt.IsZero():
		return grants.TokenResponse{}, oauth.Errorf(oauth.InvalidGrant, "the code was revoked")
	case !grant.CodeUsedAt.IsZero():
		return grants.TokenResponse{}, ep.Grants.RevokeReused(ctx, "code", client, grant)
	case !now.Before(grant.CodeExpiresAt):
		return grants.TokenResponse{}, unknown.Because(fmt.Errorf("the code expired at %s",
			grant.CodeExpiresAt.Format(time.RFC3339)))
	}
	issuance, err := ep.Grants.Entitle(ctx, client, grant, "", params.Resource)
	if err != nil {
		return grants.TokenResponse{}, err
	}
	web.Mention(x.r, "sub", issuance.User.ID)

	expiresAt, idleAt := now.Add(ep.Grants.AccessTokenTTL), time.Time{}
	if grants.Refreshable(client, grant) {
		expiresAt = grant.CreatedAt.Add(ep.Grants.RefreshAbsolute)
		idleAt = earlier(now.Add(ep.Grants.RefreshIdle), expiresAt)
	}
	if err := ep.Clients.UseProof(ctx, x.proof); err != nil {
		return grants.TokenResponse{}, err
	}
	failpoint.At(failpoint.CodeChecked)
	grant, err = ep.Store.RedeemCode(ctx, grant, storage.Redemption{CodeHash: hash, Now: now, ExpiresAt: expiresAt,
		RefreshIdleAt: idleAt, Confirmation: confirmation})
	switch {
	case errors.Is(err, storage.ErrConsumed):
		return grants.TokenResponse{}, ep.Grants.RevokeReused(ctx, "code", client, grant)
	case errors.Is(err, storage.ErrNotFound):
		return grants.TokenResponse{}, unknown.Because(errors.New("expired or revoked this very moment"))
	case err != nil:
		return grants.TokenResponse{}, fmt.Errorf("redeem code: %w", err)
	}
	failpoint.At(failpoint.CodeBurnt)
	issuance.Grant, issuance.Nonce, issuance.Confirmation = grant, grant.Nonce, confirmation
	made, err := ep.Grants.Issue(ctx, issuance)
	failpoint.At(failpoint.CodeMinted)
	return made, err
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
