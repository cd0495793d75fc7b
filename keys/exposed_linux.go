package keys

import (
	"os"

	"golang.org/x/sys/unix"
)

// readOnlyMount asks about the open file: what is at its path may be another one by now.
func readOnlyMount(f *os.File) bool {
	var at unix.Statfs_t
	return unix.Fstatfs(int(f.Fd()), &at) == nil && at.Flags&unix.ST_RDONLY != 0
}
