package clients

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"latchkey/provider/oauth"
)

const maxURI = 2000 // bytes

// reservedParameters are the names that an authorization response uses. A registered query that has
// one of them would make the application read a parameter twice, and the first one is not ours
// (RFC 6749 §3.1.2, §4.1.2).
var reservedParameters = []string{"code", "state", "iss", "error", "error_description", "error_uri", "session_state",
	"id_token", "access_token", "token_type", "expires_in", "scope", "response"}

// parseURI reads an absolute URI in the characters of RFC 3986 §2, so that everybody who reads it
// again, a browser above all, sees the same one: no blanks, control characters, backslashes or
// letters outside ASCII, no user, no wildcard. It says what is wrong without repeating the URI.
func parseURI(s string) (*url.URL, error) {
	switch {
	case s == "":
		return nil, errors.New("is empty")
	case len(s) > maxURI:
		return nil, fmt.Errorf("is longer than %d characters", maxURI)
	}
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c <= ' ' || c >= 0x7f:
			return nil, errors.New("has a blank, a control character or a character outside ASCII; write it percent-encoded, or the host in punycode")
		case strings.IndexByte("\"<>\\^`{|}", c) >= 0:
			return nil, errors.New("has a character that no URI may have (RFC 3986 section 2)")
		case c == '*':
			return nil, errors.New("has a wildcard; register every address exactly as it is used")
		}
	}
	scheme, _, ok := strings.Cut(s, ":")
	if !ok || !isScheme(scheme) {
		return nil, errors.New("must be absolute and begin with a scheme in lower case, such as https://")
	}
	u, err := url.Parse(s)
	if err != nil {
		return nil, errors.New("is not a URI")
	}
	if u.User != nil || strings.Contains(authority(s), "@") {
		return nil, errors.New("must not have a user name or password in front of the host")
	}
	return u, nil
}

// isScheme reports whether s is a scheme in the spelling that browsers and devices use (RFC 3986
// §3.1), which is lower case.
func isScheme(s string) bool {
	return s != "" && s[0] >= 'a' && s[0] <= 'z' && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789+-.") == ""
}

// authority is what stands between // and the path of a URI, as it is written.
func authority(uri string) string {
	_, rest, ok := strings.Cut(uri, "://")
	if !ok {
		return ""
	}
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		rest = rest[:i]
	}
	return rest
}

// checkHost insists on a host that only one reading is possible of: a name in ASCII letters,
// digits, hyphens and underscores, or an IP address in its usual notation, and a port from 1 to
// 65535 if there is one.
func checkHost(uri string, u *url.URL) error {
	host, a := u.Hostname(), authority(uri)
	switch {
	case u.Opaque != "" || host == "":
		return fmt.Errorf("must have a host: %s://host/path", u.Scheme)
	case strings.HasSuffix(a, ":"):
		return errors.New("has a colon without a port")
	}
	if p := u.Port(); p != "" {
		if n, err := strconv.ParseUint(p, 10, 16); err != nil || n == 0 || p[0] == '0' {
			return errors.New("has a port that is not between 1 and 65535")
		}
	}
	if strings.HasPrefix(a, "[") {
		if ip, err := netip.ParseAddr(host); err != nil || ip.Zone() != "" || ip.Is4In6() {
			return errors.New("has an IPv6 address in a form that is not accepted")
		}
		return nil
	}
	if len(host) > 253 {
		return errors.New("has a host that is longer than 253 characters")
	}
	labels := strings.Split(host, ".")
	for _, l := range labels {
		if l == "" || len(l) > 63 || strings.Trim(strings.ToLower(l), "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return errors.New("has a host that is not a plain name; write international names in punycode")
		}
	}
	// 127.1, 0x7f000001 and 2130706433 are addresses to a browser.
	last := strings.ToLower(labels[len(labels)-1])
	if strings.Trim(last, "0123456789") == "" || strings.HasPrefix(last, "0x") {
		if ip, err := netip.ParseAddr(host); err != nil || !ip.Is4() {
			return errors.New("has a host that is a number but no IPv4 address as it is usually written")
		}
	}
	return nil
}

// checkPath refuses what browsers rewrite: . and .. as parts of the path.
func checkPath(u *url.URL) error {
	for _, part := range strings.Split(u.Path, "/") {
		if part == "." || part == ".." {
			return errors.New("has . or .. as a part of its path")
		}
	}
	return nil
}

// checkRedirectURI says what is wrong with a URI that people are sent to with an answer:
// redirect_uris and post_logout_redirect_uris. An application of type web may have https, and http
// on loopback for development; a native one also private-use schemes (RFC 8252 §7.1) and http on
// loopback (RFC 8252 §7.3).
func checkRedirectURI(uri, applicationType string, pol Policy, reserved []string) error {
	u, err := parseURI(uri)
	if err != nil {
		return err
	}
	if strings.Contains(uri, "#") {
		return errors.New("must not have a fragment, not even an empty one (RFC 6749 section 3.1.2)")
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return errors.New("has a query that is not application/x-www-form-urlencoded")
	}
	for name := range query {
		if slices.Contains(reserved, strings.ToLower(name)) {
			return fmt.Errorf("must not have the parameter %s in its query: the response has one of that name",
				strings.ToLower(name))
		}
	}
	if err := checkPath(u); err != nil {
		return err
	}
	native := applicationType == applicationNative
	switch u.Scheme {
	case "https":
		return checkHost(uri, u)
	case "http":
		if err := checkHost(uri, u); err != nil {
			return err
		}
		switch {
		case native && nativeLoopback(u.Hostname()):
			return nil
		case native:
			return errors.New("must be https; http is only for http://127.0.0.1, http://[::1] and http://localhost")
		case !oauth.LoopbackHost(u.Hostname()):
			return errors.New("must be https; http is only for loopback hosts, during development")
		case !pol.httpLoopback():
			return errors.New("must be https")
		}
		return nil
	}
	if !native {
		return errors.New("must be https; private-use schemes are only for application_type native")
	}
	return checkPrivateUse(u, pol)
}

// nativeLoopback lists where an application on a device may listen (RFC 8252 §7.3).
func nativeLoopback(host string) bool {
	return host == "127.0.0.1" || host == "::1" || host == "localhost"
}

// OnDevice reports whether the redirect URIs, of which there is at least one, are all on a device:
// http on loopback, or private-use schemes.
func OnDevice(uris []string) bool {
	return len(uris) > 0 && !slices.ContainsFunc(uris, func(uri string) bool {
		u, err := url.Parse(uri)
		return err != nil || u.Scheme == "https" || u.Scheme == "http" && !nativeLoopback(u.Hostname())
	})
}

// checkPrivateUse judges a private-use scheme. The form that belongs to somebody, a domain name in
// reverse order, may be registered by anybody (RFC 8252 §7.1); a single word only by an
// administrator, and never one that is known to mean something to a browser or a device.
func checkPrivateUse(u *url.URL, pol Policy) error {
	if strings.Contains(u.Scheme, ".") {
		for _, label := range strings.Split(u.Scheme, ".") {
			if label == "" || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
				return errors.New("must have a scheme that is a domain name in reverse order, such as com.example.app:/callback")
			}
		}
		return nil
	}
	switch {
	case pol.Dynamic:
		return errors.New("must have a scheme that is a domain name in reverse order, such as com.example.app:/callback (RFC 8252 section 7.1)")
	case taken(u.Scheme):
		return fmt.Errorf("must not have the scheme %s, which means something else", u.Scheme)
	}
	return nil
}

// takenSchemes are single words that do something in a browser or on a device other than opening
// the application that registered them. It is there for administrators' mistakes: applications that
// register themselves may have no single word at all.
var takenSchemes = strings.Fields(`
	javascript livescript mocha jscript vbscript vbs data blob file filesystem about view-source jar resource res mhtml mk chrome edge
	opera brave vivaldi moz-extension chrome-extension safari-extension extension wyciwyg cid mid content intent android-app market app
	http https ftp ftps sftp ssh telnet ws wss gopher urn uri tag null none undefined feed rss dns ldap ldaps imap pop smtp nntp news
	mailto tel sms smsto mms callto sip sips facetime geo maps xmpp irc ircs magnet git svn rsync nfs smb afp cifs dav davs webdav rtsp
	rtmp mms nfc bitcoin ethereum lightning itms itms-apps itms-services ms shell search search-ms onenote help hcp ie.http cmd powershell
	devtools debug package proc env unix tcp udp did openid openid-vc openid4vp openid-credential-offer haip mdoc otpauth otpauth-migration`)

func taken(scheme string) bool {
	return strings.ContainsAny(scheme, "+") || strings.HasPrefix(scheme, "ms-") || strings.HasPrefix(scheme, "web-") ||
		len(scheme) < 2 || slices.Contains(takenSchemes, scheme)
}

// checkLink says what is wrong with an address that is shown to people as a link or fetched as a
// picture: http and https only, any host.
func checkLink(uri string) error {
	u, err := parseURI(uri)
	if err != nil {
		return err
	}
	if u.Scheme != "https" && u.Scheme != "http" {
		return errors.New("must be an https or http address")
	}
	return checkHost(uri, u)
}

// checkEndpoint says what is wrong with an address that we, or a browser that we send, call on the
// application's behalf.
func checkEndpoint(uri string, pol Policy) error {
	u, err := parseURI(uri)
	if err != nil {
		return err
	}
	if u.Scheme != "https" && u.Scheme != "http" {
		return errors.New("must be an https address")
	}
	if err := checkHost(uri, u); err != nil {
		return err
	}
	if u.Scheme == "http" && !(oauth.LoopbackHost(u.Hostname()) && pol.httpLoopback()) {
		return errors.New("must be an https address")
	}
	return nil
}
