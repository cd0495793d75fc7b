package storage

import (
	"context"
	"fmt"
)

// applicationID marks a database file as Latchkey's ("LKey"; PRAGMA application_id).
const applicationID = 0x4c4b6579

// migrations lead from an empty file to the current schema. Each is applied once, in order, in one transaction with the
// step of user_version: killed half way, it has not happened. Those that were released are never edited, only followed.
//
// A table has the columns that lookups, order and conditions need; the record itself is the BSON document in doc.
// Times are milliseconds since 1970. purge_at is when no answer depends on the row any more.
var migrations = [][]string{
	{
		`CREATE TABLE users (
			id TEXT PRIMARY KEY, username TEXT NOT NULL UNIQUE, version INTEGER NOT NULL, doc BLOB NOT NULL) STRICT`,
		`CREATE TABLE groups (name TEXT PRIMARY KEY, doc BLOB NOT NULL) STRICT`,
		`CREATE TABLE clients (id TEXT PRIMARY KEY, version INTEGER NOT NULL, doc BLOB NOT NULL) STRICT`,
		// The origins of clients that are not disabled.
		`CREATE TABLE client_origins (
			origin TEXT NOT NULL, client_id TEXT NOT NULL, PRIMARY KEY (origin, client_id)) STRICT, WITHOUT ROWID`,
		`CREATE INDEX client_origins_client ON client_origins (client_id)`,
		`CREATE TABLE consents (
			user_id TEXT NOT NULL, client_id TEXT NOT NULL, doc BLOB NOT NULL, PRIMARY KEY (user_id, client_id)) STRICT`,
		`CREATE INDEX consents_client ON consents (client_id)`,

		`CREATE TABLE sessions (
			id TEXT PRIMARY KEY, user_id TEXT NOT NULL, purge_at INTEGER NOT NULL, doc BLOB NOT NULL) STRICT`,
		`CREATE INDEX sessions_user ON sessions (user_id)`,
		`CREATE INDEX sessions_purge ON sessions (purge_at)`,
		`CREATE TABLE interactions (
			id TEXT PRIMARY KEY, version INTEGER NOT NULL, purge_at INTEGER NOT NULL, doc BLOB NOT NULL) STRICT`,
		`CREATE INDEX interactions_purge ON interactions (purge_at)`,

		// revoked_at is not in doc: many grants are revoked by one statement. live is 1 once the code was used, or if there never was one.
		`CREATE TABLE grants (
			id TEXT PRIMARY KEY, user_id TEXT NOT NULL, client_id TEXT NOT NULL, session_id TEXT NOT NULL,
			offline INTEGER NOT NULL, live INTEGER NOT NULL, created_at INTEGER NOT NULL, expires_at INTEGER NOT NULL,
			revoked_at INTEGER, purge_at INTEGER NOT NULL, doc BLOB NOT NULL) STRICT`,
		`CREATE INDEX grants_user ON grants (user_id, created_at)`,
		`CREATE INDEX grants_client ON grants (client_id)`,
		`CREATE INDEX grants_session ON grants (session_id, client_id)`,
		`CREATE INDEX grants_purge ON grants (purge_at)`,
		`CREATE TABLE tokens (
			hash TEXT PRIMARY KEY, kind TEXT NOT NULL, purge_at INTEGER NOT NULL, doc BLOB NOT NULL) STRICT`,
		`CREATE INDEX tokens_purge ON tokens (purge_at)`,
		`CREATE TABLE spent (
			kind TEXT NOT NULL, id TEXT NOT NULL, expires_at INTEGER NOT NULL, PRIMARY KEY (kind, id)) STRICT, WITHOUT ROWID`,
		`CREATE INDEX spent_expires ON spent (expires_at)`,
		`CREATE TABLE attempts (
			key TEXT PRIMARY KEY, count INTEGER NOT NULL, reset_at INTEGER NOT NULL) STRICT, WITHOUT ROWID`,
		`CREATE INDEX attempts_reset ON attempts (reset_at)`,

		`CREATE TABLE logout_deliveries (
			id TEXT PRIMARY KEY, logout_id TEXT NOT NULL, client_id TEXT NOT NULL, delivered INTEGER NOT NULL,
			next_at INTEGER NOT NULL, expires_at INTEGER NOT NULL, doc BLOB NOT NULL) STRICT`,
		`CREATE INDEX logout_deliveries_logout ON logout_deliveries (logout_id, client_id)`,
		`CREATE INDEX logout_deliveries_due ON logout_deliveries (next_at) WHERE delivered = 0`,
		`CREATE INDEX logout_deliveries_expires ON logout_deliveries (expires_at)`,

		`CREATE TABLE key_set (one INTEGER PRIMARY KEY CHECK (one = 1), version INTEGER NOT NULL, doc BLOB NOT NULL) STRICT`,
		`CREATE TABLE settings (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT`,
		`CREATE TABLE pings (one INTEGER PRIMARY KEY CHECK (one = 1), count INTEGER NOT NULL) STRICT`,
	},
	{
		// Listed from the newest: the id sorts by time.
		`CREATE TABLE events (
			id TEXT PRIMARY KEY, actor_kind TEXT NOT NULL, actor_id TEXT NOT NULL, actor_name TEXT NOT NULL, verb TEXT NOT NULL,
			object_kind TEXT NOT NULL, object_id TEXT NOT NULL, object_name TEXT NOT NULL,
			purge_at INTEGER NOT NULL, doc BLOB NOT NULL) STRICT`,
		`CREATE INDEX events_actor ON events (actor_id, id)`,
		`CREATE INDEX events_actor_name ON events (actor_name, id)`,
		`CREATE INDEX events_object ON events (object_id, id)`,
		`CREATE INDEX events_object_name ON events (object_name, id)`,
		`CREATE INDEX events_purge ON events (purge_at)`,
	},
}

// migrate brings the schema up to date. Other processes may do so at the same time: the version is read again under the
// write lock.
func migrate(ctx context.Context, c *conn, migrations [][]string) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		if version, err := schemaVersion(c, len(migrations)); err != nil || version == len(migrations) {
			return err
		}
		if _, err := c.exec("BEGIN IMMEDIATE"); err != nil {
			return err
		}
		version, err := schemaVersion(c, len(migrations))
		if err == nil && version < len(migrations) {
			err = migrateTo(c, version+1, migrations[version])
		}
		if err == nil {
			_, err = c.exec("COMMIT")
		}
		if err != nil {
			_ = rollback(c)
			return err
		}
	}
}

func migrateTo(c *conn, version int, statements []string) error {
	for _, statement := range append(statements,
		fmt.Sprintf("PRAGMA application_id = %d", applicationID),
		fmt.Sprintf("PRAGMA user_version = %d", version),
	) {
		if _, err := c.exec(statement); err != nil {
			return fmt.Errorf("migrate to schema version %d: %w", version, err)
		}
	}
	return nil
}

// schemaVersion is how many migrations the database has had.
func schemaVersion(c *conn, known int) (int, error) {
	var application, version, changes int64
	if err := c.one([]any{&application}, "PRAGMA application_id"); err != nil {
		return 0, err
	}
	if err := c.one([]any{&version}, "PRAGMA user_version"); err != nil {
		return 0, err
	}
	if err := c.one([]any{&changes}, "PRAGMA schema_version"); err != nil {
		return 0, err
	}
	switch {
	case application != applicationID && (application != 0 || version != 0 || changes != 0):
		return 0, fmt.Errorf("this is a database of another program")
	case version > int64(known):
		return 0, fmt.Errorf("its schema has version %d, this program knows versions up to %d: run a newer latchkey, or restore a backup from before the upgrade", version, known)
	}
	return int(version), nil
}
