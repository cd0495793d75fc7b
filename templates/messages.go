package templates

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/text/feature/plural"
)

// Message is a text of the catalogue by its key, with the values that stand in it.
type Message struct {
	Key  string
	Args Args
}

// Args are the values of a message by the names of its placeholders: string is a name or word from
// outside, which keeps its own direction; int a number, of which "n" chooses the plural form;
// []string a list, said as "a, b and c".
type Args map[string]any

// String is the message in our own English: for the log and for programs.
func (m Message) String() string {
	v := view{Lang: "en", words: english()}
	return v.message(m).String()
}

// Text is the message in a language that Match returned, without markup.
func (s *Set) Text(lang string, m Message) string { return s.view(lang, nil).message(m).String() }

// phrase is a message with what was put into it kept apart, so that a page can isolate the
// direction of names.
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

// message is a message in the page's language, or else in English, marked as English. A key that
// there is not says itself: nobody is refused a page for a word.
func (v view) message(m Message) phrase {
	words, lang := v.words, ""
	forms := words.messages[m.Key]
	if forms == nil {
		words = english()
		if forms = words.messages[m.Key]; forms == nil {
			return phrase{{Text: shown(m.Key), Lang: "zxx"}}
		}
		lang = "en"
	}
	t := forms[plural.Other]
	if n, ok := m.Args["n"].(int); ok {
		if exact, ok := forms[words.form(n)]; ok {
			t = exact
		}
	}
	var out phrase
	for _, p := range t {
		if p.value == "" {
			out = append(out, span{Text: p.words, Lang: lang})
			continue
		}
		switch value := m.Args[p.value].(type) {
		case phrase:
			out = append(out, value...)
		case span:
			out = append(out, value)
		case string:
			out = append(out, span{Text: shown(value), Name: true})
		case int:
			out = append(out, span{Text: strconv.Itoa(value)})
		case []string:
			out = append(out, v.List(value)...)
		case time.Time:
			out = append(out, v.When(value)...)
		}
	}
	return out
}

// T is a message in the page's language. After the key come the names of its values and the values,
// in turn.
func (v view) T(key string, args ...any) (phrase, error) {
	known := english().messages[key]
	if known == nil {
		return nil, fmt.Errorf("there is no message %q", key)
	}
	named := make(Args, len(args)/2)
	for i := 0; i+1 < len(args); i += 2 {
		name, ok := args[i].(string)
		if !ok {
			return nil, fmt.Errorf("%q: the name of a value is a word, not %v", key, args[i])
		}
		named[name] = args[i+1]
	}
	for _, name := range known.values() {
		if _, ok := named[name]; !ok {
			return nil, fmt.Errorf("%q: there is no {%s}", key, name)
		}
	}
	return v.message(Message{key, named}), nil
}

// t is T for keys that are known to be there.
func (v view) t(key string, args Args) phrase { return v.message(Message{key, args}) }

// Known is the message with this key, or else the text itself, as a name from outside.
func (v view) Known(prefix, text string, args ...any) (phrase, error) {
	if text != "" && english().messages[prefix+text] != nil {
		return v.T(prefix+text, args...)
	}
	return phrase{{Text: shownAtMost(text, maxSentence), Name: true}}, nil
}

// Words are those of a problem for a part of the error page; none if it has none.
func (v view) Words(e Error, part string) phrase {
	if e.Problem.key("title") == "" {
		e = Error{Problem: Internal} // nobody named one: the page is not left without words
	}
	key := e.Problem.key(part)
	if key == "" {
		return nil
	}
	return v.t(key, e.Args)
}

// When says a time that people look at: near ones by how long ago, others by date. The zero time is
// nothing.
func (v view) When(t time.Time) phrase {
	if t.IsZero() {
		return nil
	}
	switch ago := v.now.Sub(t); {
	case ago < -time.Minute || ago >= 24*time.Hour:
		return v.date(t)
	case ago < 2*time.Minute:
		return v.t("time.now", nil)
	case ago < time.Hour:
		return v.t("time.minutes-ago", Args{"n": int(ago / time.Minute)})
	default:
		return v.t("time.hours-ago", Args{"n": int(ago / time.Hour)})
	}
}

// date is a time by the calendar and the clock of the page's zone.
func (v view) date(t time.Time) phrase {
	t = t.In(v.zone)
	months := v.words.months
	if months == nil {
		months = english().months
	}
	return v.t("time.date", Args{
		"day": t.Day(), "month": span{Text: months[t.Month()-1]}, "year": t.Year(),
		"clock": span{Text: t.Format("15:04 MST")},
	})
}

// Wait says how long it is until a time, rounded up, as it stands after "wait".
func (v view) Wait(until time.Time) phrase { return v.Lasts(until.Sub(v.now)) }

// Lasts is a stretch of time, rounded up, as it stands after "within".
func (v view) Lasts(left time.Duration) phrase {
	switch {
	case left < time.Minute:
		return v.t("time.wait-seconds", Args{"n": max(1, int((left+time.Second-1)/time.Second))})
	case left < time.Hour:
		return v.t("time.wait-minutes", Args{"n": int((left + time.Minute - 1) / time.Minute)})
	default:
		return v.t("time.wait-hours", Args{"n": int((left + time.Hour - 1) / time.Hour)})
	}
}

// ISO is a time for a program.
func (v view) ISO(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// List is names in a row, as people say them: "a, b and c".
func (v view) List(names []string) phrase {
	var out phrase
	for i, n := range names {
		name := phrase{{Text: shown(n), Name: true}}
		switch {
		case i == 0:
			out = name
		case i < len(names)-1:
			out = v.t("list.next", Args{"list": out, "item": name})
		case i == 1:
			out = v.t("list.two", Args{"list": out, "item": name})
		default:
			out = v.t("list.last", Args{"list": out, "item": name})
		}
	}
	return out
}
