package web

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// peer is the address of whoever holds the other end of the connection.
func peer(r *http.Request) netip.Addr {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Addr{}
	}
	return ip.Unmap().WithZone("")
}

func (s *Site) trusts(ip netip.Addr) bool {
	for _, prefix := range s.TrustedProxies {
		if ip.IsValid() && prefix.Contains(ip) {
			return true
		}
	}
	return false
}

// ClientAddress is the address that limits and the log go by. X-Forwarded-For counts only when a trusted proxy sent it, and
// then from the right: the first address that is not itself a trusted proxy. Whatever cannot be read is not believed.
func (s *Site) ClientAddress(r *http.Request) string {
	at := peer(r)
	if !s.trusts(at) {
		return at.String()
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0 && len(hops)-i <= 20; i-- {
		ip, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			break
		}
		at = ip.Unmap().WithZone("")
		if !s.trusts(at) {
			break
		}
	}
	return at.String()
}

// overTLS says whether the person's browser spoke TLS: to us, or to a trusted proxy that says so.
func (s *Site) overTLS(r *http.Request) bool {
	return r.TLS != nil || s.trusts(peer(r)) && strings.EqualFold(r.Header.Get("X-Forwarded-Proto"), "https")
}
