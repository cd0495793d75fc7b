package token

import (
	"net/http"

	"latchkey/provider/grants"
	"latchkey/provider/oauth"
	"latchkey/provider/web"
)

// Token is the token endpoint (RFC 6749 §3.2): who is the client, which grant type, and then what that says.
func (ep *Endpoints) Token(w http.ResponseWriter, r *http.Request) (err error) {
	ctx, grantType := r.Context(), ""
	defer func() { ep.Web.Metrics.Token(grantType, err) }()
	params, err := oauth.ParseBody(r)
	if err != nil {
		return err
	}
	client, err := ep.Clients.Authenticate(ctx, r, params)
	if err != nil {
		return err
	}
	grantType = params.Get("grant_type")
	web.Mention(r, "grant_type", grantType)
	var answer grants.TokenResponse
	switch grantType {
	case oauth.GrantAuthorizationCode, oauth.GrantRefreshToken, oauth.GrantClientCredentials:
		if !client.MayGrant(grantType) {
			return oauth.Errorf(oauth.UnauthorizedClient, "the client is not registered for grant_type %s", grantType)
		}
	case "":
		return oauth.Errorf(oauth.InvalidRequest, "grant_type is missing")
	default:
		return oauth.Errorf(oauth.UnsupportedGrantType, "grant_type must be authorization_code, refresh_token or client_credentials")
	}
	switch grantType {
	case oauth.GrantAuthorizationCode:
		answer, err = ep.redeemCode(ctx, r, client, params)
	case oauth.GrantRefreshToken:
		answer, err = ep.refresh(ctx, r, client, params)
	case oauth.GrantClientCredentials:
		answer, err = ep.clientCredentials(ctx, client, params)
	}
	if err != nil {
		return err
	}
	web.WriteJSON(w, http.StatusOK, answer)
	return nil
}
