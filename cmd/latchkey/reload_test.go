package main

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestSIGHUPReadsTheCertificateAgainAndSaysSo(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	certFile, keyFile := makeCertificate(t, folder, "first")
	signals := make(chan os.Signal, 1)
	ctx, cancel := context.WithCancel(t.Context())
	addr := "127.0.0.1:" + strconv.Itoa(freePorts(t, 1))
	r := startIn(withReload(ctx, signals, cancel), cancel, t,
		[]string{"LATCHKEY_METRICS_LISTEN=", "LATCHKEY_LOG_FORMAT=json", "LATCHKEY_TLS_CERT_FILE=" + certFile,
			"LATCHKEY_TLS_KEY_FILE=" + keyFile},
		"serve", "--data", t.TempDir(), "--listen", addr, "--issuer", "https://localhost")
	r.await(r.stderr, `"msg":"ready"`)
	signals <- syscall.SIGHUP
	r.await(r.stderr, `"msg":"certificate read again"`)
	r.await(r.stderr, "told to read again")
	rewrite(t, certFile, "no certificate", 0o644)
	signals <- syscall.SIGHUP
	r.await(r.stderr, `"msg":"certificate not read again; the one before stays"`)
	if strings.Contains(r.stderr.String(), "stopping") {
		t.Errorf("it ends: %s", r.stderr)
	}
	if code := r.stop(); code != exitOK {
		t.Errorf("exit %d", code)
	}
}

func TestSIGHUPEndsWhatIsNoServer(t *testing.T) {
	t.Parallel()
	signals := make(chan os.Signal, 1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ctx = withReload(ctx, signals, cancel)
	signals <- syscall.SIGHUP
	<-ctx.Done()
}

func TestSIGHUPReadsTextsAndLookAgain(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	messages := filepath.Join(folder, "templates", "messages")
	if err := os.MkdirAll(messages, 0o700); err != nil {
		t.Fatal(err)
	}
	port := strconv.Itoa(freePorts(t, 1))
	file := filepath.Join(folder, "latchkey.yaml")
	write := func(welcome string) {
		rewrite(t, file, "issuer: http://localhost:"+port+"\nmetrics_listen: ''\nshutdown_delay: 0s\nlog: {format: json}\ntemplates: templates\nlook: {welcome: "+welcome+"}\ndata: data\n", 0o600)
	}
	write("Good morning")
	signals := make(chan os.Signal, 1)
	ctx, cancel := context.WithCancel(t.Context())
	r := startIn(withReload(ctx, signals, cancel), cancel, t, nil, "serve", "--config", file, "--listen",
		"127.0.0.1:"+port)
	r.await(r.stderr, `"msg":"ready"`)
	who := newPerson(t)
	see := func(want string) {
		t.Helper()
		if page := who.open("http://localhost:" + port + "/account"); !strings.Contains(page.body, want) {
			t.Errorf("no %q in %s", want, page.body)
		}
	}
	see("Good morning")
	write("Good evening")
	rewrite(t, filepath.Join(messages, "en.json"), `{"messages": {"login.submit": "Let me in"}}`, 0o600)
	signals <- syscall.SIGHUP
	r.await(r.stderr, "told to read again")
	see("Good evening")
	see("Let me in")
	rewrite(t, filepath.Join(messages, "en.json"), `{"messages": `, 0o600)
	signals <- syscall.SIGHUP
	r.await(r.stderr, "texts and look not read again; those before stay")
	see("Let me in")
}

// A pipe holds a few hundred lines.
func TestReaderOfTheLogThatStopsReadingKeepsNoRequestWaiting(t *testing.T) {
	t.Parallel()
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	port := strconv.Itoa(freePorts(t, 1))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan int, 1)
	go func() {
		ended <- Run(ctx, []string{"serve", "--data", t.TempDir(), "--listen", "127.0.0.1:" + port, "--issuer",
			"http://localhost:" + port},
			strings.NewReader(""), io.Discard, writer, []string{"LATCHKEY_METRICS_LISTEN=",
				"LATCHKEY_SHUTDOWN_DELAY=0s"})
	}()
	lines := bufio.NewScanner(reader)
	for lines.Scan() && !strings.Contains(lines.Text(), "msg=ready") {
	}
	who := newPerson(t)
	who.client.Timeout = 5 * time.Second
	for range logQueue + 1000 { // nobody reads
		if page := who.open("http://127.0.0.1:" + port + "/healthz"); page.status != http.StatusOK {
			t.Fatalf("status %d", page.status)
		}
	}
	told := make(chan bool, 1)
	go func() { // somebody reads again
		found := false
		for lines.Scan() {
			found = found || strings.Contains(lines.Text(), "log lines were lost")
		}
		told <- found
	}()
	cancel()
	if code := <-ended; code != exitOK {
		t.Errorf("exit %d", code)
	}
	_ = writer.Close()
	if !<-told {
		t.Error("the log does not say that lines were lost")
	}
}
