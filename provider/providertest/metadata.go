package providertest

import (
	"net/http"
)

// Fetch gets an address of the provider with headers, as a program that follows no redirects.
func (w *World) Fetch(target string, header ...string) Page {
	w.t.Helper()
	r, err := http.NewRequest("GET", w.Absolute(target), nil)
	if err != nil {
		w.t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		if header[i] == "Host" {
			r.Host = header[i+1]
			continue
		}
		r.Header.Add(header[i], header[i+1])
	}
	return w.Browser().Do(r)
}
