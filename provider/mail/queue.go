package mail

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"latchkey/provider/storage"
)

// ErrNobody is what composing returns when there is nobody to write to: no such account, no
// address, no need any more.
var ErrNobody = errors.New("mail: there is nobody to write to")

// ErrDispatched is what composing returns when the mail has done its part without being sent:
// others were queued in its place, or none.
var ErrDispatched = errors.New("mail: dispatched")

const (
	lookEvery  = 5 * time.Second // for what another instance left, or what is due again
	leaseFor   = 2 * time.Minute // longer than an attempt takes
	firstDelay = 10 * time.Second
	mostDelay  = time.Hour
	sendAtOnce = 4
	maxReason  = 500 // bytes of an error that are kept
)

// Queue keeps mails in the store until they are sent. Make one with NewQueue.
type Queue struct {
	store     *storage.Store
	transport Transport
	compose   func(context.Context, storage.Mail) (Message, error)
	now       func() time.Time
	logger    *slog.Logger
	tell      func(sent, givenUp bool)
	wake      chan struct{}
}

// NewQueue makes a Queue. compose writes the text of a mail just before it is sent; ErrNobody drops
// the mail, and ErrDispatched ends it. tell hears what became of each attempt to send one.
func NewQueue(store *storage.Store, transport Transport, compose func(context.Context, storage.Mail) (Message, error),
	now func() time.Time, logger *slog.Logger, tell func(sent, givenUp bool)) *Queue {
	return &Queue{store: store, transport: transport, compose: compose, now: now, logger: logger, tell: tell,
		wake: make(chan struct{}, 1)}
}

// Put queues a mail that is given up after life. When it returns without an error, the mail is
// stored. The caller sets what it is about.
func (q *Queue) Put(ctx context.Context, m storage.Mail, life time.Duration) error {
	return q.PutAt(ctx, m, q.now(), life)
}

// PutAt is Put for a mail that is not sent before due.
func (q *Queue) PutAt(ctx context.Context, m storage.Mail, due time.Time, life time.Duration) error {
	now := q.now()
	m.ID, m.CreatedAt, m.NextAt, m.ExpiresAt = storage.NewID(now), now, due, due.Add(life)
	if err := q.store.CreateMail(ctx, m); err != nil {
		return fmt.Errorf("queue a mail: %w", err)
	}
	select {
	case q.wake <- struct{}{}:
	default:
	}
	return nil
}

// Run sends what is due until ctx ends.
func (q *Queue) Run(ctx context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		if _, err := q.SendDue(ctx); err != nil && ctx.Err() == nil {
			q.logger.LogAttrs(ctx, slog.LevelError, "look for mails to send", slog.String("reason", err.Error()))
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-q.wake:
		}
	}
}

// SendDue makes one attempt at each mail that is due now, a few at once, and returns how many there
// were.
func (q *Queue) SendDue(ctx context.Context) (int, error) {
	var sending sync.WaitGroup
	defer sending.Wait()
	turns := make(chan struct{}, sendAtOnce)
	for n := 0; ; n++ {
		turns <- struct{}{}
		now := q.now()
		m, err := q.store.LeaseMail(ctx, now, now.Add(leaseFor))
		if errors.Is(err, storage.ErrNotFound) {
			return n, nil
		}
		if err != nil {
			return n, fmt.Errorf("lease a mail: %w", err)
		}
		sending.Go(func() {
			defer func() { <-turns }()
			q.attempt(ctx, m)
		})
	}
}

// attempt makes one attempt and stores its outcome.
func (q *Queue) attempt(ctx context.Context, m storage.Mail) {
	err := q.send(ctx, m)
	now := q.now()
	level, message := slog.LevelWarn, "mail not sent"
	switch {
	case err == nil:
		level, message = slog.LevelInfo, "mail sent"
		m.DoneAt, m.LastError = now, ""
	case errors.Is(err, ErrDispatched):
		level, message, err = slog.LevelDebug, "mail dispatched", nil
		m.DoneAt, m.LastError = now, ""
	case errors.Is(err, ErrNobody), errors.Is(err, ErrRefused):
		m.DoneAt, m.LastError = now, clip(err)
		if errors.Is(err, ErrNobody) {
			level = slog.LevelInfo
		}
	default:
		m.NextAt, m.LastError = now.Add(backoff(m.Attempts)), clip(err)
		if !m.NextAt.Before(m.ExpiresAt) {
			m.DoneAt = now
		}
	}
	attrs := []slog.Attr{slog.String("mail", m.ID), slog.String("kind", m.Kind), slog.Int("attempt", m.Attempts)}
	if m.UserID != "" {
		attrs = append(attrs, slog.String("sub", m.UserID))
	}
	if err != nil {
		attrs = append(attrs, slog.String("reason", m.LastError), slog.Bool("given_up", !m.DoneAt.IsZero()))
	}
	q.logger.LogAttrs(ctx, level, message, attrs...)
	if level != slog.LevelDebug && !errors.Is(err, ErrNobody) { // otherwise there was none to send
		q.tell(err == nil, !m.DoneAt.IsZero())
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err := q.store.UpdateMail(ctx, m); err != nil {
		// The lease runs out, and then it is tried again: twice is better than not at all.
		q.logger.LogAttrs(ctx, slog.LevelError, "store what became of a mail", slog.String("mail", m.ID),
			slog.String("reason", err.Error()))
	}
}

func (q *Queue) send(ctx context.Context, m storage.Mail) error {
	message, err := q.compose(ctx, m)
	if err != nil {
		return err
	}
	// Each attempt has an identifier of its own: the text may differ, and no server on the way
	// should drop the newer one as a copy.
	message.ID, message.Date = fmt.Sprintf("%s-%d", m.ID, m.Attempts), q.now()
	return q.transport.Send(ctx, message)
}

// backoff is how long to wait after the nth attempt.
func backoff(n int) time.Duration {
	return min(firstDelay<<min(max(n-1, 0), 10), mostDelay)
}

// clip is an error in one line, not endless. What a mail server says is anybody's text.
func clip(err error) string {
	s := line(err.Error())
	return strings.ToValidUTF8(s[:min(len(s), maxReason)], "")
}
