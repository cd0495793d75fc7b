package templates

import (
	"bytes"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/text/language"
)

//go:embed messages/*.json
var messageFiles embed.FS

// catalogue is the words of one language.
type catalogue struct {
	Direction string            `json:"direction"` // ltr or rtl
	Messages  map[string]string `json:"messages"`  // by key; {0}, {1} … stand for names and numbers
	Sentences map[string]string `json:"sentences"` // by the English sentence: what the endpoints say on an error page
}

// slot is where a value goes in a message.
var slot = regexp.MustCompile(`\{\d\}`)

// loadMessages reads our messages and merges the operator's into them. Every language must have every message.
func (s *Set) loadMessages() error {
	s.languages = map[string]*catalogue{}
	sources := []fs.FS{messageFiles}
	if s.options.Overrides != nil {
		sources = append(sources, s.options.Overrides)
	}
	given := map[string][]string{} // the values that the pages give each message
	for i, source := range sources {
		names, err := fs.Glob(source, "messages/*.json")
		if err != nil {
			return fmt.Errorf("templates: %w", err)
		}
		for _, name := range names {
			b, err := fs.ReadFile(source, name)
			if err != nil {
				return fmt.Errorf("templates: %w", err)
			}
			lang := strings.TrimSuffix(path.Base(name), ".json")
			if tag, err := language.Parse(lang); err != nil || tag.String() != lang {
				return fmt.Errorf("templates: %s is not named after a language tag such as fr or pt-BR", name)
			}
			if s.languages[lang] == nil {
				s.languages[lang] = &catalogue{Direction: "ltr", Messages: map[string]string{}, Sentences: map[string]string{}}
			}
			d := json.NewDecoder(bytes.NewReader(b))
			d.DisallowUnknownFields()
			if err := d.Decode(s.languages[lang]); err != nil { // merges into the maps that are there
				return fmt.Errorf("templates: %s: %w", name, err)
			}
		}
		if i == 0 {
			for key, message := range s.languages["en"].Messages {
				given[key] = slot.FindAllString(message, -1)
			}
		}
	}
	s.order = slices.Sorted(keysOf(s.languages))
	if i := slices.Index(s.order, "en"); i > 0 {
		s.order = slices.Insert(slices.Delete(s.order, i, i+1), 0, "en") // the matcher falls back to the first
	}
	var problems []error
	var tags []language.Tag
	for _, lang := range s.order {
		c := s.languages[lang]
		tags = append(tags, language.Make(lang))
		if c.Direction != "ltr" && c.Direction != "rtl" {
			problems = append(problems, fmt.Errorf("templates: messages/%s.json: direction is ltr or rtl, not %q", lang, c.Direction))
		}
		for _, key := range slices.Sorted(keysOf(given)) {
			if c.Messages[key] == "" {
				problems = append(problems, fmt.Errorf("templates: messages/%s.json lacks %q", lang, key))
			}
			for _, want := range slot.FindAllString(c.Messages[key], -1) {
				if !slices.Contains(given[key], want) {
					problems = append(problems, fmt.Errorf("templates: messages/%s.json: %q is not given %s", lang, key, want))
				}
			}
		}
		for _, key := range slices.Sorted(keysOf(c.Messages)) {
			if _, ok := given[key]; !ok {
				problems = append(problems, fmt.Errorf("templates: messages/%s.json: nothing uses %q", lang, key))
			}
		}
	}
	s.matcher = language.NewMatcher(tags)
	return errors.Join(problems...)
}

// Locales lists the languages that pages can be in, as language tags (RFC 5646 §2.2), English first.
func (s *Set) Locales() []string { return slices.Clone(s.order) }

// How much of what a browser or an application says about languages is looked at.
const (
	maxLocales = 10  // entries of ui_locales
	maxTag     = 35  // bytes of one (RFC 5646 §4.4.1)
	maxAccept  = 200 // bytes of Accept-Language
)

// Match chooses the language of a page: the first of the ui_locales that we speak (OIDC Core §3.1.2.1), else the best by
// Accept-Language (RFC 9110 §12.5.4), else English. What it does not understand it passes over.
func (s *Set) Match(uiLocales []string, acceptLanguage string) string {
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

// phrase is a message with what was put into it kept apart, so that a page can isolate the direction of names.
type phrase []span

type span struct {
	Text string
	Name bool   // comes from outside
	Lang string // when it is not the page's
	Link string // when there is somewhere to go
}

// String is the phrase where there is no markup: in a title or an attribute.
func (p phrase) String() string {
	var b strings.Builder
	for _, s := range p {
		b.WriteString(s.Text)
	}
	return b.String()
}

// format puts values in place of {0}, {1} …
func format(message string, values ...any) phrase {
	var out phrase
	for message != "" {
		i := strings.IndexByte(message, '{')
		if i < 0 || i+2 >= len(message) || message[i+2] != '}' || message[i+1] < '0' || int(message[i+1]-'0') >= len(values) {
			out = append(out, span{Text: message})
			break
		}
		if i > 0 {
			out = append(out, span{Text: message[:i]})
		}
		switch v := values[message[i+1]-'0'].(type) {
		case phrase:
			out = append(out, v...)
		case span:
			out = append(out, v)
		case string:
			out = append(out, span{Text: shown(v), Name: true})
		default:
			out = append(out, span{Text: fmt.Sprint(v)})
		}
		message = message[i+3:]
	}
	return out
}

// T is a message in the page's language.
func (v view) T(key string, values ...any) (phrase, error) {
	m, ok := v.words.Messages[key]
	if !ok {
		return nil, fmt.Errorf("there is no message %q", key)
	}
	return format(m, values...), nil
}

// t is T for keys that are known to be there.
func (v view) t(key string, values ...any) phrase {
	return format(v.words.Messages[key], values...)
}

// Known is the message with this key, or else the text itself: what an endpoint chose from constants, or a sentence of its own.
func (v view) Known(prefix, text string, values ...any) phrase {
	if _, ok := v.words.Messages[prefix+text]; ok {
		return v.t(prefix+text, values...)
	}
	return v.Say(text)
}

// Say is an English text in the page's language, sentence by sentence as far as the catalogue knows them. What it does not know is marked
// as English, so that a screen reader does not read it as German.
func (v view) Say(text string) phrase {
	text = shownAtMost(text, maxSentence)
	if known, ok := v.words.Sentences[text]; ok {
		return phrase{{Text: known}}
	}
	if v.Lang == "en" || text == "" {
		return phrase{{Text: text}}
	}
	var out phrase
	for text != "" {
		sentence := text
		if i := strings.Index(text, ". "); i >= 0 {
			sentence = text[:i+2]
		}
		text = text[len(sentence):]
		s := span{Text: sentence, Lang: "en"}
		if known, ok := v.words.Sentences[strings.TrimSpace(sentence)]; ok {
			s = span{Text: known + sentence[len(strings.TrimRight(sentence, " ")):]}
		}
		out = append(out, s)
	}
	return out
}

// When says a time that people look at: near ones by how long ago, others by date. The zero time is "".
func (v view) When(t time.Time) phrase {
	if t.IsZero() {
		return nil
	}
	switch ago := v.now.Sub(t); {
	case ago < -time.Minute || ago >= 24*time.Hour:
		return phrase{{Text: t.UTC().Format(v.words.Messages["time.date"])}}
	case ago < 2*time.Minute:
		return v.t("time.now")
	case ago < time.Hour:
		return v.t("time.minutes-ago", int(ago/time.Minute))
	case ago < 2*time.Hour:
		return v.t("time.hour-ago")
	default:
		return v.t("time.hours-ago", int(ago/time.Hour))
	}
}

// Wait says how long it is until a time, rounded up.
func (v view) Wait(until time.Time) phrase {
	left := until.Sub(v.now)
	switch {
	case left <= time.Minute:
		return v.t("time.seconds", max(1, int((left+time.Second-1)/time.Second)))
	case left <= time.Hour:
		return v.t("time.minutes", int((left+time.Minute-1)/time.Minute))
	default:
		return v.t("time.hours", int((left+time.Hour-1)/time.Hour))
	}
}

// Clock is a time of day.
func (v view) Clock(t time.Time) string { return t.UTC().Format("15:04") + " UTC" }

// ISO is a time for a program.
func (v view) ISO(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// List is names in a row.
func (v view) List(names []string) phrase {
	var out phrase
	for i, n := range names {
		if i > 0 {
			out = append(out, span{Text: ", "})
		}
		out = append(out, span{Text: shown(n), Name: true})
	}
	return out
}
