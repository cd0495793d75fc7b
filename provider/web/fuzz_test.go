package web_test

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"

	"latchkey/provider"
	"latchkey/provider/providertest"
)

// FuzzProxyHeaders sends what proxies say of the client. Who is not trusted says nothing; whatever
// anybody says, the address is one.
func FuzzProxyHeaders(f *testing.F) {
	w := providertest.New(f, func(c *provider.Config) {
		c.Issuer, c.TrustedProxies = "https://op.example", []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	})
	handler := w.Handler()
	f.Add(true, "203.0.113.9, 192.0.2.7", "https", `for="[2001:db8::9]:443";proto=https`)
	f.Add(false, "203.0.113.9:51234", "http", "")
	f.Fuzz(func(t *testing.T, trusted bool, forwardedFor, proto, forwarded string) {
		r := httptest.NewRequest(http.MethodGet, "/jwks", nil)
		r.RemoteAddr = "198.51.100.1:9"
		if trusted {
			r.RemoteAddr = "192.0.2.1:9"
		}
		for name, value := range map[string]string{"X-Forwarded-For": forwardedFor, "X-Forwarded-Proto": proto,
			"Forwarded": forwarded} {
			r.Header[name] = []string{value}
		}
		address, err := netip.ParseAddr(w.Web.ClientAddress(r))
		if err != nil || !trusted && address.String() != "198.51.100.1" {
			t.Errorf("the client is %v, %v", address, err)
		}
		out := httptest.NewRecorder()
		handler.ServeHTTP(out, r)
		if status := out.Code; status != http.StatusOK && status != http.StatusPermanentRedirect &&
			status != http.StatusBadRequest || !trusted && status == http.StatusOK {
			t.Errorf("status %d", status)
		}
	})
}

// FuzzCookies sends cookies of all kinds. Nobody is signed in by one that was made up.
func FuzzCookies(f *testing.F) {
	w := providertest.New(f)
	handler := w.Handler()
	f.Add("latchkey=a; latchkey_browser=b")
	f.Add("__Host-latchkey=MTczMjUyMDAwMHw=; latchkey_link=x")
	f.Fuzz(func(t *testing.T, cookies string) {
		r := httptest.NewRequest(http.MethodGet, w.Issuer+"/account", nil)
		r.Header["Cookie"] = []string{cookies}
		out := httptest.NewRecorder()
		handler.ServeHTTP(out, r)
		if out.Code != http.StatusSeeOther { // to the sign-in page
			t.Errorf("status %d", out.Code)
		}
	})
}
