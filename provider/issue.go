package provider

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"latchkey/keys"
	"latchkey/provider/access"
	"latchkey/provider/clients"
	"latchkey/provider/oauth"
	"latchkey/provider/storage"
)

// typAccessToken is the typ of a JWT access token: it never passes for an ID token, nor the other way round (RFC 9068 §2.1).
const typAccessToken = "at+jwt"

// idTokenFor is what an ID token speaks of besides the grant.
type idTokenFor struct {
	Nonce       string
	AccessToken string // issued along with it: at_hash (OIDC Core §3.1.3.6, §3.2.2.10, §3.3.2.11)
	Code        string // issued along with it: c_hash (OIDC Core §3.3.2.11)
	Alone       bool   // response_type id_token: no userinfo can be asked, so the scopes' claims go in (OIDC Core §5.4)
}

// idToken makes an ID token about the grant (OIDC Core §2): signed as the client is registered, and encrypted if it is.
func (p *Provider) idToken(ctx context.Context, client clients.Client, grant storage.Grant, user storage.User, about idTokenFor) (string, error) {
	asked := access.GrantableClaims(client, claimsOfRequest(grant.Claims.IDToken))
	if about.Alone || client.ClaimsInIDToken {
		asked = append(asked, claimsOfScope(grant.Scope)...)
	}
	// What the protocol says comes after what is said about the person, so that nothing overwrites it.
	claims, err := p.personClaims(ctx, user, asked)
	if err != nil {
		return "", err
	}
	now := p.now()
	claims["iss"], claims["sub"], claims["aud"] = p.Issuer, p.subject(client, grant.UserID), client.ID
	claims["iat"], claims["exp"] = now.Unix(), now.Add(p.IDTokenTTL).Unix()
	addAuthentication(claims, grant)
	if about.Nonce != "" {
		claims["nonce"] = about.Nonce
	}
	if client.LogsOut() && grant.SessionID != "" {
		claims["sid"] = grant.SessionID // Front-Channel Logout §3, Back-Channel Logout §2.1
	}
	alg := client.IDTokenSignedResponseAlg
	if alg == "" {
		alg = "RS256"
	}
	if about.AccessToken != "" && alg != "none" {
		claims["at_hash"] = halfHash(alg, about.AccessToken)
	}
	if about.Code != "" && alg != "none" {
		claims["c_hash"] = halfHash(alg, about.Code)
	}

	var token string
	if alg == "none" {
		if !p.InsecureAllowNone {
			return "", oauth.Errorf(oauth.UnauthorizedClient, "the client is registered for unsigned ID tokens, which this provider does not issue")
		}
		token, err = keys.InsecureUnsigned(claims)
	} else {
		token, err = p.sign(ctx, alg, "JWT", claims)
	}
	if err != nil || client.IDTokenEncryptedResponseAlg == "" {
		return token, err
	}
	return p.encryptTo(ctx, client, []byte(token), client.IDTokenEncryptedResponseAlg, client.IDTokenEncryptedResponseEnc, "JWT")
}

// addAuthentication says when and how the person proved who they are.
func addAuthentication(claims map[string]any, grant storage.Grant) {
	if !grant.AuthTime.IsZero() {
		claims["auth_time"] = grant.AuthTime.Unix()
	}
	if grant.ACR != "" {
		claims["acr"] = grant.ACR
	}
	if len(grant.AMR) > 0 {
		claims["amr"] = grant.AMR
	}
}

// sign makes a JWS; the first client that needs an algorithm makes its key.
func (p *Provider) sign(ctx context.Context, alg, typ string, claims map[string]any) (string, error) {
	if err := p.Keys.EnsureAlgorithm(ctx, keys.UseSignature, alg); err != nil {
		return "", fmt.Errorf("make a key for %s: %w", alg, err)
	}
	return p.Keys.Sign(ctx, alg, typ, claims)
}

// halfHash is the left half of the hash that goes with the algorithm of the ID token's signature (OIDC Core §3.1.3.6). Ed25519
// goes with SHA-512.
func halfHash(alg, value string) string {
	var sum []byte
	switch {
	case strings.HasSuffix(alg, "384"):
		h := sha512.Sum384([]byte(value))
		sum = h[:]
	case strings.HasSuffix(alg, "512"), alg == "EdDSA":
		h := sha512.Sum512([]byte(value))
		sum = h[:]
	default:
		h := sha256.Sum256([]byte(value))
		sum = h[:]
	}
	return base64.RawURLEncoding.EncodeToString(sum[:len(sum)/2])
}

// defaultAudience is whom the tokens of a client are for when nobody says (RFC 9068 §3).
func (p *Provider) defaultAudience(client clients.Client) []string {
	if len(client.Audience) > 0 {
		return client.Audience[:1]
	}
	return []string{p.Issuer}
}

// accessToken makes an access token for the grant and says for how many seconds it is good. Without an audience it is for the
// client's default one.
func (p *Provider) accessToken(ctx context.Context, client clients.Client, grant storage.Grant, user storage.User, scope, audience []string) (token string, expiresIn int64, err error) {
	if len(audience) == 0 {
		audience = p.defaultAudience(client)
	}
	now := p.now()
	life := p.AccessTokenTTL
	if grant.ID != "" {
		life = min(life, grant.ExpiresAt.Sub(now)) // nothing outlives its grant
	}
	expiresIn = int64(life / time.Second)
	expiresAt := now.Truncate(time.Second).Add(time.Duration(expiresIn) * time.Second)
	if client.OpaqueAccessTokens {
		token = opaquePrefix + random()
		err = p.Store.CreateToken(ctx, storage.Token{
			Hash: storage.Hash(token), Kind: storage.TokenAccess, GrantID: grant.ID, ClientID: client.ID, Scope: scope, Audience: audience,
			CreatedAt: now, ExpiresAt: expiresAt,
		})
		if err != nil {
			return "", 0, fmt.Errorf("store access token: %w", err)
		}
		return token, expiresIn, nil
	}
	claims := map[string]any{}
	if grant.ID == "" {
		claims["sub"] = client.ID // no person is involved (RFC 9068 §2.2)
	} else {
		if slices.Contains(scope, oauth.ScopeGroups) {
			if claims, err = p.personClaims(ctx, user, oauth.ScopeClaims(oauth.ScopeGroups)); err != nil { // RFC 9068 §2.2.3.1
				return "", 0, err
			}
		}
		claims["sub"], claims["gid"] = p.subject(client, grant.UserID), grant.ID
		addAuthentication(claims, grant) // RFC 9068 §2.2.1
	}
	claims["iss"], claims["aud"], claims["client_id"], claims["jti"] = p.Issuer, oneOrMany(audience), client.ID, random()[:22]
	claims["iat"], claims["exp"] = now.Unix(), expiresAt.Unix()
	if len(scope) > 0 {
		claims["scope"] = oauth.JoinScope(scope)
	}
	if token, err = p.sign(ctx, "RS256", typAccessToken, claims); err != nil {
		return "", 0, fmt.Errorf("sign access token: %w", err)
	}
	return token, expiresIn, nil
}

// oneOrMany writes a single value as a string (RFC 7519 §4.1.3).
func oneOrMany(list []string) any {
	if len(list) == 1 {
		return list[0]
	}
	return list
}

// issued is an access token of ours, read back.
type issued struct {
	ID        string // jti of a JWT; of an opaque token, its hash
	Hash      string // of an opaque token; "" for a JWT
	Subject   string // "" for an opaque token: it follows from the grant
	ClientID  string
	GrantID   string // "" when no person is involved
	Scope     []string
	Audience  []string
	IssuedAt  time.Time
	ExpiresAt time.Time
}

// errNoToken says that a value is no access token of ours that is good: unknown, altered, of another kind, expired or revoked.
var errNoToken = errors.New("not a valid access token")

// kindRevoked is the kind under which the jti of a revoked JWT access token is kept until the token expires.
const kindRevoked = "revoked-access-token"

// readAccessToken reads an access token that this provider issued, that has not expired and was not itself revoked; whether what it
// was issued for still stands is another question, see inForce. The error is errNoToken, or a fault of the store.
func (p *Provider) readAccessToken(ctx context.Context, value string) (issued, error) {
	if strings.HasPrefix(value, opaquePrefix) {
		return p.readOpaque(ctx, value)
	}
	payload, _, err := p.Keys.Verify(ctx, value, typAccessToken)
	if err != nil {
		if unavailable(err) {
			return issued{}, fmt.Errorf("verify access token: %w", err)
		}
		return issued{}, fmt.Errorf("%w: %w", errNoToken, err)
	}
	var c struct {
		Issuer   string          `json:"iss"`
		Subject  string          `json:"sub"`
		Audience json.RawMessage `json:"aud"`
		ClientID string          `json:"client_id"`
		Scope    string          `json:"scope"`
		ID       string          `json:"jti"`
		Grant    string          `json:"gid"`
		IssuedAt int64           `json:"iat"`
		Expires  int64           `json:"exp"`
	}
	if err := json.Unmarshal(payload, &c); err != nil {
		return issued{}, fmt.Errorf("%w: %w", errNoToken, err)
	}
	t := issued{ID: c.ID, Subject: c.Subject, ClientID: c.ClientID, GrantID: c.Grant, Scope: strings.Fields(c.Scope),
		IssuedAt: time.Unix(c.IssuedAt, 0), ExpiresAt: time.Unix(c.Expires, 0)}
	if t.Audience, err = stringOrList(c.Audience); err != nil || c.Issuer != p.Issuer || t.ID == "" {
		return issued{}, fmt.Errorf("%w: iss, aud or jti", errNoToken)
	}
	now := p.now()
	if !now.Before(t.ExpiresAt) {
		return issued{}, fmt.Errorf("%w: it has expired", errNoToken)
	}
	revoked, err := p.Store.Spent(ctx, kindRevoked, t.ID, now)
	if err != nil {
		return issued{}, fmt.Errorf("look up revocation: %w", err)
	}
	if revoked {
		return issued{}, fmt.Errorf("%w: it was revoked", errNoToken)
	}
	return t, nil
}

func (p *Provider) readOpaque(ctx context.Context, value string) (issued, error) {
	hash := storage.Hash(value)
	t, err := p.Store.Token(ctx, storage.TokenAccess, hash)
	if errors.Is(err, storage.ErrNotFound) {
		return issued{}, fmt.Errorf("%w: unknown", errNoToken)
	}
	if err != nil {
		return issued{}, fmt.Errorf("load access token: %w", err)
	}
	if !p.now().Before(t.ExpiresAt) || !t.ConsumedAt.IsZero() {
		return issued{}, fmt.Errorf("%w: it has expired", errNoToken)
	}
	return issued{ID: hash, Hash: hash, ClientID: t.ClientID, GrantID: t.GrantID, Scope: t.Scope, Audience: t.Audience,
		IssuedAt: t.CreatedAt, ExpiresAt: t.ExpiresAt}, nil
}

// stringOrList reads a claim that may be written either way, such as aud (RFC 7519 §4.1.3).
func stringOrList(raw json.RawMessage) ([]string, error) {
	var one string
	if err := json.Unmarshal(raw, &one); err == nil {
		return []string{one}, nil
	}
	var many []string
	err := json.Unmarshal(raw, &many)
	return many, err
}
