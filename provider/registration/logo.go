package registration

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"latchkey/provider/oauth"
	"latchkey/provider/storage"
	"latchkey/provider/web"
)

// Logos are fetched by us and served from here, so that the sign-in page makes no browser call
// anybody else: whoever hosts the picture learns nothing of who signs in when, and there is nothing
// of theirs in our page.
const (
	maxLogo      = 256 << 10        // bytes
	logoFor      = time.Hour        // a picture is kept
	oldLogoFor   = 24 * time.Hour   // and while its address does not answer
	noLogoFor    = 5 * time.Minute  // that there is none is remembered
	maxLogos     = 64               // pictures, and failures, at once
	logoPatience = 10 * time.Second // for one fetch, whoever waits for it
)

// logoTypes are the pictures that are passed on, known by their first bytes; what the other side
// says about them does not count. SVG is not among them: it is a document with scripts.
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

// Logo serves the picture of a client (OIDC Registration §2 logo_uri). 404 if there is none that
// can be shown.
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
	p, err := ep.logos.Get(r.Context(), client.LogoURI, ep.Web.Now(), nil, func(ctx context.Context) (picture, error) {
		return ep.fetchLogo(ctx, client.LogoURI)
	})
	if err != nil {
		return none(err)
	}
	return web.NewDocument(p.body, web.EntityTag(p.body), p.mediaType, logoFor).Serve(w, r)
}

// picture is a logo that can be shown.
type picture struct {
	body      []byte
	mediaType string
}

// fetchLogo gets the picture at an address that a client registered.
func (ep *Endpoints) fetchLogo(ctx context.Context, uri string) (picture, error) {
	body, err := ep.Outbound.Get(ctx, uri, maxLogo, "image/png", "image/jpeg", "image/gif", "image/webp")
	if err != nil {
		return picture{}, fmt.Errorf("fetch logo: %w", err)
	}
	mediaType := logoType(body)
	if mediaType == "" {
		return picture{}, errors.New("the logo is neither PNG, JPEG, GIF nor WebP")
	}
	return picture{body: body, mediaType: mediaType}, nil
}
