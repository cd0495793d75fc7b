package registration

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"latchkey/provider/oauth"
	"latchkey/provider/web"
)

// issuerRelation is the link relation by which an application finds the issuer of a person
// (OIDC Discovery §2).
const issuerRelation = "http://openid.net/specs/connect/1.0/issuer"

// Webfinger says which issuer is responsible for a person (OIDC Discovery §2, RFC 7033 §4). It
// answers for every well-formed account at our host, or at a domain that our host is part of (whose
// web server may pass the request on), and so tells nobody which accounts exist.
func (ep *Endpoints) Webfinger(w http.ResponseWriter, r *http.Request) error {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil || len(query["resource"]) != 1 || query.Get("resource") == "" {
		return oauth.Errorf(oauth.InvalidRequest, "send resource once, such as resource=acct:somebody@%s",
			ep.Web.Base.Hostname())
	}
	resource := query.Get("resource")
	host, ok := accountHost(resource)
	if !ok {
		return oauth.Errorf(oauth.InvalidRequest, "resource must look like acct:somebody@%s or https://%s/somebody",
			ep.Web.Base.Hostname(), ep.Web.Base.Hostname())
	}
	if ours := strings.ToLower(ep.Web.Base.Hostname()); host != ours && !strings.HasSuffix(ours, "."+host) {
		return oauth.Errorf(oauth.InvalidRequest,
			"this provider is not responsible for that host").WithStatus(http.StatusNotFound)
	}
	type link struct {
		Rel  string `json:"rel"`
		Href string `json:"href"`
	}
	answer := struct {
		Subject string `json:"subject"`
		Links   []link `json:"links"`
	}{resource, []link{}}
	if rel := query["rel"]; len(rel) == 0 || slices.Contains(rel, issuerRelation) {
		answer.Links = append(answer.Links, link{issuerRelation, ep.Web.Issuer})
	}
	d, err := web.NewJSONDocument(answer, "application/jrd+json", metadataMaxAge)
	if err != nil {
		return err
	}
	return d.Serve(w, r)
}

// accountHost is the host, in lower case, of an acct: or https: resource with somebody in it.
func accountHost(resource string) (string, bool) {
	if len(resource) > 1000 || strings.ContainsFunc(resource, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return "", false
	}
	if account, ok := strings.CutPrefix(resource, "acct:"); ok {
		i := strings.LastIndexByte(account, '@')
		if i <= 0 || strings.ContainsAny(account, "/?#") {
			return "", false
		}
		u, err := url.Parse("https://" + account[i+1:])
		if err != nil || u.Hostname() == "" || u.Path != "" {
			return "", false
		}
		return strings.ToLower(u.Hostname()), true
	}
	u, err := url.Parse(resource)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.Opaque != "" {
		return "", false
	}
	return strings.ToLower(u.Hostname()), true
}
