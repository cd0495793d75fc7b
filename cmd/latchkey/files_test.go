package main

import (
	"os"
	"path/filepath"
	"testing"
)

// otherKey is a master key that belongs to no database here.
const otherKey = "u6vbPp5XvFgRLw2kKfyqXhGqz0oJ8Jm9o0O1f3b3l2E="

func remove(t testing.TB, file string) {
	t.Helper()
	if err := os.RemoveAll(file); err != nil {
		t.Fatal(err)
	}
}

func mkdir(t testing.TB, name string) {
	t.Helper()
	if err := os.Mkdir(name, 0o700); err != nil {
		t.Fatal(err)
	}
}

func rewrite(t testing.TB, file, text string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(file, mode); err != nil {
		t.Fatal(err)
	}
}

// seeded makes sure that there is a database in the folder.
func seeded(t testing.TB, data string) string {
	t.Helper()
	if _, err := os.Stat(filepath.Join(data, "latchkey.db")); err != nil {
		succeed(t, "", "init", "--data", data, "--config", filepath.Join(t.TempDir(), "latchkey.yaml"))
	}
	return data
}
