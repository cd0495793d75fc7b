package providertest

import (
	"html"
	"net/http"
	"regexp"
	"strings"
)

var (
	frameTag   = regexp.MustCompile(`<iframe\b([^>]*)>`)
	refreshTag = regexp.MustCompile(`<meta http-equiv="refresh" content="([^"]*)"`)
)

func (p Page) Frames() []string {
	var out []string
	for _, m := range frameTag.FindAllStringSubmatch(p.Body, -1) {
		out = append(out, Attributes(m[1])["src"])
	}
	return out
}

// Refresh is what the page does by itself: after how many seconds, and where it goes then.
func (p Page) Refresh() (seconds, to string) {
	m := refreshTag.FindStringSubmatch(p.Body)
	if m == nil {
		return "", ""
	}
	seconds, to, _ = strings.Cut(html.UnescapeString(m[1]), ";")
	_, to, _ = strings.Cut(to, "=")
	return seconds, strings.Trim(to, `'" `)
}

type HeaderOnly struct {
	http.ResponseWriter
	H http.Header
}

func (w *HeaderOnly) Header() http.Header { return w.H }
