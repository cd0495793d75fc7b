package storage

import (
	"context"
	"slices"
	"time"
)

// Factors are what a user can prove who they are with beside the password. They stand in the user's
// record, so that a code is used, or a way in removed, by one change of one record.
type Factors struct {
	TOTP     []TOTP         `bson:"totp,omitempty"`
	Passkeys []Passkey      `bson:"passkeys,omitempty"`
	Recovery []RecoveryCode `bson:"recovery,omitempty"`
	// DeclinedAt is when the user last did not want the passkey that was offered.
	DeclinedAt time.Time `bson:"declined_at,omitempty"`
}

// TOTP is an authenticator application that shows one-time codes (RFC 6238).
type TOTP struct {
	ID          string    `bson:"id"`
	Name        string    `bson:"name,omitempty"` // the user's own word for it
	Secret      []byte    `bson:"secret"`         // sealed; TOTPData is its additional data
	SessionID   string    `bson:"session_id"`     // of the session in which it was begun
	CreatedAt   time.Time `bson:"created_at"`
	ConfirmedAt time.Time `bson:"confirmed_at,omitempty"` // zero: no code was seen of it yet, and it proves nothing
	LastUsed    time.Time `bson:"last_used,omitempty"`
	// the time step of the last code that was accepted; none up to it is accepted again
	LastStep int64 `bson:"last_step,omitempty"`
}

// TOTPData is the additional data that the secret of a user's authenticator application is sealed
// with.
func TOTPData(userID, id string) string { return "totp " + userID + " " + id }

// RecoveryCode is one of the codes that a user has printed, for the day on which nothing else is at
// hand.
type RecoveryCode struct {
	Hash   string    `bson:"hash"`
	UsedAt time.Time `bson:"used_at,omitempty"`
}

// Confirmed returns the authenticator applications that prove something.
func (f Factors) Confirmed() []TOTP {
	return slices.DeleteFunc(slices.Clone(f.TOTP), func(t TOTP) bool { return t.ConfirmedAt.IsZero() })
}

// Second reports whether the user has something that can be a second factor. Recovery codes are
// none by themselves: they stand in for one.
func (f Factors) Second() bool {
	return len(f.Passkeys) > 0 || slices.ContainsFunc(f.TOTP, func(t TOTP) bool { return !t.ConfirmedAt.IsZero() })
}

// Required reports whether the user's password alone is never enough, whatever the client wants.
func (f Factors) Required() bool {
	return slices.ContainsFunc(f.TOTP, func(t TOTP) bool { return !t.ConfirmedAt.IsZero() }) ||
		slices.ContainsFunc(f.Passkeys, func(p Passkey) bool { return p.Required })
}

// dropRecovery removes the recovery codes when there is nothing any more that they stand in for.
func (f *Factors) dropRecovery() {
	if !f.Second() {
		f.Recovery = nil
	}
}

// RecoveryLeft is how many recovery codes have not been used.
func (f Factors) RecoveryLeft() int {
	left := 0
	for _, c := range f.Recovery {
		if c.UsedAt.IsZero() {
			left++
		}
	}
	return left
}

// changeFactors applies a change to the factors of a user. It gets a copy of its own of what they
// refer to.
func (s *Store) changeFactors(ctx context.Context, what, userID string, do func(f *Factors) error) (User, error) {
	return change(ctx, s, what, users, userID, existing(func(u *User) error {
		f := u.Factors
		f.TOTP, f.Passkeys, f.Recovery = slices.Clone(f.TOTP), slices.Clone(f.Passkeys), slices.Clone(f.Recovery)
		if err := do(&f); err != nil {
			return err
		}
		u.Factors = f
		return nil
	}))
}

// totp returns the authenticator application with this ID, or ErrNotFound.
func (f *Factors) totp(id string) (*TOTP, error) {
	i := slices.IndexFunc(f.TOTP, func(t TOTP) bool { return t.ID == id })
	if i < 0 {
		return nil, ErrNotFound
	}
	return &f.TOTP[i], nil
}

// BeginTOTP adds an authenticator application that is not confirmed yet, in place of any other
// such. ErrConflict if the user has most already, ErrNotFound if there is no such user.
func (s *Store) BeginTOTP(ctx context.Context, userID string, begun TOTP, most int) error {
	_, err := s.changeFactors(ctx, "begin TOTP", userID, func(f *Factors) error { return f.begin(begun, most) })
	return err
}

func (f *Factors) begin(begun TOTP, most int) error {
	f.TOTP = f.Confirmed()
	if len(f.TOTP) >= most {
		return ErrConflict
	}
	f.TOTP = append(f.TOTP, begun)
	return nil
}

// ConfirmTOTP makes an authenticator application count from now on, because a code of this time
// step was seen of it. A user who has no recovery codes gets those with the hashes recovery; the
// returned user tells. ErrConsumed if it is confirmed already, ErrNotFound if it is gone.
func (s *Store) ConfirmTOTP(ctx context.Context, userID, id, name string, step int64, recovery []string,
	now time.Time) (User, error) {
	return s.changeFactors(ctx, "confirm TOTP", userID, func(f *Factors) error {
		return f.confirm(id, name, step, recovery, millisecond(now))
	})
}

func (f *Factors) confirm(id, name string, step int64, recovery []string, now time.Time) error {
	t, err := f.totp(id)
	if err != nil {
		return err
	}
	if !t.ConfirmedAt.IsZero() {
		return ErrConsumed
	}
	t.Name, t.ConfirmedAt, t.LastUsed, t.LastStep = name, now, now, step
	if f.RecoveryLeft() == 0 {
		f.Recovery = unused(recovery)
	}
	return nil
}

func unused(hashes []string) []RecoveryCode {
	var out []RecoveryCode
	for _, h := range hashes {
		out = append(out, RecoveryCode{Hash: h})
	}
	return out
}

// UseTOTP accepts the code of a time step, once: of any number of concurrent calls exactly one
// succeeds. ErrConsumed if a code of that step or of a later one was accepted before, ErrNotFound
// if the authenticator application is gone or not confirmed.
func (s *Store) UseTOTP(ctx context.Context, userID, id string, step int64, now time.Time) error {
	_, err := s.changeFactors(ctx, "use TOTP", userID,
		func(f *Factors) error { return f.useTOTP(id, step, millisecond(now)) })
	return err
}

func (f *Factors) useTOTP(id string, step int64, now time.Time) error {
	t, err := f.totp(id)
	switch {
	case err != nil:
		return err
	case t.ConfirmedAt.IsZero():
		return ErrNotFound
	case step <= t.LastStep:
		return ErrConsumed
	}
	t.LastStep, t.LastUsed = step, later(t.LastUsed, now)
	return nil
}

// UseRecoveryCode accepts a recovery code by its hash, once. ErrConsumed if it was used before,
// ErrNotFound if there is none such.
func (s *Store) UseRecoveryCode(ctx context.Context, userID, hash string, now time.Time) error {
	_, err := s.changeFactors(ctx, "use recovery code", userID,
		func(f *Factors) error { return f.useRecovery(hash, millisecond(now)) })
	return err
}

func (f *Factors) useRecovery(hash string, now time.Time) error {
	i := slices.IndexFunc(f.Recovery, func(c RecoveryCode) bool { return c.Hash == hash })
	switch {
	case i < 0:
		return ErrNotFound
	case !f.Recovery[i].UsedAt.IsZero():
		return ErrConsumed
	}
	f.Recovery[i].UsedAt = now
	return nil
}

// ReplaceRecoveryCodes puts codes with these hashes in place of all that the user had. ErrNotFound
// if there is no such user.
func (s *Store) ReplaceRecoveryCodes(ctx context.Context, userID string, hashes []string) error {
	_, err := s.changeFactors(ctx, "replace recovery codes", userID, func(f *Factors) error {
		f.Recovery = unused(hashes)
		return nil
	})
	return err
}

// RenameTOTP gives an authenticator application another name, or returns ErrNotFound.
func (s *Store) RenameTOTP(ctx context.Context, userID, id, name string) error {
	_, err := s.changeFactors(ctx, "rename TOTP", userID, func(f *Factors) error {
		t, err := f.totp(id)
		if err == nil {
			t.Name = name
		}
		return err
	})
	return err
}

// RemoveTOTP removes an authenticator application, or returns ErrNotFound. With the last second
// factor the recovery codes go too, since there is nothing any more that they stand in for.
func (s *Store) RemoveTOTP(ctx context.Context, userID, id string) error {
	_, err := s.changeFactors(ctx, "remove TOTP", userID, func(f *Factors) error {
		if _, err := f.totp(id); err != nil {
			return err
		}
		f.TOTP = slices.DeleteFunc(f.TOTP, func(t TOTP) bool { return t.ID == id })
		f.dropRecovery()
		return nil
	})
	return err
}

// ResetFactors removes every second factor, all passkeys and all recovery codes of a user and
// returns the user without them. ErrNotFound if there is no such user.
func (s *Store) ResetFactors(ctx context.Context, userID string) (User, error) {
	const what = "reset factors"
	u, err := s.changeFactors(ctx, what, userID, func(f *Factors) error {
		*f = Factors{}
		return nil
	})
	if err != nil {
		return u, err
	}
	_, err = s.engine.Remove(ctx, &passkeyOwners.Table, is("user_id", userID))
	return u, wrap(what, err)
}
