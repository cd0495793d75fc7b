package people

import (
	"slices"

	"latchkey/provider/storage"
)

// The acr values: what a session has proved (OIDC Core §2).
const (
	// ACRPassword is a sign-in by password alone.
	ACRPassword = "urn:latchkey:acr:password"
	// ACRMultiFactor is a password and a second factor: a one-time code, or a recovery code in its
	// place.
	ACRMultiFactor = "urn:latchkey:acr:mfa"
)

// The amr values (RFC 8176 §2). A recovery code has none of its own there: of it only
// AMRMultiFactor tells.
const (
	AMRPassword    = "pwd"
	AMROneTime     = "otp"
	AMRMultiFactor = "mfa"
)

// ACRValues lists the acr values that can be reached, the weakest first.
func ACRValues() []string { return []string{ACRPassword, ACRMultiFactor} }

// Reaches reports whether a session with the acr value have is at least as strong as want. A value
// that is not of ours is reached by nothing.
func Reaches(have, want string) bool {
	all := ACRValues()
	h, w := slices.Index(all, have), slices.Index(all, want)
	return w >= 0 && h >= w
}

// Proved reports whether a session with the acr value is enough for this user: whoever has a second
// factor has to use it.
func Proved(acr string, user storage.User) bool {
	return !user.Factors.Second() || Reaches(acr, ACRMultiFactor)
}
