package templates

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Console is every page for administrators: where one is, and parts below each other. It is in
// English or German alone (see consoleLanguages).
type Console struct {
	ID      string // of the page's main element, such as console-people
	Title   Message
	Lead    Message // a sentence below the title; the zero Message is none
	Person  Person  // who administers
	Role    Message // in words
	Nav     []ConsoleLink
	Search  string // what was searched for, in the search field
	FindURL string // where the search field leads; "" shows none
	Notice  Message
	Problem Message
	Faults  []ConsoleFault
	Parts   []ConsolePart
	BackURL string
	Back    Message
	OutURL  string // the person's own page; "" shows no header for those who administer
}

// ConsoleLink leads somewhere within the console.
type ConsoleLink struct {
	Label   Message
	URL     string
	Current bool // it is where one is
	Main    bool // it is what most want to do here
}

// ConsoleFault is what is wrong with one field of a form that came back.
type ConsoleFault struct {
	Field  string // by its name in the API
	Detail string // in English
}

// ConsolePart is one part of a page, with a heading. Beside that one field is set.
type ConsolePart struct {
	ID      string
	Heading Message
	Text    Message
	Warn    Message
	Facts   []ConsoleFact
	Table   *ConsoleTable
	Forms   []ConsoleForm
	Charts  []ConsoleChart
	Code    *ConsoleCode
	Links   []ConsoleLink
	Steps   []ConsoleStep
}

// ConsoleFact is one thing that is known.
type ConsoleFact struct {
	Label Message
	Value []Cell
}

// Cell is one value: words of the catalogue, or a text from outside, or a time.
type Cell struct {
	Message Message
	Text    string
	Time    time.Time
	Link    string
	Style   string // tag, bad, warn, soft, code, or fold for code that is shown when asked for; "" plain
	Form    *ConsoleForm
}

// ConsoleTable is a list of like things.
type ConsoleTable struct {
	Caption Message // for those who cannot see it
	Head    []Message
	Rows    [][][]Cell // row, column, values in the cell
	None    Message    // what is said when there are no rows
	NextURL string     // the next page; "" when this is the last
	BackURL string     // the first page; "" when this is it
}

// ConsoleForm posts to Action, or with Get leads there with its fields in the address.
type ConsoleForm struct {
	ID     string
	Action string
	CSRF   string
	Get    bool
	Hidden [][2]string
	Fields []ConsoleField
	Submit Message
	Name   string // of the button, with Value
	Value  string
	Danger bool
	Main   bool
	Inline bool
	About  string // the id of what the button is about, where its words alone do not tell
}

// ConsoleField is one field of a form.
type ConsoleField struct {
	ID       string
	Name     string
	Label    Message
	Hint     Message
	Kind     string // text, email, url, password, number, textarea, select, check; "" is text
	Value    string
	Checked  bool
	Required bool
	Options  []ConsoleOption
	Auto     string // autocomplete; "" is off
	Wrong    bool
}

// ConsoleOption is one of the values of a select.
type ConsoleOption struct {
	Value    string
	Label    Cell
	Selected bool
}

// ConsoleCode is text to copy.
type ConsoleCode struct {
	ID   string
	Text string
}

// Lines is the text as it may be shown: with its lines and blanks, and without characters that
// reorder or hide others.
func (c ConsoleCode) Lines() string {
	return strings.Map(func(r rune) rune {
		if r != '\n' && r != '\t' && unicode.In(r, unicode.Cc, unicode.Cf, unicode.Co, unicode.Cs,
			unicode.Other_Default_Ignorable_Code_Point) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(c.Text, "\ufffd"))
}

// ConsoleStep is one thing that was tried, and what came of it.
type ConsoleStep struct {
	Label    Message
	State    string // told, failed or waiting, as in the stylesheet
	Detail   string
	Expected string
	Received string
}

// ConsoleChart is bars, one a day.
type ConsoleChart struct {
	ID    string
	Label Message
	Bars  []ConsoleBar
	Style string // good or bad
}

// ConsoleBar is one day of a chart.
type ConsoleBar struct {
	Day time.Time
	N   int
}

// Sizes of a chart, in units of its own.
const (
	chartHeight = 60
	chartBar    = 12
	chartGap    = 4
)

// Width is that of the whole chart.
func (c ConsoleChart) Width() int { return max(1, len(c.Bars))*(chartBar+chartGap) - chartGap }

// Height is that of the whole chart.
func (ConsoleChart) Height() int { return chartHeight }

// Sum is all bars together.
func (c ConsoleChart) Sum() int {
	sum := 0
	for _, b := range c.Bars {
		sum += b.N
	}
	return sum
}

// Most is the highest bar.
func (c ConsoleChart) Most() int {
	most := 0
	for _, b := range c.Bars {
		most = max(most, b.N)
	}
	return most
}

// Drawn is a bar with its place in the chart.
type Drawn struct {
	ConsoleBar
	X, Y, Width, Height int
}

// Draw puts the bars in their places. A day with anything at all is seen.
func (c ConsoleChart) Draw() []Drawn {
	most, out := max(1, c.Most()), make([]Drawn, 0, len(c.Bars))
	for i, b := range c.Bars {
		h := b.N * chartHeight / most
		if b.N > 0 {
			h = max(h, 2)
		}
		out = append(out, Drawn{b, i * (chartBar + chartGap), chartHeight - h, chartBar, h})
	}
	return out
}

// Date is the day of a bar for a program, and for whoever points at it.
func (b ConsoleBar) Date() string { return b.Day.UTC().Format(time.DateOnly) }

// Count is the number of a bar.
func (b ConsoleBar) Count() string { return strconv.Itoa(b.N) }

func (Console) file() string { return "console/console" }

// Policy is the least: the forms go to ourselves.
func (Console) Policy() Policy { return Policy{} }

// Said reports whether there is anything to say.
func (m Message) Said() bool { return m.Key != "" }

// consoleLanguages are those that the console speaks. The pages that everybody sees speak all.
var consoleLanguages = []string{"en", "de"}

// consolePrefix begins the keys of messages that are on pages of the console alone.
const consolePrefix = "admin."

// speaks reports whether a language has to have the message.
func speaks(lang, key string) bool {
	return slices.Contains(consoleLanguages, lang) || !strings.HasPrefix(key, consolePrefix)
}

// Say is a message that comes as a value.
func (v view) Say(m Message) phrase { return v.message(m) }

// Console reports whether the page is one for administrators.
func (v view) Console() bool { return strings.HasPrefix(v.Page.file(), "console/") }

func consoleSamples() []sample {
	m := func(key string, args ...any) Message {
		a := Args{}
		for i := 0; i+1 < len(args); i += 2 {
			a[fmt.Sprint(args[i])] = args[i+1]
		}
		return Message{Key: key, Args: a}
	}
	nav := []ConsoleLink{{Label: m("admin.start"), URL: "/admin", Current: true}, {Label: m("admin.people"),
		URL: "/admin/people"}}
	var bars []ConsoleBar
	for i := range 14 {
		bars = append(bars, ConsoleBar{Day: sampleTime.Add(time.Duration(i-14) * 24 * time.Hour), N: i * i % 23})
	}
	return []sample{
		{"start", Console{
			ID: "console-start", Title: m("admin.start"), Person: samplePerson, Role: m("admin.role.owner"), Nav: nav,
			FindURL: "/admin/search", OutURL: "/account",
			Notice: m("admin.saved"),
			Parts: []ConsolePart{
				{ID: "charts", Heading: m("admin.start.days"), Charts: []ConsoleChart{
					{ID: "chart-in", Label: m("admin.start.signins"), Bars: bars, Style: "good"},
					{ID: "chart-wrong", Label: m("admin.start.failures"), Bars: bars[:3], Style: "bad"},
				}},
				{ID: "facts", Facts: []ConsoleFact{{Label: m("admin.health.version"), Value: []Cell{{Text: "1.0"},
					{Message: m("admin.state.disabled"), Style: "tag"}}}}},
			},
		}},
		{"list", Console{
			ID: "console-people", Title: m("admin.people"), Lead: m("admin.people.lead"), Person: samplePerson,
			Role: m("admin.role.auditor"), Nav: nav, FindURL: "/admin/search",
			Search: "ad", OutURL: "/account", BackURL: "/admin", Back: m("admin.start"),
			Parts: []ConsolePart{
				{ID: "filter", Forms: []ConsoleForm{{ID: "filter-form", Action: "/admin/people", Get: true,
					Submit: m("admin.filter"), Inline: true, Fields: []ConsoleField{
						{ID: "state", Name: "state", Label: m("admin.state"), Kind: "select",
							Options: []ConsoleOption{{Value: "", Label: Cell{Message: m("admin.any")}},
								{Value: "disabled", Label: Cell{Message: m("admin.state.disabled")}, Selected: true}}},
					}}}},
				{ID: "list", Table: &ConsoleTable{Caption: m("admin.people"), Head: []Message{m("admin.username"),
					m("admin.name")}, NextURL: "/admin/people?cursor=x",
					Rows: [][][]Cell{{{{Text: "ada", Link: "/admin/people/1"}},
						{{Text: "Ada Lovelace"}, {Time: sampleTime, Style: "soft"}, {Text: `{"a":1}`, Style: "fold"}}}},
					None: m("admin.none")}},
				{ID: "links", Links: []ConsoleLink{{Label: m("admin.person.new"), URL: "/admin/people/new",
					Main: true}}},
			},
		}},
		{"form", Console{
			ID: "console-form", Title: m("admin.person.new"), Person: samplePerson, Role: m("admin.role.owner"),
			Nav: nav, OutURL: "/account",
			Problem: m("admin.not-saved"), Faults: []ConsoleFault{{"claims.email",
				"is not an address such as ada@example.com"}},
			Parts: []ConsolePart{
				{ID: "new", Forms: []ConsoleForm{{ID: "person-form", Action: "/admin/people", CSRF: "c",
					Submit: m("admin.save"), Main: true, Hidden: [][2]string{{"seen", "3"}}, Fields: []ConsoleField{
						{ID: "username", Name: "username", Label: m("admin.username"), Value: "ada", Required: true,
							Wrong: true},
						{ID: "about", Name: "about", Label: m("admin.name"), Kind: "textarea", Value: "x",
							Hint: m("admin.people.lead")},
						{ID: "disabled", Name: "disabled", Label: m("admin.state.disabled"), Kind: "check", Checked: true},
					}}}},
				{ID: "tried", Heading: m("admin.start"), Steps: []ConsoleStep{
					{Label: m("admin.start"), State: "told"}, {Label: m("admin.people"), State: "failed", Detail: "no",
						Expected: "a", Received: "b"}}},
				{ID: "copy", Code: &ConsoleCode{ID: "secret", Text: "line one\nline two"}, Text: m("admin.people.lead"),
					Warn: m("admin.not-saved")},
			},
		}},
		{"empty", Console{}},
	}
}
