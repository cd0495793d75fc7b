package clientauth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"latchkey/keys"
	"latchkey/provider/clients"
	"latchkey/provider/oauth"
	"latchkey/provider/storage"
	"latchkey/provider/web"
)

const (
	// assertionLife is how far ahead the exp of a client assertion may lie: its jti is remembered
	// for so long. Libraries in wide use make them good for an hour by default; beyond that is
	// unreasonably far (RFC 7523 §3).
	assertionLife = time.Hour
	maxAssertion  = 16 << 10 // bytes
	maxJTI        = 256      // characters
	// kindAssertion is the kind under which used jti are remembered.
	kindAssertion = "client-assertion"
)

// assertionSubject reads which client an assertion claims to be from, without believing it; "" when
// it claims none.
func assertionSubject(assertion string) string {
	if len(assertion) > maxAssertion {
		return ""
	}
	payload, err := keys.InsecurePeek(assertion)
	if err != nil {
		return ""
	}
	claims, err := ReadClaims(payload)
	if err != nil {
		return ""
	}
	return claims.Text("sub")
}

// checkAssertion checks a client assertion of client_secret_jwt or private_key_jwt (RFC 7523 §3,
// OIDC Core §9). What is wrong with it comes back as failedAuthentication; other errors are ours.
func (a *Authenticator) checkAssertion(ctx context.Context, r *http.Request, client clients.Client,
	assertion string) error {
	now := a.Web.Now()
	// Everything that can be seen without a key comes first: a JWT that cannot be good causes
	// neither work nor a request to anybody.
	peeked, err := keys.InsecurePeek(assertion)
	if err != nil {
		return authFailed("client assertion: %w", err)
	}
	claims, err := ReadClaims(peeked)
	if err != nil {
		return authFailed("client assertion: %w", err)
	}
	expires, err := a.checkAssertionClaims(r, client, claims, now)
	if err != nil {
		return authFailed("client assertion: %w", err)
	}
	if err := a.verifyAssertion(ctx, client, assertion, now); err != nil {
		if web.Unavailable(err) && !errors.Is(err, context.DeadlineExceeded) {
			return err
		}
		return authFailed("client assertion: %w", err)
	}
	// Whoever saw it on its way must not be able to send it again, to any instance (RFC 7523 §3,
	// OIDC Core §9).
	err = a.Store.Spend(ctx, kindAssertion, storage.Hash(client.ID+"\x00"+claims.Text("jti")), now,
		expires.Add(ClockSkew))
	if errors.Is(err, storage.ErrConsumed) {
		return authFailed("client assertion: jti was used before")
	}
	if err != nil {
		return fmt.Errorf("remember jti: %w", err)
	}
	return nil
}

// checkAssertionClaims checks who made the assertion, for whom, and when, and says when it expires.
func (a *Authenticator) checkAssertionClaims(r *http.Request, client clients.Client, claims JWTClaims,
	now time.Time) (time.Time, error) {
	var never time.Time
	if claims.Text("iss") != client.ID || claims.Text("sub") != client.ID {
		return never, errors.New("iss and sub must both be the client_id")
	}
	if err := a.checkAssertionAudience(r, client, claims["aud"]); err != nil {
		return never, err
	}
	expires, has, err := claims.At("exp")
	switch {
	case err != nil || !has:
		return never, errors.New("exp must be a number of seconds since 1970")
	case now.Sub(expires) >= ClockSkew:
		return never, errors.New("it has expired")
	case expires.Sub(now) > assertionLife+ClockSkew:
		return never, fmt.Errorf("exp is more than %s ahead", assertionLife)
	}
	for _, name := range []string{"nbf", "iat"} {
		if t, has, err := claims.At(name); err != nil || has && t.Sub(now) > ClockSkew {
			return never, fmt.Errorf("%s is not a time, or lies in the future", name)
		}
	}
	if jti := claims.Text("jti"); jti == "" || len(jti) > maxJTI {
		return never, fmt.Errorf("jti must be a text of 1 to %d characters", maxJTI)
	}
	return expires, nil
}

// checkAssertionAudience wants the issuer, as one string: an assertion with several audiences, or
// with the address of an endpoint, can be turned against another provider that one of them names.
// OIDC Core §9 recommends the token endpoint, and many libraries send that, so clients may be set
// to be allowed it; those that registered themselves are.
func (a *Authenticator) checkAssertionAudience(r *http.Request, client clients.Client, raw json.RawMessage) error {
	var one string
	if json.Unmarshal(raw, &one) == nil && one == a.Web.Issuer {
		return nil
	}
	if client.LegacyAssertionAudience || client.Dynamic {
		accepted := []string{a.Web.Issuer, a.Web.URL("/token"), a.Web.URL(strings.TrimPrefix(r.URL.Path, a.Web.Path))}
		list, err := oauth.StringOrList(raw)
		if err == nil && len(list) > 0 && !slices.ContainsFunc(list,
			func(aud string) bool { return !slices.Contains(accepted, aud) }) {
			return nil
		}
	}
	return fmt.Errorf("aud must be the issuer %s, as one string", a.Web.Issuer)
}

// verifyAssertion checks the signature, by the algorithm and the key that the client is registered
// with.
func (a *Authenticator) verifyAssertion(ctx context.Context, client clients.Client, assertion string,
	now time.Time) error {
	// RFC 7523 says nothing of typ; client-authentication+jwt is what its successor proposes.
	typs := []string{"", "client-authentication+jwt"}
	if client.TokenEndpointAuthMethod == oauth.AuthPrivateKeyJWT {
		algs := keys.AcceptedSigningAlgorithms // any that we accept (OIDC Registration §2)
		if client.TokenEndpointAuthAlg != "" {
			algs = []string{client.TokenEndpointAuthAlg}
		}
		_, err := a.VerifyJWT(ctx, client, assertion, algs, typs...)
		return err
	}
	algs := keys.HMACAlgorithms
	if client.TokenEndpointAuthAlg != "" {
		algs = []string{client.TokenEndpointAuthAlg}
	}
	if !client.SecretExpiresAt.IsZero() && !now.Before(client.SecretExpiresAt) {
		return errors.New("the client secret has expired")
	}
	secret, err := a.Sealer.Open(client.SealedSecret, clients.SealedSecretData(client.ID))
	if err != nil {
		return fmt.Errorf("open client secret: %w", err)
	}
	header, err := keys.PeekHeader(assertion)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(typs, header.IsType) {
		return fmt.Errorf("the JWT is of type %.40q, which is not accepted here", header.Type)
	}
	_, _, err = keys.VerifyHMAC(assertion, secret, algs)
	return err
}
