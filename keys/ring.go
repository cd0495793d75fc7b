package keys

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// Config is what a Ring needs.
type Config struct {
	Store  Store
	Sealer *Sealer
	Now    func() time.Time // nil: time.Now
	// RotateEvery is how long a key signs before the next one takes over. 0: 90 days.
	RotateEvery time.Duration
	// PublishAhead is how long a key has at least been published when it begins to sign on schedule. 0: 24 hours.
	PublishAhead time.Duration
	// KeepAfter is how long a key stays published after it signed last: at least the life of the longest-lived token, and as
	// long as an ID token should be recognised as id_token_hint. 0: 30 days.
	KeepAfter time.Duration
	Logger    *slog.Logger // nil: none

	newRSA func() (*rsa.PrivateKey, error) // for tests, which need many; nil: a new key of minRSA bits
}

const (
	// MaxAge is how long a JWK Set may be cached (RFC 9111 §5.2.2.1). A rotation on command waits until the next key
	// has been published for so long, so that no cache is without it.
	MaxAge = 10 * time.Minute

	// A view of the stored set is read again when it is older than FreshFor and something could depend on a newer one,
	// and signs no more when it is older than signFor: another instance may have replaced the key.
	FreshFor = time.Second
	signFor  = time.Minute

	// A set with so many keys for one algorithm is not rotated any more until old ones have been removed.
	maxKeysPerAlgorithm = 64

	swapTries = 32
)

// ErrTooManyKeys says that an algorithm was rotated so often within KeepAfter that the published set would grow too large.
var ErrTooManyKeys = errors.New("keys: rotated too often: too many old keys are still published")

// Ring holds the provider's own keys: it signs, verifies, decrypts, publishes and rotates. All instances on one Store see the
// same keys. It is safe for concurrent use.
type Ring struct {
	store                                Store
	sealer                               *Sealer
	now                                  func() time.Time
	rotateEvery, publishAhead, keepAfter time.Duration
	log                                  *slog.Logger
	newRSA                               func() (*rsa.PrivateKey, error)

	current atomic.Pointer[view]
	load    sync.Mutex // one reader of the store at a time
	change  sync.Mutex // one writer at a time in this process; between processes SwapKeySet decides
}

// view is one state of the stored set, ready for use. It never changes.
type view struct {
	set    KeySet
	readAt time.Time
	byID   map[string]*pair

	mu   sync.Mutex // guards jwks
	jwks *published
}

type published struct {
	body    []byte
	etag    string
	expires time.Time // the next moment at which the set looks different by the clock alone; zero: never
}

// pair is an opened key. Pairs are shared by successive views.
type pair struct {
	stored  StoredKey // as first read; its times are in the view's set
	public  crypto.PublicKey
	private crypto.PrivateKey
	signers sync.Map // typ → jose.Signer
}

// Open reads the keys, or makes the first one (RS256). Of several instances that start at once on an empty store all
// end with the same key. If the sealer does not open what is stored, Open fails: a wrong master key never leads to new keys.
func Open(ctx context.Context, c Config) (*Ring, error) {
	if c.Store == nil || c.Sealer == nil {
		return nil, errors.New("keys: a ring needs a store and a sealer")
	}
	r := &Ring{store: c.Store, sealer: c.Sealer, now: c.Now, rotateEvery: c.RotateEvery, publishAhead: c.PublishAhead, keepAfter: c.KeepAfter, log: c.Logger, newRSA: c.newRSA}
	if r.now == nil {
		r.now = time.Now
	}
	if r.rotateEvery <= 0 {
		r.rotateEvery = 90 * 24 * time.Hour
	}
	if r.publishAhead <= 0 {
		r.publishAhead = 24 * time.Hour
	}
	if r.keepAfter <= 0 {
		r.keepAfter = 30 * 24 * time.Hour
	}
	if r.newRSA == nil {
		r.newRSA = func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, minRSA) }
	}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	if err := r.EnsureAlgorithm(ctx, UseSignature, "RS256"); err != nil {
		return nil, err
	}
	return r, nil
}

// Ready says whether the stored keys can be read, opened, and include one that signs.
func (r *Ring) Ready(ctx context.Context) error {
	v, err := r.fresh(ctx, FreshFor)
	if err != nil {
		return err
	}
	if signing(v.set, "RS256", r.now()) == nil {
		return errors.New("keys: no RS256 key")
	}
	return nil
}

// Keys lists what is stored, without private parts: signing keys first, the one in use before the next and the old ones.
func (r *Ring) Keys() []StoredKey {
	v, now := r.current.Load(), r.now()
	list := ordered(v.set, now)
	for i := range list {
		list[i].Sealed = nil
		list[i].Public = bytes.Clone(list[i].Public)
	}
	return list
}

// Sign makes a compact JWS of claims, written as JSON, with kid and, unless it is empty, typ in the header (RFC 7515 §7.1). The
// algorithm must have a key; see EnsureAlgorithm.
func (r *Ring) Sign(ctx context.Context, alg, typ string, claims any) (string, error) {
	payload, err := marshal(claims)
	if err != nil {
		return "", fmt.Errorf("write the claims: %w", err)
	}
	return r.SignBytes(ctx, alg, typ, payload)
}

// SignBytes is Sign for a payload that is written already.
func (r *Ring) SignBytes(ctx context.Context, alg, typ string, payload []byte) (string, error) {
	v, err := r.fresh(ctx, signFor)
	if err != nil {
		return "", err
	}
	k := signing(v.set, alg, r.now())
	if k == nil {
		// Another instance may have made the key this very second.
		if v, err = r.fresh(ctx, FreshFor); err != nil {
			return "", err
		}
		if k = signing(v.set, alg, r.now()); k == nil {
			return "", fmt.Errorf("keys: there is no key for %q", alg)
		}
	}
	signer, err := v.byID[k.ID].signer(k, typ)
	if err != nil {
		return "", err
	}
	jws, err := signer.Sign(payload)
	if err != nil {
		return "", fmt.Errorf("sign with %s: %w", alg, err)
	}
	return jws.CompactSerialize()
}

func (p *pair) signer(k *StoredKey, typ string) (jose.Signer, error) {
	if s, ok := p.signers.Load(typ); ok {
		return s.(jose.Signer), nil
	}
	opts := &jose.SignerOptions{}
	if typ != "" {
		opts = opts.WithType(jose.ContentType(typ))
	}
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(k.Algorithm), Key: jose.JSONWebKey{Key: p.private, KeyID: k.ID}}, opts)
	if err != nil {
		return nil, fmt.Errorf("make a signer for %s: %w", k.Algorithm, err)
	}
	p.signers.Store(typ, s)
	return s, nil
}

// Verify checks a JWS of our own by any key that is published, and returns payload and algorithm. The token may have expired: claims
// are the caller's to check. typ in the header must be one of typs ("" is an absent one or JWT), so that a token of one kind
// never passes for another (RFC 8725 §3.11).
func (r *Ring) Verify(ctx context.Context, jws string, typs ...string) (payload []byte, alg string, err error) {
	h, _, err := parseJWS(jws, SigningAlgorithms)
	if err != nil {
		return nil, "", err
	}
	if !slices.ContainsFunc(typs, h.IsType) {
		return nil, "", fmt.Errorf("the JWT is of type %.40q, which is not accepted here", h.Type)
	}
	if h.KeyID == "" {
		return nil, "", ErrUnknownKey // every token of ours names its key
	}
	k, p := r.find(r.current.Load(), h.KeyID)
	if p == nil {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		v, err := r.fresh(ctx, FreshFor)
		if err != nil {
			return nil, "", err
		}
		if k, p = r.find(v, h.KeyID); p == nil {
			return nil, "", ErrUnknownKey
		}
	}
	if k.Use != UseSignature || k.Algorithm != h.Algorithm {
		return nil, "", ErrUnknownKey
	}
	parsed, err := jose.ParseSignedCompact(jws, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(k.Algorithm)})
	if err != nil {
		return nil, "", fmt.Errorf("not a JWS in compact form: %w", err)
	}
	if payload, err = parsed.Verify(p.public); err != nil {
		return nil, "", ErrSignature
	}
	return payload, k.Algorithm, nil
}

// find returns a key that is still there at this moment.
func (r *Ring) find(v *view, id string) (StoredKey, *pair) {
	for _, k := range v.set.Keys {
		if k.ID == id && !removed(k, r.now()) {
			return k, v.byID[id]
		}
	}
	return StoredKey{}, nil
}

// Decrypt opens a compact JWE that was encrypted to us, e.g. a request object (OIDC Core §6.1), also by a key that was
// replaced lately. Compression and keys in the header are refused. The result is at most 256 KiB, and in no way authenticated.
func (r *Ring) Decrypt(ctx context.Context, jwe string) ([]byte, error) {
	parts, err := splitCompact(jwe)
	if err != nil {
		return nil, err
	}
	if len(parts) != 5 {
		return nil, errors.New("the JWT is not encrypted")
	}
	h, err := parseHeader(parts[0], true)
	if err != nil {
		return nil, err
	}
	family, ok := keyAlgorithm(UseEncryption, h.Algorithm)
	if !ok || !slices.Contains(ContentEncryptionAlgorithms, h.ContentEncryption) {
		return nil, fmt.Errorf("encryption with alg %.20q and enc %.20q is not supported", h.Algorithm, h.ContentEncryption)
	}
	parsed, err := jose.ParseEncryptedCompact(jwe, joseKeyAlgorithms, joseContentEncryption)
	if err != nil {
		return nil, fmt.Errorf("not a JWE in compact form: %w", err)
	}
	v, err := r.fresh(ctx, signFor)
	if err != nil {
		return nil, err
	}
	if h.KeyID != "" {
		if _, p := r.find(v, h.KeyID); p == nil {
			if v, err = r.fresh(ctx, FreshFor); err != nil {
				return nil, err
			}
		}
	}
	tried := false
	for _, k := range ordered(v.set, r.now()) {
		if k.Use != UseEncryption || k.Algorithm != family || h.KeyID != "" && h.KeyID != k.ID || removed(k, r.now()) {
			continue
		}
		tried = true
		if plain, err := parsed.Decrypt(v.byID[k.ID].private); err == nil {
			return plain, nil
		}
	}
	if !tried {
		return nil, ErrUnknownKey
	}
	return nil, errors.New("the JWE does not decrypt")
}

// JWKS is the published set (RFC 7517 §5), its entity tag with quotes, and how long it may be cached. Every key that may
// have signed a token that is still good is in it, and the next one. It keeps answering with the last known set when the store does not.
func (r *Ring) JWKS(ctx context.Context) (body []byte, etag string, maxAge time.Duration, err error) {
	v, err := r.fresh(ctx, FreshFor)
	if err != nil {
		if v = r.current.Load(); v == nil {
			return nil, "", 0, err
		}
		r.log.WarnContext(ctx, "publish the last known keys", "error", err)
	}
	p, err := v.publish(r.now())
	if err != nil {
		return nil, "", 0, err
	}
	return p.body, p.etag, min(MaxAge, r.publishAhead), nil
}

func (v *view) publish(now time.Time) (*published, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.jwks != nil && (v.jwks.expires.IsZero() || now.Before(v.jwks.expires)) {
		return v.jwks, nil
	}
	p := &published{}
	keys := []json.RawMessage{}
	for _, k := range ordered(v.set, now) {
		for _, t := range []time.Time{k.SignsFrom, k.RetiredAt, k.RemoveAt} {
			if t.After(now) && (p.expires.IsZero() || t.Before(p.expires)) {
				p.expires = t
			}
		}
		// Nobody should encrypt to a replaced key, though what still arrives for it is read.
		if removed(k, now) || k.Use == UseEncryption && retired(k, now) {
			continue
		}
		keys = append(keys, k.Public)
	}
	var err error
	if p.body, err = json.Marshal(map[string]any{"keys": keys}); err != nil {
		return nil, fmt.Errorf("write the JWK Set: %w", err)
	}
	sum := sha256.Sum256(p.body)
	p.etag = `"` + base64.RawURLEncoding.EncodeToString(sum[:16]) + `"`
	v.jwks = p
	return p, nil
}

// EnsureAlgorithm makes a key for the algorithm if there is none: use is sig with one of SigningAlgorithms, or enc with one of
// EncryptionAlgorithms. It is cheap when there is one.
func (r *Ring) EnsureAlgorithm(ctx context.Context, use, alg string) error {
	stored, ok := keyAlgorithm(use, alg)
	if !ok {
		return fmt.Errorf("keys: no keys are made for use %.10q and algorithm %.20q", use, alg)
	}
	has := func(set KeySet) bool {
		return slices.ContainsFunc(set.Keys, func(k StoredKey) bool {
			// Also one that begins to sign in a moment: another instance, with a clock a little ahead, has just made it.
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
		// Nothing can be published ahead of a first key.
		k, err := make(use, stored, now)
		if err != nil {
			return err
		}
		k.SignsFrom = now
		set.Keys = append(set.Keys, k)
		return nil
	})
}

// Rotate replaces the signing keys of the algorithms now, of all that have one if none is named, and publishes a new next key for each.
// It returns the keys that changed: for each algorithm the one that takes over, with SignsFrom, and the new next one. A key that
// has been published for less than MaxAge takes over only when that time has come (SignsFrom tells), because the applications'
// caches may not have it yet. Old keys stay published for KeepAfter. Decryption keys are replaced at once, if named.
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
	var out []StoredKey
	for _, k := range r.Keys() {
		if slices.Contains(changed, k.ID) {
			out = append(out, k)
			if k.SignsFrom.After(r.now()) {
				r.log.InfoContext(ctx, "key rotation waits until caches have the new key", "kid", k.ID, "alg", k.Algorithm, "signs_from", k.SignsFrom)
			} else {
				r.log.InfoContext(ctx, "key rotated", "kid", k.ID, "alg", k.Algorithm, "signs_from", k.SignsFrom)
			}
		}
	}
	return out, nil
}

func (r *Ring) rotate(set *KeySet, alg string, now time.Time, make maker) (changed []string, err error) {
	if family, ok := keyAlgorithm(UseEncryption, alg); ok {
		if !slices.Contains(algorithms(*set, UseEncryption), family) {
			return nil, fmt.Errorf("keys: there is no key for %q", alg)
		}
		if tooMany(*set, UseEncryption, family) {
			return nil, ErrTooManyKeys
		}
		k, err := make(UseEncryption, family, now)
		if err != nil {
			return nil, err
		}
		k.SignsFrom = now
		r.retire(set, UseEncryption, family, now)
		set.Keys = append(set.Keys, k)
		return []string{k.ID}, nil
	}
	if !slices.Contains(algorithms(*set, UseSignature), alg) {
		return nil, fmt.Errorf("keys: there is no key for %q", alg)
	}
	if tooMany(*set, UseSignature, alg) {
		return nil, ErrTooManyKeys
	}
	i := next(*set, alg)
	if i < 0 { // Maintain has not run yet
		k, err := make(UseSignature, alg, now)
		if err != nil {
			return nil, err
		}
		set.Keys = append(set.Keys, k)
		i = len(set.Keys) - 1
		changed = append(changed, k.ID)
	} else {
		k, err := make(UseSignature, alg, now)
		if err != nil {
			return nil, err
		}
		set.Keys = append(set.Keys, k)
		changed = append(changed, set.Keys[i].ID, k.ID)
	}
	r.promote(set, i, later(now, set.Keys[i].CreatedAt.Add(min(MaxAge, r.publishAhead))))
	return changed, nil
}

// promote lets the key at index i sign from the given time on, and every other of its algorithm no longer.
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
			k.RetiredAt = at
			// An instance whose view is up to signFor old may sign with it a little longer.
			k.RemoveAt = at.Add(r.keepAfter + 2*signFor)
		}
	}
}

// Maintain brings the keys up to date: it reads the stored set again, makes missing next keys, rotates what is due and removes what
// nobody needs any more. To be called every few seconds or minutes, on every instance; at most one of them changes something.
func (r *Ring) Maintain(ctx context.Context) error {
	v, err := r.fresh(ctx, FreshFor)
	if err != nil {
		return err
	}
	if !r.due(v.set, r.now()) {
		return nil
	}
	return r.update(ctx, func(set *KeySet, now time.Time, make maker) error {
		set.Keys = slices.DeleteFunc(set.Keys, func(k StoredKey) bool { return removed(k, now) })
		for _, alg := range algorithms(*set, UseSignature) {
			i := next(*set, alg)
			if i >= 0 && r.scheduled(*set, alg, now) && !now.Before(set.Keys[i].CreatedAt.Add(r.publishAhead)) {
				r.promote(set, i, now)
				r.log.InfoContext(ctx, "key rotated on schedule", "kid", set.Keys[i].ID, "alg", alg)
				i = -1
			}
			if i < 0 && !tooMany(*set, UseSignature, alg) {
				k, err := make(UseSignature, alg, now)
				if err != nil {
					return err
				}
				set.Keys = append(set.Keys, k)
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

// due says whether Maintain has something to change.
func (r *Ring) due(set KeySet, now time.Time) bool {
	if slices.ContainsFunc(set.Keys, func(k StoredKey) bool { return removed(k, now) }) {
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
	return slices.ContainsFunc(algorithms(set, UseEncryption), func(alg string) bool { return r.expired(set, UseEncryption, alg, now) })
}

// scheduled says whether the signing key has signed long enough. Not while another is already waiting to take over.
func (r *Ring) scheduled(set KeySet, alg string, now time.Time) bool {
	for _, k := range set.Keys {
		if k.Use == UseSignature && k.Algorithm == alg && k.SignsFrom.After(now) {
			return false
		}
	}
	return r.expired(set, UseSignature, alg, now)
}

// expired says whether the key in use has been so for RotateEvery, or there is none.
func (r *Ring) expired(set KeySet, use, alg string, now time.Time) bool {
	for _, k := range set.Keys {
		if k.Use == use && k.Algorithm == alg && !k.SignsFrom.IsZero() && !retired(k, now) {
			return !now.Before(k.SignsFrom.Add(r.rotateEvery))
		}
	}
	return true
}

// maker makes a key pair; within one update the same key is not made twice, however often the swap is tried.
type maker func(use, alg string, now time.Time) (StoredKey, error)

// update changes the stored set by compare-and-swap. The change is computed on what is stored, as often as somebody else was faster; if
// it changes nothing, nothing is written.
func (r *Ring) update(ctx context.Context, change func(set *KeySet, now time.Time, make maker) error) error {
	r.change.Lock()
	defer r.change.Unlock()
	spare := map[string][]StoredKey{}
	for range swapTries {
		v, err := r.read(ctx)
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
		now := r.now().UTC().Truncate(time.Millisecond)
		set := KeySet{Version: v.set.Version + 1, Keys: slices.Clone(v.set.Keys)}
		if err := change(&set, now, create); err != nil {
			return err
		}
		if slices.EqualFunc(set.Keys, v.set.Keys, sameTimes) {
			return nil
		}
		swapped, err := r.store.SwapKeySet(ctx, set)
		if err != nil {
			return fmt.Errorf("store the keys: %w", err)
		}
		if swapped {
			// Read back rather than assumed: only what is stored signs.
			_, err = r.read(ctx)
			return err
		}
	}
	return errors.New("keys: the stored keys changed again and again; try later")
}

func sameTimes(a, b StoredKey) bool {
	return a.ID == b.ID && a.SignsFrom.Equal(b.SignsFrom) && a.RetiredAt.Equal(b.RetiredAt) && a.RemoveAt.Equal(b.RemoveAt)
}

// fresh returns a view that is at most maxAge old.
func (r *Ring) fresh(ctx context.Context, maxAge time.Duration) (*view, error) {
	if v := r.current.Load(); v != nil && r.recent(v, maxAge) {
		return v, nil
	}
	r.load.Lock()
	defer r.load.Unlock()
	if v := r.current.Load(); v != nil && r.recent(v, maxAge) {
		return v, nil // somebody read it while we waited
	}
	return r.readLocked(ctx)
}

// recent holds as well if the clock was put back, but not by much.
func (r *Ring) recent(v *view, maxAge time.Duration) bool {
	age := r.now().Sub(v.readAt)
	return age < maxAge && age > -maxAge
}

func (r *Ring) read(ctx context.Context) (*view, error) {
	r.load.Lock()
	defer r.load.Unlock()
	return r.readLocked(ctx)
}

func (r *Ring) readLocked(ctx context.Context) (*view, error) {
	at := r.now()
	set, err := r.store.KeySet(ctx)
	if err != nil {
		return nil, fmt.Errorf("load the keys: %w", err)
	}
	old := r.current.Load()
	if old != nil && set.Version < old.set.Version {
		// A store never goes back by itself: this is a restored backup, or another database.
		r.log.WarnContext(ctx, "the stored keys are older than those seen before", "version", set.Version, "seen", old.set.Version)
	}
	v := &view{set: set, readAt: at, byID: make(map[string]*pair, len(set.Keys))}
	for _, k := range set.Keys {
		if old != nil {
			if p := old.byID[k.ID]; p != nil && bytes.Equal(p.stored.Sealed, k.Sealed) {
				v.byID[k.ID] = p
				continue
			}
		}
		p, err := r.open(k)
		if err != nil {
			return nil, fmt.Errorf("open key %s (%s): %w", k.ID, k.Algorithm, err)
		}
		v.byID[k.ID] = p
	}
	if old != nil && old.set.Version == set.Version {
		old.mu.Lock()
		v.jwks = old.jwks
		old.mu.Unlock()
	}
	r.current.Store(v)
	return v, nil
}

func (r *Ring) open(k StoredKey) (*pair, error) {
	plain, err := r.sealer.Open(k.Sealed, "key:"+k.ID)
	if err != nil {
		return nil, fmt.Errorf("%w; start with the master key that the keys were made under", err)
	}
	defer clear(plain)
	var jwk jose.JSONWebKey
	if err := json.Unmarshal(plain, &jwk); err != nil || jwk.IsPublic() || !jwk.Valid() {
		return nil, errors.New("keys: the stored private key is damaged")
	}
	public := jwk.Public()
	// The kid says which key this is; published and private part must be the same one.
	id, err := thumbprint(public.Key)
	if err != nil {
		return nil, err
	}
	if publishedID, err := Thumbprint(k.Public); err != nil || id != k.ID || publishedID != k.ID {
		return nil, errors.New("keys: the stored public key does not belong to its private key")
	}
	if rsaKey, ok := jwk.Key.(*rsa.PrivateKey); ok {
		rsaKey.Precompute()
	}
	return &pair{stored: k, public: public.Key, private: jwk.Key}, nil
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
	k.Sealed, err = r.sealer.Seal(plain, "key:"+k.ID)
	return k, err
}

// What the stored times mean is decided here, and by the clock alone: every instance comes to the same answer without being told.

func removed(k StoredKey, now time.Time) bool {
	return !k.RemoveAt.IsZero() && !now.Before(k.RemoveAt)
}

func retired(k StoredKey, now time.Time) bool {
	return !k.RetiredAt.IsZero() && !now.Before(k.RetiredAt)
}

func inUse(k StoredKey, now time.Time) bool {
	return !k.SignsFrom.IsZero() && !now.Before(k.SignsFrom) && !retired(k, now)
}

// signing is the key that signs at this moment: the one in use. If the clock was put back to before it, the one that begins first.
func signing(set KeySet, alg string, now time.Time) *StoredKey {
	var first *StoredKey
	for i := range set.Keys {
		k := &set.Keys[i]
		if k.Use != UseSignature || k.Algorithm != alg || k.SignsFrom.IsZero() {
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

// next is the index of the published key that waits to sign, -1 if there is none.
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

func tooMany(set KeySet, use, alg string) bool {
	n := 0
	for _, k := range set.Keys {
		if k.Use == use && k.Algorithm == alg {
			n++
		}
	}
	return n >= maxKeysPerAlgorithm
}

// ordered puts the keys in use first, since some applications take the first key they see, then the next ones, then the old ones.
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
