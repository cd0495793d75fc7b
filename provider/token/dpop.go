package token

import (
	"net/http"

	"latchkey/provider/clientauth"
	"latchkey/provider/oauth"
	"latchkey/provider/storage"
)

// prove reads the DPoP proof of a token request, if there is one (RFC 9449 §5).
func (ep *Endpoints) prove(w http.ResponseWriter, r *http.Request) (clientauth.Proof, error) {
	return ep.Clients.ReadProof(w, r, "/token", clientauth.NonceServer, "")
}

// confirmation decides by which key the tokens of a request are bound: that of its proof, or none.
// What bound names is what its credential was bound to before; exact tells that it must be the very
// same key. A confidential client may change its key with a refresh token, because it authenticates
// (RFC 9449 §5). Nothing that was bound becomes a bearer token.
func (x exchange) confirmation(bound storage.Confirmation, exact bool) (storage.Confirmation, error) {
	jkt := x.proof.JKT
	switch {
	case jkt == "" && (bound.JKT != "" || x.client.DPoPBoundAccessTokens):
		return storage.Confirmation{}, oauth.Errorf(oauth.InvalidDPoPProof,
			"the tokens of this client are bound to a key; send a proof in the DPoP header (RFC 9449 section 5)")
	case exact && bound.JKT != "" && bound.JKT != jkt:
		return storage.Confirmation{}, oauth.Errorf(oauth.InvalidGrant,
			"the DPoP proof is by another key than the one that this is bound to")
	}
	return storage.Confirmation{JKT: jkt}, nil
}
