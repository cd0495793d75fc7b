package keys

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"time"
)

// Exposed reports whether an open file with a secret can be read or written by whom it should not:
// those that the bits of its mode stand for, such as 0o077. A file on a mount that is read-only is
// never exposed: Kubernetes, Swarm and systemd put secrets into the one place that is to have them,
// with a mode that nobody there can change.
func Exposed(f *os.File, info fs.FileInfo, bits fs.FileMode) bool {
	return runtime.GOOS != "windows" && info.Mode().Perm()&bits != 0 && !readOnlyMount(f)
}

// How long OpenSecret waits for a file behind a link that leads nowhere, and how often it looks.
const (
	secretPatience = 2 * time.Second
	secretLook     = 20 * time.Millisecond
)

// OpenSecret opens a file with a secret. Where secrets are mounted, a path is often a link to a link
// to a folder that is replaced as a whole when the secret changes (Kubernetes' ..data): who follows
// it at that moment may find nothing at its end. Then it is tried again, for two seconds at most.
// fs.ErrNotExist is in the error's chain if there is no such file.
func OpenSecret(path string) (*os.File, error) {
	return openSecret(path, func() { time.Sleep(secretLook) })
}

func openSecret(path string, pause func()) (*os.File, error) {
	for began := time.Now(); ; pause() {
		f, err := os.Open(path)
		if !errors.Is(err, fs.ErrNotExist) || time.Since(began) > secretPatience || !linked(path) {
			return f, err
		}
	}
}

// linked reports whether the file, or the folder that it lies in, is a link.
func linked(path string) bool {
	for _, at := range []string{path, filepath.Dir(path)} {
		if info, err := os.Lstat(at); err == nil && info.Mode()&fs.ModeSymlink != 0 {
			return true
		}
	}
	return false
}
