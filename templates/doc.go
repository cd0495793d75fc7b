// Package templates holds the pages a person sees: one typed value per page, embedded, parsed at start.
//
// A page is a struct (pages.go). Set.Render turns it into HTML in a language; the page is finished before its first byte is
// written, so nobody ever sees half of one. New parses everything and renders a sample of every page, so a template that is missing, does not
// parse or names a field that is not there stops the program at start and not a person at sign-in.
//
// The pages need no script, no font and nothing from another host. What the words are is in messages/, one file per language; what a
// page looks like is one stylesheet in assets/. Assets are served under names that change with their content.
//
// # What people and applications say about themselves
//
// Names, pictures and addresses come from applications and people, so they are hostile until shown otherwise: html/template escapes
// them, shown drops characters that reorder or hide text and caps the length, and <bdi> keeps their direction from changing the
// sentence around them. Links to other places carry rel="noopener noreferrer"; only http, https, and the private-use schemes of native
// applications (RFC 8252 §7.1) are linked at all.
//
// # Content-Security-Policy
//
// No page has an inline script, an inline style or a handler attribute. The caller sets the header; what the pages need is
//
//	every page     default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'
//	Login, Consent, Accounts, LogoutConfirm, Refused
//	               form-action also names the application's origin: browsers apply it to every redirect after a form was sent
//	a page with a LogoURI or Picture that is not ours
//	               img-src also has https: (and data: where the caller allows it)
//	LoggedOut      frame-src names the origins of Frames
//	FormPost       script-src 'self', and form-action is the origin that Action leads to
//	CheckSession   script-src 'self', frame-ancestors *: every application frames it
//
// # Stable for automation
//
// #login-page with #username, #password and #login-submit; #consent-page with #consent-allow and #consent-deny; #accounts-page;
// #op-error; #refused; #logout-confirm (the button); #logged-out; #account-page. When somebody who is known signs in again, #username is absent.
//
// # An operator's own templates
//
// Options.Overrides is a folder with files named like those in html/ ("layout.html", "login.html" …), each of which replaces ours, and
// messages/LANG.json, which replaces single messages or, if it has them all, adds a language. A file with any other name is an error.
package templates
