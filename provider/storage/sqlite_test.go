package storage_test

import (
	"bufio"
	"context"
	"database/sql"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey/provider/storage"

	_ "modernc.org/sqlite"
)

func open(t *testing.T, path string) *storage.Store {
	t.Helper()
	s, err := storage.OpenSQLite(t.Context(), path)
	must(t, err)
	t.Cleanup(func() { must(t, s.Close()) })
	return s
}

func TestTwoProcessesMayHaveTheSameFile(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	path := filepath.Join(t.TempDir(), "100% sure?.db") // a name that would mean something in a URI
	stores := make([]*storage.Store, 8)
	var wg sync.WaitGroup
	for i := range stores { // all of them find no database, and make it
		wg.Go(func() {
			s, err := storage.OpenSQLite(ctx, path)
			if err != nil {
				t.Error(err)
				return
			}
			stores[i] = s
		})
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	must(t, stores[0].CreateUser(ctx, storage.User{ID: "u", Username: "u"}))
	for i, s := range stores { // each sees what another has done, at once
		u, err := s.User(ctx, "u")
		must(t, err)
		u.PasswordHash = fmt.Sprint(i)
		must(t, s.UpdateUser(ctx, u))
	}
	must(t, stores[1].CreateGrant(ctx, withCode("g")))
	oneWins(t, storage.ErrConsumed, func(i int) error {
		_, err := redeem(ctx, stores[i%len(stores)], "g", "code of g", clock(0), clock(time.Hour), clock(time.Hour))
		return err
	})
	for _, s := range stores {
		must(t, s.Close())
	}
	if _, err := os.Stat(path); err != nil {
		t.Error(err)
	}
}

func TestNobodyElseMayReadTheFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, filepath.Join(dir, "db"))
	must(t, s.Ping(t.Context()))
	_, err := s.Embedded().LockServe()
	must(t, err)
	must(t, s.Embedded().Backup(t.Context(), filepath.Join(dir, "backup")))
	files, err := os.ReadDir(dir)
	must(t, err)
	equal(t, len(files), 5) // db, -wal, -shm, .lock, backup
	for _, f := range files {
		info, err := f.Info()
		must(t, err)
		if info.Mode() != fs.FileMode(0o600) {
			t.Errorf("%s has mode %v", f.Name(), info.Mode())
		}
	}
}

func TestOneProcessServes(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "db")
	first, second := open(t, path), open(t, path)
	release, err := first.Embedded().LockServe()
	must(t, err)
	if _, err := second.Embedded().LockServe(); err == nil || strings.Contains(err.Error(), "\n") ||
		!strings.Contains(err.Error(), path) {
		t.Errorf("a second one got %v", err)
	}
	must(t, second.Ping(t.Context())) // it may do all but serve
	release()
	release()
	again, err := second.Embedded().LockServe()
	must(t, err)
	again()
}

func TestWhatIsNotOursIsLeftAlone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()

	other := filepath.Join(dir, "other.db")
	db, err := sql.Open("sqlite", other)
	must(t, err)
	_, err = db.Exec("CREATE TABLE precious (x)")
	must(t, err)
	must(t, db.Close())

	newer := filepath.Join(dir, "newer.db")
	s, err := storage.OpenSQLite(t.Context(), newer)
	must(t, err)
	must(t, s.Close())
	db, err = sql.Open("sqlite", newer)
	must(t, err)
	_, err = db.Exec("PRAGMA user_version = 1000")
	must(t, err)
	must(t, db.Close())

	text := filepath.Join(dir, "text")
	must(t, os.WriteFile(text, []byte(strings.Repeat("not a database ", 1000)), 0o600))

	for path, want := range map[string]string{other: "another program", newer: "newer latchkey", text: "not a database",
		dir: ""} {
		s, err := storage.OpenSQLite(t.Context(), path)
		if err == nil {
			s.Close()
			t.Errorf("%s was opened", path)
		} else if !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", path, err)
		}
	}
	db, err = sql.Open("sqlite", other)
	must(t, err)
	defer db.Close()
	var tables int
	must(t, db.QueryRow("SELECT count(*) FROM sqlite_schema").Scan(&tables))
	equal(t, tables, 1)
}

func TestStoresInMemoryAreApart(t *testing.T) {
	t.Parallel()
	a, b := open(t, ""), open(t, ":memory:")
	must(t, a.CreateUser(t.Context(), storage.User{ID: "u", Username: "u"}))
	_, err := b.User(t.Context(), "u")
	want(t, err, storage.ErrNotFound)
	for range 2 { // there is nobody else to lock out
		_, err = a.Embedded().LockServe()
		must(t, err)
	}
}

// What a view reads first may be answered from memory. What it reads then is no older.
func TestAViewDoesNotGoBack(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	path := filepath.Join(t.TempDir(), "db")
	s, other := open(t, path), open(t, path)
	must(t, s.CreateUser(ctx, storage.User{ID: "u", Username: "u"}))
	for _, meanwhile := range []*storage.Store{s, other} {
		for _, first := range []bool{true, false} { // a read of the database before the change, and none
			must(t, s.CreateGroup(ctx, storage.Group{Name: "g"}))
			must(t, s.View(ctx, func(r storage.Records) error {
				before, err := r.User(ctx, "u") // from memory
				must(t, err)
				if first {
					_, err := r.Clients(ctx, "", 1)
					must(t, err)
				}
				must(t, meanwhile.UpdateUser(ctx, before))
				must(t, meanwhile.DeleteGroup(ctx, "g"))
				_, err = r.Group(ctx, "g")
				gone := err == storage.ErrNotFound
				if !gone {
					must(t, err)
				}
				after, err := r.User(ctx, "u")
				must(t, err)
				switch {
				case first && (gone || after.Version != before.Version):
					t.Error("what was changed meanwhile is seen after a read of the database")
				case gone && after.Version == before.Version:
					t.Error("the second change is seen, and the first is not")
				}
				return nil
			}))
			u, err := s.User(ctx, "u")
			must(t, err)
			_, err = s.Group(ctx, "g")
			want(t, err, storage.ErrNotFound)
			must(t, s.UpdateUser(ctx, u))
		}
	}
}

func TestAViewOfTheDatabaseIsOfOneMoment(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	path := filepath.Join(t.TempDir(), "db")
	s := open(t, path)
	must(t, s.CreateUser(ctx, storage.User{ID: "u", Username: "u"}))
	cold := open(t, path) // which remembers nothing
	must(t, cold.View(ctx, func(r storage.Records) error {
		before, err := r.User(ctx, "u")
		must(t, err)
		must(t, s.UpdateUser(ctx, before)) // somebody else, meanwhile
		must(t, s.CreateGroup(ctx, storage.Group{Name: "g"}))
		after, err := r.User(ctx, "u")
		must(t, err)
		equal(t, after.Version, before.Version)
		_, err = r.Group(ctx, "g")
		want(t, err, storage.ErrNotFound)
		return nil
	}))
	u, err := s.User(ctx, "u")
	must(t, err)
	equal(t, u.Version, int64(2))
	want(t, s.View(ctx, func(r storage.Records) error {
		_, err := r.User(ctx, "none")
		return err
	}), storage.ErrNotFound)
}

// copyDatabase copies what is on the disk at this moment, as it would be found after a loss of
// power.
func copyDatabase(t *testing.T, from, to string) {
	t.Helper()
	for _, suffix := range []string{"", "-wal"} {
		data, err := os.ReadFile(from + suffix)
		must(t, err)
		must(t, os.WriteFile(to+suffix, data, 0o600))
	}
}

func checkIntegrity(t *testing.T, path string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	must(t, err)
	defer db.Close()
	var result string
	must(t, db.QueryRow("PRAGMA integrity_check").Scan(&result))
	equal(t, result, "ok")
}

func TestWhatWasAcknowledgedIsInTheFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "db")
	s := open(t, path)
	must(t, s.CreateGrant(t.Context(), withCode("g")))
	_, err := redeem(t.Context(), s, "g", "code of g", clock(0), clock(time.Hour), clock(time.Hour))
	must(t, err)
	for i := range 20 {
		_, err := rotate(t.Context(), s, "g", int64(i+1), clock(0), clock(time.Hour))
		must(t, err)
		after := filepath.Join(dir, fmt.Sprint("after", i))
		copyDatabase(t, path, after)
		restored, err := storage.OpenSQLite(t.Context(), after)
		must(t, err)
		g, err := restored.Grant(t.Context(), "g")
		must(t, err)
		equal(t, g.RefreshGeneration, int64(i+2))
		must(t, restored.Close())
		checkIntegrity(t, after)
	}
}

func TestABackupIsTheWholeDatabase(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, filepath.Join(dir, "db"))
	must(t, s.CreateUser(t.Context(), storage.User{ID: "u", Username: "u"}))
	backup := filepath.Join(dir, "backup")
	must(t, s.Embedded().Backup(t.Context(), backup))
	must(t, s.CreateUser(t.Context(), storage.User{ID: "later", Username: "later"}))
	checkIntegrity(t, backup)
	restored := open(t, backup)
	_, err := restored.User(t.Context(), "u")
	must(t, err)
	_, err = restored.User(t.Context(), "later")
	want(t, err, storage.ErrNotFound)
	if err := s.Embedded().Backup(t.Context(), backup); err == nil {
		t.Error("a backup was written over")
	}
}

const writerVariable = "LATCHKEY_STORAGE_TEST_WRITER"

// TestWriterProcess is no test but the process that the next one kills: it writes as fast as it
// can, and says what was acknowledged.
func TestWriterProcess(t *testing.T) {
	path := os.Getenv(writerVariable)
	if path == "" {
		return
	}
	s, err := storage.OpenSQLite(t.Context(), path)
	must(t, err)
	round := time.Now().UnixNano()
	var mu sync.Mutex
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := 0; ; i++ {
				id := fmt.Sprintf("%d-%d-%d", round, w, i)
				g := withCode(id)
				err := s.CreateGrant(context.Background(), g)
				if err == nil {
					_, err = redeem(context.Background(), s, id, g.CodeHash, clock(0), clock(time.Hour),
						clock(time.Hour))
				}
				if err != nil {
					fmt.Println("error", err)
					os.Exit(1)
				}
				mu.Lock()
				fmt.Println("done", id)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
}

func TestAKilledProcessLosesNothingThatWasAcknowledged(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "db")
	var acknowledged []string
	for range 3 {
		cmd := exec.Command(os.Args[0], "-test.run=^TestWriterProcess$")
		cmd.Env = append(os.Environ(), writerVariable+"="+path)
		out, err := cmd.StdoutPipe()
		must(t, err)
		must(t, cmd.Start())
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); {
			id, ok := strings.CutPrefix(lines.Text(), "done ")
			if !ok {
				t.Fatal(lines.Text())
			}
			acknowledged = append(acknowledged, id)
			if n++; n == 300 {
				must(t, cmd.Process.Kill()) // and read on: what was said before counts
			}
		}
		if err := cmd.Wait(); err == nil || cmd.ProcessState.Success() {
			t.Fatal("it ended by itself")
		}
		checkIntegrity(t, path)
	}
	s := open(t, path)
	for _, id := range acknowledged {
		g, err := s.Grant(t.Context(), id)
		if err != nil || g.CodeUsedAt.IsZero() {
			t.Fatalf("%s: %v, used at %v", id, err, g.CodeUsedAt)
		}
	}
	t.Logf("%d acknowledged", len(acknowledged))
}
