package console_test

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey/keys"
	"latchkey/provider"
	"latchkey/provider/admin"
	"latchkey/provider/clients"
	"latchkey/provider/console"
	"latchkey/provider/providertest"
	"latchkey/provider/storage"
)

// grantsOwners is a client that may ask for tokens for the API, in whoever's name signs in to it.
func grantsOwners(w *providertest.World) map[string]any {
	return map[string]any{"type": "web", "client_name": "Tool", "redirect_uris": []string{"https://tool.example.com/cb"},
		"scope": "openid admin:roles.write", "skip_consent": true, "audience": []string{w.Issuer + console.Base}}
}

func TestOwnersAloneDecideAboutWhatCallsTheAPI(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	boss, ada := as(t, w, storage.RoleOwner), as(t, w, storage.RoleAdministrator)
	if _, err := w.Admin.CreateGroup(t.Context(), command, storage.Group{Name: "team"}); err != nil {
		t.Fatal(err)
	}
	own := api{t, w, keyOf(t, w, person(t, w, "own", storage.RoleApplicationOwner, "team"))}

	// An administrator makes no client that an owner's sign-in would give an owner's tokens to.
	ada.want(ada.call("POST", "/applications", grantsOwners(w)), http.StatusForbidden)
	plain := ada.want(ada.call("POST", "/applications", map[string]any{"type": "web",
		"redirect_uris": []string{"https://tool.example.com/cb"}}), http.StatusCreated)
	at := "/applications/" + plain.str("client_id")
	ada.want(ada.call("PATCH", at, map[string]any{"audience": []string{w.Issuer + console.Base}}, "If-Match", "*"),
		http.StatusForbidden)
	ada.want(ada.call("PATCH", at, map[string]any{"audience": []string{w.Issuer + console.Base + "/x"}}, "If-Match", "*"),
		http.StatusOK)

	// Nor does anybody below an owner lead the answers of one that there is elsewhere, or take its
	// secret.
	tool := grantsOwners(w)
	tool["owner_groups"] = []string{"team"}
	made := boss.want(boss.call("POST", "/applications", tool), http.StatusCreated)
	at = "/applications/" + made.str("client_id")
	for _, who := range []api{ada, own} {
		who.want(who.call("GET", at, nil), http.StatusOK)
		for _, change := range []map[string]any{{"redirect_uris": []string{"https://evil.example.com/cb"}},
			{"audience": nil}, {"client_name": "Another"}} {
			who.want(who.call("PATCH", at, change, "If-Match", "*"), http.StatusForbidden)
		}
		who.want(who.call("POST", at+"/secret", nil), http.StatusForbidden)
		who.want(who.call("DELETE", at, nil), http.StatusForbidden)
	}
	is, err := w.Store.Client(t.Context(), made.str("client_id"))
	if err != nil || !slices.Equal(is.RedirectURIs, []string{"https://tool.example.com/cb"}) || is.Version != 1 {
		t.Errorf("%v %+v", err, is)
	}
	boss.want(boss.call("PATCH", at, map[string]any{"client_name": "Another"}, "If-Match", "*"), http.StatusOK)
}

func TestAnApplicationOwnerTakesNoGroupOver(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	for _, name := range []string{"team", "payroll", "staff", "readers"} {
		if _, err := w.Admin.CreateGroup(t.Context(), command, storage.Group{Name: name}); err != nil {
			t.Fatal(err)
		}
	}
	mallory := person(t, w, "mallory", storage.RoleApplicationOwner, "team")
	own := api{t, w, keyOf(t, w, mallory)}
	w.AddClient("notes", func(c *clients.Client) { c.OwnerGroups, c.AllowedGroups = []string{"team"}, []string{"readers"} })
	w.AddClient("mail", func(c *clients.Client) { c.AllowedGroups = []string{"staff"} })

	// The group payroll is read in the groups claim by applications that are open to everybody.
	// Whoever could name it here would decide who is in it.
	got := own.want(own.call("PATCH", "/applications/notes", map[string]any{"allowed_groups": []string{"readers",
		"payroll"}}, "If-Match", "*"), http.StatusUnprocessableEntity)
	if !slices.Equal(got.fields(), []string{"allowed_groups"}) {
		t.Errorf("%s", got.text)
	}
	own.want(own.call("PUT", "/groups/payroll/members/"+mallory.ID, nil), http.StatusForbidden)
	own.want(own.call("GET", "/groups/payroll/members", nil), http.StatusForbidden)

	// What others are for too may use it, and what is theirs stays theirs.
	own.want(own.call("PATCH", "/applications/notes", map[string]any{"allowed_groups": []string{"readers", "staff"}},
		"If-Match", "*"), http.StatusOK)
	own.want(own.call("PUT", "/groups/staff/members/"+mallory.ID, nil), http.StatusForbidden)
	own.want(own.call("PUT", "/groups/readers/members/"+mallory.ID, nil), http.StatusNoContent)
	own.want(own.call("PATCH", "/applications/notes", map[string]any{"allowed_groups": []string{"readers"}},
		"If-Match", "*"), http.StatusOK)
}

func TestAnAnswerIsNotRepeatedToWhoHasNoRoleForItAnyMore(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	u := person(t, w, "ada", storage.RoleAdministrator)
	a := api{t, w, keyOf(t, w, u)}
	body := map[string]any{"type": "web", "redirect_uris": []string{"https://once.example/cb"}}
	a.want(a.call("POST", "/applications", body, "Idempotency-Key", "k"), http.StatusCreated)
	if _, err := w.Admin.SetRole(t.Context(), command, u.ID, storage.RoleAuditor); err != nil {
		t.Fatal(err)
	}
	got := a.want(a.call("POST", "/applications", body, "Idempotency-Key", "k"), http.StatusForbidden)
	if strings.Contains(string(got.text), "client_secret") {
		t.Errorf("%s", got.text)
	}
}

func TestTheStoreHasNothingToTryPasswordsAgainst(t *testing.T) {
	t.Parallel()
	kept := func(master string) string {
		w := providertest.New(t, func(c *provider.Config) {
			var err error
			if c.Sealer, err = keys.NewSealer([]byte(master)); err != nil {
				t.Fatal(err)
			}
		})
		root := person(t, w, "root", storage.RoleOwner)
		k, value, err := w.Admin.CreateAPIKey(t.Context(), command, admin.NewAPIKey{UserID: root.ID, Name: "test",
			Scope: console.Scopes(), Life: time.Hour}, console.Scopes())
		if err != nil {
			t.Fatal(err)
		}
		a := api{t, w, value}
		a.want(a.call("POST", "/people", `{"username":"eve","password":"a long enough phrase"}`,
			"Idempotency-Key", "k"), http.StatusCreated)
		there, err := w.Store.BeginAnswer(t.Context(), storage.KeptAnswer{ID: storage.Hash("key:" + k.ID + "\x00k"),
			Fingerprint: "another", ExpiresAt: w.Web.Now().Add(time.Hour)}, w.Web.Now())
		if !errors.Is(err, storage.ErrConsumed) || there.Fingerprint == "" {
			t.Fatalf("%v %+v", err, there)
		}
		return there.Fingerprint
	}
	if one, other := kept("a master key that only tests use"), kept("another one that only tests use."); one == other {
		t.Errorf("a request with a password is kept as %s, whatever the master key", one)
	}
}
