package providertest

import (
	"io"
	"net/http"
	"net/http/httptest"
)

// MetricsText is what Prometheus would read.
func (w *World) MetricsText() string {
	w.t.Helper()
	server := httptest.NewServer(w.MetricsHandler())
	defer server.Close()
	resp, err := http.Get(server.URL)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return string(b)
}
