package clients

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"time"

	"latchkey/provider/oauth"
)

// Metadata is what an application says about itself (RFC 7591 §2, OIDC Registration §2).
// Zero values mean "not said"; Validate fills in the defaults.
type Metadata struct {
	RedirectURIs            []string `bson:"redirect_uris,omitempty" json:"redirect_uris,omitempty"`
	TokenEndpointAuthMethod string   `bson:"token_endpoint_auth_method,omitempty" json:"token_endpoint_auth_method,omitempty"`
	TokenEndpointAuthAlg    string   `bson:"token_endpoint_auth_signing_alg,omitempty" json:"token_endpoint_auth_signing_alg,omitempty"`
	GrantTypes              []string `bson:"grant_types,omitempty" json:"grant_types,omitempty"`
	ResponseTypes           []string `bson:"response_types,omitempty" json:"response_types,omitempty"`
	// web or native
	ApplicationType string   `bson:"application_type,omitempty" json:"application_type,omitempty"`
	Contacts        []string `bson:"contacts,omitempty" json:"contacts,omitempty"`
	ClientName      string   `bson:"client_name,omitempty" json:"client_name,omitempty"`
	ClientURI       string   `bson:"client_uri,omitempty" json:"client_uri,omitempty"`
	LogoURI         string   `bson:"logo_uri,omitempty" json:"logo_uri,omitempty"`
	PolicyURI       string   `bson:"policy_uri,omitempty" json:"policy_uri,omitempty"`
	TOSURI          string   `bson:"tos_uri,omitempty" json:"tos_uri,omitempty"`
	// what it may ask for, space separated; empty: every scope of the provider
	Scope string `bson:"scope,omitempty" json:"scope,omitempty"`

	JWKSURI string          `bson:"jwks_uri,omitempty" json:"jwks_uri,omitempty"`
	JWKS    json.RawMessage `bson:"jwks,omitempty" json:"jwks,omitempty"`

	SectorIdentifierURI string `bson:"sector_identifier_uri,omitempty" json:"sector_identifier_uri,omitempty"`
	// public or pairwise (OIDC Core §8)
	SubjectType string `bson:"subject_type,omitempty" json:"subject_type,omitempty"`

	IDTokenSignedResponseAlg     string `bson:"id_token_signed_response_alg,omitempty" json:"id_token_signed_response_alg,omitempty"`
	IDTokenEncryptedResponseAlg  string `bson:"id_token_encrypted_response_alg,omitempty" json:"id_token_encrypted_response_alg,omitempty"`
	IDTokenEncryptedResponseEnc  string `bson:"id_token_encrypted_response_enc,omitempty" json:"id_token_encrypted_response_enc,omitempty"`
	UserinfoSignedResponseAlg    string `bson:"userinfo_signed_response_alg,omitempty" json:"userinfo_signed_response_alg,omitempty"`
	UserinfoEncryptedResponseAlg string `bson:"userinfo_encrypted_response_alg,omitempty" json:"userinfo_encrypted_response_alg,omitempty"`
	UserinfoEncryptedResponseEnc string `bson:"userinfo_encrypted_response_enc,omitempty" json:"userinfo_encrypted_response_enc,omitempty"`
	// AccessTokenSignedResponseAlg is said by an API: what signs the access tokens that are for it.
	// Empty: the provider's default.
	AccessTokenSignedResponseAlg string `bson:"access_token_signed_response_alg,omitempty" json:"access_token_signed_response_alg,omitempty"`
	// "none" permits unsigned ones, and only then
	RequestObjectSigningAlg    string `bson:"request_object_signing_alg,omitempty" json:"request_object_signing_alg,omitempty"`
	RequestObjectEncryptionAlg string `bson:"request_object_encryption_alg,omitempty" json:"request_object_encryption_alg,omitempty"`
	RequestObjectEncryptionEnc string `bson:"request_object_encryption_enc,omitempty" json:"request_object_encryption_enc,omitempty"`
	// RFC 9101 §10.5
	RequireSignedRequestObject bool `bson:"require_signed_request_object,omitempty" json:"require_signed_request_object,omitempty"`

	// RFC 9126 §6
	RequirePushedAuthorizationRequests bool `bson:"require_pushed_authorization_requests,omitempty" json:"require_pushed_authorization_requests,omitempty"`

	// DPoPBoundAccessTokens wants a DPoP proof with each token request (RFC 9449 §5.2).
	DPoPBoundAccessTokens bool `bson:"dpop_bound_access_tokens,omitempty" json:"dpop_bound_access_tokens,omitempty"`

	DefaultMaxAge    *int64   `bson:"default_max_age,omitempty" json:"default_max_age,omitempty"` // seconds
	RequireAuthTime  bool     `bson:"require_auth_time,omitempty" json:"require_auth_time,omitempty"`
	DefaultACRValues []string `bson:"default_acr_values,omitempty" json:"default_acr_values,omitempty"`
	InitiateLoginURI string   `bson:"initiate_login_uri,omitempty" json:"initiate_login_uri,omitempty"`
	RequestURIs      []string `bson:"request_uris,omitempty" json:"request_uris,omitempty"`

	// RP-Initiated Logout §3.1
	PostLogoutRedirectURIs []string `bson:"post_logout_redirect_uris,omitempty" json:"post_logout_redirect_uris,omitempty"`
	// Back-Channel Logout §2.2
	BackchannelLogoutURI string `bson:"backchannel_logout_uri,omitempty" json:"backchannel_logout_uri,omitempty"`
	// Back-Channel Logout §2.2
	BackchannelLogoutSessionRequired bool `bson:"backchannel_logout_session_required,omitempty" json:"backchannel_logout_session_required,omitempty"`
	// Front-Channel Logout §2
	FrontchannelLogoutURI string `bson:"frontchannel_logout_uri,omitempty" json:"frontchannel_logout_uri,omitempty"`
	// Front-Channel Logout §2
	FrontchannelLogoutSessionRequired bool `bson:"frontchannel_logout_session_required,omitempty" json:"frontchannel_logout_session_required,omitempty"`

	SoftwareID      string `bson:"software_id,omitempty" json:"software_id,omitempty"`
	SoftwareVersion string `bson:"software_version,omitempty" json:"software_version,omitempty"`
}

// Types of application, as an administrator chooses them. They set the defaults that fit.
const (
	TypeWeb     = "web"     // runs on a server, keeps a secret
	TypeSPA     = "spa"     // runs in a browser, public
	TypeNative  = "native"  // runs on a device, public, loopback or private-use redirect (RFC 8252)
	TypeService = "service" // no person: client_credentials only
	TypeAPI     = "api"     // a resource server: introspects, is an audience, never asks for tokens
)

// Decisions are what an administrator decides about a client. A client cannot state them about
// itself.
type Decisions struct {
	// WithoutPKCE lets a confidential client leave out code_challenge. PKCE is required otherwise
	// (RFC 9700 §2.1.1).
	WithoutPKCE bool `bson:"without_pkce,omitempty" json:"without_pkce,omitempty"`
	// SkipConsent is for the operator's own applications: nobody is asked. It has no effect at a
	// redirect URI where anybody could pretend to be the client, see Impersonable.
	SkipConsent bool `bson:"skip_consent,omitempty" json:"skip_consent,omitempty"`
	// InsecureSilentLoopback lets SkipConsent, and what was allowed before, count at http redirect
	// URIs too. Whoever listens at that port is then sent tokens without a question. For
	// development and demonstrations on one's own machine.
	InsecureSilentLoopback bool `bson:"insecure_silent_loopback,omitempty" json:"insecure_silent_loopback,omitempty"`
	// ClaimsInIDToken also puts the scopes' identity claims into ID tokens, for applications that
	// read no userinfo.
	ClaimsInIDToken bool `bson:"claims_in_id_token,omitempty" json:"claims_in_id_token,omitempty"`
	// OpaqueAccessTokens issues random access tokens that only introspection can read, in place of
	// JWTs (RFC 9068).
	OpaqueAccessTokens bool `bson:"opaque_access_tokens,omitempty" json:"opaque_access_tokens,omitempty"`
	// EitherSecretMethod takes the client secret in the Authorization header or in the body,
	// whichever the library prefers (RFC 6749 §2.3.1). It is for clients that are registered for
	// one of the two.
	EitherSecretMethod bool `bson:"either_secret_method,omitempty" json:"either_secret_method,omitempty"`
	// RequireSecondFactor lets nobody in by password alone: whoever has no second factor sets one
	// up during the sign-in.
	RequireSecondFactor bool `bson:"require_second_factor,omitempty" json:"require_second_factor,omitempty"`
	// AllowedGroups names the groups whose members may use it; empty: everybody.
	AllowedGroups []string `bson:"allowed_groups,omitempty" json:"allowed_groups,omitempty"`
	// OwnerGroups names the groups whose application owners look after it; empty: none do, only
	// administrators.
	OwnerGroups []string `bson:"owner_groups,omitempty" json:"owner_groups,omitempty"`
	// Audience lists the resource identifiers that its access tokens may name (RFC 8707 §2). The
	// first is the audience of a request that names none; empty: the issuer. For an API it lists
	// the identifiers that the API answers to.
	Audience []string `bson:"audience,omitempty" json:"audience,omitempty"`
	// Origins may call token, userinfo and revocation from a browser (CORS), beside the origins of
	// its redirect URIs.
	Origins []string `bson:"origins,omitempty" json:"origins,omitempty"`
	// Accent is the colour of buttons and links on pages of a sign-in to it, such as #14594a; it is
	// changed until it can be read. Empty: the provider's.
	Accent string `bson:"accent,omitempty" json:"accent,omitempty"`
	// Welcome is a line on the sign-in page.
	Welcome string `bson:"welcome,omitempty" json:"welcome,omitempty"`
	// RefusalContact is whom the refusal page names when a person may not use the application.
	RefusalContact string `bson:"refusal_contact,omitempty" json:"refusal_contact,omitempty"`
	// LegacyAssertionAudience accepts the token endpoint as the aud of a client assertion beside
	// the issuer (OIDC Core §9).
	LegacyAssertionAudience bool `bson:"legacy_assertion_audience,omitempty" json:"legacy_assertion_audience,omitempty"`
	Disabled                bool `bson:"disabled,omitempty" json:"disabled,omitempty"`
}

// clockSlack is how far the clocks of two instances may differ.
const clockSlack = time.Minute

// RegisteredBy reports whether the client was there at that time. What was given to a client of the
// same client_id that was deleted before is not this one's.
func (c Client) RegisteredBy(at time.Time) bool { return !at.Before(c.CreatedAt.Add(-clockSlack)) }

// Client is a registered application.
type Client struct {
	ID        string `bson:"_id" json:"client_id"`
	Type      string `bson:"type" json:"type"`
	Metadata  `bson:",inline"`
	Decisions `bson:",inline"`

	// What the provider keeps.

	// came through the registration endpoint: nobody has vouched for it
	Dynamic    bool   `bson:"dynamic,omitempty" json:"dynamic,omitempty"`
	SecretHash []byte `bson:"secret_hash,omitempty" json:"-"` // keyed hash, see SecretHasher
	// only for client_secret_jwt, which needs the value
	SealedSecret          []byte    `bson:"sealed_secret,omitempty" json:"-"`
	SecretExpiresAt       time.Time `bson:"secret_expires_at,omitempty" json:"-"`       // zero: never
	RegistrationTokenHash string    `bson:"registration_token_hash,omitempty" json:"-"` // RFC 7592 §3, SHA-256
	// origins of Origins and RedirectURIs, see Metadata validation; what Store.OriginAllowed looks
	// at
	CORSOrigins []string `bson:"cors_origins,omitempty" json:"-"`
	// of an API that names what signs its tokens: its Audience, see Store.SigningAPIs
	SigningAudience []string `bson:"signing_audience,omitempty" json:"-"`
	// of pairwise subjects (OIDC Core §8.1), resolved at registration
	SectorHost string `bson:"sector_host,omitempty" json:"-"`
	// UnusedUntil is when a client that registered itself goes, because nobody has used it. Zero: it
	// stays.
	UnusedUntil time.Time `bson:"unused_until,omitempty" json:"unused_until,omitzero"`
	CreatedAt   time.Time `bson:"created_at" json:"created_at"`
	UpdatedAt   time.Time `bson:"updated_at" json:"updated_at"`
	Version     int64     `bson:"version" json:"-"`
}

// Public reports whether the client has no way to prove who it is (RFC 6749 §2.1).
func (c Client) Public() bool { return c.TokenEndpointAuthMethod == oauth.AuthNone }

// RequiresPKCE reports whether an authorization request without code_challenge is refused. It is,
// unless an administrator switched it off for a confidential client.
func (c Client) RequiresPKCE() bool { return c.Public() || !c.WithoutPKCE }

// MayGrant reports whether the client is registered for the grant type.
func (c Client) MayGrant(grantType string) bool { return slices.Contains(c.GrantTypes, grantType) }

// MayRespond reports whether the client is registered for the response type, given in canonical
// order.
func (c Client) MayRespond(responseType string) bool {
	return slices.ContainsFunc(c.ResponseTypes, func(s string) bool {
		rt, err := oauth.ParseResponseType(s)
		return err == nil && rt.String() == responseType
	})
}

// Name is what a person is shown.
func (c Client) Name() string {
	if c.ClientName != "" {
		return c.ClientName
	}
	return c.ID
}

// LogsOut reports whether the client wants to hear of the end of a session, so that its ID tokens
// need a sid.
func (c Client) LogsOut() bool { return c.BackchannelLogoutURI != "" || c.FrontchannelLogoutURI != "" }

// Appearance is what a user can tell a client by: name, links, logo, what it is, and the hosts or
// schemes that users come back to.
func (c Client) Appearance() []string {
	var places []string
	for _, uri := range c.RedirectURIs {
		place := Origin(uri)
		if u, err := url.Parse(uri); err == nil && (place == "" || oauth.LoopbackHost(u.Hostname())) {
			place = u.Scheme + "://" + u.Hostname()
		}
		places = append(places, place)
	}
	slices.Sort(places)
	return append([]string{c.Name(), c.ClientURI, c.LogoURI, c.PolicyURI, c.TOSURI, c.ApplicationType,
		c.TokenEndpointAuthMethod}, slices.Compact(places)...)
}

// Identity is kept with what a user has allowed the client, and what was allowed counts for the
// same identity only. It is "" for a client that an administrator vouches for. One that registered
// itself can become another one at any time (RFC 7592 §2.2).
func (c Client) Identity() string {
	if !c.Dynamic {
		return ""
	}
	text, err := json.Marshal(c.Appearance())
	if err != nil {
		panic(err) // plain strings
	}
	sum := sha256.Sum256(text)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// Impersonable reports whether anybody could receive, or redeem, what is sent to this redirect URI
// of the client: an application on a device that answers at a private-use scheme or at loopback, or
// a client without a secret that is not reached by https (RFC 8252 §8.6). The secret of an
// application on a device is in everybody's hands. An https address proves who answers there, if an
// administrator has registered it for an application that claims it.
func (c Client) Impersonable(redirectURI string) bool {
	secure := strings.HasPrefix(redirectURI, "https://")
	switch {
	case c.InsecureSilentLoopback && !c.Dynamic && strings.HasPrefix(redirectURI, "http://"):
		return false
	case c.ApplicationType == applicationNative:
		return c.Dynamic || !secure
	}
	return c.Public() && !secure
}

// AlwaysAsks reports whether SkipConsent has no effect at any of the client's redirect URIs,
// because anybody could pretend to be it there.
func (c Client) AlwaysAsks() bool {
	return len(c.RedirectURIs) > 0 && !slices.ContainsFunc(c.RedirectURIs,
		func(uri string) bool { return !c.Impersonable(uri) })
}
