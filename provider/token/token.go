package token

import (
	"net/http"
	"strings"

	"latchkey/provider/oauth"
	"latchkey/provider/web"
)

// Token is the token endpoint (RFC 6749 §3.2): who is the client, which grant type, and then what
// that says.
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
	if grantType == "" {
		return oauth.Errorf(oauth.InvalidRequest, "grant_type is missing")
	}
	row, known := grantTypeNamed(grantType)
	if !known {
		return oauth.Errorf(oauth.UnsupportedGrantType, "grant_type must be one of %s", strings.Join(exchanged(), ", "))
	}
	if !client.MayGrant(grantType) {
		return oauth.Errorf(oauth.UnauthorizedClient, "the client is not registered for grant_type %s", grantType)
	}
	proof, err := ep.prove(w, r)
	if err != nil {
		return err
	}
	answer, err := row.exchange(ep, exchange{ctx: ctx, r: r, client: client, params: params, proof: proof})
	if err != nil {
		return err
	}
	web.WriteJSON(w, http.StatusOK, answer)
	return nil
}
