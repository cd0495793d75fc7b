package people

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
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

	// What an imported hash may cost at least, unless the hasher's own parameters are lower, and at
	// most.
	leastMemory, leastTime = 7 << 10, 1
	mostMemory, mostTime   = 256 << 10, 16
	mostThreads            = 16
	mostWork               = 1 << 20 // KiB times passes
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
	if p.Time < 1 || p.Threads < 1 || p.Memory < 8*uint32(p.Threads) || p.Memory > mostMemory || p.Time > mostTime || p.Threads > mostThreads ||
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
	sum, err := h.compute(ctx, password, salt, h.params, hashLength)
	if err != nil {
		return "", err
	}
	return encoded{h.params, salt, sum}.String(), nil
}

// Verify reports whether the password belongs to the PHC string, and whether that should be made
// anew because it cost less than today's parameters. A string that is not argon2id within bounds is
// an error. Errors as Hash.
func (h *Hasher) Verify(ctx context.Context, phc, password string) (ok, needsRehash bool, err error) {
	e, err := h.parse(phc)
	if err != nil {
		return false, false, err
	}
	if password, err = normalise(password); err != nil {
		return false, false, nil //nolint:nilerr // no such password can have been set
	}
	sum, err := h.compute(ctx, password, e.salt, e.params, uint32(len(e.hash)))
	if err != nil {
		return false, false, err
	}
	ok = subtle.ConstantTimeCompare(sum, e.hash) == 1
	return ok, ok && h.weaker(e), nil
}

// VerifyLike costs what Verify costs of a hash with these parameters and always fails: for accounts
// that do not exist or have no password, so that time does not tell which these are. Errors as
// Hash.
func (h *Hasher) VerifyLike(ctx context.Context, p Params, password string) error {
	password, err := normalise(password)
	if err != nil {
		return nil //nolint:nilerr // Verify answers false for such a password just as early
	}
	_, err = h.compute(ctx, password, h.nobody, p, hashLength)
	return err
}

// CheckHash reports whether a PHC string from elsewhere can be used: argon2id, version 19, costs
// within bounds.
func (h *Hasher) CheckHash(phc string) error {
	_, err := h.parse(phc)
	return err
}

func (h *Hasher) weaker(e encoded) bool {
	return uint64(e.params.Memory)*uint64(e.params.Time) < uint64(h.params.Memory)*uint64(h.params.Time) ||
		len(e.salt) < saltLength || len(e.hash) < hashLength
}

func (h *Hasher) compute(ctx context.Context, password string, salt []byte, p Params, length uint32) ([]byte, error) {
	select {
	case h.slots <- struct{}{}:
	default:
		if h.waiting.Add(1) > int64(cap(h.slots)*queuePerSlot) {
			h.waiting.Add(-1)
			return nil, ErrBusy
		}
		defer h.waiting.Add(-1)
		select {
		case h.slots <- struct{}{}:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	defer func() { <-h.slots }()
	if err := ctx.Err(); err != nil {
		return nil, err // whoever asked has gone
	}
	return argon2.IDKey([]byte(password), salt, p.Time, p.Memory, p.Threads, length), nil
}

// encoded is a PHC string taken apart.
type encoded struct {
	params Params
	salt   []byte
	hash   []byte
}

func (e encoded) String() string {
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, e.params.Memory, e.params.Time, e.params.Threads,
		b64.EncodeToString(e.salt), b64.EncodeToString(e.hash))
}

var errHash = errors.New("people: the password hash is not an argon2id PHC string with usable parameters")

func (h *Hasher) parse(phc string) (encoded, error) {
	var e encoded
	if len(phc) > 512 {
		return e, errHash
	}
	parts := strings.Split(phc, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return e, errHash
	}
	costs := strings.Split(parts[3], ",")
	if len(costs) != 3 {
		return e, errHash
	}
	var n [3]uint64
	for i, prefix := range []string{"m=", "t=", "p="} {
		digits, ok := strings.CutPrefix(costs[i], prefix)
		v, err := strconv.ParseUint(digits, 10, 32)
		if !ok || err != nil || strconv.FormatUint(v, 10) != digits {
			return e, errHash
		}
		n[i] = v
	}
	m, t, p := n[0], n[1], n[2]
	if m > mostMemory || t > mostTime || p > mostThreads || p < 1 || m < 8*p || m*t > mostWork ||
		m < uint64(min(leastMemory, h.params.Memory)) || t < uint64(min(leastTime, h.params.Time)) {
		return e, errHash
	}
	e.params = Params{Memory: uint32(m), Time: uint32(t), Threads: uint8(p)}
	var err error
	if e.salt, err = base64.RawStdEncoding.Strict().DecodeString(parts[4]); err != nil || len(e.salt) < 8 || len(e.salt) > 64 {
		return e, errHash
	}
	if e.hash, err = base64.RawStdEncoding.Strict().DecodeString(parts[5]); err != nil || len(e.hash) < 16 || len(e.hash) > 64 {
		return e, errHash
	}
	if e.String() != phc { // the decoder overlooks line breaks
		return e, errHash
	}
	return e, nil
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
