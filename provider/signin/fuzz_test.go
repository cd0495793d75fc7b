package signin_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"latchkey/provider/providertest"
)

// FuzzReference opens pages of a sign-in by references that we have not made. None of them is one.
func FuzzReference(f *testing.F) {
	w := providertest.New(f)
	handler := w.Handler()
	b := w.Browser()
	real := b.Open(w.Request(w.AddClient("web"))).Request.URL.Query().Get("i")
	f.Add(real[:len(real)-1])
	f.Add(real + "A")
	f.Add("s.AAAA")
	f.Fuzz(func(t *testing.T, ref string) {
		if ref == real {
			return
		}
		for _, path := range []string{"/login", "/consent", "/accounts", "/authorize"} {
			r := httptest.NewRequest(http.MethodGet, w.Issuer+path+"?"+url.Values{"i": {ref}}.Encode(), nil)
			out := httptest.NewRecorder()
			handler.ServeHTTP(out, r)
			if out.Code == http.StatusOK || out.Code >= 500 {
				t.Errorf("%s: status %d", path, out.Code)
			}
		}
	})
}

// FuzzRequestObject sends request objects (OIDC Core §6.1) that nobody has signed.
func FuzzRequestObject(f *testing.F) {
	w := providertest.New(f)
	handler := w.Handler()
	client := w.AddClient("web")
	f.Add("eyJhbGciOiJub25lIn0.eyJpc3MiOiJ3ZWIifQ.")
	f.Add("eyJhbGciOiJSU0EtT0FFUC0yNTYiLCJlbmMiOiJBMjU2R0NNIn0.a.b.c.d")
	f.Fuzz(func(t *testing.T, object string) {
		if object == "" {
			return
		}
		r := httptest.NewRequest(http.MethodGet, w.Request(client, "request", object), nil)
		out := httptest.NewRecorder()
		handler.ServeHTTP(out, r)
		to, err := url.Parse(out.Header().Get("Location"))
		if out.Code >= 500 || err != nil || to.Path == "/login" || to.Query().Has("code") {
			t.Errorf("status %d to %s", out.Code, to)
		}
	})
}

// FuzzPushed pushes authorization requests (RFC 9126 §2.1) of a public client. What is taken comes
// from that client and has a redirect URI of its own.
func FuzzPushed(f *testing.F) {
	w := providertest.New(f)
	handler := w.Handler()
	client := w.AddClient("web", providertest.Public)
	f.Add(providertest.MustQuery(f, w.Request(client)).Encode())
	f.Fuzz(func(t *testing.T, body string) {
		r := httptest.NewRequest(http.MethodPost, w.Issuer+"/par", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		out := httptest.NewRecorder()
		handler.ServeHTTP(out, r)
		form, _ := url.ParseQuery(body)
		if out.Code >= 500 || out.Code == http.StatusCreated && (form.Get("client_id") != client.ID ||
			form.Get("redirect_uri") != client.RedirectURIs[0] || form.Has("request_uri")) {
			t.Errorf("status %d: %s", out.Code, out.Body)
		}
	})
}

// FuzzPushedReference opens references to pushed requests that were not made here.
func FuzzPushedReference(f *testing.F) {
	w := providertest.New(f)
	handler := w.Handler()
	client := w.AddClient("web", providertest.Public)
	real := w.Push(client).Str("request_uri")
	f.Add(strings.TrimPrefix(real, providertest.PushedPrefix) + "A")
	f.Add(real[len(providertest.PushedPrefix) : len(real)-1])
	f.Fuzz(func(t *testing.T, ref string) {
		if providertest.PushedPrefix+ref == real {
			return
		}
		r := httptest.NewRequest(http.MethodGet, w.Issuer+w.Pushed(client, providertest.PushedPrefix+ref), nil)
		out := httptest.NewRecorder()
		handler.ServeHTTP(out, r)
		if out.Code != http.StatusBadRequest || out.Header().Get("Location") != "" {
			t.Errorf("status %d to %q", out.Code, out.Header().Get("Location"))
		}
	})
}
