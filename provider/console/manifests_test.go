package console_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"latchkey/provider/admin"
	"latchkey/provider/clients"
	"latchkey/provider/console"
	"latchkey/provider/providertest"
	"latchkey/provider/storage"
)

// keptBy applies a manifest with ada, the group staff and the application notes.
func keptBy(t *testing.T, w *providertest.World, name string) storage.User {
	t.Helper()
	m := admin.Manifest{
		Groups: []admin.GroupEntry{{Name: "staff", Description: "Everybody"}},
		People: []admin.UserEntry{{Username: "ada", Groups: []string{"staff"}}},
		Clients: []admin.ClientEntry{{ClientID: "notes", Metadata: clients.Metadata{ClientName: "Notes",
			RedirectURIs: []string{"https://notes.example.com/cb"}}}},
	}
	err := w.Admin.Apply(t.Context(), command, admin.ManifestOptions{Name: name}, m,
		func(admin.PlannedChange) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	u, err := w.Store.UserByUsername(t.Context(), "ada")
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestWhatAFileKeepsIsRefusedByTheAPI(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	u := keptBy(t, w, "company")
	a := as(t, w, storage.RoleOwner)
	for _, path := range []string{"/people/" + u.ID, "/groups/staff", "/applications/notes"} {
		if got := a.call(http.MethodGet, path, nil); got.str("managed_by") != "company" {
			t.Errorf("%s: %s", path, got.text)
		}
		entry := a.call(http.MethodGet, path+"/entry", nil)
		if entry.str("managed_by") != "company" || !strings.Contains(entry.str("yaml"), ":\n  - ") {
			t.Errorf("%s/entry: %s", path, entry.text)
		}
		for _, try := range []answer{a.call(http.MethodPatch, path, map[string]any{}, "If-Match", "*"),
			a.call(http.MethodDelete, path, nil)} {
			if try.StatusCode != http.StatusConflict || !strings.HasSuffix(try.str("type"), "managed") ||
				!strings.Contains(try.str("detail"), `"company"`) {
				t.Errorf("%s %s: %d %s", try.Request.Method, path, try.StatusCode, try.text)
			}
		}
	}
	if got := a.call(http.MethodPost, "/applications/notes/secret", nil); got.StatusCode != http.StatusOK {
		t.Errorf("a secret is not the file's: %s", got.text)
	}
	if got := a.call(http.MethodPost, "/people/"+u.ID+"/disable", nil); got.StatusCode >= 300 {
		t.Errorf("somebody cannot be stopped at once: %s", got.text)
	}
	names := a.call(http.MethodGet, "/manifests", nil)
	drift := a.call(http.MethodGet, "/manifests/company/drift", nil)
	if !strings.Contains(string(names.text), `"company"`) ||
		!strings.Contains(string(drift.text), `"field":"disabled","after":true`) ||
		!strings.Contains(string(drift.text), `"changed_by":"api-owner"`) {
		t.Errorf("%s %s", names.text, drift.text)
	}
	if got := a.call(http.MethodGet, "/manifests/nothing/drift", nil); got.StatusCode != http.StatusNotFound {
		t.Errorf("%d %s", got.StatusCode, got.text)
	}
}

func TestWhatAFileKeepsIsMarkedOnItsPageAndCannotBeChangedThere(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	b, _ := visitor(t, w, storage.RoleOwner)
	before := b.Open(console.Pages + "/people/" + person(t, w, "ada", "").ID)
	u := keptBy(t, w, "company")
	for path, section := range map[string]string{"/people/" + u.ID: "people", "/groups/staff": "groups",
		"/applications/notes": "clients"} {
		p := b.Open(console.Pages + path)
		whole(t, p)
		if !p.Has("kept") || !strings.Contains(p.Body, "company") || p.Has("edit-form") || p.Has("delete-form") {
			t.Errorf("%s: %s", path, p.Body)
		}
		if !p.Has("entry-yaml") || !strings.Contains(p.Body, section+":\n") {
			t.Errorf("%s shows no YAML: %s", path, p.Body)
		}
	}
	p := b.Submit(before, "username", url.Values{"username": {"eve"}, "action": {"rename"}})
	if p.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(p.Body, "kept by the file company") {
		t.Errorf("a form of a page that was open: %d %s", p.StatusCode, p.Body)
	}
	p = b.Open(console.Pages + "/files")
	if !strings.Contains(p.Body, "company") || !strings.Contains(p.Body, "Everything is as") {
		t.Errorf("%s", p.Body)
	}
	if _, err := w.Admin.UpdateGroup(t.Context(), command, "staff", 0, func(g *storage.Group) error {
		g.Description = "Nobody"
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	p = b.Open(console.Pages + "/files?file=company")
	whole(t, p)
	for _, want := range []string{"Everybody", "Nobody", "staff", "description"} {
		if !strings.Contains(p.Body, want) {
			t.Errorf("nothing about %s: %s", want, p.Body)
		}
	}
}
