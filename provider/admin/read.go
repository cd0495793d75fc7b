package admin

import (
	"context"
	"slices"
	"strings"

	"latchkey/keys"
	"latchkey/provider/clients"
	"latchkey/provider/people"
	"latchkey/provider/storage"
)

// User returns the user with this username, in any spelling. Faults if nobody can have it,
// ErrNotFound if nobody has.
func (a *Admin) User(ctx context.Context, actor Actor, username string) (storage.User, error) {
	if err := a.permit(ctx, actor, VerbUserRead, of("user", username)); err != nil {
		return storage.User{}, err
	}
	return a.user(ctx, username)
}

// UserByID returns the user with this subject identifier, or ErrNotFound.
func (a *Admin) UserByID(ctx context.Context, actor Actor, id string) (storage.User, error) {
	if err := a.permit(ctx, actor, VerbUserRead, of("user", id)); err != nil {
		return storage.User{}, err
	}
	return a.userByID(ctx, id)
}

// Users returns all users, by username.
func (a *Admin) Users(ctx context.Context, actor Actor) ([]storage.User, error) {
	if err := a.permit(ctx, actor, VerbUserRead, of("user", "")); err != nil {
		return nil, err
	}
	return a.users(ctx)
}

// FindUsers lists the users that the filter chooses by username, beginning after the given one, at
// most limit.
func (a *Admin) FindUsers(ctx context.Context, actor Actor, f storage.UserFilter, after string,
	limit int) ([]storage.User, error) {
	if err := a.permit(ctx, actor, VerbUserRead, of("user", "")); err != nil {
		return nil, err
	}
	return a.Store.FindUsers(ctx, f, after, limit)
}

// Lockout returns the failed sign-ins that count against a user, and until when they keep the user
// out.
func (a *Admin) Lockout(ctx context.Context, actor Actor, u storage.User) (people.Lockout, error) {
	if err := a.permit(ctx, actor, VerbUserRead, userObject(u)); err != nil {
		return people.Lockout{}, err
	}
	return a.Throttle.Lockout(ctx, u.Username, a.Now())
}

// Group returns a group by name, or ErrNotFound.
func (a *Admin) Group(ctx context.Context, actor Actor, name string) (storage.Group, error) {
	if err := a.permit(ctx, actor, VerbGroupRead, groupObject(name)); err != nil {
		return storage.Group{}, err
	}
	return a.group(ctx, name)
}

// Groups returns all groups, by name.
func (a *Admin) Groups(ctx context.Context, actor Actor) ([]storage.Group, error) {
	if err := a.permit(ctx, actor, VerbGroupRead, of("group", "")); err != nil {
		return nil, err
	}
	return a.Store.Groups(ctx)
}

// Client returns a client by its client_id, or ErrNotFound.
func (a *Admin) Client(ctx context.Context, actor Actor, id string) (clients.Client, error) {
	if err := a.permit(ctx, actor, VerbClientRead, of("client", id)); err != nil {
		return clients.Client{}, err
	}
	c, err := a.client(ctx, id)
	if err != nil {
		return c, err
	}
	if err := a.permit(ctx, actor, VerbClientRead, clientObject(c)); err != nil {
		return clients.Client{}, err
	}
	return c, nil
}

// Clients returns all clients that the actor may read, by client_id.
func (a *Admin) Clients(ctx context.Context, actor Actor) ([]clients.Client, error) {
	return pages(ctx, func(ctx context.Context, after string, limit int) ([]clients.Client, error) {
		return a.ListClients(ctx, actor, after, limit)
	}, func(c clients.Client) string { return c.ID })
}

// ListClients lists the clients that the actor may read by client_id, beginning after the given one,
// at most limit.
func (a *Admin) ListClients(ctx context.Context, actor Actor, after string, limit int) ([]clients.Client, error) {
	if err := a.permit(ctx, actor, VerbClientRead, of("client", "")); err != nil {
		return nil, err
	}
	h, err := a.holder(ctx, actor)
	if err != nil || limit < 1 {
		return nil, err
	}
	if !h.ownedClients() {
		return a.Store.Clients(ctx, after, limit)
	}
	var own []clients.Client
	for _, g := range h.groups {
		some, err := a.Store.ClientsOwnedBy(ctx, g, 0)
		if err != nil {
			return nil, err
		}
		own = append(own, some...)
	}
	slices.SortFunc(own, func(a, b clients.Client) int { return strings.Compare(a.ID, b.ID) })
	own = slices.CompactFunc(own, func(a, b clients.Client) bool { return a.ID == b.ID })
	own = slices.DeleteFunc(own, func(c clients.Client) bool { return c.ID <= after })
	return own[:min(len(own), limit)], nil
}

// Members lists the users who are in a group by username, beginning after the given one, at most
// limit. ErrNotFound if there is no such group.
func (a *Admin) Members(ctx context.Context, actor Actor, group, after string, limit int) ([]storage.User, error) {
	if _, err := a.groupFor(ctx, actor, VerbMemberRead, group); err != nil {
		return nil, err
	}
	return a.Store.FindUsers(ctx, storage.UserFilter{Group: group}, after, limit)
}

// ProviderKeys returns the provider's keys, without their private parts, and those that were
// revoked lately.
func (a *Admin) ProviderKeys(ctx context.Context, actor Actor) ([]keys.StoredKey, []keys.RevokedKey, error) {
	if err := a.permit(ctx, actor, VerbKeysRead, of("key", "")); err != nil {
		return nil, nil, err
	}
	return a.Keys.Keys(), a.Keys.RevokedKeys(), nil
}

// Events returns the events of the audit log that the filter chooses, newest first, at most limit.
// before is the ID of the last event of the page before, "" for the newest.
func (a *Admin) Events(ctx context.Context, actor Actor, f storage.EventFilter, before string,
	limit int) ([]storage.Event, error) {
	if err := a.permit(ctx, actor, VerbAuditRead, of("event", "")); err != nil {
		return nil, err
	}
	return a.Store.Events(ctx, f, before, limit)
}
