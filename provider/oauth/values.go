package oauth

import (
	"slices"
	"strings"
)

// Grant types.
const (
	GrantAuthorizationCode = "authorization_code" // RFC 6749 §4.1
	// RFC 6749 §4.2; names the front-channel response types at registration
	GrantImplicit          = "implicit"
	GrantRefreshToken      = "refresh_token"      // RFC 6749 §6
	GrantClientCredentials = "client_credentials" // RFC 6749 §4.4
)

// Response modes.
const (
	ModeQuery    = "query"     // OAuth 2.0 Multiple Response Type Encoding Practices §2.1
	ModeFragment = "fragment"  // OAuth 2.0 Multiple Response Type Encoding Practices §2.1
	ModeFormPost = "form_post" // OAuth 2.0 Form Post Response Mode §2
)

// Client authentication methods (RFC 7591 §2, OIDC Core §9).
const (
	AuthNone              = "none"
	AuthClientSecretBasic = "client_secret_basic"
	AuthClientSecretPost  = "client_secret_post"
	AuthClientSecretJWT   = "client_secret_jwt"
	AuthPrivateKeyJWT     = "private_key_jwt"
)

// ClientAssertionTypeJWT is the only client_assertion_type (RFC 7523 §2.2).
const ClientAssertionTypeJWT = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// Scopes with a meaning to the provider itself.
const (
	ScopeOpenID        = "openid"         // OIDC Core §3.1.2.1
	ScopeProfile       = "profile"        // OIDC Core §5.4
	ScopeEmail         = "email"          // OIDC Core §5.4
	ScopeAddress       = "address"        // OIDC Core §5.4
	ScopePhone         = "phone"          // OIDC Core §5.4
	ScopeGroups        = "groups"         // ours: the groups and roles claims (RFC 9068 §2.2.3.1)
	ScopeOfflineAccess = "offline_access" // OIDC Core §11
)

// Scopes lists every scope the provider itself understands, as published in scopes_supported.
var Scopes = []string{ScopeOpenID, ScopeProfile, ScopeEmail, ScopeAddress, ScopePhone, ScopeGroups, ScopeOfflineAccess}

// scopeClaims maps a scope to the claims it asks for (OIDC Core §5.4).
var scopeClaims = map[string][]string{
	ScopeProfile: {"name", "family_name", "given_name", "middle_name", "nickname", "preferred_username", "profile",
		"picture", "website", "gender", "birthdate", "zoneinfo", "locale", "updated_at"},
	ScopeEmail:   {"email", "email_verified"},
	ScopeAddress: {"address"},
	ScopePhone:   {"phone_number", "phone_number_verified"},
	ScopeGroups:  {"groups", "roles"},
}

// ScopeClaims lists the claims that one scope asks for; nil for a scope without claims.
func ScopeClaims(scope string) []string { return slices.Clone(scopeClaims[scope]) }

// ClaimsBeyond lists those of the claims that none of the scopes asks for.
func ClaimsBeyond(scope, claims []string) []string {
	return slices.DeleteFunc(slices.Clone(claims), func(claim string) bool {
		return slices.ContainsFunc(scope, func(s string) bool { return slices.Contains(scopeClaims[s], claim) })
	})
}

// Claims lists every claim about a person that can be obtained, as published in claims_supported
// with the protocol's own.
func Claims() []string {
	var all []string
	for _, s := range Scopes {
		all = append(all, scopeClaims[s]...)
	}
	return all
}

// ParseScope splits a scope parameter into its tokens, first mention wins, and
// refuses characters outside the grammar of RFC 6749 §3.3.
func ParseScope(s string) ([]string, error) {
	if len(s) > 4096 {
		return nil, Errorf(InvalidScope, "scope is longer than 4096 characters")
	}
	var out []string
	for _, tok := range strings.Split(s, " ") {
		if tok == "" {
			continue
		}
		for i := 0; i < len(tok); i++ {
			if c := tok[i]; c < 0x21 || c == '"' || c == '\\' || c > 0x7e {
				return nil, Errorf(InvalidScope, "scope contains a character that RFC 6749 section 3.3 does not allow")
			}
		}
		if !slices.Contains(out, tok) {
			out = append(out, tok)
		}
		if len(out) > 100 {
			return nil, Errorf(InvalidScope, "scope names more than 100 values")
		}
	}
	return out, nil
}

// JoinScope writes scope tokens as the parameter's value.
func JoinScope(scope []string) string { return strings.Join(scope, " ") }

// ResponseType is a parsed response_type (OAuth 2.0
// Multiple Response Type Encoding Practices §3, §5; OIDC Core §3).
type ResponseType struct {
	Code, IDToken, Token, None bool
}

// ParseResponseType reads a response_type: a space-delimited set, in any order. The bare "token" is
// refused: it says nothing about the person (OIDC Core §3) and RFC 9700 §2.1.2 forbids it.
func ParseResponseType(s string) (ResponseType, error) {
	var rt ResponseType
	if s == "" {
		return rt, Errorf(InvalidRequest, "response_type is missing; use response_type=code")
	}
	for _, v := range strings.Split(s, " ") {
		var seen *bool
		switch v {
		case "code":
			seen = &rt.Code
		case "id_token":
			seen = &rt.IDToken
		case "token":
			seen = &rt.Token
		case "none":
			seen = &rt.None
		default:
			return ResponseType{}, Errorf(UnsupportedResponseType,
				"response_type %s is not known; use response_type=code", v)
		}
		if *seen {
			return ResponseType{}, Errorf(UnsupportedResponseType, "response_type names a value twice")
		}
		*seen = true
	}
	switch {
	case rt.None && (rt.Code || rt.IDToken || rt.Token):
		return ResponseType{}, Errorf(UnsupportedResponseType,
			"response_type none cannot be combined with another value")
	case rt.Token && !rt.Code && !rt.IDToken:
		return ResponseType{}, Errorf(UnsupportedResponseType,
			"response_type token alone is not supported; use response_type=code")
	}
	return rt, nil
}

// String writes the response type in the canonical order of its registration, e.g. "code id_token
// token".
func (rt ResponseType) String() string {
	var out []string
	for _, v := range []struct {
		on   bool
		name string
	}{{rt.Code, "code"}, {rt.IDToken, "id_token"}, {rt.Token, "token"}, {rt.None, "none"}} {
		if v.on {
			out = append(out, v.name)
		}
	}
	return strings.Join(out, " ")
}

// FrontChannel reports whether a token travels in the authorization response itself.
// Such a response goes by fragment unless asked otherwise, and never by query
// (OAuth 2.0 Multiple Response Type Encoding Practices §3).
func (rt ResponseType) FrontChannel() bool { return rt.IDToken || rt.Token }

// DefaultMode is the response_mode in use when the request names none.
func (rt ResponseType) DefaultMode() string {
	if rt.FrontChannel() {
		return ModeFragment
	}
	return ModeQuery
}

// ResponseTypes lists every response_type the provider can answer.
var ResponseTypes = []string{"code", "id_token", "id_token token", "code id_token", "code token", "code id_token token",
	"none"}
