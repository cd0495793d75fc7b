// Package signin is the front channel: /authorize, and whatever a user is asked on the way.
//
// What to ask next is decided by nextStep (policy.go), a pure function of request, session, user,
// client and consent. Every page shows (GET) or records (POST) and leads back to /authorize, where
// nextStep is asked again, so that nothing can be skipped.
package signin
