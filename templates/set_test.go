package templates

import (
	"bytes"
	"encoding/xml"
	"errors"
	"flag"
	"html/template"
	"io"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

var update = flag.Bool("update", false, "write the golden files anew")

// testNow is a quarter of an hour after most of what happens in the samples.
var testNow = time.Date(2026, 11, 23, 20, 30, 0, 0, time.UTC)

func newSet(t testing.TB, change ...func(*Options)) *Set {
	t.Helper()
	o := Options{Now: func() time.Time { return testNow }}
	for _, c := range change {
		c(&o)
	}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func render(t testing.TB, s *Set, lang string, page Page) string {
	t.Helper()
	var b bytes.Buffer
	if err := s.Render(&b, lang, page); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// element is a tag of a page, with the text inside.
type element struct {
	tag    string
	attr   map[string]string
	text   string
	within []string // tags around it
}

func (e *element) id() string { return e.attr["id"] }

// parse reads a page strictly: every element but the void ones is closed, in order, and no id is
// there twice.
func parse(t testing.TB, page string) []*element {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(page))
	d.Strict, d.AutoClose, d.Entity = false, []string{"meta", "link", "input", "img"}, xml.HTMLEntity
	var all, open []*element
	ids := map[string]bool{}
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%v\n%s", err, page)
		}
		switch token := token.(type) {
		case xml.StartElement:
			e := &element{tag: token.Name.Local, attr: map[string]string{}}
			for _, a := range token.Attr {
				if _, twice := e.attr[a.Name.Local]; twice {
					t.Errorf("<%s> has %s twice", e.tag, a.Name.Local)
				}
				e.attr[a.Name.Local] = a.Value
			}
			for _, o := range open {
				e.within = append(e.within, o.tag)
			}
			if id := e.id(); id != "" {
				if ids[id] {
					t.Errorf("#%s is there twice\n%s", id, page)
				}
				ids[id] = true
			}
			all, open = append(all, e), append(open, e)
		case xml.EndElement:
			open = open[:len(open)-1]
		case xml.CharData:
			for _, o := range open {
				o.text += string(token)
			}
		}
	}
	return all
}

func find(all []*element, match func(*element) bool) []*element {
	return slices.DeleteFunc(slices.Clone(all), func(e *element) bool { return !match(e) })
}

func tagged(all []*element, tag string) []*element {
	return find(all, func(e *element) bool { return e.tag == tag })
}

func byID(t testing.TB, all []*element, id string) *element {
	t.Helper()
	found := find(all, func(e *element) bool { return e.id() == id })
	if len(found) != 1 {
		t.Fatalf("not exactly one #%s", id)
	}
	return found[0]
}

// everyPage calls check for every sample in every language.
func everyPage(t *testing.T, check func(t *testing.T, lang string, page Page, out string)) {
	s := newSet(t)
	for _, lang := range s.order {
		for _, p := range pages {
			if p.file == (Console{}).file() && !slices.Contains(consoleLanguages, lang) {
				continue // it is in English then
			}
			for _, c := range p.samples() {
				t.Run(p.file+" "+c.name+" "+lang, func(t *testing.T) {
					t.Parallel()
					check(t, lang, c.page, render(t, s, lang, c.page))
				})
			}
		}
	}
}

// version is the part of an asset's name that changes with its content.
var version = regexp.MustCompile(`\.[0-9a-f]{16}\.`)

// TestPagesLookAsReviewed compares every case in English, and the first of each page in a language
// that reads the same way and in one that reads from right to left.
func TestPagesLookAsReviewed(t *testing.T) {
	t.Parallel()
	s := newSet(t)
	reviewed := map[string]bool{}
	for _, p := range pages {
		for i, c := range p.samples() {
			for _, lang := range s.order {
				if lang != "en" && (p.file == (Console{}).file() && !slices.Contains(consoleLanguages, lang) || i > 0 ||
					lang != "de" && s.languages[lang].direction != "rtl") {
					continue
				}
				name := filepath.Join("testdata", strings.Join([]string{path.Base(p.file), c.name, lang, "html"}, "."))
				if reviewed[name] {
					t.Errorf("two cases are called %s", name)
				}
				reviewed[name] = true
				got := version.ReplaceAllString(render(t, s, lang, c.page), ".VERSION.")
				if *update {
					if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
						t.Fatal(err)
					}
					continue
				}
				want, err := os.ReadFile(name)
				if err != nil {
					t.Fatal(err)
				}
				if got != string(want) {
					t.Errorf("%s is not what is rendered; see the difference after go test ./templates -update\n%s",
						name, got)
				}
			}
		}
	}
	files, err := filepath.Glob("testdata/*.html")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		if !reviewed[name] {
			t.Errorf("%s is no case of any page", name)
		}
	}
}

func TestThePagesAreATableWithoutGaps(t *testing.T) {
	t.Parallel()
	listed := map[string]bool{"layout.html": true}
	for _, p := range pages {
		listed[p.file+".html"] = true
		if len(p.samples()) == 0 {
			t.Errorf("%s has no samples", p.file)
		}
		for _, c := range p.samples() {
			if c.page.file() != p.file {
				t.Errorf("%s: the sample %s is of %s", p.file, c.name, c.page.file())
			}
		}
	}
	sources, err := newSet(t).sources()
	if err != nil {
		t.Fatal(err)
	}
	for name := range sources {
		if !listed[name] {
			t.Errorf("html/%s belongs to no page", name)
		}
	}
}

func TestEveryPageHasTheIdsThatAutomationKnows(t *testing.T) {
	t.Parallel()
	everyPage(t, func(t *testing.T, _ string, page Page, out string) {
		all := parse(t, out)
		row := pages[slices.IndexFunc(pages, func(p pageRow) bool { return p.file == page.file() })]
		for _, id := range row.ids {
			byID(t, all, id)
		}
		if l, ok := page.(Login); ok {
			if l.Reauthenticate == nil {
				u := byID(t, all, "username")
				if _, readonly := u.attr["readonly"]; readonly || u.attr["name"] != "username" ||
					u.attr["value"] != l.Username {
					t.Errorf("username: %v", u.attr)
				}
			} else if len(find(all, func(e *element) bool { return e.id() == "username" })) != 0 {
				t.Error("whoever has to prove who they are once more is asked for a username that is known")
			}
		}
	})
}

func TestEveryPageCanBeUsedByEverybody(t *testing.T) {
	t.Parallel()
	everyPage(t, func(t *testing.T, lang string, page Page, out string) {
		all := parse(t, out)
		html := tagged(all, "html")[0]
		if html.attr["lang"] != lang || html.attr["dir"] != map[bool]string{true: "rtl", false: "ltr"}[lang == "ar"] {
			t.Errorf("html: %v", html.attr)
		}
		if h := tagged(all, "h1"); len(h) != 1 {
			t.Errorf("%d h1", len(h))
		}
		if title := find(all, func(e *element) bool {
			return e.tag == "title" && !slices.Contains(e.within,
				"svg")
		}); len(title) != 1 || !strings.HasSuffix(title[0].text, " – Latchkey") {
			t.Errorf("title: %v", title)
		}
		labels := map[string]bool{}
		for _, l := range tagged(all, "label") {
			if strings.TrimSpace(l.text) == "" {
				t.Error("an empty label")
			}
			labels[l.attr["for"]] = true
		}
		for _, in := range slices.Concat(tagged(all, "input"), tagged(all, "select"), tagged(all, "textarea")) {
			if _, hidden := in.attr["hidden"]; in.attr["type"] != "hidden" && !hidden && !labels[in.id()] {
				t.Errorf("no label for %v", in.attr)
			}
			if in.attr["placeholder"] != "" {
				t.Error("a placeholder is no label")
			}
			if by := strings.Fields(in.attr["aria-describedby"]); len(by) > 0 && in.attr["aria-invalid"] != "" &&
				byID(t, all, by[len(by)-1]).attr["role"] != "alert" {
				t.Errorf("#%s is not an alert", by)
			}
		}
		for _, b := range tagged(all, "button") {
			if b.attr["type"] != "submit" && b.attr["id"] != "passkey-use" || strings.TrimSpace(b.text) == "" ||
				b.attr["type"] == "submit" && !slices.Contains(b.within, "form") {
				t.Errorf("button %v %q", b.attr, b.text)
			}
		}
		for _, e := range all {
			if _, ok := e.attr["alt"]; e.tag == "img" && !ok {
				t.Error("a picture without alt")
			}
			for _, name := range []string{"aria-labelledby", "aria-describedby"} {
				for to := range strings.FieldsSeq(e.attr[name]) {
					byID(t, all, to)
				}
			}
			if e.tag == "iframe" && e.attr["title"] == "" {
				t.Error("a frame without title")
			}
		}
		if focus := find(all, func(e *element) bool { _, ok := e.attr["autofocus"]; return ok }); len(focus) > 1 {
			t.Error("the focus can be in one place only")
		}
	})
}

func TestPagesOfDifferentKindsHaveDifferentTitles(t *testing.T) {
	t.Parallel()
	s := newSet(t)
	for _, lang := range s.order {
		kinds := map[string]string{}
		for _, p := range pages {
			for _, c := range p.samples() {
				title := tagged(parse(t, render(t, s, lang, c.page)), "title")[0].text
				if other, ok := kinds[title]; ok && other != p.file && !strings.HasPrefix(title, " –") {
					t.Errorf("%s and %s are both called %q", other, p.file, title)
				}
				kinds[title] = p.file
			}
		}
	}
	if title := tagged(parse(t, render(t, s, "en", loginSamples()[0].page)),
		"title")[0].text; title != "Sign in to Field Notes – Latchkey" {
		t.Errorf("title: %q", title)
	}
}

func TestNoPageNeedsMoreThanItsPolicyAllows(t *testing.T) {
	t.Parallel()
	everyPage(t, func(t *testing.T, _ string, page Page, out string) {
		if strings.Contains(out, "ZgotmplZ") {
			t.Errorf("an address was refused:\n%s", out)
		}
		for _, e := range parse(t, out) {
			for name, value := range e.attr {
				if strings.HasPrefix(name, "on") || name == "style" || strings.HasPrefix(strings.ToLower(value),
					"javascript:") {
					t.Errorf("<%s %s=%q>", e.tag, name, value)
				}
			}
			switch e.tag {
			case "style", "base", "object", "embed":
				t.Errorf("<%s>", e.tag)
			case "script":
				if !slices.Contains([]string{"signin/form_post", "signin/onward", "signin/check_session", "signin/login",
					"signin/mfa", "signin/passkey", "account/methods"}, page.file()) || !strings.HasPrefix(e.attr["src"],
					"/assets/") || e.text != "" {
					t.Errorf("script on %s: %v", page.file(), e.attr)
				}
			case "link":
				if !strings.HasPrefix(e.attr["href"], "/assets/") {
					t.Errorf("link %v", e.attr)
				}
			case "img":
				if e.attr["referrerpolicy"] != "no-referrer" {
					t.Errorf("img %v", e.attr)
				}
			case "iframe":
				if page.file() != "account/logged_out" || strings.Contains(e.attr["sandbox"], "top-navigation") ||
					!strings.Contains(e.attr["sandbox"], "allow-scripts") {
					t.Errorf("iframe %v", e.attr)
				}
			case "a":
				if rel := e.attr["rel"]; e.attr["target"] == "_blank" && rel != "noopener noreferrer" {
					t.Errorf("a %v", e.attr)
				}
			case "form":
				if get := e.attr["method"] == "get" && page.file() == (Console{}).file(); e.attr["method"] != "post" &&
					!get {
					t.Errorf("form %v", e.attr)
				}
			}
		}
	})
}

func TestEveryFormOfOursCarriesItsCSRFValue(t *testing.T) {
	t.Parallel()
	everyPage(t, func(t *testing.T, _ string, page Page, out string) {
		all := parse(t, out)
		forms, values := len(find(all, func(e *element) bool { return e.tag == "form" && e.attr["method"] == "post" })),
			len(find(all, func(e *element) bool { return e.tag == "input" && e.attr["name"] == "csrf" }))
		if page.file() == "signin/form_post" {
			forms = 0 // it goes to the application, which must not learn one
		}
		if forms != values {
			t.Errorf("%d forms, %d with csrf", forms, values)
		}
	})
}

func TestAPageIsSmall(t *testing.T) {
	t.Parallel()
	sheet, mark := len(assets["style.css"].content), len(assets["mark.svg"].content)
	if sheet > 18<<10 {
		t.Errorf("the stylesheet has %d bytes", sheet)
	}
	everyPage(t, func(t *testing.T, _ string, _ Page, out string) {
		if total := len(out) + sheet + mark; total > 50<<10 {
			t.Errorf("%d bytes", total)
		}
	})
}

func TestLoginErrorsAreLinkedToTheFieldThatNeedsAttention(t *testing.T) {
	t.Parallel()
	s := newSet(t)
	focus := func(l Login) string {
		all := parse(t, render(t, s, "en", l))
		if l.Error != "" {
			byID(t, all, "login-error")
			if p := byID(t, all, "password"); p.attr["aria-invalid"] != "true" ||
				p.attr["aria-describedby"] != "login-error" {
				t.Errorf("password: %v", p.attr)
			}
		}
		if p := byID(t, all, "password"); p.attr["value"] != "" || p.attr["autocomplete"] != "current-password" {
			t.Errorf("password: %v", p.attr)
		}
		f := find(all, func(e *element) bool { _, ok := e.attr["autofocus"]; return ok })
		if len(f) != 1 {
			t.Fatalf("%d elements have the focus", len(f))
		}
		return f[0].id()
	}
	for _, c := range []struct {
		page Login
		want string
	}{
		{Login{}, "username"},
		{Login{Username: "ada"}, "password"},
		{Login{Error: LoginIncomplete}, "username"},
		{Login{Username: "ada", Error: LoginIncomplete}, "password"},
		{Login{Username: "ada", Error: LoginWrong}, "password"},
		{Login{Username: "ada", Reauthenticate: &Person{Username: "ada"}}, "password"},
		{Login{Reauthenticate: &Person{Username: "ada"}, Error: LoginWrong}, "password"},
	} {
		if got := focus(c.page); got != c.want {
			t.Errorf("%+v: focus on %s", c.page, got)
		}
	}
	throttled := render(t, s, "en", Login{Error: LoginThrottled, ThrottledUntil: testNow.Add(4*time.Minute +
		time.Second)})
	if !strings.Contains(throttled, "Wait 5 minutes, then") {
		t.Error(throttled)
	}
}

func TestConsentMarksWhatIsNewOnlyBesideWhatIsNot(t *testing.T) {
	t.Parallel()
	s := newSet(t)
	marks := func(items ...ScopeItem) int {
		return strings.Count(render(t, s, "en", Consent{Scopes: items}), `class="tag">new<`)
	}
	old, fresh := ScopeItem{Title: "old"}, ScopeItem{Title: "fresh", New: true}
	if marks(fresh, fresh) != 0 || marks(old, fresh) != 1 || marks(old) != 0 {
		t.Error("when everything is new, nothing is marked; otherwise what is new")
	}
}

func TestAllowAndDenyStandSideBySide(t *testing.T) {
	t.Parallel()
	all := parse(t, render(t, newSet(t), "en", Consent{}))
	allow, deny := byID(t, all, "consent-allow"), byID(t, all, "consent-deny")
	if !slices.Equal(allow.within, deny.within) || allow.attr["value"] != "allow" || deny.attr["value"] != "deny" {
		t.Errorf("%v %v", allow.attr, deny.attr)
	}
}

func TestEveryEndingHasAButton(t *testing.T) {
	t.Parallel()
	everyPage(t, func(t *testing.T, _ string, page Page, out string) {
		if _, frame := page.(CheckSession); frame {
			return
		}
		if _, console := page.(Console); console {
			return // most of its pages end nothing
		}
		if _, framed := page.(interface{ frame() *Frame }); framed {
			return // the way on stands beside it
		}
		main := find(parse(t, out), func(e *element) bool {
			return (e.tag == "a" || e.tag == "button") && slices.Contains(strings.Fields(e.attr["class"]), "main")
		})
		if _, choice := page.(Accounts); len(main) != 1 && !choice {
			t.Errorf("%d main buttons", len(main))
		}
	})
}

func TestLoggedOutGoesOnOrLooksAgainByItself(t *testing.T) {
	t.Parallel()
	s := newSet(t)
	refresh := func(p LoggedOut) string {
		for _, m := range tagged(parse(t, render(t, s, "en", p)), "meta") {
			if m.attr["http-equiv"] == "refresh" {
				return m.attr["content"]
			}
		}
		return ""
	}
	for _, c := range []struct {
		page LoggedOut
		want string
	}{
		{LoggedOut{ContinueURL: "https://a.example/?state='\";url=x"}, ""},
		{LoggedOut{ContinueURL: "https://a.example/?state=1&b=2", RefreshSeconds: 2},
			"2; url=https://a.example/?state=1&b=2"},
		{LoggedOut{ContinueURL: "https://a.example/", ReloadURL: "/logout/done?look=1", RefreshSeconds: 3},
			"3; url=/logout/done?look=1"},
		{LoggedOut{ContinueURL: "org.example.app:/bye", RefreshSeconds: 2}, "2; url=org.example.app:/bye"},
		{LoggedOut{ContinueURL: "javascript:alert(1)", RefreshSeconds: 2}, ""},
	} {
		if got := refresh(c.page); got != c.want {
			t.Errorf("%+v: %q", c.page, got)
		}
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errors.New("gone") }

func TestRenderWritesAWholePageOrNothing(t *testing.T) {
	t.Parallel()
	s := newSet(t)
	if err := s.Render(brokenWriter{}, "en", Error{}); err == nil {
		t.Error("an error of the writer was lost")
	}
	var b bytes.Buffer
	if err := s.Render(&b, "en", nil); err == nil || b.Len() > 0 {
		t.Error("no page was rendered")
	}
	broken, err := template.New("").Parse(`{{define "page"}}half {{.Nothing}}{{end}}`)
	if err != nil {
		t.Fatal(err)
	}
	s.pages[Account{}.file()] = broken
	if err := s.Render(&b, "en", Account{}); err == nil || b.Len() > 0 {
		t.Errorf("%v, and %d bytes were written", err, b.Len())
	}
	if got, want := render(t, s, "xx", Login{}), render(t, s, "en", Login{}); got != want {
		t.Error("an unknown language is not English")
	}
}

func TestAnIssuerWithAPathHasItsAssetsBelowIt(t *testing.T) {
	t.Parallel()
	s := newSet(t, func(o *Options) { o.Path, o.ProviderName = "/idp", "Acme <3" })
	out := render(t, s, "en", Login{})
	if !strings.Contains(out, `href="/idp`+AssetPath("style.css")+`"`) ||
		!strings.Contains(out, "<title>Sign in – Acme &lt;3</title>") {
		t.Error(out)
	}
}

func TestOperatorsReplaceTemplatesAndWords(t *testing.T) {
	t.Parallel()
	file := func(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s)} }
	own := newSet(t, func(o *Options) {
		o.Overrides = fstest.MapFS{
			"error.html":       file(`{{define "title"}}Oops{{end}}{{define "main"}}<main id="op-error"><h1>{{.T "error.help"}}</h1></main>{{end}}`),
			"messages/en.json": file(`{"messages":{"error.help":"Call Bob.","login.title.own":"Come in"}}`),
			"messages/eo.json": file(`{"messages":{"login.title.own":"Ensaluti","time.hours-ago":{"one":"antaŭ horo","other":"antaŭ {n} horoj"}}}`),
		}
	})
	if out := render(t, own, "en", Error{}); !strings.Contains(out, "<h1>Call Bob.</h1>") ||
		!strings.Contains(out, "<title>Oops – Latchkey</title>") {
		t.Error(out)
	}
	if out := render(t, own, "en", Login{}); !strings.Contains(out, `id="login-page"`) ||
		!strings.Contains(out, "<h1>Come in</h1>") {
		t.Error("what was not replaced is gone, or what was replaced is not")
	}
	out := render(t, own, own.Match(nil, "eo"), Consent{App: sampleApp})
	if !strings.Contains(out, `<html lang="eo" dir="ltr">`) ||
		!strings.Contains(out, `<span lang="en"> asks for your permission</span>`) {
		t.Errorf("an added language lacks words, which are not in English and marked as English:\n%s", out)
	}
	if out := render(t, own, "eo", Login{}); !strings.Contains(out, "<h1>Ensaluti</h1>") {
		t.Error(out)
	}
	needed := 0 // pages for administrators do without an operator's language
	for key := range english().messages {
		if speaks("eo", key) {
			needed++
		}
	}
	if m := own.Missing("eo"); len(m) != needed-2+1 || !slices.Contains(m, "months") ||
		slices.Contains(m, "time.hours-ago") {
		t.Errorf("missing: %v", m)
	}
	if m := own.Missing("en"); len(m) != 0 {
		t.Errorf("missing: %v", m)
	}
	for name, c := range map[string]struct {
		files fstest.MapFS
		want  string
	}{
		"a file that replaces nothing": {fstest.MapFS{"signin/logni.html": file("")},
			`"signin/logni.html" replaces nothing`},
		"a template that does not parse": {fstest.MapFS{"signin/login.html": file("{{if}}")}, "signin/login.html"},
		"a field that is not there":      {fstest.MapFS{"signin/login.html": file(`{{define "title"}}x{{end}}{{define "main"}}{{.Page.Pasword}}{{end}}`)}, "Pasword"},
		"a message that is not there":    {fstest.MapFS{"signin/login.html": file(`{{define "title"}}x{{end}}{{define "main"}}{{.T "nope"}}{{end}}`)}, "nope"},
		"a message without its value":    {fstest.MapFS{"signin/login.html": file(`{{define "title"}}x{{end}}{{define "main"}}{{.T "login.title"}}{{end}}`)}, "{app}"},
		"a page without main":            {fstest.MapFS{"layout.html": file(`{{define "page"}}{{template "mian" .}}{{end}}`)}, "mian"},
		"a message that nothing uses": {fstest.MapFS{"messages/de.json": file(`{"messages":{"bakc":"x"}}`)},
			`"bakc"`},
		"a language that is none":    {fstest.MapFS{"messages/klingon!.json": file(`{}`)}, "language tag"},
		"a file that is no language": {fstest.MapFS{"messages/notes.txt": file(`{}`)}, "messages/notes.txt"},
		"messages that are not JSON": {fstest.MapFS{"messages/de.json": file(`{`)}, "messages/de.json"},
		"a message that is a number": {fstest.MapFS{"messages/de.json": file(`{"messages":{"back":7}}`)},
			"messages/de.json"},
		"a direction that is neither": {fstest.MapFS{"messages/de.json": file(`{"direction":"up"}`)},
			"ltr or rtl"},
		"a year of eleven months":             {fstest.MapFS{"messages/de.json": file(`{"months":["a","b","c","d","e","f","g","h","i","j","k"]}`)}, "twelve"},
		"a message with a value it never has": {fstest.MapFS{"messages/de.json": file(`{"messages":{"back-to":"{who}"}}`)}, `"back-to"`},
		"an empty message": {fstest.MapFS{"messages/de.json": file(`{"messages":{"back":""}}`)},
			`"back" is empty`},
		"a plural form that is none":         {fstest.MapFS{"messages/de.json": file(`{"messages":{"time.hours-ago":{"some":"x","other":"x"}}}`)}, `"some"`},
		"a plural form the language has not": {fstest.MapFS{"messages/de.json": file(`{"messages":{"time.hours-ago":{"one":"x","few":"x","other":"x"}}}`)}, "plural form few"},
		"a plural form that is missing":      {fstest.MapFS{"messages/de.json": file(`{"messages":{"time.hours-ago":"vor {n} Stunden"}}`)}, "lacks the plural form one"},
		"plural forms without a number":      {fstest.MapFS{"messages/de.json": file(`{"messages":{"back":{"one":"x","other":"x"}}}`)}, "depends on no number"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := New(Options{Overrides: c.files})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v", err)
			}
		})
	}
}

func BenchmarkRenderLogin(b *testing.B) {
	s := newSet(b)
	page := loginSamples()[0].page
	b.ReportAllocs()
	for b.Loop() {
		if err := s.Render(io.Discard, "en", page); err != nil {
			b.Fatal(err)
		}
	}
}
