package main

import (
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/coreos/go-oidc/v3/oidc"

	"latchkey/clients/internal/optest"
)

func start(t *testing.T) (*optest.Provider, string) {
	t.Helper()
	p := optest.New(t)
	late := &optest.Late{}
	base := optest.Serve(t, "first.localhost", late)
	ctx := oidc.ClientContext(t.Context(), p.HTTP)
	h, err := application(ctx, p.Issuer, "first", "secret", base)
	if err != nil {
		t.Fatal(err)
	}
	late.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(w, r.WithContext(oidc.ClientContext(r.Context(), p.HTTP)))
	})
	p.With(func() {
		p.Clients["first"] = optest.Client{ID: "first", Secret: "secret", RedirectURI: base + "/callback"}
	})
	return p, base
}

func TestTheFirstApplicationGreetsByName(t *testing.T) {
	t.Parallel()
	_, base := start(t)
	b := optest.NewBrowser(t).Get(base+"/").Click("login-submit", "username", optest.Username)
	if want := "Hello Alice <Example>, whom this application knows as " + optest.Subject + ".\n"; b.Status != http.StatusOK || b.Body != want || !strings.HasPrefix(b.Header.Get("Content-Type"), "text/plain") {
		t.Errorf("%d %q", b.Status, b.Body)
	}
}

func TestTheFirstApplicationTakesNoAnswerButItsOwn(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change func(*optest.Provider)
		status int
	}{
		"RFC 6749 §10.12 another state": {func(p *optest.Provider) {
			p.Response = func(q url.Values) { q.Set("state", "x") }
		}, http.StatusBadRequest},
		"RFC 6749 §4.1.2.1 refused":     {func(p *optest.Provider) { p.Deny = "access_denied" }, http.StatusForbidden},
		"RFC 6749 §5.2 the code is bad": {func(p *optest.Provider) { p.Refuse = "invalid_grant" }, http.StatusBadGateway},
		"OIDC Core §3.1.3.7 another nonce": {func(p *optest.Provider) {
			p.Edit = func(kind string, _, claims map[string]any) {
				if kind == "id_token" {
					claims["nonce"] = "x"
				}
			}
		}, http.StatusBadGateway},
		"OIDC Core §5.3.2 userinfo about somebody else": {func(p *optest.Provider) {
			p.Edit = func(kind string, _, claims map[string]any) {
				if kind == "userinfo" {
					claims["sub"] = "x"
				}
			}
		}, http.StatusBadGateway},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, base := start(t)
			p.With(func() { test.change(p) })
			b := optest.NewBrowser(t).Get(base + "/")
			if b.Has("login-submit") {
				b.Click("login-submit", "username", optest.Username)
			}
			if b.Status != test.status || strings.Contains(b.Body, "Hello") {
				t.Errorf("%d %q", b.Status, b.Body)
			}
		})
	}
	_, base := start(t)
	if b := optest.NewBrowser(t).Get(base + "/callback?code=x&state="); b.Status != http.StatusBadRequest {
		t.Errorf("an answer to nothing: %d", b.Status)
	}
}

// The README shows the function application, word for word.
func TestTheReadmeShowsThisApplication(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("main.go")
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, code, ok := strings.Cut(string(source), "func application(")
	if !ok || !strings.Contains(string(readme), "```go\nfunc application("+code+"```\n") {
		t.Error("the README shows another one")
	}
}
