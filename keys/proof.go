package keys

import (
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/go-jose/go-jose/v4"
)

// maxProofRSA bounds the modulus of a key that comes along with its signature, in bits: anybody may
// make one.
const maxProofRSA = 4096

// VerifyProof checks a JWS in compact form by the public key in its own header, as a DPoP proof has
// it (RFC 9449 §4.2), and returns the payload, a JSON object without doubled members, and the
// thumbprint of the key (RFC 7638 §3). It proves that the sender has that key, and nothing else:
// whose key it is must be known otherwise. alg must be one of ProofAlgorithms.
func VerifyProof(jws string) (payload []byte, header Header, jkt string, err error) {
	header, _, err = parseJWS(jws, ProofAlgorithms)
	if err != nil {
		return nil, Header{}, "", err
	}
	parts, err := splitCompact(jws)
	if err != nil {
		return nil, Header{}, "", err
	}
	raw, err := decodePart(parts[0])
	if err != nil {
		return nil, Header{}, "", err
	}
	var members map[string]json.RawMessage // parseHeader has looked at it
	if err := json.Unmarshal(raw, &members); err != nil {
		return nil, Header{}, "", err
	}
	if len(members["jwk"]) == 0 {
		return nil, Header{}, "", errors.New("the JWT header has no jwk")
	}
	key, err := parsePublic(members["jwk"])
	if err != nil {
		return nil, Header{}, "", fmt.Errorf("jwk in the JWT header: %w", err)
	}
	if pub, ok := key.key.(*rsa.PublicKey); ok && pub.N.BitLen() > maxProofRSA {
		return nil, Header{}, "", fmt.Errorf("jwk in the JWT header has more than %d bits", maxProofRSA)
	}
	if !key.fits(UseSignature, "verify", header.Algorithm) {
		return nil, Header{}, "", errors.New("jwk in the JWT header is not a key for its alg")
	}
	parsed, err := jose.ParseSignedCompact(jws, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(header.Algorithm)})
	if err != nil {
		return nil, Header{}, "", fmt.Errorf("not a JWS in compact form: %w", err)
	}
	if payload, err = parsed.Verify(key.key); err != nil {
		return nil, Header{}, "", ErrSignature
	}
	if jkt, err = thumbprint(key.key); err != nil {
		return nil, Header{}, "", err
	}
	return payload, header, jkt, checkClaims(payload)
}
