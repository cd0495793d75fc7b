// Package signup lets people make an account for themselves, where that is open: to everybody, to
// e-mail addresses of some domains, or to whoever an administrator then lets in.
//
// Whoever asks learns nothing about accounts: the answer is the same for every address, and whether
// it has an account already is looked up when the mail is sent. The account is made by the link in
// the mail, so its address is known to be the person's own.
package signup
