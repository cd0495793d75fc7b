// Package docs holds what is written about Latchkey, and the tests that keep it true.
package docs
