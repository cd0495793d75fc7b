package storage

import "time"

// DatabaseName is the database in a connection string's path.
var DatabaseName = mongoDatabaseName

// Thing is a record with everything that a table can have, for the contract test of the engines.
type Thing struct {
	ID      string    `bson:"_id"`
	Name    string    `bson:"name"`
	Owner   string    `bson:"owner"`
	Rank    time.Time `bson:"rank"`
	Tags    []string  `bson:"tags,omitempty"`
	Due     time.Time `bson:"due,omitempty"`
	Count   int       `bson:"count,omitempty"`
	Gone    time.Time `bson:"gone,omitempty"`
	Kept    bool      `bson:"kept,omitempty"`
	Inside  Inside    `bson:"inside"`
	EndsAt  time.Time `bson:"ends_at"`
	Version int64     `bson:"version"`
}

// Inside is a document inside a Thing.
type Inside struct {
	A string `bson:"a,omitempty"`
	B string `bson:"b,omitempty"`
}

var things = register(table[Thing]{
	Table: Table{Name: "things", Unique: []string{"name"}, Indexes: []Index{
		{Fields: []string{"owner", "-rank"}},
		{Fields: []string{"due"}, Sparse: true},
		{Fields: []string{"tags"}, Each: true},
		{Fields: []string{"inside.a", FieldID}},
		{Fields: []string{"inside.b", FieldID}},
	}},
	id:      func(t *Thing) string { return t.ID },
	version: func(t *Thing) *int64 { return &t.Version },
	cached:  true,
	few:     true,
	purgeAt: func(t *Thing) time.Time { return t.EndsAt },
})

// Things is the table of Thing.
var Things = &things.Table

// ThingRow and ThingOf lead from a Thing to its row and back; ThingChange is a transition on rows.
func ThingRow(t Thing) (Row, error)  { return things.row(&t) }
func ThingOf(row Row) (Thing, error) { return things.open(row) }
func ThingChange(do func(t *Thing, exists bool) error) func(*Row) (Row, error) {
	return things.apply(do)
}
