package providertest

import (
	"io"
	"net/http"
	"net/url"
	"strings"

	"latchkey/provider/clients"
)

// Introspected is the raw answer about a token.
func (w *World) Introspected(c clients.Client, token string) (status int, body string) {
	w.t.Helper()
	r, err := http.NewRequest("POST", w.Issuer+"/introspect", strings.NewReader(url.Values{"token": {token}}.Encode()))
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Accept", "application/token-introspection+jwt")
	r.SetBasicAuth(c.ID, TestSecret)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	if resp.Header.Get("Cache-Control") != "no-store" {
		w.t.Errorf("%v", resp.Header)
	}
	return resp.StatusCode, string(raw)
}
