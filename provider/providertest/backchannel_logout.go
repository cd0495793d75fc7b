package providertest

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"

	"latchkey/provider"
	"latchkey/provider/clients"
	"latchkey/provider/storage"
)

// relyingParty hears logout tokens.
type relyingParty struct {
	*httptest.Server
	mu     sync.Mutex
	Forms  []url.Values
	answer http.HandlerFunc // after the token was heard; nil: 200
}

func NewRelyingParty(t *testing.T) *relyingParty {
	rp := &relyingParty{}
	rp.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		form, parseErr := url.ParseQuery(string(body))
		if err != nil || parseErr != nil || r.Method != "POST" ||
			r.Header.Get("Content-Type") != "application/x-www-form-urlencoded" || r.URL.RawQuery != "" {
			t.Errorf("%s %s %s", r.Method, r.URL, r.Header.Get("Content-Type"))
		}
		rp.mu.Lock()
		rp.Forms = append(rp.Forms, form)
		answer := rp.answer
		rp.mu.Unlock()
		if answer != nil {
			answer(w, r)
		}
	}))
	t.Cleanup(rp.Close)
	return rp
}

func (rp *relyingParty) Hears(c *clients.Client) {
	c.BackchannelLogoutURI = rp.URL + "/" + c.ID + "/logout"
}

func (rp *relyingParty) Answers(h http.HandlerFunc) {
	rp.mu.Lock()
	defer rp.mu.Unlock()
	rp.answer = h
}

// Heard lists the logout tokens that came.
func (rp *relyingParty) Heard() []string {
	rp.mu.Lock()
	defer rp.mu.Unlock()
	var out []string
	for _, f := range rp.Forms {
		out = append(out, f.Get("logout_token"))
	}
	return out
}

// DeliverDue tries what is due at this moment, each once.
func (w *World) DeliverDue() int {
	w.t.Helper()
	n, err := w.Sessions.DeliverDue(context.Background())
	if err != nil {
		w.t.Fatal(err)
	}
	return n
}

// SignedOutOf ends a new session that had reached the clients, and returns its deliveries'
// identifier.
func (w *World) SignedOutOf(user storage.User, reached ...clients.Client) (logoutID string) {
	w.t.Helper()
	_, s := w.SignedIn(user)
	for _, c := range reached {
		w.Granted(s, c)
	}
	id, err := w.Sessions.End(context.Background(), s)
	if err != nil {
		w.t.Fatal(err)
	}
	return id
}

func (w *World) Delivery(logoutID string) storage.LogoutDelivery {
	w.t.Helper()
	all, err := w.Store.LogoutDeliveries(context.Background(), logoutID)
	if err != nil || len(all) != 1 {
		w.t.Fatalf("%d deliveries: %v", len(all), err)
	}
	return all[0]
}

// Again is another provider on the same store, as after a restart or beside the first.
func (w *World) Again() *World {
	w.t.Helper()
	p, err := provider.New(w.Config)
	if err != nil {
		w.t.Fatal(err)
	}
	return &World{Provider: p, t: w.t, Clock: w.Clock, Log: w.Log}
}

// Told waits until nothing of the logout is under way any more.
func (w *World) Told(logoutID string) {
	w.t.Helper()
	for {
		progress := w.Sessions.Progress()
		all, err := w.Store.LogoutDeliveries(context.Background(), logoutID)
		if err != nil {
			w.t.Fatal(err)
		}
		open := 0
		for _, d := range all {
			if d.DeliveredAt.IsZero() {
				open++
			}
		}
		if open == 0 {
			return
		}
		select {
		case <-progress:
		case <-time.After(50 * time.Millisecond): // another instance's outcome makes no noise here
		case <-w.t.(*testing.T).Context().Done():
			w.t.Fatal("not told in time")
		}
	}
}
