package web

import (
	"net/http"

	"latchkey/provider/storage"
)

// Event is an event of the audit log about what a user does with this request; object and the rest
// are the caller's to fill in. The zero User is somebody who is not known.
func (s *Site) Event(r *http.Request, user storage.User, verb string) storage.Event {
	return storage.Event{
		Actor: storage.EventParty{Kind: storage.ActorUser, ID: user.ID, Name: user.Username}, Verb: verb,
		Address: s.ClientAddress(r), RequestID: RequestID(r),
	}
}
