// Package web is how requests come in and how anything leaves: adapters for each kind of visitor,
// the four places that write a problem, page policy, cookies, form tokens, client addresses, the
// log line and the metrics of a request.
//
// A handler returns its problem in place of writing it. Exactly four places write one: a page for
// a user, JSON for a program (RFC 6749 §5.2), a problem for a program that administers (RFC 9457),
// a redirect for a client (RFC 6749 §4.1.2.1).
package web
