package keys

import (
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

// Uses of a key (RFC 7517 §4.2).
const (
	UseSignature  = "sig"
	UseEncryption = "enc"
)

// SigningAlgorithms are those the provider signs with (RFC 7518 §3.1, RFC 8037 §3.1). RS256 always
// has a key, the others when a client first needs one.
var SigningAlgorithms = []string{"RS256", "ES256", "PS256", "EdDSA"}

// AcceptedSigningAlgorithms are those that others may sign with by a key pair: client assertions
// and request objects.
var AcceptedSigningAlgorithms = []string{"RS256", "RS384", "RS512",
	"PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}

// ProofAlgorithms are those that a DPoP proof may be signed by (RFC 9449 §4.2). The key of a proof
// is made for it, so none is needed for the sake of keys that are there already.
var ProofAlgorithms = []string{"ES256", "PS256", "EdDSA"}

// HMACAlgorithms are only for client_secret_jwt (OIDC Core §9), where both sides have the secret.
// Verify never accepts one, so that a public key cannot be taken for a secret (RFC 8725 §2.1).
var HMACAlgorithms = []string{"HS256", "HS384", "HS512"}

// EncryptionAlgorithms are the ways a content key is made or wrapped (RFC 7518 §4.1). RSA1_5 is
// open to padding oracles, dir and the PBES2 family need a shared secret that was never made for it
// (RFC 8725 §3.2); they are not here.
var EncryptionAlgorithms = []string{"RSA-OAEP", "RSA-OAEP-256", "ECDH-ES", "ECDH-ES+A128KW", "ECDH-ES+A256KW"}

// ContentEncryptionAlgorithms are those for the content itself (RFC 7518 §5.1).
var ContentEncryptionAlgorithms = []string{"A128GCM", "A256GCM", "A128CBC-HS256", "A256CBC-HS512"}

// DefaultContentEncryption is meant where a client names no enc (OIDC Registration §2).
const DefaultContentEncryption = "A128CBC-HS256"

// keyAlgorithm is the algorithm under which a key for alg is stored: one key serves a whole family
// of key management.
func keyAlgorithm(use, alg string) (string, bool) {
	switch {
	case use == UseSignature && slices.Contains(SigningAlgorithms, alg):
		return alg, true
	case use == UseEncryption && slices.Contains(EncryptionAlgorithms, alg):
		if strings.HasPrefix(alg, "RSA") {
			return "RSA-OAEP-256", true
		}
		return "ECDH-ES", true
	}
	return "", false
}

var (
	joseKeyAlgorithms     = convert[jose.KeyAlgorithm](EncryptionAlgorithms)
	joseContentEncryption = convert[jose.ContentEncryption](ContentEncryptionAlgorithms)
)

func convert[T ~string](in []string) []T {
	out := make([]T, len(in))
	for i, s := range in {
		out[i] = T(s)
	}
	return out
}
