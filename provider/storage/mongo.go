package storage

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"syscall"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readconcern"
	"go.mongodb.org/mongo-driver/v2/mongo/readpref"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"
	"go.mongodb.org/mongo-driver/v2/x/mongo/driver/topology"
)

// MongoDB keeps the records in a replica set or a sharded cluster, for more machines than one.
//
// A write is acknowledged once a majority has it in the journal, and whatever decides on security is read from the
// primary. Each deciding method changes one document under a condition; it leaves a random mark of the call in that document.
// When the condition does not hold, the mark tells whether that is because another call won, or because this one did and
// the answer was lost on the way. Where neither can be told within the timeout, the method returns an error that is no answer.
type MongoDB struct {
	client *mongo.Client
	db     *mongo.Database

	users, groups, clients, consents, sessions, interactions, grants, tokens, spent, attempts, deliveries, events, keys, settings,
	meta *mongo.Collection
}

const (
	// mongoTimeout bounds a call, retries included, unless its context has a deadline. The driver goes on trying through an
	// election, which takes a second or two, and a person still waits for a page that takes this long.
	mongoTimeout = 4 * time.Second
	// mongoSelectionTimeout bounds the wait for a primary of a call whose context allows more than mongoTimeout: an election
	// after the loss of a machine takes that long.
	mongoSelectionTimeout = 15 * time.Second
	// mongoFirstTimeout bounds the first connection: whoever starts the program with a wrong address waits for the error.
	mongoFirstTimeout = 10 * time.Second
	// mongoStartTimeout bounds making the indexes, which takes a while on a database that is large already.
	mongoStartTimeout = time.Minute
	// mongoSchema is the version of the stored form that this program writes.
	mongoSchema = 1
	// mongoDatabase is the database's name if the URI has none.
	mongoDatabase = "latchkey"
)

// OpenMongoDB connects to the deployment that the connection string names, and makes its indexes. The database is the one in the
// URI's path, "latchkey" if there is none. Concerns and timeouts of the URI are not used: the promises of Store hang on
// them. A database that a newer version of Latchkey has changed is refused.
func OpenMongoDB(ctx context.Context, uri string) (*MongoDB, error) {
	name, err := mongoDatabaseName(uri)
	if err != nil {
		return nil, fmt.Errorf("open MongoDB: %w", err)
	}
	client, err := mongo.Connect(options.Client().ApplyURI(uri).
		SetAppName("latchkey").
		SetTimeout(mongoTimeout).
		SetServerSelectionTimeout(mongoSelectionTimeout).
		SetWriteConcern(mongoWriteConcern()).
		SetReadConcern(readconcern.Majority()).
		SetReadPreference(readpref.Primary()).
		SetRetryWrites(true).
		SetRetryReads(true))
	if err != nil {
		return nil, fmt.Errorf("open MongoDB: %w", redactURI(err, uri))
	}
	m := &MongoDB{client: client, db: client.Database(name)}
	for collection, name := range map[**mongo.Collection]string{
		&m.users: "users", &m.groups: "groups", &m.clients: "clients", &m.consents: "consents", &m.sessions: "sessions",
		&m.interactions: "interactions", &m.grants: "grants", &m.tokens: "tokens", &m.spent: "spent", &m.attempts: "attempts",
		&m.deliveries: "logout_deliveries", &m.events: "events", &m.keys: "key_set", &m.settings: "settings", &m.meta: "meta",
	} {
		*collection = m.db.Collection(name)
	}
	if err := m.prepare(ctx); err != nil {
		_ = m.Close()
		return nil, fmt.Errorf("open MongoDB: %w", redactURI(err, uri))
	}
	return m, nil
}

// mongoWriteConcern is majority with journal: what was acknowledged survives the loss of a minority, and of power.
func mongoWriteConcern() *writeconcern.WriteConcern {
	w, journal := writeconcern.Majority(), true
	w.Journal = &journal
	return w
}

// mongoDatabaseName is the database in a connection string's path.
func mongoDatabaseName(uri string) (string, error) {
	_, rest, ok := strings.Cut(uri, "://")
	if !ok {
		return "", errors.New("the connection string must begin with mongodb:// or mongodb+srv://")
	}
	rest, _, _ = strings.Cut(rest, "?")
	_, path, _ := strings.Cut(rest, "/")
	name, err := url.PathUnescape(path)
	if err != nil {
		return "", errors.New("the connection string's database name is not properly percent-encoded")
	}
	if name == "" {
		name = mongoDatabase
	}
	return name, nil
}

// redactURI keeps the password of a connection string out of an error about it.
func redactURI(err error, uri string) error {
	_, rest, _ := strings.Cut(uri, "://")
	rest, _, _ = strings.Cut(rest, "/")
	if i := strings.LastIndex(rest, "@"); i >= 0 {
		if _, password, ok := strings.Cut(rest[:i], ":"); ok && password != "" {
			plain, _ := url.PathUnescape(password)
			text := err.Error()
			if strings.Contains(text, password) || (plain != "" && strings.Contains(text, plain)) {
				text = strings.ReplaceAll(text, password, "[redacted]")
				if plain != "" {
					text = strings.ReplaceAll(text, plain, "[redacted]")
				}
				return errors.New(text)
			}
		}
	}
	return err
}

// unreachable says in a sentence why there was no server to talk to. What the driver says itself is the dump of a structure.
func unreachable(err error) error {
	var selection topology.ServerSelectionError
	if !errors.As(err, &selection) {
		return err
	}
	var said []string
	for _, s := range selection.Desc.Servers {
		why := "is no primary"
		if number := syscall.Errno(0); errors.As(s.LastError, &number) {
			why = number.Error()
		} else if s.LastError != nil {
			why = s.LastError.Error()
		}
		said = append(said, s.Addr.String()+": "+why)
	}
	return fmt.Errorf("no server that takes writes answered within %v (%s); is the address right, and is it a replica set or a sharded cluster that runs?",
		mongoFirstTimeout, strings.Join(said, ", "))
}

// prepare checks the version of what is stored and makes the indexes. Making one that exists does nothing, so that several
// instances may start at once.
func (m *MongoDB) prepare(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, mongoStartTimeout)
	defer cancel()
	first, cancelFirst := context.WithTimeout(ctx, mongoFirstTimeout)
	defer cancelFirst()
	if err := m.client.Ping(first, readpref.Primary()); err != nil {
		return unreachable(err)
	}
	var schema struct {
		Version int `bson:"version"`
	}
	err := m.upsert(ctx, m.meta, bson.D{{Key: "_id", Value: "schema"}},
		bson.D{{Key: "$setOnInsert", Value: bson.D{{Key: "version", Value: mongoSchema}}}}, &schema)
	if err != nil {
		return err
	}
	if schema.Version > mongoSchema {
		return fmt.Errorf("database %s has schema version %d, this program knows versions up to %d: run a newer latchkey, or restore a backup from before the upgrade",
			m.db.Name(), schema.Version, mongoSchema)
	}
	plain := func(fields ...string) mongo.IndexModel {
		keys := bson.D{}
		for _, field := range fields {
			direction := 1
			if f, ok := strings.CutPrefix(field, "-"); ok {
				field, direction = f, -1
			}
			keys = append(keys, bson.E{Key: field, Value: direction})
		}
		return mongo.IndexModel{Keys: keys}
	}
	// The database's own clock takes away what purge says is long over. No answer depends on it (see purgeField).
	ttl := mongo.IndexModel{Keys: bson.D{{Key: "purge", Value: 1}}, Options: options.Index().SetExpireAfterSeconds(0)}
	unique := plain("username")
	unique.Options = options.Index().SetUnique(true)
	due := plain("due")
	due.Options = options.Index().SetSparse(true)
	for _, of := range []struct {
		collection *mongo.Collection
		indexes    []mongo.IndexModel
	}{
		{m.users, []mongo.IndexModel{unique}},
		{m.clients, []mongo.IndexModel{plain("cors_origins")}},
		{m.consents, []mongo.IndexModel{plain("user_id", "client_id"), plain("client_id")}},
		{m.sessions, []mongo.IndexModel{plain("user_id"), ttl}},
		{m.interactions, []mongo.IndexModel{ttl}},
		{m.grants, []mongo.IndexModel{plain("user_id", "-created_at"), plain("client_id"), plain("session_id", "client_id"), ttl}},
		{m.tokens, []mongo.IndexModel{ttl}},
		{m.spent, []mongo.IndexModel{ttl}},
		{m.attempts, []mongo.IndexModel{ttl}},
		{m.deliveries, []mongo.IndexModel{plain("logout_id", "client_id"), due, ttl}},
		{m.events, []mongo.IndexModel{plain("actor.id", "-_id"), plain("actor.name", "-_id"),
			plain("object.id", "-_id"), plain("object.name", "-_id"), ttl}},
	} {
		err := again(ctx, "make indexes of "+of.collection.Name(), func(ctx context.Context) error {
			_, err := of.collection.Indexes().CreateMany(ctx, of.indexes)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Close ends the connections.
func (m *MongoDB) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), mongoTimeout)
	defer cancel()
	if err := m.client.Disconnect(ctx); err != nil && !errors.Is(err, mongo.ErrClientDisconnected) {
		return fmt.Errorf("close MongoDB: %w", err)
	}
	return nil
}

// Ping writes, because a primary that has lost its majority still answers questions for a while.
func (m *MongoDB) Ping(ctx context.Context) error {
	err := m.upsert(ctx, m.meta, byID("ping"), bson.D{{Key: "$inc", Value: bson.D{{Key: "count", Value: 1}}}}, nil)
	return wrap("ping", err)
}

// stored is a record with what only this store keeps about it.
type stored[T any] struct {
	Record T         `bson:",inline"`
	Mark   string    `bson:"mark,omitempty"`  // of the call that decided last
	Purge  time.Time `bson:"purge,omitempty"` // see purgeField
}

// mark is the random name of one call.
func mark() string { return rand.Text() }

// purgeField is the time at which a document may go. The database removes it by its own clock, while expiry is decided by the
// caller's; so that the two can never differ over a document that is still good, it also stays for keepExpired by the clock
// on the wall.
func purgeField(at time.Time) time.Time { return later(at, time.Now().Add(keepExpired)) }

func byID(id any) bson.D { return bson.D{{Key: "_id", Value: id}} }

// document is a filter or update, from names and values in turn.
func document(pairs ...any) bson.D {
	d := make(bson.D, 0, len(pairs)/2)
	for i := 0; i < len(pairs); i += 2 {
		d = append(d, bson.E{Key: pairs[i].(string), Value: pairs[i+1]})
	}
	return d
}

// errUnmatched says that there was no document that met the condition, which is no answer yet.
var errUnmatched = errors.New("storage: no document met the condition")

// errUnclear is returned when a document that met the condition all along was not changed: only an election can do that.
var errUnclear = errors.New("the outcome is unclear")

// find reads the document that matches filter from the primary, or ErrNotFound.
func find[T any](ctx context.Context, what string, c *mongo.Collection, filter bson.D) (T, error) {
	var out, none T
	err := c.FindOne(ctx, filter).Decode(&out)
	if errors.Is(err, mongo.ErrNoDocuments) {
		return none, ErrNotFound
	}
	if err != nil {
		return none, wrap(what, err)
	}
	return out, nil
}

// latest reads a document as it is now and confirmed by a majority to be: an answer that a caller may act on, by revoking
// say, must not rest on a state that an election takes back.
func latest[T any](ctx context.Context, what string, c *mongo.Collection, id any) (stored[T], error) {
	return find[stored[T]](ctx, what, c.Clone(options.Collection().SetReadConcern(readconcern.Linearizable())), byID(id))
}

// findAll reads what matches filter.
func findAll[T any](ctx context.Context, what string, c *mongo.Collection, filter bson.D, opts *options.FindOptionsBuilder) ([]T, error) {
	cursor, err := c.Find(ctx, filter, opts)
	if err != nil {
		return nil, wrap(what, err)
	}
	var out []T
	if err := cursor.All(ctx, &out); err != nil {
		return nil, wrap(what, err)
	}
	return out, nil
}

// update changes the document that matches filter and reads it as it is then; errUnmatched if there is none.
func (m *MongoDB) update(ctx context.Context, c *mongo.Collection, filter, change bson.D, into any) error {
	err := c.FindOneAndUpdate(ctx, filter, change, options.FindOneAndUpdate().SetReturnDocument(options.After)).Decode(into)
	if errors.Is(err, mongo.ErrNoDocuments) {
		return errUnmatched
	}
	return err
}

// upsert is update that makes the document if no one matches. If another call makes it at the same moment, it tries again;
// a document that has the id but does not match the rest of the filter ends in a duplicate key error.
func (m *MongoDB) upsert(ctx context.Context, c *mongo.Collection, filter, change bson.D, into any) error {
	var err error
	for range 3 {
		res := c.FindOneAndUpdate(ctx, filter, change, options.FindOneAndUpdate().SetUpsert(true).SetReturnDocument(options.After))
		if err = res.Err(); err == nil && into != nil {
			return res.Decode(into)
		}
		if !mongo.IsDuplicateKeyError(err) {
			return err
		}
	}
	return err
}

// insert stores a new document; ErrConflict if one of its unique values is taken, except by this very call.
func insert[T any](ctx context.Context, what string, c *mongo.Collection, id any, doc stored[T]) error {
	doc.Mark = mark()
	_, err := c.InsertOne(ctx, doc)
	if !mongo.IsDuplicateKeyError(err) {
		return wrap(what, err)
	}
	switch there, err := latest[struct{}](ctx, what, c, id); {
	case err == nil && there.Mark == doc.Mark:
		return nil
	case err == nil || err == ErrNotFound: // the latter: another value than the ID is taken
		return ErrConflict
	default:
		return err
	}
}

// swap replaces the document that has this id and version.
func swap[T any](ctx context.Context, what string, c *mongo.Collection, id any, version int64, doc stored[T]) error {
	doc.Mark = mark()
	var seen any = version
	if version == 0 {
		seen = nil // a record that had no version yet
	}
	res, err := c.ReplaceOne(ctx, document("_id", id, "version", seen), doc)
	switch {
	case mongo.IsDuplicateKeyError(err):
		return ErrConflict
	case err != nil:
		return wrap(what, err)
	case res.MatchedCount > 0:
		return nil
	}
	there, err := latest[struct{}](ctx, what, c, id)
	switch {
	case err != nil:
		return err
	case there.Mark == doc.Mark:
		return nil
	}
	return ErrConflict
}

// decide changes one document under a condition, for a method of which exactly one call may succeed. When the condition
// does not hold, verdict says by the document as it is why; nil means that it ought to have held.
func decide[T any](ctx context.Context, m *MongoDB, what string, c *mongo.Collection, id any, filter, set bson.D, verdict func(T) error) (T, error) {
	var none T
	own := mark()
	change := document("$set", append(set, bson.E{Key: "mark", Value: own}))
	for range 3 {
		var done stored[T]
		err := m.update(ctx, c, filter, change, &done)
		if err == nil {
			return done.Record, nil
		}
		if err != errUnmatched {
			return none, wrap(what, err)
		}
		there, err := latest[T](ctx, what, c, id)
		switch {
		case err != nil:
			return none, err
		case there.Mark == own:
			return there.Record, nil
		}
		if err := verdict(there.Record); err == ErrConsumed {
			return there.Record, ErrConsumed
		} else if err != nil {
			return none, err
		}
	}
	return none, wrap(what, errUnclear)
}

// again repeats a change of many documents, which the driver does not, when the connection or the primary was lost.
// It must be one that may be done twice.
func again(ctx context.Context, what string, change func(context.Context) error) error {
	if _, bounded := ctx.Deadline(); !bounded {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, mongoTimeout)
		defer cancel()
	}
	for {
		err := change(ctx)
		if err == nil || !passing(err) {
			return wrap(what, err)
		}
		select {
		case <-ctx.Done():
			return wrap(what, err)
		case <-time.After(50 * time.Millisecond): // an election does not end sooner for being asked more often
		}
	}
}

// passing says whether an error is of a kind that ends by itself: the connection was lost, or the server is not the primary now.
// Only for writes that it can recognise does a server say so with a label.
func passing(err error) bool {
	if mongo.IsTimeout(err) {
		return false
	}
	if mongo.IsNetworkError(err) {
		return true
	}
	var server mongo.ServerError
	if !errors.As(err, &server) {
		return false
	}
	for _, code := range []int{
		91,    // ShutdownInProgress
		189,   // PrimarySteppedDown
		10107, // NotWritablePrimary
		11600, // InterruptedAtShutdown
		11602, // InterruptedDueToReplStateChange
		13435, // NotPrimaryNoSecondaryOk
		13436, // NotPrimaryOrSecondary
	} {
		if server.HasErrorCode(code) {
			return true
		}
	}
	return server.HasErrorLabel("RetryableWriteError")
}
