package storage

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// wrap says what was being done, and that the fault is the store's, unless the error is an answer.
func wrap(what string, err error) error {
	if err == nil || answer(err) {
		return err
	}
	return fmt.Errorf("%s: %w: %w", what, ErrUnavailable, err)
}

// answer says whether err is one of the answers of a Store. They are compared as they are: an error that merely wraps
// one would be somebody's mistake.
func answer(err error) bool {
	return err == ErrNotFound || err == ErrConsumed || err == ErrConflict
}

// How long things are kept beyond their use or expiry, before Purge takes them.
const (
	// keepUsed is for what recognises a replay: whoever comes a day late hears "unknown" in place of "already used",
	// and gets nothing either way.
	keepUsed = 24 * time.Hour
	// keepExpired is for what may be used again once it has expired. It covers clocks that disagree between machines.
	keepExpired = time.Hour
)

func (s Session) purgeAt() time.Time {
	at := s.ExpiresAt
	if s.IdleAt.Before(at) {
		at = s.IdleAt
	}
	if !s.EndedAt.IsZero() && s.EndedAt.Before(at) {
		at = s.EndedAt
	}
	return at.Add(keepUsed)
}

func (i Interaction) purgeAt() time.Time { return i.ExpiresAt.Add(keepExpired) }

func (g Grant) purgeAt() time.Time {
	if !g.RevokedAt.IsZero() && g.RevokedAt.Before(g.ExpiresAt) {
		return g.RevokedAt.Add(keepUsed)
	}
	return g.ExpiresAt.Add(keepUsed)
}

func (t Token) purgeAt() time.Time { return t.ExpiresAt.Add(keepUsed) }

func (d LogoutDelivery) purgeAt() time.Time { return d.ExpiresAt.Add(keepExpired) }

// union adds to have what of more is not in it yet, in order.
func union(have, more []string) []string {
	for _, v := range more {
		if !slices.Contains(have, v) {
			have = append(have, v)
		}
	}
	return have
}

// millisecond is t as a Store keeps it.
func millisecond(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return time.UnixMilli(t.UnixMilli()).UTC()
}

// maxGrants bounds GrantsOfUser.
const maxGrants = 500

// validSessions picks those that are valid at now, last seen first.
func validSessions(all []Session, now time.Time) []Session {
	all = slices.DeleteFunc(all, func(s Session) bool { return !s.Valid(now) })
	slices.SortFunc(all, func(a, b Session) int {
		return cmp.Or(b.LastSeen.Compare(a.LastSeen), cmp.Compare(a.ID, b.ID))
	})
	return all
}

// redeemable says why the code cannot be redeemed at now, nil if it can.
func (g Grant) redeemable(codeHash string, now time.Time) error {
	switch {
	case g.CodeHash == "" || g.CodeHash != codeHash || !g.RevokedAt.IsZero():
		return ErrNotFound
	case !g.CodeUsedAt.IsZero():
		return ErrConsumed
	case !now.Before(g.CodeExpiresAt):
		return ErrNotFound
	}
	return nil
}

// refreshable says why the refresh token of this generation is not good at now, nil if it is.
func (g Grant) refreshable(generation int64, now time.Time) error {
	switch {
	case !g.Stands(now) || generation < 1 || generation > g.RefreshGeneration || !now.Before(g.RefreshIdleAt):
		return ErrNotFound
	case g.RefreshGeneration != generation:
		return ErrConsumed
	}
	return nil
}

// consumable says why the token cannot be consumed at now, nil if it can.
func (t Token) consumable(kind string, now time.Time) error {
	switch {
	case t.Kind != kind:
		return ErrNotFound
	case !t.ConsumedAt.IsZero():
		return ErrConsumed
	case !now.Before(t.ExpiresAt):
		return ErrNotFound
	}
	return nil
}
