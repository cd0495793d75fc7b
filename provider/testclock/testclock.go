// Package testclock is the time that a test holds: it stands still until the test moves it. Tests
// of everything that takes a clock use it; no program does.
package testclock

import (
	"sync"
	"time"
)

// Noon is when a Clock begins that was told nothing else.
var Noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// Clock is a clock that stands still. It is safe for concurrent use.
type Clock struct {
	mu sync.Mutex
	at time.Time
}

// New returns a clock that stands at Noon.
func New() *Clock { return At(Noon) }

// At returns a clock that stands at t.
func At(t time.Time) *Clock { return &Clock{at: t} }

// Now returns the time at which the clock stands.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

// Advance moves the clock by d, or back where d is negative.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}
