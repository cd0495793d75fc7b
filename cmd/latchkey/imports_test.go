package main

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// listed is what go list says of a package.
type listed struct {
	ImportPath, Dir  string
	GoFiles, Imports []string
}

func listPackages(t *testing.T) map[string]listed {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Dir,GoFiles,Imports", "latchkey/...")
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	packages := map[string]listed{}
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		packages[strings.TrimPrefix(p.ImportPath, "latchkey/")] = p
	}
	if len(packages) < 15 {
		t.Fatalf("only %d packages were found", len(packages))
	}
	return packages
}

// parsed reads a file of a package.
func parsed(t *testing.T, p listed, file string) *ast.File {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, file), nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// imports lists the files of a package that import what begins with the prefix.
func imports(t *testing.T, p listed, prefix string) []string {
	t.Helper()
	var files []string
	for _, name := range p.GoFiles {
		for _, i := range parsed(t, p, name).Imports {
			if strings.HasPrefix(strings.Trim(i.Path.Value, `"`), prefix) {
				files = append(files, name)
			}
		}
	}
	return files
}

func TestTheHouseHasNoDoorsThatTheArchitectureDoesNotShow(t *testing.T) {
	t.Parallel()
	packages := listPackages(t)

	// What a room may import of ours. A sample application knows an issuer's URL and nothing else.
	allowed := map[string]string{
		"provider/oauth":    "",
		"provider/outbound": "",
		"keys":              "",
		"templates":         "",
		"clients":           "provider/oauth keys",
		"provider/storage":  "provider/oauth keys clients",
		"provider/access":   "provider/oauth clients provider/storage",
		"provider/people":   "provider/oauth clients provider/storage",
		"provider":          "provider/oauth provider/outbound provider/access provider/people provider/storage clients keys templates",

		"clients/webapp": "", "clients/spa": "", "clients/api": "", "clients/flaskapi": "", "clients/localhost": "", "clients/cli": "",
		"clients/cli/whoami": "clients/cli",
	}
	for name, list := range allowed {
		p, ok := packages[name]
		if !ok {
			t.Errorf("there is no package %s", name)
		}
		for _, i := range p.Imports {
			if own, ours := strings.CutPrefix(i, "latchkey/"); ours && !slices.Contains(strings.Fields(list), own) {
				t.Errorf("%s imports %s", name, own)
			}
		}
	}
	for name := range packages {
		if _, ok := allowed[name]; !ok && !strings.HasPrefix(name, "cmd/") && name != "docs" && !strings.HasPrefix(name, "clients/internal/") &&
			!strings.HasPrefix(name, "clients/interop") && name != "provider/storage/storagetest" {
			t.Errorf("%s is a new room: say here, and in docs/architecture.md, what it may import", name)
		}
		if name != "cmd/latchkey" && slices.Contains(packages[name].Imports, "latchkey/cmd/latchkey") {
			t.Errorf("%s imports the command", name)
		}
	}

	// Libraries that only certain files may know.
	for _, rule := range []struct {
		library string
		may     func(pkg, file string) bool
	}{
		{"go.mongodb.org/", func(pkg, file string) bool {
			return pkg == "provider/storage" && strings.HasPrefix(file, "mongo") || pkg == "provider/storage/storagetest" || pkg == "cmd/latchkey" && file == "demo_mongo.go"
		}},
		{"modernc.org/sqlite", func(pkg, file string) bool { return pkg == "provider/storage" && strings.HasPrefix(file, "sqlite") }},
		{"github.com/gorilla/sessions", func(pkg, file string) bool {
			return pkg == "provider" && (file == "browser.go" || file == "provider.go")
		}},
		{"github.com/gorilla/mux", func(pkg, file string) bool { return pkg == "provider" && (file == "routes.go" || file == "answer.go") }},
		{"github.com/go-jose/", func(pkg, _ string) bool {
			return pkg == "keys" || pkg == "clients/api" || pkg == "clients/webapp" || strings.HasPrefix(pkg, "clients/internal/")
		}},
		{"github.com/spf13/", func(pkg, _ string) bool { return pkg == "cmd/latchkey" }},
		{"go.yaml.in/", func(pkg, _ string) bool { return pkg == "cmd/latchkey" }},
		{"github.com/prometheus/", func(pkg, _ string) bool { return pkg == "provider" }},
		{"golang.org/x/oauth2", func(pkg, _ string) bool { return strings.HasPrefix(pkg, "clients/") || pkg == "cmd/latchkey" }},
		{"github.com/coreos/", func(pkg, _ string) bool { return strings.HasPrefix(pkg, "clients/") || pkg == "cmd/latchkey" }},
		{"net/http/pprof", func(string, string) bool { return false }},
		{"expvar", func(string, string) bool { return false }},
		{"os/signal", func(pkg, _ string) bool { return pkg == "cmd/latchkey" || pkg == "clients/cli/whoami" }},
		{"math/rand", func(string, string) bool { return false }},
	} {
		found := false
		for name, p := range packages {
			if !slices.ContainsFunc(p.Imports, func(i string) bool { return strings.HasPrefix(i, rule.library) }) {
				continue
			}
			for _, f := range imports(t, p, rule.library) {
				found = true
				if !rule.may(name, f) {
					t.Errorf("%s/%s imports %s", name, f, rule.library)
				}
			}
		}
		if !found && strings.Contains(rule.library, ".") {
			t.Errorf("nothing imports %s: the rule looks for the wrong thing", rule.library)
		}
	}
}

func TestOnlyTheCommandKnowsTheEnvironmentAndEndsTheProcess(t *testing.T) {
	t.Parallel()
	seen := 0
	for name, p := range listPackages(t) {
		// Programs of their own, what starts one, and what finds a database for tests.
		if name == "cmd/latchkey" || name == "clients/cli/whoami" || name == "clients/flaskapi" || strings.HasPrefix(name, "clients/internal/") || name == "provider/storage/storagetest" {
			continue
		}
		for _, file := range p.GoFiles {
			seen++
			ast.Inspect(parsed(t, p, file), func(n ast.Node) bool {
				sel, ok := n.(*ast.SelectorExpr)
				if !ok {
					return true
				}
				if x, ok := sel.X.(*ast.Ident); ok && x.Name == "os" && slices.Contains([]string{"Getenv", "LookupEnv", "Environ", "Exit", "Args", "Stdout", "Stderr", "Stdin"}, sel.Sel.Name) {
					t.Errorf("%s/%s uses os.%s", name, file, sel.Sel.Name)
				}
				return true
			})
		}
	}
	if seen < 50 {
		t.Errorf("only %d files were read", seen)
	}
}
