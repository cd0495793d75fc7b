// Package webapp is a sample web application that signs people in with OpenID Connect: a
// confidential client with PKCE on coreos/go-oidc and golang.org/x/oauth2. It knows the issuer's
// address, its client id and secret, and its own address; everything else it learns from the
// discovery document.
//
//	GET  /                    the notes, the wall of pictures or the ledger, or the way to sign in.
//	                          An unknown visitor is sent to the provider with prompt=none, once: people
//	                          who are signed in there just come in
//	GET  /sign-in             leaves for the provider with state, nonce and code_challenge
//	GET  /callback            comes back from it: signin.go reads as the list of what has to be checked
//	POST /notes               keeps or changes a note; /pictures and /entries do the same for the other
//	                          kinds, and /notes/remove and its like take away
//	POST /call                calls an API with the access token and shows its answer. An API that asks
//	                          for a better sign-in gets one (RFC 9470 §4)
//	POST /refresh             asks for new tokens
//	POST /sign-out            ends the session of this application only
//	POST /sign-out-everywhere leaves for the end-session endpoint (RP-Initiated Logout §2)
//	GET  /signed-out          comes back from there
//	POST /backchannel-logout  hears that a session has ended (Back-Channel Logout §2.5)
//
// Sessions live in memory on the server; the browser holds a random id in a cookie that only this
// host sees. The pages work without scripts, follow the browser's language (texts) and its dark
// scheme, and keep their element ids stable for automation.
package webapp
