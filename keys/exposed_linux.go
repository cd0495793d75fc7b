package keys

import "golang.org/x/sys/unix"

func readOnlyMount(path string) bool {
	var at unix.Statfs_t
	return unix.Statfs(path, &at) == nil && at.Flags&unix.ST_RDONLY != 0
}
