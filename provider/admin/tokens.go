package admin

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"time"

	"latchkey/keys"
	"latchkey/provider/storage"
)

// CreateInitialAccessToken makes a token that permits one dynamic registration until ttl has passed
// (RFC 7591 §3), and returns its value, which is not stored and cannot be read again.
func (a *Admin) CreateInitialAccessToken(ctx context.Context, actor Actor, ttl time.Duration) (value string,
	expires time.Time, err error) {
	if err := a.permit(ctx, actor, VerbTokenCreate, of("token", "")); err != nil {
		return "", expires, err
	}
	var random [32]byte
	_, _ = rand.Read(random[:]) // never fails (crypto/rand)
	value = base64.RawURLEncoding.EncodeToString(random[:])
	now := a.timestamp()
	t := storage.Token{Hash: storage.Hash(value), Kind: storage.TokenInitialAccess, CreatedAt: now,
		ExpiresAt: now.Add(ttl), IssuedBy: actor.Name}
	object := tokenObject(t)
	after := map[string]any{"expires_at": t.ExpiresAt}
	return value, t.ExpiresAt, a.change(ctx, actor, VerbTokenCreate, object, nil, after,
		func() error { return a.Store.CreateToken(ctx, t) })
}

// tokenObject names a token in the audit log. Its hash is as good a name as any: the value does not
// follow from it.
func tokenObject(t storage.Token) object { return withName(of("token", t.Hash), t.Kind) }

// InitialAccessTokens lists the tokens that permit a registration, used and expired ones too while
// they are kept, the newest first.
func (a *Admin) InitialAccessTokens(ctx context.Context, actor Actor) ([]storage.Token, error) {
	if err := a.permit(ctx, actor, VerbTokenRead, of("token", "")); err != nil {
		return nil, err
	}
	return a.Store.InitialAccessTokens(ctx)
}

// RevokeInitialAccessToken makes a token that permits a registration good for nothing. hash is its
// storage.Token.Hash. ErrNotFound if there is none.
func (a *Admin) RevokeInitialAccessToken(ctx context.Context, actor Actor, hash string) error {
	if err := a.permit(ctx, actor, VerbTokenRevoke, of("token", hash)); err != nil {
		return err
	}
	t, err := a.Store.Token(ctx, storage.TokenInitialAccess, hash)
	if errors.Is(err, storage.ErrNotFound) {
		return &ObjectError{Err: ErrNotFound, Kind: "token", Name: hash}
	}
	if err != nil {
		return err
	}
	before := map[string]any{"issued_by": t.IssuedBy, "expires_at": t.ExpiresAt}
	return a.change(ctx, actor, VerbTokenRevoke, tokenObject(t), before, nil,
		func() error { return a.Store.DeleteToken(ctx, storage.TokenInitialAccess, hash) })
}

// RotateKeys lets the next signing key of each algorithm sign from now on, and publishes a new next
// one; of all algorithms, or of those named. It returns the keys that changed.
func (a *Admin) RotateKeys(ctx context.Context, actor Actor, algorithms ...string) (changed []keys.StoredKey,
	err error) {
	object := of("key", "")
	var after any
	if len(algorithms) > 0 {
		after = map[string]any{"algorithms": algorithms}
	}
	err = a.change(ctx, actor, VerbKeysRotate, object, nil, after, func() error {
		changed, err = a.Keys.Rotate(ctx, algorithms...)
		return err
	})
	return changed, err
}

// RevokeKeys withdraws signing and encryption keys that an attacker may have seen, by kid, or all
// of them: see keys.Ring.Revoke.
func (a *Admin) RevokeKeys(ctx context.Context, actor Actor, all bool, kids ...string) (done keys.Revocation,
	err error) {
	object := of("key", "")
	after := map[string]any{"kids": kids}
	if all {
		after = map[string]any{"all": true}
	}
	err = a.change(ctx, actor, VerbKeysRevoke, object, nil, after, func() error {
		if all {
			done, err = a.Keys.RevokeAll(ctx)
		} else {
			done, err = a.Keys.Revoke(ctx, kids...)
		}
		return err
	})
	return done, err
}
