package provider

import (
	"context"
	"encoding/json"

	"latchkey/provider/clients"
	"latchkey/provider/oauth"
)

// idTokenClaims is what we read of an ID token of our own that comes back as a hint.
type idTokenClaims struct {
	Issuer   string `json:"iss"`
	Subject  string `json:"sub"`
	Audience string `json:"aud"` // ours always carry one
	Session  string `json:"sid"`
	IssuedAt int64  `json:"iat"`
}

// readIDToken reads an ID token that we issued, expired ones too. It says nothing about whom it was issued to: the caller checks Audience.
func (p *Provider) readIDToken(ctx context.Context, token string) (idTokenClaims, error) {
	var c idTokenClaims
	payload, _, err := p.Keys.Verify(ctx, token, "", "JWT")
	if err != nil {
		return c, err
	}
	if err := json.Unmarshal(payload, &c); err != nil {
		return c, err
	}
	// A signed userinfo response says iss, sub and aud too, but not when it was made.
	if c.Issuer != p.Issuer || c.Subject == "" || c.Audience == "" || c.IssuedAt == 0 {
		return c, oauth.Errorf(oauth.InvalidRequest, "id_token_hint is not an ID token of this provider")
	}
	return c, nil
}

// hintedSubject reads the id_token_hint of an authorization request (OIDC Core §3.1.2.1).
func (p *Provider) hintedSubject(ctx context.Context, client clients.Client, hint string) (string, error) {
	c, err := p.readIDToken(ctx, hint)
	if unavailable(err) {
		return "", err // the keys could not be read, which says nothing about the hint
	}
	if err != nil || c.Audience != client.ID {
		return "", oauth.Errorf(oauth.InvalidRequest, "id_token_hint must be an ID token that this provider issued to this client").Because(err)
	}
	return c.Subject, nil
}
