package signin_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
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
