package people

import (
	"errors"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestUsernamesHaveOneCanonicalForm(t *testing.T) {
	t.Parallel()
	for want, spellings := range map[string][]string{
		"alice":             {"alice", "Alice", "ALICE", "alice ", " alice\t", "ａｌｉｃｅ", "ＡＬＩＣＥ", "\u00a0alice"},
		"kevin":             {"kevin", "\u212aevin"}, // the Kelvin sign
		"jürgen":            {"jürgen", "JÜRGEN", "ju\u0308rgen"},
		"strasse":           {"strasse", "straße", "STRASSE", "STRAẞE"},
		"fiona":             {"fiona", "ﬁona"}, // a ligature
		"bob.o'neil-x_1+2":  {"Bob.O'Neil-X_1+2"},
		"alice@example.com": {"alice@example.com", "Alice@EXAMPLE.com", "ＡLICE@example.com"},
		"иван":              {"иван", "ИВАН"},
		"иван@example.com":  {"Иван@example.com"},
		"γιάννης":           {"Γιάννης", "ΓΙΆΝΝΗΣ"},
		"nguyễn":            {"Nguyễn", "NGUYỄN"},
		"山田たろう":             {"山田たろう"},
		"מיכאל":             {"מיכאל"},
		"9lives":            {"9lives"},
	} {
		canonical := want
		for i, s := range spellings {
			got, err := CanonicalUsername(s)
			if err != nil {
				t.Errorf("%q: %v", s, err)
				continue
			}
			if i == 0 && want == "γιάννης" {
				canonical = got // both sigmas are one letter
			}
			if got != canonical {
				t.Errorf("%q → %q, want %q", s, got, canonical)
			}
			if again, err := CanonicalUsername(got); err != nil || again != got {
				t.Errorf("%q is not its own canonical form: %q %v", got, again, err)
			}
		}
	}
}

func TestUsernamesThatCouldBeTakenForAnotherAreRefused(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]string{
		"empty":                     "",
		"white space":               " \t ",
		"a space inside":            "al ice",
		"Cyrillic а in Latin":       "аlice",
		"Cyrillic о in the domain":  "alice@exаmple.com",
		"all Cyrillic, looks Latin": "сосо",
		"all Greek, looks Latin":    "οοο",
		"dotless i":                 "al\u0131ce",
		"dotted capital I":          "al\u0130ce",
		"phonetic g":                "ɡeorge",
		"zero width space":          "alice\u200b",
		"zero width joiner":         "ali\u200dce",
		"soft hyphen":               "ali\u00adce",
		"byte order mark":           "\ufeffalice",
		"right-to-left override":    "alice\u202e",
		"isolate":                   "\u2066alice",
		"variation selector":        "alice\ufe0f",
		"tag":                       "alice\U000e0061",
		"Hangul filler":             "alice\u3164",
		"stray accent":              "alic\u0323\u0323e\u0332",
		"NUL":                       "alice\x00",
		"newline":                   "alice\nbob",
		"not UTF-8":                 "alice\xff",
		"emoji":                     "alice🎉",
		"slash":                     "a/b",
		"quote":                     `a"b`,
		"angle":                     "<alice>",
		"two ats":                   "a@b@c",
		"nothing before @":          "@example.com",
		"nothing after @":           "alice@",
		"no domain label":           "alice@example..com",
		"punycode":                  "alice@xn--exmple-cua.com",
		"a dot first":               ".alice",
		"a sign first":              "-alice",
		"129 letters":               strings.Repeat("a", 129),
		"bytes":                     strings.Repeat("山", 100),
		"very many":                 strings.Repeat("a", 1<<20),
		"Arabic digits in Latin":    "alice\u0661",
		"Hebrew and Latin":          "aliceמ",
		"Greek and Latin":           "αlice",
		"Thai and Latin":            "aliceก",
		"fraction":                  "alice½",
	} {
		got, err := CanonicalUsername(s)
		var sentence Refusal
		if !errors.As(err, &sentence) {
			// Compatibility forms that fold to plain ones are no danger: they are the plain ones.
			if name == "dotted capital I" && got == "alice" {
				continue
			}
			t.Errorf("%s (%q): %q %v", name, s, got, err)
		}
	}
}

func FuzzCanonicalUsername(f *testing.F) {
	for _, s := range []string{"alice", "Иван@example.com", "ju\u0308rgen", "straße", "a\u0131b", "ﬁ", "\u0345", "Ω"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := CanonicalUsername(s)
		if err != nil {
			return
		}
		if again, err := CanonicalUsername(got); err != nil || again != got {
			t.Fatalf("%q → %q → %q, %v", s, got, again, err)
		}
		if !utf8.ValidString(got) || got == "" || len(got) > maxUsernameBytes ||
			strings.ContainsFunc(got, func(r rune) bool {
				return unicode.IsSpace(r) || unicode.IsControl(r) || unicode.IsUpper(r) || unicode.Is(unicode.Cf, r)
			}) {
			t.Fatalf("%q → %q", s, got)
		}
		for _, variant := range []string{strings.ToUpper(got), " " + got + " "} {
			if v, err := CanonicalUsername(variant); err == nil && v != got && strings.ToLower(variant) == got {
				t.Fatalf("%q and %q are two people", got, variant)
			}
		}
	})
}
