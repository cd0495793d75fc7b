package keys

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey/provider/testclock"
)

// masterKeys are those that an instance has. Tests change them as an operator would change its
// files.
type masterKeys struct {
	mu   sync.Mutex
	list [][]byte
}

func (k *masterKeys) get() ([][]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.list), nil
}

func (k *masterKeys) set(list ...[]byte) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.list = list
}

func openSealer(t testing.TB, m *memory, c *testclock.Clock, masters ...[]byte) *Sealer {
	t.Helper()
	s, err := OpenSealer(t.Context(), SealerConfig{Store: m, Now: c.Now, Masters: (&masterKeys{list: masters}).get})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func openRingWith(t testing.TB, m *memory, c *testclock.Clock, s *Sealer) *Ring {
	t.Helper()
	r, err := Open(t.Context(), Config{Store: m, Sealer: s, Now: c.Now, newRSA: m.newRSA})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func seal(t testing.TB, s *Sealer, text string) []byte {
	t.Helper()
	sealed, err := s.Seal([]byte(text), "row")
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

func opensAs(t testing.TB, s *Sealer, sealed []byte, want string) {
	t.Helper()
	if plain, err := s.Open(sealed, "row"); err != nil || string(plain) != want {
		t.Errorf("opens as %q, %v; %q was sealed", plain, err, want)
	}
}

// labels are those for which keyed hashes exist in databases and browsers. A change of what follows
// from one of them signs people out, refuses secrets, or makes strangers of everybody.
var labels = []string{"client secrets", "refresh tokens", "pairwise subjects", "csrf", "signed-out pages", "throttle",
	"cookie authentication", "cookie encryption"}

func derived(s *Sealer) []string {
	var out []string
	for _, l := range labels {
		out = append(out, fmt.Sprintf("%s %x", l, s.Derive(l, 64)))
	}
	return out
}

func rekey(t testing.TB, s *Sealer, master []byte) {
	t.Helper()
	if changed, err := s.Rekey(t.Context(), master); err != nil || !changed {
		t.Fatalf("changed: %t, %v", changed, err)
	}
}

func TestAnEmptyStoreGetsARandomRoot(t *testing.T) {
	t.Parallel()
	c, master := newClock(), random(32)
	m := &memory{}
	const instances = 20
	sealers := make([]*Sealer, instances)
	var wait sync.WaitGroup
	for i := range sealers {
		wait.Go(func() { sealers[i] = openSealer(t, m, c, master) })
	}
	wait.Wait()
	want := derived(sealers[0])
	for _, s := range sealers {
		if !slices.Equal(derived(s), want) {
			t.Fatal("instances that started at once have different roots")
		}
	}
	opensAs(t, sealers[1], seal(t, sealers[0], "x"), "x")
	if slices.Equal(derived(openSealer(t, &memory{}, c, master)), want) {
		t.Error("two databases under one master key have the same root")
	}
	static, err := NewSealer(master)
	if err != nil {
		t.Fatal(err)
	}
	if slices.Equal(derived(static), want) {
		t.Error("the root follows from the master key")
	}
	set := m.stored()
	if len(set.Seal.Keys) != 1 || bytes.Contains(set.Seal.Root, sealers[0].root) {
		t.Errorf("%+v", set.Seal)
	}
}

func TestADatabaseFromBeforeKeepsEveryValue(t *testing.T) {
	t.Parallel()
	m, c, master := &memory{}, newClock(), random(32)
	before, err := NewSealer(master)
	if err != nil {
		t.Fatal(err)
	}
	r := openRingWith(t, m, c, before)
	token := sign(t, r, "RS256")
	secret, want, version := seal(t, before, "a client secret"), derived(before), m.stored().Version

	other := random(32)
	_, err = OpenSealer(t.Context(), SealerConfig{Store: m, Now: c.Now,
		Masters: (&masterKeys{list: [][]byte{other}}).get})
	if !errors.Is(err, ErrSealed) || !strings.Contains(err.Error(), MasterKeyID(other)) ||
		m.stored().Version != version {
		t.Fatalf("under another master key: %v, version %d", err, m.stored().Version)
	}

	after := openSealer(t, m, c, other, master) // the right one need not be the first
	if !slices.Equal(derived(after), want) {
		t.Error("what follows from the master key changed")
	}
	opensAs(t, after, secret, "a client secret")
	// while both versions run
	opensAs(t, before, seal(t, after, "sealed by the new version"), "sealed by the new version")
	if _, _, err := openRingWith(t, m, c, after).Verify(t.Context(), token, "at+jwt"); err != nil {
		t.Error(err)
	}
	if _, err := r.Rotate(t.Context()); err != nil { // by an instance of the version before
		t.Fatal(err)
	}
	if s := openSealer(t, m, c, master); !slices.Equal(derived(s), want) {
		t.Error("what follows from the master key changed at the second start")
	}
}

func TestValueThatAnotherInstanceHasSealedByTheNewKeyIsNotSealedAgain(t *testing.T) {
	t.Parallel()
	m, c, first, second := &memory{}, newClock(), random(32), random(32)
	here, there := openSealer(t, m, c, first, second), openSealer(t, m, c, first, second)
	rekey(t, there, second)
	value := seal(t, there, "a client secret") // by a key that is not known here yet
	again, changed, err := here.Reseal(value, "row")
	if err != nil || changed || !slices.Equal(again, value) {
		t.Errorf("changed: %t, %v", changed, err)
	}
	if got, err := here.Open(value, "row"); err != nil || string(got) != "a client secret" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestAnotherMasterKeyChangesNothingThatAnybodyHas(t *testing.T) {
	t.Parallel()
	for name, begin := range map[string]func(t *testing.T, m *memory, c *testclock.Clock, master []byte){
		"begun by this version": func(*testing.T, *memory, *testclock.Clock, []byte) {},
		"begun by the one before": func(t *testing.T, m *memory, c *testclock.Clock, master []byte) {
			s, err := NewSealer(master)
			if err != nil {
				t.Fatal(err)
			}
			openRingWith(t, m, c, s)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, c, first, second, third := &memory{}, newClock(), random(32), random(32), random(48)
			begin(t, m, c, first)
			files := &masterKeys{list: [][]byte{first}}
			running, err := OpenSealer(t.Context(), SealerConfig{Store: m, Now: c.Now, Masters: files.get})
			if err != nil {
				t.Fatal(err)
			}
			ring := openRingWith(t, m, c, running)
			secret, want, token := seal(t, running, "a client secret"), derived(running), sign(t, ring, "RS256")
			if running.ResealDue() {
				t.Error("something is to be sealed again before anything happened")
			}

			command := openSealer(t, m, c, first, second)
			rekey(t, command, second)
			if changed, err := command.Rekey(t.Context(), second); changed || err != nil {
				t.Errorf("again: changed: %t, %v", changed, err)
			}
			if command.MasterKeyID() != MasterKeyID(second) || !command.ResealDue() {
				t.Errorf("under %s, to be sealed again: %t", command.MasterKeyID(), command.ResealDue())
			}
			_, err = OpenSealer(t.Context(), SealerConfig{Store: m, Now: c.Now,
				Masters: (&masterKeys{list: [][]byte{first}}).get})
			var wrong *MasterKeyError
			if !errors.As(err, &wrong) || !errors.Is(err, ErrSealed) || wrong.Want != MasterKeyID(second) ||
				!slices.Equal(wrong.Have, []string{MasterKeyID(first)}) {
				t.Errorf("with the old master key alone: %v", err)
			}

			// A running instance that does not have the new one yet does not go on as if nothing
			// had happened, ...
			c.Advance(FreshFor)
			if _, _, err := ring.Verify(t.Context(), token, "at+jwt"); !errors.As(err, &wrong) {
				t.Errorf("an instance without the new master key: %v", err)
			}
			if err := ring.Ready(t.Context()); !errors.As(err, &wrong) {
				t.Errorf("an instance without the new master key is ready: %v", err)
			}
			// ... and goes on by itself when it has.
			files.set(first, second)
			if _, _, err := ring.Verify(t.Context(), token, "at+jwt"); err != nil {
				t.Errorf("a token from before: %v", err)
			}
			sign(t, ring, "RS256")
			opensAs(t, running, seal(t, command, "by the command"), "by the command")
			opensAs(t, command, seal(t, running, "by the server"), "by the server")

			alone := openSealer(t, m, c, second)
			for _, s := range []*Sealer{running, command, alone} {
				if !slices.Equal(derived(s), want) {
					t.Error("what follows from the root changed")
				}
				opensAs(t, s, secret, "a client secret")
			}

			again, changed, err := alone.Reseal(secret, "row")
			if err != nil || !changed || bytes.Equal(again, secret) {
				t.Fatalf("Reseal: %t, %v", changed, err)
			}
			opensAs(t, running, again, "a client secret")
			if _, err := alone.Open(again, "another row"); !errors.Is(err, ErrSealed) {
				t.Errorf("moved to another row: %v", err)
			}
			if same, changed, err := alone.Reseal(again, "row"); err != nil || changed || !bytes.Equal(same, again) {
				t.Errorf("Reseal of what is sealed by the current key: %t, %v", changed, err)
			}
			if _, _, err := alone.Reseal(secret, "another row"); !errors.Is(err, ErrSealed) {
				t.Errorf("Reseal in another row: %v", err)
			}
			if old, err := NewSealer(first); err != nil {
				t.Fatal(err)
			} else if _, err := old.Open(again, "row"); !errors.Is(err, ErrSealed) {
				t.Errorf("the old master key opens what was sealed again: %v", err)
			}
			for _, k := range m.stored().Keys {
				if number, _, _ := split(k.Sealed); number != 2 {
					t.Errorf("a private key is sealed by key %d", number)
				}
			}

			if err := alone.ResealDone(t.Context(), c.Now()); err != nil || !alone.ResealDue() {
				t.Errorf("a walk right after the change counts: %v", err)
			}
			c.Advance(2 * signFor)
			if err := alone.ResealDone(t.Context(), c.Now()); err != nil || alone.ResealDue() {
				t.Errorf("a walk later does not: %v", err)
			}
			if s := openSealer(t, m, c, second); s.ResealDue() {
				t.Error("after a restart it is to be done again")
			}

			rekey(t, openSealer(t, m, c, third, second), third)
			last := openSealer(t, m, c, third)
			opensAs(t, last, secret, "a client secret")
			opensAs(t, last, again, "a client secret")
			if !slices.Equal(derived(last), want) || !last.ResealDue() {
				t.Error("a second change is not like the first")
			}
			if _, _, err := openRingWith(t, m, c, last).Verify(t.Context(), token, "at+jwt"); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestAChangeOfTheMasterKeyHappensOrDoesNot(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fail func(m *memory)
		want int // index of the master key that opens afterwards
	}{
		"the store fails before it writes": {func(m *memory) { m.down = true }, 0},
		"the answer is lost":               {func(m *memory) { m.lose = true }, 1},
	} {
		m, at, masters := &memory{}, newClock(), [][]byte{random(32), random(32)}
		s := openSealer(t, m, at, masters...)
		token := sign(t, openRingWith(t, m, at, s), "RS256")
		secret, want := seal(t, s, "x"), derived(s)
		c.fail(m)
		if _, err := s.Rekey(t.Context(), masters[1]); err == nil {
			t.Fatalf("%s: no error", name)
		}
		m.down, m.lose = false, false
		for i := range masters {
			_, err := OpenSealer(t.Context(), SealerConfig{Store: m, Now: at.Now,
				Masters: (&masterKeys{list: masters[i : i+1]}).get})
			if (err == nil) != (i == c.want) {
				t.Errorf("%s: master key %d: %v", name, i, err)
			}
		}
		both := openSealer(t, m, at, masters...)
		opensAs(t, both, secret, "x")
		if _, err := both.Rekey(t.Context(), masters[1]); err != nil {
			t.Errorf("%s: once more: %v", name, err)
		}
		after := openSealer(t, m, at, masters[1])
		opensAs(t, after, secret, "x")
		if !slices.Equal(derived(after), want) || len(m.stored().Seal.Keys) != 2 {
			t.Errorf("%s: %d sealing keys", name, len(m.stored().Seal.Keys))
		}
		if _, _, err := openRingWith(t, m, at, after).Verify(t.Context(), token, "at+jwt"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAChangeOfTheMasterKeyBesideRotationsAndRevocations(t *testing.T) {
	t.Parallel()
	m, c := &memory{}, newClock()
	masters := [][]byte{random(32), random(32), random(32)}
	var rings []*Ring
	for range 4 {
		rings = append(rings, openRingWith(t, m, c, openSealer(t, m, c, masters...)))
	}
	maintain(t, rings[0])
	c.Advance(time.Hour)
	bad := kidOf(t, sign(t, rings[0], "RS256"))
	want := derived(rings[0].sealer)
	changed := make([]bool, 2*len(rings))
	var wait sync.WaitGroup
	for i, r := range rings {
		for j, master := range masters[1:] {
			wait.Go(func() {
				var err error
				if changed[2*i+j], err = r.sealer.Rekey(context.Background(), master); err != nil {
					t.Error(err)
				}
			})
		}
		wait.Go(func() {
			if _, err := r.Rotate(context.Background()); err != nil {
				t.Error(err)
			}
		})
		wait.Go(func() {
			if _, err := r.Revoke(context.Background(), bad); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	c.Advance(FreshFor)
	jws := sign(t, rings[0], "RS256")
	for _, r := range rings {
		if _, _, err := r.Verify(t.Context(), jws, "at+jwt"); err != nil {
			t.Error(err)
		}
		if !slices.Equal(derived(r.sealer), want) {
			t.Error("what follows from the root changed")
		}
	}
	set := m.stored()
	n := 0
	for _, c := range changed {
		if c {
			n++
		}
	}
	if len(set.Seal.Keys) != n+1 {
		t.Errorf("%d sealing keys after %d changes", len(set.Seal.Keys), n)
	}
	if i := slices.IndexFunc(masters, func(k []byte) bool { return MasterKeyID(k) == set.Seal.Master }); i < 1 {
		t.Error("none of the new master keys is in place")
	} else if _, _, err := openRingWith(t, m, c, openSealer(t, m, c, masters[i])).Verify(t.Context(), jws,
		"at+jwt"); err != nil {
		t.Error(err)
	}
}

func TestASealerThatFollowsFromItsMasterKeyCannotChangeIt(t *testing.T) {
	t.Parallel()
	s := testSealer(t)
	if _, err := s.Rekey(t.Context(), random(32)); err == nil {
		t.Error("changed")
	}
	if s.ResealDue() || s.MasterKeyID() != "" {
		t.Error("something is to be sealed again")
	}
	if _, err := openSealer(t, &memory{}, newClock(), random(32)).Rekey(t.Context(), random(31)); err == nil {
		t.Error("a short master key was accepted")
	}
}

func FuzzOpenSealed(f *testing.F) {
	m, c, first, second := &memory{}, newClock(), random(32), random(32)
	s, err := OpenSealer(context.Background(), SealerConfig{Store: m, Now: c.Now,
		Masters: (&masterKeys{list: [][]byte{first, second}}).get})
	if err != nil {
		f.Fatal(err)
	}
	ours := map[string]bool{}
	for range 2 {
		sealed, err := s.Seal([]byte("x"), "row")
		if err != nil {
			f.Fatal(err)
		}
		ours[string(sealed)] = true
		f.Add(sealed)
		if _, err := s.Rekey(context.Background(), second); err != nil {
			f.Fatal(err)
		}
	}
	for _, seed := range []string{"", "\x01", "\x02", "\x02\x00\x00\x00\x01", "\x02\x00\x00\x00\x02",
		"\x02\xff\xff\xff\xff0123456789ab", "\x03", "\x01" + strings.Repeat("\x00", 40)} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, sealed []byte) {
		if plain, err := s.Open(sealed, "row"); err == nil && !ours[string(sealed)] {
			t.Fatalf("%x opens as %q", sealed, plain)
		}
		if _, _, err := s.Reseal(sealed, "row"); err == nil && !ours[string(sealed)] {
			// A value that names the current key is not opened, only left as it is.
			if number, _, ok := split(sealed); !ok || number != 2 {
				t.Fatalf("%x was sealed again", sealed)
			}
		}
	})
}

// A reference to something sealed stands in addresses, so anybody can name a key that there is not.
func TestMadeUpNumbersOfSealingKeysDoNotReadTheStoreEachTime(t *testing.T) {
	m, clock := &memory{}, testclock.At(time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC))
	old, fresh := random(32), random(32)
	here, elsewhere := openSealer(t, m, clock, old, fresh), openSealer(t, m, clock, old, fresh)
	m.mu.Lock()
	before := m.reads
	m.mu.Unlock()
	for i := range 100 {
		if _, err := here.Open(append(header(int64(1000+i)), seal(t, elsewhere, "x")...), "row"); !errors.Is(err,
			ErrSealed) {
			t.Fatalf("%v", err)
		}
	}
	m.mu.Lock()
	if n := m.reads - before; n != 1 {
		t.Errorf("the store was read %d times", n)
	}
	m.mu.Unlock()
	// A key that another instance has made is found all the same.
	rekey(t, elsewhere, fresh)
	clock.Advance(lookAgain)
	opensAs(t, here, seal(t, elsewhere, "sealed by the new key"), "sealed by the new key")
}
