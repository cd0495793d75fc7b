package main

import (
	"bytes"
	"io"
	"os"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestExitCodesTellApartWhatAScriptAsksAbout(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	at := func(args ...string) []string { return append(args, "--data", data) }
	succeed(t, "", at("user", "create", "ada", "--no-password")...)
	succeed(t, "", at("group", "create", "staff")...)
	succeed(t, "", at("client", "create", "--id", "notes", "--name", "Notes", "--redirect-uri",
		"https://notes.example.com/cb", "--group", "staff")...)
	damaged := t.TempDir()
	rewrite(t, damaged+"/latchkey.db", strings.Repeat("no database ", 1000), 0o600)
	for _, c := range []struct {
		want int
		args []string
	}{
		{exitUsage, at("user", "show")},
		{exitUsage, at("user", "update", "ada")},
		{exitUsage, at("client", "create", "--if-missing", "--name", "X")},
		{exitNotFound, at("user", "show", "bob")},
		{exitNotFound, at("group", "delete", "nothing")},
		{exitNotFound, at("client", "show", "nothing")},
		{exitNotFound, at("keys", "revoke", "nothing")},
		{exitConflict, at("user", "create", "ada", "--no-password")},
		{exitConflict, at("group", "create", "staff")},
		{exitConflict, at("group", "delete", "staff")},
		{exitRefused, at("user", "create", "two words", "--no-password")},
		{exitRefused, at("client", "create", "--name", "X", "--redirect-uri", "http://x.example.com")},
		{exitRefused, at("apply", writeFile(t, "bad.yaml", "people:\n- {username: 'a b'}\n"))},
		{exitUnavailable, []string{"user", "list", "--data", damaged}},
		{exitUnavailable, []string{"user", "list", "--data", t.TempDir() + "/none"}},
		{exitOK, at("user", "create", "ada", "--no-password", "--if-missing")},
		{exitOK, at("group", "create", "staff", "--if-missing", "--role", "admin")},
		{exitOK, at("client", "create", "--if-missing", "--id", "notes", "--name", "Other", "--redirect-uri",
			"https://other.example.com/cb")},
	} {
		if r := latchkey(t, "", nil, c.args...); r.code != c.want {
			t.Errorf("%s: exit %d: %s", strings.Join(c.args, " "), r.code, r.stderr)
		}
	}
	if out := succeed(t, "", at("client", "show", "notes")...); strings.Contains(out, "other.example.com") {
		t.Errorf("what was there was changed: %s", out)
	}
}

func TestWhatIsRarelyMeantIsNotAcceptedInSilence(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	for want, args := range map[string][]string{
		"without openid": {"--type", "web", "--scope", "profile email", "--redirect-uri",
			"https://x.example.com/cb"},
		"has no audience: ": {"--type", "api"},
		"no API":            {"--type", "service"},
	} {
		r := latchkey(t, "", nil, append([]string{"client", "create", "--name", "X", "--data", data}, args...)...)
		if r.code != exitOK || !strings.Contains(r.stderr, want) {
			t.Errorf("%v: exit %d: %s", args, r.code, r.stderr)
		}
	}
	r := latchkey(t, "", nil, "client", "create", "--name", "X", "--data", data, "--redirect-uri",
		"https://x.example.com/cb")
	if r.code != exitOK || r.stderr != "" {
		t.Errorf("exit %d: %s", r.code, r.stderr)
	}
}

// terminal opens a terminal, and types into it.
func terminal(t *testing.T, typed string) *os.File {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skip("no terminal can be made here: ", err)
	}
	t.Cleanup(func() { _ = master.Close() })
	number, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	end, err := os.OpenFile("/dev/pts/"+strconv.Itoa(number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = end.Close() })
	if _, err := io.WriteString(master, typed); err != nil {
		t.Fatal(err)
	}
	return end
}

func TestDeleteAsksAtATerminal(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	for _, c := range []struct {
		typed string
		more  []string
		code  int
		asks  bool
	}{
		{"n\n", nil, exitRefused, true},
		{"\n", nil, exitRefused, true},
		{"yes\n", nil, exitOK, true},
		{"", []string{"--yes"}, exitOK, false},
	} {
		succeed(t, "", "group", "create", "staff", "--data", data, "--if-missing")
		var out, errs bytes.Buffer
		code := Run(t.Context(), append([]string{"group", "delete", "staff", "--data", data}, c.more...),
			terminal(t, c.typed), &out, &errs, nil)
		if code != c.code || strings.Contains(errs.String(), "Delete the group staff for good?") != c.asks {
			t.Errorf("%q %v: exit %d: %s", c.typed, c.more, code, errs.String())
		}
		there := strings.Contains(succeed(t, "", "group", "list", "--data", data), "staff")
		if there != (c.code == exitRefused) {
			t.Errorf("%q %v: there: %v", c.typed, c.more, there)
		}
	}
}
