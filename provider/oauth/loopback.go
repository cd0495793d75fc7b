package oauth

import (
	"net/netip"
	"strings"
)

// LoopbackHost reports whether host, without a port, is this machine: a loopback address, with or
// without brackets, or a name that is reserved for one (RFC 6761 §6.3). Letter case and one
// trailing dot do not matter. It is the one such test: what may be http, and what only this machine
// can reach, is decided by it alone.
func LoopbackHost(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && ip.Unmap().IsLoopback()
}
