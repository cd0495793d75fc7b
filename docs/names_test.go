package docs

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	testFunction = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark)[A-Z]\w*)\(`)
	namedTest    = regexp.MustCompile("`((?:Test|Fuzz|Benchmark)[A-Z]\\w*)`")
)

// pages returns the text of what is written about the project, by file name from the top.
func pages(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, pattern := range []string{"../*.md", "*.md", "decisions/*.md"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			all[strings.TrimPrefix(filepath.ToSlash(filepath.Join("docs", file)), "../")] = string(text)
		}
	}
	if len(all) < 10 {
		t.Fatalf("only %d pages found", len(all))
	}
	return all
}

func TestTestsThatAreNamedInTheDocumentationExist(t *testing.T) {
	t.Parallel()
	there := map[string]bool{}
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, m := range testFunction.FindAllStringSubmatch(string(text), -1) {
			there[m[1]] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	named := 0
	for file, text := range pages(t) {
		for _, m := range namedTest.FindAllStringSubmatch(text, -1) {
			named++
			if !there[m[1]] {
				t.Errorf("%s names %s, and there is no such test: name the one that proves the same", file, m[1])
			}
		}
	}
	if named < 50 {
		t.Errorf("only %d tests are named: docs/threat-model.md is read in another way than it is written", named)
	}
}

func TestPromisesOfTheThreatModelNameTheirTests(t *testing.T) {
	t.Parallel()
	text := pages(t)["docs/threat-model.md"]
	_, promises, ok := strings.Cut(text, "## Promises")
	promises, _, more := strings.Cut(promises, "\n## ")
	if !ok || !more {
		t.Fatal("docs/threat-model.md has no section of promises that ends")
	}
	rows := 0
	for line := range strings.SplitSeq(promises, "\n") {
		cells := strings.Split(line, "|")
		if len(cells) != 4 || strings.HasPrefix(line, "| ---") || strings.HasPrefix(line, "| promise") {
			continue
		}
		rows++
		if !namedTest.MatchString(cells[2]) {
			t.Errorf("no test is named for: %s", strings.TrimSpace(cells[1]))
		}
	}
	if rows < 20 {
		t.Errorf("%d promises", rows)
	}
}

// A link that leads nowhere is a page that moved.
func TestLinksBetweenThePagesLeadSomewhere(t *testing.T) {
	t.Parallel()
	link := regexp.MustCompile(`\]\(([^)#:\s]+)(?:#[^)\s]*)?\)`)
	for file, text := range pages(t) {
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			if _, err := os.Stat(filepath.Join("..", filepath.Dir(file), m[1])); err != nil {
				t.Errorf("%s links to %s, which is not there", file, m[1])
			}
		}
	}
}

func TestTheIndexOfDecisionsListsEachWithStatusAndDate(t *testing.T) {
	t.Parallel()
	index, err := os.ReadFile("decisions/README.md")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("decisions/[0-9]*.md")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d decisions, %v", len(files), err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Base(file)
		number := strings.TrimLeft(name[:4], "0")
		title, _, _ := strings.Cut(strings.TrimPrefix(string(text), "# "+number+". "), "\n")
		row := regexp.MustCompile(`(?m)^\| \[` + number + `\]\(` + regexp.QuoteMeta(name) + `\) \| ` +
			regexp.QuoteMeta(title) +
			` \| (in force|replaced by \d+) \| \d{4}-\d\d-\d\d \|$`)
		if strings.HasPrefix(title, "#") || !row.Match(index) {
			t.Errorf("decisions/README.md has no row like this: | [%s](%s) | %s | in force | 2006-01-02 |", number,
				name, title)
		}
	}
}
