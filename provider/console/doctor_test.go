package console_test

import (
	"html"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"latchkey/provider/clients"
	"latchkey/provider/providertest"
	"latchkey/provider/storage"
)

var referenceOnPage = regexp.MustCompile(`id="request-id">([A-Z0-9]+)<`)

func TestTheDoctorFindsWhyARequestWasRefusedAndPutsItRight(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	b, _ := visitor(t, w, storage.RoleOwner)
	notes := w.AddClient("notes", func(c *clients.Client) { c.PostLogoutRedirectURIs = []string{"https://notes.example/bye"} })
	// Somebody is sent with a redirect URI that nobody registered, and sees a reference.
	other := w.Browser()
	p := other.Get(w.Request(notes, "redirect_uri", "https://notes.example/cb2", "state", "a-state-nobody-keeps"))
	m := referenceOnPage.FindStringSubmatch(p.Body)
	if p.StatusCode != http.StatusBadRequest || m == nil {
		t.Fatalf("%d %s", p.StatusCode, p.Body)
	}
	w.Config.Audit.Wait()
	page := b.Open("/admin/doctor?code=" + strings.ToLower(m[1]))
	whole(t, page)
	if shown := html.UnescapeString(page.Body); !strings.Contains(shown, "https://notes.example/cb2") ||
		!strings.Contains(shown, "https://notes.example/cb<") || strings.Contains(shown, "a-state-nobody-keeps") {
		t.Errorf("%s", page.Body)
	}
	if found := b.Open("/admin/search?q=" + m[1]); !strings.Contains(found.Body, "notes.example/cb2") {
		t.Error("the search does not find it")
	}
	// One click, and it works.
	if done := b.Follow(b.Submit(page, "fix-add-redirect-uri-"+m[1]+"-submit",
		url.Values{"action": {"add-redirect-uri"}})); !done.Has("console-application") || !done.Has("console-notice") {
		t.Fatalf("%d %s", done.StatusCode, done.Body)
	}
	if now, err := w.Store.Client(t.Context(), "notes"); err != nil || !slices.Equal(now.RedirectURIs,
		[]string{"https://notes.example/cb", "https://notes.example/cb2"}) {
		t.Errorf("%v %v", now.RedirectURIs, err)
	}
	if p := other.Open(w.Request(notes, "redirect_uri", "https://notes.example/cb2")); !p.Has("login-page") {
		t.Errorf("%d", p.StatusCode)
	}
	// What is not offered is not done, whatever a form says.
	csrf := regexp.MustCompile(`name="csrf" value="([^"]+)"`).FindStringSubmatch(page.Body)[1]
	other2 := w.AddClient("other")
	for _, form := range []url.Values{{"action": {"add-redirect-uri"}, "code": {m[1]}}, {"action": {"add-audience"},
		"code": {m[1]}}, {"action": {"add-redirect-uri"}, "code": {"NOWHERE"}}} {
		form.Set("csrf", csrf)
		if p := b.Post("/admin/applications/"+other2.ID, form); p.StatusCode < 400 {
			t.Errorf("%v: %d", form, p.StatusCode)
		}
	}
	if now, err := w.Store.Client(t.Context(), "other"); err != nil || now.Version != 1 {
		t.Errorf("%+v %v", now, err)
	}
	// An application owner is told nothing about the applications of others.
	owner, _ := visitor(t, w, storage.RoleApplicationOwner)
	if p := owner.Open("/admin/doctor?code=" + m[1]); p.StatusCode != http.StatusUnprocessableEntity ||
		strings.Contains(p.Body, "notes.example") {
		t.Errorf("%d %s", p.StatusCode, p.Body)
	}
}

func TestRefusedRequestsAreKeptShortAndWithoutSecrets(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	a := as(t, w, storage.RoleOwner)
	w.AddUser("ada")
	notes := w.AddClient("notes", func(c *clients.Client) { c.Scope, c.Audience = "openid", []string{"https://api.example"} })
	b := w.Browser()
	code := b.Code(notes, "ada")
	if got := w.Redeem(notes, code, "code_verifier", strings.Repeat("w", 50)); got.StatusCode == http.StatusOK {
		t.Fatal("a wrong verifier is taken")
	}
	wrong := notes
	r, err := http.NewRequest("POST", w.Issuer+"/token",
		strings.NewReader(url.Values{"grant_type": {"authorization_code"}, "code": {code},
			"client_secret": {"a-wrong-secret-in-the-body"}, "client_id": {wrong.ID}}.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w.Send(r)
	b.Get(w.Request(notes, "scope", "openid email", "code_challenge", "", "code_challenge_method", "", "login_hint",
		"ada@private.example"))
	b.Get(w.Request(notes, "resource", "https://other.example"))
	b.Get(w.Request(notes, "response_type", "token"))
	b.Get("/logout?client_id=notes&post_logout_redirect_uri=https://notes.example/bye")
	w.Browser().Get(w.Request(notes, "prompt", "none")) // nobody is signed in: that is no fault
	w.Config.Audit.Wait()
	got := a.want(a.call("GET", "/applications/notes/failed-requests", nil), http.StatusOK)
	items, _ := got.json["items"].([]any)
	if len(items) != 6 {
		t.Errorf("%d are kept: %s", len(items), got.text)
	}
	for _, not := range []string{code, "a-wrong-secret-in-the-body", providertest.TestSecret, strings.Repeat("w", 50),
		"ada@private.example", "login_required"} {
		if strings.Contains(string(got.text), not) {
			t.Errorf("%s is kept: %s", not, got.text)
		}
	}
	for _, has := range []string{`"fix":"add-audience"`, `"fix":"add-post-logout-redirect-uri"`,
		`"received":"no code_challenge","ok":false`,
		`"field":"response_type","expected":"code","received":"token","ok":false`,
		`"field":"token_endpoint_auth_method","expected":"client_secret_basic","received":"body","ok":false`} {
		if !strings.Contains(string(got.text), has) {
			t.Errorf("%s is missing: %s", has, got.text)
		}
	}
	// A flood leaves the first of an hour, and what belongs to nobody leaves no more.
	for i := range 60 {
		b.Get(w.Request(notes, "redirect_uri", "https://evil.example/"+strings.Repeat("x", i)))
	}
	w.Config.Audit.Wait()
	if all, err := w.Store.FailedRequests(t.Context(), "notes", 500); err != nil || len(all) > 30 {
		t.Errorf("%d %v", len(all), err)
	}
}
