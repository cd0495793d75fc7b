// Package storagetest gives tests a store: one in memory, a MongoDB database of their own, and a
// proxy that breaks the connection to it at chosen moments. It is for tests only; nothing of the
// program imports it.
//
// The MongoDB server is, in this order: the one that the environment variable LATCHKEY_TEST_MONGODB
// names by a connection string; mongod from the PATH, started as a replica set of one node in a
// temporary folder; mongo-java-server, an in-memory stand-in, fetched by mvn and started by java.
// Where there is none of them, a test that needs it is skipped; with CI=true it fails.
package storagetest
