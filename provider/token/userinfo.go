package token

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"latchkey/keys"
	"latchkey/provider/access"
	"latchkey/provider/clients"
	"latchkey/provider/grants"
	"latchkey/provider/oauth"
	"latchkey/provider/web"
)

// Userinfo tells an application about the person who let it (OIDC Core §5.3).
func (ep *Endpoints) Userinfo(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	presented, err := web.PresentedToken(r)
	if err != nil {
		return web.ChallengeToken(w, r, err)
	}
	t, err := ep.Grants.PresentedToken(w, r, "/userinfo", presented)
	if err != nil {
		return web.ChallengeToken(w, r, refuseToken(err))
	}
	web.Mention(r, "client_id", t.ClientID)
	holder, err := ep.Grants.TokenHolder(ctx, t)
	if err != nil {
		return web.ChallengeToken(w, r, refuseToken(err))
	}
	scope := access.GrantableScope(holder.Client, t.Scope)
	if t.GrantID == "" || !slices.Contains(scope, oauth.ScopeOpenID) {
		return web.ChallengeToken(w, r, oauth.Errorf(oauth.InsufficientScope,
			"the access token does not have scope openid"))
	}
	// A token that was issued for an API alone is not for this resource, whoever presents it
	// (RFC 9068 §4, RFC 8707 §2).
	if !slices.Contains(t.Audience, ep.Web.Issuer) {
		return web.ChallengeToken(w, r, oauth.Errorf(oauth.InvalidToken,
			"the access token is for another resource; leave resource out, or ask for the issuer").
			Because(fmt.Errorf("its audience is %q", t.Audience)))
	}
	web.Mention(r, "sub", holder.User.ID)
	named := access.GrantableClaims(holder.Client, grants.ClaimsOfRequest(holder.Grant.Claims.Userinfo))
	claims, err := ep.Grants.PersonClaims(ctx, holder.User, append(grants.ClaimsOfScope(scope), named...))
	if err != nil {
		return err
	}
	claims["sub"] = ep.Grants.Subject(holder.Client, holder.User.ID)
	return ep.writeUserinfo(ctx, w, holder.Client, claims)
}

// writeUserinfo writes the claims as JSON, or as the JWT that the client is registered for
// (OIDC Core §5.3.2).
func (ep *Endpoints) writeUserinfo(ctx context.Context, w http.ResponseWriter, client clients.Client,
	claims map[string]any) error {
	alg, encryption := client.UserinfoSignedResponseAlg, client.UserinfoEncryptedResponseAlg
	if alg == "" && encryption == "" {
		web.WriteJSON(w, http.StatusOK, claims)
		return nil
	}
	var body, cty string
	var err error
	switch {
	case alg == "":
		plain, jsonErr := json.Marshal(claims)
		body, err = string(plain), jsonErr
	case alg == "none" && ep.Grants.InsecureAllowNone:
		claims["iss"], claims["aud"] = ep.Web.Issuer, client.ID
		cty = "JWT"
		body, err = keys.InsecureUnsigned(claims)
	default:
		claims["iss"], claims["aud"] = ep.Web.Issuer, client.ID
		cty = "JWT"
		body, err = ep.Grants.Sign(ctx, alg, "", claims)
	}
	if err == nil && encryption != "" {
		body, err = ep.Clients.EncryptTo(ctx, client, []byte(body), encryption, client.UserinfoEncryptedResponseEnc, cty)
	}
	if err != nil {
		return fmt.Errorf("make userinfo response: %w", err)
	}
	w.Header().Set("Content-Type", "application/jwt")
	_, _ = w.Write([]byte(body))
	return nil
}

// refuseToken says in the words of RFC 6750 §3.1 that a token is not good; a fault of the store
// stays what it is.
func refuseToken(err error) error {
	if errors.Is(err, grants.ErrNoToken) {
		return oauth.Errorf(oauth.InvalidToken, "the access token is unknown, has expired or was revoked").Because(err)
	}
	return err
}
