package localhost_test

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"latchkey/clients/localhost"
)

func TestRFC6761Names(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]bool{
		"localhost": true, "id.localhost": true, "a.b.localhost": true, "ID.LocalHost.": true,
		"notlocalhost": false, "localhost.example.com": false, "": false, "127.0.0.1": false,
	} {
		if got := localhost.Is(host); got != want {
			t.Errorf("Is(%q) = %v", host, got)
		}
	}
}

func TestNamesBelowLocalhostReachThisMachineOnBothFamilies(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		l, err := net.Listen("tcp", address)
		if err != nil {
			if strings.HasPrefix(address, "[") {
				t.Logf("no IPv6 here: %v", err)
				continue
			}
			t.Fatal(err)
		}
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter,
			r *http.Request) {
			_, _ = io.WriteString(w, r.Host)
		}))
		s.Listener.Close()
		s.Listener = l
		s.Start()
		t.Cleanup(s.Close)
		_, port, err := net.SplitHostPort(l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		host := net.JoinHostPort("notes.localhost", port)
		res, err := localhost.Client(10 * time.Second).Get("http://" + host)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || string(body) != host {
			t.Errorf("%s: %q %v", address, body, err)
		}
	}
}
