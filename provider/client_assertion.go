package provider

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"latchkey/keys"
	"latchkey/provider/clients"
	"latchkey/provider/oauth"
	"latchkey/provider/storage"
)

const (
	// assertionLife is how far ahead the exp of a client assertion may lie: its jti is remembered for so long. Libraries in wide use make
	// them good for an hour by default; beyond that is unreasonably far (RFC 7523 §3).
	assertionLife = time.Hour
	maxAssertion  = 16 << 10 // bytes
	maxJTI        = 256      // characters
	// kindAssertion is the kind under which used jti are remembered.
	kindAssertion = "client-assertion"
)

// assertionSubject reads which client an assertion claims to be from, without believing it; "" when it claims none.
func assertionSubject(assertion string) string {
	if len(assertion) > maxAssertion {
		return ""
	}
	payload, err := keys.InsecurePeek(assertion)
	if err != nil {
		return ""
	}
	claims, err := readClaims(payload)
	if err != nil {
		return ""
	}
	return claims.text("sub")
}

// checkAssertion checks a client assertion of client_secret_jwt or private_key_jwt (RFC 7523 §3, OIDC Core §9). What is wrong with it comes
// back as failedAuthentication; other errors are ours.
func (p *Provider) checkAssertion(ctx context.Context, r *http.Request, client clients.Client, assertion string) error {
	now := p.now()
	// Everything that can be seen without a key comes first: a JWT that cannot be good causes neither work nor a request to anybody.
	peeked, err := keys.InsecurePeek(assertion)
	if err != nil {
		return notProven("client assertion: %w", err)
	}
	claims, err := readClaims(peeked)
	if err != nil {
		return notProven("client assertion: %w", err)
	}
	expires, err := p.checkAssertionClaims(r, client, claims, now)
	if err != nil {
		return notProven("client assertion: %w", err)
	}
	if err := p.verifyAssertion(ctx, client, assertion, now); err != nil {
		if unavailable(err) && !errors.Is(err, context.DeadlineExceeded) {
			return err
		}
		return notProven("client assertion: %w", err)
	}
	// Whoever saw it on its way must not be able to send it again, to any instance (RFC 7523 §3, OIDC Core §9).
	err = p.Store.Spend(ctx, kindAssertion, storage.Hash(client.ID+"\x00"+claims.text("jti")), now, expires.Add(clockSkew))
	if errors.Is(err, storage.ErrConsumed) {
		return notProven("client assertion: jti was used before")
	}
	if err != nil {
		return fmt.Errorf("remember jti: %w", err)
	}
	return nil
}

// checkAssertionClaims checks who made the assertion, for whom, and when, and says when it expires.
func (p *Provider) checkAssertionClaims(r *http.Request, client clients.Client, claims jwtClaims, now time.Time) (time.Time, error) {
	var never time.Time
	if claims.text("iss") != client.ID || claims.text("sub") != client.ID {
		return never, errors.New("iss and sub must both be the client_id")
	}
	if err := p.checkAssertionAudience(r, client, claims["aud"]); err != nil {
		return never, err
	}
	expires, has, err := claims.at("exp")
	switch {
	case err != nil || !has:
		return never, errors.New("exp must be a number of seconds since 1970")
	case now.Sub(expires) >= clockSkew:
		return never, errors.New("it has expired")
	case expires.Sub(now) > assertionLife+clockSkew:
		return never, fmt.Errorf("exp is more than %s ahead", assertionLife)
	}
	for _, name := range []string{"nbf", "iat"} {
		if t, has, err := claims.at(name); err != nil || has && t.Sub(now) > clockSkew {
			return never, fmt.Errorf("%s is not a time, or lies in the future", name)
		}
	}
	if jti := claims.text("jti"); jti == "" || len(jti) > maxJTI {
		return never, fmt.Errorf("jti must be a text of 1 to %d characters", maxJTI)
	}
	return expires, nil
}

// checkAssertionAudience wants the issuer, as one string: an assertion with several audiences, or with the address of an endpoint, can
// be turned against another provider that one of them names. OIDC Core §9 recommends the token endpoint, and many
// libraries send that, so clients may be set to be allowed it; those that registered themselves are.
func (p *Provider) checkAssertionAudience(r *http.Request, client clients.Client, raw json.RawMessage) error {
	var one string
	if json.Unmarshal(raw, &one) == nil && one == p.Issuer {
		return nil
	}
	if client.LegacyAssertionAudience || client.Dynamic {
		accepted := []string{p.Issuer, p.url("/token"), p.url(strings.TrimPrefix(r.URL.Path, p.path))}
		list, err := stringOrList(raw)
		if err == nil && len(list) > 0 && !slices.ContainsFunc(list, func(aud string) bool { return !slices.Contains(accepted, aud) }) {
			return nil
		}
	}
	return fmt.Errorf("aud must be the issuer %s, as one string", p.Issuer)
}

// verifyAssertion checks the signature, by the algorithm and the key that the client is registered with.
func (p *Provider) verifyAssertion(ctx context.Context, client clients.Client, assertion string, now time.Time) error {
	// RFC 7523 says nothing of typ; client-authentication+jwt is what its successor proposes.
	typs := []string{"", "client-authentication+jwt"}
	if client.TokenEndpointAuthMethod == oauth.AuthPrivateKeyJWT {
		algs := keys.AcceptedSigningAlgorithms // any that we accept (OIDC Registration §2)
		if client.TokenEndpointAuthAlg != "" {
			algs = []string{client.TokenEndpointAuthAlg}
		}
		_, err := p.verifyClientJWT(ctx, client, assertion, algs, typs...)
		return err
	}
	algs := keys.HMACAlgorithms
	if client.TokenEndpointAuthAlg != "" {
		algs = []string{client.TokenEndpointAuthAlg}
	}
	if !client.SecretExpiresAt.IsZero() && !now.Before(client.SecretExpiresAt) {
		return errors.New("the client secret has expired")
	}
	secret, err := p.Sealer.Open(client.SealedSecret, clients.SealedSecretData(client.ID))
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

// jwtClaims are the claims of somebody else's JWT. They are a map, because encoding/json would match the members of a struct
// whatever their case.
type jwtClaims map[string]json.RawMessage

func readClaims(payload []byte) (jwtClaims, error) {
	var c jwtClaims
	if err := json.Unmarshal(payload, &c); err != nil || c == nil {
		return nil, errors.New("the JWT payload is not a JSON object")
	}
	return c, nil
}

// has says whether there is such a claim, whatever it is.
func (c jwtClaims) has(name string) bool { _, ok := c[name]; return ok }

// text is a claim that is a string; "" otherwise.
func (c jwtClaims) text(name string) string {
	var s string
	if json.Unmarshal(c[name], &s) != nil {
		return ""
	}
	return s
}

// at is a claim that is a time (RFC 7519 §2 NumericDate): seconds, maybe with a fraction. Numbers that are no time of ours are errors.
func (c jwtClaims) at(name string) (t time.Time, has bool, err error) {
	raw, has := c[name]
	if !has {
		return t, false, nil
	}
	seconds, err := strconv.ParseFloat(string(raw), 64)
	if err != nil || seconds < 0 || seconds > 1<<40 {
		return t, true, fmt.Errorf("%s must be a number of seconds since 1970", name)
	}
	return time.UnixMilli(int64(seconds * 1000)), true, nil
}
