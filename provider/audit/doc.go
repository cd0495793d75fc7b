// Package audit writes the audit log: who did what to which object, and what came of it.
//
// There are two ways in. A change is recorded with Begin and Settle around it: if the event cannot
// be stored, the change is not made, and an event that stays begun tells of a change that was cut
// off. What a person or a client did on their own, a sign-in say, is recorded with Note: it never
// fails what happened, and a fault goes to the server's log together with the event.
//
// Failed attempts are written by Failure, which bounds them: whoever can reach the sign-in page can
// make them, in any number.
//
// An event holds no secret. Before and After have only the fields that a change touched, and are
// cut where they are long.
package audit
