package clientauth

import (
	"latchkey/keys"
	"latchkey/provider/clients"
	"latchkey/provider/outbound"
	"latchkey/provider/storage"
	"latchkey/provider/web"
)

// Config is what an Authenticator needs. All fields must be set.
type Config struct {
	Web      *web.Site
	Store    *storage.Store
	Sealer   *keys.Sealer
	Secrets  *clients.SecretHasher
	Outbound *outbound.Client
}

// Authenticator finds out which client a request is from, and knows the keys that clients publish.
type Authenticator struct {
	Config
	published *outbound.Cache[*keys.Set] // by jwks_uri
	failures  *web.Limit                 // failed client authentications, by client_id and network
}

// New makes an Authenticator.
func New(cfg Config) *Authenticator {
	return &Authenticator{
		Config: cfg, failures: web.NewLimit(failuresAllowed, failuresWindow),
		published: outbound.NewCache[*keys.Set](outbound.CacheConfig{Fresh: keysFreshFor, Cooldown: keysCooldown, Most: maxKeptSets, Patience: keysPatience}),
	}
}
