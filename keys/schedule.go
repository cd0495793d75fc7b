package keys

import (
	"slices"
	"time"
)

// This file decides what the stored times mean, by the clock alone: all instances come to the same
// answer without talking to each other.

// due reports whether Maintain has something to change.
func (r *Ring) due(set KeySet, now time.Time) bool {
	if slices.ContainsFunc(set.Keys, func(k StoredKey) bool { return removed(k, now) || undated(k) }) ||
		slices.ContainsFunc(set.Revoked, func(k RevokedKey) bool { return forgotten(k, now) }) ||
		r.unsettled(set, now) {
		return true
	}
	for _, alg := range algorithms(set, UseSignature) {
		i := next(set, alg)
		if i < 0 && !tooMany(set, UseSignature, alg) {
			return true
		}
		if i >= 0 && r.scheduled(set, alg, now) && !now.Before(set.Keys[i].CreatedAt.Add(r.publishAhead)) {
			return true
		}
	}
	return slices.ContainsFunc(algorithms(set, UseEncryption), func(alg string) bool {
		return r.expired(set, UseEncryption, alg, now)
	})
}

// maxAhead is how far ahead of now a time may be that an instance with a right clock has written: a
// key waits to sign for MaxAge at most, and clocks differ.
const maxAhead = MaxAge + time.Hour

// ahead reports whether a time can only have been written by a clock that was far ahead.
func ahead(t, now time.Time) bool { return t.After(now.Add(maxAhead)) }

// unsettled reports whether some times were written by a clock far ahead, while a key that is in
// use shows that the present one is not far behind instead.
func (r *Ring) unsettled(set KeySet, now time.Time) bool {
	return slices.ContainsFunc(set.Keys, func(k StoredKey) bool { return k.Use == UseSignature && inUse(k, now) }) &&
		slices.ContainsFunc(set.Keys, func(k StoredKey) bool {
			return ahead(k.CreatedAt, now) || ahead(k.SignsFrom, now) || ahead(k.RetiredAt, now)
		})
}

// scheduled reports whether the signing key has signed for RotateEvery and no other waits to take
// over.
func (r *Ring) scheduled(set KeySet, alg string, now time.Time) bool {
	for _, k := range set.Keys {
		if k.Use == UseSignature && k.Algorithm == alg && k.SignsFrom.After(now) {
			return false
		}
	}
	return r.expired(set, UseSignature, alg, now)
}

// expired reports whether the key in use has been so for RotateEvery, or there is none.
func (r *Ring) expired(set KeySet, use, alg string, now time.Time) bool {
	for _, k := range set.Keys {
		if k.Use == use && k.Algorithm == alg && !k.SignsFrom.IsZero() && !retired(k, now) {
			return !now.Before(k.SignsFrom.Add(r.rotateEvery))
		}
	}
	return true
}

// removed reports whether nothing of the key is needed any more.
func removed(k StoredKey, now time.Time) bool {
	return !k.RemoveAt.IsZero() && !now.Before(k.RemoveAt)
}

// unpublished reports whether the key is not in the JWK Set any more.
func unpublished(k StoredKey, now time.Time) bool {
	return removed(k, now) || !k.UnpublishAt.IsZero() && !now.Before(k.UnpublishAt) ||
		k.Use == UseEncryption && retired(k, now)
}

// undated reports whether the key was retired by a version that published keys until they were
// removed.
func undated(k StoredKey) bool { return !k.RetiredAt.IsZero() && k.UnpublishAt.IsZero() }

// retired reports whether another key has taken over.
func retired(k StoredKey, now time.Time) bool {
	return !k.RetiredAt.IsZero() && !now.Before(k.RetiredAt)
}

// inUse reports whether the key signs, or is the one to encrypt to.
func inUse(k StoredKey, now time.Time) bool {
	return !k.SignsFrom.IsZero() && !now.Before(k.SignsFrom) && !retired(k, now)
}

// forgotten reports whether a revoked key need not be remembered any more.
func forgotten(k RevokedKey, now time.Time) bool { return !now.Before(k.RevokedAt.Add(keepRevoked)) }

// signing returns the key that signs at this moment, nil if there is none. If the clock was set
// back to before all of them, that is the one that begins first.
func signing(set KeySet, alg string, now time.Time) *StoredKey {
	return current(set, UseSignature, alg, now)
}

func current(set KeySet, use, alg string, now time.Time) *StoredKey {
	var first *StoredKey
	for i := range set.Keys {
		k := &set.Keys[i]
		if k.Use != use || k.Algorithm != alg || k.SignsFrom.IsZero() {
			continue
		}
		if inUse(*k, now) {
			return k
		}
		if !retired(*k, now) && (first == nil || k.SignsFrom.Before(first.SignsFrom)) {
			first = k
		}
	}
	return first
}

// next returns the index of the published key that waits to sign, -1 if there is none.
func next(set KeySet, alg string) int {
	return slices.IndexFunc(set.Keys, func(k StoredKey) bool {
		return k.Use == UseSignature && k.Algorithm == alg && k.SignsFrom.IsZero()
	})
}

// algorithms lists those that have keys for the use, in the order in which they came.
func algorithms(set KeySet, use string) []string {
	var out []string
	for _, k := range set.Keys {
		if k.Use == use && !slices.Contains(out, k.Algorithm) {
			out = append(out, k.Algorithm)
		}
	}
	return out
}

// tooMany reports whether an algorithm has as many keys as it may have.
func tooMany(set KeySet, use, alg string) bool {
	n := 0
	for _, k := range set.Keys {
		if k.Use == use && k.Algorithm == alg {
			n++
		}
	}
	return n >= maxKeysPerAlgorithm
}

// ordered sorts the keys in use before the next ones and the old ones, because some clients take
// the first key that they see. Decryption keys come last.
func ordered(set KeySet, now time.Time) []StoredKey {
	rank := func(k StoredKey) int {
		r := 1
		switch {
		case inUse(k, now):
			r = 0
		case retired(k, now):
			r = 2
		}
		if k.Use == UseEncryption {
			r += 3
		}
		return r
	}
	list := slices.Clone(set.Keys)
	slices.SortStableFunc(list, func(a, b StoredKey) int { return rank(a) - rank(b) })
	return list
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
