package templates

import (
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/text/feature/plural"
)

func TestEveryMessageIsThereInEveryLanguageWithItsFormsAndValues(t *testing.T) {
	t.Parallel()
	s := newSet(t) // New refuses plural forms that are missing, or that the language does not have
	if len(s.order) < 2 || s.order[0] != "en" {
		t.Fatalf("languages: %v", s.order)
	}
	for _, lang := range s.order {
		for _, key := range s.Missing(lang) {
			t.Errorf("messages/%s.json lacks %q", lang, key)
		}
		for key, m := range s.languages[lang].messages {
			want := english().messages[key].values()
			for form, text := range m {
				got := text.values()
				// A form that stands for one number can say it in a word: "an hour ago".
				if spelled := m.plural() && (form == plural.Zero || form == plural.One || form == plural.Two); spelled {
					got = append(got, "n")
					slices.Sort(got)
					got = slices.Compact(got)
				}
				if !slices.Equal(got, want) {
					t.Errorf("%s %s: %v, in English %v", lang, key, got, want)
				}
			}
		}
	}
}

// TestNumbersAreSaidInTheFormsOfTheLanguage takes the rules from CLDR's examples.
func TestNumbersAreSaidInTheFormsOfTheLanguage(t *testing.T) {
	t.Parallel()
	for lang, want := range map[string]map[int]plural.Form{
		"en": {0: plural.Other, 1: plural.One, 2: plural.Other},
		"fr": {0: plural.One, 1: plural.One, 2: plural.Other},
		"pl": {1: plural.One, 2: plural.Few, 4: plural.Few, 5: plural.Many, 12: plural.Many, 22: plural.Few,
			101: plural.Many},
		"ar": {0: plural.Zero, 1: plural.One, 2: plural.Two, 3: plural.Few, 10: plural.Few, 11: plural.Many,
			99: plural.Many, 100: plural.Other},
		"ja": {0: plural.Other, 1: plural.Other, 5: plural.Other},
	} {
		c, err := newCatalogue(lang)
		if err != nil {
			t.Fatal(err)
		}
		for n, form := range want {
			if got := c.form(n); got != form {
				t.Errorf("%s %d: form %v, not %v", lang, n, got, form)
			}
		}
		for form := range c.forms() {
			if !slices.Contains(slices.Collect(maps.Values(want)), form) && form != plural.Other {
				t.Errorf("%s has the form %v", lang, form)
			}
		}
	}
}

func TestListsAreSaidAsPeopleSayThem(t *testing.T) {
	t.Parallel()
	v := newSet(t).view("en", nil)
	for want, names := range map[string][]string{"": nil, "a": {"a"}, "a and b": {"a", "b"},
		"a, b and c": {"a", "b", "c"}, "a, b, c and d": {"a", "b", "c", "d"}} {
		if got := v.List(names); got.String() != want || len(names) > 0 && !got[0].Name {
			t.Errorf("%q: %q", want, got)
		}
	}
}

func TestEveryProblemHasWords(t *testing.T) {
	t.Parallel()
	used := map[string]bool{}
	for _, p := range problems {
		if p.key("title") == "" {
			t.Errorf("%s has no title", p)
		}
		for _, part := range []string{"title", "text", "advice"} {
			used[p.key(part)] = true
		}
	}
	for key := range english().messages {
		if strings.HasPrefix(key, "problem.") && !used[key] {
			t.Errorf("%q is of no problem", key)
		}
	}
	if got := (Error{Problem: MethodNotAllowed,
		Args: Args{"methods": []string{"GET",
			"POST"}}}).Text(); got != "This address accepts only GET and POST requests." {
		t.Error(got)
	}
	if got := (Error{Problem: LogoutRedirect}).Text(); !strings.HasPrefix(got, "It asked us") {
		t.Error(got)
	}
	if got := newSet(t).Text("de", Message{Key: "back-to", Args: Args{"app": "A"}}); got != "Zurück zu A" {
		t.Error(got)
	}
}

func TestEveryMessageIsUsed(t *testing.T) {
	t.Parallel()
	s := newSet(t)
	sources, err := s.sources()
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, text := range sources {
		all.WriteString(text)
	}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		if !strings.HasSuffix(name, "_test.go") {
			all.Write(readFile(t, name))
		}
	}
	// Pages for administrators are put together in provider/console.
	files, err = filepath.Glob("../provider/console/*.go")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, name := range files {
		if !strings.HasSuffix(name, "_test.go") {
			all.Write(readFile(t, name))
		}
	}
	for key := range english().messages {
		chosen := false // by a value: a scope, a claim, a reason, a state
		for _, prefix := range []string{"scope.", "claim.", "refused.reason.", "logged-out.", "problem.",
			"password.refused.", "mail.", "activity.", "reset.", "invitation.", "lost-", "confirm.",
			"admin.confirm.", "admin.key.state.", "admin.key.use.", "admin.mail.state.", "admin.outcome.",
			"admin.role.", "admin.rule.", "admin.scope.", "admin.state.", "admin.type.", "admin.health.",
			"admin.doctor."} {
			chosen = chosen || strings.HasPrefix(key, prefix)
		}
		if !chosen && !strings.Contains(all.String(), `"`+key+`"`) {
			t.Errorf("nothing uses %q", key)
		}
	}
}

func TestMatchChoosesTheLanguage(t *testing.T) {
	t.Parallel()
	s := newSet(t)
	for _, c := range []struct {
		locales []string
		accept  string
		want    string
	}{
		{nil, "", "en"},
		{nil, "de", "de"},
		{nil, "pt-BR,en;q=0.5", "pt"},
		{nil, "pt-PT", "pt"},
		{nil, "zh-CN,zh;q=0.9,en;q=0.8", "zh-Hans"},
		{nil, "ar-EG", "ar"},
		{nil, "es-419,es;q=0.9", "es"},
		{[]string{"fr-CA"}, "en", "fr"},
		{nil, "de-AT,de;q=0.9,en;q=0.8", "de"},
		{nil, "sv,de;q=0.5", "de"},
		{nil, "sv", "en"},
		{nil, "en-GB,de;q=0.9", "en"},
		{nil, ";;;=", "en"},
		{[]string{"de"}, "en", "de"},
		{[]string{"sv", "de-CH"}, "en", "de"},
		{[]string{"sv", "xx-invalid-tag-that-is-too-long-for-anything"}, "de", "de"},
		{[]string{"sv"}, "de", "de"},
		{[]string{"\x00", "de"}, "", "de"},
		{slices.Repeat([]string{"sv"}, 10), "de", "de"},
		{append(slices.Repeat([]string{"sv"}, 10), "de"), "en", "en"},
		{nil, "de," + strings.Repeat("x", 1<<20), "de"},
		{nil, strings.Repeat("x", 1<<20), "en"},
	} {
		if got := s.Match(c.locales, c.accept); got != c.want {
			t.Errorf("%.3q %.40q: %s", c.locales, c.accept, got)
		}
	}
}

func FuzzMatch(f *testing.F) {
	s := newSet(f)
	f.Add("de en", "de-AT,de;q=0.9")
	f.Add("zh-Hant-TW x-y", "*;q=0,und-u-co-x")
	f.Fuzz(func(t *testing.T, locales, accept string) {
		if lang := s.Match(strings.Split(locales, " "), accept); !slices.Contains(s.order, lang) {
			t.Errorf("%q", lang)
		}
	})
}

func TestTimesAreSaidAsPeopleSayThem(t *testing.T) {
	t.Parallel()
	v := newSet(t).view("en", nil)
	for want, at := range map[string]time.Time{
		"":                       {},
		"just now":               testNow.Add(-time.Minute),
		"2 minutes ago":          testNow.Add(-2 * time.Minute),
		"59 minutes ago":         testNow.Add(-time.Hour + time.Second),
		"an hour ago":            testNow.Add(-time.Hour),
		"2 hours ago":            testNow.Add(-2 * time.Hour),
		"23 hours ago":           testNow.Add(-24*time.Hour + time.Second),
		"22 Nov 2026, 20:30 UTC": testNow.Add(-24 * time.Hour),
		"24 Nov 2026, 20:30 UTC": testNow.Add(24 * time.Hour),
	} {
		if got := v.When(at).String(); got != want {
			t.Errorf("%s: %q", want, got)
		}
	}
	for want, left := range map[string]time.Duration{
		"1 second": -time.Hour, "30 seconds": 30 * time.Second, "1 minute": time.Minute, "2 minutes": 61 * time.Second,
		"1 hour": time.Hour, "2 hours": 61 * time.Minute,
	} {
		if got := v.Wait(testNow.Add(left)).String(); got != want {
			t.Errorf("%v: %q", left, got)
		}
	}
}

func TestScopesAreSentences(t *testing.T) {
	t.Parallel()
	s := newSet(t)
	names := func(items []ScopeItem) string {
		var out []string
		for _, i := range items {
			n := i.Name
			if i.New {
				n += "*"
			}
			out = append(out, n)
		}
		return strings.Join(out, " ")
	}
	known := func(kind, name string) bool {
		return kind == "scope" && (name == "openid" || name == "email") || kind == "claim" && name == "orders:read"
	}
	items := s.Scopes("en", []string{"openid", "email", "openid", "offline_access", "orders:read", ""},
		[]string{"birthdate", "phone_number", "phone_number_verified", "badge"}, []string{"https://api.example/v1",
			"urn:x"}, known)
	if got := names(items); got != "openid email offline_access* orders:read* birthdate* phone_number* badge* https://api.example/v1* urn:x*" {
		t.Error(got)
	}
	titles := map[string]string{}
	for _, i := range items {
		titles[i.Name] = i.Title
	}
	for name, want := range map[string]string{
		"orders:read": "Use “orders:read”", "birthdate": "See one detail of your profile: Birthday",
		"badge":                  "See one detail of your profile: badge",
		"https://api.example/v1": "Act for you at api.example", "urn:x": "Act for you at urn:x",
		"offline_access": "Stay connected while you are away",
	} {
		if titles[name] != want {
			t.Errorf("%s: %q", name, titles[name])
		}
	}
	if all := s.Scopes("de", []string{"openid"}, nil, nil, nil); len(all) != 1 || !all[0].New ||
		all[0].Title != "Wissen, dass Sie es sind" {
		t.Errorf("%+v", all)
	}
	for _, lang := range s.order {
		for _, scope := range []string{"openid", "profile", "email", "address", "phone", "groups", "offline_access"} {
			if i := s.Scopes(lang, []string{scope}, nil, nil, nil); strings.Contains(i[0].Title, scope) &&
				strings.Contains(i[0].Title, "“") || i[0].Detail == "" {
				t.Errorf("%s in %s: %+v", scope, lang, i)
			}
		}
	}
}
