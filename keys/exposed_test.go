package keys

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

func TestSecretsThatOthersCanReadAreExposed(t *testing.T) {
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
		f, info := opened(t, file)
		if Exposed(f, info, 0o077) != want {
			t.Errorf("mode %o: exposed: %v", mode, !want)
		}
	}
}

func opened(t *testing.T, path string) (*os.File, fs.FileInfo) {
	t.Helper()
	f, err := OpenSecret(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	return f, info
}

// Kubernetes puts a new folder beside the old one, lets the link ..data lead to it, and removes the
// old one: whoever has followed the link before that finds nothing.
func TestASecretIsReadAgainWhenItsMountIsBeingUpdated(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("not every user may make links there")
	}
	mount := t.TempDir()
	path := filepath.Join(mount, "secret")
	if err := errors.Join(os.Symlink("..2026_1", filepath.Join(mount, "..data")),
		os.Symlink(filepath.Join("..data", "secret"), path)); err != nil {
		t.Fatal(err)
	}
	waited := 0
	f, err := openSecret(path, func() {
		waited++
		if err := errors.Join(os.Mkdir(filepath.Join(mount, "..2026_2"), 0o700),
			os.WriteFile(filepath.Join(mount, "..2026_2", "secret"), []byte("x"), 0o600),
			os.Symlink("..2026_2", filepath.Join(mount, "..data_tmp")),
			os.Rename(filepath.Join(mount, "..data_tmp"), filepath.Join(mount, "..data"))); err != nil {
			t.Fatal(err)
		}
	})
	if err != nil || waited != 1 {
		t.Fatalf("waited %d times: %v", waited, err)
	}
	_ = f.Close()
	for name, want := range map[string]bool{"another": false, "secret": true} {
		_ = os.Remove(filepath.Join(mount, "..2026_2", "secret"))
		waited := false
		_, err := openSecret(filepath.Join(mount, name), func() {
			if waited = true; os.Remove(path) != nil {
				t.Error("it looks for a link that is gone")
			}
		})
		if !errors.Is(err, fs.ErrNotExist) || waited != want {
			t.Errorf("%s: waited %t, %v", name, waited, err)
		}
	}
}

// The test runs itself again where a folder is mounted read-only, as secrets are: in a mount
// namespace of its own, which root can make, and others where user namespaces are allowed.
func TestSecretsOnReadOnlyMountsMayHaveAnyMode(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("mounts are looked at on Linux alone")
	}
	if file := os.Getenv("LATCHKEY_TEST_READ_ONLY"); file != "" {
		f, info := opened(t, file)
		if !readOnlyMount(f) || Exposed(f, info, 0o077) {
			t.Error("a file on a read-only mount counts as exposed")
		}
		return
	}
	folder := t.TempDir()
	file := filepath.Join(folder, "secret")
	if err := os.WriteFile(file, nil, 0o644); err != nil { //nolint:gosec // it is to be readable
		t.Fatal(err)
	}
	if f, _ := opened(t, file); readOnlyMount(f) {
		t.Fatal("a folder that can be written counts as read-only")
	}
	const script = `mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" || exit 77; LATCHKEY_TEST_READ_ONLY="$1/secret" exec "$2" -test.run "^$3$"`
	var said []byte
	for _, unshare := range [][]string{{"unshare", "--mount"}, {"unshare", "--mount", "--map-root-user"},
		{"sudo", "-n", "unshare", "--mount"}} {
		args := append(slices.Clone(unshare), "sh", "-c", script, "sh", folder, os.Args[0], t.Name())
		out, err := exec.CommandContext(t.Context(), args[0], args[1:]...).CombinedOutput() //nolint:gosec // ours
		if err == nil {
			return
		}
		if strings.Contains(string(out), "--- FAIL") {
			t.Fatalf("%s", out)
		}
		said = append(said, out...)
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("no mount namespace can be made here: %s", said)
	}
	t.Skipf("no mount namespace can be made here: %s", said)
}
