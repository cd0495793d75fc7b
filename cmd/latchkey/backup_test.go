package main

import (
	"encoding/base64"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
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

func TestARestoreTellsApplicationsOfTheSessionsThatAreOverByIt(t *testing.T) {
	t.Parallel()
	data, port := t.TempDir(), freePorts(t, 1)
	issuer := "http://localhost:" + strconv.Itoa(port)
	succeed(t, testPassword, "user", "create", "ada", "--email", "a@example.com", "--password-stdin", "--data", data)
	apps, ids := map[string]*application{}, map[string]string{}
	for _, name := range []string{"notes", "files"} {
		apps[name] = newApplication(t)
		ids[name] = into[newClient](t, succeed(t, "", "client", "create", "--name", name, "--type", "web",
			"--redirect-uri", apps[name].URL+"/callback", "--backchannel-logout-uri", apps[name].URL+"/backchannel",
			"--skip-consent", "--without-pkce", "--data", data, "--json")).ID
	}
	signIn := func(p *person, name string) *person {
		p.open(issuer + "/authorize?" + url.Values{"client_id": {ids[name]}, "response_type": {"code"},
			"redirect_uri": {apps[name].URL + "/callback"}, "scope": {"openid"}}.Encode())
		if p.sees("login-page") {
			p.press("login-submit", "username", "ada", "password", testPassword)
		}
		return p.must("back")
	}
	sessions := func() (sids []string) {
		for _, s := range into[[]shownSession](t, succeed(t, "", "session", "list", "ada", "--data", data, "--json")) {
			sids = append(sids, s.ID)
		}
		return sids
	}
	toldOf := func(name string) (sid string) {
		t.Helper()
		select {
		case <-apps[name].told:
		case <-time.After(time.Minute):
			t.Fatalf("%s was not told", name)
		}
		apps[name].mu.Lock()
		defer apps[name].mu.Unlock()
		last := apps[name].logout[len(apps[name].logout)-1]
		claims, err := base64.RawURLEncoding.DecodeString(strings.Split(last, ".")[1])
		if err != nil {
			t.Fatal(err)
		}
		return into[struct{ Sid string }](t, string(claims)).Sid
	}

	server := serveAt(t, port, data)
	before, after := newPerson(t), newPerson(t)
	signIn(before, "notes")
	old := sessions()
	file := filepath.Join(t.TempDir(), "monday.db")
	succeed(t, "", "backup", file, "--data", data)
	signIn(before, "files")
	signIn(after, "notes")
	fresh := slices.DeleteFunc(sessions(), func(sid string) bool { return slices.Contains(old, sid) })
	if len(old) != 1 || len(fresh) != 1 {
		t.Fatalf("%v %v", old, fresh)
	}
	server.stop()

	if out := succeed(t, "", "restore", file, "--data", data); !strings.Contains(out,
		"after the backup and are over: 1.") {
		t.Errorf("%s", out)
	}
	server = serveAt(t, port, data)
	if sid := toldOf("notes"); sid != fresh[0] {
		t.Errorf("notes was told of %s, not of %s, which began after the backup", sid, fresh[0])
	}
	signIn(before, "notes") // goes on
	server.stop()

	// The copy does not know that files was reached, the database in place does: it took it over.
	succeed(t, "", "restore", file, "--end-everything", "--data", data)
	serveAt(t, port, data)
	for _, name := range []string{"notes", "files"} {
		if sid := toldOf(name); sid != old[0] {
			t.Errorf("%s was told of %s, not of %s", name, sid, old[0])
		}
	}
	before.open(issuer + "/account").must("login-page")
}

func TestARestoreDoesNotNeedTheDatabaseInPlace(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	succeed(t, testPassword, "user", "create", "ada", "--email", "a@example.com", "--password-stdin", "--data", data)
	file := filepath.Join(t.TempDir(), "monday.db")
	succeed(t, "", "backup", file, "--data", data)
	rewrite(t, filepath.Join(data, "latchkey.db"), strings.Repeat("damage ", 1000), 0o600)
	if out := succeed(t, "", "restore", file, "--data", data); !strings.Contains(out, "cannot be read") ||
		!strings.Contains(out, ".before-") {
		t.Errorf("%s", out)
	}
	if list := succeed(t, "", "user", "list", "--data", data); !strings.Contains(list, "ada") {
		t.Errorf("%s", list)
	}
}

func TestARestoreThatFailsHalfWayChangesNothing(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	place, kept := filepath.Join(folder, "latchkey.db"), filepath.Join(folder, "before")
	rewrite(t, place, "database", 0o600)
	rewrite(t, place+"-wal", "log", 0o600)
	// The database cannot get its other name; what lies beside it can.
	if err := os.MkdirAll(filepath.Join(kept, "taken"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := exchange(filepath.Join(folder, "ready"), place, kept); err == nil {
		t.Fatal("it took the place of a folder that is in use")
	}
	for ending, want := range map[string]string{"": "database", "-wal": "log"} {
		if text, err := os.ReadFile(place + ending); err != nil || string(text) != want {
			t.Errorf("%s: %s %v", place+ending, text, err)
		}
	}
}

func TestTwoRestoresInOneSecondKeepBothDatabasesOfBefore(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	succeed(t, testPassword, "user", "create", "ada", "--email", "a@example.com", "--password-stdin", "--data", data)
	file := filepath.Join(t.TempDir(), "monday.db")
	succeed(t, "", "backup", file, "--data", data)
	place := filepath.Join(data, "latchkey.db")
	for i := range 120 { // whichever second it will be
		rewrite(t, place+".before-"+time.Now().Add(time.Duration(i)*time.Second).UTC().Format("20060102T150405Z"),
			"of another restore", 0o600)
	}
	for range 2 {
		if out := succeed(t, "", "restore", file, "--data", data); !strings.Contains(out, "Z-") {
			t.Errorf("%s", out)
		}
	}
	kept, err := filepath.Glob(place + ".before-*")
	if err != nil || len(kept) != 122 {
		t.Errorf("%d databases of before, %v", len(kept), err)
	}
	for _, name := range kept {
		if text, err := os.ReadFile(name); err != nil ||
			!strings.Contains(name, "Z-") && string(text) != "of another restore" {
			t.Errorf("%s was overwritten: %v", name, err)
		}
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
