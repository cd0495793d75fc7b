package token

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"latchkey/provider/access"
	"latchkey/provider/clients"
	"latchkey/provider/grants"
	"latchkey/provider/oauth"
	"latchkey/provider/storage"
	"latchkey/provider/web"
)

// inactive is the whole answer about a token that is not good, or that is none of the asker's
// business: which of them cannot be told (RFC 7662 §2.2).
var inactive = map[string]bool{"active": false}

// Introspect tells a resource server whether a token is good and what it says (RFC 7662 §2).
func (ep *Endpoints) Introspect(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	params, err := oauth.ParseBody(r)
	if err != nil {
		return err
	}
	asker, err := ep.Clients.Authenticate(ctx, r, params)
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
	// token_type_hint only says where to look first (RFC 7662 §2.1); each kind is recognised by
	// itself.
	var answer map[string]any
	if grantID, generation, ok := ep.Grants.ParseRefreshToken(value); ok {
		answer, err = ep.introspectRefresh(ctx, asker, grantID, generation)
	} else {
		answer, err = ep.introspectAccess(ctx, asker, value)
	}
	if errors.Is(err, grants.ErrNoToken) {
		web.Mention(r, "inactive", err.Error())
		web.WriteJSON(w, http.StatusOK, inactive)
		return nil
	}
	if err != nil {
		return err // not knowing is not the same as inactive
	}
	web.WriteJSON(w, http.StatusOK, answer)
	return nil
}

func (ep *Endpoints) introspectAccess(ctx context.Context, asker clients.Client, value string) (map[string]any, error) {
	t, err := ep.Grants.ReadAccessToken(ctx, value)
	if err != nil {
		return nil, err
	}
	if !introspectableBy(asker, t) {
		return nil, fmt.Errorf("%w: it is for %v, issued to %q", grants.ErrNoToken, t.Audience, t.ClientID)
	}
	holder, err := ep.Grants.TokenHolder(ctx, t)
	if err != nil {
		return nil, err
	}
	scope := access.GrantableScope(holder.Client, t.Scope)
	answer := map[string]any{}
	switch {
	case t.GrantID == "":
		answer["sub"] = holder.Client.ID
	default:
		if slices.Contains(scope, oauth.ScopeGroups) {
			if answer, err = ep.Grants.PersonClaims(ctx, holder.User,
				oauth.ScopeClaims(oauth.ScopeGroups)); err != nil {
				return nil, err
			}
		}
		answer["sub"] = ep.Grants.Subject(holder.Client, holder.User.ID)
		if holder.Client.SubjectType != "pairwise" { // whose subjects are to be unlinkable
			answer["username"] = holder.User.Username
		}
	}
	answer["active"], answer["token_type"] = true, t.Confirmation.TokenType()
	if !t.Confirmation.IsZero() {
		answer["cnf"] = t.Confirmation // RFC 9449 §6.2
	}
	answer["iss"], answer["client_id"], answer["aud"], answer["jti"] = ep.Web.Issuer, t.ClientID,
		oauth.OneOrMany(t.Audience), t.ID
	answer["iat"], answer["exp"] = t.IssuedAt.Unix(), t.ExpiresAt.Unix()
	if len(scope) > 0 {
		answer["scope"] = oauth.JoinScope(scope)
	}
	return answer, nil
}

// introspectableBy reports whether an access token is the asker's business: it was issued to it, or
// is for it.
func introspectableBy(asker clients.Client, t grants.AccessToken) bool {
	if t.ClientID == asker.ID {
		return true
	}
	return asker.Type == clients.TypeAPI && slices.ContainsFunc(asker.Audience,
		func(a string) bool { return slices.Contains(t.Audience, a) })
}

// introspectRefresh answers about a refresh token, to its own client alone.
func (ep *Endpoints) introspectRefresh(ctx context.Context, asker clients.Client, grantID string,
	generation int64) (map[string]any, error) {
	grant, err := ep.Store.Grant(ctx, grantID)
	if errors.Is(err, storage.ErrNotFound) {
		return nil, fmt.Errorf("%w: its grant is gone", grants.ErrNoToken)
	}
	if err != nil {
		return nil, fmt.Errorf("load grant: %w", err)
	}
	if grant.ClientID != asker.ID || grant.RefreshGeneration != generation ||
		!ep.Web.Now().Before(grant.RefreshIdleAt) {
		return nil, fmt.Errorf("%w: another client's, replaced, or not used for too long", grants.ErrNoToken)
	}
	holder, err := ep.Grants.TokenHolder(ctx, grants.AccessToken{ClientID: grant.ClientID, GrantID: grant.ID})
	if err != nil {
		return nil, err
	}
	answer := map[string]any{
		"active": true, "iss": ep.Web.Issuer, "client_id": grant.ClientID, "sub": ep.Grants.Subject(holder.Client,
			grant.UserID), "aud": ep.Web.Issuer,
		"scope": oauth.JoinScope(access.GrantableScope(holder.Client, grant.Scope)),
		"iat":   grant.RefreshedAt.Unix(), "exp": earlier(grant.RefreshIdleAt,
			grant.ExpiresAt).Truncate(time.Second).Unix(),
	}
	if holder.Client.SubjectType != "pairwise" {
		answer["username"] = holder.User.Username
	}
	return answer, nil
}
