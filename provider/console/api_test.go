package console_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/jsonschema-go/jsonschema"

	"latchkey/provider/admin"
	"latchkey/provider/console"
	"latchkey/provider/providertest"
	"latchkey/provider/storage"
)

// api calls the API of a world with a credential.
type api struct {
	*testing.T
	w     *providertest.World
	token string
}

// answer is what the API said.
type answer struct {
	*http.Response
	text []byte
	json map[string]any
}

func (a answer) str(name string) string { s, _ := a.json[name].(string); return s }

// fields are the names of the fields that a problem is about.
func (a answer) fields() (out []string) {
	list, _ := a.json["errors"].([]any)
	for _, one := range list {
		field, _ := one.(map[string]any)
		name, _ := field["field"].(string)
		out = append(out, name)
	}
	return out
}

// command is who works with the database in hand.
var command = admin.Actor{Kind: storage.ActorCommand, Name: "test"}

// person creates somebody with a role.
func person(t testing.TB, w *providertest.World, username, role string, groups ...string) storage.User {
	t.Helper()
	u := w.AddUser(username, groups...)
	u.Version = 1
	if role == "" {
		return u
	}
	u, err := w.Admin.SetRole(t.Context(), command, u.ID, role)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// keyOf is a new API key of a user, with these scopes or all.
func keyOf(t testing.TB, w *providertest.World, u storage.User, scope ...string) string {
	t.Helper()
	if scope == nil {
		scope = console.Scopes()
	}
	_, value, err := w.Admin.CreateAPIKey(t.Context(), command, admin.NewAPIKey{UserID: u.ID, Name: "test",
		Scope: scope, Life: 30 * 24 * time.Hour}, console.Scopes())
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// as is the API as somebody with this role calls it, with every scope.
func as(t *testing.T, w *providertest.World, role string) api {
	t.Helper()
	name := "api-" + strings.ReplaceAll(role, "_", "-")
	return api{t, w, keyOf(t, w, person(t, w, name, role))}
}

// call sends a request. body is sent as it is when it is a string, else as JSON; header is names
// and values in turn.
func (a api) call(method, path string, body any, header ...string) answer {
	a.Helper()
	var text []byte
	switch b := body.(type) {
	case nil:
	case string:
		text = []byte(b)
	default:
		var err error
		if text, err = json.Marshal(b); err != nil {
			a.Fatal(err)
		}
	}
	r, err := http.NewRequest(method, a.w.Issuer+console.Base+path, bytes.NewReader(text))
	if err != nil {
		a.Fatal(err)
	}
	if a.token != "" {
		r.Header.Set("Authorization", "Bearer "+a.token)
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		if header[i+1] == "" {
			r.Header.Del(header[i])
		} else {
			r.Header.Set(header[i], header[i+1])
		}
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		a.Fatal(err)
	}
	defer resp.Body.Close()
	out := answer{Response: resp}
	if out.text, err = io.ReadAll(resp.Body); err != nil {
		a.Fatal(err)
	}
	_ = json.Unmarshal(out.text, &out.json)
	if resp.StatusCode >= 500 {
		a.Errorf("%s %s: %d %s\n%s", method, path, resp.StatusCode, out.text, a.w.Log)
	}
	if kind := resp.Header.Get("Content-Type"); resp.StatusCode >= 400 && (kind != "application/problem+json" ||
		out.json["status"] != float64(resp.StatusCode) || out.str("type") == "" || out.str("title") == "") {
		a.Errorf("%s %s: %d is no problem of RFC 9457: %s %s", method, path, resp.StatusCode, kind, out.text)
	}
	return out
}

// want checks a status.
func (a api) want(got answer, status int) answer {
	a.Helper()
	if got.StatusCode != status {
		a.Fatalf("%s %s: %d, want %d: %s\n%s", got.Request.Method, got.Request.URL, got.StatusCode, status, got.text,
			a.w.Log)
	}
	return got
}

// document is the OpenAPI document as it is served.
type document struct {
	OpenAPI string                                  `json:"openapi"`
	Paths   map[string]map[string]documentOperation `json:"paths"`
	Parts   struct {
		Schemas map[string]*jsonschema.Schema `json:"schemas"`
	} `json:"components"`
}

type documentOperation struct {
	ID         string   `json:"operationId"`
	Scope      string   `json:"x-latchkey-scope"`
	Roles      []string `json:"x-latchkey-roles"`
	Parameters []struct {
		In, Name string
		Required bool
	}
	Body *struct {
		Content map[string]struct {
			Schema struct {
				Ref string `json:"$ref"`
			}
		}
	} `json:"requestBody"`
	Responses map[string]struct {
		Content map[string]struct {
			Schema struct {
				Ref string `json:"$ref"`
			}
		}
		Headers map[string]any
	}
}

func readDocument(t testing.TB, w *providertest.World) document {
	t.Helper()
	resp, err := http.Get(w.Issuer + console.Base + "/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var d document
	if err := json.NewDecoder(resp.Body).Decode(&d); err != nil {
		t.Fatal(err)
	}
	if d.OpenAPI != "3.1.0" || len(d.Paths) < 30 {
		t.Fatalf("OpenAPI %s with %d paths", d.OpenAPI, len(d.Paths))
	}
	return d
}

// check compares an answer with the schema that the document has for it.
func (d document) check(t *testing.T, op documentOperation, got answer) {
	t.Helper()
	status := got.Status[:3]
	said, ok := op.Responses[status]
	if got.StatusCode >= 400 {
		said, ok = op.Responses["default"]
	}
	if !ok {
		t.Errorf("%s: %s is not in the document", op.ID, status)
		return
	}
	if len(said.Content) == 0 {
		if len(got.text) > 0 {
			t.Errorf("%s: %s with a body that the document does not have: %s", op.ID, status, got.text)
		}
		return
	}
	kind := got.Header.Get("Content-Type")
	name := strings.TrimPrefix(said.Content[kind].Schema.Ref, "#/components/schemas/")
	schema := d.Parts.Schemas[name]
	if schema == nil {
		t.Errorf("%s: %s of %s has no schema", op.ID, status, kind)
		return
	}
	resolved, err := schema.CloneSchemas().Resolve(nil)
	if err != nil {
		t.Fatal(err)
	}
	var value any
	if err := json.Unmarshal(got.text, &value); err != nil {
		t.Fatal(err)
	}
	if err := resolved.Validate(value); err != nil {
		t.Errorf("%s: the answer is not a %s: %v\n%s", op.ID, name, err, got.text)
	}
	if _, promised := said.Headers["ETag"]; promised != (got.Header.Get("ETag") != "") {
		t.Errorf("%s: ETag %q", op.ID, got.Header.Get("ETag"))
	}
}

// scene is what the operations of a document are called on: names for the variables of paths, and a
// body for each operation that wants one. Each call gets objects of its own.
type scene struct {
	t *testing.T
	w *providertest.World
}

var scenes atomic.Int64

var variable = regexp.MustCompile(`\{[a-z_]+\}`)

// prepare makes what an operation needs, and returns its path and body.
func (s *scene) prepare(id, path string) (target string, body any) {
	s.t.Helper()
	n := strings.ToLower(id) + strconv.FormatInt(scenes.Add(1), 10)
	must := func(err error) {
		s.t.Helper()
		if err != nil {
			s.t.Fatal(err)
		}
	}
	ctx, now := s.t.Context(), s.w.Web.Now()
	_, err := s.w.Admin.CreateGroup(ctx, command, storage.Group{Name: "group " + n})
	must(err)
	user := s.w.AddUser("user-" + n)
	client := s.w.AddClient("client-" + n)
	session := storage.Session{ID: "session-" + n, UserID: user.ID, AuthTime: now, CreatedAt: now, LastSeen: now,
		IdleAt: now.Add(time.Hour), ExpiresAt: now.Add(time.Hour)}
	must(s.w.Store.CreateSession(ctx, session))
	must(s.w.Store.CreateGrant(ctx, storage.Grant{ID: "grant-" + n, UserID: user.ID, ClientID: client.ID,
		SessionID: session.ID, Scope: []string{"openid"}, CreatedAt: now, LastUsed: now,
		ExpiresAt: now.Add(time.Hour)}))
	token, _, err := s.w.Admin.CreateInitialAccessToken(ctx, command, time.Hour)
	must(err)
	key, _, err := s.w.Admin.CreateAPIKey(ctx, command, admin.NewAPIKey{UserID: user.ID, Name: n,
		Scope: []string{"admin:people.read"}, Life: time.Hour}, console.Scopes())
	must(err)
	failed := storage.FailedRequest{ID: "failed-" + n, RequestID: strings.ToUpper(n), ClientID: client.ID, Time: now,
		Route: "/authorize", Status: 400, Reason: "r",
		Received: map[string]string{"redirect_uri": "https://other.example/cb", "response_type": "code"}}
	must(s.w.Store.CreateFailedRequest(ctx, failed))
	manifest := admin.ManifestOptions{Name: "file-" + n}
	must(s.w.Admin.Apply(ctx, command, manifest, admin.Manifest{Groups: []admin.GroupEntry{{Name: "kept " + n}}},
		func(admin.PlannedChange) error { return nil }))
	_, err = s.w.Admin.UpdateGroup(ctx, command, "kept "+n, 0, func(g *storage.Group) error {
		g.Description = "drifted"
		return nil
	})
	must(err)
	kid := ""
	for _, k := range s.w.Keys.Keys() {
		kid = k.ID
	}
	values := map[string]string{"{sub}": user.ID, "{group}": "group%20" + n, "{client_id}": client.ID,
		"{session}": session.ID, "{grant}": "grant-" + n,
		"{token}": storage.Hash(token), "{key}": key.ID, "{kid}": kid, "{code}": failed.RequestID,
		"{manifest}": manifest.Name}
	target = variable.ReplaceAllStringFunc(path, func(name string) string {
		if values[name] == "" {
			s.t.Fatalf("%s: nothing for %s", id, name)
		}
		return values[name]
	})
	bodies := map[string]any{
		"createPerson": map[string]any{"username": "new-" + n, "password": "correct horse battery " + n,
			"claims": map[string]any{"name": "New Person"}},
		"changePerson": map[string]any{"claims": map[string]any{"name": "Changed", "email": nil, "email_verified": nil},
			"groups": []string{"group " + n}},
		"renamePerson": map[string]any{"username": "renamed-" + n}, "setRole": map[string]any{"role": "auditor"},
		"setPassword": map[string]any{"password": "another horse battery " + n},
		"createGroup": map[string]any{"name": "new " + n, "roles": []string{"admin"}},
		"changeGroup": map[string]any{"description": "changed"},
		"createApplication": map[string]any{"type": "web", "client_name": "New",
			"redirect_uris": []string{"https://new.example/cb"}},
		"changeApplication":        map[string]any{"client_name": "Changed", "client_uri": "https://changed.example"},
		"createInitialAccessToken": map[string]any{"expires_in": 3600}, "rotateKeys": map[string]any{},
	}
	return target, bodies[id]
}

// operations calls each for every operation of the document, in order.
func (d document) operations(t *testing.T, each func(method, path string, op documentOperation)) {
	t.Helper()
	var paths []string
	for path := range d.Paths {
		paths = append(paths, path)
	}
	slices.Sort(paths)
	n := 0
	for _, path := range paths {
		for _, method := range []string{"get", "post", "put", "patch", "delete"} {
			if op, ok := d.Paths[path][method]; ok {
				each(strings.ToUpper(method), path, op)
				n++
			}
		}
	}
	if n < 40 {
		t.Fatalf("only %d operations", n)
	}
}

func TestEveryOperationAnswersAsTheDocumentSays(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	a, d, s := as(t, w, storage.RoleOwner), readDocument(t, w), &scene{t: t, w: w}
	d.operations(t, func(method, path string, op documentOperation) {
		target, body := s.prepare(op.ID, path)
		if (body != nil) != (op.Body != nil) {
			t.Fatalf("%s: the document has a body: %t; the test has one: %t", op.ID, op.Body != nil, body != nil)
		}
		got := a.call(method, target, body, "If-Match", "*")
		if got.StatusCode >= 300 {
			t.Errorf("%s: %d %s", op.ID, got.StatusCode, got.text)
		}
		d.check(t, op, got)
		if got.Header.Get("Cache-Control") != "no-store" || got.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %v", op.ID, got.Header)
		}
		if strings.Contains(string(got.text), "argon2id") || strings.Contains(string(got.text), "secret_hash") {
			t.Errorf("%s shows a hash: %s", op.ID, got.text)
		}
		// What is not there is not there, in the words of the document.
		if strings.Contains(path, "{") {
			gone := a.call(method, variable.ReplaceAllString(path, "nowhere"), body, "If-Match", "*")
			d.check(t, op, gone)
			list := strings.HasSuffix(op.ID, "OfPerson") || op.ID == "listMembers"
			if gone.StatusCode != http.StatusNotFound && !list {
				t.Errorf("%s of what is not there: %d %s", op.ID, gone.StatusCode, gone.text)
			}
		}
	})
}

func TestEveryOperationAsksForItsRoleAndItsScope(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	d := readDocument(t, w)
	for _, role := range append([]string{""}, storage.Roles...) {
		a, s := as(t, w, role), &scene{t: t, w: w}
		d.operations(t, func(method, path string, op documentOperation) {
			if op.ID == "getMe" {
				return // whoever calls may know who they are
			}
			if op.Scope == "" || len(op.Roles) == 0 {
				t.Fatalf("%s needs no scope, or no role", op.ID)
			}
			target, body := s.prepare(op.ID, path)
			got := a.call(method, target, body, "If-Match", "*")
			d.check(t, op, got)
			may := slices.Contains(op.Roles, role)
			switch {
			case role == storage.RoleApplicationOwner && may:
				// Whether it is theirs is another question: nothing in this scene is.
				if got.StatusCode >= 300 && got.StatusCode != http.StatusForbidden &&
					got.StatusCode != http.StatusNotFound {
					t.Errorf("%s as %s: %d %s", op.ID, role, got.StatusCode, got.text)
				}
			case may && got.StatusCode >= 300:
				t.Errorf("%s as %q: %d %s", op.ID, role, got.StatusCode, got.text)
			case !may && got.StatusCode != http.StatusForbidden:
				t.Errorf("%s as %q: %d %s", op.ID, role, got.StatusCode, got.text)
			}
			if got = (api{t, w, ""}).call(method, target, body, "If-Match",
				"*"); got.StatusCode != http.StatusUnauthorized || got.Header.Get("WWW-Authenticate") == "" {
				t.Errorf("%s without a credential: %d", op.ID, got.StatusCode)
			}
		})
	}
	// Every scope but the one that is needed is not enough, for whoever may do everything.
	owner := person(t, w, "narrow", storage.RoleOwner)
	s := &scene{t: t, w: w}
	tokens := map[string]string{}
	d.operations(t, func(method, path string, op documentOperation) {
		if op.Scope == "" {
			return
		}
		needs := []string{op.Scope}
		if subject, ok := strings.CutSuffix(op.Scope, ".read"); ok {
			needs = append(needs, subject+".write")
		}
		if tokens[op.Scope] == "" {
			tokens[op.Scope] = keyOf(t, w, owner, slices.DeleteFunc(console.Scopes(),
				func(s string) bool { return slices.Contains(needs, s) })...)
		}
		target, body := s.prepare(op.ID, path)
		got := api{t, w, tokens[op.Scope]}.call(method, target, body, "If-Match", "*")
		if got.StatusCode != http.StatusForbidden || !strings.Contains(got.Header.Get("WWW-Authenticate"),
			`error="insufficient_scope", scope="`+op.Scope+`"`) {
			t.Errorf("%s without %s: %d %v", op.ID, op.Scope, got.StatusCode, got.Header)
		}
	})
}
