// Package optest is what the tests of the sample applications sign in at: a small OpenID provider
// with a sign-in form, and a browser that follows links, forms and redirects. It holds no more than
// the samples need and can be made to misbehave, which a real provider cannot. It imports nothing
// of ours.
package optest
