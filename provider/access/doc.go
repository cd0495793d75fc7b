// Package access decides who may use which application, and which scopes an application may be
// given.
//
// The decisions are pure functions of stored records. Every path that leads to a token asks here:
// the authorization endpoint before anything is shown or issued, and each later use of a grant
// again, because people, groups and applications change while tokens live. A second path with its
// own idea of the same question is how such servers are broken.
package access
