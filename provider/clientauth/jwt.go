package clientauth

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// JWTClaims are the claims of somebody else's JWT. They are a map, because encoding/json would
// match the members of a struct whatever their case.
type JWTClaims map[string]json.RawMessage

func ReadClaims(payload []byte) (JWTClaims, error) {
	var c JWTClaims
	if err := json.Unmarshal(payload, &c); err != nil || c == nil {
		return nil, errors.New("the JWT payload is not a JSON object")
	}
	return c, nil
}

// Has reports whether there is such a claim, whatever it is.
func (c JWTClaims) Has(name string) bool { _, ok := c[name]; return ok }

// Text is a claim that is a string; "" otherwise.
func (c JWTClaims) Text(name string) string {
	var s string
	if json.Unmarshal(c[name], &s) != nil {
		return ""
	}
	return s
}

// At is a claim that is a time (RFC 7519 §2 NumericDate): seconds, maybe with a fraction. Numbers
// that are no time of ours are errors.
func (c JWTClaims) At(name string) (t time.Time, has bool, err error) {
	raw, has := c[name]
	if !has {
		return t, false, nil
	}
	seconds, err := strconv.ParseFloat(string(raw), 64)
	if err != nil || seconds < 0 || seconds > 1<<40 {
		return t, true, fmt.Errorf("%s must be a number of seconds since 1970", name)
	}
	return time.UnixMilli(int64(seconds * 1000)), true, nil
}

// ClockSkew is how far a foreign clock may be ahead of ours before its JWTs are refused. Our own
// tokens get no such grace.
const ClockSkew = 60 * time.Second
