package token

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"latchkey/provider/clients"
	"latchkey/provider/grants"
	"latchkey/provider/oauth"
	"latchkey/provider/storage"
	"latchkey/provider/web"
)

// Revoke takes back a token that its client no longer needs (RFC 7009 §2). Whether there was such a
// token is not told: the answer is the same for an unknown one and for another client's, which is
// left alone.
func (ep *Endpoints) Revoke(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	params, err := oauth.ParseBody(r)
	if err != nil {
		return err
	}
	client, err := ep.Clients.Authenticate(ctx, r, params)
	if err != nil {
		return err
	}
	value := params.Get("token")
	if value == "" {
		return oauth.Errorf(oauth.InvalidRequest, "token is missing")
	}
	// token_type_hint may be wrong (RFC 7009 §2.1), and each kind is recognised by itself.
	if grantID, _, ok := ep.Grants.ParseRefreshToken(value); ok {
		err = ep.revokeRefresh(ctx, client, grantID)
	} else {
		err = ep.revokeAccess(ctx, client, value)
	}
	if errors.Is(err, grants.ErrNoToken) {
		web.Mention(r, "without_effect", err.Error())
		err = nil
	}
	if err != nil {
		return err // the token may still be good, and the client must know (RFC 7009 §2.2.1)
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

// revokeRefresh ends the grant, and with it every token that was issued under it (RFC 7009 §2.1).
func (ep *Endpoints) revokeRefresh(ctx context.Context, client clients.Client, grantID string) error {
	grant, err := ep.Store.Grant(ctx, grantID)
	if errors.Is(err, storage.ErrNotFound) {
		return fmt.Errorf("%w: its grant is gone", grants.ErrNoToken)
	}
	if err != nil {
		return fmt.Errorf("load grant: %w", err)
	}
	if grant.ClientID != client.ID {
		return fmt.Errorf("%w: the refresh token of client %q", grants.ErrNoToken, grant.ClientID)
	}
	if err := ep.Store.RevokeGrant(ctx, grant.ID, ep.Web.Now()); err != nil && !errors.Is(err, storage.ErrNotFound) {
		return fmt.Errorf("revoke grant: %w", err)
	}
	return nil
}

// revokeAccess ends this one access token. A resource server that verifies JWTs by itself learns of
// it only when the token expires (RFC 7009 §3).
func (ep *Endpoints) revokeAccess(ctx context.Context, client clients.Client, value string) error {
	t, err := ep.Grants.ReadAccessToken(ctx, value)
	if err != nil {
		return err
	}
	if t.ClientID != client.ID {
		return fmt.Errorf("%w: the access token of client %q", grants.ErrNoToken, t.ClientID)
	}
	if t.Hash != "" {
		err = ep.Store.DeleteToken(ctx, storage.TokenAccess, t.Hash)
	} else {
		err = ep.Store.Spend(ctx, grants.KindRevoked, t.ID, ep.Web.Now(), t.ExpiresAt)
	}
	if err != nil && !errors.Is(err, storage.ErrConsumed) {
		return fmt.Errorf("revoke access token: %w", err)
	}
	return nil
}
