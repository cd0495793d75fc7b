package templates

import (
	"crypto/sha256"
	"encoding/hex"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

func readFile(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func get(method, path string) *http.Response {
	w := httptest.NewRecorder()
	Assets().ServeHTTP(w, httptest.NewRequest(method, path, nil))
	return w.Result()
}

func TestAssetsAreKeptForEverUnderANameThatChangesWithThem(t *testing.T) {
	t.Parallel()
	if AssetPath("nothing.css") != "" {
		t.Error("there is no such asset")
	}
	for name, contentType := range map[string]string{
		"style.css": "text/css; charset=utf-8", "mark.svg": "image/svg+xml",
		"form_post.js":     "text/javascript; charset=utf-8",
		"check_session.js": "text/javascript; charset=utf-8", "passkeys.js": "text/javascript; charset=utf-8",
		"headline.woff2": "font/woff2", "headline_ext.woff2": "font/woff2",
	} {
		path := AssetPath(name)
		r := get("GET", path)
		if r.StatusCode != 200 || r.Header.Get("Content-Type") != contentType ||
			r.Header.Get("X-Content-Type-Options") != "nosniff" ||
			r.Header.Get("Cache-Control") != "public, max-age=31536000, immutable" ||
			r.ContentLength != int64(len(assets[name].content)) {
			t.Errorf("%s: %d %v", path, r.StatusCode, r.Header)
		}
		stem, ext, _ := strings.Cut(name, ".")
		if r := get("GET", "/assets/"+stem+".0123456789abcdef."+ext); r.StatusCode != 200 ||
			r.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s of another version: %d %v", name, r.StatusCode, r.Header)
		}
		if r := get("HEAD", path); r.StatusCode != 200 || r.Header.Get("Content-Length") == "" {
			t.Errorf("HEAD %s: %d", path, r.StatusCode)
		}
		if r := get("POST", path); r.StatusCode != http.StatusMethodNotAllowed || r.Header.Get("Allow") != "GET, HEAD" {
			t.Errorf("POST %s: %d", path, r.StatusCode)
		}
	}
	for _, path := range []string{"/assets/", "/assets/style.css", "/assets/style.x.css", "/assets/../set.go",
		"/assets/style.0123456789abcdef.js", "/", "/assets/a/style.0123456789abcdef.css"} {
		if r := get("GET", path); r.StatusCode != http.StatusNotFound ||
			r.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %d", path, r.StatusCode)
		}
	}
}

var property = regexp.MustCompile(`--([a-z-]+): (#[0-9a-f]{6});`)

func TestColoursContrastInBothSchemes(t *testing.T) {
	t.Parallel()
	css := string(assets["style.css"].content)
	light, rest, ok := strings.Cut(css, "@media (prefers-color-scheme: dark)")
	dark, _, ok2 := strings.Cut(rest, "\n}")
	if !ok || !ok2 {
		t.Fatal("there are not two schemes")
	}
	for scheme, text := range map[string]string{"light": light, "dark": dark} {
		colours := map[string]float64{}
		for _, m := range property.FindAllStringSubmatch(text, -1) {
			colours[m[1]] = luminance(t, m[2])
		}
		for _, pair := range []struct {
			of, on string
			atMost float64 // what WCAG 2.2 §1.4.3 and §1.4.11 ask for
		}{
			{"ink", "paper", 4.5}, {"ink", "card", 4.5}, {"soft", "card", 4.5}, {"soft", "paper", 4.5},
			{"accent", "card", 4.5}, {"accent", "paper", 4.5},
			{"accent", "tint", 4.5}, {"accent-hover", "tint", 4.5}, {"accent-hover", "card", 4.5},
			{"on-accent", "accent", 4.5}, {"on-accent", "accent-hover", 4.5},
			{"bad", "bad-tint", 4.5}, {"warn", "warn-tint", 4.5}, {"warn", "card", 4.5}, {"soft", "tint", 4.5},
			{"line", "card", 3}, {"bad", "card", 4.5}, {"bad", "bad-tint", 4.5}, {"ink", "tint", 4.5},
			{"accent", "card", 3},
		} {
			a, okA := colours[pair.of]
			b, okB := colours[pair.on]
			if !okA || !okB {
				t.Fatalf("%s lacks --%s or --%s", scheme, pair.of, pair.on)
			}
			if c := (max(a, b) + 0.05) / (min(a, b) + 0.05); c < pair.atMost {
				t.Errorf("%s: --%s on --%s has contrast %.2f, not %.1f", scheme, pair.of, pair.on, c, pair.atMost)
			}
		}
	}
	if n := len(regexp.MustCompile(`#[0-9a-fA-F]{3,8}\b`).FindAllString(css, -1)); n != len(property.FindAllString(css,
		-1))+1 {
		t.Errorf("%d colours: all but the white behind logos are custom properties", n)
	}
}

// luminance as WCAG 2.2 defines it.
func luminance(t *testing.T, colour string) float64 {
	n, err := strconv.ParseUint(colour[1:], 16, 32)
	if err != nil {
		t.Fatal(err)
	}
	channel := func(shift uint) float64 {
		c := float64(n>>shift&0xff) / 255
		if c <= 0.04045 {
			return c / 12.92
		}
		return math.Pow((c+0.055)/1.055, 2.4)
	}
	return 0.2126*channel(16) + 0.7152*channel(8) + 0.0722*channel(0)
}

func TestInitialsContrastWithEveryHue(t *testing.T) {
	t.Parallel()
	colours := map[string]string{}
	for _, m := range property.FindAllStringSubmatch(string(assets["style.css"].content), -1) {
		if colours[m[1]] == "" {
			colours[m[1]] = m[2]
		}
	}
	for n := range hues {
		m := regexp.MustCompile(`\.hue-` + strconv.Itoa(n) +
			` \{ background: var\(--([a-z]+)\); \}`).FindSubmatch(assets["style.css"].content)
		if m == nil {
			t.Fatalf("there is no .hue-%d", n)
		}
		if c := (luminance(t, colours["on-hue"]) + 0.05) / (luminance(t, colours[string(m[1])]) + 0.05); c < 4.5 {
			t.Errorf("--%s: contrast %.2f", m[1], c)
		}
	}
}

func TestTheStylesheetAsksNobodyElse(t *testing.T) {
	t.Parallel()
	css := string(assets["style.css"].content)
	for _, no := range []string{"@import", "http:", "https:", "data:", "//"} {
		if strings.Contains(css, no) {
			t.Errorf("the stylesheet has %s", no)
		}
	}
	urls := regexp.MustCompile(`url\(([^)]*)\)`).FindAllStringSubmatch(css, -1)
	if len(urls) != 2 {
		t.Errorf("%d addresses", len(urls))
	}
	for _, u := range urls {
		if r := get("GET", "/assets/"+u[1]); r.StatusCode != 200 || !strings.Contains(r.Header.Get("Cache-Control"),
			"immutable") {
			t.Errorf("%s: %d %v", u[1], r.StatusCode, r.Header)
		}
	}
}

func TestAllAssetsTogetherAreSmall(t *testing.T) {
	t.Parallel()
	total := 0
	for _, a := range assets {
		total += len(a.content)
	}
	if total > 60_000 {
		t.Errorf("%d bytes", total)
	}
}

// TestLayoutIsTheSameFromRightToLeft refuses properties that name a side of the screen.
func TestLayoutIsTheSameFromRightToLeft(t *testing.T) {
	t.Parallel()
	sided := regexp.MustCompile(`(?:margin|padding|border)-(?:left|right)|[ ;{](?:left|right): |text-align: (?:left|right)|float:`)
	if found := sided.FindString(string(assets["style.css"].content)); found != "" {
		t.Errorf("the stylesheet has %q", found)
	}
}

func TestScriptsRunInOldBrowsers(t *testing.T) {
	t.Parallel()
	newer := regexp.MustCompile("\\b(let|const|class|async|await|Promise|crypto|Uint8Array|TextEncoder|fetch)\\b|=>|`|\\.\\.\\.")
	for _, name := range []string{"form_post.js", "onward.js", "check_session.js"} {
		for i, line := range strings.Split(string(assets[name].content), "\n") {
			code, _, _ := strings.Cut(line, "//")
			if found := newer.FindString(code); found != "" {
				t.Errorf("%s:%d has %s", name, i+1, found)
			}
		}
	}
}

// TestTheFrameTellsWhetherTheSessionChanged runs the script as a browser would (OIDC Session
// Management §3.2), in node where there is one.
func TestTheFrameTellsWhetherTheSessionChanged(t *testing.T) {
	t.Parallel()
	node, err := exec.LookPath("node")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("needs node to run the script of the OP iframe")
		}
		t.Skip("needs node to run the script of the OP iframe")
	}
	state := func(id, origin, browser, salt string) string {
		sum := sha256.Sum256([]byte(id + " " + origin + " " + browser + " " + salt))
		return hex.EncodeToString(sum[:]) + "." + salt
	}
	const origin = "https://app.example"
	long := strings.Repeat("é", 300)
	for _, c := range []struct{ name, cookie, message, want string }{
		{"unchanged", "a=b; st=S1; c=d", "client " + state("client", origin, "S1", "salt"), "unchanged"},
		{"a client_id beyond one block, with spaces and accents", "st=S1", long + " x " + state(long+" x", origin, "S1",
			"salt"), "unchanged"},
		{"a salt with a dot", "st=S1", "client " + state("client", origin, "S1", "s.t"), "unchanged"},
		{"another session", "st=S2", "client " + state("client", origin, "S1", "salt"), "changed"},
		{"signed out", "a=b", "client " + state("client", origin, "S1", "salt"), "changed"},
		{"a cookie whose name ends alike", "xst=S1", "client " + state("client", origin, "S1", "salt"), "changed"},
		{"another client", "st=S1", "other " + state("client", origin, "S1", "salt"), "changed"},
		{"another origin", "st=S1", "client " + state("client", "https://evil.example", "S1", "salt"), "changed"},
		{"no session state", "st=S1", "client", "error"},
		{"no salt", "st=S1", "client abcdef", "error"},
		{"an empty salt", "st=S1", "client abcdef.", "error"},
		{"no client", "st=S1", " " + state("", origin, "S1", "salt"), "error"},
		{"empty", "st=S1", "", "error"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			const stage = `
				var listener, said = [];
				var window = {addEventListener: function (type, f) { if (type === 'message') { listener = f; } }};
				var document = {cookie: process.argv[1], body: {getAttribute: function () { return 'st'; }}};
				eval(require('fs').readFileSync('assets/check_session.js', 'utf8'));
				var source = {postMessage: function (answer, origin) { said.push(answer + ' to ' + origin); }};
				listener({data: process.argv[2], origin: 'https://app.example', source: source});
				listener({data: process.argv[2], origin: 'null', source: source});
				listener({data: {}, origin: 'https://app.example', source: source});
				console.log(said.join(', '));`
			out, err := exec.Command(node, "-e", stage, "--", c.cookie, c.message).CombinedOutput()
			if want := c.want + " to " + origin + ", error to " + origin; err != nil ||
				strings.TrimSpace(string(out)) != want {
				t.Errorf("%v: %s, want %s", err, out, want)
			}
		})
	}
}
