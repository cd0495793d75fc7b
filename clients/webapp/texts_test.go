package webapp

import (
	"net/http"
	"reflect"
	"strings"
	"testing"
)

func TestNoLanguageLacksATextOrAPlaceholder(t *testing.T) {
	t.Parallel()
	english := reflect.ValueOf(*byLanguage[0])
	for _, one := range byLanguage {
		v := reflect.ValueOf(*one)
		for i := range v.NumField() {
			name := v.Type().Field(i).Name
			switch v.Field(i).Kind() {
			case reflect.String:
				if got, want := v.Field(i).String(), english.Field(i).String(); got == "" || name != "Language" &&
					strings.Count(got, "%s") != strings.Count(want, "%s") {
					t.Errorf("%s: %s is %q", one.Language, name, got)
				}
			case reflect.Map, reflect.Slice:
				if v.Field(i).Len() != english.Field(i).Len() {
					t.Errorf("%s: %s has %d texts, English has %d", one.Language, name, v.Field(i).Len(),
						english.Field(i).Len())
				}
			}
		}
		for code := range byLanguage[0].Errors {
			if one.Errors[code] == "" {
				t.Errorf("%s: no words for %s", one.Language, code)
			}
		}
		if len(one.Scenes) != len(sceneNames) {
			t.Errorf("%s: %d captions for %d pictures", one.Language, len(one.Scenes), len(sceneNames))
		}
	}
}

func TestAmountsAreWrittenAsTheLanguageDoes(t *testing.T) {
	t.Parallel()
	for i, want := range [][]string{{"€0.05", "\u2212€1,234,567.80"}, {"0,05\u00a0€", "\u22121.234.567,80\u00a0€"},
		{"0,05\u00a0€", "\u22121\u00a0234\u00a0567,80\u00a0€"}} {
		for j, cents := range []int64{5, -123456780} {
			if got := byLanguage[i].Money(cents); got != want[j] {
				t.Errorf("%s: %q, want %q", byLanguage[i].Language, got, want[j])
			}
		}
	}
}

func TestRFC9110ChallengesAreReadAsTheyAreWritten(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]map[string]string{
		`Bearer`:                                           {},
		`Bearer realm="a", error=invalid_token`:            {"realm": "a", "error": "invalid_token"},
		`bearer Error = "x\"y\\" ,max_age="1"`:             {"error": `x"y\`, "max_age": "1"},
		`Basic realm="a", Bearer error="b", DPoP algs="c"`: {"error": "b"},
		`Negotiate abc, Bearer a="1,2", b="c=d"`:           {"a": "1,2", "b": "c=d"},
		`Bearer a="1", a="2"`:                              nil,
		`Bearer a="1`:                                      nil,
		`Bearer a=`:                                        nil,
		`Basic realm="Bearer"`:                             nil,
		``:                                                 nil,
		`Bearer a="1", error="insufficient_user_authentication"`: {"a": "1", "error": "insufficient_user_authentication"},
	} {
		if got := bearerChallenge(http.Header{"Www-Authenticate": {header}}); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %#v, want %#v", header, got, want)
		}
	}
	two := http.Header{"Www-Authenticate": {`Basic realm="x"`, `Bearer error="e"`}}
	if got := bearerChallenge(two); got["error"] != "e" {
		t.Errorf("in the second header: %v", got)
	}
}

// FuzzBearerChallenge: what is read can be written, and reads the same.
func FuzzBearerChallenge(f *testing.F) {
	for _, s := range []string{`Bearer realm="a", error="b"`, `Basic x, Bearer a="\"" , b=c`, `Bearer a="`, "Bearer,,=", `a=b, Bearer`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, header string) {
		got := bearerChallenge(http.Header{"Www-Authenticate": {header}})
		if got == nil {
			return
		}
		var parts []string
		for name, value := range got {
			parts = append(parts, name+`="`+strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(value)+`"`)
		}
		again := bearerChallenge(http.Header{"Www-Authenticate": {"Bearer " + strings.Join(parts, ", ")}})
		if !reflect.DeepEqual(got, again) {
			t.Errorf("%q reads %v, written again %v", header, got, again)
		}
	})
}
