package clients

import (
	"crypto/rand"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"latchkey/provider/oauth"
)

// Types lists the types of application.
var Types = []string{TypeWeb, TypeSPA, TypeNative, TypeService, TypeAPI}

// NewClient makes a client of the type with a new identifier: m with the defaults that fit the
// type, checked. The caller sets what an administrator decides and calls Prepare again, sets a
// secret if the client is not Public (see NewSecret, SetSecret), and the times.
//
//	web      a secret, authorization_code and refresh_token
//	spa      no secret, PKCE, authorization_code and refresh_token
//	native   as spa, with application_type native: loopback and private-use redirect URIs (RFC 8252)
//	service  a secret, client_credentials
//	api      a secret to introspect with; asks for no tokens
func NewClient(typ string, m Metadata, pol Policy) (Client, error) {
	return Prepare(Client{ID: NewID(), Type: typ, Metadata: WithDefaults(typ, m)}, pol)
}

// WithDefaults is m with the grant types that fit the type of application, unless it names some.
// Prepare knows the defaults that the standards give; these are an administrator's.
func WithDefaults(typ string, m Metadata) Metadata {
	if len(m.GrantTypes) == 0 && (typ == TypeWeb || typ == TypeSPA || typ == TypeNative) {
		m.GrantTypes = []string{oauth.GrantAuthorizationCode, oauth.GrantRefreshToken}
		for _, s := range m.ResponseTypes {
			if rt, err := oauth.ParseResponseType(s); err == nil && rt.FrontChannel() {
				m.GrantTypes = append(m.GrantTypes, oauth.GrantImplicit)
				break
			}
		}
	}
	return m
}

// Prepare is the one gate through which a client passes before it is stored, whoever made or
// changed it: the registration endpoint, the command line, or a file that is applied. It validates
// everything that is said about the client, fills in defaults, and works out what follows:
// CORSOrigins, SigningAudience and SectorHost. It does not touch secrets, times and Version.
//
// A sector_identifier_uri is not fetched here; whoever may reach the network compares it with the
// redirect URIs before. Errors are those of Validate.
func Prepare(c Client, pol Policy) (Client, error) {
	if !slices.Contains(Types, c.Type) {
		return Client{}, invalid("type must be one of %s", strings.Join(Types, ", "))
	}
	m, err := validate(c.Metadata, pol, c.Type)
	if err := joined(checkID(c.ID), err); err != nil {
		return Client{}, err
	}
	c.Metadata = m
	if err := c.checkDecisions(); err != nil {
		return Client{}, err
	}
	c.CORSOrigins = nil
	for _, uri := range append(slices.Clone(c.Origins), c.RedirectURIs...) {
		if o := Origin(uri); o != "" {
			c.CORSOrigins = append(c.CORSOrigins, o)
		}
	}
	c.CORSOrigins = distinct(c.CORSOrigins)
	c.SigningAudience = nil
	if c.AccessTokenSignedResponseAlg != "" {
		c.SigningAudience = slices.Clone(c.Audience)
	}
	c.SectorHost = ""
	if c.SubjectType == SubjectPairwise {
		if c.SectorHost, err = c.sectorHost(); err != nil {
			return Client{}, err
		}
	}
	return c, nil
}

// checkDecisions checks what an administrator decides about the client.
func (c *Client) checkDecisions() error {
	switch {
	case (c.Type == TypeSPA) && !c.Public():
		return invalid("an application of type spa cannot keep a secret; token_endpoint_auth_method must be none")
	case (c.Type == TypeService || c.Type == TypeAPI) && c.Public():
		return invalid("an application of type %s has to authenticate; token_endpoint_auth_method must not be none",
			c.Type)
	case (c.Type == TypeNative) != (c.ApplicationType == applicationNative):
		return invalid("application_type native goes with type native, and only with it")
	case c.WithoutPKCE && c.Public():
		return invalid("without_pkce is only for clients that authenticate (RFC 9700 section 2.1.1)")
	case c.EitherSecretMethod && c.TokenEndpointAuthMethod != oauth.AuthClientSecretBasic &&
		c.TokenEndpointAuthMethod != oauth.AuthClientSecretPost:
		return invalid("either_secret_method is only for clients that are registered for client_secret_basic or client_secret_post")
	case len(c.Origins) > maxList || len(c.Audience) > maxList || len(c.AllowedGroups) > maxList ||
		len(c.OwnerGroups) > maxList:
		return invalid("origins, audience, allowed_groups and owner_groups may have %d values at most", maxList)
	}
	for i, o := range c.Origins {
		if u, err := parseURI(o); err != nil || checkEndpoint(o, Policy{}) != nil || Origin(o) != o || u.Path != "" {
			return invalid("origins number %d must be scheme and host of an https address as a browser writes it, such as https://app.example.com", i+1)
		}
	}
	for i, a := range c.Audience {
		if !ValidResource(a) {
			return invalid("audience number %d must be an absolute URI without a fragment, such as https://api.example.com (RFC 8707 section 2)", i+1)
		}
	}
	for _, names := range []struct {
		member string
		list   []string
	}{{"allowed_groups", c.AllowedGroups}, {"owner_groups", c.OwnerGroups}} {
		for _, g := range names.list {
			if g == "" || CheckText(g) != nil {
				return invalid("%s must be names of groups", names.member)
			}
		}
	}
	if c.Accent != "" && !colour.MatchString(c.Accent) {
		return invalid("accent must be a colour such as #14594a")
	}
	if err := CheckText(c.Welcome); err != nil {
		return invalid("welcome %s", err)
	}
	if err := CheckText(c.RefusalContact); err != nil {
		return invalid("refusal_contact %s", err)
	}
	return nil
}

var colour = regexp.MustCompile(`^#[0-9a-fA-F]{6}$`)

// ValidResource reports whether a URI can name an API: absolute, without a fragment (RFC 8707 §2).
// urn: and api: are as good as https:, because nobody goes there.
func ValidResource(uri string) bool {
	u, err := url.Parse(uri)
	return err == nil && len(uri) <= maxURI && u.IsAbs() && !strings.ContainsAny(uri, "# \"<>\\^`{|}") &&
		CheckText(uri) == nil
}

// NewID makes a client identifier: 26 letters and digits, 130 random bits.
func NewID() string { return strings.ToLower(rand.Text()) }

// checkID accepts what fits into a form, a path and a log line without any encoding. Administrators may choose identifiers.
func checkID(id string) error {
	const allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.~"
	if id == "" || len(id) > 100 || strings.Trim(id, allowed) != "" || strings.Trim(id, ".") == "" {
		return invalid("client_id must be 1 to 100 letters, digits and - _ . ~")
	}
	return nil
}
