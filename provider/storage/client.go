package storage

import (
	"context"
	"time"

	"latchkey/provider/clients"
)

var clientTable = register(table[clients.Client]{
	Table: Table{Name: "clients", Indexes: []Index{
		{Fields: []string{"cors_origins"}, Each: true}, {Fields: []string{"signing_audience"}, Each: true},
		{Fields: []string{"allowed_groups"}, Each: true}, {Fields: []string{"owner_groups"}, Each: true},
	}},
	id:      func(c *clients.Client) string { return c.ID },
	version: func(c *clients.Client) *int64 { return &c.Version },
	purgeAt: func(c *clients.Client) time.Time { return c.UnusedUntil },
	cached:  true,
	few:     true,
	memo:    newMemo[clients.Client](),
})

// CreateClient stores a new client with Version 1. ErrConflict if the ID is taken.
func (s *Store) CreateClient(ctx context.Context, c clients.Client) error {
	return create(ctx, s, "create client", clientTable, c)
}

// Client returns a client by ID, or ErrNotFound.
func (r Records) Client(ctx context.Context, id string) (clients.Client, error) {
	return load(ctx, r, "load client", clientTable, id)
}

// UpdateClient replaces the client whose Version is c.Version and increases it by one; ErrConflict,
// ErrNotFound as UpdateUser.
func (s *Store) UpdateClient(ctx context.Context, c clients.Client) error {
	return replace(ctx, s, "update client", clientTable, c)
}

// UseClient notes that a client which registered itself is used, so that it stays. ErrNotFound if
// there is none, or none any more at now.
func (s *Store) UseClient(ctx context.Context, id string, now time.Time) error {
	_, err := change(ctx, s, "use client", clientTable, id, existing(func(c *clients.Client) error {
		if !c.UnusedUntil.IsZero() && !now.Before(c.UnusedUntil) {
			return ErrNotFound
		}
		c.UnusedUntil = time.Time{}
		return nil
	}))
	return err
}

// DeleteClient removes the client, the consents given to it, and revokes its grants at now.
// ErrNotFound if there is none.
func (s *Store) DeleteClient(ctx context.Context, id string, now time.Time) error {
	const what = "delete client"
	if _, err := s.Client(ctx, id); err != nil {
		return err
	}
	// Nobody gets anything for it from now on, however long the rest takes.
	_, err := change(ctx, s, what, clientTable, id, existing(func(c *clients.Client) error {
		c.Disabled = true
		return nil
	}))
	if err != nil {
		return err
	}
	// The client goes last, so that this can be done again if it ends half way; then the grants
	// once more, for those that were made in between.
	if _, err := s.RevokeGrants(ctx, GrantFilter{ClientID: id}, now); err != nil {
		return err
	}
	if _, err := s.engine.Remove(ctx, &consents.Table, is("client_id", id)); err != nil {
		return wrap(what, err)
	}
	if err := removeOne(ctx, s, what, clientTable, id); err != nil {
		return err
	}
	_, err = s.RevokeGrants(ctx, GrantFilter{ClientID: id}, now)
	return err
}

// Clients lists clients by ID, beginning after the given one, at most limit.
func (r Records) Clients(ctx context.Context, after string, limit int) ([]clients.Client, error) {
	if limit < 1 {
		return nil, nil
	}
	return list(ctx, r, "list clients", clientTable, Query{Order: []string{FieldID}, After: after, Limit: limit})
}

// ClientsForGroup lists, by ID, the clients that name the group among their AllowedGroups, at most
// limit, 0 for all.
func (r Records) ClientsForGroup(ctx context.Context, group string, limit int) ([]clients.Client, error) {
	return list(ctx, r, "list clients for group", clientTable,
		Query{Where: []Match{is("allowed_groups", group)}, Order: []string{FieldID}, Limit: limit})
}

// ClientsOwnedBy lists, by ID, the clients that name the group among their OwnerGroups, at most
// limit, 0 for all.
func (r Records) ClientsOwnedBy(ctx context.Context, group string, limit int) ([]clients.Client, error) {
	return list(ctx, r, "list clients owned by group", clientTable,
		Query{Where: []Match{is("owner_groups", group)}, Order: []string{FieldID}, Limit: limit})
}

// OriginAllowed reports whether any client that is not disabled lists the web origin in
// CORSOrigins.
func (r Records) OriginAllowed(ctx context.Context, origin string) (bool, error) {
	found, err := listIf(ctx, r, "look up origin", clientTable, Query{Where: []Match{is("cors_origins", origin)}}, 1,
		func(c *clients.Client) bool { return !c.Disabled })
	return len(found) > 0, err
}

// SigningAPIs lists, by ID, the APIs that answer to an audience and whose registration names the
// algorithm that signs access tokens for them (see clients.Client.SigningAudience), disabled ones
// too.
func (r Records) SigningAPIs(ctx context.Context, audience string) ([]clients.Client, error) {
	return list(ctx, r, "look up audience", clientTable, Query{Where: []Match{is("signing_audience", audience)},
		Order: []string{FieldID}})
}
