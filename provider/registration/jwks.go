package registration

import (
	"fmt"
	"net/http"

	"latchkey/provider/web"
)

// JWKS publishes the public keys (OIDC Core §10.1, RFC 7517 §5). How long they may be cached is the
// ring's word: a key is published for at least so long before it signs.
func (ep *Endpoints) JWKS(w http.ResponseWriter, r *http.Request) error {
	body, etag, maxAge, err := ep.Keys.JWKS(r.Context())
	if err != nil {
		w.Header().Set("Cache-Control", "no-store")
		return fmt.Errorf("publish keys: %w", err)
	}
	d := ep.keySet.Load()
	if d == nil || d.Etag() != etag {
		d = web.NewDocument(body, etag, "application/json", maxAge)
		ep.keySet.Store(d)
	}
	return d.Serve(w, r)
}
