// Package storage is what must outlive a request: the records, and the promises about them.
//
// A record is one file: the struct, its table (ID, version, what it is looked up by, how long it is
// kept), its transitions, which are pure, and the methods of Store that apply them. A Store works
// on an Engine, of which there are two: SQLite, embedded, for one machine, and MongoDB, a replica
// set or sharded cluster, for more. Both keep every promise that is written at a method, races and
// crashes included, and both pass the same contract tests.
//
// Every operation that decides on security is one atomic call: of any number of concurrent callers
// exactly one wins, and the losers learn whether the thing was unknown or already used. No promise
// rests on a multi-document transaction. Expiry is decided by the clock that the caller brings,
// never by the database's own; Purge merely collects what no answer can depend on any more.
//
// SQLite runs as one goroutine that writes, and puts whatever waits into one transaction with one
// sync of the disk (sqlite_commit.go), beside connections that only read. MongoDB makes each change
// a compare-and-swap of one document that also carries a mark of the call, so that an answer lost
// on the way is not taken for a lost race (mongo_engine.go). Package storagetest gives tests a
// store of either kind, a store that fails where a test says, and a proxy that breaks the
// connection to MongoDB.
//
// Secrets never come here: codes, tokens and session references arrive as SHA-256 (see Hash),
// passwords as argon2id strings, keys and client secrets that are needed in clear are sealed
// before.
package storage
