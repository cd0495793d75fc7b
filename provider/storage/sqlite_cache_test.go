//go:build linux || darwin || freebsd

package storage

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// warmThing reads a Thing until it is answered from memory, and returns its count, -1 if there is
// none.
func warmThing(t *testing.T, s *SQLite, id string) int {
	t.Helper()
	for range 100 {
		count := countOf(t, s, id)
		if _, known, _ := s.cache.row(s.cache.open(), Things, id); known {
			return count
		}
	}
	t.Fatalf("the row %s is not remembered", id)
	return 0
}

func countOf(t *testing.T, s *SQLite, id string) int {
	t.Helper()
	row, err := s.Get(t.Context(), Things, id)
	if err == ErrNotFound {
		return -1
	}
	if err != nil {
		t.Fatal(err)
	}
	thing, err := ThingOf(row)
	if err != nil {
		t.Fatal(err)
	}
	return thing.Count
}

// setThing makes or changes a Thing.
func setThing(ctx context.Context, s *SQLite, id string, count int) error {
	_, err := s.Update(ctx, Things, id, Change{Apply: things.apply(func(r *Thing, _ bool) error {
		r.ID, r.Name, r.Owner, r.Count = id, "name of "+id, fmt.Sprint("owner ", count%3), count
		r.Tags = []string{fmt.Sprint("tag ", count)}
		return nil
	})})
	return err
}

// ownedBy lists the things of an owner through the cache.
func ownedBy(ctx context.Context, r Reader, owner string) (all []Thing, err error) {
	err = r.List(ctx, Things, Query{Where: []Match{is("owner", owner)}, Order: []string{"-rank"}},
		func(row Row) (bool, error) {
			thing, err := ThingOf(row)
			all = append(all, thing)
			return true, err
		})
	slices.SortFunc(all, func(a, b Thing) int { return strings.Compare(a.ID, b.ID) })
	return all, err
}

// otherProcess is a second process with the same database open, and rows of it in memory.
type otherProcess struct {
	t    *testing.T
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *bufio.Scanner
	path string
}

const otherPath = "LATCHKEY_TEST_SQLITE_PATH"

func startOther(t *testing.T, path string) *otherProcess {
	t.Helper()
	o := &otherProcess{t: t, path: path, cmd: exec.Command(os.Args[0], "-test.run", "^TestOtherProcess$")}
	o.cmd.Env = append(os.Environ(), otherPath+"="+path)
	o.cmd.Stderr = os.Stderr
	var err error
	if o.in, err = o.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := o.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	o.out = bufio.NewScanner(out)
	if err := o.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(o.kill)
	return o
}

// ask sends a command and returns the answer to it.
func (o *otherProcess) ask(format string, args ...any) string {
	o.t.Helper()
	if _, err := fmt.Fprintf(o.in, format+"\n", args...); err != nil {
		o.t.Fatal(err)
	}
	if !o.out.Scan() {
		o.t.Fatalf("the other process has ended: %v", o.out.Err())
	}
	return o.out.Text()
}

func (o *otherProcess) kill() {
	_ = o.cmd.Process.Kill()
	_ = o.cmd.Wait()
}

// TestOtherProcess is what the other process runs; it does nothing elsewhere.
func TestOtherProcess(t *testing.T) {
	path := os.Getenv(otherPath)
	if path == "" {
		return
	}
	s := openFile(t, path)
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var do, id string
		var count int
		_, _ = fmt.Sscan(lines.Text(), &do, &id, &count)
		var answer any = "done"
		var err error
		switch do {
		case "set":
			err = setThing(t.Context(), s, id, count)
		case "get":
			answer = countOf(t, s, id)
		case "remove":
			_, err = s.Remove(t.Context(), Things, is(FieldID, id))
		case "checkpoint":
			err = truncateLog(t.Context(), s)
		case "locks":
			answer, err = lockedBy(path + "-shm")
		}
		if err != nil {
			answer = err
		}
		fmt.Println(answer)
	}
	os.Exit(0) // without a word from the testing package
}

// truncateLog moves everything from the log into the database, and begins the log again.
func truncateLog(ctx context.Context, s *SQLite) error {
	_, err := read(ctx, s, func(c *conn) (struct{}, error) {
		return struct{}{}, c.one([]any{new(int64)}, "PRAGMA wal_checkpoint(TRUNCATE)")
	})
	return err
}

// lockedBy returns the process that keeps others from locking a byte of the file, 0 for none.
func lockedBy(path string) (pid int32, err error) {
	fd, err := unix.Open(path, unix.O_RDWR, 0) // never closed: the locks of this process would go
	if err != nil {
		return 0, err
	}
	lock := unix.Flock_t{Type: unix.F_WRLCK}
	if err := unix.FcntlFlock(uintptr(fd), unix.F_GETLK, &lock); err != nil || lock.Type == unix.F_UNLCK {
		return 0, err
	}
	return lock.Pid, nil
}

func TestNothingRememberedIsOlderThanWhatAnotherProcessWrote(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "db")
	s := openFile(t, path)
	other := startOther(t, path)
	want := func(what string, got, want any) {
		t.Helper()
		if got != want {
			t.Fatalf("%s: got %v, want %v", what, got, want)
		}
	}
	for i := 1; i <= 60; i++ {
		before := warmThing(t, s, "a")
		if _, err := ownedBy(t.Context(), s, fmt.Sprint("owner ", i%3)); err != nil {
			t.Fatal(err)
		}
		want("the other process before", other.ask("get a"), fmt.Sprint(before))
		if i%10 == 0 {
			want("the log", other.ask("checkpoint"), "done")
		}

		// 1. The other one writes: the next read shows it, by its ID and in a list.
		want("the write", other.ask("set a %d", 2*i), "done")
		want("the row", countOf(t, s, "a"), 2*i)
		owned, err := ownedBy(t.Context(), s, fmt.Sprint("owner ", 2*i%3))
		if err != nil || len(owned) != 1 || owned[0].Count != 2*i {
			t.Fatalf("the list after it: %+v, %v", owned, err)
		}

		// 2. This one writes: the other shows it.
		warmThing(t, s, "a")
		if err := setThing(t.Context(), s, "a", 2*i+1); err != nil {
			t.Fatal(err)
		}
		want("the row in the other process", other.ask("get a"), fmt.Sprint(2*i+1))
		want("the row in this one", warmThing(t, s, "a"), 2*i+1)

		// 3. What was not there appears, and what was there goes.
		want("a row that is not there", warmThing(t, s, "b"), -1)
		want("another write", other.ask("set b %d", i), "done")
		want("the row that was not there", warmThing(t, s, "b"), i)
		want("a removal", other.ask("remove b"), "done")
		want("the row that was removed", warmThing(t, s, "b"), -1)

		if i%25 == 0 {
			other.kill()
			other = startOther(t, path)
		}
	}
}

// Closing any descriptor of a file ends the locks of the process on it, those of SQLite too. The
// locks on the shared memory keep other processes from removing it, and from writing at once.
func TestLocksOfTheDatabaseOutliveOtherStoresOnIt(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "db")
	s := openFile(t, path)
	other := startOther(t, path)
	other.ask("get a")
	if got := other.ask("locks"); got != fmt.Sprint(os.Getpid()) {
		if os.Getenv("CI") == "true" {
			t.Fatalf("the shared memory is locked by %s, want %d", got, os.Getpid())
		}
		t.Skipf("locks of other processes cannot be seen here: %s", got)
	}
	for range 3 {
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				second, err := openSQLite(t.Context(), path)
				if err != nil {
					t.Error(err)
					return
				}
				if err := setThing(t.Context(), second, "a", 1); err != nil {
					t.Error(err)
				}
				if err := second.Close(); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if got := other.ask("locks"); got != fmt.Sprint(os.Getpid()) {
			t.Fatalf("after other stores were closed the shared memory is locked by %s, want %d", got, os.Getpid())
		}
		if got := countOf(t, s, "a"); got != 1 {
			t.Fatalf("got %d", got)
		}
	}
}

// Two stores on one file do whatever a store can do, and are compared with the file after each
// step.
func TestWhatIsRememberedIsWhatIsStored(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "db")
	stores := []*SQLite{openFile(t, path), openFile(t, path)}
	random := rand.New(rand.NewPCG(1, 2))
	ids := []string{"a", "b", "c", "d", "e"}
	refused := fmt.Errorf("refused")
	steps := map[string]func(s *SQLite, id string) error{
		"set": func(s *SQLite, id string) error { return setThing(t.Context(), s, id, random.IntN(20)) },
		"end": func(s *SQLite, id string) error {
			_, err := s.Update(t.Context(), Things, id, Change{Apply: things.apply(existing(func(r *Thing) error {
				r.EndsAt = time.Unix(int64(random.IntN(20)), 0)
				return nil
			}))})
			return err
		},
		"swap": func(s *SQLite, id string) error {
			row, err := s.Get(t.Context(), Things, id)
			if err != nil {
				return err
			}
			thing, err := ThingOf(row)
			if err != nil {
				return err
			}
			_, err = changeSeen(t.Context(), New(s), "swap", things, thing, existing(func(r *Thing) error {
				r.Inside.A = fmt.Sprint(random.IntN(5))
				return nil
			}))
			return err
		},
		"refuse": func(s *SQLite, id string) error { // after it has written
			return set(t.Context(), s, func(c *conn) error {
				stored, err := c.get(s.tables[Things], id)
				if err != nil || stored == nil {
					return err
				}
				next, err := things.apply(func(r *Thing, _ bool) error { r.Count = -1; return nil })(stored)
				if err != nil {
					return err
				}
				if err := c.replace(s.tables[Things], next, stored); err != nil {
					return err
				}
				if random.IntN(2) == 0 {
					return ErrConsumed
				}
				return refused
			})
		},
		"remove":       func(s *SQLite, id string) error { return removal(s.Remove(t.Context(), Things, is(FieldID, id))) },
		"remove owned": func(s *SQLite, _ string) error { return removal(s.Remove(t.Context(), Things, is("owner", "owner 1"))) },
		"sweep": func(s *SQLite, _ string) error {
			return removal(s.Sweep(t.Context(), Things, Stamp{"gone", time.Unix(9, 0), time.Unix(12, 0)},
				is("owner", "owner 2")))
		},
		"purge":      func(s *SQLite, _ string) error { return removal(s.Purge(t.Context(), time.Unix(10, 0))) },
		"checkpoint": func(s *SQLite, _ string) error { return truncateLog(t.Context(), s) },
	}
	names := make([]string, 0, len(steps))
	for name := range steps {
		names = append(names, name)
	}
	slices.Sort(names)
	names = append(names, "set", "set", "swap", "swap") // more often
	var trace []string
	for range 500 {
		name, id, one := names[random.IntN(len(names))], ids[random.IntN(len(ids))], random.IntN(2)
		err := steps[name](stores[one], id)
		trace = append(trace, fmt.Sprintf("%d: %s %s: %v", one, name, id, err))
		if err != nil && !answer(err) && !errors.Is(err, ErrConsumed) && !errors.Is(err, refused) {
			t.Fatal(trace)
		}
		for range 2 { // the second time from memory
			for i, s := range stores {
				if diff := compareWithFile(t, s, ids); diff != "" {
					t.Fatalf("store %d: %s\n%s", i, diff, strings.Join(trace[max(0, len(trace)-10):], "\n"))
				}
			}
		}
	}
}

func removal(_ int, err error) error { return err }

// compareWithFile reads things and lists of them through the cache and without, and says how they
// differ.
func compareWithFile(t *testing.T, s *SQLite, ids []string) string {
	t.Helper()
	asked := &sqliteReader{s: s} // of no moment: it asks the database
	var err error
	defer asked.end(&err)
	for _, id := range ids {
		got, gotErr := s.Get(t.Context(), Things, id)
		stored, storedErr := asked.Get(t.Context(), Things, id)
		if gotErr != storedErr || string(got.Doc) != string(stored.Doc) || got.Version != stored.Version {
			return fmt.Sprintf("%s is %+v, %v, want %+v, %v", id, got, gotErr, stored, storedErr)
		}
		if gotErr == nil {
			thing, gotErr := ThingOf(got)
			want, storedErr := ThingOf(stored)
			if gotErr != nil || storedErr != nil || !reflect.DeepEqual(thing, want) {
				return fmt.Sprintf("%s is %+v, %v, want %+v, %v", id, thing, gotErr, want, storedErr)
			}
			thing.Tags = append(thing.Tags[:0], "changed by a caller") // in its own copy
		}
	}
	for _, owner := range []string{"owner 0", "owner 1", "owner 2"} {
		got, gotErr := ownedBy(t.Context(), s, owner)
		stored, storedErr := ownedBy(t.Context(), asked, owner)
		if gotErr != nil || storedErr != nil || !reflect.DeepEqual(got, stored) {
			return fmt.Sprintf("%s has %+v, %v, want %+v, %v", owner, got, gotErr, stored, storedErr)
		}
	}
	return ""
}

// Whoever begins to read after a write was acknowledged sees it, whichever of two stores made it,
// and nobody sees a write that was undone.
func TestReadersSeeWhatWasAcknowledged(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "db")
	stores := []*SQLite{openFile(t, path), openFile(t, path)}
	const things, writes = 4, 40
	var acknowledged [things]atomic.Int64
	var writers, readers sync.WaitGroup
	done := make(chan struct{})
	for i := range things {
		id := fmt.Sprint(i)
		writers.Go(func() {
			s := stores[i%2]
			for n := 1; n <= writes; n++ {
				if err := setThing(t.Context(), s, id, n); err != nil {
					t.Error(err)
					return
				}
				acknowledged[i].Store(int64(n))
				err := set(t.Context(), s, func(c *conn) error {
					stored, err := c.get(s.tables[Things], id)
					if err != nil {
						return err
					}
					next := *stored
					next.Doc = []byte("undone")
					c.touch(Things, id, next)
					if _, err := c.exec("UPDATE things SET doc = ? WHERE id = ?", next.Doc, id); err != nil {
						return err
					}
					return ErrConsumed
				})
				if !errors.Is(err, ErrConsumed) {
					t.Error(err)
				}
			}
		})
	}
	for r := range 4 {
		readers.Go(func() {
			s := stores[r%2]
			for {
				select {
				case <-done:
					return
				default:
				}
				for i := range things {
					least := int(acknowledged[i].Load())
					err := s.View(t.Context(), func(v Reader) error {
						row, err := v.Get(t.Context(), Things, fmt.Sprint(i))
						if err == ErrNotFound && least == 0 {
							return nil
						}
						if err != nil {
							return err
						}
						thing, err := ThingOf(row)
						if err == nil && thing.Count < least {
							err = fmt.Errorf("thing %d: read %d after %d was acknowledged", i, thing.Count, least)
						}
						return err
					})
					if err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	writers.Wait()
	close(done)
	readers.Wait()
}

// A write that refuses after it has changed a row is undone within a transaction that goes on.
func TestAWriteThatWasUndoneInCompanyIsNotRemembered(t *testing.T) {
	t.Parallel()
	s := openFile(t, filepath.Join(t.TempDir(), "db"))
	ids := []string{"goes on", "is undone"}
	for _, id := range ids {
		if err := setThing(t.Context(), s, id, 1); err != nil {
			t.Fatal(err)
		}
	}
	release := occupy(t, s)
	errs := make([]error, 6)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() {
			errs[i] = set(t.Context(), s, func(c *conn) error {
				stored, err := c.get(s.tables[Things], ids[i%2])
				if err != nil {
					return err
				}
				next, err := things.apply(func(r *Thing, _ bool) error { r.Count += 10; return nil })(stored)
				if err != nil {
					return err
				}
				if err := c.replace(s.tables[Things], next, stored); err != nil || i%2 == 0 {
					return err
				}
				return ErrConsumed
			})
		})
	}
	await(s, len(errs))
	release()
	wg.Wait()
	for i, err := range errs {
		if (i%2 == 0) != (err == nil) {
			t.Errorf("write %d: %v", i, err)
		}
	}
	if stays, undone := countOf(t, s, ids[0]), countOf(t, s, ids[1]); stays != 31 || undone != 1 {
		t.Errorf("after three writes of ten each: got %d, want 31; where they were undone: got %d, want 1", stays, undone)
	}
}

// A reader that was slow does not put back what it read before a write.
func TestWhatWasReadBeforeAWriteIsNotRememberedAfterIt(t *testing.T) {
	t.Parallel()
	for _, alone := range []bool{true, false} {
		path := ""
		if !alone {
			path = filepath.Join(t.TempDir(), "db")
		}
		s := openFile(t, path)
		at := s.cache.open()
		_, _, row := s.cache.row(at, Things, "a")
		_, _, list := s.cache.list(at, Things, "all")
		if err := setThing(t.Context(), s, "a", 1); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Remove(t.Context(), Things, is(FieldID, "a")); err != nil {
			t.Fatal(err)
		}
		s.cache.put(at, Things, "a", Row{ID: "a", Doc: []byte("old")}, row)
		s.cache.putList(at, Things, "all", []Row{{ID: "a", Doc: []byte("old")}}, list)
		if got := countOf(t, s, "a"); got != -1 {
			t.Errorf("alone %v: got %d", alone, got)
		}
		if _, known, _ := s.cache.list(s.cache.open(), Things, "all"); known {
			t.Errorf("alone %v: the list is remembered", alone)
		}
	}
}

func TestMemoryOfTheCacheIsBounded(t *testing.T) {
	t.Parallel()
	c := newCache(nil, true)
	weight := func() (sum int) {
		for _, of := range []map[cacheKey]cacheEntry{c.entries.young, c.entries.old} {
			for _, e := range of {
				sum += e.weight
			}
		}
		return sum
	}
	row := Row{Doc: make([]byte, 4000)}
	for i := range 5000 {
		id := fmt.Sprint(i)
		_, _, changes := c.row(c.open(), Things, id)
		c.put(c.open(), Things, id, row, changes)
		c.putList(c.open(), Things, id, []Row{row, row}, changes)
		c.row(c.open(), Things, "0") // what is asked for stays
		if got := weight(); got > 2*cachedWeight+entryWeight {
			t.Fatalf("%d bytes are remembered after %d rows", got, i)
		}
	}
	if _, known, _ := c.row(c.open(), Things, "0"); !known {
		t.Error("what was asked for all the time is forgotten")
	}
	if _, known, _ := c.row(c.open(), Things, "1"); known {
		t.Error("what nobody asks for is remembered for good")
	}
	c.put(c.open(), Things, "large", Row{Doc: make([]byte, entryWeight)}, 0)
	if _, known, _ := c.row(c.open(), Things, "large"); known {
		t.Error("a row of any size is remembered")
	}
}
