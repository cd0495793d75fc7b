package providertest

import (
	"net/http"

	"latchkey/provider/clients"
)

// IdTokenOf redeems a code and decodes the ID token that comes for it.
func (w *World) IdTokenOf(c clients.Client, code string) map[string]any {
	w.t.Helper()
	tokens := w.Redeem(c, code)
	if tokens.StatusCode != http.StatusOK {
		w.t.Fatalf("%d %v", tokens.StatusCode, tokens.JSON)
	}
	return ClaimsOf(w.t, tokens.Str("id_token"))
}
