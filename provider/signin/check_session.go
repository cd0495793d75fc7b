package signin

import (
	"net/http"

	"latchkey/provider/session"
	"latchkey/templates"
)

// CheckSession is the OP iframe (OIDC Session Management §3.3). It is the only page that other
// sites may frame: it shows nothing, takes no input, and answers questions only with "changed",
// "unchanged" or "error". It is the same for everybody, so it may be cached, which spares the
// provider a request for every page of every application.
func (p *Pages) CheckSession(w http.ResponseWriter, r *http.Request) error {
	w.Header().Set("Cache-Control", "public, max-age=3600")
	return p.Web.Render(w, r, http.StatusOK, templates.CheckSession{CookieName: p.Web.CookieName(session.StateCookie)})
}
