package templates

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
)

//go:embed assets/*.css assets/*.js assets/*.svg assets/*.woff2
var assetFiles embed.FS

type asset struct {
	path, contentType string
	content           []byte
}

// assets by plain name, such as style.css.
var assets = loadAssets()

func loadAssets() map[string]asset {
	types := map[string]string{
		".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8",
		".svg": "image/svg+xml", ".woff2": "font/woff2",
	}
	out := map[string]asset{}
	files, err := assetFiles.ReadDir("assets")
	if err != nil {
		panic(err) // embedded
	}
	// The stylesheet comes last: it names other assets, under the names that change with their
	// content.
	slices.SortStableFunc(files, func(a, b fs.DirEntry) int {
		return strings.Compare(path.Ext(b.Name()), path.Ext(a.Name()))
	})
	for _, f := range files {
		b, err := assetFiles.ReadFile("assets/" + f.Name())
		if err != nil {
			panic(err) // embedded
		}
		ext := path.Ext(f.Name())
		if types[ext] == "" {
			panic("no content type for " + f.Name())
		}
		if ext == ".css" {
			for name, a := range out {
				b = bytes.ReplaceAll(b, []byte("url("+name+")"), []byte("url("+path.Base(a.path)+")"))
			}
		}
		sum := sha256.Sum256(b)
		out[f.Name()] = asset{
			path:        "/assets/" + strings.TrimSuffix(f.Name(), ext) + "." + hex.EncodeToString(sum[:8]) + ext,
			contentType: types[ext], content: b,
		}
	}
	return out
}

// AssetPath is the path of an asset, such as style.css, below the issuer's: its name changes with
// its content. "" if there is none.
func AssetPath(name string) string { return assets[name].path }

// Assets serves the assets under their AssetPath, to be kept for ever. Another version's name,
// which a page that an older or newer instance rendered may ask for, gets what we have, not to be
// kept.
func Assets() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		name := strings.TrimPrefix(r.URL.Path, "/assets/")
		ext := path.Ext(name)
		stem, version, _ := strings.Cut(strings.TrimSuffix(name, ext), ".")
		a, ok := assets[stem+ext]
		if !ok || len(version) != 16 || strings.Trim(version, "0123456789abcdef") != "" {
			h.Set("Cache-Control", "no-store")
			http.Error(w, "There is nothing here.", http.StatusNotFound)
			return
		}
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			h.Set("Allow", "GET, HEAD")
			http.Error(w, "Only GET and HEAD.", http.StatusMethodNotAllowed)
			return
		}
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
		if r.URL.Path != a.path {
			h.Set("Cache-Control", "no-store")
		}
		h.Set("Content-Type", a.contentType)
		h.Set("Content-Length", strconv.Itoa(len(a.content)))
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		if r.Method == http.MethodGet {
			_, _ = w.Write(a.content)
		}
	})
}
