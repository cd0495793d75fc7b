package web_test

import (
	"net/http"
	"regexp"
	"strings"
	"testing"

	"latchkey/provider/clients"
	"latchkey/provider/providertest"
)

func TestMetrics(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	w.AddUser("alice")
	c := w.AddClient("web-a")
	code := w.Browser().Code(c, "alice")
	if a := w.Redeem(c, code); a.StatusCode != 200 {
		t.Fatalf("%d %v", a.StatusCode, a.JSON)
	}
	w.Redeem(c, code)
	w.Call("/token", c, map[string][]string{"grant_type": {"made-up-by-the-client"}})
	w.Call("/token", clients.Client{ID: "nobody"}, map[string][]string{"grant_type": {"authorization_code"}})
	for _, path := range []string{"/made/up", "/another", "/logo/one", "/logo/two"} {
		w.Fetch(path)
	}
	r, _ := http.NewRequest("MADEUP", w.Issuer+"/", nil)
	w.Browser().Do(r)
	w.Clock.Advance(90e9)
	text := w.MetricsText()
	for _, want := range []string{
		`latchkey_logins_total{method="password",result="success"} 1`,
		`latchkey_tokens_issued_total{grant="authorization_code"} 1`,
		`latchkey_token_errors_total{error="invalid_grant",grant="authorization_code"} 1`,
		`latchkey_token_errors_total{error="unsupported_grant_type",grant="other"} 1`,
		`latchkey_token_errors_total{error="invalid_client",grant="other"} 1`,
		`latchkey_http_request_duration_seconds_count{code="200",method="POST",route="/token"} 1`,
		`latchkey_http_request_duration_seconds_count{code="404",method="GET",route="unmatched"} 2`,
		`latchkey_http_request_duration_seconds_count{code="404",method="GET",route="/logo/{client_id}"} 2`,
		"go_goroutines ",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("missing: %s", want)
		}
	}
	if !regexp.MustCompile(`latchkey_signing_key_age_seconds\{alg="RS256"\} 9\d`).MatchString(text) {
		t.Error("no age of the key")
	}
	for _, never := range []string{"made-up", "made/up", "MADEUP", "web-a", "alice", "nobody", code} {
		if strings.Contains(text, never) {
			t.Errorf("the metrics name %q", never)
		}
	}
	if p := w.Fetch("/metrics"); p.StatusCode != http.StatusNotFound {
		t.Errorf("/metrics on the public listener: %d", p.StatusCode)
	}
	if t.Failed() {
		t.Log(text)
	}
}
