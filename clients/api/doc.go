// Package api is a sample API, a resource server in the words of RFC 6749: it keeps no sessions and knows no passwords.
// Each request brings an access token in the Authorization header (RFC 6750 §2.1), and the API checks it by itself
// with the keys that the provider publishes (RFC 9068 §4). It knows the issuer's address and its own name.
//
//	GET /public   anybody
//	GET /me       who brings a good token
//	GET /admin    who brings a good token with the role admin
//
// token.go reads top to bottom as the list of checks, keys.go keeps the published keys.
package api
