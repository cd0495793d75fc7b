package storage

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestALargeSweepGivesOthersATurnBetweenItsSteps(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	const many = 4*sweepStep + 1
	for name, sweep := range map[string]func(context.Context, *Store) (int, error){
		"cleanup": func(ctx context.Context, s *Store) (int, error) { return s.Purge(ctx, now.Add(1000*time.Hour)) },
		"revocation": func(ctx context.Context, s *Store) (int, error) {
			return s.RevokeGrants(ctx, GrantFilter{ClientID: "c"}, now)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			engine := openFile(t, filepath.Join(t.TempDir(), "db"))
			s := New(engine)
			for i := range many {
				g := Grant{ID: fmt.Sprint(i), ClientID: "c", UserID: "u", CreatedAt: now, ExpiresAt: now.Add(time.Hour)}
				if err := s.CreateGrant(t.Context(), g); err != nil {
					t.Fatal(err)
				}
			}
			turns := 0
			engine.pause = func(_ context.Context, took time.Duration) error {
				turns++
				if took <= 0 {
					t.Errorf("a step took %v", took)
				}
				return s.Ping(t.Context()) // somebody else writes: nothing is locked
			}
			n, err := sweep(t.Context(), s)
			if err != nil || n != many {
				t.Fatalf("%d of %d, %v", n, many, err)
			}
			if turns < many/sweepStep {
				t.Errorf("%d rows were swept with %d pauses", many, turns)
			}
		})
	}
	t.Run("it ends between two steps when nobody wants it any more", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := standBack(ctx, time.Hour); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

func TestABackupIsWholeOrAbsent(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := openFile(t, filepath.Join(dir, "db"))
	if err := New(s).CreateUser(t.Context(), User{ID: "u", Username: "u"}); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "copy")
	names := func() string {
		all, err := filepath.Glob(path + "*")
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(all, " ")
	}
	t.Run("nothing stays of one that failed", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		err := set(ctx, s, func(c *conn) error { // a record that cannot be read
			_, err := c.exec("UPDATE users SET doc = x'00' WHERE id = 'u'")
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Backup(ctx, path); err == nil || !strings.Contains(err.Error(), "record u of users") {
			t.Errorf("a damaged database was backed up: %v", err)
		}
		if names() != "" {
			t.Errorf("left behind: %s", names())
		}
		cancel()
		if err := s.Backup(ctx, path); err == nil || names() != "" {
			t.Errorf("%v, left behind: %s", err, names())
		}
	})
	if err := set(t.Context(), s, func(c *conn) error { _, err := c.exec("DELETE FROM users"); return err }); err != nil {
		t.Fatal(err)
	}
	// What a killed backup leaves is no backup by its name, and is written over.
	for _, end := range []string{".partial", ".partial-journal"} {
		if err := os.WriteFile(path+end, []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Backup(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	if names() != path {
		t.Errorf("beside the copy: %s", names())
	}
}

func TestADatabaseThatIsNotInPlaceAnyMoreIsNotReady(t *testing.T) {
	t.Parallel()
	for name, do := range map[string]func(path string) error{
		"deleted": os.Remove,
		"replaced": func(path string) error {
			return errors.Join(os.Rename(path, path+".old"), os.WriteFile(path, nil, 0o600))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "db")
			s := openFile(t, path)
			if err := s.Ping(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := do(path); err != nil {
				t.Skip(err) // a system that does not let go of open files
			}
			if err := s.Ping(t.Context()); err == nil || !strings.Contains(err.Error(), "start again") {
				t.Errorf("ready all the same: %v", err)
			}
		})
	}
}

func TestCheckFindsDamageInPages(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "db")
	s, err := openSQLite(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 200 {
		if err := New(s).CreateUser(t.Context(), User{ID: fmt.Sprint("u", i), Username: fmt.Sprint("name",
			i)}); err != nil {
			t.Fatal(err)
		}
	}
	counts, err := s.Check(t.Context())
	if err != nil || counts["users"] != 200 {
		t.Errorf("%d, %v", counts["users"], err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := len(text) / 2; i < len(text); i++ {
		text[i] = 0x5a
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err = openSQLite(t.Context(), path)
	if err != nil {
		return // found at once
	}
	defer s.Close()
	if _, err := s.Check(t.Context()); err == nil {
		t.Error("damage was not found")
	}
}

func TestTheDatabaseCountsWhatItCommits(t *testing.T) {
	t.Parallel()
	s := openFile(t, filepath.Join(t.TempDir(), "db"))
	if err := s.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	if err := set(t.Context(), s, func(*conn) error { return broken }); !errors.Is(err, broken) {
		t.Fatal(err)
	}
	if err := s.Ping(t.Context()); err != nil { // what came before is counted by now
		t.Fatal(err)
	}
	if got := s.Stats(); got.Committed < 1 || got.Failed != 1 || got.Writes < 1 || got.Waiting != 0 {
		t.Errorf("%+v", got)
	}
}
