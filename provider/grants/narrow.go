package grants

import (
	"slices"

	"latchkey/provider/access"
	"latchkey/provider/clients"
	"latchkey/provider/oauth"
	"latchkey/provider/storage"
)

// Refreshable says whether the grant comes with refresh tokens: only for offline access, which the person has allowed, and only for a client
// that is registered to use them (OIDC Core §11).
func Refreshable(client clients.Client, grant storage.Grant) bool {
	return grant.Offline && client.MayGrant(oauth.GrantRefreshToken)
}

// ScopeOf is the scope of a grant's tokens: what was granted, or the part of it that is asked for now, as far as the client may still have
// it. The grant itself stays as it is (RFC 6749 §6).
func ScopeOf(client clients.Client, grant storage.Grant, requested string) ([]string, error) {
	scope := grant.Scope
	if requested != "" {
		asked, err := oauth.ParseScope(requested)
		if err != nil {
			return nil, err
		}
		for _, s := range asked {
			if !slices.Contains(grant.Scope, s) {
				return nil, oauth.Errorf(oauth.InvalidScope, "scope names something that was not granted; it can only be narrowed")
			}
		}
		scope = asked
	}
	if scope = access.GrantableScope(client, scope); len(scope) == 0 {
		return nil, oauth.Errorf(oauth.InvalidScope, "the client may not have any of these scopes any more")
	}
	return scope, nil
}

// AudienceOf chooses the audience of a token among what was granted and what the client may still ask for (RFC 8707 §2.2).
func (gs *Grants) AudienceOf(client clients.Client, grant storage.Grant, requested []string) ([]string, error) {
	granted := slices.DeleteFunc(slices.Clone(grant.Resource), func(r string) bool { return !slices.Contains(client.Audience, r) })
	if len(grant.Resource) == 0 {
		granted = gs.defaultAudience(client)
	}
	if len(granted) == 0 {
		return nil, oauth.Errorf(oauth.InvalidTarget, "the client may not ask for tokens for this resource any more")
	}
	if len(requested) == 0 {
		return granted, nil
	}
	for _, r := range requested {
		if !slices.Contains(granted, r) {
			return nil, oauth.Errorf(oauth.InvalidTarget, "resource names something that was not granted")
		}
	}
	return requested, nil
}
