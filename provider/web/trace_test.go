package web

import (
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
)

func TestALogLineNamesTheTraceAndTheProxysRequest(t *testing.T) {
	t.Parallel()
	const parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	s := &Site{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.5/32")}}
	for _, test := range []struct{ from, parent, id, want string }{
		{"10.0.0.5:1", parent, "abc-1", "trace_id=4bf92f3577b34da6a3ce929d0e0e4736 parent_id=00f067aa0ba902b7 proxy_request_id=abc-1"},
		{"10.0.0.6:1", parent, "abc-1", "trace_id=4bf92f3577b34da6a3ce929d0e0e4736 parent_id=00f067aa0ba902b7"},
		{"10.0.0.5:1", "", "", ""},
		{"10.0.0.5:1", strings.ToUpper(parent), "a b", ""},
		{"10.0.0.5:1", parent + "x", strings.Repeat("a", 129), ""},
		{"10.0.0.5:1", "00-4bf92f3577b34da6a3ce929d0e0e4736", "a\nb", ""},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = test.from
		r.Header.Set("Traceparent", test.parent)
		r.Header.Set("X-Request-Id", test.id)
		var got []string
		for _, a := range s.traceOf(r) {
			got = append(got, a.String())
		}
		if strings.Join(got, " ") != test.want {
			t.Errorf("%+v: %q", test, got)
		}
	}
}
