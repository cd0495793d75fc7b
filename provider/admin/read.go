package admin

import (
	"context"

	"latchkey/keys"
	"latchkey/provider/clients"
	"latchkey/provider/people"
	"latchkey/provider/storage"
)

// User returns the user with this username, in any spelling. Faults if nobody can have it,
// ErrNotFound if nobody has.
func (a *Admin) User(ctx context.Context, actor Actor, username string) (storage.User, error) {
	if err := a.permit(ctx, actor, VerbUserRead, storage.EventParty{Kind: "user", Name: username}); err != nil {
		return storage.User{}, err
	}
	return a.user(ctx, username)
}

// UserByID returns the user with this subject identifier, or ErrNotFound.
func (a *Admin) UserByID(ctx context.Context, actor Actor, id string) (storage.User, error) {
	if err := a.permit(ctx, actor, VerbUserRead, storage.EventParty{Kind: "user", ID: id}); err != nil {
		return storage.User{}, err
	}
	return a.userByID(ctx, id)
}

// Users returns all users, by username.
func (a *Admin) Users(ctx context.Context, actor Actor) ([]storage.User, error) {
	if err := a.permit(ctx, actor, VerbUserRead, storage.EventParty{Kind: "user"}); err != nil {
		return nil, err
	}
	return a.users(ctx)
}

// Lockout returns the failed sign-ins that count against a user, and until when they keep the user
// out.
func (a *Admin) Lockout(ctx context.Context, actor Actor, u storage.User) (people.Lockout, error) {
	if err := a.permit(ctx, actor, VerbUserRead, userParty(u)); err != nil {
		return people.Lockout{}, err
	}
	return a.Throttle.Lockout(ctx, u.Username, a.Now())
}

// Group returns a group by name, or ErrNotFound.
func (a *Admin) Group(ctx context.Context, actor Actor, name string) (storage.Group, error) {
	if err := a.permit(ctx, actor, VerbGroupRead, groupParty(name)); err != nil {
		return storage.Group{}, err
	}
	return a.group(ctx, name)
}

// Groups returns all groups, by name.
func (a *Admin) Groups(ctx context.Context, actor Actor) ([]storage.Group, error) {
	if err := a.permit(ctx, actor, VerbGroupRead, storage.EventParty{Kind: "group"}); err != nil {
		return nil, err
	}
	return a.Store.Groups(ctx)
}

// Client returns a client by its client_id, or ErrNotFound.
func (a *Admin) Client(ctx context.Context, actor Actor, id string) (clients.Client, error) {
	if err := a.permit(ctx, actor, VerbClientRead, storage.EventParty{Kind: "client", ID: id}); err != nil {
		return clients.Client{}, err
	}
	return a.client(ctx, id)
}

// Clients returns all clients, by client_id.
func (a *Admin) Clients(ctx context.Context, actor Actor) ([]clients.Client, error) {
	if err := a.permit(ctx, actor, VerbClientRead, storage.EventParty{Kind: "client"}); err != nil {
		return nil, err
	}
	return a.clients(ctx)
}

// ProviderKeys returns the provider's keys, without their private parts, and those that were
// revoked lately.
func (a *Admin) ProviderKeys(ctx context.Context, actor Actor) ([]keys.StoredKey, []keys.RevokedKey, error) {
	if err := a.permit(ctx, actor, VerbKeysRead, storage.EventParty{Kind: "key"}); err != nil {
		return nil, nil, err
	}
	return a.Keys.Keys(), a.Keys.RevokedKeys(), nil
}

// Events returns the events of the audit log that the filter chooses, newest first, at most limit.
// before is the ID of the last event of the page before, "" for the newest.
func (a *Admin) Events(ctx context.Context, actor Actor, f storage.EventFilter, before string, limit int) ([]storage.Event, error) {
	if err := a.permit(ctx, actor, VerbAuditRead, storage.EventParty{Kind: "event"}); err != nil {
		return nil, err
	}
	return a.Store.Events(ctx, f, before, limit)
}
