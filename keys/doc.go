// Package keys makes, publishes, uses, rotates, revokes and seals the provider's keys, and reads
// those of others.
//
// A Ring holds the provider's signing and decryption keys. The key that signs next is published
// before it signs; the one that signed before stays published until its last token has expired
// (OIDC Core §10.1.1). A revoked key is refused by every instance within a second, because no
// instance uses a view of the stored keys that is older. Every change is a compare-and-swap on one
// stored record, so that several instances agree.
//
// A Sealer encrypts what must be kept but not be readable at rest: private keys, and the client
// secrets that are needed in clear. The identity of the row is additional data: a sealed value
// moved to another row does not open. What a Sealer seals and derives by is random, and stored in
// the same record, sealed under the operator's master key, so that the master key can be changed
// and no derived key changes with it.
//
// The lists of algorithms stand here and nowhere else. none is not one of them.
package keys
