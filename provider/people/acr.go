package people

import (
	"slices"

	"latchkey/provider/storage"
)

// The acr values: what a session has proved (OIDC Core §2). The last two are those of OpenID
// Connect Extended Authentication Profile ACR Values 1.0 §3.
const (
	// ACRPassword is a sign-in by password alone.
	ACRPassword = "urn:latchkey:acr:password"
	// ACRMultiFactor is a password and a second factor: a one-time code, or a recovery code in its
	// place.
	ACRMultiFactor = "urn:latchkey:acr:mfa"
	// ACRPhishingResistant is a passkey whose user was verified by the authenticator, alone or
	// after a password: it answers no other site than ours.
	ACRPhishingResistant = "phr"
	// ACRHardwareProtected is ACRPhishingResistant with a passkey that does not leave its
	// authenticator. We ask for no attestation, so that this is the authenticator's own word.
	ACRHardwareProtected = "phrh"
)

// The amr values (RFC 8176 §2). A recovery code has none of its own there: of it only
// AMRMultiFactor tells.
const (
	AMRPassword    = "pwd"
	AMROneTime     = "otp"
	AMRMultiFactor = "mfa"
	AMRHardwareKey = "hwk"  // a key that does not leave its authenticator
	AMRSoftwareKey = "swk"  // a key that is copied to the user's other devices
	AMRPossession  = "pop"  // a key was used: there is a signature
	AMRPresence    = "user" // the authenticator saw that somebody is there
)

// ACRValues lists the acr values that can be reached, the weakest first.
func ACRValues() []string {
	return []string{ACRPassword, ACRMultiFactor, ACRPhishingResistant, ACRHardwareProtected}
}

// Reaches reports whether a session with the acr value have is at least as strong as want. A value
// that is not of ours is reached by nothing.
func Reaches(have, want string) bool {
	all := ACRValues()
	h, w := slices.Index(all, have), slices.Index(all, want)
	return w >= 0 && h >= w
}

// Proved reports whether a session with the acr value is enough for this user, as far as what they
// have set up goes: whoever has a second factor has to use it. See FactorPolicy for who needs one.
func Proved(acr string, user storage.User) bool {
	return !user.Factors.Required() || Reaches(acr, ACRMultiFactor)
}

// CanReach reports whether the user has what it takes to reach the acr value beside a password.
func CanReach(user storage.User, acr string) bool {
	switch acr {
	case ACRPassword:
		return true
	case ACRMultiFactor:
		return user.Factors.Second()
	case ACRPhishingResistant:
		return len(user.Factors.Passkeys) > 0
	case ACRHardwareProtected:
		return slices.ContainsFunc(user.Factors.Passkeys, func(p storage.Passkey) bool { return !p.Synced })
	}
	return false
}

// Proof is what somebody has just proved who they are by.
type Proof struct {
	ACR string
	AMR []string
	// PasskeyID is the storage.Passkey.ID of the passkey that was used, "" if none was.
	PasskeyID string
}

// ByPassword is the proof by a password alone.
func ByPassword() Proof { return Proof{ACR: ACRPassword, AMR: []string{AMRPassword}} }

// ByOneTimeCode is the proof by a one-time code after a password.
func ByOneTimeCode() Proof {
	return Proof{ACR: ACRMultiFactor, AMR: []string{AMROneTime, AMRMultiFactor}}
}

// ByRecoveryCode is the proof by a recovery code after a password.
func ByRecoveryCode() Proof { return Proof{ACR: ACRMultiFactor, AMR: []string{AMRMultiFactor}} }

// byPasskey is the proof by a passkey, whose authenticator has verified its user.
func byPasskey(p storage.Passkey) Proof {
	proof := Proof{ACR: ACRHardwareProtected, AMR: []string{AMRHardwareKey, AMRPossession, AMRPresence, AMRMultiFactor},
		PasskeyID: p.ID()}
	if p.Synced {
		proof.ACR, proof.AMR[0] = ACRPhishingResistant, AMRSoftwareKey
	}
	return proof
}

// ByNewPasskey is the proof by a passkey that was made after a password: its authenticator says
// that it has verified its user, and nothing was signed yet.
func ByNewPasskey() Proof {
	return Proof{ACR: ACRMultiFactor, AMR: []string{AMRPresence, AMRMultiFactor}}
}
