package templates

import (
	"strings"
	"testing"
)

func TestAPageAsksForNoMoreThanItNeeds(t *testing.T) {
	t.Parallel()
	const least = "default-src 'none'; style-src 'self'; img-src 'self'; font-src 'self'; "
	for _, c := range []struct {
		name string
		page Page
		want string
	}{
		{"a page of ours", Account{}, least + "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"},
		{"a form that leads to the application",
			Login{App: &App{LeadsTo: []string{"https://a.example/cb", "https://a.example/other",
				"http://127.0.0.1:*"}}},
			least + "base-uri 'none'; form-action 'self' https://a.example http://127.0.0.1:*; frame-ancestors 'none'"},
		{"a sign-in for a page of ours", Login{}, least +
			"base-uri 'none'; form-action 'self'; frame-ancestors 'none'"},
		{"frames of the applications", LoggedOut{Frames: []string{"https://mail.example:8443/out?x=1",
			"https://shop.example/"}},
			least + "frame-src https://mail.example:8443 https://shop.example; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"},
		{"a response by a form", FormPost{Action: "https://a.example/cb"},
			least + "script-src 'self'; base-uri 'none'; form-action https://a.example https: http:; frame-ancestors 'none'"},
		{"a response to an address that cannot be named", FormPost{Action: "https://*.example/cb"},
			least + "script-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"},
		{"the frame of the applications", CheckSession{},
			"default-src 'none'; script-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors *"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got := c.page.Policy().String(); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
	many := make([]string, 2*maxSources)
	for i := range many {
		many[i] = "https://" + strings.Repeat("a", i+1) + ".example/"
	}
	if n := strings.Count((Policy{Forms: many}).String(), "https://"); n != maxSources {
		t.Errorf("%d origins", n)
	}
}

func TestAnAddressIsNamedByItsOrigin(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"":                                "",
		"/callback":                       "",
		"https://a.example/x?y#z":         "https://a.example",
		"HTTPS://A.Example:443/":          "https://a.example",
		"http://a.example:80":             "http://a.example",
		"https://a.example:8443/":         "https://a.example:8443",
		"http://127.0.0.1:*":              "http://127.0.0.1:*",
		"http://127.0.0.1:*/cb":           "http://127.0.0.1:*",
		"http://[::1]:4711/cb":            "http:",
		"http://[::1]:*":                  "http:",
		"com.example.app:/cb":             "com.example.app:",
		"https://*.example/":              "",
		"https://a.example;script-src */": "",
		"https://a.example b/":            "",
		"https://a.example,b/":            "",
		"https://'self'/":                 "",
		"https:///x":                      "",
		"https:opaque":                    "",
		"ja va:x":                         "",
		"*:x":                             "",
	} {
		if got := source(address); got != want {
			t.Errorf("%q: %q, not %q", address, got, want)
		}
	}
}

// FuzzPolicy proves that no address writes a directive or a keyword.
func FuzzPolicy(f *testing.F) {
	f.Add("https://a.example/cb")
	f.Add("http://[::1]:*")
	f.Add("x;script-src:*")
	f.Fuzz(func(t *testing.T, address string) {
		s := source(address)
		if strings.ContainsAny(s, " ;,'\"\r\n\t") || strings.Contains(strings.TrimSuffix(s, ":*"), "*") {
			t.Errorf("%q: %q", address, s)
		}
	})
}
