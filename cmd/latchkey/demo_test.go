package main

import (
	"html"
	"io"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"latchkey/provider/storage/storagetest"
)

// demonstration starts the demonstration as main does and reads what it says.
func demonstration(t testing.TB, args ...string) (*running, demoInfo) {
	t.Helper()
	r := start(t, nil, append([]string{"demo", "--json"}, args...)...)
	r.await(r.stdout, "\n}\n")
	return r, into[demoInfo](t, r.stdout.String())
}

func (info demoInfo) password(username string) string {
	for _, p := range info.People {
		if p.Username == username {
			return p.Password
		}
	}
	return ""
}

// useDemo signs in at one application, finds the others open, and signs out of all.
func useDemo(t *testing.T, info demoInfo) {
	t.Helper()
	p := newPerson(t)
	notes, photos := info.Applications[0].URL, info.Applications[1].URL
	p.open(notes+"/").press("sign-in").must("login-page").press("login-submit", "username", "alice", "password",
		info.password("alice")).must("signed-in")
	p.press("note-add", "text", "written in the demonstration").must("signed-in")
	if !strings.Contains(p.body, "written in the demonstration") {
		t.Errorf("the note is not kept: %s", p.body)
	}
	p.open(photos + "/").must("signed-in").press("call-me")
	if !strings.Contains(p.body, `data-status="200"`) {
		t.Errorf("GET /me: %s", p.body)
	}
	p.press("call-admin")
	if !strings.Contains(p.body, `data-status="403"`) {
		t.Errorf("GET /admin as alice: %s", p.body)
	}
	p.press("sign-out-everywhere").must("logged-out")
	for _, app := range []string{notes, photos} {
		p.open(app + "/").must("signed-out")
	}
}

func TestTheDemonstrationKeepsWhatItIsToldToKeepAndNothingElse(t *testing.T) {
	t.Parallel()
	data := t.TempDir() + "/kept"
	port := strconv.Itoa(freePorts(t, portsEnd))

	r, first := demonstration(t, "--data", data, "--port", port)
	useDemo(t, first)
	succeed(t, "", "group", "create", "made-meanwhile", "--data", data)
	if code := r.stop(); code != exitOK {
		t.Fatalf("exit %d: %s", code, r.stderr)
	}
	if info, err := os.Stat(data + "/demo-passwords.json"); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the passwords' file: %v %v", info, err)
	}

	r, second := demonstration(t, "--data", data, "--port", port) // at once, on the same ports
	alice := newPerson(t)
	alice.open(second.Applications[0].URL+"/").press("sign-in").press("login-submit", "username", "alice", "password",
		second.password("alice")).must("signed-in")
	if strings.Count(alice.body, "written in the demonstration") == 0 {
		t.Errorf("the note of before is gone: %s", alice.body)
	}
	if second.password("alice") != first.password("alice") || second.password("alice") == second.password("bob") {
		t.Error("people have other passwords than before, or the same as each other")
	}
	useDemo(t, second)
	if groups := succeed(t, "", "group", "list", "--data", data); !strings.Contains(groups, "made-meanwhile") {
		t.Errorf("what was kept is gone: %s", groups)
	}
	r.stop()

	elsewhere := t.TempDir()
	succeed(t, "", "user", "create", "somebody", "--no-password", "--data", elsewhere)
	if r := latchkey(t, "", nil, "demo", "--data", elsewhere, "--port", port); r.code != exitFailed ||
		!strings.Contains(r.stderr, "in use for something else") {
		t.Errorf("on a database with people: exit %d, %s", r.code, r.stderr)
	}
	if list := succeed(t, "", "user", "list", "--data", elsewhere); strings.Contains(list, "alice") {
		t.Error("it put people into a database that is not its own")
	}
	r2, third := demonstration(t, "--port", port)
	if third.password("alice") == first.password("alice") {
		t.Error("a throw-away demonstration has the passwords of another")
	}
	r2.stop()
}

func TestTheDemonstrationsMailboxHasTheMailsForWhoKnowsItsAddress(t *testing.T) {
	t.Parallel()
	r, info := demonstration(t, "--port", strconv.Itoa(freePorts(t, portsEnd)))
	defer r.stop()
	p := newPerson(t)
	p.open(info.Issuer+"/password/forgot").press("forgot-submit", "username", "alice").must("forgot-sent")
	// The mail is on its way in another process: the page is asked until it is there.
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); {
		if p.open(info.Mailbox); strings.Contains(p.body, "/password/reset?link=") {
			break
		}
	}
	link := regexp.MustCompile(`href="(http[^"]+/password/reset[^"]+)"`).FindStringSubmatch(p.body)
	if link == nil {
		t.Fatalf("no mail: %s", p.body)
	}
	p.open(html.UnescapeString(link[1])).must("reset-page")
	p.open(strings.Split(info.Mailbox, "/")[0] + "//" + strings.Split(info.Mailbox, "/")[2] + "/")
	if strings.Contains(p.body, "link=") {
		t.Error("the mails are at an address that everybody knows")
	}
}

func TestTheDemonstrationReportsRefusalsAndNothingElse(t *testing.T) {
	t.Parallel()
	r, info := demonstration(t, "--port", strconv.Itoa(freePorts(t, portsEnd)))
	defer r.stop()
	p := newPerson(t)
	p.open(info.Applications[0].URL + "/").must("signed-out") // it asks silently, and is told no
	p.open(info.Issuer + "/account")
	p.open(info.Issuer + "/authorize?client_id=notes&response_type=code&scope=openid&redirect_uri=https://evil.example/").must("op-error")
	r.await(r.stderr, `redirect_uri received \"https://evil.example/\"`)
	if lines := strings.Count(r.stderr.String(), "\n"); lines != 1 || !strings.Contains(r.stderr.String(),
		"request_id=") {
		t.Errorf("it reports more than the refusal: %s", r.stderr)
	}
}

func TestTheDemonstrationOnMongoDB(t *testing.T) {
	t.Parallel()
	uri := storagetest.MongoURI(t)
	port := strconv.Itoa(freePorts(t, portsEnd))
	for range 2 {
		r, info := demonstration(t, "--mongodb", uri, "--port", port)
		useDemo(t, info)
		if code := r.stop(); code != exitOK {
			t.Fatalf("exit %d: %s", code, r.stderr)
		}
	}
}

func TestTheDemonstrationIsForThisMachineOnly(t *testing.T) {
	t.Parallel()
	r, info := demonstration(t, "--port", strconv.Itoa(freePorts(t, portsEnd)))
	defer r.stop()
	for _, u := range []string{info.Issuer + "/metrics", info.Issuer + "/debug/pprof/", info.Issuer + "/register"} {
		client := newPerson(t).client
		resp, err := client.Get(u)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if resp.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %d", u, resp.StatusCode)
		}
	}
	if !strings.Contains(info.CommandLine, info.Issuer) || !strings.Contains(info.CommandLine, "whoami") {
		t.Errorf("how to start the command-line application: %q", info.CommandLine)
	}
}

func TestMadePasswordsDifferAndMayBeSet(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 200 {
		p := makePassword()
		if seen[p] || len(p) < 16 || strings.Count(p, "-") != 3 {
			t.Errorf("%q", p)
		}
		seen[p] = true
	}
}
