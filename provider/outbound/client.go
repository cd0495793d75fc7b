package outbound

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Limits that hold unless the configuration or the caller says otherwise.
const (
	DefaultTimeout  = 5 * time.Second // over everything: waiting, resolving, connecting, reading
	DefaultMaxBytes = 1 << 20
	maxURL          = 2048
	maxHeaderBytes  = 64 << 10
	concurrency     = 32 // requests at once; more wait within their deadline
	// of them to one host and port, so that one that is slow does not take the places of all others
	perHost = 8
)

// ErrFetch is what every failure looks like to the caller. errors.Is(err, ErrFetch) holds for all
// of them, and Cause has what the log should know.
var ErrFetch = errors.New("the address could not be fetched")

// ErrForbidden is in the cause when the address itself is not permitted, so that trying again is
// pointless.
var ErrForbidden = errors.New("address is not permitted")

// Error is a failed request. Its text is the same for every cause.
type Error struct{ cause error }

func (e *Error) Error() string        { return ErrFetch.Error() }
func (e *Error) Is(target error) bool { return target == ErrFetch }
func (e *Error) Unwrap() error        { return e.cause }

// Cause is the detailed reason of an error of this package, for the log and for administrators,
// never for whoever named the address. For any other error it is that error.
func Cause(err error) error {
	var e *Error
	if errors.As(err, &e) {
		return e.cause
	}
	return err
}

// Resolver looks names up. *net.Resolver is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// Config is what a Client may do. The zero value is the safe one: public addresses, https, ports
// 443 and 8443.
type Config struct {
	// AllowLoopback permits loopback addresses, there also http, and *.localhost names, which are
	// resolved to them in process (RFC 6761 §6.3). For demonstrations, tests and certification runs
	// only.
	AllowLoopback bool
	// AllowPrivate permits addresses that are not public, by prefix: an operator's own network.
	AllowPrivate []netip.Prefix
	// Ports permits further ports at public addresses. Permitted loopback and private addresses may
	// have any.
	Ports []uint16
	// RootCAs verify servers' certificates; nil: those of the system.
	RootCAs *x509.CertPool
	Timeout time.Duration // 0: DefaultTimeout
	Logger  *slog.Logger  // one line per failure, with the cause; nil: none
	Now     func() time.Time
	// Span begins a span of a request to a host, and returns what ends it with the status of the
	// answer, or with the cause that there is none. nil: nobody traces.
	Span func(ctx context.Context, method, host string) (_ context.Context, end func(status int, err error))

	Resolver Resolver // nil: net.DefaultResolver
	// gets checked addresses only; nil: a net.Dialer
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

// Client makes requests to addresses that others named. It is safe for concurrent use.
type Client struct {
	c     Config
	http  *http.Client
	slots chan struct{}
	mu    sync.Mutex
	hosts map[string]*share // of those with requests under way
}

// share is what one host has of the places.
type share struct {
	slots chan struct{}
	users int // requests that have a place or wait for one
}

// enter waits for a place for a request to the host. leave gives it back.
func (c *Client) enter(ctx context.Context, host string) (leave func(), err error) {
	c.mu.Lock()
	s := c.hosts[host]
	if s == nil {
		s = &share{slots: make(chan struct{}, perHost)}
		c.hosts[host] = s
	}
	s.users++
	c.mu.Unlock()
	forget := func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if s.users--; s.users == 0 {
			delete(c.hosts, host)
		}
	}
	select {
	case s.slots <- struct{}{}:
	case <-ctx.Done():
		forget()
		return nil, ctx.Err()
	}
	select {
	case c.slots <- struct{}{}:
		return func() { <-c.slots; <-s.slots; forget() }, nil
	case <-ctx.Done():
		<-s.slots
		forget()
		return nil, ctx.Err()
	}
}

// New makes a Client.
func New(c Config) *Client {
	if c.Timeout <= 0 {
		c.Timeout = DefaultTimeout
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Resolver == nil {
		c.Resolver = net.DefaultResolver
	}
	client := &Client{c: c, slots: make(chan struct{}, concurrency), hosts: map[string]*share{}}
	if c.Dial == nil {
		// Control sees the address of the socket itself: the last and surest place to look.
		d := &net.Dialer{ControlContext: client.control}
		client.c.Dial = d.DialContext
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	client.http = &http.Client{
		Transport: &http.Transport{
			Proxy:                  nil, // not even one from the environment: it would resolve names for us
			DialContext:            client.dial,
			TLSClientConfig:        &tls.Config{RootCAs: c.RootCAs, MinVersion: tls.VersionTLS12, Time: c.Now},
			DisableKeepAlives:      true, // a kept connection would escape the check
			DisableCompression:     true, // so that sizes are what they seem
			MaxResponseHeaderBytes: maxHeaderBytes,
			Protocols:              protocols,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return client
}

// Get fetches a document of at most maxBytes (0: DefaultMaxBytes). Only status 200 is success.
// accept lists media types to ask for; what comes may still be of another.
func (c *Client) Get(ctx context.Context, rawURL string, maxBytes int64, accept ...string) ([]byte, error) {
	if maxBytes <= 0 {
		maxBytes = DefaultMaxBytes
	}
	header := http.Header{}
	if len(accept) > 0 {
		header.Set("Accept", strings.Join(accept, ", "))
	}
	status, body, err := c.do(ctx, http.MethodGet, rawURL, header, "", maxBytes)
	if err == nil && status != http.StatusOK {
		err = c.failed(ctx, http.MethodGet, rawURL, fmt.Errorf("status %d", status))
	}
	if err != nil {
		return nil, err
	}
	return body, nil
}

// PostForm sends a form and returns the status of whatever answer came; the answer's body is not
// read (OIDC Back-Channel Logout §2.5 gives it no meaning).
func (c *Client) PostForm(ctx context.Context, rawURL string, form url.Values) (status int, err error) {
	header := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	status, _, err = c.do(ctx, http.MethodPost, rawURL, header, form.Encode(), -1)
	return status, err
}

// do makes the request; a negative maxBytes leaves the body unread.
func (c *Client) do(ctx context.Context, method, rawURL string, header http.Header, body string, maxBytes int64) (int,
	[]byte, error) {
	end := func(int, error) {}
	if u, err := url.Parse(rawURL); err == nil && c.c.Span != nil {
		ctx, end = c.c.Span(ctx, method, u.Host)
	}
	status, answer, err := c.try(ctx, method, rawURL, header, body, maxBytes)
	end(status, err)
	if err != nil {
		return 0, nil, c.failed(ctx, method, rawURL, err)
	}
	return status, answer, nil
}

func (c *Client) failed(ctx context.Context, method, rawURL string, cause error) error {
	where := "?"
	if u, err := url.Parse(rawURL); err == nil {
		where = u.Scheme + "://" + u.Host // paths and queries may carry what is not for a log
	}
	var inURL *url.Error // repeats the whole URL
	if errors.As(cause, &inURL) {
		cause = inURL.Err
	}
	c.c.Logger.WarnContext(ctx, "outbound request failed", "method", method, "to", where, "cause", cause.Error())
	return &Error{fmt.Errorf("%s %s: %w", method, where, cause)}
}

func (c *Client) try(ctx context.Context, method, rawURL string, header http.Header, body string, maxBytes int64) (int,
	[]byte, error) {
	u, err := c.check(rawURL)
	if err != nil {
		return 0, nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, c.c.Timeout)
	defer cancel()
	leave, err := c.enter(ctx, strings.ToLower(u.Host))
	if err != nil {
		return 0, nil, fmt.Errorf("wait for other requests: %w", err)
	}
	defer leave()
	if err := ctx.Err(); err != nil { // a place that became free at the last moment
		return 0, nil, err
	}
	deadline, _ := ctx.Deadline()
	ctx = context.WithValue(ctx, dialKey{}, dialRules{u.Scheme == "http", deadline})
	req, err := http.NewRequestWithContext(ctx, method, u.String(), strings.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.Header = header
	req.Header.Set("User-Agent", "latchkey")
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	if maxBytes < 0 {
		return resp.StatusCode, nil, nil
	}
	if e := resp.Header.Get("Content-Encoding"); e != "" && !strings.EqualFold(e, "identity") {
		return 0, nil, fmt.Errorf("the answer is encoded (%.20q), though that was not asked for", e)
	}
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxBytes+1))
	if err != nil {
		return 0, nil, fmt.Errorf("read the answer: %w", err)
	}
	if int64(len(answer)) > maxBytes {
		return 0, nil, fmt.Errorf("the answer is larger than %d bytes", maxBytes)
	}
	return resp.StatusCode, answer, nil
}

// Check reports whether an address may be fetched, as far as that can be seen without resolving its
// name: at registration, say. The error is the cause itself.
func (c *Client) Check(rawURL string) error {
	_, err := c.check(rawURL)
	return err
}

func (c *Client) check(rawURL string) (*url.URL, error) {
	if len(rawURL) > maxURL {
		return nil, fmt.Errorf("%w: the URL is longer than %d bytes", ErrForbidden, maxURL)
	}
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, fmt.Errorf("%w: not a URL", ErrForbidden)
	}
	host := u.Hostname()
	switch {
	case u.Scheme != "https" && (u.Scheme != "http" || !c.c.AllowLoopback):
		return nil, fmt.Errorf("%w: the scheme is not https", ErrForbidden)
	case u.Opaque != "" || host == "":
		return nil, fmt.Errorf("%w: the URL has no host", ErrForbidden)
	case u.User != nil:
		return nil, fmt.Errorf("%w: the URL has a user", ErrForbidden)
	}
	u.Fragment, u.RawFragment = "", ""
	if addr, err := netip.ParseAddr(host); err == nil {
		return u, c.permitted(addr, u.Scheme == "http")
	}
	switch {
	case strings.ContainsAny(host, "%:[]"):
		return nil, fmt.Errorf("%w: the host is not a name", ErrForbidden)
	case isLocalhost(host):
		if !c.c.AllowLoopback {
			return nil, fmt.Errorf("%w: localhost", ErrForbidden)
		}
	case endsInNumber(host):
		// 127.1, 0x7f000001 and 2130706433 are addresses to some resolvers.
		return nil, fmt.Errorf("%w: the host is a number", ErrForbidden)
	case u.Scheme == "http":
		return nil, fmt.Errorf("%w: the scheme is not https", ErrForbidden)
	}
	return u, nil
}

type dialKey struct{}

// dialRules travel with the request to the dialer.
type dialRules struct {
	plain bool // http, so loopback only
	// The transport dials under a context that outlives the request, so that another request could
	// use the connection. None does here.
	deadline time.Time
}

// dial resolves the host, insists that every address is permitted, and connects to the first that
// answers.
func (c *Client) dial(ctx context.Context, _, hostport string) (net.Conn, error) {
	host, portText, err := net.SplitHostPort(hostport)
	if err != nil {
		return nil, err
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil || port == 0 {
		return nil, fmt.Errorf("%w: port %q", ErrForbidden, portText)
	}
	rules, _ := ctx.Value(dialKey{}).(dialRules)
	ctx, cancel := context.WithDeadline(ctx, rules.deadline)
	defer cancel()
	addrs, err := c.resolve(ctx, host)
	if err != nil {
		return nil, err
	}
	for _, a := range addrs {
		if err := c.permitted(a, rules.plain); err != nil {
			return nil, fmt.Errorf("%s is %s: %w", host, a, err)
		}
		if !c.permittedPort(a, uint16(port)) {
			return nil, fmt.Errorf("%w: port %d", ErrForbidden, port)
		}
	}
	var errs []error
	for i, a := range addrs {
		// Each address gets its share of what is left, so that one silent address does not take it
		// all.
		attempt, cancel := context.WithTimeout(ctx, time.Until(rules.deadline)/time.Duration(len(addrs)-i))
		conn, err := c.c.Dial(attempt, "tcp", netip.AddrPortFrom(a.Unmap(), uint16(port)).String())
		cancel()
		if err == nil {
			if err = conn.SetDeadline(rules.deadline); err == nil { // for the TLS handshake too
				return conn, nil
			}
			conn.Close()
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

func (c *Client) resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a}, nil
	}
	if isLocalhost(host) {
		return []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}, nil
	}
	addrs, err := c.c.Resolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, fmt.Errorf("resolve %s: %w", host, err)
	}
	if len(addrs) == 0 {
		return nil, fmt.Errorf("resolve %s: no address", host)
	}
	// IPv4 first: it fails faster where there is no IPv6. At most four, since each costs time.
	slices.SortStableFunc(addrs, func(a, b netip.Addr) int { return a.Unmap().BitLen() - b.Unmap().BitLen() })
	for _, a := range addrs {
		if err := c.permitted(a, false); err != nil {
			return nil, fmt.Errorf("%s is %s: %w", host, a, err)
		}
	}
	return addrs[:min(len(addrs), 4)], nil
}

// control is asked by the dialer with the address that it is about to connect to.
func (c *Client) control(ctx context.Context, _, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%w: %s", ErrForbidden, address)
	}
	rules, _ := ctx.Value(dialKey{}).(dialRules)
	return c.permitted(ap.Addr(), rules.plain)
}
