package clients

import (
	"strings"
	"testing"
)

func TestRedirectMatchesCharacterByCharacter(t *testing.T) {
	t.Parallel()
	c := Client{Metadata: Metadata{ApplicationType: "web", RedirectURIs: []string{"https://a.test/cb",
		"https://foo.a.test/cb", "https://a.test/q?n=%2541", "http://127.0.0.1:3000/cb", "https://127.0.0.1:3000/cb"}}}
	for _, uri := range c.RedirectURIs {
		if r, err := c.Redirect(uri); err != nil || r.String() != uri {
			t.Errorf("%q: %q %v", uri, r, err)
		}
	}
	for _, uri := range []string{
		"", "https://a.test/cb/", "https://a.test/CB", "https://A.test/cb", "https://a.test:443/cb", "http://a.test/cb",
		"https://a.test/cb?x=1", "https://a.test/cb?",
		"https://a.test/cb#", "https://a.test/cb#f", "https://a.test/./cb", "https://a.test/x/../cb",
		"https://a.test/cb;x", "https://a.test/%63b", " https://a.test/cb",
		"https://a.test/cb%20", "https://a.test//cb", "https://a.test@evil.test/cb", "https://a.test.evil.test/cb",
		"https://evila.test/cb", "//a.test/cb",
		"https://fooXa.test/cb", "https://foo.aXtest/cb", "https://evil.test/x.a.test/cb", "https://a.test/../../evil",
		"https://a.test/..;/x", "https://a.test/%2e%2e/x",
		"https://a.test/q?n=%41", "https%3A%2F%2Fa.test%2Fcb", "javascript:alert(1)",
		// the free port is for native applications only
		"http://127.0.0.1:3001/cb", "http://127.0.0.1/cb", "https://127.0.0.1:3001/cb", "https://127.0.0.1/cb",
	} {
		if r, err := c.Redirect(uri); err == nil || r != (Redirect{}) {
			t.Errorf("%q was accepted as %q", uri, r)
		}
	}
}

func TestOnlyThePortOfANativeLoopbackAddressIsFree(t *testing.T) {
	t.Parallel()
	c := Client{Metadata: Metadata{ApplicationType: "native", RedirectURIs: []string{"http://127.0.0.1/cb",
		"http://[::1]/cb", "http://localhost:8085/auth/callback", "com.example.app:/cb"}}}
	for _, uri := range []string{"http://127.0.0.1/cb", "http://127.0.0.1:54321/cb", "http://[::1]:1/cb",
		"http://[::1]/cb", "http://127.0.0.1:65535/cb",
		"http://localhost:8085/auth/callback", "com.example.app:/cb"} {
		if r, err := c.Redirect(uri); err != nil || r.String() != uri {
			t.Errorf("%q: %q %v", uri, r, err)
		}
	}
	for _, uri := range []string{
		"http://127.0.0.1:54321/cb?x=1", "http://127.0.0.1/CB", "http://127.0.0.2:54321/cb",
		"http://localhost:54321/cb", "http://0.0.0.0:54321/cb",
		"http://[::ffff:127.0.0.1]:5/cb", "http://2130706433:5/cb", "http://127.1:5/cb", "https://127.0.0.1:5/cb",
		"http://127.0.0.1:99999/cb",
		"http://127.0.0.1:5@evil.test/cb", "http://127.0.0.1:/cb", "http://127.0.0.1:0/cb", "http://127.0.0.1:+5/cb",
		"http://127.0.0.1:5x/cb", "http://127.0.0.1:-5/cb",
		"http://127.0.0.1:5/cb#", "http://127.0.0.1:5:6/cb", "http://127.0.0.1:5\\@evil.test/cb",
		"http://127.0.0.1.evil.test/cb", "http://[::1]evil.test/cb", "http://127.0.0.1:5",
		"HTTP://127.0.0.1:5/cb", "http://localhost:8086/auth/callback", "com.example.app:/cb/", "com.example.app://cb",
	} {
		if r, err := c.Redirect(uri); err == nil || r != (Redirect{}) {
			t.Errorf("%q was accepted as %q", uri, r)
		}
	}
}

func TestNothingIsLearntWhereNothingIsRegistered(t *testing.T) {
	t.Parallel()
	for _, c := range []Client{{}, {Metadata: Metadata{ApplicationType: "native"}}} {
		for _, uri := range []string{"", "https://a.test/cb", "http://127.0.0.1:5/cb"} {
			if _, err := c.Redirect(uri); err == nil {
				t.Errorf("redirect_uri %q was accepted", uri)
			}
			if _, err := c.PostLogoutRedirect(uri); err == nil {
				t.Errorf("post_logout_redirect_uri %q was accepted", uri)
			}
		}
	}
}

func TestOriginIsWhatABrowserWrites(t *testing.T) {
	t.Parallel()
	for uri, want := range map[string]string{
		"https://a.test/cb?x": "https://a.test", "https://A.Test:443/cb": "https://a.test",
		"http://localhost:80/": "http://localhost", "http://localhost:443": "http://localhost:443",
		"https://a.test:8443": "https://a.test:8443", "http://[::1]:3000/cb": "http://[::1]:3000",
		"com.example.app:/cb": "", "oc://ios.owncloud.com": "", "javascript:x": "", "": "", "https:///x": "",
		"//a.test": "",
	} {
		if got := Origin(uri); got != want {
			t.Errorf("%q: %q, want %q", uri, got, want)
		}
	}
}

// A match means that what was sent is what was registered, byte for byte, or for a native
// application differs in the port of a loopback address only.
func FuzzRedirect(f *testing.F) {
	for _, s := range [][2]string{
		{"https://a.test/cb", "https://a.test/cb"}, {"http://127.0.0.1/cb", "http://127.0.0.1:5/cb"},
		{"http://[::1]:9/cb", "http://[::1]:10/cb"},
		{"http://127.0.0.1", "http://127.0.0.1:1"}, {"http://127.0.0.1/cb", "http://127.0.0.1:5@evil.test/cb"},
		{"com.example.app:/cb", "com.example.app:/cb"},
	} {
		f.Add(s[0], s[1], true)
		f.Add(s[0], s[1], false)
	}
	f.Fuzz(func(t *testing.T, registered, sent string, isNative bool) {
		c := Client{Metadata: Metadata{ApplicationType: "web", RedirectURIs: []string{registered}}}
		if isNative {
			c.ApplicationType = "native"
		}
		r, err := c.Redirect(sent)
		if err != nil {
			if r != (Redirect{}) {
				t.Fatalf("an error and a redirect: %q", r)
			}
			return
		}
		if r.String() != sent {
			t.Fatalf("sent %q, answered at %q", sent, r)
		}
		if sent == registered {
			return
		}
		if !isNative {
			t.Fatalf("%q matched %q", sent, registered)
		}
		for _, host := range []string{"http://127.0.0.1", "http://[::1]"} {
			a, okA := strings.CutPrefix(sent, host)
			b, okB := strings.CutPrefix(registered, host)
			if okA && okB && withoutPort(a) == withoutPort(b) {
				return
			}
		}
		t.Fatalf("%q matched %q", sent, registered)
	})
}

// withoutPort takes :digits off the front, if there are any.
func withoutPort(s string) string {
	rest, ok := strings.CutPrefix(s, ":")
	if !ok {
		return s
	}
	return strings.TrimLeft(rest, "0123456789")
}
