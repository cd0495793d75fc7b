package storage

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
)

// Backup writes a consistent copy of the database to path, a new file, with mode 0600, while the
// store is in use. The name is there only when the whole copy is on the disk and Check has found
// nothing wrong with it; until then it is written to path.partial, of which nothing stays after an
// error. fs.ErrExist if there is such a file.
func (s *SQLite) Backup(ctx context.Context, path string) (err error) {
	what := "back up to " + path
	if _, err := os.Lstat(path); err == nil {
		return fmt.Errorf("%s: %w", what, fs.ErrExist)
	}
	partial := path + ".partial"
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("%s: %w", what, err), discard(partial))
		}
	}()
	if err := discard(partial); err != nil { // of a backup that was killed
		return err
	}
	if _, err := createFile(partial); err != nil {
		return err
	}
	_, err = read(ctx, s, func(c *conn) (struct{}, error) {
		_, err := c.exec("VACUUM INTO ?", partial)
		return struct{}{}, err
	})
	if err != nil {
		return err
	}
	copied, err := openSQLite(ctx, partial)
	if err != nil {
		return err
	}
	_, err = copied.Check(ctx)
	if err := errors.Join(err, copied.Close()); err != nil {
		return err
	}
	// SQLite does not sync what VACUUM INTO has written.
	if err := syncFile(partial); err != nil {
		return err
	}
	// A link, unlike a renaming, never takes the place of a file that somebody else has made
	// meanwhile.
	if err := os.Link(partial, path); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return err
		}
		if err := os.Rename(partial, path); err != nil { // a file system without links
			return err
		}
	}
	if err := discard(partial); err != nil {
		return err
	}
	return syncFolder(path)
}

// discard removes a database and what SQLite puts beside it.
func discard(path string) error {
	for _, end := range []string{"", "-journal", "-wal", "-shm"} {
		if _, err := os.Lstat(path + end); err != nil {
			continue // whoever writes there is told why that cannot be
		}
		if err := os.Remove(path + end); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

func syncFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// Check looks at all that is in the database: its pages and indexes, and every record. It returns
// how many records of each kind there are. An error says what is damaged; nothing is changed.
func (s *SQLite) Check(ctx context.Context) (counts map[string]int, err error) {
	_, err = read(ctx, s, func(c *conn) (struct{}, error) {
		var wrong []string
		err := c.query(func(row []driver.Value) error {
			if text, _ := row[0].(string); text != "ok" {
				wrong = append(wrong, text)
			}
			return ctx.Err()
		}, "PRAGMA quick_check(5)")
		if err != nil {
			return struct{}{}, err
		}
		if len(wrong) > 0 {
			return struct{}{}, fmt.Errorf("the database is damaged: %s", strings.Join(wrong, "; "))
		}
		return struct{}{}, nil
	})
	if err != nil {
		return nil, err
	}
	return checkRecords(ctx, s)
}

// checkRecords reads every record that there is.
func checkRecords(ctx context.Context, r Reader) (counts map[string]int, err error) {
	counts = map[string]int{}
	for _, t := range tables {
		n := 0
		err := r.List(ctx, t, Query{Order: []string{FieldID}}, func(row Row) (bool, error) {
			if err := t.check(row); err != nil {
				return false, fmt.Errorf("record %s of %s cannot be read: %w", row.ID, t.Name, err)
			}
			n++
			return true, ctx.Err()
		})
		if err != nil {
			return nil, err
		}
		counts[t.Name] = n
	}
	return counts, nil
}

// Place gives a database file that is closed another name, for good.
func Place(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return syncFolder(to)
}

// Kinds lists the kinds of records that Check counts, in order.
func Kinds(counts map[string]int) []string { return slices.Sorted(maps.Keys(counts)) }
