package grants

import (
	"context"
	"errors"
	"fmt"

	"latchkey/provider/access"
	"latchkey/provider/clients"
	"latchkey/provider/oauth"
	"latchkey/provider/storage"
)

// Standing decides, for every path alike, whether what was granted still stands: the client may
// still act, the person still exists and may use it, the grant was not revoked and has not expired,
// and the session it came from goes on (or the client holds offline access). It returns the person
// as they are now.
//
// The error is an *oauth.Error with code invalid_grant (invalid_client for a client that may not
// act); the userinfo and introspection endpoints say the same in their own words. A fault of the
// store is returned as it is.
func (gs *Grants) Standing(ctx context.Context, from storage.Records, client clients.Client,
	grant storage.Grant) (storage.User, error) {
	now := gs.Now()
	if client.Disabled {
		return storage.User{}, oauth.Errorf(oauth.InvalidClient, "the client is disabled")
	}
	if grant.ClientID != client.ID || !client.RegisteredBy(grant.CreatedAt) {
		return storage.User{}, oauth.Errorf(oauth.InvalidGrant, "the grant belongs to another client")
	}
	if !grant.Stands(now) {
		return storage.User{}, oauth.Errorf(oauth.InvalidGrant,
			"the grant was revoked or has expired; the person has to sign in again")
	}
	// Offline access outlives the session once the client has it. A code that nobody has redeemed
	// ends with the session all the same: one that is issued in the very moment in which all of a
	// person's grants are being revoked would slip through otherwise.
	if !grant.Offline || !grant.Live() {
		session, err := from.Session(ctx, grant.SessionID)
		if err != nil && !errors.Is(err, storage.ErrNotFound) {
			return storage.User{}, fmt.Errorf("load session of grant: %w", err)
		}
		if err != nil || !session.EndedAt.IsZero() || !now.Before(session.ExpiresAt) {
			return storage.User{}, oauth.Errorf(oauth.InvalidGrant,
				"the person has signed out; they have to sign in again")
		}
	}
	user, err := from.User(ctx, grant.UserID)
	if errors.Is(err, storage.ErrNotFound) {
		return storage.User{}, oauth.Errorf(oauth.InvalidGrant, "the account no longer exists")
	}
	if err != nil {
		return storage.User{}, fmt.Errorf("load person of grant: %w", err)
	}
	if d := access.Decide(client, user); !d.Allowed {
		return storage.User{}, oauth.Errorf(oauth.InvalidGrant,
			"the person may not use this client any more").Because(errors.New(string(d.Reason)))
	}
	return user, nil
}
