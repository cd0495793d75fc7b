package grants

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"latchkey/provider/oauth"
	"latchkey/provider/storage"
	"latchkey/provider/web"
)

// AccessToken is an access token of ours, read back.
type AccessToken struct {
	ID       string // jti of a JWT; of an opaque token, its hash
	Hash     string // of an opaque token; "" for a JWT
	Subject  string // "" for an opaque token: it follows from the grant
	ClientID string
	GrantID  string // "" when no person is involved
	Scope    []string
	Audience []string
	// Confirmation is the key that whoever presents it has to have.
	Confirmation storage.Confirmation
	IssuedAt     time.Time
	ExpiresAt    time.Time
}

// ErrNoToken says that a value is no access token of ours that is good: unknown, altered, of
// another kind, expired or revoked.
var ErrNoToken = errors.New("not a valid access token")

// KindRevoked is the kind under which the jti of a revoked JWT access token is kept until the token
// expires.
const KindRevoked = "revoked-access-token"

// ReadAccessToken reads an access token that this provider issued, that has not expired and was not
// itself revoked; whether what it was issued for still stands is another question, see TokenHolder.
// The error is ErrNoToken, or a fault of the store.
func (gs *Grants) ReadAccessToken(ctx context.Context, value string) (AccessToken, error) {
	if strings.HasPrefix(value, OpaquePrefix) {
		return gs.readOpaque(ctx, value)
	}
	payload, _, err := gs.Keys.Verify(ctx, value, typAccessToken)
	if err != nil {
		if web.Unavailable(err) {
			return AccessToken{}, fmt.Errorf("verify access token: %w", err)
		}
		return AccessToken{}, fmt.Errorf("%w: %w", ErrNoToken, err)
	}
	var c struct {
		Issuer       string               `json:"iss"`
		Subject      string               `json:"sub"`
		Audience     json.RawMessage      `json:"aud"`
		ClientID     string               `json:"client_id"`
		Scope        string               `json:"scope"`
		ID           string               `json:"jti"`
		Grant        string               `json:"gid"`
		IssuedAt     int64                `json:"iat"`
		Expires      int64                `json:"exp"`
		Confirmation storage.Confirmation `json:"cnf"`
	}
	if err := json.Unmarshal(payload, &c); err != nil {
		return AccessToken{}, fmt.Errorf("%w: %w", ErrNoToken, err)
	}
	t := AccessToken{ID: c.ID, Subject: c.Subject, ClientID: c.ClientID, GrantID: c.Grant,
		Scope: strings.Fields(c.Scope), Confirmation: c.Confirmation,
		IssuedAt: time.Unix(c.IssuedAt, 0), ExpiresAt: time.Unix(c.Expires, 0)}
	if t.Audience, err = oauth.StringOrList(c.Audience); err != nil || c.Issuer != gs.Issuer || t.ID == "" {
		return AccessToken{}, fmt.Errorf("%w: iss, aud or jti", ErrNoToken)
	}
	now := gs.Now()
	if !now.Before(t.ExpiresAt) {
		return AccessToken{}, fmt.Errorf("%w: it has expired", ErrNoToken)
	}
	revoked, err := gs.Store.Spent(ctx, KindRevoked, t.ID, now)
	if err != nil {
		return AccessToken{}, fmt.Errorf("look up revocation: %w", err)
	}
	if revoked {
		return AccessToken{}, fmt.Errorf("%w: it was revoked", ErrNoToken)
	}
	return t, nil
}

func (gs *Grants) readOpaque(ctx context.Context, value string) (AccessToken, error) {
	hash := storage.Hash(value)
	t, err := gs.Store.Token(ctx, storage.TokenAccess, hash)
	if errors.Is(err, storage.ErrNotFound) {
		return AccessToken{}, fmt.Errorf("%w: unknown", ErrNoToken)
	}
	if err != nil {
		return AccessToken{}, fmt.Errorf("load access token: %w", err)
	}
	if !gs.Now().Before(t.ExpiresAt) || !t.ConsumedAt.IsZero() {
		return AccessToken{}, fmt.Errorf("%w: it has expired", ErrNoToken)
	}
	return AccessToken{ID: hash, Hash: hash, ClientID: t.ClientID, GrantID: t.GrantID, Scope: t.Scope,
		Audience: t.Audience, Confirmation: t.Confirmation,
		IssuedAt: t.CreatedAt, ExpiresAt: t.ExpiresAt}, nil
}
