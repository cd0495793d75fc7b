package main

import (
	"context"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

func TestSIGHUPReadsTheCertificateAgainAndSaysSo(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	certFile, keyFile := makeCertificate(t, folder, "first")
	signals := make(chan os.Signal, 1)
	ctx, cancel := context.WithCancel(t.Context())
	addr := "127.0.0.1:" + strconv.Itoa(freePorts(t, 1))
	r := startIn(withReload(ctx, signals, cancel), cancel, t,
		[]string{"LATCHKEY_METRICS_LISTEN=", "LATCHKEY_LOG_FORMAT=json", "LATCHKEY_TLS_CERT_FILE=" + certFile, "LATCHKEY_TLS_KEY_FILE=" + keyFile},
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
