package templates

import (
	"net/url"
	"slices"
	"strings"
)

// Policy is what a page needs of its Content-Security-Policy beyond the least that every page has:
// our own stylesheet, font and pictures, forms to ourselves, no script, no frames, and no other
// site that frames the page. The zero value is that least.
type Policy struct {
	// Forms are addresses that a form of the page leads to at the end of its redirects: browsers
	// apply form-action to every hop after a form was sent. What stands for no origin is left out.
	Forms []string
	// FormsElsewhere says that forms go to Forms alone, and not to ourselves.
	FormsElsewhere bool
	// Hops says that where FormsElsewhere leads, redirects may lead on to any host.
	Hops bool
	// Frames are the addresses that the page loads in frames.
	Frames []string
	// Script says that the page runs one of our assets.
	Script bool
	// Fetches says that the script reads our pages.
	Fetches bool
	// Framed says that every site may frame the page. Such a page shows nothing, takes no input and
	// has no look.
	Framed bool
}

// maxSources is how many origins a policy names at most: response headers have to stay small.
const maxSources = 30

// String is the value of the header Content-Security-Policy.
func (p Policy) String() string {
	var b strings.Builder
	b.WriteString("default-src 'none'")
	add := func(directive string, sources ...string) {
		b.WriteString("; " + directive + " " + strings.Join(sources, " "))
	}
	if !p.Framed {
		add("style-src", "'self'")
		add("img-src", "'self'")
		add("font-src", "'self'")
	}
	if p.Script {
		add("script-src", "'self'")
	}
	if p.Fetches {
		add("connect-src", "'self'")
	}
	if frames := sources(p.Frames); len(frames) > 0 {
		add("frame-src", frames...)
	}
	add("base-uri", "'none'")
	forms := sources(p.Forms)
	if p.Hops && len(forms) > 0 {
		forms = append(forms, "https:", "http:")
	}
	switch {
	case p.Framed || p.FormsElsewhere && len(forms) == 0:
		add("form-action", "'none'")
	case p.FormsElsewhere:
		add("form-action", forms...)
	default:
		add("form-action", append([]string{"'self'"}, forms...)...)
	}
	if p.Framed {
		add("frame-ancestors", "*")
	} else {
		add("frame-ancestors", "'none'")
	}
	return b.String()
}

func sources(addresses []string) []string {
	var out []string
	for _, a := range addresses {
		if s := source(a); s != "" && len(out) < maxSources && !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

// source names an address in a Content-Security-Policy (CSP Level 3 §2.3.1): by its origin, or by
// its scheme where it has no origin that the grammar can express. "" is an address that no policy
// can name, such as one with a wildcard. A port of * stands for every port, as a native
// application's loopback address needs it (RFC 8252 §7.3).
func source(address string) string {
	scheme, rest, ok := strings.Cut(address, ":")
	scheme = strings.ToLower(scheme)
	if !ok || scheme == "" || !onlyOf(scheme, schemeCharacters) {
		return ""
	}
	if scheme != "https" && scheme != "http" {
		return scheme + ":"
	}
	everyPort := false
	if authority, isURL := strings.CutPrefix(rest, "//"); isURL {
		end := strings.IndexAny(authority, "/?#")
		if end < 0 {
			end = len(authority)
		}
		if host, found := strings.CutSuffix(authority[:end], ":*"); found {
			everyPort, address = true, scheme+"://"+host+authority[end:]
		}
	}
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" {
		return ""
	}
	host, port := strings.ToLower(u.Hostname()), u.Port()
	if strings.Contains(host, ":") {
		// The grammar has no IPv6 addresses, and browsers ignore a source that has one.
		return scheme + ":"
	}
	if !onlyOf(host, "abcdefghijklmnopqrstuvwxyz0123456789-._") {
		return ""
	}
	switch {
	case everyPort:
		return scheme + "://" + host + ":*"
	case port == "" || scheme == "https" && port == "443" || scheme == "http" && port == "80":
		return scheme + "://" + host
	}
	return scheme + "://" + host + ":" + port
}

// schemeCharacters are those of a scheme in lower case (RFC 3986 §3.1).
const schemeCharacters = "abcdefghijklmnopqrstuvwxyz0123456789+-."

func onlyOf(s, chars string) bool { return strings.Trim(s, chars) == "" }
