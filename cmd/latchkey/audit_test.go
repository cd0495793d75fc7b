package main

import (
	"strings"
	"testing"
	"time"

	"latchkey/cmd/latchkey/config"
	"latchkey/provider/people"
	"latchkey/provider/storage"
)

func TestAuditListsWhatCommandsDidAndFiltersIt(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	run := func(args ...string) string {
		t.Helper()
		return succeed(t, testPassword+"\n", append(args, "--data", data)...)
	}
	run("group", "create", "staff")
	run("user", "create", "ada", "--email", "ada@example.com", "--password-stdin")
	run("group", "add", "staff", "ada")
	run("client", "create", "--id", "notes", "--name", "Notes", "--redirect-uri", "https://notes.example.com/cb",
		"--group", "staff")
	if r := latchkey(t, "", nil, "group", "delete", "staff", "--data", data); r.code != exitConflict ||
		!strings.Contains(r.stderr, "the application notes names the group staff") {
		t.Errorf("a group that is needed: %s", r.stderr)
	}
	run("user", "update", "ada", "--email", "ada@example.org")
	run("user", "rename", "ada", "ada.king")
	run("user", "set-password", "ada.king", "--password-stdin")
	run("user", "disable", "ada.king")
	run("client", "rotate-secret", "notes")
	run("export")

	verbs := func(args ...string) string {
		t.Helper()
		var out []string
		for _, e := range into[[]storage.Event](t, run(append([]string{"audit", "--json"}, args...)...)) {
			if e.Actor.Kind != storage.ActorCommand || !strings.Contains(e.Actor.Name, "@") ||
				e.Outcome != storage.OutcomeDone || e.Time.IsZero() {
				t.Errorf("%+v", e)
			}
			out = append(out, e.Verb)
		}
		return strings.Join(out, " ")
	}
	for _, c := range []struct{ args, want string }{
		{"", "manifest.export client.rotate_secret user.disable user.set_password user.rename user.update client.create group.add_member user.create group.create"},
		{"--limit 2", "manifest.export client.rotate_secret"},
		{"--verb client.", "client.rotate_secret client.create"},
		{"--object client:notes", "client.rotate_secret client.create"},
		{"--object ada", "user.rename user.update group.add_member user.create"},
		{"--object group:", "group.create"},
		{"--object client:ada", ""},
		{"--actor command: --verb user.r", "user.rename"},
		{"--actor user:", ""},
		{"--since 1h --verb group", "group.add_member group.create"},
		{"--until 1h", ""},
		{"--since 2020-01-01 --until 2020-01-02T00:00:00Z", ""},
	} {
		if got := verbs(strings.Fields(c.args)...); got != c.want {
			t.Errorf("audit %s: %s, want %s", c.args, got, c.want)
		}
	}
	all := run("audit")
	for _, want := range []string{"TIME", "claims.email=ada@example.com→ada@example.org", "username=ada→ada.king",
		"client:notes", "password=changed", "client_secret=changed"} {
		if !strings.Contains(all, want) {
			t.Errorf("nothing about %s in\n%s", want, all)
		}
	}
	if text := run("audit", "--json"); strings.Contains(text, "argon2") || strings.Contains(text, testPassword) {
		t.Error("a secret is in the audit log")
	}
	for _, args := range [][]string{{"--actor", "people:ada"}, {"--object", "x:y"}, {"--since", "yesterday"},
		{"--limit", "0"}} {
		if r := latchkey(t, "", nil, append([]string{"audit", "--data", data}, args...)...); r.code != exitUsage ||
			!strings.Contains(r.stderr, args[0]) {
			t.Errorf("%v: exit %d, %s", args, r.code, r.stderr)
		}
	}
}

func TestLockoutIsShownAndLiftedByACommand(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	succeed(t, testPassword+"\n", "user", "create", "ada", "--password-stdin", "--data", data)
	c := config.Default()
	c.Data = data
	lock := func(n int) {
		t.Helper()
		s, err := open(t.Context(), c, nil, false)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		for range n {
			if _, err := s.throttle.Begin(t.Context(), "ada", "192.0.2.1", "", time.Now()); err != nil && n < 11 {
				t.Fatal(err)
			}
		}
	}
	shown := func() shownUser {
		t.Helper()
		return into[shownUser](t, succeed(t, "", "user", "show", "ada", "--json", "--data", data))
	}
	if u := shown(); u.Lockout != nil {
		t.Errorf("before any failure: %+v", u.Lockout)
	}
	lock(3)
	if l := shown().Lockout; l == nil || l.Locked || l.Failures != 3 || l.Limit != 10 {
		t.Errorf("after three failures: %+v", l)
	}
	lock(7)
	if l := shown().Lockout; l == nil || !l.Locked || time.Until(l.Until) > 15*time.Minute ||
		time.Until(l.Until) < 14*time.Minute {
		t.Errorf("after ten failures: %+v", l)
	}
	if text := succeed(t, "", "user", "show", "ada", "--data", data); !strings.Contains(text, "locked out until") ||
		!strings.Contains(text, "10 failed sign-ins") {
		t.Error(text)
	}
	succeed(t, "", "user", "unlock", "ada", "--data", data)
	if u := shown(); u.Lockout != nil {
		t.Errorf("after it was lifted: %+v", u.Lockout)
	}
	if text := succeed(t, "", "user", "methods", "ada", "--data", data); !strings.Contains(text, "password") {
		t.Error(text)
	}
	succeed(t, "", "user", "reset-methods", "ada", "--data", data)
	lock(10)
	succeed(t, "another wonderful teapot\n", "user", "set-password", "ada", "--password-stdin", "--data", data)
	if u := shown(); u.Lockout != nil {
		t.Errorf("after a new password: %+v", u.Lockout)
	}
	if l := lockoutOf(people.Lockout{}); l != nil {
		t.Errorf("no failures: %+v", l)
	}
}

func TestUpdateWithoutAFlagSaysThatNothingWasGiven(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"user", "update", "ada"}, {"client", "update", "notes"},
		{"group", "update", "staff", "--json"}} {
		r := latchkey(t, "", nil, args...)
		if want := "latchkey: latchkey " + args[0] +
			" update was not told what to change; name it with a flag\n"; r.code != exitUsage ||
			!strings.HasPrefix(r.stderr, want) {
			t.Errorf("%v: exit %d, %s", args, r.code, r.stderr)
		}
	}
}

func TestAllThatIsWrongWithAClientIsToldAtOnce(t *testing.T) {
	t.Parallel()
	r := latchkey(t, "", nil, "client", "create", "--name", "X", "--id", "a b", "--redirect-uri",
		"http://a.example.com/cb", "--redirect-uri", "nonsense",
		"--backchannel-logout-uri", "http://a.example.com/", "--group", "nothing", "--data", t.TempDir())
	for _, want := range []string{"client_id must be", "redirect_uris number 1 ", "redirect_uris number 2 ",
		"backchannel_logout_uri ",
		`there is no group "nothing"; make it with: latchkey group create nothing`} {
		if r.code != exitRefused || !strings.Contains(r.stderr, "latchkey: "+want) {
			t.Errorf("exit %d, nothing about %q in\n%s", r.code, want, r.stderr)
		}
	}
}
