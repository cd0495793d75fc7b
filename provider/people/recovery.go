package people

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"strings"
)

// Recovery codes are 24 letters and digits of base32, 120 random bits: too many to guess even for
// whoever has the hashes.
const (
	recoveryCodes  = 10 // that a person gets at once
	recoveryLength = 24
	recoveryGroup  = 6 // characters between hyphens
)

// newRecoveryCodes returns fresh codes as they are shown, and their hashes for a user.
func (f *Factors) newRecoveryCodes(userID string) (codes, hashes []string) {
	for range recoveryCodes {
		plain := strings.ToLower(rand.Text()[:recoveryLength])
		hashes = append(hashes, f.recoveryHash(userID, plain))
		var groups []string
		for at := 0; at < recoveryLength; at += recoveryGroup {
			groups = append(groups, plain[at:at+recoveryGroup])
		}
		codes = append(codes, strings.Join(groups, "-"))
	}
	return codes, hashes
}

func (f *Factors) recoveryHash(userID, code string) string {
	mac := hmac.New(sha256.New, f.Key)
	mac.Write([]byte("recovery code\x00" + userID + "\x00" + code))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// recoveryCode reads a code as a person types it: in any case, with blanks and hyphens anywhere,
// and with the digits that look like letters of the alphabet and are not in it. ok is false for
// what no code can be.
func recoveryCode(typed string) (code string, ok bool) {
	code = strings.NewReplacer("0", "o", "1", "l", "8", "b").Replace(strings.ToLower(ungrouped(typed)))
	return code, len(code) == recoveryLength && strings.Trim(code, "abcdefghijklmnopqrstuvwxyz234567") == ""
}

// maxTyped is more than any code takes, however generously it is spaced.
const maxTyped = 200

// ungrouped is a code without the blanks and hyphens that people put in or copy along; "" if it is
// far too long.
func ungrouped(typed string) string {
	if len(typed) > maxTyped {
		return ""
	}
	return strings.NewReplacer(" ", "", "-", "", "\t", "", "\r", "", "\n", "", "\u00a0", "").Replace(typed)
}
