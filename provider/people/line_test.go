package people

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"latchkey/provider/storage"
)

// waitFor returns once n attempts wait in the line.
func (l *line) waitFor(n int) {
	for {
		l.mu.Lock()
		there := l.waiting
		l.mu.Unlock()
		if there >= n {
			return
		}
		runtime.Gosched()
	}
}

func TestOneAccountDoesNotKeepOthersWaiting(t *testing.T) {
	t.Parallel()
	l := newLine(1)
	now := start
	first, err := l.enter(t.Context(), "mallory", "192.0.2.1", now)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var order []string
	var wait sync.WaitGroup
	queue := func(account, network string) {
		before := l.waitingNow()
		wait.Go(func() {
			leave, err := l.enter(t.Context(), account, network, now)
			if err != nil {
				t.Errorf("%s: %v", account, err)
				return
			}
			mu.Lock()
			order = append(order, account)
			mu.Unlock()
			leave()
		})
		l.waitFor(before + 1)
	}
	for range 100 {
		queue("mallory", "192.0.2.1")
	}
	queue("neighbour", "192.0.2.1") // behind the same address
	queue("alice", "198.51.100.1")
	queue("bob", "198.51.100.1")
	first()
	wait.Wait()
	place := map[string]int{}
	for i, who := range order {
		place[who] = i + 1 // of mallory, the last
	}
	if place["alice"] > 3 || place["neighbour"] > 4 || place["bob"] > 5 {
		t.Errorf("after %v", place)
	}
}

func (l *line) waitingNow() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.waiting
}

func TestALineThatIsFullMakesRoomForThoseWhoTakeLess(t *testing.T) {
	t.Parallel()
	l := newLine(1)
	l.most = 10
	ctx, cancel := context.WithCancel(t.Context())
	first, err := l.enter(ctx, "somebody", "192.0.2.9", start)
	if err != nil {
		t.Fatal(err)
	}
	results := make(chan error, 20)
	for i := range 10 {
		go func() {
			leave, err := l.enter(ctx, "mallory", "192.0.2.1", start)
			if err == nil {
				leave()
			}
			results <- err
		}()
		l.waitFor(i + 1)
	}
	if _, err := l.enter(ctx, "mallory", "192.0.2.1", start); !errors.Is(err, ErrBusy) {
		t.Errorf("the eleventh of the same account: %v", err)
	}
	alice := make(chan error, 1)
	go func() {
		leave, err := l.enter(ctx, "alice", "192.0.2.1", start)
		if err == nil {
			leave()
		}
		alice <- err
	}()
	if err := <-results; !errors.Is(err, ErrBusy) {
		t.Errorf("who made room: %v", err)
	}
	first()
	if err := <-alice; err != nil {
		t.Errorf("another account of the same network: %v", err)
	}
	cancel()
	for range 9 {
		<-results
	}
}

func TestATurnThatDoesNotComeIsBusyAndLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	l := newLine(1)
	l.wait = time.Millisecond
	first, err := l.enter(t.Context(), "somebody", "192.0.2.9", start)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.enter(t.Context(), "alice", "192.0.2.1", start); !errors.Is(err, ErrBusy) {
		t.Errorf("after its patience: %v", err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	l.wait = time.Hour
	if _, err := l.enter(gone, "alice", "192.0.2.1", start); !errors.Is(err, context.Canceled) {
		t.Errorf("whose browser has gone: %v", err)
	}
	first()
	first() // a second time changes nothing
	if l.running != 0 || l.waiting != 0 || l.networks.Len() != 0 || len(l.byName) != 0 || len(l.active) != 0 {
		t.Errorf("left behind: %+v", l)
	}
}

func TestSuccessesHaveALimitToo(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	tries := func() (n int) {
		for range linePerWindow + 10 {
			if h.try("alice", rightPassword, "192.0.2.1", "her-laptop") == nil {
				n++
			}
		}
		return n
	}
	if n := tries(); n != linePerWindow {
		t.Errorf("%d of %d", n, linePerWindow)
	}
	h.now = h.now.Add(lineWindow)
	if n := tries(); n != linePerWindow {
		t.Errorf("in the next window: %d of %d", n, linePerWindow)
	}
}

func TestAnAccountThatMayFailMoreOftenMaySucceedAsOften(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.Throttle.PerAccount = linePerWindow + 100
	for i := range linePerWindow + 100 {
		if err := h.try("alice", rightPassword, "192.0.2.1", ""); err != nil {
			t.Fatalf("sign-in %d: %v", i+1, err)
		}
	}
}

func TestManyPeopleBehindOneAddressSignInAtOnce(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	var users []storage.User
	for i := range 300 {
		users = append(users, storage.User{ID: fmt.Sprint("id", i), Username: fmt.Sprint("person", i),
			PasswordHash: h.m.users["alice"].PasswordHash, Version: 1})
	}
	for _, u := range users {
		h.m.users[u.Username] = u
	}
	var wait sync.WaitGroup
	for _, u := range users {
		wait.Go(func() {
			if err := h.try(u.Username, rightPassword, "192.0.2.1", ""); err != nil {
				t.Errorf("%s: %v", u.Username, err)
			}
		})
	}
	wait.Wait()
}

// listed is a store that accounts can be sampled of.
type listed struct{ *memory }

func (l listed) Users(_ context.Context, after string, limit int) (out []storage.User, err error) {
	if after == "" {
		for _, u := range l.users {
			out = append(out, u)
		}
	}
	return out, nil
}

func TestUnknownNamesCostWhatAccountsCost(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	dear := Params{Memory: 256, Time: 3, Threads: 1}
	imported := hashed(t, NewHasher(dear, 1), rightPassword)
	for i := range 30 {
		h.m.users[fmt.Sprint("imported", i)] = storage.User{ID: fmt.Sprint("i", i), Username: fmt.Sprint("imported", i),
			PasswordHash: imported, Version: 1}
		h.m.users[fmt.Sprint("native", i)] = storage.User{ID: fmt.Sprint("n", i), Username: fmt.Sprint("native", i),
			PasswordHash: h.m.users["alice"].PasswordHash, Version: 1}
	}
	h.Store = listed{h.m}
	draw := func(a *Authenticator) (picked map[string]cost, count map[cost]int) {
		picked, count = map[string]cost{}, map[cost]int{}
		a.learnCosts(t.Context())
		for i := range 400 {
			name := fmt.Sprint("nobody", i)
			picked[name] = a.costOf(name)
			count[picked[name]]++
		}
		return picked, count
	}
	before, count := draw(h.Authenticator)
	expensive, native := NewHasher(dear, 1).own(), NewHasher(cheap, 1).own()
	if count[expensive] < 140 || count[expensive] > 260 || count[expensive]+count[native] != 400 {
		t.Errorf("half of the accounts are dear, and of 400 unknown names: %v", count)
	}
	// After a restart, and on another instance, a name costs what it cost before.
	again, _ := draw(&Authenticator{Store: h.Store, Hasher: NewHasher(cheap, 1), Throttle: h.Throttle, Now: h.Now})
	for name, p := range before {
		if again[name] != p {
			t.Fatalf("%s: %v, then %v", name, p, again[name])
		}
	}
}
