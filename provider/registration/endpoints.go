package registration

import (
	"fmt"
	"sync/atomic"
	"time"

	"latchkey/keys"
	"latchkey/provider/admin"
	"latchkey/provider/clientauth"
	"latchkey/provider/clients"
	"latchkey/provider/outbound"
	"latchkey/provider/storage"
	"latchkey/provider/web"
)

// Config is what Endpoints needs. All fields must be set, but the last two.
type Config struct {
	Web      *web.Site
	Store    *storage.Store
	Keys     *keys.Ring
	Admin    *admin.Admin // who stores, changes and deletes clients
	Secrets  *clients.SecretHasher
	Clients  *clientauth.Authenticator
	Outbound *outbound.Client

	GrantTypes           []clients.GrantType // those that the token endpoint and registration know
	Registration         Mode
	RegistrationsPerHour int           // per client address; 0: no limit
	Resources            []string      // that clients which register themselves may ask for tokens for (RFC 8707)
	UnusedFor            time.Duration // after which a client that registered itself goes, unless it was used; 0: never
	InsecureAllowNone    bool
	OffersSignUp         bool // prompt=create leads to where people make an account
	RequirePushed        bool // every authorization request has to be pushed
}

// Endpoints describe the provider, and let clients register themselves.
type Endpoints struct {
	Config
	limit     *web.Limit                   // registrations per network and hour
	sites     *web.Limit                   // the same, per site
	logos     *outbound.Cache[picture]     // by logo_uri
	discovery *web.Document                // what /.well-known says, made once
	keySet    atomic.Pointer[web.Document] // what /jwks said last
}

// grantTypes names the grant types that clients may be registered for.
func (ep *Endpoints) grantTypes() []string {
	out := make([]string, len(ep.GrantTypes))
	for i, g := range ep.GrantTypes {
		out[i] = g.Name
	}
	return out
}

// perSite is how many times the registrations of one network a site may make: many have a whole
// IPv6 /48 of networks (see people.Site).
const perSite = 4

// New makes Endpoints. Discovery answers once Announce was called.
func New(cfg Config) *Endpoints {
	return &Endpoints{
		Config: cfg, limit: web.NewLimit(cfg.RegistrationsPerHour, time.Hour),
		sites: web.NewLimit(perSite*cfg.RegistrationsPerHour, time.Hour),
		logos: outbound.NewCache[picture](outbound.CacheConfig{Fresh: logoFor, Keep: oldLogoFor, Cooldown: noLogoFor,
			Most: maxLogos, Patience: logoPatience}),
	}
}

// Announce makes the provider metadata, which then lists the addresses: absolute URLs by member,
// e.g. token_endpoint. Call it once, before the first request.
func (ep *Endpoints) Announce(addresses map[string]string) error {
	metadata := ep.describe()
	metadata.Addresses = addresses
	var err error
	if ep.discovery, err = web.NewJSONDocument(metadata, "application/json", metadataMaxAge); err != nil {
		return fmt.Errorf("write provider metadata: %w", err)
	}
	return nil
}
