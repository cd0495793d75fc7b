package providertest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"latchkey/provider/clients"
	"latchkey/provider/storage"
)

// JKT is the thumbprint of a key (RFC 7638 §3).
func JKT(t testing.TB, key *ecdsa.PrivateKey) string {
	t.Helper()
	sum, err := (&jose.JSONWebKey{Key: key.Public()}).Thumbprint(crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(sum)
}

// ProofHeader is the header of a good DPoP proof.
func ProofHeader(key *ecdsa.PrivateKey) map[jose.HeaderKey]any {
	return map[jose.HeaderKey]any{"typ": "dpop+jwt", "jwk": jose.JSONWebKey{Key: key.Public()}}
}

// ProofOf are the claims of a good DPoP proof (RFC 9449 §4.2); change replaces some, nil removes
// one.
func (w *World) ProofOf(method, path string, change map[string]any) map[string]any {
	claims := map[string]any{"jti": storage.Random(), "htm": method, "htu": w.Issuer + path,
		"iat": w.Web.Now().Unix()}
	for k, v := range change {
		if v == nil {
			delete(claims, k)
		} else {
			claims[k] = v
		}
	}
	return claims
}

// Proof makes a DPoP proof by the key; change as ProofOf.
func (w *World) Proof(key *ecdsa.PrivateKey, method, path string, change map[string]any) string {
	w.t.Helper()
	return SignJWT(w.t, jose.ES256, key, w.ProofOf(method, path, change), ProofHeader(key))
}

// ATH is what a proof says of the access token that it comes with.
func ATH(token string) map[string]any {
	sum := sha256.Sum256([]byte(token))
	return map[string]any{"ath": base64.RawURLEncoding.EncodeToString(sum[:])}
}

// CallProving is Call with DPoP headers.
func (w *World) CallProving(path string, c clients.Client, form url.Values, proofs ...string) AnswerJSON {
	w.t.Helper()
	r, err := http.NewRequest(http.MethodPost, w.Issuer+path, strings.NewReader(form.Encode()))
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if !c.Public() {
		r.SetBasicAuth(url.QueryEscape(c.ID), url.QueryEscape(TestSecret))
	}
	for _, p := range proofs {
		r.Header.Add("DPoP", p)
	}
	return w.Send(r)
}

// RedeemForm is what Redeem sends.
func (w *World) RedeemForm(c clients.Client, code string) url.Values {
	form := url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {c.RedirectURIs[0]},
		"code_verifier": {TestVerifier}}
	if c.Public() {
		form.Set("client_id", c.ID)
	}
	return form
}

// RenewForm is what Renew sends.
func (w *World) RenewForm(c clients.Client, token string) url.Values {
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}}
	if c.Public() {
		form.Set("client_id", c.ID)
	}
	return form
}

// BoundTokens is Tokens with a proof by the key.
func (w *World) BoundTokens(c clients.Client, u storage.User, scope string, key *ecdsa.PrivateKey) AnswerJSON {
	w.t.Helper()
	code, _ := w.Authorized(c, u, scope)
	a := w.CallProving("/token", c, w.RedeemForm(c, code), w.Proof(key, "POST", "/token", nil))
	if a.StatusCode != http.StatusOK {
		w.t.Fatalf("redeem: %d %v\n%s", a.StatusCode, a.JSON, w.Log)
	}
	return a
}

// WhoisProving asks userinfo by the scheme, with DPoP headers.
func (w *World) WhoisProving(scheme, token string, proofs ...string) AnswerJSON {
	w.t.Helper()
	r, err := http.NewRequest(http.MethodGet, w.Issuer+"/userinfo", nil)
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Authorization", scheme+" "+token)
	for _, p := range proofs {
		r.Header.Add("DPoP", p)
	}
	return w.Send(r)
}
