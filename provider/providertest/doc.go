// Package providertest is a provider that answers over HTTP, with its store, its clock and its log
// in the test's hands, and a browser that fills in its pages. It is part of no program.
package providertest
