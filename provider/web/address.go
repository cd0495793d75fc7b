package web

import (
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// peer is the address of the other end of the connection.
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

// maxHops bounds the proxies in a row that are believed.
const maxHops = 20

// ClientAddress is the address that limits and the log go by. X-Forwarded-For counts only when a
// trusted proxy sent it, and then from the right: the first address that is not itself a trusted
// proxy. An element that cannot be read is not believed, nor is anything to its left.
func (s *Site) ClientAddress(r *http.Request) string {
	at := peer(r)
	if !s.trusts(at) {
		return at.String()
	}
	hops := headerList(r, "X-Forwarded-For")
	for i := len(hops) - 1; i >= 0 && len(hops)-i <= maxHops; i-- {
		ip, ok := forwardedAddress(hops[i])
		if !ok {
			s.warnUnreadable.Do(func() {
				s.Logger.LogAttrs(r.Context(), slog.LevelWarn,
					"a trusted proxy sent an X-Forwarded-For that cannot be read: limits count the proxy in place of the client",
					slog.String("proxy", at.String()), slog.String("element", Clip(hops[i], 60)))
			})
			break
		}
		if at = ip; !s.trusts(at) {
			break
		}
	}
	return at.String()
}

// headerList returns the elements of a header that holds a list (RFC 9110 §5.6.1), from all of its
// lines, without empty ones.
func headerList(r *http.Request, name string) []string {
	var out []string
	for _, line := range r.Header.Values(name) {
		for _, element := range strings.Split(line, ",") {
			if element = strings.TrimSpace(element); element != "" {
				out = append(out, element)
			}
		}
	}
	return out
}

// forwardedAddress reads an element of X-Forwarded-For as proxies write it: an IP address, in
// quotes or brackets or not, with a port or without.
func forwardedAddress(element string) (netip.Addr, bool) {
	element = strings.Trim(element, `"`)
	ip, err := netip.ParseAddr(element)
	if err != nil {
		host, port, splitErr := net.SplitHostPort(element)
		if splitErr != nil {
			host, port = element, ""
		}
		if strings.Trim(port, "0123456789") != "" {
			return netip.Addr{}, false
		}
		if bare, ok := strings.CutPrefix(host, "["); ok {
			if host, ok = strings.CutSuffix(bare, "]"); !ok {
				return netip.Addr{}, false
			}
		}
		if ip, err = netip.ParseAddr(host); err != nil {
			return netip.Addr{}, false
		}
	}
	return ip.Unmap().WithZone(""), true
}

// overTLS reports whether the user's browser spoke TLS: to us, or to a trusted proxy that says so.
// Of several proxies in a row the first one, which is named first, has seen the browser.
func (s *Site) overTLS(r *http.Request) bool {
	if r.TLS != nil {
		return true
	}
	if !s.trusts(peer(r)) {
		return false
	}
	if said := headerList(r, "X-Forwarded-Proto"); len(said) > 0 {
		return strings.EqualFold(strings.Trim(said[0], `"`), "https")
	}
	return strings.EqualFold(forwardedProto(r), "https")
}

// forwardedProto is proto of the first element of Forwarded (RFC 7239 §5.4), "" if there is none.
func forwardedProto(r *http.Request) string {
	said := headerList(r, "Forwarded")
	if len(said) == 0 {
		return ""
	}
	for _, pair := range strings.Split(said[0], ";") {
		if name, value, ok := strings.Cut(strings.TrimSpace(pair), "="); ok && strings.EqualFold(name, "proto") {
			return strings.Trim(value, `"`)
		}
	}
	return ""
}

// proxied reports whether anything in the request says that a proxy passed it on.
func proxied(r *http.Request) bool {
	for _, name := range []string{"X-Forwarded-Proto", "X-Forwarded-For", "X-Forwarded-Host", "Forwarded", "Via", "X-Real-Ip"} {
		if r.Header.Get(name) != "" {
			return true
		}
	}
	return false
}
