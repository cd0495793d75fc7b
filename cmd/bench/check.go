package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// checker verifies answers as an application would, with nothing of ours.
type checker struct {
	issuer string
	keys   jose.JSONWebKeySet
	jtis   map[string]bool // of access tokens: none may come twice
}

// newChecker reads the key set of the server.
func newChecker(c *conn, issuer string) (*checker, error) {
	a, err := c.do(get(c.addr, "/jwks"))
	if err != nil {
		return nil, err
	}
	k := &checker{issuer: issuer, jtis: map[string]bool{}}
	if a.status != 200 {
		return nil, fmt.Errorf("/jwks answered %d", a.status)
	}
	if err := json.Unmarshal(a.body, &k.keys); err != nil {
		return nil, fmt.Errorf("/jwks: %w", err)
	}
	for _, key := range k.keys.Keys {
		if !key.IsPublic() || !key.Valid() || key.KeyID == "" {
			return nil, errors.New("/jwks has a key that is not a public key with kid")
		}
	}
	return k, nil
}

// claims are those that are checked.
type claims struct {
	Issuer   string          `json:"iss"`
	Subject  string          `json:"sub"`
	Audience json.RawMessage `json:"aud"`
	ClientID string          `json:"client_id"`
	Scope    string          `json:"scope"`
	Nonce    string          `json:"nonce"`
	AtHash   string          `json:"at_hash"`
	ID       string          `json:"jti"`
	IssuedAt int64           `json:"iat"`
	Expires  int64           `json:"exp"`
	AuthTime int64           `json:"auth_time"`
}

func (c claims) audience() []string {
	var one string
	if json.Unmarshal(c.Audience, &one) == nil {
		return []string{one}
	}
	var many []string
	_ = json.Unmarshal(c.Audience, &many)
	return many
}

// verify checks signature, algorithm, type, issuer and times of a JWT.
func (k *checker) verify(token, typ string, algs ...jose.SignatureAlgorithm) (claims, error) {
	var c claims
	jws, err := jose.ParseSignedCompact(token, algs)
	if err != nil {
		return c, err
	}
	header := jws.Signatures[0].Protected
	if got, _ := header.ExtraHeaders[jose.HeaderType].(string); got != typ {
		return c, fmt.Errorf("typ is %q and not %q", got, typ)
	}
	found := k.keys.Key(header.KeyID)
	if len(found) != 1 {
		return c, fmt.Errorf("%d published keys have the kid %q", len(found), header.KeyID)
	}
	payload, err := jws.Verify(found[0])
	if err != nil {
		return c, err
	}
	if err := json.Unmarshal(payload, &c); err != nil {
		return c, err
	}
	now := time.Now().Unix()
	switch {
	case c.Issuer != k.issuer:
		return c, fmt.Errorf("iss is %q", c.Issuer)
	case c.Subject == "":
		return c, errors.New("sub is missing")
	case c.Expires <= now, c.IssuedAt > now+5, c.IssuedAt < now-600:
		return c, fmt.Errorf("iat %d and exp %d do not fit the time %d", c.IssuedAt, c.Expires, now)
	}
	return c, nil
}

// accessToken checks a JWT access token.
func (k *checker) accessToken(token, client, audience string) (claims, error) {
	c, err := k.verify(token, "at+jwt", jose.ES256, jose.RS256)
	switch {
	case err != nil:
		return c, fmt.Errorf("access token: %w", err)
	case c.ClientID != client:
		return c, fmt.Errorf("access token: client_id is %q", c.ClientID)
	case !slices.Contains(c.audience(), audience):
		return c, fmt.Errorf("access token: aud is %s", c.Audience)
	case c.ID == "" || k.jtis[c.ID]:
		return c, errors.New("access token: jti is missing or was there before")
	}
	k.jtis[c.ID] = true
	return c, nil
}

// tokenAnswer is a successful answer of the token endpoint.
type tokenAnswer struct {
	AccessToken  string `json:"access_token"`
	TokenType    string `json:"token_type"`
	ExpiresIn    int64  `json:"expires_in"`
	RefreshToken string `json:"refresh_token"`
	IDToken      string `json:"id_token"`
	Scope        string `json:"scope"`
}

func parseTokens(body []byte) (tokenAnswer, error) {
	var t tokenAnswer
	if err := json.Unmarshal(body, &t); err != nil {
		return t, err
	}
	if t.AccessToken == "" || t.TokenType != "Bearer" || t.ExpiresIn <= 0 {
		return t, errors.New("access_token, token_type or expires_in is missing")
	}
	return t, nil
}

// tokens checks an answer with access token and ID token about one person.
func (k *checker) tokens(body []byte, v variant, nonce string) (tokenAnswer, error) {
	t, err := parseTokens(body)
	if err != nil {
		return t, err
	}
	at, err := k.accessToken(t.AccessToken, v.web, apis[0].audience)
	if err != nil {
		return t, err
	}
	id, err := k.verify(t.IDToken, "JWT", jose.SignatureAlgorithm(v.alg))
	sum := sha256.Sum256([]byte(t.AccessToken))
	switch {
	case err != nil:
		return t, fmt.Errorf("ID token: %w", err)
	case id.Subject != at.Subject:
		return t, errors.New("the two tokens are about different people")
	case !slices.Equal(id.audience(), []string{v.web}):
		return t, fmt.Errorf("ID token: aud is %s", id.Audience)
	case id.Nonce != nonce:
		return t, fmt.Errorf("ID token: nonce is %q and not %q", id.Nonce, nonce)
	case id.AtHash != base64.RawURLEncoding.EncodeToString(sum[:16]):
		return t, errors.New("ID token: at_hash does not fit the access token")
	case id.AuthTime == 0:
		return t, errors.New("ID token: auth_time is missing")
	}
	return t, nil
}

// refused expects that the token endpoint answers a form with invalid_grant.
func refused(c *conn, p poster, form string) error {
	a, err := p.post(c, []byte(form))
	if err != nil {
		return err
	}
	if a.status != 400 || string(member(a.body, "error")) != "invalid_grant" {
		return fmt.Errorf("the second use was answered with %d %.200s", a.status, a.body)
	}
	return nil
}

// active asks the introspection endpoint whether a token is good.
func active(c *conn, client, token string) (bool, []byte, error) {
	a, err := c.do(post(c.addr, "/introspect", "token="+token, basic(client)))
	if err != nil {
		return false, nil, err
	}
	if a.status != 200 {
		return false, nil, fmt.Errorf("introspection answered %d %.200s", a.status, a.body)
	}
	return bytes.Contains(a.body, []byte(`"active":true`)), a.body, nil
}

// expectActive is active with an error when the answer is another.
func expectActive(c *conn, client, token string, want bool) error {
	got, _, err := active(c, client, token)
	if err == nil && got != want {
		err = fmt.Errorf("introspection says active: %v", got)
	}
	return err
}

// algorithmOf reads alg from the header of a JWT.
func algorithmOf(token string) string {
	head, _, _ := bytes.Cut([]byte(token), []byte("."))
	raw, _ := base64.RawURLEncoding.DecodeString(string(head))
	return string(member(raw, "alg"))
}
