// Command first is the first application of the README: it signs a person in and greets them by
// name. It keeps nothing: clients/webapp shows what an application with sessions and sign-out does.
//
//	CLIENT_ID=… CLIENT_SECRET=… go run ./clients/first
package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"log"
	"net/http"
	"os"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

func main() {
	base := cmp.Or(os.Getenv("BASE_URL"), "http://localhost:3000")
	issuer := cmp.Or(os.Getenv("ISSUER"), "http://localhost:8080")
	app, err := application(context.Background(), issuer, os.Getenv("CLIENT_ID"), os.Getenv("CLIENT_SECRET"), base)
	if err != nil {
		log.Fatal(err)
	}
	log.Print("open ", base)
	//nolint:gosec // one person, on their own machine: no timeouts
	log.Fatal(http.ListenAndServe(cmp.Or(os.Getenv("LISTEN"), "localhost:3000"), app))
}

func application(ctx context.Context, issuer, id, secret, base string) (http.Handler, error) {
	provider, err := oidc.NewProvider(ctx, issuer)
	if err != nil {
		return nil, err
	}
	config := oauth2.Config{ClientID: id, ClientSecret: secret, Endpoint: provider.Endpoint(),
		RedirectURL: base + "/callback", Scopes: []string{oidc.ScopeOpenID, "profile", "email"}}
	mux := http.NewServeMux()

	// Leave for the provider. State, nonce and verifier stay with the browser that leaves.
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		state, nonce, verifier := rand.Text(), rand.Text(), oauth2.GenerateVerifier()
		for name, value := range map[string]string{"state": state, "nonce": nonce, "verifier": verifier} {
			http.SetCookie(w, &http.Cookie{Name: name, Value: value, Path: "/", MaxAge: 600,
				HttpOnly: true, SameSite: http.SameSiteLaxMode})
		}
		address := config.AuthCodeURL(state, oidc.Nonce(nonce), oauth2.S256ChallengeOption(verifier))
		http.Redirect(w, r, address, http.StatusSeeOther)
	})

	// Come back with a code. All that is needed to know the person is in the ID token and at userinfo.
	mux.HandleFunc("GET /callback", func(w http.ResponseWriter, r *http.Request) {
		kept := func(name string) string { c, _ := r.Cookie(name); return cmp.Or(c, &http.Cookie{}).Value }
		if state := kept("state"); state == "" || r.FormValue("state") != state {
			http.Error(w, "this answer belongs to no sign-in of this browser: open "+base, http.StatusBadRequest)
			return
		}
		if r.FormValue("error") != "" {
			http.Error(w, r.FormValue("error")+": "+r.FormValue("error_description"), http.StatusForbidden)
			return
		}
		token, err := config.Exchange(r.Context(), r.FormValue("code"), oauth2.VerifierOption(kept("verifier")))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		raw, _ := token.Extra("id_token").(string)
		idToken, err := provider.Verifier(&oidc.Config{ClientID: id}).Verify(r.Context(), raw)
		if err != nil || idToken.Nonce != kept("nonce") {
			http.Error(w, "the ID token is not of this sign-in", http.StatusBadGateway)
			return
		}
		person, err := provider.UserInfo(r.Context(), oauth2.StaticTokenSource(token))
		if err != nil || person.Subject != idToken.Subject {
			http.Error(w, "userinfo says nothing about this person", http.StatusBadGateway)
			return
		}
		var claims struct{ Name string }
		if err := person.Claims(&claims); err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		name := cmp.Or(claims.Name, person.Email, person.Subject)
		fmt.Fprintf(w, "Hello %s, whom this application knows as %s.\n", name, person.Subject)
	})
	return mux, nil
}
