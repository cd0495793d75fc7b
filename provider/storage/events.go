package storage

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"slices"
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

// Outcomes of an Event. An event of a change is stored with OutcomeBegun before the change and is settled after it. One that
// stays begun belongs to a change that was cut off: it may or may not have been made.
const (
	OutcomeBegun   = "begun"
	OutcomeDone    = "done"
	OutcomeRefused = "refused"
)

// Event is one entry of the audit log: who did what to which object, and what came of it. It never holds a secret.
type Event struct {
	ID        string          `bson:"_id" json:"id"` // from NewEventID: sorts by time
	Time      time.Time       `bson:"time" json:"time"`
	Actor     EventParty      `bson:"actor" json:"actor"`
	Verb      string          `bson:"verb" json:"verb"` // object and action, such as client.create
	Object    EventParty      `bson:"object" json:"object"`
	Outcome   string          `bson:"outcome" json:"outcome"`                      // one of the Outcome constants
	Reason    string          `bson:"reason,omitempty" json:"reason,omitempty"`    // one word, such as wrong_password
	Count     int             `bson:"count,omitempty" json:"count,omitempty"`      // how many like it this one stands for; 0 is 1
	Before    json.RawMessage `bson:"before,omitempty" json:"before,omitempty"`    // the fields that the change touched, as a JSON object
	After     json.RawMessage `bson:"after,omitempty" json:"after,omitempty"`      // the same fields after it
	ClientID  string          `bson:"client_id,omitempty" json:"client,omitempty"` // the client for which a user acted
	SessionID string          `bson:"session_id,omitempty" json:"session,omitempty"`
	RequestID string          `bson:"request_id,omitempty" json:"request,omitempty"`
	Address   string          `bson:"address,omitempty" json:"address,omitempty"` // of the actor, where there is one
	ExpiresAt time.Time       `bson:"expires_at" json:"-"`                        // Purge removes the event from then on; zero keeps it
}

// EventParty is who did something, or what it was done to.
type EventParty struct {
	Kind string `bson:"kind" json:"kind"` // an Actor constant; of objects: user, group, client, session, grant, token, key
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

// NewEventID returns a new Event.ID for an event at that time. IDs sort by their time to the microsecond, and those that one
// process makes within a microsecond by their order.
func NewEventID(at time.Time) string {
	return eventIDAt(at) + fmt.Sprintf("%06x", eventSequence.Add(1)&0xffffff) + strings.ToLower(rand.Text()[:12])
}

// eventIDAt is where the IDs of that time begin.
func eventIDAt(at time.Time) string { return fmt.Sprintf("%014x", max(at.UnixMicro(), 0)) }

// purgeAt is when the event may go. One without an end stays.
func (e Event) purgeAt() time.Time {
	if e.ExpiresAt.IsZero() {
		return time.UnixMilli(1 << 52)
	}
	return e.ExpiresAt
}

// settle is the event with its outcome. Of an event that has one already it is the same event again.
func (e Event) settle(outcome, reason string) Event {
	if e.Outcome == OutcomeBegun {
		e.Outcome, e.Reason = outcome, reason
	}
	return e
}

// AppendEvent and the rest in SQLite: what is filtered by has a column.

func (s *SQLite) AppendEvent(ctx context.Context, e Event) error {
	doc, err := encode(e)
	if err != nil {
		return err
	}
	return set(ctx, s, "append event", func(c *conn) error {
		return create(c, `INSERT INTO events (id, actor_kind, actor_id, actor_name, verb, object_kind, object_id, object_name, purge_at, doc)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, e.ID, e.Actor.Kind, e.Actor.ID, e.Actor.Name, e.Verb,
			e.Object.Kind, e.Object.ID, e.Object.Name, e.purgeAt(), doc)
	})
}

func (s *SQLite) SettleEvent(ctx context.Context, id, outcome, reason string) error {
	return set(ctx, s, "settle event", func(c *conn) error {
		e, err := record[Event](c, "SELECT doc FROM events WHERE id = ?", id)
		if err != nil {
			return err
		}
		doc, err := encode(e.settle(outcome, reason))
		if err == nil {
			_, err = c.exec("UPDATE events SET doc = ? WHERE id = ?", doc, id)
		}
		return err
	})
}

func (s *SQLite) Events(ctx context.Context, f EventFilter, before string, limit int) ([]Event, error) {
	where, args := []string{"1"}, []any{}
	add := func(condition string, values ...any) {
		where, args = append(where, condition), append(args, values...)
	}
	if before != "" {
		add("id < ?", before)
	}
	if !f.Since.IsZero() {
		add("id >= ?", eventIDAt(f.Since))
	}
	if !f.Until.IsZero() {
		add("id < ?", eventIDAt(f.Until))
	}
	if f.ActorKind != "" {
		add("actor_kind = ?", f.ActorKind)
	}
	if f.Actor != "" {
		add("(actor_id = ? OR actor_name = ?)", f.Actor, f.Actor)
	}
	if f.VerbPrefix != "" {
		add("substr(verb, 1, length(?)) = ?", f.VerbPrefix, f.VerbPrefix)
	}
	if f.ObjectKind != "" {
		add("object_kind = ?", f.ObjectKind)
	}
	if f.Object != "" {
		add("(object_id = ? OR object_name = ?)", f.Object, f.Object)
	}
	query := "SELECT doc FROM events WHERE " + strings.Join(where, " AND ") + " ORDER BY id DESC LIMIT ?"
	return read(ctx, s, "list events", func(c *conn) ([]Event, error) {
		return list[Event](c, query, append(slices.Clip(args), max(limit, 0))...)
	})
}
