package grants

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"strconv"
	"strings"

	"latchkey/provider/storage"
)

// Each kind of credential begins differently, so that none is ever taken for another, and so that
// one which has leaked into a repository or a log can be recognised.
const (
	CodePrefix    = "lkc_" // authorization codes
	RefreshPrefix = "lkr_" // refresh tokens
	OpaquePrefix  = "lka_" // opaque access tokens
)

// maxCredential bounds, in characters, what can be a code or refresh token at all.
const maxCredential = 256

// NewCode makes an authorization code of the grant, in URL-safe characters, and what is stored of
// it. The grant's identifier, which is no secret, stands in front, so that a code is found by it
// even when it was used long ago.
func NewCode(grantID string) (code, hash string) {
	code = CodePrefix + grantID + "." + storage.Random()
	return code, storage.Hash(code)
}

// ParseCode finds the grant of a code. The hash is over the code exactly as it was sent: whatever
// was cut, added or changed has another.
func ParseCode(code string) (grantID, hash string, ok bool) {
	rest, ok := strings.CutPrefix(code, CodePrefix)
	if !ok || len(code) > maxCredential {
		return "", "", false
	}
	grantID, secret, ok := strings.Cut(rest, ".")
	if !ok || grantID == "" || secret == "" {
		return "", "", false
	}
	return grantID, storage.Hash(code), true
}

// RefreshToken is the refresh token of a grant's generation. It follows from both by a key, so that
// nothing of it has to be stored and the same one can be given again.
func (gs *Grants) RefreshToken(grantID string, generation int64) string {
	body := RefreshPrefix + grantID + "." + strconv.FormatInt(generation, 10)
	mac := hmac.New(sha256.New, gs.tokenKey)
	mac.Write([]byte(body))
	return body + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// ParseRefreshToken says which grant and generation a refresh token of ours is of. Only the exact
// text that RefreshToken makes is one.
func (gs *Grants) ParseRefreshToken(token string) (grantID string, generation int64, ok bool) {
	rest, ok := strings.CutPrefix(token, RefreshPrefix)
	if !ok || len(token) > maxCredential {
		return "", 0, false
	}
	parts := strings.Split(rest, ".")
	if len(parts) != 3 || parts[0] == "" {
		return "", 0, false
	}
	generation, err := strconv.ParseInt(parts[1], 10, 64)
	if err != nil || generation < 1 {
		return "", 0, false
	}
	if subtle.ConstantTimeCompare([]byte(token), []byte(gs.RefreshToken(parts[0], generation))) != 1 {
		return "", 0, false
	}
	return parts[0], generation, true
}
