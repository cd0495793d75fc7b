package session

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"

	"latchkey/provider/storage"
)

// StateCookie holds what the OP iframe hashes (OIDC Session Management §3.2).
const StateCookie = "latchkey_state"

// setStateCookie gives the OP iframe what it hashes. Frames of other sites are where it is read,
// hence SameSite=None, which browsers take over https only; without it the iframe works for
// applications of the same site.
func (ss *Sessions) setStateCookie(w http.ResponseWriter, state string, maxAge int) {
	c := &http.Cookie{Name: ss.Web.CookieName(StateCookie), Value: state, Path: "/", MaxAge: maxAge,
		Secure: ss.Web.Secure, SameSite: http.SameSiteLaxMode}
	if ss.Web.Secure {
		c.SameSite = http.SameSiteNoneMode
	}
	http.SetCookie(w, c)
}

// State is the session_state of an authorization response (OIDC Session Management §2, §3.2): what
// the OP iframe computes again from the browser state, which it reads from its cookie, to tell an
// application whether the session is still the one it knows. The salt keeps applications from
// recognising a browser by it. origin is the origin of the redirect URI, as a browser writes it.
func State(clientID, origin, browserState string) string {
	return saltedState(clientID, origin, browserState, storage.ShortID())
}

func saltedState(clientID, origin, browserState, salt string) string {
	sum := sha256.Sum256([]byte(clientID + " " + origin + " " + browserState + " " + salt))
	return hex.EncodeToString(sum[:]) + "." + salt
}
