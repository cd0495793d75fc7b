package keys

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

const maxMasterKeyFile = 4 << 10

// CreateMasterKey makes a random master key of 32 bytes and keeps it, base64, in a file that only
// its owner can read (0600, in a directory that is made 0700 if it is missing). It is on disk when
// the call returns. If the file is there already, also because another process made it at this
// moment, its key is read and returned: all callers end with the same key.
func CreateMasterKey(path string) ([]byte, error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("create the directory of the master key: %w", err)
	}
	if _, err := os.Lstat(path); err == nil {
		return ReadMasterKey(path)
	}
	key := random(MinMasterKey)

	// The key is complete under another name before it appears under its own, because the process
	// that loses a race reads the winner's file at once. A hard link, unlike a rename, never
	// replaces what is there.
	f, err := os.CreateTemp(dir, ".master-*") // 0600, O_EXCL
	if err != nil {
		return nil, fmt.Errorf("create the master key: %w", err)
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if _, err := fmt.Fprintln(f, base64.StdEncoding.EncodeToString(key)); err != nil {
		return nil, fmt.Errorf("write the master key: %w", err)
	}
	if err := f.Sync(); err != nil {
		return nil, fmt.Errorf("write the master key: %w", err)
	}
	if err := os.Link(f.Name(), path); errors.Is(err, fs.ErrExist) {
		return ReadMasterKey(path)
	} else if err != nil {
		return nil, fmt.Errorf("create the master key: %w", err)
	}
	return key, syncDirectory(dir)
}

// ReplaceMasterKey puts the file fresh in place of the file path, and keeps the old one as path.ID,
// with its MasterKeyID. There is a master key at path at every moment. Interrupted, it can be
// called again; if it was done already, it does nothing.
func ReplaceMasterKey(path, fresh string) error {
	old, err := ReadMasterKey(path)
	if err != nil {
		return err
	}
	key, err := ReadMasterKey(fresh)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if id := MasterKeyID(old); id != MasterKeyID(key) {
		if err := os.Link(path, path+"."+id); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("keep the old master key: %w", err)
		}
	}
	if err := os.Rename(fresh, path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("replace the master key: %w", err)
	}
	return syncDirectory(filepath.Dir(path))
}

// syncDirectory writes the names in a directory to disk.
func syncDirectory(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return nil // a directory that cannot be read was written all the same
	}
	defer d.Close()
	if err := d.Sync(); err != nil && runtime.GOOS != "windows" {
		return fmt.Errorf("write the directory of the master key: %w", err)
	}
	return nil
}

// ReadMasterKey reads a master key from a file. It refuses a file that others than its owner can
// read, and whatever ParseMasterKey refuses. fs.ErrNotExist is in the error's chain when there is
// no file.
func ReadMasterKey(path string) ([]byte, error) {
	f, err := OpenSecret(path)
	if err != nil {
		return nil, fmt.Errorf("read the master key: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("read the master key: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("master key %s is not a file", path)
	}
	if perm := info.Mode().Perm(); Exposed(f, info, 0o077) {
		return nil, fmt.Errorf("master key %s can be read or written by others (mode %04o); run: chmod 600 %s",
			path, perm, path)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxMasterKeyFile+1))
	if err != nil {
		return nil, fmt.Errorf("read the master key: %w", err)
	}
	if len(text) > maxMasterKeyFile {
		return nil, fmt.Errorf("master key %s is larger than %d bytes: it is something else", path, maxMasterKeyFile)
	}
	key, err := ParseMasterKey(string(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return key, nil
}

// ParseMasterKey reads a master key as it is written in a file or an environment variable: base64
// (plain or URL-safe, with or without padding) of 32 to 64 random bytes. Text, repetitions and
// counting sequences are refused: they come from examples. No error repeats the value.
func ParseMasterKey(text string) ([]byte, error) {
	const remedy = "put the right one back, or for a new database make one with: openssl rand -base64 32"
	text = strings.TrimSpace(text)
	if text == "" {
		return nil, errors.New("the master key is empty; " + remedy)
	}
	if strings.Trim(strings.ToLower(text), "0123456789abcdef") == "" {
		return nil, errors.New("the master key is hexadecimal, not base64; " + remedy)
	}
	plain := strings.TrimRight(strings.NewReplacer("-", "+", "_", "/").Replace(text), "=")
	if len(text)-len(plain) > 2 || strings.ContainsAny(plain, "\r\n") {
		return nil, errors.New("the master key is not base64; " + remedy)
	}
	key, err := base64.RawStdEncoding.Strict().DecodeString(plain)
	if err != nil {
		return nil, errors.New("the master key is not base64; " + remedy)
	}
	if len(key) < MinMasterKey {
		return nil, fmt.Errorf("the master key has %d bytes, it needs at least %d; %s", len(key), MinMasterKey, remedy)
	}
	if len(key) > 64 {
		return nil, fmt.Errorf("the master key has %d bytes, more than 64: it is something else; %s", len(key), remedy)
	}
	if looksMade(key) {
		return nil, errors.New("the master key is text or a pattern, not random bytes; " + remedy)
	}
	return key, nil
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b) // never fails: crypto/rand ends the program first
	return b
}

// looksMade recognises what people write by hand. Of random keys one in 10^13 looks like this.
func looksMade(key []byte) bool {
	printable, steps := true, map[byte]bool{}
	distinct := map[byte]bool{}
	for i, b := range key {
		printable = printable && b >= 0x20 && b < 0x7f
		distinct[b] = true
		if i > 0 {
			steps[b-key[i-1]] = true
		}
	}
	return printable || len(distinct) < 12 || len(steps) < 4
}
