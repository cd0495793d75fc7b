package admin

import (
	"context"
	"errors"

	"latchkey/provider/storage"
)

// GrantsOfUser lists what clients may do now in the name of a user, the newest first. ErrNotFound if
// there is no such user.
func (a *Admin) GrantsOfUser(ctx context.Context, actor Actor, userID string) ([]storage.Grant, error) {
	if _, err := a.userFor(ctx, actor, VerbGrantRead, userID); err != nil {
		return nil, err
	}
	return a.Store.GrantsOfUser(ctx, userID, a.Now())
}

// GrantsOfClient lists what a client may do now in the names of users, the newest first, at most
// limit: those after the one with the ID before, or from the newest if that is "". ErrNotFound if
// there is no such client.
func (a *Admin) GrantsOfClient(ctx context.Context, actor Actor, clientID, before string, limit int) ([]storage.Grant,
	error) {
	if err := a.readClient(ctx, actor, VerbGrantRead, clientID); err != nil {
		return nil, err
	}
	return a.Store.GrantsOfClient(ctx, clientID, before, a.Now(), limit)
}

// ConsentsOfUser lists what a user allows clients without being asked again, by client_id.
// ErrNotFound if there is no such user.
func (a *Admin) ConsentsOfUser(ctx context.Context, actor Actor, userID string) ([]storage.Consent, error) {
	if _, err := a.userFor(ctx, actor, VerbGrantRead, userID); err != nil {
		return nil, err
	}
	return a.Store.ConsentsOfUser(ctx, userID)
}

// ConsentsOfClient lists what users allow a client without being asked again, by User.ID, beginning
// after the given one, at most limit. ErrNotFound if there is no such client.
func (a *Admin) ConsentsOfClient(ctx context.Context, actor Actor, clientID, after string,
	limit int) ([]storage.Consent, error) {
	if err := a.readClient(ctx, actor, VerbGrantRead, clientID); err != nil {
		return nil, err
	}
	return a.Store.ConsentsOfClient(ctx, clientID, after, limit)
}

// readClient asks whether the actor may read about a client, and whether there is one.
func (a *Admin) readClient(ctx context.Context, actor Actor, verb, id string) error {
	if err := a.permit(ctx, actor, verb, of("client", id)); err != nil {
		return err
	}
	c, err := a.client(ctx, id)
	if err != nil {
		return err
	}
	return a.permit(ctx, actor, verb, clientObject(c))
}

// grantRecord is a grant in the audit log.
type grantRecord struct {
	UserID   string   `json:"sub"`
	ClientID string   `json:"client_id"`
	Scope    []string `json:"scope,omitempty"`
	Offline  bool     `json:"offline,omitempty"`
}

// RevokeGrant takes back one grant: its code, access tokens and refresh token are refused from then
// on. The user is not asked again for a consent that was given for good. ErrNotFound if there is no
// such grant; one that is revoked already stays so.
func (a *Admin) RevokeGrant(ctx context.Context, actor Actor, id string) (storage.Grant, error) {
	if err := a.permit(ctx, actor, VerbGrantRevoke, of("grant", id)); err != nil {
		return storage.Grant{}, err
	}
	g, err := a.Store.Grant(ctx, id)
	if errors.Is(err, storage.ErrNotFound) {
		return g, &ObjectError{Err: ErrNotFound, Kind: "grant", Name: id}
	}
	if err != nil {
		return g, err
	}
	o, err := a.betweenUserAndClient(ctx, "grant", id, g.UserID, g.ClientID)
	if err != nil {
		return g, err
	}
	before := grantRecord{g.UserID, g.ClientID, g.Scope, g.Offline}
	return g, a.change(ctx, actor, VerbGrantRevoke, o, before, nil,
		func() error { return a.Store.RevokeGrant(ctx, id, a.timestamp()) })
}

// betweenUserAndClient is an object that belongs to a user, and about which the owner of a client
// may decide.
func (a *Admin) betweenUserAndClient(ctx context.Context, kind, id, userID, clientID string) (object, error) {
	o, err := a.belongingTo(ctx, kind, id, userID)
	if err != nil {
		return o, err
	}
	c, err := a.Store.Client(ctx, clientID)
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return o, err
	}
	o.ownerGroups = c.OwnerGroups
	return o, nil
}

// Disconnect takes back all that a user has allowed a client: the consent and every grant, with
// their tokens. ErrNotFound if there is nothing.
func (a *Admin) Disconnect(ctx context.Context, actor Actor, userID, clientID string) error {
	asked := of("client", clientID)
	if err := a.permit(ctx, actor, VerbConsentRevoke, asked); err != nil {
		return err
	}
	o, err := a.betweenUserAndClient(ctx, "client", clientID, userID, clientID)
	if err != nil {
		return err
	}
	return a.change(ctx, actor, VerbConsentRevoke, o, map[string]any{"sub": userID}, nil, func() error {
		had, err := a.Store.Disconnect(ctx, userID, clientID, a.timestamp())
		if err == nil && !had {
			err = &ObjectError{Err: ErrNotFound, Kind: "consent", Name: clientID}
		}
		return err
	})
}

// DisconnectClient takes back all that users have allowed a client: every consent and every grant,
// with their access and refresh tokens. Users are asked again at their next sign-in there. With
// keepConsents they are not: only the tokens end. It returns how many of each there were.
func (a *Admin) DisconnectClient(ctx context.Context, actor Actor, clientID string, keepConsents bool) (consents,
	grants int, err error) {
	verb := VerbConsentRevoke
	if keepConsents {
		verb = VerbGrantRevoke
	}
	if err := a.permit(ctx, actor, verb, of("client", clientID)); err != nil {
		return 0, 0, err
	}
	c, err := a.client(ctx, clientID)
	if err != nil {
		return 0, 0, err
	}
	err = a.change(ctx, actor, verb, clientObject(c), nil, nil, func() (err error) {
		if keepConsents {
			grants, err = a.Store.RevokeGrants(ctx, storage.GrantFilter{ClientID: clientID}, a.timestamp())
		} else {
			consents, grants, err = a.Store.DisconnectClient(ctx, clientID, a.timestamp())
		}
		return err
	})
	return consents, grants, err
}
