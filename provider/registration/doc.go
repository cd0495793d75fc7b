// Package registration is how a client and the provider get to know each other: discovery
// (OIDC Discovery, RFC 8414), published keys, dynamic registration and its management (RFC 7591,
// RFC 7592), logos.
package registration
