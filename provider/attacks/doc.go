// Package attacks is the catalogue of attacks as tests: each case is tried from outside, over HTTP,
// on SQLite in a file and on MongoDB, beside the same request as it should be. docs/attacks.md
// lists the cases, and those that have no test and why. There is no code here.
package attacks
