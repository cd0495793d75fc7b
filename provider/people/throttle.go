package people

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// Counters are the operations of the store that limits rest on; storage.Store has them.
type Counters interface {
	CountAttempt(ctx context.Context, key string, now time.Time, window time.Duration) (count int, resetAt time.Time,
		err error)
	ForgiveAttempts(ctx context.Context, key string, n int) error
	Attempts(ctx context.Context, key string, now time.Time) (count int, resetAt time.Time, err error)
}

// Throttle limits how often somebody may try. An attempt counts from its beginning and is taken
// back only when it succeeds, so that any number of parallel guesses, on any number of instances,
// stays within the limits.
//
// An account is closed for the rest of its window after PerAccount failures, whether or not it
// exists. That alone would let anybody keep its owner out; so a browser in which the account was
// signed in before has a count of its own. An address (an IPv6 /64) has a wider limit over all
// accounts, and an IPv6 /48 one that is wider again.
type Throttle struct {
	Counters Counters
	// Key keys the hash under which names and addresses are counted, so that the store does not
	// list who tried what.
	Key        []byte
	PerAccount int           // failures per window; 0: 10
	PerAddress int           // failures per window; 0: 100
	Window     time.Duration // 0: 15 minutes
}

// ThrottledError says that there were too many attempts, and when the next one may be made.
type ThrottledError struct{ Until time.Time }

func (e *ThrottledError) Error() string {
	return "people: too many attempts until " + e.Until.UTC().Format(time.RFC3339)
}

// Attempt is one permitted try.
type Attempt struct {
	throttle *Throttle
	keys     []string
}

// limit is a counter with the count at which it is full.
type limit struct {
	key  string
	most int
}

// limits are those that an attempt is counted by.
func (t *Throttle) limits(account, address, device string) []limit {
	if device != "" {
		// The address does not count here: neighbours behind the same address must not keep the
		// owner out either.
		return []limit{{t.key("device", account, device), t.perAccount()}}
	}
	perAddress := t.PerAddress
	if perAddress <= 0 {
		perAddress = 100
	}
	// The address comes first: once it is refused it adds nothing to the counts of accounts.
	limits := []limit{{t.key("address", Network(address)), perAddress}}
	if site := Site(address); site != Network(address) {
		limits = append(limits, limit{t.key("site", site), sitesPerAddress * perAddress})
	}
	return append(limits, limit{t.key("account", account), t.perAccount()})
}

// sitesPerAddress is how many times the failures of one /64 an IPv6 /48 may have.
const sitesPerAddress = 4

func (t *Throttle) window() time.Duration {
	if t.Window <= 0 {
		return 15 * time.Minute
	}
	return t.Window
}

// Allowed reports whether an attempt would be refused at now, without counting one. Parameters and
// error are those of Begin.
func (t *Throttle) Allowed(ctx context.Context, account, address, device string, now time.Time) error {
	for _, l := range t.limits(account, address, device) {
		count, until, err := t.Counters.Attempts(ctx, l.key, now)
		if err != nil {
			return fmt.Errorf("look up the attempts: %w", err)
		}
		if count >= l.most {
			return &ThrottledError{Until: until}
		}
	}
	return nil
}

// Begin counts an attempt at the account (a canonical username) from an address (an IP address),
// before anything about it is looked at. device identifies the browser if, and only if, it has
// proved that this account was signed in there before; "" otherwise. The error is a
// *ThrottledError, or a fault of the store: then nothing may be tried.
func (t *Throttle) Begin(ctx context.Context, account, address, device string, now time.Time) (Attempt, error) {
	a := Attempt{throttle: t}
	for _, l := range t.limits(account, address, device) {
		count, until, err := t.Counters.CountAttempt(ctx, l.key, now, t.window())
		if err != nil {
			return Attempt{}, fmt.Errorf("count the attempt: %w", err)
		}
		if count > l.most {
			return Attempt{}, &ThrottledError{Until: until}
		}
		a.keys = append(a.keys, l.key)
	}
	return a, nil
}

// Lockout is what the failed attempts at an account amount to. Its zero value: there were none in
// the current window.
type Lockout struct {
	Failures int       // in the current window; attempts that were refused because of the lock-out may be among them
	Limit    int       // that many failures close the account
	Until    time.Time // end of the window: from then on the account is open, with no failures
}

// Locked reports whether the account is closed. Browsers in which it was signed in before have a
// limit of their own.
func (l Lockout) Locked() bool { return l.Limit > 0 && l.Failures >= l.Limit }

// Lockout returns what is counted at now against the account, a canonical username. It counts
// nothing itself.
func (t *Throttle) Lockout(ctx context.Context, account string, now time.Time) (Lockout, error) {
	count, until, err := t.Counters.Attempts(ctx, t.key("account", account), now)
	if err != nil {
		return Lockout{}, fmt.Errorf("look up the attempts: %w", err)
	}
	if count == 0 {
		return Lockout{}, nil
	}
	return Lockout{Failures: count, Limit: t.perAccount(), Until: until}, nil
}

// Unlock opens the account, a canonical username, and forgets its failures. Limits on networks and
// on single browsers stay.
func (t *Throttle) Unlock(ctx context.Context, account string) error {
	if err := t.Counters.ForgiveAttempts(ctx, t.key("account", account), -1); err != nil {
		return fmt.Errorf("forget the attempts: %w", err)
	}
	return nil
}

func (t *Throttle) perAccount() int {
	if t.PerAccount <= 0 {
		return 10
	}
	return t.PerAccount
}

// Succeeded takes this one attempt back; failures before it still count until their window ends. A
// failed attempt needs no call.
func (a Attempt) Succeeded(ctx context.Context) error { return a.takeBack(ctx) }

// Withdrawn takes the attempt back because nothing was tried: the machine was busy, say.
func (a Attempt) Withdrawn(ctx context.Context) error { return a.takeBack(ctx) }

func (a Attempt) takeBack(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx) // a browser that went away does not make it a failure
	for _, k := range a.keys {
		if err := a.throttle.Counters.ForgiveAttempts(ctx, k, 1); err != nil {
			return fmt.Errorf("take back the attempt: %w", err)
		}
	}
	return nil
}

func (t *Throttle) key(kind string, parts ...string) string {
	mac := hmac.New(sha256.New, t.Key)
	mac.Write([]byte(kind))
	for _, p := range parts {
		fmt.Fprintf(mac, "\x00%d\x00%s", len(p), p)
	}
	return "sign-in:" + kind + ":" + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// Network is what an IP address is counted as, here and wherever else there is a limit: whoever has
// one IPv6 address has the 2^64 beside it. What is no address is returned as it is.
func Network(address string) string {
	a, err := netip.ParseAddr(strings.Trim(address, "[]"))
	if err != nil {
		return address
	}
	a = a.Unmap().WithZone("")
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.String()
		}
	}
	return a.String()
}

// Site is what an IPv6 address is counted as where a /64 is too little, since many have a whole
// /48: that /48. Of any other address it is what Network returns.
func Site(address string) string {
	a, err := netip.ParseAddr(strings.Trim(address, "[]"))
	if err != nil {
		return address
	}
	if a = a.Unmap().WithZone(""); a.Is6() {
		if p, err := a.Prefix(48); err == nil {
			return p.String()
		}
	}
	return a.String()
}
