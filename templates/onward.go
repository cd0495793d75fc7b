package templates

import (
	"html/template"
	"slices"
	"strings"
)

// Onward leads the browser on to the application from a page of ours: by itself, and by a button
// where that fails. Browsers apply form-action of the page with a form to every redirect that
// follows, wherever the application leads; what a page like this leads to is no redirect.
type Onward struct {
	URL     string // of the application, with the answer in it; one that Leads
	AppName string
}

func (Onward) file() string { return "signin/onward" }

// Policy lets a script go on. There is no form.
func (Onward) Policy() Policy { return Policy{Script: true} }

// Native reports whether the address opens a program on the device, with this page left behind.
func (o Onward) Native() bool {
	scheme, _, _ := strings.Cut(o.URL, ":")
	return !strings.EqualFold(scheme, "https") && !strings.EqualFold(scheme, "http")
}

// runs are the schemes whose addresses a browser runs or shows in the name of the page they are on.
var runs = []string{
	"javascript", "vbscript", "livescript", "data", "blob", "file", "filesystem", "about", "view-source",
}

// Leads reports whether a page may lead to an address that is registered for an application: one
// that has a scheme, and none that a browser runs.
func Leads(address string) bool { return registered(address) != nil }

// registered is an address that is registered for an application, as a page may lead to it, or nil.
// Beyond what link lets through these are schemes of a single word, which an administrator may
// register.
func registered(address string) any {
	if to := link(address); to != nil && !strings.HasPrefix(address, "/") && !strings.HasPrefix(address, "?") {
		return to
	}
	scheme, _, ok := strings.Cut(address, ":")
	scheme = strings.ToLower(scheme)
	if !ok || scheme == "" || !onlyOf(scheme, schemeCharacters) || slices.Contains(runs, scheme) {
		return nil
	}
	return template.URL(address)
}

func onwardSamples() []sample {
	return []sample{
		{"code", Onward{URL: "https://notes.example/callback?code=abc&state=%22%3E%3Cscript%3E", AppName: "Field Notes"}},
		{"native", Onward{URL: "org.example.app:/callback?code=abc"}},
		{"word", Onward{URL: "notes://callback?code=abc", AppName: "Field Notes"}},
		{"empty", Onward{}},
	}
}
