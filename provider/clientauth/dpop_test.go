package clientauth_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"latchkey/provider/clients"
	"latchkey/provider/providertest"
)

// FuzzDPoP sends DPoP headers (RFC 9449 §4) that were not made for the request. None is taken.
func FuzzDPoP(f *testing.F) {
	w := providertest.New(f)
	handler := w.Handler()
	service := w.AddClient("service", providertest.Service, func(c *clients.Client) { c.DPoPBoundAccessTokens = true })
	f.Add(w.Proof(providertest.EcKey(f), "POST", "/userinfo", nil))
	f.Add("a.b.c")
	f.Fuzz(func(t *testing.T, proof string) {
		form := url.Values{"grant_type": {"client_credentials"}}
		r := httptest.NewRequest(http.MethodPost, w.Issuer+"/token", strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.SetBasicAuth(service.ID, providertest.TestSecret)
		r.Header["Dpop"] = []string{proof}
		out := httptest.NewRecorder()
		handler.ServeHTTP(out, r)
		if out.Code != http.StatusBadRequest || !strings.Contains(out.Body.String(), "invalid_dpop_proof") {
			t.Errorf("status %d: %s", out.Code, out.Body)
		}
	})
}

func TestBrowsersMaySendProofs(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	w.AddClient("spa", providertest.Public, func(c *clients.Client) { c.CORSOrigins = []string{"https://spa.example"} })
	for _, path := range []string{"/token", "/par", "/userinfo"} {
		r, err := http.NewRequest(http.MethodOptions, w.Issuer+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Origin", "https://spa.example")
		a := w.Send(r)
		if !strings.Contains(a.Header.Get("Access-Control-Allow-Headers"), "DPoP") ||
			!strings.Contains(a.Header.Get("Access-Control-Expose-Headers"), "DPoP-Nonce") {
			t.Errorf("%s: %v", path, a.Header)
		}
	}
}
