package storage

import (
	"context"
	"time"
)

// What is counted by day, for administrators to look at.
const (
	DaySignIns  = "sign-ins" // sessions begun, or carried on by a new proof
	DayFailures = "failures" // sign-ins that failed
	DayActive   = "active"   // sessions in which something happened
)

// keepDays is how long the counts of a day are kept.
const keepDays = 40 * 24 * time.Hour

func dayKey(what string, day time.Time) string {
	return "day " + day.UTC().Format(time.DateOnly) + " " + what
}

// CountDay adds one to what is counted on the day of now (UTC).
func (s *Store) CountDay(ctx context.Context, what string, now time.Time) error {
	_, _, err := s.engine.Count(ctx, dayKey(what, now), millisecond(now), keepDays)
	return wrap("count by day", err)
}

// Days returns the counts of the last n days, the earliest first, the day of now last.
func (r Records) Days(ctx context.Context, what string, now time.Time, n int) ([]int, error) {
	out := make([]int, n)
	for i := range out {
		day := now.UTC().AddDate(0, 0, i-n+1)
		count, _, err := r.Attempts(ctx, dayKey(what, day), now)
		if err != nil {
			return nil, err
		}
		out[i] = count
	}
	return out, nil
}
