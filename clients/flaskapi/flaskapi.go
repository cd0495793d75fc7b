package flaskapi

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Source is app.py.
//
//go:embed app.py
var Source []byte

// Config is what app.py reads from its environment.
type Config struct {
	Audience       string   // under which name tokens are meant for it (RFC 8707 §2). Required
	Issuer         string   // whose tokens count. Required
	Algorithms     []string // its own list. Nil: RS256, ES256, PS256, EdDSA
	AllowedOrigins []string // whose pages may call from a browser (CORS)

	// how long ago an administrator may have signed in at most, whole seconds. Zero: five minutes
	AdminMaxAge time.Duration
	AdminACR    []string // kinds of sign-in that do for administrators (RFC 9470 §3). Nil: all do
	LedgerFile  string   // keeps the ledger. Empty: memory does
}

// pythons are tried in this order. The last one is where Debian puts Flask when another Python
// comes first in PATH.
var pythons = []string{"python3", "python", "/usr/bin/python3"}

// probe prints the interpreter's own path: what PATH names may be a script that chooses one.
const probe = `import sys, flask, jwt, cryptography
jwt.PyJWKSet, jwt.PyJWTError
print(sys.executable)`

const hint = "the API in Flask is left out; to have it: apt-get install python3-flask python3-jwt python3-cryptography, or pip install flask 'pyjwt[crypto]'"

// Available finds a Python in which Flask and PyJWT can be imported. If there is none, hint says in
// one line how to get it.
func Available(ctx context.Context) (python string, ok bool, installHint string) {
	for _, name := range pythons {
		path, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		probing, cancel := context.WithTimeout(ctx, 20*time.Second)
		cmd := exec.CommandContext(probing, path, "-c", probe)
		cmd.Env = environment()
		cmd.WaitDelay = time.Second
		out, err := cmd.Output()
		cancel()
		if executable := strings.TrimSpace(string(out)); err == nil && executable != "" {
			return executable, true, ""
		}
	}
	return "", false, hint
}

// launcher runs the program that comes on standard input, and ends when standard input does: it is
// held open by the process that started it, and the system closes it however that one ends.
const launcher = `import os, sys, threading
source = sys.stdin.buffer.read(%d)
threading.Thread(target=lambda: (sys.stdin.buffer.read(), os._exit(0)), daemon=True).start()
exec(compile(source, "app.py", "exec"))`

// startLimit is how long a busy machine may take to import everything.
const startLimit = 60 * time.Second

// Start runs app.py with the python that Available found, on addr, a loopback host:port. It returns
// once the API answers, or an error with the program's last words. stop, or the end of ctx, ends it
// and all it started; it is safe to call more than once. Should this process die without calling
// it, the program ends as well.
func Start(ctx context.Context, python, addr string, config Config) (stop func(), err error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("start the API in Flask: %w", err)
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return nil, fmt.Errorf("start the API in Flask: %s is not a loopback address; use 127.0.0.1:%s", host, port)
	}
	// A port that somebody else has would answer for us below: find out first.
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("start the API in Flask: %w", err)
	}
	if err := l.Close(); err != nil {
		return nil, fmt.Errorf("start the API in Flask: %w", err)
	}

	cmd := exec.Command(python, "-c", fmt.Sprintf(launcher, len(Source)))
	cmd.Env = append(environment(), "HOST="+host, "PORT="+port, "PYTHONDONTWRITEBYTECODE=1",
		"ISSUER="+config.Issuer, "AUDIENCE="+config.Audience, "ALLOWED_ORIGINS="+strings.Join(config.AllowedOrigins, " "))
	if len(config.Algorithms) > 0 {
		cmd.Env = append(cmd.Env, "ALGORITHMS="+strings.Join(config.Algorithms, " "))
	}
	if config.AdminMaxAge > 0 {
		cmd.Env = append(cmd.Env, "ADMIN_MAX_AGE="+strconv.FormatInt(int64(config.AdminMaxAge/time.Second), 10))
	}
	cmd.Env = append(cmd.Env, "ADMIN_ACR="+strings.Join(config.AdminACR, " "), "LEDGER_FILE="+config.LedgerFile)
	lifeline, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start the API in Flask: %w", err)
	}
	var words lastWords
	cmd.Stdout, cmd.Stderr = &words, &words
	cmd.WaitDelay = time.Second
	ownGroup(cmd)

	started, exited := make(chan error, 1), make(chan struct{})
	go func() {
		// Linux ends the child when the thread that started it ends, so that thread stays until the
		// child has.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(exited)
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // how it ended is told by whoever waits on exited, with its last words
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start the API in Flask: %w", err)
	}
	var once sync.Once
	stop = func() {
		once.Do(func() {
			lifeline.Close()
			select {
			case <-exited: // its process id may be another's by now
			default:
				endGroup(cmd, exited)
			}
		})
		<-exited
	}
	if _, err := io.Copy(lifeline, bytes.NewReader(Source)); err != nil {
		stop()
		return nil, fmt.Errorf("start the API in Flask: %w: %s", err, &words)
	}
	context.AfterFunc(ctx, stop)
	if err := answers(ctx, addr, exited); err != nil {
		stop()
		return nil, fmt.Errorf("start the API in Flask: %w: %s", err, &words)
	}
	return stop, nil
}

// answers waits until /public does.
func answers(ctx context.Context, addr string, exited <-chan struct{}) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/public", nil)
		if err != nil {
			return err
		}
		if res, err := client.Do(req); err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-exited:
			return errors.New("it ended")
		case <-ctx.Done():
			return fmt.Errorf("it does not answer: %w", ctx.Err())
		case <-tick.C:
		}
	}
}

// environment is ours without what a sample has no business to know: this process may hold master
// keys and passwords.
func environment() []string {
	var kept []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(strings.ToUpper(v), "LATCHKEY_") {
			kept = append(kept, v)
		}
	}
	return kept
}

// lastWords keeps the end of what a program wrote.
type lastWords struct {
	mu  sync.Mutex
	end []byte
}

const wordsKept = 4 << 10

// Write never fails.
func (w *lastWords) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.end = append(w.end, p...)
	if n := len(w.end) - wordsKept; n > 0 {
		w.end = append(w.end[:0], w.end[n:]...)
	}
	return len(p), nil
}

// String returns them as one line.
func (w *lastWords) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if s := strings.Join(strings.Fields(string(w.end)), " "); s != "" {
		return s
	}
	return "it said nothing"
}
