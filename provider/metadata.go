package provider

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"latchkey/keys"
	"latchkey/provider/clients"
	"latchkey/provider/oauth"
)

// Metadata describes the provider to applications (OIDC Discovery §3, RFC 8414 §2). The members are registered ones only, and what stands
// there is what works.
type Metadata struct {
	Issuer                string `json:"issuer"`
	AuthorizationEndpoint string `json:"authorization_endpoint"`
	TokenEndpoint         string `json:"token_endpoint"`
	UserinfoEndpoint      string `json:"userinfo_endpoint"`
	JWKSURI               string `json:"jwks_uri"`
	RegistrationEndpoint  string `json:"registration_endpoint,omitempty"` // RFC 7591 §3
	RevocationEndpoint    string `json:"revocation_endpoint"`             // RFC 7009 §2
	IntrospectionEndpoint string `json:"introspection_endpoint"`          // RFC 7662 §2
	EndSessionEndpoint    string `json:"end_session_endpoint"`            // RP-Initiated Logout §2.1
	CheckSessionIframe    string `json:"check_session_iframe"`            // OIDC Session Management §3.3

	ScopesSupported        []string `json:"scopes_supported"`
	ResponseTypesSupported []string `json:"response_types_supported"`
	ResponseModesSupported []string `json:"response_modes_supported"`
	GrantTypesSupported    []string `json:"grant_types_supported"`
	ACRValuesSupported     []string `json:"acr_values_supported"`
	SubjectTypesSupported  []string `json:"subject_types_supported"`
	PromptValuesSupported  []string `json:"prompt_values_supported"`
	DisplayValuesSupported []string `json:"display_values_supported"`
	ClaimTypesSupported    []string `json:"claim_types_supported"`
	ClaimsSupported        []string `json:"claims_supported"`
	UILocalesSupported     []string `json:"ui_locales_supported"`

	IDTokenSigningAlgs         []string `json:"id_token_signing_alg_values_supported"`
	IDTokenEncryptionAlgs      []string `json:"id_token_encryption_alg_values_supported"`
	IDTokenEncryptionEncs      []string `json:"id_token_encryption_enc_values_supported"`
	UserinfoSigningAlgs        []string `json:"userinfo_signing_alg_values_supported"`
	UserinfoEncryptionAlgs     []string `json:"userinfo_encryption_alg_values_supported"`
	UserinfoEncryptionEncs     []string `json:"userinfo_encryption_enc_values_supported"`
	RequestObjectSigningAlgs   []string `json:"request_object_signing_alg_values_supported"`
	RequestObjectEncryptAlgs   []string `json:"request_object_encryption_alg_values_supported"`
	RequestObjectEncryptEncs   []string `json:"request_object_encryption_enc_values_supported"`
	TokenAuthMethods           []string `json:"token_endpoint_auth_methods_supported"`
	TokenAuthSigningAlgs       []string `json:"token_endpoint_auth_signing_alg_values_supported"`
	RevocationAuthMethods      []string `json:"revocation_endpoint_auth_methods_supported"`
	RevocationAuthSigningAlgs  []string `json:"revocation_endpoint_auth_signing_alg_values_supported"`
	IntrospectAuthMethods      []string `json:"introspection_endpoint_auth_methods_supported"`
	IntrospectAuthSigningAlgs  []string `json:"introspection_endpoint_auth_signing_alg_values_supported"`
	CodeChallengeMethods       []string `json:"code_challenge_methods_supported"`               // RFC 7636 §6.2: S256 only
	IssInAuthorizationResponse bool     `json:"authorization_response_iss_parameter_supported"` // RFC 9207 §3

	ClaimsParameter               bool `json:"claims_parameter_supported"`
	RequestParameter              bool `json:"request_parameter_supported"`
	RequestURIParameter           bool `json:"request_uri_parameter_supported"`
	RequireRequestURIRegistration bool `json:"require_request_uri_registration"`
	BackchannelLogout             bool `json:"backchannel_logout_supported"`          // Back-Channel Logout §2.1
	BackchannelLogoutSession      bool `json:"backchannel_logout_session_supported"`  // Back-Channel Logout §2.1
	FrontchannelLogout            bool `json:"frontchannel_logout_supported"`         // Front-Channel Logout §3
	FrontchannelLogoutSession     bool `json:"frontchannel_logout_session_supported"` // Front-Channel Logout §3
}

// metadataMaxAge is how long the metadata may be cached. It changes only with the configuration.
const metadataMaxAge = time.Hour

// describe makes the metadata from the configuration alone: nothing that a request says has any part in it.
func (p *Provider) describe() Metadata {
	signing := slices.Clone(keys.SigningAlgorithms)
	requests := slices.Clone(keys.AcceptedSigningAlgorithms)
	if p.InsecureAllowNone {
		signing, requests = append(signing, "none"), append(requests, "none")
	}
	assertions := slices.Concat(keys.AcceptedSigningAlgorithms, keys.HMACAlgorithms)
	confidential := slices.DeleteFunc(slices.Clone(clients.AuthMethods), func(m string) bool { return m == oauth.AuthNone })
	m := Metadata{
		Issuer:                p.Issuer,
		AuthorizationEndpoint: p.url("/authorize"), TokenEndpoint: p.url("/token"), UserinfoEndpoint: p.url("/userinfo"), JWKSURI: p.url("/jwks"),
		RevocationEndpoint: p.url("/revoke"), IntrospectionEndpoint: p.url("/introspect"),
		EndSessionEndpoint: p.url("/logout"), CheckSessionIframe: p.url("/session"),

		ScopesSupported: oauth.Scopes, ResponseTypesSupported: oauth.ResponseTypes,
		ResponseModesSupported: []string{oauth.ModeQuery, oauth.ModeFragment, oauth.ModeFormPost},
		GrantTypesSupported:    clients.GrantTypes,
		ACRValuesSupported:     []string{ACRPassword},
		SubjectTypesSupported:  []string{clients.SubjectPublic, clients.SubjectPairwise},
		PromptValuesSupported:  []string{"none", "login", "consent", "select_account"},
		DisplayValuesSupported: []string{"page"},
		ClaimTypesSupported:    []string{"normal"},
		ClaimsSupported:        append([]string{"sub", "iss", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr"}, oauth.Claims()...),
		UILocalesSupported:     p.Templates.Locales(),

		IDTokenSigningAlgs: signing, IDTokenEncryptionAlgs: keys.EncryptionAlgorithms, IDTokenEncryptionEncs: keys.ContentEncryptionAlgorithms,
		UserinfoSigningAlgs: keys.SigningAlgorithms, UserinfoEncryptionAlgs: keys.EncryptionAlgorithms, UserinfoEncryptionEncs: keys.ContentEncryptionAlgorithms,
		RequestObjectSigningAlgs: requests, RequestObjectEncryptAlgs: keys.EncryptionAlgorithms, RequestObjectEncryptEncs: keys.ContentEncryptionAlgorithms,
		TokenAuthMethods: clients.AuthMethods, TokenAuthSigningAlgs: assertions,
		RevocationAuthMethods: clients.AuthMethods, RevocationAuthSigningAlgs: assertions,
		IntrospectAuthMethods: confidential, IntrospectAuthSigningAlgs: assertions,
		CodeChallengeMethods: []string{"S256"}, IssInAuthorizationResponse: true,

		ClaimsParameter: true, RequestParameter: true, RequestURIParameter: true, RequireRequestURIRegistration: true,
		BackchannelLogout: true, BackchannelLogoutSession: true, FrontchannelLogout: true, FrontchannelLogoutSession: true,
	}
	if p.Registration != RegistrationClosed {
		m.RegistrationEndpoint = p.url("/register")
	}
	return m
}

// document is something public that is the same for everybody, with its entity tag.
type document struct {
	body []byte
	etag string
}

func newDocument(v any) (document, error) {
	body, err := json.Marshal(v)
	if err != nil {
		return document{}, fmt.Errorf("write provider metadata: %w", err)
	}
	return document{body: body, etag: entityTag(body)}, nil
}

// entityTag names a body by its hash (RFC 9110 §8.8.3).
func entityTag(body []byte) string {
	sum := sha256.Sum256(body)
	return `"` + base64.RawURLEncoding.EncodeToString(sum[:16]) + `"`
}

// serve answers with the document, or 304 to somebody who has it (RFC 9110 §13.1.2).
func (d document) serve(w http.ResponseWriter, r *http.Request, contentType string, maxAge time.Duration) error {
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Cache-Control", fmt.Sprintf("public, max-age=%d", int64(maxAge/time.Second)))
	h.Set("ETag", d.etag)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(d.body))
	return nil
}

// metadata answers both well-known addresses: OIDC Discovery §4 and RFC 8414 §3 read the same document.
func (p *Provider) metadata(w http.ResponseWriter, r *http.Request) error {
	return p.discovery.serve(w, r, "application/json", metadataMaxAge)
}

// issuerRelation is the link relation by which an application finds the issuer of a person (OIDC Discovery §2).
const issuerRelation = "http://openid.net/specs/connect/1.0/issuer"

// webfinger says which issuer is responsible for a person (OIDC Discovery §2, RFC 7033 §4). It answers for every well-formed account at our
// host, or at a domain that our host is part of (whose web server may pass the request on), and so tells nobody which accounts exist.
func (p *Provider) webfinger(w http.ResponseWriter, r *http.Request) error {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil || len(query["resource"]) != 1 || query.Get("resource") == "" {
		return oauth.Errorf(oauth.InvalidRequest, "send resource once, such as resource=acct:somebody@%s", p.base.Hostname())
	}
	resource := query.Get("resource")
	host, ok := accountHost(resource)
	if !ok {
		return oauth.Errorf(oauth.InvalidRequest, "resource must look like acct:somebody@%s or https://%s/somebody", p.base.Hostname(), p.base.Hostname())
	}
	if ours := strings.ToLower(p.base.Hostname()); host != ours && !strings.HasSuffix(ours, "."+host) {
		return oauth.Errorf(oauth.InvalidRequest, "this provider is not responsible for that host").WithStatus(http.StatusNotFound)
	}
	type link struct {
		Rel  string `json:"rel"`
		Href string `json:"href"`
	}
	answer := struct {
		Subject string `json:"subject"`
		Links   []link `json:"links"`
	}{resource, []link{}}
	if rel := query["rel"]; len(rel) == 0 || contains(rel, issuerRelation) {
		answer.Links = append(answer.Links, link{issuerRelation, p.Issuer})
	}
	d, err := newDocument(answer)
	if err != nil {
		return err
	}
	return d.serve(w, r, "application/jrd+json", metadataMaxAge)
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
