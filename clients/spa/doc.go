// Package spa is a sample single-page application: a public client whose whole program runs in the
// browser, one hand-written module without framework or dependency. The server only hands out three
// files.
//
// The module keeps tokens in memory and nowhere else, so a reload forgets them, and a stolen copy
// of the browser's storage holds none. While the browser is away at the provider, sessionStorage
// holds state, nonce and code_verifier.
package spa
