// Package grants leads from a grant to its tokens and back, and decides whether a grant still
// stands.
//
// The grant is the unit of revocation: codes, access tokens and refresh tokens are good only while
// theirs is. Standing is the one decision for every path: code, refresh, userinfo, introspection.
package grants
