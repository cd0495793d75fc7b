package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestABackupIsADatabaseToGoOnWith(t *testing.T) {
	t.Parallel()
	data, restored := t.TempDir(), t.TempDir()
	succeed(t, testPassword, "user", "create", "ada", "--email", "a@example.com", "--password-stdin", "--data", data)
	succeed(t, "", "backup", filepath.Join(restored, "latchkey.db"), "--data", data)
	succeed(t, testPassword, "user", "create", "bob", "--email", "b@example.com", "--password-stdin", "--data", data)

	if r := latchkey(t, "", nil, "user", "list", "--data", restored); r.code == 0 {
		t.Errorf("the copy opens without the master key: %s", r.stdout)
	}
	key, err := os.ReadFile(filepath.Join(data, "master.key"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(restored, "master.key"), key, 0o600); err != nil {
		t.Fatal(err)
	}
	if list := succeed(t, "", "user", "list", "--data", restored); !strings.Contains(list, "ada") ||
		strings.Contains(list, "bob") {
		t.Errorf("the copy has: %s", list)
	}
	if info, err := os.Stat(filepath.Join(restored, "latchkey.db")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
	// Nothing is overwritten, not even by accident.
	if r := latchkey(t, "", nil, "backup", filepath.Join(restored, "latchkey.db"), "--data", data); r.code == 0 {
		t.Errorf("an existing file was overwritten: %s", r.stdout)
	}
}

func TestABackupIsVerifiedByUsingIt(t *testing.T) {
	t.Parallel()
	data, copies := t.TempDir(), t.TempDir()
	succeed(t, testPassword, "user", "create", "ada", "--email", "a@example.com", "--password-stdin", "--data", data)
	file := filepath.Join(copies, "monday.db")
	succeed(t, "", "backup", file, "--data", data)
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	out := into[struct{ Records map[string]int }](t, succeed(t, "", "backup", "verify", file, "--data", data, "--json"))
	if proven := succeed(t, "", "audit", "--object", "backup", "--data", data); !strings.Contains(proven,
		"database.verify") {
		t.Errorf("administrators do not see that the backup was proven: %s", proven)
	}
	if out.Records["users"] != 1 {
		t.Errorf("%v", out)
	}
	if after, err := os.ReadFile(file); err != nil || string(after) != string(before) {
		t.Errorf("verifying changed the backup: %v", err)
	}
	if log := succeed(t, "", "audit", "--verb", "database.", "--data", data); !strings.Contains(log,
		"database.backup") {
		t.Errorf("no event of the backup: %s", log)
	}
	t.Run("without its master key it is no good", func(t *testing.T) {
		other := seeded(t, t.TempDir())
		if r := latchkey(t, "", nil, "backup", "verify", file, "--data", other); r.code != exitFailed ||
			!strings.Contains(r.stderr, "master key") {
			t.Errorf("exit %d %s", r.code, r.stderr)
		}
	})
	t.Run("cut, empty or something else it is no good", func(t *testing.T) {
		for name, text := range map[string]string{"cut": string(before[:len(before)/2]), "empty": "", "else": "hello"} {
			bad := filepath.Join(copies, name)
			rewrite(t, bad, text, 0o600)
			if r := latchkey(t, "", nil, "backup", "verify", bad, "--data", data); r.code != exitFailed {
				t.Errorf("%s: exit %d %s%s", name, r.code, r.stdout, r.stderr)
			}
			if r := latchkey(t, "", nil, "restore", bad, "--data", data); r.code != exitFailed ||
				!strings.Contains(r.stderr, "nothing was changed") {
				t.Errorf("%s was restored: exit %d %s%s", name, r.code, r.stdout, r.stderr)
			}
		}
	})
}

func TestARestoreKeepsWhatWasThereAndCanEndEverything(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	port := freePorts(t, 1)
	succeed(t, testPassword, "user", "create", "ada", "--email", "a@example.com", "--password-stdin", "--data", data)
	server := serveAt(t, port, data)
	visitor := newPerson(t)
	visitor.open("http://localhost:"+strconv.Itoa(port)+"/account").press("login-submit", "username", "ada", "password",
		testPassword).must("account-page")
	file := filepath.Join(t.TempDir(), "monday.db")
	succeed(t, "", "backup", file, "--data", data)
	succeed(t, testPassword, "user", "create", "bob", "--email", "b@example.com", "--password-stdin", "--data", data)

	if r := latchkey(t, "", nil, "restore", file, "--data", data); r.code != exitFailed || !strings.Contains(r.stderr,
		"in use") {
		t.Fatalf("restored under a server: exit %d %s%s", r.code, r.stdout, r.stderr)
	}
	server.stop()
	succeed(t, "", "restore", file, "--data", data)
	if list := succeed(t, "", "user", "list", "--data", data); !strings.Contains(list, "ada") ||
		strings.Contains(list, "bob") {
		t.Errorf("restored: %s", list)
	}
	kept, err := filepath.Glob(filepath.Join(data, "latchkey.db.before-*Z"))
	if err != nil || len(kept) != 1 {
		t.Fatalf("the database of before: %v %v", kept, err)
	}
	if out := into[struct{ Records map[string]int }](t, succeed(t, "", "backup", "verify", kept[0], "--data", data,
		"--json")); out.Records["users"] != 2 {
		t.Errorf("the database of before has %v", out)
	}
	server = serveAt(t, port, data)
	visitor.open("http://localhost:" + strconv.Itoa(port) + "/account").must("account-page")
	server.stop()

	succeed(t, "", "restore", file, "--end-everything", "--data", data)
	serveAt(t, port, data)
	visitor.open("http://localhost:" + strconv.Itoa(port) + "/account").must("login-page")
	if log := succeed(t, "", "audit", "--verb", "database.", "--data", data); !strings.Contains(log,
		"database.restore") {
		t.Errorf("no event of the restore: %s", log)
	}
}

func TestARestoreThatFailsHalfWayChangesNothing(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	succeed(t, testPassword, "user", "create", "ada", "--email", "a@example.com", "--password-stdin", "--data", data)
	file := filepath.Join(t.TempDir(), "monday.db")
	succeed(t, "", "backup", file, "--data", data)
	place := filepath.Join(data, "latchkey.db")
	if err := os.WriteFile(place+"-wal", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for i := range 120 { // the database cannot get its other name; what lies beside it can
		name := place + ".before-" + time.Now().Add(time.Duration(i)*time.Second).UTC().Format("20060102T150405Z")
		if err := os.MkdirAll(filepath.Join(name, "taken"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if r := latchkey(t, "", nil, "restore", file, "--data", data); r.code != exitFailed || !strings.Contains(r.stderr,
		"nothing was changed") {
		t.Fatalf("exit %d %s%s", r.code, r.stdout, r.stderr)
	}
	for _, ending := range []string{"", "-wal"} {
		if _, err := os.Stat(place + ending); err != nil {
			t.Error(err)
		}
	}
	if list := succeed(t, "", "user", "list", "--data", data); !strings.Contains(list, "ada") {
		t.Errorf("afterwards: %s", list)
	}
}

func TestCheckFindsDamage(t *testing.T) {
	t.Parallel()
	data := seeded(t, t.TempDir())
	succeed(t, "", "check", "--data", data)
	file := filepath.Join(data, "latchkey.db")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for i := len(text) / 2; i < len(text); i++ {
		text[i] = 0x5a
	}
	rewrite(t, file, string(text), 0o600)
	if r := latchkey(t, "", nil, "check", "--data", data); r.code != exitUnavailable || r.stderr == "" {
		t.Errorf("exit %d %s%s", r.code, r.stdout, r.stderr)
	}
}

func TestAServerWhoseDatabaseIsMissingDoesNotBeginAnew(t *testing.T) {
	t.Parallel()
	for name, leave := range map[string]func(t *testing.T, file string){
		"missing": func(t *testing.T, file string) { remove(t, file) },
		"empty":   func(t *testing.T, file string) { rewrite(t, file, "", 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			data := seeded(t, t.TempDir())
			for _, end := range []string{"-wal", "-shm"} {
				remove(t, filepath.Join(data, "latchkey.db"+end))
			}
			leave(t, filepath.Join(data, "latchkey.db"))
			r := start(t, []string{"LATCHKEY_METRICS_LISTEN="}, "serve", "--data", data, "--listen",
				"127.0.0.1:"+strconv.Itoa(freePorts(t, 1)), "--issuer", "http://localhost:8080")
			<-r.ended
			if code := r.stop(); code != exitFailed || !strings.Contains(r.stderr.String(), "the database is missing") {
				t.Errorf("exit %d: %s", code, r.stderr)
			}
			if info, err := os.Stat(filepath.Join(data, "latchkey.db")); err == nil && info.Size() > 0 || err != nil &&
				!errors.Is(err, fs.ErrNotExist) {
				t.Errorf("a database was made: %v", err)
			}
		})
	}
	t.Run("a first start says that it made one", func(t *testing.T) {
		t.Parallel()
		if r := serveAt(t, freePorts(t, 1), t.TempDir()); !strings.Contains(r.stderr.String(), "made a new database") {
			t.Errorf("%s", r.stderr)
		}
	})
}
