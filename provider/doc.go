// Package provider is the identity provider: its configuration, the parts it is made of, and the
// one table of every endpoint.
//
// The endpoints live in one package per kind of visitor: signin (the front channel), token (what
// programs call), account (a user's own pages) and registration (discovery, keys, dynamic
// registration). Below them, session, grants and clientauth hold what they share, and web is how
// anything leaves.
package provider
