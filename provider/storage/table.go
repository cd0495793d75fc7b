package storage

import (
	"context"
	"time"
)

// table is a Table with what leads from a record to its row and back.
type table[T any] struct {
	Table
	id      func(*T) string
	version func(*T) *int64
	// purgeAt is when no answer depends on the record any more; nil: its records are kept for good.
	purgeAt func(*T) time.Time
	// memo remembers records that were decoded: for kinds of which there are few, which are read
	// all the time; nil: none.
	memo *memo[T]
	// cached says that records are read again and again, and few that there are not many of them and
	// what List answers is worth remembering, too; see Table.Cached.
	cached, few bool
	// copy copies a record that is remembered; register makes it.
	copy func(*T) T
	// stored is what is written in place of the record, if it needs fields of its own to be found
	// by.
	stored func(*T) any
}

// tables lists every table, in the order of their declaration.
var tables []*Table

// register declares a table. The engines make what it needs when they open a database.
func register[T any](t table[T]) *table[T] {
	t.Purged = t.purgeAt != nil
	if t.Cached, t.Table.few = t.cached, t.few; t.Cached {
		t.copy = copier[T]()
	}
	t.check = func(row Row) error {
		_, err := t.open(row)
		return err
	}
	tables = append(tables, &t.Table)
	return &t
}

// row is a record as an engine takes it. The row refers to r, which must not be changed afterwards.
func (t *table[T]) row(r *T) (Row, error) {
	var value any = r
	if t.stored != nil {
		value = t.stored(r)
	}
	doc, err := encode(value)
	row := Row{ID: t.id(r), Version: *t.version(r), Doc: doc, record: r}
	if t.purgeAt != nil {
		row.PurgeAt = t.purgeAt(r)
	}
	return row, err
}

// open is the record in a row.
func (t *table[T]) open(row Row) (T, error) {
	var r T
	if there, ok := row.record.(*T); ok {
		r = *there
	} else if row.held != nil {
		shared, ok := row.held.record.Load().(*T)
		if !ok {
			shared = new(T)
			if err := decode(row.Doc, shared); err != nil {
				return r, err
			}
			row.held.record.Store(shared)
		}
		r = t.copy(shared)
	} else if known, ok := t.remembered(row); ok {
		r = known
	} else {
		if err := decode(row.Doc, &r); err != nil {
			return r, err
		}
		if t.memo != nil {
			t.memo.put(row.ID, row.Doc, &r)
		}
	}
	*t.version(&r) = row.Version
	return r, nil
}

// remembered is the record that was decoded from the document of the row before.
func (t *table[T]) remembered(row Row) (r T, ok bool) {
	if t.memo == nil {
		return r, false
	}
	return t.memo.get(row.ID, row.Doc)
}

// transition changes r, the stored record or, if there is none, the zero T. It is pure, does not
// write into what r refers to, and does not set the version. Its error is an answer.
type transition[T any] func(r *T, exists bool) error

// existing is a transition of a record that must be there.
func existing[T any](change func(*T) error) transition[T] {
	return func(r *T, exists bool) error {
		if !exists {
			return ErrNotFound
		}
		return change(r)
	}
}

// apply is the transition on rows.
func (t *table[T]) apply(change transition[T]) func(*Row) (Row, error) {
	return func(stored *Row) (Row, error) {
		r, seen := new(T), int64(0)
		if stored != nil {
			there, err := t.open(*stored)
			if err != nil {
				return Row{}, err
			}
			*r, seen = there, stored.Version
		}
		if err := change(r, stored != nil); err != nil {
			return Row{}, err
		}
		*t.version(r) = seen + 1
		return t.row(r)
	}
}

// transit applies a transition to the record with this ID. With a refusal it returns the record
// only along with ErrConsumed.
func transit[T any](ctx context.Context, s *Store, what string, t *table[T], id string, c Change) (T, error) {
	var none T
	row, err := s.engine.Update(ctx, &t.Table, id, c)
	if err != nil && (err != ErrConsumed || row.Version == 0) {
		return none, wrap(what, err)
	}
	r, openErr := t.open(row)
	if openErr != nil {
		return none, wrap(what, openErr)
	}
	return r, err
}

// change applies a transition to a record of which nothing is known yet.
func change[T any](ctx context.Context, s *Store, what string, t *table[T], id string, do transition[T]) (T, error) {
	return transit(ctx, s, what, t, id, Change{Apply: t.apply(do)})
}

// changeSeen applies a transition to a record that the caller has read before, as it was read:
// while nobody else has changed it, that takes one call of the database. Whatever the transition
// says of seen itself counts only as a guess.
func changeSeen[T any](ctx context.Context, s *Store, what string, t *table[T], seen T, do transition[T]) (T, error) {
	c := Change{Apply: t.apply(do), Seen: *t.version(&seen)}
	if next := seen; c.Seen > 0 && do(&next, true) == nil {
		*t.version(&next) = c.Seen + 1
		row, err := t.row(&next)
		if err != nil {
			var none T
			return none, wrap(what, err)
		}
		c.Next, c.SamePurge = &row, t.purgeAt == nil || row.PurgeAt.Equal(t.purgeAt(&seen))
	}
	return transit(ctx, s, what, t, t.id(&seen), c)
}

// making is the change that makes a record, or applies a transition to the one that is there
// already.
func (t *table[T]) making(fresh *T, do func(*T) error) (Change, error) {
	*t.version(fresh) = 1
	row, err := t.row(fresh)
	return Change{Next: &row, Apply: t.apply(func(r *T, exists bool) error {
		if !exists {
			*r = *fresh
			return nil
		}
		return do(r)
	})}, err
}

// makeOr makes a record, or applies a transition to the one that is there already.
func makeOr[T any](ctx context.Context, s *Store, what string, t *table[T], fresh T, do func(*T) error) (T, error) {
	c, err := t.making(&fresh, do)
	if err != nil {
		var none T
		return none, wrap(what, err)
	}
	return transit(ctx, s, what, t, c.Next.ID, c)
}

// create makes a record with version 1; ErrConflict if its ID or a unique value is taken.
func create[T any](ctx context.Context, s *Store, what string, t *table[T], r T) error {
	c, err := t.making(&r, func(*T) error { return ErrConflict })
	if err == nil {
		_, err = s.engine.Update(ctx, &t.Table, c.Next.ID, c)
	}
	return wrap(what, err)
}

// replace stores r in place of the record with the version that r has; ErrConflict if there is
// another, ErrNotFound if there is none.
func replace[T any](ctx context.Context, s *Store, what string, t *table[T], r T) error {
	seen := *t.version(&r)
	c := Change{Seen: seen, Apply: t.apply(existing(func(stored *T) error {
		if *t.version(stored) != seen {
			return ErrConflict
		}
		*stored = r
		return nil
	}))}
	if seen > 0 {
		*t.version(&r)++
		row, err := t.row(&r)
		if err != nil {
			return wrap(what, err)
		}
		c.Next = &row
	}
	_, err := s.engine.Update(ctx, &t.Table, t.id(&r), c)
	return wrap(what, err)
}

// removeOne removes the record with this ID, or returns ErrNotFound.
func removeOne[T any](ctx context.Context, s *Store, what string, t *table[T], id string) error {
	n, err := s.engine.Remove(ctx, &t.Table, is(FieldID, id))
	if err == nil && n == 0 {
		return ErrNotFound
	}
	return wrap(what, err)
}

// load reads the record with this ID, or returns ErrNotFound.
func load[T any](ctx context.Context, v Records, what string, t *table[T], id string) (T, error) {
	var none T
	row, err := v.reader.Get(ctx, &t.Table, id)
	if err != nil {
		return none, wrap(what, err)
	}
	r, err := t.open(row)
	if err != nil {
		return none, wrap(what, err)
	}
	return r, nil
}

// list reads the records that q asks for.
func list[T any](ctx context.Context, v Records, what string, t *table[T], q Query) ([]T, error) {
	return listIf(ctx, v, what, t, q, 0, func(*T) bool { return true })
}

// listIf reads those of the records that q asks for which wanted picks, at most limit, 0 for all.
func listIf[T any](ctx context.Context, v Records, what string, t *table[T], q Query, limit int,
	wanted func(*T) bool) ([]T, error) {
	var all []T
	err := v.reader.List(ctx, &t.Table, q, func(row Row) (bool, error) {
		r, err := t.open(row)
		if err != nil {
			return false, err
		}
		if wanted(&r) {
			all = append(all, r)
		}
		return limit == 0 || len(all) < limit, nil
	})
	if err != nil {
		return nil, wrap(what, err)
	}
	return all, nil
}
