package keys

import (
	"bytes"
	"context"
	"crypto"
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
	"golang.org/x/sync/singleflight"
)

// Config is what a Ring needs.
type Config struct {
	Store  Store
	Sealer *Sealer
	Now    func() time.Time // nil: time.Now
	// Algorithms lists those of SigningAlgorithms that get their first key when the ring is opened,
	// beside RS256.
	Algorithms []string
	// RotateEvery is how long a key signs before the next one takes over. 0: 90 days.
	RotateEvery time.Duration
	// PublishAhead is the least time for which a key is published before it signs on schedule. 0:
	// 24 hours.
	PublishAhead time.Duration
	// PublishWait is how long JWKS waits for a newer set before it answers with the one it has. 0: 40
	// milliseconds.
	PublishWait time.Duration
	// PublishAfter is how long a key stays in the JWK Set after it signed last: the life of the
	// longest token that others verify, and MaxAge. 0: one hour.
	PublishAfter time.Duration
	// KeepAfter is how long Verify accepts a key after it signed last: as long as an ID token is
	// recognised as id_token_hint. At least PublishAfter. 0: 30 days.
	KeepAfter time.Duration
	Logger    *slog.Logger // nil: none

	newRSA func() (*rsa.PrivateKey, error) // for tests, which need many; nil: a new key of minRSA bits
}

const (
	// MaxAge is how long a JWK Set may be cached (RFC 9111 §5.2.2.1). A rotation on command waits
	// until the next key has been published for this long, so that no cache is without it.
	MaxAge = 10 * time.Minute

	// FreshFor is the greatest age of the stored set by which a key is used, trusted or published.
	// A revoked key is refused by every instance after this time.
	FreshFor = time.Second

	// lookAgain is the least age of the stored set at which an unknown kid makes it be read again:
	// another instance may have made the key within FreshFor, and an attacker can make up a kid.
	lookAgain = 50 * time.Millisecond

	// signFor is the greatest age of the stored set by which a key signs while the store does not
	// answer: another instance may have replaced the key.
	signFor = time.Minute

	// readTimeout bounds one read of the stored set, which all callers share.
	readTimeout = 5 * time.Second

	// maxKeysPerAlgorithm ends rotations until old keys have been removed.
	maxKeysPerAlgorithm = 64

	// startTogether is the greatest difference in age of keys that were made at one first start.
	startTogether = 10 * time.Second

	swapTries = 32
)

var (
	// ErrTooManyKeys reports that an algorithm was rotated so often that the published set would
	// grow too large.
	ErrTooManyKeys = errors.New("keys: rotated too often: too many old keys are still kept")

	// ErrRevoked reports that the key named in a token was revoked. It is an ErrUnknownKey.
	ErrRevoked = fmt.Errorf("%w: it was revoked", ErrUnknownKey)

	// ErrNoKey reports that no key signs with the algorithm; see EnsureAlgorithm.
	ErrNoKey = errors.New("keys: there is no key for this algorithm")

	// ErrNoSuchKey reports that an administrator named a key that is not stored.
	ErrNoSuchKey = errors.New("keys: there is no such key")
)

// Ring holds the provider's own keys: it signs, verifies, decrypts, publishes and rotates. All
// instances on one Store see the same keys. It is safe for concurrent use.
type Ring struct {
	store                                              Store
	sealer                                             *Sealer
	now                                                func() time.Time
	rotateEvery, publishAhead, publishAfter, keepAfter time.Duration
	publishWait                                        time.Duration
	log                                                *slog.Logger
	newRSA                                             func() (*rsa.PrivateKey, error)

	current atomic.Pointer[view]
	started atomic.Int64       // reads of the store that have begun
	reads   singleflight.Group // one read that all waiting callers share
	install sync.Mutex         // guards the replacement of current
	change  sync.Mutex         // one writer in this process; between processes SwapKeySet decides
}

// view is one state of the stored set, ready for use. It never changes.
type view struct {
	set    KeySet
	readAt time.Time
	read   int64 // number of the read, in the order in which reads began
	byID   map[string]*pair

	mu   sync.Mutex // guards jwks
	jwks *published
}

// published is a JWK Set as it is served.
type published struct {
	body    []byte
	etag    string
	expires time.Time // when the set next changes by the clock alone; zero: never
}

// pair is an opened key. Successive views share pairs.
type pair struct {
	stored  StoredKey // as first read; its times are in the view's set
	public  crypto.PublicKey
	private crypto.PrivateKey
	headers sync.Map // typ → the header of its tokens, encoded
}

// Open reads the keys, or makes the first ones (RS256, and those of c.Algorithms). Instances that
// start at once on an empty store end with the same key. ErrSealed is in the error's chain if the
// sealer does not open what is stored: a wrong master key never leads to new keys.
func Open(ctx context.Context, c Config) (*Ring, error) {
	if c.Store == nil || c.Sealer == nil {
		return nil, errors.New("keys: a ring needs a store and a sealer")
	}
	r := &Ring{
		store: c.Store, sealer: c.Sealer, now: c.Now, log: c.Logger, newRSA: c.newRSA,
		rotateEvery: c.RotateEvery, publishAhead: c.PublishAhead, publishAfter: c.PublishAfter, keepAfter: c.KeepAfter,
		publishWait: c.PublishWait,
	}
	if r.now == nil {
		r.now = time.Now
	}
	for _, d := range []struct {
		v    *time.Duration
		what time.Duration
	}{
		{&r.rotateEvery, 90 * 24 * time.Hour}, {&r.publishAhead, 24 * time.Hour},
		{&r.publishAfter, time.Hour}, {&r.keepAfter, 30 * 24 * time.Hour}, {&r.publishWait, 40 * time.Millisecond},
	} {
		if *d.v <= 0 {
			*d.v = d.what
		}
	}
	r.keepAfter = max(r.keepAfter, r.publishAfter)
	if r.newRSA == nil {
		r.newRSA = func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, minRSA) }
	}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	for _, alg := range append([]string{"RS256"}, c.Algorithms...) {
		if err := r.EnsureAlgorithm(ctx, UseSignature, alg); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// Introduced reports whether tokens signed with the algorithm can be verified by every cache of the
// JWK Set: its key has been published for MaxAge, or is as old as the provider, so that no cache
// can be without it. It is false when there is no key.
func (r *Ring) Introduced(alg string) bool {
	v, now := r.current.Load(), r.now()
	k := signing(v.set, alg, now)
	if k == nil {
		return false
	}
	if now.Sub(k.CreatedAt) >= MaxAge {
		return true
	}
	return !slices.ContainsFunc(v.set.Keys, func(other StoredKey) bool {
		return other.Use == UseSignature && k.CreatedAt.Sub(other.CreatedAt) > startTogether
	})
}

// Ready returns nil if the stored keys can be read, opened, and include one that signs.
func (r *Ring) Ready(ctx context.Context) error {
	v, err := r.fresh(ctx)
	if err != nil {
		return err
	}
	if signing(v.set, "RS256", r.now()) == nil {
		return errors.New("keys: no RS256 key")
	}
	return nil
}

// Keys lists the stored keys without their private parts: signing keys first, the one in use before
// the next and the old ones.
func (r *Ring) Keys() []StoredKey {
	v, now := r.current.Load(), r.now()
	list := ordered(v.set, now)
	for i := range list {
		list[i].Sealed = nil
		list[i].Public = bytes.Clone(list[i].Public)
	}
	return list
}

// Signing lists the keys that sign at this moment, one for each algorithm, without their private
// parts.
func (r *Ring) Signing() []StoredKey {
	v, now := r.current.Load(), r.now()
	var out []StoredKey
	for _, alg := range algorithms(v.set, UseSignature) {
		if k := signing(v.set, alg, now); k != nil {
			out = append(out, *k)
			out[len(out)-1].Sealed = nil
		}
	}
	return out
}

// RevokedKeys lists the keys that were revoked within the last year, the latest first.
func (r *Ring) RevokedKeys() []RevokedKey {
	list := slices.Clone(r.current.Load().set.Revoked)
	slices.Reverse(list)
	return list
}

// Sign makes a compact JWS of claims, written as JSON, with kid and, unless it is empty, typ in the
// header (RFC 7515 §7.1). The algorithm must have a key; see EnsureAlgorithm.
func (r *Ring) Sign(ctx context.Context, alg, typ string, claims any) (string, error) {
	payload, err := marshal(claims)
	if err != nil {
		return "", fmt.Errorf("write the claims: %w", err)
	}
	return r.SignBytes(ctx, alg, typ, payload)
}

// SignBytes is Sign for a payload that is written already.
func (r *Ring) SignBytes(ctx context.Context, alg, typ string, payload []byte) (string, error) {
	v, err := r.freshOr(ctx, signFor)
	if err != nil {
		return "", err
	}
	k := signing(v.set, alg, r.now())
	if k == nil {
		return "", fmt.Errorf("%w: %q", ErrNoKey, alg)
	}
	jws, err := v.byID[k.ID].sign(typ, payload)
	if err != nil {
		return "", fmt.Errorf("sign with %s: %w", alg, err)
	}
	return jws, nil
}

// Verify checks a JWS that this provider signed, by any key that is kept, and returns payload and
// algorithm. The token may have expired: the caller checks the claims. typ in the header must be
// one of typs ("" is an absent one or JWT), so that a token of one kind never passes for another
// (RFC 8725 §3.11). The error is ErrUnknownKey, ErrRevoked or ErrSignature, or says what is
// malformed; any other comes from the store or from ctx, and says nothing about the token.
func (r *Ring) Verify(ctx context.Context, jws string, typs ...string) (payload []byte, alg string, err error) {
	parts, err := splitCompact(jws)
	if err != nil {
		return nil, "", err
	}
	if len(parts) != 3 {
		return nil, "", errEncrypted
	}
	// The key may have been revoked by another instance, so a known kid is not enough.
	v, stale := r.fresh(ctx)
	var h Header
	if stale == nil {
		h = v.recognise(parts[0], typs)
	}
	if h.KeyID == "" {
		if h, _, err = parseJWS(jws, SigningAlgorithms); err != nil {
			return nil, "", err
		}
	}
	if !slices.ContainsFunc(typs, h.IsType) {
		return nil, "", fmt.Errorf("the JWT is of type %.40q, which is not accepted here", h.Type)
	}
	if h.KeyID == "" {
		return nil, "", ErrUnknownKey // every token of this provider names its key
	}
	if stale != nil {
		return nil, "", stale
	}
	k, p := r.find(v, h.KeyID)
	if p == nil && !r.recent(v, lookAgain) {
		if v, err = r.read(ctx); err != nil {
			return nil, "", err
		}
		k, p = r.find(v, h.KeyID)
	}
	if p == nil {
		if slices.ContainsFunc(v.set.Revoked, func(k RevokedKey) bool { return k.ID == h.KeyID }) {
			return nil, "", ErrRevoked
		}
		return nil, "", ErrUnknownKey
	}
	if k.Use != UseSignature || k.Algorithm != h.Algorithm {
		return nil, "", ErrUnknownKey
	}
	if payload, err = decodePart(parts[1]); err != nil {
		return nil, "", err
	}
	sig, err := decodePart(parts[2])
	if err != nil {
		return nil, "", err
	}
	if !verifies(k.Algorithm, p.public, []byte(jws[:len(parts[0])+1+len(parts[1])]), sig) {
		return nil, "", ErrSignature
	}
	return payload, k.Algorithm, nil
}

// recognise returns the header of a token if it is, character by character, one that a key of the
// view writes for one of the types. Any other header has to be read, and its KeyID is empty here.
func (v *view) recognise(head string, typs []string) Header {
	for id, p := range v.byID {
		if p.stored.Use != UseSignature {
			continue
		}
		for _, typ := range typs {
			if p.header(typ) == head {
				return Header{Algorithm: p.stored.Algorithm, KeyID: id, Type: typ}
			}
		}
	}
	return Header{}
}

// find returns the key with this kid unless it is due for removal.
func (r *Ring) find(v *view, id string) (StoredKey, *pair) {
	for _, k := range v.set.Keys {
		if k.ID == id && !removed(k, r.now()) {
			return k, v.byID[id]
		}
	}
	return StoredKey{}, nil
}

// Decrypt opens a compact JWE that was encrypted to the provider, such as a request object
// (OIDC Core §6.1), also by a key that was replaced lately. Compression and keys in the header are
// refused. The result is at most 256 KiB, and in no way authenticated.
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
		return nil, fmt.Errorf("encryption with alg %.20q and enc %.20q is not supported", h.Algorithm,
			h.ContentEncryption)
	}
	parsed, err := jose.ParseEncryptedCompact(jwe, joseKeyAlgorithms, joseContentEncryption)
	if err != nil {
		return nil, fmt.Errorf("not a JWE in compact form: %w", err)
	}
	v, err := r.freshOr(ctx, signFor)
	if err != nil {
		return nil, err
	}
	if _, p := r.find(v, h.KeyID); p == nil && h.KeyID != "" && !r.recent(v, lookAgain) {
		if v, err = r.read(ctx); err != nil {
			return nil, err
		}
	}
	tried := 0
	for _, k := range ordered(v.set, r.now()) {
		if k.Use != UseEncryption || k.Algorithm != family || h.KeyID != "" && h.KeyID != k.ID || removed(k, r.now()) {
			continue
		}
		// A private key operation is dear, and an attacker may send a JWE: old keys need a kid.
		if tried++; tried > maxTries {
			break
		}
		if plain, err := parsed.Decrypt(v.byID[k.ID].private); err == nil {
			return plain, nil
		}
	}
	if tried == 0 {
		return nil, ErrUnknownKey
	}
	return nil, errors.New("the JWE does not decrypt")
}

// JWKS returns the published set (RFC 7517 §5), its entity tag with quotes, and how long it may be
// cached. The set holds every key that may have signed a token that is still good, and the next
// one. While the store does not answer, JWKS returns the set that was read last; it does not wait
// for it.
func (r *Ring) JWKS(ctx context.Context) (body []byte, etag string, maxAge time.Duration, err error) {
	v := r.current.Load()
	if !r.recent(v, FreshFor) {
		wait, cancel := context.WithTimeout(ctx, r.publishWait)
		newer, err := r.read(wait)
		cancel()
		if err == nil {
			v = newer
		} else {
			r.log.WarnContext(ctx, "publish the keys that were read last", "read_at", v.readAt, "error", err)
		}
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
		for _, t := range []time.Time{k.SignsFrom, k.RetiredAt, k.UnpublishAt, k.RemoveAt} {
			if t.After(now) && (p.expires.IsZero() || t.Before(p.expires)) {
				p.expires = t
			}
		}
		if !unpublished(k, now) {
			keys = append(keys, k.Public)
		}
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

// fresh returns a view that is at most FreshFor old.
func (r *Ring) fresh(ctx context.Context) (*view, error) {
	if v := r.current.Load(); r.recent(v, FreshFor) {
		return v, nil
	}
	return r.read(ctx)
}

// freshOr is fresh, but while the store does not answer it returns a view that is at most maxAge
// old.
func (r *Ring) freshOr(ctx context.Context, maxAge time.Duration) (*view, error) {
	v, err := r.fresh(ctx)
	if err != nil && ctx.Err() == nil {
		if old := r.current.Load(); r.recent(old, maxAge) {
			return old, nil
		}
	}
	return v, err
}

// recent reports whether the view is at most maxAge old. It tolerates a clock that was set back by
// less than maxAge.
func (r *Ring) recent(v *view, maxAge time.Duration) bool {
	if v == nil {
		return false
	}
	age := r.now().Sub(v.readAt)
	return age < maxAge && age > -maxAge
}

// read reads the stored set. Callers that wait at the same time share one read and its failure, so
// that a store that hangs costs each of them readTimeout once; each waits no longer than its own
// ctx.
func (r *Ring) read(ctx context.Context) (*view, error) {
	shared := r.reads.DoChan("", func() (any, error) {
		reading, cancel := context.WithTimeout(context.WithoutCancel(ctx), readTimeout)
		defer cancel()
		return r.load(reading)
	})
	select {
	case result := <-shared:
		if result.Err != nil {
			return nil, result.Err
		}
		return result.Val.(*view), nil
	case <-ctx.Done():
		return nil, fmt.Errorf("load the keys: %w", context.Cause(ctx))
	}
}

// load reads the stored set now and makes it the current view.
func (r *Ring) load(ctx context.Context) (*view, error) {
	number, at := r.started.Add(1), r.now()
	set, err := r.store.KeySet(ctx)
	if err != nil {
		return nil, fmt.Errorf("load the keys: %w", err)
	}
	r.install.Lock()
	defer r.install.Unlock()
	old := r.current.Load()
	if old != nil && number < old.read {
		return old, nil // a read that began later has come back sooner
	}
	if old != nil && set.Version < old.set.Version {
		// A store never goes back by itself: this is a restored backup, or another database.
		r.log.WarnContext(ctx, "the stored keys are older than those seen before",
			"version", set.Version, "seen", old.set.Version)
	}
	// Another instance may have changed the master key, or begun to seal by another key.
	if err := r.sealer.adopt(set); err != nil {
		return nil, err
	}
	v := &view{set: set, readAt: at, read: number, byID: make(map[string]*pair, len(set.Keys))}
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
	plain, err := r.sealer.Open(k.Sealed, keyData(k.ID))
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
