// Package provider is the identity provider: every endpoint, browser sessions, tokens.
//
// One file per endpoint. A handler reads as the standard's own list: parse, identify, check, decide, act,
// answer. It returns problems in place of writing them; answer.go holds the only three places that write one:
// a page for a person, JSON for a program, a redirect for an application.
//
// What to ask a person next is decided by nextStep (policy.go), a pure function. Whether something that was
// granted still stands is decided by standing (standing.go), for every path alike: code, refresh, userinfo,
// introspection. Single use is one atomic call of the store, after every check and before anything is made.
package provider
