package provider

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"latchkey/provider/clients"
	"latchkey/provider/outbound"
)

const (
	pngPicture  = "\x89PNG\r\n\x1a\n and so on"
	jpegPicture = "\xff\xd8\xff\xe0 and so on"
	gifPicture  = "GIF89a and so on"
	webpPicture = "RIFF\x00\x00\x00\x00WEBPVP8 "
)

// picture makes a client whose logo is at uri.
func (w *world) picture(id, uri string) clients.Client {
	w.t.Helper()
	return w.addClient(id, func(c *clients.Client) { c.LogoURI = uri })
}

func TestLogosAreServedFromHere(t *testing.T) {
	t.Parallel()
	var calls atomic.Int32
	other := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		rw.Header().Set("Content-Type", "text/html") // what the other side says does not count
		rw.Header().Set("Set-Cookie", "a=b")
		switch r.URL.Path {
		case "/png":
			_, _ = rw.Write([]byte(pngPicture))
		case "/jpeg":
			_, _ = rw.Write([]byte(jpegPicture))
		case "/gif":
			_, _ = rw.Write([]byte(gifPicture))
		case "/webp":
			_, _ = rw.Write([]byte(webpPicture))
		case "/svg":
			rw.Header().Set("Content-Type", "image/svg+xml")
			_, _ = rw.Write([]byte(`<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>`))
		case "/html":
			rw.Header().Set("Content-Type", "image/png")
			_, _ = rw.Write([]byte("<script>alert(1)</script>"))
		case "/riff":
			_, _ = rw.Write([]byte("RIFF\x00\x00\x00\x00WAVE"))
		case "/large":
			_, _ = rw.Write([]byte(pngPicture + strings.Repeat("x", maxLogo)))
		case "/empty":
		case "/moved":
			http.Redirect(rw, r, "/png", http.StatusFound)
		default:
			http.NotFound(rw, r)
		}
	}))
	t.Cleanup(other.Close)
	w := newTestProvider(t)
	for path, want := range map[string]string{"png": "image/png", "jpeg": "image/jpeg", "gif": "image/gif", "webp": "image/webp",
		"svg": "", "html": "", "riff": "", "large": "", "empty": "", "moved": "", "nothing": ""} {
		c := w.picture(path, other.URL+"/"+path)
		calls.Store(0)
		for range 3 {
			p := w.fetch("/logo/" + c.ID)
			h := p.Header
			if h.Get("Content-Security-Policy") != "default-src 'none'; sandbox" || h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Set-Cookie") != "" || h.Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("%s: %v", path, h)
			}
			if want == "" && (p.StatusCode != 404 || h.Get("Content-Type") != "application/json" || strings.Contains(p.body, "alert") || h.Get("Cache-Control") != "no-store") {
				t.Errorf("%s: %d %v %q", path, p.StatusCode, h, p.body)
			}
			if want != "" && (p.StatusCode != 200 || h.Get("Content-Type") != want || h.Get("Cache-Control") != "public, max-age=3600") {
				t.Errorf("%s: %d %v", path, p.StatusCode, h)
			}
		}
		if calls.Load() != 1 {
			t.Errorf("%s was fetched %d times", path, calls.Load())
		}
	}
	etag := w.fetch("/logo/png").Header.Get("ETag")
	if p := w.fetch("/logo/png", "If-None-Match", etag); p.StatusCode != http.StatusNotModified {
		t.Errorf("%d", p.StatusCode)
	}
	calls.Store(0)
	w.clock.Advance(noLogoFor)
	w.fetch("/logo/nothing")
	w.fetch("/logo/png")
	if calls.Load() != 1 {
		t.Errorf("after some minutes: %d calls", calls.Load())
	}
	w.clock.Advance(logoFor)
	if p := w.fetch("/logo/png"); p.StatusCode != 200 || calls.Load() != 2 {
		t.Errorf("after an hour: %d, %d calls", p.StatusCode, calls.Load())
	}
}

func TestLogosOfNobody(t *testing.T) {
	t.Parallel()
	var calls atomic.Int32
	canary := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { calls.Add(1); _, _ = rw.Write([]byte(pngPicture)) }))
	t.Cleanup(canary.Close)
	w := newTestProvider(t, func(c *Config) { c.Outbound = outbound.New(outbound.Config{}) })
	w.addClient("without")
	w.picture("inside", canary.URL)
	off := w.picture("disabled", canary.URL)
	off.Disabled, off.Version = true, 1
	if err := w.Store.UpdateClient(context.Background(), off); err != nil {
		t.Fatal(err)
	}
	said := ""
	for _, id := range []string{"nobody", "without", "inside", "disabled", "..%2f..%2fetc", "a%00b"} {
		p := w.fetch("/logo/" + id)
		if said == "" {
			said = p.body
		}
		if p.StatusCode != 404 || p.body != said {
			t.Errorf("%s: %d %s", id, p.StatusCode, p.body)
		}
	}
	if calls.Load() != 0 {
		t.Errorf("%d calls to the inside", calls.Load())
	}
}

func TestLogoCache(t *testing.T) {
	t.Parallel()
	now := time.Unix(1e9, 0)
	t.Run("one fetch for everybody who waits, whoever goes away", func(t *testing.T) {
		t.Parallel()
		c, release := newLogoCache(), make(chan struct{})
		var calls atomic.Int32
		fetch := func(ctx context.Context, _ string, _ int64, _ ...string) ([]byte, error) {
			calls.Add(1)
			<-release
			return []byte(pngPicture), ctx.Err()
		}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if _, _, err := c.get(gone, "u", now, fetch); !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				if picture, mediaType, err := c.get(t.Context(), "u", now, fetch); err != nil || string(picture) != pngPicture || mediaType != "image/png" {
					t.Errorf("%q %v", mediaType, err)
				}
			})
		}
		close(release)
		wg.Wait()
		if calls.Load() != 1 {
			t.Errorf("%d fetches", calls.Load())
		}
	})
	t.Run("what was not used for longest goes", func(t *testing.T) {
		t.Parallel()
		c := newLogoCache()
		var calls atomic.Int32
		fetch := func(context.Context, string, int64, ...string) ([]byte, error) {
			calls.Add(1)
			return []byte(gifPicture), nil
		}
		get := func(uri string) {
			if _, _, err := c.get(t.Context(), uri, now, fetch); err != nil {
				t.Fatal(err)
			}
		}
		for i := range maxLogos {
			get(fmt.Sprint(i))
		}
		get("0")
		get("new")
		if len(c.entries) != maxLogos || c.recent.Len() != maxLogos || calls.Load() != maxLogos+1 {
			t.Errorf("%d entries, %d fetches", len(c.entries), calls.Load())
		}
		get("0")
		if calls.Load() != maxLogos+1 {
			t.Error("the one that was used is gone")
		}
		get("1")
		if calls.Load() != maxLogos+2 {
			t.Error("the one that was not used is still there")
		}
	})
}
