package main

import (
	"encoding/json"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"latchkey/keys"
)

// What a person gets who takes a wrong turn: one line in their own words.
func TestAWrongTurnIsAnsweredInOneLine(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	succeed(t, "", "init", "--data", data, "--config", filepath.Join(data, "latchkey.yaml"))
	there := writeFile(t, "there.db", "x")
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"demo", "--port", "abc"}, exitUsage,
			`latchkey: invalid argument "abc" for "--port" flag: it is a whole number`},
		{[]string{"user", "create", "x", "--email-verified=perhaps"}, exitUsage,
			`latchkey: invalid argument "perhaps" for "--email-verified" flag: it is true or false`},
		{[]string{"usr"}, exitUsage, `latchkey: unknown command "usr" for "latchkey"; did you mean user`},
		{[]string{"serve", "--issuer", "http://localhost:99999"}, exitRefused,
			"latchkey: --issuer: must have a port from 1 to 65535 or none, such as https://id.example.com"},
		{[]string{"healthcheck", "--listen", "127.0.0.1:1"}, exitFailed,
			"latchkey: nothing answers at 127.0.0.1:1; is latchkey serve running, and does it listen there? (connection refused)"},
		{[]string{"backup", there, "--data", data}, exitFailed, "latchkey: " + there +
			" is there already and stays as it is; name a new file"},
		{[]string{"backup", filepath.Join(there, "x"), "--data", data}, exitFailed, "latchkey: back up to " +
			filepath.Join(there, "x") + ": open " + filepath.Join(there, "x") + ".partial: not a directory"},
	} {
		r := latchkey(t, "", nil, c.args...)
		line, rest, _ := strings.Cut(r.stderr, "\n")
		if r.code != c.code || line != c.want || rest != "" && !strings.HasPrefix(rest, "See: ") {
			t.Errorf("%v: exit %d\n%s", c.args, r.code, r.stderr)
		}
	}
	if out := succeed(t, "", "--version"); out != succeed(t, "", "version") {
		t.Errorf("--version says %q", out)
	}
}

func TestADatabaseThatDoesNotOpenIsSaidInOneLine(t *testing.T) {
	t.Parallel()
	data, other := t.TempDir(), t.TempDir()
	for _, folder := range []string{data, other} {
		succeed(t, "", "init", "--data", folder, "--config", filepath.Join(folder, "latchkey.yaml"))
	}
	key := filepath.Join(other, "master.key")
	r := latchkey(t, "", []string{"LATCHKEY_MASTER_KEY_FILE=" + key}, "user", "list", "--data", data)
	want := "^latchkey: the master key \\(" + regexp.QuoteMeta(key) +
		", it is [0-9a-f]{8}\\) is not the one that this database was made with \\([0-9a-f]{8}\\); put that one back, or name its file in master_key_file\\. .*old_master_key_file\n$"
	if r.code != exitFailed || !regexp.MustCompile(want).MatchString(r.stderr) {
		t.Errorf("another's key: exit %d\n%s", r.code, r.stderr)
	}
	rewrite(t, filepath.Join(data, "latchkey.db"), strings.Repeat("what is this ", 1000), 0o600)
	r = latchkey(t, "", nil, "user", "list", "--data", data)
	if r.code != exitUnavailable || strings.Count(r.stderr, "\n") != 1 || !strings.Contains(r.stderr,
		"put a backup in its place") {
		t.Errorf("no database: exit %d\n%s", r.code, r.stderr)
	}
}

func TestAMongoDBThatDoesNotAnswerIsSaidInOneLine(t *testing.T) {
	t.Parallel()
	const uri = "mongodb://latchkey:pa55word@127.0.0.1:1/x?replicaSet=rs0"
	for _, args := range [][]string{
		{"user", "list", "--mongodb", uri},
		{"demo", "--port", strconv.Itoa(freePorts(t, portsEnd)), "--mongodb", uri},
	} {
		r := latchkey(t, "", nil, args...)
		const want = "latchkey: open MongoDB: no server that takes writes answered within 10s (127.0.0.1:1: connection refused); is the address right, and is it a replica set or a sharded cluster that runs?\n"
		if r.code != exitUnavailable || r.stderr != want {
			t.Errorf("%s: exit %d\n%s", args[0], r.code, r.stderr)
		}
	}
}

func TestAKeyIsRetiredWhenTheNextOneSigns(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	stored := []keys.StoredKey{
		{ID: "old", CreatedAt: now, Use: keys.UseSignature, SignsFrom: now.Add(-time.Hour),
			RetiredAt: now.Add(10 * time.Minute)},
		{ID: "new", CreatedAt: now, Use: keys.UseSignature, SignsFrom: now.Add(10 * time.Minute)},
	}
	for at, want := range map[time.Time]string{now: "active next", now.Add(10 * time.Minute): "retired active"} {
		listed := listKeys(stored, at)
		if got := listed[0].State + " " + listed[1].State; got != want {
			t.Errorf("at %v: %s, want %s", at, got, want)
		}
	}
	if text, err := json.Marshal(listKeys(stored, now)); err != nil || strings.Contains(string(text), "0001-01-01") {
		t.Errorf("a time that is not there is written: %s %v", text, err)
	}
}

func TestAnUnverifiedAddressIsMentionedWhenAPersonIsMade(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	for _, test := range []struct {
		name string
		args []string
		want bool
	}{
		{"unverified", []string{"--email", "a@example.com"}, true},
		{"verified", []string{"--email", "b@example.com", "--email-verified"}, false},
		{"without", nil, false},
		{"json", []string{"--email", "c@example.com", "--json"}, false},
	} {
		out := succeed(t, "", append([]string{"user", "create", test.name, "--no-password", "--data", data},
			test.args...)...)
		hint := "latchkey user update " + test.name + " --email a@example.com --email-verified"
		if strings.Contains(out, "unverified, and some") != test.want || test.want && !strings.Contains(out, hint) {
			t.Errorf("%s: %s", test.name, out)
		}
	}
}

func TestANameThatBeginsWithADashIsNoFlag(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	succeed(t, "", "init", "--data", data, "--config", filepath.Join(data, "latchkey.yaml"))
	const kid = "-i8XWAjIVpzAcHf5yTCEkK0dXrKNfa9jMQa_8bQeFWs"
	for _, args := range [][]string{
		{"keys", "revoke", kid, "--data", data}, {"keys", "revoke", "--json", kid, "--data", data},
		{"keys", "revoke", "--data", data, "--", kid}, {"token", "revoke", kid, "--data", data},
	} {
		if r := latchkey(t, "", nil, args...); r.code != exitNotFound {
			t.Errorf("latchkey %s: exit %d, %s", strings.Join(args, " "), r.code, r.stderr)
		}
	}
	if r := latchkey(t, "", nil, "keys", "list", "-x", "--data", data); r.code != exitUsage {
		t.Errorf("a flag that there is not: exit %d, %s", r.code, r.stderr)
	}
	folder := filepath.Join(t.TempDir(), "-folder-with-a-dash")
	if r := latchkey(t, "", nil, "init", "--data", folder, "--config",
		filepath.Join(data, "other.yaml")); r.code != exitOK {
		t.Errorf("the value of a flag: exit %d, %s", r.code, r.stderr)
	}
}
