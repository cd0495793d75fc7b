package grants

import (
	"context"
	"slices"
	"strings"

	"latchkey/provider/access"
	"latchkey/provider/clients"
	"latchkey/provider/oauth"
	"latchkey/provider/storage"
)

// Preview is what a client would be told about a user who signs in to it now: claims alone, and
// never a token.
type Preview struct {
	Scope       []string // that the client would get
	IDToken     []PreviewClaim
	AccessToken []PreviewClaim // none for an opaque one
	Userinfo    []PreviewClaim
}

// PreviewClaim is a claim and why it is there.
type PreviewClaim struct {
	Name   string
	Value  any    // as JSON; nil for what is new in every token
	Reason string // protocol, sign-in, or the scope that it belongs to, such as "scope email"
}

// previewGrant stands for the grant that a sign-in would make.
const previewGrant = "preview"

// fresh are the claims whose value is another one in every token, or follows from the sign-in or
// the request.
var fresh = []string{"gid", "jti", "iat", "exp", "auth_time", "amr", "acr", "sid", "nonce", "at_hash"}

// Preview says what the client would be told about the user with the scope. It makes no token, and
// asks nothing of the keys.
func (gs *Grants) Preview(ctx context.Context, client clients.Client, user storage.User, scope []string) (Preview,
	error) {
	now := gs.Now()
	i := Issuance{Client: client, User: user, Scope: access.GrantableScope(client, scope),
		Grant: storage.Grant{ID: previewGrant, UserID: user.ID, ClientID: client.ID, SessionID: previewGrant,
			AuthTime: now, AMR: []string{previewGrant}, ACR: previewGrant, ExpiresAt: now.Add(gs.RefreshAbsolute)}}
	i.Grant.Scope = i.Scope
	p := Preview{Scope: i.Scope}
	if slices.Contains(i.Scope, oauth.ScopeOpenID) {
		claims, err := gs.idTokenClaims(ctx, i, true)
		if err != nil {
			return p, err
		}
		claims["nonce"], claims["at_hash"] = "", ""
		p.IDToken = previewed(claims)
		if claims, err = gs.PersonClaims(ctx, user, ClaimsOfScope(i.Scope)); err != nil {
			return p, err
		}
		claims["sub"] = gs.Subject(client, user.ID)
		p.Userinfo = previewed(claims)
	}
	if client.OpaqueAccessTokens {
		return p, nil
	}
	claims, err := gs.accessTokenClaims(ctx, i, gs.defaultAudience(client, i.Scope), now, now.Add(gs.AccessTokenTTL))
	p.AccessToken = previewed(claims)
	return p, err
}

// previewed are claims by name, each with its reason.
func previewed(claims map[string]any) []PreviewClaim {
	var out []PreviewClaim
	for name, value := range claims {
		c := PreviewClaim{Name: name, Value: value, Reason: "protocol"}
		switch {
		case name == "auth_time" || name == "amr" || name == "acr":
			c.Reason = "sign-in"
		case name != "sub":
			for _, s := range oauth.Scopes {
				if slices.Contains(oauth.ScopeClaims(s), name) {
					c.Reason = "scope " + s
				}
			}
		}
		if slices.Contains(fresh, name) {
			c.Value = nil
		}
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b PreviewClaim) int { return strings.Compare(a.Name, b.Name) })
	return out
}
