package console_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey/provider"
	"latchkey/provider/admin"
	"latchkey/provider/clients"
	"latchkey/provider/console"
	"latchkey/provider/oauth"
	"latchkey/provider/people"
	"latchkey/provider/providertest"
	"latchkey/provider/storage"
)

func TestChangesAreLostToNobody(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	a := as(t, w, storage.RoleOwner)
	made := a.want(a.call("POST", "/people", map[string]any{"username": "Ada", "password": "a long enough phrase",
		"claims": map[string]any{"email": "ada@example.com", "name": "Ada"}}), http.StatusCreated)
	if made.Header.Get("Location") != console.Base+"/people/"+made.str("sub") || made.str("username") != "ada" {
		t.Errorf("%s %s", made.Header, made.text)
	}
	path, first := "/people/"+made.str("sub"), made.Header.Get("ETag")
	a.want(a.call("PATCH", path, map[string]any{"claims": map[string]any{"name": "A"}}),
		http.StatusPreconditionRequired)
	changed := a.want(a.call("PATCH", path, map[string]any{"claims": map[string]any{"name": "Ada King"}}, "If-Match",
		first), http.StatusOK)
	if claims, _ := changed.json["claims"].(map[string]any); claims["name"] != "Ada King" ||
		claims["email"] != "ada@example.com" {
		t.Errorf("a patch changes what it names alone: %s", changed.text)
	}
	a.want(a.call("PATCH", path, map[string]any{"claims": map[string]any{"name": "Lost"}}, "If-Match", first),
		http.StatusPreconditionFailed)
	for _, etag := range []string{`W/"1"`, "1", `"0"`, `"x"`, `"-1"`, `"99999999999999999999"`} {
		a.want(a.call("PATCH", path, map[string]any{}, "If-Match", etag), http.StatusPreconditionFailed)
	}
	removed := a.want(a.call("PATCH", path, map[string]any{"claims": map[string]any{"email": nil}}, "If-Match",
		changed.Header.Get("ETag")), http.StatusOK)
	if claims, _ := removed.json["claims"].(map[string]any); claims["email"] != nil || claims["name"] != "Ada King" {
		t.Errorf("null removes a member (RFC 7396): %s", removed.text)
	}
	renamed := a.want(a.call("PATCH", path, map[string]any{"username": "Lovelace"}, "If-Match",
		removed.Header.Get("ETag")), http.StatusOK)
	if renamed.str("username") != "lovelace" || renamed.str("sub") != made.str("sub") {
		t.Errorf("a patch of the username: %s", renamed.text)
	}
	for name, field := range map[string]string{"two words": "username", "": "username"} {
		if got := a.call("PATCH", path, map[string]any{"username": name}, "If-Match", "*"); got.StatusCode != 422 ||
			!slices.Contains(got.fields(), field) {
			t.Errorf("%q: %d %s", name, got.StatusCode, got.text)
		}
	}
	removed = renamed
	if got := a.call("GET", path, nil); got.Header.Get("ETag") != removed.Header.Get("ETag") {
		t.Errorf("ETag %s, then %s", removed.Header.Get("ETag"), got.Header.Get("ETag"))
	}
	// Of twenty who have seen the same, one changes it.
	var wins, mu = 0, sync.Mutex{}
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			got := a.call("PATCH", path, map[string]any{"claims": map[string]any{"nickname": strings.Repeat("n", i+1)}},
				"If-Match", removed.Header.Get("ETag"))
			mu.Lock()
			defer mu.Unlock()
			if got.StatusCode == http.StatusOK {
				wins++
			} else if got.StatusCode != http.StatusPreconditionFailed {
				t.Errorf("%d %s", got.StatusCode, got.text)
			}
		})
	}
	all.Wait()
	if wins != 1 {
		t.Errorf("%d changes of one version", wins)
	}
}

func TestTheSameRequestIsCarriedOutOnce(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	a := as(t, w, storage.RoleOwner)
	body := map[string]any{"type": "web", "client_name": "Once", "redirect_uris": []string{"https://once.example/cb"}}
	first := a.want(a.call("POST", "/applications", body, "Idempotency-Key", "k1"), http.StatusCreated)
	again := a.want(a.call("POST", "/applications", body, "Idempotency-Key", "k1"), http.StatusCreated)
	if first.str("client_secret") == "" || string(first.text) != string(again.text) ||
		again.Header.Get("Location") != first.Header.Get("Location") ||
		again.Header.Get("ETag") != first.Header.Get("ETag") {
		t.Errorf("%s, then %s", first.text, again.text)
	}
	body["client_name"] = "Another"
	if got := a.want(a.call("POST", "/applications", body, "Idempotency-Key", "k1"),
		http.StatusUnprocessableEntity); !strings.Contains(got.str("type"), "idempotency-key-reused") {
		t.Errorf("%s", got.text)
	}
	a.want(a.call("POST", "/people", map[string]any{"username": "k"}, "Idempotency-Key", "k1"),
		http.StatusUnprocessableEntity)
	// The key is the caller's: another one has keys of their own.
	b := api{t, w, keyOf(t, w, person(t, w, "other", storage.RoleAdministrator))}
	if got := b.want(b.call("POST", "/applications", body, "Idempotency-Key", "k1"),
		http.StatusCreated); got.str("client_id") == first.str("client_id") {
		t.Error("an answer was shown to another caller")
	}
	for _, key := range []string{"", "with blank", strings.Repeat("k", 201), "é"} {
		if key == "" {
			continue
		}
		a.want(a.call("POST", "/applications", body, "Idempotency-Key", key), http.StatusBadRequest)
	}
	// What was refused may be asked for again, put right.
	bad := map[string]any{"type": "web", "redirect_uris": []string{"no address"}}
	a.want(a.call("POST", "/applications", bad, "Idempotency-Key", "k2"), http.StatusUnprocessableEntity)
	a.want(a.call("POST", "/applications", body, "Idempotency-Key", "k2"), http.StatusCreated)
	// Of many at once one does it.
	ids := map[string]bool{}
	var mu sync.Mutex
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			got := a.call("POST", "/people", map[string]any{"username": "race"}, "Idempotency-Key", "k3")
			mu.Lock()
			defer mu.Unlock()
			switch got.StatusCode {
			case http.StatusCreated:
				ids[got.str("sub")] = true
			case http.StatusConflict:
			default:
				t.Errorf("%d %s", got.StatusCode, got.text)
			}
		})
	}
	all.Wait()
	if len(ids) != 1 {
		t.Errorf("%v", ids)
	}
	// A day later the key is free.
	w.Clock.Advance(25 * time.Hour)
	a.want(a.call("POST", "/applications", body, "Idempotency-Key", "k1"), http.StatusCreated)
	if strings.Contains(w.Log.String(), first.str("client_secret")) {
		t.Error("the secret is in the log")
	}
}

func TestListsComeInPages(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	a := as(t, w, storage.RoleOwner)
	for _, name := range []string{"ada", "bob", "cyd", "dan", "eve"} {
		w.AddUser(name)
		if _, err := w.Admin.CreateGroup(t.Context(), command, storage.Group{Name: "g-" + name}); err != nil {
			t.Fatal(err)
		}
		w.AddClient("c-" + name)
	}
	read := func(list, name string, query string) (all []string) {
		t.Helper()
		next := ""
		for range 20 {
			q := "?limit=2" + query
			if next != "" {
				q += "&cursor=" + url.QueryEscape(next)
			}
			got := a.want(a.call("GET", list+q, nil), http.StatusOK)
			items, _ := got.json["items"].([]any)
			if len(items) > 2 {
				t.Errorf("%d items", len(items))
			}
			for _, item := range items {
				one, _ := item.(map[string]any)
				value, _ := one[name].(string)
				all = append(all, value)
			}
			if next = got.str("next"); next == "" {
				return all
			}
		}
		t.Fatal("pages without end")
		return nil
	}
	if all := read("/people", "username", ""); !slices.Equal(all, []string{"ada", "api-owner", "bob", "cyd", "dan",
		"eve"}) {
		t.Errorf("%v", all)
	}
	if all := read("/people", "username", "&q=EXAMPLE+c"); !slices.Equal(all, []string{"cyd"}) && len(all) != 6 {
		t.Errorf("search: %v", all)
	}
	if all := read("/people", "username", "&role=owner"); !slices.Equal(all, []string{"api-owner"}) {
		t.Errorf("by role: %v", all)
	}
	if all := read("/groups", "name", ""); !slices.Equal(all, []string{"g-ada", "g-bob", "g-cyd", "g-dan", "g-eve"}) {
		t.Errorf("%v", all)
	}
	if all := read("/applications", "client_id", ""); !slices.Equal(all, []string{"c-ada", "c-bob", "c-cyd", "c-dan",
		"c-eve"}) {
		t.Errorf("%v", all)
	}
	if all := read("/applications", "client_id", "&q=APP+d"); !slices.Equal(all, []string{"c-ada", "c-cyd", "c-dan"}) {
		t.Errorf("search: %v", all)
	}
	if all := read("/events", "id", "&verb=group."); len(all) != 5 ||
		!slices.IsSortedFunc(all, func(a, b string) int { return strings.Compare(b, a) }) {
		t.Errorf("events: %v", all)
	}
	// A cursor is good for its list alone.
	cursor := url.QueryEscape(a.call("GET", "/people?limit=2", nil).str("next"))
	b := api{t, w, keyOf(t, w, person(t, w, "other", storage.RoleOwner))}
	for what, got := range map[string]answer{
		"of another list": a.call("GET", "/groups?cursor="+cursor, nil), "with another filter": a.call("GET",
			"/people?q=a&cursor="+cursor, nil),
		"of another caller": b.call("GET", "/people?cursor="+cursor, nil),
		"forged":            a.call("GET", "/people?cursor=YWRh", nil), "empty": a.call("GET", "/people?cursor=", nil),
		"not base64": a.call("GET", "/people?cursor=%24%7B", nil),
		"long":       a.call("GET", "/people?cursor="+strings.Repeat("A", 9000), nil),
		"limit 0":    a.call("GET", "/people?limit=0", nil), "limit -1": a.call("GET", "/people?limit=-1", nil),
		"a huge limit": a.call("GET", "/people?limit=2147483648", nil),
		"limit abc":    a.call("GET", "/people?limit=abc", nil), "an unknown parameter": a.call("GET",
			"/people?sort=password_hash", nil), "an operator": a.call("GET", "/people?$where=1", nil),
		"a parameter twice": a.call("GET", "/people?q=a&q=b", nil), "no role": a.call("GET", "/people?role=root", nil),
		"no time":       a.call("GET", "/events?since=yesterday", nil),
		"a long search": a.call("GET", "/people?q="+strings.Repeat("a", 501), nil),
		"NUL":           a.call("GET", "/people?q=%00", nil), "not UTF-8": a.call("GET", "/people?q=%ff", nil),
	} {
		if got.StatusCode != http.StatusBadRequest || len(got.fields()) != 1 {
			t.Errorf("%s: %d %s", what, got.StatusCode, got.text)
		}
	}
}

func TestBodiesThatAreNotAsTheyShouldBe(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	a := as(t, w, storage.RoleOwner)
	u := w.AddUser("ada")
	for _, c := range []struct {
		what, method, path string
		body               any
		header             []string
		status             int
		field              string
	}{
		{"no JSON", "POST", "/people", "{", nil, 400, ""},
		{"no body", "POST", "/people", "", nil, 400, ""},
		{"an array", "POST", "/people", "[]", nil, 400, ""},
		{"two values", "POST", "/people", `{"username":"x"}{}`, nil, 400, ""},
		{"not UTF-8", "POST", "/people", "{\"username\":\"\xff\"}", nil, 400, ""},
		{"nested deep", "POST", "/people", strings.Repeat("[", 100_000), nil, 400, ""},
		{"nested deep in a patch", "PATCH", "/people/" + u.ID, `{"claims":` + strings.Repeat(`{"a":`, 10_000),
			[]string{"If-Match", "*"}, 400, ""},
		{"too large", "POST", "/people", `{"username":"` + strings.Repeat("x", 300_000) + `"}`, nil, 413, ""},
		{"a form", "POST", "/people", "username=x", []string{"Content-Type", "application/x-www-form-urlencoded"}, 415, ""},
		{"no media type", "POST", "/people", `{"username":"x"}`, []string{"Content-Type", ""}, 415, ""},
		{"text", "POST", "/people", `{"username":"x"}`, []string{"Content-Type", "text/plain"}, 415, ""},
		{"another charset", "POST", "/people", `{"username":"x"}`,
			[]string{"Content-Type", "application/json; charset=utf-16"}, 415, ""},
		{"a number for a text", "POST", "/people", `{"username":7}`, nil, 400, "username"},
		{"an operator for a text", "POST", "/people", `{"username":{"$ne":null}}`, nil, 400, "username"},
		{"a text for a list", "POST", "/people", `{"username":"x","groups":"staff"}`, nil, 400, "groups"},
		{"a wrong type deep down", "POST", "/people", `{"username":"x","claims":{"email":[1]}}`, nil, 400,
			"claims.email"},
		{"no username", "POST", "/people", `{}`, nil, 422, "username"},
		{"a weak password", "POST", "/people", `{"username":"x","password":"12345"}`, nil, 422, "password"},
		{"a group that is none", "POST", "/people", `{"username":"x","groups":["nowhere"]}`, nil, 422, "groups"},
		{"an address that is none", "POST", "/people", `{"username":"x","claims":{"email":"nobody"}}`, nil, 422,
			"claims.email"},
		{"a redirect that is none", "POST", "/applications", `{"type":"web","redirect_uris":["javascript:alert(1)"]}`,
			nil, 422, "redirect_uris"},
		{"a role that is none", "PUT", "/people/" + u.ID + "/role", `{"role":"root"}`, nil, 422, "role"},
		{"an algorithm that is none", "POST", "/key-rotations", `{"algorithms":["HS256"]}`, nil, 422, "algorithms"},
		{"too long a life", "POST", "/initial-access-tokens", `{"expires_in":99999999999}`, nil, 422, "expires_in"},
		{"a body where none is wanted", "POST", "/people/" + u.ID + "/unlock", `{}`, nil, 400, ""},
		{"a name that is taken", "POST", "/people", `{"username":"ADA"}`, nil, 409, ""},
	} {
		got := a.call(c.method, c.path, c.body, c.header...)
		if got.StatusCode != c.status || c.field != "" && !slices.Contains(got.fields(), c.field) {
			t.Errorf("%s: %d %s, want %d %s", c.what, got.StatusCode, got.text, c.status, c.field)
		}
	}
	// No member beside those that there are is taken over into what is stored.
	before, err := w.Store.User(t.Context(), u.ID)
	if err != nil {
		t.Fatal(err)
	}
	for _, member := range []string{"id", "_id", "sub", "role", "roles", "isAdmin", "disabled", "emailVerified",
		"passwordHash", "password_hash", "totpSecret", "factors", "created_at", "updated_at",
		"createdAt", "tenant", "credentials", "$set", "__proto__", "version", "password"} {
		got := a.call("PATCH", "/people/"+u.ID, map[string]any{member: "owner"}, "If-Match", "*")
		if got.StatusCode != http.StatusBadRequest || !slices.Contains(got.fields(), member) {
			t.Errorf("%s: %d %s", member, got.StatusCode, got.text)
		}
	}
	for _, member := range []string{"client_id", "secret_hash", "client_secret", "dynamic", "registration_token_hash",
		"sector_host", "version", "created_at"} {
		c := w.AddClient("mass-" + strings.ReplaceAll(member, "_", "-"))
		got := a.call("PATCH", "/applications/"+c.ID, map[string]any{member: "x"}, "If-Match", "*")
		if got.StatusCode != http.StatusBadRequest || !slices.Contains(got.fields(), member) {
			t.Errorf("%s: %d %s", member, got.StatusCode, got.text)
		}
	}
	if after, err := w.Store.User(t.Context(), u.ID); err != nil || after.Version != before.Version {
		t.Errorf("the person was changed: %+v %v", after, err)
	}
	// An address has one spelling, and a method one meaning.
	for _, path := range []string{"/people/", "//people", "/People", "/people;x", "/people/..%2fpeople",
		"/people/%2e%2e/people", "/nowhere", "/people/" + u.ID + "/"} {
		if got := a.plain("GET", path); got != http.StatusNotFound && got != http.StatusBadRequest {
			t.Errorf("%s: %d", path, got)
		}
	}
	for _, method := range []string{"PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE"} {
		if got := a.plain(method, "/people"); got != http.StatusMethodNotAllowed {
			t.Errorf("%s: %d", method, got)
		}
	}
}

// plain is the status of a request whose answer may be other than the API's.
func (a api) plain(method, path string) int {
	a.Helper()
	r, err := http.NewRequest(method, a.w.Issuer+console.Base+path, nil)
	if err != nil {
		a.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+a.token)
	resp, err := (&http.Client{CheckRedirect: func(*http.Request,
		[]*http.Request) error {
		return http.ErrUseLastResponse
	}}).Do(r)
	if err != nil {
		a.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode
}

func TestAPIKeysEndWithTheirTimeTheirHolderAndTheirRole(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	owner := person(t, w, "root", storage.RoleOwner)
	u := person(t, w, "ada", storage.RoleAdministrator)
	a := api{t, w, keyOf(t, w, u, "admin:people.read")}
	a.want(a.call("GET", "/people", nil), http.StatusOK)
	keys, err := w.Store.APIKeysOfUser(t.Context(), u.ID)
	if err != nil || len(keys) != 1 || !keys[0].LastUsed.Equal(w.Web.Now()) || keys[0].LastFrom != "127.0.0.1" {
		t.Errorf("the last use: %+v %v", keys, err)
	}
	if strings.Contains(a.token, keys[0].SecretHash) || strings.Contains(w.Log.String(), a.token) ||
		strings.Contains(w.Log.String(), strings.SplitN(a.token, ".", 2)[1]) {
		t.Error("the key is in the log, or its hash in the key")
	}
	// No key makes another, and none goes beyond its scope.
	a.want(a.call("POST", "/people", map[string]any{"username": "x"}), http.StatusForbidden)
	if got := a.plain("POST", "/api-keys"); got != http.StatusMethodNotAllowed {
		t.Errorf("keys make keys: %d", got)
	}
	unauthorized := func(what, token string) {
		t.Helper()
		got := api{t, w, token}.call("GET", "/people", nil)
		if got.StatusCode != http.StatusUnauthorized || !strings.HasPrefix(got.Header.Get("WWW-Authenticate"),
			"Bearer") {
			t.Errorf("%s: %d %s", what, got.StatusCode, got.text)
		}
	}
	id, secret, _ := strings.Cut(a.token, ".")
	for what, token := range map[string]string{"without a secret": id, "with an empty secret": id + ".",
		"with another secret": id + ".x" + secret[1:], "of another prefix": "x" + a.token,
		"of no key": "lkk_none." + secret, "with something after it": a.token + "x", "long": "lkk_" +
			strings.Repeat("x", 20_000) + ".x"} {
		unauthorized(what, token)
	}
	w.Clock.Advance(2 * time.Minute) // what was wrong is counted
	if got := (api{t, w, ""}).call("GET", "/people?access_token="+a.token,
		nil); got.StatusCode != http.StatusBadRequest {
		t.Errorf("a key in the address: %d", got.StatusCode)
	}
	if got := (api{t, w, ""}).call("GET", "/people", nil, "Authorization",
		"Basic "+a.token); got.StatusCode != http.StatusUnauthorized {
		t.Errorf("a key as something else: %d", got.StatusCode)
	}
	// Demoted: the credential is good, and permits nothing.
	if _, err := w.Admin.SetRole(t.Context(), command, u.ID, ""); err != nil {
		t.Fatal(err)
	}
	a.want(a.call("GET", "/people", nil), http.StatusForbidden)
	if _, err := w.Admin.SetRole(t.Context(), command, u.ID, storage.RoleAuditor); err != nil {
		t.Fatal(err)
	}
	a.want(a.call("GET", "/people", nil), http.StatusOK)
	// Disabled, revoked, expired, deleted: it is none any more.
	if _, err := w.Admin.SetDisabled(t.Context(), command, u.ID, true); err != nil {
		t.Fatal(err)
	}
	unauthorized("of somebody disabled", a.token)
	if _, err := w.Admin.SetDisabled(t.Context(), command, u.ID, false); err != nil {
		t.Fatal(err)
	}
	a.want(a.call("GET", "/people", nil), http.StatusOK)
	o := api{t, w, keyOf(t, w, owner)}
	o.want(o.call("DELETE", "/api-keys/"+keys[0].ID, nil), http.StatusNoContent)
	o.want(o.call("DELETE", "/api-keys/"+keys[0].ID, nil), http.StatusNoContent)
	unauthorized("that was revoked", a.token)
	late := keyOf(t, w, u)
	w.Clock.Advance(31 * 24 * time.Hour)
	unauthorized("that has expired", late)
	gone := keyOf(t, w, u)
	if _, err := w.Admin.DeleteUser(t.Context(), command, u.ID); err != nil {
		t.Fatal(err)
	}
	unauthorized("of somebody who is gone", gone)
}

func TestNobodyMakesAKeyThatMayDoMoreThanThey(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	owner := person(t, w, "root", storage.RoleOwner)
	for _, c := range []struct {
		role     string
		own, all bool
	}{{"", false, false}, {storage.RoleOwner, true, true}, {storage.RoleAdministrator, true, false},
		{storage.RoleHelpDesk, true, false}, {storage.RoleAuditor, true, false}, {storage.RoleApplicationOwner, true,
			false}} {
		u := person(t, w, "maker-"+strings.ReplaceAll(c.role, "_", "-"), c.role)
		actor := admin.Actor{Kind: storage.ActorUser, ID: u.ID, Name: u.Username}
		n := admin.NewAPIKey{Name: "n", Scope: []string{"admin:people.read"}, Life: time.Hour}
		n.UserID = u.ID
		if _, _, err := w.Admin.CreateAPIKey(t.Context(), actor, n, console.Scopes()); (err == nil) != c.own {
			t.Errorf("%q, their own: %v", c.role, err)
		}
		n.UserID = owner.ID
		if _, _, err := w.Admin.CreateAPIKey(t.Context(), actor, n, console.Scopes()); (err == nil) != c.all {
			t.Errorf("%q, the owner's: %v", c.role, err)
		}
	}
}

func TestTooManyRequestsAreRefused(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	a, b := as(t, w, storage.RoleOwner), as(t, w, storage.RoleAuditor)
	for range 600 {
		if got := a.plain("GET", "/me"); got != http.StatusOK {
			t.Fatal(got)
		}
	}
	if got := a.call("GET", "/me", nil); got.StatusCode != http.StatusTooManyRequests ||
		got.Header.Get("Retry-After") == "" {
		t.Errorf("%d %v", got.StatusCode, got.Header)
	}
	b.want(b.call("GET", "/me", nil), http.StatusOK)
	w.Clock.Advance(time.Minute)
	a.want(a.call("GET", "/me", nil), http.StatusOK)
	// Guesses are counted by where they come from.
	for range 30 {
		if got := (api{t, w, "lkk_guess.x"}).plain("GET", "/me"); got != http.StatusUnauthorized {
			t.Fatal(got)
		}
	}
	if got := (api{t, w, "lkk_guess.x"}).plain("GET", "/me"); got != http.StatusTooManyRequests {
		t.Error(got)
	}
	w.Clock.Advance(time.Minute)
	a.want(a.call("GET", "/me", nil), http.StatusOK)
}

func TestAccessTokensOfPeopleAreCredentialsToo(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	root := person(t, w, "root", storage.RoleOwner)
	person(t, w, "ada", "")
	resource := w.Issuer + console.Base
	tool := w.AddClient("tool", func(c *clients.Client) {
		c.Scope, c.Audience = "openid offline_access admin:people.read admin:groups.write", []string{resource}
		c.GrantTypes = append(c.GrantTypes, oauth.GrantClientCredentials)
	})
	token := func(username string, change ...string) string {
		t.Helper()
		b := w.Browser()
		return w.Redeem(tool, b.Code(tool, username, append([]string{"scope", "openid admin:people.read", "resource",
			resource}, change...)...)).Str("access_token")
	}
	a := api{t, w, token("root")}
	a.want(a.call("GET", "/people", nil), http.StatusOK)
	a.want(a.call("GET", "/groups", nil), http.StatusForbidden)
	if me := a.want(a.call("GET", "/me", nil), http.StatusOK); me.str("sub") != root.ID ||
		me.str("role") != storage.RoleOwner {
		t.Errorf("%s", me.text)
	}
	// Somebody without a role has a good credential, and may do nothing.
	other := api{t, w, token("ada")}
	other.want(other.call("GET", "/people", nil), http.StatusForbidden)
	// A token for somewhere else is none.
	elsewhere := api{t, w, token("root", "resource", w.Issuer, "scope", "openid")}
	elsewhere.want(elsewhere.call("GET", "/people", nil), http.StatusUnauthorized)
	// Nor is an ID token, nor a token that the application has for itself.
	id := w.Redeem(tool, w.Browser().Code(tool, "root", "scope", "openid admin:people.read", "resource",
		resource)).Str("id_token")
	(api{t, w, id}).want(api{t, w, id}.call("GET", "/people", nil), http.StatusUnauthorized)
	own := w.Call("/token", tool, url.Values{"grant_type": {"client_credentials"}, "scope": {"admin:people.read"},
		"resource": {resource}}).Str("access_token")
	if own == "" {
		t.Fatal("no token")
	}
	(api{t, w, own}).want(api{t, w, own}.call("GET", "/people", nil), http.StatusForbidden)
	// Where administrators need a second factor, one without is let in here no more than to the
	// pages.
	strict := providertest.New(t, func(c *provider.Config) { c.RequireAdministratorSecondFactor = true })
	bareRoot := person(t, strict, "root", storage.RoleOwner)
	resource = strict.Issuer + console.Base
	there := strict.AddClient("tool", func(c *clients.Client) {
		c.Scope, c.Audience = "openid admin:people.read", []string{resource}
	})
	bare := api{t, strict, strict.Tokens(there, bareRoot, "openid admin:people.read", func(g *storage.Grant) {
		g.Resource, g.ACR = []string{resource}, people.ACRPassword
	}).Str("access_token")}
	bare.want(bare.call("GET", "/people", nil), http.StatusForbidden)
	// It ends with the session.
	if _, err := w.Admin.EndSessions(t.Context(), command, root.ID); err != nil {
		t.Fatal(err)
	}
	a.want(a.call("GET", "/people", nil), http.StatusUnauthorized)
}
