package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
)

func TestTracesAreSentToTheCollector(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var got []otlpSpan
	var service string
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var all otlpTraces
		if err := json.Unmarshal(body, &all); err != nil || r.URL.Path != "/v1/traces" ||
			r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s %s: %v", r.URL, body, err)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		service, _ = all.ResourceSpans[0].Resource.Attributes[0].Value["stringValue"].(string)
		got = append(got, all.ResourceSpans[0].ScopeSpans[0].Spans...)
	}))
	defer collector.Close()
	port := freePorts(t, 1)
	data := t.TempDir()
	succeed(t, "", "client", "create", "--data", data, "--type", "service", "--name", "Robot", "--id", "robot",
		"--audience", "https://api.example.com")
	address := "http://localhost:" + strconv.Itoa(port)
	r := start(t, []string{"LATCHKEY_METRICS_LISTEN=", "LATCHKEY_LOG_FORMAT=json", "LATCHKEY_TRACES_ENDPOINT=" +
		collector.URL + "/v1/traces"},
		"serve", "--data", data, "--listen", "127.0.0.1:"+strconv.Itoa(port), "--issuer", address)
	r.await(r.stderr, `"msg":"ready"`)
	const traceID, parentID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
	ask := func(path, form string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost,
			"http://127.0.0.1:"+strconv.Itoa(port)+path, strings.NewReader(form))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Traceparent", "00-"+traceID+"-"+parentID+"-01")
		req.SetBasicAuth("robot", "a-wrong-secret-that-must-not-be-traced")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
	}
	ask("/token", "grant_type=client_credentials")
	if code := r.stop(); code != exitOK { // which sends what is left
		t.Errorf("exit %d", code)
	}
	mu.Lock()
	defer mu.Unlock()
	var requests, below []otlpSpan
	for _, s := range got {
		if s.Kind == 2 {
			requests = append(requests, s)
		} else if strings.HasPrefix(s.Name, "store ") {
			below = append(below, s)
		}
	}
	if service != "latchkey" || len(requests) != 1 || len(below) == 0 {
		t.Fatalf("%s: %+v", service, got)
	}
	span := requests[0]
	for _, s := range below {
		if s.TraceID != traceID || s.ParentSpanID != span.SpanID || s.Kind != 3 {
			t.Errorf("a span of the database: %+v", s)
		}
	}
	if span.TraceID != traceID || span.ParentSpanID != parentID || span.Name != "POST /token" || span.Kind != 2 ||
		span.Status.Code != 0 {
		t.Errorf("%+v", span)
	}
	text, _ := json.Marshal(span)
	for _, want := range []string{`{"key":"http.response.status_code","value":{"intValue":"401"}}`,
		`{"key":"error.type","value":{"stringValue":"invalid_client"}}`, `"request_id"`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %s in %s", want, text)
		}
	}
	if strings.Contains(string(text), "must-not-be-traced") {
		t.Errorf("a secret is in %s", text)
	}
	if !strings.Contains(r.stderr.String(), `"trace_id":"`+traceID+`","span_id":"`+span.SpanID+`"`) {
		t.Errorf("the log line does not name the span: %s", r.stderr)
	}
}

func TestCollectorThatDoesNotAnswerCostsNoRequest(t *testing.T) {
	t.Parallel()
	port := freePorts(t, 2)
	r := start(t, []string{"LATCHKEY_METRICS_LISTEN=", "LATCHKEY_LOG_FORMAT=json",
		"LATCHKEY_TRACES_ENDPOINT=http://127.0.0.1:" + strconv.Itoa(port+1) + "/v1/traces"},
		"serve", "--data", t.TempDir(), "--listen", "127.0.0.1:"+strconv.Itoa(port), "--issuer",
		"http://localhost:"+strconv.Itoa(port))
	r.await(r.stderr, `"msg":"ready"`)
	if p := newPerson(t).open("http://127.0.0.1:" + strconv.Itoa(port) + "/jwks"); p.status != http.StatusOK {
		t.Errorf("status %d", p.status)
	}
	if code := r.stop(); code != exitOK || strings.Count(r.stderr.String(), "traces are lost") != 1 {
		t.Errorf("exit %d: %s", code, r.stderr)
	}
}
