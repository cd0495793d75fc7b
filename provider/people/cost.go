package people

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"math"
	"slices"
	"sync"
	"time"

	"latchkey/provider/storage"
)

const (
	costsFor    = time.Hour // a sample of the stored hashes is used so long
	costsSample = 100       // accounts that are read at one place
	costsPlaces = 8
)

// costs knows what the stored password hashes cost. Accounts that were imported, or that have not
// signed in since the cost was raised, take another time than the others; an unknown name takes the
// time of one of them, so that neither shows.
type costs struct {
	mu      sync.Mutex
	learned time.Time
	share   []costShare
}

// costShare is how many of the sampled accounts have hashes of this cost.
type costShare struct {
	cost  cost
	count int
}

// userList is what costs are learned from; a store that does not have it teaches nothing.
type userList interface {
	Users(ctx context.Context, after string, limit int) ([]storage.User, error)
}

// costOf returns what a hash of the account, which has none, would cost. It is drawn by a keyed hash
// of its name: the same for the same name, in the proportion in which they are stored.
func (a *Authenticator) costOf(account string) cost {
	mac := hmac.New(sha256.New, a.Throttle.Key)
	mac.Write([]byte("cost of nobody\x00" + account))
	draw := float64(binary.BigEndian.Uint64(mac.Sum(nil))) / math.MaxUint64

	a.costs.mu.Lock()
	defer a.costs.mu.Unlock()
	total := 0
	for _, s := range a.costs.share {
		total += s.count
	}
	at := int(draw * float64(total))
	for _, s := range a.costs.share {
		if at -= s.count; at < 0 {
			return s.cost
		}
	}
	return a.Hasher.own()
}

// learnCosts reads a sample of accounts when the last one is old. What cannot be read is left for
// the next time.
func (a *Authenticator) learnCosts(ctx context.Context) {
	a.costs.mu.Lock()
	defer a.costs.mu.Unlock()
	store, ok := a.Store.(userList)
	now := a.Now()
	if !ok || !a.costs.learned.IsZero() && now.Sub(a.costs.learned) < costsFor && !now.Before(a.costs.learned) {
		return
	}
	a.costs.learned = now
	seen := map[string]cost{}
	after := ""
	for range costsPlaces {
		users, err := store.Users(ctx, after, costsSample)
		if err != nil {
			return
		}
		for _, u := range users {
			if e, err := a.Hasher.parse(u.PasswordHash); err == nil {
				seen[u.ID] = e.cost
			}
		}
		if after == "" && len(users) < costsSample {
			break // these are all
		}
		after = string(rune('a'+rand.Text()[0]%26)) + rand.Text()[:1]
	}
	counts := map[cost]int{}
	for _, c := range seen {
		counts[c]++
	}
	a.costs.share = nil
	for c, n := range counts {
		a.costs.share = append(a.costs.share, costShare{c, n})
	}
	slices.SortFunc(a.costs.share, func(x, y costShare) int { return x.cost.compare(y.cost) })
}

// see adds the cost of a hash that the sample did not have.
func (a *Authenticator) see(phc string) {
	e, err := a.Hasher.parse(phc)
	if err != nil {
		return
	}
	a.costs.mu.Lock()
	defer a.costs.mu.Unlock()
	if !slices.ContainsFunc(a.costs.share, func(s costShare) bool { return s.cost == e.cost }) &&
		len(a.costs.share) < costsSample {
		a.costs.share = append(a.costs.share, costShare{e.cost, 1})
	}
}
