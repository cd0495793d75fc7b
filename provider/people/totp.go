package people

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1" //nolint:gosec // RFC 6238 §1.2: the one hash that every authenticator application knows; HMAC does not rest on collisions
	"crypto/subtle"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// What authenticator applications take for granted, so that it need not be said.
const (
	totpPeriod = 30 // seconds
	totpDigits = 6
	totpDrift  = 1  // steps by which a clock may be off, either way (RFC 6238 §5.2)
	totpSecret = 20 // bytes, as long as the hash (RFC 4226 §4 R6)
)

// totpStep is the time step of RFC 6238 §4.2 at a time.
func totpStep(at time.Time) int64 { return at.Unix() / totpPeriod }

// totpCode is the code of a time step (RFC 4226 §5.3, RFC 6238 §4).
func totpCode(secret []byte, step int64) string {
	mac := hmac.New(sha1.New, secret)
	var counter [8]byte
	binary.BigEndian.PutUint64(counter[:], uint64(step)) //nolint:gosec // time steps are positive
	mac.Write(counter[:])
	sum := mac.Sum(nil)
	at := sum[len(sum)-1] & 0xf
	return fmt.Sprintf("%0*d", totpDigits, (binary.BigEndian.Uint32(sum[at:])&0x7fffffff)%1_000_000)
}

// matchTOTP returns the time step of a code: the earliest one after last that is within the drift
// of now. ok is false if there is none; used tells that the code is of a step that was accepted
// before.
func matchTOTP(secret []byte, code string, last int64, now time.Time) (step int64, ok, used bool) {
	at := totpStep(now)
	for s := at - totpDrift; s <= at+totpDrift; s++ {
		right := subtle.ConstantTimeCompare([]byte(totpCode(secret, s)), []byte(code)) == 1
		switch {
		case right && s <= last:
			used = true
		case right && !ok:
			step, ok = s, true
		}
	}
	return step, ok, used && !ok
}

// oneTimeCode reads a code as a person types it: six ASCII digits, with blanks or a hyphen between.
// ok is false for anything else.
func oneTimeCode(typed string) (code string, ok bool) {
	code = ungrouped(typed)
	return code, len(code) == totpDigits && strings.Trim(code, "0123456789") == ""
}

var unpaddedBase32 = base32.StdEncoding.WithPadding(base32.NoPadding)

func newTOTPSecret() []byte {
	secret := make([]byte, totpSecret)
	_, _ = rand.Read(secret) // never fails
	return secret
}

// totpURI is what authenticator applications read from a QR code. Defaults are left out, which
// keeps the picture coarse.
func totpURI(provider, username string, secret []byte) string {
	// Many applications show a plus sign where a query has it for a blank.
	escape := func(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }
	return "otpauth://totp/" + escape(provider) + ":" + escape(username) +
		"?secret=" + unpaddedBase32.EncodeToString(secret) + "&issuer=" + escape(provider)
}
