package interop

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// installed returns the folder that a list of libraries is installed in. What was installed once
// for the same list is used again; what was not is installed if LATCHKEY_TEST_CACHE says where, so
// that a plain go test fetches nothing. Of install the test gets an empty folder.
func installed(t testing.TB, what string, lists []string, install func(folder string) *exec.Cmd) string {
	t.Helper()
	h := sha256.New()
	for _, list := range lists {
		text, err := os.ReadFile(list)
		if err != nil {
			t.Fatal(err)
		}
		h.Write(text)
	}
	cache := os.Getenv("LATCHKEY_TEST_CACHE")
	mayInstall := cache != ""
	if !mayInstall {
		base, err := os.UserCacheDir()
		if err != nil {
			missing(t, "no place for "+what+": "+err.Error())
		}
		cache = filepath.Join(base, "latchkey")
	}
	folder := filepath.Join(cache, "interop-"+what+"-"+hex.EncodeToString(h.Sum(nil)[:8]))
	if _, err := os.Stat(filepath.Join(folder, "complete")); err == nil {
		return folder
	}
	if !mayInstall {
		missing(t, "the libraries for "+what+" are not installed; make test does it")
	}
	if err := os.RemoveAll(folder); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := install(folder).CombinedOutput(); err != nil {
		missing(t, "cannot install the libraries for "+what+": "+err.Error()+": "+strings.Join(strings.Fields(string(out)), " "))
	}
	if err := os.WriteFile(filepath.Join(folder, "complete"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	return folder
}

var installing sync.Mutex

// node returns Node.js and the folder that has node_modules.
func node(t testing.TB) (program, folder string) {
	t.Helper()
	program, err := exec.LookPath("node")
	if err == nil {
		_, err = exec.LookPath("npm")
	}
	if err != nil {
		missing(t, "no Node.js with npm: the clients for it are not tested; apt-get install nodejs npm")
	}
	installing.Lock()
	defer installing.Unlock()
	return program, installed(t, "node", []string{"package.json", "package-lock.json"}, func(folder string) *exec.Cmd {
		for _, name := range []string{"package.json", "package-lock.json"} {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(folder, name), text, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		cmd := exec.Command("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
		cmd.Dir = folder
		return cmd
	})
}

// runnable copies a script beside its libraries' folder, which is where Node.js looks for them, and
// returns its path.
func runnable(t testing.TB, folder, script string) string {
	t.Helper()
	text, err := os.ReadFile(script)
	if err != nil {
		t.Fatal(err)
	}
	own := t.TempDir()
	if err := os.Symlink(filepath.Join(folder, "node_modules"), filepath.Join(own, "node_modules")); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(own, filepath.Base(script))
	if err := os.WriteFile(path, text, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// python returns a Python that has the libraries.
func python(t testing.TB) string {
	t.Helper()
	path, err := exec.LookPath("python3")
	if err == nil {
		err = exec.Command(path, "-c", "import venv, ensurepip").Run()
	}
	if err != nil {
		missing(t, "no Python with venv: the clients for it are not tested; apt-get install python3 python3-venv")
	}
	installing.Lock()
	defer installing.Unlock()
	list, err := filepath.Abs("requirements.txt")
	if err != nil {
		t.Fatal(err)
	}
	folder := installed(t, "python", []string{list}, func(folder string) *exec.Cmd {
		return exec.Command("sh", "-c", `"$1" -m venv "$2/venv" && "$2/venv/bin/python" -m pip install -q --disable-pip-version-check -r "$3"`, "sh", path, folder, list)
	})
	return filepath.Join(folder, "venv", "bin", "python")
}
