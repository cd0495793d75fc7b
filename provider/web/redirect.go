package web

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"latchkey/provider/clients"
	"latchkey/provider/oauth"
	"latchkey/templates"
)

// Response is what goes back to an application through the browser: where, how, and what.
type Response struct {
	Redirect clients.Redirect
	Mode     string // oauth.ModeQuery, ModeFragment or ModeFormPost
	AppName  string
	Values   [][2]string // in order; empty values are left out
}

// RedirectError tells a problem to an application through the browser (RFC 6749 §4.1.2.1). One of
// the four places that write a problem.
func (s *Site) RedirectError(w http.ResponseWriter, r *http.Request, to Response, state string, err error) error {
	Note(r, err)
	e := oauth.AsError(err)
	if e.Code == oauth.ServerError && Unavailable(err) {
		e = oauth.Errorf(oauth.TemporarilyUnavailable, "the provider cannot answer just now; try again in a moment")
	}
	to.Values = [][2]string{{"error", string(e.Code)}, {"error_description", e.Description}, {"state", state},
		{"iss", s.Issuer}}
	return s.Send(w, r, to)
}

// Send delivers a response in its mode. Redirects from a POST are 303, so that a browser never
// posts the person's password on (RFC 9700 §4.12).
func (s *Site) Send(w http.ResponseWriter, r *http.Request, to Response) error {
	target := to.Redirect.String()
	if target == "" {
		return errors.New("a response without an address to go to")
	}
	values := to.Values[:0:0]
	for _, kv := range to.Values {
		if kv[1] != "" {
			values = append(values, kv)
		}
	}
	if to.Mode == oauth.ModeFormPost {
		return s.Render(w, r, http.StatusOK, templates.FormPost{Action: target, Fields: values, AppName: to.AppName})
	}
	if location := to.Location(); afterForm(r) && templates.Leads(location) {
		return s.Render(w, r, http.StatusOK, templates.Onward{URL: location, AppName: to.AppName})
	}
	w.Header().Set("Location", to.Location())
	w.WriteHeader(http.StatusSeeOther)
	return nil
}

// afterForm reports whether a browser shows the answer in its window, and a form of ours led here.
// A redirect would be subject to the form-action of the page with that form, wherever it leads on
// to (CSP Level 3 §6.4.1), so such a browser is led on by a page. Programs, frames and browsers that
// do not say how they navigate are redirected (Fetch Metadata §2).
func afterForm(r *http.Request) bool {
	h := r.Header
	if h.Get("Sec-Fetch-Mode") != "navigate" || !oneOf(h.Get("Sec-Fetch-Dest"), "", "document") ||
		!oneOf(h.Get("Sec-Fetch-Site"), "", "none", "same-origin") {
		return false
	}
	return r.Method == http.MethodPost || r.Method == http.MethodGet && r.URL.Query().Has("i")
}

func oneOf(s string, values ...string) bool { return slices.Contains(values, s) }

// Location is where the browser is sent, with the values that are not empty in query or fragment.
func (to Response) Location() string {
	target := to.Redirect.String()
	var q strings.Builder
	for _, kv := range to.Values {
		if kv[1] == "" {
			continue
		}
		if q.Len() > 0 {
			q.WriteByte('&')
		}
		q.WriteString(url.QueryEscape(kv[0]) + "=" + url.QueryEscape(kv[1]))
	}
	// The registered URI is continued, never parsed and written anew: what the application
	// registered stays as it is, byte for byte.
	switch {
	case q.Len() == 0:
		return target
	case to.Mode == oauth.ModeFragment:
		return target + "#" + q.String()
	case strings.HasSuffix(target, "?") || strings.HasSuffix(target, "&"):
		return target + q.String()
	case strings.Contains(target, "?"):
		return target + "&" + q.String()
	}
	return target + "?" + q.String()
}
