package provider_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"latchkey/provider/clients"
	"latchkey/provider/providertest"
)

func TestWrongIssuerOfAnApplicationIsFoundInTheAnswerAndInTheLog(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	for _, path := range []string{
		"//.well-known/openid-configuration", // the issuer with a slash at the end
		"/.well-known/openid-configuration/.well-known/openid-configuration",
		"/realms/main/.well-known/openid-configuration",
		"/openid-configuration",
	} {
		req, err := http.NewRequest(http.MethodGet, w.Issuer+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		got := w.Send(req)
		if got.StatusCode != http.StatusNotFound || !strings.HasSuffix(got.Str("error_description"), " "+w.Issuer) {
			t.Errorf("%s: %d %v", path, got.StatusCode, got.JSON)
		}
		if !strings.Contains(w.Log.String(), `"path":"`+path+`"`) {
			t.Errorf("%s is not in the log: %s", path, w.Log)
		}
	}
	if p := w.Fetch(w.Issuer+"/nowhere?token=secret-in-a-query", "Accept",
		"text/html"); p.StatusCode != http.StatusNotFound || strings.Contains(w.Log.String(), `"path":"/nowhere"`) {
		t.Errorf("%d, log %s", p.StatusCode, w.Log)
	}
	if strings.Contains(w.Log.String(), "secret-in-a-query") {
		t.Error("a query is in the log")
	}
}

func TestMistakesOfApplicationsAreNamed(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	w.AddUser("alice")
	web := w.AddClient("web", func(c *clients.Client) {
		c.Audience, c.PostLogoutRedirectURIs = []string{"https://api.example"}, []string{"https://web.example/bye"}
	})
	b := w.Browser()
	answer := func(change ...string) url.Values {
		t.Helper()
		u, err := url.Parse(b.Get(w.Request(web, change...)).Header.Get("Location"))
		if err != nil {
			t.Fatal(err)
		}
		return u.Query()
	}
	if q := answer("resource", "https://other.example"); q.Get("error") != "invalid_target" ||
		!strings.Contains(q.Get("error_description"), "audience") ||
		!strings.Contains(w.Log.String(), `resource received \"https://other.example\", audience of the client [\"https://api.example\"]`) {
		t.Errorf("an unknown resource: %v\n%s", q, w.Log)
	}
	if q := answer("scope", "openid,profile"); q.Get("error") != "invalid_scope" ||
		!strings.Contains(q.Get("error_description"), "not by commas") {
		t.Errorf("scopes with commas: %v", q)
	}
	if p := b.Get("/authorize?client_id=web&response_type=code&scope=openid"); p.StatusCode != http.StatusBadRequest ||
		!strings.Contains(w.Log.String(), "redirect_uri is missing; it must be sent") {
		t.Errorf("no redirect_uri: %d\n%s", p.StatusCode, w.Log)
	}
	if b.Get("/logout?post_logout_redirect_uri=https://web.example/bye"); !strings.Contains(w.Log.String(),
		"post_logout_redirect_uri is not followed") {
		t.Errorf("a way back of nobody: %s", w.Log)
	}
}
