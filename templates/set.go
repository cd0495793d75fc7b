package templates

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/text/language"
)

//go:embed html
var htmlFiles embed.FS

// Options is what pages need to know about where they are shown.
type Options struct {
	ProviderName string // what people know the provider by; "Latchkey" when empty
	Look         Look
	Path         string           // path of the issuer, "" or like "/idp": what the addresses of assets start with
	Overrides    fs.FS            // an operator's own templates and messages, or nil (see the package documentation)
	Now          func() time.Time // the clock; time.Now when nil
}

// Set is every page in every language, ready to be rendered. It may be used by many goroutines.
type Set struct {
	options   Options
	pages     map[string]*template.Template
	languages map[string]*catalogue
	matcher   language.Matcher
	order     []string // languages in the order of the matcher

	newer atomic.Pointer[Set] // what has replaced it, nil for nothing
}

// Replace puts another set in the place of this one: from now on pages are as that one makes them.
// A page that is being made is finished as it was begun.
func (s *Set) Replace(by *Set) { s.newer.Store(by) }

// newest is what is to be used.
func (s *Set) newest() *Set {
	if newer := s.newer.Load(); newer != nil {
		return newer
	}
	return s
}

// New parses everything once. Where an operator has put templates or words of their own, it renders
// every sample of every page as well. What it returns as an error names the file.
func New(o Options) (*Set, error) {
	if o.ProviderName == "" {
		o.ProviderName = "Latchkey"
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Set{options: o, pages: map[string]*template.Template{}}
	if err := s.loadMessages(); err != nil {
		return nil, err
	}
	sources, err := s.sources()
	if err != nil {
		return nil, err
	}
	layout, err := template.New("layout").Funcs(functions).Parse(sources["layout.html"])
	if err != nil {
		return nil, fmt.Errorf("templates: %w", err)
	}
	for _, page := range pages {
		source, ok := sources[page.file+".html"]
		if !ok {
			return nil, fmt.Errorf("templates: there is no %s.html", page.file)
		}
		t, err := layout.Clone()
		if err != nil {
			return nil, fmt.Errorf("templates: %w", err)
		}
		if s.pages[page.file], err = t.Parse(source); err != nil {
			return nil, fmt.Errorf("templates: %s.html: %w", page.file, err)
		}
		if o.Overrides == nil {
			continue // the tests render what is embedded
		}
		for _, sample := range page.samples() {
			if err := s.Render(io.Discard, "en", sample.page); err != nil {
				return nil, err
			}
		}
	}
	return s, nil
}

// sources reads our templates and puts the operator's in their place, by their path below html/.
func (s *Set) sources() (map[string]string, error) {
	out := map[string]string{}
	ours, err := fs.Sub(htmlFiles, "html")
	if err != nil {
		return nil, fmt.Errorf("templates: %w", err)
	}
	read := func(from fs.FS, own bool) error {
		return fs.WalkDir(from, ".", func(name string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case d.IsDir() && own && name == "messages":
				return fs.SkipDir
			case d.IsDir():
				return nil
			}
			if _, ok := out[name]; own && !ok {
				there := strings.Join(slices.Sorted(maps.Keys(out)), ", ")
				return fmt.Errorf("%q replaces nothing; there are %s and messages/", name, there)
			}
			b, err := fs.ReadFile(from, name)
			out[name] = string(b)
			return err
		})
	}
	if err := read(ours, false); err != nil {
		return nil, fmt.Errorf("templates: %w", err)
	}
	if s.options.Overrides != nil {
		if err := read(s.options.Overrides, true); err != nil {
			return nil, fmt.Errorf("templates: own templates: %w", err)
		}
	}
	return out, nil
}

// Render writes the page in a language that Match returned; "" or an unknown one is English. The
// page is finished in a buffer before the first byte is written, so an error means that w is
// untouched, or cannot be written to.
func (s *Set) Render(w io.Writer, lang string, page Page) error {
	return s.RenderIn(w, lang, nil, page)
}

// RenderIn is Render with times in the given zone; nil is UTC.
func (s *Set) RenderIn(w io.Writer, lang string, zone *time.Location, page Page) error {
	if page == nil {
		return errors.New("templates: there is no page to render")
	}
	s = s.newest()
	t := s.pages[page.file()]
	var b bytes.Buffer
	v := s.view(lang, page)
	if zone != nil {
		v.zone = zone
	}
	if err := t.ExecuteTemplate(&b, "page", v); err != nil {
		return fmt.Errorf("templates: %w", err)
	}
	_, err := w.Write(b.Bytes())
	return err
}

// view is what a template sees: the page, and what is the same for every page.
type view struct {
	Lang, Dir string
	Provider  string // its name
	Page      Page
	words     *catalogue
	now       time.Time
	zone      *time.Location // of the times on it
	look      Look
	path      string
}

func (s *Set) view(lang string, page Page) view {
	s = s.newest()
	words, ok := s.languages[lang]
	if _, console := page.(Console); !ok || console && !slices.Contains(consoleLanguages, lang) {
		lang, words = "en", s.languages["en"]
	}
	return view{
		Lang: lang, Dir: words.direction, Provider: shown(s.options.ProviderName), Page: page, words: words,
		now: s.options.Now(), zone: time.UTC, look: s.options.Look, path: s.options.Path,
	}
}

// Name is the page's, for the stylesheet.
func (v view) Name() string { return strings.ReplaceAll(path.Base(v.Page.file()), "_", "-") }

// Frame is what a page of the person's own has around it; nil for any other page.
func (v view) Frame() *Frame {
	if page, ok := v.Page.(interface{ frame() *Frame }); ok {
		return page.frame()
	}
	return nil
}

// Home is the address of the one page of ours that people open by themselves.
func (v view) Home() string { return v.path + "/account" }

// Asset is the address of an asset.
func (v view) Asset(name string) (string, error) {
	if _, ok := assets[name]; !ok {
		return "", fmt.Errorf("there is no asset %q", name)
	}
	return v.path + AssetPath(name), nil
}

// part is something on a page together with the page's view, for a template that is used in several
// places.
type part struct {
	view
	Value any
}

// On makes a part.
func (v view) On(value any) part { return part{v, value} }

var functions = template.FuncMap{
	"shown": shown, "sentence": func(s string) string { return shownAtMost(s, maxSentence) },
	"host": host, "initials": initials, "hue": hue, "link": link, "registered": registered, "contact": contact,
}
