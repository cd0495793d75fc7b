// Package admin is administration as a library: every rule about creating, changing, disabling and
// deleting users, groups, clients, keys and tokens is here once. The command line, files that are
// applied, and dynamic registration call it; an HTTP API and pages can.
//
// Each call takes the actor. One function decides what an actor may do (may), and each change
// leaves an event in the audit log: stored before the change as begun, settled after it, with the
// fields that changed and without secrets. What an actor may not do leaves an event, too.
//
// Errors are values: Faults for what is wrong with the input, each with the field and the reason;
// *ObjectError for what stands in the way (ErrNotFound, ErrTaken, ErrConflict, ErrInUse,
// ErrForbidden). Each face words them for its readers. Any other error is a fault of the store.
//
// No edit is lost. A change is a function of the record as it is: it is made again on the newest
// record when another administrator was faster. A face that shows a record first, and sends back
// what was edited, names the version that it showed, and gets ErrConflict if there is a newer one.
package admin
