package storage

import (
	"context"
	"crypto/rand"
	"errors"
	mathrand "math/rand/v2"
	"slices"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readconcern"
)

var _ Engine = (*MongoDB)(nil)

// Fields of a stored document beside those of the record.
const (
	fieldVersion = "version"
	fieldMark    = "mark"  // of the call that changed the record last
	fieldPurge   = "purge" // see purgeField
	fieldSwept   = "swept" // mark of the Sweep that stamped the record
)

// mark is the random name of one call.
func mark() string { return rand.Text() }

// purgeField is the time at which a document may go. The database removes it by its own clock,
// while expiry is decided by the caller's; so that the two can never differ over a document that is
// still good, it also stays for keepExpired by the clock on the wall.
func purgeField(at time.Time) time.Time { return later(at, time.Now().Add(keepExpired)) }

func byID(id string) bson.D { return bson.D{{Key: FieldID, Value: id}} }

// document is a filter or update, from names and values in turn.
func document(pairs ...any) bson.D {
	d := make(bson.D, 0, len(pairs)/2)
	for i := 0; i < len(pairs); i += 2 {
		d = append(d, bson.E{Key: pairs[i].(string), Value: pairs[i+1]})
	}
	return d
}

// mongoDocument is a row as it is stored.
func mongoDocument(row Row, mark string) (bson.D, error) {
	elements, err := bson.Raw(row.Doc).Elements()
	if err != nil {
		return nil, err
	}
	doc := make(bson.D, 0, len(elements)+4)
	doc = append(doc, bson.E{Key: FieldID, Value: row.ID})
	for _, e := range elements {
		if key := e.Key(); key != FieldID && key != fieldVersion {
			doc = append(doc, bson.E{Key: key, Value: e.Value()})
		}
	}
	doc = append(doc, bson.E{Key: fieldVersion, Value: row.Version}, bson.E{Key: fieldMark, Value: mark})
	if !row.PurgeAt.IsZero() {
		doc = append(doc, bson.E{Key: fieldPurge, Value: purgeField(row.PurgeAt)})
	}
	return doc, nil
}

// mongoRow is the row in a stored document, and the mark that it has.
func mongoRow(doc bson.Raw) (row Row, mark string) {
	row.Doc = doc
	row.ID, _ = doc.Lookup(FieldID).StringValueOK()
	row.Version, _ = doc.Lookup(fieldVersion).AsInt64OK()
	mark, _ = doc.Lookup(fieldMark).StringValueOK()
	return row, mark
}

// mongoFilter is the condition that all of the matches hold. null also matches where there is no
// such field.
func mongoFilter(where []Match) bson.D {
	filter := make(bson.D, 0, len(where)+2)
	var all bson.A
	for _, m := range where {
		switch {
		case m.Or != "":
			all = append(all, document("$or", bson.A{document(m.Field, m.Value), document(m.Or, m.Value)}))
		case m.Prefix:
			// One text has to be within both bounds; without $elemMatch two texts would do.
			bounds := document("$gte", m.Value, "$lt", prefixEnd(m.Value))
			all = append(all, document(m.Field, document("$elemMatch", bounds)))
		default:
			filter = append(filter, bson.E{Key: m.Field, Value: m.Value})
		}
	}
	if all != nil {
		filter = append(filter, bson.E{Key: "$and", Value: all})
	}
	return filter
}

// latest is a collection whose documents are read as they are now and confirmed by a majority to
// be: an answer that a caller may act on, by revoking say, must not rest on a state that an
// election takes back.
func latest(c *mongo.Collection) *mongo.Collection {
	return c.Clone(options.Collection().SetReadConcern(readconcern.Linearizable()))
}

// find reads a document by its ID, nil if there is none.
func find(ctx context.Context, c *mongo.Collection, id string) (*Row, string, error) {
	doc, err := c.FindOne(ctx, byID(id)).Raw()
	switch {
	case errors.Is(err, mongo.ErrNoDocuments):
		return nil, "", nil
	case err != nil:
		return nil, "", err
	}
	row, mark := mongoRow(doc)
	return &row, mark, nil
}

// Get reads a document from the primary.
func (m *MongoDB) Get(ctx context.Context, t *Table, id string) (Row, error) {
	row, _, err := find(ctx, m.collections[t], id)
	if err == nil && row == nil {
		err = ErrNotFound
	}
	if err != nil {
		return Row{}, err
	}
	return *row, nil
}

// List reads the documents that q asks for.
func (m *MongoDB) List(ctx context.Context, t *Table, q Query, each func(Row) (bool, error)) error {
	filter, sort := mongoFilter(q.Where), bson.D{}
	for i, f := range q.Order {
		f, descending := strings.CutPrefix(f, "-")
		direction, after, upTo := 1, "$gt", "$lte"
		if descending {
			direction, after, upTo = -1, "$lt", "$gte"
		}
		sort = append(sort, bson.E{Key: f, Value: direction})
		var bounds bson.D
		if i == 0 && q.After != nil {
			bounds = append(bounds, bson.E{Key: after, Value: q.After})
		}
		if i == 0 && q.UpTo != nil {
			bounds = append(bounds, bson.E{Key: upTo, Value: q.UpTo})
		}
		if bounds != nil {
			filter = append(filter, bson.E{Key: f, Value: bounds})
		}
	}
	cursor, err := m.collections[t].Find(ctx, filter, options.Find().SetSort(sort).SetLimit(int64(q.Limit)))
	if err != nil {
		return err
	}
	defer cursor.Close(context.WithoutCancel(ctx))
	for cursor.Next(ctx) {
		row, _ := mongoRow(cursor.Current)
		if more, err := each(row); err != nil || !more {
			return err
		}
	}
	return cursor.Err()
}

// Values reads the distinct values of a field.
func (m *MongoDB) Values(ctx context.Context, t *Table, field string, where ...Match) ([]string, error) {
	var all []string
	if err := m.collections[t].Distinct(ctx, field, mongoFilter(where)).Decode(&all); err != nil {
		return nil, err
	}
	slices.Sort(all)
	return all, nil
}

// View reads from the primary, each time anew: a session with snapshots would cost more than it
// gives.
func (m *MongoDB) View(_ context.Context, read func(Reader) error) error { return read(m) }

// Update is a compare-and-swap on the version, repeated until it decides. A refusal counts only
// when it was said of a confirmed state.
func (m *MongoDB) Update(ctx context.Context, t *Table, id string, c Change) (Row, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	collection, own := m.collections[t], mark()
	var stored *Row
	var err error
	confirmed, next, exists, seen := false, c.Next, c.Seen > 0, c.Seen
	if next == nil {
		if stored, _, err = find(ctx, collection, id); err != nil {
			return Row{}, err
		}
	}
	for tries := 0; ; tries++ {
		if next == nil {
			made, err := c.Apply(stored)
			if err != nil && answer(err) && !confirmed {
				if stored, _, err = find(ctx, latest(collection), id); err != nil {
					return Row{}, err
				}
				confirmed = true
				continue
			}
			if err != nil && stored != nil {
				return *stored, err
			}
			if err != nil {
				return Row{}, err
			}
			next, exists = &made, stored != nil
			if exists {
				seen = stored.Version
			}
		}
		done, taken, err := put(ctx, collection, *next, exists, seen, own)
		if err != nil || done {
			return *next, err
		}
		if err := pause(ctx, tries); err != nil {
			return Row{}, err
		}
		there, by, err := find(ctx, latest(collection), id)
		switch {
		case err != nil:
			return Row{}, err
		case there != nil && by == own:
			return *there, nil
		case taken && exists, taken && there == nil && len(t.Unique) > 0:
			return Row{}, ErrConflict
		}
		stored, confirmed, next = there, true, nil
	}
}

// put stores a row as a new document, or in place of the one with version seen. It reports whether
// it has, and otherwise whether that was because a unique value is taken.
func put(ctx context.Context, c *mongo.Collection, row Row, exists bool, seen int64, own string) (done, taken bool,
	err error) {
	doc, err := mongoDocument(row, own)
	if err != nil {
		return false, false, err
	}
	if !exists {
		_, err = c.InsertOne(ctx, doc)
		done = err == nil
	} else {
		var res *mongo.UpdateResult
		res, err = c.ReplaceOne(ctx, document(FieldID, row.ID, fieldVersion, seen), doc)
		done = err == nil && res.MatchedCount > 0
	}
	if mongo.IsDuplicateKeyError(err) {
		return false, true, nil
	}
	return done, false, err
}

// pause lets many calls that want to change one document do so one after the other. The first tries
// do not wait.
func pause(ctx context.Context, tries int) error {
	if tries < 2 {
		return ctx.Err()
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(time.Duration(mathrand.IntN(min(tries, 20))+1) * time.Millisecond):
		return nil
	}
}

// Remove removes the documents that match.
func (m *MongoDB) Remove(ctx context.Context, t *Table, where ...Match) (n int, err error) {
	c, filter := m.collections[t], mongoFilter(where)
	if len(where) == 1 && where[0].Field == FieldID {
		res, err := c.DeleteOne(ctx, filter)
		if err != nil {
			return 0, err
		}
		return int(res.DeletedCount), nil
	}
	err = again(ctx, func(ctx context.Context) error {
		res, err := c.DeleteMany(ctx, filter)
		if err == nil {
			n += int(res.DeletedCount)
		}
		return err
	})
	return n, err
}

// Sweep stamps the documents that match. The mark counts what an attempt whose answer was lost has
// stamped.
func (m *MongoDB) Sweep(ctx context.Context, t *Table, s Stamp, where ...Match) (n int, err error) {
	own, filter, tries := mark(), mongoFilter(where), 0
	unstamped := append(slices.Clone(filter), bson.E{Key: s.Field, Value: nil})
	change := document(
		"$set", document(s.Field, s.At, fieldSwept, own),
		"$min", document(fieldPurge, purgeField(s.PurgeAt)),
		"$inc", document(fieldVersion, int64(1)))
	err = again(ctx, func(ctx context.Context) error {
		tries++
		res, err := m.collections[t].UpdateMany(ctx, unstamped, change)
		if err == nil {
			n = int(res.ModifiedCount)
		}
		return err
	})
	if err != nil || tries == 1 {
		return n, err
	}
	count, err := m.collections[t].CountDocuments(ctx, append(filter, bson.E{Key: fieldSwept, Value: own}))
	return int(count), err
}

// Count adds to the counter in the document, where many at once need not wait for each other. After
// a lost answer an attempt may count twice, which errs on the safe side.
func (m *MongoDB) Count(ctx context.Context, key string, now time.Time, window time.Duration) (int, time.Time, error) {
	c := m.collections[&attempts.Table]
	var counted attempt
	fresh := attempt{Key: key}
	fresh.count(now, window)
	one := document("$inc", document("count", 1, fieldVersion, int64(1)))
	begin := document(
		"$set", document("count", fresh.Count, "reset_at", fresh.ResetAt, "window", fresh.Window, fieldPurge,
			purgeField(attempts.purgeAt(&fresh))),
		"$inc", document(fieldVersion, int64(1)))
	after := options.FindOneAndUpdate().SetReturnDocument(options.After)
	latest := fresh.ResetAt.Add(clockSkew) // see attempt.over
	over := bson.A{document("reset_at", document("$lte", now)), document("reset_at", document("$gt", latest))}
	for range 3 {
		err := c.FindOneAndUpdate(ctx, document(FieldID, key, "reset_at", document("$gt", now, "$lte", latest)), one,
			after).Decode(&counted)
		if errors.Is(err, mongo.ErrNoDocuments) {
			// There is no window, or it has ended. If another call begins the new one first, this
			// counts in theirs.
			err = c.FindOneAndUpdate(ctx, document(FieldID, key, "$or", over), begin,
				options.FindOneAndUpdate().SetReturnDocument(options.After).SetUpsert(true)).Decode(&counted)
		}
		if !mongo.IsDuplicateKeyError(err) {
			return counted.Count, counted.ResetAt, err
		}
	}
	return 0, time.Time{}, errUnclear
}

// errUnclear is returned when a document is there and not there in turn.
var errUnclear = errors.New("the outcome is unclear")

// upsert changes the document that matches filter, makes it if no one does, and reads it into a
// value as it is then, unless that is nil. If another call makes it at the same moment, upsert
// tries again.
func upsert(ctx context.Context, c *mongo.Collection, filter, change bson.D, into any) error {
	var err error
	for range 3 {
		res := c.FindOneAndUpdate(ctx, filter, change,
			options.FindOneAndUpdate().SetUpsert(true).SetReturnDocument(options.After))
		if err = res.Err(); err == nil && into != nil {
			return res.Decode(into)
		}
		if !mongo.IsDuplicateKeyError(err) {
			return err
		}
	}
	return err
}

// Purge does what the database does by itself in time, but by the clock of the caller.
func (m *MongoDB) Purge(ctx context.Context, now time.Time) (int, error) {
	const step = 500
	total := 0
	gone := document(fieldPurge, document("$lte", now))
	for _, t := range tables {
		if !t.Purged {
			continue
		}
		c := m.collections[t]
		for {
			var found []struct {
				ID any `bson:"_id"`
			}
			cursor, err := c.Find(ctx, gone, options.Find().SetProjection(document(FieldID, 1)).SetLimit(step))
			if err == nil {
				err = cursor.All(ctx, &found)
			}
			if err != nil {
				return total, err
			}
			if len(found) == 0 {
				break
			}
			ids := make(bson.A, len(found))
			for i, f := range found {
				ids[i] = f.ID
			}
			err = again(ctx, func(ctx context.Context) error {
				res, err := c.DeleteMany(ctx, append(document(FieldID, document("$in", ids)), gone...))
				if err == nil {
					total += int(res.DeletedCount)
				}
				return err
			})
			if err != nil {
				return total, err
			}
			if len(found) < step {
				break
			}
		}
	}
	return total, nil
}
