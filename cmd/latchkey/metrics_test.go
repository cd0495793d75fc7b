package main

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

func TestAlertsAndDashboardNameMetricsThatThereAre(t *testing.T) {
	t.Parallel()
	certFile, keyFile := makeCertificate(t, t.TempDir(), "id")
	port := freePorts(t, 2)
	inner := "127.0.0.1:" + strconv.Itoa(port+1)
	r := start(t, []string{"LATCHKEY_METRICS_LISTEN=" + inner, "LATCHKEY_LOG_FORMAT=json", "LATCHKEY_TLS_CERT_FILE=" +
		certFile, "LATCHKEY_TLS_KEY_FILE=" + keyFile},
		"serve", "--data", t.TempDir(), "--listen", "127.0.0.1:"+strconv.Itoa(port), "--issuer", "https://localhost")
	r.await(r.stderr, `"msg":"ready"`)
	resp, err := http.Get("http://" + inner + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	there := string(text)
	// Counters with labels appear with their first count, and those of MongoDB where there is one.
	counted := []string{"latchkey_http_request_duration_seconds", "latchkey_logins_total",
		"latchkey_tokens_issued_total", "latchkey_token_errors_total", "latchkey_store_command_duration_seconds",
		"latchkey_store_commands_failed_total"}
	if !strings.Contains(there, "latchkey_store_commit_duration_seconds_count") ||
		strings.Contains(there, "latchkey_store_commit_duration_seconds_count 0\n") {
		t.Errorf("no commit was timed: %s", there)
	}
	name := regexp.MustCompile(`latchkey_[a-z_]+`)
	for _, file := range []string{"docs/deploy/prometheus/latchkey.rules.yml", "docs/deploy/grafana/latchkey.json",
		"docs/operations.md"} {
		written, err := os.ReadFile(filepath.Join(top, file))
		if err != nil {
			t.Fatal(err)
		}
		names := name.FindAllString(string(written), -1)
		if len(names) < 8 {
			t.Errorf("%s names %d metrics", file, len(names))
		}
		for _, metric := range names {
			for _, end := range []string{"_bucket", "_count", "_sum"} {
				metric = strings.TrimSuffix(metric, end)
			}
			known := strings.Contains(there, "# TYPE "+metric+" ")
			for _, c := range counted {
				known = known || metric == c
			}
			if !known {
				t.Errorf("%s names %s, which there is not", file, metric)
			}
		}
	}
}
