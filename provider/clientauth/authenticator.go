package clientauth

import (
	"crypto/sha256"

	lru "github.com/hashicorp/golang-lru/v2"

	"latchkey/keys"
	"latchkey/provider/clients"
	"latchkey/provider/outbound"
	"latchkey/provider/storage"
	"latchkey/provider/web"
)

// Config is what an Authenticator needs. All fields must be set, but for DPoPNonces.
type Config struct {
	Web      *web.Site
	Store    *storage.Store
	Sealer   *keys.Sealer
	Secrets  *clients.SecretHasher
	Outbound *outbound.Client
	// DPoPNonces demands a nonce of ours in each DPoP proof (RFC 9449 §8, §9).
	DPoPNonces bool
}

// Authenticator finds out which client a request is from, and knows the keys that clients publish.
type Authenticator struct {
	Config
	published *outbound.Cache[*keys.Set]               // by jwks_uri
	parsed    *lru.Cache[[sha256.Size]byte, *keys.Set] // registered sets, by what they consist of
	failures  *web.Limit                               // failed client authentications, by client_id and network
	floods    *web.Limit                               // all of them, by site
	nonceKey  []byte                                   // of DPoP nonces
}

// New makes an Authenticator.
func New(cfg Config) *Authenticator {
	parsed, err := lru.New[[sha256.Size]byte, *keys.Set](maxKeptSets)
	if err != nil {
		panic(err) // maxKeptSets is positive
	}
	return &Authenticator{
		Config: cfg, parsed: parsed, failures: web.NewLimit(failuresAllowed, failuresWindow),
		floods: web.NewLimit(floodAllowed, failuresWindow), nonceKey: cfg.Sealer.Derive("DPoP nonces", 32),
		published: outbound.NewCache[*keys.Set](outbound.CacheConfig{Fresh: keysFreshFor, Keep: keysKeptFor,
			Cooldown: keysCooldown, Most: maxKeptSets, Patience: keysPatience}),
	}
}
