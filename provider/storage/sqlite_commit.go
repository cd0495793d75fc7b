package storage

import (
	"context"
	"errors"
	"time"

	sqlite3 "modernc.org/sqlite/lib"
)

// write is one change that waits to be committed along with others.
type write struct {
	ctx     context.Context
	run     func(*conn) error
	one     bool // it changes something by its last statement alone
	err     error
	touched []touch // rows that run has changed, if they are remembered
	done    chan struct{}
}

// maxBatch bounds a transaction, so that the first of a crowd is not kept waiting for the last.
const maxBatch = 512

// yieldBatch bounds it in a process that stands back for others.
const yieldBatch = 64

// inTransaction runs fn inside the next transaction and returns when that is on the disk. With an
// error, nothing that fn has written stays. fn may be run more than once, and must begin anew each
// time.
func inTransaction[T any](ctx context.Context, s *SQLite, fn func(*conn) (T, error)) (T, error) {
	return join(ctx, s, false, fn)
}

// inOneStatement is inTransaction for a fn that changes something by one statement and returns
// after it. SQLite itself undoes a statement that fails, so that no savepoint is needed, which
// would cost a copy of every page that is changed.
func inOneStatement[T any](ctx context.Context, s *SQLite, fn func(*conn) (T, error)) (T, error) {
	return join(ctx, s, true, fn)
}

func join[T any](ctx context.Context, s *SQLite, one bool, fn func(*conn) (T, error)) (T, error) {
	var none, out T
	w := &write{ctx: ctx, one: one, done: make(chan struct{})}
	w.run = func(c *conn) (err error) {
		out, err = fn(c)
		return err
	}
	if err := ctx.Err(); err != nil {
		return none, err
	}
	if !s.queue.add(w) {
		return none, errClosed
	}
	select {
	case <-w.done:
		return out, w.err
	case <-ctx.Done():
		// Whether it is written is not known, and out belongs to the writer.
		return none, ctx.Err()
	}
}

// commit is the one goroutine that writes. It takes whatever waits, one write or five hundred, into
// one transaction with one sync of the disk, and answers nobody before that. It never waits for
// company: while the disk is busy with one transaction, the next gathers by itself.
func (s *SQLite) commit(own *conn) {
	defer close(s.closed)
	if !s.memory {
		defer own.close()
	}
	for {
		most := maxBatch
		if s.yields.Load() {
			most = yieldBatch
		}
		batch := s.queue.take(most)
		if len(batch) == 0 {
			return
		}
		began := time.Now()
		c := own
		if s.memory {
			c = <-s.idle
		}
		if s.transact(c, batch) {
			s.count(batch, time.Since(began))
		} else {
			// One of them ended the transaction of all. Each gets a transaction of its own now.
			for i := range batch {
				again := time.Now()
				if !s.transact(c, batch[i:i+1]) {
					panic("storage: a write alone was not answered")
				}
				s.count(batch[i:i+1], time.Since(again))
			}
		}
		if s.memory {
			s.idle <- c
		}
		if s.yields.Load() && !s.queue.isClosed() {
			_ = s.pause(context.Background(), time.Since(began))
		}
	}
}

// count notes what became of a transaction.
func (s *SQLite) count(batch []*write, took time.Duration) {
	for _, w := range batch {
		if w.err != nil && !answer(w.err) && w.ctx.Err() == nil {
			s.stats.failed.Add(1)
			return
		}
	}
	s.stats.committed.Add(1)
	s.stats.writes.Add(int64(len(batch)))
	if o := s.observer.Load(); o != nil && o.Commit != nil {
		o.Commit(took, len(batch))
	}
}

// transact runs the writes in one transaction and answers them all. One that fails, or refuses
// after it has changed something, undoes itself and nothing else. It reports false, and answers
// nobody, if a write has ended the transaction for all, as SQLite does on a full disk say: each can
// then be done by itself.
func (s *SQLite) transact(c *conn, batch []*write) (answered bool) {
	if err := c.begin(); err != nil {
		return reply(batch, err)
	}
	before, committed := s.cache.begin(), false
	defer func() { // all ways but the last have undone everything
		if !committed {
			s.cache.end(before, nil, false)
		}
	}()
	for _, w := range batch {
		if w.err = w.ctx.Err(); w.err != nil {
			continue // nobody waits for it any more, and nothing has been done
		}
		if err := attemptWrite(c, w, len(batch) > 1); err != nil {
			err = errors.Join(err, rollback(c))
			if len(batch) > 1 {
				return false
			}
			return reply(batch, err)
		}
	}
	if _, err := c.exec("COMMIT"); err != nil {
		// Not tried again: after a failed sync a second one that succeeds proves nothing about the
		// first one's pages.
		return reply(batch, errors.Join(err, rollback(c)))
	}
	committed = true
	s.cache.end(before, batch, true)
	for _, w := range batch {
		close(w.done)
	}
	return true
}

// How often begin tries, at first and after a while.
const (
	beginPoll     = 100 * time.Microsecond
	beginPollLate = time.Millisecond
	beginLate     = 100 * time.Millisecond
)

// begin begins a transaction that writes. SQLite itself looks for the lock after ever longer
// pauses, up to 100 ms: beside a process that writes all the time, which leaves it alone for some
// 50 µs between two transactions, that is hardly ever at the right moment.
func (c *conn) begin() error {
	for began := time.Now(); ; {
		_, err := c.exec("BEGIN IMMEDIATE")
		waited := time.Since(began)
		if sqliteCode(err)&0xff != sqlite3.SQLITE_BUSY || waited > c.patience {
			return err
		}
		if waited < beginLate {
			time.Sleep(beginPoll)
		} else {
			time.Sleep(beginPollLate)
		}
	}
}

// attemptWrite runs a write, and notes its error. A write of several statements that has company
// runs within a savepoint, so that the transaction can go on without it. The error that is returned
// is one with which the transaction cannot go on.
func attemptWrite(c *conn, w *write, company bool) error {
	within := company && !w.one
	if within {
		if _, err := c.exec("SAVEPOINT own"); err != nil {
			return err
		}
	}
	c.changed, c.touched = 0, nil
	w.err = w.run(c)
	w.touched = c.touched
	refused := answer(w.err) && c.changed == 0 // as a rule, one that refuses has changed nothing
	switch {
	case !within && (w.err == nil || refused):
		return nil
	case !within && company && c.changed == 0 && c.inTransaction():
		return nil // its one statement failed
	case !within:
		return w.err
	case w.err != nil && !refused:
		if _, err := c.exec("ROLLBACK TO own"); err != nil {
			return err
		}
	}
	_, err := c.exec("RELEASE own")
	return err
}

// inTransaction reports whether a transaction is open. Some faults end it.
func (c *conn) inTransaction() bool {
	if _, err := c.exec("BEGIN"); err != nil {
		return true // there cannot be two
	}
	_, _ = c.exec("ROLLBACK")
	return false
}

func reply(batch []*write, err error) bool {
	for _, w := range batch {
		w.err = err
		close(w.done)
	}
	return true
}

// rollback ends the transaction. On some faults, a full disk say, SQLite has done so already, and
// says that there is none.
func rollback(c *conn) error {
	_, err := c.exec("ROLLBACK")
	if err != nil {
		if _, again := c.exec("BEGIN IMMEDIATE"); again == nil {
			_, err = c.exec("ROLLBACK")
		}
	}
	return err
}
