package outbound

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// notPublic are the IPv4 ranges that are not the public Internet (RFC 6890 and its registry).
var notPublic = prefixes(
	"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
	"192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24",
	"203.0.113.0/24",
	"224.0.0.0/4", "240.0.0.0/4",
)

// Of IPv6 only global unicast is public, which leaves out unspecified, loopback, mapped and
// translated IPv4 (RFC 6052), unique local, link-local and multicast; and from it the ranges that
// carry an IPv4 address inside, or nothing.
var (
	publicIPv6    = netip.MustParsePrefix("2000::/3")
	notPublicIPv6 = prefixes("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")
)

func prefixes(in ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(in))
	for i, s := range in {
		out[i] = netip.MustParsePrefix(s)
	}
	return out
}

// public reports whether the address is one of the public Internet.
func public(a netip.Addr) bool {
	in := func(list []netip.Prefix) bool {
		return slices.ContainsFunc(list, func(p netip.Prefix) bool { return p.Contains(a) })
	}
	if a.Is4() {
		return !in(notPublic)
	}
	return publicIPv6.Contains(a) && !in(notPublicIPv6)
}

// permitted reports whether the address may be connected to, over http if plain.
func (c *Client) permitted(a netip.Addr, plain bool) error {
	if a.Zone() != "" {
		return fmt.Errorf("%w: it has a zone", ErrForbidden)
	}
	a = a.Unmap()
	loopback := a.IsLoopback() && c.c.AllowLoopback
	switch {
	case plain && !loopback:
		return fmt.Errorf("%w: http is for loopback only", ErrForbidden)
	case loopback, public(a), c.private(a):
		return nil
	}
	return fmt.Errorf("%w: it is not public", ErrForbidden)
}

func (c *Client) private(a netip.Addr) bool {
	return !a.IsUnspecified() && !a.IsMulticast() && slices.ContainsFunc(c.c.AllowPrivate,
		func(p netip.Prefix) bool { return p.Contains(a) })
}

// permittedPort keeps requests away from other services at public addresses.
func (c *Client) permittedPort(a netip.Addr, port uint16) bool {
	a = a.Unmap()
	return port == 443 || port == 8443 || slices.Contains(c.c.Ports, port) || !public(a)
}

// isLocalhost recognises localhost and the names below it (RFC 6761 §6.3).
func isLocalhost(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// endsInNumber reports whether a host's last label is a number in any of the notations that old
// resolvers take for an address.
func endsInNumber(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	last := host[strings.LastIndexByte(host, '.')+1:]
	if strings.HasPrefix(last, "0x") {
		return true
	}
	return last == "" || strings.Trim(last, "0123456789") == ""
}
