package storage

import (
	"crypto/rand"
	"encoding/base64"
)

// Random returns a new unguessable value of 256 bits in 43 URL-safe characters.
func Random() string {
	var b [32]byte
	rand.Read(b[:]) // never fails: crypto/rand ends the program first
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// ShortID returns a new unguessable value of 132 bits in 22 URL-safe characters, for identifiers.
func ShortID() string { return Random()[:22] }

// NewSecret returns a new secret and what is stored of it.
func NewSecret() (value, hash string) {
	value = Random()
	return value, Hash(value)
}
