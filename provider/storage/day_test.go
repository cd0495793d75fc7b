package storage_test

import (
	"testing"
	"time"

	"latchkey/provider/storage"
)

func TestCountsByDay(t *testing.T) {
	contract(t, func(t *testing.T, s *storage.Store) {
		ctx, day := patient(t), 24*time.Hour
		now := noon.Truncate(day).Add(12 * time.Hour)
		for _, at := range []time.Duration{-2 * day, -2 * day, -12 * time.Hour, 0, 11 * time.Hour} {
			must(t, s.CountDay(ctx, storage.DaySignIns, now.Add(at)))
		}
		must(t, s.CountDay(ctx, storage.DayFailures, now))
		got, err := s.Days(ctx, storage.DaySignIns, now, 4)
		must(t, err)
		equal(t, got, []int{0, 2, 0, 3}) // twelve hours before noon the day begins
		got, err = s.Days(ctx, storage.DayFailures, now, 2)
		must(t, err)
		equal(t, got, []int{0, 1})
		_, err = s.Purge(ctx, now.Add(30*day))
		must(t, err)
		got, err = s.Days(ctx, storage.DaySignIns, now, 3)
		must(t, err)
		equal(t, got, []int{2, 0, 3})
	})
}
