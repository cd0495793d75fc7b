package storage

import (
	"context"
	"regexp"

	"go.mongodb.org/mongo-driver/v2/bson"
)

func (m *MongoDB) AppendEvent(ctx context.Context, e Event) error {
	doc := stored[Event]{Record: e}
	if !e.ExpiresAt.IsZero() {
		doc.Purge = purgeField(e.ExpiresAt)
	}
	return insert(ctx, "append event", m.events, e.ID, doc)
}

func (m *MongoDB) SettleEvent(ctx context.Context, id, outcome, reason string) error {
	set := document("outcome", outcome)
	if reason != "" {
		set = append(set, bson.E{Key: "reason", Value: reason})
	}
	res, err := m.events.UpdateOne(ctx, document("_id", id, "outcome", OutcomeBegun), document("$set", set))
	if err != nil || res.MatchedCount > 0 {
		return wrap("settle event", err)
	}
	_, err = latest[struct{}](ctx, "settle event", m.events, id)
	return err
}

func (m *MongoDB) Events(ctx context.Context, f EventFilter, before string, limit int) ([]Event, error) {
	if limit < 1 {
		return nil, nil // to MongoDB, no limit
	}
	conditions := bson.A{bson.D{}}
	add := func(pairs ...any) { conditions = append(conditions, document(pairs...)) }
	if before != "" {
		add("_id", document("$lt", before))
	}
	if !f.Since.IsZero() {
		add("_id", document("$gte", eventIDAt(f.Since)))
	}
	if !f.Until.IsZero() {
		add("_id", document("$lt", eventIDAt(f.Until)))
	}
	if f.ActorKind != "" {
		add("actor.kind", f.ActorKind)
	}
	if f.Actor != "" {
		add("$or", bson.A{document("actor.id", f.Actor), document("actor.name", f.Actor)})
	}
	if f.VerbPrefix != "" {
		add("verb", bson.Regex{Pattern: "^" + regexp.QuoteMeta(f.VerbPrefix)})
	}
	if f.ObjectKind != "" {
		add("object.kind", f.ObjectKind)
	}
	if f.Object != "" {
		add("$or", bson.A{document("object.id", f.Object), document("object.name", f.Object)})
	}
	return findAll[Event](ctx, "list events", m.events, document("$and", conditions), sorted("_id", -1).SetLimit(int64(limit)))
}
