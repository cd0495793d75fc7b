package keys

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"slices"
	"sync"
	"testing"

	"latchkey/provider/testclock"
)

// memory is a Store for the tests of this package; the real ones have a contract test of their own.
type memory struct {
	mu    sync.Mutex
	set   KeySet
	reads int
	swaps int
	down  bool
	lose  bool // writes happen, and their answer does not arrive
	rsa   int
	hang  chan struct{} // while it is not nil, reads wait until it is closed or their context ends
}

// rsaKeys are shared by all tests, because making them takes most of the time. No store gets one
// twice.
var rsaKeys struct {
	sync.Mutex
	list []*rsa.PrivateKey
}

func (m *memory) newRSA() (*rsa.PrivateKey, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	rsaKeys.Lock()
	defer rsaKeys.Unlock()
	if m.rsa == len(rsaKeys.list) {
		k, err := rsa.GenerateKey(rand.Reader, minRSA)
		if err != nil {
			return nil, err
		}
		rsaKeys.list = append(rsaKeys.list, k)
	}
	m.rsa++
	return rsaKeys.list[m.rsa-1], nil
}

func (m *memory) KeySet(ctx context.Context) (KeySet, error) {
	m.mu.Lock()
	m.reads++
	hang := m.hang
	m.mu.Unlock()
	if hang != nil {
		select {
		case <-hang:
		case <-ctx.Done():
			return KeySet{}, ctx.Err()
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.down {
		return KeySet{}, errors.New("the store is down")
	}
	return copied(m.set), nil
}

// copied returns a set that shares no list with the given one.
func copied(set KeySet) KeySet {
	set.Keys, set.Revoked = slices.Clone(set.Keys), slices.Clone(set.Revoked)
	return set
}

func (m *memory) SwapKeySet(_ context.Context, set KeySet) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.down {
		return false, errors.New("the store is down")
	}
	if set.Version != m.set.Version+1 {
		return false, nil
	}
	m.set = copied(set)
	m.swaps++
	if m.lose {
		return false, errors.New("the connection was cut")
	}
	return true, nil
}

func (m *memory) stored() KeySet {
	s, _ := m.KeySet(context.Background())
	return s
}

func newClock() *testclock.Clock { return testclock.New() }

func testSealer(t testing.TB) *Sealer {
	t.Helper()
	s, err := NewSealer([]byte("only tests use a master key like this"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func openRing(t testing.TB, m *memory, c *testclock.Clock) *Ring {
	t.Helper()
	r, err := Open(t.Context(), Config{Store: m, Sealer: testSealer(t), Now: c.Now, newRSA: m.newRSA})
	if err != nil {
		t.Fatal(err)
	}
	return r
}
