package providertest

import (
	"net/http/httptest"
	"testing"

	"latchkey/provider"
)

// Twin is a second instance on the same store, with keys and everything else of its own; its base
// addresses the requests.
func (w *World) Twin(t *testing.T) string {
	t.Helper()
	cfg := w.Config
	cfg.Keys = TestRing(t, cfg)
	second, err := provider.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(second.Handler())
	t.Cleanup(server.Close)
	return server.URL
}
