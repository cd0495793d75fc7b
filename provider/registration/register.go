package registration

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"latchkey/provider/admin"
	"latchkey/provider/clients"
	"latchkey/provider/oauth"
	"latchkey/provider/people"
	"latchkey/provider/storage"
	"latchkey/provider/web"
)

const maxRegistration = 64 << 10 // bytes of a request

// registration is a client as it is told to itself (RFC 7591 §3.2.1, RFC 7592 §3).
type registration struct {
	ClientID         string `json:"client_id"`
	ClientIDIssuedAt int64  `json:"client_id_issued_at"` // seconds since 1970
	ClientSecret     string `json:"client_secret,omitempty"`
	// seconds since 1970; 0: never. There whenever ClientSecret is
	ClientSecretExpiresAt   *int64 `json:"client_secret_expires_at,omitempty"`
	RegistrationAccessToken string `json:"registration_access_token"`
	RegistrationClientURI   string `json:"registration_client_uri"`
	clients.Metadata
}

func (ep *Endpoints) registration(client clients.Client, secret, token string) registration {
	out := registration{
		ClientID: client.ID, ClientIDIssuedAt: client.CreatedAt.Unix(), ClientSecret: secret,
		RegistrationAccessToken: token, RegistrationClientURI: ep.Web.URL("/register/" + url.PathEscape(client.ID)),
		Metadata: client.Metadata,
	}
	if secret != "" {
		out.ClientSecretExpiresAt = new(int64)
	}
	return out
}

// Register is the registration endpoint (RFC 7591 §3, OIDC Registration §3).
func (ep *Endpoints) Register(w http.ResponseWriter, r *http.Request) error {
	initialToken, err := ep.mayRegister(r)
	if err != nil {
		return web.Challenge(w, err)
	}
	metadata, _, err := readMetadata(r)
	if err != nil {
		return err
	}
	token := storage.Random()
	client := dynamicClient(clients.Client{}, completed(metadata, ep.loopback()))
	if len(ep.Resources) > 0 {
		// the first one is for requests that name none
		client.Audience = append([]string{ep.Web.Issuer}, ep.Resources...)
	}
	client.RegistrationTokenHash = storage.Hash(token)
	if ep.UnusedFor > 0 {
		client.UnusedUntil = ep.Web.Now().Add(ep.UnusedFor).UTC().Truncate(time.Second)
	}
	client, secret, err := ep.Admin.CreateClient(r.Context(), ep.actor(r, clients.Client{}), admin.NewClient{
		Client: client, Policy: ep.policy(),
		Check: func(_ context.Context, c clients.Client) error {
			if wait := ep.count(ep.Web.ClientAddress(r)); wait > 0 {
				w.Header().Set("Retry-After", strconv.FormatInt(int64(wait/time.Second)+1, 10))
				return oauth.Errorf(oauth.TemporarilyUnavailable,
					"too many registrations from this address; try again later").WithStatus(http.StatusTooManyRequests)
			}
			return ep.checkAddresses(c)
		},
		// The initial access token is used up only when nothing is left to refuse: a typing error
		// does not cost it. Of several requests that come with it at once, one gets a client.
		Spend: func(ctx context.Context) error {
			if initialToken == "" {
				return nil
			}
			_, err := ep.Store.ConsumeToken(ctx, storage.TokenInitialAccess, storage.Hash(initialToken), ep.Web.Now())
			if errors.Is(err, storage.ErrNotFound) || errors.Is(err, storage.ErrConsumed) {
				return errInitialToken(err)
			}
			if err != nil {
				return fmt.Errorf("consume initial access token: %w", err)
			}
			return nil
		},
	})
	switch {
	case errors.Is(err, storage.ErrNotFound), errors.Is(err, storage.ErrConsumed):
		return web.Challenge(w, err)
	case err != nil:
		return fmt.Errorf("register client: %w", err)
	}
	web.Mention(r, "client_id", client.ID)
	web.WriteJSON(w, http.StatusCreated, ep.registration(client, secret, token))
	return nil
}

// count counts a registration from an address, or says how long to wait if there were too many.
func (ep *Endpoints) count(address string) (wait time.Duration) {
	now, site := ep.Web.Now(), people.Site(address)
	if wait = ep.sites.Wait(site, now); wait > 0 {
		return wait
	}
	if wait = ep.limit.Count(people.Network(address), now); wait > 0 {
		return wait
	}
	return ep.sites.Count(site, now)
}

// mayRegister checks who may use the endpoint and returns the initial access token that has to be
// consumed, "" if none is needed.
func (ep *Endpoints) mayRegister(r *http.Request) (string, error) {
	if ep.Registration == Open {
		return "", nil
	}
	value, err := web.BearerToken(r)
	if err != nil {
		return "", err
	}
	token, err := ep.Store.Token(r.Context(), storage.TokenInitialAccess, storage.Hash(value))
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return "", errInitialToken(err)
	case err != nil:
		return "", fmt.Errorf("look up initial access token: %w", err)
	case !token.ConsumedAt.IsZero() || !ep.Web.Now().Before(token.ExpiresAt):
		return "", errInitialToken(errors.New("it was used or has expired"))
	}
	return value, nil
}

func errInitialToken(cause error) error {
	return oauth.Errorf(oauth.InvalidToken,
		"the initial access token is unknown, used up or expired; ask the administrator of this provider for one").Because(cause)
}

// readMetadata reads the body of a registration or update: JSON of a bounded size, strict types,
// and no software statement, because nobody whose statements count is configured (RFC 7591 §2.3).
// rest is what is not client metadata.
func readMetadata(r *http.Request) (m clients.Metadata, rest map[string]json.RawMessage, err error) {
	mediatype, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if cs := params["charset"]; err != nil || mediatype != "application/json" || cs != "" &&
		!strings.EqualFold(cs, "utf-8") {
		return m, nil, oauth.Errorf(oauth.InvalidRequest,
			"Content-Type must be application/json").WithStatus(http.StatusUnsupportedMediaType)
	}
	body, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, maxRegistration))
	if err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			return m, nil, oauth.Errorf(oauth.InvalidRequest, "the body is larger than %d bytes",
				maxRegistration).WithStatus(http.StatusRequestEntityTooLarge)
		}
		return m, nil, oauth.Errorf(oauth.InvalidRequest, "the body could not be read").Because(err)
	}
	if m, rest, err = clients.ParseMetadata(body); err != nil {
		return m, nil, err
	}
	if s, ok := rest["software_statement"]; ok && string(s) != "null" {
		return m, nil, oauth.Errorf(oauth.UnapprovedSoftwareStatement,
			"this provider trusts nobody's software statements; leave software_statement out")
	}
	return m, rest, nil
}

// completed is the metadata with what follows from it although it is not said. Addresses on a
// device alone are those of a native application; many command-line tools do not say so. On a
// provider that is itself reached on loopback they may as well be a web application that is being
// developed.
func completed(m clients.Metadata, loopback bool) clients.Metadata {
	if m.ApplicationType == "" && !loopback && clients.OnDevice(m.RedirectURIs) {
		m.ApplicationType = "native"
	}
	return m
}

// dynamicClient is the client as it was before, or a new one, with the metadata and the defaults of
// a client that nobody has vouched for. What an administrator has decided stays as it is.
func dynamicClient(before clients.Client, m clients.Metadata) clients.Client {
	client := before
	client.Metadata, client.Dynamic = m, true
	switch {
	case m.ApplicationType == "native":
		client.Type = clients.TypeNative
	case m.TokenEndpointAuthMethod == oauth.AuthNone:
		client.Type = clients.TypeSPA
	default:
		client.Type = clients.TypeWeb
	}
	if m.TokenEndpointAuthMethod == "" {
		client.TokenEndpointAuthMethod = oauth.AuthClientSecretBasic // the default of RFC 7591 §2, whatever the type
	}
	// OpenID Connect knows no PKCE: an application that only follows that standard must be able to
	// sign people in, as long as it can prove who it is. One on a device cannot, whatever it says:
	// its secret is in everybody's hands (RFC 8252 §8.5).
	provable := func(c clients.Client) bool {
		return c.TokenEndpointAuthMethod != oauth.AuthNone && c.Type != clients.TypeNative
	}
	switch known := before.Version > 0; {
	case !known:
		client.WithoutPKCE, client.LegacyAssertionAudience = provable(client), true
	case !provable(before) || !provable(client):
		client.WithoutPKCE = provable(client)
	} // else what an administrator has decided stays
	return client
}

// policy is what a client may register by itself.
func (ep *Endpoints) policy() clients.Policy {
	return clients.Policy{
		Dynamic: true, AllowHTTPLoopback: ep.loopback(), AllowNone: ep.InsecureAllowNone, GrantTypes: ep.GrantTypes,
		KnownScopes: oauth.Scopes,
	}
}

// actor is the client that registers, or manages its registration, for the audit log.
func (ep *Endpoints) actor(r *http.Request, c clients.Client) admin.Actor {
	a := admin.Actor{Kind: storage.ActorClient, ID: c.ID, Address: ep.Web.ClientAddress(r), RequestID: web.RequestID(r)}
	if c.ID != "" {
		a.Name = c.Name()
	}
	return a
}

// loopback reports whether the provider itself is only reached on loopback, where applications are
// being developed.
func (ep *Endpoints) loopback() bool {
	return oauth.LoopbackHost(ep.Web.Base.Hostname())
}

// checkAddresses looks at the addresses that the provider will call for the client, as far as that
// can be seen without calling.
func (ep *Endpoints) checkAddresses(client clients.Client) error {
	addresses := [][2]string{{"jwks_uri", client.JWKSURI}, {"sector_identifier_uri", client.SectorIdentifierURI},
		{"backchannel_logout_uri", client.BackchannelLogoutURI}}
	for _, u := range client.RequestURIs {
		addresses = append(addresses, [2]string{"request_uris", u})
	}
	if strings.HasPrefix(client.LogoURI, "https:") {
		addresses = append(addresses, [2]string{"logo_uri", client.LogoURI})
	}
	for _, a := range addresses {
		if a[1] == "" {
			continue
		}
		if err := ep.Outbound.Check(a[1]); err != nil {
			return oauth.Errorf(oauth.InvalidClientMetadata, "%s must be an https address that this provider may call",
				a[0]).Because(err)
		}
	}
	return nil
}
