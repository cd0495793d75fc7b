package storage

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

var _ Engine = (*SQLite)(nil)

// sqlTable is a Table as SQLite has it: the ID, the version, the purge time, a column for each
// field that is looked up, and the document. An index of lists is a table of its own, filled by
// putEach and emptied by a trigger.
type sqlTable struct {
	*Table
	columns []string // that come from the document
	each    []string // fields that are lists
	own     []string // of these, those whose texts no two records have in common

	get, insert, update, updateSame, updateSameKeepingPurge, purge string
}

// quoted is a name in SQL. Names are constants of this package, without quotes.
func quoted(name string) string { return `"` + name + `"` }

// columnOf is the column of a field.
func columnOf(field string) string {
	if field == FieldID {
		return "id"
	}
	return quoted(field)
}

func eachTable(table, field string) string { return table + "_" + field }

func newSQLTable(t *Table) *sqlTable {
	s := &sqlTable{Table: t}
	add := func(field string) {
		if field != FieldID && !slices.Contains(s.columns, field) {
			s.columns = append(s.columns, field)
		}
	}
	for _, f := range t.Unique {
		add(f)
	}
	for _, x := range t.Indexes {
		if x.Each {
			s.each = append(s.each, x.Fields...)
			if x.Unique {
				s.own = append(s.own, x.Fields...)
			}
			continue
		}
		for _, f := range x.Fields {
			add(strings.TrimPrefix(f, "-"))
		}
	}
	name := quoted(t.Name)
	var columns, sets, same string
	for _, f := range s.columns {
		columns += ", " + quoted(f)
		sets += ", " + quoted(f) + " = ?"
		same += " AND " + quoted(f) + " IS ?"
	}
	s.get = "SELECT doc FROM " + name + " WHERE id = ?"
	s.insert = "INSERT INTO " + name + " (id, version, purge_at, doc" + columns + ") VALUES (?, ?, ?, ?" +
		strings.Repeat(", ?", len(s.columns)) + ") ON CONFLICT (id) DO NOTHING"
	// SQLite moves the entry of an index whenever its column is set, also to the same value. What
	// does not change is therefore not set but asked for.
	s.update = "UPDATE " + name + " SET version = ?, doc = ?, purge_at = ?" + sets + " WHERE id = ? AND version = ?"
	s.updateSame = "UPDATE " + name + " SET version = ?, doc = ?, purge_at = ? WHERE id = ? AND version = ?" + same
	s.updateSameKeepingPurge = "UPDATE " + name + " SET version = ?, doc = ? WHERE id = ? AND version = ?" + same
	s.purge = "DELETE FROM " + name + " WHERE rowid IN (SELECT rowid FROM " + name + " WHERE purge_at <= ? LIMIT ?) RETURNING id"
	return s
}

// ddl is what makes the table with its indexes, where they do not exist.
func (t *sqlTable) ddl() []string {
	columns := "id TEXT PRIMARY KEY, version INTEGER NOT NULL, purge_at INTEGER"
	for _, f := range t.columns {
		columns += ", " + quoted(f) + " ANY"
	}
	all := []string{fmt.Sprintf("CREATE TABLE IF NOT EXISTS %s (%s, doc BLOB NOT NULL) STRICT", quoted(t.Name),
		columns)}
	for _, f := range t.Unique {
		all = append(all, fmt.Sprintf("CREATE UNIQUE INDEX IF NOT EXISTS %s ON %s (%s)", quoted(t.Name+"_"+f),
			quoted(t.Name), quoted(f)))
	}
	for _, x := range t.Indexes {
		if x.Each {
			field := x.Fields[0]
			each, key := quoted(eachTable(t.Name, field)), "value, id"
			if x.Unique {
				key = "value"
			}
			all = append(all,
				fmt.Sprintf("CREATE TABLE IF NOT EXISTS %s (value TEXT NOT NULL, id TEXT NOT NULL, PRIMARY KEY (%s)) STRICT, WITHOUT ROWID", each, key),
				fmt.Sprintf("CREATE INDEX IF NOT EXISTS %s ON %s (id)", quoted(eachTable(t.Name, field)+"_id"), each),
				fmt.Sprintf("CREATE TRIGGER IF NOT EXISTS %s AFTER DELETE ON %s BEGIN DELETE FROM %s WHERE id = OLD.id; END",
					quoted(eachTable(t.Name, field)+"_removed"), quoted(t.Name), each))
			continue
		}
		name, list, where := t.Name, "", ""
		for i, f := range x.Fields {
			f, descending := strings.CutPrefix(f, "-")
			name += "_" + f
			if i > 0 {
				list += ", "
			}
			list += columnOf(f)
			if descending {
				list += " DESC"
			}
		}
		if x.Sparse {
			where = " WHERE " + quoted(x.Fields[0]) + " IS NOT NULL"
		}
		all = append(all, fmt.Sprintf("CREATE INDEX IF NOT EXISTS %s ON %s (%s)%s", quoted(name), quoted(t.Name), list,
			where))
	}
	if t.Purged {
		all = append(all, fmt.Sprintf("CREATE INDEX IF NOT EXISTS %s ON %s (purge_at)", quoted(t.Name+"_purge_at"),
			quoted(t.Name)))
	}
	return all
}

// values are those of the columns.
func (t *sqlTable) values(doc []byte) []any {
	values := make([]any, len(t.columns))
	for i, f := range t.columns {
		values[i] = field(doc, f)
	}
	return values
}

// purgeAt is the purge time as the column has it.
func purgeAt(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UnixMilli()
}

func (c *conn) get(t *sqlTable, id string) (*Row, error) {
	var row *Row
	err := c.query(func(values []driver.Value) error {
		doc, _ := values[0].([]byte)
		row = &Row{ID: id, Version: version(doc), Doc: doc}
		return nil
	}, t.get, id)
	return row, err
}

// insert adds a row, or reports that there is one with its ID.
func (c *conn) insert(t *sqlTable, row Row, values []any) (bool, error) {
	args := append(make([]any, 0, 4+len(values)), row.ID, row.Version, purgeAt(row.PurgeAt), row.Doc)
	n, err := c.exec(t.insert, append(args, values...)...)
	if taken(err) {
		return false, ErrConflict
	}
	if err == nil && n > 0 {
		c.touch(t.Table, row.ID, row)
		if len(t.each) > 0 {
			err = c.putEach(t, row)
		}
	}
	return n > 0, err
}

// othersHave returns ErrConflict if another row has one of the texts that only one row may have.
func (c *conn) othersHave(t *sqlTable, row Row) error {
	for _, f := range t.own {
		for _, value := range fieldTexts(row.Doc, f) {
			var n int64
			if err := c.one([]any{&n}, "SELECT count(*) FROM "+quoted(eachTable(t.Name, f))+
				" WHERE value = ? AND id <> ?", value, row.ID); err != nil {
				return err
			}
			if n > 0 {
				return ErrConflict
			}
		}
	}
	return nil
}

// putEach keeps the tables of lists as the document says. A text that only one row may have stays
// with the row that has it.
func (c *conn) putEach(t *sqlTable, row Row) error {
	for _, f := range t.each {
		table := quoted(eachTable(t.Name, f))
		if _, err := c.exec("DELETE FROM "+table+" WHERE id = ?", row.ID); err != nil {
			return err
		}
		for _, value := range fieldTexts(row.Doc, f) {
			if _, err := c.exec("INSERT OR IGNORE INTO "+table+" (value, id) VALUES (?, ?)", value,
				row.ID); err != nil {
				return err
			}
		}
	}
	return nil
}

// replaceSame writes next in place of the row with version seen, if all its columns stay as they
// are.
func (c *conn) replaceSame(t *sqlTable, next Row, seen int64, samePurge bool, values []any) (bool, error) {
	args := append(make([]any, 0, 5+len(values)), next.Version, next.Doc)
	query := t.updateSameKeepingPurge
	if !samePurge {
		query, args = t.updateSame, append(args, purgeAt(next.PurgeAt))
	}
	args = append(args, next.ID, seen)
	n, err := c.exec(query, append(args, values...)...)
	if n > 0 {
		c.touch(t.Table, next.ID, next)
	}
	return n > 0, err
}

// replace writes next in place of the stored row.
func (c *conn) replace(t *sqlTable, next Row, stored *Row) error {
	values := t.values(next.Doc)
	if slices.Equal(values, t.values(stored.Doc)) {
		_, err := c.replaceSame(t, next, stored.Version, false, values)
		if err != nil || len(t.each) == 0 {
			return err
		}
	} else {
		args := append(make([]any, 0, 5+len(values)), next.Version, next.Doc, purgeAt(next.PurgeAt))
		args = append(append(args, values...), next.ID, stored.Version)
		if _, err := c.exec(t.update, args...); taken(err) {
			return ErrConflict
		} else if err != nil {
			return err
		}
		c.touch(t.Table, next.ID, next)
	}
	return c.putEach(t, next)
}

// Get reads a row by its ID.
func (s *SQLite) Get(ctx context.Context, t *Table, id string) (row Row, err error) {
	r := sqliteReader{s: s, at: s.cache.open()}
	defer r.end(&err)
	return r.Get(ctx, t, id)
}

// List reads the rows that q asks for.
func (s *SQLite) List(ctx context.Context, t *Table, q Query, each func(Row) (bool, error)) (err error) {
	r := sqliteReader{s: s, at: s.cache.open()}
	defer r.end(&err)
	return r.List(ctx, t, q, each)
}

// Values reads the distinct values of a field.
func (s *SQLite) Values(ctx context.Context, t *Table, field string, where ...Match) (all []string, err error) {
	r := sqliteReader{s: s}
	defer r.end(&err)
	return r.Values(ctx, t, field, where...)
}

// View reads in one transaction, which begins with the first read that is not answered from memory.
func (s *SQLite) View(ctx context.Context, fn func(Reader) error) (err error) {
	r := sqliteReader{s: s, at: s.cache.open(), several: true}
	if err := r.usable(ctx); err != nil {
		return err
	}
	defer r.end(&err)
	return fn(&r)
}

// sqliteReader reads from the cache, and on one connection, which it takes when it needs it.
type sqliteReader struct {
	s       *SQLite
	at      moment
	several bool // in one transaction
	c       *conn
}

// conn is the connection, inside the transaction if there is to be one.
func (r *sqliteReader) conn(ctx context.Context) (*conn, error) {
	if r.c != nil {
		return r.c, nil
	}
	c, err := r.s.reader(ctx)
	if err != nil {
		return nil, err
	}
	if r.several {
		if _, err := c.exec("BEGIN"); err != nil {
			r.s.idle <- c
			return nil, err
		}
	}
	r.c = c
	return c, nil
}

// end gives the connection back. What ends the transaction badly is an error, too.
func (r *sqliteReader) end(err *error) {
	if r.c == nil {
		return
	}
	if r.several {
		if _, end := r.c.exec("ROLLBACK"); *err == nil { // there is nothing to commit
			*err = end
		}
	}
	r.s.idle <- r.c
	r.c = nil
}

// usable reports, as an error, that nothing more is read: what is remembered is not answered then,
// either. Inside a transaction the cache is left alone after another commit: it may have what is
// older than what the transaction has shown already.
func (r *sqliteReader) usable(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if r.c != nil && !r.s.cache.still(r.at) {
		r.at = moment{}
	}
	if r.s.queue.isClosed() {
		return errClosed
	}
	return nil
}

func (r *sqliteReader) Get(ctx context.Context, t *Table, id string) (Row, error) {
	if err := r.usable(ctx); err != nil {
		return Row{}, err
	}
	row, known, changes := r.s.cache.row(r.at, t, id)
	if !known {
		c, err := r.conn(ctx)
		if err != nil {
			return Row{}, err
		}
		there, err := c.get(r.s.tables[t], id)
		if err != nil {
			return Row{}, err
		}
		if there != nil {
			row = *there
			if t.Cached && r.at.good {
				row.held = &held{}
			}
		}
		r.s.cache.put(r.at, t, id, row, changes)
	}
	if row.Doc == nil {
		return Row{}, ErrNotFound
	}
	return row, nil
}

// errEnough ends a query of which no more rows are wanted.
var errEnough = errors.New("storage: enough rows")

func (r *sqliteReader) List(ctx context.Context, t *Table, q Query, each func(Row) (bool, error)) error {
	if err := r.usable(ctx); err != nil {
		return err
	}
	key, memorable := queryKey(q)
	if !t.Cached || !t.few || !r.at.good || !memorable {
		return r.list(ctx, t, q, each)
	}
	rows, known, changes := r.s.cache.list(r.at, t, key)
	if !known {
		var all []Row
		err := r.list(ctx, t, q, func(row Row) (bool, error) {
			row.held = &held{}
			all = append(all, row)
			return len(all) <= maxListed, nil
		})
		if err != nil {
			return err
		}
		if len(all) > maxListed {
			return r.list(ctx, t, q, each)
		}
		r.s.cache.putList(r.at, t, key, all, changes)
		rows = all
	}
	for _, row := range rows {
		if more, err := each(row); err != nil || !more {
			return err
		}
	}
	return nil
}

// list is List without the cache.
func (r *sqliteReader) list(ctx context.Context, t *Table, q Query, each func(Row) (bool, error)) error {
	if err := r.s.tables[t].indexed(q.Where); err != nil {
		return err
	}
	c, err := r.conn(ctx)
	if err != nil {
		return err
	}
	conditions, args, err := conditions(c, r.s.tables[t], q)
	if err != nil {
		return err
	}
	order := ""
	for i, f := range q.Order {
		f, descending := strings.CutPrefix(f, "-")
		column := columnOf(f)
		if i == 0 {
			after, upTo := " > ?", " <= ?"
			if descending {
				after, upTo = " < ?", " >= ?"
			}
			if q.After != nil {
				conditions, args = append(conditions, column+after), append(args, q.After)
			}
			if q.UpTo != nil {
				conditions, args = append(conditions, column+upTo), append(args, q.UpTo)
			}
			order = " ORDER BY "
		} else {
			order += ", "
		}
		order += column
		if descending {
			order += " DESC"
		}
	}
	query := "SELECT id, doc FROM " + quoted(t.Name) + whereClause(conditions) + order
	if q.Limit > 0 {
		query, args = query+" LIMIT ?", append(args, q.Limit)
	}
	err = c.query(func(values []driver.Value) error {
		var row Row
		row.ID, _ = values[0].(string)
		row.Doc, _ = values[1].([]byte)
		row.Version = version(row.Doc)
		more, err := each(row)
		if err == nil && !more {
			err = errEnough
		}
		return err
	}, query, args...)
	if err == errEnough {
		return nil
	}
	return err
}

// manyRows is how many rows a condition has to lead to before a page of them is not found by reading
// all of them and sorting. Of several conditions each may be met often, and all of them seldom.
func manyRows(conditions int) int {
	if conditions == 1 {
		return 1000
	}
	return 20_000
}

// conditions are those of a query. A condition on a list that leads to many rows is written so that
// SQLite goes through the rows in their order, and asks of each, until the page is full: which of
// both costs less it cannot know.
func conditions(c *conn, t *sqlTable, q Query) (all []string, args []any, err error) {
	lists := 0
	for _, m := range q.Where {
		if slices.Contains(t.each, m.Field) {
			lists++
		}
	}
	many := manyRows(lists)
	for _, m := range q.Where {
		condition, values := t.where([]Match{m})
		if q.Limit > 0 && len(q.Order) > 0 && slices.Contains(t.each, m.Field) {
			each := " FROM " + quoted(eachTable(t.Name, m.Field)) + " WHERE " + eachCondition(m)
			var n int64
			err := c.one([]any{&n}, "SELECT count(*) FROM (SELECT 1"+each+" LIMIT ?)", append(slices.Clone(values),
				many)...)
			if err != nil {
				return nil, nil, err
			}
			if n == int64(many) {
				condition = []string{"EXISTS (SELECT 1" + each + " AND id = " + quoted(t.Name) + ".id)"}
			}
		}
		all, args = append(all, condition...), append(args, values...)
	}
	return all, args, nil
}

// eachCondition is a condition on the texts of a list.
func eachCondition(m Match) string {
	if m.Prefix {
		return "value >= ? AND value < ?"
	}
	return "value = ?"
}

func (r *sqliteReader) Values(ctx context.Context, t *Table, field string, where ...Match) (all []string, err error) {
	if err := r.s.tables[t].indexed(where); err != nil {
		return nil, err
	}
	c, err := r.conn(ctx)
	if err != nil {
		return nil, err
	}
	conditions, args := r.s.tables[t].where(where)
	column := columnOf(field)
	err = c.query(func(row []driver.Value) error {
		if value, ok := row[0].(string); ok {
			all = append(all, value)
		}
		return nil
	}, "SELECT DISTINCT "+column+" FROM "+quoted(t.Name)+whereClause(conditions)+" ORDER BY "+column, args...)
	return all, err
}

// indexed returns an error if one of the conditions has no index: where leaves those out.
func (t *sqlTable) indexed(all []Match) error {
	for _, m := range all {
		for _, f := range []string{m.Field, m.Or} {
			if f != "" && f != FieldID && !slices.Contains(t.columns, f) && !slices.Contains(t.each, f) {
				return fmt.Errorf("storage: %s are not found by %s: it has no index", t.Name, f)
			}
		}
	}
	return nil
}

// where is those of the conditions that have an index, in SQL; see matches for the others.
func (t *sqlTable) where(all []Match) (conditions []string, args []any) {
	for _, m := range all {
		switch {
		case slices.Contains(t.each, m.Field):
			condition := "id IN (SELECT id FROM " + quoted(eachTable(t.Name, m.Field)) + " WHERE " + eachCondition(m) + ")"
			if m.Or != "" {
				condition = "(" + condition + " OR " + columnOf(m.Or) + " = ?)"
				args = append(args, m.Value)
			}
			conditions = append(conditions, condition)
			if m.Prefix {
				args, m.Value = append(args, m.Value), prefixEnd(m.Value)
			}
		case m.Field == FieldID, slices.Contains(t.columns, m.Field):
			if m.Value == nil {
				conditions = append(conditions, columnOf(m.Field)+" IS NULL")
				continue
			}
			condition := columnOf(m.Field) + " = ?"
			if m.Or != "" {
				condition = "(" + condition + " OR " + columnOf(m.Or) + " = ?)"
				args = append(args, m.Value)
			}
			conditions = append(conditions, condition)
		default:
			continue
		}
		args = append(args, m.Value)
	}
	return conditions, args
}

func whereClause(conditions []string) string {
	if len(conditions) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(conditions, " AND ")
}

// matches reports whether a document meets the conditions that have no index.
func (t *sqlTable) matches(doc []byte, all []Match) bool {
	for _, m := range all {
		if m.Field == FieldID || slices.Contains(t.columns, m.Field) || slices.Contains(t.each, m.Field) {
			continue
		}
		if field(doc, m.Field) != m.Value {
			return false
		}
	}
	return true
}

// Update applies the transition in the next transaction.
func (s *SQLite) Update(ctx context.Context, t *Table, id string, c Change) (Row, error) {
	table := s.tables[t]
	var values []any
	if c.Next != nil {
		values = table.values(c.Next.Doc)
	}
	apply := inOneStatement[Row]
	if len(table.each) > 0 {
		apply = inTransaction[Row]
	}
	return apply(ctx, s, func(conn *conn) (Row, error) {
		if c.Next != nil && (c.Seen == 0 || len(table.each) == 0) {
			var done bool
			var err error
			if c.Seen == 0 {
				if err := conn.othersHave(table, *c.Next); err != nil {
					return Row{}, err
				}
				done, err = conn.insert(table, *c.Next, values)
			} else {
				done, err = conn.replaceSame(table, *c.Next, c.Seen, c.SamePurge, values)
			}
			if done || err != nil {
				return *c.Next, err
			}
		}
		stored, err := conn.get(table, id)
		if err != nil {
			return Row{}, err
		}
		next, err := c.Apply(stored)
		switch {
		case err != nil && stored != nil:
			return *stored, err
		case err != nil:
			return Row{}, err
		}
		if err := conn.othersHave(table, next); err != nil {
			return Row{}, err
		}
		switch stored {
		case nil:
			_, err = conn.insert(table, next, table.values(next.Doc))
		default:
			err = conn.replace(table, next, stored)
		}
		return next, err
	})
}

// A sweep is made in steps, so that nobody waits for more than one: a step is a transaction of at
// most so many rows, and no more after so much time. After each the sweep stands back for as long
// as the step took: another process gets the lock of the file only when nobody has it.
const (
	sweepStep  = 25
	sweepTime  = 5 * time.Millisecond
	sweepPause = 100 * time.Millisecond // at most
)

// standBack waits after a step that took so long. It ends early with ctx.
func standBack(ctx context.Context, took time.Duration) error {
	pause := time.NewTimer(min(took, sweepPause))
	defer pause.Stop()
	select {
	case <-pause.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// sweep calls do for every row that matches, a step of them in one transaction, and returns the sum
// of its results.
func (s *SQLite) sweep(ctx context.Context, t *sqlTable, where []Match, do func(c *conn, id string) (int,
	error)) (total int, err error) {
	// 1. As a rule there are few, and one transaction finds and changes them.
	few := false
	total, err = inTransaction(ctx, s, func(c *conn) (n int, err error) {
		ids, err := c.matching(t, where, sweepStep+1)
		if few = len(ids) <= sweepStep; err != nil || !few {
			return 0, err
		}
		for _, id := range ids {
			one, err := do(c, id)
			if err != nil {
				return 0, err
			}
			n += one
		}
		return n, nil
	})
	if err != nil || few {
		return total, err
	}
	// 2. Many are found by a reader, which keeps no writer waiting.
	left, err := read(ctx, s, func(c *conn) ([]string, error) { return c.matching(t, where, -1) })
	if err != nil {
		return 0, err
	}
	for len(left) > 0 {
		began, done := time.Now(), 0
		n, err := inTransaction(ctx, s, func(c *conn) (n int, err error) {
			turn := time.Now()
			for done = 0; done < min(sweepStep, len(left)) && (done == 0 || time.Since(turn) < sweepTime); done++ {
				one, err := do(c, left[done])
				if err != nil {
					return 0, err
				}
				n += one
			}
			return n, nil
		})
		if err != nil {
			return total, err
		}
		total += n
		left = left[done:]
		if err := s.pause(ctx, time.Since(began)); err != nil {
			return total, err
		}
	}
	return total, nil
}

// matching lists the IDs of the rows that match, at most limit of them, -1 for all; conditions
// without an index are left to the caller.
func (c *conn) matching(t *sqlTable, where []Match, limit int) (ids []string, err error) {
	if len(where) == 1 && where[0].Field == FieldID {
		id, _ := where[0].Value.(string)
		return []string{id}, nil
	}
	conditions, args := t.where(where)
	err = c.query(func(row []driver.Value) error {
		id, _ := row[0].(string)
		ids = append(ids, id)
		return nil
	}, "SELECT id FROM "+quoted(t.Name)+whereClause(conditions)+" LIMIT ?", append(args, limit)...)
	return ids, err
}

// Remove removes the rows that match.
func (s *SQLite) Remove(ctx context.Context, t *Table, where ...Match) (int, error) {
	table := s.tables[t]
	query := "DELETE FROM " + quoted(t.Name) + " WHERE id = ?"
	return s.sweep(ctx, table, where, func(c *conn, id string) (int, error) {
		row, err := c.get(table, id)
		if err != nil || row == nil || !table.matches(row.Doc, where) {
			return 0, err
		}
		c.touch(t, id, Row{})
		return c.exec(query, id)
	})
}

// Sweep stamps the rows that match.
func (s *SQLite) Sweep(ctx context.Context, t *Table, stamp Stamp, where ...Match) (int, error) {
	table := s.tables[t]
	query := "UPDATE " + quoted(t.Name) +
		" SET version = version + 1, purge_at = min(purge_at, ?), doc = ? WHERE id = ?"
	return s.sweep(ctx, table, where, func(c *conn, id string) (int, error) {
		row, err := c.get(table, id)
		if err != nil || row == nil || !table.matches(row.Doc, where) || field(row.Doc, stamp.Field) != nil {
			return 0, err
		}
		c.touch(t, id, Row{})
		return c.exec(query, stamp.PurgeAt, stamped(row.Doc, stamp.Field, stamp.At), id)
	})
}

// Count counts in the next transaction.
func (s *SQLite) Count(ctx context.Context, key string, now time.Time, window time.Duration) (int, time.Time, error) {
	row, err := s.Update(ctx, &attempts.Table, key, Change{Apply: attempts.apply(func(a *attempt, _ bool) error {
		a.Key = key
		a.count(now, window)
		return nil
	})})
	if err != nil {
		return 0, time.Time{}, err
	}
	counted, err := attempts.open(row)
	return counted.Count, counted.ResetAt, err
}

// Purge removes in small steps, so that a large purge does not block other writers.
func (s *SQLite) Purge(ctx context.Context, now time.Time) (int, error) {
	total, took := 0, time.Duration(0)
	for _, t := range tables {
		if !t.Purged {
			continue
		}
		for n := sweepStep; n == sweepStep; total += n {
			if total > 0 {
				if err := s.pause(ctx, took); err != nil {
					return total, err
				}
			}
			var err error
			began := time.Now()
			n, err = inOneStatement(ctx, s, func(c *conn) (int, error) {
				return c.purge(s.tables[t], now)
			})
			if err != nil {
				return total, err
			}
			took = time.Since(began)
		}
	}
	return total, nil
}

// purge removes a step of the rows whose purge time has come at now.
func (c *conn) purge(t *sqlTable, now time.Time) (n int, err error) {
	err = c.query(func(row []driver.Value) error {
		id, _ := row[0].(string)
		c.touch(t.Table, id, Row{})
		n++
		return nil
	}, t.purge, now, sweepStep)
	c.changed += n
	return n, err
}

// Ping writes, because a disk that is full or has become read-only still answers questions. It
// looks whether the file is still there: what is written to one that was deleted or replaced is
// lost with the process.
func (s *SQLite) Ping(ctx context.Context) error {
	if err := s.inPlace(); err != nil {
		return err
	}
	_, err := inOneStatement(ctx, s, func(c *conn) (int, error) {
		return c.exec("INSERT INTO pings (one, count) VALUES (1, 1) ON CONFLICT DO UPDATE SET count = count + 1")
	})
	return err
}

// inPlace reports, as an error, that the path names another file than the one that is open, or
// none.
func (s *SQLite) inPlace() error {
	if s.memory {
		return nil
	}
	switch now, err := os.Stat(s.path); {
	case err != nil:
		return fmt.Errorf("the database file is gone while it is in use; stop, put it or a backup in its place, start again: %w", err)
	case !os.SameFile(s.file, now):
		return fmt.Errorf("%s was replaced while it was in use: what is written now is lost; start again", s.path)
	}
	return nil
}
