// Package templates holds the pages a person sees: one typed value per page, embedded, parsed at
// start.
//
// A page is a struct. Set.Render turns it into HTML in a language; the page is finished before its
// first byte is written, so nobody ever sees half of one. New parses everything and renders the
// samples of every page, so a template that is missing, does not parse or names a field that is not
// there stops the program at start and not a person at sign-in.
//
// The pages need no script and nothing from another host. What a page looks like is one stylesheet
// in assets/. Assets are served under names that change with their content.
//
// # A new page
//
// A page is four things: a template in html/, a Go file of the same name (the struct, its Policy,
// its samples), its words in messages/, and one row in the table in pages.go. What the templates
// share is in layout.html. The tests range over the table: a new page is checked for its ids, its
// accessibility, hostile names and the size of what it needs.
//
// # Words
//
// Each language is one file in messages/: the direction in which it is written, the months, and the
// messages by key. A value stands in a message by its name, such as {app}. A message that depends
// on a number has one text for each plural form of the language (CLDR), and {n} is the number. A
// page asks for a message by its key and never has words of its own; Error names a Problem. No
// language lacks a message, a plural form or a value: the tests see to it. Messages whose key begins
// with admin. are on pages for administrators, which are in English and German alone.
//
// # What people and applications say about themselves
//
// Names, pictures and addresses come from applications and people, so they are hostile until shown
// otherwise: html/template escapes them, shown drops characters that reorder or hide text and caps
// the length, and <bdi> keeps their direction from changing the sentence around them. Links to
// other places carry rel="noopener noreferrer"; only http, https, and the private-use schemes of
// native applications (RFC 8252 §7.1) are linked at all.
//
// # Content-Security-Policy
//
// No page has an inline script, an inline style or a handler attribute. Page.Policy says what a
// page needs beyond that; the caller sends it as the header.
//
// # Stable for automation
//
// #login-page with #username, #password and #login-submit; #consent-page with #consent-allow and #consent-deny;
// #accounts-page; #op-error; #refused; #logout-confirm (the button); #logged-out; #account-page. When a person who is
// signed in proves it once more, #username is absent.
//
// # An operator's own templates and words
//
// Options.Overrides is a folder. A file named like one in html/ (layout.html, signin/login.html …)
// replaces ours. messages/LANG.json replaces single messages of a language that we have, or adds a
// language; what an added language lacks is shown in English, and Set.Missing lists it. A file with
// any other name, a message that no page asks for and a value that a message is not given are
// errors.
package templates
