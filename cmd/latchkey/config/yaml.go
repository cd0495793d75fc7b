package config

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// maxYAML bounds a file that we read: far more than anybody writes, and nothing that could exhaust
// the machine.
const maxYAML = 8 << 20

// A Fault is something wrong with a configuration or a file to apply, and where.
type Fault struct {
	File string
	Line int
	Key  string // the name to fix, e.g. tls.cert_file
	Text string
}

func (f Fault) Error() string {
	var b strings.Builder
	if f.File != "" {
		b.WriteString(f.File)
		if f.Line > 0 {
			fmt.Fprintf(&b, ":%d", f.Line)
		}
		b.WriteString(": ")
	}
	if f.Key != "" {
		b.WriteString(f.Key + ": ")
	}
	return b.String() + f.Text
}

// Faults is all that is wrong, one line each.
type Faults []Fault

func (fs Faults) Error() string {
	lines := make([]string, len(fs))
	for i, f := range fs {
		lines[i] = f.Error()
	}
	return strings.Join(lines, "\n")
}

// OrNil is fs as an error, nil when there is no fault.
func (fs Faults) OrNil() error {
	if len(fs) == 0 {
		return nil
	}
	return fs
}

// yamlReader fills Go values from YAML by their json names, so that what a record is called has one
// spelling everywhere. It notes every fault with its line and goes on, so that all of them are told
// at once.
type yamlReader struct {
	file   string
	faults Faults
	lines  map[string]int // of each key that was read, by its dotted name
	nodes  int            // read so far; aliases of aliases make many of few
	above  int            // lines of the file above the text that was parsed
}

// maxNodes bounds what a file may expand to.
const maxNodes = 2_000_000

// tooMuch says, once, that a file expands to more than anybody means.
func (r *yamlReader) tooMuch(n *yaml.Node, key string, depth int) bool {
	r.nodes++
	switch {
	case depth > 40:
		r.fault(n, key, "is nested too deeply")
	case r.nodes == maxNodes:
		r.fault(n, key, "and its aliases are more than can be read")
	case r.nodes < maxNodes:
		return false
	}
	return true
}

// ReadYAMLFile reads a file, or standard input for "-", into the struct that out points to.
func ReadYAMLFile(file string, stdin io.Reader, out any) (map[string]int, error) {
	name, text, err := ReadText(file, stdin)
	if err != nil {
		return nil, err
	}
	return ReadYAML(name, text, out)
}

// ReadText reads a file of a bounded size, or standard input for "-", and returns its name for
// messages.
func ReadText(file string, stdin io.Reader) (name string, text []byte, err error) {
	name, in := file, stdin
	if file == "-" {
		name = "standard input"
	} else {
		f, err := os.Open(file)
		if err != nil {
			return name, nil, err
		}
		defer f.Close()
		in = f
	}
	if text, err = io.ReadAll(io.LimitReader(in, maxYAML+1)); err != nil {
		return name, nil, fmt.Errorf("read %s: %w", name, err)
	}
	if len(text) > maxYAML {
		return name, nil, fmt.Errorf("%s is larger than %d MiB: it is something else", name, maxYAML>>20)
	}
	return name, text, nil
}

// ReadYAML reads one document into the struct that out points to. lines has the line of each key,
// by dotted name: clients[2].type.
func ReadYAML(name string, text []byte, out any) (lines map[string]int, err error) {
	r := &yamlReader{file: name, lines: map[string]int{}}
	n, err := parseYAML(name, text, 0)
	if err != nil {
		return nil, err
	}
	if n == nil {
		return r.lines, nil // an empty file says nothing
	}
	r.read(n, reflect.ValueOf(out).Elem(), "", 0)
	return r.lines, r.faults.OrNil()
}

// parseYAML parses one document; nil if there is nothing in it. above is how many lines of the file
// there are above the text.
func parseYAML(name string, text []byte, above int) (n *yaml.Node, err error) {
	defer func() {
		// The parser has panicked on bad input in the past; whoever wrote the file should read a
		// sentence.
		if v := recover(); v != nil {
			err = Fault{File: name, Line: above, Text: fmt.Sprintf("is not YAML: %v", v)}
		}
	}()
	loader := yaml.NewDecoder(bytes.NewReader(text))
	var doc, more yaml.Node
	if err := loader.Decode(&doc); errors.Is(err, io.EOF) {
		return nil, nil //nolint:nilnil // as the comment says
	} else if err != nil {
		return nil, notYAML(name, text, above, err)
	}
	if err := loader.Decode(&more); !errors.Is(err, io.EOF) {
		return nil, Fault{File: name, Line: above, Text: "has more than one document; there must be one"}
	}
	n = &doc
	if n.Kind == yaml.DocumentNode && len(n.Content) == 1 {
		n = n.Content[0]
	}
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" {
		return nil, nil //nolint:nilnil // as the comment says
	}
	return n, nil
}

// parserLine is where the parser's sentence says which line it means.
var parserLine = regexp.MustCompile(`^(?:while [^:]*: )?line (\d+)(?:, column \d+)?: `)

// notYAML is the parser's error with the line of the file, and what is usually wrong.
func notYAML(name string, text []byte, above int, err error) error {
	sentence := strings.TrimPrefix(err.Error(), "yaml: ")
	f := Fault{File: name, Line: above}
	if m := parserLine.FindStringSubmatch(sentence); m != nil {
		line, _ := strconv.Atoi(m[1])
		f.Line, sentence = above+line, strings.TrimPrefix(sentence, m[0])
	}
	for i, line := range strings.Split(string(text), "\n") {
		if strings.Contains(line[:len(line)-len(strings.TrimLeft(line, " \t"))], "\t") {
			f.Line, sentence = above+i+1, "a tab begins the line; YAML is indented by blanks alone"
			break
		}
	}
	f.Text = "is not YAML: " + sentence
	return f
}

func (r *yamlReader) fault(n *yaml.Node, key, format string, args ...any) {
	r.faults = append(r.faults, Fault{r.file, r.above + n.Line, key, fmt.Sprintf(format, args...)})
}

// read stores what a node says in v.
func (r *yamlReader) read(n *yaml.Node, v reflect.Value, key string, depth int) {
	if r.tooMuch(n, key, depth) {
		return
	}
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	r.lines[key] = r.above + n.Line
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" {
		return // not said
	}
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
	}
	if node, ok := v.Addr().Interface().(*yaml.Node); ok { // to be read later
		*node = *n
		return
	}
	if raw, ok := v.Addr().Interface().(*json.RawMessage); ok {
		value, ok := r.plain(n, key, depth)
		if !ok {
			return
		}
		text, err := json.Marshal(value)
		if err != nil {
			r.fault(n, key, "cannot be written as JSON: %v", err)
			return
		}
		*raw = text
		return
	}
	if t, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		if n.Kind != yaml.ScalarNode {
			r.fault(n, key, "must be one value")
		} else if err := t.UnmarshalText([]byte(n.Value)); err != nil {
			r.fault(n, key, "%v", err)
		}
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		r.readStruct(n, v, key, depth)
	case reflect.Slice:
		if n.Kind != yaml.SequenceNode {
			r.fault(n, key, "must be a list, such as [a, b]")
			return
		}
		list := reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content))
		for i, c := range n.Content {
			at := fmt.Sprintf("%s[%d]", key, i)
			if c.Kind == yaml.ScalarNode && c.ShortTag() == "!!null" {
				r.fault(c, at, "is empty")
				continue
			}
			r.read(c, list.Index(i), at, depth+1)
		}
		v.Set(list)
	default:
		if n.Kind != yaml.ScalarNode {
			r.fault(n, key, "must be %s, not a list or a mapping", kindName(v.Kind()))
			return
		}
		r.readScalar(n, v, key)
	}
}

func (r *yamlReader) readScalar(n *yaml.Node, v reflect.Value, key string) {
	switch v.Kind() {
	case reflect.String:
		// The text as it stands in the file: 01234 and 1987-10-16 stay what they are, whatever YAML
		// would make of them.
		v.SetString(n.Value)
	case reflect.Bool:
		b, err := strconv.ParseBool(n.Value)
		if err != nil || n.ShortTag() != "!!bool" {
			r.fault(n, key, "must be true or false")
			return
		}
		v.SetBool(b)
	case reflect.Int, reflect.Int64:
		i, err := strconv.ParseInt(n.Value, 10, 64)
		if err != nil || v.OverflowInt(i) {
			r.fault(n, key, "must be a whole number")
			return
		}
		v.SetInt(i)
	default:
		panic("yaml: no reader for " + v.Type().String()) // a field of ours that was never tried
	}
}

func kindName(k reflect.Kind) string {
	switch k {
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int64:
		return "a whole number"
	}
	return "text"
}

func (r *yamlReader) readStruct(n *yaml.Node, v reflect.Value, key string, depth int) {
	r.readFields(n, jsonFields(v), key, depth)
}

func (r *yamlReader) readFields(n *yaml.Node, fields map[string]reflect.Value, key string, depth int) {
	if n.Kind != yaml.MappingNode {
		what := key
		if what == "" {
			what = "the document"
		}
		r.fault(n, "", "%s must be a mapping of names to values", what)
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, value := n.Content[i], n.Content[i+1]
		at := name.Value
		if key != "" {
			at = key + "." + name.Value
		}
		field, ok := fields[name.Value]
		switch {
		case !ok:
			r.fault(name, at, "there is no such key here%s", suggestion(name.Value, fields))
		case seen[name.Value]:
			r.fault(name, at, "is there twice")
		default:
			seen[name.Value] = true
			r.read(value, field, at, depth+1)
		}
	}
}

// plain is a node as JSON would have it.
func (r *yamlReader) plain(n *yaml.Node, key string, depth int) (any, bool) {
	if r.tooMuch(n, key, depth) {
		return nil, false
	}
	switch n.Kind {
	case yaml.AliasNode:
		return r.plain(n.Alias, key, depth+1)
	case yaml.MappingNode:
		out := map[string]any{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			if _, twice := out[n.Content[i].Value]; twice {
				r.fault(n.Content[i], key+"."+n.Content[i].Value, "is there twice")
				return nil, false
			}
			value, ok := r.plain(n.Content[i+1], key, depth+1)
			if !ok {
				return nil, false
			}
			out[n.Content[i].Value] = value
		}
		return out, true
	case yaml.SequenceNode:
		out := []any{}
		for _, c := range n.Content {
			value, ok := r.plain(c, key, depth+1)
			if !ok {
				return nil, false
			}
			out = append(out, value)
		}
		return out, true
	}
	switch n.ShortTag() {
	case "!!null":
		return nil, true
	case "!!bool":
		b, err := strconv.ParseBool(n.Value)
		return b, err == nil
	case "!!int", "!!float":
		if f, err := strconv.ParseFloat(n.Value, 64); err == nil && !math.IsInf(f, 0) && !math.IsNaN(f) {
			return json.Number(n.Value), true
		}
	}
	return n.Value, true
}

// jsonFields maps json names to the fields of a struct, those of embedded structs included; "-" is
// left out.
func jsonFields(v reflect.Value) map[string]reflect.Value {
	out := map[string]reflect.Value{}
	for i := range v.NumField() {
		f := v.Type().Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "":
			for k, inner := range jsonFields(v.Field(i)) {
				out[k] = inner
			}
		case name != "" && name != "-":
			out[name] = v.Field(i)
		}
	}
	return out
}

// suggestion names the key that was probably meant.
func suggestion(name string, fields map[string]reflect.Value) string {
	best, least := "", 3
	for known := range fields {
		if d := distance(name, known); d < least || d == least && best != "" && known < best {
			best, least = known, d
		}
	}
	if best != "" {
		return "; did you mean " + best + "?"
	}
	known := make([]string, 0, len(fields))
	for k := range fields {
		known = append(known, k)
	}
	slices.Sort(known)
	return "; known are " + strings.Join(known, ", ")
}

// distance counts the letters to change, add or drop to come from a to b.
func distance(a, b string) int {
	if len(a) > 60 {
		return len(a)
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
