// Package account is a user's own pages: what is known about them, where they are signed in, which
// clients they let in, and sign-out (RP-Initiated Logout).
package account
