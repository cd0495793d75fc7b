package clients

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"time"

	"latchkey/keys"
	"latchkey/provider/oauth"
)

// Bounds of a secret that somebody brings along, in characters.
const (
	MinSecret     = 16
	minHMACSecret = 32 // RFC 7518 §3.2: as long as the hash of HS256
	maxSecret     = 512
)

// SecretHasher hashes client secrets with a key, so that the stored hashes alone are not enough to
// guess one.
type SecretHasher struct{ key []byte }

// NewSecretHasher makes a hasher for the given key of 32 bytes.
func NewSecretHasher(key []byte) *SecretHasher { return &SecretHasher{key: key} }

// Hash is what is stored of a secret.
func (h *SecretHasher) Hash(secret string) []byte {
	mac := hmac.New(sha256.New, h.key)
	mac.Write([]byte(secret))
	return mac.Sum(nil)
}

// Check reports whether secret is the client's and has not expired at now.
func (h *SecretHasher) Check(c Client, secret string, now time.Time) bool {
	ok := subtle.ConstantTimeCompare(h.Hash(secret), c.SecretHash) == 1
	return ok && len(c.SecretHash) > 0 && (c.SecretExpiresAt.IsZero() || now.Before(c.SecretExpiresAt))
}

// NewSecret makes a client secret: 64 letters and digits, 320 random bits. It needs no encoding in
// a form or URL, so that it also works for applications that forget to (RFC 6749 §2.3.1), and it is
// long enough for every HMAC algorithm (RFC 7518 §3.2).
func NewSecret() string { return (rand.Text() + rand.Text() + rand.Text())[:64] }

// UsesSecret reports whether the client authenticates by a secret.
func (c Client) UsesSecret() bool {
	switch c.TokenEndpointAuthMethod {
	case oauth.AuthClientSecretBasic, oauth.AuthClientSecretPost, oauth.AuthClientSecretJWT:
		return true
	}
	return false
}

// SealedSecretData is the additional data under which SealedSecret of the client is sealed.
func SealedSecretData(id string) string { return "client-secret:" + id }

// SetSecret gives the client a secret. It is kept as a hash, and for client_secret_jwt, which needs
// the value, sealed as well. A secret that is too short or has characters outside printable ASCII
// is refused (RFC 6749 Appendix A.2).
func (c *Client) SetSecret(secret string, hasher *SecretHasher, sealer *keys.Sealer) error {
	if !c.UsesSecret() {
		return invalid("a client with token_endpoint_auth_method %s has no secret", c.TokenEndpointAuthMethod)
	}
	least := MinSecret
	if c.TokenEndpointAuthMethod == oauth.AuthClientSecretJWT {
		least = minHMACSecret
	}
	if len(secret) < least || len(secret) > maxSecret {
		return invalid("a client secret must have %d to %d characters", least, maxSecret)
	}
	for i := 0; i < len(secret); i++ {
		if secret[i] < 0x20 || secret[i] > 0x7e {
			return invalid("a client secret may only have printable ASCII characters (RFC 6749 appendix A.2)")
		}
	}
	c.SecretHash, c.SealedSecret, c.SecretExpiresAt = hasher.Hash(secret), nil, time.Time{}
	if c.TokenEndpointAuthMethod == oauth.AuthClientSecretJWT {
		sealed, err := sealer.Seal([]byte(secret), SealedSecretData(c.ID))
		if err != nil {
			return fmt.Errorf("seal secret of client %q: %w", c.ID, err)
		}
		c.SealedSecret = sealed
	}
	return nil
}
