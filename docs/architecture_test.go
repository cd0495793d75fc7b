package docs

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

// goPackage is what go list says of a package.
type goPackage struct {
	ImportPath, Name, Dir             string
	Imports, Deps                     []string
	GoFiles, IgnoredGoFiles, CgoFiles []string
	TestImports, XTestImports         []string
}

const module = "latchkey/"

var goList = sync.OnceValues(func() ([]byte, error) {
	cmd := exec.Command("go", "list", "-json=ImportPath,Name,Dir,Imports,Deps,GoFiles,IgnoredGoFiles,CgoFiles,TestImports,XTestImports", "./...")
	cmd.Dir = ".."
	cmd.Stderr = os.Stderr
	return cmd.Output()
})

// packages asks go list for every package of the module.
func packages(t *testing.T) []goPackage {
	t.Helper()
	out, err := goList()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []goPackage
	d := json.NewDecoder(bytes.NewReader(out))
	for {
		var p goPackage
		err := d.Decode(&p)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(p.ImportPath, module) {
			p.ImportPath = strings.TrimPrefix(p.ImportPath, module)
			all = append(all, p)
		}
	}
	if len(all) < 10 {
		t.Fatalf("go list knows only %d packages of ours", len(all))
	}
	return all
}

var quoted = regexp.MustCompile("`([^`]+)`")

// rooms reads the table of docs/architecture.md: which package may import which of ours.
func rooms(t *testing.T) map[string][]string {
	t.Helper()
	text, err := os.ReadFile("architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	type row struct {
		names []string
		may   string
	}
	var rows []row
	for line := range strings.SplitSeq(string(text), "\n") {
		cells := strings.Split(line, "|")
		if len(cells) != 5 || !strings.Contains(cells[1], "`") {
			continue
		}
		var names []string
		for _, m := range quoted.FindAllStringSubmatch(cells[1], -1) {
			names = append(names, m[1])
		}
		// The other table, of cookies, has names that are no folders.
		if info, err := os.Stat(filepath.Join("..", names[0])); err != nil || !info.IsDir() {
			continue
		}
		rows = append(rows, row{names, strings.TrimSpace(cells[3])})
	}
	if len(rows) < 10 {
		t.Fatalf("the table has only %d rows that are read", len(rows))
	}
	var order []string
	for _, r := range rows {
		order = append(order, r.names...)
	}
	// A short name is the one package whose path ends in it.
	full := func(short string) string {
		for _, name := range order {
			if name == short || path.Base(name) == short {
				return name
			}
		}
		t.Errorf("the table says %q, which has no row", short)
		return short
	}
	may := map[string][]string{}
	for i, r := range rows {
		var allowed []string
		switch r.may {
		case "nothing of ours":
		case "everything below", "all of the following":
			for _, below := range rows[i+1:] {
				allowed = append(allowed, below.names...)
			}
		default:
			for _, m := range quoted.FindAllStringSubmatch(r.may, -1) {
				allowed = append(allowed, full(m[1]))
			}
			if len(allowed) == 0 {
				t.Errorf("%v: what does %q allow?", r.names, r.may)
			}
		}
		for _, name := range r.names {
			// The table is read from top to bottom: nothing imports what stands above it.
			for _, to := range allowed {
				if slices.Index(order, to) < slices.Index(order, name) {
					t.Errorf("%s may import %s, which stands above it", name, to)
				}
			}
			may[name] = allowed
		}
	}
	return may
}

// inNoProgram are packages that only tests import.
var inNoProgram = []string{"provider/storage/storagetest", "provider/providertest", "provider/testclock",
	"clients/internal/optest"}

func TestPackagesImportWhatTheArchitectureAllows(t *testing.T) {
	t.Parallel()
	may, edges := rooms(t), 0
	for _, p := range packages(t) {
		allowed, known := may[p.ImportPath]
		if !known {
			t.Errorf("%s has no row in docs/architecture.md", p.ImportPath)
			continue
		}
		for _, to := range p.Imports {
			to, ours := strings.CutPrefix(to, module)
			if !ours {
				continue
			}
			edges++
			if !slices.Contains(allowed, to) {
				t.Errorf("%s imports %s; docs/architecture.md allows it %q", p.ImportPath, to, allowed)
			}
		}
		if p.Name == "main" {
			for _, to := range p.Deps {
				if slices.Contains(inNoProgram, strings.TrimPrefix(to, module)) {
					t.Errorf("%s is part of the program %s", to, p.ImportPath)
				}
			}
		}
		// What a sample's tests use counts too: they show a reader how little it takes.
		sample := strings.HasPrefix(p.ImportPath, "clients/")
		for _, to := range slices.Concat(p.TestImports, p.XTestImports) {
			if to, ours := strings.CutPrefix(to, module); sample && ours && !strings.HasPrefix(to, "clients/") {
				t.Errorf("the tests of %s import %s", p.ImportPath, to)
			}
		}
	}
	if edges == 0 {
		t.Error("no package imports another")
	}
	for name := range may {
		if _, err := os.Stat(filepath.Join("..", name)); err != nil {
			t.Errorf("docs/architecture.md lists %s: %v", name, err)
		}
	}
}

func TestLibrariesAndTheEnvironmentAreNamedOnlyWhereTheyBelong(t *testing.T) {
	t.Parallel()
	for _, rule := range []struct {
		what    string
		find    *regexp.Regexp
		allowed []string // patterns of file names from the top
	}{
		{"mongo-driver", regexp.MustCompile(`"go\.mongodb\.org/mongo-driver/`),
			[]string{"provider/storage/mongo*.go", "provider/storage/storagetest/mongo*.go",
				"cmd/latchkey/demo_mongo.go", "cmd/bench/floor_mongo.go"}},
		{"gorilla/sessions", regexp.MustCompile(`"github\.com/gorilla/(sessions|securecookie)"`),
			[]string{"provider/web/site.go", "provider/web/cookies.go"}},
		{"gorilla/mux", regexp.MustCompile(`"github\.com/gorilla/mux"`), []string{"provider/routes.go",
			"provider/web/*.go", "cmd/bench/floor.go"}},
		{"SQLite", regexp.MustCompile(`"modernc\.org/sqlite`), []string{"provider/storage/sqlite*.go", "cmd/bench/floor_sqlite.go"}},
		// The samples are programs of their own: they hand their environment on, or are one.
		{"the environment, exit codes and signals", regexp.MustCompile(`\b(os\.(Getenv|LookupEnv|Environ|ExpandEnv|Exit)|signal\.Notify\w*|log\.Fatal\w*)\(`),
			[]string{"cmd/latchkey/main.go", "cmd/latchkey/failpoints.go", "cmd/bench/main.go", "clients/first/main.go", "clients/flaskapi/flaskapi.go", "clients/cli/whoami/main.go", "provider/storage/storagetest/*.go"}},
		// What main was given goes into one reader, so that a variable, a key of the file and a
		// flag are one thing.
		{"a variable of the configuration", regexp.MustCompile(`"LATCHKEY_[A-Z]*`),
			[]string{"cmd/latchkey/config/config.go", "clients/flaskapi/flaskapi.go", "provider/storage/storagetest/*.go"}},
	} {
		looked, found := 0, map[string]bool{}
		for _, p := range packages(t) {
			for _, f := range slices.Concat(p.GoFiles, p.IgnoredGoFiles, p.CgoFiles) {
				text, err := os.ReadFile(filepath.Join(p.Dir, f))
				if err != nil {
					t.Fatal(err)
				}
				looked++
				name := p.ImportPath + "/" + f
				if strings.HasSuffix(f, "_test.go") || !rule.find.Match(withoutComments(text)) {
					continue
				}
				fits := func(pattern string) bool { ok, err := path.Match(pattern, name); return ok && err == nil }
				if i := slices.IndexFunc(rule.allowed, fits); i >= 0 {
					found[rule.allowed[i]] = true
				} else {
					t.Errorf("%s is named in %s, and should be in %q alone", rule.what, name, rule.allowed)
				}
			}
		}
		if looked == 0 || len(found) == 0 {
			t.Errorf("%s: found nowhere, in %d files: what is looked for has another name by now", rule.what, looked)
		}
	}
}

var comment = regexp.MustCompile(`(?m)^\s*//.*$`)

func withoutComments(text []byte) []byte { return comment.ReplaceAll(text, nil) }
