package grants

import (
	"context"
	"errors"
	"fmt"

	"latchkey/keys"
	"latchkey/provider/clients"
	"latchkey/provider/oauth"
	"latchkey/provider/storage"
)

// ownAlgorithm signs the access tokens that only the provider reads.
const ownAlgorithm = "ES256"

// handoverAlgorithm signs in place of the default while caches may not have the default's first key
// yet. It always has a key.
const handoverAlgorithm = "RS256"

// AccessTokenAlgorithm returns the algorithm that signs an access token of the client for an
// audience, none for the client's default one. It belongs to the API that reads the token, as it is
// registered, and not to the client: the provider's default for APIs that have said nothing, and
// ES256 for tokens that only the provider reads.
//
// invalid_target if the token would be for APIs that want different algorithms, because it has one
// signature; any other error is a fault of the store.
func (gs *Grants) AccessTokenAlgorithm(ctx context.Context, client clients.Client, audience []string) (string, error) {
	if len(audience) == 0 {
		audience = gs.defaultAudience(client, nil)
	}
	asked, err := gs.askedAlgorithm(ctx, gs.Store.Records, audience)
	if err != nil {
		return "", err
	}
	return gs.algorithm(ctx, asked)
}

// defaultAlgorithm stands for the provider's default.
const defaultAlgorithm = ""

// askedAlgorithm returns what the APIs of an audience ask for, defaultAlgorithm if one of them is
// unknown or has said nothing and no other asks. Errors are those of AccessTokenAlgorithm.
func (gs *Grants) askedAlgorithm(ctx context.Context, from storage.Records, audience []string) (string, error) {
	asked, undecided := defaultAlgorithm, false
	for _, resource := range audience {
		if resource == gs.Issuer {
			continue // the provider reads every algorithm
		}
		apis, err := from.SigningAPIs(ctx, resource)
		if err != nil {
			return "", fmt.Errorf("look up the APIs of an audience: %w", err)
		}
		undecided = undecided || len(apis) == 0
		for _, api := range apis {
			alg := api.AccessTokenSignedResponseAlg
			if asked != defaultAlgorithm && asked != alg {
				return "", oauth.Errorf(oauth.InvalidTarget,
					"these resources want access tokens with different signatures; ask for one resource at a time")
			}
			asked = alg
		}
	}
	if asked == defaultAlgorithm && !undecided {
		asked = ownAlgorithm
	}
	return asked, nil
}

// algorithm is the algorithm in force for what was asked for. It may make a key, and so must not
// run inside storage.Store.View.
func (gs *Grants) algorithm(ctx context.Context, asked string) (string, error) {
	switch {
	case asked != defaultAlgorithm:
		return asked, nil
	case gs.Keys.Introduced(gs.AccessTokenAlg):
		return gs.AccessTokenAlg, nil
	}
	if err := gs.Keys.EnsureAlgorithm(ctx, keys.UseSignature, gs.AccessTokenAlg); err != nil {
		return "", fmt.Errorf("make a key for %s: %w", gs.AccessTokenAlg, err)
	}
	if gs.Keys.Introduced(gs.AccessTokenAlg) {
		return gs.AccessTokenAlg, nil
	}
	return handoverAlgorithm, nil
}

// Sign makes a JWS (RFC 7515 §7.1). The first token that needs an algorithm makes its key.
func (gs *Grants) Sign(ctx context.Context, alg, typ string, claims map[string]any) (string, error) {
	token, err := gs.Keys.Sign(ctx, alg, typ, claims)
	if !errors.Is(err, keys.ErrNoKey) {
		return token, err
	}
	if err := gs.Keys.EnsureAlgorithm(ctx, keys.UseSignature, alg); err != nil {
		return "", fmt.Errorf("make a key for %s: %w", alg, err)
	}
	return gs.Keys.Sign(ctx, alg, typ, claims)
}
