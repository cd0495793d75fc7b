package web

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

// readyWithin bounds how long /readyz waits for what it asks. Whoever asks wants to know in time to
// send people elsewhere.
const readyWithin = 2 * time.Second

// Healthz says that the process answers. It asks nobody else, so that a store that is down does not
// get the process restarted.
func (s *Site) Healthz(w http.ResponseWriter, _ *http.Request) error {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write([]byte("ok\n"))
	return nil
}

// Readyz reports whether the store and the keys answer: 200 if both do, else 503. What is wrong
// with them is in the log only.
func (s *Site) Readyz(w http.ResponseWriter, r *http.Request) error {
	ctx, cancel := context.WithTimeout(r.Context(), readyWithin)
	defer cancel()
	status, said := http.StatusOK, map[string]string{"status": "ready"}
	for _, part := range s.checks {
		// All who ask at the same moment share one question: it writes, and anybody may ask.
		// Something that does not heed its deadline must not keep the answer back.
		//nolint:contextcheck // one who goes away does not take the answer from the others
		done := s.asking.DoChan(part.Name, func() (any, error) {
			shared, stop := context.WithTimeout(context.WithoutCancel(r.Context()), readyWithin)
			defer stop()
			return nil, part.Ask(shared)
		})
		var err error
		select {
		case answer := <-done:
			err = answer.Err
		case <-ctx.Done():
			err = ctx.Err()
		}
		said[part.Name] = "ok"
		if err != nil {
			Note(r, fmt.Errorf("%s is not ready: %w", part.Name, err))
			said[part.Name], said["status"], status = "unavailable", "unavailable", http.StatusServiceUnavailable
		}
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	WriteJSON(w, status, said)
	return nil
}
