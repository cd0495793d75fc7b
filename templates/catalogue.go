package templates

import (
	"bytes"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"

	"golang.org/x/text/feature/plural"
	"golang.org/x/text/language"
)

//go:embed messages/*.json
var messageFiles embed.FS

// catalogue is the words of one language, as its file has them.
type catalogue struct {
	tag       language.Tag
	name      string   // what it calls itself
	direction string   // ltr or rtl
	months    []string // twelve, as they stand in a date
	messages  map[string]message
}

// message is one text by plural form. A message without a number has plural.Other alone.
type message map[plural.Form]text

// text is a message cut at its placeholders.
type text []piece

// piece is words, or the name of the value that stands there.
type piece struct{ words, value string }

// formNames are the plural forms as CLDR calls them, and as the files do.
var formNames = map[string]plural.Form{
	"zero": plural.Zero, "one": plural.One, "two": plural.Two, "few": plural.Few, "many": plural.Many,
	"other": plural.Other,
}

// placeholder is where a value goes in a text, such as {app}. The number that chooses the plural
// form is {n}.
var placeholder = regexp.MustCompile(`\{[a-z]+\}`)

func cut(s string) text {
	var out text
	for {
		at := placeholder.FindStringIndex(s)
		if at == nil {
			if s != "" {
				out = append(out, piece{words: s})
			}
			return out
		}
		if at[0] > 0 {
			out = append(out, piece{words: s[:at[0]]})
		}
		out = append(out, piece{value: s[at[0]+1 : at[1]-1]})
		s = s[at[1]:]
	}
}

// values are the names of the placeholders.
func (t text) values() []string {
	var out []string
	for _, p := range t {
		if p.value != "" {
			out = append(out, p.value)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// plural reports whether the text depends on a number.
func (m message) plural() bool { return len(m) > 1 }

// values are the names of the placeholders of all forms.
func (m message) values() []string {
	var out []string
	for _, t := range m {
		out = append(out, t.values()...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// UnmarshalJSON reads a text, or an object of one text for each plural form.
func (m *message) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*m = message{plural.Other: cut(one)}
		return nil
	}
	var forms map[string]string
	if err := json.Unmarshal(b, &forms); err != nil {
		return errors.New("a message is a text, or an object of texts by plural form")
	}
	*m = message{}
	for name, s := range forms {
		form, ok := formNames[name]
		if !ok {
			return fmt.Errorf("%q is no plural form; there are zero, one, two, few, many, other", name)
		}
		(*m)[form] = cut(s)
	}
	return nil
}

// read puts the words of a file over those that the catalogue has.
func (c *catalogue) read(b []byte) error {
	var file struct {
		Name      string             `json:"name"`
		Direction string             `json:"direction"`
		Months    []string           `json:"months"`
		Messages  map[string]message `json:"messages"`
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&file); err != nil {
		return err
	}
	if file.Name != "" {
		c.name = file.Name
	}
	if file.Direction != "" {
		c.direction = file.Direction
	}
	if file.Months != nil {
		c.months = file.Months
	}
	maps.Copy(c.messages, file.Messages)
	return nil
}

func newCatalogue(lang string) (*catalogue, error) {
	tag, err := language.Parse(lang)
	if err != nil || tag.String() != lang {
		return nil, fmt.Errorf("%q is not a language tag such as fr or pt-BR", lang)
	}
	return &catalogue{tag: tag, name: lang, direction: "ltr", messages: map[string]message{}}, nil
}

// english is our own English: every message that there is, and the values that pages give it.
var english = sync.OnceValue(func() *catalogue {
	b, err := messageFiles.ReadFile("messages/en.json")
	if err != nil {
		panic(err) // embedded
	}
	c, err := newCatalogue("en")
	if err == nil {
		err = c.read(b)
	}
	if err != nil {
		panic(fmt.Errorf("messages/en.json: %w", err)) // embedded
	}
	return c
})

// forms are the plural forms that the language has for whole numbers.
func (c *catalogue) forms() map[plural.Form]bool {
	out := map[plural.Form]bool{plural.Other: true}
	for n := range 200 {
		out[c.form(n)] = true
	}
	return out
}

func (c *catalogue) form(n int) plural.Form {
	return plural.Cardinal.MatchPlural(c.tag, n, 0, 0, 0, 0)
}

// faults is what keeps the catalogue from being used: words that nothing asks for, values that no
// page gives, forms that the language does not have or lacks. A message that is missing altogether
// is no fault: see lacks.
func (c *catalogue) faults() []error {
	var out []error
	fault := func(format string, args ...any) {
		out = append(out, fmt.Errorf("templates: messages/"+c.tag.String()+".json: "+format, args...))
	}
	if c.direction != "ltr" && c.direction != "rtl" {
		fault("direction is ltr or rtl, not %q", c.direction)
	}
	if c.months != nil && (len(c.months) != 12 || slices.Contains(c.months, "")) {
		fault("months are twelve names")
	}
	has := c.forms()
	for _, key := range slices.Sorted(maps.Keys(c.messages)) {
		m, known := c.messages[key], english().messages[key]
		if known == nil {
			fault("nothing uses %q", key)
			continue
		}
		for _, value := range m.values() {
			if !slices.Contains(known.values(), value) {
				fault("%q is not given {%s}", key, value)
			}
		}
		for name, form := range formNames {
			t, there := m[form]
			switch {
			case there && len(t) == 0:
				fault("%q is empty", key)
			case there && !has[form]:
				fault("%q has the plural form %s, which the language does not", key, name)
			case there && form != plural.Other && !known.plural():
				fault("%q depends on no number", key)
			case !there && form == plural.Other, !there && known.plural() && has[form]:
				fault("%q lacks the plural form %s", key, name)
			}
		}
	}
	return out
}

// lacks lists the messages that the catalogue has no words for, and should have.
func (c *catalogue) lacks() []string {
	var out []string
	for key := range english().messages {
		if c.messages[key] == nil && speaks(c.tag.String(), key) {
			out = append(out, key)
		}
	}
	if c.months == nil {
		out = append(out, "months")
	}
	slices.Sort(out)
	return out
}

// loadMessages reads our messages and puts the operator's over them.
func (s *Set) loadMessages() error {
	s.languages = map[string]*catalogue{}
	sources := []fs.FS{messageFiles}
	if s.options.Overrides != nil {
		sources = append(sources, s.options.Overrides)
	}
	for _, source := range sources {
		names, err := fs.Glob(source, "messages/*")
		if err != nil {
			return fmt.Errorf("templates: %w", err)
		}
		for _, name := range names {
			lang, ok := strings.CutSuffix(path.Base(name), ".json")
			if !ok {
				return fmt.Errorf("templates: %s is not a language's .json", name)
			}
			b, err := fs.ReadFile(source, name)
			if err != nil {
				return fmt.Errorf("templates: %w", err)
			}
			c := s.languages[lang]
			if c == nil {
				if c, err = newCatalogue(lang); err != nil {
					return fmt.Errorf("templates: %s: %w", name, err)
				}
				s.languages[lang] = c
			}
			if err := c.read(b); err != nil {
				return fmt.Errorf("templates: %s: %w", name, err)
			}
		}
	}
	s.order = slices.Sorted(maps.Keys(s.languages))
	i := slices.Index(s.order, "en")
	s.order = slices.Insert(slices.Delete(s.order, i, i+1), 0, "en") // the matcher falls back to the first
	var faults []error
	var tags []language.Tag
	for _, lang := range s.order {
		faults = append(faults, s.languages[lang].faults()...)
		tags = append(tags, s.languages[lang].tag)
	}
	s.matcher = language.NewMatcher(tags)
	return errors.Join(faults...)
}

// Locales lists the languages that pages can be in, as language tags (RFC 5646 §2.2), English
// first.
func (s *Set) Locales() []string { return slices.Clone(s.newest().order) }

// Language is one in which pages can be.
type Language struct{ Tag, Name string } // RFC 5646 §2.2, and what it calls itself

// Languages lists the languages that pages can be in, by what they call themselves.
func (s *Set) Languages() []Language {
	s = s.newest()
	out := make([]Language, 0, len(s.order))
	for _, tag := range s.order {
		out = append(out, Language{tag, shown(s.languages[tag].name)})
	}
	slices.SortFunc(out, func(a, b Language) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// Missing lists the keys of the messages that a language has no words for; pages show those in
// English, marked as such. Our own languages have them all, an operator's may not.
func (s *Set) Missing(lang string) []string {
	c := s.newest().languages[lang]
	if c == nil {
		return nil
	}
	return c.lacks()
}

// How much of what a browser or an application says about languages is looked at.
const (
	maxLocales = 10  // entries of ui_locales
	maxTag     = 35  // bytes of one (RFC 5646 §4.4.1)
	maxAccept  = 200 // bytes of Accept-Language
)

// Match chooses the language of a page: the first of the ui_locales that we speak (OIDC Core
// §3.1.2.1), else the best by Accept-Language (RFC 9110 §12.5.4), else English. What it does not
// understand it passes over.
func (s *Set) Match(uiLocales []string, acceptLanguage string) string {
	s = s.newest()
	for _, want := range uiLocales[:min(len(uiLocales), maxLocales)] {
		if len(want) > maxTag {
			continue
		}
		if tag, err := language.Parse(want); err == nil {
			if _, i, confidence := s.matcher.Match(tag); confidence >= language.High {
				return s.order[i]
			}
		}
	}
	if len(acceptLanguage) > maxAccept {
		acceptLanguage = acceptLanguage[:maxAccept]
		acceptLanguage = acceptLanguage[:max(0, strings.LastIndexByte(acceptLanguage, ','))]
	}
	tags, _, err := language.ParseAcceptLanguage(acceptLanguage)
	if err != nil || len(tags) == 0 {
		return s.order[0]
	}
	_, i, _ := s.matcher.Match(tags...)
	return s.order[i]
}
