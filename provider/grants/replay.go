package grants

import (
	"context"
	"fmt"

	"latchkey/provider/clients"
	"latchkey/provider/oauth"
	"latchkey/provider/storage"
)

// WarnMisuse warns of a credential that somebody used who should not have been able to: its grant
// is revoked by then, or was spared because only the client was wrong.
func (gs *Grants) WarnMisuse(ctx context.Context, what string, client clients.Client, grant storage.Grant) {
	gs.Logger.WarnContext(ctx, what, "client_id", client.ID, "grant", grant.ID, "granted_to", grant.ClientID, "sub",
		grant.UserID)
}

// RevokeReused ends everything under a grant whose single-use credential was used twice: one of the
// two users was not the client (RFC 6749 §4.1.2, RFC 9700 §4.14.2).
func (gs *Grants) RevokeReused(ctx context.Context, what string, client clients.Client, grant storage.Grant) error {
	if err := gs.Store.RevokeGrant(ctx, grant.ID, gs.Now()); err != nil {
		return fmt.Errorf("revoke grant: %w", err)
	}
	gs.WarnMisuse(ctx, what+" was used again; its grant is revoked", client, grant)
	return oauth.Errorf(oauth.InvalidGrant, "the %s was used before; everything issued for it is revoked now", what)
}
