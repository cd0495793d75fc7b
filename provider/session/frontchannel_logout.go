package session

import (
	"net/url"
	"strings"

	"latchkey/provider/clients"
)

// FrontchannelFrame is the address that a frame of the signed-out page loads, so that the
// application ends its session in this browser: the registered URI, continued by iss and sid
// (Front-Channel Logout §2, §3). "" when the client wants none. What was registered is checked at
// registration; an address that no frame may load is never shown all the same.
func FrontchannelFrame(client clients.Client, issuer, sid string) string {
	uri := client.FrontchannelLogoutURI
	if clients.Origin(uri) == "" {
		return ""
	}
	uri, _, _ = strings.Cut(uri, "#")
	separator := "?"
	switch {
	case strings.HasSuffix(uri, "?") || strings.HasSuffix(uri, "&"):
		separator = ""
	case strings.Contains(uri, "?"):
		separator = "&"
	}
	return uri + separator + "iss=" + url.QueryEscape(issuer) + "&sid=" + url.QueryEscape(sid)
}
