package registration

import (
	"bytes"
	"container/list"
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"latchkey/provider/oauth"
	"latchkey/provider/storage"
	"latchkey/provider/web"
)

// Logos are fetched by us and served from here, so that the sign-in page makes no browser call anybody else: whoever hosts the picture
// learns nothing of who signs in when, and there is nothing of theirs in our page.
const (
	maxLogo      = 256 << 10        // bytes
	logoFor      = time.Hour        // a picture is kept
	noLogoFor    = 5 * time.Minute  // that there is none is remembered
	maxLogos     = 64               // pictures, and failures, at once
	logoPatience = 10 * time.Second // for one fetch, whoever waits for it
)

// logoTypes are the pictures that are passed on, known by their first bytes; what the other side says about them does not count. SVG is not
// among them: it is a document with scripts.
var logoTypes = []struct {
	mediaType string
	prefix    string
	at8       string // what stands at the ninth byte
}{
	{"image/png", "\x89PNG\r\n\x1a\n", ""},
	{"image/jpeg", "\xff\xd8\xff", ""},
	{"image/gif", "GIF87a", ""},
	{"image/gif", "GIF89a", ""},
	{"image/webp", "RIFF", "WEBP"},
}

func logoType(b []byte) string {
	for _, t := range logoTypes {
		if bytes.HasPrefix(b, []byte(t.prefix)) && (t.at8 == "" || len(b) >= 12 && string(b[8:12]) == t.at8) {
			return t.mediaType
		}
	}
	return ""
}

// Logo serves the picture of a client (OIDC Registration §2 logo_uri). 404 if there is none that can be shown.
func (ep *Endpoints) Logo(w http.ResponseWriter, r *http.Request) error {
	h := w.Header()
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Del("Access-Control-Allow-Origin") // a picture on our own pages; nobody else has to read it
	none := func(cause error) error {
		h.Set("Cache-Control", "no-store")
		return oauth.Errorf(oauth.InvalidRequest, "there is no logo").Because(cause).WithStatus(http.StatusNotFound)
	}
	client, err := ep.Store.Client(r.Context(), web.Variable(r, "client_id"))
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return none(nil)
	case err != nil:
		return fmt.Errorf("load client of logo: %w", err)
	case client.Disabled || client.LogoURI == "":
		return none(nil)
	}
	picture, mediaType, err := ep.logos.get(r.Context(), client.LogoURI, ep.Web.Now(), ep.Outbound.Get)
	if err != nil {
		return none(err)
	}
	return web.NewDocument(picture, web.EntityTag(picture), mediaType, logoFor).Serve(w, r)
}

// logoCache keeps the last used pictures by their address. One address is fetched once at a time, whoever asks for it.
type logoCache struct {
	mu      sync.Mutex
	entries map[string]*list.Element
	recent  *list.List // of *cachedLogo, last used first
}

type cachedLogo struct {
	uri       string
	ready     chan struct{} // closed when the rest is there
	until     time.Time
	picture   []byte
	mediaType string
	err       error
}

func newLogoCache() *logoCache {
	return &logoCache{entries: map[string]*list.Element{}, recent: list.New()}
}

// get returns the picture at uri, from memory or by one fetch.
func (c *logoCache) get(ctx context.Context, uri string, now time.Time, fetch func(ctx context.Context, url string, maxBytes int64, accept ...string) ([]byte, error)) ([]byte, string, error) {
	e, mine := c.entry(uri, now)
	if mine {
		// The fetch is for everybody who waits, so it does not end when the one who began it goes away.
		go func() {
			fetching, cancel := context.WithTimeout(context.WithoutCancel(ctx), logoPatience)
			defer cancel()
			e.fill(fetching, now, fetch)
		}()
	}
	select {
	case <-e.ready:
		return e.picture, e.mediaType, e.err
	case <-ctx.Done():
		return nil, "", ctx.Err()
	}
}

// entry finds what is remembered of uri, or makes room for it; mine says that the caller has to fill it.
func (c *logoCache) entry(uri string, now time.Time) (e *cachedLogo, mine bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if at, ok := c.entries[uri]; ok {
		e := at.Value.(*cachedLogo)
		select {
		case <-e.ready:
			if now.Before(e.until) {
				c.recent.MoveToFront(at)
				return e, false
			}
			c.recent.Remove(at)
			delete(c.entries, uri)
		default: // on its way
			return e, false
		}
	}
	for c.recent.Len() >= maxLogos {
		oldest := c.recent.Back()
		c.recent.Remove(oldest)
		delete(c.entries, oldest.Value.(*cachedLogo).uri)
	}
	e = &cachedLogo{uri: uri, ready: make(chan struct{})}
	c.entries[uri] = c.recent.PushFront(e)
	return e, true
}

func (e *cachedLogo) fill(ctx context.Context, now time.Time, fetch func(ctx context.Context, url string, maxBytes int64, accept ...string) ([]byte, error)) {
	defer close(e.ready)
	e.until = now.Add(noLogoFor)
	picture, err := fetch(ctx, e.uri, maxLogo, "image/png", "image/jpeg", "image/gif", "image/webp")
	if err != nil {
		e.err = fmt.Errorf("fetch logo: %w", err)
		return
	}
	if e.mediaType = logoType(picture); e.mediaType == "" {
		e.err = errors.New("the logo is neither PNG, JPEG, GIF nor WebP")
		return
	}
	e.picture, e.until = picture, now.Add(logoFor)
}
