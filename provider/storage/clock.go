package storage

import (
	"context"
	"fmt"
	"time"
)

// Bounds of what is believed of a clock.
const (
	clockSkew   = time.Minute    // by which clocks of several machines may differ
	clockLeap   = 24 * time.Hour // a clock that is further ahead of what was seen last may be wrong
	clockSettle = time.Hour      // for so long: then the server was not running in between
)

// clock is the time that this store was told last.
type clock struct {
	ID      string    `bson:"_id"`
	Seen    time.Time `bson:"seen"`
	LeaptAt time.Time `bson:"leapt_at,omitempty"` // when a clock was first that much ahead of Seen
	Version int64     `bson:"version"`
}

var clocks = register(table[clock]{
	Table:   Table{Name: "clocks"},
	id:      func(c *clock) string { return c.ID },
	version: func(c *clock) *int64 { return &c.Version },
})

// tell notes the time, or what is odd about it.
func (c *clock) tell(now time.Time) {
	switch {
	case c.Seen.IsZero() || now.Before(c.Seen.Add(clockLeap)):
		c.Seen, c.LeaptAt = now, time.Time{} // also one that was put back
	case c.LeaptAt.IsZero() || now.Before(c.LeaptAt) || !now.Before(c.LeaptAt.Add(clockLeap)):
		c.LeaptAt = now
	case now.Before(c.LeaptAt.Add(clockSettle)):
	default:
		c.Seen, c.LeaptAt = now, time.Time{}
	}
}

// A ClockError says that the clock is more than a day ahead of the last time that the store was
// told.
type ClockError struct{ Seen, Now time.Time }

func (e *ClockError) Error() string {
	return fmt.Sprintf("the clock says %s, and the last time that this database saw is %s: either no server has run since, or the clock is wrong. "+
		"Nothing is removed and no session is ended for having run out until it has gone on like that for an hour",
		e.Now.UTC().Format(time.RFC3339), e.Seen.UTC().Format(time.RFC3339))
}

// CheckClock notes the time, and reports, as a *ClockError, that what has run out by that clock
// should not be removed or ended yet, because the clock may be wrong. It is called every few
// minutes, before that is done.
func (s *Store) CheckClock(ctx context.Context, now time.Time) error {
	now = millisecond(now)
	c, err := change(ctx, s, "note the time", clocks, "clock", func(c *clock, _ bool) error {
		c.ID = "clock"
		c.tell(now)
		return nil
	})
	switch {
	case err != nil:
		return err
	case c.LeaptAt.IsZero():
		return nil
	}
	return &ClockError{Seen: c.Seen, Now: now}
}
