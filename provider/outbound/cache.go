package outbound

import (
	"context"
	"fmt"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/sync/singleflight"
)

// CacheConfig says how long a Cache keeps things. All fields must be set.
type CacheConfig struct {
	Fresh time.Duration // a value is used for so long without looking again
	// and for so long while the address does not answer: what its owner has withdrawn must not live
	// on for ever
	Keep     time.Duration
	Cooldown time.Duration // between two looks at one address, whatever is asked for in between
	Most     int           // addresses that are remembered; the one that was not used for longest goes first
	Patience time.Duration // for one look, however many wait for it
}

// Cache remembers what was made of documents at addresses that others named. An address is looked
// at once at a time, for all who ask; one that does not answer is left alone for a while, and the
// last good value goes on meanwhile, until it is too old. It is safe for concurrent use.
type Cache[T any] struct {
	c       CacheConfig
	entries *lru.Cache[string, cached[T]]
	flight  singleflight.Group
}

// cached is what is known of one address.
type cached[T any] struct {
	value   T
	good    bool      // there is a value
	fetched time.Time // when it came
	tried   time.Time // when the address was looked at last
	err     error     // of that look
}

// NewCache makes a Cache.
func NewCache[T any](c CacheConfig) *Cache[T] {
	entries, err := lru.New[string, cached[T]](c.Most)
	if err != nil {
		panic(err) // Most is a constant of the caller's, and positive
	}
	return &Cache[T]{c: c, entries: entries}
}

// Get returns the value of a key, such as an address, from memory or by one call of fetch. lacking
// reports whether a value, good by its age, turned out to lack something, which is worth a new
// look; nil: never. The error is that of the last look, if there is no value that is young enough,
// or of ctx.
func (c *Cache[T]) Get(ctx context.Context, key string, now time.Time, lacking func(T) bool,
	fetch func(context.Context) (T, error)) (T, error) {
	e, known := c.entries.Get(key)
	if known && !c.due(e, now, lacking) {
		return c.result(e, now)
	}
	// The look is for everybody who waits, so it does not end when the one who began it goes away.
	done := c.flight.DoChan(key, func() (any, error) {
		e, known := c.entries.Get(key)
		if known && !c.due(e, now, lacking) {
			return e, nil // somebody looked in between
		}
		fetching, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.c.Patience)
		defer cancel()
		value, err := fetch(fetching)
		e.tried, e.err = now, err
		if err == nil {
			e.value, e.good, e.fetched = value, true, now
		}
		c.entries.Add(key, e)
		return e, nil
	})
	select {
	case r := <-done:
		if r.Err != nil {
			var none T
			return none, r.Err
		}
		return c.result(r.Val.(cached[T]), now) //nolint:forcetypeassert // the function above returns nothing else
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
}

// due reports whether an address should be looked at.
func (c *Cache[T]) due(e cached[T], now time.Time, lacking func(T) bool) bool {
	fresh := e.good && now.Sub(e.fetched).Abs() < c.c.Fresh && (lacking == nil || !lacking(e.value))
	resting := now.Sub(e.tried) < c.c.Cooldown && !now.Before(e.tried)
	return !fresh && !resting
}

func (c *Cache[T]) result(e cached[T], now time.Time) (T, error) {
	if !e.good || e.err != nil && now.Sub(e.fetched).Abs() >= c.c.Keep {
		var none T
		return none, fmt.Errorf("fetch: %w", e.err)
	}
	return e.value, nil
}
