package clients

import (
	"net/url"
	"slices"
	"strconv"
	"strings"

	"latchkey/provider/oauth"
)

// Redirect is a redirect_uri matched against a client's registration. Only Client.Redirect and
// Client.PostLogoutRedirect make one, and having one is what permits an answer or an error to leave
// by redirect (RFC 6749 §4.1.2.1).
type Redirect struct{ uri string }

// String is the URI exactly as it was requested; "" for the zero value, which leads nowhere.
func (r Redirect) String() string { return r.uri }

// Origin is scheme://host[:port] of the URI, as a browser would write it; "" for a private-use
// scheme.
func (r Redirect) Origin() string { return Origin(r.uri) }

// Origin is the web origin of a URI (RFC 6454 §6.1), "" when it has none.
func Origin(uri string) string {
	u, err := url.Parse(uri)
	if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" {
		return ""
	}
	host := strings.ToLower(u.Host)
	if p := u.Port(); u.Scheme == "https" && p == "443" || u.Scheme == "http" && p == "80" {
		host = strings.TrimSuffix(host, ":"+p)
	}
	return u.Scheme + "://" + host
}

// Redirect matches a requested redirect_uri against the registered ones: character by character
// (RFC 9700 §2.1), except that the port of a native client's loopback IP address is free
// (RFC 8252 §7.3).
func (c Client) Redirect(uri string) (Redirect, error) {
	if uri == "" {
		return Redirect{}, oauth.Errorf(oauth.InvalidRequest,
			"redirect_uri is missing; it must be sent, as one that is registered (RFC 6749 section 3.1.2.3)")
	}
	if slices.Contains(c.RedirectURIs, uri) {
		return Redirect{uri}, nil
	}
	if c.ApplicationType == "native" {
		if want, ok := withoutLoopbackPort(uri); ok {
			for _, r := range c.RedirectURIs {
				if have, ok := withoutLoopbackPort(r); ok && have == want {
					return Redirect{uri}, nil
				}
			}
		}
	}
	return Redirect{}, oauth.Errorf(oauth.InvalidRequest,
		"redirect_uri is not registered for this client; it must be registered exactly as it is sent")
}

// PostLogoutRedirect matches a post_logout_redirect_uri in the same way (RP-Initiated Logout §3).
func (c Client) PostLogoutRedirect(uri string) (Redirect, error) {
	if uri != "" && slices.Contains(c.PostLogoutRedirectURIs, uri) {
		return Redirect{uri}, nil
	}
	return Redirect{}, oauth.Errorf(oauth.InvalidRequest,
		"post_logout_redirect_uri is not registered for this client; it must be registered exactly as it is sent")
}

// withoutLoopbackPort cuts the port out of http://127.0.0.1:port/… or http://[::1]:port/…,
// textually, so that everything else still has to match character by character. Names are not
// addresses: localhost resolves to what the device likes (RFC 8252 §8.3).
func withoutLoopbackPort(uri string) (string, bool) {
	const scheme = "http://"
	if !strings.HasPrefix(uri, scheme) {
		return "", false
	}
	authority, rest := uri[len(scheme):], ""
	if i := strings.IndexAny(authority, "/?#"); i >= 0 {
		authority, rest = authority[:i], authority[i:]
	}
	for _, host := range []string{"127.0.0.1", "[::1]"} {
		after, ok := strings.CutPrefix(authority, host)
		if !ok {
			continue
		}
		if after == "" {
			return scheme + host + rest, true
		}
		port, ok := strings.CutPrefix(after, ":")
		if n, err := strconv.ParseUint(port, 10, 16); ok && err == nil && n > 0 && port[0] != '+' {
			return scheme + host + rest, true
		}
	}
	return "", false
}
