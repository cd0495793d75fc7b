package grants

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
	"latchkey/provider/web"
)

// typAccessToken is the typ of a JWT access token: it never passes for an ID token, nor the other way round (RFC 9068 §2.1).
const typAccessToken = "at+jwt"

// IDTokenFor is what an ID token speaks of besides the grant.
type IDTokenFor struct {
	Nonce       string
	AccessToken string // issued along with it: at_hash (OIDC Core §3.1.3.6, §3.2.2.10, §3.3.2.11)
	Code        string // issued along with it: c_hash (OIDC Core §3.3.2.11)
	Alone       bool   // response_type id_token: no userinfo can be asked, so the scopes' claims go in (OIDC Core §5.4)
}

// IDToken makes an ID token about the grant (OIDC Core §2): signed as the client is registered, and encrypted if it is.
func (gs *Grants) IDToken(ctx context.Context, client clients.Client, grant storage.Grant, user storage.User, about IDTokenFor) (string, error) {
	asked := access.GrantableClaims(client, ClaimsOfRequest(grant.Claims.IDToken))
	if about.Alone || client.ClaimsInIDToken {
		asked = append(asked, ClaimsOfScope(grant.Scope)...)
	}
	// What the protocol says comes after what is said about the person, so that nothing overwrites it.
	claims, err := gs.PersonClaims(ctx, user, asked)
	if err != nil {
		return "", err
	}
	now := gs.Now()
	claims["iss"], claims["sub"], claims["aud"] = gs.Issuer, gs.Subject(client, grant.UserID), client.ID
	claims["iat"], claims["exp"] = now.Unix(), now.Add(gs.IDTokenTTL).Unix()
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
		if !gs.InsecureAllowNone {
			return "", oauth.Errorf(oauth.UnauthorizedClient, "the client is registered for unsigned ID tokens, which this provider does not issue")
		}
		token, err = keys.InsecureUnsigned(claims)
	} else {
		token, err = gs.Sign(ctx, alg, "JWT", claims)
	}
	if err != nil || client.IDTokenEncryptedResponseAlg == "" {
		return token, err
	}
	return gs.Clients.EncryptTo(ctx, client, []byte(token), client.IDTokenEncryptedResponseAlg, client.IDTokenEncryptedResponseEnc, "JWT")
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

// Sign makes a JWS; the first client that needs an algorithm makes its key.
func (gs *Grants) Sign(ctx context.Context, alg, typ string, claims map[string]any) (string, error) {
	if err := gs.Keys.EnsureAlgorithm(ctx, keys.UseSignature, alg); err != nil {
		return "", fmt.Errorf("make a key for %s: %w", alg, err)
	}
	return gs.Keys.Sign(ctx, alg, typ, claims)
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
func (gs *Grants) defaultAudience(client clients.Client) []string {
	if len(client.Audience) > 0 {
		return client.Audience[:1]
	}
	return []string{gs.Issuer}
}

// AccessToken makes an access token for the grant and says for how many seconds it is good. Without an audience it is for the
// client's default one.
func (gs *Grants) AccessToken(ctx context.Context, client clients.Client, grant storage.Grant, user storage.User, scope, audience []string) (token string, expiresIn int64, err error) {
	if len(audience) == 0 {
		audience = gs.defaultAudience(client)
	}
	now := gs.Now()
	life := gs.AccessTokenTTL
	if grant.ID != "" {
		life = min(life, grant.ExpiresAt.Sub(now)) // nothing outlives its grant
	}
	expiresIn = int64(life / time.Second)
	expiresAt := now.Truncate(time.Second).Add(time.Duration(expiresIn) * time.Second)
	if client.OpaqueAccessTokens {
		token = OpaquePrefix + storage.Random()
		err = gs.Store.CreateToken(ctx, storage.Token{
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
			if claims, err = gs.PersonClaims(ctx, user, oauth.ScopeClaims(oauth.ScopeGroups)); err != nil { // RFC 9068 §2.2.3.1
				return "", 0, err
			}
		}
		claims["sub"], claims["gid"] = gs.Subject(client, grant.UserID), grant.ID
		addAuthentication(claims, grant) // RFC 9068 §2.2.1
	}
	claims["iss"], claims["aud"], claims["client_id"], claims["jti"] = gs.Issuer, oauth.OneOrMany(audience), client.ID, storage.ShortID()
	claims["iat"], claims["exp"] = now.Unix(), expiresAt.Unix()
	if len(scope) > 0 {
		claims["scope"] = oauth.JoinScope(scope)
	}
	if token, err = gs.Sign(ctx, "RS256", typAccessToken, claims); err != nil {
		return "", 0, fmt.Errorf("sign access token: %w", err)
	}
	return token, expiresIn, nil
}

// Issued is an access token of ours, read back.
type Issued struct {
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

// ErrNoToken says that a value is no access token of ours that is good: unknown, altered, of another kind, expired or revoked.
var ErrNoToken = errors.New("not a valid access token")

// KindRevoked is the kind under which the jti of a revoked JWT access token is kept until the token expires.
const KindRevoked = "revoked-access-token"

// ReadAccessToken reads an access token that this provider issued, that has not expired and was not itself revoked; whether what it
// was issued for still stands is another question, see inForce. The error is errNoToken, or a fault of the store.
func (gs *Grants) ReadAccessToken(ctx context.Context, value string) (Issued, error) {
	if strings.HasPrefix(value, OpaquePrefix) {
		return gs.readOpaque(ctx, value)
	}
	payload, _, err := gs.Keys.Verify(ctx, value, typAccessToken)
	if err != nil {
		if web.Unavailable(err) {
			return Issued{}, fmt.Errorf("verify access token: %w", err)
		}
		return Issued{}, fmt.Errorf("%w: %w", ErrNoToken, err)
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
		return Issued{}, fmt.Errorf("%w: %w", ErrNoToken, err)
	}
	t := Issued{ID: c.ID, Subject: c.Subject, ClientID: c.ClientID, GrantID: c.Grant, Scope: strings.Fields(c.Scope),
		IssuedAt: time.Unix(c.IssuedAt, 0), ExpiresAt: time.Unix(c.Expires, 0)}
	if t.Audience, err = oauth.StringOrList(c.Audience); err != nil || c.Issuer != gs.Issuer || t.ID == "" {
		return Issued{}, fmt.Errorf("%w: iss, aud or jti", ErrNoToken)
	}
	now := gs.Now()
	if !now.Before(t.ExpiresAt) {
		return Issued{}, fmt.Errorf("%w: it has expired", ErrNoToken)
	}
	revoked, err := gs.Store.Spent(ctx, KindRevoked, t.ID, now)
	if err != nil {
		return Issued{}, fmt.Errorf("look up revocation: %w", err)
	}
	if revoked {
		return Issued{}, fmt.Errorf("%w: it was revoked", ErrNoToken)
	}
	return t, nil
}

func (gs *Grants) readOpaque(ctx context.Context, value string) (Issued, error) {
	hash := storage.Hash(value)
	t, err := gs.Store.Token(ctx, storage.TokenAccess, hash)
	if errors.Is(err, storage.ErrNotFound) {
		return Issued{}, fmt.Errorf("%w: unknown", ErrNoToken)
	}
	if err != nil {
		return Issued{}, fmt.Errorf("load access token: %w", err)
	}
	if !gs.Now().Before(t.ExpiresAt) || !t.ConsumedAt.IsZero() {
		return Issued{}, fmt.Errorf("%w: it has expired", ErrNoToken)
	}
	return Issued{ID: hash, Hash: hash, ClientID: t.ClientID, GrantID: t.GrantID, Scope: t.Scope, Audience: t.Audience,
		IssuedAt: t.CreatedAt, ExpiresAt: t.ExpiresAt}, nil
}

// TokenResponse is a successful answer (RFC 6749 §5.1, OIDC Core §3.1.3.3).
type TokenResponse struct {
	AccessToken  string `json:"access_token"`
	TokenType    string `json:"token_type"`
	ExpiresIn    int64  `json:"expires_in"` // seconds
	RefreshToken string `json:"refresh_token,omitempty"`
	IDToken      string `json:"id_token,omitempty"`
	Scope        string `json:"scope,omitempty"`
}

// Mint makes the tokens of a grant, after everything was checked and what is used once was used. scope and audience are those of
// this answer, the grant's or less.
func (gs *Grants) Mint(ctx context.Context, client clients.Client, grant storage.Grant, user storage.User, scope, audience []string, nonce string) (TokenResponse, error) {
	answer := TokenResponse{TokenType: "Bearer", Scope: oauth.JoinScope(scope)}
	var err error
	if answer.AccessToken, answer.ExpiresIn, err = gs.AccessToken(ctx, client, grant, user, scope, audience); err != nil {
		return TokenResponse{}, fmt.Errorf("make access token: %w", err)
	}
	if grant.RefreshGeneration > 0 {
		answer.RefreshToken = gs.RefreshToken(grant.ID, grant.RefreshGeneration)
	}
	if slices.Contains(scope, oauth.ScopeOpenID) {
		grant.Scope = scope
		if answer.IDToken, err = gs.IDToken(ctx, client, grant, user, IDTokenFor{Nonce: nonce, AccessToken: answer.AccessToken}); err != nil {
			return TokenResponse{}, fmt.Errorf("make id token: %w", err)
		}
	}
	return answer, nil
}
