package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestABackupIsADatabaseToGoOnWith(t *testing.T) {
	t.Parallel()
	data, restored := t.TempDir(), t.TempDir()
	succeed(t, testPassword, "user", "create", "ada", "--email", "a@example.com", "--password-stdin", "--data", data)
	succeed(t, "", "backup", filepath.Join(restored, "latchkey.db"), "--data", data)
	succeed(t, testPassword, "user", "create", "bob", "--email", "b@example.com", "--password-stdin", "--data", data)

	if r := latchkey(t, "", nil, "user", "list", "--data", restored); r.code == 0 {
		t.Errorf("the copy opens without the master key: %s", r.stdout)
	}
	key, err := os.ReadFile(filepath.Join(data, "master.key"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(restored, "master.key"), key, 0o600); err != nil {
		t.Fatal(err)
	}
	if list := succeed(t, "", "user", "list", "--data", restored); !strings.Contains(list, "ada") || strings.Contains(list, "bob") {
		t.Errorf("the copy has: %s", list)
	}
	if info, err := os.Stat(filepath.Join(restored, "latchkey.db")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
	// Nothing is overwritten, not even by accident.
	if r := latchkey(t, "", nil, "backup", filepath.Join(restored, "latchkey.db"), "--data", data); r.code == 0 {
		t.Errorf("an existing file was overwritten: %s", r.stdout)
	}
}
