package storage

import (
	"context"
	"slices"
	"time"
)

// Consent is what a person has allowed an application, for good.
type Consent struct {
	UserID     string    `bson:"user_id"`
	ClientID   string    `bson:"client_id"`
	Appearance string    `bson:"appearance,omitempty"` // Client.Identity of what the person saw
	Scope      []string  `bson:"scope"`
	Claims     []string  `bson:"claims,omitempty"`   // names from the claims parameter
	Resource   []string  `bson:"resource,omitempty"` // RFC 8707
	CreatedAt  time.Time `bson:"created_at"`
	UpdatedAt  time.Time `bson:"updated_at"`
	Version    int64     `bson:"version"`
}

// Covers reports whether everything asked for was allowed before.
func (c Consent) Covers(scope, claims, resource []string) bool {
	return subset(scope, c.Scope) && subset(claims, c.Claims) && subset(resource, c.Resource)
}

func subset(a, b []string) bool {
	for _, v := range a {
		if !slices.Contains(b, v) {
			return false
		}
	}
	return true
}

var consents = register(table[Consent]{
	Table: Table{Name: "consents", Indexes: []Index{
		{Fields: []string{"user_id", "client_id"}},
		{Fields: []string{"client_id", FieldID}},
	}},
	id:      func(c *Consent) string { return consentID(c.UserID, c.ClientID) },
	version: func(c *Consent) *int64 { return &c.Version },
	cached:  true,
})

// consentID is made of both: there is no space in an ID of a user, which is the provider's own.
func consentID(userID, clientID string) string { return userID + " " + clientID }

// AddConsent adds scopes, claims and resources to what the user has allowed the client before.
// Concurrent additions all survive. What was allowed when the client looked different is dropped.
func (s *Store) AddConsent(ctx context.Context, added Consent) error {
	_, err := makeOr(ctx, s, "add consent", consents, added, func(there *Consent) error {
		there.add(added)
		return nil
	})
	return err
}

func (c *Consent) add(more Consent) {
	if c.Appearance != more.Appearance {
		c.Appearance, c.Scope, c.Claims, c.Resource = more.Appearance, nil, nil, nil
	}
	c.Scope, c.Claims, c.Resource = union(c.Scope, more.Scope), union(c.Claims, more.Claims),
		union(c.Resource, more.Resource)
	c.UpdatedAt = later(c.UpdatedAt, more.UpdatedAt)
}

// Consent returns what a user has allowed a client, or ErrNotFound.
func (r Records) Consent(ctx context.Context, userID, clientID string) (Consent, error) {
	return load(ctx, r, "load consent", consents, consentID(userID, clientID))
}

// ConsentsOfUser lists a user's consents by ClientID.
func (r Records) ConsentsOfUser(ctx context.Context, userID string) ([]Consent, error) {
	return list(ctx, r, "list consents", consents, Query{Where: []Match{is("user_id", userID)},
		Order: []string{"client_id"}})
}

// ConsentsOfClient lists what users have allowed a client by UserID, beginning after the given one,
// at most limit.
func (r Records) ConsentsOfClient(ctx context.Context, clientID, after string, limit int) ([]Consent, error) {
	if limit < 1 {
		return nil, nil
	}
	q := Query{Where: []Match{is("client_id", clientID)}, Order: []string{FieldID}, Limit: limit}
	if after != "" {
		q.After = consentID(after, clientID)
	}
	return list(ctx, r, "list consents of client", consents, q)
}

// Disconnect takes back what a user has allowed a client: the consent, and at now every grant. It
// reports whether there was anything. The consent goes first: an answer to the client that is being
// made at this moment makes the grant, and then looks whether the consent is there.
func (s *Store) Disconnect(ctx context.Context, userID, clientID string, now time.Time) (bool, error) {
	const what = "disconnect"
	n, err := s.engine.Remove(ctx, &consents.Table, is(FieldID, consentID(userID, clientID)))
	if err != nil {
		return false, wrap(what, err)
	}
	revoked, err := s.RevokeGrants(ctx, GrantFilter{UserID: userID, ClientID: clientID}, now)
	return n+revoked > 0, err
}

// DisconnectClient takes back what every user has allowed a client, as Disconnect does.
func (s *Store) DisconnectClient(ctx context.Context, clientID string, now time.Time) (consented, revoked int,
	err error) {
	if clientID == "" {
		return 0, 0, errEmptyFilter
	}
	if consented, err = s.engine.Remove(ctx, &consents.Table, is("client_id", clientID)); err != nil {
		return 0, 0, wrap("disconnect client", err)
	}
	revoked, err = s.RevokeGrants(ctx, GrantFilter{ClientID: clientID}, now)
	return consented, revoked, err
}

// DeleteConsent forgets what a user has allowed a client. No error if there is nothing.
func (s *Store) DeleteConsent(ctx context.Context, userID, clientID string) error {
	_, err := s.engine.Remove(ctx, &consents.Table, is(FieldID, consentID(userID, clientID)))
	return wrap("delete consent", err)
}
