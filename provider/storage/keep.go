package storage

import (
	"cmp"
	"slices"
	"time"
)

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

// live says whether the grant has come into use: one whose code nobody has redeemed gives nothing to anybody yet.
func (g Grant) live() bool { return g.CodeHash == "" || !g.CodeUsedAt.IsZero() }

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
