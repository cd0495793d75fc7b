package people

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"latchkey/provider/storage"
)

// What a second factor answers besides success and *ThrottledError.
var (
	// ErrCodeShape says that this can be no code: it was not looked at, and does not count as an
	// attempt.
	ErrCodeShape error = Refusal("This is no code: six digits were expected, or a recovery code.")
	// ErrCodeWrong says that the code is not right, or has expired.
	ErrCodeWrong error = Refusal("The code is not right.")
	// ErrCodeUsed says that the code was right, and was used before.
	ErrCodeUsed error = Refusal("The code was used before.")
)

// MostTOTP is how many authenticator applications a user can have.
const MostTOTP = 5

// FactorStore is what Factors need of the store; storage.Store has it.
type FactorStore interface {
	BeginTOTP(ctx context.Context, userID string, begun storage.TOTP, most int) error
	ConfirmTOTP(ctx context.Context, userID, id, name string, step int64, recovery []string,
		now time.Time) (storage.User, error)
	UseTOTP(ctx context.Context, userID, id string, step int64, now time.Time) error
	UseRecoveryCode(ctx context.Context, userID, hash string, now time.Time) error
	ReplaceRecoveryCodes(ctx context.Context, userID string, hashes []string) error
}

// Sealing encrypts what must be kept and not be readable at rest; keys.Sealer has it.
type Sealing interface {
	Seal(plain []byte, aad string) ([]byte, error)
	Open(sealed []byte, aad string) ([]byte, error)
}

// Factors check second factors, and set them up. All fields must be set.
type Factors struct {
	Store  FactorStore
	Sealer Sealing
	// Throttle limits guesses per account, over all factors together. It must not be the one for
	// passwords: a right password must not take back a wrong code.
	Throttle *Throttle
	Key      []byte // keys the hashes of recovery codes
	Now      func() time.Time
	Name     string // of the provider, as authenticator applications show it
}

// SecondFactorTries is how many wrong codes close the second factors of an account for the rest of
// the window.
const SecondFactorTries = 5

// NewFactorThrottle returns the limits on second factors. key is their own.
func NewFactorThrottle(counters Counters, key []byte) *Throttle {
	return &Throttle{Counters: counters, Key: key, PerAccount: SecondFactorTries}
}

// FactorThrottleLabel is what the key of NewFactorThrottle is derived by.
const FactorThrottleLabel = "second factors"

// attempt lets try look at a code within the limits. try says whether it was right; another error
// than a Refusal takes the attempt back.
func (f *Factors) attempt(ctx context.Context, user storage.User, address string, try func() error) error {
	attempt, err := f.Throttle.Begin(ctx, user.Username, address, "", f.Now())
	if err != nil {
		return err
	}
	err = try()
	var wrong Refusal
	switch {
	case err == nil:
		return attempt.Succeeded(ctx)
	case errors.As(err, &wrong):
		return err
	}
	if back := attempt.Withdrawn(ctx); back != nil {
		err = errors.Join(err, back)
	}
	return err
}

// TOTP checks a one-time code that the user has typed (RFC 6238 §5.2) and uses it up. address is
// the client's IP address. The error is ErrCodeShape, ErrCodeWrong, ErrCodeUsed, *ThrottledError,
// or a fault of the store.
func (f *Factors) TOTP(ctx context.Context, user storage.User, typed, address string) error {
	code, ok := oneTimeCode(typed)
	if !ok {
		return ErrCodeShape
	}
	return f.attempt(ctx, user, address, func() error {
		wrong := ErrCodeWrong
		for _, t := range user.Factors.Confirmed() {
			secret, err := f.Sealer.Open(t.Secret, storage.TOTPData(user.ID, t.ID))
			if err != nil { // the others are still good; the error says so in the log
				wrong = fmt.Errorf("%w (an authenticator application of user %s: %w)", ErrCodeWrong, user.ID, err)
				continue
			}
			step, right, used := matchTOTP(secret, code, t.LastStep, f.Now())
			if used {
				wrong = ErrCodeUsed
			}
			if !right {
				continue
			}
			switch err := f.Store.UseTOTP(ctx, user.ID, t.ID, step, f.Now()); {
			case err == nil:
				return nil
			case errors.Is(err, storage.ErrConsumed):
				wrong = ErrCodeUsed
			case !errors.Is(err, storage.ErrNotFound): // removed meanwhile
				return fmt.Errorf("use the code: %w", err)
			}
		}
		return wrong
	})
}

// Recovery checks a recovery code that the user has typed, and uses it up. Parameters and errors
// are those of TOTP.
func (f *Factors) Recovery(ctx context.Context, user storage.User, typed, address string) error {
	code, ok := recoveryCode(typed)
	if !ok {
		return ErrCodeShape
	}
	return f.attempt(ctx, user, address, func() error {
		switch err := f.Store.UseRecoveryCode(ctx, user.ID, f.recoveryHash(user.ID, code), f.Now()); {
		case errors.Is(err, storage.ErrConsumed):
			return ErrCodeUsed
		case errors.Is(err, storage.ErrNotFound):
			return ErrCodeWrong
		case err != nil:
			return fmt.Errorf("use the recovery code: %w", err)
		}
		return nil
	})
}

// Enrolment is an authenticator application that is being set up. The secret is to be shown to the
// user, and to nobody else.
type Enrolment struct {
	ID     string
	Secret string // base32, for typing
	URI    string // for a QR code
}

// BeginTOTP makes a secret for an authenticator application, in place of any other that was not
// confirmed. sessionID is the session in which it must be confirmed. storage.ErrConflict if the
// user has MostTOTP.
func (f *Factors) BeginTOTP(ctx context.Context, user storage.User, sessionID string) (Enrolment, error) {
	secret, t := newTOTPSecret(), storage.TOTP{ID: storage.ShortID(), SessionID: sessionID, CreatedAt: f.Now()}
	var err error
	if t.Secret, err = f.Sealer.Seal(secret, storage.TOTPData(user.ID, t.ID)); err != nil {
		return Enrolment{}, fmt.Errorf("seal the secret of an authenticator application: %w", err)
	}
	if err := f.Store.BeginTOTP(ctx, user.ID, t, MostTOTP); err != nil {
		return Enrolment{}, fmt.Errorf("store the authenticator application: %w", err)
	}
	return f.enrolment(user, t.ID, secret), nil
}

func (f *Factors) enrolment(user storage.User, id string, secret []byte) Enrolment {
	return Enrolment{ID: id, Secret: unpaddedBase32.EncodeToString(secret), URI: totpURI(f.Name, user.Username, secret)}
}

// pendingFor is how long an authenticator application can be confirmed after it was begun.
const pendingFor = time.Hour

// PendingTOTP returns what was begun in this session and is not confirmed yet; storage.ErrNotFound
// if there is nothing such.
func (f *Factors) PendingTOTP(user storage.User, sessionID string) (Enrolment, error) {
	for _, t := range user.Factors.TOTP {
		if !t.ConfirmedAt.IsZero() || t.SessionID != sessionID || f.Now().Sub(t.CreatedAt) > pendingFor {
			continue
		}
		secret, err := f.Sealer.Open(t.Secret, storage.TOTPData(user.ID, t.ID))
		if err != nil {
			return Enrolment{}, fmt.Errorf("open the secret of an authenticator application of user %s: %w", user.ID, err)
		}
		return f.enrolment(user, t.ID, secret), nil
	}
	return Enrolment{}, storage.ErrNotFound
}

// ConfirmTOTP makes what was begun in this session count, if the code is of it. codes are the
// recovery codes that the user gets with the first second factor; they are never seen again. The
// error is ErrCodeShape, ErrCodeWrong, storage.ErrNotFound if nothing with this id was begun,
// storage.ErrConsumed if it is confirmed already, or a fault of the store.
func (f *Factors) ConfirmTOTP(ctx context.Context, user storage.User, sessionID, id, typed,
	name string) (codes []string, err error) {
	begun, err := f.PendingTOTP(user, sessionID)
	if err != nil {
		return nil, err
	}
	if begun.ID != id {
		return nil, storage.ErrNotFound
	}
	code, ok := oneTimeCode(typed)
	if !ok {
		return nil, ErrCodeShape
	}
	secret, err := unpaddedBase32.DecodeString(begun.Secret)
	if err != nil {
		return nil, fmt.Errorf("read the secret: %w", err)
	}
	step, right, _ := matchTOTP(secret, code, 0, f.Now())
	if !right {
		return nil, ErrCodeWrong
	}
	fresh, hashes := f.newRecoveryCodes(user.ID)
	stored, err := f.Store.ConfirmTOTP(ctx, user.ID, id, name, step, hashes, f.Now())
	if err != nil {
		return nil, fmt.Errorf("confirm the authenticator application: %w", err)
	}
	if len(stored.Factors.Recovery) > 0 && stored.Factors.Recovery[0].Hash == hashes[0] {
		codes = fresh
	}
	return codes, nil
}

// NewRecoveryCodes puts fresh recovery codes in place of all that the user had. They are never seen
// again.
func (f *Factors) NewRecoveryCodes(ctx context.Context, user storage.User) ([]string, error) {
	codes, hashes := f.newRecoveryCodes(user.ID)
	if err := f.Store.ReplaceRecoveryCodes(ctx, user.ID, hashes); err != nil {
		return nil, fmt.Errorf("store recovery codes: %w", err)
	}
	return codes, nil
}

// maxFactorName bounds FactorName, in bytes.
const maxFactorName = 60

// FactorName is the user's own word for a second factor, as they typed it, on one line and not too
// long. It may be empty.
func FactorName(typed string) string {
	name := strings.Join(strings.FieldsFunc(strings.ToValidUTF8(typed, ""),
		func(r rune) bool { return unicode.IsControl(r) || unicode.IsSpace(r) }), " ")
	for len(name) > maxFactorName {
		_, size := utf8.DecodeLastRuneInString(name)
		name = name[:len(name)-size]
	}
	return name
}
