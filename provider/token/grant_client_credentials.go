package token

import (
	"slices"
	"strings"

	"latchkey/provider/access"
	"latchkey/provider/grants"
	"latchkey/provider/oauth"
	"latchkey/provider/storage"
)

// clientCredentials gives a client a token for itself (RFC 6749 §4.4). No person is involved: there
// is no ID token, no refresh token, and no scope that speaks of a person.
func (ep *Endpoints) clientCredentials(x exchange) (grants.TokenResponse, error) {
	ctx, client, params := x.ctx, x.client, x.params
	if client.Public() {
		return grants.TokenResponse{}, oauth.Errorf(oauth.UnauthorizedClient,
			"grant_type client_credentials is for clients that can authenticate (RFC 6749 section 4.4)")
	}
	var allowed []string
	for _, s := range strings.Fields(client.Scope) {
		if !slices.Contains(oauth.Scopes, s) {
			allowed = append(allowed, s)
		}
	}
	scope, err := oauth.ParseScope(params.Get("scope"))
	if err != nil {
		return grants.TokenResponse{}, err
	}
	for _, s := range scope {
		if !slices.Contains(allowed, s) {
			return grants.TokenResponse{}, oauth.Errorf(oauth.InvalidScope,
				"scope names something that is not registered for this client, or that needs a person")
		}
	}
	if len(scope) == 0 {
		scope = allowed // RFC 6749 §3.3: the default is what is registered
	}
	audience, err := access.AllowedResources(client, ep.Web.Issuer, params.Resource)
	if err != nil {
		return grants.TokenResponse{}, err
	}
	confirmation, err := x.confirmation(storage.Confirmation{}, false)
	if err != nil {
		return grants.TokenResponse{}, err
	}
	if err := ep.Clients.UseProof(ctx, x.proof); err != nil {
		return grants.TokenResponse{}, err
	}
	return ep.Grants.Issue(ctx, grants.Issuance{Client: client, Scope: scope, Audience: audience, AccessToken: true,
		Confirmation: confirmation})
}
