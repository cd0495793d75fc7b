package people

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// MaxPassword is the longest password in bytes; a longer one is refused before anything is
// computed.
const MaxPassword = 1024

// ErrBusy says that too many passwords are being checked already. The caller answers 503 with
// Retry-After.
var ErrBusy = errors.New("people: too many passwords are being checked at the moment")

// Params are the costs of argon2id (RFC 9106 §3.1).
type Params struct {
	Memory  uint32 // KiB
	Time    uint32 // passes
	Threads uint8
}

// DefaultParams take 19 MiB and two passes: what OWASP's Password Storage advice names as the least
// for argon2id, some tens of milliseconds on a slow core.
var DefaultParams = Params{Memory: 19 << 10, Time: 2, Threads: 1}

const (
	saltLength = 16
	hashLength = 32
)

// queuePerSlot is how many callers may wait for each hash that runs: with the default parameters
// about two seconds.
const queuePerSlot = 32

// Hasher hashes and checks passwords, only so many at once. It is safe for concurrent use.
type Hasher struct {
	params  Params
	slots   chan struct{}
	waiting atomic.Int64
	nobody  []byte // salt for accounts that do not exist
}

// processors is how many Go used when the program began. A server uses one more later, beside the
// hashes, which must not make the next Hasher larger.
var processors = runtime.GOMAXPROCS(0)

// NewHasher makes a Hasher that computes at most concurrency hashes at once (0: one per processor).
// The zero Params are DefaultParams; it panics on parameters that argon2id does not have.
func NewHasher(p Params, concurrency int) *Hasher {
	if p == (Params{}) {
		p = DefaultParams
	}
	if p.Time < 1 || p.Threads < 1 || p.Memory < 8*uint32(p.Threads) || p.Memory > mostMemory || p.Time > mostTime ||
		p.Threads > mostThreads ||
		uint64(p.Memory)*uint64(p.Time) > mostWork {
		panic(fmt.Sprintf("people: argon2id parameters out of range: %+v", p))
	}
	if concurrency <= 0 {
		concurrency = processors
	}
	h := &Hasher{params: p, slots: make(chan struct{}, concurrency), nobody: make([]byte, saltLength)}
	rand.Read(h.nobody)
	return h
}

// Concurrency returns how many hashes are computed at most at once.
func (h *Hasher) Concurrency() int { return cap(h.slots) }

// Waiting returns how many hashes wait to be computed.
func (h *Hasher) Waiting() int64 { return h.waiting.Load() }

// Hash makes the PHC string ($argon2id$v=19$m=…,t=…,p=…$salt$hash) of a password. It does not judge
// the password; see CheckPassword. ErrBusy when the queue is full, the context's error when it ends
// while waiting.
func (h *Hasher) Hash(ctx context.Context, password string) (phc string, err error) {
	password, err = normalise(password)
	if err != nil {
		return "", err
	}
	salt := make([]byte, saltLength)
	rand.Read(salt)
	made := stored{cost: h.own(), salt: salt}
	if err := h.inTurn(ctx, func() { made.hash = made.sum([]byte(password)) }); err != nil {
		return "", err
	}
	return made.phc(), nil
}

// Verify reports whether the password belongs to a stored hash, and whether that should be made
// anew: because it cost less than today's parameters, or comes from another product. A hash that
// CheckHash refuses is an error. Errors as Hash.
func (h *Hasher) Verify(ctx context.Context, hash, password string) (ok, needsRehash bool, err error) {
	s, err := h.parse(hash)
	if err != nil {
		return false, false, err
	}
	text, err := normalise(password)
	if err != nil {
		return false, false, nil //nolint:nilerr // no such password can have been set
	}
	if s.algorithm != argon2id {
		text = password // other products hash what was typed
	}
	if err := h.inTurn(ctx, func() { ok = s.matches([]byte(text)) }); err != nil {
		return false, false, err
	}
	return ok, ok && h.weaker(s), nil
}

// VerifyLike costs what Verify costs of a hash like this and always fails: for accounts that do not
// exist or have no password, so that time does not tell which these are. Errors as Hash.
func (h *Hasher) VerifyLike(ctx context.Context, c cost, password string) error {
	if _, err := normalise(password); err != nil {
		return nil //nolint:nilerr // Verify answers false for such a password just as early
	}
	nobody := stored{cost: c, salt: h.nobody, hash: make([]byte, c.length)}
	return h.inTurn(ctx, func() { nobody.matches([]byte(password)) })
}

// CheckHash reports whether a hash from elsewhere can be used: one of the spellings that
// errHash names, with costs within bounds.
func (h *Hasher) CheckHash(hash string) error {
	_, err := h.parse(hash)
	return err
}

// own is what a hash made today costs.
func (h *Hasher) own() cost {
	return cost{algorithm: argon2id, memory: h.params.Memory, passes: h.params.Time, threads: uint32(h.params.Threads),
		length: hashLength}
}

func (h *Hasher) weaker(s stored) bool {
	return s.algorithm != argon2id || len(s.salt) < saltLength || len(s.hash) < hashLength ||
		uint64(s.memory)*uint64(s.passes) < uint64(h.params.Memory)*uint64(h.params.Time)
}

// inTurn runs what hashes, when it is its turn.
func (h *Hasher) inTurn(ctx context.Context, hashes func()) error {
	select {
	case h.slots <- struct{}{}:
	default:
		if h.waiting.Add(1) > int64(cap(h.slots)*queuePerSlot) {
			h.waiting.Add(-1)
			return ErrBusy
		}
		defer h.waiting.Add(-1)
		select {
		case h.slots <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	defer func() { <-h.slots }()
	if err := ctx.Err(); err != nil {
		return err // whoever asked has gone
	}
	hashes()
	return nil
}

var errPassword = errors.New("people: the password is too long or not text")

// normalise brings a password into NFC, so that it is the same whichever keyboard it was typed on
// (RFC 8265 §4.2.2). Nothing is trimmed or cut.
func normalise(password string) (string, error) {
	if len(password) > MaxPassword || !utf8.ValidString(password) {
		return "", errPassword
	}
	password = norm.NFC.String(password)
	if len(password) > 3*MaxPassword {
		return "", errPassword
	}
	return password, nil
}
