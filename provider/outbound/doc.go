// Package outbound is the one way in which the provider fetches something from an address that
// somebody else named: jwks_uri, request_uri, sector_identifier_uri and the logout URIs.
//
// Whoever can name an address can try to reach through us what only we can reach (server-side
// request forgery). So the address is resolved here, every address that a name resolves to must be
// permitted, and exactly those are connected to: a name that changes its mind between check and use
// gains nothing. Only https, no redirects, no proxy from the environment, no cookies or
// credentials, one deadline over everything, and limits on size and on how much happens at once.
//
// Callers see one error, whatever went wrong, so that nobody can map a network by our answers. The
// log has the cause.
package outbound
