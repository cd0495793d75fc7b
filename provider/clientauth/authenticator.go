package clientauth

import (
	"latchkey/keys"
	"latchkey/provider/clients"
	"latchkey/provider/outbound"
	"latchkey/provider/storage"
	"latchkey/provider/web"
)

// Authenticator finds out which client a request is from, and knows the keys that clients publish. All exported fields must be set.
type Authenticator struct {
	Web      *web.Site
	Store    *storage.Store
	Sealer   *keys.Sealer
	Secrets  *clients.SecretHasher
	Outbound *outbound.Client

	clientKeys     clientKeys     // what clients publish at their jwks_uri
	clientFailures clientFailures // failed client authentications
}
