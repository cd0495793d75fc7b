// Package mail sends mails to users: a queue in the store that survives a restart, and the ways out
// of it, SMTP and a folder.
//
// What is queued says what a mail is about. Its text is composed when it is sent, by the package
// that put it there, so that a link in it is made no earlier, is written nowhere else, and names
// the user's address as it is then.
//
// Every instance sends. An instance leases one mail at a time for itself; what a restart interrupts
// is taken up again when the lease has run out. So a mail may arrive twice, but is not lost.
package mail
