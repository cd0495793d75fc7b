package provider

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"

	"latchkey/templates"
)

// sessionState is the session_state of an authorization response (OIDC Session Management §2, §3.2): what the OP iframe computes again
// from the browser state, which it reads from its cookie, to tell an application whether the session is still the one it knows. The salt
// keeps applications from recognising a browser by it. origin is the origin of the redirect URI, as a browser writes it.
func sessionState(clientID, origin, browserState string) string {
	return saltedSessionState(clientID, origin, browserState, random()[:22])
}

func saltedSessionState(clientID, origin, browserState, salt string) string {
	sum := sha256.Sum256([]byte(clientID + " " + origin + " " + browserState + " " + salt))
	return hex.EncodeToString(sum[:]) + "." + salt
}

// checkSession is the OP iframe (OIDC Session Management §3.3). It is the only page that other sites may frame: it shows nothing, takes
// no input, and answers questions only with "changed", "unchanged" or "error". It is the same for everybody, so it may be cached, which
// spares the provider a request for every page of every application.
func (p *Provider) checkSession(w http.ResponseWriter, r *http.Request) error {
	h := w.Header()
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors *")
	h.Del("X-Frame-Options")
	h.Del("Cross-Origin-Opener-Policy")
	h.Set("Cross-Origin-Resource-Policy", "cross-origin")
	h.Set("Cache-Control", "public, max-age=3600")
	return p.render(w, r, http.StatusOK, templates.CheckSession{CookieName: p.cookieName(stateCookie)})
}
