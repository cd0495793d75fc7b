package storage

import (
	"context"
	"time"
)

// Observer hears what a database does. Its functions are called often, by many at once, and return
// at once. A nil one is not called.
type Observer struct {
	// Commit hears of a transaction of the embedded database: how long it took, the sync of the
	// disk included, and for how many writes.
	Commit func(took time.Duration, writes int)
	// Command hears of a command that was sent to MongoDB, by its name.
	Command func(name string, took time.Duration, failed bool)
}

// Observe tells o from now on what the database of s does, and nobody else.
func (s *Store) Observe(o Observer) {
	engine := s.engine
	if t, traced := engine.(*tracedEngine); traced {
		engine = t.Engine
	}
	switch e := engine.(type) {
	case *SQLite:
		e.observer.Store(&o)
	case *MongoDB:
		e.observer.Store(&o)
	}
}

// StartSpan begins a span of what is done with the records of a table, "" for no one table, and
// returns what ends it. err is a fault of the database, not an answer.
type StartSpan func(ctx context.Context, operation, table string) (_ context.Context, end func(err error))

// Traced returns s with a span for each call of the database.
func (s *Store) Traced(start StartSpan) *Store { return New(&tracedEngine{s.engine, start}) }

// tracedEngine puts a span around each call of an engine. What a View reads is one span.
type tracedEngine struct {
	Engine
	start StartSpan
}

func (t *tracedEngine) span(ctx context.Context, operation string, table *Table,
	do func(context.Context) error) error {
	name := ""
	if table != nil {
		name = table.Name
	}
	ctx, end := t.start(ctx, operation, name)
	err := do(ctx)
	if answer(err) {
		end(nil)
	} else {
		end(err)
	}
	return err
}

func (t *tracedEngine) Get(ctx context.Context, table *Table, id string) (row Row, err error) {
	err = t.span(ctx, "get", table, func(ctx context.Context) error {
		row, err = t.Engine.Get(ctx, table, id)
		return err
	})
	return row, err
}

func (t *tracedEngine) List(ctx context.Context, table *Table, q Query, each func(Row) (bool, error)) error {
	return t.span(ctx, "list", table, func(ctx context.Context) error { return t.Engine.List(ctx, table, q, each) })
}

func (t *tracedEngine) Values(ctx context.Context, table *Table, field string,
	where ...Match) (all []string, err error) {
	err = t.span(ctx, "values", table, func(ctx context.Context) error {
		all, err = t.Engine.Values(ctx, table, field, where...)
		return err
	})
	return all, err
}

func (t *tracedEngine) View(ctx context.Context, read func(Reader) error) error {
	var said error // by read, which is no fault of the database
	err := t.span(ctx, "view", nil, func(ctx context.Context) error {
		err := t.Engine.View(ctx, func(r Reader) error {
			said = read(r)
			return said
		})
		if said != nil {
			return nil //nolint:nilerr // it is what read said
		}
		return err
	})
	if said != nil {
		return said
	}
	return err
}

func (t *tracedEngine) Update(ctx context.Context, table *Table, id string, c Change) (row Row, err error) {
	err = t.span(ctx, "update", table, func(ctx context.Context) error {
		row, err = t.Engine.Update(ctx, table, id, c)
		return err
	})
	return row, err
}

func (t *tracedEngine) Remove(ctx context.Context, table *Table, where ...Match) (n int, err error) {
	err = t.span(ctx, "remove", table, func(ctx context.Context) error {
		n, err = t.Engine.Remove(ctx, table, where...)
		return err
	})
	return n, err
}

func (t *tracedEngine) Sweep(ctx context.Context, table *Table, s Stamp, where ...Match) (n int, err error) {
	err = t.span(ctx, "sweep", table, func(ctx context.Context) error {
		n, err = t.Engine.Sweep(ctx, table, s, where...)
		return err
	})
	return n, err
}

func (t *tracedEngine) Count(ctx context.Context, key string, now time.Time,
	window time.Duration) (n int, resetAt time.Time, err error) {
	err = t.span(ctx, "count", &attempts.Table, func(ctx context.Context) error {
		n, resetAt, err = t.Engine.Count(ctx, key, now, window)
		return err
	})
	return n, resetAt, err
}
