package storage

import (
	"context"
	"fmt"
	"time"
)

// EventSeal is a link of the chain over the audit log: a hash over the seal before it and over the
// events that came since. Whoever changes, adds or removes an event that is sealed has to make
// every later seal anew, and the hash of the last one is known elsewhere by then.
type EventSeal struct {
	ID       string    `bson:"_id" json:"number"`        // its number, from 1, in twelve digits
	Previous string    `bson:"previous" json:"previous"` // the Hash of the seal before, "" of the first
	From     string    `bson:"from" json:"from"`         // the ID of the first event
	To       string    `bson:"to" json:"to"`             // the ID of the last event
	Count    int       `bson:"count" json:"count"`
	Hash     string    `bson:"hash" json:"hash"`
	SealedAt time.Time `bson:"sealed_at" json:"sealed_at"`
	Version  int64     `bson:"version" json:"-"`
}

// EventSealID is the ID of the seal with this number.
func EventSealID(number int) string { return fmt.Sprintf("%012d", number) }

var eventSeals = register(table[EventSeal]{
	Table:   Table{Name: "event_seals"},
	id:      func(s *EventSeal) string { return s.ID },
	version: func(s *EventSeal) *int64 { return &s.Version },
})

// CreateEventSeal stores a seal with Version 1. ErrConflict if there is one with that number: of
// several instances that seal the same events one wins.
func (s *Store) CreateEventSeal(ctx context.Context, seal EventSeal) error {
	return create(ctx, s, "seal events", eventSeals, seal)
}

// EventSeals lists seals by number, beginning after the one with the given ID, at most limit.
func (r Records) EventSeals(ctx context.Context, after string, limit int) ([]EventSeal, error) {
	if limit < 1 {
		return nil, nil
	}
	return list(ctx, r, "list seals", eventSeals, Query{Order: []string{FieldID}, After: after, Limit: limit})
}

// LastEventSeal returns the seal with the highest number, or ErrNotFound.
func (r Records) LastEventSeal(ctx context.Context) (EventSeal, error) {
	found, err := list(ctx, r, "load the last seal", eventSeals, Query{Order: []string{"-" + FieldID}, Limit: 1})
	if err == nil && len(found) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return EventSeal{}, err
	}
	return found[0], nil
}

// EventsBetween lists events in the order of their IDs: those after one ID, and up to another, or
// up to a time if that is "". At most limit.
func (r Records) EventsBetween(ctx context.Context, after, upTo string, before time.Time, limit int) ([]Event, error) {
	if upTo == "" {
		upTo = eventIDAt(before)
	}
	return list(ctx, r, "list events", events, Query{Order: []string{FieldID}, After: after, UpTo: upTo, Limit: limit})
}
