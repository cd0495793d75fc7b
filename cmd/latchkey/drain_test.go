package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"latchkey/provider/storage/storagetest"
)

func TestAServerThatStopsAnswersEveryConnectionOnceMore(t *testing.T) {
	t.Parallel()
	addr := "127.0.0.1:" + strconv.Itoa(freePorts(t, 1))
	r := start(t, []string{"LATCHKEY_METRICS_LISTEN=", "LATCHKEY_LOG_FORMAT=json", "LATCHKEY_SHUTDOWN_DELAY=2s"},
		"serve", "--data", t.TempDir(), "--listen", addr, "--issuer", "http://localhost:8080")
	r.await(r.stderr, `"msg":"ready"`)
	idle, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	answers := bufio.NewReader(idle)
	ask := func(path string) *http.Response {
		t.Helper()
		if _, err := fmt.Fprintf(idle, "GET %s HTTP/1.1\r\nHost: localhost:8080\r\n\r\n", path); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(answers, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			t.Fatal(err)
		}
		return resp
	}
	if resp := ask("/readyz"); resp.StatusCode != http.StatusOK || resp.Close {
		t.Fatalf("before: %s, closing: %v", resp.Status, resp.Close)
	}
	done := make(chan int)
	go func() { done <- r.stop() }()
	r.await(r.stderr, `"msg":"stopping"`)
	resp, err := http.Get("http://" + addr + "/readyz")
	if err != nil {
		t.Fatalf("nobody can see that it is stopping: %v", err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("/readyz says %s", resp.Status)
	}
	if resp := ask("/jwks"); resp.StatusCode != http.StatusOK || !resp.Close {
		t.Errorf("an idle connection: %s, closing: %v", resp.Status, resp.Close)
	}
	if code := <-done; code != exitOK {
		t.Errorf("exit %d", code)
	}
}

// What waits in the queue of a listener is lost when it closes.
func TestAConnectionThatBeginsBeforeAListenerClosesIsNotTaken(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("other systems have no filter for it")
	}
	l, err := listen(t.Context(), "127.0.0.1:0", "--listen")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dial := func(patience time.Duration) error {
		c, err := net.DialTimeout("tcp", l.Addr().String(), patience)
		if err == nil {
			_ = c.Close()
		}
		return err
	}
	if err := dial(30 * time.Second); err != nil {
		t.Fatalf("before: %v", err)
	}
	if err := dropNew(l); err != nil {
		t.Fatal(err)
	}
	var late net.Error
	if err := dial(100 * time.Millisecond); !errors.As(err, &late) || !late.Timeout() {
		t.Errorf("after: %v", err)
	}
}

// Two instances behind the proxy file that we ship are restarted in turn, each as soon as the other
// is ready, under requests that must not be repeated.
func TestRestartsInTurnBehindNginxFailNoRequest(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	const restarts = 4
	base := "latchkey.localhost"
	certFile, keyFile, pool := selfSigned(t, base)
	port := freePorts(t, 5)
	domain := base + ":" + strconv.Itoa(port)
	at := func(i int) string { return "127.0.0.1:" + strconv.Itoa(port+i) }
	env := []string{"LATCHKEY_ISSUER=https://id." + domain, "LATCHKEY_MONGODB=" + storagetest.MongoURI(t),
		"LATCHKEY_MASTER_KEY=" + otherKey,
		"LATCHKEY_TRUSTED_PROXIES=127.0.0.1", "LATCHKEY_METRICS_LISTEN=", "LATCHKEY_LOG_FORMAT=json", "LATCHKEY_DATA=" +
			t.TempDir(), "LATCHKEY_SHUTDOWN_DELAY=4s"}
	instance := func(i int) *running {
		r := start(t, env, "serve", "--listen", at(2+i))
		r.await(r.stderr, `"msg":"ready"`)
		return r
	}
	all := []*running{instance(0), instance(1)}
	proxyNginx(t, port, certFile, keyFile, []string{at(2), at(3)}, at(4), base)
	const secret = "a-secret-of-at-least-32-characters"
	if r := latchkey(t, secret+"\n", env, "client", "create", "--name", "Job", "--type", "service", "--id", "job",
		"--secret-stdin"); r.code != exitOK {
		t.Fatalf("exit %d %s", r.code, r.stderr)
	}

	var asked, failed atomic.Int64
	var first sync.Once
	stop := make(chan struct{})
	var workers sync.WaitGroup
	for range 4 {
		workers.Go(func() {
			dialer := &net.Dialer{}
			client := &http.Client{Timeout: 30 * time.Second,
				Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12},
					DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
						return dialer.DialContext(ctx, network, at(0))
					}}}
			defer client.CloseIdleConnections()
			for {
				select {
				case <-stop:
					return
				default:
				}
				asked.Add(1)
				body := url.Values{"grant_type": {"client_credentials"}}
				req, err := http.NewRequest(http.MethodPost, "https://id."+domain+"/token",
					strings.NewReader(body.Encode()))
				if err == nil {
					req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
					req.SetBasicAuth("job", secret)
					var resp *http.Response
					if resp, err = client.Do(req); err == nil {
						text, _ := io.ReadAll(resp.Body)
						_ = resp.Body.Close()
						if resp.StatusCode != http.StatusOK {
							err = fmt.Errorf("%s %s", resp.Status, text)
						}
					}
				}
				if err != nil {
					failed.Add(1)
					first.Do(func() { t.Errorf("a request failed: %v", err) })
				}
			}
		})
	}
	for i := range restarts {
		which := i % 2
		if code := all[which].stop(); code != exitOK {
			t.Errorf("restart %d: exit %d", i, code)
		}
		all[which] = instance(which)
	}
	close(stop)
	workers.Wait()
	if failed.Load() > 0 || asked.Load() < 10*restarts {
		t.Errorf("%d of %d requests failed", failed.Load(), asked.Load())
	}
	t.Logf("%d requests", asked.Load())
}
