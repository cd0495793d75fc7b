package provider

import (
	"context"
	"errors"

	"latchkey/clients"
	"latchkey/provider/storage"
)

// idTokenFor is what an ID token speaks of besides the grant.
type idTokenFor struct {
	Nonce       string
	AccessToken string // issued along with it from the authorization endpoint: at_hash (OIDC Core §3.2.2.10, §3.3.2.11)
	Code        string // issued along with it: c_hash (OIDC Core §3.3.2.11)
	Alone       bool   // response_type id_token: no userinfo can be asked, so the scopes' claims go in (OIDC Core §5.4)
}

// idToken makes an ID token about the grant (OIDC Core §2).
func (p *Provider) idToken(ctx context.Context, client clients.Client, grant storage.Grant, user storage.User, about idTokenFor) (string, error) {
	return "", errors.New("not yet")
}

// accessToken makes an access token for the grant and says for how many seconds it is good.
func (p *Provider) accessToken(ctx context.Context, client clients.Client, grant storage.Grant, user storage.User, scope, audience []string) (token string, expiresIn int64, err error) {
	return "", 0, errors.New("not yet")
}
