package config

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v4"
)

// maxEntry bounds an entry of a file that is read entry by entry.
const maxEntry = 1 << 20

// Entries is a file of lists, such as people: and clients:, that is read entry by entry, as often
// as it is asked for. A file of an ordinary size may be any YAML. One that is larger must have each
// list written as entries that begin with "- ", or be JSON, and is never held as a whole.
type Entries struct {
	Name string // for messages

	// Title is the text of the one key that is no list, "" if it is not there.
	Title string

	titleKey string
	sections []string
	lists    map[string][]yaml.Node // of a file of an ordinary size
	file     *os.File               // of a larger one
	json     bool
}

// OpenEntries opens a file, or standard input for "-". titleKey is the key of its title, sections
// are the lists that it may have. It may be standard input that is larger than memory: it is kept
// in a temporary file that has no name.
func OpenEntries(file string, stdin io.Reader, titleKey string, sections ...string) (*Entries, error) {
	e := &Entries{Name: file, titleKey: titleKey, sections: sections}
	if file == "-" {
		e.Name = "standard input"
	} else {
		f, err := os.Open(file)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		stdin = f
	}
	head, err := io.ReadAll(io.LimitReader(stdin, maxYAML+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", e.Name, err)
	}
	if len(head) <= maxYAML {
		return e, e.parse(head)
	}
	if file != "-" {
		e.file, err = os.Open(file)
	} else {
		e.file, err = unnamedFile(io.MultiReader(bytes.NewReader(head), stdin))
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", e.Name, err)
	}
	e.json = bytes.HasPrefix(bytes.TrimLeft(head, " \t\r\n"), []byte("{"))
	return e, e.findTitle(head)
}

// findTitle reads the title of a large file, which is before its lists: else all of it would have
// to be read for it.
func (e *Entries) findTitle(head []byte) error {
	ended := errors.New("the first list begins")
	split := splitYAML
	if e.json {
		split = splitJSON
	}
	t := topLevel{name: e.Name, titleKey: e.titleKey, sections: e.sections}
	err := split(&t, bytes.NewReader(head), func(string, int, []byte) error { return ended })
	if errors.Is(err, ended) {
		err = nil
	}
	e.Title = t.title
	return err
}

// unnamedFile keeps what is read where nobody else finds it, and nothing stays.
func unnamedFile(in io.Reader) (*os.File, error) {
	f, err := os.CreateTemp("", "latchkey-") // with mode 0600
	if err != nil {
		return nil, err
	}
	if err = os.Remove(f.Name()); err == nil {
		_, err = io.Copy(f, in)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// Close ends reading.
func (e *Entries) Close() error {
	if e.file == nil {
		return nil
	}
	return e.file.Close()
}

// parse reads a file of an ordinary size as one document.
func (e *Entries) parse(text []byte) error {
	n, err := parseYAML(e.Name, text, 0)
	if err != nil || n == nil {
		return err
	}
	r := &yamlReader{file: e.Name, lines: map[string]int{}}
	top := map[string]reflect.Value{}
	lists := make([][]yaml.Node, len(e.sections))
	for i, s := range e.sections {
		top[s] = reflect.ValueOf(&lists[i]).Elem()
	}
	top[e.titleKey] = reflect.ValueOf(&e.Title).Elem()
	r.readFields(n, top, "", 0)
	e.lists = map[string][]yaml.Node{}
	for i, s := range e.sections {
		e.lists[s] = lists[i]
	}
	return r.faults.OrNil()
}

// Entry is one entry of a list.
type Entry struct {
	Path string // such as people[17]
	Line int    // 0 if it is not known

	node   *yaml.Node // either this
	text   []byte     // or this
	isJSON bool
	reader *yamlReader
}

// Read reads the entry into the struct that out points to. lines has the line of each key, by
// dotted name.
func (e Entry) Read(out any) (lines map[string]int, err error) {
	r, n := e.reader, e.node
	r.lines, r.faults = map[string]int{}, nil
	if n == nil {
		r.above = max(0, e.Line-1)
		if n, err = parseYAML(r.file, e.text, r.above); err != nil {
			return nil, err
		}
		if !e.isJSON && n != nil && n.Kind == yaml.SequenceNode && len(n.Content) == 1 {
			n = n.Content[0]
		}
	}
	if n == nil || n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" {
		return nil, Faults{{File: r.file, Line: e.Line, Key: e.Path, Text: "is empty"}}
	}
	r.read(n, reflect.ValueOf(out).Elem(), e.Path, 0)
	return r.lines, r.faults.OrNil()
}

// Each calls yield for the entries of a list, in order. An error of yield ends it and is returned.
func (e *Entries) Each(section string, yield func(Entry) error) error {
	if e.file == nil {
		r := &yamlReader{file: e.Name} // one for all: aliases of aliases are counted together
		for i := range e.lists[section] {
			n := &e.lists[section][i]
			if err := yield(Entry{Path: fmt.Sprintf("%s[%d]", section, i), Line: n.Line, node: n,
				reader: r}); err != nil {
				return err
			}
		}
		return nil
	}
	if _, err := e.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	next := 0
	split := splitYAML
	if e.json {
		split = splitJSON
	}
	t := topLevel{name: e.Name, titleKey: e.titleKey, sections: e.sections}
	return split(&t, e.file, func(of string, line int, text []byte) error {
		if of != section {
			return nil
		}
		next++
		return yield(Entry{Path: fmt.Sprintf("%s[%d]", section, next-1), Line: line, text: text, isJSON: e.json,
			reader: &yamlReader{file: e.Name}})
	})
}

// topLevel finds the list that a key names.
type topLevel struct {
	name     string
	titleKey string
	title    string
	sections []string
	seen     map[string]bool
}

func (t *topLevel) open(key string, line int) error {
	known := map[string]reflect.Value{t.titleKey: {}}
	for _, s := range t.sections {
		known[s] = reflect.Value{}
	}
	if _, ok := known[key]; !ok {
		return Fault{File: t.name, Line: line, Key: key, Text: "there is no such key here" + suggestion(key, known)}
	}
	if t.seen[key] {
		return Fault{File: t.name, Line: line, Key: key, Text: "is there twice"}
	}
	if t.seen == nil {
		t.seen = map[string]bool{}
	}
	t.seen[key] = true
	return nil
}

// setTitle takes the value of the title's key, which comes before all lists.
func (t *topLevel) setTitle(value any, line int) error {
	if len(t.seen) > 1 {
		return Fault{File: t.name, Line: line, Key: t.titleKey,
			Text: "must be before the lists in a file of this size"}
	}
	text, ok := value.(string)
	if !ok {
		return Fault{File: t.name, Line: line, Key: t.titleKey, Text: "must be text"}
	}
	t.title = text
	return nil
}

// topKey is a line that begins a list: a key, and perhaps an empty list.
var topKey = regexp.MustCompile(`^["']?([A-Za-z_]+)["']?[ \t]*:[ \t]*(\[[ \t]*\]|~|null)?[ \t]*(?:#.*)?$`)

// splitYAML takes a YAML file apart by its indentation, without parsing it. What it yields has to
// be parsed: an entry that was cut in a wrong place, because its texts go on at the margin, does
// not.
func splitYAML(top *topLevel, in io.Reader, yield func(section string, line int, text []byte) error) error {
	var (
		lines   = bufio.NewReaderSize(in, 64<<10)
		section string
		indent  = -1 // of the entries of this list
		entry   []byte
		began   int
		number  int
	)
	fault := func(text string) error { return Fault{File: top.name, Line: number, Key: section, Text: text} }
	finish := func() error {
		if len(entry) == 0 {
			return nil
		}
		text := entry
		entry = nil
		return yield(section, began, text)
	}
	for {
		line, err := lines.ReadSlice('\n')
		for errors.Is(err, bufio.ErrBufferFull) && len(line) < maxEntry {
			var more []byte
			line = bytes.Clone(line)
			more, err = lines.ReadSlice('\n')
			line = append(line, more...)
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if len(line) == 0 {
			return finish()
		}
		number++
		text := bytes.TrimRight(line, "\r\n")
		margin := len(text) - len(bytes.TrimLeft(text, " "))
		rest := text[margin:]
		isEntry := bytes.HasPrefix(rest, []byte("- ")) || bytes.Equal(rest, []byte("-"))
		switch {
		case len(rest) == 0, len(entry) > 0 && margin > indent: // of the entry that has begun
			if len(entry) > 0 {
				entry = append(entry, line...)
			}
		case rest[0] == '#', margin == 0 && (bytes.HasPrefix(text, []byte("---")) && number == 1 ||
			bytes.Equal(text, []byte("..."))):
		case isEntry && section != "" && (indent < 0 || margin == indent):
			if err := finish(); err != nil {
				return err
			}
			indent, began, entry = margin, number, bytes.Clone(line)
		case margin == 0:
			if err := finish(); err != nil {
				return err
			}
			if title, ok := bytes.CutPrefix(text, []byte(top.titleKey+":")); ok {
				var value any
				if err := yaml.Unmarshal(title, &value); err != nil {
					return fault("is not YAML: " + err.Error())
				}
				if err := top.open(top.titleKey, number); err != nil {
					return err
				}
				if err := top.setTitle(value, number); err != nil {
					return err
				}
				break
			}
			m := topKey.FindSubmatch(text)
			if m == nil {
				return fault(`in a file of this size each list must be a name and a colon, and below it entries that begin with "- "`)
			}
			section, indent = string(m[1]), -1
			if err := top.open(section, number); err != nil {
				return err
			}
		default:
			return fault(`in a file of this size an entry must begin with "- ", and all of them at the same indentation`)
		}
		if len(entry) > maxEntry {
			return fault(fmt.Sprintf("has an entry that is larger than %d MiB", maxEntry>>20))
		}
		if errors.Is(err, io.EOF) {
			return finish()
		}
	}
}

// window is what was read of a file and not yet used.
type window struct {
	in    io.Reader
	read  []byte
	base  int64 // of read in the file
	lines int   // before base
}

var errLargeEntry = errors.New("entry too large")

func (w *window) Read(p []byte) (int, error) {
	if len(w.read) > maxEntry+64<<10 {
		return 0, errLargeEntry
	}
	n, err := w.in.Read(p)
	w.read = append(w.read, p[:n]...)
	return n, err
}

// forget lets go of what is before offset, and returns the line there.
func (w *window) forget(offset int64) int {
	used := w.read[:offset-w.base]
	w.lines += bytes.Count(used, []byte("\n"))
	w.read, w.base = append(w.read[:0], w.read[len(used):]...), offset
	return w.lines + 1
}

// splitJSON takes a JSON file apart.
func splitJSON(top *topLevel, in io.Reader, yield func(section string, line int, text []byte) error) error {
	name := top.name
	w := &window{in: in}
	d := json.NewDecoder(w)
	line := 1
	bad := func(err error) error {
		text := "is not JSON: " + err.Error()
		if errors.Is(err, errLargeEntry) {
			text = fmt.Sprintf("has an entry that is larger than %d MiB", maxEntry>>20)
		}
		return Fault{File: name, Line: line, Text: text}
	}
	expect := func(want json.Delim) error {
		t, err := d.Token()
		line = w.forget(d.InputOffset())
		if err != nil {
			return bad(err)
		}
		if t != want {
			return Fault{File: name, Line: line,
				Text: fmt.Sprintf("has %v where %v is expected: it is an object of lists of objects", t, want)}
		}
		return nil
	}
	if err := expect('{'); err != nil {
		return err
	}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return bad(err)
		}
		section, _ := t.(string)
		line = w.forget(d.InputOffset())
		if err := top.open(section, line); err != nil {
			return err
		}
		if section == top.titleKey {
			value, err := d.Token()
			if err != nil {
				return bad(err)
			}
			if err := top.setTitle(value, line); err != nil {
				return err
			}
			continue
		}
		if err := expect('['); err != nil {
			return err
		}
		for d.More() {
			var text json.RawMessage
			if err := d.Decode(&text); err != nil {
				return bad(err)
			}
			end := w.forget(d.InputOffset())
			line = end - bytes.Count(text, []byte("\n"))
			if err := yield(section, line, text); err != nil {
				return err
			}
			line = end
		}
		if err := expect(']'); err != nil {
			return err
		}
	}
	if err := expect('}'); err != nil {
		return err
	}
	if t, err := d.Token(); !errors.Is(err, io.EOF) {
		return Fault{File: name, Line: line, Text: strings.TrimSpace(fmt.Sprintf("goes on after its end: %v", t))}
	}
	return nil
}
