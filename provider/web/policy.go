package web

import (
	"net/http"

	"latchkey/provider/clients"
	"latchkey/templates"
)

// setPageHeaders sets what every answer of a page's address has, a redirect too.
func setPageHeaders(h http.Header) {
	setPolicy(h, templates.Policy{})
	h.Set("X-Content-Type-Options", "nosniff")
	// Not no-referrer: with that, browsers send Origin: null along with our own forms, and older
	// ones send nothing else to tell them by.
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), microphone=(), geolocation=()")
	h.Set("Cache-Control", "no-store")
}

// setPolicy writes what a page declares. A page that other sites may frame is also open to them as
// a resource.
func setPolicy(h http.Header, policy templates.Policy) {
	h.Set("Content-Security-Policy", policy.String())
	if policy.Framed {
		h.Del("X-Frame-Options")
		h.Del("Cross-Origin-Opener-Policy")
		h.Set("Cross-Origin-Resource-Policy", "cross-origin")
		return
	}
	h.Set("X-Frame-Options", "DENY")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
}

// leadsTo are the addresses that a form may lead to at the end of its redirects: where the
// application is answered, its own pages, and the origins that an administrator registered for it.
func leadsTo(client clients.Client, redirect clients.Redirect) []string {
	addresses := append([]string{redirect.String(), client.ClientURI, client.InitiateLoginURI}, client.RedirectURIs...)
	addresses = append(addresses, client.Origins...)
	if client.ApplicationType == "native" {
		addresses = append(addresses, "http://127.0.0.1:*") // the port is free (RFC 8252 §7.3)
	}
	return addresses
}
