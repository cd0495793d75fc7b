package api

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// clockSkew is how far the provider's clock may be ahead of ours. It is granted to beginnings (iat,
// nbf) and not to the end: a token that dies early is fetched anew, one that lives on cannot be
// taken back.
const clockSkew = time.Minute

// maxToken bounds the work that a request can ask for before it is known to come from somebody.
const maxToken = 16 << 10

// token is what an access token says (RFC 9068 §2.2).
type token struct {
	Issuer    string   `json:"iss"`
	Subject   string   `json:"sub"`
	Audience  audience `json:"aud"`
	ClientID  string   `json:"client_id"`
	Scope     string   `json:"scope"`
	Groups    []string `json:"groups"`
	Roles     []string `json:"roles"`
	Expires   *float64 `json:"exp"`
	IssuedAt  *float64 `json:"iat"`
	NotBefore *float64 `json:"nbf"`
	AuthTime  *float64 `json:"auth_time"` // when the person signed in (RFC 9068 §2.2.1)
	ACR       string   `json:"acr"`       // how they did
}

// audience is one name or a list of names (RFC 7519 §4.1.3).
type audience []string

// UnmarshalJSON reads both forms.
func (a *audience) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*a = audience{one}
		return nil
	}
	var many []string
	if err := json.Unmarshal(b, &many); err != nil {
		return err
	}
	*a = many
	return nil
}

// authenticate returns the verified token of the request. An error is a *refusal when the request
// is at fault, and anything else when the keys could not be had.
func (a *api) authenticate(r *http.Request) (token, error) {
	raw, err := bearer(r.Header)
	if err != nil {
		return token{}, err
	}
	return a.verify(r.Context(), raw)
}

// bearer finds the access token in the Authorization header. One in the query or the body does not
// count: addresses end up in logs and in other sites' Referer (RFC 9700 §4.3.2).
func bearer(h http.Header) (string, error) {
	values := h.Values("Authorization")
	if len(values) == 0 {
		return "", &refusal{status: http.StatusUnauthorized,
			description: "send an access token in the Authorization header"}
	}
	if len(values) > 1 {
		return "", &refusal{status: http.StatusBadRequest, code: "invalid_request",
			description: "more than one Authorization header"}
	}
	scheme, credentials, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", &refusal{status: http.StatusUnauthorized,
			description: "the Authorization header is not of the scheme Bearer"}
	}
	credentials = strings.TrimLeft(credentials, " ")
	if credentials == "" || strings.ContainsAny(credentials, " \t,") {
		return "", &refusal{status: http.StatusBadRequest, code: "invalid_request",
			description: "the Authorization header is not Bearer and one token"}
	}
	return credentials, nil
}

// verify checks the token in the order of RFC 9068 §4.
func (a *api) verify(ctx context.Context, raw string) (token, error) {
	if err := strictCompact(raw); err != nil {
		return token{}, err
	}
	algorithms := make([]jose.SignatureAlgorithm, len(a.config.Algorithms))
	for i, name := range a.config.Algorithms {
		algorithms[i] = jose.SignatureAlgorithm(name)
	}
	jws, err := jose.ParseSignedCompact(raw, algorithms)
	if err != nil {
		return token{}, invalidToken("the token is not a JWT signed with an accepted algorithm")
	}
	header := jws.Signatures[0].Protected
	// An ID token, a logout token and a request object are signed by the same keys and are not for
	// us.
	if typ, _ := header.ExtraHeaders[jose.HeaderType].(string); !isAccessTokenType(typ) {
		return token{}, invalidToken("the token is not an access token: typ is not at+jwt")
	}
	// Understood extensions are none, so any that must be understood is one too many
	// (RFC 7515 §4.1.11).
	if _, critical := header.ExtraHeaders["crit"]; critical {
		return token{}, invalidToken("the token has critical header parameters")
	}
	key, err := a.keys.find(ctx, header.KeyID, header.Algorithm)
	if err != nil {
		return token{}, err
	}
	payload, err := jws.Verify(key)
	if err != nil {
		return token{}, invalidToken("the signature of the token is wrong")
	}
	var t token
	if err := json.Unmarshal(payload, &t); err != nil {
		return token{}, invalidToken("the claims of the token cannot be read")
	}
	return t, a.checkClaims(t)
}

func (a *api) checkClaims(t token) error {
	now := a.config.Now()
	switch {
	case t.Issuer != a.config.Issuer:
		return invalidToken("the token is from another issuer")
	case !slices.Contains(t.Audience, a.config.Audience):
		return invalidToken("the token is for another audience")
	case t.Subject == "":
		return invalidToken("the token has no sub")
	case t.Expires == nil:
		return invalidToken("the token has no exp")
	case !now.Before(seconds(*t.Expires)):
		return invalidToken("the token has expired")
	case t.IssuedAt == nil:
		return invalidToken("the token has no iat")
	case seconds(*t.IssuedAt).After(now.Add(clockSkew)):
		return invalidToken("the token is from the future")
	case t.NotBefore != nil && seconds(*t.NotBefore).After(now.Add(clockSkew)):
		return invalidToken("the token is not valid yet")
	}
	return nil
}

// seconds reads a NumericDate (RFC 7519 §2). Numbers that are no date of this era mean the
// beginning of time for a token's end and are refused there.
func seconds(f float64) time.Time {
	const year9999 = 253402300799
	if !(f >= 0 && f <= year9999) {
		return time.Time{}
	}
	whole := int64(f)
	return time.Unix(whole, int64((f-float64(whole))*1e9))
}

func isAccessTokenType(typ string) bool {
	return strings.EqualFold(typ, "at+jwt") || strings.EqualFold(typ, "application/at+jwt") // RFC 9068 §4
}

// strictCompact refuses every spelling of a token but the one that was issued. Decoders commonly
// ignore line breaks, and the bits of the last character that belong to no byte: several spellings
// would then pass as one token, and a list of revoked tokens or of seen ones could be walked around
// (RFC 4648 §3.5).
func strictCompact(raw string) error {
	if len(raw) > maxToken {
		return invalidToken("the token is too long")
	}
	parts := strings.Split(raw, ".")
	if len(parts) != 3 {
		return invalidToken("the token is not a JWT")
	}
	for _, part := range parts {
		// Even the strict decoder skips line breaks.
		if part == "" || strings.ContainsAny(part, "\r\n") {
			return invalidToken("the token is not a JWT")
		}
		if _, err := base64.RawURLEncoding.Strict().DecodeString(part); err != nil {
			return invalidToken("the token is not a JWT in base64url")
		}
	}
	return nil
}
