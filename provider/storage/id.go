package storage

import (
	"crypto/rand"
	"encoding/binary"
	"time"
)

// idAlphabet is the 64 characters of base64url in the order of their bytes, so that IDs sort as
// what they encode.
const idAlphabet = "-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz"

// NewID returns an identifier of 22 characters that begins with the time now: 8 bytes of
// nanoseconds since 1970, and 8 random bytes. IDs sort by their time, so that records which are
// made together lie together in the database, and expire together. Whoever has one can read its
// time from it, and it is too short for a secret: it must be neither a sub nor a credential.
func NewID(now time.Time) string {
	var raw [18]byte // 16 in use; the rest pads to a multiple of three
	binary.BigEndian.PutUint64(raw[:], uint64(now.UnixNano()))
	rand.Read(raw[8:16])
	id := make([]byte, 0, 24)
	for i := 0; i < len(raw); i += 3 {
		group := uint32(raw[i])<<16 | uint32(raw[i+1])<<8 | uint32(raw[i+2])
		id = append(id, idAlphabet[group>>18], idAlphabet[group>>12&63], idAlphabet[group>>6&63], idAlphabet[group&63])
	}
	return string(id[:22])
}
