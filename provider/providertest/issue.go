package providertest

import (
	"encoding/json"

	"github.com/go-jose/go-jose/v4"
)

// Published is the key set that applications see.
func (w *World) Published() jose.JSONWebKeySet {
	w.t.Helper()
	body, _, _, err := w.Keys.JWKS(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(body, &set); err != nil {
		w.t.Fatal(err)
	}
	return set
}

// Verified checks a JWS by the published keys as an application does, and returns header and
// claims.
func (w *World) Verified(jws, alg string) (jose.Header, map[string]any) {
	w.t.Helper()
	parsed, err := jose.ParseSignedCompact(jws, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(alg)})
	if err != nil {
		w.t.Fatalf("%v: %s", err, jws)
	}
	header := parsed.Signatures[0].Header
	set := w.Published()
	found := set.Key(header.KeyID)
	if header.KeyID == "" || len(found) != 1 {
		w.t.Fatalf("kid %q is published %d times", header.KeyID, len(found))
	}
	if _, err := parsed.Verify(found[0]); err != nil {
		w.t.Fatal(err)
	}
	return header, ClaimsOf(w.t, jws)
}
