package registration

import (
	"fmt"
	"sync/atomic"

	"latchkey/keys"
	"latchkey/provider/clientauth"
	"latchkey/provider/clients"
	"latchkey/provider/outbound"
	"latchkey/provider/storage"
	"latchkey/provider/web"
)

// Config is what Endpoints needs. All fields must be set, but the last two.
type Config struct {
	Web      *web.Site
	Store    storage.Store
	Keys     *keys.Ring
	Sealer   *keys.Sealer
	Secrets  *clients.SecretHasher
	Clients  *clientauth.Authenticator
	Outbound *outbound.Client

	GrantTypes           []clients.GrantType // those that the token endpoint and registration know
	Registration         Mode
	RegistrationsPerHour int // per client address; 0: no limit
	InsecureAllowNone    bool
}

// Endpoints describe the provider, and let clients register themselves.
type Endpoints struct {
	Config
	limits    *registrationLimits
	logos     *logoCache
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

// New makes Endpoints.
func New(cfg Config) (*Endpoints, error) {
	ep := &Endpoints{Config: cfg, limits: newRegistrationLimits(cfg.RegistrationsPerHour), logos: newLogoCache()}
	var err error
	if ep.discovery, err = web.NewJSONDocument(ep.describe(), "application/json", metadataMaxAge); err != nil {
		return nil, fmt.Errorf("write provider metadata: %w", err)
	}
	return ep, nil
}
