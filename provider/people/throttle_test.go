package people

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"latchkey/provider/storage"
)

// house is an Authenticator with one person in it and a clock that the test holds.
type house struct {
	*Authenticator
	m   *memory
	now time.Time
}

const rightPassword = "correct horse battery"

func newHouse(t testing.TB) *house {
	t.Helper()
	h := &house{now: start}
	hasher := NewHasher(cheap, 4)
	h.m = newMemory(
		storage.User{ID: "u1", Username: "alice", PasswordHash: hashed(t, hasher, rightPassword), Version: 1},
		storage.User{ID: "u2", Username: "bob", PasswordHash: hashed(t, hasher, rightPassword), Disabled: true,
			Version: 1},
		storage.User{ID: "u3", Username: "passkey-only", Version: 1},
		storage.User{ID: "u4", Username: "broken", PasswordHash: "$2a$10$x", Version: 1},
	)
	h.Authenticator = &Authenticator{Store: h.m, Hasher: hasher, Throttle: &Throttle{Counters: h.m, Key: []byte("key")},
		Now: func() time.Time { return h.now }}
	return h
}

func (h *house) try(name, password, address, device string) error {
	_, err := h.Password(context.Background(), name, password, address, func(storage.User) string { return device })
	return err
}

func unknownDevice(storage.User) string { return "" }

func TestThePasswordIsAskedOfTheRightPerson(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for _, spelling := range []string{"alice", "ALICE", " alice ", "ａｌｉｃｅ"} {
		u, err := h.Password(t.Context(), spelling, rightPassword, "192.0.2.1", unknownDevice)
		if err != nil || u.ID != "u1" {
			t.Errorf("%q: %q %v", spelling, u.ID, err)
		}
	}
	texts := map[string]bool{}
	for name, c := range map[string][2]string{
		"wrong password":         {"alice", "wrong"},
		"unknown":                {"mallory", rightPassword},
		"impossible name":        {"al ice", rightPassword},
		"not UTF-8":              {"\xff\xfe", rightPassword},
		"disabled":               {"bob", rightPassword},
		"disabled and wrong":     {"bob", "wrong"},
		"no password":            {"passkey-only", ""},
		"no password, a guess":   {"passkey-only", rightPassword},
		"empty":                  {"", ""},
		"a very long name":       {strings.Repeat("a", 1<<20), rightPassword},
		"a very long password":   {"alice", strings.Repeat("a", 1<<20)},
		"longer than it was set": {"alice", rightPassword + "\x00"},
	} {
		u, err := h.Password(t.Context(), c[0], c[1], "192.0.2.1", unknownDevice)
		if !errors.Is(err, ErrWrong) || u.ID != "" {
			t.Errorf("%s: %q %v", name, u.ID, err)
			continue
		}
		texts[err.Error()] = true
	}
	if len(texts) != 1 {
		t.Errorf("different words for different causes: %v", texts)
	}
	if err := h.try("broken", rightPassword, "192.0.2.1", ""); err == nil || errors.Is(err, ErrWrong) {
		t.Errorf("a hash that cannot be read is our fault, not a wrong password: %v", err)
	}
}

func TestParallelGuessesCannotOvershoot(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"alice", "nobody-here"} {
		h := newHouse(t)
		var looked, throttled atomic.Int64
		var wait sync.WaitGroup
		spellings := []string{name, strings.ToUpper(name), " " + name, name + " "}
		for i := range 500 {
			password := "wrong"
			if i == 250 {
				password = rightPassword
			}
			wait.Go(func() {
				// Each from another address, so that the account's own limit is what holds.
				err := h.try(spellings[i%len(spellings)], password, fmt.Sprintf("198.51.100.%d", i%250), "")
				var t *ThrottledError
				switch {
				case errors.As(err, &t):
					throttled.Add(1)
				case errors.Is(err, ErrWrong), err == nil, errors.Is(err, ErrBusy):
					looked.Add(1)
				}
			})
		}
		wait.Wait()
		// One more than the limit if the right one was among the first: it is taken back.
		if n := looked.Load(); n > 11 || n < 10 || looked.Load()+throttled.Load() != 500 {
			t.Errorf("%s: %d of 500 guesses were looked at, %d throttled", name, n, throttled.Load())
		}
		var stop *ThrottledError
		if err := h.try(name, rightPassword, "192.0.2.99", ""); !errors.As(err, &stop) ||
			!stop.Until.Equal(start.Add(15*time.Minute)) {
			t.Errorf("%s: the right password after the limit: %v", name, err)
		}
	}
}

func TestAThrottledAccountOpensAgain(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for range 50 {
		_ = h.try("alice", "wrong", "192.0.2.1", "")
	}
	h.now = start.Add(15*time.Minute - time.Second)
	if err := h.try("alice", rightPassword, "203.0.113.5", ""); err == nil {
		t.Error("open before the time that was told")
	}
	h.now = start.Add(15 * time.Minute)
	if err := h.try("alice", rightPassword, "203.0.113.5", ""); err != nil {
		t.Errorf("at the time that was told: %v", err)
	}
}

func TestTheOwnerIsNotLockedOutOfABrowserThatIsKnown(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for i := range 1000 {
		_ = h.try("alice", "wrong", fmt.Sprintf("2001:db8:%x::1", i), "")
		_ = h.try("alice", "wrong", "192.0.2.1", "")
	}
	if err := h.try("alice", rightPassword, "192.0.2.1", "her-laptop"); err != nil {
		t.Errorf("from a known browser, at an address that is blocked: %v", err)
	}
	if err := h.try("alice", rightPassword, "203.0.113.5", ""); err == nil {
		t.Error("an unknown browser gets in")
	}
	// A stolen device reference is worth ten guesses, not more; and only at this account.
	for range 10 {
		if err := h.try("alice", "wrong", "192.0.2.77", "stolen"); !errors.Is(err, ErrWrong) {
			t.Fatal(err)
		}
	}
	var stop *ThrottledError
	if err := h.try("alice", rightPassword, "192.0.2.77", "stolen"); !errors.As(err, &stop) {
		t.Errorf("the eleventh: %v", err)
	}
	if err := h.try("alice", rightPassword, "192.0.2.77", "her-laptop"); err != nil {
		t.Errorf("another known browser: %v", err)
	}
}

func TestOneAddressIsLimitedOverAllAccounts(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	looked := 0
	for i := range 300 {
		// The whole /64 is one address.
		if errors.Is(h.try(fmt.Sprintf("user%d", i), "spring", fmt.Sprintf("2001:db8:1:1::%x", i), ""), ErrWrong) {
			looked++
		}
	}
	if looked != 100 {
		t.Errorf("%d of 300 guesses over many accounts were looked at", looked)
	}
	if err := h.try("alice", rightPassword, "2001:db8:1:2::1", ""); err != nil {
		t.Errorf("from a neighbour: %v", err)
	}
	// So is a whole /48, with a wider limit: many have one to themselves.
	looked = 0
	for i := range 1000 {
		if errors.Is(h.try(fmt.Sprintf("user%d", i), "spring", fmt.Sprintf("2001:db8:2:%x::1", i), ""), ErrWrong) {
			looked++
		}
	}
	if looked != 400 {
		t.Errorf("%d of 1000 guesses from one /48 were looked at", looked)
	}
	// An address that is blocked does not use up the accounts that it names.
	for range 50 {
		_ = h.try("alice", "wrong", "2001:db8:1:1::1", "")
	}
	if err := h.try("alice", rightPassword, "192.0.2.200", ""); err != nil {
		t.Errorf("after a blocked address had named her: %v", err)
	}
	for _, same := range [][2]string{{"192.0.2.1", "::ffff:192.0.2.1"}, {"[2001:db8::1]", "2001:db8::2"},
		{"fe80::1%eth0", "fe80::2"}} {
		if Network(same[0]) != Network(same[1]) {
			t.Errorf("%s and %s are counted apart", same[0], same[1])
		}
	}
}

func TestSuccessTakesBackItsOwnAttemptOnly(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for range linePerWindow - 20 {
		if err := h.try("alice", rightPassword, "192.0.2.1", ""); err != nil {
			t.Fatalf("the owner, who never failed: %v", err)
		}
	}
	for range 9 {
		_ = h.try("alice", "wrong", "192.0.2.1", "")
	}
	if err := h.try("alice", rightPassword, "192.0.2.1", ""); err != nil {
		t.Fatalf("after nine failures: %v", err)
	}
	if err := h.try("alice", "wrong", "192.0.2.1", ""); !errors.Is(err, ErrWrong) {
		t.Fatal(err)
	}
	var stop *ThrottledError
	if err := h.try("alice", rightPassword, "192.0.2.1", ""); !errors.As(err, &stop) {
		t.Errorf("a sign-in in between gave the guesser another ten: %v", err)
	}
}

func TestWhatWasNoGuessDoesNotCount(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for range cap(h.Hasher.slots) {
		h.Hasher.slots <- struct{}{}
	}
	h.Hasher.waiting.Store(int64(cap(h.Hasher.slots) * queuePerSlot))
	for range 50 {
		if err := h.try("alice", rightPassword, "192.0.2.1", ""); !errors.Is(err, ErrBusy) {
			t.Fatal(err)
		}
	}
	h.Hasher.waiting.Store(0)
	for range cap(h.Hasher.slots) {
		<-h.Hasher.slots
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for range 50 {
		if _, err := h.Password(gone, "alice", rightPassword, "192.0.2.1", unknownDevice); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
	if err := h.try("alice", rightPassword, "192.0.2.1", ""); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

func TestWithoutCountersNobodyMayGuess(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.m.down = true
	if err := h.try("alice", rightPassword, "192.0.2.1", ""); !errors.Is(err, errDown) {
		t.Errorf("%v", err)
	}
}

func TestTheStoreDoesNotLearnWhoTried(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	_ = h.try("alice", "wrong", "192.0.2.1", "")
	_ = h.try("alice", "wrong", "192.0.2.1", "her-laptop")
	_ = h.try("a name with spaces", "wrong", "192.0.2.1", "")
	keys := h.m.keys()
	if len(keys) != 4 {
		t.Errorf("%d counters", len(keys))
	}
	for k := range keys {
		for _, secret := range []string{"alice", "192.0.2.1", "laptop", "spaces"} {
			if strings.Contains(k, secret) {
				t.Errorf("%q is kept in %q", secret, k)
			}
		}
	}
	other := &Throttle{Counters: h.m, Key: []byte("another")}
	if other.key("account", "alice") == h.Throttle.key("account", "alice") || h.Throttle.key("device", "ab",
		"c") == h.Throttle.key("device", "a", "bc") {
		t.Error("the keys of counters are not keyed, or run together")
	}
}

func TestACheaperHashIsReplacedAtSignIn(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.Hasher = NewHasher(Params{Memory: 64, Time: 2, Threads: 1}, 4)
	u, err := h.Password(t.Context(), "alice", rightPassword, "192.0.2.1", unknownDevice)
	if err != nil || h.m.updates != 1 || u.Version != 2 || !strings.Contains(u.PasswordHash, "t=2") {
		t.Fatalf("%+v %v, %d updates", u, err, h.m.updates)
	}
	if _, err := h.Password(t.Context(), "alice", rightPassword, "192.0.2.1", unknownDevice); err != nil || h.m.updates != 1 {
		t.Errorf("the second time: %v, %d updates", err, h.m.updates)
	}
	if err := h.try("alice", "wrong", "192.0.2.1", ""); !errors.Is(err, ErrWrong) {
		t.Error(err)
	}
	// Somebody else changed the account meanwhile: theirs stands, and the sign-in too.
	h = newHouse(t)
	h.Hasher = NewHasher(Params{Memory: 64, Time: 2, Threads: 1}, 4)
	h.m.conflict = true
	if err := h.try("alice", rightPassword, "192.0.2.1", ""); err != nil {
		t.Errorf("with a conflict: %v", err)
	}
}

// The time is that of the hash in every case; what is measured here is that a hash is computed at
// all.
func TestNobodyCostsTheSame(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for range cap(h.Hasher.slots) {
		h.Hasher.slots <- struct{}{}
	}
	h.Hasher.waiting.Store(int64(cap(h.Hasher.slots) * queuePerSlot))
	for _, name := range []string{"alice", "bob", "nobody-here", "passkey-only", "im possible"} {
		if err := h.try(name, "wrong", "192.0.2.1", ""); !errors.Is(err, ErrBusy) {
			t.Errorf("%s is answered without a hash: %v", name, err)
		}
	}
}

func TestLockoutIsShownAndLifted(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	look := func() Lockout {
		t.Helper()
		l, err := h.Throttle.Lockout(t.Context(), "alice", h.now)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	if l := look(); l != (Lockout{}) {
		t.Errorf("before any attempt: %+v", l)
	}
	for range 9 {
		_ = h.try("alice", "wrong", "192.0.2.1", "")
	}
	if l := look(); l.Locked() || l.Failures != 9 || !l.Until.Equal(start.Add(15*time.Minute)) {
		t.Errorf("after nine failures: %+v", l)
	}
	_ = h.try("alice", "wrong", "192.0.2.1", "")
	var throttled *ThrottledError
	if l := look(); !l.Locked() {
		t.Errorf("after ten failures: %+v", l)
	}
	if err := h.try("alice", rightPassword, "192.0.2.2", ""); !errors.As(err, &throttled) || !look().Locked() {
		t.Errorf("while locked: %v", err)
	}
	if err := h.Throttle.Unlock(t.Context(), "alice"); err != nil {
		t.Fatal(err)
	}
	if err := h.try("alice", rightPassword, "192.0.2.2", ""); err != nil || look().Locked() {
		t.Errorf("after the lock-out was lifted: %v", err)
	}
	h.now = h.now.Add(15 * time.Minute)
	if l := look(); l != (Lockout{}) {
		t.Errorf("after the window: %+v", l)
	}
}
