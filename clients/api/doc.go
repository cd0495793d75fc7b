// Package api is a sample API, a resource server in the words of RFC 6749: it keeps no sessions and
// knows no passwords. Each request brings an access token in the Authorization header
// (RFC 6750 §2.1), and the API checks it by itself with the keys that the provider publishes
// (RFC 9068 §4). It knows the issuer's address and its own name.
//
//	GET    /public        everybody
//	GET    /me            callers with a good token
//	GET    /admin         callers with a good token with the role admin, from a sign-in of the last minutes (RFC 9470)
//	GET    /entries       the caller's own ledger
//	POST   /entries       a new entry: {"what": "Train", "cents": -1250}
//	DELETE /entries/ID    away with it
//	GET    /.well-known/oauth-protected-resource
//	                      where to get a token for this API (RFC 9728 §3)
//
// token.go reads top to bottom as the list of checks, keys.go keeps the published keys.
package api
