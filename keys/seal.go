package keys

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"
)

// MinMasterKey is the least size of a master key, in bytes.
const MinMasterKey = 32

// ErrSealed reports that a value does not open: another master key, another row, or damage. Which
// of them it was cannot be told.
var ErrSealed = errors.New("keys: sealed value does not open: wrong master key, moved to another row, or damaged")

// MasterKeyError reports that the stored keys are sealed under a master key that is not there. It
// is an ErrSealed.
type MasterKeyError struct {
	Want string   // MasterKeyID of the one that they are sealed under; "" if the database does not say
	Have []string // MasterKeyIDs of those that were tried
}

func (e *MasterKeyError) Error() string {
	if e.Want == "" {
		return fmt.Sprintf("keys: the database is not sealed under the master key that is there (%s)", ids(e.Have))
	}
	return fmt.Sprintf("keys: the database is sealed under the master key %s; there is only %s", e.Want, ids(e.Have))
}

// Is reports whether target is ErrSealed.
func (e *MasterKeyError) Is(target error) bool { return target == ErrSealed }

func ids(list []string) string {
	text := ""
	for i, id := range list {
		if i > 0 {
			text += ", "
		}
		text += id
	}
	return text
}

// Versions of a sealed value, its first byte. What follows is AES-256-GCM with a random 96-bit
// nonce in front; in the second version the number of the sealing key stands before that, four
// bytes, big-endian.
const (
	sealFirst    = 1 // by the first sealing key
	sealNumbered = 2
)

// firstKey is the number of the first sealing key.
const firstKey = 1

// Sealer encrypts small values that must be kept but not be readable at rest, and derives the keys
// of keyed hashes. It is safe for concurrent use.
//
// What it does so by is random and stored, sealed under the operator's master key: a root from
// which Derive follows, and a list of sealing keys. Rekey puts another master key in place of the
// old one and adds a fresh sealing key; the root stays, so that no keyed hash and no pairwise
// subject changes.
type Sealer struct {
	root    []byte
	store   Store                    // nil: everything follows from the master key
	masters func() ([][]byte, error) // see SealerConfig
	now     func() time.Time

	change sync.Mutex // guards the replacement of state
	state  atomic.Pointer[sealState]
	reads  singleflight.Group
	readAt atomic.Int64 // when refresh read last, in nanoseconds since 1970; 0: never
}

// sealState is one state of the stored record, ready for use. It never changes.
type sealState struct {
	version int64 // of the KeySet that it was read with
	record  SealRecord
	current int64 // number of the key that Seal uses
	keys    map[int64]cipher.AEAD
}

// SealRecord is what seals everything else, at rest: itself sealed under the master key.
type SealRecord struct {
	Master string    `bson:"master,omitempty" json:"master"`       // MasterKeyID
	Root   []byte    `bson:"root,omitempty" json:"-"`              // "root" is its additional data
	Keys   []SealKey `bson:"keys,omitempty" json:"keys,omitempty"` // the current one last
	// ResealedAt is when a walk began that saw every record sealed by the current key; see
	// ResealDone.
	ResealedAt time.Time `bson:"resealed_at,omitempty" json:"resealed_at,omitzero"`
}

// SealKey is a sealing key at rest. Replaced ones are kept: a value that no walk has reached may be
// sealed by them.
type SealKey struct {
	Number    int64     `bson:"number" json:"number"`
	Sealed    []byte    `bson:"sealed" json:"-"` // "seal key N" is its additional data
	CreatedAt time.Time `bson:"created_at" json:"created_at"`
}

// NewSealer returns a sealer for which everything follows from the master key: at least 32 random
// bytes. Its master key can never be changed; see OpenSealer.
func NewSealer(master []byte) (*Sealer, error) {
	if len(master) < MinMasterKey {
		return nil, fmt.Errorf("keys: the master key has %d bytes; it needs at least %d", len(master), MinMasterKey)
	}
	key, err := newAEAD(derive(master, "seal", 32))
	if err != nil {
		return nil, err
	}
	s := &Sealer{root: slices.Clone(master)}
	s.state.Store(&sealState{current: firstKey, keys: map[int64]cipher.AEAD{firstKey: key}})
	return s, nil
}

// SealerConfig is what OpenSealer needs.
type SealerConfig struct {
	Store Store
	// Masters returns the master keys that are there, the preferred one first. It is called again
	// when another instance has put another master key in place.
	Masters func() ([][]byte, error)
	Now     func() time.Time // nil: time.Now
}

// OpenSealer reads the stored root and sealing keys, or makes them. For a store that was begun by a
// version without them they follow from the master key, so that every value that it has stays good;
// for an empty store they are random. A MasterKeyError is in the error's chain if no master key
// opens what is stored.
func OpenSealer(ctx context.Context, c SealerConfig) (*Sealer, error) {
	if c.Store == nil || c.Masters == nil {
		return nil, errors.New("keys: a sealer needs a store and master keys")
	}
	s := &Sealer{store: c.Store, masters: c.Masters, now: c.Now}
	if s.now == nil {
		s.now = time.Now
	}
	for range swapTries {
		set, err := c.Store.KeySet(ctx)
		if err != nil {
			return nil, fmt.Errorf("load the keys: %w", err)
		}
		if set.Seal.Master != "" {
			return s, s.adopt(set)
		}
		masters, err := c.Masters()
		if err != nil {
			return nil, err
		}
		if set.Seal, err = firstSeal(set, masters, s.now()); err != nil {
			return nil, err
		}
		set.Version++
		swapped, err := c.Store.SwapKeySet(ctx, set)
		if err != nil {
			return nil, fmt.Errorf("store the keys: %w", err)
		}
		if swapped {
			return s, s.adopt(set)
		}
	}
	return nil, errChanging
}

var errChanging = errors.New("keys: the stored keys changed again and again; try later")

// firstSeal makes the record for a store that has none.
func firstSeal(set KeySet, masters [][]byte, now time.Time) (SealRecord, error) {
	if len(masters) == 0 {
		return SealRecord{}, errors.New("keys: there is no master key")
	}
	if set.Version == 0 {
		return newSeal(masters[0], random(32), random(32), now)
	}
	// A store from before: its values are sealed by a key that follows from the master key.
	for _, master := range masters {
		s, err := NewSealer(master)
		if err != nil {
			return SealRecord{}, err
		}
		opens := func(k StoredKey) bool {
			_, err := s.Open(k.Sealed, keyData(k.ID))
			return err == nil
		}
		if len(set.Keys) == 0 || slices.ContainsFunc(set.Keys, opens) {
			return newSeal(master, master, derive(master, "seal", 32), now)
		}
	}
	return SealRecord{}, &MasterKeyError{Have: masterIDs(masters)}
}

func newSeal(master, root, first []byte, now time.Time) (SealRecord, error) {
	w, err := newWrapper(master)
	if err != nil {
		return SealRecord{}, err
	}
	return SealRecord{
		Master: MasterKeyID(master),
		Root:   w.seal(root, "root"),
		Keys:   []SealKey{{Number: firstKey, Sealed: w.seal(first, sealKeyData(firstKey)), CreatedAt: millis(now)}},
	}, nil
}

// adopt takes over the record of a set that was read, if it is newer than the one in use.
func (s *Sealer) adopt(set KeySet) error {
	old := s.state.Load()
	if s.store == nil || set.Seal.Master == "" || old != nil && old.version >= set.Version {
		return nil
	}
	if old != nil && sameSeal(old.record, set.Seal) {
		return nil
	}
	s.change.Lock()
	defer s.change.Unlock()
	if old = s.state.Load(); old != nil && old.version >= set.Version {
		return nil
	}
	masters, err := s.masters()
	if err != nil {
		return err
	}
	i := slices.IndexFunc(masters, func(m []byte) bool { return MasterKeyID(m) == set.Seal.Master })
	if i < 0 {
		return &MasterKeyError{Want: set.Seal.Master, Have: masterIDs(masters)}
	}
	root, opened, err := openSeal(set.Seal, masters[i])
	if err != nil {
		return err
	}
	if old != nil && !slices.Equal(root, s.root) {
		return errors.New("keys: the stored root is another one than before: this is another database")
	}
	state := &sealState{version: set.Version, record: set.Seal, keys: map[int64]cipher.AEAD{}}
	for number, key := range opened {
		if state.keys[number], err = newAEAD(key); err != nil {
			return err
		}
		state.current = max(state.current, number)
	}
	if old == nil {
		s.root = root // once: it never changes, and Derive reads it without a lock
	}
	s.state.Store(state)
	return nil
}

func sameSeal(a, b SealRecord) bool {
	return a.Master == b.Master && slices.Equal(a.Root, b.Root) && len(a.Keys) == len(b.Keys) &&
		a.ResealedAt.Equal(b.ResealedAt)
}

// openSeal opens a record with its master key.
func openSeal(record SealRecord, master []byte) (root []byte, keys map[int64][]byte, err error) {
	w, err := newWrapper(master)
	if err != nil {
		return nil, nil, err
	}
	if root, err = w.open(record.Root, "root"); err != nil {
		return nil, nil, fmt.Errorf("open the root: %w", err)
	}
	keys = map[int64][]byte{}
	for _, k := range record.Keys {
		if keys[k.Number], err = w.open(k.Sealed, sealKeyData(k.Number)); err != nil {
			return nil, nil, fmt.Errorf("open sealing key %d: %w", k.Number, err)
		}
	}
	if len(keys) == 0 || len(root) < MinMasterKey {
		return nil, nil, ErrSealed
	}
	return root, keys, nil
}

// Rekey puts another master key in place of the present one: at least 32 random bytes, also
// returned by Masters on every instance. The root and the sealing keys are sealed under it, a fresh
// sealing key is added, and the private keys of the set are sealed by that; all of it in one
// compare-and-swap, so that the old master key is the right one before, and the new one after. What
// is sealed elsewhere opens as before, and is to be passed to Reseal.
//
// Nothing changes, and changed is false, if the new master key is in place already.
func (s *Sealer) Rekey(ctx context.Context, master []byte) (changed bool, err error) {
	if s.store == nil {
		return false, errors.New("keys: this sealer follows from its master key, which cannot be changed")
	}
	w, err := newWrapper(master)
	if err != nil {
		return false, err
	}
	for range swapTries {
		set, err := s.store.KeySet(ctx)
		if err != nil {
			return false, fmt.Errorf("load the keys: %w", err)
		}
		if set.Seal.Master == MasterKeyID(master) {
			return false, s.adopt(set)
		}
		if set.Seal, set.Keys, err = s.rekeyed(set, w, MasterKeyID(master)); err != nil {
			return false, err
		}
		set.Version++
		swapped, err := s.store.SwapKeySet(ctx, set)
		if err != nil {
			return false, fmt.Errorf("store the keys: %w", err)
		}
		if swapped {
			return true, s.adopt(set)
		}
	}
	return false, errChanging
}

// rekeyed returns the record and the keys of the set, sealed again under w.
func (s *Sealer) rekeyed(set KeySet, w wrapper, id string) (SealRecord, []StoredKey, error) {
	masters, err := s.masters()
	if err != nil {
		return SealRecord{}, nil, err
	}
	i := slices.IndexFunc(masters, func(m []byte) bool { return MasterKeyID(m) == set.Seal.Master })
	if i < 0 {
		return SealRecord{}, nil, &MasterKeyError{Want: set.Seal.Master, Have: masterIDs(masters)}
	}
	root, opened, err := openSeal(set.Seal, masters[i])
	if err != nil {
		return SealRecord{}, nil, err
	}
	record := SealRecord{Master: id, Root: w.seal(root, "root")}
	last := int64(0)
	aeads := map[int64]cipher.AEAD{}
	for _, k := range set.Seal.Keys {
		last = max(last, k.Number)
		if aeads[k.Number], err = newAEAD(opened[k.Number]); err != nil {
			return SealRecord{}, nil, err
		}
		k.Sealed = w.seal(opened[k.Number], sealKeyData(k.Number))
		record.Keys = append(record.Keys, k)
	}
	fresh := random(32)
	last++
	record.Keys = append(record.Keys,
		SealKey{Number: last, Sealed: w.seal(fresh, sealKeyData(last)), CreatedAt: millis(s.now())})
	if aeads[last], err = newAEAD(fresh); err != nil {
		return SealRecord{}, nil, err
	}
	keys := slices.Clone(set.Keys)
	for i, k := range keys {
		plain, err := openWith(aeads, k.Sealed, keyData(k.ID))
		if err != nil {
			return SealRecord{}, nil, fmt.Errorf("open key %s: %w", k.ID, err)
		}
		keys[i].Sealed = sealWith(aeads[last], last, plain, keyData(k.ID))
		clear(plain)
	}
	return record, keys, nil
}

// MasterKeyID returns the MasterKeyID of the master key in place, "" for a sealer made by
// NewSealer.
func (s *Sealer) MasterKeyID() string { return s.state.Load().record.Master }

// ResealDue reports whether there may be values that are sealed by a replaced key: Rekey was
// called, and ResealDone not since.
func (s *Sealer) ResealDue() bool {
	record := s.state.Load().record
	return len(record.Keys) > 1 && !record.ResealedAt.After(record.Keys[len(record.Keys)-1].CreatedAt)
}

// Reseal returns the value sealed by the current key; changed is false if it is so already.
// ErrSealed if it does not open.
func (s *Sealer) Reseal(sealed []byte, aad string) (again []byte, changed bool, err error) {
	number, _, ok := split(sealed)
	if ok && number == s.state.Load().current {
		return sealed, false, nil
	}
	plain, err := s.Open(sealed, aad)
	if err != nil {
		return nil, false, err
	}
	defer clear(plain)
	if ok && number == s.state.Load().current { // another instance's new key, of which Open has just learned
		return sealed, false, nil
	}
	again, err = s.Seal(plain, aad)
	return again, true, err
}

// ResealDone records that a walk over every record, begun at the given time, passed all that is
// sealed to Reseal. A walk that began within two minutes of Rekey does not count: another instance
// may have sealed by the replaced key behind its back.
func (s *Sealer) ResealDone(ctx context.Context, begun time.Time) error {
	for range swapTries {
		set, err := s.store.KeySet(ctx)
		if err != nil {
			return fmt.Errorf("load the keys: %w", err)
		}
		n := len(set.Seal.Keys)
		if n == 0 || begun.Before(set.Seal.Keys[n-1].CreatedAt.Add(2*signFor)) {
			return nil
		}
		set.Seal.ResealedAt = millis(begun)
		set.Version++
		swapped, err := s.store.SwapKeySet(ctx, set)
		if err != nil {
			return fmt.Errorf("store the keys: %w", err)
		}
		if swapped {
			return s.adopt(set)
		}
	}
	return errChanging
}

// Derive returns n bytes (at most 8160) that follow from the root and the label by HKDF-SHA-256
// (RFC 5869). Different labels give unrelated keys, so that one key never serves two purposes. A
// change of the master key does not change them.
func (s *Sealer) Derive(label string, n int) []byte { return derive(s.root, label, n) }

func derive(root []byte, label string, n int) []byte {
	key, err := hkdf.Key(sha256.New, root, nil, "latchkey/"+label, n)
	if err != nil {
		panic("keys: derive " + label + ": " + err.Error()) // only for an impossible length
	}
	return key
}

// Seal encrypts plain. The additional data aad names the row and field that the value belongs to;
// it is not stored, and the value opens only with the same one. A new kind of record with sealed
// values belongs into the walk that passes them to Reseal after Rekey.
func (s *Sealer) Seal(plain []byte, aad string) ([]byte, error) {
	state := s.state.Load()
	return sealWith(state.keys[state.current], state.current, plain, aad), nil
}

// Open decrypts a value made by Seal with the same additional data; ErrSealed if it does not open.
func (s *Sealer) Open(sealed []byte, aad string) ([]byte, error) {
	if number, _, ok := split(sealed); ok && s.store != nil && s.state.Load().keys[number] == nil {
		if err := s.refresh(); err != nil { // another instance has begun to seal by a new key
			return nil, err
		}
	}
	return openWith(s.state.Load().keys, sealed, aad)
}

// refresh reads the stored record, unless it was read within lookAgain: an attacker can make up the
// number of a key. Callers share one read, which is why it is bounded by a time of its own.
func (s *Sealer) refresh() error {
	_, err, _ := s.reads.Do("", func() (any, error) {
		begun := s.now()
		if age := begun.Sub(time.Unix(0, s.readAt.Load())); age < lookAgain && age > -lookAgain {
			return nil, nil
		}
		ctx, cancel := context.WithTimeout(context.Background(), readTimeout)
		defer cancel()
		set, err := s.store.KeySet(ctx)
		if err != nil {
			return nil, fmt.Errorf("load the keys: %w", err)
		}
		s.readAt.Store(begun.UnixNano())
		return nil, s.adopt(set)
	})
	return err
}

// split reads the number of the key that a value is sealed by, and returns the rest.
func split(sealed []byte) (number int64, rest []byte, ok bool) {
	switch {
	case len(sealed) > 0 && sealed[0] == sealFirst:
		return firstKey, sealed[1:], true
	case len(sealed) > 4 && sealed[0] == sealNumbered:
		return int64(binary.BigEndian.Uint32(sealed[1:])), sealed[5:], true
	}
	return 0, nil, false
}

// header is what stands before a value sealed by the key with this number.
func header(number int64) []byte {
	if number == firstKey {
		return []byte{sealFirst}
	}
	return binary.BigEndian.AppendUint32([]byte{sealNumbered}, uint32(number))
}

func sealWith(key cipher.AEAD, number int64, plain []byte, aad string) []byte {
	// The header is under the seal, so that one format cannot be passed off as another.
	return key.Seal(header(number), nil, plain, append(header(number), aad...))
}

func openWith(keys map[int64]cipher.AEAD, sealed []byte, aad string) ([]byte, error) {
	number, rest, ok := split(sealed)
	key := keys[number]
	if !ok || key == nil || number == firstKey && sealed[0] != sealFirst {
		return nil, ErrSealed
	}
	plain, err := key.Open(nil, nil, rest, append(header(number), aad...))
	if err != nil {
		return nil, ErrSealed
	}
	return plain, nil
}

// MasterKeyID returns eight characters by which an operator recognises a master key. They say
// nothing about it.
func MasterKeyID(master []byte) string { return hex.EncodeToString(derive(master, "master key id", 4)) }

func masterIDs(masters [][]byte) []string {
	var out []string
	for _, m := range masters {
		out = append(out, MasterKeyID(m))
	}
	return out
}

// wrapper seals under a master key.
type wrapper struct{ cipher.AEAD }

func newWrapper(master []byte) (wrapper, error) {
	if len(master) < MinMasterKey {
		return wrapper{}, fmt.Errorf("keys: the master key has %d bytes; it needs at least %d", len(master),
			MinMasterKey)
	}
	key, err := newAEAD(derive(master, "wrap", 32))
	return wrapper{key}, err
}

func (w wrapper) seal(plain []byte, aad string) []byte { return w.Seal(nil, nil, plain, []byte(aad)) }

func (w wrapper) open(sealed []byte, aad string) ([]byte, error) {
	plain, err := w.Open(nil, nil, sealed, []byte(aad))
	if err != nil {
		return nil, ErrSealed
	}
	return plain, nil
}

// newAEAD is AES-256-GCM with a random nonce in front of what it seals.
func newAEAD(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("keys: make the sealing cipher: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("keys: make the sealing cipher: %w", err)
	}
	return aead, nil
}

// keyData is the additional data of a private key in the set.
func keyData(kid string) string { return "key:" + kid }

func sealKeyData(number int64) string { return fmt.Sprintf("seal key %d", number) }

// millis cuts a time to what the stores keep.
func millis(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }
