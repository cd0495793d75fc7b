package providertest

import (
	"net/http"
	"net/url"

	"latchkey/provider/clients"
)

// PushedPrefix begins every request_uri that the provider gives (RFC 9126 §2.2).
const PushedPrefix = "urn:ietf:params:oauth:request_uri:"

// Push sends the authorization request of Request ahead, as the client authenticates; change as
// there.
func (w *World) Push(c clients.Client, change ...string) AnswerJSON {
	w.t.Helper()
	return w.Call("/par", c, MustQuery(w.t, w.Request(c, change...)))
}

// Pushed is the address that a browser opens with the reference to a pushed request; change adds
// parameters.
func (w *World) Pushed(c clients.Client, reference string, change ...string) string {
	return w.Web.Path + "/authorize?" + With(url.Values{"client_id": {c.ID}, "request_uri": {reference}},
		change...).Encode()
}

// MustPush pushes a request and returns the address that a browser opens.
func (w *World) MustPush(c clients.Client, change ...string) string {
	w.t.Helper()
	a := w.Push(c, change...)
	if a.StatusCode != http.StatusCreated {
		w.t.Fatalf("push: %d %v\n%s", a.StatusCode, a.JSON, w.Log)
	}
	return w.Pushed(c, a.Str("request_uri"))
}
