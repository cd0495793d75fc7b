package providertest

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// Raw sends bytes to the provider's socket and returns every answer that comes before the
// connection is closed.
func (w *World) Raw(text string) []*http.Response {
	w.t.Helper()
	conn, err := net.Dial("tcp", w.Web.Base.Host)
	if err != nil {
		w.t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second)) // only so that a test that hangs ends
	go func() { _, _ = io.WriteString(conn, text) }()
	var all []*http.Response
	for in := bufio.NewReader(conn); ; {
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			return all
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body = io.NopCloser(strings.NewReader(string(body)))
		all = append(all, resp)
		if resp.Close {
			return all
		}
	}
}

func MustQuery(t testing.TB, target string) url.Values {
	t.Helper()
	u, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	return u.Query()
}

func NewRegistration(t testing.TB, w *World) *http.Request {
	t.Helper()
	r, err := http.NewRequest("POST", w.Issuer+"/register",
		strings.NewReader(`{"redirect_uris":["https://new.example/cb"]}`))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	return r
}
