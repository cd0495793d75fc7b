package keys

import (
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

func TestSecretsOnReadOnlyMountsMayHaveAnyMode(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("mounts are looked at on Linux alone")
	}
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for mode, want := range map[fs.FileMode]bool{0o600: false, 0o640: true, 0o644: true} {
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		if Exposed(file, info, 0o077) != want {
			t.Errorf("mode %o: exposed: %v", mode, !want)
		}
	}
	// A mount that is read-only wherever there is /sys in a container, as secrets are.
	const sys = "/sys/kernel/mm/transparent_hugepage/enabled"
	info, err := os.Stat(sys)
	if err != nil || !readOnlyMount(sys) {
		t.Skip("no mount here is known to be read-only")
	}
	if Exposed(sys, info, 0o077) {
		t.Error("a file on a read-only mount counts as exposed")
	}
}
