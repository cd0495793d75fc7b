package templates

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// Look is what an operator makes of the pages. The zero Look is our own.
type Look struct {
	Accent         string // colour of buttons and links, such as #14594a; "": ours
	AccentDark     string // the same in the dark scheme; "": made of Accent, or ours
	Background     string // colour around the card; "": ours
	BackgroundDark string
	Logo           []byte // PNG, JPEG, GIF or WebP, shown in place of the key; nil: the key
	Welcome        string // a line on the sign-in page; "": none
	HelpURI        string // where the foot of each page leads; "": nowhere
	PrivacyURI     string
	ImprintURI     string
}

// maxLogo is how many bytes a logo has at most: a page stays below 60 KB with it.
const maxLogo = 16 << 10

// Colours of the stylesheet that a Look is checked against: a test compares them with it.
const (
	ourAccent, ourAccentDark         = "#14594a", "#84d3bb"
	ourBackground, ourBackgroundDark = "#f2f0e8", "#0f1614"
	ourCard, ourCardDark             = "#fffefb", "#18211e"
	ourInk, ourInkDark               = "#1b2623", "#ebeee9"
	ourSoft, ourSoftDark             = "#55625d", "#a7b4ae"
)

// enough is the contrast that text needs (WCAG 2.2 §1.4.3).
const enough = 4.5

// colour is a colour as three numbers from 0 to 1.
type colour [3]float64

// parseColour reads #rrggbb.
func parseColour(s string) (colour, error) {
	n, err := strconv.ParseUint(strings.TrimPrefix(s, "#"), 16, 32)
	if err != nil || len(s) != 7 || s[0] != '#' {
		return colour{}, errors.New("is not a colour such as #14594a")
	}
	return colour{float64(n>>16&0xff) / 255, float64(n>>8&0xff) / 255, float64(n&0xff) / 255}, nil
}

func (c colour) String() string {
	part := func(v float64) int { return int(math.Round(min(max(v, 0), 1) * 255)) }
	return fmt.Sprintf("#%02x%02x%02x", part(c[0]), part(c[1]), part(c[2]))
}

// luminance as WCAG 2.2 defines it.
func (c colour) luminance() float64 {
	linear := func(v float64) float64 {
		if v <= 0.04045 {
			return v / 12.92
		}
		return math.Pow((v+0.055)/1.055, 2.4)
	}
	return 0.2126*linear(c[0]) + 0.7152*linear(c[1]) + 0.0722*linear(c[2])
}

// contrast of two colours as WCAG 2.2 defines it, from 1 to 21.
func contrast(a, b colour) float64 {
	x, y := a.luminance(), b.luminance()
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

// towards is c, by a share of the way to another colour.
func (c colour) towards(to colour, share float64) colour {
	for i := range c {
		c[i] += (to[i] - c[i]) * share
	}
	return c
}

var black, white = colour{}, colour{1, 1, 1}

// readable is the colour nearest to c, on the way to another, that can be read on all of on.
func readable(c, to colour, on ...colour) colour {
	for share := 0.0; share <= 1; share += 0.02 {
		candidate, _ := parseColour(c.towards(to, share).String())
		good := true
		for _, o := range on {
			good = good && contrast(candidate, o) >= enough
		}
		if good {
			return candidate
		}
	}
	return to
}

func ours(hex string) colour {
	c, err := parseColour(hex)
	if err != nil {
		panic(err) // a constant
	}
	return c
}

// Check says what is wrong with a look, by the name of its field: a colour that cannot be read
// where it stands gets a contrast and a proposal, a logo must be a small picture.
func (l Look) Check() map[string]error {
	faults := map[string]error{}
	p := palette{}
	for _, c := range []struct {
		field, value, fallback string
		at                     *colour
	}{
		{"background", l.Background, ourBackground, &p.paper}, {"background_dark", l.BackgroundDark, ourBackgroundDark,
			&p.paperDark},
		{"accent", l.Accent, ourAccent, &p.accent}, {"accent_dark", l.AccentDark, ourAccentDark, &p.accentDark},
	} {
		value := c.value
		if value == "" {
			value = c.fallback
		}
		var err error
		if *c.at, err = parseColour(value); err != nil {
			faults[c.field], *c.at = err, ours(c.fallback)
		}
	}
	check := func(field, given string, c, to colour, on ...colour) {
		if given == "" || faults[field] != nil {
			return
		}
		worst := on[0]
		for _, o := range on {
			if contrast(c, o) < contrast(c, worst) {
				worst = o
			}
		}
		if contrast(c, worst) < enough {
			faults[field] = fmt.Errorf("%s on %s has a contrast of %.1f, and text needs %.1f; %s would do", c, worst,
				contrast(c, worst), enough,
				readable(c, to, on...))
		}
	}
	check("background", l.Background, p.paper, white, ours(ourInk), ours(ourSoft))
	check("background_dark", l.BackgroundDark, p.paperDark, black, ours(ourInkDark), ours(ourSoftDark))
	check("accent", l.Accent, p.accent, black, ours(ourCard), p.paper)
	check("accent_dark", l.AccentDark, p.accentDark, white, ours(ourCardDark), p.paperDark)
	if len(l.Logo) > 0 {
		switch kind := http.DetectContentType(l.Logo); {
		case len(l.Logo) > maxLogo:
			faults["logo_file"] = fmt.Errorf("has %d bytes; at most %d keep the pages quick", len(l.Logo), maxLogo)
		case logoTypes[kind] == "":
			faults["logo_file"] = errors.New("is not a picture of a kind that is shown: PNG, JPEG, GIF or WebP")
		}
	}
	for field, uri := range map[string]string{"help_uri": l.HelpURI, "privacy_uri": l.PrivacyURI,
		"imprint_uri": l.ImprintURI} {
		if uri != "" && (!strings.HasPrefix(uri, "https://") && !strings.HasPrefix(uri, "http://") || host(uri) == "") {
			faults[field] = errors.New("is not an address such as https://www.example.com/help")
		}
	}
	if len(l.Welcome) > maxSentence {
		faults["welcome"] = fmt.Errorf("is longer than %d bytes", maxSentence)
	}
	return faults
}

var logoTypes = map[string]string{"image/png": "png", "image/jpeg": "jpg", "image/gif": "gif", "image/webp": "webp"}

// palette is the colours of a page that are not those of the stylesheet.
type palette struct{ accent, accentDark, paper, paperDark colour }

// palette is the look's colours, with an application's accent in place of the provider's. What
// cannot be read is changed until it can: an application's colour stops no page.
func (l Look) palette(accent string) (p palette, own bool) {
	pick := func(value, fallback string) colour {
		c, err := parseColour(value)
		if err != nil {
			return ours(fallback)
		}
		own = true
		return c
	}
	p.paper, p.paperDark = pick(l.Background, ourBackground), pick(l.BackgroundDark, ourBackgroundDark)
	dark := l.AccentDark
	if accent == "" {
		accent = l.Accent
	} else {
		dark = ""
	}
	if dark == "" {
		dark = accent
	}
	p.accent, p.accentDark = pick(accent, ourAccent), pick(dark, ourAccentDark)
	p.accent = readable(p.accent, black, ours(ourCard), p.paper)
	p.accentDark = readable(p.accentDark, white, ours(ourCardDark), p.paperDark)
	return p, own
}

// name is the palette as the name of a stylesheet.
func (p palette) name() string {
	var b strings.Builder
	for _, c := range []colour{p.accent, p.accentDark, p.paper, p.paperDark} {
		b.WriteString(strings.TrimPrefix(c.String(), "#"))
	}
	return b.String()
}

// css is the stylesheet that makes it so, after our own.
func (p palette) css() string {
	// What can be read on the card can be read as the ground of what is beyond the card: white in
	// the light scheme, black in the dark one.
	rules := func(accent, card, paper, far, on colour) string {
		tint := card.towards(accent, .1)
		accent = readable(accent, far, card, paper, tint)
		return fmt.Sprintf(":root { --paper: %s; --accent: %s; --accent-hover: %s; --on-accent: %s; --tint: %s; }",
			paper, accent, accent.towards(far, .15), on, tint)
	}
	return rules(p.accent, ours(ourCard), p.paper, black, white) +
		"\n@media (prefers-color-scheme: dark) { " + rules(p.accentDark, ours(ourCardDark), p.paperDark, white, black) +
		" }\n"
}

// parsePalette reads the name of a stylesheet.
func parsePalette(name string) (palette, bool) {
	var p palette
	if len(name) != 24 {
		return p, false
	}
	for i, at := range []*colour{&p.accent, &p.accentDark, &p.paper, &p.paperDark} {
		c, err := parseColour("#" + name[6*i:6*i+6])
		if err != nil {
			return p, false
		}
		*at = c
	}
	return p, true
}

// lookPath is where the files of a look are.
const lookPath = "/look/"

func (l Look) logoPath() string {
	if len(l.Logo) == 0 {
		return ""
	}
	sum := sha256.Sum256(l.Logo)
	return lookPath + "logo." + hex.EncodeToString(sum[:8]) + "." + logoTypes[http.DetectContentType(l.Logo)]
}

// LookFiles serves the stylesheets and the logo of the look, below /look/.
func (s *Set) LookFiles() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := s.newest()
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Content-Security-Policy", "sandbox; default-src 'none'; frame-ancestors 'none'")
		content, kind := []byte(nil), ""
		if name, ok := strings.CutSuffix(strings.TrimPrefix(r.URL.Path, lookPath), ".css"); ok {
			if p, ok := parsePalette(name); ok {
				content, kind = []byte(p.css()), "text/css; charset=utf-8"
			}
		} else if logo := s.options.Look.logoPath(); logo != "" && r.URL.Path == logo {
			content, kind = s.options.Look.Logo, http.DetectContentType(s.options.Look.Logo)
		}
		if content == nil {
			h.Set("Cache-Control", "no-store")
			http.Error(w, "There is nothing here.", http.StatusNotFound)
			return
		}
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
		h.Set("Content-Type", kind)
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader(string(content)))
	})
}

// application is the application that the page is about, if it is about one.
func (v view) application() App {
	page := reflect.Indirect(reflect.ValueOf(v.Page))
	if page.Kind() == reflect.Struct {
		if f := page.FieldByName("App"); f.IsValid() {
			switch app := f.Interface().(type) {
			case App:
				return app
			case *App:
				if app != nil {
					return *app
				}
			}
		}
	}
	return App{}
}

// Sheet is the address of the stylesheet with the look's colours; "" where ours will do.
func (v view) Sheet() string {
	p, own := v.look.palette(v.application().Accent)
	if !own {
		return ""
	}
	return v.path + lookPath + p.name() + ".css"
}

// Logo is the address of the provider's picture; "" for the key.
func (v view) Logo() string {
	if p := v.look.logoPath(); p != "" {
		return v.path + p
	}
	return ""
}

// Welcome is the line of welcome: the application's, or else the provider's.
func (v view) Welcome() string {
	if w := v.application().Welcome; w != "" {
		return w
	}
	return v.look.Welcome
}

// footLink is where the foot of a page leads.
type footLink struct{ Name, URI string }

// Foot is where the foot of the page leads.
func (v view) Foot() []footLink {
	var out []footLink
	for _, l := range []footLink{{"footer.help", v.look.HelpURI}, {"footer.privacy", v.look.PrivacyURI},
		{"footer.imprint", v.look.ImprintURI}} {
		if l.URI != "" {
			out = append(out, l)
		}
	}
	return out
}
