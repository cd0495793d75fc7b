package clients

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"latchkey/keys"
	"latchkey/provider/oauth"
)

// Policy says what may be registered, beyond what the standards say. The zero value is what an
// administrator may do.
type Policy struct {
	// Dynamic is for an application that registers itself: nobody vouches for it, so it gets
	// neither single-word schemes nor client_credentials, and http not even on loopback unless it
	// is native.
	Dynamic bool
	// AllowHTTPLoopback lets a dynamic application have http addresses on loopback hosts.
	AllowHTTPLoopback bool
	// AllowNone lets applications ask for unsigned ID tokens and request objects (alg none).
	AllowNone bool
	// GrantTypes are those that the provider knows. A client may be registered for no others.
	GrantTypes []GrantType
	// KnownScopes is what a dynamic application may name in scope.
	KnownScopes []string
}

// httpLoopback reports whether http is acceptable at all, at loopback hosts.
func (pol Policy) httpLoopback() bool { return !pol.Dynamic || pol.AllowHTTPLoopback }

// Values of application_type (OIDC Registration §2).
const (
	applicationWeb    = "web"
	applicationNative = "native"
)

// Values of subject_type (OIDC Core §8).
const (
	SubjectPublic   = "public"
	SubjectPairwise = "pairwise"
)

// AuthMethods are the ways a client may say who it is at the token endpoint, as published in
// token_endpoint_auth_methods_supported.
var AuthMethods = []string{oauth.AuthClientSecretBasic, oauth.AuthClientSecretPost, oauth.AuthClientSecretJWT,
	oauth.AuthPrivateKeyJWT, oauth.AuthNone}

// GrantType is a grant type that clients may be registered for.
type GrantType struct {
	Name           string // the grant_type, e.g. authorization_code
	SelfRegistered bool   // a client that registers itself may ask for it, too
}

// grantTypes names the grant types that the policy allows a client.
func (pol Policy) grantTypes() []string {
	var out []string
	for _, g := range pol.GrantTypes {
		if g.SelfRegistered || !pol.Dynamic {
			out = append(out, g.Name)
		}
	}
	return out
}

const (
	maxList    = 50
	maxName    = 200 // characters
	maxJWKS    = 64 << 10
	maxSeconds = 1 << 31
)

// Validate checks what an application says about itself, and fills in the defaults (RFC 7591 §2,
// OIDC Registration §2, RP-Initiated Logout §3.1, Back-Channel Logout §2.2,
// Front-Channel Logout §2, RFC 9101 §10.5). What comes out may be validated again and stays the
// same.
//
// The error is an *oauth.Error with the code invalid_redirect_uri or invalid_client_metadata
// (RFC 7591 §3.2.2) and a sentence that says what was expected, or several of them joined:
// errors.As finds the first.
func Validate(m Metadata, pol Policy) (Metadata, error) { return validate(m, pol, "") }

// validate is Validate for a type of application; service and api have no redirects.
func validate(m Metadata, pol Policy, typ string) (Metadata, error) {
	m.ResponseTypes = slices.Clone(m.ResponseTypes) // written in canonical order below; the caller's stay as they are
	type check func(*Metadata, Policy, string) error
	// What kind of client it is decides what the rest is measured by.
	for _, check := range []check{checkKind, checkGrants} {
		if err := check(&m, pol, typ); err != nil {
			return Metadata{}, err
		}
	}
	var found []error
	for _, check := range []check{checkRedirects, checkTexts, checkAddresses, checkAuthentication, checkAlgorithms,
		checkSignIn} {
		found = append(found, check(&m, pol, typ))
	}
	err := joined(found...)
	if err == nil {
		err = checkSubject(&m, pol, typ) // of the redirect URIs, which are good now
	}
	if err != nil {
		return Metadata{}, err
	}
	return m, nil
}

// joined is the errors that are not nil as one: nil, the only one, or all of them joined.
func joined(errs ...error) error {
	var found []error
	for _, err := range errs {
		if many, ok := err.(interface{ Unwrap() []error }); ok {
			found = append(found, many.Unwrap()...)
		} else if err != nil {
			found = append(found, err)
		}
	}
	if len(found) == 1 {
		return found[0]
	}
	return errors.Join(found...)
}

// invalid is a refusal of the metadata.
func invalid(format string, args ...any) error {
	return oauth.Errorf(oauth.InvalidClientMetadata, format, args...)
}

func invalidRedirect(format string, args ...any) error {
	return oauth.Errorf(oauth.InvalidRedirectURI, format, args...)
}

// oneOf insists on a value of the list; "" is left alone.
func oneOf(name, value string, allowed []string) error {
	if value == "" || slices.Contains(allowed, value) {
		return nil
	}
	return invalid("%s must be one of %s", name, strings.Join(allowed, ", "))
}

// distinct removes repetitions; the first mention stays.
func distinct(list []string) []string {
	var out []string
	for _, v := range list {
		if !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	return out
}

func checkKind(m *Metadata, _ Policy, typ string) error {
	if m.ApplicationType == "" {
		m.ApplicationType = applicationWeb
		if typ == TypeNative {
			m.ApplicationType = applicationNative
		}
	}
	if m.TokenEndpointAuthMethod == "" {
		m.TokenEndpointAuthMethod = oauth.AuthClientSecretBasic
		if typ == TypeNative || typ == TypeSPA {
			m.TokenEndpointAuthMethod = oauth.AuthNone
		}
	}
	if m.SubjectType == "" {
		m.SubjectType = SubjectPublic
	}
	if m.IDTokenSignedResponseAlg == "" {
		m.IDTokenSignedResponseAlg = "RS256"
	}
	if err := oneOf("application_type", m.ApplicationType, []string{applicationWeb, applicationNative}); err != nil {
		return err
	}
	if err := oneOf("token_endpoint_auth_method", m.TokenEndpointAuthMethod, AuthMethods); err != nil {
		return err
	}
	return oneOf("subject_type", m.SubjectType, []string{SubjectPublic, SubjectPairwise})
}

// neededGrants is what a response type takes at the token endpoint and in the front channel
// (RFC 7591 §2.1).
func neededGrants(rt oauth.ResponseType) []string {
	var out []string
	if rt.Code {
		out = append(out, oauth.GrantAuthorizationCode)
	}
	if rt.FrontChannel() {
		out = append(out, oauth.GrantImplicit)
	}
	return out
}

// checkGrants makes grant types and response types fit each other (RFC 7591 §2.1). Where one of
// them is not said it follows from the other.
func checkGrants(m *Metadata, pol Policy, typ string) error {
	switch typ {
	case TypeAPI:
		if len(m.GrantTypes)+len(m.ResponseTypes) > 0 {
			return invalid("an application of type api asks for no tokens: leave out grant_types and response_types")
		}
		return nil
	case TypeService:
		if len(m.GrantTypes) == 0 {
			m.GrantTypes = []string{oauth.GrantClientCredentials}
		}
		if len(m.ResponseTypes) > 0 || !slices.Equal(m.GrantTypes, []string{oauth.GrantClientCredentials}) {
			return invalid("an application of type service has grant_types client_credentials and no response_types")
		}
	}
	if len(m.GrantTypes) > maxList || len(m.ResponseTypes) > maxList {
		return invalid("grant_types and response_types may have %d values at most", maxList)
	}
	m.GrantTypes = distinct(m.GrantTypes)
	allowed := pol.grantTypes()
	if pol.Dynamic {
		// A client that registers itself names all that it could use. It is told what it may have
		// (RFC 7591 §3.2.1).
		if usable := usableOf(m.GrantTypes, allowed); len(usable) > 0 {
			m.GrantTypes = usable
		}
	}
	for _, g := range m.GrantTypes {
		if !slices.Contains(allowed, g) {
			return invalid("grant_types may contain %s", strings.Join(allowed, ", "))
		}
	}
	if len(m.ResponseTypes) == 0 && (len(m.GrantTypes) == 0 || slices.Contains(m.GrantTypes,
		oauth.GrantAuthorizationCode)) {
		m.ResponseTypes = []string{"code"}
	}
	var needed []string
	for i, s := range m.ResponseTypes {
		rt, err := oauth.ParseResponseType(s)
		if err != nil {
			return invalid("response_types may contain %s", strings.Join(oauth.ResponseTypes, ", "))
		}
		m.ResponseTypes[i] = rt.String()
		needed = append(needed, neededGrants(rt)...)
	}
	m.ResponseTypes = distinct(m.ResponseTypes)
	if len(m.GrantTypes) == 0 {
		// With response_type none alone there is nothing to exchange; the default says so least
		// badly.
		if m.GrantTypes = distinct(needed); len(m.GrantTypes) == 0 {
			m.GrantTypes = []string{oauth.GrantAuthorizationCode}
		}
	}
	for _, g := range needed {
		if !slices.Contains(m.GrantTypes, g) {
			return invalid("the response_types need %s in grant_types (RFC 7591 section 2.1)", g)
		}
	}
	if m.DPoPBoundAccessTokens && slices.ContainsFunc(m.ResponseTypes, func(s string) bool {
		rt, err := oauth.ParseResponseType(s)
		return err == nil && rt.Token
	}) {
		return invalid("dpop_bound_access_tokens goes with response_types without token: " +
			"what comes from the authorization endpoint cannot be bound to a key (RFC 9449 section 5.2)")
	}
	switch has := func(g string) bool { return slices.Contains(m.GrantTypes, g) }; {
	case has(oauth.GrantImplicit) && len(m.ResponseTypes) == 0:
		return invalid("grant_types implicit needs response_types that say what is wanted, such as id_token (RFC 7591 section 2.1)")
	case has(oauth.GrantRefreshToken) && !has(oauth.GrantAuthorizationCode):
		return invalid("grant_types refresh_token needs authorization_code too: refresh tokens only come with a code")
	case has(oauth.GrantClientCredentials) && m.TokenEndpointAuthMethod == oauth.AuthNone:
		return invalid("grant_types client_credentials needs a client that authenticates; token_endpoint_auth_method must not be none (RFC 6749 section 4.4)")
	}
	return nil
}

func checkRedirects(m *Metadata, pol Policy, _ string) error {
	if len(m.RedirectURIs) > maxList || len(m.PostLogoutRedirectURIs) > maxList {
		return invalidRedirect("redirect_uris and post_logout_redirect_uris may have %d values at most", maxList)
	}
	if len(m.ResponseTypes) == 0 && len(m.RedirectURIs) > 0 {
		return invalidRedirect("redirect_uris are only for applications that people sign in to; leave them out or add grant_types authorization_code")
	}
	if len(m.ResponseTypes) > 0 && len(m.RedirectURIs) == 0 {
		return invalidRedirect("redirect_uris must name at least one address that people come back to, such as https://app.example.com/callback")
	}
	var found []error
	for i, uri := range m.RedirectURIs {
		if err := checkRedirectURI(uri, m.ApplicationType, pol, reservedParameters); err != nil {
			found = append(found, invalidRedirect("redirect_uris number %d %s", i+1, err))
		} else if m.ApplicationType == applicationWeb && slices.Contains(m.GrantTypes, oauth.GrantImplicit) &&
			strings.HasPrefix(uri, "http:") {
			found = append(found, invalidRedirect("redirect_uris number %d must be https: tokens travel in it (OpenID Connect Registration section 2)", i+1))
		}
	}
	for i, uri := range m.PostLogoutRedirectURIs {
		if err := checkRedirectURI(uri, m.ApplicationType, pol, []string{"state"}); err != nil {
			found = append(found, invalid("post_logout_redirect_uris number %d %s", i+1, err))
		}
	}
	m.RedirectURIs, m.PostLogoutRedirectURIs = distinct(m.RedirectURIs), distinct(m.PostLogoutRedirectURIs)
	return joined(found...)
}

// checkTexts bounds what people will read, and keeps characters out of it that make a text look
// like another one.
func checkTexts(m *Metadata, pol Policy, _ string) error {
	m.ClientName = strings.TrimSpace(m.ClientName)
	if len(m.Contacts) > maxList {
		return invalid("contacts may have %d values at most", maxList)
	}
	for _, t := range append([][2]string{{"client_name", m.ClientName}, {"software_id", m.SoftwareID},
		{"software_version", m.SoftwareVersion}}, pairs("contacts", m.Contacts)...) {
		if err := CheckText(t[1]); err != nil {
			return invalid("%s %s", t[0], err)
		}
	}
	scope, err := oauth.ParseScope(m.Scope)
	if err != nil {
		return invalid("scope must be a list of values separated by blanks (RFC 6749 section 3.3)")
	}
	if pol.Dynamic {
		if usable := usableOf(scope, pol.KnownScopes); len(usable) > 0 {
			scope = usable
		}
		for _, s := range scope {
			if !slices.Contains(pol.KnownScopes, s) {
				return invalid("scope may contain %s", strings.Join(pol.KnownScopes, ", "))
			}
		}
	}
	m.Scope = oauth.JoinScope(scope)
	return nil
}

// usableOf picks those of the list that are among all.
func usableOf(list, all []string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(v string) bool { return !slices.Contains(all, v) })
}

func pairs(name string, values []string) [][2]string {
	out := make([][2]string, len(values))
	for i, v := range values {
		out[i] = [2]string{name, v}
	}
	return out
}

// CheckText says what is wrong with a short text that people will read: 200 characters at most, no
// control characters, none that are invisible or turn the direction of what follows (two names that
// look alike must not be different ones). Joiners stay where scripts and emoji need them, which is
// not behind an ASCII character.
func CheckText(s string) error {
	if !utf8.ValidString(s) {
		return errors.New("must be valid UTF-8")
	}
	if utf8.RuneCountInString(s) > maxName {
		return fmt.Errorf("must not be longer than %d characters", maxName)
	}
	before := ' '
	for _, r := range s {
		switch {
		case (r == '\u200c' || r == '\u200d') && before > unicode.MaxASCII:
		case unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Co) || r == utf8.RuneError:
			return errors.New("must not have control characters, line breaks, or invisible or direction-changing characters")
		}
		before = r
	}
	return nil
}

func checkAddresses(m *Metadata, pol Policy, _ string) error {
	var found []error
	for _, l := range [][2]string{{"client_uri", m.ClientURI}, {"logo_uri", m.LogoURI}, {"policy_uri", m.PolicyURI},
		{"tos_uri", m.TOSURI}} {
		if l[1] == "" {
			continue
		}
		if err := checkLink(l[1]); err != nil {
			found = append(found, invalid("%s %s", l[0], err))
		}
	}
	for _, e := range [][2]string{
		{"jwks_uri", m.JWKSURI}, {"sector_identifier_uri", m.SectorIdentifierURI},
		{"initiate_login_uri", m.InitiateLoginURI},
		{"backchannel_logout_uri", m.BackchannelLogoutURI}, {"frontchannel_logout_uri", m.FrontchannelLogoutURI},
	} {
		if e[1] == "" {
			continue
		}
		if err := checkEndpoint(e[1], pol); err != nil {
			found = append(found, invalid("%s %s", e[0], err))
		} else if strings.Contains(e[1], "#") {
			found = append(found, invalid("%s must not have a fragment", e[0]))
		}
	}
	if len(found) > 0 {
		return joined(found...)
	}
	if m.InitiateLoginURI != "" && !strings.HasPrefix(m.InitiateLoginURI, "https://") {
		return invalid("initiate_login_uri must be an https address (OpenID Connect Registration section 2)")
	}
	if m.FrontchannelLogoutURI != "" && !slices.ContainsFunc(m.RedirectURIs,
		func(r string) bool { return Origin(r) != "" && Origin(r) == Origin(m.FrontchannelLogoutURI) }) {
		return invalid("frontchannel_logout_uri must have scheme, host and port of one of the redirect_uris (Front-Channel Logout section 2)")
	}
	if len(m.RequestURIs) > maxList {
		return invalid("request_uris may have %d values at most", maxList)
	}
	for i, uri := range m.RequestURIs {
		// A fragment is fine here: it names the version of what is there (OIDC Core §6.2).
		if err := checkEndpoint(uri, pol); err != nil {
			found = append(found, invalid("request_uris number %d %s", i+1, err))
		} else if len(uri) > 512 {
			found = append(found, invalid("request_uris number %d must not be longer than 512 characters (OpenID Connect Core section 6.2)", i+1))
		}
	}
	return joined(found...)
}

// hasKeys reports whether the client's public keys are, or can be, known.
func (m *Metadata) hasKeys() bool { return len(m.JWKS) > 0 || m.JWKSURI != "" }

func checkAuthentication(m *Metadata, _ Policy, _ string) error {
	if string(m.JWKS) == "null" {
		m.JWKS = nil
	}
	if len(m.JWKS) > 0 {
		switch {
		case m.JWKSURI != "":
			return invalid("send either jwks or jwks_uri, not both (RFC 7591 section 2)")
		case len(m.JWKS) > maxJWKS:
			return invalid("jwks is larger than %d bytes", maxJWKS)
		}
		if _, err := keys.ParseSet(m.JWKS); err != nil {
			return invalid("jwks must be a JWK Set with at least one public key, RSA of 2048 bits or more, EC or Ed25519: %s", err)
		}
		if hasPrivateParts(m.JWKS) {
			return invalid("jwks must have public keys only; take out the private and symmetric ones, and use the exposed key no more (RFC 7591 section 2)")
		}
		m.JWKS = compact(m.JWKS)
	}
	switch m.TokenEndpointAuthMethod {
	case oauth.AuthPrivateKeyJWT:
		if !m.hasKeys() {
			return invalid("token_endpoint_auth_method private_key_jwt needs jwks or jwks_uri")
		}
		return oneOf("token_endpoint_auth_signing_alg", m.TokenEndpointAuthAlg, keys.AcceptedSigningAlgorithms)
	case oauth.AuthClientSecretJWT:
		return oneOf("token_endpoint_auth_signing_alg", m.TokenEndpointAuthAlg, keys.HMACAlgorithms)
	}
	return oneOf("token_endpoint_auth_signing_alg", m.TokenEndpointAuthAlg,
		slices.Concat(keys.AcceptedSigningAlgorithms, keys.HMACAlgorithms))
}

// hasPrivateParts reports whether a JWK Set has anything in it that is nobody's business but the
// owner's (RFC 7518 §6).
func hasPrivateParts(set json.RawMessage) bool {
	var s struct {
		Keys []map[string]json.RawMessage `json:"keys"`
	}
	if json.Unmarshal(set, &s) != nil {
		return true
	}
	for _, k := range s.Keys {
		for _, name := range []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"} {
			if _, ok := k[name]; ok {
				return true
			}
		}
	}
	return false
}

func compact(raw json.RawMessage) json.RawMessage {
	out, err := json.Marshal(raw) // valid JSON: keys.ParseSet has read it
	if err != nil {
		return raw
	}
	return out
}

func checkAlgorithms(m *Metadata, pol Policy, typ string) error {
	if m.AccessTokenSignedResponseAlg != "" && typ != TypeAPI {
		return invalid("access_token_signed_response_alg is said by the API that reads the tokens, not by the application that asks for them")
	}
	if err := oneOf("access_token_signed_response_alg", m.AccessTokenSignedResponseAlg,
		keys.SigningAlgorithms); err != nil {
		return err
	}
	if m.IDTokenSignedResponseAlg == "none" {
		switch {
		case !pol.AllowNone:
			return invalid("id_token_signed_response_alg must be one of %s", strings.Join(keys.SigningAlgorithms, ", "))
		case slices.ContainsFunc(m.ResponseTypes,
			func(s string) bool { rt, err := oauth.ParseResponseType(s); return err == nil && rt.IDToken }):
			return invalid("id_token_signed_response_alg none is not possible where ID tokens come from the authorization endpoint (OpenID Connect Registration section 2)")
		}
	} else if err := oneOf("id_token_signed_response_alg", m.IDTokenSignedResponseAlg,
		keys.SigningAlgorithms); err != nil {
		return err
	}
	if err := oneOf("userinfo_signed_response_alg", m.UserinfoSignedResponseAlg, keys.SigningAlgorithms); err != nil {
		return err
	}
	switch alg := m.RequestObjectSigningAlg; {
	case alg == "none":
		if !pol.AllowNone || m.RequireSignedRequestObject {
			return invalid("request_object_signing_alg must be one of %s", strings.Join(keys.AcceptedSigningAlgorithms,
				", "))
		}
	case alg != "" || m.RequireSignedRequestObject:
		if err := oneOf("request_object_signing_alg", alg, keys.AcceptedSigningAlgorithms); err != nil {
			return err
		}
		if !m.hasKeys() {
			return invalid("signed request objects need jwks or jwks_uri")
		}
	}
	for _, e := range []struct {
		name     string
		alg, enc *string
		toClient bool
	}{
		{"id_token_encrypted_response", &m.IDTokenEncryptedResponseAlg, &m.IDTokenEncryptedResponseEnc, true},
		{"userinfo_encrypted_response", &m.UserinfoEncryptedResponseAlg, &m.UserinfoEncryptedResponseEnc, true},
		{"request_object_encryption", &m.RequestObjectEncryptionAlg, &m.RequestObjectEncryptionEnc, false},
	} {
		if *e.alg == "" {
			if *e.enc != "" {
				return invalid("%s_enc is only possible with %s_alg (OpenID Connect Registration section 2)", e.name,
					e.name)
			}
			continue
		}
		if err := oneOf(e.name+"_alg", *e.alg, keys.EncryptionAlgorithms); err != nil {
			return err
		}
		if *e.enc == "" {
			*e.enc = keys.DefaultContentEncryption
		}
		if err := oneOf(e.name+"_enc", *e.enc, keys.ContentEncryptionAlgorithms); err != nil {
			return err
		}
		if !e.toClient {
			continue
		}
		if !m.hasKeys() {
			return invalid("%s_alg needs jwks or jwks_uri: there is no key to encrypt to", e.name)
		}
		if len(m.JWKS) > 0 {
			set, err := keys.ParseSet(m.JWKS)
			if err == nil {
				_, err = set.Encrypt([]byte("{}"), *e.alg, *e.enc, "JWT")
			}
			if err != nil {
				return invalid("%s_alg %s needs a key in jwks that it can be used with", e.name, *e.alg)
			}
		}
	}
	return nil
}

// checkSubject insists that pairwise subjects have one sector to be made for (OIDC Core §8.1).
func checkSubject(m *Metadata, _ Policy, _ string) error {
	if m.SubjectType == SubjectPairwise {
		if _, err := m.sectorHost(); err != nil {
			return err
		}
	}
	return nil
}

// sectorHost is the host of pairwise subjects: of sector_identifier_uri, else the only one of the
// redirect URIs (OIDC Core §8.1).
func (m *Metadata) sectorHost() (string, error) {
	if m.SectorIdentifierURI != "" {
		u, err := url.Parse(m.SectorIdentifierURI)
		if err != nil {
			return "", invalid("sector_identifier_uri is not a URI")
		}
		return strings.ToLower(u.Hostname()), nil
	}
	var hosts []string
	for _, uri := range m.RedirectURIs {
		if u, err := url.Parse(uri); err == nil && (u.Scheme == "https" || u.Scheme == "http") {
			hosts = append(hosts, strings.ToLower(u.Hostname()))
		} else {
			hosts = append(hosts, "")
		}
	}
	if hosts = distinct(hosts); len(hosts) != 1 || hosts[0] == "" {
		return "", invalid("subject_type pairwise needs redirect_uris at one host, or a sector_identifier_uri that lists them (OpenID Connect Core section 8.1)")
	}
	return hosts[0], nil
}

func checkSignIn(m *Metadata, _ Policy, _ string) error {
	if m.DefaultMaxAge != nil && (*m.DefaultMaxAge < 0 || *m.DefaultMaxAge > maxSeconds) {
		return invalid("default_max_age must be a number of seconds, 0 or more")
	}
	if len(m.DefaultACRValues) > maxList {
		return invalid("default_acr_values may have %d values at most", maxList)
	}
	for _, v := range m.DefaultACRValues {
		if v == "" || strings.ContainsAny(v, " ") || CheckText(v) != nil {
			return invalid("default_acr_values must be non-empty strings without blanks")
		}
	}
	if m.BackchannelLogoutSessionRequired && m.BackchannelLogoutURI == "" {
		return invalid("backchannel_logout_session_required needs backchannel_logout_uri")
	}
	if m.FrontchannelLogoutSessionRequired && m.FrontchannelLogoutURI == "" {
		return invalid("frontchannel_logout_session_required needs frontchannel_logout_uri")
	}
	return nil
}
