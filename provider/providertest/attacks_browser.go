package providertest

import (
	"net/http"
	"net/url"
	"strings"
)

// send posts a form as the browser does, with these headers; no other tells where it came from.
func (b *Browser) SendFrom(target string, form url.Values, header ...string) Page {
	b.w.t.Helper()
	r, err := http.NewRequest("POST", b.w.Absolute(target), strings.NewReader(form.Encode()))
	if err != nil {
		b.w.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return b.Do(r)
}
