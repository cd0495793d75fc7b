package config

import (
	"fmt"
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
	if c.Templates != "" {
		var err error
		if o.Overrides, err = folder(c.Templates); err != nil {
			return nil, err
		}
	}
	return templates.New(o)
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
