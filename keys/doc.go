// Package keys makes, publishes, uses, rotates and seals the provider's keys, and reads those of
// others.
//
// A Ring holds the provider's signing and decryption keys. The key that signs next is published
// before it signs; the one that signed before stays published until its last token has expired
// (OIDC Core §10.1.1). Every change is a compare-and-swap on one stored record, so that several
// instances agree.
//
// A Sealer encrypts what must be kept but not be readable at rest: private keys, and the client
// secrets that are needed in clear. The identity of the row is additional data: a sealed value
// moved to another row does not open.
//
// The lists of algorithms stand here and nowhere else. none is not one of them.
package keys
