// Package letters is what the provider writes to people: which mail says what, in which language,
// and to which of their addresses; and the links in mails, with what makes them void.
//
// A mail is queued by what it is about. Its text is written when it is sent, and a link in it is
// made then, so that no link that is worth anything lies in the store. A link is for one person and
// one purpose, works once, for a while, and only while what it rests on is as it was when it was
// made. Its address is the issuer's, whatever a request has said.
package letters
