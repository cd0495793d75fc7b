package provider

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"latchkey/provider/access"
	"latchkey/provider/clients"
	"latchkey/provider/oauth"
	"latchkey/provider/storage"
)

// inactive is the whole answer about a token that is not good, or that is none of the asker's business: which of them cannot be told (RFC 7662 §2.2).
var inactive = map[string]bool{"active": false}

// introspect tells a resource server whether a token is good and what it says (RFC 7662 §2).
func (p *Provider) introspect(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	params, err := oauth.ParseBody(r)
	if err != nil {
		return err
	}
	asker, err := p.authenticateClient(ctx, r, params)
	if err != nil {
		return err
	}
	if asker.Public() {
		// Anybody who knows the client_id could ask, and try tokens (RFC 7662 §2.1, §4).
		return oauth.Errorf(oauth.InvalidClient, "introspection is for clients that can authenticate")
	}
	value := params.Get("token")
	if value == "" {
		return oauth.Errorf(oauth.InvalidRequest, "token is missing")
	}
	// token_type_hint only says where to look first (RFC 7662 §2.1); each kind is recognised by itself.
	var answer map[string]any
	if grantID, generation, ok := p.parseRefreshToken(value); ok {
		answer, err = p.introspectRefresh(ctx, asker, grantID, generation)
	} else {
		answer, err = p.introspectAccess(ctx, asker, value)
	}
	if errors.Is(err, errNoToken) {
		mention(r, "inactive", err.Error())
		writeJSON(w, http.StatusOK, inactive)
		return nil
	}
	if err != nil {
		return err // not knowing is not the same as inactive
	}
	writeJSON(w, http.StatusOK, answer)
	return nil
}

func (p *Provider) introspectAccess(ctx context.Context, asker clients.Client, value string) (map[string]any, error) {
	t, err := p.readAccessToken(ctx, value)
	if err != nil {
		return nil, err
	}
	if !concerns(asker, t) {
		return nil, fmt.Errorf("%w: it is for %v, issued to %q", errNoToken, t.Audience, t.ClientID)
	}
	holder, err := p.inForce(ctx, t)
	if err != nil {
		return nil, err
	}
	scope := access.GrantableScope(holder.client, t.Scope)
	answer := map[string]any{}
	switch {
	case t.GrantID == "":
		answer["sub"] = holder.client.ID
	default:
		if slices.Contains(scope, oauth.ScopeGroups) {
			if answer, err = p.personClaims(ctx, holder.user, oauth.ScopeClaims(oauth.ScopeGroups)); err != nil {
				return nil, err
			}
		}
		answer["sub"] = p.subject(holder.client, holder.user.ID)
		if holder.client.SubjectType != "pairwise" { // whose subjects are to be unlinkable
			answer["username"] = holder.user.Username
		}
	}
	answer["active"], answer["token_type"] = true, "Bearer"
	answer["iss"], answer["client_id"], answer["aud"], answer["jti"] = p.Issuer, t.ClientID, oneOrMany(t.Audience), t.ID
	answer["iat"], answer["exp"] = t.IssuedAt.Unix(), t.ExpiresAt.Unix()
	if len(scope) > 0 {
		answer["scope"] = oauth.JoinScope(scope)
	}
	return answer, nil
}

// concerns says whether an access token is the asker's business: it was issued to it, or is for it.
func concerns(asker clients.Client, t issued) bool {
	if t.ClientID == asker.ID {
		return true
	}
	return asker.Type == clients.TypeAPI && slices.ContainsFunc(asker.Audience, func(a string) bool { return slices.Contains(t.Audience, a) })
}

// introspectRefresh answers about a refresh token, to its own client alone.
func (p *Provider) introspectRefresh(ctx context.Context, asker clients.Client, grantID string, generation int64) (map[string]any, error) {
	grant, err := p.Store.Grant(ctx, grantID)
	if errors.Is(err, storage.ErrNotFound) {
		return nil, fmt.Errorf("%w: its grant is gone", errNoToken)
	}
	if err != nil {
		return nil, fmt.Errorf("load grant: %w", err)
	}
	if grant.ClientID != asker.ID || grant.RefreshGeneration != generation || !p.now().Before(grant.RefreshIdleAt) {
		return nil, fmt.Errorf("%w: another client's, replaced, or not used for too long", errNoToken)
	}
	holder, err := p.inForce(ctx, issued{ClientID: grant.ClientID, GrantID: grant.ID})
	if err != nil {
		return nil, err
	}
	answer := map[string]any{
		"active": true, "iss": p.Issuer, "client_id": grant.ClientID, "sub": p.subject(holder.client, grant.UserID), "aud": p.Issuer,
		"scope": oauth.JoinScope(access.GrantableScope(holder.client, grant.Scope)),
		"iat":   grant.RefreshedAt.Unix(), "exp": earlier(grant.RefreshIdleAt, grant.ExpiresAt).Truncate(time.Second).Unix(),
	}
	if holder.client.SubjectType != "pairwise" {
		answer["username"] = holder.user.Username
	}
	return answer, nil
}
