package storage

import (
	"context"
	"errors"
)

// write is one change that waits to be committed along with others.
type write struct {
	ctx  context.Context
	what string
	run  func(*conn) error
	err  error
	done chan struct{}
}

// maxBatch bounds a transaction, so that the first of a crowd is not kept waiting for the last.
const maxBatch = 512

// change runs fn inside the next transaction and returns when that is on the disk. Along with an error other than
// ErrConsumed it returns nothing. fn may be run more than once and
// must begin anew each time. If it returns ErrNotFound, ErrConsumed or ErrConflict it has changed nothing: whatever it has
// written by then stays. With any other error everything it did is undone.
func change[T any](ctx context.Context, s *SQLite, what string, fn func(*conn) (T, error)) (T, error) {
	var none, out T
	w := &write{ctx: ctx, what: what, done: make(chan struct{})}
	w.run = func(c *conn) (err error) {
		out, err = fn(c)
		return err
	}
	if err := ctx.Err(); err != nil {
		return none, wrap(what, err)
	}
	if !s.queue.add(w) {
		return none, wrap(what, errClosed)
	}
	select {
	case <-w.done:
		if w.err != nil && w.err != ErrConsumed {
			return none, wrap(what, w.err)
		}
		return out, w.err
	case <-ctx.Done():
		// Whether it is written is not known, and out belongs to the writer.
		return none, wrap(what, ctx.Err())
	}
}

// set is change for what has no result.
func set(ctx context.Context, s *SQLite, what string, fn func(*conn) error) error {
	_, err := change(ctx, s, what, func(c *conn) (struct{}, error) { return struct{}{}, fn(c) })
	return err
}

// commit is the one goroutine that writes. It takes whatever waits, one write or five hundred, into one transaction with one
// sync of the disk, and answers nobody before that. It never waits for company: while the disk is busy with one
// transaction, the next gathers by itself.
func (s *SQLite) commit(own *conn) {
	defer close(s.closed)
	if !s.memory {
		defer own.close()
	}
	for {
		batch := s.queue.take(maxBatch)
		if len(batch) == 0 {
			return
		}
		c := own
		if s.memory {
			c = <-s.idle
		}
		if !transact(c, batch) {
			// One of them failed half way, and took back what the others had done. Each gets a transaction of its own now.
			for i := range batch {
				if !transact(c, batch[i:i+1]) {
					panic("storage: a write alone was not answered")
				}
			}
		}
		if s.memory {
			s.idle <- c
		}
	}
}

// transact runs the writes in one transaction and answers them all. It answers none of them, and leaves nothing written,
// if one of several failed before the commit.
func transact(c *conn, batch []*write) (answered bool) {
	if _, err := c.exec("BEGIN IMMEDIATE"); err != nil {
		return reply(batch, err)
	}
	for _, w := range batch {
		if w.err = w.ctx.Err(); w.err != nil {
			continue // nobody waits for it any more, and nothing has been done
		}
		if w.err = w.run(c); w.err == nil || answer(w.err) {
			continue
		}
		failed := w.err
		if err := rollback(c); err != nil {
			return reply(batch, errors.Join(failed, err))
		}
		if len(batch) > 1 {
			return false
		}
		return reply(batch, failed)
	}
	if _, err := c.exec("COMMIT"); err != nil {
		// Not tried again: after a failed sync a second one that succeeds proves nothing about the first one's pages.
		return reply(batch, errors.Join(err, rollback(c)))
	}
	for _, w := range batch {
		close(w.done)
	}
	return true
}

func reply(batch []*write, err error) bool {
	for _, w := range batch {
		w.err = err
		close(w.done)
	}
	return true
}

// rollback ends the transaction. On some faults, a full disk say, SQLite has done so already, and says that there is none.
func rollback(c *conn) error {
	_, err := c.exec("ROLLBACK")
	if err != nil {
		if _, again := c.exec("BEGIN IMMEDIATE"); again == nil {
			_, err = c.exec("ROLLBACK")
		}
	}
	return err
}
