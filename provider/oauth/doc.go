// Package oauth is the wire of OAuth 2.0 and OpenID Connect: what travels between
// an application and the provider, and how it is written. Parameters, error codes,
// response types and modes, scopes, PKCE, the claims parameter.
//
// Everything here is pure: no network, no storage, no clock. A function takes what
// arrived and says what it means, or returns an *Error that says what was expected.
package oauth
