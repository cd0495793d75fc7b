// Package clients knows what a registered application is: its metadata in the standard's
// words (RFC 7591 §2, OIDC Registration §2), which values are acceptable, how its secret is
// checked, and which redirect URIs belong to it.
//
// A Redirect can only be made by Client.Redirect. Having one is what permits an answer,
// or an error, to leave to that address; code that has none does not compile.
package clients
