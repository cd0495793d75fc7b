// Package console is administration over HTTP: the API below /api/v1, for programs, and the pages
// below /admin, for people. Both call the use cases of package admin, which decide who may do what;
// this package adds who it is that calls, and the form in which things are asked for and answered.
//
// The API is one table of operations. Its routes, its OpenAPI document, the scope that a credential
// needs, and the tests that call every operation as every role range over the rows.
package console
