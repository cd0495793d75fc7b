package grants

import (
	"context"
	"slices"

	"latchkey/provider/access"
	"latchkey/provider/clients"
	"latchkey/provider/oauth"
	"latchkey/provider/storage"
)

// Entitle is the sequence that every grant shares once its credential has been checked: the grant
// still stands for this client and this user, and the tokens get the scope and audience that are
// asked for, as far as they were granted and the client may still have them. scope "" and no
// resource ask for all of it. The returned Issuance wants everything that the grant gives.
//
// The error is an *oauth.Error (invalid_grant, invalid_client, invalid_scope, invalid_target) or a
// fault of the store.
func (gs *Grants) Entitle(ctx context.Context, client clients.Client, grant storage.Grant, scope string,
	resource []string) (Issuance, error) {
	i := Issuance{Client: client, Grant: grant, AccessToken: true, RefreshToken: true}
	asked := defaultAlgorithm
	err := gs.Store.View(ctx, func(from storage.Records) (err error) {
		// 1. Does it still stand?
		if i.User, err = gs.Standing(ctx, from, client, grant); err != nil {
			return err
		}
		// 2. What may the tokens be used for?
		if i.Scope, err = scopeOf(client, grant, scope); err != nil {
			return err
		}
		i.IDToken = slices.Contains(i.Scope, oauth.ScopeOpenID)
		// 3. Where?
		if i.Audience, err = gs.audienceOf(client, grant, i.Scope, resource); err != nil || client.OpaqueAccessTokens {
			return err
		}
		// 4. Signed how? That is asked now, because it may be refused, and what follows uses up the credential.
		asked, err = gs.askedAlgorithm(ctx, from, i.Audience)
		return err
	})
	if err == nil && !client.OpaqueAccessTokens {
		i.accessTokenAlg, err = gs.algorithm(ctx, asked)
	}
	if err != nil {
		return Issuance{}, err
	}
	return i, nil
}

// Refreshable reports whether the grant comes with refresh tokens: only for offline access, which
// the person has allowed, and only for a client that is registered to use them (OIDC Core §11).
func Refreshable(client clients.Client, grant storage.Grant) bool {
	return grant.Offline && client.MayGrant(oauth.GrantRefreshToken)
}

// scopeOf is the scope of a grant's tokens: what was granted, or the part of it that is asked for
// now, as far as the client may still have it. The grant itself stays as it is (RFC 6749 §6).
func scopeOf(client clients.Client, grant storage.Grant, requested string) ([]string, error) {
	scope := grant.Scope
	if requested != "" {
		asked, err := oauth.ParseScope(requested)
		if err != nil {
			return nil, err
		}
		for _, s := range asked {
			if !slices.Contains(grant.Scope, s) {
				return nil, oauth.Errorf(oauth.InvalidScope,
					"scope names something that was not granted; it can only be narrowed")
			}
		}
		scope = asked
	}
	if scope = access.GrantableScope(client, scope); len(scope) == 0 {
		return nil, oauth.Errorf(oauth.InvalidScope, "the client may not have any of these scopes any more")
	}
	return scope, nil
}

// audienceOf chooses the audience of a token among what was granted and what the client may still
// ask for (RFC 8707 §2.2). The issuer stands for the provider's own userinfo endpoint and needs
// scope openid.
func (gs *Grants) audienceOf(client clients.Client, grant storage.Grant, scope, requested []string) ([]string, error) {
	openid := slices.Contains(scope, oauth.ScopeOpenID)
	may := func(r string) bool { return slices.Contains(client.Audience, r) || r == gs.Issuer && openid }
	granted := slices.DeleteFunc(slices.Clone(grant.Resource), func(r string) bool { return !may(r) })
	if len(grant.Resource) == 0 {
		granted = gs.defaultAudience(client, scope)
	}
	if len(granted) == 0 {
		return nil, oauth.Errorf(oauth.InvalidTarget, "the client may not ask for tokens for this resource any more")
	}
	if len(requested) == 0 {
		return granted, nil
	}
	for _, r := range requested {
		if !slices.Contains(granted, r) && !(r == gs.Issuer && openid) {
			return nil, oauth.Errorf(oauth.InvalidTarget, "resource names something that was not granted")
		}
	}
	return requested, nil
}
