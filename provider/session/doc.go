// Package session begins, renews and ends the sessions of browsers, knows which clients each one
// reached, and tells them of its end (Back-Channel Logout, Front-Channel Logout,
// OIDC Session Management).
package session
