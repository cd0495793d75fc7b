package keys

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
)

// MinMasterKey is the least size of a master key, in bytes.
const MinMasterKey = 32

// ErrSealed is what Open answers for a value that does not open: another master key, another row,
// or damage. Which of them it was cannot be told.
var ErrSealed = errors.New("keys: sealed value does not open: wrong master key, moved to another row, or damaged")

// sealVersion is the first byte of a sealed value: AES-256-GCM with a random 96-bit nonce in front.
const sealVersion = 1

// Sealer encrypts small values that must be kept but not be readable at rest, and derives the other
// keys that follow from the operator's master key. It is safe for concurrent use.
type Sealer struct {
	master []byte
	aead   cipher.AEAD
}

// NewSealer takes the master key: at least 32 random bytes.
func NewSealer(master []byte) (*Sealer, error) {
	if len(master) < MinMasterKey {
		return nil, fmt.Errorf("keys: the master key has %d bytes; it needs at least %d", len(master), MinMasterKey)
	}
	s := &Sealer{master: slices.Clone(master)}
	block, err := aes.NewCipher(s.Derive("seal", 32))
	if err != nil {
		return nil, fmt.Errorf("keys: make the sealing cipher: %w", err)
	}
	if s.aead, err = cipher.NewGCMWithRandomNonce(block); err != nil {
		return nil, fmt.Errorf("keys: make the sealing cipher: %w", err)
	}
	return s, nil
}

// Derive returns n bytes (at most 8160) that follow from the master key and the label by
// HKDF-SHA-256 (RFC 5869). Different labels give unrelated keys, so that one key never serves two
// purposes.
func (s *Sealer) Derive(label string, n int) []byte {
	key, err := hkdf.Key(sha256.New, s.master, nil, "latchkey/"+label, n)
	if err != nil {
		panic("keys: derive " + label + ": " + err.Error()) // only for an impossible length
	}
	return key
}

// Seal encrypts plain. The additional data aad names the row and field the value belongs to; it is
// not stored, and the value opens only with the same one.
func (s *Sealer) Seal(plain []byte, aad string) ([]byte, error) {
	return s.aead.Seal([]byte{sealVersion}, nil, plain, sealData(aad)), nil
}

// Open decrypts a value made by Seal with the same additional data; ErrSealed if it does not open.
func (s *Sealer) Open(sealed []byte, aad string) ([]byte, error) {
	if len(sealed) == 0 || sealed[0] != sealVersion {
		return nil, ErrSealed
	}
	plain, err := s.aead.Open(nil, nil, sealed[1:], sealData(aad))
	if err != nil {
		return nil, ErrSealed
	}
	return plain, nil
}

// sealData puts the version under the seal, so that a later format cannot be passed off as this
// one.
func sealData(aad string) []byte { return append([]byte{sealVersion}, aad...) }
