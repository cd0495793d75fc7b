package storage

import (
	"cmp"
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// SQLite is the Engine that keeps the records in one file, for one machine. Writers share
// transactions (see commit); readers have connections of their own and never wait for a writer.
// Several processes may have the same file open, and each sees what the others have committed, at
// once: see cache for what is remembered in the process all the same.
//
// A method whose context ends while its write waits for the disk returns the context's error; the
// write may still happen.
type SQLite struct {
	tables map[*Table]*sqlTable
	path   string      // "" in memory
	file   os.FileInfo // of the file when it was opened, nil in memory
	made   bool        // it was not there before
	pause  func(context.Context, time.Duration) error
	dsn    string
	idle   chan *conn    // connections for reading that nobody uses
	slots  chan struct{} // one element for each such connection there is
	memory bool          // the one connection in idle is the writer's too
	cache  *cache

	queue  queue
	yields atomic.Bool
	stats  struct{ committed, failed, writes atomic.Int64 }
	closed chan struct{} // closed when the last write is through

	observer atomic.Pointer[Observer]
}

// busyTimeout is how long a statement or a transaction waits for another process that holds the write lock, before
// it fails.
const busyTimeout = 5 * time.Second

// walSwitchTimeout is how long OpenSQLite waits for another process that opens the same new file at
// the same moment: SQLite does not wait by itself when the journal mode changes.
const walSwitchTimeout = 5 * time.Second

var errClosed = errors.New("storage: the store is closed")

// OpenSQLite opens the database file at path, with mode 0600 and the current schema, making or
// migrating it as needed. A path of "" or ":memory:" is a private store in memory, which lasts
// until Close. A file that a newer version of Latchkey has migrated, or that is not Latchkey's, is
// refused and left as it is.
func OpenSQLite(ctx context.Context, path string) (*Store, error) {
	s, err := openSQLite(ctx, path)
	if err != nil {
		return nil, err
	}
	return New(s), nil
}

func openSQLite(ctx context.Context, path string) (*SQLite, error) {
	s := &SQLite{tables: make(map[*Table]*sqlTable), closed: make(chan struct{}), pause: standBack}
	for _, t := range tables {
		s.tables[t] = newSQLTable(t)
	}
	s.queue.wake = make(chan struct{}, 1)
	readers := max(4, runtime.GOMAXPROCS(0))
	if path == "" || path == ":memory:" {
		s.memory, s.dsn, readers = true, ":memory:", 1
	} else {
		var err error
		if s.path, err = filepath.Abs(path); err != nil {
			return nil, fmt.Errorf("open database %s: %w", path, err)
		}
		if s.made, err = createFile(s.path); err != nil {
			return nil, fmt.Errorf("open database %s: %w", path, err)
		}
		if s.file, err = os.Stat(s.path); err != nil {
			return nil, fmt.Errorf("open database %s: %w", path, err)
		}
		s.made = s.made || s.file.Size() == 0
		s.dsn = "file:" + (&url.URL{Path: filepath.ToSlash(s.path)}).EscapedPath()
	}
	s.idle, s.slots = make(chan *conn, readers), make(chan struct{}, readers)

	writer, header, err := s.connectFirst()
	if err == nil {
		if err = migrate(ctx, writer, createSchema, upgrades); err == nil {
			err = makeTables(writer)
		}
		if err == nil {
			_, err = writer.exec("PRAGMA busy_timeout = 0") // from now on begin waits
		}
		if err != nil {
			writer.close()
			header.close()
		}
	}
	if err != nil {
		return nil, fmt.Errorf("open database %s: %w", cmp.Or(path, "in memory"), err)
	}
	s.cache = newCache(header, s.memory)
	if s.memory {
		s.slots <- struct{}{}
		s.idle <- writer
	}
	go s.commit(writer)
	return s, nil
}

// createFile makes the file before SQLite does, so that there is no moment in which others can read
// it, and syncs the folder, so that it is still there after a loss of power. SQLite gives the -wal
// and -shm files the same mode. It reports whether the file is a new one.
func createFile(path string) (made bool, err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if err := f.Close(); err != nil {
		return false, err
	}
	return true, syncFolder(path)
}

// syncFolder puts the name of a file on the disk.
func syncFolder(path string) error {
	if runtime.GOOS == "windows" {
		return nil // a folder cannot be opened there
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

// conn is one connection with its prepared statements. It is used by one goroutine at a time, and
// without database/sql in between: the pool here is simpler, and a point read costs half.
type conn struct {
	db         driver.Conn
	statements map[string]statement
	args       []driver.NamedValue
	row        []driver.Value
	changed    int           // rows changed since the current write began
	touched    []touch       // by the current write, in tables that are remembered
	patience   time.Duration // how long begin waits for another process
}

type statement interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

// connectFirst makes the first connection, and opens the header of the file with it. No other engine
// of this process closes its header in between, see headerFile.
func (s *SQLite) connectFirst() (*conn, *headerFile, error) {
	if s.memory {
		c, err := s.connect()
		return c, nil, err
	}
	defer lockHeaders()()
	c, err := s.connect()
	if err == nil {
		// A first question makes SQLite open the files beside a new database.
		if err = c.one([]any{new(int64)}, "SELECT count(*) FROM sqlite_schema"); err != nil {
			c.close()
		}
	}
	if err != nil {
		return nil, nil, err
	}
	return c, openHeader(s.path), nil
}

func (s *SQLite) connect() (*conn, error) {
	db, err := new(sqlite.Driver).Open(s.dsn)
	if err != nil {
		return nil, err
	}
	c := &conn{db: db, statements: make(map[string]statement), patience: busyTimeout}
	pragmas := []string{fmt.Sprintf("PRAGMA busy_timeout = %d", busyTimeout.Milliseconds())}
	if s.memory {
		pragmas = append(pragmas, "PRAGMA journal_mode = MEMORY", "PRAGMA synchronous = OFF")
	} else {
		pragmas = append(pragmas,
			"PRAGMA journal_mode = WAL",
			"PRAGMA synchronous = FULL", // every commit is synced: with NORMAL a loss of power takes the last ones back
			"PRAGMA journal_size_limit = 67108864",
			"PRAGMA cache_size = -4096",
			"PRAGMA mmap_size = 0", // a fault of the disk is to be an error, not a signal
		)
	}
	pragmas = append(pragmas, "PRAGMA trusted_schema = OFF", "PRAGMA temp_store = MEMORY")
	for _, pragma := range pragmas {
		for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
			_, err = c.exec(pragma)
			if sqliteCode(err)&0xff != sqlite3.SQLITE_BUSY || time.Since(began) > walSwitchTimeout {
				break
			}
		}
		if err != nil {
			c.close()
			return nil, err
		}
	}
	return c, nil
}

func (c *conn) close() error {
	var err error
	for _, st := range c.statements {
		err = errors.Join(err, st.Close())
	}
	return errors.Join(err, c.db.Close())
}

// prepare finds or makes the statement and lays out its arguments: string, []byte, int64, bool,
// time.Time (kept in milliseconds) or nil.
func (c *conn) prepare(query string, args []any) (statement, error) {
	st, ok := c.statements[query]
	if !ok {
		prepared, err := c.db.Prepare(query)
		if err != nil {
			return nil, err
		}
		st = prepared.(statement)
		c.statements[query] = st
	}
	c.args = c.args[:0]
	for i, arg := range args {
		switch v := arg.(type) {
		case int:
			arg = int64(v)
		case time.Time:
			arg = v.UnixMilli()
		}
		c.args = append(c.args, driver.NamedValue{Ordinal: i + 1, Value: arg})
	}
	return st, nil
}

// exec runs a statement and says how many rows it changed. No context: a statement takes
// microseconds, and one that was interrupted would undo the transaction that others share.
func (c *conn) exec(query string, args ...any) (int, error) {
	st, err := c.prepare(query, args)
	if err != nil {
		return 0, err
	}
	res, err := st.ExecContext(context.Background(), c.args)
	if err != nil {
		return 0, err
	}
	n, err := res.RowsAffected()
	c.changed += int(n)
	return int(n), err
}

// query calls row for each row of the answer. The slice is good during the call, what is in it for
// good.
func (c *conn) query(row func([]driver.Value) error, query string, args ...any) error {
	st, err := c.prepare(query, args)
	if err != nil {
		return err
	}
	rows, err := st.QueryContext(context.Background(), c.args)
	if err != nil {
		return err
	}
	defer rows.Close()
	n := len(rows.Columns())
	if cap(c.row) < n {
		c.row = make([]driver.Value, n)
	}
	values := c.row[:n]
	for {
		switch err := rows.Next(values); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		if err := row(values); err != nil {
			return err
		}
	}
}

// one reads the only row of the answer into dest, pointers to string, []byte or int64. ErrNotFound
// if there is none.
func (c *conn) one(dest []any, query string, args ...any) error {
	found := false
	err := c.query(func(row []driver.Value) error {
		found = true
		for i, d := range dest {
			switch d := d.(type) {
			case *string:
				*d, _ = row[i].(string)
			case *[]byte:
				*d, _ = row[i].([]byte)
			case *int64:
				*d, _ = row[i].(int64)
			default:
				return fmt.Errorf("read a row into %T", d)
			}
		}
		return nil
	}, query, args...)
	if err == nil && !found {
		return ErrNotFound
	}
	return err
}

// sqliteCode is SQLite's extended result code of an error, 0 if it has none.
func sqliteCode(err error) int {
	var e *sqlite.Error
	if errors.As(err, &e) {
		return e.Code()
	}
	return 0
}

// taken reports whether a write was refused because a unique value exists already.
func taken(err error) bool {
	code := sqliteCode(err)
	return code == sqlite3.SQLITE_CONSTRAINT_UNIQUE || code == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY
}

// read runs fn on a connection of its own. It sees everything that was acknowledged before.
func read[T any](ctx context.Context, s *SQLite, fn func(*conn) (T, error)) (T, error) {
	c, err := s.reader(ctx)
	if err != nil {
		var none T
		return none, err
	}
	defer func() { s.idle <- c }()
	return fn(c)
}

func (s *SQLite) reader(ctx context.Context) (*conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if s.queue.isClosed() {
		return nil, errClosed
	}
	select {
	case c := <-s.idle:
		return c, nil
	default:
	}
	select {
	case c := <-s.idle:
		return c, nil
	case s.slots <- struct{}{}:
		c, err := s.connect()
		if err != nil {
			<-s.slots
		}
		return c, err
	case <-s.closed:
		return nil, errClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Close waits for the writes that have begun, and ends the store.
func (s *SQLite) Close() error {
	if !s.queue.close() {
		<-s.closed
		return nil
	}
	<-s.closed
	var err error
	for range cap(s.slots) {
		select {
		case s.slots <- struct{}{}: // never opened, and nobody can any more
		case c := <-s.idle:
			err = errors.Join(err, c.close())
		}
	}
	s.cache.header.close() // after the connections, see headerFile
	if err != nil {
		return fmt.Errorf("close database: %w", err)
	}
	return nil
}

// Yield makes the database stand back after each transaction for as long as that took, and keep
// transactions short. SQLite's lock knows no queue: a process that has many changes to make takes
// it again at once, and keeps the others from making theirs. It is for commands beside a server.
func (s *SQLite) Yield() { s.yields.Store(true) }

// Path is the absolute path of the database file, "" for a store in memory.
func (s *SQLite) Path() string { return s.path }

// Stats is what a database has done since it was opened.
type Stats struct {
	Committed int64 // transactions
	Failed    int64 // transactions that could not be begun or committed
	Writes    int64 // in the transactions that were committed
	Waiting   int   // writes that wait for the next transaction now
}

// Stats returns what the database has done so far.
func (s *SQLite) Stats() Stats {
	s.queue.mu.Lock()
	waiting := len(s.queue.waiting)
	s.queue.mu.Unlock()
	return Stats{s.stats.committed.Load(), s.stats.failed.Load(), s.stats.writes.Load(), waiting}
}

// Made reports whether the database was not there, or empty, before it was opened.
func (s *SQLite) Made() bool { return s.made }

// queue is the line of writes that wait for the next transaction.
type queue struct {
	mu      sync.Mutex
	waiting []*write
	done    bool
	wake    chan struct{} // holds one element when there is something to do
}

func (q *queue) add(w *write) bool {
	q.mu.Lock()
	done := q.done
	if !done {
		q.waiting = append(q.waiting, w)
	}
	q.mu.Unlock()
	q.signal()
	return !done
}

func (q *queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// take returns the writes that wait, at most limit, sleeping while there are none. Nothing is
// returned at the end.
func (q *queue) take(limit int) []*write {
	for {
		q.mu.Lock()
		batch := q.waiting
		if len(batch) > limit {
			batch = batch[:limit:limit]
		}
		q.waiting = q.waiting[len(batch):]
		if len(q.waiting) == 0 {
			q.waiting = nil
		}
		done := q.done
		q.mu.Unlock()
		if len(batch) > 0 || done {
			return batch
		}
		<-q.wake
	}
}

func (q *queue) isClosed() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.done
}

// close reports whether it was this call that closed the queue.
func (q *queue) close() bool {
	q.mu.Lock()
	was := q.done
	q.done = true
	q.mu.Unlock()
	q.signal()
	return !was
}
