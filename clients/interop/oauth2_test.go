package interop

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// TestLibraryWithoutPKCEWhereItIsSwitchedOff signs somebody in as proxies do that send neither
// code_challenge nor nonce and find out by themselves how to authenticate.
func TestLibraryWithoutPKCEWhereItIsSwitchedOff(t *testing.T) {
	t.Parallel()
	l := serve(t, "localhost", "")
	ctx := t.Context()
	provider, err := oidc.NewProvider(ctx, l.issuer)
	if err != nil {
		t.Fatal(err)
	}
	const back = "http://localhost:4180/oauth2/callback"
	for name, flags := range map[string][]string{
		"client_secret_basic": {"--without-pkce"},
		"client_secret_post":  {"--without-pkce", "--token-endpoint-auth-method", "client_secret_post"},
	} {
		app := l.register(name, append(flags, "--redirect-uri", back, "--claims-in-id-token")...)
		conf := oauth2.Config{ClientID: app.ID, ClientSecret: app.Secret, RedirectURL: back, Scopes: []string{"openid",
			"email", "profile", "groups", "offline_access"}}
		// Nothing says how to authenticate: it tries the one, then the other, with the same code.
		conf.Endpoint = provider.Endpoint()
		conf.Endpoint.AuthStyle = oauth2.AuthStyleAutoDetect
		at := newBrowser(t).follow(conf.AuthCodeURL("state with spaces & signs +/=", oauth2.ApprovalForce), back)
		u, err := url.Parse(at)
		if err != nil {
			t.Fatal(err)
		}
		q := u.Query()
		for parameter, values := range q {
			if len(values) != 1 {
				t.Errorf("%s: %s stands there %d times", name, parameter, len(values))
			}
		}
		if q.Get("state") != "state with spaces & signs +/=" || q.Get("iss") != l.issuer {
			t.Errorf("%s: %s", name, at)
		}
		token, err := conf.Exchange(ctx, q.Get("code"))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		raw, _ := token.Extra("id_token").(string)
		id, err := provider.VerifierContext(ctx, &oidc.Config{ClientID: app.ID}).Verify(ctx, raw)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		// Such proxies look into the ID token and lock out whom it says has no verified address.
		var claims struct {
			Email    string   `json:"email"`
			Verified *bool    `json:"email_verified"`
			Username string   `json:"preferred_username"`
			Groups   []string `json:"groups"`
		}
		if err := id.Claims(&claims); err != nil || claims.Email != "ada@example.com" || claims.Verified == nil ||
			!*claims.Verified ||
			claims.Username != username || len(claims.Groups) != 1 || claims.Groups[0] != "staff" {
			t.Errorf("%s: %+v %v", name, claims, err)
		}
		token.Expiry = time.Now().Add(-time.Hour)
		source := conf.TokenSource(ctx, token)
		if who, err := provider.UserInfo(ctx, source); err != nil || who.Subject != l.sub || !who.EmailVerified {
			t.Errorf("%s: %+v %v", name, who, err)
		}
		if renewed, err := source.Token(); err != nil || renewed.RefreshToken == "" ||
			renewed.RefreshToken == token.RefreshToken {
			t.Errorf("%s: renewed: %v", name, err)
		}
	}

	strict := l.register("Strict", "--redirect-uri", back)
	conf := oauth2.Config{ClientID: strict.ID, Endpoint: provider.Endpoint(), RedirectURL: back,
		Scopes: []string{"openid"}}
	if at := newBrowser(t).follow(conf.AuthCodeURL("s"), back); !strings.Contains(at, "error=invalid_request") ||
		!strings.Contains(at, "code_challenge") {
		t.Errorf("without the operator's permission: %s", at)
	}
}
