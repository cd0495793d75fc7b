package registration_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"latchkey/provider"
	"latchkey/provider/outbound"
	"latchkey/provider/providertest"
	"latchkey/provider/registration"
)

const (
	pngPicture  = "\x89PNG\r\n\x1a\n and so on"
	jpegPicture = "\xff\xd8\xff\xe0 and so on"
	gifPicture  = "GIF89a and so on"
	webpPicture = "RIFF\x00\x00\x00\x00WEBPVP8 "
)

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
			_, _ = rw.Write([]byte(pngPicture + strings.Repeat("x", registration.MaxLogo)))
		case "/empty":
		case "/moved":
			http.Redirect(rw, r, "/png", http.StatusFound)
		default:
			http.NotFound(rw, r)
		}
	}))
	t.Cleanup(other.Close)
	w := providertest.New(t)
	for path, want := range map[string]string{"png": "image/png", "jpeg": "image/jpeg", "gif": "image/gif",
		"webp": "image/webp",
		"svg":  "", "html": "", "riff": "", "large": "", "empty": "", "moved": "", "nothing": ""} {
		c := w.Picture(path, other.URL+"/"+path)
		calls.Store(0)
		for range 3 {
			p := w.Fetch("/logo/" + c.ID)
			h := p.Header
			if h.Get("Content-Security-Policy") != "default-src 'none'; sandbox" ||
				h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Set-Cookie") != "" ||
				h.Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("%s: %v", path, h)
			}
			if want == "" && (p.StatusCode != 404 || h.Get("Content-Type") != "application/json" ||
				strings.Contains(p.Body, "alert") || h.Get("Cache-Control") != "no-store") {
				t.Errorf("%s: %d %v %q", path, p.StatusCode, h, p.Body)
			}
			if want != "" && (p.StatusCode != 200 || h.Get("Content-Type") != want ||
				h.Get("Cache-Control") != "public, max-age=3600") {
				t.Errorf("%s: %d %v", path, p.StatusCode, h)
			}
		}
		if calls.Load() != 1 {
			t.Errorf("%s was fetched %d times", path, calls.Load())
		}
	}
	etag := w.Fetch("/logo/png").Header.Get("ETag")
	if p := w.Fetch("/logo/png", "If-None-Match", etag); p.StatusCode != http.StatusNotModified {
		t.Errorf("%d", p.StatusCode)
	}
	calls.Store(0)
	w.Clock.Advance(registration.NoLogoFor)
	w.Fetch("/logo/nothing")
	w.Fetch("/logo/png")
	if calls.Load() != 1 {
		t.Errorf("after some minutes: %d calls", calls.Load())
	}
	w.Clock.Advance(registration.LogoFor)
	if p := w.Fetch("/logo/png"); p.StatusCode != 200 || calls.Load() != 2 {
		t.Errorf("after an hour: %d, %d calls", p.StatusCode, calls.Load())
	}
}

func TestLogosOfNobody(t *testing.T) {
	t.Parallel()
	var calls atomic.Int32
	canary := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter,
		r *http.Request) {
		calls.Add(1)
		_, _ = rw.Write([]byte(pngPicture))
	}))
	t.Cleanup(canary.Close)
	w := providertest.New(t, func(c *provider.Config) { c.Outbound = outbound.New(outbound.Config{}) })
	w.AddClient("without")
	w.Picture("inside", canary.URL)
	off := w.Picture("disabled", canary.URL)
	off.Disabled, off.Version = true, 1
	if err := w.Store.UpdateClient(context.Background(), off); err != nil {
		t.Fatal(err)
	}
	said := ""
	for _, id := range []string{"nobody", "without", "inside", "disabled", "..%2f..%2fetc", "a%00b"} {
		p := w.Fetch("/logo/" + id)
		if said == "" {
			said = p.Body
		}
		if p.StatusCode != 404 || p.Body != said {
			t.Errorf("%s: %d %s", id, p.StatusCode, p.Body)
		}
	}
	if calls.Load() != 0 {
		t.Errorf("%d calls to the inside", calls.Load())
	}
}
