package grants

import (
	"context"
	"encoding/json"

	"latchkey/provider/clients"
	"latchkey/provider/oauth"
	"latchkey/provider/web"
)

// IdTokenClaims is what we read of an ID token of our own that comes back as a hint.
type IdTokenClaims struct {
	Issuer   string `json:"iss"`
	Subject  string `json:"sub"`
	Audience string `json:"aud"` // ours always carry one
	Session  string `json:"sid"`
	IssuedAt int64  `json:"iat"`
}

// ReadIDToken reads an ID token that we issued, expired ones too. It says nothing about whom it was
// issued to: the caller checks Audience.
func (gs *Grants) ReadIDToken(ctx context.Context, token string) (IdTokenClaims, error) {
	var c IdTokenClaims
	payload, _, err := gs.Keys.Verify(ctx, token, "", "JWT")
	if err != nil {
		return c, err
	}
	if err := json.Unmarshal(payload, &c); err != nil {
		return c, err
	}
	// A signed userinfo response says iss, sub and aud too, but not when it was made.
	if c.Issuer != gs.Issuer || c.Subject == "" || c.Audience == "" || c.IssuedAt == 0 {
		return c, oauth.Errorf(oauth.InvalidRequest, "id_token_hint is not an ID token of this provider")
	}
	return c, nil
}

// HintedSubject reads the id_token_hint of an authorization request (OIDC Core §3.1.2.1).
func (gs *Grants) HintedSubject(ctx context.Context, client clients.Client, hint string) (string, error) {
	c, err := gs.ReadIDToken(ctx, hint)
	if web.Unavailable(err) {
		return "", err // the keys could not be read, which says nothing about the hint
	}
	if err != nil || c.Audience != client.ID {
		return "", oauth.Errorf(oauth.InvalidRequest,
			"id_token_hint must be an ID token that this provider issued to this client").Because(err)
	}
	return c.Subject, nil
}
