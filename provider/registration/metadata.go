package registration

import (
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"latchkey/keys"
	"latchkey/provider/clients"
	"latchkey/provider/oauth"
	"latchkey/provider/people"
)

// Metadata describes the provider to applications (OIDC Discovery §3, RFC 8414 §2). The members are
// registered ones only, and what stands there is what works.
type Metadata struct {
	Issuer string `json:"issuer"`
	// Addresses are the endpoints by member, e.g. token_endpoint: those of the table that have one.
	Addresses map[string]string `json:"-"`

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

	IDTokenSigningAlgs        []string `json:"id_token_signing_alg_values_supported"`
	IDTokenEncryptionAlgs     []string `json:"id_token_encryption_alg_values_supported"`
	IDTokenEncryptionEncs     []string `json:"id_token_encryption_enc_values_supported"`
	UserinfoSigningAlgs       []string `json:"userinfo_signing_alg_values_supported"`
	UserinfoEncryptionAlgs    []string `json:"userinfo_encryption_alg_values_supported"`
	UserinfoEncryptionEncs    []string `json:"userinfo_encryption_enc_values_supported"`
	RequestObjectSigningAlgs  []string `json:"request_object_signing_alg_values_supported"`
	RequestObjectEncryptAlgs  []string `json:"request_object_encryption_alg_values_supported"`
	RequestObjectEncryptEncs  []string `json:"request_object_encryption_enc_values_supported"`
	TokenAuthMethods          []string `json:"token_endpoint_auth_methods_supported"`
	TokenAuthSigningAlgs      []string `json:"token_endpoint_auth_signing_alg_values_supported"`
	RevocationAuthMethods     []string `json:"revocation_endpoint_auth_methods_supported"`
	RevocationAuthSigningAlgs []string `json:"revocation_endpoint_auth_signing_alg_values_supported"`
	IntrospectAuthMethods     []string `json:"introspection_endpoint_auth_methods_supported"`
	IntrospectAuthSigningAlgs []string `json:"introspection_endpoint_auth_signing_alg_values_supported"`
	DPoPSigningAlgs           []string `json:"dpop_signing_alg_values_supported"` // RFC 9449 §5.1
	// RFC 7636 §6.2: S256 only
	CodeChallengeMethods       []string `json:"code_challenge_methods_supported"`
	IssInAuthorizationResponse bool     `json:"authorization_response_iss_parameter_supported"` // RFC 9207 §3

	ClaimsParameter               bool `json:"claims_parameter_supported"`
	RequestParameter              bool `json:"request_parameter_supported"`
	RequestURIParameter           bool `json:"request_uri_parameter_supported"`
	RequireRequestURIRegistration bool `json:"require_request_uri_registration"`
	RequirePushed                 bool `json:"require_pushed_authorization_requests"` // RFC 9126 §5
	BackchannelLogout             bool `json:"backchannel_logout_supported"`          // Back-Channel Logout §2.1
	BackchannelLogoutSession      bool `json:"backchannel_logout_session_supported"`  // Back-Channel Logout §2.1
	FrontchannelLogout            bool `json:"frontchannel_logout_supported"`         // Front-Channel Logout §3
	FrontchannelLogoutSession     bool `json:"frontchannel_logout_session_supported"` // Front-Channel Logout §3
}

// MarshalJSON writes the members and the addresses as one object.
func (m Metadata) MarshalJSON() ([]byte, error) {
	type plain Metadata
	members, err := json.Marshal(plain(m))
	if err != nil || len(m.Addresses) == 0 {
		return members, err
	}
	addresses, err := json.Marshal(m.Addresses)
	if err != nil {
		return nil, err
	}
	return append(append(members[:len(members)-1], ','), addresses[1:]...), nil
}

// metadataMaxAge is how long the metadata may be cached. It changes only with the configuration.
const metadataMaxAge = time.Hour

// describe makes the metadata from the configuration alone: nothing that a request says has any
// part in it.
func (ep *Endpoints) describe() Metadata {
	signing := slices.Clone(keys.SigningAlgorithms)
	requests := slices.Clone(keys.AcceptedSigningAlgorithms)
	if ep.InsecureAllowNone {
		signing, requests = append(signing, "none"), append(requests, "none")
	}
	assertions := slices.Concat(keys.AcceptedSigningAlgorithms, keys.HMACAlgorithms)
	confidential := slices.DeleteFunc(slices.Clone(clients.AuthMethods),
		func(m string) bool { return m == oauth.AuthNone })
	prompts := []string{"none", "login", "consent", "select_account"}
	if ep.OffersSignUp {
		prompts = append(prompts, oauth.PromptCreate)
	}
	m := Metadata{
		Issuer:          ep.Web.Issuer,
		ScopesSupported: oauth.Scopes, ResponseTypesSupported: oauth.ResponseTypes,
		ResponseModesSupported: []string{oauth.ModeQuery, oauth.ModeFragment, oauth.ModeFormPost},
		GrantTypesSupported:    ep.grantTypes(),
		ACRValuesSupported:     people.ACRValues(),
		SubjectTypesSupported:  []string{clients.SubjectPublic, clients.SubjectPairwise},
		PromptValuesSupported:  prompts,
		DisplayValuesSupported: []string{"page"},
		ClaimTypesSupported:    []string{"normal"},
		ClaimsSupported: append([]string{"sub", "iss", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr"},
			oauth.Claims()...),
		UILocalesSupported: ep.Web.Templates.Locales(),

		IDTokenSigningAlgs: signing, IDTokenEncryptionAlgs: keys.EncryptionAlgorithms,
		IDTokenEncryptionEncs: keys.ContentEncryptionAlgorithms,
		UserinfoSigningAlgs:   keys.SigningAlgorithms, UserinfoEncryptionAlgs: keys.EncryptionAlgorithms,
		UserinfoEncryptionEncs:   keys.ContentEncryptionAlgorithms,
		RequestObjectSigningAlgs: requests, RequestObjectEncryptAlgs: keys.EncryptionAlgorithms,
		RequestObjectEncryptEncs: keys.ContentEncryptionAlgorithms,
		TokenAuthMethods:         clients.AuthMethods, TokenAuthSigningAlgs: assertions,
		RevocationAuthMethods: clients.AuthMethods, RevocationAuthSigningAlgs: assertions,
		IntrospectAuthMethods: confidential, IntrospectAuthSigningAlgs: assertions,
		DPoPSigningAlgs:      keys.ProofAlgorithms,
		CodeChallengeMethods: []string{"S256"}, IssInAuthorizationResponse: true,

		ClaimsParameter: true, RequestParameter: true, RequestURIParameter: true, RequireRequestURIRegistration: true,
		RequirePushed:     ep.RequirePushed,
		BackchannelLogout: true, BackchannelLogoutSession: true, FrontchannelLogout: true,
		FrontchannelLogoutSession: true,
	}
	return m
}

// Metadata answers both well-known addresses: OIDC Discovery §4 and RFC 8414 §3 read the same
// document.
func (ep *Endpoints) Metadata(w http.ResponseWriter, r *http.Request) error {
	return ep.discovery.Serve(w, r)
}
