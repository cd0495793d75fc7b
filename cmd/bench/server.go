package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// server is a running `latchkey serve`.
type server struct {
	binary, folder string
	mongodb        string // connection string with a database of its own; "" for the embedded database
	core, own      int    // cores of the server and of this process; -1: not pinned
	addr           string
	issuer         string

	cmd  *exec.Cmd
	done chan error
	log  *os.File
}

// The people and applications that the measurements use, as `latchkey apply` takes them.
const (
	secret   = "bench-secret-of-43-characters-0123456789abcd"
	password = "a long enough pass phrase for a bench"
	callback = "http://127.0.0.1:1/callback"
)

func personName(i int) string { return fmt.Sprintf("person%03d", i) }

// variant is what is measured twice, with the two algorithms that clients ask for.
type variant struct {
	alg     string // of ID tokens of web, and of access tokens of service and reader
	web     string // client_id of the application that people sign in to; its access tokens are for apis[0]
	service string // client_id of the application that acts for itself
	reader  string // client_id of the application whose access tokens are introspected and shown to userinfo
	api     api    // that the tokens of service and reader are for
}

// api reads access tokens.
type api struct{ id, audience, alg string }

var (
	apis     = []api{{"api", "https://api.example.com", ""}, {"api-rs256", "https://rs256.example.com", "RS256"}}
	variants = []variant{
		{"ES256", "web-es256", "service", "web-es256", apis[0]},
		{"RS256", "web-rs256", "service-rs256", "reader-rs256", apis[1]},
	}
)

func manifest(people int) string {
	var b strings.Builder
	b.WriteString("clients:\n")
	web := func(id, alg string, api api) {
		fmt.Fprintf(&b, "  - {client_id: %s, client_name: %s, type: web, redirect_uris: [%q], client_secret: %s, id_token_signed_response_alg: %s,"+
			" grant_types: [authorization_code, refresh_token], audience: [%q]}\n", id, id, callback, secret, alg,
			api.audience)
	}
	for _, v := range variants {
		web(v.web, v.alg, apis[0])
		if v.reader != v.web {
			web(v.reader, "ES256", v.api)
		}
		fmt.Fprintf(&b, "  - {client_id: %s, client_name: Service, type: service, scope: read write, audience: [%q], client_secret: %s}\n", v.service, v.api.audience, secret)
	}
	for _, a := range apis {
		fmt.Fprintf(&b, "  - {client_id: %s, client_name: API, type: api, audience: [%q], client_secret: %s", a.id,
			a.audience, secret)
		if a.alg != "" {
			fmt.Fprintf(&b, ", access_token_signed_response_alg: %s", a.alg)
		}
		b.WriteString("}\n")
	}
	b.WriteString("people:\n")
	for i := range people {
		name := personName(i)
		fmt.Fprintf(&b, "  - {username: %s, password: %q, claims: {name: Person %d, email: %s@example.com, email_verified: true}}\n", name, password, i, name)
	}
	return b.String()
}

// basic is the Authorization header of a client.
func basic(client string) string {
	pair := url.QueryEscape(client) + ":" + url.QueryEscape(secret)
	return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(pair))
}

// newServer makes an empty data folder with its configuration.
func newServer(o options, folder, mongodb string) (*server, error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	addr := l.Addr().String()
	if err := l.Close(); err != nil {
		return nil, err
	}
	s := &server{binary: o.binary, folder: folder, core: o.serverCore, own: o.clientCore, addr: addr,
		issuer: "http://" + addr}
	if mongodb != "" {
		u, err := url.Parse(mongodb)
		if err != nil {
			return nil, errors.New("the MongoDB connection string is not a URL")
		}
		u.Path = "/latchkey_bench_" + strings.ToLower(rand.Text()[:8])
		s.mongodb = u.String()
	}
	// The limits on guessing are lifted: everybody signs in from one address here.
	// Access tokens are good for longer than a run takes.
	config := fmt.Sprintf("issuer: %s\nlisten: %s\nmetrics_listen: \"\"\ndata: data\nlifetimes: {access_token: 2h}\n"+
		"passwords: {attempts_per_account: 1000000, attempts_per_address: 1000000}\n", s.issuer, addr)
	if s.mongodb != "" {
		config += fmt.Sprintf("mongodb: %q\n", s.mongodb)
	}
	return s, os.WriteFile(filepath.Join(folder, "latchkey.yaml"), []byte(config), 0o600)
}

// run runs a command of the program on the server's data.
func (s *server) run(ctx context.Context, input string, args ...string) error {
	cmd := exec.CommandContext(ctx, s.binary, append(args, "--config", filepath.Join(s.folder, "latchkey.yaml"))...)
	cmd.Stdin = strings.NewReader(input)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("latchkey %s: %w\n%s", strings.Join(args, " "), err, &out)
	}
	return nil
}

// start starts the server and returns how long it took until the first answer.
func (s *server) start(ctx context.Context) (time.Duration, error) {
	var err error
	if s.log, err = os.OpenFile(filepath.Join(s.folder, "log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND,
		0o600); err != nil {
		return 0, err
	}
	s.cmd = exec.Command(s.binary, "serve", "--config", filepath.Join(s.folder, "latchkey.yaml"))
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	begun := time.Now()
	if err := startOn(s.cmd, s.core, s.own); err != nil {
		return 0, err
	}
	s.done = make(chan error, 1)
	go func() { s.done <- s.cmd.Wait() }()
	ask := get(s.addr, "/.well-known/openid-configuration")
	for {
		select {
		case err := <-s.done:
			s.done <- err
			text, _ := os.ReadFile(s.log.Name())
			return 0, fmt.Errorf("latchkey serve ended: %w\n%s", err, tail(text, 2000))
		case <-ctx.Done():
			return 0, ctx.Err()
		default:
		}
		c, err := dial(s.addr)
		if err == nil {
			a, err := c.do(ask)
			_ = c.Close()
			if err == nil && a.status == 200 {
				return time.Since(begun), nil
			}
		}
		if time.Since(begun) > time.Minute {
			return 0, errors.New("latchkey serve gave no answer within a minute")
		}
		time.Sleep(500 * time.Microsecond)
	}
}

// stop ends the server as an operator would.
func (s *server) stop() error {
	if s.cmd == nil {
		return nil
	}
	defer s.log.Close()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case err := <-s.done:
		s.cmd = nil
		return err
	case <-time.After(20 * time.Second):
		_ = s.cmd.Process.Kill()
		<-s.done //nolint:errcheck // it was killed
		s.cmd = nil
		return errors.New("latchkey serve did not end when told to")
	}
}

func (s *server) pid() int { return s.cmd.Process.Pid }

func tail(b []byte, n int) []byte { return b[max(0, len(b)-n):] }
