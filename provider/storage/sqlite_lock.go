package storage

import (
	"errors"
	"fmt"
	"sync"
)

var errLocked = errors.New("locked")

// LockServe makes sure that one process at most serves from this database: several would each run
// the timed work and hold their own counters of load. Programs that only read or change records
// need no lock. The lock is on a file beside the database and ends with release or with the
// process, however it ends. A store in memory is nobody else's anyway.
func (s *SQLite) LockServe() (release func(), err error) {
	if s.memory {
		return func() {}, nil
	}
	return LockFile(s.path)
}

// LockFile is LockServe for the database file at path, which need not be there.
func LockFile(path string) (release func(), err error) {
	f, err := lockFile(path + ".lock")
	if errors.Is(err, errLocked) {
		return nil, fmt.Errorf("%s is in use: another latchkey is serving from it", path)
	}
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	// The file stays: whoever removed it could remove one that somebody else has just locked.
	return sync.OnceFunc(func() { f.Close() }), nil
}
