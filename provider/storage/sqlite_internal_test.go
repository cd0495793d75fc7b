package storage

import (
	"context"
	"database/sql/driver"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func openFile(t *testing.T, path string) *SQLite {
	t.Helper()
	s, err := openSQLite(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// set runs fn in the next transaction.
func set(ctx context.Context, s *SQLite, fn func(*conn) error) error {
	_, err := inTransaction(ctx, s, func(c *conn) (struct{}, error) { return struct{}{}, fn(c) })
	return err
}

// insertSQL runs an INSERT, and answers ErrConflict if the row is taken.
func insertSQL(c *conn, insert string) error {
	_, err := c.exec(insert)
	if taken(err) {
		return ErrConflict
	}
	return err
}

// hold takes the database's write lock on a connection of its own, as another process would.
func hold(t *testing.T, s *SQLite) (release func()) {
	t.Helper()
	c, err := s.connect()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.exec("BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	release = sync.OnceFunc(func() {
		if err := rollback(c); err != nil {
			t.Error(err)
		}
		if err := c.close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(release)
	return release
}

// occupy keeps the writer busy inside a transaction until release, so that the writes which follow
// gather behind it.
func occupy(t *testing.T, s *SQLite) (release func()) {
	t.Helper()
	begun, gate, done := make(chan struct{}), make(chan struct{}), make(chan error)
	go func() {
		done <- set(context.Background(), s, func(*conn) error {
			close(begun)
			<-gate
			return nil
		})
	}()
	<-begun
	return func() {
		close(gate)
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// await returns when n writes stand in line.
func await(s *SQLite, n int) {
	for {
		s.queue.mu.Lock()
		waiting := len(s.queue.waiting)
		s.queue.mu.Unlock()
		if waiting >= n {
			return
		}
		runtime.Gosched()
	}
}

// transactions counts the commits in a write-ahead log: after a header of 32 bytes, each page has
// one of 24, whose second word is not zero in the last page of a transaction.
func transactions(t *testing.T, s *SQLite) int {
	t.Helper()
	log, err := os.ReadFile(s.path + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for at := 32; at+24 <= len(log); at += 24 + 4096 {
		if binary.BigEndian.Uint32(log[at+4:]) != 0 {
			n++
		}
	}
	return n
}

func TestConcurrentWritersShareATransaction(t *testing.T) {
	t.Parallel()
	s := openFile(t, filepath.Join(t.TempDir(), "db"))
	before := transactions(t, s)
	release := occupy(t, s)
	const n = 100
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			if err := New(s).CreateUser(t.Context(), User{ID: fmt.Sprint(i), Username: fmt.Sprint(i)}); err != nil {
				t.Error(err)
			}
		})
	}
	await(s, n)
	release()
	wg.Wait()
	if got := transactions(t, s) - before; got != 1 {
		t.Errorf("%d writes took %d transactions, want 1", n, got)
	}
}

func TestAFailingWriteHarmsNoOther(t *testing.T) {
	t.Parallel()
	s := openFile(t, filepath.Join(t.TempDir(), "db"))
	release := occupy(t, s)
	errBroken := errors.New("broken")
	const n = 20
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			errs[i] = set(t.Context(), s, func(c *conn) error {
				if _, err := c.exec("INSERT INTO settings (id, version, doc) VALUES (?, 1, x'0500000000')",
					fmt.Sprint(i)); err != nil {
					return err
				}
				switch i % 4 {
				case 1:
					return errBroken // after it has written
				case 3:
					// perhaps before '0' is there
					return insertSQL(c, "INSERT INTO settings (id, version, doc) VALUES ('0', 1, x'0500000000')")
				}
				return nil
			})
		})
	}
	await(s, n)
	release()
	wg.Wait()
	for i, err := range errs {
		_, loadErr := New(s).Setting(t.Context(), fmt.Sprint(i))
		switch {
		case i%4 == 1 && (!errors.Is(err, errBroken) || loadErr != ErrNotFound):
			t.Errorf("write %d, which failed: %v; its row: %v", i, err, loadErr)
		case i%2 == 0 && i > 0 && (err != nil || loadErr != nil):
			t.Errorf("write %d: %v; its row: %v", i, err, loadErr)
		}
	}
}

// In a batch of many writes one that fails costs the others nothing: none is run again, and they
// share their transaction as if it were not there.
func TestFailingWriteInABatchUndoesOnlyItself(t *testing.T) {
	t.Parallel()
	s := openFile(t, filepath.Join(t.TempDir(), "db"))
	before := transactions(t, s)
	const n = 50
	var runs atomic.Int64
	release := occupy(t, s)
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			if i%5 == 4 { // a write of one statement, which SQLite refuses
				_, errs[i] = inOneStatement(t.Context(), s, func(c *conn) (int, error) {
					runs.Add(1)
					return c.exec("INSERT INTO settings (id, version, doc) VALUES (?, 'no number', x'0500000000')",
						fmt.Sprint(i))
				})
				return
			}
			errs[i] = set(t.Context(), s, func(c *conn) error {
				runs.Add(1)
				if _, err := c.exec("INSERT INTO settings (id, version, doc) VALUES (?, 1, x'0500000000')",
					fmt.Sprint(i)); err != nil {
					return err
				}
				switch i % 5 {
				case 1:
					return errors.New("broken")
				case 2:
					return ErrConflict
				case 3: // SQLite refuses a statement
					_, err := c.exec("INSERT INTO settings (id, version, doc) VALUES (?, 'no number', x'0500000000')",
						fmt.Sprint("more ", i))
					return err
				}
				return nil
			})
		})
	}
	await(s, n)
	release()
	wg.Wait()
	for i, err := range errs {
		_, loadErr := New(s).Setting(t.Context(), fmt.Sprint(i))
		if failed := i%5 > 0; failed != (err != nil) || failed != (loadErr == ErrNotFound) {
			t.Errorf("write %d: %v; its row: %v", i, err, loadErr)
		}
	}
	if got := runs.Load(); got != n {
		t.Errorf("%d writes were run %d times", n, got)
	}
	if got := transactions(t, s) - before; got != 1 {
		t.Errorf("they took %d transactions, want 1", got)
	}
}

func TestAWriteThatRefusesLeavesNothing(t *testing.T) {
	t.Parallel()
	s := openFile(t, filepath.Join(t.TempDir(), "db"))
	release := occupy(t, s)
	const n = 12
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			errs[i] = set(t.Context(), s, func(c *conn) error {
				if _, err := c.exec("INSERT INTO settings (id, version, doc) VALUES (?, 1, x'0500000000')",
					fmt.Sprint(i)); err != nil {
					return err
				}
				if i%3 == 1 {
					return ErrConsumed // after it has written
				}
				return nil
			})
		})
	}
	await(s, n)
	release()
	wg.Wait()
	for i, err := range errs {
		refused := i%3 == 1
		if _, loadErr := New(s).Setting(t.Context(), fmt.Sprint(i)); (err == ErrConsumed) != refused ||
			(loadErr == ErrNotFound) != refused {
			t.Errorf("write %d: %v; its row: %v", i, err, loadErr)
		}
	}
}

// A table that is declared with more than the file has is filled by an upgrade.
func TestFillColumns(t *testing.T) {
	t.Parallel()
	s := openFile(t, filepath.Join(t.TempDir(), "db"))
	if err := New(s).CreateUser(t.Context(), User{ID: "u", Username: "ada", PasswordHash: "p",
		Groups: []string{"staff", "admins"}}); err != nil {
		t.Fatal(err)
	}
	more := Table{Name: "users", Unique: []string{"username"}, Indexes: []Index{
		{Fields: []string{"password_hash"}}, {Fields: []string{"groups"}, Each: true}}}
	err := set(t.Context(), s, func(c *conn) error { return fillColumns(c, &more) })
	if err != nil {
		t.Fatal(err)
	}
	s.tables[&more] = newSQLTable(&more)
	for _, where := range []Match{is("password_hash", "p"), is("groups", "staff"), is("groups", "admins")} {
		found := 0
		if err := s.List(t.Context(), &more, Query{Where: []Match{where}},
			func(Row) (bool, error) { found++; return true, nil }); err != nil || found != 1 {
			t.Errorf("%+v: %d found, %v", where, found, err)
		}
	}
}

func TestAFailedCommitFailsEveryWriteInIt(t *testing.T) {
	t.Parallel()
	s := openFile(t, filepath.Join(t.TempDir(), "db"))
	c, err := s.connect()
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	for _, q := range []string{
		"PRAGMA foreign_keys = ON",
		"CREATE TABLE parent (id INTEGER PRIMARY KEY) STRICT",
		"CREATE TABLE child (id INTEGER REFERENCES parent DEFERRABLE INITIALLY DEFERRED) STRICT",
	} {
		if _, err := c.exec(q); err != nil {
			t.Fatal(err)
		}
	}
	var batch []*write
	for _, run := range []func(*conn) error{
		func(c *conn) error {
			return insertSQL(c, "INSERT INTO settings (id, version, doc) VALUES ('a', 1, x'0500000000')")
		},
		func(c *conn) error { return insertSQL(c, "INSERT INTO child (id) VALUES (1)") }, // found out by COMMIT
		// an answer that rests on what is undone
		func(c *conn) error { return ErrConsumed },
	} {
		batch = append(batch, &write{ctx: t.Context(), run: run, done: make(chan struct{})})
	}
	if !s.transact(c, batch) {
		t.Fatal("the writes were not answered")
	}
	for i, w := range batch {
		if <-w.done; w.err == nil || answer(w.err) {
			t.Errorf("write %d: %v", i, w.err)
		}
	}
	if _, err := New(s).Setting(t.Context(), "a"); err != ErrNotFound {
		t.Errorf("the row of a failed commit: %v", err)
	}
	if err := s.Ping(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestALockedDatabaseIsAFault(t *testing.T) {
	t.Parallel()
	s := openFile(t, filepath.Join(t.TempDir(), "db"))
	if err := set(t.Context(), s, func(c *conn) error {
		c.patience = time.Millisecond
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	release := hold(t, s)
	if err := New(s).CreateUser(t.Context(), User{ID: "u", Username: "u"}); !errors.Is(err, ErrUnavailable) ||
		!strings.Contains(err.Error(), "locked") {
		t.Errorf("got %v", err)
	}
	if _, err := New(s).User(t.Context(), "u"); err != ErrNotFound { // readers do not wait
		t.Errorf("got %v", err)
	}
	release()
	if err := New(s).CreateUser(t.Context(), User{ID: "u", Username: "u"}); err != nil {
		t.Error(err)
	}
}

func TestAFullDiskIsAFault(t *testing.T) {
	t.Parallel()
	s := openFile(t, filepath.Join(t.TempDir(), "db"))
	pages := func(n int) {
		t.Helper()
		if err := set(t.Context(), s, func(c *conn) error {
			return c.query(func([]driver.Value) error { return nil }, fmt.Sprintf("PRAGMA max_page_count = %d", n))
		}); err != nil {
			t.Fatal(err)
		}
	}
	pages(1) // that is, as many as there are
	var full error
	stored := 0
	for ; full == nil && stored < 10_000; stored++ {
		full = New(s).CreateUser(t.Context(), User{ID: fmt.Sprint(stored), Username: fmt.Sprint(stored),
			PasswordHash: strings.Repeat("x", 1000)})
	}
	if !errors.Is(full, ErrUnavailable) || !strings.Contains(full.Error(), "full") {
		t.Fatalf("after %d: %v", stored, full)
	}
	pages(1 << 20)
	if err := New(s).CreateUser(t.Context(), User{ID: "after", Username: "after"}); err != nil {
		t.Error(err)
	}
	users, err := New(s).Users(t.Context(), "", 20_000)
	if err != nil || len(users) != stored { // the last of them failed, and one came after
		t.Errorf("%d users (%v), want %d", len(users), err, stored)
	}
}

func TestAWriteWhoseCallerLeftMayStillHappen(t *testing.T) {
	t.Parallel()
	s := openFile(t, filepath.Join(t.TempDir(), "db"))
	release := hold(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	got := make(chan error)
	go func() { got <- New(s).CreateUser(ctx, User{ID: "u", Username: "u"}) }()
	cancel()
	if err := <-got; !errors.Is(err, context.Canceled) || !errors.Is(err, ErrUnavailable) {
		t.Errorf("got %v", err)
	}
	release()
	if err := s.Ping(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := New(s).User(t.Context(), "u"); err != nil && err != ErrNotFound {
		t.Error(err)
	}
}

func TestCloseWaitsForWritesThatHaveBegun(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "db")
	s := openFile(t, path)
	release := occupy(t, s)
	const n = 50
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = New(s).CreateUser(t.Context(), User{ID: fmt.Sprint(i), Username: fmt.Sprint(i)}) })
	}
	await(s, n)
	wg.Go(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	for !s.queue.isClosed() {
		runtime.Gosched()
	}
	if err := s.Ping(t.Context()); !errors.Is(err, errClosed) {
		t.Errorf("a write after Close: %v", err)
	}
	release()
	wg.Wait()
	again := openFile(t, path)
	for i, err := range errs {
		_, loadErr := New(again).User(t.Context(), fmt.Sprint(i))
		if err != nil || loadErr != nil {
			t.Errorf("write %d: %v; its row: %v", i, err, loadErr)
		}
	}
}

func TestEveryCommitIsSynced(t *testing.T) {
	t.Parallel()
	s := openFile(t, filepath.Join(t.TempDir(), "db"))
	var synchronous int64
	var journal string
	err := set(t.Context(), s, func(c *conn) error { // on the connection that writes
		return errors.Join(c.one([]any{&synchronous}, "PRAGMA synchronous"),
			c.one([]any{&journal}, "PRAGMA journal_mode"))
	})
	if err != nil || synchronous != 2 || journal != "wal" {
		t.Errorf("synchronous %d, journal_mode %s, %v; want 2 (FULL) and wal", synchronous, journal, err)
	}
}

func TestMigrations(t *testing.T) {
	t.Parallel()
	statements := func(all ...string) upgrade {
		return func(c *conn) error {
			for _, q := range all {
				if _, err := c.exec(q); err != nil {
					return err
				}
			}
			return nil
		}
	}
	first := statements("CREATE TABLE t (a TEXT) STRICT", "INSERT INTO t VALUES ('kept')")
	second := statements("ALTER TABLE t ADD COLUMN b TEXT", "UPDATE t SET b = a || '!'")
	s := &SQLite{dsn: filepath.Join(t.TempDir(), "db")}
	do := func(upgrades ...upgrade) error {
		t.Helper()
		c, err := s.connect()
		if err != nil {
			t.Fatal(err)
		}
		defer c.close()
		return migrate(t.Context(), c, first, upgrades)
	}
	read := func(query string) (value string) {
		t.Helper()
		c, err := s.connect()
		if err != nil {
			t.Fatal(err)
		}
		defer c.close()
		if err := c.one([]any{&value}, query); err != nil {
			t.Fatal(err)
		}
		return value
	}
	for range 2 {
		if err := do(); err != nil {
			t.Fatal(err)
		}
	}
	// One that ends half way has not happened.
	if err := do(statements("ALTER TABLE t ADD COLUMN b TEXT", "this is no SQL")); err == nil ||
		!strings.Contains(err.Error(), "schema version 2") {
		t.Errorf("got %v", err)
	}
	if got := read("SELECT group_concat(name) FROM pragma_table_info('t')"); got != "a" {
		t.Errorf("columns %s", got)
	}
	// Several processes at once.
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if err := do(second); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got := read("SELECT b FROM t"); got != "kept!" {
		t.Errorf("got %q", got)
	}
	// And no way back.
	if err := do(); err == nil || !strings.Contains(err.Error(), "newer latchkey") {
		t.Errorf("got %v", err)
	}
}

// A condition that is left out would find everything.
func TestNothingIsListedByAConditionWithoutAnIndex(t *testing.T) {
	t.Parallel()
	s, err := openSQLite(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	each := func(Row) (bool, error) { return true, nil }
	for _, m := range []Match{is("offline", nil), {Field: "user_id", Or: "nonce", Value: "x"}} {
		if err := s.List(t.Context(), &grants.Table, Query{Where: []Match{m}}, each); err == nil || answer(err) {
			t.Errorf("list by %+v: %v", m, err)
		}
		if _, err := s.Values(t.Context(), &grants.Table, "client_id", m); err == nil || answer(err) {
			t.Errorf("values by %+v: %v", m, err)
		}
	}
}

// A process that makes many changes beside a server must not take the lock again at once.
func TestYieldingDatabaseStandsBackAfterEachTransaction(t *testing.T) {
	t.Parallel()
	s, err := openSQLite(t.Context(), filepath.Join(t.TempDir(), "latchkey.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	paused := make(chan time.Duration, 1)
	s.pause = func(_ context.Context, took time.Duration) error {
		paused <- took
		return nil
	}
	store := New(s)
	set := func(name string) {
		t.Helper()
		if _, err := store.SetOnce(t.Context(), name, []byte("1")); err != nil {
			t.Fatal(err)
		}
	}
	set("a")
	select {
	case <-paused:
		t.Error("it stood back unasked")
	default:
	}
	s.Yield()
	for _, name := range []string{"b", "c"} {
		set(name)
		if took := <-paused; took <= 0 {
			t.Errorf("stood back after %v", took)
		}
	}
}

// An address that several had goes to nobody, and a username stays with whom it names.
func TestSharedAddressesAreNoNamesAfterTheUpgrade(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "db")
	engine, err := openSQLite(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	s := New(engine)
	for _, u := range []User{
		{ID: "1", Username: "ada", Claims: Claims{Email: "shared@example.com", EmailVerified: true}},
		{ID: "2", Username: "bob", Claims: Claims{Email: "Shared@example.com", EmailVerified: true}},
		{ID: "3", Username: "carl", Claims: Claims{Email: "dora@example.com", EmailVerified: true}},
		{ID: "4", Username: "dora@example.com", Claims: Claims{Email: "d@example.com", EmailVerified: true}},
	} {
		if err := s.CreateUser(t.Context(), u); err != nil {
			t.Fatal(err)
		}
		if err := set(t.Context(), engine, func(c *conn) error { // as it was before
			_, err := c.exec("DELETE FROM users_sign_in_names")
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	if err := set(t.Context(), engine, func(c *conn) error {
		// What an upgrade to an earlier version may have left.
		_, err := c.exec("INSERT INTO users_sign_in_names VALUES ('dora@example.com', '3'), ('shared@example.com', '2')")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	c, err := engine.connect()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.exec("PRAGMA user_version = 7"); err != nil {
		t.Fatal(err)
	}
	c.close()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	s = New(openFile(t, path))
	for name, id := range map[string]string{"ada": "1", "bob": "2", "carl": "3", "dora@example.com": "4",
		"d@example.com": "4", "shared@example.com": ""} {
		u, err := s.UserBySignInName(t.Context(), name)
		if u.ID != id || (err == nil) != (id != "") {
			t.Errorf("%s is user %q (%v), want %q", name, u.ID, err, id)
		}
	}
	bob, err := s.User(t.Context(), "2")
	if err != nil {
		t.Fatal(err)
	}
	bob.Claims.Name = "Bob" // whoever shares an address can still be changed
	if err := s.UpdateUser(t.Context(), bob); err != nil {
		t.Error(err)
	}
}

// SQLite's own waiting looks for the lock every 100 ms at last, and the process that writes all the
// time leaves it alone for microseconds.
func TestAProcessGetsItsTurnBesideOneThatWritesAllTheTime(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "db")
	busy, other := openFile(t, path), openFile(t, path)
	ctx, stop := context.WithCancel(t.Context())
	var writers sync.WaitGroup
	for i := range 8 {
		writers.Go(func() {
			for ctx.Err() == nil {
				_, _, _ = New(busy).CountAttempt(ctx, fmt.Sprint(i), time.Now(), time.Hour)
			}
		})
	}
	const turns = 50
	before := busy.Stats().Committed
	began := time.Now()
	for i := range turns {
		if _, err := New(other).SetOnce(t.Context(), fmt.Sprint(i), []byte("1")); err != nil {
			t.Fatal(err)
		}
	}
	if between := (busy.Stats().Committed - before) / turns; between > 20 {
		t.Errorf("it waited for %d transactions of the other, %v, for each of its own", between,
			time.Since(began)/turns)
	}
	stop()
	writers.Wait()
}
