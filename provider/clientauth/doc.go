// Package clientauth finds out which client a request is from, and by what proof: a secret
// (RFC 6749 §2.3.1), or an assertion signed with a secret or a key (RFC 7523, OIDC Core §9). It
// also fetches, remembers and uses the keys that clients publish.
package clientauth
