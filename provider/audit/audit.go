package audit

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"latchkey/provider/storage"
)

// DefaultKeep is how long events are kept unless it is configured.
const DefaultKeep = 400 * 24 * time.Hour

// Store is what the log needs of a storage.Store.
type Store interface {
	AppendEvent(ctx context.Context, e storage.Event) error
	SettleEvent(ctx context.Context, id, outcome, reason string) error
	CountAttempt(ctx context.Context, key string, now time.Time, window time.Duration) (count int, resetAt time.Time,
		err error)
}

// Log writes events. A nil *Log writes none.
type Log struct {
	Store  Store
	Now    func() time.Time
	Keep   time.Duration // events are removed after it; 0: DefaultKeep
	Logger *slog.Logger  // nil: none. Gets what could not be stored

	background sync.WaitGroup
	running    atomic.Int32
}

// atOnce bounds what Later has under way.
const atOnce = 64

// Later runs record apart from the request, so that the answer neither waits for it nor tells by
// its time what was recorded. When too much is under way, record is left out and the server's log
// says so. record gets a context that outlives the request, and is bounded.
func (l *Log) Later(ctx context.Context, record func(ctx context.Context)) {
	if l == nil {
		return
	}
	if l.running.Add(1) > atOnce {
		l.running.Add(-1)
		if l.Logger != nil {
			l.Logger.WarnContext(ctx, "an audit event was left out: too many at once")
		}
		return
	}
	l.background.Go(func() {
		defer l.running.Add(-1)
		settling, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTimeout)
		defer cancel()
		record(settling)
	})
}

// Wait returns when all that Later was given is done: before the store is closed.
func (l *Log) Wait() {
	if l != nil {
		l.background.Wait()
	}
}

// settleTimeout bounds the second half of an event, whose caller may have gone.
const settleTimeout = 5 * time.Second

// complete fills in identifier, time and end.
func (l *Log) complete(e storage.Event) storage.Event {
	at := l.Now()
	keep := l.Keep
	if keep <= 0 {
		keep = DefaultKeep
	}
	e.ID, e.Time, e.ExpiresAt = storage.NewEventID(at), at.UTC().Truncate(time.Millisecond), at.Add(keep)
	e.Actor.Name, e.Object.Name = clip(e.Actor.Name), clip(e.Object.Name)
	e.Actor.ID, e.Object.ID, e.Address = clip(e.Actor.ID), clip(e.Object.ID), clip(e.Address)
	return e
}

// Begin stores the event of a change that is about to be made. The caller makes the change only if
// there is no error, and calls Settle with what came of it.
func (l *Log) Begin(ctx context.Context, e storage.Event) (storage.Event, error) {
	if l == nil {
		return e, nil
	}
	e = l.complete(e)
	e.Outcome = storage.OutcomeBegun
	if err := l.Store.AppendEvent(ctx, e); err != nil {
		return e, fmt.Errorf("store the audit event: %w", err)
	}
	return e, nil
}

// Settle stores what came of a change: outcome is OutcomeDone or OutcomeRefused, reason one word,
// "" for none. Without a call the event stays begun, which is right where the outcome is not known.
// A fault goes to the log: the change itself cannot be taken back.
func (l *Log) Settle(ctx context.Context, e storage.Event, outcome, reason string) {
	if l == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTimeout)
	defer cancel()
	if err := l.Store.SettleEvent(ctx, e.ID, outcome, reason); err != nil {
		e.Outcome, e.Reason = outcome, reason
		l.lost(ctx, e, err)
	}
}

// Note stores the event of something that has happened and cannot be taken back. Outcome is
// OutcomeDone unless the event says otherwise. It never fails: an event that cannot be stored goes
// to the log whole.
func (l *Log) Note(ctx context.Context, e storage.Event) {
	if l == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTimeout)
	defer cancel()
	if e.Outcome == "" {
		e.Outcome = storage.OutcomeDone
	}
	e = l.complete(e)
	if err := l.Store.AppendEvent(ctx, e); err != nil {
		l.lost(ctx, e, err)
	}
}

// Bounds of Failure, per window.
const (
	failureWindow = time.Hour
	failuresWhole = 10 // of one scope, so many are stored one by one; then one for each power of two
	eventsWhole   = 50 // so many events of a wider scope are stored; then one for each power of two
)

// Failure stores the event of a failed attempt, but not every one of a flood. scope is what
// attempts are counted by, such as the account: the first ten of an hour are stored, then the 16th,
// 32nd, 64th and so on, each with the Count that it stands for. wider are scopes in which the
// events are counted that this leaves, such as the network: fifty of an hour are stored, then the
// 64th, 128th and so on. So an hour of any flood leaves about fifty events for each of the widest
// scopes.
func (l *Log) Failure(ctx context.Context, e storage.Event, scope string, wider ...string) {
	if l == nil {
		return
	}
	counting, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTimeout)
	defer cancel()
	for i, name := range append([]string{scope}, wider...) {
		whole := eventsWhole
		if i == 0 {
			whole = failuresWhole
		}
		n, _, err := l.Store.CountAttempt(counting, "audit:"+storage.Hash(e.Verb+"\x00"+name), l.Now(), failureWindow)
		if err != nil {
			l.lost(ctx, e, err)
			return
		}
		if n > whole && n&(n-1) != 0 {
			return
		}
		if i == 0 && n > whole { // itself, and those since the one before
			if e.Count = n / 2; n/2 < whole {
				e.Count = n - whole
			}
		}
	}
	if e.Outcome == "" {
		e.Outcome = storage.OutcomeRefused
	}
	l.Note(ctx, e)
}

// lost writes an event that could not be stored to the server's log, so that it is somewhere.
func (l *Log) lost(ctx context.Context, e storage.Event, err error) {
	if l.Logger == nil {
		return
	}
	l.Logger.ErrorContext(ctx, "an audit event could not be stored", "error", err, "verb", e.Verb, "outcome", e.Outcome,
		"reason", e.Reason,
		"actor_kind", e.Actor.Kind, "actor", e.Actor.ID, "actor_name", e.Actor.Name,
		"object_kind", e.Object.Kind, "object", e.Object.ID, "object_name", e.Object.Name, "request_id", e.RequestID,
		"time", e.Time)
}
