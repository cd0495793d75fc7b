package console_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"latchkey/provider"
	"latchkey/provider/providertest"
	"latchkey/provider/storage"
)

// TestListsAndSearchesOfManyPeopleAreFast measures with LATCHKEY_TEST_PEOPLE people, 100000 say. It
// takes a minute to make them, so nobody is made to wait for it.
func TestListsAndSearchesOfManyPeopleAreFast(t *testing.T) {
	n, limit := 500, 5*time.Second // on whatever machine, with the race detector and beside other tests
	if text := os.Getenv("LATCHKEY_TEST_PEOPLE"); text != "" {
		if _, err := fmt.Sscan(text, &n); err != nil {
			t.Fatal(err)
		}
		limit = 100 * time.Millisecond
	}
	s, err := storage.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "latchkey.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	w := providertest.New(t, func(c *provider.Config) { c.Store = s })
	b, _ := visitor(t, w, storage.RoleOwner)
	a := api{t, w, keyOf(t, w, person(t, w, "caller", storage.RoleOwner))}
	if _, err := w.Admin.CreateGroup(t.Context(), command, storage.Group{Name: "staff"}); err != nil {
		t.Fatal(err)
	}
	given, family := []string{"Ada", "Grace", "Alan", "Barbara", "Edsger", "Frances", "Donald", "Margaret"},
		[]string{"King", "Hopper", "Turing", "Liskov", "Dijkstra", "Allen", "Knuth", "Hamilton", "Lamport"}
	const together = 64 // the store commits what comes together in one go
	now := w.Web.Now()
	for from := 0; from < n; from += together {
		done := make(chan error, together)
		for i := from; i < from+together; i++ {
			go func() {
				g, f := given[i%len(given)], family[i/7%len(family)]
				u := storage.User{ID: fmt.Sprintf("sub%06d", i), Username: fmt.Sprintf("person%06d", i), CreatedAt: now,
					UpdatedAt: now,
					Claims: storage.Claims{Name: g + " " + f, GivenName: g, FamilyName: f,
						Email: fmt.Sprintf("person%06d@example.com", i)}}
				if i%10 == 0 {
					u.Groups = []string{"staff"}
				}
				if i%100 == 0 {
					u.Disabled = true
				}
				err := s.CreateUser(t.Context(), u)
				if err == nil && i%5 == 0 {
					err = s.CreateSession(t.Context(), storage.Session{ID: storage.NewID(now.Add(time.Duration(i))),
						UserID: u.ID, AuthTime: now, CreatedAt: now, LastSeen: now, IdleAt: now.Add(time.Hour),
						ExpiresAt: now.Add(time.Hour)})
				}
				if err == nil && i%5 == 0 {
					err = w.Audit.Store.AppendEvent(t.Context(), storage.Event{ID: storage.NewEventID(now), Time: now,
						Verb: "session.begin", Outcome: "done", Actor: storage.EventParty{Kind: "user", ID: u.ID,
							Name: u.Username}, ExpiresAt: now.Add(time.Hour)})
				}
				done <- err
			}()
		}
		for range together {
			if err := <-done; err != nil {
				t.Fatal(err)
			}
		}
	}
	timed := func(what string, ask func() int) {
		t.Helper()
		best := time.Hour
		for range 3 { // the machine may be busy with something else
			begun := time.Now()
			if status := ask(); status != http.StatusOK {
				t.Fatalf("%s: %d", what, status)
			}
			best = min(best, time.Since(begun))
		}
		t.Logf("%-50s %v", what, best.Round(100*time.Microsecond))
		if best > limit {
			t.Errorf("%s took %v of %d people", what, best, n)
		}
	}
	next := a.call("GET", "/people?limit=50", nil).str("next")
	for _, path := range []string{"/people", "/people?limit=500", "/people?limit=50&cursor=" + next,
		"/people?q=person0001", "/people?q=hopper", "/people?q=gra+hop", "/people?q=ada",
		"/people?q=person099999@example.com", "/people?q=zzz", "/people?group=staff",
		"/people?q=gra&group=staff&state=enabled", "/people?state=disabled", "/people?role=owner",
		"/groups/staff/members", "/sessions", "/events", "/events?actor=person000005", "/applications", "/groups"} {
		timed("GET "+path, func() int { return a.call("GET", path, nil).StatusCode })
	}
	for _, path := range []string{"/admin", "/admin/people", "/admin/people?q=hopper",
		"/admin/people?q=gra+hop&group=staff", "/admin/search?q=grace", "/admin/search?q=person000123",
		"/admin/groups/staff", "/admin/sessions", "/admin/audit", "/admin/people/sub000005"} {
		timed("GET "+path, func() int { return b.Get(path).StatusCode })
	}
}
