package templates

import (
	"fmt"
	"html/template"
	"reflect"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestNamesAreShownAsTheyAreAndNoMore(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                              "",
		"Ada Lovelace":                  "Ada Lovelace",
		"  a \n\t b  ":                  "a b",
		"evil\u202egpj.exe":             "evilgpj.exe",
		"a\u2066b\u2069\u200e\u200f":    "ab",
		"pay\u200bpal\ufeff\u2060":      "paypal",
		"pay\u200dpal":                  "paypal",
		"نامه\u200cای":                  "نامه\u200cای",
		"👩\u200d🔬":                      "👩\u200d🔬",
		"a\x00b\x1b[31m":                "ab[31m",
		"\U000e0041x":                   "x",
		"z\u0301\u0302\u0303\u0304a":    "z\u0301\u0302a",
		"\xff":                          "\ufffd",
		strings.Repeat("W", 10_000):     strings.Repeat("W", maxShown) + "…",
		strings.Repeat("\u202e", 10000): "",
		strings.Repeat("ü", maxShown):   strings.Repeat("ü", maxShown),
	} {
		if got := shown(in); got != want {
			t.Errorf("%.40q: %.90q", in, got)
		}
	}
	for want, in := range map[string][2]string{"AL": {"Ada King Lovelace", "x"}, "A": {"", "ada"}, "": {"<>", ""},
		"Ü": {"ümit", ""}, "1": {"", "1x"}} {
		if got := initials(in[0], in[1]); got != want {
			t.Errorf("%q: %q", in, got)
		}
	}
}

func FuzzShown(f *testing.F) {
	f.Add("Ada\u202e\x00")
	f.Add(strings.Repeat("0", maxShown-1) + " 00")
	f.Fuzz(func(t *testing.T, s string) {
		out := shown(s)
		if !utf8.ValidString(out) || utf8.RuneCountInString(out) > maxShown+1 || shown(out) != out &&
			utf8.RuneCountInString(out) <= maxShown {
			t.Errorf("%q", out)
		}
		for _, r := range out {
			if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
				t.Errorf("%q", out)
			}
		}
	})
}

func TestOnlyAddressesThatLeadSomewhereAreLinked(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]any{
		"":                      nil,
		"https://a.example/x":   "https://a.example/x",
		"HTTP://a.example":      "HTTP://a.example",
		"/account":              "/account",
		"?a=b:c":                "?a=b:c",
		"/x?u=a:b":              "/x?u=a:b",
		"org.example.app:/back": template.URL("org.example.app:/back"),
		"javascript:alert(1)":   nil,
		"JaVaScRiPt:alert(1)":   nil,
		"data:text/html,x":      nil,
		"vbscript:x":            nil,
		"file:///etc/passwd":    nil,
		"blob:https://a/b":      nil,
		" javascript:alert(1)":  nil,
		"java\nscript.:x":       nil,
		"a.example/x":           nil,
		"x":                     nil,
		`a"b.c:d`:               nil,
	} {
		if got := link(address); got != want {
			t.Errorf("%q: %#v", address, got)
		}
	}
	for whom, want := range map[string]string{
		"it@example.org": "mailto:it@example.org", "https://help.example/": "https://help.example/", "Bob, room 7": "",
		"javascript:x":         "",
		"Bob <it@example.org>": "", "http://help.example/": "",
	} {
		if got := contact(whom).Link; got != want {
			t.Errorf("%q: %q", whom, got)
		}
	}
}

// poison puts s into every text of a page, however deep.
func poison(v reflect.Value, s string) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(s)
	case reflect.Struct:
		if v.Type().PkgPath() == "time" {
			return
		}
		for i := range v.NumField() {
			if name := v.Type().Name(); strings.HasPrefix(name, "Console") && v.Type().Field(i).Name == "ID" {
				continue // of an element: a word of ours, and there once
			}
			poison(v.Field(i), s)
		}
	case reflect.Pointer:
		if !v.IsNil() {
			fresh := reflect.New(v.Type().Elem())
			fresh.Elem().Set(v.Elem())
			poison(fresh.Elem(), s)
			v.Set(fresh)
		}
	case reflect.Slice:
		fresh := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
		reflect.Copy(fresh, v)
		for i := range fresh.Len() {
			poison(fresh.Index(i), s)
		}
		v.Set(fresh)
	case reflect.Array:
		for i := range v.Len() {
			poison(v.Index(i), s)
		}
	}
}

func TestHostileWordsStayWords(t *testing.T) {
	t.Parallel()
	s := newSet(t)
	var all []sample
	for _, p := range pages {
		for _, c := range p.samples() {
			all = append(all, sample{p.file + " " + c.name, c.page})
		}
	}
	for _, c := range all {
		page := c.page
		for j, hostile := range []string{
			`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `' onfocus=alert(1) autofocus x='`, "javascript:alert(1)",
			"{{.Page}}", "</title><script>alert(1)</script>", "evil\u202egpj.exe\u200b\x00", strings.Repeat("W", 10_000), "\xff\xfe", "-->",
		} {
			t.Run(fmt.Sprintf("%s %d", c.name, j), func(t *testing.T) {
				t.Parallel()
				v := reflect.New(reflect.TypeOf(page)).Elem()
				v.Set(reflect.ValueOf(page))
				poison(v, hostile)
				hostilePage := v.Interface().(Page)
				out := strings.ToValidUTF8(render(t, s, "en", hostilePage), "\ufffd") // as a browser reads it
				for _, e := range parse(t, out) {
					for name, value := range e.attr {
						if strings.HasPrefix(name, "on") {
							t.Errorf("<%s %s>", e.tag, name)
						}
						if (name == "href" || name == "src" || name == "action" || name == "content") && strings.HasPrefix(value, "javascript") {
							t.Errorf("<%s %s=%q>", e.tag, name, value)
						}
					}
					if e.tag == "script" && (e.attr["src"] == "" || e.text != "") {
						t.Errorf("a script: %q", e.text)
					}
					if e.tag == "img" && e.attr["src"] == "x" {
						t.Error("a picture that is none of ours")
					}
					if len(e.within) == 1 || e.tag == "html" || e.tag == "form" || e.tag == "main" {
						continue
					}
					if strings.ContainsAny(e.text, "\u202e\u200b\x00") {
						t.Errorf("<%s> shows %q", e.tag, e.text)
					}
					if e.tag == "h1" && len(e.text) > 6*maxSentence {
						t.Errorf("<%s> has %d bytes", e.tag, len(e.text))
					}
				}
			})
		}
	}
}
