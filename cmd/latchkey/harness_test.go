package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey/clients/localhost"
	"latchkey/cmd/latchkey/config"
)

// TestMain fails when a test has left a file where commands look for one: the next test would run
// with its configuration.
func TestMain(m *testing.M) {
	left := func() []string {
		return slices.DeleteFunc([]string{config.DefaultFile, config.Default().Data}, func(name string) bool {
			_, err := os.Stat(name)
			return err != nil
		})
	}
	if names := left(); len(names) > 0 {
		fmt.Fprintf(os.Stderr, "tests need a folder without %q\n", names)
		os.Exit(1)
	}
	code := m.Run()
	if names := left(); len(names) > 0 {
		fmt.Fprintf(os.Stderr, "a test left %q here: give it --config and --data\n", names)
		code = 1
	}
	os.Exit(code)
}

// patience is for a command that has to end by itself.
const patience = 5 * time.Minute

// ran is a command that has ended.
type ran struct {
	code           int
	stdout, stderr string
}

// latchkey runs a command as main does, with nothing in its environment but what is given.
func latchkey(t testing.TB, stdin string, env []string, args ...string) ran {
	t.Helper()
	var out, errs bytes.Buffer
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	code := Run(ctx, args, strings.NewReader(stdin), &out, &errs, env)
	if ctx.Err() != nil && t.Context().Err() == nil {
		t.Fatalf("latchkey %s did not end\n%s", strings.Join(args, " "), &errs)
	}
	return ran{code, out.String(), errs.String()}
}

// succeed runs a command that has to work, and returns what it printed.
func succeed(t testing.TB, stdin string, args ...string) string {
	t.Helper()
	r := latchkey(t, stdin, nil, args...)
	if r.code != exitOK {
		t.Fatalf("latchkey %s: exit %d\n%s%s", strings.Join(args, " "), r.code, r.stdout, r.stderr)
	}
	return r.stdout
}

// into reads what a command printed with --json.
func into[T any](t testing.TB, text string) T {
	t.Helper()
	var v T
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return v
}

// output collects what a server prints, and lets somebody wait for a text in it.
type output struct {
	mu   sync.Mutex
	text strings.Builder
	more chan struct{}
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.text.Write(b)
	select {
	case o.more <- struct{}{}:
	default:
	}
	return len(b), nil
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// running is a server that was started as main does.
type running struct {
	t              testing.TB
	stdout, stderr *output
	stop           func() int // tells it to stop, and returns its exit code
	ended          chan struct{}
}

// start starts a command that goes on until it is stopped, at the end of the test at the latest.
func start(t testing.TB, env []string, args ...string) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	return startIn(ctx, cancel, t, env, args...)
}

// startIn is start with a context of the caller's, which cancel ends.
func startIn(ctx context.Context, cancel func(), t testing.TB, env []string, args ...string) *running {
	t.Helper()
	r := &running{t: t, stdout: &output{more: make(chan struct{}, 1)}, stderr: &output{more: make(chan struct{}, 1)},
		ended: make(chan struct{})}
	if !strings.Contains(strings.Join(env, "\n"), "LATCHKEY_SHUTDOWN_DELAY=") { // nobody is in front of it, as a rule
		env = append(slices.Clone(env), "LATCHKEY_SHUTDOWN_DELAY=0s")
	}
	code := 0
	go func() {
		defer close(r.ended)
		code = Run(ctx, args, strings.NewReader(""), r.stdout, r.stderr, env)
	}()
	r.stop = func() int {
		cancel()
		<-r.ended
		return code
	}
	t.Cleanup(func() { r.stop() })
	return r
}

// await waits until the output has the text.
func (r *running) await(o *output, text string) {
	r.t.Helper()
	limit := time.After(time.Minute)
	for !strings.Contains(o.String(), text) {
		select {
		case <-o.more:
		case <-r.ended:
			if strings.Contains(o.String(), text) {
				return
			}
			r.t.Fatalf("it ended, exit %d, before it said %q:\n%s%s", r.stop(), text, r.stdout, r.stderr)
		case <-limit:
			r.t.Fatalf("it has not said %q:\n%s%s", text, r.stdout, r.stderr)
		}
	}
}

// serveAt starts a server on a free port and waits until it is ready.
func serveAt(t testing.TB, port int, data string, more ...string) *running {
	t.Helper()
	addr := "127.0.0.1:" + strconv.Itoa(port)
	r := start(t, []string{"LATCHKEY_METRICS_LISTEN=", "LATCHKEY_LOG_FORMAT=json",
		"LATCHKEY_OUTBOUND_ALLOW_LOOPBACK=true"},
		append([]string{"serve", "--data", data, "--listen", addr, "--issuer", "http://localhost:" +
			strconv.Itoa(port)}, more...)...)
	r.await(r.stderr, `"msg":"ready"`)
	return r
}

// freePorts finds the first of n ports in a row that are free. They are below the ports that systems
// choose themselves: a connection of somebody else could take such a one before it is listened at.
func freePorts(t testing.TB, n int) int {
	t.Helper()
	for range 50 {
		first := 20000 + rand.IntN(12000-n)
		var open []net.Listener
		for i := range n {
			l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(first+i)))
			if err != nil {
				break
			}
			open = append(open, l)
		}
		for _, l := range open {
			_ = l.Close()
		}
		if len(open) == n {
			return first
		}
	}
	t.Fatal("no free ports")
	return 0
}

// person is somebody with a browser that follows redirects and fills in forms, but runs no scripts.
type person struct {
	t      testing.TB
	client *http.Client

	url    *url.URL
	status int
	body   string
}

func newPerson(t testing.TB) *person {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	c := localhost.Client(20 * time.Second)
	c.Jar = jar
	t.Cleanup(c.CloseIdleConnections)
	return &person{t: t, client: c}
}

func (p *person) do(req *http.Request, err error) *person {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
	req.Header.Set("Accept-Language", "en")
	resp, err := p.client.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	p.url, p.status, p.body = resp.Request.URL, resp.StatusCode, string(body)
	return p
}

func (p *person) open(address string) *person {
	p.t.Helper()
	return p.do(http.NewRequest(http.MethodGet, address, nil))
}

var (
	formPattern  = regexp.MustCompile(`(?s)<form[^>]*>.*?</form>`)
	inputPattern = regexp.MustCompile(`<(?:input|button)[^>]*>`)
)

func attribute(tag, name string) string {
	m := regexp.MustCompile(`\s` + name + `="([^"]*)"`).FindStringSubmatch(tag)
	if m == nil {
		return ""
	}
	return html.UnescapeString(m[1])
}

func (p *person) sees(id string) bool { return strings.Contains(p.body, `id="`+id+`"`) }

// must insists on an element of the page.
func (p *person) must(id string) *person {
	p.t.Helper()
	if !p.sees(id) {
		p.t.Fatalf("no #%s at %s, status %d:\n%s", id, p.url, p.status, p.body)
	}
	return p
}

// press follows a link or sends the form of a button; values fill in the form.
func (p *person) press(id string, values ...string) *person {
	p.t.Helper()
	p.must(id)
	if m := regexp.MustCompile(`<a [^>]*id="` + id + `"[^>]*>`).FindString(p.body); m != "" {
		return p.open(p.resolve(attribute(m, "href")))
	}
	return p.do(p.filled(id, values...))
}

// filled is the request that a button makes.
func (p *person) filled(id string, values ...string) (*http.Request, error) {
	p.t.Helper()
	for _, form := range formPattern.FindAllString(p.body, -1) {
		if !strings.Contains(form, `id="`+id+`"`) {
			continue
		}
		data := url.Values{}
		for _, input := range inputPattern.FindAllString(form, -1) {
			if strings.HasPrefix(input, "<button") && attribute(input, "id") != id ||
				attribute(input, "type") == "checkbox" {
				continue
			}
			if name := attribute(input, "name"); name != "" {
				data.Set(name, attribute(input, "value"))
			}
		}
		for i := 0; i+1 < len(values); i += 2 {
			data.Set(values[i], values[i+1])
		}
		req, err := http.NewRequest(http.MethodPost, p.resolve(attribute(form, "action")),
			strings.NewReader(data.Encode()))
		if err == nil {
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			req.Header.Set("Origin", p.url.Scheme+"://"+p.url.Host)
		}
		return req, err
	}
	p.t.Fatalf("#%s is in no form at %s:\n%s", id, p.url, p.body)
	return nil, nil
}

func (p *person) resolve(ref string) string {
	u, err := p.url.Parse(ref)
	if err != nil {
		p.t.Fatal(err)
	}
	return u.String()
}

func writeFile(t testing.TB, name, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
