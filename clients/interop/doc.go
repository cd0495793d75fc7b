// Package interop proves that other people's clients get along with Latchkey. It has nothing but
// tests: each starts the built program latchkey as an operator does, registers a client and a
// person on its command line, and lets a well-known library or proxy sign somebody in, over HTTP on
// loopback. It imports nothing of ours, so that what is proved here holds for everybody who has no
// more than the program and a standard.
//
//	node/openid_client.mjs   openid-client and jose, on Node.js
//	node/spa.html            oidc-client-ts, in Chromium
//	python/web.py            Authlib, with Flask and Requests; Requests-OAuthlib
//	apache_test.go           Apache with mod_auth_openidc
//	oauth2_test.go           golang.org/x/oauth2, as proxies use it that know nothing of PKCE
//	quirks_test.go           what applications in the field are known to trip over
//
// The libraries are installed, in the versions that package-lock.json and requirements.txt name,
// into the folder that LATCHKEY_TEST_CACHE names, which make test does. Without the folder, or
// without Node.js, Python, Chromium or Apache on the machine, a test says so and is skipped; where
// CI is true it fails.
//
// A script speaks with its test in lines of JSON on standard output and input. It says {"open":
// URL, "until": PREFIX} to have somebody follow an address, sign in and agree, until the browser is
// sent to an address that begins with PREFIX, and reads {"at": URL}. For each sentence that it has
// proved it says {"passed": SENTENCE}, or {"failed": SENTENCE, "because": TEXT}.
package interop
