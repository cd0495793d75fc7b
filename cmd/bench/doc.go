// Command bench measures the real program from outside and compares it with what the machine can
// do.
//
// It starts `latchkey serve` on one core, drives it over HTTP from another, and prints requests per
// second, latencies, processor time and memory for every endpoint on the hot path. In the same run
// it measures the floor: signatures, verifications, a bare answer of the same size from the same
// router, and a durable insert that shares its sync. Each figure is printed as a share of that.
//
// A sample of the answers of each measurement is verified afterwards: signatures, claims, and that
// what may be used once is refused a second time. A measurement whose answers are wrong has no
// figure.
//
// It is a program of its own and no part of latchkey.
package main
