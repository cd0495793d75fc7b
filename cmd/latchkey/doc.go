// Command latchkey is the whole of Latchkey: the provider, the commands that administer it, and a
// demonstration.
//
// main does nothing but call Run with what the process was given, so that tests start the program
// as main does. It is the only place that knows the environment, signals and exit codes: 0 is
// success, 1 a command that failed, 2 one that was asked for in the wrong way.
//
//	run.go       the tree of commands
//	config.go    what can be configured, and what is wrong with a configuration
//	site.go      opens what a configuration names: store, master key, keys
//	serve.go     the wiring of the provider, from top to bottom
//	demo.go      the provider and the sample applications, seeded, in one process
//	apply.go     people, groups and clients from one file
//	samples.go   the sample applications on hosts of their own, beside a real provider
//
// The commands work on the store directly, whether or not a server runs on it, and use the
// provider's own logic for whatever else has to happen: who ends a person's sessions here ends them
// as the pages do.
package main
