// Package cli is a sample command-line application: a native, public client (RFC 8252). It opens
// the person's own browser, never a window of its own, and waits for the answer on a loopback
// address with whatever port is free.
//
// The program in whoami signs in and prints who it is.
package cli
