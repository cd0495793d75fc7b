package provider

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"latchkey/provider/clients"
	"latchkey/provider/oauth"
	"latchkey/provider/storage"
)

// clientCredentials gives a client a token for itself (RFC 6749 §4.4). No person is involved: there is no ID token, no refresh token, and
// no scope that speaks of a person.
func (p *Provider) clientCredentials(ctx context.Context, client clients.Client, params oauth.Parameters) (tokenResponse, error) {
	if client.Public() {
		return tokenResponse{}, oauth.Errorf(oauth.UnauthorizedClient, "grant_type client_credentials is for clients that can authenticate (RFC 6749 section 4.4)")
	}
	var allowed []string
	for _, s := range strings.Fields(client.Scope) {
		if !slices.Contains(oauth.Scopes, s) {
			allowed = append(allowed, s)
		}
	}
	scope, err := oauth.ParseScope(params.Get("scope"))
	if err != nil {
		return tokenResponse{}, err
	}
	for _, s := range scope {
		if !slices.Contains(allowed, s) {
			return tokenResponse{}, oauth.Errorf(oauth.InvalidScope, "scope names something that is not registered for this client, or that needs a person")
		}
	}
	if len(scope) == 0 {
		scope = allowed // RFC 6749 §3.3: the default is what is registered
	}
	audience, err := allowedResources(client, params.Resource)
	if err != nil {
		return tokenResponse{}, err
	}
	token, expiresIn, err := p.accessToken(ctx, client, storage.Grant{}, storage.User{}, scope, audience)
	if err != nil {
		return tokenResponse{}, fmt.Errorf("make access token: %w", err)
	}
	return tokenResponse{AccessToken: token, TokenType: "Bearer", ExpiresIn: expiresIn, Scope: oauth.JoinScope(scope)}, nil
}
