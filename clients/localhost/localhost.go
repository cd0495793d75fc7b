// Package localhost reaches names below localhost without a hosts file. RFC 6761 §6.3 says that
// they all mean this machine; browsers know it, the system's resolver often does not. Whoever runs
// the samples on one machine hands them a client made here; the samples themselves do not import
// it.
package localhost

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"time"
)

// Is reports whether host, without a port, is localhost or a name below it (RFC 6761 §6.3).
func Is(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// DialContext connects to address. For localhost and names below it that is 127.0.0.1, else [::1],
// without asking any resolver; every other address is dialled as it is.
func DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	var d net.Dialer
	host, port, err := net.SplitHostPort(address)
	if err != nil || !Is(host) {
		return d.DialContext(ctx, network, address)
	}
	conn, err4 := d.DialContext(ctx, network, net.JoinHostPort("127.0.0.1", port))
	if err4 == nil {
		return conn, nil
	}
	conn, err6 := d.DialContext(ctx, network, net.JoinHostPort("::1", port))
	if err6 == nil {
		return conn, nil
	}
	return nil, errors.Join(err4, err6)
}

// Client returns an HTTP client that dials with DialContext, asks no proxy, and gives up on a
// request after timeout.
func Client(timeout time.Duration) *http.Client {
	return &http.Client{
		Timeout: timeout,
		Transport: &http.Transport{
			DialContext:         DialContext,
			MaxIdleConnsPerHost: 8,
			IdleConnTimeout:     30 * time.Second,
			TLSHandshakeTimeout: 10 * time.Second,
		},
	}
}
