package grants

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
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

// typAccessToken is the typ of a JWT access token: it never passes for an ID token, nor the other
// way round (RFC 9068 §2.1).
const typAccessToken = "at+jwt"

// Issuance is everything that tokens are made of. Entitle makes one for a grant; the caller says
// what is wanted.
type Issuance struct {
	Client   clients.Client
	Grant    storage.Grant // zero when no user is involved (RFC 6749 §4.4)
	User     storage.User  // zero when no user is involved
	Scope    []string      // of the tokens: the grant's or less
	Audience []string      // of the access token; none: the client's default
	Nonce    string        // of the ID token, from the authorization request
	Code     string        // issued along with the tokens: c_hash (OIDC Core §3.3.2.11)
	// Confirmation is the key that the access token is bound to.
	Confirmation storage.Confirmation

	AccessToken  bool // an access token is wanted
	RefreshToken bool // a refresh token is wanted, as far as the grant has one
	IDToken      bool // an ID token is wanted

	accessTokenAlg string // of AccessTokenAlgorithm, when it is known already
}

// TokenResponse is a successful answer of the token endpoint, or what of it goes through the front
// channel (RFC 6749 §5.1, OIDC Core §3.1.3.3).
type TokenResponse struct {
	AccessToken  string `json:"access_token"`
	TokenType    string `json:"token_type"`
	ExpiresIn    int64  `json:"expires_in"` // seconds
	RefreshToken string `json:"refresh_token,omitempty"`
	IDToken      string `json:"id_token,omitempty"`
	Scope        string `json:"scope,omitempty"`
}

// Issue makes the tokens of an issuance. It is the one way to make tokens, for the front channel
// and the token endpoint alike; the caller has checked everything and has used what is used once.
// An error is a fault of the store or the keys, or an *oauth.Error when the client is registered
// for something that the provider does not issue.
func (gs *Grants) Issue(ctx context.Context, i Issuance) (TokenResponse, error) {
	var answer TokenResponse
	var err error
	if i.AccessToken {
		answer.TokenType, answer.Scope = i.Confirmation.TokenType(), oauth.JoinScope(i.Scope)
		if answer.AccessToken, answer.ExpiresIn, err = gs.accessToken(ctx, i); err != nil {
			return TokenResponse{}, fmt.Errorf("make access token: %w", err)
		}
	}
	if i.RefreshToken && i.Grant.RefreshGeneration > 0 {
		answer.RefreshToken = gs.RefreshToken(i.Grant.ID, i.Grant.RefreshGeneration)
	}
	if i.IDToken {
		if answer.IDToken, err = gs.idToken(ctx, i, answer.AccessToken); err != nil {
			return TokenResponse{}, fmt.Errorf("make id token: %w", err)
		}
	}
	return answer, nil
}

// idToken makes an ID token about the grant (OIDC Core §2): signed as the client is registered, and
// encrypted if it is. accessToken is the one that is issued along with it, "" for none: at_hash
// (OIDC Core §3.1.3.6, §3.2.2.10, §3.3.2.11).
func (gs *Grants) idToken(ctx context.Context, i Issuance, accessToken string) (string, error) {
	client := i.Client
	claims, err := gs.idTokenClaims(ctx, i, accessToken != "")
	if err != nil {
		return "", err
	}
	alg := client.IDTokenSignedResponseAlg
	if alg == "" {
		alg = "RS256"
	}
	if accessToken != "" && alg != "none" {
		claims["at_hash"] = halfHash(alg, accessToken)
	}
	if i.Code != "" && alg != "none" {
		claims["c_hash"] = halfHash(alg, i.Code)
	}

	var token string
	if alg == "none" {
		if !gs.InsecureAllowNone {
			return "", oauth.Errorf(oauth.UnauthorizedClient,
				"the client is registered for unsigned ID tokens, which this provider does not issue")
		}
		token, err = keys.InsecureUnsigned(claims)
	} else {
		token, err = gs.Sign(ctx, alg, "JWT", claims)
	}
	if err != nil || client.IDTokenEncryptedResponseAlg == "" {
		return token, err
	}
	return gs.Clients.EncryptTo(ctx, client, []byte(token), client.IDTokenEncryptedResponseAlg,
		client.IDTokenEncryptedResponseEnc, "JWT")
}

// idTokenClaims are the claims of an ID token, without the hashes of what is issued along with it.
func (gs *Grants) idTokenClaims(ctx context.Context, i Issuance, withAccessToken bool) (map[string]any, error) {
	client, grant := i.Client, i.Grant
	asked := access.GrantableClaims(client, ClaimsOfRequest(grant.Claims.IDToken))
	if alone := !withAccessToken && i.Code == ""; alone || client.ClaimsInIDToken {
		// With response_type id_token no userinfo can be asked, so the scopes' claims go in
		// (OIDC Core §5.4).
		asked = append(asked, ClaimsOfScope(i.Scope)...)
	}
	// What the protocol says comes after what is said about the user, so that nothing overwrites
	// it.
	claims, err := gs.PersonClaims(ctx, i.User, asked)
	if err != nil {
		return nil, err
	}
	now := gs.Now()
	claims["iss"], claims["sub"], claims["aud"] = gs.Issuer, gs.Subject(client, grant.UserID), client.ID
	claims["iat"], claims["exp"] = now.Unix(), now.Add(gs.IDTokenTTL).Unix()
	addAuthentication(claims, grant)
	if i.Nonce != "" {
		claims["nonce"] = i.Nonce
	}
	if client.LogsOut() && grant.SessionID != "" {
		claims["sid"] = grant.SessionID // Front-Channel Logout §3, Back-Channel Logout §2.1
	}
	return claims, nil
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

// halfHash is the left half of the hash that goes with the algorithm of the ID token's signature
// (OIDC Core §3.1.3.6). Ed25519 goes with SHA-512.
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

// defaultAudience is whom the tokens of a client are for when no resource is asked for: its first
// API (RFC 9068 §3), and for tokens with scope openid the provider itself, whose userinfo endpoint
// is a protected resource, too (OIDC Core §5.3).
func (gs *Grants) defaultAudience(client clients.Client, scope []string) []string {
	switch {
	case len(client.Audience) == 0:
		return []string{gs.Issuer}
	case slices.Contains(scope, oauth.ScopeOpenID) && client.Audience[0] != gs.Issuer:
		return []string{client.Audience[0], gs.Issuer}
	}
	return client.Audience[:1]
}

// accessToken makes an access token and says for how many seconds it is good.
func (gs *Grants) accessToken(ctx context.Context, i Issuance) (token string, expiresIn int64, err error) {
	client, grant, audience := i.Client, i.Grant, i.Audience
	if len(audience) == 0 {
		audience = gs.defaultAudience(client, i.Scope)
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
			Hash: storage.Hash(token), Kind: storage.TokenAccess, GrantID: grant.ID, ClientID: client.ID,
			Scope: i.Scope, Audience: audience, Confirmation: i.Confirmation,
			CreatedAt: now, ExpiresAt: expiresAt,
		})
		if err != nil {
			return "", 0, fmt.Errorf("store access token: %w", err)
		}
		return token, expiresIn, nil
	}
	claims, err := gs.accessTokenClaims(ctx, i, audience, now, expiresAt)
	if err != nil {
		return "", 0, err
	}
	alg := i.accessTokenAlg
	if alg == "" {
		if alg, err = gs.AccessTokenAlgorithm(ctx, client, audience); err != nil {
			return "", 0, err
		}
	}
	if token, err = gs.Sign(ctx, alg, typAccessToken, claims); err != nil {
		return "", 0, fmt.Errorf("sign access token: %w", err)
	}
	return token, expiresIn, nil
}

// accessTokenClaims are the claims of a JWT access token (RFC 9068 §2.2).
func (gs *Grants) accessTokenClaims(ctx context.Context, i Issuance, audience []string, now,
	expiresAt time.Time) (map[string]any, error) {
	client, grant := i.Client, i.Grant
	claims := map[string]any{}
	if grant.ID == "" {
		claims["sub"] = client.ID // no person is involved (RFC 9068 §2.2)
	} else {
		if slices.Contains(i.Scope, oauth.ScopeGroups) {
			var err error
			// RFC 9068 §2.2.3.1
			if claims, err = gs.PersonClaims(ctx, i.User, oauth.ScopeClaims(oauth.ScopeGroups)); err != nil {
				return nil, err
			}
		}
		claims["sub"], claims["gid"] = gs.Subject(client, grant.UserID), grant.ID
		addAuthentication(claims, grant) // RFC 9068 §2.2.1
	}
	claims["iss"], claims["aud"], claims["client_id"], claims["jti"] = gs.Issuer, oauth.OneOrMany(audience), client.ID,
		storage.NewID(now)
	claims["iat"], claims["exp"] = now.Unix(), expiresAt.Unix()
	if len(i.Scope) > 0 {
		claims["scope"] = oauth.JoinScope(i.Scope)
	}
	if !i.Confirmation.IsZero() {
		claims["cnf"] = i.Confirmation // RFC 7800 §3.1
	}
	return claims, nil
}
