package outbound

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// names is a resolver under the test's control. A name answers with its lists one after another,
// the last for good.
type names struct {
	mu    sync.Mutex
	of    map[string][][]string
	asked int
}

func (n *names) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.asked++
	lists := n.of[strings.TrimSuffix(strings.ToLower(host), ".")]
	if len(lists) == 0 {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	if len(lists) > 1 {
		n.of[host] = lists[1:]
	}
	var out []netip.Addr
	for _, a := range lists[0] {
		out = append(out, netip.MustParseAddr(a))
	}
	return out, nil
}

// recorder notes what would be connected to, and leads it to a server of the test's own.
type recorder struct {
	mu    sync.Mutex
	to    string // "" refuses
	addrs []string
}

func (r *recorder) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	r.mu.Lock()
	r.addrs = append(r.addrs, addr)
	r.mu.Unlock()
	if r.to == "" {
		return nil, errors.New("refused by the test")
	}
	var d net.Dialer
	return d.DialContext(ctx, network, r.to)
}

func (r *recorder) dialled() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.addrs...)
}

var privateHosts = []string{
	"127.0.0.1", "127.255.255.254", "0.0.0.0", "0.1.2.3", "10.0.0.1", "192.168.0.1", "172.16.0.1", "172.31.255.255",
	"169.254.169.254", "100.64.0.1", "100.127.255.255",
	"192.0.0.1", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.250", "240.0.0.1",
	"255.255.255.255", "192.88.99.1",
	"[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::ffff:10.0.0.1]", "[::ffff:a9fe:a9fe]",
	"[::127.0.0.1]", "[::ffff:0:127.0.0.1]", "[64:ff9b::7f00:1]", "[64:ff9b:1::7f00:1]", "[2002:7f00:1::]",
	"[2002:a00:1::1]", "[2001::7f00:1]", "[2001:db8::1]", "[fe80::1]", "[fe80::1%25lo]", "[fec0::1]", "[fd00::1]",
	"[fc00::1]", "[ff02::1]", "[100::1]", "[3fff::1]", "[5f00::1]",
	"127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.0.0.1", "0177.0.0.1", "017700000001", "127.0.0.1.",
	"127.0.0.0x1", "1.2.3.4.5", "256.0.0.1",
	"localhost", "localhost.", "LOCALHOST", "a.localhost", "A.LocalHost.",
}

func TestAddressesThatAreNotPublicAreNeverConnectedTo(t *testing.T) {
	t.Parallel()
	r := &recorder{}
	n := &names{of: map[string][][]string{
		"loopback.test": {{"127.0.0.1"}}, "six.test": {{"::1"}}, "mapped.test": {{"::ffff:127.0.0.1"}},
		"meta.test": {{"169.254.169.254"}}, "nat64.test": {{"64:ff9b::a00:1"}},
		"mixed.test": {{"93.184.216.34", "::1"}}, "mixed2.test": {{"10.0.0.1", "93.184.216.34"}},
		"cname.test": {{"127.0.0.1", "127.0.0.2"}},
		"127.1":      {{"127.0.0.1"}}, "2130706433": {{"127.0.0.1"}}, "0x7f000001": {{"127.0.0.1"}},
		"0177.0.0.1": {{"127.0.0.1"}}, "localhost": {{"127.0.0.1"}}, "a.localhost": {{"127.0.0.1"}},
		"empty.test": {{}},
	}}
	c := New(Config{Resolver: n, Dial: r.dial})
	hosts := append([]string(nil), privateHosts...)
	for h := range n.of {
		hosts = append(hosts, h)
	}
	for _, host := range hosts {
		for _, port := range []string{"", ":443", ":8443"} {
			_, err := c.Get(t.Context(), "https://"+host+port+"/keys", 0)
			if !errors.Is(err, ErrFetch) || err.Error() != ErrFetch.Error() {
				t.Errorf("%s%s: %v", host, port, err)
			}
			if host != "empty.test" && !errors.Is(err, ErrForbidden) {
				t.Errorf("%s%s: the log says %v", host, port, Cause(err))
			}
			if _, err := c.PostForm(t.Context(), "https://"+host+port+"/logout",
				url.Values{"a": {"b"}}); !errors.Is(err, ErrFetch) {
				t.Errorf("POST %s%s: %v", host, port, err)
			}
		}
	}
	if got := r.dialled(); len(got) > 0 {
		t.Errorf("connected to %v", got)
	}
}

func TestPublicAddressesAreConnectedToAsTheyWereChecked(t *testing.T) {
	t.Parallel()
	r := &recorder{}
	n := &names{of: map[string][][]string{
		// public when it is looked at, loopback when it would be connected to
		"rebind.test": {{"93.184.216.34"}, {"127.0.0.1"}},
		"both.test":   {{"2606:2800:220:1::1", "93.184.216.34"}},
		"mapped.test": {{"::ffff:93.184.216.34"}},
	}}
	c := New(Config{Resolver: n, Dial: r.dial, Ports: []uint16{9443}})
	for _, u := range []string{"https://rebind.test/", "https://both.test:9443/", "https://mapped.test/",
		"https://1.1.1.1/", "https://[2606:4700::1111]:8443/"} {
		if _, err := c.Get(t.Context(), u, 0); !errors.Is(err, ErrFetch) {
			t.Errorf("%s: %v", u, err)
		}
	}
	want := []string{"93.184.216.34:443", "93.184.216.34:9443", "[2606:2800:220:1::1]:9443", "93.184.216.34:443",
		"1.1.1.1:443", "[2606:4700::1111]:8443"}
	if got := r.dialled(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("connected to\n%v, want\n%v", got, want)
	}
	// The second request for the name sees its second answer.
	if _, err := c.Get(t.Context(), "https://rebind.test/", 0); !errors.Is(err, ErrForbidden) {
		t.Errorf("rebound: %v", Cause(err))
	}
}

func TestTheDialerLooksAtTheSocketItself(t *testing.T) {
	t.Parallel()
	c := New(Config{})
	for _, addr := range []string{"127.0.0.1:443", "[::1]:443", "10.0.0.1:443", "nonsense"} {
		if err := c.control(t.Context(), "tcp", addr, nil); !errors.Is(err, ErrForbidden) {
			t.Errorf("%s: %v", addr, err)
		}
	}
	if err := c.control(t.Context(), "tcp", "1.1.1.1:443", nil); err != nil {
		t.Error(err)
	}
}

func TestAddressesWithAnotherSchemeOrCredentialsAreRefused(t *testing.T) {
	t.Parallel()
	r := &recorder{}
	n := &names{of: map[string][][]string{"public.test": {{"93.184.216.34"}}}}
	for _, c := range []*Client{New(Config{Resolver: n, Dial: r.dial}),
		New(Config{Resolver: n, Dial: r.dial, AllowLoopback: true})} {
		for _, u := range []string{
			"", "public.test", "//public.test/", "/keys", "http://public.test/", "http://93.184.216.34/",
			"ftp://public.test/", "gopher://public.test/", "file:///etc/passwd", "unix:/run/x", "data:,x",
			"javascript:1",
			"https:public.test", "https:///keys", "https://:443/", "https://user@public.test/",
			"https://user:pw@public.test/", "https://@public.test/",
			"https://public.test:22/", "https://public.test:25/", "https://public.test:80/",
			"https://public.test:6379/", "https://public.test:27017/", "https://public.test:0/",
			"https://public.test:65536/", "https://public.test:-1/",
			"https://public.test/\r\nHost: internal/", "https://public.test/%0d%0a\nx", "https://public.test\r\n/",
			"https://public .test/", "https://public.test/" + strings.Repeat("a", 3000), "https://[public.test]/",
			"https://a%00b.test/",
			"HTTP://public.test/",
		} {
			if _, err := c.Get(t.Context(), u, 0); !errors.Is(err, ErrFetch) {
				t.Errorf("%.60q: %v", u, err)
			}
		}
	}
	if got := r.dialled(); len(got) > 0 {
		t.Errorf("connected to %v", got)
	}
	if err := New(Config{}).Check("https://public.test/keys?x=1"); err != nil {
		t.Errorf("Check: %v", err)
	}
	if err := New(Config{}).Check("https://localhost/keys"); !errors.Is(err, ErrForbidden) {
		t.Errorf("Check: %v", err)
	}
}

// served is a TLS server at loopback that a client finds under the name that its certificate is
// for.
func served(t testing.TB, handler http.HandlerFunc, change ...func(*Config)) (*Client, *httptest.Server, *recorder) {
	t.Helper()
	s := httptest.NewUnstartedServer(handler)
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	s.StartTLS()
	t.Cleanup(s.Close)
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	r := &recorder{to: s.Listener.Addr().String()}
	config := Config{Resolver: &names{of: map[string][][]string{"example.com": {{"93.184.216.34"}},
		"wrong.test": {{"93.184.216.34"}}}}, Dial: r.dial, RootCAs: roots}
	for _, f := range change {
		f(&config)
	}
	return New(config), s, r
}

func TestRequestsGoDirectlyAndSayNoMoreThanTheyMust(t *testing.T) {
	t.Setenv("HTTPS_PROXY", "http://127.0.0.1:1")
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	var got []*http.Request
	var bodies []string
	c, _, r := served(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got, bodies = append(got, r), append(bodies, string(body))
		http.SetCookie(w, &http.Cookie{Name: "tracker", Value: "1"})
		if r.Method == http.MethodPost {
			w.WriteHeader(http.StatusBadRequest)
		}
		_, _ = io.WriteString(w, `{"keys":[]}`)
	})
	for range 2 {
		body, err := c.Get(t.Context(), "https://example.com/keys?a=b#fragment", 0, "application/jwk-set+json",
			"application/json")
		if err != nil || string(body) != `{"keys":[]}` {
			t.Fatalf("%s %v (%v)", body, err, Cause(err))
		}
	}
	status, err := c.PostForm(t.Context(), "https://example.com/logout", url.Values{"logout_token": {"a.b.c"}})
	if err != nil || status != http.StatusBadRequest {
		t.Fatalf("%d %v", status, err)
	}
	for _, req := range got {
		for name := range req.Header {
			switch name {
			case "Accept", "User-Agent", "Content-Type", "Content-Length", "Connection":
			default:
				t.Errorf("%s %s sends %s: %s", req.Method, req.URL, name, req.Header.Get(name))
			}
		}
		if req.ProtoMajor != 1 || req.Host != "example.com" {
			t.Errorf("%s to %s", req.Proto, req.Host)
		}
	}
	if got[0].RequestURI != "/keys?a=b" ||
		got[0].Header.Get("Accept") != "application/jwk-set+json, application/json" ||
		got[2].Header.Get("Content-Type") != "application/x-www-form-urlencoded" || bodies[2] != "logout_token=a.b.c" {
		t.Errorf("%s %v %s", got[0].RequestURI, got[0].Header, bodies[2])
	}
	if n := len(r.dialled()); n != 3 {
		t.Errorf("%d connections for 3 requests: one was kept, and escaped the check", n)
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	var canary atomic.Int64
	inner := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { canary.Add(1) }))
	t.Cleanup(inner.Close)
	for _, status := range []int{301, 302, 303, 307, 308} {
		for _, to := range []string{inner.URL, "https://example.com/other", "http://example.com/", "file:///etc/passwd",
			"gopher://127.0.0.1/"} {
			var hits atomic.Int64
			c, _, _ := served(t, func(w http.ResponseWriter, r *http.Request) {
				hits.Add(1)
				w.Header().Set("Location", to)
				w.WriteHeader(status)
			}, func(c *Config) { c.AllowLoopback = true })
			if _, err := c.Get(t.Context(), "https://example.com/", 0); !errors.Is(err, ErrFetch) || hits.Load() != 1 {
				t.Errorf("%d to %s: %v after %d requests", status, to, err, hits.Load())
			}
			if got, err := c.PostForm(t.Context(), "https://example.com/", nil); err != nil || got != status ||
				hits.Load() != 2 {
				t.Errorf("POST, %d to %s: %d %v after %d requests", status, to, got, err, hits.Load())
			}
		}
	}
	if canary.Load() != 0 {
		t.Errorf("the inner server was reached %d times", canary.Load())
	}
}

func TestLoopbackOnlyWhenItIsAllowed(t *testing.T) {
	t.Parallel()
	var canary atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		canary.Add(1)
		_, _ = io.WriteString(w, r.Host)
	}))
	t.Cleanup(s.Close)
	_, port, err := net.SplitHostPort(s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	n := &names{of: map[string][][]string{"rebind.test": {{"127.0.0.1"}}}}
	strict, lax := New(Config{Resolver: n}), New(Config{Resolver: n, AllowLoopback: true})
	for _, host := range []string{"127.0.0.1", "localhost", "app.localhost", "A.LOCALHOST.", "[::ffff:127.0.0.1]"} {
		u := "http://" + host + ":" + port + "/"
		if _, err := strict.Get(t.Context(), u, 0); !errors.Is(err, ErrForbidden) || canary.Load() != 0 {
			t.Errorf("%s is fetched though loopback is not allowed: %v", u, err)
		}
		if body, err := lax.Get(t.Context(), u, 0); err != nil || len(body) == 0 || canary.Swap(0) != 1 {
			t.Errorf("the control, %s: %q %v", u, body, Cause(err))
		}
	}
	if n.asked > 0 {
		t.Errorf("%d localhost names left the process", n.asked)
	}
	// Without TLS a name could lead anywhere; only names that can be nothing else may go there.
	if _, err := lax.Get(t.Context(), "http://rebind.test:"+port+"/", 0); !errors.Is(err, ErrForbidden) {
		t.Errorf("http to a name: %v", Cause(err))
	}
	for _, host := range []string{"10.0.0.1", "169.254.169.254", "0.0.0.0", "[::]", "127.1"} {
		if _, err := lax.Get(t.Context(), "https://"+host+":"+port+"/", 0); !errors.Is(err, ErrForbidden) {
			t.Errorf("%s: %v", host, Cause(err))
		}
	}
}

func TestPrivateAddressesByPrefix(t *testing.T) {
	t.Parallel()
	r := &recorder{}
	c := New(Config{Dial: r.dial, AllowPrivate: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"),
		netip.MustParsePrefix("fd00:1::/32"), netip.MustParsePrefix("0.0.0.0/0")}[:2]})
	for u, ok := range map[string]bool{
		"https://10.1.2.3:9000/": true, "https://[::ffff:10.1.2.3]/": true, "https://[fd00:1::5]/": true,
		"https://10.2.0.1/": false, "https://[fd00:2::1]/": false, "https://127.0.0.1/": false,
		"http://10.1.2.3/": false,
	} {
		_, err := c.Get(t.Context(), u, 0)
		if errors.Is(err, ErrForbidden) == ok {
			t.Errorf("%s: %v", u, Cause(err))
		}
	}
	if n := len(r.dialled()); n != 3 {
		t.Errorf("connected to %v", r.dialled())
	}
	all := New(Config{Dial: r.dial, AllowPrivate: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"),
		netip.MustParsePrefix("::/0")}})
	for _, never := range []string{"https://0.0.0.0/", "https://[::]/", "https://224.0.0.1/", "https://[ff02::1]/"} {
		if _, err := all.Get(t.Context(), never, 0); !errors.Is(err, ErrForbidden) {
			t.Errorf("%s: %v", never, Cause(err))
		}
	}
}

func TestAnswersAreBounded(t *testing.T) {
	t.Parallel()
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	_, _ = z.Write(make([]byte, 10<<20))
	_ = z.Close()
	for name, handler := range map[string]http.HandlerFunc{
		"a byte too many": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 1001)) },
		"endless": func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 1<<16)); err != nil {
					return
				}
			}
		},
		"compressed": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(bomb.Bytes()[:900])
		},
		"large header": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X", strings.Repeat("x", 1<<20))
		},
		"status 500": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) },
		"status 201": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(201) },
		"status 204": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) },
		"cut off": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "10")
			_, _ = w.Write([]byte("12345"))
		},
		"hangs up":     func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"other ending": func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Encoding", "br") },
	} {
		c, _, _ := served(t, handler)
		if body, err := c.Get(t.Context(), "https://example.com/", 1000); !errors.Is(err, ErrFetch) || body != nil {
			t.Errorf("%s: %d bytes, %v", name, len(body), err)
		} else if err.Error() != ErrFetch.Error() || Cause(err).Error() == ErrFetch.Error() {
			t.Errorf("%s: says %q to the caller and %q to the log", name, err, Cause(err))
		}
	}
	c, _, _ := served(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 1000)) })
	if body, err := c.Get(t.Context(), "https://example.com/", 1000); err != nil || len(body) != 1000 {
		t.Errorf("exactly as much as is allowed: %d bytes, %v", len(body), Cause(err))
	}
}

func TestTheDeadlineIsOverEverything(t *testing.T) {
	t.Parallel()
	// A made-up network and a made-up clock: no real time passes.
	synctest.Test(t, func(t *testing.T) {
		for name, server := range map[string]func(net.Conn){
			"says nothing": func(net.Conn) {},
			"slow headers": func(c net.Conn) { drip(c, "HTTP/1.1 200 OK\r\nX: "+strings.Repeat("x", 10_000)) },
			"slow body": func(c net.Conn) {
				drip(c, "HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n"+strings.Repeat("x", 10_000))
			},
			"body never end": func(c net.Conn) {
				drip(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"+strings.Repeat("1\r\nx\r\n", 10_000))
			},
		} {
			c := New(Config{AllowLoopback: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
				ours, theirs := net.Pipe()
				go func() {
					if _, err := http.ReadRequest(bufio.NewReader(theirs)); err == nil {
						server(theirs)
					}
				}()
				t.Cleanup(func() { _ = theirs.Close() })
				return ours, nil
			}})
			begin := time.Now()
			_, err := c.Get(t.Context(), "http://127.0.0.1/", 0)
			late := errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded)
			if took := time.Since(begin); !errors.Is(err, ErrFetch) || !late || took != DefaultTimeout {
				t.Errorf("%s: %v after %s", name, Cause(err), took)
			}
		}
		// Connecting counts too, and one silent address does not use up the other's time.
		var tried atomic.Int64
		c := New(Config{
			Resolver: &names{of: map[string][][]string{"two.test": {{"93.184.216.34", "2606:4700::1111"}}}},
			Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
				tried.Add(1)
				<-ctx.Done()
				return nil, ctx.Err()
			},
		})
		begin := time.Now()
		if _, err := c.Get(t.Context(), "https://two.test/", 0); !errors.Is(err, ErrFetch) || tried.Load() != 2 ||
			time.Since(begin) != DefaultTimeout {
			t.Errorf("%v after %s; tried %d", Cause(err), time.Since(begin), tried.Load())
		}
	})
}

func drip(c net.Conn, text string) {
	for i := range len(text) {
		if _, err := c.Write([]byte(text[i : i+1])); err != nil {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func TestOnlySoManyCallsAreMadeAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var now, most atomic.Int64
		begin := time.Now()
		c := New(Config{Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			n := now.Add(1)
			defer now.Add(-1)
			for time.Since(begin) < DefaultTimeout { // at the very end one makes room for the next
				m := most.Load()
				if n <= m || most.CompareAndSwap(m, n) {
					break
				}
			}
			<-ctx.Done()
			return nil, ctx.Err()
		}})
		var wait sync.WaitGroup
		for i := range 200 {
			wait.Go(func() {
				if _, err := c.Get(t.Context(), fmt.Sprintf("https://1.1.1.%d/", 1+i%50), 0); !errors.Is(err,
					ErrFetch) {
					t.Errorf("%v", err)
				}
			})
		}
		wait.Wait()
		if most.Load() != concurrency || time.Since(begin) != DefaultTimeout {
			t.Errorf("%d at once, all done after %s", most.Load(), time.Since(begin))
		}
	})
}

func TestASlowHostLeavesPlacesToTheOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var slow atomic.Int64
		c := New(Config{Dial: func(ctx context.Context, _, addr string) (net.Conn, error) {
			if addr == "1.1.1.1:443" {
				slow.Add(1)
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return nil, errors.New("quick")
		}})
		var wait sync.WaitGroup
		for range 200 {
			wait.Go(func() { _, _ = c.Get(t.Context(), "https://1.1.1.1/", 0) })
		}
		synctest.Wait() // all of them have a place or wait for one
		if n := slow.Load(); n != perHost {
			t.Errorf("%d requests at once to one host", n)
		}
		begin := time.Now()
		if _, err := c.Get(t.Context(), "https://1.1.1.2/", 0); time.Since(begin) != 0 || Cause(err) == nil ||
			!strings.Contains(Cause(err).Error(), "quick") {
			t.Errorf("another host: %v after %s", Cause(err), time.Since(begin))
		}
		wait.Wait()
		if len(c.hosts) != 0 {
			t.Errorf("%d hosts are remembered", len(c.hosts))
		}
	})
}

func TestCertificatesAreChecked(t *testing.T) {
	t.Parallel()
	hello := func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }
	for name, change := range map[string]func(*Config){
		"unknown issuer": func(c *Config) { c.RootCAs = x509.NewCertPool() },
		"expired":        func(c *Config) { c.Now = func() time.Time { return time.Now().AddDate(200, 0, 0) } },
		"not yet valid":  func(c *Config) { c.Now = func() time.Time { return time.Unix(-10<<30, 0) } },
	} {
		c, _, _ := served(t, hello, change)
		if _, err := c.Get(t.Context(), "https://example.com/", 0); !errors.Is(err, ErrFetch) {
			t.Errorf("%s: %v", name, err)
		} else if !strings.Contains(Cause(err).Error(), "certificate") {
			t.Errorf("%s: %v", name, Cause(err))
		}
	}
	c, _, _ := served(t, hello)
	if _, err := c.Get(t.Context(), "https://wrong.test/", 0); !errors.Is(err, ErrFetch) {
		t.Errorf("another host's certificate: %v", err)
	}
	if _, err := c.Get(t.Context(), "https://example.com/", 0); err != nil {
		t.Errorf("the control: %v", Cause(err))
	}
	if v := c.http.Transport.(*http.Transport).TLSClientConfig.MinVersion; v != tls.VersionTLS12 {
		t.Errorf("TLS from version %x", v)
	}
}

func TestNoConnectionIsLeftBehind(t *testing.T) {
	hang := make(chan struct{})
	c, s, _ := served(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hang" {
			<-hang
			return
		}
		_, _ = w.Write(make([]byte, 1<<20))
	}, func(c *Config) { c.Timeout = 50 * time.Millisecond })
	before := runtime.NumGoroutine()
	for i := range 100 {
		path := "https://example.com/large"
		if i%25 == 0 {
			path = "https://example.com/hang"
		}
		_, _ = c.Get(context.Background(), path, 100)
		_, _ = c.Get(context.Background(), "https://127.0.0.1/", 100)
	}
	close(hang)
	s.Close() // waits for its own side
	for range 1000 {
		if runtime.NumGoroutine() <= before {
			return
		}
		runtime.Gosched()
	}
	if n := runtime.NumGoroutine(); n > before+5 {
		t.Errorf("%d goroutines before, %d after", before, n)
	}
}

func TestTheLogHasTheCauseAndNoSecrets(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	c := New(Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	_, err := c.Get(t.Context(), "https://169.254.169.254/latest?token=very-secret", 0)
	if err.Error() != "the address could not be fetched" || errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if s := log.String(); !strings.Contains(s, "169.254.169.254") || !strings.Contains(s, "not public") ||
		strings.Contains(s, "very-secret") || strings.Contains(s, "latest") {
		t.Errorf("the log: %s", s)
	}
	if s := Cause(err).Error(); !strings.Contains(s, "not public") || strings.Contains(s, "very-secret") {
		t.Errorf("the cause: %s", s)
	}
	log.Reset()
	c = New(Config{Logger: slog.New(slog.NewTextHandler(&log, nil)), Dial: (&recorder{}).dial})
	_, err = c.Get(t.Context(), "https://1.1.1.1/latest?token=very-secret", 0)
	if s := log.String() + Cause(err).Error(); strings.Contains(s, "very-secret") ||
		!strings.Contains(s, "refused by the test") {
		t.Errorf("the log: %s", s)
	}
}

func FuzzCheck(f *testing.F) {
	for _, h := range privateHosts {
		f.Add("https://" + h + "/")
	}
	f.Add("https://example.com/keys")
	f.Add("http://a.localhost:8080/")
	c := New(Config{Resolver: &names{}, Dial: func(context.Context, string, string) (net.Conn,
		error) {
		return nil, errors.New("no")
	}})
	f.Fuzz(func(t *testing.T, raw string) {
		u, err := c.check(raw)
		if err != nil {
			return
		}
		if u.Scheme != "https" || u.User != nil || u.Hostname() == "" {
			t.Fatalf("%q may be fetched", raw)
		}
		if a, err := netip.ParseAddr(u.Hostname()); err == nil && (a.IsLoopback() || a.IsPrivate() ||
			a.Unmap().IsLoopback() || a.IsLinkLocalUnicast() || a.IsMulticast() || a.IsUnspecified()) {
			t.Fatalf("%q may be fetched", raw)
		}
	})
}
