package storage

import (
	"bytes"
	"context"
	"encoding/base64"
	"slices"
	"time"
)

// Passkey is a credential of a user for this provider (WebAuthn §4, credential record).
type Passkey struct {
	CredentialID []byte   `bson:"credential_id"`
	PublicKey    []byte   `bson:"public_key"` // a COSE key (RFC 9052 §7)
	SignCount    uint32   `bson:"sign_count,omitempty"`
	AAGUID       []byte   `bson:"aaguid,omitempty"` // names the model of authenticator; zero: it does not say
	Transports   []string `bson:"transports,omitempty"`
	// Synced: the authenticator may copy the key to the user's other devices (backup eligible). It
	// never changes. BackedUp: it has done so, when it was last seen.
	Synced   bool `bson:"synced,omitempty"`
	BackedUp bool `bson:"backed_up,omitempty"`
	// Required: it is asked for after a password, too. One that a browser made in passing, so that
	// signing in is easier next time, is not.
	Required  bool      `bson:"required,omitempty"`
	Name      string    `bson:"name,omitempty"` // the user's own word for it
	CreatedAt time.Time `bson:"created_at"`
	LastUsed  time.Time `bson:"last_used,omitempty"`
}

// ID names the passkey: its credential ID in base64url, as browsers write it.
func (p Passkey) ID() string { return base64.RawURLEncoding.EncodeToString(p.CredentialID) }

// passkeyOwner says whose a credential is: a credential ID belongs to one user at most
// (WebAuthn §7.1 step 26).
type passkeyOwner struct {
	ID      string `bson:"_id"` // Hash of the credential ID
	UserID  string `bson:"user_id"`
	Version int64  `bson:"version"`
}

var passkeyOwners = register(table[passkeyOwner]{
	Table:   Table{Name: "passkey_owners", Indexes: []Index{{Fields: []string{"user_id"}}}},
	id:      func(o *passkeyOwner) string { return o.ID },
	version: func(o *passkeyOwner) *int64 { return &o.Version },
})

func ownerID(credentialID []byte) string { return Hash(string(credentialID)) }

// UserByPasskey returns the user who has the passkey with this credential ID, or ErrNotFound.
func (r Records) UserByPasskey(ctx context.Context, credentialID []byte) (User, error) {
	owner, err := load(ctx, r, "look up passkey", passkeyOwners, ownerID(credentialID))
	if err != nil {
		return User{}, err
	}
	u, err := r.User(ctx, owner.UserID)
	if err == nil && u.Factors.passkey(credentialID) < 0 {
		return User{}, ErrNotFound // it was being added, or is being removed
	}
	return u, err
}

// Passkey returns the passkey with this credential ID; ok is false if the user has none such.
func (f Factors) Passkey(credentialID []byte) (p Passkey, ok bool) {
	if i := f.passkey(credentialID); i >= 0 {
		return f.Passkeys[i], true
	}
	return p, false
}

func (f Factors) passkey(credentialID []byte) int {
	return slices.IndexFunc(f.Passkeys, func(p Passkey) bool { return bytes.Equal(p.CredentialID, credentialID) })
}

// AddPasskey adds a passkey to a user. One that is Required brings the recovery codes with the
// hashes recovery, if the user has none; the returned user tells. ErrConsumed if the credential ID
// is known already, be it another user's; ErrConflict if the user has most passkeys; ErrNotFound if
// there is no such user.
func (s *Store) AddPasskey(ctx context.Context, userID string, p Passkey, recovery []string, most int) (User, error) {
	p.CreatedAt, p.LastUsed = millisecond(p.CreatedAt), millisecond(p.LastUsed)
	// What will be refused claims nothing: the claims of those who are refused again and again
	// would fill the store.
	u, err := s.User(ctx, userID)
	if err == nil {
		u.Factors.Passkeys = slices.Clone(u.Factors.Passkeys)
		err = u.Factors.add(p, recovery, most)
	}
	if err != nil {
		return User{}, err
	}
	// The credential is claimed first, so that of two users who send it one gets it. What is left
	// of a claim when the rest fails stands in nobody's way but other users'.
	claim := passkeyOwner{ID: ownerID(p.CredentialID), UserID: userID}
	_, err = makeOr(ctx, s, "claim passkey", passkeyOwners, claim, func(there *passkeyOwner) error {
		if there.UserID != userID {
			return ErrConsumed
		}
		return nil
	})
	if err != nil {
		return User{}, err
	}
	return s.changeFactors(ctx, "add passkey", userID, func(f *Factors) error { return f.add(p, recovery, most) })
}

func (f *Factors) add(p Passkey, recovery []string, most int) error {
	switch {
	case f.passkey(p.CredentialID) >= 0:
		return ErrConsumed
	case len(f.Passkeys) >= most:
		return ErrConflict
	}
	f.Passkeys = append(f.Passkeys, p)
	if p.Required && f.RecoveryLeft() == 0 {
		f.Recovery = unused(recovery)
	}
	return nil
}

// UsePasskey records that a passkey was used, with the signature counter and the backup state that
// came along. Of any number of concurrent calls with the same counter exactly one succeeds, unless
// the authenticator does not count (0). ErrConsumed if the counter has not grown: there may be a
// copy of the key (WebAuthn §7.2 step 22). ErrNotFound if the passkey is gone.
func (s *Store) UsePasskey(ctx context.Context, userID string, credentialID []byte, count uint32, backedUp bool,
	now time.Time) (User, error) {
	return s.changeFactors(ctx, "use passkey", userID, func(f *Factors) error {
		return f.usePasskey(credentialID, count, backedUp, millisecond(now))
	})
}

func (f *Factors) usePasskey(credentialID []byte, count uint32, backedUp bool, now time.Time) error {
	i := f.passkey(credentialID)
	if i < 0 {
		return ErrNotFound
	}
	p := &f.Passkeys[i]
	if (count > 0 || p.SignCount > 0) && count <= p.SignCount {
		return ErrConsumed
	}
	p.SignCount, p.BackedUp, p.LastUsed = count, backedUp, later(p.LastUsed, now)
	return nil
}

// RenamePasskey gives a passkey another name, or returns ErrNotFound.
func (s *Store) RenamePasskey(ctx context.Context, userID string, credentialID []byte, name string) error {
	_, err := s.changeFactors(ctx, "rename passkey", userID, func(f *Factors) error {
		i := f.passkey(credentialID)
		if i < 0 {
			return ErrNotFound
		}
		f.Passkeys[i].Name = name
		return nil
	})
	return err
}

// RequirePasskeys has every passkey of the user asked for after a password, and gives the recovery
// codes with the hashes recovery to a user who has none; the returned user tells. ErrNotFound if
// the user has no passkey.
func (s *Store) RequirePasskeys(ctx context.Context, userID string, recovery []string) (User, error) {
	return s.changeFactors(ctx, "require passkeys", userID, func(f *Factors) error {
		if len(f.Passkeys) == 0 {
			return ErrNotFound
		}
		for i := range f.Passkeys {
			f.Passkeys[i].Required = true
		}
		if f.RecoveryLeft() == 0 {
			f.Recovery = unused(recovery)
		}
		return nil
	})
}

// RemovePasskey removes a passkey and returns the user without it. ErrConflict if it is the last
// way in: the last passkey of a user without a password. ErrNotFound if it is gone. Recovery codes
// go as with RemoveTOTP.
func (s *Store) RemovePasskey(ctx context.Context, userID string, credentialID []byte) (User, error) {
	const what = "remove passkey"
	u, err := change(ctx, s, what, users, userID, existing(func(u *User) error {
		i := u.Factors.passkey(credentialID)
		switch {
		case i < 0:
			return ErrNotFound
		case len(u.Factors.Passkeys) == 1 && u.PasswordHash == "":
			return ErrConflict
		}
		u.Factors.Passkeys = slices.Delete(slices.Clone(u.Factors.Passkeys), i, i+1)
		u.Factors.dropRecovery()
		return nil
	}))
	if err != nil {
		return u, err
	}
	_, err = s.engine.Remove(ctx, &passkeyOwners.Table, is(FieldID, ownerID(credentialID)))
	return u, wrap(what, err)
}

// DeclinePasskey records that the user did not want a passkey when one was offered. ErrNotFound if
// there is no such user.
func (s *Store) DeclinePasskey(ctx context.Context, userID string, now time.Time) error {
	_, err := s.changeFactors(ctx, "decline passkey", userID, func(f *Factors) error {
		f.DeclinedAt = millisecond(now)
		return nil
	})
	return err
}
