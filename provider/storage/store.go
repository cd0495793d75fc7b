package storage

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"time"
)

// What a Store answers besides success. ErrUnavailable wraps every fault of the store itself (no
// connection, a deadline, a full disk, a locked file): whether the change was made is not known,
// and the caller must not conclude anything from it, least of all that a token was reused.
var (
	ErrUnavailable = errors.New("storage: unavailable")

	ErrNotFound = errors.New("storage: not found")
	ErrConsumed = errors.New("storage: already used")
	ErrConflict = errors.New("storage: conflict")
)

// Store keeps the records. All methods may be called concurrently and from several instances at
// once. What was acknowledged survives a crash and loss of power. Returned records are the caller's
// own copies.
//
// Every record has a Version: 1 when it is new, and one more after each change. A method that takes
// a record which the caller has read before ("seen") wants it as it was read. It saves a read when
// nobody has changed the record since; if somebody has, the method decides by the record as it is
// now.
//
// Times are kept to the millisecond, in UTC. "At now" means by the clock that the caller passes;
// what expires at a time has expired when now is that time. An empty slice or map may come back as
// nil, and the other way round.
//
// A method whose context ends, or that loses the store on the way, returns an error that is none of
// ErrNotFound, ErrConsumed and ErrConflict; what it was to change may have been changed all the
// same.
type Store struct {
	Records // every method that only reads
	engine  Engine
}

// Records reads records: those of a Store, or those of one moment (see Store.View).
type Records struct{ reader Reader }

// New returns a Store that keeps its records in an engine.
func New(e Engine) *Store { return &Store{Records: Records{e}, engine: e} }

// Wrap returns a Store that reaches the database of s through the engine that wrap makes of its
// own. It is for tests.
func (s *Store) Wrap(wrap func(Engine) Engine) *Store { return New(wrap(s.engine)) }

// View calls read, which reads several records, none of them older than the call of View or than
// what was read before. With SQLite those that are not remembered are read in one transaction, which
// costs less than reading each by itself. The Records must not be used after read has returned, and
// read must not call the Store itself. View returns the error of read.
func (s *Store) View(ctx context.Context, read func(Records) error) error {
	var said error
	err := s.engine.View(ctx, func(r Reader) error {
		said = read(Records{r})
		return said
	})
	if said != nil {
		return said
	}
	return wrap("read", err)
}

// Purge removes what no answer depends on at now: it keeps used and expired things for a while, so
// that a replay is still recognised as one. It returns how many records it removed.
func (s *Store) Purge(ctx context.Context, now time.Time) (int, error) {
	n, err := s.engine.Purge(ctx, now)
	return n, wrap("purge", err)
}

// Ping reports whether the store can answer and is writable.
func (s *Store) Ping(ctx context.Context) error { return wrap("ping", s.engine.Ping(ctx)) }

// Check reads every record, and with SQLite looks at every page. It returns how many records of
// each kind there are. An error says what is damaged.
func (s *Store) Check(ctx context.Context) (counts map[string]int, err error) {
	if db := s.Embedded(); db != nil {
		counts, err = db.Check(ctx)
	} else {
		counts, err = checkRecords(ctx, s.engine)
	}
	return counts, wrap("check", err)
}

// Close ends the store; what was acknowledged is on disk.
func (s *Store) Close() error { return s.engine.Close() }

// Embedded returns the embedded database behind the store, nil if it is another one.
func (s *Store) Embedded() *SQLite {
	engine := s.engine
	if t, traced := engine.(*tracedEngine); traced {
		engine = t.Engine
	}
	db, _ := engine.(*SQLite)
	return db
}

// wrap says what was being done, and that the fault is the store's, unless the error is an answer.
func wrap(what string, err error) error {
	if err == nil || answer(err) {
		return err
	}
	return fmt.Errorf("%s: %w: %w", what, ErrUnavailable, err)
}

// answer reports whether err is one of the answers of a Store. They are compared as they are: an
// error that merely wraps one would be a mistake.
func answer(err error) bool {
	return err == ErrNotFound || err == ErrConsumed || err == ErrConflict
}

// How long records are kept beyond their use or expiry, before Purge takes them.
const (
	// keepUsed is for what recognises a replay: a replay that comes a day late is answered
	// "unknown" in place of "already used", and gets nothing either way.
	keepUsed = 24 * time.Hour
	// keepExpired is for what may be used again once it has expired. It covers clocks that disagree
	// between machines.
	keepExpired = time.Hour
)

// Hash is how a secret value is stored: base64url of its SHA-256. The values are random with 256
// bits, so that neither salt nor stretching adds anything.
func Hash(value string) string {
	sum := sha256.Sum256([]byte(value))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// union is have and what of more is not in it yet, in order.
func union(have, more []string) []string {
	all := slices.Clone(have)
	for _, v := range more {
		if !slices.Contains(all, v) {
			all = append(all, v)
		}
	}
	return all
}

// millisecond is t as a Store keeps it.
func millisecond(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return time.UnixMilli(t.UnixMilli()).UTC()
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
