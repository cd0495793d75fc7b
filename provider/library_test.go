package provider_test

import (
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"latchkey/provider/clients"
	"latchkey/provider/oauth"
	"latchkey/provider/providertest"
)

func TestOtherPeoplesLibraryGetsAlong(t *testing.T) {
	t.Parallel()
	w := providertest.New(t)
	ctx := t.Context()
	w.AddUser("alice")
	discovered, err := oidc.NewProvider(ctx, w.Issuer)
	if err != nil {
		t.Fatal(err)
	}
	for id, bend := range map[string]func(*clients.Client){
		"basic": func(c *clients.Client) {},
		"post":  func(c *clients.Client) { c.TokenEndpointAuthMethod = oauth.AuthClientSecretPost },
		"none":  providertest.Public,
		"es256": func(c *clients.Client) { c.IDTokenSignedResponseAlg = "ES256" },
	} {
		c := w.AddClient(id, bend)
		conf := oauth2.Config{ClientID: c.ID, ClientSecret: providertest.TestSecret, Endpoint: discovered.Endpoint(),
			RedirectURL: c.RedirectURIs[0], Scopes: []string{"openid", "profile", "offline_access"}}
		if c.Public() {
			conf.ClientSecret = ""
		}
		code := w.Browser().Code(c, "alice", "scope", "openid profile offline_access", "prompt", "consent")
		token, err := conf.Exchange(ctx, code, oauth2.VerifierOption(providertest.TestVerifier))
		if err != nil {
			t.Fatalf("%s: %v", id, err)
		}
		raw, _ := token.Extra("id_token").(string)
		idToken, err := discovered.VerifierContext(ctx, &oidc.Config{ClientID: c.ID, Now: w.Clock.Now,
			SupportedSigningAlgs: []string{"RS256", "ES256"}}).Verify(ctx, raw)
		if err != nil {
			t.Fatalf("%s: %v", id, err)
		}
		if err := idToken.VerifyAccessToken(token.AccessToken); err != nil || idToken.Subject != "sub-alice" ||
			idToken.Nonce != "N1" {
			t.Errorf("%s: %+v %v", id, idToken, err)
		}
		token.Expiry = time.Now().Add(-time.Hour) // so that it is renewed
		source := conf.TokenSource(ctx, token)
		who, err := discovered.UserInfo(ctx, source)
		if err != nil || who.Subject != "sub-alice" {
			t.Errorf("%s: %+v %v", id, who, err)
		}
		if renewed, err := source.Token(); err != nil || renewed.RefreshToken == token.RefreshToken {
			t.Errorf("%s: the refresh token was not replaced: %v", id, err)
		}
	}
}
