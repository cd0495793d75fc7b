package keys

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func TestSealedValuesOpenOnlyInTheirRow(t *testing.T) {
	t.Parallel()
	s := testSealer(t)
	plain := []byte("a client secret")
	sealed, err := s.Seal(plain, "client:a")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := s.Open(sealed, "client:a"); err != nil || !bytes.Equal(got, plain) {
		t.Fatalf("Open = %q, %v", got, err)
	}
	again, err := s.Seal(plain, "client:a")
	if err != nil || bytes.Equal(sealed, again) {
		t.Fatal("sealing the same value twice gives the same bytes: the nonce repeats")
	}
	if bytes.Contains(sealed, plain) {
		t.Fatal("the sealed value shows the plain one")
	}
	if _, err := s.Open(sealed, "client:b"); !errors.Is(err, ErrSealed) {
		t.Errorf("moved to another row: %v", err)
	}
	for i := range sealed {
		bad := bytes.Clone(sealed)
		bad[i] ^= 1
		if _, err := s.Open(bad, "client:a"); !errors.Is(err, ErrSealed) {
			t.Errorf("byte %d changed: %v", i, err)
		}
	}
	for n := range sealed {
		if _, err := s.Open(sealed[:n], "client:a"); !errors.Is(err, ErrSealed) {
			t.Errorf("cut to %d bytes: %v", n, err)
		}
	}
	other, err := NewSealer([]byte("another master key, of a length that will do"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Open(sealed, "client:a"); !errors.Is(err, ErrSealed) {
		t.Errorf("another master key: %v", err)
	}
	if _, err := NewSealer(make([]byte, 31)); err == nil {
		t.Error("a short master key was accepted")
	}
}

func TestDerivedKeysDependOnMasterKeyAndLabel(t *testing.T) {
	t.Parallel()
	s := testSealer(t)
	if len(s.Derive("cookie", 64)) != 64 || !bytes.Equal(s.Derive("cookie", 32), s.Derive("cookie", 32)) {
		t.Fatal("Derive is not a function of its label")
	}
	other, err := NewSealer([]byte("another master key, of a length that will do"))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(s.Derive("cookie", 32), s.Derive("csrf", 32)) || bytes.Equal(s.Derive("cookie", 32),
		other.Derive("cookie", 32)) {
		t.Fatal("two purposes share a key")
	}
}

func TestMasterKeyFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "new", "master.key")
	var wait sync.WaitGroup
	made := make([][]byte, 32)
	for i := range made {
		wait.Go(func() {
			key, err := CreateMasterKey(path)
			if err != nil {
				t.Error(err)
			}
			made[i] = key
		})
	}
	wait.Wait()
	for _, key := range made {
		if !bytes.Equal(key, made[0]) || len(key) != 32 {
			t.Fatal("racing creators ended with different keys")
		}
	}
	if key, err := ReadMasterKey(path); err != nil || !bytes.Equal(key, made[0]) {
		t.Fatalf("ReadMasterKey = %d bytes, %v", len(key), err)
	}
	file, err := os.Stat(path)
	if err != nil || file.Mode().Perm() != 0o600 {
		t.Errorf("mode of the file: %v, %v", file.Mode(), err)
	}
	dir, err := os.Stat(filepath.Dir(path))
	if err != nil || dir.Mode().Perm() != 0o700 {
		t.Errorf("mode of the directory: %v, %v", dir.Mode(), err)
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Errorf("something was left beside the key: %v, %v", entries, err)
	}
	for _, mode := range []os.FileMode{0o640, 0o604, 0o620, 0o644} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadMasterKey(path); err == nil || !strings.Contains(err.Error(), "chmod 600") {
			t.Errorf("mode %o: %v", mode, err)
		}
	}
	if _, err := CreateMasterKey(path); err == nil {
		t.Error("CreateMasterKey took a file that others can read")
	}
	if _, err := ReadMasterKey(filepath.Join(t.TempDir(), "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	if _, err := ReadMasterKey(t.TempDir()); err == nil {
		t.Error("a directory was read as a key")
	}
}

func TestMasterKeysThatAreRefused(t *testing.T) {
	t.Parallel()
	b64 := base64.StdEncoding.EncodeToString
	count := make([]byte, 32)
	for i := range count {
		count[i] = byte(i)
	}
	for name, text := range map[string]string{
		"empty":           " \n",
		"not base64":      "change-me please, this is not a key!",
		"short":           b64(random(31)),
		"long":            b64(random(65)),
		"zero":            b64(make([]byte, 32)),
		"one byte":        b64(bytes.Repeat([]byte{0xa5}, 32)),
		"counting":        b64(count),
		"two by two":      b64(bytes.Repeat([]byte{1, 0xf2}, 16)),
		"text":            b64([]byte("this-is-an-example-do-not-use-it")),
		"hex text":        "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
		"two lines":       b64(random(32)) + "\n" + b64(random(32)),
		"broken in lines": b64(random(24)) + "\n" + b64(random(24)),
		"much padding":    b64(random(33)) + "====",
	} {
		if _, err := ParseMasterKey(text); err == nil {
			t.Errorf("%s: accepted", name)
		} else if len(text) > 20 && strings.Contains(err.Error(), text[:20]) {
			t.Errorf("%s: the error repeats the value", name)
		}
	}
	key := random(32)
	for _, enc := range []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding,
		base64.RawURLEncoding} {
		if got, err := ParseMasterKey("\n " + enc.EncodeToString(key) + "\r\n"); err != nil || !bytes.Equal(got, key) {
			t.Errorf("%s: %v", enc.EncodeToString(key), err)
		}
	}
}

func FuzzParseMasterKey(f *testing.F) {
	f.Add("")
	f.Add(base64.StdEncoding.EncodeToString(random(32)))
	f.Add("AAAA====")
	f.Fuzz(func(t *testing.T, text string) {
		key, err := ParseMasterKey(text)
		if err != nil {
			return
		}
		again, err := ParseMasterKey(base64.StdEncoding.EncodeToString(key))
		if err != nil || !bytes.Equal(key, again) || len(key) < MinMasterKey {
			t.Fatalf("%q parses, but what it means does not: %v", text, err)
		}
	})
}
