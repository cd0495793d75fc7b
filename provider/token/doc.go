// Package token is what programs call: the token endpoint and its grants (RFC 6749 §3.2), userinfo
// (OIDC Core §5.3), introspection (RFC 7662) and revocation (RFC 7009).
//
// Single use is one atomic call of the store, after every check and before anything is made.
package token
