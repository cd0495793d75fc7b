package provider

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"latchkey/provider/clients"
)

// frontchannelFrame is the address that a frame of the signed-out page loads, so that the application ends its session in this browser:
// the registered URI, continued by iss and sid (Front-Channel Logout §2, §3). "" when the client wants none. What was registered is
// checked at registration; an address that no frame may load is never shown all the same.
func frontchannelFrame(client clients.Client, issuer, sid string) string {
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

// allowFrames lets this page load exactly these addresses' origins in frames, and nothing else beyond what pages may.
func allowFrames(w http.ResponseWriter, frames []string) {
	var sources []string
	for _, f := range frames {
		if s := cspSource(f); s != "'none'" && !strings.ContainsAny(s, " ;,'\"") && !slices.Contains(sources, s) {
			sources = append(sources, s)
		}
	}
	if len(sources) > 0 {
		w.Header().Set("Content-Security-Policy", pageCSP+"; frame-src "+strings.Join(sources, " "))
	}
}
