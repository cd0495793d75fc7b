package storage

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync/atomic"
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

// MongoDB is the Engine that keeps the records in a replica set or a sharded cluster, for more
// machines than one.
//
// A write is acknowledged once a majority has it in the journal, and whatever decides on security
// is read from the primary. Each change of a record is a compare-and-swap on its version; it leaves
// a random mark of the call in the document. When the version is another one, the mark tells
// whether that is because another call won, or because this one did and the answer was lost on the
// way. Where neither can be told within the timeout, the method returns an error that is no answer.
type MongoDB struct {
	client      *mongo.Client
	db          *mongo.Database
	collections map[*Table]*mongo.Collection
	meta        *mongo.Collection
	observer    atomic.Pointer[Observer]
}

const (
	// mongoTimeout bounds a call, retries included, unless its context has a deadline. The driver
	// goes on trying through an election, which takes a second or two, and a person still waits for
	// a page that takes this long.
	mongoTimeout = 4 * time.Second
	// mongoSelectionTimeout bounds the wait for a primary of a call whose context allows more than
	// mongoTimeout: an election after the loss of a machine takes that long.
	mongoSelectionTimeout = 15 * time.Second
	// mongoFirstTimeout bounds the first connection: whoever starts the program with a wrong
	// address waits for the error.
	mongoFirstTimeout = 10 * time.Second
	// mongoStartTimeout bounds making the indexes, which takes a while on a database that is large
	// already.
	mongoStartTimeout = time.Minute
	// mongoDatabase is the database's name if the URI has none.
	mongoDatabase = "latchkey"
)

// OpenMongoDB connects to the deployment that the connection string names, and makes its indexes.
// The database is the one in the URI's path, "latchkey" if there is none. Concerns and timeouts of
// the URI are not used: the promises of Store hang on them. A database that a newer version of
// Latchkey has changed is refused.
func OpenMongoDB(ctx context.Context, uri string) (*Store, error) {
	m, err := openMongoDB(ctx, uri)
	if err != nil {
		return nil, err
	}
	return New(m), nil
}

func openMongoDB(ctx context.Context, uri string) (*MongoDB, error) {
	name, err := mongoDatabaseName(uri)
	if err != nil {
		return nil, fmt.Errorf("open MongoDB: %w", err)
	}
	m := &MongoDB{collections: make(map[*Table]*mongo.Collection)}
	m.client, err = mongo.Connect(options.Client().ApplyURI(uri).
		SetAppName("latchkey").
		SetMonitor(m.monitor()).
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
	m.db = m.client.Database(name)
	m.meta = m.db.Collection("meta")
	for _, t := range tables {
		m.collections[t] = m.db.Collection(t.Name)
	}
	if err := m.prepare(ctx); err != nil {
		_ = m.Close()
		return nil, fmt.Errorf("open MongoDB: %w", redactURI(err, uri))
	}
	return m, nil
}

// mongoWriteConcern is majority with journal: what was acknowledged survives the loss of a
// minority, and of power.
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

// unreachable says in a sentence why there was no server to talk to. What the driver says itself is
// the dump of a structure.
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
	return upsert(ctx, m.meta, byID("ping"), bson.D{{Key: "$inc", Value: bson.D{{Key: "count", Value: 1}}}}, nil)
}

// bounded is ctx with a deadline, mongoTimeout from now if it has none.
func bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, bounded := ctx.Deadline(); bounded {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, mongoTimeout)
}

// again repeats a change of many documents, which the driver does not, when the connection or the
// primary was lost. It must be one that may be done twice.
func again(ctx context.Context, change func(context.Context) error) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	for {
		err := change(ctx)
		if err == nil || !passing(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(50 * time.Millisecond): // an election does not end sooner for being asked more often
		}
	}
}

// passing reports whether an error is of a kind that ends by itself: the connection was lost, or
// the server is not the primary now. Only for writes that it can recognise does a server say so
// with a label.
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
