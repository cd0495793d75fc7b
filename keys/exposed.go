package keys

import (
	"io/fs"
	"runtime"
)

// Exposed reports whether a file with a secret can be read or written by whom it should not: those
// that the bits of its mode stand for, such as 0o077. A file on a mount that is read-only is never
// exposed: Kubernetes, Swarm and systemd put secrets into the one place that is to have them, with
// a mode that nobody there can change.
func Exposed(path string, info fs.FileInfo, bits fs.FileMode) bool {
	return runtime.GOOS != "windows" && info.Mode().Perm()&bits != 0 && !readOnlyMount(path)
}
