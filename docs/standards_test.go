package docs

import (
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false,
	"write docs/standards.md anew from the citations in the code; departures are kept")

// A citation names a standard and one or several of its sections: RFC 6749 §4.1.2.1, §5.2.
var citation = regexp.MustCompile(`(RFC ?\d{4}(?:bis)?|(?:OIDC|OpenID Connect) (?:Core|Discovery|Registration|Session Management)|(?:OIDC )?(?:Session Management|(?:RP-Initiated|Back-Channel|Front-Channel) Logout)|OAuth 2\.0 (?:Multiple Response Type Encoding Practices|Form Post Response Mode)|OAuth Form Post) ((?:§[0-9A-Z](?:[0-9.]*[0-9])?(?:,? (?:and )?)?)+)`)

var section = regexp.MustCompile(`§[0-9A-Z](?:[0-9.]*[0-9])?`)

// names that mean the same standard.
var canonical = strings.NewReplacer("OpenID Connect ", "OIDC ", "OAuth Form Post", "OAuth 2.0 Form Post Response Mode",
	"OIDC Session Management", "Session Management",
	"OIDC RP-Initiated", "RP-Initiated", "OIDC Back-Channel", "Back-Channel", "OIDC Front-Channel", "Front-Channel")

type citations struct{ code, tests map[string][]string }

func collect(t *testing.T) citations {
	t.Helper()
	c := citations{map[string][]string{}, map[string][]string{}}
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() && (name == "testdata" || name == ".git" || name == "bin") {
			return filepath.SkipDir
		}
		if d.IsDir() || !slices.Contains([]string{".go", ".js", ".py", ".html"}, filepath.Ext(name)) {
			return nil
		}
		rel, err := filepath.Rel("..", path)
		if err != nil || rel == "docs/standards_test.go" {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		into := c.code
		if strings.HasSuffix(name, "_test.go") {
			into = c.tests
		}
		for _, m := range citation.FindAllStringSubmatch(string(text), -1) {
			for _, s := range section.FindAllString(m[2], -1) {
				key := canonical.Replace(m[1]) + " " + s
				if !slices.Contains(into[key], rel) {
					into[key] = append(into[key], rel)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(c.code) < 20 {
		t.Fatalf("only %d citations found in the code: the search looks in the wrong place", len(c.code))
	}
	return c
}

type row struct{ where, tests, departure string }

var line = regexp.MustCompile(`(?m)^\| ([^|]+ §[^|]+) \| ([^|]*) \| ([^|]*) \| ([^|]*) \|$`)

func listed(text string) map[string]row {
	rows := map[string]row{}
	for _, m := range line.FindAllStringSubmatch(text, -1) {
		rows[strings.TrimSpace(m[1])] = row{strings.TrimSpace(m[2]), strings.TrimSpace(m[3]), strings.TrimSpace(m[4])}
	}
	return rows
}

func TestStandardsTableListsWhatTheCodeCitesAndNothingElse(t *testing.T) {
	c := collect(t)
	text, err := os.ReadFile("standards.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := listed(string(text))
	want := map[string]row{}
	for key, files := range c.code {
		want[key] = row{code(files), code(c.tests[key]), rows[key].departure}
	}
	if *update {
		head, _, ok := strings.Cut(string(text), "| section |")
		if !ok {
			t.Fatal("standards.md has no table")
		}
		var b strings.Builder
		b.WriteString(head + "| section | where | proved in | departures |\n| --- | --- | --- | --- |\n")
		for _, key := range slices.SortedFunc(maps.Keys(want), compareSections) {
			r := want[key]
			fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", key, r.where, r.tests, r.departure)
		}
		if err := os.WriteFile("standards.md", []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	for key, w := range want {
		if got, ok := rows[key]; !ok {
			t.Errorf("%s is cited in %s, but not listed in docs/standards.md", key, w.where)
		} else if got != w {
			t.Errorf("%s: docs/standards.md says %q, %q; the code says %q, %q", key, got.where, got.tests, w.where,
				w.tests)
		}
	}
	for key := range rows {
		if _, ok := want[key]; !ok {
			t.Errorf("%s is listed in docs/standards.md, but cited nowhere in the code", key)
		}
	}
	if t.Failed() {
		t.Log("go test ./docs -run Standards -update writes the table anew; it keeps the departures")
	}
}

func code(files []string) string {
	var out []string
	for _, f := range slices.Sorted(slices.Values(files)) {
		out = append(out, "`"+f+"`")
	}
	return strings.Join(out, " ")
}

// compareSections orders by standard, then by section number.
func compareSections(a, b string) int {
	sa, na, _ := strings.Cut(a, " §")
	sb, nb, _ := strings.Cut(b, " §")
	if sa != sb {
		return strings.Compare(sa, sb)
	}
	pa, pb := strings.Split(na, "."), strings.Split(nb, ".")
	for i := range min(len(pa), len(pb)) {
		x, errX := strconv.Atoi(pa[i])
		y, errY := strconv.Atoi(pb[i])
		if errX != nil || errY != nil {
			if d := strings.Compare(pa[i], pb[i]); d != 0 {
				return d
			}
		} else if x != y {
			return x - y
		}
	}
	return len(pa) - len(pb)
}
