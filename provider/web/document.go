package web

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// Document is something public that is the same for everybody, with its entity tag.
type Document struct {
	Body []byte
	Etag string
}

func NewDocument(v any) (Document, error) {
	body, err := json.Marshal(v)
	if err != nil {
		return Document{}, fmt.Errorf("write provider metadata: %w", err)
	}
	return Document{Body: body, Etag: EntityTag(body)}, nil
}

// EntityTag names a body by its hash (RFC 9110 §8.8.3).
func EntityTag(body []byte) string {
	sum := sha256.Sum256(body)
	return `"` + base64.RawURLEncoding.EncodeToString(sum[:16]) + `"`
}

// Serve answers with the document, or 304 to somebody who has it (RFC 9110 §13.1.2).
func (d Document) Serve(w http.ResponseWriter, r *http.Request, contentType string, maxAge time.Duration) error {
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Cache-Control", fmt.Sprintf("public, max-age=%d", int64(maxAge/time.Second)))
	h.Set("ETag", d.Etag)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(d.Body))
	return nil
}
