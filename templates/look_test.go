package templates

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

// picture is the beginning of a PNG.
var picture = []byte("\x89PNG\r\n\x1a\n and so on")

func TestTheColoursThatALookIsCheckedAgainstAreThoseOfTheStylesheet(t *testing.T) {
	t.Parallel()
	light, dark, _ := strings.Cut(string(assets["style.css"].content), "@media (prefers-color-scheme: dark)")
	for name, want := range map[string][2]string{"accent": {ourAccent, ourAccentDark},
		"paper": {ourBackground, ourBackgroundDark}, "card": {ourCard, ourCardDark}, "ink": {ourInk, ourInkDark},
		"soft": {ourSoft, ourSoftDark}} {
		for i, scheme := range []string{light, dark} {
			if m := regexp.MustCompile(`--` + name + `: (#[0-9a-f]{6});`).FindStringSubmatch(scheme); m == nil ||
				m[1] != want[i] {
				t.Errorf("--%s: %v, not %s", name, m, want[i])
			}
		}
	}
}

func TestALookThatCannotBeReadIsRefusedWithAProposal(t *testing.T) {
	t.Parallel()
	for field, l := range map[string]Look{
		"accent": {Accent: "#ffee00"}, "accent_dark": {AccentDark: "#101010"}, "background": {Background: "#333333"},
		"background_dark": {BackgroundDark: "#cccccc"},
		"logo_file":       {Logo: []byte("<svg onload=alert(1)>")}, "help_uri": {HelpURI: "javascript:alert(1)"},
		"imprint_uri": {ImprintURI: "www.example.com"}, "welcome": {Welcome: strings.Repeat("x", 700)},
	} {
		faults := l.Check()
		if len(faults) != 1 || faults[field] == nil {
			t.Errorf("%s: %v", field, faults)
			continue
		}
		if m := regexp.MustCompile(`(#[0-9a-f]{6}) would do`).FindStringSubmatch(faults[field].Error()); m != nil {
			switch field {
			case "accent":
				l.Accent = m[1]
			case "accent_dark":
				l.AccentDark = m[1]
			case "background":
				l.Background = m[1]
			case "background_dark":
				l.BackgroundDark = m[1]
			}
			if again := l.Check(); len(again) != 0 {
				t.Errorf("the proposal %s: %v", m[1], again)
			}
		}
	}
	if faults := (Look{Accent: "red"}).Check(); faults["accent"] == nil {
		t.Error("red is taken")
	}
	if faults := (Look{Logo: append(picture, make([]byte, maxLogo)...)}).Check(); faults["logo_file"] == nil {
		t.Error("a logo of any size is taken")
	}
	if faults := (Look{Accent: "#7a1f5c", AccentDark: "#f0a6d6", Background: "#faf5f8", BackgroundDark: "#150f13",
		Logo: picture, HelpURI: "https://example.com/help", Welcome: "Hi"}).Check(); len(faults) != 0 {
		t.Error(faults)
	}
}

func TestEveryAccentOfAnApplicationCanBeRead(t *testing.T) {
	t.Parallel()
	for _, accent := range []string{"#ffee00", "#ffffff", "#000000", "#808080", "#ff0000", "#00ff00", "#0000ff",
		"#14594a"} {
		p, own := Look{Background: "#ffffff"}.palette(accent)
		if !own {
			t.Error("not its own")
		}
		property := regexp.MustCompile(`--([a-z-]+): (#[0-9a-f]{6});`)
		for i, scheme := range strings.SplitN(p.css(), "@media", 2) {
			colours := map[string]colour{}
			for _, m := range property.FindAllStringSubmatch(scheme, -1) {
				colours[m[1]] = ours(m[2])
			}
			card := ours([]string{ourCard, ourCardDark}[i])
			for _, pair := range [][2]colour{{colours["accent"], card}, {colours["accent"], colours["paper"]},
				{colours["accent"], colours["tint"]}, {colours["on-accent"], colours["accent"]},
				{colours["on-accent"], colours["accent-hover"]}} {
				if c := contrast(pair[0], pair[1]); c < enough {
					t.Errorf("%s, scheme %d: %s on %s has %.2f", accent, i, pair[0], pair[1], c)
				}
			}
		}
		if again, ok := parsePalette(p.name()); !ok || again.css() != p.css() {
			t.Errorf("%s", p.name())
		}
	}
}

func TestALookIsOnEveryPageAndItsFilesAreServed(t *testing.T) {
	t.Parallel()
	s := newSet(t, func(o *Options) {
		o.Path = "/idp"
		o.Look = Look{Accent: "#7a1f5c", Logo: picture, Welcome: "Welcome <b>all</b>",
			HelpURI: "https://example.com/help?a=1&b=2", ImprintURI: "https://example.com/imprint"}
	})
	out := render(t, s, "de", Login{})
	for _, want := range []string{`href="/idp/look/7a1f5c`, `src="/idp/look/logo.`, "Welcome &lt;b&gt;all&lt;/b&gt;",
		`href="https://example.com/help?a=1&amp;b=2"`, "Hilfe", "Impressum"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing\n%s", want, out)
		}
	}
	app := sampleApp
	app.Accent, app.Welcome = "#1d4f91", "Only for crew"
	if out := render(t, s, "en", Login{App: &app}); !strings.Contains(out, "/look/1d4f91") ||
		!strings.Contains(out, "Only for crew") || strings.Contains(out, "Welcome &lt;") {
		t.Error(out)
	}
	if out := render(t, newSet(t), "en", Login{}); strings.Contains(out, "/look/") ||
		strings.Contains(out, "site-foot") {
		t.Error("our own look has something of another")
	}
	get := func(path string) *http.Response {
		w := httptest.NewRecorder()
		s.LookFiles().ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		return w.Result()
	}
	for _, m := range regexp.MustCompile(`/idp(/look/[^"]+)"`).FindAllStringSubmatch(out, -1) {
		if r := get(m[1]); r.StatusCode != 200 || r.Header.Get("X-Content-Type-Options") != "nosniff" ||
			!strings.Contains(r.Header.Get("Cache-Control"), "immutable") ||
			!strings.Contains(r.Header.Get("Content-Security-Policy"), "sandbox") {
			t.Errorf("%s: %d %v", m[1], r.StatusCode, r.Header)
		}
	}
	for _, bad := range []string{"/look/", "/look/x.css", "/look/7a1f5c.css", "/look/;}body{x.css",
		"/look/logo.0000000000000000.png", "/look/" + strings.Repeat("z", 24) + ".css"} {
		if r := get(bad); r.StatusCode != 404 {
			t.Errorf("%s: %d", bad, r.StatusCode)
		}
	}
}
