package oauth

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
)

// ChallengeS256 is the only code_challenge_method (RFC 7636 §4.2; RFC 9700 §2.1.1 advises against
// plain).
const ChallengeS256 = "S256"

// CheckChallenge validates code_challenge and code_challenge_method as they arrive in an
// authorization request. An absent method means plain (RFC 7636 §4.3), which is refused.
func CheckChallenge(challenge, method string) error {
	if challenge == "" && method == "" {
		return nil
	}
	if method != ChallengeS256 {
		return Errorf(InvalidRequest, "code_challenge_method must be S256 (RFC 7636 section 4.3)")
	}
	if raw, err := base64.RawURLEncoding.Strict().DecodeString(challenge); err != nil || len(raw) != sha256.Size {
		return Errorf(InvalidRequest, "code_challenge must be the base64url of a SHA-256, 43 characters without padding")
	}
	return nil
}

// VerifyPKCE checks code_verifier against the challenge of the authorization request.
// A verifier without a challenge is refused like a challenge without a verifier: the
// request was tampered with on one of the two ways (RFC 9700 §4.8.2).
func VerifyPKCE(challenge, verifier string) error {
	switch {
	case challenge == "" && verifier == "":
		return nil
	case challenge == "":
		return Errorf(InvalidGrant, "code_verifier was sent, but the authorization request had no code_challenge")
	case verifier == "":
		return Errorf(InvalidGrant, "code_verifier is missing; the authorization request had a code_challenge")
	case len(verifier) < 43 || len(verifier) > 128:
		return Errorf(InvalidGrant, "code_verifier must have 43 to 128 characters (RFC 7636 section 4.1)")
	}
	for i := 0; i < len(verifier); i++ {
		c := verifier[i]
		if !(c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '.' || c == '_' ||
			c == '~') {
			return Errorf(InvalidGrant, "code_verifier has a character outside A-Z a-z 0-9 - . _ ~ (RFC 7636 section 4.1)")
		}
	}
	sum := sha256.Sum256([]byte(verifier))
	if subtle.ConstantTimeCompare([]byte(base64.RawURLEncoding.EncodeToString(sum[:])), []byte(challenge)) != 1 {
		return Errorf(InvalidGrant, "code_verifier does not match the code_challenge of the authorization request")
	}
	return nil
}
