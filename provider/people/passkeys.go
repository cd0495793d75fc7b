package people

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/protocol/webauthncose"
	"github.com/go-webauthn/webauthn/webauthn"

	"latchkey/provider/storage"
)

// What Passkeys answer besides success.
var (
	// ErrCeremonyOver says that the challenge is too old, was answered before, or is not one for
	// this browser and purpose. A new one can be asked for.
	ErrCeremonyOver error = Refusal("This took too long, or was sent twice. Try again.")
	// ErrPasskeyWrong says that the passkey is not accepted: what came is not signed by it, is for
	// another site, or its user was not verified.
	ErrPasskeyWrong error = Refusal("This passkey was not accepted.")
	// ErrPasskeyUnknown says that no user, or not the one who was asked, has this passkey. It is an
	// ErrPasskeyWrong.
	ErrPasskeyUnknown = fmt.Errorf("%w (no such passkey)", ErrPasskeyWrong)
	// ErrPasskeyCopied says that the passkey's signature counter went back: there may be a copy of
	// its key. It is an ErrPasskeyWrong.
	ErrPasskeyCopied = fmt.Errorf("%w (its signature counter has not grown)", ErrPasskeyWrong)
	// ErrPasskeyKnown says that this passkey is registered already.
	ErrPasskeyKnown error = Refusal("This passkey is registered already.")
)

const (
	// MostPasskeys is how many passkeys a user can have.
	MostPasskeys = 20
	// challengeLife is how long a challenge can be answered.
	challengeLife = 5 * time.Minute
	// maxCredentialID bounds credential IDs, in bytes (WebAuthn §7.1 step 25).
	maxCredentialID = 1023
	// leastRSA is the shortest RSA key of a passkey, in bits.
	leastRSA = 2048
)

// PasskeyStore is what Passkeys need of the store; storage.Store has it.
type PasskeyStore interface {
	UserByPasskey(ctx context.Context, credentialID []byte) (storage.User, error)
	AddPasskey(ctx context.Context, userID string, p storage.Passkey, recovery []string, most int) (storage.User, error)
	UsePasskey(ctx context.Context, userID string, credentialID []byte, count uint32, backedUp bool,
		now time.Time) (storage.User, error)
	RequirePasskeys(ctx context.Context, userID string, recovery []string) (storage.User, error)
	Spend(ctx context.Context, kind, id string, now, expiresAt time.Time) error
}

// PasskeyConfig is what Passkeys are made of. All fields must be set.
type PasskeyConfig struct {
	Store   PasskeyStore
	Sealer  Sealing
	Factors *Factors // makes recovery codes
	Now     func() time.Time

	// RPID is the domain that passkeys belong to (WebAuthn §5.1.2): the host of the issuer, a
	// domain above it, or another whose related origins name us.
	RPID   string
	Origin string // of our pages, such as https://id.example.com
	Name   string // of the provider, as authenticators show it
}

// Passkeys register passkeys and check what is signed by them (WebAuthn Level 3). A ceremony begins
// with a challenge and ends with the answer. Between the two the challenge travels sealed in the
// page, together with what it is for; it can be answered once.
//
// The user must be verified by the authenticator, each time. No attestation is asked for, so that
// nothing is known of the authenticator but what it says itself.
type Passkeys struct {
	PasskeyConfig
	rp *webauthn.WebAuthn
}

// NewPasskeys makes Passkeys. It refuses an RPID that is no domain: browsers know no passkeys for
// IP addresses.
func NewPasskeys(cfg PasskeyConfig) (*Passkeys, error) {
	if _, err := netip.ParseAddr(cfg.RPID); err == nil {
		return nil, fmt.Errorf("passkeys: %s is an IP address, and passkeys belong to a domain", cfg.RPID)
	}
	rp, err := webauthn.New(&webauthn.Config{
		RPID: cfg.RPID, RPDisplayName: cfg.Name, RPOrigins: []string{cfg.Origin},
		AttestationPreference: protocol.PreferNoAttestation,
		AuthenticatorSelection: protocol.AuthenticatorSelection{
			ResidentKey: protocol.ResidentKeyRequirementRequired, RequireResidentKey: protocol.ResidentKeyRequired(),
			UserVerification: protocol.VerificationRequired,
		},
		// Some password managers add outputs that nobody asked for. None is looked at.
		ExtensionsUnsolicitedOutputPolicy: protocol.UnsolicitedOutputPolicyIgnore,
	})
	if err != nil {
		return nil, fmt.Errorf("passkeys: %w", err)
	}
	return &Passkeys{cfg, rp}, nil
}

// CheckRPID refuses what is no RP ID (WebAuthn §5.1.2): an IP address, or what is no domain.
func CheckRPID(id string) error {
	if err := protocol.ValidateRPID(id); err != nil {
		return fmt.Errorf("%q is no domain that passkeys can belong to: %w", id, err)
	}
	return nil
}

// Purpose says what a challenge is for. One for one purpose is worth nothing for another.
type Purpose string

// The purposes of a challenge.
const (
	PurposeSignIn   Purpose = "sign-in"
	PurposeFactor   Purpose = "factor"
	PurposeRegister Purpose = "register"
)

// Ceremony is a challenge to be answered.
type Ceremony struct {
	// Options are what the browser's navigator.credentials takes, as JSON: get for a sign-in,
	// create for a registration.
	Options string
	// State is the challenge and what it is for, sealed. It comes back with the answer.
	State string
}

// ceremonyState is what is sealed in Ceremony.State.
type ceremonyState struct {
	Session   webauthn.SessionData `json:"session"`
	Passing   bool                 `json:"passing,omitempty"` // of a registration: see BeginRegistration
	ExpiresAt time.Time            `json:"expires_at"`
}

// boundTo is the additional data that a state is sealed with: what it is for, in which browser and
// place. The parts contain no NUL.
func boundTo(purpose Purpose, place string) string {
	return "passkey " + string(purpose) + "\x00" + place
}

func (p *Passkeys) begun(purpose Purpose, place string, options any, s *webauthn.SessionData, passing bool) (Ceremony,
	error) {
	said, err := json.Marshal(options)
	if err != nil {
		return Ceremony{}, fmt.Errorf("write the options of a passkey: %w", err)
	}
	state, err := json.Marshal(ceremonyState{*s, passing, p.Now().Add(challengeLife)})
	if err != nil {
		return Ceremony{}, fmt.Errorf("write the challenge of a passkey: %w", err)
	}
	sealed, err := p.Sealer.Seal(state, boundTo(purpose, place))
	if err != nil {
		return Ceremony{}, fmt.Errorf("seal the challenge of a passkey: %w", err)
	}
	return Ceremony{string(said), base64.RawURLEncoding.EncodeToString(sealed)}, nil
}

// answered opens the state of a ceremony and uses its challenge up, whatever comes of the answer
// (WebAuthn §13.4.3). The error is ErrCeremonyOver or a fault of the store.
func (p *Passkeys) answered(ctx context.Context, purpose Purpose, place, sealed string) (s ceremonyState, err error) {
	raw, err := base64.RawURLEncoding.DecodeString(sealed)
	if err != nil {
		return s, ErrCeremonyOver
	}
	plain, err := p.Sealer.Open(raw, boundTo(purpose, place))
	if err != nil {
		return s, ErrCeremonyOver
	}
	if err := json.Unmarshal(plain, &s); err != nil {
		return s, fmt.Errorf("read the challenge of a passkey: %w", err)
	}
	now := p.Now()
	if !now.Before(s.ExpiresAt) {
		return s, ErrCeremonyOver
	}
	err = p.Store.Spend(ctx, "passkey-challenge", storage.Hash(s.Session.Challenge), now, s.ExpiresAt)
	if errors.Is(err, storage.ErrConsumed) {
		return s, ErrCeremonyOver
	}
	if err != nil {
		return s, fmt.Errorf("use the challenge of a passkey: %w", err)
	}
	return s, nil
}

// passkeyUser is a user as the library wants one.
type passkeyUser struct{ storage.User }

// WebAuthnID is the user handle. It says nothing about the user, not even their sub
// (WebAuthn §14.6.1).
func (u passkeyUser) WebAuthnID() []byte { return UserHandle(u.ID) }

// UserHandle is the user handle (WebAuthn §4) of the user with this storage.User.ID.
func UserHandle(userID string) []byte {
	sum := sha256.Sum256([]byte("user handle\x00" + userID))
	return sum[:]
}

func (u passkeyUser) WebAuthnName() string { return u.Username }

func (u passkeyUser) WebAuthnDisplayName() string {
	if u.Claims.Name != "" {
		return u.Claims.Name
	}
	return u.Username
}

func (u passkeyUser) WebAuthnCredentials() []webauthn.Credential {
	var out []webauthn.Credential
	for _, p := range u.Factors.Passkeys {
		c := webauthn.Credential{
			ID: p.CredentialID, PublicKey: p.PublicKey,
			Authenticator: webauthn.Authenticator{AAGUID: p.AAGUID, SignCount: p.SignCount},
			Flags: webauthn.CredentialFlags{UserPresent: true, UserVerified: true, BackupEligible: p.Synced,
				BackupState: p.BackedUp},
		}
		for _, t := range p.Transports {
			c.Transport = append(c.Transport, protocol.AuthenticatorTransport(t))
		}
		out = append(out, c)
	}
	return out
}

// BeginSignIn begins a sign-in by passkey, of anybody: the browser offers the passkeys that it
// knows for us, and nothing tells who has one. place names the browser and what it is in the middle
// of.
func (p *Passkeys) BeginSignIn(place string) (Ceremony, error) {
	options, session, err := p.rp.BeginDiscoverableLogin()
	if err != nil {
		return Ceremony{}, fmt.Errorf("begin a sign-in by passkey: %w", err)
	}
	return p.begun(PurposeSignIn, place, options, session, false)
}

// SignIn returns whose passkey has answered, and what that proves. state and answer are what came
// back, the latter the PublicKeyCredential as JSON (WebAuthn §5.1). With an error the user is the
// one whose passkey it claims to be, for the log, or zero. The error is ErrCeremonyOver,
// ErrPasskeyWrong (with the cause for the log), ErrPasskeyUnknown, ErrPasskeyCopied, or a fault of
// the store.
func (p *Passkeys) SignIn(ctx context.Context, place, state, answer string) (storage.User, Proof, error) {
	s, err := p.answered(ctx, PurposeSignIn, place, state)
	if err != nil {
		return storage.User{}, Proof{}, err
	}
	said, err := protocol.ParseCredentialRequestResponseBytes([]byte(answer))
	if err != nil {
		return storage.User{}, Proof{}, wrongPasskey(err)
	}
	user, err := p.Store.UserByPasskey(ctx, said.RawID)
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return storage.User{}, Proof{}, ErrPasskeyUnknown
	case err != nil:
		return storage.User{}, Proof{}, fmt.Errorf("look up a passkey: %w", err)
	case user.Disabled:
		return user, Proof{}, fmt.Errorf("%w (the user is disabled)", ErrPasskeyWrong)
	}
	// The library compares the user handle with that of the owner (WebAuthn §7.2 step 6).
	credential, err := p.rp.ValidateDiscoverableLogin(func([]byte, []byte) (webauthn.User, error) {
		return passkeyUser{user}, nil
	}, s.Session, said)
	if err != nil {
		return user, Proof{}, wrongPasskey(err)
	}
	now, proof, err := p.used(ctx, user, credential)
	if err != nil {
		return user, Proof{}, err
	}
	return now, proof, nil
}

// BeginFactor begins a proof by one of the user's passkeys, after a password. It is
// storage.ErrNotFound if the user has none.
func (p *Passkeys) BeginFactor(user storage.User, place string) (Ceremony, error) {
	if len(user.Factors.Passkeys) == 0 {
		return Ceremony{}, storage.ErrNotFound
	}
	options, session, err := p.rp.BeginLogin(passkeyUser{user})
	if err != nil {
		return Ceremony{}, fmt.Errorf("begin a proof by passkey: %w", err)
	}
	// One that was removed meanwhile must not spoil it for the others, so the list of those that
	// may answer is the user's at the end.
	session.AllowedCredentialIDs = nil
	return p.begun(PurposeFactor, place, options, session, false)
}

// Factor checks that one of the user's passkeys has answered. Parameters and errors are those of
// SignIn.
func (p *Passkeys) Factor(ctx context.Context, user storage.User, place, state, answer string) (Proof, error) {
	s, err := p.answered(ctx, PurposeFactor, place, state)
	if err != nil {
		return Proof{}, err
	}
	said, err := protocol.ParseCredentialRequestResponseBytes([]byte(answer))
	if err != nil {
		return Proof{}, wrongPasskey(err)
	}
	if _, ok := user.Factors.Passkey(said.RawID); !ok {
		return Proof{}, ErrPasskeyUnknown
	}
	credential, err := p.rp.ValidateLogin(passkeyUser{user}, s.Session, said)
	if err != nil {
		return Proof{}, wrongPasskey(err)
	}
	_, proof, err := p.used(ctx, user, credential)
	return proof, err
}

// used records the use of a passkey that has signed.
func (p *Passkeys) used(ctx context.Context, user storage.User, c *webauthn.Credential) (storage.User, Proof, error) {
	user, err := p.Store.UsePasskey(ctx, user.ID, c.ID, c.Authenticator.SignCount, c.Flags.BackupState, p.Now())
	switch {
	case errors.Is(err, storage.ErrConsumed):
		return storage.User{}, Proof{}, ErrPasskeyCopied
	case errors.Is(err, storage.ErrNotFound):
		return storage.User{}, Proof{}, ErrPasskeyUnknown
	case err != nil:
		return storage.User{}, Proof{}, fmt.Errorf("use a passkey: %w", err)
	}
	there, ok := user.Factors.Passkey(c.ID)
	if !ok {
		return storage.User{}, Proof{}, ErrPasskeyUnknown
	}
	return user, byPasskey(there), nil
}

// wrongPasskey is ErrPasskeyWrong with what the library says, for the log.
func wrongPasskey(err error) error {
	var known *protocol.Error
	if errors.As(err, &known) && known.DevInfo != "" {
		return fmt.Errorf("%w (%s: %s)", ErrPasskeyWrong, known.Details, known.DevInfo)
	}
	return fmt.Errorf("%w (%w)", ErrPasskeyWrong, err)
}

// Registration says what kind of passkey is wanted. The zero value is any that its user makes.
type Registration struct {
	// Passing: one that the browser makes without asking, after a password was filled in
	// (WebAuthn §5.1.3, conditional create). Then nobody is seen or verified, and it is not asked
	// for after a password.
	Passing bool
	// Hardware: one on a security key.
	Hardware bool
}

// BeginRegistration begins the registration of a passkey for the user. place is as in BeginSignIn.
func (p *Passkeys) BeginRegistration(user storage.User, place string, kind Registration) (Ceremony, error) {
	options := []webauthn.RegistrationOption{
		webauthn.WithCredentialParameters(webauthn.CredentialParametersRecommendedL3()),
		webauthn.WithExclusions(webauthn.Credentials(passkeyUser{user}.WebAuthnCredentials()).CredentialDescriptors()),
	}
	mediation, selection := protocol.MediationDefault, p.rp.Config.AuthenticatorSelection
	if kind.Passing {
		mediation, selection.UserVerification = protocol.MediationConditional, protocol.VerificationPreferred
	}
	if kind.Hardware {
		selection.AuthenticatorAttachment = protocol.CrossPlatform
	}
	options = append(options, webauthn.WithAuthenticatorSelection(selection))
	creation, session, err := p.rp.BeginMediatedRegistration(passkeyUser{user}, mediation, options...)
	if err != nil {
		return Ceremony{}, fmt.Errorf("begin the registration of a passkey: %w", err)
	}
	return p.begun(PurposeRegister, place, creation, session, kind.Passing)
}

// Register adds the passkey that has answered to the user, under a name, or if that is empty that
// of its model or else of the device. required: it is asked for after a password from now on,
// unless it was made in passing; codes are the recovery codes that come with the first such, never
// seen again. The error is ErrCeremonyOver, ErrPasskeyWrong (with the cause for the log),
// ErrPasskeyKnown, storage.ErrConflict if the user has MostPasskeys, or a fault of the store.
func (p *Passkeys) Register(ctx context.Context, user storage.User, place, state, answer, name, device string,
	required bool) (
	added storage.Passkey, codes []string, err error) {
	s, err := p.answered(ctx, PurposeRegister, place, state)
	if err != nil {
		return added, nil, err
	}
	said, err := protocol.ParseCredentialCreationResponseBytes([]byte(answer))
	if err != nil {
		return added, nil, wrongPasskey(err)
	}
	credential, err := p.rp.CreateCredential(passkeyUser{user}, s.Session, said)
	if err == nil {
		err = soundCredential(credential)
	}
	if err != nil {
		return added, nil, wrongPasskey(err)
	}
	added = storage.Passkey{
		CredentialID: credential.ID, PublicKey: credential.PublicKey, SignCount: credential.Authenticator.SignCount,
		AAGUID: credential.Authenticator.AAGUID,
		Synced: credential.Flags.BackupEligible, BackedUp: credential.Flags.BackupState, Required: required &&
			!s.Passing,
		Name: cmp.Or(FactorName(name), Model(credential.Authenticator.AAGUID), device), CreatedAt: p.Now(),
	}
	for _, t := range credential.Transport {
		if len(added.Transports) < 8 && len(t) <= 20 {
			added.Transports = append(added.Transports, string(t))
		}
	}
	fresh, hashes := p.Factors.newRecoveryCodes(user.ID)
	stored, err := p.Store.AddPasskey(ctx, user.ID, added, hashes, MostPasskeys)
	if errors.Is(err, storage.ErrConsumed) {
		return added, nil, ErrPasskeyKnown
	}
	if err != nil {
		return added, nil, fmt.Errorf("store the passkey: %w", err)
	}
	return added, freshCodes(stored, fresh, hashes), nil
}

// Require has all of the user's passkeys asked for after a password, from now on. codes are the
// recovery codes that come with that, nil if the user has some. storage.ErrNotFound if the user has
// no passkey.
func (p *Passkeys) Require(ctx context.Context, user storage.User) (codes []string, err error) {
	fresh, hashes := p.Factors.newRecoveryCodes(user.ID)
	stored, err := p.Store.RequirePasskeys(ctx, user.ID, hashes)
	if err != nil {
		return nil, fmt.Errorf("require the passkeys: %w", err)
	}
	return freshCodes(stored, fresh, hashes), nil
}

// freshCodes are the codes if the user has got them: their hashes are the user's.
func freshCodes(u storage.User, codes, hashes []string) []string {
	if len(u.Factors.Recovery) > 0 && u.Factors.Recovery[0].Hash == hashes[0] {
		return codes
	}
	return nil
}

// soundCredential refuses a credential that the library takes and we do not.
func soundCredential(c *webauthn.Credential) error {
	if len(c.ID) > maxCredentialID {
		return fmt.Errorf("the credential ID is longer than %d bytes", maxCredentialID)
	}
	key, err := webauthncose.ParsePublicKey(c.PublicKey)
	if err != nil {
		return fmt.Errorf("read the public key: %w", err)
	}
	if rsa, ok := key.(webauthncose.RSAPublicKeyData); ok && len(rsa.Modulus)*8 < leastRSA {
		return fmt.Errorf("the RSA key is shorter than %d bits", leastRSA)
	}
	return nil
}
