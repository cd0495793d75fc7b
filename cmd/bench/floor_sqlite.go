package main

import (
	"context"
	"crypto/rand"
	"database/sql/driver"
	"os"
	"time"

	"modernc.org/sqlite"
)

// insertSQLite measures durable inserts of which n share a transaction: nothing but a key that
// begins with its time, and a row.
func insertSQLite(path string, n int, length time.Duration) (cost, error) {
	defer func() {
		for _, suffix := range []string{"", "-wal", "-shm"} {
			_ = os.Remove(path + suffix)
		}
	}()
	db, err := new(sqlite.Driver).Open("file:" + path)
	if err != nil {
		return cost{}, err
	}
	defer db.Close()
	exec := func(query string, args ...driver.NamedValue) error {
		st, err := db.Prepare(query)
		if err != nil {
			return err
		}
		defer st.Close()
		_, err = st.(driver.StmtExecContext).ExecContext(context.Background(), args)
		return err
	}
	for _, q := range []string{
		"PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL",
		"CREATE TABLE rows (id TEXT PRIMARY KEY, doc BLOB NOT NULL) STRICT, WITHOUT ROWID",
	} {
		if err := exec(q); err != nil {
			return cost{}, err
		}
	}
	var statements [3]driver.Stmt
	for i, q := range []string{"BEGIN IMMEDIATE", "INSERT INTO rows VALUES (?, ?)", "COMMIT"} {
		if statements[i], err = db.Prepare(q); err != nil {
			return cost{}, err
		}
		defer statements[i].Close()
	}
	run := func(i int, args ...driver.NamedValue) error {
		_, err := statements[i].(driver.StmtExecContext).ExecContext(context.Background(), args)
		return err
	}
	doc, serial := make([]byte, rowSize), uint64(0)
	rand.Read(doc)
	c, err := timed(length, func() error {
		if err := run(0); err != nil {
			return err
		}
		for range n {
			serial++
			if err := run(1, driver.NamedValue{Ordinal: 1, Value: timeOrdered(serial)}, driver.NamedValue{Ordinal: 2,
				Value: doc}); err != nil {
				return err
			}
		}
		return run(2)
	})
	return cost{c.Wall / time.Duration(n), c.CPU / time.Duration(n)}, err
}
