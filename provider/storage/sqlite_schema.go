package storage

import (
	"context"
	"database/sql/driver"
	"fmt"
	"slices"
	"time"

	"latchkey/keys"
	"latchkey/provider/clients"
)

// applicationID marks a database file as Latchkey's ("LKey"; PRAGMA application_id).
const applicationID = 0x4c4b6579

// upgrade changes a database from one schema version to the next.
type upgrade func(*conn) error

// upgrades lead from schema version 1 to the current one, which is 1 + len(upgrades). Each is
// applied once, in order, in one transaction with the step of user_version: killed half way, it has
// not happened. Those that were released are never edited, only followed. A new file gets the
// current schema at once.
//
// A new table needs no upgrade: it is made when it is missing. A new index or unique value of an
// existing table does: see fillColumns.
var upgrades = []upgrade{upgradeToEvents, upgradeToRows, upgradeToSigningAudience, upgradeToLapses, upgradeToEmail,
	upgradeToAdministration, upgradeToSignInNames}

// createSchema makes what a new file needs.
func createSchema(c *conn) error {
	statements := []string{`CREATE TABLE IF NOT EXISTS pings (one INTEGER PRIMARY KEY CHECK (one = 1), count INTEGER NOT NULL) STRICT`}
	for _, t := range tables {
		statements = append(statements, newSQLTable(t).ddl()...)
	}
	for _, statement := range statements {
		if _, err := c.exec(statement); err != nil {
			return err
		}
	}
	return nil
}

// makeTables makes tables that the file does not have yet.
func makeTables(c *conn) error {
	var there []string
	err := c.query(func(row []driver.Value) error {
		name, _ := row[0].(string)
		there = append(there, name)
		return nil
	}, "SELECT name FROM sqlite_schema WHERE type = 'table'")
	if err != nil || !slices.ContainsFunc(tables, func(t *Table) bool { return !slices.Contains(there, t.Name) }) {
		return err
	}
	return inOneTransaction(c, func() error { return createSchema(c) })
}

// inOneTransaction runs do in a transaction of its own, outside group commit.
func inOneTransaction(c *conn, do func() error) error {
	if _, err := c.exec("BEGIN IMMEDIATE"); err != nil {
		return err
	}
	err := do()
	if err == nil {
		_, err = c.exec("COMMIT")
	}
	if err != nil {
		_ = rollback(c)
	}
	return err
}

// migrate brings the schema up to date. Other processes may do so at the same time: the version is
// read again under the write lock.
func migrate(ctx context.Context, c *conn, create upgrade, upgrades []upgrade) error {
	current := 1 + len(upgrades)
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		if version, err := schemaVersionAlone(c, current); err != nil || version == current {
			return err
		}
		err := inOneTransaction(c, func() error {
			version, err := schemaVersion(c, current)
			switch {
			case err != nil || version == current:
				return err
			case version == 0:
				return migrateTo(c, current, create)
			}
			return migrateTo(c, version+1, upgrades[version-1])
		})
		if err != nil {
			return err
		}
	}
}

func migrateTo(c *conn, version int, step upgrade) error {
	err := step(c)
	for _, pragma := range []string{
		fmt.Sprintf("PRAGMA application_id = %d", applicationID),
		fmt.Sprintf("PRAGMA user_version = %d", version),
	} {
		if err == nil {
			_, err = c.exec(pragma)
		}
	}
	if err != nil {
		return fmt.Errorf("migrate to schema version %d: %w", version, err)
	}
	return nil
}

// schemaVersionAlone is schemaVersion in a transaction of its own: what it reads must be of one
// moment, because another process may be making the schema.
func schemaVersionAlone(c *conn, known int) (int, error) {
	if _, err := c.exec("BEGIN"); err != nil {
		return 0, err
	}
	version, err := schemaVersion(c, known)
	if end := rollback(c); err == nil {
		err = end
	}
	return version, err
}

// schemaVersion is the version of the database's schema, 0 for an empty file.
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

// fillColumns adds the columns and indexes that a table is declared to have and the file does not,
// and fills them from the documents.
func fillColumns(c *conn, table *Table) error {
	t := newSQLTable(table)
	var there []string
	err := c.query(func(row []driver.Value) error {
		name, _ := row[0].(string)
		there = append(there, name)
		return nil
	}, "SELECT name FROM pragma_table_info(?)", t.Name)
	if err != nil {
		return err
	}
	for _, f := range t.columns {
		if !slices.Contains(there, f) {
			if _, err := c.exec(fmt.Sprintf("ALTER TABLE %s ADD COLUMN %s ANY", quoted(t.Name),
				quoted(f))); err != nil {
				return err
			}
		}
	}
	for _, statement := range t.ddl() {
		if _, err := c.exec(statement); err != nil {
			return err
		}
	}
	return c.query(func(values []driver.Value) error {
		var row Row
		row.ID, _ = values[0].(string)
		row.Doc, _ = values[1].([]byte)
		for _, f := range t.columns {
			if _, err := c.exec(fmt.Sprintf("UPDATE %s SET %s = ? WHERE id = ?", quoted(t.Name), quoted(f)),
				field(row.Doc, f), row.ID); err != nil {
				return err
			}
		}
		return c.putEach(t, row)
	}, "SELECT id, doc FROM "+quoted(t.Name)+" ORDER BY rowid")
}

// upgradeToEvents leads to version 2, in which there are events. Their table is made by
// upgradeToRows.
func upgradeToEvents(*conn) error { return nil }

// upgradeToSigningAudience leads to version 4, in which clients are found by signing_audience.
func upgradeToSigningAudience(c *conn) error { return fillColumns(c, &clientTable.Table) }

// upgradeToLapses leads to version 5, in which sessions that ran out are found by lapses. Those
// from before have it once they are touched.
func upgradeToLapses(c *conn) error { return fillColumns(c, &sessions.Table) }

// upgradeToEmail leads to version 6, in which users are found by their e-mail address.
func upgradeToEmail(c *conn) error { return fillColumns(c, &users.Table) }

// upgradeToAdministration leads to version 7, in which users are found by words, groups, role and
// state, clients by groups, grants and consents of a client in order, and initial access tokens at
// all.
func upgradeToAdministration(c *conn) error {
	for _, do := range []func() error{
		func() error { return writeAgain(c, users) },
		func() error { return writeAgain(c, tokens) },
		func() error { return fillColumns(c, &users.Table) },
		func() error { return fillColumns(c, &tokens.Table) },
		func() error { return fillColumns(c, &clientTable.Table) },
		func() error { return makeIndexes(c, &grants.Table, "grants_client_id") },
		func() error { return makeIndexes(c, &consents.Table, "consents_client_id") },
	} {
		if err := do(); err != nil {
			return err
		}
	}
	return nil
}

// upgradeToSignInNames leads to version 8, in which users are found by what they sign in with, and
// no two have a name in common. Of an address that several have, nobody gets it.
func upgradeToSignInNames(c *conn) error {
	if err := makeIndexes(c, &users.Table); err != nil {
		return err
	}
	// An upgrade before this one may have given them to who came first.
	if _, err := c.exec("DELETE FROM " + quoted(eachTable(users.Name, "sign_in_names"))); err != nil {
		return err
	}
	names := signInNames{}
	err := c.query(func(values []driver.Value) error {
		u, err := fromDocument[User](values)
		if err != nil {
			return err
		}
		return names.see(u)
	}, "SELECT doc FROM "+quoted(users.Name))
	if err != nil {
		return err
	}
	if err := rewrite(c, users, func(u *User) { u.SharedAddress = names.shared(*u) }); err != nil {
		return err
	}
	return fillColumns(c, &users.Table)
}

// makeIndexes makes the indexes that a table is declared to have, of columns that it has already,
// and drops those that it is not declared to have any more.
func makeIndexes(c *conn, table *Table, dropped ...string) error {
	for _, statement := range newSQLTable(table).ddl() {
		if _, err := c.exec(statement); err != nil {
			return err
		}
	}
	for _, name := range dropped {
		if _, err := c.exec("DROP INDEX IF EXISTS " + quoted(name)); err != nil {
			return err
		}
	}
	return nil
}

// writeAgain writes the documents of a table as they are written now, with the fields that are kept
// only to find them by.
func writeAgain[T any](c *conn, t *table[T]) error { return rewrite(c, t, func(*T) {}) }

// rewrite is writeAgain with a change of each record.
func rewrite[T any](c *conn, t *table[T], change func(*T)) error {
	var ids []string
	err := c.query(func(values []driver.Value) error {
		id, _ := values[0].(string)
		ids = append(ids, id)
		return nil
	}, "SELECT id FROM "+quoted(t.Name))
	if err != nil {
		return err
	}
	to := newSQLTable(&t.Table)
	for _, id := range ids {
		stored, err := c.get(to, id)
		if err != nil {
			return err
		}
		r, err := t.open(*stored)
		if err != nil {
			return err
		}
		change(&r)
		row, err := t.row(&r)
		if err != nil {
			return err
		}
		if _, err := c.exec("UPDATE "+quoted(t.Name)+" SET doc = ? WHERE id = ?", row.Doc, id); err != nil {
			return err
		}
	}
	return nil
}

// upgradeToRows leads from version 2, in which each kind of record had a table of its own form, to
// version 3, in which all tables are alike and every record has a version.
func upgradeToRows(c *conn) error {
	old := []string{"users", "groups", "clients", "consents", "sessions", "interactions", "grants", "tokens", "spent",
		"attempts",
		"logout_deliveries", "key_set", "settings"}
	var hadEvents int64
	if err := c.one([]any{&hadEvents}, "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'events'"); err != nil {
		return err
	}
	if hadEvents > 0 {
		old = append(old, "events")
	}
	statements := []string{"DROP TABLE client_origins", "DROP INDEX logout_deliveries_due"}
	for _, name := range old {
		statements = append(statements, fmt.Sprintf("ALTER TABLE %s RENAME TO old_%s", quoted(name), name))
	}
	for _, statement := range statements {
		if _, err := c.exec(statement); err != nil {
			return err
		}
	}
	if err := createSchema(c); err != nil {
		return err
	}
	for _, move := range []func() error{
		func() error { return move(c, users, "SELECT doc FROM old_users", fromDocument[User]) },
		func() error { return move(c, groups, "SELECT doc FROM old_groups", fromDocument[Group]) },
		func() error { return move(c, clientTable, "SELECT doc FROM old_clients", fromDocument[clients.Client]) },
		func() error { return move(c, consents, "SELECT doc FROM old_consents", fromDocument[Consent]) },
		func() error { return move(c, sessions, "SELECT doc FROM old_sessions", fromDocument[Session]) },
		func() error {
			return move(c, interactions, "SELECT doc FROM old_interactions", fromDocument[Interaction])
		},
		func() error {
			return move(c, grants, "SELECT doc, revoked_at FROM old_grants", func(row []driver.Value) (Grant, error) {
				g, err := fromDocument[Grant](row)
				if at, ok := row[1].(int64); ok {
					g.RevokedAt = time.UnixMilli(at).UTC()
				}
				return g, err
			})
		},
		func() error { return move(c, tokens, "SELECT doc FROM old_tokens", fromDocument[Token]) },
		func() error {
			return move(c, spent, "SELECT kind, id, expires_at FROM old_spent", func(row []driver.Value) (spending,
				error) {
				kind, _ := row[0].(string)
				id, _ := row[1].(string)
				expires, _ := row[2].(int64)
				return spending{ID: spentID(kind, id), ExpiresAt: time.UnixMilli(expires).UTC()}, nil
			})
		},
		func() error {
			return move(c, attempts, "SELECT key, count, reset_at FROM old_attempts", func(row []driver.Value) (attempt,
				error) {
				key, _ := row[0].(string)
				count, _ := row[1].(int64)
				reset, _ := row[2].(int64)
				return attempt{Key: key, Count: int(count), ResetAt: time.UnixMilli(reset).UTC()}, nil
			})
		},
		func() error {
			return move(c, deliveries, "SELECT doc FROM old_logout_deliveries", fromDocument[LogoutDelivery])
		},
		func() error {
			return move(c, keySets, "SELECT doc FROM old_key_set", func(row []driver.Value) (keySet, error) {
				set, err := fromDocument[keys.KeySet](row)
				return keySet{ID: keySetID, KeySet: set}, err
			})
		},
		func() error {
			return move(c, settings, "SELECT name, value FROM old_settings", func(row []driver.Value) (setting, error) {
				name, _ := row[0].(string)
				value, _ := row[1].([]byte)
				return setting{Name: name, Value: value}, nil
			})
		},
		func() error {
			if hadEvents == 0 {
				return nil
			}
			return move(c, events, "SELECT doc FROM old_events", fromDocument[Event])
		},
	} {
		if err := move(); err != nil {
			return err
		}
	}
	for _, name := range old {
		if _, err := c.exec("DROP TABLE old_" + name); err != nil {
			return err
		}
	}
	return nil
}

// fromDocument is the record whose document is the first column.
func fromDocument[T any](row []driver.Value) (T, error) {
	var r T
	doc, _ := row[0].([]byte)
	err := decode(doc, &r)
	return r, err
}

// move inserts the records that a query finds into their table.
func move[T any](c *conn, t *table[T], query string, read func(row []driver.Value) (T, error)) error {
	to := newSQLTable(&t.Table)
	return c.query(func(values []driver.Value) error {
		r, err := read(values)
		if err != nil {
			return err
		}
		if version := t.version(&r); *version == 0 {
			*version = 1
		}
		row, err := t.row(&r)
		if err != nil {
			return err
		}
		if there, err := c.insert(to, row, to.values(row.Doc)); err != nil || !there {
			return fmt.Errorf("move %s %s: %w", t.Name, row.ID, err)
		}
		return nil
	}, query)
}
