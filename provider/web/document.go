package web

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// Document is something public that is the same for everybody, with its entity tag and its header
// values as they are sent. Make one with NewDocument or NewJSONDocument.
type Document struct {
	body                                    []byte
	etag, contentType, cacheControl, length []string
}

// NewDocument returns a document of the given media type that may be cached for maxAge. etag is its
// entity tag with quotes (RFC 9110 §8.8.3). The document keeps body.
func NewDocument(body []byte, etag, mediaType string, maxAge time.Duration) *Document {
	return &Document{
		body: body, etag: []string{etag}, contentType: []string{mediaType},
		cacheControl: []string{fmt.Sprintf("public, max-age=%d", int64(maxAge/time.Second))},
		length:       []string{strconv.Itoa(len(body))},
	}
}

// NewJSONDocument is NewDocument for a value that is written as JSON.
func NewJSONDocument(v any, mediaType string, maxAge time.Duration) (*Document, error) {
	body, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("write JSON document: %w", err)
	}
	return NewDocument(body, EntityTag(body), mediaType, maxAge), nil
}

// Etag returns the entity tag of the document, with quotes.
func (d *Document) Etag() string { return d.etag[0] }

// EntityTag names a body by its hash (RFC 9110 §8.8.3).
func EntityTag(body []byte) string {
	sum := sha256.Sum256(body)
	return `"` + base64.RawURLEncoding.EncodeToString(sum[:16]) + `"`
}

// Serve answers with the document, or 304 to a client that has it (RFC 9110 §13.1.2). It always
// returns nil.
func (d *Document) Serve(w http.ResponseWriter, r *http.Request) error {
	h := w.Header()
	// The slices are shared between answers: header.Add makes a new one, and nothing changes one in
	// place.
	h["Content-Type"], h["Cache-Control"], h["Etag"] = d.contentType, d.cacheControl, d.etag
	if r.Method == http.MethodGet && !conditional(r.Header) {
		h["Content-Length"] = d.length
		w.WriteHeader(http.StatusOK)
		_, _ = w.Write(d.body)
		return nil
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(d.body))
	return nil
}

// conditional reports whether a request asks for less than the whole document.
func conditional(h http.Header) bool {
	for _, name := range [...]string{"If-None-Match", "Range", "If-Match", "If-Range", "If-Modified-Since",
		"If-Unmodified-Since"} {
		if len(h[name]) > 0 {
			return true
		}
	}
	return false
}
