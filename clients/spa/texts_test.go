package spa

import (
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

func TestNoLanguageLacksATextOrAPlaceholder(t *testing.T) {
	t.Parallel()
	script, err := os.ReadFile("app.js")
	if err != nil {
		t.Fatal(err)
	}
	for _, use := range regexp.MustCompile(`\bwords\.([a-z_]+)`).FindAllStringSubmatch(string(script), -1) {
		if byLanguage[0].Script[use[1]] == "" {
			t.Errorf("the script says %s, which has no text", use[1])
		}
	}
	english := reflect.ValueOf(*byLanguage[0])
	for _, one := range byLanguage {
		v := reflect.ValueOf(*one)
		for i := range v.NumField() {
			name := v.Type().Field(i).Name
			if v.Field(i).Kind() != reflect.String || name == "Language" {
				continue
			}
			if got, want := v.Field(i).String(), english.Field(i).String(); got == "" ||
				strings.Count(got, "%s") != strings.Count(want, "%s") {
				t.Errorf("%s: %s is %q", one.Language, name, got)
			}
		}
		for key, want := range byLanguage[0].Script {
			if got := one.Script[key]; got == "" || strings.Count(got, "%s") != strings.Count(want, "%s") {
				t.Errorf("%s: %s is %q", one.Language, key, got)
			}
		}
		if len(one.Script) != len(byLanguage[0].Script) {
			t.Errorf("%s: %d texts for the script, English has %d", one.Language, len(one.Script),
				len(byLanguage[0].Script))
		}
	}
}
