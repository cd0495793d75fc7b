package people

import (
	"container/list"
	"context"
	"sync"
	"time"
)

const (
	lineWait       = 20 * time.Second // for a turn: a request, its proxies and its user have that much patience
	lineMost       = 1000             // attempts that wait, in all
	linePerAccount = 2                // turns of one account at a time
	lineWindow     = 5 * time.Minute  // in which one account has so many turns at most, successful ones included:
	linePerWindow  = 600
)

// line is where attempts to sign in wait for their turn. Networks take turns, and within a network
// its accounts, so that neither one account nor one network keeps the others out, however many
// requests it sends. It is safe for concurrent use.
type line struct {
	width          int // turns at a time
	wait           time.Duration
	most           int
	turnsPerWindow int // of one account

	mu       sync.Mutex
	running  int
	waiting  int
	networks *list.List               // of *queue, those with somebody waiting, the next one first
	byName   map[string]*list.Element // of networks
	active   map[string]int           // turns that run, by account
	turns    map[string]int           // turns since the window began, by account
	since    time.Time
}

// queue is what waits in one network, by account.
type queue struct {
	name     string
	waiting  int
	accounts *list.List // of *accountQueue, the next one first
	byName   map[string]*list.Element
}

type accountQueue struct {
	name    string
	waiters []*waiter
}

type waiter struct {
	turn chan struct{} // closed when it is its turn, or when it was pushed out
	out  bool          // pushed out; guarded by line.mu
}

func newLine(width int) *line {
	return &line{width: width, wait: lineWait, most: lineMost, turnsPerWindow: linePerWindow, networks: list.New(),
		byName: map[string]*list.Element{},
		active: map[string]int{}, turns: map[string]int{}}
}

// enter waits for a turn and returns what ends it. A *ThrottledError if the account had too many
// turns lately, ErrBusy if the turn does not come in time, the context's error when it ends while
// waiting.
func (l *line) enter(ctx context.Context, account, network string, now time.Time) (leave func(), err error) {
	l.mu.Lock()
	if now.Sub(l.since) >= lineWindow || now.Before(l.since) {
		l.turns, l.since = map[string]int{}, now
	}
	if l.turns[account] >= l.turnsPerWindow {
		l.mu.Unlock()
		return nil, &ThrottledError{Until: l.since.Add(lineWindow)}
	}
	leave = sync.OnceFunc(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.end(account)
	})
	if l.running < l.width && l.active[account] < linePerAccount {
		l.begin(account)
		l.mu.Unlock()
		return leave, nil
	}
	if l.waiting >= l.most && !l.pushOut(account, network) {
		l.mu.Unlock()
		return nil, ErrBusy
	}
	w := l.push(account, network)
	l.mu.Unlock()

	patience := time.NewTimer(l.wait)
	defer patience.Stop()
	select {
	case <-w.turn:
	case <-patience.C:
		err = ErrBusy
	case <-ctx.Done():
		err = ctx.Err()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case w.out:
		return nil, ErrBusy
	case err == nil:
		return leave, nil
	}
	if !l.remove(w, account, network) { // its turn has come at this very moment
		l.end(account)
	}
	return nil, err
}

func (l *line) begin(account string) {
	l.running++
	l.active[account]++
	l.turns[account]++
}

func (l *line) end(account string) {
	l.running--
	if l.active[account]--; l.active[account] <= 0 {
		delete(l.active, account)
	}
	l.next()
}

func (l *line) push(account, network string) *waiter {
	e := l.byName[network]
	if e == nil {
		e = l.networks.PushBack(&queue{name: network, accounts: list.New(), byName: map[string]*list.Element{}})
		l.byName[network] = e
	}
	q := e.Value.(*queue)
	a := q.byName[account]
	if a == nil {
		a = q.accounts.PushBack(&accountQueue{name: account})
		q.byName[account] = a
	}
	w := &waiter{turn: make(chan struct{})}
	aq := a.Value.(*accountQueue)
	aq.waiters = append(aq.waiters, w)
	q.waiting++
	l.waiting++
	return w
}

// next gives the free turns to those who wait.
func (l *line) next() {
	for l.running < l.width {
		e, a := l.first()
		if e == nil {
			return
		}
		q, aq := e.Value.(*queue), a.Value.(*accountQueue)
		w := aq.waiters[0]
		l.networks.MoveToBack(e)
		q.accounts.MoveToBack(a)
		l.take(e, a, 0)
		l.begin(aq.name)
		close(w.turn)
	}
}

// first finds whose turn it is: the first account of the first network that may have one more turn;
// nil if there is none.
func (l *line) first() (network, account *list.Element) {
	for e := l.networks.Front(); e != nil; e = e.Next() {
		for a := e.Value.(*queue).accounts.Front(); a != nil; a = a.Next() {
			if l.active[a.Value.(*accountQueue).name] < linePerAccount {
				return e, a
			}
		}
	}
	return nil, nil
}

// take removes one waiter.
func (l *line) take(e, a *list.Element, at int) {
	q, aq := e.Value.(*queue), a.Value.(*accountQueue)
	aq.waiters = append(aq.waiters[:at:at], aq.waiters[at+1:]...)
	q.waiting--
	l.waiting--
	if len(aq.waiters) == 0 {
		q.accounts.Remove(a)
		delete(q.byName, aq.name)
	}
	if q.waiting == 0 {
		l.networks.Remove(e)
		delete(l.byName, q.name)
	}
}

// remove takes a waiter out who gives up, and reports whether it still waited.
func (l *line) remove(w *waiter, account, network string) bool {
	e := l.byName[network]
	if e == nil {
		return false
	}
	a := e.Value.(*queue).byName[account]
	if a == nil {
		return false
	}
	for i, other := range a.Value.(*accountQueue).waiters {
		if other == w {
			l.take(e, a, i)
			return true
		}
	}
	return false
}

// pushOut makes room in a line that is full: of the network that has most waiting, the account that
// has most waiting loses its last one, unless the newcomer is no better. It reports whether there
// is room now.
func (l *line) pushOut(account, network string) bool {
	longest := func(all *list.List, waiting func(*list.Element) int) (e *list.Element, most int) {
		for x := all.Front(); x != nil; x = x.Next() {
			if n := waiting(x); n > most {
				e, most = x, n
			}
		}
		return e, most
	}
	ofNetwork := func(e *list.Element) int { return e.Value.(*queue).waiting }
	ofAccount := func(a *list.Element) int { return len(a.Value.(*accountQueue).waiters) }
	e, most := longest(l.networks, ofNetwork)
	if e == nil {
		return false
	}
	a, mostOfAccount := longest(e.Value.(*queue).accounts, ofAccount)
	if own := l.byName[network]; own == e {
		mine := 0
		if x := own.Value.(*queue).byName[account]; x != nil {
			mine = ofAccount(x)
		}
		if mostOfAccount <= mine+1 {
			return false
		}
	} else if own != nil && most <= ofNetwork(own)+1 {
		return false
	}
	waiters := a.Value.(*accountQueue).waiters
	w := waiters[len(waiters)-1]
	l.take(e, a, len(waiters)-1)
	w.out = true
	close(w.turn)
	return true
}
