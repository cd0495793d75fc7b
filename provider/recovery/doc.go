// Package recovery is the way back for a person who has forgotten their password: they ask for a
// mail, its link opens a page, the page sets a new password.
//
// Whoever asks learns nothing about accounts. The answer, and what it costs, is the same for every
// name: one mail is queued that is about what was typed. Whether there is an account, and what its
// address is, is looked up when the mail is sent. The link is made then, and what the store has of
// it is a hash.
//
// A link is for one person, works once, for a while, and only while the person's password and
// address are those that it was made for. It signs nobody in: whoever has set a password signs in
// with it like everybody, with a second factor if the account has one.
package recovery
