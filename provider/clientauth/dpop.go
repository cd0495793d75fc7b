package clientauth

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"latchkey/keys"
	"latchkey/provider/oauth"
	"latchkey/provider/storage"
)

const (
	maxProof = 8 << 10 // bytes
	// proofAge is how old a proof may be that has no nonce. It may also be ClockSkew ahead.
	proofAge = 2 * time.Minute
	// A nonce is good for nonceSteps of nonceStep.
	nonceStep  = time.Minute
	nonceSteps = 5
	// kindProof is the kind under which used proofs are remembered.
	kindProof = "dpop-proof"
)

// Where a nonce is good: those of the authorization server are not taken at a resource, nor the
// other way round (RFC 9449 §8.2).
const (
	NonceServer   = "server"
	NonceResource = "resource"
)

// Proof is a DPoP proof that was checked (RFC 9449 §4.3) and not used yet. The zero value is none.
type Proof struct {
	// JKT is the thumbprint of its key (RFC 7638 §3).
	JKT     string
	id      string // of jti and key
	expires time.Time
}

// ReadProof checks the DPoP proof of a request to an address of ours, for the endpoint at path.
// place is NonceServer or NonceResource, accessToken the one that is presented with it, "" for
// none. Without a proof the result is zero. What is wrong with it is an *oauth.Error, with the code
// invalid_dpop_proof or use_dpop_nonce. Where nonces are required, the answer gets one.
func (a *Authenticator) ReadProof(w http.ResponseWriter, r *http.Request, path, place,
	accessToken string) (proof Proof, err error) {
	headers := r.Header.Values("DPoP")
	if len(headers) == 0 {
		return Proof{}, nil
	}
	bad := func(why string, cause error) (Proof, error) {
		return Proof{}, oauth.Errorf(oauth.InvalidDPoPProof, "%s", why).Because(cause)
	}
	now := a.Web.Now()
	if a.DPoPNonces {
		w.Header().Set("DPoP-Nonce", a.nonce(place, now))
	}
	if len(headers) > 1 {
		return bad("more than one DPoP header", nil)
	}
	if len(headers[0]) > maxProof {
		return bad(fmt.Sprintf("the DPoP proof is larger than %d bytes", maxProof), nil)
	}
	payload, header, jkt, err := keys.VerifyProof(headers[0])
	if err != nil {
		return bad("the DPoP proof is not a JWT signed by the key in its own header, with "+
			strings.Join(keys.ProofAlgorithms, ", "), err)
	}
	if !strings.EqualFold(header.Type, "dpop+jwt") {
		return bad("typ of the DPoP proof must be dpop+jwt", nil)
	}
	claims, err := ReadClaims(payload)
	if err != nil {
		return bad("the DPoP proof is not a JSON object", err)
	}
	switch jti := claims.Text("jti"); {
	case jti == "" || len(jti) > maxJTI:
		return bad(fmt.Sprintf("jti of the DPoP proof must be a text of 1 to %d characters", maxJTI), nil)
	case claims.Text("htm") != r.Method:
		return bad("htm of the DPoP proof must be the method of the request, "+r.Method, nil)
	case !sameAddress(claims.Text("htu"), a.Web.URL(path)):
		return bad("htu of the DPoP proof must be the address of the request, "+a.Web.URL(path), nil)
	default:
		proof = Proof{JKT: jkt, id: storage.Hash(jkt + "\x00" + jti)}
	}
	if accessToken != "" {
		sum := sha256.Sum256([]byte(accessToken))
		if subtle.ConstantTimeCompare([]byte(base64.RawURLEncoding.EncodeToString(sum[:])),
			[]byte(claims.Text("ath"))) != 1 {
			return bad("ath of the DPoP proof must be the base64url SHA-256 of the access token", nil)
		}
	}
	if proof.expires, err = a.proofTime(claims, place, now); err != nil {
		return Proof{}, err
	}
	return proof, nil
}

// proofTime checks when a proof was made, and returns until when it must be remembered.
func (a *Authenticator) proofTime(claims JWTClaims, place string, now time.Time) (time.Time, error) {
	bad := func(format string, args ...any) (time.Time, error) {
		return time.Time{}, oauth.Errorf(oauth.InvalidDPoPProof, format, args...)
	}
	issued, has, err := claims.At("iat")
	if err != nil || !has {
		return bad("iat of the DPoP proof must be a number of seconds since 1970")
	}
	expires, limited, err := claims.At("exp")
	if err != nil || limited && now.Sub(expires) >= ClockSkew {
		return bad("exp of the DPoP proof is not a time, or has passed")
	}
	if begins, has, err := claims.At("nbf"); err != nil || has && begins.Sub(now) > ClockSkew {
		return bad("nbf of the DPoP proof is not a time, or lies in the future")
	}
	if a.DPoPNonces {
		// The nonce says when it was made, whatever the client's clock does (RFC 9449 §8).
		if !a.knowsNonce(claims.Text("nonce"), place, now) {
			return time.Time{}, oauth.Errorf(oauth.UseDPoPNonce,
				"nonce of the DPoP proof must be the newest one of the DPoP-Nonce header")
		}
		return now.Add((nonceSteps + 1) * nonceStep), nil
	}
	if issued.Sub(now) > ClockSkew || now.Sub(issued) > proofAge {
		return bad("iat of the DPoP proof must not be more than %d seconds ago, nor %d ahead",
			int(proofAge/time.Second), int(ClockSkew/time.Second))
	}
	return issued.Add(proofAge + ClockSkew), nil
}

// UseProof uses up a proof: it is good once, at all instances together (RFC 9449 §11.1). No proof
// is used up as often as one likes. The error is an *oauth.Error when it was used before.
func (a *Authenticator) UseProof(ctx context.Context, proof Proof) error {
	if proof.JKT == "" {
		return nil
	}
	err := a.Store.Spend(ctx, kindProof, proof.id, a.Web.Now(), proof.expires)
	if errors.Is(err, storage.ErrConsumed) {
		a.Web.Metrics.Proof("replayed")
		return oauth.Errorf(oauth.InvalidDPoPProof, "the DPoP proof was used before; make one for each request")
	}
	if err != nil {
		return fmt.Errorf("remember DPoP proof: %w", err)
	}
	a.Web.Metrics.Proof("accepted")
	return nil
}

// nonce is the nonce of a place for this minute (RFC 9449 §8).
func (a *Authenticator) nonce(place string, now time.Time) string {
	var text [8 + 16]byte
	binary.BigEndian.PutUint64(text[:8], uint64(now.Unix()/int64(nonceStep/time.Second)))
	mac := hmac.New(sha256.New, a.nonceKey)
	mac.Write(text[:8])
	mac.Write([]byte(place))
	copy(text[8:], mac.Sum(nil))
	return base64.RawURLEncoding.EncodeToString(text[:])
}

// knowsNonce reports whether a nonce is one of the last few. The clock of another instance may be a
// little ahead.
func (a *Authenticator) knowsNonce(nonce, place string, now time.Time) bool {
	for step := -1; step < nonceSteps; step++ {
		known := a.nonce(place, now.Add(-time.Duration(step)*nonceStep))
		if subtle.ConstantTimeCompare([]byte(nonce), []byte(known)) == 1 {
			return true
		}
	}
	return false
}

// sameAddress reports whether htu names the address: without query and fragment, in any spelling of
// scheme, host and default port (RFC 9449 §4.3, RFC 3986 §6.2.2, §6.2.3).
func sameAddress(htu, address string) bool {
	have, err := url.Parse(htu)
	if err != nil || have.User != nil || have.Opaque != "" {
		return false
	}
	want, err := url.Parse(address)
	if err != nil {
		return false
	}
	return strings.EqualFold(have.Scheme, want.Scheme) && hostAndPort(have) == hostAndPort(want) &&
		pathOf(have) == pathOf(want)
}

func hostAndPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"https": "443", "http": "80"}[strings.ToLower(u.Scheme)]
	}
	return strings.ToLower(u.Hostname()) + ":" + port
}

func pathOf(u *url.URL) string {
	if u.EscapedPath() == "" {
		return "/"
	}
	return u.EscapedPath()
}
