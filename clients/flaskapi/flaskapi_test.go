package flaskapi_test

import (
	"context"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"latchkey/clients/flaskapi"
	"latchkey/clients/internal/optest"
)

const audience = "http://api.localhost:9110"

// python finds one that can run app.py, or ends the test: visibly skipped on a laptop, failed where
// everything has to run.
func python(t *testing.T) string {
	t.Helper()
	path, ok, hint := flaskapi.Available(t.Context())
	if ok {
		return path
	}
	if os.Getenv("CI") == "true" {
		t.Fatal(hint)
	}
	t.Skip(hint)
	return ""
}

// freeAddress returns one that nobody listens at. It is below the ports that systems choose
// themselves: somebody else's connection could take such a one.
func freeAddress(t *testing.T) string {
	t.Helper()
	for range 50 {
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(20000+rand.IntN(12000))))
		if err == nil {
			defer l.Close()
			return l.Addr().String()
		}
	}
	t.Fatal("no free ports")
	return ""
}

func start(t *testing.T, p *optest.Provider) string {
	t.Helper()
	addr := freeAddress(t)
	stop, err := flaskapi.Start(t.Context(), python(t), addr, flaskapi.Config{
		Audience: audience, Issuer: p.Issuer, AllowedOrigins: []string{"http://other.localhost", optest.Origin},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	return "http://" + addr
}

func TestTheFlaskAPIKeepsTheSamplesPromises(t *testing.T) {
	t.Parallel()
	p := optest.New(t)
	base := start(t, p)
	optest.CheckAPI(t, p, base, audience)
	optest.CheckAPIKeys(t, p, base, audience)
}

func TestARotatedKeyIsFoundAtOnce(t *testing.T) {
	t.Parallel()
	p := optest.New(t)
	optest.CheckAPIRotation(t, p, start(t, p), audience)
}

func TestTheLedgerFileIsThereAfterARestart(t *testing.T) {
	t.Parallel()
	p := optest.New(t)
	optest.CheckLedgerFile(t, p, audience, func(file string) (string, func()) {
		addr := freeAddress(t)
		stop, err := flaskapi.Start(t.Context(), python(t), addr, flaskapi.Config{Audience: audience, Issuer: p.Issuer,
			LedgerFile: file})
		if err != nil {
			t.Fatal(err)
		}
		return "http://" + addr, stop
	})
}

func TestTheFlaskAPIAsksForTheKindOfSignInThatIsConfigured(t *testing.T) {
	t.Parallel()
	p := optest.New(t)
	addr := freeAddress(t)
	stop, err := flaskapi.Start(t.Context(), python(t), addr, flaskapi.Config{Audience: audience, Issuer: p.Issuer,
		AdminMaxAge: time.Hour, AdminACR: optest.ACR})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	optest.CheckACR(t, p, "http://"+addr, audience, "3600")
}

func TestWithoutPublishedKeysFlaskAPIAcceptsNoToken(t *testing.T) {
	t.Parallel()
	p := optest.New(t)
	base := start(t, p)
	p.With(func() { p.Down = true })
	token := "Bearer " + p.AccessToken(audience, nil, nil)
	if a := optest.Ask(t, "GET", base+"/me", nil, token); a.Status != 503 ||
		a.Body["error"] != "temporarily_unavailable" {
		t.Errorf("%+v", a)
	}
	p.With(func() { p.Down = false })
	if a := optest.Ask(t, "GET", base+"/me", nil, token); a.Status != 200 {
		t.Errorf("provider back: %+v", a)
	}
}

func TestStopEndsTheFlaskAPI(t *testing.T) {
	t.Parallel()
	path := python(t)
	addr := freeAddress(t)
	ctx, cancel := context.WithCancel(t.Context())
	stop, err := flaskapi.Start(ctx, path, addr, flaskapi.Config{Audience: audience, Issuer: "http://id.localhost"})
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	stop()
	stop()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatalf("the port is still taken: %v", err)
	}
	l.Close()
}

// TestTheFlaskAPIEndsWithTheProcessThatStartedIt starts it from a process that is then killed
// without a chance to clean up.
func TestTheFlaskAPIEndsWithTheProcessThatStartedIt(t *testing.T) {
	const variable = "TEST_FLASKAPI_PARENT"
	if addr := os.Getenv(variable); addr != "" {
		path, ok, hint := flaskapi.Available(t.Context())
		if !ok {
			t.Fatal(hint)
		}
		if _, err := flaskapi.Start(t.Context(), path, addr, flaskapi.Config{Audience: audience,
			Issuer: "http://id.localhost"}); err != nil {
			t.Fatal(err)
		}
		os.Stdout.WriteString("started\n")
		select {}
	}
	t.Parallel()
	python(t)
	addr := freeAddress(t)
	parent := exec.Command(os.Args[0], "-test.run", "^"+t.Name()+"$")
	parent.Env = append(os.Environ(), variable+"="+addr)
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	said := make([]byte, 64)
	n, err := out.Read(said)
	if err != nil || string(said[:n]) != "started\n" {
		t.Fatalf("the parent said %q: %v", said[:n], err)
	}
	// A connection that stays open ends when the program does, so nothing has to be asked again and
	// again.
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait() // it was killed
	if err := conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1)); err == nil || os.IsTimeout(err) {
		t.Errorf("it outlives its parent: %v", err)
	}
}

func TestAPythonThatCannotRunTheFlaskAPIIsNamed(t *testing.T) {
	t.Parallel()
	path := python(t)
	for _, addr := range []string{"0.0.0.0:9111", "9111", "api.localhost:9111", "192.0.2.1:9111"} {
		if _, err := flaskapi.Start(t.Context(), path, addr, flaskapi.Config{}); err == nil {
			t.Errorf("%s was accepted", addr)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := flaskapi.Start(t.Context(), path, l.Addr().String(), flaskapi.Config{}); err == nil ||
		!strings.Contains(err.Error(), "in use") {
		t.Errorf("a port that is taken: %v", err)
	}
	if _, err := flaskapi.Start(t.Context(), "/nonexistent/python", freeAddress(t), flaskapi.Config{}); err == nil {
		t.Error("no python: started")
	}
	// A Python that ends at once is told with its last words, and without waiting for an answer
	// that never comes.
	if _, err := flaskapi.Start(t.Context(), failing(t), freeAddress(t), flaskapi.Config{}); err == nil ||
		!strings.Contains(err.Error(), "no flask today") {
		t.Errorf("last words: %v", err)
	}
}

func failing(t *testing.T) string {
	path := t.TempDir() + "/python"
	if err := os.WriteFile(path, []byte("#!/bin/sh\ncat >/dev/null & echo no flask today >&2; exit 1\n"),
		0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestTheFlaskAPIDoesNotSeeOurSecrets(t *testing.T) {
	t.Setenv("LATCHKEY_MASTER_KEY", "secret-of-the-provider")
	path := t.TempDir() + "/python"
	if err := os.WriteFile(path, []byte("#!/bin/sh\ncat >/dev/null & env >&2; exit 1\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	_, err := flaskapi.Start(t.Context(), path, freeAddress(t), flaskapi.Config{Audience: audience})
	if err == nil || !strings.Contains(err.Error(), "AUDIENCE="+audience) || strings.Contains(err.Error(),
		"secret-of-the-provider") {
		t.Errorf("%v", err)
	}
}
