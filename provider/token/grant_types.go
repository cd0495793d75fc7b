package token

import (
	"context"
	"net/http"

	"latchkey/provider/clientauth"
	"latchkey/provider/clients"
	"latchkey/provider/grants"
	"latchkey/provider/oauth"
)

// exchange is a request of the token endpoint of which is known who sent it.
type exchange struct {
	ctx    context.Context
	r      *http.Request
	client clients.Client
	params oauth.Parameters
	proof  clientauth.Proof // zero without one; each grant type uses it up with its credential
}

// grantType is one row of the table of grant types.
type grantType struct {
	clients.GrantType
	// exchange checks the request, uses what is used once, and makes the tokens. nil: the grant
	// type is only registered for, and the token endpoint does not answer it.
	exchange func(*Endpoints, exchange) (grants.TokenResponse, error)
}

// grantTypes is the one table of grant types. The token endpoint, the metrics, discovery and the
// registration of clients read it.
var grantTypes = []grantType{
	{clients.GrantType{Name: oauth.GrantAuthorizationCode, SelfRegistered: true}, (*Endpoints).redeemCode},
	{clients.GrantType{Name: oauth.GrantImplicit, SelfRegistered: true}, nil}, // the authorization endpoint answers it
	{clients.GrantType{Name: oauth.GrantRefreshToken, SelfRegistered: true}, (*Endpoints).refresh},
	{clients.GrantType{Name: oauth.GrantClientCredentials}, (*Endpoints).clientCredentials},
}

// GrantTypes lists the grant types that clients may be registered for, as published in
// grant_types_supported.
func GrantTypes() []clients.GrantType {
	out := make([]clients.GrantType, len(grantTypes))
	for i, row := range grantTypes {
		out[i] = row.GrantType
	}
	return out
}

// exchanged names the grant types that the token endpoint answers.
func exchanged() []string {
	var out []string
	for _, row := range grantTypes {
		if row.exchange != nil {
			out = append(out, row.Name)
		}
	}
	return out
}

// grantTypeNamed finds the row of a grant type that the token endpoint answers.
func grantTypeNamed(name string) (grantType, bool) {
	for _, row := range grantTypes {
		if row.Name == name && row.exchange != nil {
			return row, true
		}
	}
	return grantType{}, false
}
