package clientauth

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"latchkey/keys"
	"latchkey/provider/clients"
	"latchkey/provider/web"
)

const (
	// keysFreshFor is how long a client's published keys are used without looking again, so that a
	// key that the client has withdrawn does not live on.
	keysFreshFor = 10 * time.Minute
	// keysKeptFor is how long they are used while the address does not answer: whoever has a
	// withdrawn key gains no more than that by keeping the address from us.
	keysKeptFor = 24 * time.Hour
	// keysCooldown lies between two looks at one client's jwks_uri, whatever is asked for in
	// between: nobody can make us call somebody over and over by sending JWTs.
	keysCooldown = 20 * time.Second
	maxClientSet = 256 << 10 // bytes
	maxKeptSets  = 1000
	keysPatience = 10 * time.Second // for one look, however many wait for it
)

// clientSet returns the client's public keys: those it registered, or those at its jwks_uri.
// lacking is a set that the caller had before and that turned out to lack a key; then it is worth a
// new look (OIDC Core §10.1.1), unless there was one a moment ago. When the address does not
// answer, the last good set goes on, for a day at most.
func (a *Authenticator) clientSet(ctx context.Context, client clients.Client, lacking *keys.Set) (*keys.Set, error) {
	if len(client.JWKS) > 0 {
		return a.registeredSet(client.JWKS)
	}
	if client.JWKSURI == "" {
		return nil, errors.New("the client has registered neither jwks nor jwks_uri")
	}
	lacks := func(set *keys.Set) bool { return set == lacking }
	set, err := a.published.Get(ctx, client.ID+"\x00"+client.JWKSURI, a.Web.Now(), lacks,
		func(ctx context.Context) (*keys.Set, error) {
			body, err := a.Outbound.Get(ctx, client.JWKSURI, maxClientSet, "application/jwk-set+json", "application/json")
			if err != nil {
				return nil, err
			}
			return keys.ParseSet(body)
		})
	if err != nil {
		return nil, fmt.Errorf("jwks_uri of the client: %w", err)
	}
	return set, nil
}

// registeredSet reads a registered set once: to check the points of 64 keys takes as long as a
// request, which anyone can make who knows a client_id.
func (a *Authenticator) registeredSet(jwks []byte) (*keys.Set, error) {
	sum := sha256.Sum256(jwks)
	if set, ok := a.parsed.Get(sum); ok {
		return set, nil
	}
	set, err := keys.ParseSet(jwks)
	if err != nil {
		return nil, err
	}
	a.parsed.Add(sum, set)
	return set, nil
}

// VerifyJWT checks a JWS by the client's own keys and returns its payload. alg must be one of algs,
// and typ one of typs ("" is an absent one); both are looked at before any key is, so that a JWT
// which cannot be good causes no request.
func (a *Authenticator) VerifyJWT(ctx context.Context, client clients.Client, jws string, algs []string,
	typs ...string) ([]byte, error) {
	header, err := keys.PeekHeader(jws)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(algs, header.Algorithm) {
		return nil, fmt.Errorf("the JWT is signed with %.20q; %v is what is registered or supported", header.Algorithm, algs)
	}
	if !slices.ContainsFunc(typs, header.IsType) {
		return nil, fmt.Errorf("the JWT is of type %.40q, which is not accepted here", header.Type)
	}
	set, err := a.clientSet(ctx, client, nil)
	if err != nil {
		return nil, err
	}
	payload, _, err := set.Verify(jws, algs)
	// Without a kid nothing tells a new key from a forgery but one more look.
	if errors.Is(err, keys.ErrUnknownKey) || errors.Is(err, keys.ErrSignature) && header.KeyID == "" {
		newer, fetchErr := a.clientSet(ctx, client, set)
		if fetchErr != nil {
			return nil, fetchErr
		}
		if newer != set && len(client.JWKS) == 0 {
			set = newer
			payload, _, err = set.Verify(jws, algs)
		}
	}
	if why := set.Refused(); errors.Is(err, keys.ErrUnknownKey) && len(why) > 0 {
		err = fmt.Errorf("%w; of the client's keys these were left out: %s", err, web.Clip(strings.Join(why, "; "), 500))
	}
	return payload, err
}

// EncryptTo makes a JWE for the client (OIDC Core §10.2).
func (a *Authenticator) EncryptTo(ctx context.Context, client clients.Client, payload []byte, alg, enc,
	cty string) (string, error) {
	if enc == "" {
		enc = keys.DefaultContentEncryption
	}
	set, err := a.clientSet(ctx, client, nil)
	if err != nil {
		return "", fmt.Errorf("encrypt to client %q: %w", client.ID, err)
	}
	jwe, err := set.Encrypt(payload, alg, enc, cty)
	if errors.Is(err, keys.ErrUnknownKey) && len(client.JWKS) == 0 {
		if set, err = a.clientSet(ctx, client, set); err != nil {
			return "", fmt.Errorf("encrypt to client %q: %w", client.ID, err)
		}
		jwe, err = set.Encrypt(payload, alg, enc, cty)
	}
	if err != nil {
		return "", fmt.Errorf("encrypt to client %q: %w", client.ID, err)
	}
	return jwe, nil
}
