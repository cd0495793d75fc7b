package keys

import (
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
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		if Exposed(file, info, 0o077) != want {
			t.Errorf("mode %o: exposed: %v", mode, !want)
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
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		if !readOnlyMount(file) || Exposed(file, info, 0o077) {
			t.Error("a file on a read-only mount counts as exposed")
		}
		return
	}
	folder := t.TempDir()
	file := filepath.Join(folder, "secret")
	if err := os.WriteFile(file, nil, 0o644); err != nil { //nolint:gosec // it is to be readable
		t.Fatal(err)
	}
	if readOnlyMount(file) {
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
