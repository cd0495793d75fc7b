package docs

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

const (
	commentWidth = 100
	codeWidth    = 120
	tabWidth     = 4
)

// widths is what testdata/width.json holds: the share of lines that are wider than they should be,
// in percent of all lines of their kind, with two decimals.
type widths struct {
	Comments float64 `json:"comments_over_100"`
	Code     float64 `json:"code_over_120"`
}

// lineKind counts lines of comment or code, and remembers in which files the wide ones are.
type lineKind struct {
	all, wide int
	in        map[string]int
}

func (k *lineKind) count(file string, width, limit int) {
	k.all++
	if width > limit {
		k.wide++
		k.in[file]++
	}
}

func (k *lineKind) share() float64 { return math.Ceil(float64(k.wide)/float64(k.all)*10_000) / 100 }

// worst names the five files with the most wide lines.
func (k *lineKind) worst() string {
	files := make([]string, 0, len(k.in))
	for f := range k.in {
		files = append(files, f)
	}
	slices.SortFunc(files, func(a, b string) int { return k.in[b] - k.in[a] })
	for i, f := range files {
		files[i] = fmt.Sprintf("%s %d", f, k.in[f])
	}
	return strings.Join(files[:min(5, len(files))], ", ")
}

// TestLinesGetNoWider lets the share of wide lines only fall. -update writes down a share that
// fell.
func TestLinesGetNoWider(t *testing.T) {
	t.Parallel()
	comments, code := lineKind{in: map[string]int{}}, lineKind{in: map[string]int{}}
	directive := regexp.MustCompile(`^//[a-z]+:`)
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "testdata" || d.Name() == "node_modules" || d.Name() != ".." &&
			strings.HasPrefix(d.Name(), ".")) {
			return filepath.SkipDir
		}
		if d.IsDir() || filepath.Ext(path) != ".go" {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		file := strings.TrimPrefix(filepath.ToSlash(path), "../")
		for line := range strings.Lines(string(text)) {
			line = strings.TrimRight(line, "\n")
			bare := strings.TrimLeft(line, "\t ")
			width := utf8.RuneCountInString(line) + (tabWidth-1)*strings.Count(line, "\t")
			switch {
			case bare == "" || directive.MatchString(bare):
			case strings.HasPrefix(bare, "//"):
				comments.count(file, width, commentWidth)
			default:
				code.count(file, width, codeWidth)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if comments.all < 1000 || code.all < 10_000 {
		t.Fatalf("only %d lines of comment and %d of code were found", comments.all, code.all)
	}
	name := filepath.Join("testdata", "width.json")
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var before widths
	if err := json.Unmarshal(text, &before); err != nil {
		t.Fatal(err)
	}
	now := widths{Comments: comments.share(), Code: code.share()}
	t.Logf("comments over %d columns: %d of %d, %.2f %%", commentWidth, comments.wide, comments.all, now.Comments)
	t.Logf("code over %d columns: %d of %d, %.2f %%", codeWidth, code.wide, code.all, now.Code)
	if now.Comments > before.Comments {
		t.Errorf("%.2f %% of the lines of comment are over %d columns, %.2f %% were: wrap those that you wrote. Most are in %s",
			now.Comments, commentWidth, before.Comments, comments.worst())
	}
	if now.Code > before.Code {
		t.Errorf("%.2f %% of the lines of code are over %d columns, %.2f %% were: wrap those that you wrote. Most are in %s",
			now.Code, codeWidth, before.Code, code.worst())
	}
	if *update && !t.Failed() {
		text, err := json.MarshalIndent(now, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, append(text, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
