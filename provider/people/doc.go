// Package people knows who a person is and how they prove it: canonical usernames, passwords, and
// how often somebody may try.
//
// A username has one canonical form, and everything that counts, finds or compares goes by that
// form. A password is normalised in the same way when it is set and when it is checked, and kept as
// an argon2id string.
//
// Guessing is limited in two ways that hold together. Every attempt is counted before its password
// is looked at, so that parallel guesses cannot overshoot; and only so many passwords are hashed at
// once, so that guessing cannot exhaust the machine. An account that is being attacked stays open
// to a browser in which its owner has signed in before.
//
// Nothing here tells whether an account exists: unknown names cost the same time, are counted the
// same way and get the same words.
package people

// Refusal is a sentence for the person: why a username or a password cannot be used, or why they
// were not signed in.
type Refusal string

func (r Refusal) Error() string { return string(r) }
