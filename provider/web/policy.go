package web

import (
	"net/http"
	"slices"
	"strings"

	"latchkey/provider/clients"
)

// PageCSP is the policy of a page: nothing but our own stylesheet and pictures, forms to ourselves, no frames.
const PageCSP = "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'"

func setPageHeaders(h http.Header) {
	h.Set("Content-Security-Policy", PageCSP)
	h.Set("X-Frame-Options", "DENY")
	h.Set("X-Content-Type-Options", "nosniff")
	// Not no-referrer: with that, browsers send Origin: null along with our own forms, and older ones send nothing else to tell them by.
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), microphone=(), geolocation=()")
	h.Set("Cache-Control", "no-store")
}

// CSPSource is how a URI is named in a Content-Security-Policy: its origin, or its scheme when it has none. A host that would mean something
// there, *.example say, is named by nothing.
func CSPSource(uri string) string {
	if o := clients.Origin(uri); strings.ContainsAny(o, "* ;,'\"") {
		return "'none'"
	} else if o != "" {
		return o
	}
	if scheme, _, ok := strings.Cut(uri, ":"); ok && strings.Trim(strings.ToLower(scheme), "abcdefghijklmnopqrstuvwxyz0123456789+-.") == "" {
		return scheme + ":"
	}
	return "'none'"
}

// AllowFormTo lets the forms of this page lead, at the end of their redirects, to the application: browsers apply form-action to
// every hop after a form was sent.
func AllowFormTo(w http.ResponseWriter, client clients.Client) {
	sources := []string{"'self'"}
	for _, uri := range append(append([]string{client.ClientURI, client.InitiateLoginURI}, client.RedirectURIs...), client.Origins...) {
		if uri == "" {
			continue
		}
		if s := CSPSource(uri); s != "'none'" && !strings.ContainsAny(s, " ;,'\"") && len(sources) < 30 && !slices.Contains(sources, s) {
			sources = append(sources, s)
		}
	}
	if client.ApplicationType == "native" {
		sources = append(sources, "http://127.0.0.1:*", "http://[::1]:*")
	}
	w.Header().Set("Content-Security-Policy", strings.Replace(PageCSP, "form-action 'self'", "form-action "+strings.Join(sources, " "), 1))
}

// AllowFrames lets this page load exactly these addresses' origins in frames, and nothing else beyond what pages may.
func AllowFrames(w http.ResponseWriter, frames []string) {
	var sources []string
	for _, f := range frames {
		if s := CSPSource(f); s != "'none'" && !strings.ContainsAny(s, " ;,'\"") && !slices.Contains(sources, s) {
			sources = append(sources, s)
		}
	}
	if len(sources) > 0 {
		w.Header().Set("Content-Security-Policy", PageCSP+"; frame-src "+strings.Join(sources, " "))
	}
}
