package grants

import (
	"net/http"

	"latchkey/provider/clientauth"
	"latchkey/provider/oauth"
	"latchkey/provider/web"
)

// PresentedToken is ReadAccessToken for a token that opens something here, at the endpoint at path:
// whoever presents it has to prove that they have the key that it is bound to (RFC 9449 §7.1,
// §7.2). The proof is used up. The error is ErrNoToken, an *oauth.Error about the proof, or a fault
// of the store.
func (gs *Grants) PresentedToken(w http.ResponseWriter, r *http.Request, path string,
	presented web.Presented) (AccessToken, error) {
	t, err := gs.ReadAccessToken(r.Context(), presented.Value)
	if err != nil {
		return AccessToken{}, err
	}
	bound := t.Confirmation.JKT
	switch {
	case bound == "" && presented.DPoP:
		return AccessToken{}, oauth.Errorf(oauth.InvalidToken,
			"the access token is not bound to a key; send it as Authorization: Bearer")
	case bound == "":
		return t, nil
	case !presented.DPoP:
		return AccessToken{}, oauth.Errorf(oauth.InvalidToken,
			"the access token is bound to a key; send it as Authorization: DPoP, with a proof (RFC 9449 section 7.1)")
	}
	proof, err := gs.Clients.ReadProof(w, r, path, clientauth.NonceResource, presented.Value)
	switch {
	case err != nil:
		return AccessToken{}, err
	case proof.JKT == "":
		return AccessToken{}, oauth.Errorf(oauth.InvalidDPoPProof, "the DPoP header is missing (RFC 9449 section 7.1)")
	case proof.JKT != bound:
		return AccessToken{}, oauth.Errorf(oauth.InvalidToken, "the access token is bound to another key")
	}
	return t, gs.Clients.UseProof(r.Context(), proof)
}
