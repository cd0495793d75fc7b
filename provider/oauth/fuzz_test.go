package oauth_test

import (
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"latchkey/provider/oauth"
)

// FuzzParameters reads the same text as a query and as a body: both say the same of it, and what is
// read is what url.ParseQuery finds.
func FuzzParameters(f *testing.F) {
	f.Add("client_id=a&scope=openid+profile&state=%7B%7D")
	f.Add("a=1&a=2&resource=x&resource=y")
	f.Add("a=%zz&b;c=d&\x00")
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > oauth.MaxBody {
			return
		}
		query, queryErr := oauth.ParseQuery(text)
		r := httptest.NewRequest("POST", "/token?client_id=of+the+address", strings.NewReader(text))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		body, bodyErr := oauth.ParseBody(r)
		if (queryErr == nil) != (bodyErr == nil) {
			t.Fatalf("as a query: %v, as a body: %v", queryErr, bodyErr)
		}
		if queryErr != nil {
			return
		}
		want, err := url.ParseQuery(text)
		if err != nil {
			t.Fatalf("read, though it is not a form: %v", err)
		}
		for name, values := range want {
			if query.Get(name) != body.Get(name) || len(values) == 1 && query.Has(name) &&
				query.Get(name) != values[0] {
				t.Errorf("%q: %q, %q, %q", name, query.Get(name), body.Get(name), values)
			}
		}
	})
}
