package templates

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

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

func TestEveryPageHasTheIdsThatAutomationKnows(t *testing.T) {
	t.Parallel()
	s := newSet(t)
	for name, ids := range map[string][]string{
		"login": {"login-page", "password", "login-submit"}, "consent": {"consent-page", "consent-allow", "consent-deny"},
		"accounts": {"accounts-page"}, "error": {"op-error"}, "refused": {"refused"}, "logout_confirm": {"logout-confirm"},
		"logged_out": {"logged-out"}, "account": {"account-page"},
	} {
		for _, page := range samples() {
			if page.name() != name {
				continue
			}
			out := render(t, s, "en", page)
			if l, ok := page.(Login); ok && l.Reauthenticate == nil {
				ids = append(ids[:3:3], "username")
			}
			for _, id := range ids {
				if strings.Count(out, ` id="`+id+`"`) != 1 {
					t.Errorf("%s: not exactly one #%s\n%s", name, id, out)
				}
			}
			ids = ids[:min(3, len(ids))]
		}
	}
}
