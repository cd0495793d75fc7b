package people

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"latchkey/provider/storage"
)

// memory is the part of a store that this package needs; the real ones have a contract test of
// their own.
type memory struct {
	mu       sync.Mutex
	users    map[string]storage.User
	counts   map[string]int
	ends     map[string]time.Time
	down     bool
	conflict bool
	updates  int
}

func newMemory(users ...storage.User) *memory {
	m := &memory{users: map[string]storage.User{}, counts: map[string]int{}, ends: map[string]time.Time{}}
	for _, u := range users {
		m.users[u.Username] = u
	}
	return m
}

var errDown = errors.New("the store is down")

func (m *memory) UserBySignInName(_ context.Context, name string) (storage.User, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.down {
		return storage.User{}, errDown
	}
	for _, u := range m.users {
		if slices.Contains(u.SignInNames(), name) {
			return u, nil
		}
	}
	return storage.User{}, storage.ErrNotFound
}

func (m *memory) UpdateUser(_ context.Context, u storage.User) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.conflict || m.users[u.Username].Version != u.Version {
		return storage.ErrConflict
	}
	u.Version++
	m.users[u.Username] = u
	m.updates++
	return nil
}

func (m *memory) CountAttempt(_ context.Context, key string, now time.Time, window time.Duration) (int, time.Time,
	error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.down {
		return 0, time.Time{}, errDown
	}
	if !now.Before(m.ends[key]) {
		m.counts[key], m.ends[key] = 0, now.Add(window)
	}
	m.counts[key]++
	return m.counts[key], m.ends[key], nil
}

func (m *memory) ForgiveAttempts(ctx context.Context, key string, n int) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if n < 0 {
		n = m.counts[key]
	}
	m.counts[key] = max(0, m.counts[key]-n)
	return nil
}

func (m *memory) Attempts(_ context.Context, key string, now time.Time) (int, time.Time, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.down {
		return 0, time.Time{}, errDown
	}
	if !now.Before(m.ends[key]) {
		return 0, time.Time{}, nil
	}
	return m.counts[key], m.ends[key], nil
}

func (m *memory) keys() map[string]int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.counts)
}

// cheap are costs for tests that are about something else.
var cheap = Params{Memory: 64, Time: 1, Threads: 1}

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func hashed(t testing.TB, h *Hasher, password string) string {
	t.Helper()
	phc, err := h.Hash(context.Background(), password)
	if err != nil {
		t.Fatal(err)
	}
	return phc
}
