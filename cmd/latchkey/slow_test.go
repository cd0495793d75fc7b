package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"
)

// TestClientsThatSayNothingAreHungUpOn holds many connections open in each way that there is, and
// waits until the server has had enough.
func TestClientsThatSayNothingAreHungUpOn(t *testing.T) {
	t.Parallel()
	port := freePorts(t, 1)
	serveAt(t, port, t.TempDir())
	addr := fmt.Sprint("127.0.0.1:", port)
	var wait sync.WaitGroup
	hold := func(what, said string, limit time.Duration) {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		if _, err := io.WriteString(conn, said); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		wait.Go(func() {
			_ = conn.SetReadDeadline(began.Add(limit + 20*time.Second))
			_, err := io.Copy(io.Discard, conn) // until the server hangs up; it may have said something before
			if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
				t.Errorf("%s: still open after %s", what, time.Since(began))
			}
		})
	}
	for range 100 {
		hold("nothing", "", readHeaderTimeout)
		hold("half a header", "GET / HTTP/1.1\r\nHost: x\r\nX: ", readHeaderTimeout)
	}
	for range 20 {
		hold("half a body", "POST /token HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 100\r\n\r\ngrant_type=", readTimeout)
	}
	// The control: everybody else is answered meanwhile.
	for range 20 {
		resp, err := (&http.Client{Timeout: readHeaderTimeout}).Get("http://" + addr +
			"/.well-known/openid-configuration")
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Errorf("%d", resp.StatusCode)
		}
	}
	wait.Wait()
}
