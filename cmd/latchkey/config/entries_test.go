package config

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"
)

type testEntry struct {
	Name  string   `json:"name"`
	Texts []string `json:"texts"`
}

// collect reads all entries of a list that can be read.
func collect(t testing.TB, e *Entries, section string) (all []testEntry, lines []int) {
	t.Helper()
	err := e.Each(section, func(entry Entry) error {
		var one testEntry
		if _, err := entry.Read(&one); err != nil {
			return err
		}
		all, lines = append(all, one), append(lines, entry.Line)
		return nil
	})
	if err != nil {
		return nil, nil
	}
	return all, lines
}

// apart is the file as one of a size that is not read as a whole.
func apart(t testing.TB, text []byte) *Entries {
	t.Helper()
	f, err := unnamedFile(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	e := &Entries{Name: "f", sections: []string{"a", "b"}, file: f,
		json: bytes.HasPrefix(bytes.TrimLeft(text, " \t\r\n"), []byte("{"))}
	t.Cleanup(func() { _ = e.Close() })
	return e
}

var apartSeeds = []string{
	"a:\n- name: x\n  texts: [p, q]\n- {name: y}\nb:\n  - name: z\n    texts:\n    - one\n    - |\n      two\n       - three\n\n  # no entry\n  -\n    name: w\n",
	"---\na: []\nb:\n  - name: \"x\n      y\"\n  - name: x   # and so on\n...\n",
	`{"a": [{"name": "x"}, {"name": "y", "texts": ["- z", "b:"]}], "b": []}`,
	"{\n  \"b\": [\n    {\n      \"name\": \"x\"\n    },\n    {\"name\": \"y\"}\n  ]\n}\n",
	"a:\n- &x {name: y}\n- *x\n",
	"a:\n- name: 'x\n- name: y'\n",
	"a: [{name: x}]\n",
	"a:\n  - name: |\n      x\n# no text\n      y\n",
	"a:\r\n- name: x\r\n",
}

// What is read entry by entry is what the whole says, or is refused.
func FuzzEntriesApart(f *testing.F) {
	for _, s := range apartSeeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		e := apart(t, text)
		for _, section := range e.sections {
			got, _ := collect(t, e, section)
			if got == nil {
				continue
			}
			whole, err := OpenEntries("-", bytes.NewReader(text), e.titleKey, e.sections...)
			if err != nil {
				continue // what is wrong with another entry
			}
			want, _ := collect(t, whole, section)
			if want != nil && !reflect.DeepEqual(got, want) {
				t.Errorf("%s: %q\nwhole %q", section, got, want)
			}
		}
	})
}

func TestEntriesReadApart(t *testing.T) {
	t.Parallel()
	e := apart(t, []byte(apartSeeds[0]))
	a, aLines := collect(t, e, "a")
	b, bLines := collect(t, e, "b")
	if !reflect.DeepEqual(a, []testEntry{{"x", []string{"p", "q"}}, {"y", nil}}) || !reflect.DeepEqual(aLines,
		[]int{2, 4}) {
		t.Errorf("%q %v", a, aLines)
	}
	if !reflect.DeepEqual(b, []testEntry{{"z", []string{"one", "two\n - three\n"}}, {"w", nil}}) ||
		!reflect.DeepEqual(bLines, []int{6, 14}) {
		t.Errorf("%q %v", b, bLines)
	}
	if _, lines := collect(t, apart(t, []byte(apartSeeds[3])), "b"); !reflect.DeepEqual(lines, []int{3, 6}) {
		t.Errorf("lines of JSON: %v", lines)
	}
	for text, want := range map[string]string{
		"a:\n- name: x\na:\n- name: y\n": "f:3: a: is there twice",
		"c:\n- name: x\n":                "f:1: c: there is no such key",
		"a: [{name: x}]\n":               "f:1: in a file of this size each list",
		"a:\n  - name: x\n - name: y\n":  "f:3: a: in a file of this size an entry",
		`{"a": [], "a": []}`:             "f:1: a: is there twice",
		`{"a": {}}`:                      "has { where [ is expected",
		`{"a": [1,`:                      "is not JSON",
		`{"a": []} x`:                    "goes on after its end",
		`{"a": ["` + strings.Repeat("x", 4*maxEntry) + `"]}`:                            "larger than 1 MiB",
		"a:\n- name: x\n" + strings.Repeat("  # "+strings.Repeat("x", 1000)+"\n", 2000): "larger than 1 MiB",
	} {
		err := apart(t, []byte(text)).Each("a", func(Entry) error { return nil })
		var f Fault
		if !errors.As(err, &f) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: %v", text, err)
		}
	}
}

// FuzzCAs reads what may be in outbound.ca_file.
func FuzzCAs(f *testing.F) {
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"))
	f.Add([]byte("no certificate"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if pool, err := parseCAs("f", text); (pool == nil) != (err != nil) {
			t.Errorf("%v, %v", pool, err)
		}
	})
}
