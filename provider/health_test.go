package provider

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"latchkey/keys"
	"latchkey/provider/storage"
)

// faultyStore is a store that a test can take away.
type faultyStore struct {
	storage.Store
	err    error
	silent bool // does not answer at all, not even at its deadline
}

func (s *faultyStore) Ping(ctx context.Context) error {
	if s.silent {
		select {}
	}
	if s.err != nil {
		return s.err
	}
	return s.Store.Ping(ctx)
}

func (s *faultyStore) KeySet(ctx context.Context) (keys.KeySet, error) {
	if s.err != nil {
		return keys.KeySet{}, s.err
	}
	return s.Store.KeySet(ctx)
}

func TestHealthAndReadiness(t *testing.T) {
	t.Parallel()
	store := &faultyStore{}
	w := newTestProvider(t, func(c *Config) { store.Store = c.Store; c.Store = store })
	ready := func() answerJSON { return w.json("GET", w.Issuer+"/readyz", "", nil) }
	alive := func() {
		t.Helper()
		if p := w.fetch("/healthz"); p.StatusCode != 200 || p.body != "ok\n" || p.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("/healthz: %d %q", p.StatusCode, p.body)
		}
	}
	alive()
	if a := ready(); a.StatusCode != 200 || a.str("status") != "ready" || a.str("store") != "ok" || a.str("keys") != "ok" || len(a.JSON) != 3 || a.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("%d %v", a.StatusCode, a.JSON)
	}
	store.err = errors.Join(storage.ErrUnavailable, errors.New("dial tcp 10.1.2.3:27017: refused for user hunter"))
	w.clock.Advance(time.Hour) // so that the keys are read again
	alive()
	a := ready()
	if a.StatusCode != http.StatusServiceUnavailable || a.str("status") != "unavailable" || a.str("store") != "unavailable" || a.str("keys") != "unavailable" || len(a.JSON) != 3 {
		t.Errorf("%d %v", a.StatusCode, a.JSON)
	}
	if !strings.Contains(w.log.String(), "10.1.2.3") {
		t.Error("the log does not say why")
	}
	store.err = nil
	if a := ready(); a.StatusCode != 200 {
		t.Errorf("afterwards: %d %v", a.StatusCode, a.JSON)
	}
}

func TestReadinessAnswersInTime(t *testing.T) {
	t.Parallel()
	store := &faultyStore{}
	w := newTestProvider(t, func(c *Config) { store.Store = c.Store; c.Store = store })
	store.silent = true
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // whoever asks has no time at all
	rec := httptest.NewRecorder()
	w.readyz(rec, httptest.NewRequest("GET", "/readyz", nil).WithContext(ctx))
	if rec.Code != http.StatusServiceUnavailable || !strings.Contains(rec.Body.String(), `"store":"unavailable"`) {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
}
