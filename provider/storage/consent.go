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
		{Fields: []string{"client_id"}},
	}},
	id:      func(c *Consent) string { return consentID(c.UserID, c.ClientID) },
	version: func(c *Consent) *int64 { return &c.Version },
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
	c.Scope, c.Claims, c.Resource = union(c.Scope, more.Scope), union(c.Claims, more.Claims), union(c.Resource, more.Resource)
	c.UpdatedAt = later(c.UpdatedAt, more.UpdatedAt)
}

// Consent returns what a user has allowed a client, or ErrNotFound.
func (r Records) Consent(ctx context.Context, userID, clientID string) (Consent, error) {
	return load(ctx, r, "load consent", consents, consentID(userID, clientID))
}

// ConsentsOfUser lists a user's consents by ClientID.
func (r Records) ConsentsOfUser(ctx context.Context, userID string) ([]Consent, error) {
	return list(ctx, r, "list consents", consents, Query{Where: []Match{is("user_id", userID)}, Order: []string{"client_id"}})
}

// DeleteConsent forgets what a user has allowed a client. No error if there is nothing.
func (s *Store) DeleteConsent(ctx context.Context, userID, clientID string) error {
	_, err := s.engine.Remove(ctx, &consents.Table, is(FieldID, consentID(userID, clientID)))
	return wrap("delete consent", err)
}
