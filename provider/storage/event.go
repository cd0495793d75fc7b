package storage

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"
	"time"
)

// Kinds of actor in an Event.
const (
	ActorUser    = "user"    // a person who is signed in, or tries to be
	ActorClient  = "client"  // a registered client, with its own credentials
	ActorCommand = "command" // the command line; the name is the operating system's user and host
	ActorSystem  = "system"  // the server itself
)

// Outcomes of an Event. An event of a change is stored with OutcomeBegun before the change and is
// settled after it. One that stays begun belongs to a change that was cut off: it may or may not
// have been made.
const (
	OutcomeBegun   = "begun"
	OutcomeDone    = "done"
	OutcomeRefused = "refused"
)

// Event is one entry of the audit log: who did what to which object, and what came of it. It never
// holds a secret.
type Event struct {
	ID      string     `bson:"_id" json:"id"` // from NewEventID: sorts by time
	Time    time.Time  `bson:"time" json:"time"`
	Actor   EventParty `bson:"actor" json:"actor"`
	Verb    string     `bson:"verb" json:"verb"` // object and action, such as client.create
	Object  EventParty `bson:"object" json:"object"`
	Outcome string     `bson:"outcome" json:"outcome"`                   // one of the Outcome constants
	Reason  string     `bson:"reason,omitempty" json:"reason,omitempty"` // one word, such as wrong_password
	// how many like it this one stands for; 0 is 1
	Count int `bson:"count,omitempty" json:"count,omitempty"`
	// the fields that the change touched, as a JSON object
	Before    json.RawMessage `bson:"before,omitempty" json:"before,omitempty"`
	After     json.RawMessage `bson:"after,omitempty" json:"after,omitempty"`      // the same fields after it
	ClientID  string          `bson:"client_id,omitempty" json:"client,omitempty"` // the client for which a user acted
	SessionID string          `bson:"session_id,omitempty" json:"session,omitempty"`
	RequestID string          `bson:"request_id,omitempty" json:"request,omitempty"`
	Address   string          `bson:"address,omitempty" json:"address,omitempty"` // of the actor, where there is one
	// Purge removes the event from then on; zero keeps it
	ExpiresAt time.Time `bson:"expires_at" json:"-"`
	Version   int64     `bson:"version" json:"-"`
}

// EventParty is who did something, or what it was done to.
type EventParty struct {
	// an Actor constant; of objects: user, group, client, session, grant, token, key
	Kind string `bson:"kind" json:"kind"`
	ID   string `bson:"id,omitempty" json:"id,omitempty"`
	Name string `bson:"name,omitempty" json:"name,omitempty"` // as it was at the time
}

// EventFilter chooses events. Empty fields choose all.
type EventFilter struct {
	ActorKind  string
	Actor      string // the ID or the Name of the actor
	VerbPrefix string // "client." for all that was done to clients
	ObjectKind string
	Object     string    // the ID or the Name of the object
	Since      time.Time // at or after
	Until      time.Time // before
}

var eventSequence atomic.Uint32

// NewEventID returns a new Event.ID for an event at that time. IDs sort by their time to the
// microsecond, and those that one process makes within a microsecond by their order.
func NewEventID(at time.Time) string {
	return eventIDAt(at) + fmt.Sprintf("%06x", eventSequence.Add(1)&0xffffff) + strings.ToLower(rand.Text()[:12])
}

// eventIDAt is where the IDs of that time begin.
func eventIDAt(at time.Time) string { return fmt.Sprintf("%014x", max(at.UnixMicro(), 0)) }

var events = register(table[Event]{
	Table: Table{Name: "events", Indexes: []Index{
		{Fields: []string{"actor.id", FieldID}},
		{Fields: []string{"actor.name", FieldID}},
		{Fields: []string{"object.id", FieldID}},
		{Fields: []string{"object.name", FieldID}},
	}},
	id:      func(e *Event) string { return e.ID },
	version: func(e *Event) *int64 { return &e.Version },
	purgeAt: func(e *Event) time.Time { return e.ExpiresAt },
})

// AppendEvent stores an event of the audit log, with Version 1. ErrConflict if the ID is taken.
func (s *Store) AppendEvent(ctx context.Context, e Event) error {
	return create(ctx, s, "append event", events, e)
}

// SettleEvent sets Outcome and Reason of an event whose Outcome is OutcomeBegun. An event that is
// settled already stays as it is, without an error. ErrNotFound if there is none.
func (s *Store) SettleEvent(ctx context.Context, id, outcome, reason string) error {
	_, err := change(ctx, s, "settle event", events, id,
		existing(func(e *Event) error { return e.settle(outcome, reason) }))
	if err == ErrConsumed {
		return nil
	}
	return err
}

func (e *Event) settle(outcome, reason string) error {
	if e.Outcome != OutcomeBegun {
		return ErrConsumed
	}
	e.Outcome, e.Reason = outcome, reason
	return nil
}

// Events lists the events that match all non-empty fields of f, newest first, at most limit: those
// with an ID below before, or from the newest if that is empty. The ID of the last one is the
// cursor of the next page.
func (r Records) Events(ctx context.Context, f EventFilter, before string, limit int) ([]Event, error) {
	if limit < 1 {
		return nil, nil
	}
	q := Query{Order: []string{"-" + FieldID}}
	if !f.Until.IsZero() {
		if until := eventIDAt(f.Until); before == "" || until < before {
			before = until
		}
	}
	if before != "" {
		q.After = before
	}
	if !f.Since.IsZero() {
		q.UpTo = eventIDAt(f.Since)
	}
	if f.Actor != "" {
		q.Where = append(q.Where, Match{Field: "actor.id", Or: "actor.name", Value: f.Actor})
	}
	if f.Object != "" {
		q.Where = append(q.Where, Match{Field: "object.id", Or: "object.name", Value: f.Object})
	}
	return listIf(ctx, r, "list events", events, q, limit, func(e *Event) bool {
		return (f.ActorKind == "" || e.Actor.Kind == f.ActorKind) &&
			(f.ObjectKind == "" || e.Object.Kind == f.ObjectKind) &&
			strings.HasPrefix(e.Verb, f.VerbPrefix)
	})
}
