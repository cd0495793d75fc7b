package keys

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// EnsureAlgorithm makes a key for the algorithm if there is none: use is sig with one of
// SigningAlgorithms, or enc with one of EncryptionAlgorithms. It is cheap when there is one.
func (r *Ring) EnsureAlgorithm(ctx context.Context, use, alg string) error {
	stored, ok := keyAlgorithm(use, alg)
	if !ok {
		return fmt.Errorf("keys: no keys are made for use %.10q and algorithm %.20q", use, alg)
	}
	has := func(set KeySet) bool {
		return slices.ContainsFunc(set.Keys, func(k StoredKey) bool {
			// A key that begins to sign in a moment counts: another instance, with a clock a little
			// ahead, has just made it.
			return k.Use == use && k.Algorithm == stored && !k.SignsFrom.IsZero() && !retired(k, r.now())
		})
	}
	if v := r.current.Load(); v != nil && has(v.set) {
		return nil
	}
	return r.update(ctx, func(set *KeySet, now time.Time, make maker) error {
		if has(*set) {
			return nil
		}
		_, err := addSigning(set, use, stored, now, make)
		return err
	})
}

// addSigning adds a key that is used at once. Nothing can be published ahead of a first key.
func addSigning(set *KeySet, use, alg string, now time.Time, make maker) (string, error) {
	k, err := make(use, alg, now)
	if err != nil {
		return "", err
	}
	k.SignsFrom = now
	set.Keys = append(set.Keys, k)
	return k.ID, nil
}

// addNext adds a key that is published and does not sign yet.
func addNext(set *KeySet, alg string, now time.Time, make maker) (string, error) {
	k, err := make(UseSignature, alg, now)
	if err != nil {
		return "", err
	}
	set.Keys = append(set.Keys, k)
	return k.ID, nil
}

// Rotate replaces the signing keys of the algorithms now, of all that have one if none is named,
// and publishes a new next key for each. It returns the keys that changed: for each algorithm the
// one that takes over, with SignsFrom, and the new next one. A key that has been published for less
// than MaxAge takes over only when that time has come (see SignsFrom), because caches of clients
// may not have it yet. Old keys stay published for PublishAfter. Decryption keys are replaced at
// once, if named.
//
// Tokens of the old key stay valid: for a key that an attacker may have seen there is Revoke.
func (r *Ring) Rotate(ctx context.Context, algs ...string) ([]StoredKey, error) {
	var changed []string
	err := r.update(ctx, func(set *KeySet, now time.Time, make maker) error {
		changed = nil
		names := algs
		if len(names) == 0 {
			names = algorithms(*set, UseSignature)
		}
		for _, alg := range names {
			ids, err := r.rotate(set, alg, now, make)
			if err != nil {
				return err
			}
			changed = append(changed, ids...)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	out := r.named(changed)
	for _, k := range out {
		if k.SignsFrom.After(r.now()) {
			r.log.InfoContext(ctx, "key rotation waits until caches have the new key",
				"kid", k.ID, "alg", k.Algorithm, "signs_from", k.SignsFrom)
		} else {
			r.log.InfoContext(ctx, "key rotated", "kid", k.ID, "alg", k.Algorithm, "signs_from", k.SignsFrom)
		}
	}
	return out, nil
}

// named returns the keys with these kids, in the order of Keys.
func (r *Ring) named(ids []string) []StoredKey {
	return slices.DeleteFunc(r.Keys(), func(k StoredKey) bool { return !slices.Contains(ids, k.ID) })
}

func (r *Ring) rotate(set *KeySet, alg string, now time.Time, make maker) (changed []string, err error) {
	if family, ok := keyAlgorithm(UseEncryption, alg); ok {
		if !slices.Contains(algorithms(*set, UseEncryption), family) {
			return nil, fmt.Errorf("keys: there is no key for %q", alg)
		}
		if tooMany(*set, UseEncryption, family) {
			return nil, ErrTooManyKeys
		}
		r.retire(set, UseEncryption, family, now)
		id, err := addSigning(set, UseEncryption, family, now, make)
		return []string{id}, err
	}
	if !slices.Contains(algorithms(*set, UseSignature), alg) {
		return nil, fmt.Errorf("keys: there is no key for %q", alg)
	}
	if tooMany(*set, UseSignature, alg) {
		return nil, ErrTooManyKeys
	}
	i := next(*set, alg)
	id, err := addNext(set, alg, now, make)
	if err != nil {
		return nil, err
	}
	if i < 0 { // Maintain has not run yet
		i = len(set.Keys) - 1
	} else {
		changed = append(changed, set.Keys[i].ID)
	}
	r.promote(set, i, later(now, set.Keys[i].CreatedAt.Add(min(MaxAge, r.publishAhead))))
	return append(changed, id), nil
}

// promote makes the key at index i sign from the given time on, and ends all others of its
// algorithm then.
func (r *Ring) promote(set *KeySet, i int, from time.Time) {
	for _, k := range set.Keys { // a key that is itself waiting to sign goes first
		if k.Use == UseSignature && k.Algorithm == set.Keys[i].Algorithm {
			from = later(from, k.SignsFrom)
		}
	}
	r.retire(set, UseSignature, set.Keys[i].Algorithm, from)
	set.Keys[i].SignsFrom = from
}

// retire ends the use of all keys of an algorithm that are, or will be, in use.
func (r *Ring) retire(set *KeySet, use, alg string, at time.Time) {
	for i := range set.Keys {
		if k := &set.Keys[i]; k.Use == use && k.Algorithm == alg && !k.SignsFrom.IsZero() && k.RetiredAt.IsZero() {
			r.retireAt(k, at)
		}
	}
}

// retireAt sets the time at which a key is replaced, and what follows from it. The zero time: it is
// not.
func (r *Ring) retireAt(k *StoredKey, at time.Time) {
	k.RetiredAt, k.UnpublishAt, k.RemoveAt = at, time.Time{}, time.Time{}
	if at.IsZero() {
		return
	}
	// While the store does not answer, an instance may sign with its view for signFor.
	k.UnpublishAt = at.Add(r.publishAfter + 2*signFor)
	if k.Use == UseEncryption {
		k.UnpublishAt = at // no client should encrypt to it any more; what still arrives for it is read
	}
	k.RemoveAt = at.Add(r.keepAfter + 2*signFor)
}

const (
	keepRevoked = 365 * 24 * time.Hour // for which a revoked key is remembered
	maxRevoked  = 256                  // revoked keys that are remembered
)

// Revocation is what one call of Revoke changed.
type Revocation struct {
	Revoked []RevokedKey // withdrawn by this call; none if all of them had been revoked before
	Fresh   []StoredKey  // made in their place, without private parts
}

// Revoke withdraws keys that an attacker may have seen. Their private parts are destroyed. They are
// not published, do not sign, and are refused by Verify and Decrypt on every instance within
// FreshFor. Sessions and refresh tokens are untouched, but every token that the keys signed is
// worthless.
//
// With a key that signs, all that wait to follow it are revoked, because they lay beside it: two
// fresh keys take their place, one that signs at once and the next one. A key that only waits is
// replaced by a fresh next one, and the signing key goes on. A revoked decryption key is replaced
// at once. Retired keys are withdrawn without a replacement.
//
// Clients that cached the published set accept forged tokens until they read it again, MaxAge at
// most, and may refuse good tokens for as long. Revoking a key again changes nothing. ErrNoSuchKey
// is in the error's chain if a kid is unknown; then nothing is revoked.
func (r *Ring) Revoke(ctx context.Context, kids ...string) (Revocation, error) {
	return r.revoke(ctx, func(set KeySet) ([]string, error) {
		for _, id := range kids {
			known := slices.ContainsFunc(set.Keys, func(k StoredKey) bool { return k.ID == id }) ||
				slices.ContainsFunc(set.Revoked, func(k RevokedKey) bool { return k.ID == id })
			if !known {
				return nil, fmt.Errorf("%w: %.60q", ErrNoSuchKey, id)
			}
		}
		return kids, nil
	})
}

// RevokeAll is Revoke for every key there is, of both uses.
func (r *Ring) RevokeAll(ctx context.Context) (Revocation, error) {
	return r.revoke(ctx, func(set KeySet) ([]string, error) {
		var all []string
		for _, k := range set.Keys {
			all = append(all, k.ID)
		}
		return all, nil
	})
}

func (r *Ring) revoke(ctx context.Context, choose func(KeySet) ([]string, error)) (Revocation, error) {
	var done Revocation
	var fresh []string
	err := r.update(ctx, func(set *KeySet, now time.Time, make maker) error {
		done, fresh = Revocation{}, nil
		kids, err := choose(*set)
		if err != nil {
			return err
		}
		done.Revoked = r.withdraw(set, kids, now)
		fresh, err = r.replace(set, done.Revoked, now, make)
		return err
	})
	if err != nil {
		return Revocation{}, err
	}
	done.Fresh = r.named(fresh)
	for _, k := range done.Revoked {
		r.log.WarnContext(ctx, "key revoked", "kid", k.ID, "use", k.Use, "alg", k.Algorithm)
	}
	for _, k := range done.Fresh {
		r.log.InfoContext(ctx, "key made in place of a revoked one",
			"kid", k.ID, "use", k.Use, "alg", k.Algorithm, "signs_from", k.SignsFrom)
	}
	return done, nil
}

// withdraw takes the keys out of the set, and with a signing key all that wait to follow it.
func (r *Ring) withdraw(set *KeySet, kids []string, now time.Time) []RevokedKey {
	var compromised []string // algorithms whose signing key goes
	for _, alg := range algorithms(*set, UseSignature) {
		if k := signing(*set, alg, now); k != nil && slices.Contains(kids, k.ID) {
			compromised = append(compromised, alg)
		}
	}
	var gone []RevokedKey
	for i := 0; i < len(set.Keys); {
		k := set.Keys[i]
		follows := k.Use == UseSignature && !retired(k, now) && slices.Contains(compromised, k.Algorithm)
		if !follows && !slices.Contains(kids, k.ID) {
			i++
			continue
		}
		gone = append(gone, RevokedKey{ID: k.ID, Use: k.Use, Algorithm: k.Algorithm, RevokedAt: now})
		set.Keys = slices.Delete(set.Keys, i, i+1)
		if !k.SignsFrom.IsZero() && k.Use == UseSignature {
			r.inherit(set, k)
		}
	}
	set.Revoked = append(slices.Clone(set.Revoked), gone...)
	set.Revoked = set.Revoked[max(0, len(set.Revoked)-maxRevoked):]
	return gone
}

// inherit lets the key that the given one would have replaced sign for as long as that one would
// have.
func (r *Ring) inherit(set *KeySet, gone StoredKey) {
	for i := range set.Keys {
		k := &set.Keys[i]
		before := k.Use == gone.Use && k.Algorithm == gone.Algorithm && k.RetiredAt.Equal(gone.SignsFrom)
		if before && gone.SignsFrom.After(r.now()) {
			r.retireAt(k, gone.RetiredAt)
		}
	}
}

// replace makes keys for algorithms that had a key revoked and lack one now. It returns their kids.
func (r *Ring) replace(set *KeySet, gone []RevokedKey, now time.Time, make maker) (fresh []string, err error) {
	add := func(id string, e error) {
		fresh, err = append(fresh, id), errors.Join(err, e)
	}
	var seen []string
	for _, k := range gone {
		if name := k.Use + " " + k.Algorithm; slices.Contains(seen, name) {
			continue
		} else {
			seen = append(seen, name)
		}
		if current(*set, k.Use, k.Algorithm, now) == nil {
			add(addSigning(set, k.Use, k.Algorithm, now, make))
		}
		if k.Use == UseSignature && next(*set, k.Algorithm) < 0 {
			add(addNext(set, k.Algorithm, now, make))
		}
	}
	return fresh, err
}

// Maintain brings the keys up to date: it reads the stored set again, makes missing next keys,
// rotates what is due and removes what is no longer needed. Every instance calls it again and again
// (see Run); at most one of them changes something.
func (r *Ring) Maintain(ctx context.Context) error {
	v, err := r.fresh(ctx)
	if err != nil {
		return err
	}
	if !r.due(v.set, r.now()) {
		return nil
	}
	return r.update(ctx, func(set *KeySet, now time.Time, make maker) error {
		r.settle(set, now) // first: what a wrong clock wrote is not acted upon
		set.Keys = slices.DeleteFunc(set.Keys, func(k StoredKey) bool { return removed(k, now) })
		set.Revoked = slices.DeleteFunc(slices.Clone(set.Revoked), func(k RevokedKey) bool { return forgotten(k, now) })
		for i := range set.Keys {
			if k := &set.Keys[i]; undated(*k) {
				r.retireAt(k, k.RetiredAt)
			}
		}
		for _, alg := range algorithms(*set, UseSignature) {
			i := next(*set, alg)
			if i >= 0 && r.scheduled(*set, alg, now) && !now.Before(set.Keys[i].CreatedAt.Add(r.publishAhead)) {
				r.promote(set, i, now)
				r.log.InfoContext(ctx, "key rotated on schedule", "kid", set.Keys[i].ID, "alg", alg)
				i = -1
			}
			if i < 0 && !tooMany(*set, UseSignature, alg) {
				if _, err := addNext(set, alg, now, make); err != nil {
					return err
				}
			}
		}
		for _, alg := range algorithms(*set, UseEncryption) {
			if r.expired(*set, UseEncryption, alg, now) {
				if _, err := r.rotate(set, alg, now, make); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// settle corrects what an instance with a clock far ahead has written: a key that signs in months
// would stop every rotation until then.
func (r *Ring) settle(set *KeySet, now time.Time) {
	if !r.unsettled(*set, now) {
		return
	}
	soon := now.Add(min(MaxAge, r.publishAhead))
	for i := range set.Keys {
		k := &set.Keys[i]
		if ahead(k.CreatedAt, now) {
			k.CreatedAt = now
		}
		if ahead(k.SignsFrom, now) {
			k.SignsFrom = soon
		}
		if ahead(k.RetiredAt, now) {
			r.retireAt(k, soon)
		}
	}
}

// maintainEvery is how often Run calls Maintain.
const maintainEvery = time.Minute

// Run keeps the view of the stored set fresh, so that no request waits for it, and calls Maintain
// every minute, until ctx ends. It logs what fails, at most once a minute.
func (r *Ring) Run(ctx context.Context) {
	tick := time.NewTicker(FreshFor / 2)
	defer tick.Stop()
	for {
		begun := time.Now()
		if err := r.Maintain(ctx); err != nil && ctx.Err() == nil {
			r.log.ErrorContext(ctx, "maintain keys", "error", err)
		}
		for time.Since(begun) < maintainEvery {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				_, _ = r.read(ctx) // a failure shows in what needs the keys, and in Maintain
			}
		}
	}
}

// maker makes a key pair; within one update the same key is not made twice, however often the swap
// is tried.
type maker func(use, alg string, now time.Time) (StoredKey, error)

// update changes the stored set by compare-and-swap. The change is computed on what is stored,
// again whenever another instance was faster. If it changes nothing, nothing is written.
func (r *Ring) update(ctx context.Context, change func(set *KeySet, now time.Time, make maker) error) error {
	r.change.Lock()
	defer r.change.Unlock()
	spare := map[string][]StoredKey{}
	for range swapTries {
		v, err := r.load(ctx)
		if err != nil {
			return err
		}
		used := map[string]int{}
		create := func(use, alg string, now time.Time) (StoredKey, error) {
			name := use + " " + alg
			n := used[name]
			used[name]++
			if n == len(spare[name]) {
				k, err := r.generate(use, alg)
				if err != nil {
					return StoredKey{}, err
				}
				spare[name] = append(spare[name], k)
			}
			k := spare[name][n]
			k.CreatedAt = now
			return k, nil
		}
		now := millis(r.now())
		set := v.set
		set.Version, set.Keys = v.set.Version+1, slices.Clone(v.set.Keys)
		if err := change(&set, now, create); err != nil {
			return err
		}
		if slices.EqualFunc(set.Keys, v.set.Keys, sameTimes) && len(set.Revoked) == len(v.set.Revoked) {
			return nil
		}
		swapped, err := r.store.SwapKeySet(ctx, set)
		if err != nil {
			return fmt.Errorf("store the keys: %w", err)
		}
		if swapped {
			// Read back rather than assumed: only what is stored signs.
			_, err = r.load(ctx)
			return err
		}
	}
	return errChanging
}

func sameTimes(a, b StoredKey) bool {
	return a.ID == b.ID && a.CreatedAt.Equal(b.CreatedAt) && a.SignsFrom.Equal(b.SignsFrom) &&
		a.RetiredAt.Equal(b.RetiredAt) &&
		a.UnpublishAt.Equal(b.UnpublishAt) && a.RemoveAt.Equal(b.RemoveAt)
}

// generate makes a key pair: RSA with 2048 bits, EC on P-256, or Ed25519.
func (r *Ring) generate(use, alg string) (StoredKey, error) {
	var private crypto.Signer
	var err error
	switch alg {
	case "RS256", "PS256", "RSA-OAEP-256":
		private, err = r.newRSA()
	case "ES256", "ECDH-ES":
		private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "EdDSA":
		_, private, err = ed25519.GenerateKey(rand.Reader)
	default:
		err = errors.New("unknown algorithm")
	}
	if err != nil {
		return StoredKey{}, fmt.Errorf("make a key for %s: %w", alg, err)
	}
	k := StoredKey{Use: use, Algorithm: alg}
	if k.ID, err = thumbprint(private.Public()); err != nil {
		return StoredKey{}, err
	}
	public := jose.JSONWebKey{Key: private.Public(), KeyID: k.ID, Use: use}
	if use == UseSignature {
		public.Algorithm = alg // one encryption key serves several algorithms, so it names none
	}
	if k.Public, err = json.Marshal(public); err != nil {
		return StoredKey{}, fmt.Errorf("write the key for %s: %w", alg, err)
	}
	plain, err := json.Marshal(jose.JSONWebKey{Key: private, KeyID: k.ID, Use: use})
	if err != nil {
		return StoredKey{}, fmt.Errorf("write the key for %s: %w", alg, err)
	}
	defer clear(plain)
	k.Sealed, err = r.sealer.Seal(plain, keyData(k.ID))
	return k, err
}
