package providertest

import (
	"testing"

	"latchkey/provider/clients"
)

// ObjectOf are the claims of a good request object of the client; change replaces some, nil removes
// one.
func (w *World) ObjectOf(c clients.Client, change map[string]any) map[string]any {
	now := w.Web.Now().Unix()
	claims := map[string]any{"iss": c.ID, "aud": w.Issuer, "client_id": c.ID, "iat": now, "nbf": now, "exp": now + 300,
		"response_type": "code", "redirect_uri": c.RedirectURIs[0],
		"scope": "openid", "state": "inside", "nonce": "inside", "code_challenge": TestChallenge,
		"code_challenge_method": "S256"}
	for k, v := range change {
		if v == nil {
			delete(claims, k)
		} else {
			claims[k] = v
		}
	}
	return claims
}

// SignsRequests makes a client that has to sign its requests by this key.
func SignsRequests(t testing.TB, key any) func(*clients.Client) {
	return func(c *clients.Client) {
		c.RequireSignedRequestObject, c.RequestObjectSigningAlg, c.JWKS = true, "ES256",
			JwksOf(t, map[string]any{"k": key})
	}
}
