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

// Counters are the two operations of the store that limits rest on; storage.Store has them.
type Counters interface {
	CountAttempt(ctx context.Context, key string, now time.Time, window time.Duration) (count int, resetAt time.Time, err error)
	ForgiveAttempts(ctx context.Context, key string, n int) error
}

// Throttle limits how often somebody may try. An attempt counts from its beginning and is taken back only when it succeeds, so that
// any number of parallel guesses, on any number of instances, stays within the limits.
//
// An account is closed for the rest of its window after PerAccount failures, whether or not it exists. That
// alone would let anybody keep its owner out; so a browser in which the account was signed in before has a count of its own. An address (an
// IPv6 /64) has a wider limit over all accounts.
type Throttle struct {
	Counters Counters
	// Key keys the hash under which names and addresses are counted, so that the store does not list who tried what.
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

// Begin counts an attempt at the account (a canonical username) from an address (an IP address), before anything about it is looked
// at. device identifies the browser if, and only if, it has proved that this account was signed in there before; "" otherwise. The error is a
// *ThrottledError, or a fault of the store: then nothing may be tried.
func (t *Throttle) Begin(ctx context.Context, account, address, device string, now time.Time) (Attempt, error) {
	perAccount, perAddress, window := t.PerAccount, t.PerAddress, t.Window
	if perAccount <= 0 {
		perAccount = 10
	}
	if perAddress <= 0 {
		perAddress = 100
	}
	if window <= 0 {
		window = 15 * time.Minute
	}
	type limit struct {
		key  string
		most int
	}
	var limits []limit
	if device != "" {
		// The address does not count here: neighbours behind the same address must not keep the owner out either.
		limits = []limit{{t.key("device", account, device), perAccount}}
	} else {
		// The address comes first: once it is refused it adds nothing to the counts of accounts.
		limits = []limit{{t.key("address", Network(address)), perAddress}, {t.key("account", account), perAccount}}
	}
	a := Attempt{throttle: t}
	for _, l := range limits {
		count, until, err := t.Counters.CountAttempt(ctx, l.key, now, window)
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

// Succeeded takes this one attempt back; failures before it still count until their window ends. A failed attempt needs no call.
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

// Network is what an IP address is counted as, here and wherever else there is a limit: whoever has one IPv6 address has the 2^64 beside
// it. What is no address is returned as it is.
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
