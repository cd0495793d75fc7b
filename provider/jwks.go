package provider

import (
	"fmt"
	"net/http"
)

// jwks publishes the public keys (OIDC Core §10.1, RFC 7517 §5). How long they may be cached is the ring's word: a key is published for
// at least so long before it signs.
func (p *Provider) jwks(w http.ResponseWriter, r *http.Request) error {
	body, etag, maxAge, err := p.Keys.JWKS(r.Context())
	if err != nil {
		w.Header().Set("Cache-Control", "no-store")
		return fmt.Errorf("publish keys: %w", err)
	}
	return document{body: body, etag: etag}.serve(w, r, "application/json", maxAge)
}
