package web_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"latchkey/provider"
	"latchkey/provider/providertest"
)

// behindProxy is a provider with an https issuer, whose requests come from 192.0.2.1 or another
// peer.
func behindProxy(t *testing.T) (w *providertest.World, ask func(peer, target string, header ...string) *http.Response) {
	w = providertest.New(t, func(c *provider.Config) {
		c.Issuer, c.TrustedProxies = "https://op.example", []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"),
			netip.MustParsePrefix("2001:db8:ffff::/48")}
	})
	handler := w.Handler()
	return w, func(peer, target string, header ...string) *http.Response {
		r := httptest.NewRequest("GET", target, nil)
		r.RemoteAddr = peer
		for i := 0; i+1 < len(header); i += 2 {
			r.Header.Add(header[i], header[i+1])
		}
		out := httptest.NewRecorder()
		handler.ServeHTTP(out, r)
		return out.Result()
	}
}

func TestClientAddressSurvivesProxiesAsTheyAre(t *testing.T) {
	t.Parallel()
	w, _ := behindProxy(t)
	for name, c := range map[string]struct {
		peer   string
		header []string
		want   string
	}{
		"one hop":                      {"192.0.2.1:9", []string{"203.0.113.9"}, "203.0.113.9"},
		"with a port":                  {"192.0.2.1:9", []string{"203.0.113.9:51234"}, "203.0.113.9"},
		"IPv6":                         {"192.0.2.1:9", []string{"2001:db8::9"}, "2001:db8::9"},
		"IPv6 in brackets":             {"192.0.2.1:9", []string{"[2001:db8::9]"}, "2001:db8::9"},
		"IPv6 in brackets with a port": {"192.0.2.1:9", []string{"[2001:db8::9]:443"}, "2001:db8::9"},
		"in quotes":                    {"192.0.2.1:9", []string{`"[2001:db8::9]:443"`}, "2001:db8::9"},
		"IPv4 mapped into IPv6":        {"192.0.2.1:9", []string{"::ffff:203.0.113.9"}, "203.0.113.9"},
		"a trusted proxy over IPv6":    {"[2001:db8:ffff::1]:9", []string{"203.0.113.9"}, "203.0.113.9"},
		"two trusted proxies in a row": {"192.0.2.1:9", []string{"203.0.113.9, 192.0.2.7"}, "203.0.113.9"},
		"a forged element to the left": {"192.0.2.1:9", []string{"198.51.100.1, 203.0.113.9"},
			"203.0.113.9"},
		"two headers": {"192.0.2.1:9", []string{"198.51.100.1", "203.0.113.9"},
			"203.0.113.9"},
		"empty elements":                          {"192.0.2.1:9", []string{"203.0.113.9, ,", ""}, "203.0.113.9"},
		"nothing readable":                        {"192.0.2.1:9", []string{"203.0.113.9, unknown"}, "192.0.2.1"},
		"a bracket that is not closed":            {"192.0.2.1:9", []string{"[2001:db8::9"}, "192.0.2.1"},
		"a port that is none":                     {"192.0.2.1:9", []string{"203.0.113.9:http"}, "192.0.2.1"},
		"no header":                               {"192.0.2.1:9", nil, "192.0.2.1"},
		"a peer that is not trusted says nothing": {"203.0.113.1:9", []string{"198.51.100.1"}, "203.0.113.1"},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = c.peer
		for _, h := range c.header {
			r.Header.Add("X-Forwarded-For", h)
		}
		if got := w.Web.ClientAddress(r); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
	if n := strings.Count(w.Log.String(), "cannot be read"); n != 1 {
		t.Errorf("warned %d times of what cannot be read", n)
	}
}

func TestTLSAtAProxyIsRecognisedAsProxiesSayIt(t *testing.T) {
	t.Parallel()
	_, ask := behindProxy(t)
	const target = "/.well-known/openid-configuration"
	for _, header := range [][]string{
		{"X-Forwarded-Proto", "https"}, {"X-Forwarded-Proto", "HTTPS"}, {"X-Forwarded-Proto", "https,http"},
		{"X-Forwarded-Proto", " , https , http"},
		{"X-Forwarded-Proto", "https", "X-Forwarded-Proto", "http"},
		{"Forwarded", `for=203.0.113.9;proto=https;by=192.0.2.1, for=192.0.2.1;proto=http`},
		{"Forwarded", `Proto="https"`},
	} {
		if got := ask("192.0.2.1:9", target, header...); got.StatusCode != http.StatusOK {
			t.Errorf("%q: %d %s", header, got.StatusCode, got.Header.Get("Location"))
		}
	}
	t.Run("what came in clear is sent to https", func(t *testing.T) {
		for _, c := range []struct {
			peer   string
			header []string
		}{{"192.0.2.1:9", []string{"X-Forwarded-Proto", "http"}}, {"203.0.113.1:9", nil}} {
			got := ask(c.peer, "/account?notice=x", c.header...)
			if got.StatusCode != http.StatusPermanentRedirect ||
				got.Header.Get("Location") != "https://op.example/account?notice=x" ||
				got.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("%v: %d %v", c, got.StatusCode, got.Header)
			}
		}
	})
	t.Run("a proxy that is not trusted, or does not say, leads to a reason and not in a circle", func(t *testing.T) {
		for name, c := range map[string]struct {
			peer   string
			header []string
		}{
			"not trusted":   {"203.0.113.1:9", []string{"X-Forwarded-Proto", "https"}},
			"does not say":  {"192.0.2.1:9", []string{"X-Forwarded-For", "203.0.113.9"}},
			"not a word":    {"192.0.2.1:9", nil},
			"not even that": {"203.0.113.77:9", nil},
		} {
			var got *http.Response
			for range 20 { // what a browser follows
				if got = ask(c.peer, "/"+strings.ReplaceAll(name, " ", "-"),
					c.header...); got.StatusCode != http.StatusPermanentRedirect {
					break
				}
			}
			if body, _ := io.ReadAll(got.Body); got.StatusCode != http.StatusBadRequest ||
				!strings.Contains(string(body), "trusted_proxies") {
				t.Errorf("%s: %d %s", name, got.StatusCode, body)
			}
		}
	})
	t.Run("a request target that is no path is no part of a Location", func(t *testing.T) {
		for _, target := range []string{"x:.evil.example/", "x:@evil.example/"} {
			r := httptest.NewRequest("GET", "/", nil)
			r.URL.Path, r.URL.Opaque, r.URL.Scheme = "", target[2:], "x"
			w, _ := behindProxy(t)
			out := httptest.NewRecorder()
			w.Handler().ServeHTTP(out, r)
			if out.Code != http.StatusBadRequest || out.Header().Get("Location") != "" {
				t.Errorf("%s: %d %s", target, out.Code, out.Header().Get("Location"))
			}
		}
	})
}
