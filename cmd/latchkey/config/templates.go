package config

import (
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"latchkey/templates"
)

// Pages makes the pages, with the operator's own templates and messages in place of ours. An error
// names the file that cannot be used.
func (c *Config) Pages(now func() time.Time) (*templates.Set, error) {
	o := templates.Options{ProviderName: c.Name, Now: now}
	if u, err := url.Parse(c.Issuer); err == nil {
		o.Path = u.EscapedPath()
	}
	var err error
	if o.Look, err = c.look(); err != nil {
		return nil, fmt.Errorf("look.logo_file: %w", err)
	}
	if c.Templates != "" {
		if o.Overrides, err = folder(c.Templates); err != nil {
			return nil, err
		}
	}
	return templates.New(o)
}

// maxLogoFile bounds what is read; how large a logo may be is the look's to say.
const maxLogoFile = 1 << 20

// look is what the operator makes of the pages. An error is about the file of the logo.
func (c *Config) look() (templates.Look, error) {
	l := templates.Look{Accent: c.Look.Accent, AccentDark: c.Look.AccentDark, Background: c.Look.Background,
		BackgroundDark: c.Look.BackgroundDark,
		Welcome:        c.Look.Welcome, HelpURI: c.Look.HelpURI, PrivacyURI: c.Look.PrivacyURI, ImprintURI: c.Look.ImprintURI}
	if c.Look.LogoFile == "" {
		return l, nil
	}
	f, err := os.Open(c.Look.LogoFile)
	if err != nil {
		return l, err
	}
	defer f.Close()
	l.Logo, err = io.ReadAll(io.LimitReader(f, maxLogoFile))
	return l, err
}

// folder opens a folder of files. Kubernetes mounts a ConfigMap as links into ..data, which changes
// as a whole.
func folder(name string) (fs.FS, error) {
	if mounted, err := filepath.EvalSymlinks(filepath.Join(name, "..data")); err == nil {
		name = mounted
	}
	switch info, err := os.Stat(name); {
	case err != nil:
		return nil, err
	case !info.IsDir():
		return nil, fmt.Errorf("%s is not a folder", name)
	}
	return os.DirFS(name), nil
}
