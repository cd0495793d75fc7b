package registration

import (
	"net/http"
	"strings"
	"testing"
)

// FuzzLogoType looks at what a logo_uri leads to. What we serve as a picture is one to browsers,
// too.
func FuzzLogoType(f *testing.F) {
	f.Add([]byte("\x89PNG\r\n\x1a\n"))
	f.Add([]byte("RIFF\x00\x00\x00\x00WEBP<script>"))
	f.Add([]byte("GIF89a<html>"))
	f.Fuzz(func(t *testing.T, body []byte) {
		kind := logoType(body)
		if seen := http.DetectContentType(body); kind != "" && !strings.HasPrefix(seen, "image/") &&
			seen != "application/octet-stream" {
			t.Errorf("served as %s, and seen as %s", kind, seen)
		}
	})
}
