package clients

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"time"
)

// SecretHasher hashes client secrets with a key, so that the stored hashes alone are not enough to guess one.
type SecretHasher struct{ key []byte }

// NewSecretHasher makes a hasher for the given key of 32 bytes.
func NewSecretHasher(key []byte) *SecretHasher { return &SecretHasher{key: key} }

// Hash is what is stored of a secret.
func (h *SecretHasher) Hash(secret string) []byte {
	mac := hmac.New(sha256.New, h.key)
	mac.Write([]byte(secret))
	return mac.Sum(nil)
}

// Check says whether secret is the client's and has not expired at now.
func (h *SecretHasher) Check(c Client, secret string, now time.Time) bool {
	ok := subtle.ConstantTimeCompare(h.Hash(secret), c.SecretHash) == 1
	return ok && len(c.SecretHash) > 0 && (c.SecretExpiresAt.IsZero() || now.Before(c.SecretExpiresAt))
}
