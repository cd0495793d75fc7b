package storage

import (
	"context"
	"time"
)

// Engine is all that a database has to do for a Store. It is implemented for SQLite and for
// MongoDB, and both implementations pass one contract test. What is said here holds for concurrent
// callers in several processes.
//
// An answer is nil, ErrNotFound, or an error that a transition returned. Any other error is a
// fault: the write may have happened. A write is acknowledged when it is durable. Tests put an
// engine of their own in front of a real one to inject faults (Store.Wrap).
type Engine interface {
	Reader

	// View calls read with a Reader for several reads. None of them sees less than those before it.
	// On SQLite those that reach the database see the same state of it, in one transaction; the ones
	// before them may have been answered from memory. On MongoDB each read sees the newest. The
	// Reader must not be used afterwards, and read must not write.
	View(ctx context.Context, read func(Reader) error) error
	// Update applies a transition to the record with this ID, atomically, and returns the record as
	// it is then. Of concurrent transitions of one record each sees what the one before it has
	// left. If the transition refuses, its error is returned along with the record that it refused
	// (the zero Row if there is none), in a state that is durable. ErrConflict if a unique value of
	// the new record is taken.
	Update(ctx context.Context, t *Table, id string, c Change) (Row, error)
	// Remove removes the records that match all of the conditions, and returns how many there were.
	Remove(ctx context.Context, t *Table, where ...Match) (int, error)
	// Sweep stamps every record that matches all of the conditions and does not have the stamp yet,
	// and returns how many it changed.
	Sweep(ctx context.Context, t *Table, s Stamp, where ...Match) (int, error)
	// Count adds one to a counter of the table attempts; see Store.CountAttempt.
	Count(ctx context.Context, key string, now time.Time, window time.Duration) (count int, resetAt time.Time,
		err error)
	// Purge removes the records whose purge time has come at now, and returns how many there were.
	Purge(ctx context.Context, now time.Time) (int, error)
	// Ping reports whether the database can answer and takes writes.
	Ping(ctx context.Context) error
	// Close ends the engine. A second time does nothing.
	Close() error
}

// Reader reads records. It sees every write that was acknowledged before.
type Reader interface {
	// Get returns the record with this ID, or ErrNotFound.
	Get(ctx context.Context, t *Table, id string) (Row, error)
	// List calls each for the records that q asks for, in order, until each returns false or an
	// error. A row must not be used after the call of each has returned.
	List(ctx context.Context, t *Table, q Query, each func(Row) (more bool, err error)) error
	// Values returns the distinct values of an indexed text field in the records that match, in
	// ascending order.
	Values(ctx context.Context, t *Table, field string, where ...Match) ([]string, error)
}

// Table describes where records of one kind are kept. Fields are named as in the stored document;
// FieldID is the ID.
type Table struct {
	Name string
	// Unique lists fields of which no two records have the same value.
	Unique []string
	// Indexes lists what records are looked up by, beside ID and unique fields.
	Indexes []Index
	// Purged says that records of this table have a purge time.
	Purged bool
	// Cached says that records of this table are read again and again: an engine may remember them,
	// as long as it never answers with one that is older than the database.
	Cached bool

	few   bool            // there are few records, and answers to List may be remembered, too
	check func(Row) error // reports, as an error, that a row is no record of this table
}

// FieldID is the field that holds a record's ID.
const FieldID = "_id"

// Index is a way to look records up.
type Index struct {
	// Fields in order; a leading "-" for one that is read in descending order.
	Fields []string
	// Sparse leaves out records that do not have the field.
	Sparse bool
	// Each says that the field holds a list of texts, each of which leads to the record.
	Each bool
	// Unique, of a list, says that no two records have a text in common.
	Unique bool
}

// Row is a record on its way to or from an engine.
type Row struct {
	ID      string
	Version int64     // 1 when the record is new, one more after each change
	PurgeAt time.Time // when no answer depends on the record any more; zero: never
	Doc     []byte    // the BSON document

	record any   // the decoded document, if it is at hand: a pointer that nobody else writes to
	held   *held // the decoded document of a row that is remembered
}

// Change is a transition of one record.
type Change struct {
	// Apply makes the new record from the stored one, nil if there is none. It is pure: an engine
	// may call it several times. The row that it returns has a Version one higher than the stored
	// one. Its error is an answer, and nothing is changed then.
	Apply func(stored *Row) (Row, error)
	// Next, if not nil, is what Apply returned for the record that the caller has read before, of
	// version Seen (0: for none). If that is what is stored, Next can be written without reading
	// first.
	Next *Row
	Seen int64
	// SamePurge says that Next has the PurgeAt of the record that the caller has read.
	SamePurge bool
}

// Query asks for records. What it matches and orders by must have an index: on SQLite it is an
// error otherwise.
type Query struct {
	Where []Match
	// Order lists the fields to sort by, a leading "-" for descending.
	Order []string
	// After and UpTo bound the first field of Order: its values come after the first (in the
	// direction of the order) and do not go past the second. nil: no bound. They are string or
	// time.Time.
	After, UpTo any
	// Limit bounds the number of records, 0 for no bound.
	Limit int
}

// Match is the condition that a field, or the field Or in place of it, has a value: a string, true,
// or nil for records in which the field is absent. A field of a document inside the record is named
// with a dot. Of a field that is a list one text has the value, or with Prefix begins with it.
type Match struct {
	Field  string
	Or     string // "" for none
	Value  any
	Prefix bool // only of a field that is a list
}

// is matches records in which a field has the value.
func is(field string, value any) Match { return Match{Field: field, Value: value} }

// prefixEnd is greater than every text that begins with prefix. Both engines compare texts by their
// bytes.
func prefixEnd(prefix any) string {
	text, _ := prefix.(string)
	return text + "\U0010FFFF"
}

// Stamp is a change that a database makes to many records by itself: it sets the time Field where
// it is not set, and moves the purge time of the record back to PurgeAt if it is later. It counts
// as a change of the record: the version increases.
type Stamp struct {
	Field   string
	At      time.Time
	PurgeAt time.Time
}
