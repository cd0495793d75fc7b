//go:build linux || darwin || freebsd

package storage

import (
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"
)

// headerFile is the file that all processes share which have a database open (SQLite's WAL index).
// It begins with the header that every commit changes. On the systems that this is built for,
// reading a file shows at once what others write into it through their memory.
//
// The locks of a process on a file end when it closes any descriptor of it, SQLite's locks too.
// Therefore all stores of this process that have the same database open share one descriptor, those
// that could not read the header included, and the last of them closes it, after its connections.
type headerFile struct {
	fd    int       // -1 when the header cannot be read: nothing is remembered then
	key   [2]uint64 // device and number of the database file
	users int
}

var headerFiles = struct {
	sync.Mutex
	open map[[2]uint64]*headerFile
}{open: map[[2]uint64]*headerFile{}}

// lockHeaders keeps headers from being closed until the function that it returns is called.
func lockHeaders() (unlock func()) {
	headerFiles.Lock()
	return headerFiles.Unlock
}

// openHeader opens the header of the database at path, from which a connection has read. The caller
// has called lockHeaders before it made that connection. nil if the file cannot be found any more.
func openHeader(path string) *headerFile {
	if followed, err := filepath.EvalSymlinks(path); err == nil {
		path = followed // SQLite puts its files beside that
	}
	var about unix.Stat_t
	if err := unix.Stat(path, &about); err != nil {
		return nil
	}
	key := [2]uint64{uint64(about.Dev), about.Ino} //nolint:unconvert // of another type on other systems
	h := headerFiles.open[key]
	if h == nil {
		h = &headerFile{fd: -1, key: key}
		if fd, err := unix.Open(path+"-shm", unix.O_RDONLY|unix.O_CLOEXEC, 0); err == nil {
			h.fd = fd
		}
		headerFiles.open[key] = h
	}
	h.users++
	return h
}

func (h *headerFile) close() {
	if h == nil {
		return
	}
	headerFiles.Lock()
	defer headerFiles.Unlock()
	if h.users--; h.users == 0 {
		delete(headerFiles.open, h.key)
		if h.fd >= 0 {
			_ = unix.Close(h.fd)
		}
	}
}

// read returns the header. ok is false when it cannot be read, and while somebody is writing it.
func (h *headerFile) read() (now walHeader, ok bool) {
	if h == nil || h.fd < 0 {
		return now, false
	}
	var twice [2 * len(now)]byte
	if n, err := unix.Pread(h.fd, twice[:], 0); err != nil || n < len(twice) {
		return now, false
	}
	copy(now[:], twice[:])
	return now, now == walHeader(twice[len(now):])
}
