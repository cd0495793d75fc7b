package interop

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	username = "ada"
	password = "a long walk along the canal"
)

// built is the folder that the program is in, once it was needed.
var built string

// program builds latchkey, once for all tests.
var program = sync.OnceValues(func() (string, error) {
	folder, err := os.MkdirTemp("", "latchkey-interop-")
	if err != nil {
		return "", err
	}
	built = folder
	path := filepath.Join(folder, "latchkey")
	build := exec.Command("go", "build", "-o", path, "latchkey/cmd/latchkey")
	if os.Getenv("LATCHKEY_TEST_CACHE") != "" {
		// as make build has just done: there is nothing left to compile
		build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-trimpath")
	}
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if built != "" {
		_ = os.RemoveAll(built)
	}
	os.Exit(code)
}

// missing ends a test that this machine cannot run: visibly skipped on a laptop, failed where
// everything has to run.
func missing(t testing.TB, hint string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(hint)
	}
	t.Skip(hint)
}

// latchkey is a running provider.
type latchkey struct {
	t      testing.TB
	path   string
	data   string
	env    []string
	issuer string
	sub    string // of the one person there is
}

// application is what an operator learns about a client that was registered.
type application struct {
	ID     string `json:"client_id"`
	Secret string `json:"client_secret"`
}

func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// serve starts a provider with one person in an empty folder, and waits until it is ready. path is
// that of the issuer.
func serve(t testing.TB, host, path string, env ...string) *latchkey {
	t.Helper()
	bin, err := program()
	if err != nil {
		t.Fatal(err)
	}
	address := freeAddress(t)
	_, port, _ := net.SplitHostPort(address)
	l := &latchkey{t: t, path: bin, data: t.TempDir(), issuer: "http://" + net.JoinHostPort(host, port) + path}
	// Nothing of the environment that the tests run in: neither a configuration nor a database of
	// somebody's.
	l.env = append([]string{"LATCHKEY_METRICS_LISTEN=", "LATCHKEY_OUTBOUND_ALLOW_LOOPBACK=true",
		"LATCHKEY_PASSWORDS_MEMORY_KIB=7168",
		"LATCHKEY_PASSWORDS_PASSES=5", "LATCHKEY_ISSUER=" + l.issuer, "LATCHKEY_DATA=" + l.data}, env...)
	person := map[string]any{}
	l.run("group", "create", "staff", "--json")
	l.read(&person, password+"\n", "user", "create", username, "--email", "ada@example.com", "--email-verified",
		"--name", "Ada Lovelace",
		"--group", "staff", "--password-stdin", "--json")
	l.sub, _ = person["sub"].(string)
	if l.sub == "" {
		t.Fatalf("a person without sub: %v", person)
	}

	server := exec.Command(bin, "serve", "--listen", address)
	server.Dir, server.Env = l.data, l.env
	start(t, server, "msg=ready")
	return l
}

// start starts a server, which ends with the test, and waits until it says on standard error that
// it is ready.
func start(t testing.TB, server *exec.Cmd, words string) {
	t.Helper()
	log, err := server.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var said strings.Builder
	ready, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		once := sync.OnceFunc(func() { close(ready) })
		for lines := bufio.NewScanner(log); lines.Scan(); {
			mu.Lock()
			said.WriteString(lines.Text() + "\n")
			mu.Unlock()
			if strings.Contains(lines.Text(), words) {
				once()
			}
		}
	}()
	t.Cleanup(func() {
		_ = server.Process.Signal(syscall.SIGTERM)
		<-ended
		if err := server.Wait(); err != nil {
			t.Errorf("%s: %v", server.Path, err)
		}
		if t.Failed() {
			t.Logf("%s said:\n%s", server.Path, said.String())
		}
	})
	select {
	case <-ready:
	case <-ended:
		t.Fatalf("%s ended", server.Path)
	case <-time.After(time.Minute):
		t.Fatalf("%s is not ready", server.Path)
	}
}

// run carries out a command of latchkey and returns what it printed.
func (l *latchkey) run(args ...string) string {
	l.t.Helper()
	return l.runWith("", args...)
}

func (l *latchkey) runWith(stdin string, args ...string) string {
	l.t.Helper()
	cmd := exec.Command(l.path, args...)
	cmd.Dir, cmd.Env, cmd.Stdin = l.data, l.env, strings.NewReader(stdin)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		l.t.Fatalf("latchkey %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return string(out)
}

func (l *latchkey) read(into any, stdin string, args ...string) {
	l.t.Helper()
	out := l.runWith(stdin, args...)
	if err := json.Unmarshal([]byte(out), into); err != nil {
		l.t.Fatalf("latchkey %s printed %s: %v", strings.Join(args, " "), out, err)
	}
}

// register creates a client on the command line.
func (l *latchkey) register(name string, flags ...string) application {
	l.t.Helper()
	var a application
	l.read(&a, "", append([]string{"client", "create", "--json", "--name", name}, flags...)...)
	if a.ID == "" {
		l.t.Fatalf("%s has no client_id", name)
	}
	return a
}

// clientCredentials gets an access token for a service; more are parameters of the request.
func (l *latchkey) clientCredentials(a application, more ...string) string {
	l.t.Helper()
	form := url.Values{"grant_type": {"client_credentials"}}
	for i := 0; i+1 < len(more); i += 2 {
		form.Set(more[i], more[i+1])
	}
	req, err := http.NewRequest(http.MethodPost, l.issuer+"/token", strings.NewReader(form.Encode()))
	if err != nil {
		l.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(url.QueryEscape(a.ID), url.QueryEscape(a.Secret))
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		l.t.Fatal(err)
	}
	defer res.Body.Close()
	var answer struct {
		AccessToken string `json:"access_token"`
		Error       string `json:"error_description"`
	}
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil || answer.AccessToken == "" {
		l.t.Fatalf("no token: %s %v", answer.Error, err)
	}
	return answer.AccessToken
}

// line is what a script and its test say to each other.
type line struct {
	Open    string `json:"open,omitempty"`
	Until   string `json:"until,omitempty"`
	Fresh   bool   `json:"fresh,omitempty"` // with a browser that has no cookies yet
	At      string `json:"at,omitempty"`
	Passed  string `json:"passed,omitempty"`
	Failed  string `json:"failed,omitempty"`
	Because string `json:"because,omitempty"`
}

// script runs a program that drives a library. Each sentence that it proves becomes a test; wanted
// lists them, so that none goes missing.
func (l *latchkey) script(t *testing.T, settings any, wanted []string, name string, args ...string) {
	t.Helper()
	told, err := json.Marshal(settings)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(kv string) bool {
		return strings.HasPrefix(kv, "LATCHKEY_") || strings.HasPrefix(strings.ToLower(kv), "http_proxy") ||
			strings.HasPrefix(strings.ToLower(kv), "https_proxy")
	}), "SETTINGS="+string(told), "PYTHONDONTWRITEBYTECODE=1")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	b := newBrowser(t)
	proved := map[string]bool{}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var said line
		if err := json.Unmarshal(lines.Bytes(), &said); err != nil {
			t.Errorf("%s said %s", name, lines.Text())
			continue
		}
		switch {
		case said.Open != "":
			if said.Fresh {
				b = newBrowser(t)
			}
			answer, _ := json.Marshal(line{At: b.follow(said.Open, said.Until)})
			if _, err := in.Write(append(answer, '\n')); err != nil {
				t.Errorf("tell %s: %v", name, err)
			}
		case said.Failed != "":
			proved[said.Failed] = true
			t.Run(said.Failed, func(t *testing.T) { t.Error(said.Because) })
		default:
			proved[said.Passed] = true
			t.Run(said.Passed, func(t *testing.T) {})
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("%s: %v\n%s", strings.Join(cmd.Args, " "), err, stderr.String())
	}
	for _, sentence := range wanted {
		if !proved[sentence] {
			t.Errorf("nothing was said about: %s", sentence)
		}
	}
	if len(proved) != len(wanted) {
		t.Errorf("%d sentences were proved and %d were wanted: %v", len(proved), len(wanted), proved)
	}
}
