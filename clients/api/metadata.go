package api

import (
	"net/http"
	"net/url"
	"strings"
)

// wellKnown is where a protected resource describes itself (RFC 9728 §3).
const wellKnown = "/.well-known/oauth-protected-resource"

// metadataAddress returns the address of the metadata of the resource, and the path in it. The
// well-known part goes between host and path of the identifier (RFC 9728 §3.1). Both are empty for
// an identifier that is no http or https URL.
func metadataAddress(resource string) (address, path string) {
	u, err := url.Parse(resource)
	if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" || u.RawQuery != "" ||
		u.Fragment != "" ||
		strings.ContainsAny(u.Path, "{} ") {
		return "", ""
	}
	path = wellKnown + strings.TrimSuffix(u.Path, "/")
	return u.Scheme + "://" + u.Host + path, path
}

// metadata says where to get a token for this API, so that a client needs to be told nothing but
// the API's address (RFC 9728 §2). Any page may read it: it says the same to everybody.
func (a *api) metadata(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Access-Control-Allow-Origin", "*")
	w.Header().Set("Cache-Control", "public, max-age=3600")
	answer(w, http.StatusOK, map[string]any{
		"resource":                 a.config.Audience,
		"resource_name":            "Ledger API",
		"authorization_servers":    []string{a.config.Issuer},
		"bearer_methods_supported": []string{"header"},
	})
}
