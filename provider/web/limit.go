package web

import (
	"maps"
	"sync"
	"time"

	"latchkey/provider/storage"
)

// Limit counts events by key in fixed windows, in this process: so many in a window, and no more.
// Its memory is bounded. Make one with NewLimit.
type Limit struct {
	most   int
	window time.Duration

	mu    sync.Mutex
	rows  map[string]limitRow
	swept time.Time // when windows that had ended were last looked for
}

type limitRow struct {
	count int
	ends  time.Time
}

// maxLimitRows bounds the memory of a Limit. Beyond it, keys that are not counted yet share one
// window: an attacker with many addresses does not get around the limit by having more of them than
// there is room for.
const maxLimitRows = 10_000

// maxLimitKey bounds what a row takes, in bytes. Longer keys are counted by their hash.
const maxLimitKey = 400

// sharedRow is the key of that window. No other key begins with NUL.
const sharedRow = "\x00others"

// NewLimit makes a Limit of most events per key and window. most 0: no limit.
func NewLimit(most int, window time.Duration) *Limit {
	return &Limit{most: most, window: window, rows: map[string]limitRow{}}
}

// Wait returns 0 if the key may have another event at now, else how long until it may.
func (l *Limit) Wait(key string, now time.Time) time.Duration {
	if l.most <= 0 {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	_, row := l.row(key, now)
	if row.count < l.most {
		return 0
	}
	return row.ends.Sub(now)
}

// Count counts an event of the key and returns 0, or how long to wait if there were too many. What
// is refused is not counted.
func (l *Limit) Count(key string, now time.Time) time.Duration {
	if l.most <= 0 {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	key, row := l.row(key, now)
	if row.count >= l.most {
		return row.ends.Sub(now)
	}
	row.count++
	l.rows[key] = row
	return 0
}

// Reset forgets what was counted.
func (l *Limit) Reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.rows)
}

// row finds the window of the key at now, a new one if it has ended. The caller holds mu.
func (l *Limit) row(key string, now time.Time) (string, limitRow) {
	if len(key) > maxLimitKey {
		key = storage.Hash(key)
	}
	if _, known := l.rows[key]; !known && len(l.rows) >= maxLimitRows {
		if now.Sub(l.swept) >= time.Second { // not at every request: there are many windows
			l.swept = now
			maps.DeleteFunc(l.rows, func(_ string, r limitRow) bool { return !now.Before(r.ends) })
		}
		if len(l.rows) >= maxLimitRows {
			key = sharedRow
		}
	}
	row := l.rows[key]
	if !now.Before(row.ends) {
		row = limitRow{ends: now.Add(l.window)}
	}
	return key, row
}
