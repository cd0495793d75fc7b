package web_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"latchkey/provider"
	"latchkey/provider/providertest"
	"latchkey/provider/storage"
	"latchkey/provider/storage/storagetest"
)

// faultyStore is a store that a test can take away.
type faultyStore struct {
	err    error
	silent bool // does not answer at all, not even at its deadline
}

func (s *faultyStore) ask(_ context.Context, c storagetest.Call) error {
	if s.silent && c.Do == "ping" {
		select {}
	}
	if c.Do == "ping" || c.Table == "key_set" {
		return s.err
	}
	return nil
}

func TestHealthAndReadiness(t *testing.T) {
	t.Parallel()
	store := &faultyStore{}
	w := providertest.New(t, func(c *provider.Config) { c.Store = storagetest.Intercept(c.Store, store.ask) })
	ready := func() providertest.AnswerJSON { return w.Json("GET", w.Issuer+"/readyz", "", nil) }
	alive := func() {
		t.Helper()
		if p := w.Fetch("/healthz"); p.StatusCode != 200 || p.Body != "ok\n" ||
			p.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("/healthz: %d %q", p.StatusCode, p.Body)
		}
	}
	alive()
	if a := ready(); a.StatusCode != 200 || a.Str("status") != "ready" || a.Str("store") != "ok" ||
		a.Str("keys") != "ok" || len(a.JSON) != 3 || a.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("%d %v", a.StatusCode, a.JSON)
	}
	store.err = errors.Join(storage.ErrUnavailable, errors.New("dial tcp 10.1.2.3:27017: refused for user hunter"))
	w.Clock.Advance(time.Hour) // so that the keys are read again
	alive()
	a := ready()
	if a.StatusCode != http.StatusServiceUnavailable || a.Str("status") != "unavailable" ||
		a.Str("store") != "unavailable" || a.Str("keys") != "unavailable" || len(a.JSON) != 3 {
		t.Errorf("%d %v", a.StatusCode, a.JSON)
	}
	if !strings.Contains(w.Log.String(), "10.1.2.3") {
		t.Error("the log does not say why")
	}
	store.err = nil
	if a := ready(); a.StatusCode != 200 {
		t.Errorf("afterwards: %d %v", a.StatusCode, a.JSON)
	}
}

// The question writes, and anybody may ask it.
func TestReadinessIsAskedOnceForAllWhoAskAtTheSameMoment(t *testing.T) {
	t.Parallel()
	var pings atomic.Int32
	asked, answer := make(chan struct{}, 100), make(chan struct{})
	w := providertest.New(t, func(c *provider.Config) {
		c.Store = storagetest.Intercept(c.Store, func(_ context.Context, c storagetest.Call) error {
			if c.Do == "ping" {
				pings.Add(1)
				asked <- struct{}{}
				<-answer
			}
			return nil
		})
	})
	ask := func(ctx context.Context) int {
		rec := httptest.NewRecorder()
		_ = w.Web.Readyz(rec, httptest.NewRequest("GET", "/readyz", nil).WithContext(ctx))
		return rec.Code
	}
	first := make(chan int)
	go func() { first <- ask(t.Context()) }()
	<-asked
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for range 20 {
		if got := ask(gone); got != http.StatusServiceUnavailable {
			t.Errorf("whoever does not wait hears %d", got)
		}
	}
	close(answer)
	if got := <-first; got != http.StatusOK || pings.Load() != 1 {
		t.Errorf("%d after %d questions", got, pings.Load())
	}
}

func TestReadinessAnswersInTime(t *testing.T) {
	t.Parallel()
	store := &faultyStore{}
	w := providertest.New(t, func(c *provider.Config) { c.Store = storagetest.Intercept(c.Store, store.ask) })
	store.silent = true
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // whoever asks has no time at all
	rec := httptest.NewRecorder()
	w.Web.Readyz(rec, httptest.NewRequest("GET", "/readyz", nil).WithContext(ctx))
	if rec.Code != http.StatusServiceUnavailable || !strings.Contains(rec.Body.String(), `"store":"unavailable"`) {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
}
